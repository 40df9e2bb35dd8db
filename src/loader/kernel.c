/*
 * kernel.c - is it a kernel, and is all of it there? Linux Documentation: arch/x86/boot.rst,
 * arch/arm64/booting.rst, arch/riscv/boot-image-header.rst; zboot: drivers/firmware/efi/libstub.
 */
#include <errno.h>
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

enum {
    X86_SETUP_SECTORS = 0x1f1,
    X86_SYSTEM_SIZE = 0x1f4, /* of the protected-mode part, in units of 16 bytes */
    X86_BOOT_FLAG = 0x1fe,
    X86_MAGIC = 0x202,
    X86_PROTOCOL = 0x206,
    X86_LOAD_FLAGS = 0x211,
    X86_EXTENDED_FLAGS = 0x236,
    X86_HEADER_END = 0x268,
    IMAGE_BYTES = 16, /* arm64 and riscv64: size in memory */
    IMAGE_MAGIC = 56,
    IMAGE_HEADER_END = 64,
    ZBOOT_MAGIC = 4,
    ZBOOT_OFFSET = 8,
    ZBOOT_BYTES = 12,
};

#define X86_PROTOCOL_2_04 0x0204 /* the first with 32 bits of size */
#define X86_PROTOCOL_2_12 0x020c /* the first with extended flags */
#define X86_LOADED_HIGH   1u     /* a bzImage */
#define X86_FLAG_64       1u     /* starts in 64-bit mode */

static bool is_x86(const uint8_t *bytes, size_t length)
{
    return length >= X86_HEADER_END && bytes[X86_BOOT_FLAG] == 0x55 &&
           bytes[X86_BOOT_FLAG + 1] == 0xaa && !memcmp(bytes + X86_MAGIC, "HdrS", 4);
}

/* BIOS clients start a bzImage by the boot protocol; those with UEFI need it to be a program too.
 */
static int check_x86(const uint8_t *bytes, size_t length, unsigned *ret_machines,
                     struct error *error)
{
    unsigned protocol = (unsigned)bytes[X86_PROTOCOL] | (unsigned)bytes[X86_PROTOCOL + 1] << 8;
    unsigned setup = bytes[X86_SETUP_SECTORS] ? bytes[X86_SETUP_SECTORS] : 4;
    uint64_t needed = (setup + 1ull) * 512 + 16ull * load_le32(bytes + X86_SYSTEM_SIZE);
    if (protocol < X86_PROTOCOL_2_04 || !(bytes[X86_LOAD_FLAGS] & X86_LOADED_HIGH))
        return error_set(error, -EINVAL, "it is a kernel of a kind that is no longer made");
    if (needed > length)
        return error_set(error, -EINVAL, "%zu of its %llu bytes are there", length,
                         (unsigned long long)needed);
    struct loader_uki program;
    unsigned machines = BOOT_MACHINE_BIOS;
    if (bytes[0] == 'M' && bytes[1] == 'Z') {
        if (loader_uki_read(&program, bytes, length, error))
            return -EINVAL;
        machines |= program.machines;
    }
    if (protocol >= X86_PROTOCOL_2_12 && !(bytes[X86_EXTENDED_FLAGS] & X86_FLAG_64))
        machines &= ~(unsigned)BOOT_MACHINE_X64;
    *ret_machines = machines;
    return 0;
}

/* The size in memory counts what the file leaves out, zeroed data at its end. */
static int check_program(const uint8_t *bytes, size_t length, unsigned *ret_machines,
                         struct error *error)
{
    struct loader_uki program;
    if (loader_uki_read(&program, bytes, length, error))
        return -EINVAL;
    if (!program.machines)
        return error_set(error, -EINVAL, "it is for a machine that we do not boot");
    *ret_machines = program.machines;
    return 0;
}

static int check_zboot(const uint8_t *bytes, size_t length, unsigned *ret_machines,
                       struct error *error)
{
    uint64_t end = (uint64_t)load_le32(bytes + ZBOOT_OFFSET) + load_le32(bytes + ZBOOT_BYTES);
    if (end > length)
        return error_set(error, -EINVAL, "%zu of its %llu bytes are there", length,
                         (unsigned long long)end);
    return check_program(bytes, length, ret_machines, error);
}

int loader_kernel_check(const uint8_t *bytes, size_t length, unsigned *ret_machines,
                        struct error *error)
{
    static const uint8_t gzip[] = {0x1f, 0x8b};
    static const char *const magics[] = {"ARM\x64", "RSC\x05"};
    if (is_x86(bytes, length))
        return check_x86(bytes, length, ret_machines, error);
    if (length < IMAGE_HEADER_END)
        return error_set(error, -EINVAL, "it is no kernel");
    if (!memcmp(bytes, gzip, sizeof gzip))
        return error_set(error, -EINVAL, "it is compressed, which no firmware starts");
    if (bytes[0] == 'M' && bytes[1] == 'Z' && !memcmp(bytes + ZBOOT_MAGIC, "zimg", 4))
        return check_zboot(bytes, length, ret_machines, error);
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
        if (!memcmp(bytes + IMAGE_MAGIC, magics[i], 4))
            return check_program(bytes, length, ret_machines, error);
    return error_set(error, -EINVAL, "it is no kernel");
}
