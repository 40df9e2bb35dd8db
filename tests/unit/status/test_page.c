/* test_page.c - the page is well formed, needs nothing from elsewhere, and no name gets out */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/util/array.h>

#include "status/sample.h"

static void page_init(struct buffer *page, const struct status_report *report)
{
    buffer_init(page, STATUS_OUTPUT_BYTES_LIMIT);
    status_write_page(report, page);
    assert_false(page->failed);
    assert_non_null(buffer_string(page));
}

static bool is_void(const char *element)
{
    return !strcmp(element, "meta") || !strcmp(element, "!doctype");
}

/* Every element that opens closes, in order; every attribute is quoted. Returns how many there are.
 */
static unsigned check_elements(const char *page)
{
    char open[32][16];
    unsigned depth = 0, count = 0;
    for (const char *at = page; (at = strchr(at, '<')); at++) {
        char element[16] = "";
        bool closing = at[1] == '/';
        assert_int_equal(sscanf(at + 1 + closing, "%15[a-z0-9!]", element), 1);
        for (at += 1; *at != '>'; at++) {
            assert_true(*at && *at != '<');
            if (*at == '"')
                assert_non_null(at = strchr(at + 1, '"'));
        }
        count++;
        if (is_void(element))
            continue;
        if (closing) {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], element);
        } else {
            assert_true(depth < ARRAY_SIZE(open));
            memcpy(open[depth++], element, sizeof element);
        }
    }
    assert_int_equal(depth, 0);
    return count;
}

static void test_well_formed(void **state)
{
    (void)state;
    static const struct status_report *const reports[] = {&sample, &sample_empty};
    for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
        struct buffer page;
        page_init(&page, reports[i]);
        assert_memory_equal(page.data, "<!doctype html>", 15);
        assert_true(check_elements((const char *)page.data) > 20);
        buffer_done(&page);
    }
}

static void test_hostile_names(void **state)
{
    (void)state;
    static const char *const never[] = {"<script", "alert('1')", "\xff", "\xe2\x80\xae"};
    struct buffer page;
    page_init(&page, &sample);
    const char *text = (const char *)page.data;
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        assert_null(strstr(text, never[i]));
    const char *escaped = "&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;\\"
                          "\\x0a\\xff\\u{202e}txt";
    unsigned seen = 0;
    for (const char *at = text; (at = strstr(at, escaped)); at++)
        seen++;
    assert_int_equal(seen, 7); /* device, problem, owner, three initiators, a machine's story */
    buffer_done(&page);
}

static void test_stands_alone(void **state)
{
    (void)state;
    static const char *const never[] = {"src=", "@import", "url(", "<link", "<form"};
    struct buffer page;
    page_init(&page, &sample_empty);
    const char *text = (const char *)page.data;
    const char *body = strstr(text, "<body>");
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        assert_null(strstr(text, never[i]));
    assert_non_null(strstr(text, "http-equiv=\"refresh\""));
    assert_non_null(strstr(text, "prefers-color-scheme: dark"));
    assert_non_null(strstr(text, "name=\"viewport\""));
    for (const char *at = body; (at = strstr(at, "href=\"")); at++)
        assert_null(memmem(at, 20, "://", 3));
    buffer_done(&page);
}

static void test_says_what_matters(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Serving.",
        "1 target, 2 sessions, up 1 min 1 s; iSCSI on 0.0.0.0:3260, [::]:3260",
        "LUN 0 <span class=\"good\">open</span>",
        "LUN 1 <span class=\"bad\">refused</span>",
        "LUN 2 <span class=\"bad\">write-fault</span>",
        "465.7 GiB, blocks of 512 on 4096 bytes",
        "B\xc3\xbc",
        "/luns/laptop/2/rearm",
        "WRITE EXCLUSIVE by iqn.x",
        "<dt>Answered within</dt><dd>128 µs (half), 128 µs (99 of 100)",
    };
    struct buffer page;
    page_init(&page, &sample);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (!strstr((const char *)page.data, lines[i]))
            fail_msg("missing: %s", lines[i]);
    buffer_done(&page);
    page_init(&page, &sample_empty);
    assert_non_null(strstr((const char *)page.data, "Shutting down"));
    assert_non_null(strstr((const char *)page.data, "Nobody is logged in."));
    buffer_done(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_formed),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_stands_alone),
        cmocka_unit_test(test_says_what_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
