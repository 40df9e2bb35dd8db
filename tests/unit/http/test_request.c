/* test_request.c - which route a request takes, and what is refused before one is called */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

static void handle(void *context, const struct http_request *request,
                   struct http_response *response)
{
    (void)context;
    (void)request;
    (void)response;
}

// clang-format off
static const struct http_route first_rows[] = {
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/",               false, handle},
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/status",         false, handle},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/luns/*/*/rearm", false, handle},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/serving",        true,  handle},
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/serving",        false, handle},
};
static const struct http_route second_rows[] = {
    {HTTP_LISTENER_BOOT, HTTP_GET,  "/boot/**",     false, handle},
    {HTTP_LISTENER_BOOT, HTTP_POST, "/boot/*/form", true,  handle},
    {HTTP_LISTENER_BOOT | HTTP_LISTENER_STATUS, HTTP_GET, "/both", false, handle},
};
// clang-format on
static struct http_routes second = {second_rows, ARRAY_SIZE(second_rows), (void *)2, NULL};
static struct http_routes first = {first_rows, ARRAY_SIZE(first_rows), (void *)1, &second};
static const char *const host_names[] = {"netboot.example.org"};
static const struct http_hosts hosts = {host_names, 1};

#define BODY_LIMIT 100

static int route(struct http_request *request, struct http_match *match,
                 struct http_refusal *refusal)
{
    return http_request_route(request, &first, &hosts, BODY_LIMIT, match, refusal);
}

static void begin(struct http_request *request, enum http_listener listener, const char *method,
                  const char *target)
{
    http_request_begin(request, listener, target);
    http_request_set_method(request, method);
    http_request_add_field(request, "host", "127.0.0.1:9180");
    if (!strcmp(method, "POST"))
        http_request_add_field(request, "X-NETBOOT-TARGET", "1");
}

static void test_routes(void **state)
{
    (void)state;
    // clang-format off
    static const struct {
        enum http_listener listener;
        const char *method, *target;
        const struct http_route *route;
        const char *captures[3];
    } rows[] = {
        {HTTP_LISTENER_STATUS, "GET", "/", &first_rows[0], {NULL}},
        {HTTP_LISTENER_STATUS, "HEAD", "/status", &first_rows[1], {NULL}},
        {HTTP_LISTENER_STATUS, "GET", "/status?a=/b/c", &first_rows[1], {NULL}},
        {HTTP_LISTENER_STATUS, "GET", "/%73tatus", &first_rows[1], {NULL}},
        {HTTP_LISTENER_STATUS, "POST", "/luns/my%20disk/7/rearm", &first_rows[2], {"my disk", "7"}},
        {HTTP_LISTENER_STATUS, "POST", "/serving", &first_rows[3], {NULL}},
        {HTTP_LISTENER_STATUS, "GET", "/serving", &first_rows[4], {NULL}},
        {HTTP_LISTENER_STATUS, "GET", "/both", &second_rows[2], {NULL}},
        {HTTP_LISTENER_BOOT, "GET", "/both", &second_rows[2], {NULL}},
        {HTTP_LISTENER_BOOT, "GET", "/boot/snponly.efi", &second_rows[0], {"snponly.efi"}},
        {HTTP_LISTENER_BOOT, "GET", "/boot/a/b/c?x", &second_rows[0], {"a/b/c"}},
        {HTTP_LISTENER_BOOT, "POST", "/boot/me/form", &second_rows[1], {"me"}},
    };
    // clang-format on
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_request request;
        struct http_match match;
        struct http_refusal refusal;
        begin(&request, rows[i].listener, rows[i].method, rows[i].target);
        assert_int_equal(route(&request, &match, &refusal), 0);
        assert_ptr_equal(match.route, rows[i].route);
        assert_ptr_equal(match.context,
                         rows[i].route >= second_rows && rows[i].route < second_rows + 3
                             ? (void *)2
                             : (void *)1);
        unsigned count = 0;
        for (; rows[i].captures[count]; count++)
            assert_string_equal(request.captures[count], rows[i].captures[count]);
        assert_int_equal(request.capture_count, count);
    }
}

