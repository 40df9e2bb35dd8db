/*
 * architectures.c - the IANA registry "Processor Architecture Types" as a table: RFC 4578 §2.1 as
 * its erratum corrects it, RFC 5970 §3.3, and what was registered since.
 */
#include <netboot-target/dhcp/client.h>
#include <netboot-target/util/array.h>

// clang-format off
static const struct dhcp_architecture rows[] = {
    {0x00, 0x00, DHCP_FIRMWARE_BIOS,      "x86 BIOS"},
    {0x01, 0x01, DHCP_FIRMWARE_OTHER,     "NEC PC98"},
    {0x02, 0x02, DHCP_FIRMWARE_UEFI,      "Itanium"},
    {0x03, 0x03, DHCP_FIRMWARE_OTHER,     "DEC Alpha"},
    {0x04, 0x04, DHCP_FIRMWARE_OTHER,     "Arc x86"},
    {0x05, 0x05, DHCP_FIRMWARE_OTHER,     "Intel Lean Client"},
    {0x06, 0x06, DHCP_FIRMWARE_UEFI,      "x86 UEFI"},
    {0x07, 0x07, DHCP_FIRMWARE_UEFI,      "x64 UEFI"},
    {0x08, 0x08, DHCP_FIRMWARE_UEFI,      "EFI Xscale"},
    {0x09, 0x07, DHCP_FIRMWARE_UEFI,      "EBC"}, /* what older x64 firmware calls itself */
    {0x0a, 0x0a, DHCP_FIRMWARE_UEFI,      "ARM 32-bit UEFI"},
    {0x0b, 0x0b, DHCP_FIRMWARE_UEFI,      "ARM 64-bit UEFI"},
    {0x0c, 0x0c, DHCP_FIRMWARE_OTHER,     "PowerPC Open Firmware"},
    {0x0d, 0x0d, DHCP_FIRMWARE_OTHER,     "PowerPC ePAPR"},
    {0x0e, 0x0e, DHCP_FIRMWARE_OTHER,     "POWER OPAL v3"},
    {0x0f, 0x0f, DHCP_FIRMWARE_UEFI_HTTP, "x86 UEFI HTTP"},
    {0x10, 0x10, DHCP_FIRMWARE_UEFI_HTTP, "x64 UEFI HTTP"},
    {0x11, 0x10, DHCP_FIRMWARE_UEFI_HTTP, "EBC HTTP"},
    {0x12, 0x12, DHCP_FIRMWARE_UEFI_HTTP, "ARM 32-bit UEFI HTTP"},
    {0x13, 0x13, DHCP_FIRMWARE_UEFI_HTTP, "ARM 64-bit UEFI HTTP"},
    {0x14, 0x14, DHCP_FIRMWARE_BIOS_HTTP, "PC/AT BIOS HTTP"},
    {0x15, 0x15, DHCP_FIRMWARE_OTHER,     "ARM 32-bit U-Boot"},
    {0x16, 0x16, DHCP_FIRMWARE_OTHER,     "ARM 64-bit U-Boot"},
    {0x17, 0x17, DHCP_FIRMWARE_OTHER,     "ARM 32-bit U-Boot HTTP"},
    {0x18, 0x18, DHCP_FIRMWARE_OTHER,     "ARM 64-bit U-Boot HTTP"},
    {0x19, 0x19, DHCP_FIRMWARE_UEFI,      "RISC-V 32-bit UEFI"},
    {0x1a, 0x1a, DHCP_FIRMWARE_UEFI_HTTP, "RISC-V 32-bit UEFI HTTP"},
    {0x1b, 0x1b, DHCP_FIRMWARE_UEFI,      "RISC-V 64-bit UEFI"},
    {0x1c, 0x1c, DHCP_FIRMWARE_UEFI_HTTP, "RISC-V 64-bit UEFI HTTP"},
    {0x1d, 0x1d, DHCP_FIRMWARE_UEFI,      "RISC-V 128-bit UEFI"},
    {0x1e, 0x1e, DHCP_FIRMWARE_UEFI_HTTP, "RISC-V 128-bit UEFI HTTP"},
    {0x1f, 0x1f, DHCP_FIRMWARE_OTHER,     "s390 Basic"},
    {0x20, 0x20, DHCP_FIRMWARE_OTHER,     "s390 Extended"},
    {0x21, 0x21, DHCP_FIRMWARE_UEFI,      "MIPS 32-bit UEFI"},
    {0x22, 0x22, DHCP_FIRMWARE_UEFI,      "MIPS 64-bit UEFI"},
    {0x23, 0x23, DHCP_FIRMWARE_UEFI,      "Sunway 32-bit UEFI"},
    {0x24, 0x24, DHCP_FIRMWARE_UEFI,      "Sunway 64-bit UEFI"},
    {0x25, 0x25, DHCP_FIRMWARE_UEFI,      "LoongArch 32-bit UEFI"},
    {0x26, 0x26, DHCP_FIRMWARE_UEFI_HTTP, "LoongArch 32-bit UEFI HTTP"},
    {0x27, 0x27, DHCP_FIRMWARE_UEFI,      "LoongArch 64-bit UEFI"},
    {0x28, 0x28, DHCP_FIRMWARE_UEFI_HTTP, "LoongArch 64-bit UEFI HTTP"},
    {0x29, 0x29, DHCP_FIRMWARE_OTHER,     "ARM rpiboot"},
};
// clang-format on

const struct dhcp_architecture *dhcp_architecture_find(uint16_t code)
{
    return code < ARRAY_SIZE(rows) ? &rows[code] : NULL; /* the registry has no gaps */
}

const struct dhcp_architecture *dhcp_architecture_at(unsigned index)
{
    return index < ARRAY_SIZE(rows) ? &rows[index] : NULL;
}
