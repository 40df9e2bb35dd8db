/* loader_entry.c - any text as each of the files that a boot loader reads, and any two versions. */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/loader.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An order that contradicts itself would make a sort run wild. */
static void compare_versions(const char *text, size_t length)
{
    const char *middle = memchr(text, '\n', length);
    if (!middle)
        return;
    char *one = strndup(text, (size_t)(middle - text));
    char *two = strndup(middle + 1, length - (size_t)(middle - text) - 1);
    if (one && two && loader_version_compare(one, two) != -loader_version_compare(two, one))
        abort();
    if (one && loader_version_compare(one, one) != 0)
        abort();
    free(one);
    free(two);
}

static void read_files(const char *text, size_t length)
{
    char value[LOADER_VALUE_BYTES], device[LOADER_PATH_BYTES], options[LOADER_PATH_BYTES];
    struct buffer out;
    loader_shell_value(text, length, "NAME", value);
    loader_fstab_find(text, length, "/", device, options);
    buffer_init(&out, 4096);
    loader_cmdline_file(&out, text, length);
    struct loader_root_node node;
    const char *line = buffer_string(&out);
    if (line && loader_find_root_node(&node, line) &&
        (node.offset + node.length > strlen(line) || strncmp(line + node.offset, "root=", 5) != 0))
        abort();
    buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct loader_variables *variables = loader_variables_new();
    struct loader_entry entry;
    loader_variables_read_environment(variables, text, size);
    loader_variables_read_grub_cfg(variables, text, size);
    if (!loader_entry_parse(&entry, "fuzz+3-1.conf", text, size, variables)) {
        if (!entry.kernel && !entry.efi)
            abort();
        loader_entry_is_ours(&entry);
        if (loader_entry_compare(&entry, &entry) != 0)
            abort();
        loader_entry_done(&entry);
    }
    if (loader_grub_cfg_find(&entry, text, size, "vmlinuz", variables))
        loader_entry_done(&entry);
    loader_variables_free(variables);
    read_files(text, size);
    compare_versions(text, size);
    return 0;
}
