/* test_hex.c - bytes as hexadecimal digits */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/util/hex.h>

static void test_text(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x0f, 0xa0, 0xff};
    char text[HEX_TEXT_BYTES(sizeof bytes)];
    assert_string_equal(hex_text(text, bytes, sizeof bytes), "000fa0ff");
    assert_string_equal(hex_text(text, bytes, 0), "");
}

static void test_mac(void **state)
{
    (void)state;
    static const uint8_t mac[] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
    char text[HEX_MAC_BYTES];
    assert_string_equal(hex_mac(text, mac, '-'), "52-54-00-ab-cd-ef");
    assert_string_equal(hex_mac(text, mac, ':'), "52:54:00:ab:cd:ef");
    assert_int_equal(strlen(text), HEX_MAC_BYTES - 1);
}

static void test_uuid(void **state)
{
    (void)state;
    static const uint8_t uuid[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    char text[HEX_UUID_BYTES];
    assert_string_equal(hex_uuid(text, uuid), "00112233-4455-6677-8899-aabbccddeeff");
    assert_int_equal(strlen(text), HEX_UUID_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_mac),
        cmocka_unit_test(test_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
