/* test_read.c - the tree against the schema: one syntax error, or all others together. */
#include "helper.h"

static void the_shortest_file(void **state)
{
    (void)state;
    struct config *config = parse_good("targets = ( { luns = ( { device = \"/dev/sda\" } ) } )", 0);
    const struct config_target *target = &config->targets.items[0];
    assert_int_equal(config->targets.count, 1);
    assert_string_equal(target->name, "target-1");
    assert_null(target->iqn);
    assert_int_equal(target->auth.mode, CONFIG_AUTH_MUTUAL);
    assert_string_equal(target->auth.user, "target-1");
    assert_string_equal(target->auth.target_user, "netboot-target");
    assert_int_equal(target->auth.secret.length, 0);
    assert_int_equal(target->auth.algorithms.count, 4);
    assert_int_equal(target->auth.algorithms.items[3], CONFIG_CHAP_MD5);
    assert_int_equal(target->luns.items[0].number, 0);
    assert_string_equal(target->luns.items[0].device, "/dev/sda");
    assert_int_equal(target->luns.items[0].rotation_rate, CONFIG_UNSET);
    assert_int_equal(target->hold_ms, 600000);
    assert_int_equal(config->portals.count, 2);
    assert_int_equal(config->interfaces.count, 0);
    assert_int_equal(config->discovery_auth.mode, CONFIG_AUTH_NONE);
    assert_int_equal(config->status.listen.count, 1);
    assert_string_equal(config->state_directory, "/var/lib/netboot-target");
    assert_string_equal(config->boot.files.bios, "undionly.kpxe");
    assert_int_equal(config->limits.queue_depth, 256);
    assert_int_equal(config->log_level, LOG_LEVEL_INFO);
    config_unref(config);
}

/* The file of docs/architecture.md, less its menu's password file. */
static void the_usual_file(void **state)
{
    (void)state;
    struct config *config = parse_good(
        "interfaces = ( { name = \"eth0\", dhcp = \"auto\","
        "                 fallback-address = \"192.168.200.1/24\" } )\n"
        "targets = ( {\n"
        "  name = \"laptop\"\n"
        "  luns = ( { disk-with = \"UUID=6f1c\" } )\n"
        "  auth = { mode = \"mutual\" }\n"
        "  initiators = [ \"iqn.2010-04.org.ipxe:*\" ]\n"
        "} )\n"
        "clients = ( { mac = \"52:54:00:ab:cd:ef\", target = \"laptop\", menu = false } )\n"
        "menu   = { user = \"me\", timeout = \"10s\" }\n"
        "status = { listen = \"127.0.0.1:9180\" }\n",
        0);
    assert_string_equal(config->interfaces.items[0].name, "eth0");
    assert_string_equal(config->targets.items[0].luns.items[0].disk_with, "UUID=6f1c");
    assert_null(config->targets.items[0].luns.items[0].device);
    assert_string_equal(config->targets.items[0].initiators.items[0], "iqn.2010-04.org.ipxe:*");
    assert_int_equal(config->targets.items[0].place.line, 2);
    assert_string_equal(config->targets.items[0].place.file, "test.conf");
    assert_true(config->clients.items[0].mac.set);
    assert_int_equal(config->clients.items[0].lun, CONFIG_UNSET);
    assert_false(config->clients.items[0].open);
    assert_int_equal(config->menu.timeout_ms, 10000);
    config_unref(config);
}

static void lun_numbers(void **state)
{
    (void)state;
    struct config *config =
        parse_good("targets = ({ first-lun = 1; luns = ( { device = \"/a\" }, { device = \"/b\" },"
                   " { device = \"/c\", lun = 7 }, { device = \"/d\" } ) })",
                   0);
    static const uint32_t wanted[] = {1, 2, 7, 8};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(config->targets.items[0].luns.items[i].number, wanted[i]);
    config_unref(config);
}

static void a_syntax_error_stands_alone(void **state)
{
    (void)state;
    expect_error("targt = 1\nlimits = { queue-depth = 99999999999 }\nx = = 2\n",
                 "test.conf:3: syntax error here or just before");
    expect_error("a = 1\na = 2\n", "test.conf:2: a key is written twice in one group");
    expect_error("a = [ 1, \"x\" ]\n", "test.conf:1: the values between [ and ]");
    expect_error("a = {\n", "test.conf:");
    expect_error("\na = \"x\n\n", "test.conf:2: the quoted text that begins here has no end");
    expect_error("a = 1\n/* x\n\n", "test.conf:2: the comment that begins here has no end");
}

