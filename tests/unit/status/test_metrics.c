/* test_metrics.c - the text is what Prometheus reads: families, labels, values, histograms */
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

#define LINE_LIMIT 512

struct metrics {
    struct buffer text;
    char *lines[LINE_LIMIT];
    unsigned count;
};

static void metrics_init(struct metrics *metrics, const struct status_report *report)
{
    *metrics = (struct metrics){.count = 0};
    buffer_init(&metrics->text, STATUS_OUTPUT_BYTES_LIMIT);
    status_write_metrics(report, &metrics->text);
    assert_false(metrics->text.failed);
    assert_int_equal(metrics->text.data[metrics->text.length - 1], '\n');
    assert_non_null(buffer_string(&metrics->text));
    char *rest = NULL;
    for (char *line = strtok_r((char *)metrics->text.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        assert_true(metrics->count < LINE_LIMIT);
        metrics->lines[metrics->count++] = line;
    }
}

static void metrics_done(struct metrics *metrics)
{
    buffer_done(&metrics->text);
}

/* [a-zA-Z_:][a-zA-Z0-9_:]* */
static size_t name_length(const char *text)
{
    size_t length = 0;
    while (isalnum((unsigned char)text[length]) || text[length] == '_' || text[length] == ':')
        length++;
    return isdigit((unsigned char)*text) ? 0 : length;
}

/* {name="value",…} with \\, \" and \n as the only escapes. */
static const char *skip_labels(const char *at)
{
    do {
        at++;
        size_t length = name_length(at);
        assert_true(length > 0);
        assert_memory_equal(at + length, "=\"", 2);
        for (at += length + 2; *at != '"'; at++) {
            assert_true((unsigned char)*at >= 0x20);
            if (*at == '\\') {
                at++;
                assert_non_null(strchr("\\\"n", *at));
            }
        }
        at++;
    } while (*at == ',');
    assert_int_equal(*at, '}');
    return at + 1;
}

static void check_sample(const char *line)
{
    const char *at = line + name_length(line);
    assert_true(at > line);
    if (*at == '{')
        at = skip_labels(at);
    assert_int_equal(*at, ' ');
    char *end;
    (void)strtod(at + 1, &end);
    assert_true(end > at + 1);
    assert_int_equal(*end, '\0');
}

/* The family a sample belongs to, as its # TYPE line names it. */
static bool belongs(const char *line, const char *family, const char *type)
{
    static const char *const endings[] = {"_bucket", "_count"};
    size_t length = strlen(family), whole = name_length(line);
    if (strncmp(line, family, length) != 0)
        return false;
    if (strcmp(type, "histogram") != 0)
        return whole == length;
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
        if (whole == length + strlen(endings[i]) &&
            !strncmp(line + length, endings[i], strlen(endings[i])))
            return true;
    return false;
}

static void check_format(const struct metrics *metrics)
{
    char family[128] = "", type[16] = "", help[128] = "", words[3][128];
    for (unsigned i = 0; i < metrics->count; i++) {
        const char *line = metrics->lines[i];
        if (sscanf(line, "# HELP %127s %127s", help, words[0]) == 2) {
            assert_string_not_equal(help, family); /* each family once, in one piece */
        } else if (sscanf(line, "# TYPE %127s %15s %127s", family, type, words[0]) == 2) {
            assert_string_equal(help, family);
            assert_non_null(strstr("gauge counter histogram", type));
            bool total = strlen(family) > 6 && !strcmp(family + strlen(family) - 6, "_total");
            assert_int_equal(total, !strcmp(type, "counter"));
        } else {
            assert_int_not_equal(line[0], '#');
            assert_true(belongs(line, family, type));
            check_sample(line);
        }
    }
}

static void test_format(void **state)
{
    (void)state;
    static const struct status_report *const reports[] = {&sample, &sample_empty};
    for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
        struct metrics metrics;
        metrics_init(&metrics, reports[i]);
        check_format(&metrics);
        metrics_done(&metrics);
    }
}

static void test_no_series_twice(void **state)
{
    (void)state;
    struct metrics metrics;
    metrics_init(&metrics, &sample);
    for (unsigned i = 0; i < metrics.count; i++) {
        size_t length = (size_t)(strrchr(metrics.lines[i], ' ') - metrics.lines[i]);
        for (unsigned j = 0; j < i; j++)
            assert_false(strncmp(metrics.lines[i], metrics.lines[j], length + 1) == 0 &&
                         metrics.lines[i][0] != '#');
    }
    metrics_done(&metrics);
}

static bool has_line(const struct metrics *metrics, const char *line)
{
    for (unsigned i = 0; i < metrics->count; i++)
        if (!strcmp(metrics->lines[i], line))
            return true;
    return false;
}

#define SESSION                                                                                   \
    "{target=\"iqn.2026-11.local.netboot-target:0\",initiator=\"\\\"><script>alert('1')</script>" \
    "&amp;\\\\\\\\x0a\\\\xff\\\\u{202e}txt\",tsih=\"7\""

static void test_values(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "netboot_target_info{version=\"1.2.3\",engine=\"io_uring\"} 1",
        "netboot_target_start_time_seconds 1790000000",
        "netboot_target_serving 1",
        "netboot_target_sessions 2",
        "netboot_target_lun_open{target=\"laptop\",lun=\"0\"} 1",
        "netboot_target_lun_open{target=\"laptop\",lun=\"1\"} 0",
        "netboot_target_lun_healthy{target=\"laptop\",lun=\"0\"} 1",
        "netboot_target_lun_healthy{target=\"laptop\",lun=\"1\"} 0",
        "netboot_target_lun_healthy{target=\"laptop\",lun=\"2\"} 0",
        "netboot_target_lun_size_bytes{target=\"laptop\",lun=\"0\"} 500107862016",
        "netboot_target_lun_bytes_total{target=\"laptop\",lun=\"0\",operation=\"read\"} 40960",
        "netboot_target_lun_errors_total{target=\"laptop\",lun=\"0\",operation=\"read\"} 1",
        "netboot_target_session_read_bytes_total" SESSION "} 18446744073709551615",
        "netboot_target_session_latency_seconds_bucket" SESSION ",le=\"0.000001\"} 5",
        "netboot_target_session_latency_seconds_bucket" SESSION ",le=\"0.000064\"} 5",
        "netboot_target_session_latency_seconds_bucket" SESSION ",le=\"0.000128\"} 99",
        "netboot_target_session_latency_seconds_bucket" SESSION ",le=\"4.194304\"} 99",
        "netboot_target_session_latency_seconds_bucket" SESSION ",le=\"+Inf\"} 100",
        "netboot_target_session_latency_seconds_count" SESSION "} 100",
    };
    struct metrics metrics;
    metrics_init(&metrics, &sample);
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        if (!has_line(&metrics, lines[i]))
            fail_msg("missing: %s", lines[i]);
    for (unsigned i = 0; i < metrics.count; i++) /* a discovery session does no I/O */
        assert_null(strstr(metrics.lines[i], "tsih=\"8\""));
    metrics_done(&metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_no_series_twice),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
