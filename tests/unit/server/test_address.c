/* test_address.c - addresses of both families, as text and compared */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "server/address.h"

static struct sockaddr_storage make(sa_family_t family, const char *host, uint16_t port)
{
    struct sockaddr_storage address;
    assert_true(address_parse(family, host, &address));
    if (family == AF_INET)
        ((struct sockaddr_in *)&address)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
    return address;
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        sa_family_t family;
        const char *host;
        uint16_t port;
        const char *text;
    } rows[] = {
        {AF_INET,  "192.0.2.7",      3260,  "192.0.2.7:3260"     },
        {AF_INET,  "0.0.0.0",        0,     "0.0.0.0:0"          },
        {AF_INET6, "::1",            65535, "[::1]:65535"        },
        {AF_INET6, "::ffff:1.2.3.4", 1,     "[::ffff:1.2.3.4]:1" },
        {AF_INET6, "2001:db8::7",    51234, "[2001:db8::7]:51234"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct sockaddr_storage address = make(rows[i].family, rows[i].host, rows[i].port);
        char host[INET6_ADDRSTRLEN], text[ADDRESS_TEXT_BYTES];
        address_host(&address, host);
        address_text(&address, text);
        assert_string_equal(host, rows[i].host);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(address_port(&address), rows[i].port);
    }
}

static void test_same_host(void **state)
{
    (void)state;
    const struct sockaddr_storage a = make(AF_INET, "192.0.2.7", 1);
    const struct sockaddr_storage b = make(AF_INET, "192.0.2.7", 2);
    const struct sockaddr_storage c = make(AF_INET, "192.0.2.8", 1);
    const struct sockaddr_storage mapped = make(AF_INET6, "::ffff:192.0.2.7", 1);
    assert_true(address_same_host(&a, &b));
    assert_false(address_same_host(&a, &c));
    assert_false(address_same_host(&a, &mapped));
    assert_true(address_same_host(&mapped, &mapped));
}

static void test_parse_refuses(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    assert_false(address_parse(AF_INET, "::1", &address));
    assert_false(address_parse(AF_INET6, "192.0.2.7", &address));
    assert_false(address_parse(AF_INET, "", &address));
    assert_false(address_parse(AF_INET, "192.0.2.7:1", &address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_same_host),
        cmocka_unit_test(test_parse_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
