/* test_strings.c - names, paths, devices, iSCSI names. */
#include "helper.h"

#include "config/internal.h"

/* Parses `text` as `type`; `wanted` NULL: it must be refused. */
static void check(const struct value_type *type, const char *text, const char *wanted)
{
    struct key key = {.name = "k", .type = type, .minimum = 1, .maximum = 64};
    struct error why = {""};
    char *value = NULL;
    struct value_input input = {.key = &key, .text = text};
    int result = type->parse(&input, &value, &why);
    if ((result == 0) != (wanted != NULL))
        fprintf(stderr, "\"%s\": %s\n", text, why.text);
    assert_int_equal(result == 0, wanted != NULL);
    if (wanted)
        assert_string_equal(value, wanted);
    else
        assert_null(value);
    type->done(&value);
}

static void same(const struct value_type *type, const char *text)
{
    check(type, text, text);
}

static void bad(const struct value_type *type, const char *text)
{
    check(type, text, NULL);
}

static void iscsi_names(void **state)
{
    char longest[225] = "iqn.2026-11.local.example:";
    (void)state;
    same(&value_iqn, "iqn.2026-11.local.example:disk");
    same(&value_iqn, "iqn.2026-11.local.example");
    check(&value_iqn, "IQN.2026-11.Local.Example:DISK", "iqn.2026-11.local.example:disk");
    same(&value_iqn, "eui.0123456789abcdef");
    same(&value_iqn, "naa.0123456789abcdef");
    same(&value_iqn, "naa.0123456789abcdef0123456789abcdef");
    memset(longest + strlen(longest), 'x', 223 - strlen(longest));
    same(&value_iqn, longest);
    longest[223] = 'x';
    bad(&value_iqn, longest);
    static const char *const refused[] = {"",
                                          "iqn",
                                          "iqn.",
                                          "iqn.2026-11",
                                          "iqn.2026-11.",
                                          "iqn.2026-11.:x",
                                          "iqn.26-11.local",
                                          "iqn.2026-11.local example",
                                          "iqn.2026-11.local_example",
                                          "iqn.2026-11.local:a/b",
                                          "eui.0123456789abcde",
                                          "eui.0123456789abcdefg",
                                          "eui.0123456789abcdef0",
                                          "naa.12",
                                          "naa.0123456789abcdef0",
                                          "laptop",
                                          "iqn.2026-11.local.*",
                                          NULL};
    for (const char *const *text = refused; *text; text++)
        bad(&value_iqn, *text);
}

static void patterns(void **state)
{
    (void)state;
    check(&value_pattern, "iqn.2010-04.org.iPXE:*", "iqn.2010-04.org.ipxe:*");
    same(&value_pattern, "*");
    same(&value_pattern, "iqn.20*-??.local");
    bad(&value_pattern, "");
    bad(&value_pattern, "a b");
    bad(&value_pattern, "[a-z]");
}

static void initiators(void **state)
{
    (void)state;
    same(&value_initiator, "iqn.2026-11.local.example:%m");
    same(&value_initiator, "iqn.2026-11.local.example:desk");
    bad(&value_initiator, "iqn.2026-11.local.example:%s");
    bad(&value_initiator, "%m");
    bad(&value_initiator, "iqn.2026-11.local.example:%");
    char longest[240] = "iqn.2026-11.local.example:";
    memset(longest + strlen(longest), 'x', 222 - strlen(longest));
    strcat(longest, "%m");
    bad(&value_initiator, longest);
}

static void devices(void **state)
{
    (void)state;
    same(&value_device, "/dev/sda");
    same(&value_device, "/srv/clients/%m.img");
    same(&value_device, "UUID=1234-ABCD");
    same(&value_device, "LABEL=my disk");
    check(&value_device, "//dev//disk/./by-id/x", "/dev/disk/by-id/x");
    bad(&value_device, "sda");
    bad(&value_device, "");
    bad(&value_device, "UUID=");
    bad(&value_device, "uuid=1234");
    bad(&value_device, "/srv/%s.img");
    bad(&value_device, "/srv/%");
    bad(&value_device, "/dev/sd\na");
    same(&value_tag, "PARTLABEL=root");
    bad(&value_tag, "/dev/sda");
}

static void file_names(void **state)
{
    (void)state;
    same(&value_boot_file, "snponly.efi");
    same(&value_boot_file, "arm64/snponly.efi");
    same(&value_boot_file, "a..b");
    bad(&value_boot_file, "/etc/passwd");
    bad(&value_boot_file, "../x");
    bad(&value_boot_file, "a/../b");
    bad(&value_boot_file, "a/..");
    bad(&value_boot_file, "..");
    bad(&value_boot_file, "a b");
    same(&value_path, "/var/lib/x y");
    bad(&value_path, "var");
    bad(&value_path, "");
}

static void names(void **state)
{
    (void)state;
    same(&value_name, "laptop-1.a_B");
    bad(&value_name, "");
    bad(&value_name, ".hidden");
    bad(&value_name, "a/b");
    bad(&value_name, "a b");
    bad(&value_name, "ü");
    bad(&value_name, "0123456789012345678901234567890123456789012345678901234567890123x");
    same(&value_interface, "eth0.100");
    same(&value_interface, "enp0s31f6");
    bad(&value_interface, "");
    bad(&value_interface, ".");
    bad(&value_interface, "a/b");
    bad(&value_interface, "a:1");
    bad(&value_interface, "sixteencharacter");
    same(&value_string, "Büro");
    bad(&value_string, "a\tb");
    bad(&value_ascii, "Büro");
    same(&value_iqn_prefix, "iqn.2026-11.local.example");
    bad(&value_iqn_prefix, "eui.0123456789abcdef");
}

static void comparison(void **state)
{
    char a[] = "a", again[] = "a";
    char *one = a, *two = again, *three = NULL;
    (void)state;
    assert_true(value_string.same(&one, &two));
    assert_false(value_string.same(&one, &three));
    assert_true(value_string.same(&three, &three));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iscsi_names), cmocka_unit_test(patterns),   cmocka_unit_test(initiators),
        cmocka_unit_test(devices),     cmocka_unit_test(file_names), cmocka_unit_test(names),
        cmocka_unit_test(comparison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
