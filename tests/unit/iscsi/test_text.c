/* test_text.c - key=value texts: every form, every bound, every way to be malformed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/text.h"
#include <netboot-target/util/array.h>

/* Reads from memory of exactly this size, so that the sanitizer sees any step beyond. */
static int read_all(const void *text, size_t length, unsigned *ret_pairs, struct error *error)
{
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    struct iscsi_text_reader reader;
    struct iscsi_text_pair pair;
    int result;
    *ret_pairs = 0;
    iscsi_text_reader_init(&reader, copy, length);
    while ((result = iscsi_text_read(&reader, &pair, error)) > 0) {
        assert_int_equal(strlen(pair.value), pair.value_length);
        ++*ret_pairs;
    }
    free(copy);
    return result;
}

static void test_pairs(void **state)
{
    (void)state;
    static const char text[] = "Key=value\0Empty=\0With=equals=and spaces\0X#Node.Arch-1_2@+=1";
    struct iscsi_text_reader reader;
    struct iscsi_text_pair pair;
    static const char *const expected[][2] = {
        {"Key",               "value"            },
        {"Empty",             ""                 },
        {"With",              "equals=and spaces"},
        {"X#Node.Arch-1_2@+", "1"                }
    };
    iscsi_text_reader_init(&reader, (const uint8_t *)text, sizeof text);
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
        assert_int_equal(iscsi_text_read(&reader, &pair, NULL), 1);
        assert_string_equal(pair.key, expected[i][0]);
        assert_string_equal(pair.value, expected[i][1]);
    }
    assert_int_equal(iscsi_text_read(&reader, &pair, NULL), 0);
    assert_int_equal(iscsi_text_read(&reader, &pair, NULL), 0);
}

static void test_well_formed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        unsigned pairs;
    } cases[] = {
        {"",                 0,  0},
        {"\0\0\0",           3,  0},
        {"A=1",              4,  1},
        {"A=1\0\0\0B=2\0\0", 11, 2}, /* padding counted as data */
        {"A=\0B=",           6,  2},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned pairs;
        assert_int_equal(read_all(cases[i].text, cases[i].length, &pairs, NULL), 0);
        assert_int_equal(pairs, cases[i].pairs);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        const char *why;
    } cases[] = {
        {"A=1",                3,  "not ended by a NUL"               },
        {"A",                  1,  "not ended by a NUL"               },
        {"A=1\0B=2",           7,  "not ended by a NUL"               },
        {"A",                  2,  "no key=value pair"                },
        {"=",                  2,  "no key=value pair"                },
        {"=1",                 3,  "no key=value pair"                },
        {"A b=1",              6,  "no key=value pair"                },
        {"A\x01=1",            5,  "\"A\\x01=1\" is no key=value pair"},
        {"\xc3\xa4=1",         5,  "no key=value pair"                },
        {"A=1\0noequals\0B=2", 17, "\"noequals\" is no key=value pair"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned pairs;
        struct error error = {0};
        assert_int_equal(read_all(cases[i].text, cases[i].length, &pairs, &error), -EPROTO);
        assert_non_null(strstr(error.text, cases[i].why));
    }
}

static void test_key_of_every_length(void **state)
{
    (void)state;
    char text[256];
    for (size_t length = 1; length <= 200; length++) {
        unsigned pairs;
        memset(text, 'K', length);
        memcpy(text + length, "=1", 3);
        int expected = length < TEXT_KEY_BYTES ? 0 : -EPROTO;
        assert_int_equal(read_all(text, length + 3, &pairs, NULL), expected);
    }
}

static void test_longest_value(void **state)
{
    (void)state;
    unsigned pairs;
    char *text = malloc(TEXT_LARGE_VALUE_LIMIT + 4);
    memset(text, 'v', TEXT_LARGE_VALUE_LIMIT + 4);
    memcpy(text, "K=", 2);
    text[TEXT_LARGE_VALUE_LIMIT + 2] = '\0';
    assert_int_equal(read_all(text, TEXT_LARGE_VALUE_LIMIT + 3, &pairs, NULL), 0);
    text[TEXT_LARGE_VALUE_LIMIT + 2] = 'v';
    text[TEXT_LARGE_VALUE_LIMIT + 3] = '\0';
    assert_int_equal(read_all(text, TEXT_LARGE_VALUE_LIMIT + 4, &pairs, NULL), -EPROTO);
    free(text);
}

