/* programs.c - boot loaders of other systems: programs on an EFI system partition, boot code in the
 * first sector. */
#include <string.h>
#include <strings.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>

#define ANY_MACHINE \
    (BOOT_MACHINE_X64 | BOOT_MACHINE_IA32 | BOOT_MACHINE_ARM64 | BOOT_MACHINE_RISCV64)

/* The best of a folder first; of "*" what has no row of its own. */
static const struct loader_program programs[] = {
    {"microsoft/boot", "bootmgfw.efi",         "Windows Boot Manager", ANY_MACHINE,          false},
    {"freebsd",        "loader.efi",           "FreeBSD",              ANY_MACHINE,          false},
    {"openbsd",        "bootx64.efi",          "OpenBSD",              BOOT_MACHINE_X64,     false},
    {"systemd",        "systemd-bootx64.efi",  "systemd-boot",         BOOT_MACHINE_X64,     true },
    {"systemd",        "systemd-bootia32.efi", "systemd-boot",         BOOT_MACHINE_IA32,    true },
    {"systemd",        "systemd-bootaa64.efi", "systemd-boot",         BOOT_MACHINE_ARM64,   true },
    {"refind",         "refind_x64.efi",       "rEFInd",               BOOT_MACHINE_X64,     false},
    {"opensuse",       "shim.efi",             "openSUSE (shim)",      ANY_MACHINE,          true },
    {"*",              "shimx64.efi",          "%s (shim)",            BOOT_MACHINE_X64,     true },
    {"*",              "shimia32.efi",         "%s (shim)",            BOOT_MACHINE_IA32,    true },
    {"*",              "shimaa64.efi",         "%s (shim)",            BOOT_MACHINE_ARM64,   true },
    {"*",              "grubx64.efi",          "%s (GRUB)",            BOOT_MACHINE_X64,     true },
    {"*",              "grubia32.efi",         "%s (GRUB)",            BOOT_MACHINE_IA32,    true },
    {"*",              "grubaa64.efi",         "%s (GRUB)",            BOOT_MACHINE_ARM64,   true },
    {"boot",           "bootx64.efi",          "the disk's default",   BOOT_MACHINE_X64,     false},
    {"boot",           "bootia32.efi",         "the disk's default",   BOOT_MACHINE_IA32,    false},
    {"boot",           "bootaa64.efi",         "the disk's default",   BOOT_MACHINE_ARM64,   false},
    {"boot",           "bootriscv64.efi",      "the disk's default",   BOOT_MACHINE_RISCV64, false},
};

const struct loader_program *loader_program_find(const char *folder, const char *file)
{
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        bool is_any = !strcmp(programs[i].folder, "*") && strcasecmp(folder, "boot") != 0;
        if ((is_any || !strcasecmp(programs[i].folder, folder)) &&
            !strcasecmp(programs[i].file, file))
            return &programs[i];
    }
    return NULL;
}

unsigned loader_program_rank(const struct loader_program *program)
{
    return (unsigned)(program - programs);
}

const char *loader_boot_code(const uint8_t sector[512], bool *ret_starts_linux)
{
    static const struct {
        const char *text; /* in the first 440 bytes */
        const char *name;
        bool starts_linux;
    } rows[] = {
        {"GRUB",                     "GRUB",     true },
        {"LILO",                     "LILO",     true },
        {"BTX",                      "FreeBSD",  false},
        {"Boot loader too large",    "FreeBSD",  false},
        {"F1",                       "FreeBSD",  false},
        {"BOOTMGR",                  "Windows",  false},
        {"Missing operating system", "Windows",  false},
        {"isolinux",                 "SYSLINUX", true },
        {"SYSLINUX",                 "SYSLINUX", true },
    };
    static const uint8_t nothing[440];
    if (sector[510] != 0x55 || sector[511] != 0xaa || !memcmp(sector, nothing, sizeof nothing))
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!memmem(sector, 440, rows[i].text, strlen(rows[i].text)))
            continue;
        *ret_starts_linux = rows[i].starts_linux;
        return rows[i].name;
    }
    *ret_starts_linux = false;
    return "boot code";
}
