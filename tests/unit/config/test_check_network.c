/* test_check_network.c - interfaces and clients. */
#include "helper.h"

#include <netboot-target/util/array.h>

#define TAIL "; targets = ({ name = \"laptop\"; " DISK "})"

#define INTERFACE(keys) "interfaces = (\n{ name = \"eth0\";\n" keys "\n})" TAIL

static void pools(void **state)
{
    (void)state;
    config_unref(parse_good(INTERFACE("pool = \"192.168.200.2-192.168.200.9\""), 0));
    expect_error(INTERFACE("pool = \"192.168.201.2-192.168.201.9\""),
                 "test.conf:3: interface eth0: the pool lies outside the network of");
    expect_error(INTERFACE("pool = \"192.168.200.250-192.168.201.9\""),
                 "test.conf:3: interface eth0: the pool lies outside the network of");
    expect_error(INTERFACE("pool = \"192.168.200.1-192.168.200.9\""),
                 "test.conf:3: interface eth0: the pool holds our own fallback-address");
    expect_error(INTERFACE("pool = \"10.0.0.2-10.255.0.9\"; fallback-address = \"10.0.0.1/8\""),
                 "test.conf:3: interface eth0: the pool holds 16711688 addresses; at most 1024");
    /* As many as are served. */
    config_unref(parse_good(INTERFACE("pool = \"10.0.4.0-10.0.7.255\"; "
                                      "fallback-address = \"10.0.0.1/8\""),
                            0));
    expect_error(INTERFACE("pool = \"10.0.4.0-10.0.8.0\"; fallback-address = \"10.0.0.1/8\""),
                 "test.conf:3: interface eth0: the pool holds 1025 addresses; at most 1024");
    expect_error(
        INTERFACE("pool = \"192.168.200.100-192.168.200.255\""),
        "test.conf:3: interface eth0: the pool holds the broadcast address of its network");
    expect_error(INTERFACE("pool = \"192.168.200.0-192.168.200.9\""),
                 "test.conf:3: interface eth0: the pool holds the first address of its network");
    /* A server may have an address that is not ours to know. */
    config_unref(parse_good(INTERFACE("dhcp = \"server\"; pool = \"10.0.0.2-10.0.0.9\""), 0));
    expect_error(INTERFACE("dhcp = \"server\"; fallback-address = \"10.0.1.1/24\";"
                           " pool = \"10.0.0.2-10.0.0.9\""),
                 "test.conf:3: interface eth0: the pool lies outside");
}

static void interfaces(void **state)
{
    (void)state;
    expect_error(INTERFACE("router = \"10.0.0.1\""),
                 "test.conf:3: interface eth0: the router lies outside the network of");
    expect_error("interfaces = ({ dhcp = \"off\" })" TAIL,
                 "test.conf:1: an interface without a name");
    expect_error("interfaces = ({ name = \"eth0\" },\n{ name = \"eth0\"; dhcp = \"off\" })" TAIL,
                 "test.conf:2: the interface eth0 is given twice");
    expect_problem("interfaces = ({ name = \"eth0\" },\n{ name = \"eth1\"; "
                   "fallback-address = \"192.168.200.7/24\" })" TAIL,
                   "test.conf:2: interfaces eth0 and eth1 share one fallback network", true);
    config_unref(/* each gets a network of its own */
                 parse_good("interfaces = ({ name = \"eth0\" },\n{ name = \"eth1\" })" TAIL, 0));
    config_unref(parse_good("interfaces = ({ name = \"eth0\" },"
                            "{ name = \"eth1\"; dhcp = \"proxy\" })" TAIL,
                            0));
}

#define CLIENT(keys) "clients = (\n{ " keys " })" TAIL

static void client_targets(void **state)
{
    (void)state;
    config_unref(parse_good(CLIENT("serial = \"1\"; target = \"laptop\"; lun = 0"), 0));
    expect_error(CLIENT("serial = \"1\";\n target = \"labtop\""),
                 "test.conf:3: there is no target labtop; did you mean laptop?");
    expect_error(CLIENT("serial = \"1\";\n lun = 1"), "test.conf:3: target laptop has no LUN 1");
    expect_error(CLIENT("menu = true"), "test.conf:2: a client that nothing names");
    expect_error(CLIENT("serial = \"1\";\n device = \"UUID=1\""),
                 "test.conf:3: a client's own device is a path");
    expect_error(CLIENT("serial = \"1\";\n device = \"/srv/%m.img\""),
                 "test.conf:3: %m is the client's MAC, which is not given here");
}

/* DHCP tells no serial number. */
static void what_dhcp_tells(void **state)
{
    (void)state;
    static const char *const keys[] = {"address = \"10.0.0.1\"", "pxe-style = \"direct\"",
                                       "boot-file = \"ipxe.efi\""};
    char text[512], problem[256];
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        snprintf(text, sizeof text, "clients = (\n{ serial = \"1\";\n %s })" TAIL, keys[i]);
        snprintf(problem, sizeof problem,
                 "test.conf:3: %.*s is for a client's DHCP, which tells no "
                 "serial number: add its mac",
                 (int)strcspn(keys[i], " "), keys[i]);
        expect_error(text, problem);
        snprintf(text, sizeof text,
                 "clients = (\n{ serial = \"1\"; mac = \"52:54:00:00:00:01\"; %s })" TAIL, keys[i]);
        config_unref(parse_good(text, 0));
    }
}