static void test_most_pairs(void **state)
{
    (void)state;
    char text[(TEXT_PAIRS_LIMIT + 1) * 3];
    for (unsigned i = 0; i <= TEXT_PAIRS_LIMIT; i++)
        memcpy(text + (size_t)3 * i, "A=", 3);
    unsigned pairs;
    assert_int_equal(read_all(text, sizeof text - 3, &pairs, NULL), 0);
    assert_int_equal(pairs, TEXT_PAIRS_LIMIT);
    assert_int_equal(read_all(text, sizeof text, &pairs, NULL), -EPROTO);
}

static void test_put(void **state)
{
    (void)state;
    uint8_t memory[64];
    struct buffer buffer;
    buffer_init_fixed(&buffer, memory, sizeof memory);
    iscsi_text_put(&buffer, "A", "b");
    iscsi_text_put(&buffer, "Empty", "");
    iscsi_text_put_number(&buffer, "N", UINT32_MAX);
    iscsi_text_put_hex(&buffer, "H", (const uint8_t *)"\x00\x7f\xff", 3);
    static const char expected[] = "A=b\0Empty=\0N=4294967295\0H=0x007fff";
    assert_int_equal(buffer.length, sizeof expected);
    assert_memory_equal(memory, expected, sizeof expected);
}

static void test_put_is_bounded(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 8; size++) {
        uint8_t memory[8];
        struct buffer buffer;
        buffer_init_fixed(&buffer, memory, size);
        iscsi_text_put(&buffer, "Key", "abc"); /* 8 bytes with '=' and NUL */
        assert_int_equal(buffer.failed, size < 8);
        assert_int_equal(buffer.length, size < 8 ? 0 : 8);
    }
    uint8_t memory[16];
    struct buffer buffer;
    buffer_init_fixed(&buffer, memory, sizeof memory);
    iscsi_text_put_hex(&buffer, "Key", (const uint8_t *)"0123456789", 10);
    assert_true(buffer.failed);
}

static void test_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint32_t number;
    } cases[] = {
        {"0",                          0,       0         },
        {"1",                          0,       1         },
        {"262144",                     0,       262144    },
        {"4294967295",                 0,       UINT32_MAX},
        {"4294967296",                 -ERANGE, 0         },
        {"99999999999999999999999999", -ERANGE, 0         },
        {"0x0",                        0,       0         },
        {"0xfF",                       0,       255       },
        {"0X10",                       0,       16        },
        {"0x00000000000000001",        0,       1         },
        {"0xffffffff",                 0,       UINT32_MAX},
        {"0x100000000",                -ERANGE, 0         },
        {"",                           -EINVAL, 0         },
        {"0x",                         -EINVAL, 0         },
        {"00",                         -EINVAL, 0         },
        {"08",                         -EINVAL, 0         },
        {"-1",                         -EINVAL, 0         },
        {"+1",                         -EINVAL, 0         },
        {" 1",                         -EINVAL, 0         },
        {"1 ",                         -EINVAL, 0         },
        {"1k",                         -EINVAL, 0         },
        {"ff",                         -EINVAL, 0         },
        {"0xg",                        -EINVAL, 0         },
        {"x1",                         -EINVAL, 0         },
        {"1.5",                        -EINVAL, 0         },
        {"Yes",                        -EINVAL, 0         },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t number = 4711;
        assert_int_equal(iscsi_text_number(cases[i].text, &number), cases[i].result);
        assert_int_equal(number, cases[i].result ? 4711 : cases[i].number);
    }
}

static void test_boolean(void **state)
{
    (void)state;
    bool value = false;
    assert_int_equal(iscsi_text_boolean("Yes", &value), 0);
    assert_true(value);
    assert_int_equal(iscsi_text_boolean("No", &value), 0);
    assert_false(value);
    static const char *const bad[] = {"", "yes", "YES", "Y", "Yes ", "Nope", "1", "Yes,No"};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(iscsi_text_boolean(bad[i], &value), -EINVAL);
}

