/* test_grub_cfg.c - the kernel lines of a grub.cfg */
#include "fixture.h"

/* As Debian 12's grub-mkconfig writes it, shortened. */
static const char debian[] =
    "### BEGIN /etc/grub.d/10_linux ###\n"
    "menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {\n"
    "\tload_video\n"
    "\techo\t'Loading Linux 6.1.0-13-amd64 ...'\n"
    "\tlinux\t/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1-2 ro  quiet $extra\n"
    "\techo\t'Loading initial ramdisk ...'\n"
    "\tinitrd\t/boot/early.img /boot/initrd.img-6.1.0-13-amd64\n"
    "}\n"
    "submenu 'Advanced options for Debian GNU/Linux' {\n"
    "\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-13-amd64 (recovery mode)' {\n"
    "\t\tlinux\t/boot/vmlinuz-6.1.0-13-amd64 root=UUID=1-2 ro single\n"
    "\t\tinitrd\t/boot/initrd.img-6.1.0-13-amd64\n"
    "\t}\n"
    "\tmenuentry 'rescue first' {\n"
    "\t\tlinux\t/boot/vmlinuz-6.1.0-9-amd64 ro single\n"
    "\t\tinitrd\t/boot/wrong\n"
    "\t}\n"
    "\tmenuentry \"Debian, with Linux 6.1.0-9-amd64\" {\n"
    "\t\tlinuxefi ($root)/boot/vmlinuz-6.1.0-9-amd64 root=UUID=1-2 'a=b c' acpi_osi=\"!Windows "
    "2012\" # end\n"
    "\t\tinitrdefi ($root)/boot/initrd.img-6.1.0-9-amd64\n"
    "\t}\n"
    "}\n";

static void test_debian(void **state)
{
    static const struct {
        const char *name, *title, *options;
        const char *initrds[2];
        unsigned initrd_count;
    } rows[] = {
        {"vmlinuz-6.1.0-13-amd64",
         "Debian GNU/Linux",                 "root=UUID=1-2 ro quiet on",
         {"/boot/early.img", "/boot/initrd.img-6.1.0-13-amd64"},
         2},
        {"vmlinuz-6.1.0-9-amd64",
         "Debian, with Linux 6.1.0-9-amd64", "root=UUID=1-2 \"a=b c\" \"acpi_osi=!Windows 2012\"",
         {"()/boot/initrd.img-6.1.0-9-amd64"},
         1},
    };
    struct loader_variables *variables = loader_variables_new();
    struct loader_entry entry;
    (void)state;
    loader_variables_read_grub_cfg(variables, TEXT("set extra=on\n"));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_true(loader_grub_cfg_find(&entry, TEXT(debian), rows[i].name, variables));
        assert_string_equal(entry.title, rows[i].title);
        assert_string_equal(entry.options, rows[i].options);
        assert_int_equal(entry.initrd_count, rows[i].initrd_count);
        for (unsigned j = 0; j < entry.initrd_count; j++)
            assert_string_equal(entry.initrds[j], rows[i].initrds[j]);
        loader_entry_done(&entry);
    }
    assert_false(loader_grub_cfg_find(&entry, TEXT(debian), "vmlinuz-6.1.0-1-amd64", variables));
    assert_false(loader_grub_cfg_find(&entry, TEXT(""), "vmlinuz", variables));
    loader_variables_free(variables);
}

/* The program's own entry starts the system's kernel with other words. */
static void test_own_entries_are_none(void **state)
{
    static const char ours[] = "menuentry 'Serve this disk' {\n"
                               " linux /boot/vmlinuz-1 root=LABEL=x boot=netboot-target\n"
                               " initrd /boot/initrd.img-1\n}\n";
    static const char both[] = "menuentry 'Serve this disk' {\n"
                               " linux /boot/vmlinuz-1 root=LABEL=x ro\n"
                               " initrd /boot/initrd.img-netboot-target\n}\n"
                               "menuentry 'System' {\n linux /boot/vmlinuz-1 root=LABEL=x quiet\n"
                               " initrd /boot/initrd.img-1\n}\n";
    struct loader_variables *variables = loader_variables_new();
    struct loader_entry entry;
    (void)state;
    assert_false(loader_grub_cfg_find(&entry, TEXT(ours), "vmlinuz-1", variables));
    assert_true(loader_grub_cfg_find(&entry, TEXT(both), "vmlinuz-1", variables));
    assert_string_equal(entry.title, "System");
    assert_string_equal(entry.options, "root=LABEL=x quiet");
    assert_int_equal(entry.initrd_count, 1);
    assert_int_equal(entry.tries_left, -1);
    loader_entry_done(&entry);
    loader_variables_free(variables);
}

/* A kernel is started with all its initrds or not at all. */
static void test_too_many_initrds_are_no_entry(void **state)
{
    char text[1024] = "linux /vmlinuz-1 root=LABEL=x\ninitrd";
    struct loader_variables *variables = loader_variables_new();
    struct loader_entry entry;
    (void)state;
    for (unsigned i = 0; i < BOOT_ENTRY_INITRDS_LIMIT; i++)
        strcat(text, " /i");
    assert_true(loader_grub_cfg_find(&entry, text, strlen(text), "vmlinuz-1", variables));
    assert_int_equal(entry.initrd_count, BOOT_ENTRY_INITRDS_LIMIT);
    loader_entry_done(&entry);
    strcat(text, " /i");
    assert_false(loader_grub_cfg_find(&entry, text, strlen(text), "vmlinuz-1", variables));
    loader_variables_free(variables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_debian),
                                       cmocka_unit_test(test_own_entries_are_none),
                                       cmocka_unit_test(test_too_many_initrds_are_no_entry)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
