/* test_words.c - values that could be commands */
#include "boot/words.h"
#include "fixture.h"

static struct script made;

static const char *text_of(const char *text)
{
    boot_put_text(script_begin(&made), text);
    return script_end(&made);
}

static const char *setting_of(const char *value)
{
    boot_put_setting(script_begin(&made), "password", value);
    return script_end(&made);
}

static void test_text_holds_no_command(void **state)
{
    (void)state;
    assert_string_equal(text_of("PF 0ABCDE"), "PF 0ABCDE");
    assert_string_equal(text_of("${password}"), "?{password}");
    assert_string_equal(text_of("a && b || c ; d #e"), "a ?? b ?? c ? d ?e");
    assert_string_equal(text_of("line\nset x"), "line?set x");
    assert_string_equal(text_of("joins \\"), "joins ?");
    assert_string_equal(text_of("\x1b[2J\x7f\xc3\xa4"), "?[2J???");
}

/* Whatever the byte, what stands in the script is digits, letters and percent signs. */
static void test_settings_hold_any_byte(void **state)
{
    char all[256];
    (void)state;
    for (unsigned i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = '\0';
    const char *line = setting_of(all);
    assert_int_equal(strncmp(line, "set password:uristring ", 23), 0);
    line += 23;
    assert_int_equal(strspn(line, "%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz"),
                     strlen(line) - 1);
    assert_string_equal(setting_of("aZ9"), "set password:uristring aZ9\n");
    assert_string_equal(setting_of("-a ${b}\\\xff"),
                        "set password:uristring %2Da%20%24%7Bb%7D%5C%FF\n");
}

static void test_names(void **state)
{
    static const char *const good[] = {"iqn.2026-11.local.x:disk_1", "192.168.200.1", "fd00::1"};
    static const char *const bad[] = {"",   "-n", "a b", "a\nb", "a${b}",   "a;b",
                                      "#a", "||", "&&",  "a\\",  "\xc3\xa4"};
    char long_name[BOOT_INITIATOR_BYTES + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(boot_word_is_name(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(boot_word_is_name(bad[i]));
    memset(long_name, 'a', sizeof long_name);
    long_name[BOOT_INITIATOR_BYTES] = '\0';
    assert_false(boot_word_is_name(long_name));
    long_name[BOOT_INITIATOR_BYTES - 1] = '\0';
    assert_true(boot_word_is_name(long_name));
}

static void test_paths(void **state)
{
    (void)state;
    assert_true(boot_word_is_path("\\EFI\\BOOT\\BOOTX64.EFI"));
    assert_true(boot_word_is_path("/efi/boot.efi"));
    assert_false(boot_word_is_path("\\EFI\\"));
    assert_false(boot_word_is_path("\\EFI\\${x}.efi"));
    assert_false(boot_word_is_path("\\EFI\\my os.efi"));
}

static void test_hosts(void **state)
{
    (void)state;
    boot_put_host(script_begin(&made), "fd00::1");
    assert_string_equal(script_end(&made), "[fd00::1]");
    boot_put_host(script_begin(&made), "192.168.200.1");
    assert_string_equal(script_end(&made), "192.168.200.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_holds_no_command),
        cmocka_unit_test(test_settings_hold_any_byte),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
