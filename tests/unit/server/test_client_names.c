/* test_client_names.c - what targets of single clients are called: whole names, and each its own */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/internal.h"

static void test_plain_serials_stay(void **state)
{
    (void)state;
    char key[CLIENT_KEY_BYTES];
    client_key_of_serial("PF0_ABC-de", key);
    assert_string_equal(key, "PF0_ABC-de");
    client_key_of_serial("123456789012345678901234567890123456", key);
    assert_string_equal(key, "123456789012345678901234567890123456");
}

/* Two machines whose numbers are alike at the beginning, or but for a sign that no file name has.
 */
static void test_serials_alike_have_their_own_keys(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"VMware-56 4d 12 34 56 78 9a bc-de f0 12 34 56 78 9a bc",
         "VMware-56 4d 12 34 56 78 9a bc-de f0 12 34 56 78 9a bd"                                         },
        {"1234567890123456789012345678901234567",                  "1234567890123456789012345678901234568"},
        {"AB/1",                                                   "AB.1"                                 },
        {"AB 1",                                                   "AB_1"                                 },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char one[CLIENT_KEY_BYTES], other[CLIENT_KEY_BYTES], again[CLIENT_KEY_BYTES];
        client_key_of_serial(pairs[i][0], one);
        client_key_of_serial(pairs[i][1], other);
        client_key_of_serial(pairs[i][0], again);
        assert_string_not_equal(one, other);
        assert_string_equal(one, again);
        assert_int_equal(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
                         strlen(one));
    }
}

static void test_iqn_has_the_whole_key(void **state)
{
    (void)state;
    char long_name[ISCSI_NAME_BYTES], iqn[ISCSI_NAME_BYTES] = "as it was";
    struct error error;
    struct config_target config = {.iqn = (char[]){"iqn.2026-01.example:a"}};
    struct served_target target = {.config = &config, .key = "52-54-00-ab-cd-ef"};
    assert_int_equal(identity_make_iqn(&target, iqn, &error), 0);
    assert_string_equal(iqn, "iqn.2026-01.example:a.52-54-00-ab-cd-ef");
    snprintf(target.key, sizeof target.key, "PF_7");
    assert_int_equal(identity_make_iqn(&target, iqn, &error), 0);
    assert_string_equal(iqn, "iqn.2026-01.example:a.pf-7");
    memset(long_name, 'a', sizeof long_name);
    memcpy(long_name, "iqn.2026-01.example:", 20);
    long_name[sizeof long_name - 1] = '\0';
    config.iqn = long_name;
    assert_int_equal(identity_make_iqn(&target, iqn, &error), -ENAMETOOLONG);
    assert_string_equal(iqn, "iqn.2026-01.example:a.pf-7");
    assert_non_null(strstr(error.text, "228 characters"));
    target.key[0] = '\0';
    assert_int_equal(identity_make_iqn(&target, iqn, &error), 0);
    assert_string_equal(iqn, long_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_serials_stay),
        cmocka_unit_test(test_serials_alike_have_their_own_keys),
        cmocka_unit_test(test_iqn_has_the_whole_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
