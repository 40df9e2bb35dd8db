/* test_choices.c - what is remembered, and what an unattended boot takes */
#include <stdlib.h>

#include "fixture.h"

#include <netboot-target/boot/choices.h>

/* ── remembering ─────────────────────────────────────────────────────────────────────────────── */

static char *written(const struct boot_choices *choices)
{
    struct buffer out;
    buffer_init(&out, 1 << 20);
    boot_choices_write(&out, choices);
    assert_non_null(buffer_string(&out));
    return (char *)out.data;
}

static void assert_written(const struct boot_choices *choices, const char *text)
{
    char *now = written(choices);
    assert_string_equal(now, text);
    free(now);
}

static void test_keys(void **state)
{
    char key[BOOT_CLIENT_KEY_BYTES];
    struct boot_client client = client_of(MAC, UUID, NULL);
    (void)state;
    boot_client_key(&client, key);
    assert_string_equal(key, MAC);
    client = client_of(NULL, UUID, "serial");
    boot_client_key(&client, key);
    assert_string_equal(key, "00112233445566778899aabbccddeeff");
    client = client_of(NULL, NULL, "serial");
    boot_client_key(&client, key);
    assert_string_equal(key, "");
}

static void test_remembers_through_a_text(void **state)
{
    struct boot_choices *choices = boot_choices_new(NULL);
    (void)state;
    assert_null(boot_choices_get(choices, "01"));
    assert_true(boot_choices_set(choices, "01", "disk"));
    assert_true(boot_choices_set(choices, "02", "entry:debian"));
    assert_false(boot_choices_set(choices, "02", "entry:debian"));
    assert_true(boot_choices_set(choices, "01", "item:rescue")); /* the last one stands first */
    assert_false(boot_choices_set(choices, "", "disk"));
    assert_false(boot_choices_set(choices, "a b", "disk"));
    assert_false(boot_choices_set(choices, "03", "a\nb"));
    assert_written(choices, "01 item:rescue\n02 entry:debian\n");
    char *text = written(choices);
    boot_choices_free(choices);
    choices = boot_choices_new(text);
    assert_string_equal(boot_choices_get(choices, "02"), "entry:debian");
    assert_written(choices, text);
    boot_choices_free(choices);
    free(text);
}

static void test_leaves_out_what_it_cannot_read(void **state)
{
    struct boot_choices *choices = boot_choices_new("01\n\n02 disk disk\nxyz disk\n 03 disk\n"
                                                    "04 ${disk}\n05 disk\n05 entry:a\n06 entry:b");
    (void)state;
    assert_written(choices, "05 disk\n06 entry:b\n"); /* of two lines the first one counts */
    boot_choices_free(choices);
    choices = boot_choices_new("");
    assert_written(choices, "");
    boot_choices_free(choices);
}

static void test_is_bounded(void **state)
{
    struct boot_choices *choices = boot_choices_new(NULL);
    char key[16];
    (void)state;
    for (unsigned i = 0; i < BOOT_CHOICES_LIMIT + 10; i++) {
        snprintf(key, sizeof key, "%04x", i);
        assert_true(boot_choices_set(choices, key, "disk"));
    }
    assert_null(boot_choices_get(choices, "0009"));
    assert_non_null(boot_choices_get(choices, "000a"));
    assert_non_null(boot_choices_get(choices, key));
    boot_choices_free(choices);
}

/* ── what a catalog offers ───────────────────────────────────────────────────────────────────── */

enum { KERNEL_UNPREPARED, KERNEL_GOOD, KERNEL_LARGE, LOADER, TOOL, MBR, ENTRY_COUNT };

static const uint8_t bytes[1];
static struct boot_catalog_file files[] = {{.data = bytes}, {.data = bytes}, {.data = NULL}};
static char not_in_memory[] = "its files are not in memory", not_prepared[] = "not prepared";
static char windows[] = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi", shell[] = "\\EFI\\shell.efi";
static char with_blank[] = "\\EFI\\Arch Linux\\grubx64.efi", nothing[] = "";
static struct boot_entry entries[ENTRY_COUNT];
static const struct boot_catalog catalog = {
    .entries = entries, .entry_count = ENTRY_COUNT, .files = files, .file_count = 3};

