/* test_json.c - the JSON parses back into what the report says */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "status/sample.h"

static json_t *write_and_parse(const struct status_report *report)
{
    struct buffer to;
    json_error_t error;
    buffer_init(&to, STATUS_OUTPUT_BYTES_LIMIT);
    status_write_json(report, &to);
    assert_false(to.failed);
    json_t *json = json_loadb((const char *)to.data, to.length, JSON_REJECT_DUPLICATES, &error);
    buffer_done(&to);
    assert_non_null(json);
    return json;
}

static const char *text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_string(value));
    return json_string_value(value);
}

static json_int_t number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static bool boolean(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    assert_true(json_is_boolean(value));
    return json_is_true(value);
}

static void test_daemon(void **state)
{
    (void)state;
    json_t *json = write_and_parse(&sample);
    assert_string_equal(text(json, "version"), "1.2.3");
    assert_string_equal(text(json, "engine"), "io_uring");
    assert_int_equal(number(json, "uptime_seconds"), 61);
    assert_int_equal(number(json, "started_unix_seconds"), 1790000000);
    assert_int_equal(number(json, "connections"), 3);
    assert_true(boolean(json, "serving"));
    assert_false(boolean(json, "draining"));
    const json_t *portals = json_object_get(json, "portals");
    assert_int_equal(json_array_size(portals), 2);
    assert_string_equal(json_string_value(json_array_get(portals, 1)), "[::]:3260");
    json_decref(json);
}

static void check_client(const json_t *client)
{
    assert_string_equal(text(client, "mac"), "52:54:00:ab:cd:ef");
    assert_string_equal(text(client, "initiator"), HOSTILE_TEXT);
    assert_string_equal(text(client, "state"), "stopped");
    assert_string_equal(text(client, "sentence"), "It stopped at " HOSTILE_TEXT);
    const json_t *causes = json_object_get(client, "causes");
    assert_int_equal(json_array_size(causes), 1);
    assert_string_equal(json_string_value(json_array_get(causes, 0)), "Secure Boot is on.");
    assert_int_equal(number(client, "step_ms"), 1000);
}

static void test_machines(void **state)
{
    (void)state;
    json_t *json = write_and_parse(&sample);
    const json_t *interface = json_array_get(json_object_get(json, "interfaces"), 0);
    assert_string_equal(text(interface, "name"), "eth0");
    assert_string_equal(text(interface, "role"), "proxy");
    assert_true(boolean(interface, "carrier"));
    const json_t *client = json_array_get(json_object_get(json, "clients"), 0);
    check_client(client);
    assert_null(json_object_get(client, "steps"));
    json_decref(json);
}

static void test_clients_with_steps(void **state)
{
    (void)state;
    struct buffer to;
    json_error_t error;
    buffer_init(&to, STATUS_OUTPUT_BYTES_LIMIT);
    status_write_clients(&sample, &to);
    json_t *json = json_loadb((const char *)to.data, to.length, JSON_REJECT_DUPLICATES, &error);
    buffer_done(&to);
    assert_non_null(json);
    const json_t *client = json_array_get(json_object_get(json, "clients"), 0);
    check_client(client);
    const json_t *steps = json_object_get(client, "steps");
    assert_int_equal(json_array_size(steps), 2);
    const json_t *step = json_array_get(steps, 1);
    assert_string_equal(text(step, "name"), "file");
    assert_string_equal(text(step, "detail"), "snponly.efi");
    assert_int_equal(number(step, "bytes"), 173792);
    assert_int_equal(number(step, "duration_ms"), 26);
    json_decref(json);
}