static void test_refused_addresses(void **state)
{
    (void)state;
    static const struct {
        enum http_listener listener;
        unsigned status;
        const char *method, *target, *allow;
    } rows[] = {
        {HTTP_LISTENER_STATUS, 404, "GET",     "/nothing",            ""               },
        {HTTP_LISTENER_STATUS, 404, "GET",     "/status/",            ""               },
        {HTTP_LISTENER_STATUS, 404, "GET",     "//status",            ""               },
        {HTTP_LISTENER_STATUS, 404, "GET",     "/status/more",        ""               },
        {HTTP_LISTENER_STATUS, 404, "GET",     "/STATUS",             ""               },
        {HTTP_LISTENER_STATUS, 404, "GET",     "/%2573tatus",         ""               },
        {HTTP_LISTENER_STATUS, 404, "POST",    "/luns/a/rearm",       ""               },
        {HTTP_LISTENER_STATUS, 404, "POST",    "/luns//1/rearm",      ""               },
        {HTTP_LISTENER_STATUS, 404, "GET",     "/boot/x",             ""               },
        {HTTP_LISTENER_BOOT,   404, "GET",     "/status",             ""               },
        {HTTP_LISTENER_BOOT,   404, "POST",    "/serving",            ""               },
        {HTTP_LISTENER_BOOT,   404, "GET",     "/boot",               ""               },
        {HTTP_LISTENER_BOOT,   404, "GET",     "/boot/",              ""               },
        {HTTP_LISTENER_BOOT,   404, "GET",     "/boot/a//b",          ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/../status",     ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/%2e%2e/status", ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/./x",           ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/a%2fb",         ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/a%5cb",         ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/a\\b",          ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/a%0ab",         ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/a%7f",          ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/%00",           ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "/boot/%",             ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "http://x/boot/a",     ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "*",                   ""               },
        {HTTP_LISTENER_BOOT,   400, "GET",     "",                    ""               },
        {HTTP_LISTENER_STATUS, 405, "POST",    "/status",             "GET, HEAD"      },
        {HTTP_LISTENER_STATUS, 405, "OPTIONS", "/serving",            "GET, HEAD, POST"},
        {HTTP_LISTENER_STATUS, 405, "GET",     "/luns/a/1/rearm",     "POST"           },
        {HTTP_LISTENER_STATUS, 405, "get",     "/status",             "GET, HEAD"      },
        {HTTP_LISTENER_STATUS, 404, "DELETE",  "/nothing",            ""               },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_request request;
        struct http_match match;
        struct http_refusal refusal = {0};
        begin(&request, rows[i].listener, rows[i].method, rows[i].target);
        assert_int_equal(route(&request, &match, &refusal), -EPROTO);
        assert_int_equal(refusal.status, rows[i].status);
        assert_string_equal(refusal.allow, rows[i].allow);
        assert_non_null(refusal.text);
    }
}

struct field {
    const char *name, *value;
};

static unsigned status_of(enum http_listener listener, const char *method, const char *target,
                          const struct field fields[4])
{
    struct http_request request;
    struct http_match match;
    struct http_refusal refusal = {.status = 200};
    http_request_begin(&request, listener, target);
    http_request_set_method(&request, method);
    for (unsigned i = 0; i < 4 && fields[i].name; i++)
        http_request_add_field(&request, fields[i].name, fields[i].value);
    int result = route(&request, &match, &refusal);
    assert_int_equal(result, refusal.status == 200 ? 0 : -EPROTO);
    return refusal.status;
}

#define ACTION                  \
    {                           \
        "X-Netboot-Target", "1" \
    }
#define HOST                 \
    {                        \
        "Host", "[::1]:9180" \
    }

static void test_fields(void **state)
{
    (void)state;
    // clang-format off
    static const struct {
        const char *method, *target;
        struct field fields[4];
        unsigned status;
    } rows[] = {
        {"GET", "/status", {HOST}, 200},
        {"GET", "/status", {{NULL, NULL}}, 400},
        {"GET", "/status", {HOST, {"host", "[::1]"}}, 400},
        {"GET", "/status", {{"Host", "evil.example"}}, 421},
        {"POST", "/serving", {HOST, ACTION}, 200},
        {"POST", "/serving", {HOST}, 403},
        {"POST", "/serving", {HOST, {"X-Netboot-Target", "yes"}}, 403},
        {"POST", "/serving", {HOST, {"X-Netboot-Target", ""}}, 403},
        {"POST", "/serving", {HOST, ACTION, ACTION}, 400},
        {"POST", "/serving", {{"Host", "evil.example"}, ACTION}, 421},
        {"POST", "/serving", {HOST, ACTION, {"Content-Length", "100"}}, 200},
        {"POST", "/serving", {HOST, ACTION, {"Content-Length", "101"}}, 413},
        {"POST", "/serving", {HOST, ACTION, {"Content-Length", "18446744073709551616"}}, 400},
        {"POST", "/serving", {HOST, ACTION, {"Content-Length", "-1"}}, 400},
        {"POST", "/serving", {HOST, ACTION, {"Content-Length", "3, 3"}}, 400},
        {"POST", "/serving", {HOST, ACTION, {"Content-Length", ""}}, 400},
        {"POST", "/serving", {HOST, ACTION, {"Transfer-Encoding", "chunked"}}, 411},
        {"POST", "/luns/a/1/rearm", {HOST, ACTION, {"Content-Length", "0"}}, 200},
        {"POST", "/luns/a/1/rearm", {HOST, ACTION, {"Content-Length", "1"}}, 413},
        {"GET", "/status", {HOST, {"Content-Length", "1"}}, 413},
    };
    // clang-format on
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(
            status_of(HTTP_LISTENER_STATUS, rows[i].method, rows[i].target, rows[i].fields),
            rows[i].status);
}

/* Clients on the boot network say whatever they were told; there is no action to protect. */
static void test_boot_listener_takes_any_host(void **state)
{
    (void)state;
    static const struct field none[4] =
        {
            {NULL, NULL}
    },
                              other[4] = {{"Host", "boot.example"}};
    assert_int_equal(status_of(HTTP_LISTENER_BOOT, "GET", "/boot/x", none), 200);
    assert_int_equal(status_of(HTTP_LISTENER_BOOT, "GET", "/boot/x", other), 200);
    assert_int_equal(status_of(HTTP_LISTENER_BOOT, "POST", "/boot/x/form", none), 200);
}

static void test_target_length(void **state)
{
    (void)state;
    char *target = malloc(HTTP_TARGET_BYTES_LIMIT + 2);
    static const struct field none[4] = {
        {NULL, NULL}
    };
    memset(target, 'a', HTTP_TARGET_BYTES_LIMIT + 1);
    memcpy(target, "/boot/", 6);
    target[HTTP_TARGET_BYTES_LIMIT + 1] = '\0';
    assert_int_equal(status_of(HTTP_LISTENER_BOOT, "GET", target, none), 414);
    target[HTTP_TARGET_BYTES_LIMIT] = '\0';
    assert_int_equal(status_of(HTTP_LISTENER_BOOT, "GET", target, none), 200);
    free(target);
}

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool known;
    } rows[] = {
        {"127.0.0.1",                      true },
        {"127.0.0.1:9180",                 true },
        {"192.0.2.1:80",                   true },
        {"[::1]",                          true },
        {"[2001:db8::1]:9180",             true },
        {"localhost",                      true },
        {"LocalHost:9180",                 true },
        {"netboot.example.org",            true },
        {"NETBOOT.example.org:9180",       true },
        {"netboot.example.org.",           false},
        {"evil.example",                   false},
        {"netboot.example.org.evil",       false},
        {"127.0.0.1.evil.example",         false},
        {"localhost.evil.example",         false},
        {"localhost@evil.example",         false},
        {"127.0.0.1:",                     false},
        {"127.0.0.1:80x",                  false},
        {"127.0.0.1:65536",                false},
        {"127.0.0.1:99999999999999999999", false},
        {"127.1",                          false},
        {"0x7f.1",                         false},
        {"::1",                            false},
        {"[::1",                           false},
        {"[::1]x",                         false},
        {"[]",                             false},
        {"[",                              false},
        {"[127.0.0.1]",                    false},
        {"",                               false},
        {":80",                            false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(http_host_is_known(rows[i].host, &hosts), rows[i].known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),        cmocka_unit_test(test_refused_addresses),
        cmocka_unit_test(test_fields),        cmocka_unit_test(test_boot_listener_takes_any_host),
        cmocka_unit_test(test_target_length), cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
