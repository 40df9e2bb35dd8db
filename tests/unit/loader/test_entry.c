/* test_entry.c - type 1 entries, and their order */
#include <errno.h>

#include "fixture.h"

static struct loader_variables *variables_of(const char *grub_cfg, const char *environment)
{
    struct loader_variables *variables = loader_variables_new();
    if (grub_cfg)
        loader_variables_read_grub_cfg(variables, TEXT(grub_cfg));
    if (environment)
        assert_true(loader_variables_read_environment(variables, TEXT(environment)));
    return variables;
}

/* As Fedora 41 with TuneD writes it: several initrds on a line, variables that are never set. */
static void test_fedora(void **state)
{
    static const char text[] = "# a comment\n"
                               "title Fedora Linux (6.11.4-301.fc41.x86_64) 41 (Workstation)\r\n"
                               "version 6.11.4-301.fc41.x86_64\n"
                               "machine-id 0123456789abcdef0123456789abcdef\n"
                               "linux /vmlinuz-6.11.4-301.fc41.x86_64\n"
                               "initrd /initramfs-6.11.4-301.fc41.x86_64.img $tuned_initrd\n"
                               "options $kernelopts $tuned_params\n"
                               "options  rhgb   quiet\n"
                               "grub_users $grub_users\n"
                               "grub_class fedora";
    struct loader_variables *variables =
        variables_of("if x; then\n  set tuned_params=\"isolcpus=1 nohz=on\"\nfi\n"
                     "set kernelopts=\"root=UUID=old\"\n",
                     "# GRUB Environment Block\n# WARNING\nsaved_entry=x\n"
                     "kernelopts=root=UUID=new ro rootflags=subvol=root \n####");
    struct loader_entry entry;
    (void)state;
    assert_int_equal(
        loader_entry_parse(&entry, "0123456789abcdef0123456789abcdef-6.11.4-301.fc41.x86_64.conf",
                           TEXT(text), variables),
        0);
    assert_string_equal(entry.id, "0123456789abcdef0123456789abcdef-6.11.4-301.fc41.x86_64");
    assert_string_equal(entry.title, "Fedora Linux (6.11.4-301.fc41.x86_64) 41 (Workstation)");
    assert_string_equal(entry.version, "6.11.4-301.fc41.x86_64");
    assert_string_equal(entry.machine_id, "0123456789abcdef0123456789abcdef");
    assert_string_equal(entry.kernel, "/vmlinuz-6.11.4-301.fc41.x86_64");
    assert_int_equal(entry.initrd_count, 1);
    assert_string_equal(entry.initrds[0], "/initramfs-6.11.4-301.fc41.x86_64.img");
    assert_string_equal(entry.options, "root=UUID=new ro rootflags=subvol=root  isolcpus=1 nohz=on "
                                       "rhgb   quiet");
    assert_int_equal(entry.tries_left, -1);
    loader_entry_done(&entry);
    loader_variables_free(variables);
}

static void test_several_initrds(void **state)
{
    static const char text[] = "title T\nlinux /l\ninitrd /ucode /one\ninitrd\t/two\n"
                               "initrd /3 /4 /5 /6 /7\nsort-key arch\n";
    struct loader_variables *variables = loader_variables_new();
    struct loader_entry entry;
    (void)state;
    assert_int_equal(loader_entry_parse(&entry, "a+3-0.conf", TEXT(text), variables), 0);
    assert_int_equal(entry.initrd_count, BOOT_ENTRY_INITRDS_LIMIT);
    assert_string_equal(entry.initrds[2], "/two");
    assert_string_equal(entry.sort_key, "arch");
    assert_string_equal(entry.options, "");
    assert_string_equal(entry.id, "a");
    assert_int_equal(entry.tries_left, 3);
    loader_entry_done(&entry);
    loader_variables_free(variables);
}

/* Half of it would start, and then find no root. */
static void test_what_is_too_long(void **state)
{
    static const char nine[] = "linux /l\ninitrd /1 /2 /3 /4 /5 /6 /7 /8 /9\n";
    const size_t each = 8191;
    struct loader_variables *variables = loader_variables_new();
    struct loader_entry entry;
    (void)state;
    assert_int_equal(loader_entry_parse(&entry, "a.conf", TEXT(nine), variables), -EINVAL);
    static const char *const keys[] = {"initrd", "options", "linux"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        char *text = malloc(each + 64);
        int length = sprintf(text, "linux /l\n%s /", keys[i]);
        memset(text + length, 'x', each);
        text[(size_t)length + each] = '\n';
        assert_int_equal(
            loader_entry_parse(&entry, "a.conf", text, (size_t)length + each + 1, variables),
            -EINVAL);
        free(text);
    }
    loader_variables_free(variables);
}

static void test_what_is_no_entry(void **state)
{
    struct loader_variables *variables = loader_variables_new();
    struct loader_entry entry;
    (void)state;
    assert_int_equal(loader_entry_parse(&entry, "a.conf", TEXT("title T\n"), variables), -EINVAL);
    assert_int_equal(loader_entry_parse(&entry, "a.conf", TEXT(""), variables), -EINVAL);
    assert_int_equal(loader_entry_parse(&entry, "a.conf.rpmsave", TEXT("linux /l\n"), variables),
                     -EINVAL);
    assert_int_equal(loader_entry_parse(&entry, ".conf", TEXT("linux /l\n"), variables), -EINVAL);
    assert_int_equal(loader_entry_parse(&entry, "a.conf", TEXT("efi /EFI/x.efi"), variables), 0);
    assert_string_equal(entry.efi, "/EFI/x.efi");
    loader_entry_done(&entry);
    loader_variables_free(variables);
}

