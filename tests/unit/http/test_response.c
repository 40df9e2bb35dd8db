/* test_response.c - ranges, content types, refusals and the memory of answers */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        uint64_t size;
        enum http_range_verdict verdict;
        uint64_t offset, length;
    } rows[] = {
        {"bytes=0-0",                    10, HTTP_RANGE_PART,          0, 1 },
        {"bytes=0-9",                    10, HTTP_RANGE_PART,          0, 10},
        {"bytes=3-",                     10, HTTP_RANGE_PART,          3, 7 },
        {"bytes=9-100",                  10, HTTP_RANGE_PART,          9, 1 },
        {"BYTES=3-4",                    10, HTTP_RANGE_PART,          3, 2 },
        {"bytes=-3",                     10, HTTP_RANGE_PART,          7, 3 },
        {"bytes=-30",                    10, HTTP_RANGE_PART,          0, 10},
        {"bytes=0-18446744073709551615", 10, HTTP_RANGE_PART,          0, 10},
        {"bytes=10-",                    10, HTTP_RANGE_UNSATISFIABLE, 0, 0 },
        {"bytes=10-20",                  10, HTTP_RANGE_UNSATISFIABLE, 0, 0 },
        {"bytes=18446744073709551615-",  10, HTTP_RANGE_UNSATISFIABLE, 0, 0 },
        {"bytes=-0",                     10, HTTP_RANGE_UNSATISFIABLE, 0, 0 },
        {"bytes=0-0",                    0,  HTTP_RANGE_UNSATISFIABLE, 0, 0 },
        {"bytes=-1",                     0,  HTTP_RANGE_UNSATISFIABLE, 0, 0 },
        {"bytes=5-4",                    10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=0-1,3-4",                10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=-1,3-4",                 10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=0-18446744073709551616", 10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=18446744073709551616-",  10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=-18446744073709551616",  10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=",                       10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=-",                      10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=1",                      10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes= 1-2",                   10, HTTP_RANGE_WHOLE,         0, 0 },
        {"bytes=1-2x",                   10, HTTP_RANGE_WHOLE,         0, 0 },
        {"blocks=1-2",                   10, HTTP_RANGE_WHOLE,         0, 0 },
        {"",                             10, HTTP_RANGE_WHOLE,         0, 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t offset = 0, length = 0;
        assert_int_equal(http_range_parse(rows[i].field, rows[i].size, &offset, &length),
                         rows[i].verdict);
        assert_int_equal(offset, rows[i].offset);
        assert_int_equal(length, rows[i].length);
    }
}

static const char content[10] = "0123456789";

static void select_part(struct http_response *response, const char *method, const char *range,
                        const char *if_range)
{
    struct http_request request;
    http_request_begin(&request, HTTP_LISTENER_BOOT, "/");
    http_request_set_method(&request, method);
    request.range = range;
    request.if_range = if_range;
    http_response_init(response);
    response->data = content;
    response->data_bytes = sizeof content;
    response->ranged = true;
    http_response_select(response, &request);
}

static void test_select(void **state)
{
    (void)state;
    static const struct {
        const char *method, *range, *if_range;
        unsigned status;
        uint64_t offset, length;
        const char *content_range;
    } rows[] = {
        {"GET",  NULL,        NULL,    200, 0, 10, ""            },
        {"GET",  "bytes=2-5", NULL,    206, 2, 4,  "bytes 2-5/10"},
        {"HEAD", "bytes=2-5", NULL,    200, 0, 10, ""            },
        {"GET",  "bytes=2-5", "\"e\"", 200, 0, 10, ""            },
        {"GET",  "bytes=10-", NULL,    416, 0, 0,  "bytes */10"  },
        {"GET",  "nonsense",  NULL,    200, 0, 10, ""            },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_response response;
        select_part(&response, rows[i].method, rows[i].range, rows[i].if_range);
        assert_int_equal(response.status, rows[i].status);
        assert_int_equal(response.offset_bytes, rows[i].offset);
        assert_int_equal(response.length_bytes, rows[i].length);
        assert_string_equal(response.content_range, rows[i].content_range);
        http_response_done(&response);
    }
}

static void test_parts_only_of_stable_bytes(void **state)
{
    (void)state;
    struct http_request request;
    struct http_response response;
    http_request_begin(&request, HTTP_LISTENER_STATUS, "/");
    http_request_set_method(&request, "GET");
    request.range = "bytes=0-1";
    http_response_init(&response);
    http_response_text(&response, 503, "Not yet.");
    response.ranged = true;
    http_response_select(&response, &request);
    assert_int_equal(response.status, 503);
    assert_int_equal(response.length_bytes, 9);
    response.status = 200;
    response.ranged = false;
    http_response_select(&response, &request);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.length_bytes, 9);
    http_response_done(&response);
}

static unsigned released;

static void count_release(void *context)
{
    assert_ptr_equal(context, &released);
    released++;
}

static void test_memory(void **state)
{
    (void)state;
    struct http_response response;
    struct buffer body;
    http_response_init(&response);
    response.release = count_release;
    response.release_context = &released;
    http_response_text(&response, 404, "Nothing here.");
    assert_int_equal(released, 1); /* what it replaced was given back */
    assert_int_equal(response.status, 404);
    assert_memory_equal(response.data, "Nothing here.\n", 14);
    buffer_init(&body, 4);
    buffer_append_string(&body, "too long");
    http_response_take(&response, &body, "text/plain");
    assert_int_equal(response.status, 500);
    assert_int_equal(response.data_bytes, 0);
    http_response_done(&response);
    assert_int_equal(released, 1);
}

static void test_refusal(void **state)
{
    (void)state;
    struct http_response response;
    http_response_init(&response);
    http_response_refuse(&response, &(struct http_refusal){405, "POST", "Not so."});
    assert_int_equal(response.status, 405);
    assert_string_equal(response.allow, "POST");
    assert_memory_equal(response.data, "Not so.\n", 8);
    http_response_done(&response);
}

static void test_content_types(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type;
    } rows[] = {
        {"snponly.efi",   "application/efi"          },
        {"BOOTX64.EFI",   "application/efi"          },
        {"disk.iso",      "application/vnd.efi-iso"  },
        {"disk.img",      "application/vnd.efi-img"  },
        {"autoexec.ipxe", "text/plain; charset=utf-8"},
        {"undionly.kpxe", "application/octet-stream" },
        {"vmlinuz",       "application/octet-stream" },
        {".efi",          "application/octet-stream" },
        {"",              "application/octet-stream" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_string_equal(http_content_type(rows[i].name), rows[i].type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_parts_only_of_stable_bytes),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refusal),
        cmocka_unit_test(test_content_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
