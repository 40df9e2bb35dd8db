/* test_text.c - names made harmless, and percentiles */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/util/array.h>

#include "status/internal.h"

static bool dollar(struct buffer *to, char byte)
{
    if (byte == '\\')
        buffer_append_string(to, "$");
    return byte == '\\';
}

static void test_text(void **state)
{
    (void)state;
    // clang-format off
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"", ""},
        {"plain text", "plain text"},
        {"B\xc3\xbc" "cher \xe2\x82\xac \xf0\x9f\x92\xbe", "B\xc3\xbc" "cher \xe2\x82\xac \xf0\x9f\x92\xbe"},
        {"a\tb\nc\x7f", "a\\x09b\\x0ac\\x7f"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc3", "\\xc3"},                         /* cut */
        {"\xe2\x82", "\\xe2\\x82"},
        {"\xc3(", "\\xc3("},
        {"\xc0\xaf", "\\xc0\\xaf"},                /* overlong */
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
        {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},       /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond Unicode */
        {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
        {"\x80", "\\x80"},
        {"\xc2\x85", "\\u{85}"},                   /* next line */
        {"a\xe2\x80\x8b" "b", "a\\u{200b}b"},      /* invisible */
        {"a\xe2\x80\xae" "b", "a\\u{202e}b"},      /* right to left */
        {"\xe2\x80\xa8", "\\u{2028}"},             /* a line break to JavaScript */
        {"\xef\xbb\xbf", "\\u{feff}"},
        {"\xf3\xa0\x81\x81", "\\u{e0041}"},        /* a tag */
    };
    // clang-format on
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buffer to;
        buffer_init(&to, 256);
        text_write(&to, rows[i].from, NULL);
        assert_string_equal(buffer_string(&to), rows[i].to);
        buffer_done(&to);
    }
}

/* What replaces a byte is written in the format's own way too. */
static void test_special(void **state)
{
    (void)state;
    struct buffer to;
    buffer_init(&to, 256);
    text_write(&to, "a\\b\x01", dollar);
    assert_string_equal(buffer_string(&to), "a$b$x01");
    buffer_done(&to);
}

static void test_percentiles(void **state)
{
    (void)state;
    uint64_t latency[STATUS_LATENCY_BUCKETS] = {0};
    assert_int_equal(latency_percentile_us(latency, 50), 0);
    latency[3] = 99;
    latency[10] = 1;
    assert_int_equal(latency_percentile_us(latency, 50), 8);
    assert_int_equal(latency_percentile_us(latency, 99), 8);
    assert_int_equal(latency_percentile_us(latency, 100), 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_percentiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
