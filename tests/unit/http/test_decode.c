/* test_decode.c - percent-encoding and queries: once, exactly, within bounds */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

#include "http/internal.h"

static void test_decimal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int digits;
        uint64_t value;
    } rows[] = {
        {"0",                    1,  0                             },
        {"0012x",                4,  12                            },
        {"18446744073709551615", 20, UINT64_C(18446744073709551615)},
        {"18446744073709551616", -1, 0                             },
        {"99999999999999999999", -1, 0                             },
        {"",                     -1, 0                             },
        {"-1",                   -1, 0                             },
        {"+1",                   -1, 0                             },
        {" 1",                   -1, 0                             },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t value = 0;
        assert_int_equal(parse_decimal(rows[i].text, &value), rows[i].digits);
        assert_true(value == rows[i].value);
    }
}

static void test_percent_decoding(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        bool plus;
        ssize_t length;
        const char *to;
    } rows[] = {
        {"plain",  false, 5,        "plain"},
        {"%41%7a", false, 2,        "Az"   },
        {"%2525",  false, 3,        "%25"  }, /* once, not twice */
        {"a+b",    true,  3,        "a b"  },
        {"a+b",    false, 3,        "a+b"  },
        {"",       false, 0,        ""     },
        {"%",      false, -EBADMSG, NULL   },
        {"%4",     false, -EBADMSG, NULL   },
        {"%4g",    false, -EBADMSG, NULL   },
        {"%g4",    false, -EBADMSG, NULL   },
        {"%00",    false, -EBADMSG, NULL   },
        {"% 41",   false, -EBADMSG, NULL   },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char to[16];
        ssize_t length =
            percent_decode(rows[i].from, strlen(rows[i].from), rows[i].plus, to, sizeof to);
        assert_int_equal(length, rows[i].length);
        if (length >= 0)
            assert_string_equal(to, rows[i].to);
    }
}

static void test_room(void **state)
{
    (void)state;
    char to[4];
    assert_int_equal(percent_decode("abc", 3, false, to, sizeof to), 3);
    assert_int_equal(percent_decode("abcd", 4, false, to, sizeof to), -ENOSPC);
    assert_int_equal(percent_decode("", 0, false, to, 0), -ENOSPC);
    assert_int_equal(percent_decode("a%4", 2, false, to, sizeof to), -EBADMSG); /* cut there */
}

static void test_query(void **state)
{
    (void)state;
    static const char query[] = "mac=52%3A54&empty=&flag&mac2=x&text=two+words&mac=second&bad=%zz";
    static const struct {
        const char *name;
        int result;
        const char *value;
    } rows[] = {
        {"mac",   0,        "52:54"    },
        {"mac2",  0,        "x"        },
        {"empty", 0,        ""         },
        {"flag",  0,        ""         },
        {"text",  0,        "two words"},
        {"bad",   -EBADMSG, NULL       },
        {"ma",    -ENOENT,  NULL       },
        {"words", -ENOENT,  NULL       },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char value[16];
        assert_int_equal(http_query_value(query, rows[i].name, value, sizeof value),
                         rows[i].result);
        if (rows[i].result == 0)
            assert_string_equal(value, rows[i].value);
    }
    char small[4];
    assert_int_equal(http_query_value("a=1234", "a", small, sizeof small), -ENOSPC);
    assert_int_equal(http_query_value("", "a", small, sizeof small), -ENOENT);
    assert_int_equal(http_query_value("&&&", "a", small, sizeof small), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_percent_decoding),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
