/* test_addresses.c - endpoints, networks, MACs, UUIDs, designators. */
#include <arpa/inet.h>

#include "helper.h"

#include "config/internal.h"

/* Returns the parser's verdict; `value` is zeroed first. */
static bool parses(const struct value_type *type, const char *text, void *value)
{
    struct key key = {.name = "k", .type = type};
    struct error why = {""};
    struct value_input input = {.key = &key, .text = text};
    memset(value, 0, type->size);
    bool result = type->parse(&input, value, &why) == 0;
    assert_true(result || why.text[0]);
    return result;
}

static void endpoints(void **state)
{
    struct config_endpoint endpoint;
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&endpoint.address;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&endpoint.address;
    (void)state;
    assert_true(parses(&value_endpoint, "192.0.2.1:3260", &endpoint));
    assert_int_equal(ipv4->sin_family, AF_INET);
    assert_int_equal(ntohs(ipv4->sin_port), 3260);
    assert_int_equal(ipv4->sin_addr.s_addr, inet_addr("192.0.2.1"));
    assert_true(parses(&value_endpoint, "[2001:db8::1]:80", &endpoint));
    assert_int_equal(ipv6->sin6_family, AF_INET6);
    assert_int_equal(ntohs(ipv6->sin6_port), 80);
    assert_int_equal(ipv6->sin6_addr.s6_addr[15], 1);
    assert_true(parses(&value_endpoint, "[fe80::1%eth0]:80", &endpoint));
    assert_string_equal(endpoint.interface, "eth0");
    assert_true(parses(&value_endpoint, "*%eth0.7:80", &endpoint));
    assert_true(endpoint.wildcard);
    assert_string_equal(endpoint.interface, "eth0.7");
    static const char *const refused[] = {"",
                                          "80",
                                          ":80",
                                          "192.0.2.1",
                                          "192.0.2.1:",
                                          "x:80",
                                          "localhost:80",
                                          "192.0.2.1:65536",
                                          "192.0.2.1:-1",
                                          "2001:db8::1:80",
                                          "[::1]80",
                                          "[192.0.2.1]:80",
                                          "[*]:80",
                                          "*%:80",
                                          "*%sixteencharacter:80",
                                          "[fe80::1]:80",
                                          "192.0.2.1: 80",
                                          "[]:80",
                                          "192.0.2.01:80",
                                          NULL};
    for (const char *const *text = refused; *text; text++)
        assert_false(parses(&value_endpoint, *text, &endpoint));
}

static void a_star_is_both_families(void **state)
{
    (void)state;
    struct config *config = parse_good("portals = \"*%eth1:3261\"; targets = ({" DISK "})", 0);
    assert_int_equal(config->portals.count, 2);
    const struct config_endpoint *first = &config->portals.items[0];
    const struct config_endpoint *second = &config->portals.items[1];
    assert_int_equal(first->address.ss_family, AF_INET);
    assert_int_equal(second->address.ss_family, AF_INET6);
    assert_int_equal(((const struct sockaddr_in *)&first->address)->sin_port, htons(3261));
    assert_int_equal(((const struct sockaddr_in *)&first->address)->sin_addr.s_addr, 0);
    assert_int_equal(((const struct sockaddr_in6 *)&second->address)->sin6_port, htons(3261));
    assert_true(first->wildcard && second->wildcard);
    assert_string_equal(second->interface, "eth1");
    config_unref(config);
}

static void networks(void **state)
{
    struct config_network network;
    (void)state;
    assert_true(parses(&value_network, "192.0.2.0/24", &network));
    assert_int_equal(network.family, AF_INET);
    assert_int_equal(network.prefix, 24);
    assert_true(parses(&value_network, "192.0.2.7", &network));
    assert_int_equal(network.prefix, 32);
    assert_true(parses(&value_network, "2001:db8::/32", &network));
    assert_int_equal(network.family, AF_INET6);
    assert_int_equal(network.prefix, 32);
    assert_true(parses(&value_network, "0.0.0.0/0", &network));
    assert_false(parses(&value_network, "192.0.2.0/33", &network));
    assert_false(parses(&value_network, "2001:db8::/129", &network));
    assert_false(parses(&value_network, "192.0.2.0/", &network));
    assert_false(parses(&value_network, "/24", &network));
    assert_false(parses(&value_network, "eth0", &network));
    assert_true(parses(&value_interface_network, "192.168.200.1/24", &network));
    assert_int_equal(network.ipv4.s_addr, inet_addr("192.168.200.1"));
    assert_false(parses(&value_interface_network, "192.168.200.0/24", &network));
    assert_false(parses(&value_interface_network, "192.168.200.255/24", &network));
    assert_false(parses(&value_interface_network, "192.168.200.1", &network));
    assert_false(parses(&value_interface_network, "0.0.0.1/24", &network));
    assert_false(parses(&value_interface_network, "127.0.0.1/8", &network));
    assert_false(parses(&value_interface_network, "224.0.0.1/24", &network));
    assert_false(parses(&value_interface_network, "2001:db8::1/64", &network));
}

