/* plain.c - kernels that no entry names: which file is one, and which initrds go with it. */
#include <stdio.h>
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

const char *loader_kernel_version(const char *file_name)
{
    static const char *const prefixes[] = {"vmlinuz-", "vmlinux-", "kernel-", "linux-", "Image-"};
    /* what lies beside a kernel, or is one that was replaced */
    static const char *const others[] = {".hmac",       ".old",      ".bak",      ".sig",
                                         ".efi.signed", ".dpkg-tmp", ".dpkg-new", ".img",
                                         ".efi",        ".conf",     ".gz.sig"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (ends_with(file_name, others[i]))
            return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        size_t length = strlen(prefixes[i]);
        if (!strncmp(file_name, prefixes[i], length) && file_name[length])
            return file_name + length;
    }
    return NULL;
}

static const char *find_name(const char *wanted, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(names[i], wanted))
            return names[i];
    return NULL;
}

unsigned loader_find_initrds(const char *kernel_version, const char *const *names, size_t count,
                             const char *ret_initrds[BOOT_ENTRY_INITRDS_LIMIT])
{
    static const char *const microcode[] = {"intel-ucode.img", "amd-ucode.img"};
    static const char *const forms[] = {
        "initrd.img-%s",    /* Debian, Ubuntu */
        "initramfs-%s.img", /* Fedora, Arch */
        "initrd-%s",        /* openSUSE */
        "initramfs-%s",     /* Alpine, Void, Gentoo */
        "initrd-%s.img",
    };
    unsigned found = 0;
    for (size_t i = 0; i < ARRAY_SIZE(microcode); i++) {
        const char *name = find_name(microcode[i], names, count);
        if (name)
            ret_initrds[found++] = name;
    }
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        char wanted[LOADER_PATH_BYTES];
        size_t cut = strcspn(forms[i], "%");
        snprintf(wanted, sizeof wanted, "%.*s%s%s", (int)cut, forms[i], kernel_version,
                 forms[i] + cut + 2);
        const char *name = find_name(wanted, names, count);
        if (!name)
            continue;
        ret_initrds[found++] = name;
        return found;
    }
    return 0; /* microcode alone starts nothing */
}