#define TWO(one, two) "clients = ({ " one " },\n{ " two " })" TAIL
#define MAC(last)     "mac = \"52:54:00:00:00:" last "\"; "

static void duplicates(void **state)
{
    (void)state;
    expect_error(TWO(MAC("01"), "mac = \"525400000001\""), "test.conf:2: the MAC is given twice");
    expect_error(TWO("uuid = \"00112233-4455-6677-8899-aabbccddeeff\"",
                     "uuid = \"00112233-4455-6677-8899-AABBCCDDEEFF\""),
                 "test.conf:2: the UUID is given twice");
    expect_error(TWO("serial = \"PF1\"", "serial = \"PF1\""),
                 "test.conf:2: the serial number PF1 is given twice");
    config_unref(parse_good(TWO(MAC("01") "serial = \"PF1\"", "serial = \"PF1\""), 0));
    expect_error(TWO(MAC("01") "address = \"10.0.0.1\"", MAC("02") "address = \"10.0.0.1\""),
                 "test.conf:2: the address is given twice");
    expect_error(TWO(MAC("01") "initiator = \"iqn.2026-11.local.x\"",
                     MAC("02") "initiator = \"iqn.2026-11.local.x\""),
                 "test.conf:2: the initiator name iqn.2026-11.local.x is given twice");
    config_unref(parse_good(TWO(MAC("01") "initiator = \"iqn.2026-11.local.x:%m\"",
                                MAC("02") "initiator = \"iqn.2026-11.local.x:%m\""),
                            0));
    expect_error(
        "interfaces = ({ name = \"eth0\" });\n" CLIENT(MAC("01") "address = \"192.168.200.1\""),
        "test.conf:3: the address is our own on interface eth0");
}

#define ONLY(keys)                                                                                 \
    "; targets = ({ name = \"laptop\"; " DISK "; initiators = \"iqn.2026-11.local.x:*-01\"; " keys \
    "})"
#define NAMED(keys, more) "clients = (\n{ " MAC("01") keys " })" ONLY(more)

/* What the file itself gives a client, and its target refuses. */
static void clients_are_let_in(void **state)
{
    (void)state;
    config_unref(parse_good(NAMED("initiator = \"iqn.2026-11.local.x:%m\"", ""), 0));
    config_unref(parse_good(NAMED("initiator = \"iqn.2026-11.local.x:y-01\"", ""), 0));
    expect_problem(NAMED("initiator = \"iqn.2026-11.local.y:%m\"", ""),
                   "test.conf:2: target laptop does not let "
                   "iqn.2026-11.local.y:52-54-00-00-00-01 in: none of its initiators fits",
                   true);
    /* Its MAC is not known, so its name is not. */
    config_unref(parse_good("clients = ({ serial = \"1\"; initiator = \"iqn.2026-11.local.x:%m\""
                            " })" ONLY(""),
                            0));
    config_unref(parse_good(
        NAMED("address = \"10.0.0.9\"", "addresses = [ \"2001:db8::/64\", \"10.0.0.9\" ]"), 0));
    config_unref(parse_good(NAMED("address = \"10.0.0.9\"", "addresses = \"0.0.0.0/0\""), 0));
    expect_problem(
        NAMED("address = \"10.0.0.9\"", "addresses = [ \"2001:db8::/64\", \"10.0.0.8\" ]"),
        "test.conf:2: target laptop does not let this address in: none of its addresses", true);
}

/* The target of a client's image must not be taken for one that is written down. */
static void names_of_images(void **state)
{
    static const char *const machines[][2] = {
        {"mac = \"52:54:00:00:00:0A\"",                     "52-54-00-00-00-0a"                   },
        {"uuid = \"00112233-4455-6677-8899-AABBCCDDEEFF\"", "00112233-4455-6677-8899-aabbccddeeff"},
        {"serial = \"PF1\"",                                "PF1"                                 },
    };
    char text[512], problem[128];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
        for (int is_other = 0; is_other < 2; is_other++) {
            snprintf(text, sizeof text,
                     "targets = ({ name = \"a\"; luns = ({ device = \"/a\" }) },\n"
                     "{ name = \"a.%s%s\"; luns = ({ device = \"/b\" }) });\n"
                     "clients = ({ %s; device = \"/c\" })",
                     machines[i][1], is_other ? "b" : "", machines[i][0]);
            snprintf(problem, sizeof problem, "test.conf:3: its target is called a.%s, and there",
                     machines[i][1]);
            if (is_other)
                config_unref(parse_good(text, 0));
            else
                expect_error(text, problem);
        }
    }
    expect_error("targets = ({ name = \"a\"; luns = ({ device = \"/a/%m\" }) },\n"
                 "{ name = \"a.52-54-00-00-00-0a\"; luns = ({ device = \"/b\" }) })",
                 "test.conf:2: target a.52-54-00-00-00-0a: the image of a client on target a is");
    config_unref(parse_good("targets = ({ name = \"a\"; luns = ({ device = \"/a\" }) },\n"
                            "{ name = \"a.52-54-00-00-00-0a\"; luns = ({ device = \"/b\" }) })",
                            0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools),           cmocka_unit_test(interfaces),
        cmocka_unit_test(client_targets),  cmocka_unit_test(what_dhcp_tells),
        cmocka_unit_test(duplicates),      cmocka_unit_test(clients_are_let_in),
        cmocka_unit_test(names_of_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