static void test_boot_counting(void **state)
{
    static const struct {
        const char *file, *id;
        int tries_left;
    } rows[] = {
        {"a.conf",                "a",                -1},
        {"a+3.conf",              "a",                3 },
        {"a+0-3.conf",            "a",                0 },
        {"a+2-1.conf",            "a",                2 },
        {"a+b.conf",              "a+b",              -1},
        {"a+2-x.conf",            "a+2-x",            -1},
        {"gtk++1-2.conf",         "gtk+",             1 },
        {"a+99999999999999.conf", "a+99999999999999", -1},
        {"A.CONF",                "A",                -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int tries_left = -7;
        char *id = loader_entry_id(rows[i].file, ".conf", &tries_left);
        assert_string_equal(id, rows[i].id);
        assert_int_equal(tries_left, rows[i].tries_left);
        free(id);
    }
}

/* The examples of the UAPI version format specification, and of kernels. */
static void test_versions(void **state)
{
    static const struct {
        const char *one, *two;
        int order;
    } rows[] = {
        {"11",                  "11",             0 },
        {"systemd-123",         "systemd-123",    0 },
        {"bar-123",             "foo-123",        -1},
        {"123a",                "123",            1 },
        {"123.a",               "123",            1 },
        {"123.a",               "123.b",          -1},
        {"123a",                "123.a",          1 },
        {"11\xce\xb1",          "11\xce\xb2",     0 },
        {"A",                   "a",              -1},
        {"",                    "0",              -1},
        {"0.",                  "0",              1 },
        {"0.0",                 "0",              1 },
        {"0",                   "~",              1 },
        {"",                    "~",              1 },
        {"1_",                  "1",              0 },
        {"_1",                  "1",              0 },
        {"1_",                  "1.2",            -1},
        {"1_2_3",               "1.3.3",          1 },
        {"1+",                  "1",              0 },
        {"122.1",               "123~rc1-1",      -1},
        {"123~rc1-1",           "123",            -1},
        {"123",                 "123-a",          -1},
        {"123-a",               "123-a.1",        -1},
        {"123-a.1",             "123-1",          -1},
        {"123-1",               "123-1.1",        -1},
        {"123-1.1",             "123^post1",      -1},
        {"123^post1",           "123.a-1",        -1},
        {"123.a-1",             "123.1-1",        -1},
        {"123.1-1",             "123a-1",         -1},
        {"123a-1",              "124-1",          -1},
        {"6.1.0-9-amd64",       "6.1.0-13-amd64", -1},
        {"6.12.0",              "6.2.0",          1 },
        {"0-rescue-0123456789", "5.14.0-1.el9",   -1},
        {"007",                 "7",              0 },
        {"6.5.0-rc1",           "6.5.0",          1 },
        {"6.5.0~rc1",           "6.5.0",          -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(loader_version_compare(rows[i].one, rows[i].two), rows[i].order);
        assert_int_equal(loader_version_compare(rows[i].two, rows[i].one), -rows[i].order);
    }
}

#define ENTRY(...)                    \
    (struct loader_entry)             \
    {                                 \
        .tries_left = -1, __VA_ARGS__ \
    }

/* Each row comes before the next. */
static void test_order(void **state)
{
    const struct loader_entry rows[] = {
        ENTRY(.sort_key = (char *)"arch", .version = (char *)"6.2", .id = (char *)"a"),
        ENTRY(.sort_key = (char *)"debian", .machine_id = (char *)"1", .version = (char *)"1"),
        ENTRY(.sort_key = (char *)"debian", .machine_id = (char *)"2", .version = (char *)"10"),
        ENTRY(.sort_key = (char *)"debian", .machine_id = (char *)"2", .version = (char *)"9"),
        ENTRY(.version = (char *)"6.1.0-13", .id = (char *)"x"),
        ENTRY(.version = (char *)"6.1.0-9", .id = (char *)"y"),
        ENTRY(.id = (char *)"ostree-2"),
        ENTRY(.id = (char *)"ostree-1"),
        {.tries_left = 0, .sort_key = (char *)"arch", .version = (char *)"7"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
            int order = loader_entry_compare(&rows[i], &rows[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void test_our_own(void **state)
{
    const struct loader_entry ours[] = {
        ENTRY(.id = (char *)"netboot-target-6.1"),
        ENTRY(.options = (char *)"ro rd.systemd.unit=netboot-target.target"),
        ENTRY(.options = (char *)"boot=netboot_target quiet"),
        ENTRY(.initrds = {(char *)"/initramfs-netboot-target-6.1.img"}, .initrd_count = 1),
    };
    const struct loader_entry other =
        ENTRY(.id = (char *)"debian",
              .options = (char *)"iscsi_target_name=iqn.2026-11.local.netboot-target:1");
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        assert_true(loader_entry_is_ours(&ours[i]));
    assert_false(loader_entry_is_ours(&other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fedora),
        cmocka_unit_test(test_several_initrds),
        cmocka_unit_test(test_what_is_too_long),
        cmocka_unit_test(test_what_is_no_entry),
        cmocka_unit_test(test_boot_counting),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
