/* test_images.c - unified images, kernels, boot loaders */
#include <errno.h>

#include "fixture.h"

static uint8_t image[65536];
static struct error why;

static const struct made_section uki_sections[] = {
    {".osrel",   "ID=fedora\nVERSION_ID=41\nPRETTY_NAME=\"Fedora Linux 41\"\n"},
    {".uname",   "6.11.4-301.fc41.x86_64"                                     },
    {".cmdline", "root=UUID=1 ro\n quiet\n"                                   },
    {".initrd",  "an initrd"                                                  },
    {".linux",   "a kernel"                                                   },
    {".cmdline", "of another profile"                                         },
};

static void test_uki(void **state)
{
    struct loader_uki uki;
    struct loader_entry entry;
    size_t length = make_program(image, sizeof image, 0x8664, uki_sections, 6);
    (void)state;
    assert_int_equal(loader_uki_read(&uki, image, length, &why), 0);
    assert_int_equal(uki.machines, BOOT_MACHINE_X64);
    assert_memory_equal(image + uki.kernel.offset, "a kernel", uki.kernel.bytes);
    assert_memory_equal(image + uki.initrd.offset, "an initrd", uki.initrd.bytes);
    assert_int_equal(uki.microcode.bytes, 0);
    assert_int_equal(loader_uki_entry(&entry, "fedora-41+3.efi", &uki, image, &why), 0);
    assert_string_equal(entry.id, "fedora-41");
    assert_string_equal(entry.title, "Fedora Linux 41");
    assert_string_equal(entry.version, "6.11.4-301.fc41.x86_64");
    assert_string_equal(entry.sort_key, "fedora");
    assert_string_equal(entry.options, "root=UUID=1 ro quiet");
    assert_int_equal(entry.tries_left, 3);
    loader_entry_done(&entry);
}

/* Without it the kernel would start with no words of its own. */
static void test_uki_with_a_long_command_line(void **state)
{
    static char words[BOOT_ENTRY_OPTIONS_BYTES + 1];
    const struct made_section sections[] = {
        {".cmdline", words     },
        {".linux",   "a kernel"},
    };
    struct loader_uki uki;
    struct loader_entry entry;
    (void)state;
    memset(words, 'w', sizeof words - 2);
    size_t length = make_program(image, sizeof image, 0x8664, sections, 2);
    assert_int_equal(loader_uki_read(&uki, image, length, &why), 0);
    assert_int_equal(loader_uki_entry(&entry, "x.efi", &uki, image, &why), 0);
    assert_string_equal(entry.options, words);
    loader_entry_done(&entry);
    words[sizeof words - 2] = 'w';
    length = make_program(image, sizeof image, 0x8664, sections, 2);
    assert_int_equal(loader_uki_read(&uki, image, length, &why), 0);
    assert_int_equal(loader_uki_entry(&entry, "x.efi", &uki, image, &why), -E2BIG);
}

static void test_what_is_no_uki(void **state)
{
    struct loader_uki uki;
    struct loader_entry entry;
    size_t length = make_program(image, sizeof image, 0x8664, uki_sections, 6);
    (void)state;
    /* wherever it is cut off, it is noticed */
    for (size_t cut = 0; cut < length; cut += 7) {
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, image, cut);
        assert_int_equal(loader_uki_read(&uki, exact, cut, &why), -EINVAL);
        free(exact);
    }
    image[0x3c] = 0xff;
    image[0x3f] = 0xff;
    assert_int_equal(loader_uki_read(&uki, image, length, &why), -EINVAL);
    length = make_program(image, sizeof image, 0xaa64, uki_sections, 4);
    assert_int_equal(loader_uki_read(&uki, image, length, &why), 0);
    assert_int_equal(uki.machines, BOOT_MACHINE_ARM64);
    assert_int_equal(loader_uki_entry(&entry, "x.efi", &uki, image, &why), -EINVAL);
}

static size_t make_x86(unsigned setup, uint32_t paragraphs)
{
    static const struct made_section text = {".text", "code"};
    make_program(image, sizeof image, 0x8664, &text, 1);
    image[0x1f1] = (uint8_t)setup;
    store_le32(image + 0x1f4, paragraphs);
    image[0x1fe] = 0x55;
    image[0x1ff] = 0xaa;
    memcpy(image + 0x202, "HdrS\x0f\x02", 6);
    image[0x211] = 1;
    image[0x236] = 1;
    return (setup + 1) * 512 + 16 * paragraphs;
}

