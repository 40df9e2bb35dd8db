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
    {"microsoft/boot", "bootmgfw.efi",         "Windows Boot Manager", ANY_MACHINE         },
    {"freebsd",        "loader.efi",           "FreeBSD",              ANY_MACHINE         },
    {"openbsd",        "bootx64.efi",          "OpenBSD",              BOOT_MACHINE_X64    },
    {"systemd",        "systemd-bootx64.efi",  "systemd-boot",         BOOT_MACHINE_X64    },
    {"systemd",        "systemd-bootia32.efi", "systemd-boot",         BOOT_MACHINE_IA32   },
    {"systemd",        "systemd-bootaa64.efi", "systemd-boot",         BOOT_MACHINE_ARM64  },
    {"refind",         "refind_x64.efi",       "rEFInd",               BOOT_MACHINE_X64    },
    {"*",              "shimx64.efi",          "%s (shim)",            BOOT_MACHINE_X64    },
    {"*",              "shimia32.efi",         "%s (shim)",            BOOT_MACHINE_IA32   },
    {"*",              "shimaa64.efi",         "%s (shim)",            BOOT_MACHINE_ARM64  },
    {"*",              "grubx64.efi",          "%s (GRUB)",            BOOT_MACHINE_X64    },
    {"*",              "grubia32.efi",         "%s (GRUB)",            BOOT_MACHINE_IA32   },
    {"*",              "grubaa64.efi",         "%s (GRUB)",            BOOT_MACHINE_ARM64  },
    {"boot",           "bootx64.efi",          "the disk's default",   BOOT_MACHINE_X64    },
    {"boot",           "bootia32.efi",         "the disk's default",   BOOT_MACHINE_IA32   },
    {"boot",           "bootaa64.efi",         "the disk's default",   BOOT_MACHINE_ARM64  },
    {"boot",           "bootriscv64.efi",      "the disk's default",   BOOT_MACHINE_RISCV64},
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

const char *loader_boot_code(const uint8_t sector[512])
{
    static const struct {
        const char *text; /* in the first 440 bytes */
        const char *name;
    } rows[] = {
        {"GRUB",                     "GRUB"    },
        {"LILO",                     "LILO"    },
        {"BTX",                      "FreeBSD" },
        {"Boot loader too large",    "FreeBSD" },
        {"F1",                       "FreeBSD" },
        {"BOOTMGR",                  "Windows" },
        {"Missing operating system", "Windows" },
        {"isolinux",                 "SYSLINUX"},
        {"SYSLINUX",                 "SYSLINUX"},
    };
    static const uint8_t nothing[440];
    if (sector[510] != 0x55 || sector[511] != 0xaa || !memcmp(sector, nothing, sizeof nothing))
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (memmem(sector, 440, rows[i].text, strlen(rows[i].text)))
            return rows[i].name;
    return "boot code";
}
