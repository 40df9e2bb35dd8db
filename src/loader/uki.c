/*
 * uki.c - PE programs for UEFI ("PE Format", Microsoft), and the unified kernel images among them
 * (UAPI.5): a kernel, its initrd and its command line as sections of one program.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/cleanup.h>

#include "text.h"

enum {
    DOS_PE_OFFSET = 0x3c,
    COFF_BYTES = 24, /* signature included */
    SECTION_BYTES = 40,
    SECTIONS_LIMIT = 128,
};

static const struct {
    uint16_t code; /* IMAGE_FILE_MACHINE_… */
    unsigned machine;
} machines[] = {
    {0x8664, BOOT_MACHINE_X64    },
    {0x014c, BOOT_MACHINE_IA32   },
    {0xaa64, BOOT_MACHINE_ARM64  },
    {0x5064, BOOT_MACHINE_RISCV64},
};

static const struct {
    const char *name; /* padded with NULs to 8 bytes */
    size_t field;
} sections[] = {
    {".linux",   offsetof(struct loader_uki, kernel)      },
    {".initrd",  offsetof(struct loader_uki, initrd)      },
    {".ucode",   offsetof(struct loader_uki, microcode)   },
    {".cmdline", offsetof(struct loader_uki, command_line)},
    {".osrel",   offsetof(struct loader_uki, os_release)  },
    {".uname",   offsetof(struct loader_uki, uname)       },
};

/* The part of a section that holds data; what the file leaves out would be zeros. */
static int take_section(struct loader_uki *uki, const uint8_t *header, size_t length,
                        struct error *error)
{
    uint64_t virtual_bytes = load_le32(header + 8), raw_bytes = load_le32(header + 16);
    uint64_t offset = load_le32(header + 20);
    if (raw_bytes && (offset > length || raw_bytes > length - offset))
        return error_set(error, -EINVAL, "it ends before its last section does");
    struct loader_span span = {.offset = offset, .bytes = min_of(virtual_bytes, raw_bytes)};
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        struct loader_span *field = (struct loader_span *)((char *)uki + sections[i].field);
        if (!strncmp((const char *)header, sections[i].name, 8) && !field->bytes)
            *field = span; /* the first; later ones belong to other profiles */
    }
    return 0;
}

int loader_uki_read(struct loader_uki *ret_uki, const uint8_t *bytes, size_t length,
                    struct error *error)
{
    struct loader_uki uki = {0};
    if (length < 0x40 || bytes[0] != 'M' || bytes[1] != 'Z')
        return error_set(error, -EINVAL, "it is no program for UEFI");
    size_t pe = load_le32(bytes + DOS_PE_OFFSET);
    if (pe > length - COFF_BYTES || memcmp(bytes + pe, "PE\0\0", 4) != 0)
        return error_set(error, -EINVAL, "it is no program for UEFI");
    unsigned count = load_le16(bytes + pe + 6);
    size_t table = pe + COFF_BYTES + load_le16(bytes + pe + 20);
    if (count > SECTIONS_LIMIT || table > length || count * SECTION_BYTES > length - table)
        return error_set(error, -EINVAL, "its table of sections is not all there");
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
        if (machines[i].code == load_le16(bytes + pe + 4))
            uki.machines = machines[i].machine;
    int result = 0;
    for (unsigned i = 0; !result && i < count; i++)
        result = take_section(&uki, bytes + table + i * SECTION_BYTES, length, error);
    if (!result)
        *ret_uki = uki;
    return result;
}

/* A section's text without NULs and newlines at its end. */
static struct text section_text(const uint8_t *bytes, const struct loader_span *span)
{
    struct text text = {.at = (const char *)bytes + span->offset,
                        .length = (size_t)min_of(span->bytes, (uint64_t)LOADER_TEXT_BYTES_LIMIT)};
    text.length = strnlen(text.at, text.length);
    while (text.length && strchr("\r\n \t", text.at[text.length - 1]))
        text.length--;
    return text;
}

static char *os_release(const uint8_t *bytes, const struct loader_uki *uki,
                        const char *const *names)
{
    char value[LOADER_VALUE_BYTES];
    struct text text = section_text(bytes, &uki->os_release);
    for (; *names; names++)
        if (loader_shell_value(text.at, text.length, *names, value) && *value)
            return strdup(value);
    return NULL;
}

int loader_uki_entry(struct loader_entry *ret_entry, const char *file_name,
                     const struct loader_uki *uki, const uint8_t *bytes, struct error *error)
{
    static const char *const titles[] = {"PRETTY_NAME", "NAME", NULL};
    static const char *const sort_keys[] = {"IMAGE_ID", "ID", NULL};
    static const char *const versions[] = {"IMAGE_VERSION", "VERSION_ID", "BUILD_ID", NULL};
    struct loader_entry entry = {0};
    struct buffer options;
    if (!uki->kernel.bytes)
        return error_set(error, -EINVAL, "it holds no kernel");
    entry.id = loader_entry_id(file_name, ".efi", &entry.tries_left);
    struct text uname = section_text(bytes, &uki->uname);
    struct text command_line = section_text(bytes, &uki->command_line);
    entry.title = os_release(bytes, uki, titles);
    entry.sort_key = os_release(bytes, uki, sort_keys);
    entry.version = uname.length ? text_copy(uname) : os_release(bytes, uki, versions);
    buffer_init(&options, BOOT_ENTRY_OPTIONS_BYTES);
    loader_cmdline_file(&options, command_line.at, command_line.length);
    const char *text = buffer_string(&options);
    entry.options = text ? strdup(text) : NULL;
    buffer_done(&options);
    int result = 0;
    if (!text)
        result = error_set(error, -E2BIG, "its command line is longer than %u bytes",
                           BOOT_ENTRY_OPTIONS_BYTES - 1);
    else if (!entry.id || !entry.options)
        result = error_set(error, -EINVAL, "it is not called like a unified kernel image");
    if (result)
        loader_entry_done(&entry);
    else
        *ret_entry = entry;
    return result;
}