static void test_x86_kernel(void **state)
{
    unsigned machines = 0;
    size_t length = make_x86(3, 1000);
    (void)state;
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), 0);
    assert_int_equal(machines, BOOT_MACHINE_BIOS | BOOT_MACHINE_X64);
    assert_int_equal(loader_kernel_check(image, length + 100, &machines, &why),
                     0); /* a signature */
    assert_int_equal(loader_kernel_check(image, length - 1, &machines, &why), -EINVAL);
    assert_non_null(strstr(why.text, "bytes are there"));
    image[0x211] = 0;
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), -EINVAL);
    length = make_x86(3, 1000);
    memset(image, 0, 2); /* no program for UEFI */
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), 0);
    assert_int_equal(machines, BOOT_MACHINE_BIOS);
    make_x86(3, UINT32_MAX);
    assert_int_equal(loader_kernel_check(image, sizeof image, &machines, &why), -EINVAL);
}

static void test_other_kernels(void **state)
{
    static const struct made_section text = {".text", "code"};
    static const uint8_t zeros[100];
    unsigned machines = 0;
    size_t length = make_program(image, sizeof image, 0xaa64, &text, 1);
    (void)state;
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), -EINVAL);
    memcpy(image + 56, "ARM\x64", 4);
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), 0);
    assert_int_equal(machines, BOOT_MACHINE_ARM64);
    assert_int_equal(loader_kernel_check(image, length - 1, &machines, &why), -EINVAL);
    memset(image + 56, 0, 4);
    memcpy(image + 4, "zimg", 4);
    store_le32(image + 8, 0x400);
    store_le32(image + 12, 512);
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), 0);
    store_le32(image + 12, 513);
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), -EINVAL);
    memcpy(image, "\x1f\x8b", 2);
    assert_int_equal(loader_kernel_check(image, length, &machines, &why), -EINVAL);
    assert_non_null(strstr(why.text, "compressed"));
    assert_int_equal(loader_kernel_check(zeros, sizeof zeros, &machines, &why), -EINVAL);
    assert_int_equal(loader_kernel_check(zeros, 0, &machines, &why), -EINVAL);
}

static void test_programs(void **state)
{
    static const struct {
        const char *folder, *file, *title;
    } rows[] = {
        {"microsoft/boot", "bootmgfw.efi", "Windows Boot Manager"},
        {"debian",         "SHIMX64.EFI",  "%s (shim)"           },
        {"fedora",         "grubaa64.efi", "%s (GRUB)"           },
        {"BOOT",           "BOOTX64.EFI",  "the disk's default"  },
        {"FreeBSD",        "loader.efi",   "FreeBSD"             },
        {"debian",         "mmx64.efi",    NULL                  },
        {"boot",           "grubx64.efi",  NULL                  },
        {"debian",         "fbx64.efi",    NULL                  },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct loader_program *program = loader_program_find(rows[i].folder, rows[i].file);
        assert_text(program ? program->title : NULL, rows[i].title);
    }
    assert_true(loader_program_find("debian", "shimx64.efi")->starts_linux);
    assert_false(loader_program_find("microsoft/boot", "bootmgfw.efi")->starts_linux);
    assert_true(loader_program_rank(loader_program_find("debian", "shimx64.efi")) <
                loader_program_rank(loader_program_find("debian", "grubx64.efi")));
}

static void test_boot_code(void **state)
{
    uint8_t sector[512] = {0};
    (void)state;
    sector[510] = 0x55;
    sector[511] = 0xaa;
    bool starts_linux = false;
    assert_null(loader_boot_code(sector, &starts_linux)); /* a partition table alone */
    memcpy(sector + 0x180, "GRUB ", 5);
    assert_string_equal(loader_boot_code(sector, &starts_linux), "GRUB");
    assert_true(starts_linux);
    memcpy(sector + 0x180, "\x33\xc0zzz", 5);
    assert_string_equal(loader_boot_code(sector, &starts_linux), "boot code");
    assert_false(starts_linux);
    sector[511] = 0;
    assert_null(loader_boot_code(sector, &starts_linux));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uki),
        cmocka_unit_test(test_uki_with_a_long_command_line),
        cmocka_unit_test(test_what_is_no_uki),
        cmocka_unit_test(test_x86_kernel),
        cmocka_unit_test(test_other_kernels),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_boot_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