static void all_others_together(void **state)
{
    struct config_errors errors = {0};
    (void)state;
    assert_null(parse("log-levl = \"info\"\n"
                      "limits = {\n"
                      "  queue-depth = 0\n"
                      "  logins = 99999999999 }\n"
                      "targets = ( {\n"
                      "  name = \"a/b\"\n"
                      "  luns = ( { devise = \"/dev/sda\" } ) } )\n"
                      "clients = ( { target = \"x\" } )\n",
                      &errors));
    static const char *const wanted[] = {
        "test.conf:4: 99999999999 is beyond 32 bits",
        "test.conf:1: there is no key \"log-levl\"; did you mean \"log-level\"?",
        "test.conf:6: targets.name: \"a/b\" is no quoted name",
        "test.conf:7: there is no key \"devise\" in targets.luns; did you mean \"device\"?",
        "test.conf:3: limits.queue-depth: 0 is out of range: it is from 1 to 4096",
        "test.conf:7: target target-1: the LUN has no disk",
        "test.conf:8: a client that nothing names",
        "test.conf:8: there is no target x",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        bool found = false;
        for (unsigned j = 0; j < errors.count; j++)
            found = found || strncmp(errors.items[j].text, wanted[i], strlen(wanted[i])) == 0;
        if (!found) {
            fprintf(stderr, "wanted: %s\n", wanted[i]);
            config_errors_print(&errors, stderr);
        }
        assert_true(found);
    }
    config_errors_done(&errors);
}

static void unknown_keys(void **state)
{
    (void)state;
    expect_error("targets = ({" DISK "});\nzzzzz = 1",
                 "test.conf:2: there is no key \"zzzzz\"; netboot-target --help=config lists");
    expect_error(
        "targets = ({" DISK "; auth = { secrt = \"x\" } })",
        "test.conf:1: there is no key \"secrt\" in targets.auth; did you mean \"secret\"?");
    expect_error("targets = ({" DISK "; initiator = \"x\" })",
                 "test.conf:1: there is no key \"initiator\" in targets; did you mean "
                 "\"initiators\"?");
}

static void wrong_shapes(void **state)
{
    (void)state;
    expect_error("targets = { " DISK " }", "test.conf:1: targets: the value is no list of groups");
    expect_error("targets = ( 1 )", "test.conf:1: targets: it holds something else than groups");
    expect_error("targets = ({" DISK "; auth = 1 })",
                 "test.conf:1: targets.auth: the value is no group");
    expect_error("targets = ({" DISK "}); portals = { a = 1 }",
                 "test.conf:1: portals: the value is no list of values");
    expect_error("targets = ({" DISK "}); portals = [ 1 ]",
                 "test.conf:1: portals: the value is no listen address");
    expect_error("targets = ({" DISK "});\nportals = ( \"*:1\", ( ) )",
                 "test.conf:2: portals: the value is no listen address");
}

static void lists(void **state)
{
    (void)state;
    struct config *config = parse_good("targets = ({" DISK "; addresses = \"10.0.0.0/8\" });"
                                       "portals = [ \"127.0.0.1:1\", \"[::1]:1\" ];"
                                       "status = { listen = [] }",
                                       0);
    assert_int_equal(config->targets.items[0].addresses.count, 1);
    assert_int_equal(config->portals.count, 2);
    assert_int_equal(config->status.listen.count, 0);
    config_unref(config);
    expect_error("targets = ({" DISK "});\ninterfaces = ({ name = \"eth0\","
                 " dns = [ \"1.1.1.1\", \"1.1.1.2\", \"1.1.1.3\", \"1.1.1.4\" ] })",
                 "test.conf:2: interfaces.dns: 4 of them; at most 3 are possible");
}

static void nothing_to_serve(void **state)
{
    (void)state;
    expect_problem("", "test.conf:", true);
    expect_problem("log-level = \"info\"", "test.conf:1: no disk is served", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shortest_file),   cmocka_unit_test(the_usual_file),
        cmocka_unit_test(lun_numbers),         cmocka_unit_test(a_syntax_error_stands_alone),
        cmocka_unit_test(all_others_together), cmocka_unit_test(unknown_keys),
        cmocka_unit_test(wrong_shapes),        cmocka_unit_test(lists),
        cmocka_unit_test(nothing_to_serve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
