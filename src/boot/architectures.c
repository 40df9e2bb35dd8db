/* architectures.c - the loaders, see boot.h. Which codes are alike is DHCP's table. */
#include <netboot-target/boot.h>
#include <netboot-target/util/array.h>

// clang-format off
static const struct boot_architecture rows[] = {
    {0x00, 0x14, "bios",            "BIOS",                      "ipxe"},
    {0x06, 0x0f, "efi-ia32",        "UEFI on 32-bit x86",        NULL},
    {0x07, 0x10, "efi-x64",         "UEFI on 64-bit x86",        "ipxe"},
    {0x0a, 0x12, "efi-arm32",       "UEFI on 32-bit ARM",        NULL},
    {0x0b, 0x13, "efi-arm64",       "UEFI on 64-bit ARM",        NULL},
    {0x1b, 0x1c, "efi-riscv64",     "UEFI on 64-bit RISC-V",     NULL},
    {0x27, 0x28, "efi-loongarch64", "UEFI on 64-bit LoongArch",  NULL},
};
// clang-format on

const struct boot_architecture *boot_architecture_find(uint16_t code)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].code == code || (code && rows[i].http_code == code))
            return &rows[i];
    }
    return NULL;
}

const struct boot_architecture *boot_architecture_at(unsigned index)
{
    return index < ARRAY_SIZE(rows) ? &rows[index] : NULL;
}

void boot_missing_file_text(struct error *ret_text, const struct boot_architecture *architecture,
                            const char *file, const char *folder)
{
    if (architecture->package)
        error_set(ret_text, 0,
                  "%s/%s is missing, so machines with %s cannot boot: install the package %s "
                  "(apt install %s), or set boot.files.%s to a file that is there",
                  folder, file, architecture->name, architecture->package, architecture->package,
                  architecture->key);
    else
        error_set(ret_text, 0,
                  "%s/%s is missing, so machines with %s cannot boot: no package of Debian has it; "
                  "put a build from ipxe.org into boot.custom-directory under this name, or set "
                  "boot.files.%s",
                  folder, file, architecture->name, architecture->key);
}