static void begin(void)
{
    const unsigned pc = BOOT_MACHINE_BIOS | BOOT_MACHINE_X64;
    entries[KERNEL_UNPREPARED] = (struct boot_entry){
        .kind = BOOT_ENTRY_LINUX, .id = "new", .machines = pc, .problem = not_prepared};
    entries[KERNEL_GOOD] = (struct boot_entry){.kind = BOOT_ENTRY_LINUX,
                                               .id = "good",
                                               .machines = pc,
                                               .kernel = 0,
                                               .initrds = {1},
                                               .initrd_count = 1};
    entries[KERNEL_LARGE] = (struct boot_entry){.kind = BOOT_ENTRY_LINUX,
                                                .id = "large",
                                                .machines = pc,
                                                .initrds = {2},
                                                .initrd_count = 1,
                                                .problem = not_in_memory};
    entries[LOADER] = (struct boot_entry){.kind = BOOT_ENTRY_LOADER,
                                          .id = "windows",
                                          .machines = BOOT_MACHINE_X64,
                                          .loader = windows};
    entries[TOOL] = (struct boot_entry){.kind = BOOT_ENTRY_LOADER,
                                        .id = "shell",
                                        .machines = BOOT_MACHINE_X64,
                                        .loader = shell,
                                        .is_on_demand = true};
    entries[MBR] =
        (struct boot_entry){.kind = BOOT_ENTRY_MBR, .id = "mbr", .machines = BOOT_MACHINE_BIOS};
}

static void assert_default(const char *wanted, const struct boot_catalog *from, unsigned machine,
                           const char *expected)
{
    char choice[BOOT_CHOICE_BYTES];
    boot_choice_default(wanted, from, machine, choice);
    assert_string_equal(choice, expected);
}

static void test_the_default(void **state)
{
    (void)state;
    begin();
    assert_default("disk", &catalog, BOOT_MACHINE_BIOS, "disk");
    assert_default("kernel", &catalog, BOOT_MACHINE_BIOS, "entry:good");
    assert_default("kernel", &catalog, BOOT_MACHINE_ARM64, "disk");
    assert_default("kernel", &catalog, 0, "entry:good");
    assert_default("kernel", NULL, BOOT_MACHINE_BIOS, "disk");
    assert_default("entry:good", &catalog, BOOT_MACHINE_BIOS, "entry:good");
    assert_default("entry:new", &catalog, BOOT_MACHINE_BIOS, "disk");
    assert_default("entry:large", &catalog, BOOT_MACHINE_BIOS, "disk");
    assert_default("entry:gone", &catalog, BOOT_MACHINE_BIOS, "disk");
    assert_default("entry:windows", &catalog, BOOT_MACHINE_X64, "entry:windows");
    assert_default("entry:windows", &catalog, BOOT_MACHINE_BIOS, "disk");
    assert_default("item:rescue", NULL, BOOT_MACHINE_BIOS, "item:rescue");
}

/* Its own loader would start a system that cannot find its disk. */
static void test_a_disk_that_is_not_prepared_gives_way(void **state)
{
    (void)state;
    begin();
    entries[MBR].problem = not_prepared;
    assert_default("disk", &catalog, BOOT_MACHINE_BIOS, "entry:good");
    assert_default("disk", &catalog, BOOT_MACHINE_X64, "disk");
    entries[KERNEL_GOOD].problem = not_prepared;
    assert_default("disk", &catalog, BOOT_MACHINE_BIOS, "disk");
}

/* A UEFI shell that an entry names starts no system. */
static void test_a_tool_is_not_what_the_disk_starts(void **state)
{
    (void)state;
    begin();
    assert_true(boot_entry_starts_disk(&entries[LOADER], BOOT_MACHINE_X64));
    assert_false(boot_entry_starts_disk(&entries[LOADER], BOOT_MACHINE_BIOS));
    assert_true(boot_entry_starts_disk(&entries[MBR], BOOT_MACHINE_BIOS));
    assert_false(boot_entry_starts_disk(&entries[TOOL], BOOT_MACHINE_X64));
    assert_false(boot_entry_starts_disk(&entries[KERNEL_GOOD], BOOT_MACHINE_X64));
    entries[LOADER].problem = not_prepared;
    assert_default("disk", &catalog, BOOT_MACHINE_X64, "entry:good");
    assert_default("entry:shell", &catalog, BOOT_MACHINE_X64, "entry:shell");
}

static void test_what_is_whole(void **state)
{
    (void)state;
    begin();
    assert_true(boot_entry_is_whole(&catalog, &entries[KERNEL_GOOD]));
    assert_true(boot_entry_is_whole(&catalog, &entries[KERNEL_UNPREPARED]));
    assert_false(boot_entry_is_whole(&catalog, &entries[KERNEL_LARGE]));
    assert_true(boot_entry_is_whole(&catalog, &entries[LOADER]));
    assert_true(boot_entry_is_whole(&catalog, &entries[MBR]));
    entries[LOADER].loader = with_blank;
    assert_false(boot_entry_is_whole(&catalog, &entries[LOADER]));
    entries[LOADER].loader = nothing;
    assert_false(boot_entry_is_whole(&catalog, &entries[LOADER]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_remembers_through_a_text),
        cmocka_unit_test(test_leaves_out_what_it_cannot_read),
        cmocka_unit_test(test_is_bounded),
        cmocka_unit_test(test_the_default),
        cmocka_unit_test(test_a_disk_that_is_not_prepared_gives_way),
        cmocka_unit_test(test_a_tool_is_not_what_the_disk_starts),
        cmocka_unit_test(test_what_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