static void test_binary(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
        size_t length;
    } cases[] = {
        {"0x00",       "\0",               1},
        {"0X00ff7F",   "\x00\xff\x7f",     3},
        {"0xdeadBEEF", "\xde\xad\xbe\xef", 4},
        {"0bZg==",     "f",                1}, /* RFC 4648 §10 */
        {"0bZm8=",     "fo",               2},
        {"0bZm9v",     "foo",              3},
        {"0bZm9vYg==", "foob",             4},
        {"0bZm9vYmE=", "fooba",            5},
        {"0BZm9vYmFy", "foobar",           6},
        {"0b+/+/",     "\xfb\xff\xbf",     3},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[8];
        size_t length = 0;
        assert_int_equal(iscsi_text_binary(cases[i].text, bytes, sizeof bytes, &length), 0);
        assert_int_equal(length, cases[i].length);
        assert_memory_equal(bytes, cases[i].bytes, length);
    }
}

static void test_bad_binary(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       "0",       "0x",      "0b",       "0x0",    "0x123",    "0xgg",
        "0x 00",  "00",      "ff",      "x00",      "0c00",   "0bZ",      "0bZg",
        "0bZg=",  "0bZg===", "0bZ===",  "0b====",   "0bZ=g=", "0bZg==Zg", "0bZg==Zm8=",
        "0bZm9-", "0b Zm9v", "0bZm9v ", "0bZm9v\n", "0xZm9v", "1x00",     "0x00,00",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        uint8_t bytes[16];
        size_t length = 4711;
        if (iscsi_text_binary(bad[i], bytes, sizeof bytes, &length) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(length, 4711);
    }
}

/* CVE-2018-14633: a value longer than its place. */
static void test_binary_is_bounded(void **state)
{
    (void)state;
    char hex[2 + 2 * 64 + 1] = "0x", base64[2 + 4 * 32 + 1] = "0b";
    for (size_t length = 1; length <= 64; length++) {
        uint8_t bytes[16];
        size_t got;
        strcat(hex, "ab");
        int result = iscsi_text_binary(hex, bytes, sizeof bytes, &got);
        assert_int_equal(result, length <= sizeof bytes ? 0 : -ERANGE);
    }
    for (size_t length = 3; length <= 96; length += 3) {
        uint8_t bytes[16];
        size_t got;
        strcat(base64, "QUJD");
        int result = iscsi_text_binary(base64, bytes, sizeof bytes, &got);
        assert_int_equal(result, length <= sizeof bytes ? 0 : -ERANGE);
    }
    uint8_t one;
    size_t got;
    assert_int_equal(iscsi_text_binary("0bQQ==", &one, 1, &got), 0);
    assert_int_equal(got, 1);
    assert_int_equal(one, 'A');

    static char longest[TEXT_LARGE_VALUE_LIMIT + 1];
    static uint8_t bytes[TEXT_LARGE_VALUE_LIMIT];
    memset(longest, 'A', sizeof longest - 1);
    memcpy(longest, "0b", 2);
    longest[2 + (sizeof longest - 3) / 4 * 4] = '\0';
    assert_int_equal(iscsi_text_binary(longest, bytes, sizeof bytes, &got), 0);
    assert_int_equal(got, (sizeof longest - 3) / 4 * 3);
}

static void test_list(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *items[5];
    } cases[] = {
        {"None",             {"None"}            },
        {"CRC32C,None",      {"CRC32C", "None"}  },
        {"5,6,7,8",          {"5", "6", "7", "8"}},
        {"",                 {""}                },
        {",",                {"", ""}            },
        {"a,,b",             {"a", "", "b"}      },
        {"a,",               {"a", ""}           },
        {"toolongforit,b",   {"", "b"}           },
        {"1234567,12345678", {"1234567", ""}     },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *list = cases[i].list;
        char item[8];
        unsigned n = 0;
        while (iscsi_text_list_next(&list, item, sizeof item)) {
            assert_non_null(cases[i].items[n]);
            assert_string_equal(item, cases[i].items[n++]);
        }
        assert_null(cases[i].items[n]);
    }
}

static void test_answers(void **state)
{
    (void)state;
    assert_true(iscsi_text_is_answer("NotUnderstood"));
    assert_true(iscsi_text_is_answer("Irrelevant"));
    assert_true(iscsi_text_is_answer("Reject"));
    assert_false(iscsi_text_is_answer("Rejected"));
    assert_false(iscsi_text_is_answer("None"));
    assert_false(iscsi_text_is_answer(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_well_formed),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_key_of_every_length),
        cmocka_unit_test(test_longest_value),
        cmocka_unit_test(test_most_pairs),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_put_is_bounded),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_boolean),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_bad_binary),
        cmocka_unit_test(test_binary_is_bounded),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