static void addresses_and_pools(void **state)
{
    struct in_addr address;
    struct config_pool pool;
    (void)state;
    assert_true(parses(&value_ipv4, "192.0.2.1", &address));
    assert_false(parses(&value_ipv4, "0.0.0.0", &address));
    assert_false(parses(&value_ipv4, "127.0.0.1", &address));
    assert_false(parses(&value_ipv4, "224.0.0.1", &address));
    assert_false(parses(&value_ipv4, "255.255.255.255", &address));
    assert_false(parses(&value_ipv4, "::1", &address));
    assert_true(parses(&value_pool, "192.0.2.10-192.0.2.20", &pool));
    assert_int_equal(pool.first.s_addr, inet_addr("192.0.2.10"));
    assert_int_equal(pool.last.s_addr, inet_addr("192.0.2.20"));
    assert_false(parses(&value_pool, "192.0.2.20-192.0.2.10", &pool));
    assert_false(parses(&value_pool, "192.0.2.20", &pool));
    assert_false(parses(&value_pool, "192.0.2.20-", &pool));
    assert_false(parses(&value_pool, "0.0.0.0-192.0.2.10", &pool));
    assert_false(parses(&value_pool, "0.0.0.9-192.0.2.10", &pool));
    assert_false(parses(&value_pool, "127.0.0.2-127.0.0.9", &pool));
    assert_false(parses(&value_pool, "223.255.255.250-224.0.0.9", &pool));
}

static void hexadecimal_names(void **state)
{
    static const uint8_t bytes[] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
    struct config_mac mac;
    struct config_uuid uuid;
    struct config_designator designator;
    (void)state;
    assert_true(parses(&value_mac, "52:54:00:AB:cd:ef", &mac));
    assert_memory_equal(mac.bytes, bytes, 6);
    assert_true(parses(&value_mac, "52-54-00-ab-cd-ef", &mac));
    assert_true(parses(&value_mac, "525400abcdef", &mac));
    assert_false(parses(&value_mac, "52:54:00:ab:cd", &mac));
    assert_false(parses(&value_mac, "52:54:00:ab:cd:ef:", &mac));
    assert_false(parses(&value_mac, "52:54:00:ab:cd:ef:01", &mac));
    assert_false(parses(&value_mac, "01:00:5e:00:00:01", &mac));
    assert_false(parses(&value_mac, "5:54:00:ab:cd:ef", &mac));
    assert_true(parses(&value_uuid, "00112233-4455-6677-8899-aabbccddeeff", &uuid));
    assert_int_equal(uuid.bytes[15], 0xff);
    assert_false(parses(&value_uuid, "00112233445566778899aabbccddeeff", &uuid));
    assert_false(parses(&value_uuid, "00112233-4455-6677-8899-aabbccddeef", &uuid));
    assert_true(parses(&value_naa, "0x3112233445566778", &designator));
    assert_int_equal(designator.length, 8);
    assert_true(parses(&value_naa, "60112233445566778899aabbccddeeff", &designator));
    assert_int_equal(designator.length, 16);
    assert_false(parses(&value_naa, "4112233445566778", &designator));
    assert_false(parses(&value_naa, "30112233445566778899aabbccddeeff", &designator));
    assert_false(parses(&value_naa, "31122334455667", &designator));
    assert_true(parses(&value_eui, "0011223344556677", &designator));
    assert_false(parses(&value_eui, "00112233445566", &designator));
    assert_false(parses(&value_eui, "001122334455667x", &designator));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints),         cmocka_unit_test(a_star_is_both_families),
        cmocka_unit_test(networks),          cmocka_unit_test(addresses_and_pools),
        cmocka_unit_test(hexadecimal_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