static void test_luns(void **state)
{
    (void)state;
    json_t *json = write_and_parse(&sample);
    const json_t *target = json_array_get(json_object_get(json, "targets"), 0);
    assert_string_equal(text(target, "name"), "laptop");
    assert_string_equal(text(target, "auth"), "mutual");
    assert_string_equal(text(target, "owner"), HOSTILE_TEXT);
    assert_true(boolean(target, "ready"));
    const json_t *luns = json_object_get(target, "luns");
    assert_int_equal(json_array_size(luns), 3);
    const json_t *lun = json_array_get(luns, 0);
    assert_int_equal(number(lun, "number"), 0);
    assert_string_equal(text(lun, "state"), "open");
    assert_string_equal(text(lun, "device"), "/dev/disk/by-id/B\xc3\xbc" HOSTILE_TEXT);
    assert_true(number(lun, "size_bytes") == INT64_C(500107862016));
    assert_int_equal(number(lun, "physical_block_bytes"), 4096);
    assert_string_equal(text(lun, "write_mode"), "direct");
    assert_string_equal(text(lun, "reservation"), "WRITE EXCLUSIVE by iqn.x");
    const json_t *operations = json_object_get(lun, "operations");
    assert_int_equal(json_object_size(operations), STATUS_OPERATION_COUNT);
    assert_int_equal(number(json_object_get(operations, "read"), "bytes"), 40960);
    assert_int_equal(number(json_object_get(operations, "read"), "errors"), 1);
    assert_int_equal(number(json_object_get(operations, "flush"), "count"), 2);
    const json_t *boot = json_object_get(lun, "boot");
    assert_true(boolean(boot, "stale") && !boolean(boot, "busy"));
    assert_int_equal(number(boot, "scanned_unix_seconds"), 1790000001);
    const json_t *entry = json_array_get(json_object_get(boot, "entries"), 1);
    assert_string_equal(text(entry, "kind"), "mbr");
    assert_int_equal(number(entry, "seen_unix_seconds"), 1780000000);
    assert_string_equal(text(entry, "problem"), HOSTILE_TEXT);
    assert_int_equal(json_array_size(json_object_get(boot, "notes")), 1);
    lun = json_array_get(luns, 1);
    assert_string_equal(text(lun, "state"), "refused");
    assert_null(json_object_get(lun, "boot"));
    assert_string_equal(text(lun, "problem"), "/dev/sdb is mounted on " HOSTILE_TEXT);
    assert_null(json_object_get(lun, "size_bytes"));
    json_decref(json);
}

static void test_sessions(void **state)
{
    (void)state;
    json_t *json = write_and_parse(&sample);
    const json_t *sessions = json_object_get(json, "sessions");
    assert_int_equal(json_array_size(sessions), 2);
    const json_t *session = json_array_get(sessions, 0);
    assert_string_equal(text(session, "initiator"), HOSTILE_TEXT);
    assert_string_equal(text(session, "peer"), "192.0.2.7:51234");
    assert_string_equal(text(session, "isid"), "00023d000001");
    assert_int_equal(number(session, "tsih"), 7);
    assert_false(boolean(session, "discovery"));
    const json_t *parameters = json_object_get(session, "parameters");
    assert_false(boolean(parameters, "header_digest"));
    assert_true(boolean(parameters, "data_digest"));
    assert_int_equal(number(parameters, "first_burst_bytes"), 65536);
    const json_t *counters = json_object_get(session, "counters");
    assert_int_equal(number(counters, "commands"), 100);
    assert_true(number(counters, "read_bytes") == INT64_MAX); /* the largest that JSON holds */
    assert_int_equal(number(counters, "outstanding"), 2);
    const json_t *latency = json_object_get(session, "latency_log2_us");
    assert_int_equal(json_array_size(latency), STATUS_LATENCY_BUCKETS);
    assert_int_equal(json_integer_value(json_array_get(latency, 7)), 94);
    assert_true(boolean(json_array_get(sessions, 1), "discovery"));
    json_decref(json);
}

static void test_nothing_yet(void **state)
{
    (void)state;
    json_t *json = write_and_parse(&sample_empty);
    assert_int_equal(json_array_size(json_object_get(json, "targets")), 0);
    assert_true(json_is_array(json_object_get(json, "sessions")));
    assert_true(boolean(json, "draining"));
    json_decref(json);
}

static void test_too_much(void **state)
{
    (void)state;
    struct buffer to;
    buffer_init(&to, 500);
    status_write_json(&sample, &to);
    assert_true(to.failed);
    buffer_done(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_daemon),
        cmocka_unit_test(test_machines),
        cmocka_unit_test(test_clients_with_steps),
        cmocka_unit_test(test_luns),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_nothing_yet),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
