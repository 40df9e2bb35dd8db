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

/* Copies of one image, of two clients whose MACs differ: not two paths to one disk. */
static void test_images_have_their_own_designators(void **state)
{
    (void)state;
    struct config_lun config = {
        .vendor = (char[]){"V"}, .product = (char[]){"P"}, .revision = (char[]){"1"}};
    struct served_target target = {.key = "52-54-00-00-00-01"};
    struct served_lun one = {
        .target = &target, .config = &config, .identity = {0x7a, [15] = 1}
    };
    struct served_lun other = one;
    struct scsi_lu_options of_one = {0}, of_other = {0}, again = {0};
    other.identity[15] = 2;
    identity_fill_options(&one, &of_one);
    identity_fill_options(&other, &of_other);
    identity_fill_options(&one, &again);
    assert_int_equal(of_one.naa_bytes, 8);
    assert_int_equal(of_one.naa[0] >> 4, 3);
    assert_memory_equal(of_one.naa, again.naa, 8);
    assert_memory_not_equal(of_one.naa, of_other.naa, 8);
    assert_string_not_equal(of_one.serial, of_other.serial);
    assert_string_not_equal(of_one.store_name, of_other.store_name);
    target.key[0] = '\0'; /* everybody's disk: its identity itself */
    identity_fill_options(&one, &of_one);
    assert_int_equal(of_one.naa[0], 0x3a);
    assert_memory_equal(of_one.naa + 1, one.identity + 1, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_serials_stay),
        cmocka_unit_test(test_serials_alike_have_their_own_keys),
        cmocka_unit_test(test_iqn_has_the_whole_key),
        cmocka_unit_test(test_images_have_their_own_designators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
