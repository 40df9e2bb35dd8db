/* test_target.c - names, lists of who may come, ownership. */
#include "iscsi/target.h"
#include "login_fixture.h"
#include <netboot-target/block.h>
#include <netboot-target/util/array.h>

static struct iscsi_target *make(const struct iscsi_target_options *options, struct error *error)
{
    *error = (struct error){0};
    struct iscsi_target *target = iscsi_target_new(options, NULL, error);
    assert_int_equal(target == NULL, error->text[0] != '\0');
    return target;
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *normal; /* NULL: refused */
    } cases[] = {
        {"iqn.2026-11.local.netboot-target:disk",         "iqn.2026-11.local.netboot-target:disk"},
        {"IQN.2026-11.Local.Netboot-Target:DISK",         "iqn.2026-11.local.netboot-target:disk"},
        {"iqn.2001-04.com.example",                       "iqn.2001-04.com.example"              },
        {"iqn.2001-04.com.example:storage:disk1.sys.xyz",
         "iqn.2001-04.com.example:storage:disk1.sys.xyz"                                         },
        {"eui.02004567A425678D",                          "eui.02004567a425678d"                 },
        {"naa.52004567BA64678D",                          "naa.52004567ba64678d"                 },
        {"naa.62004567BA64678D0123456789ABCDEF",          "naa.62004567ba64678d0123456789abcdef" },
        {"",                                              NULL                                   },
        {"disk",                                          NULL                                   },
        {"iqn.",                                          NULL                                   },
        {"iqn.2026-11.",                                  NULL                                   },
        {"iqn.2026-11",                                   NULL                                   },
        {"iqn.26-11.local",                               NULL                                   },
        {"iqn.2026.11.local",                             NULL                                   },
        {"iqn.2026-11.:x",                                NULL                                   },
        {"iqn.2026-11.local:a b",                         NULL                                   },
        {"iqn.2026-11.local:a_b",                         NULL                                   },
        {"iqn.2026-11.local:a\n",                         NULL                                   },
        {"iqn.2026-11.local:\xc3\xa4",                    NULL                                   },
        {"iqn.2026-11.local:a/b",                         NULL                                   },
        {"eui.02004567A425678",                           NULL                                   },
        {"eui.02004567A425678D0",                         NULL                                   },
        {"eui.02004567A425678G",                          NULL                                   },
        {"naa.5200",                                      NULL                                   },
        {"xyz.2026-11.local",                             NULL                                   },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error;
        struct iscsi_target_options options = {.name = cases[i].name};
        struct iscsi_target *target = make(&options, &error);
        if (!target != !cases[i].normal)
            fail_msg("\"%s\": %s", cases[i].name, target ? "taken" : error.text);
        if (target)
            assert_string_equal(target->name, cases[i].normal);
        iscsi_target_free(target);
    }
}

static void test_longest_name(void **state)
{
    (void)state;
    for (size_t length = 222; length <= 225; length++) {
        char name[256] = "iqn.2026-11.local:";
        struct error error;
        memset(name + strlen(name), 'x', length - strlen(name));
        struct iscsi_target_options options = {.name = name};
        struct iscsi_target *target = make(&options, &error);
        assert_int_equal(target != NULL, length <= 223);
        iscsi_target_free(target);
    }
}

static void test_options_are_copied(void **state)
{
    (void)state;
    char name[] = TARGET, alias[] = "alias", pattern[] = "iqn.a:*", network[] = "192.0.2.0/24";
    struct iscsi_credentials credentials[] = {
        {USER, SECRET}
    };
    const char *patterns[] = {pattern}, *networks[] = {network};
    struct error error;
    const struct iscsi_target_options options = {
        .name = name,
        .alias = alias,
        .auth = {.mode = ISCSI_AUTH_CHAP, .initiators = credentials, .initiator_count = 1},
        .initiators = patterns,
        .initiator_count = 1,
        .addresses = networks,
        .address_count = 1,
    };
    struct iscsi_target *target = make(&options, &error);
    assert_non_null(target);
    memset(name, 'X', sizeof name);
    memset(alias, 'X', sizeof alias);
    memset(pattern, 'X', sizeof pattern);
    memset(network, 'X', sizeof network);
    memset(credentials, 'X', sizeof credentials);
    patterns[0] = networks[0] = NULL;
    assert_string_equal(target->name, TARGET);
    assert_string_equal(target->alias, "alias");
    assert_string_equal(target->auth.initiators[0].name, USER);
    assert_string_equal(target->auth.initiators[0].secret, SECRET);
    const struct sockaddr_storage peer = address("192.0.2.9");
    assert_true(iscsi_target_admits(target, "iqn.a:b", &peer));
    iscsi_target_free(target);
    iscsi_target_free(NULL);
}

static bool admits(const char *pattern, const char *network, const char *initiator,
                   const char *from)
{
    struct error error;
    const struct iscsi_target_options options = {.name = TARGET,
                                                 .initiators = &pattern,
                                                 .initiator_count = pattern != NULL,
                                                 .addresses = &network,
                                                 .address_count = network != NULL};
    struct iscsi_target *target = make(&options, &error);
    assert_non_null(target);
    const struct sockaddr_storage peer = address(from);
    bool result = iscsi_target_admits(target, initiator, &peer);
    iscsi_target_free(target);
    return result;
}

static void test_initiator_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *initiator;
        bool admitted;
    } cases[] = {
        {NULL,          "iqn.a:b",            true },
        {"*",           "iqn.a:b",            true },
        {"iqn.a:b",     "iqn.a:b",            true },
        {"iqn.a:b",     "IQN.A:B",            true },
        {"IQN.A:*",     "iqn.a:b",            true },
        {"iqn.a:?",     "iqn.a:b",            true },
        {"iqn.a:?",     "iqn.a:bc",           false},
        {"iqn.a:[bc]",  "iqn.a:c",            true },
        {"iqn.a:[bc]",  "iqn.a:d",            false},
        {"iqn.a:b",     "iqn.a:bc",           false},
        {"iqn.a:b",     "iqn.a:",             false},
        {"iqn.*.org:*", "iqn.2010-04.org:x",  true },
        {"iqn.*.org:*", "iqn.2010-04.orgs:x", false},
        {"",            "iqn.a:b",            false},
        {"*",           "",                   false}, /* no name at all */
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        if (admits(cases[i].pattern, NULL, cases[i].initiator, "192.0.2.1") != cases[i].admitted)
            fail_msg("pattern %s, initiator %s", cases[i].pattern, cases[i].initiator);
}

static void test_address_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *network, *from;
        bool admitted;
    } cases[] = {
        {NULL,                   "192.0.2.1",          true },
        {"192.0.2.1",            "192.0.2.1",          true },
        {"192.0.2.1",            "192.0.2.2",          false},
        {"192.0.2.1",            "::ffff:192.0.2.1",   true },
        {"192.0.2.0/24",         "192.0.2.255",        true },
        {"192.0.2.0/24",         "::ffff:192.0.2.255", true },
        {"192.0.2.0/24",         "192.0.3.0",          false},
        {"192.0.2.128/25",       "192.0.2.127",        false},
        {"192.0.2.128/25",       "192.0.2.128",        true },
        {"192.0.2.77/25",        "192.0.2.1",          true }, /* host bits do not matter */
        {"192.0.2.4/31",         "192.0.2.5",          true },
        {"192.0.2.4/31",         "192.0.2.6",          false},
        {"192.0.2.4/32",         "192.0.2.4",          true },
        {"0.0.0.0/0",            "203.0.113.9",        true },
        {"0.0.0.0/0",            "2001:db8::1",        false},
        {"::/0",                 "2001:db8::1",        true },
        {"::/0",                 "192.0.2.1",          true },
        {"::ffff:192.0.2.0/120", "192.0.2.200",        true },
        {"2001:db8::/32",        "2001:db8:ffff::1",   true },
        {"2001:db8::/32",        "2001:db9::1",        false},
        {"2001:db8::/33",        "2001:db8:8000::1",   false},
        {"2001:db8::1",          "2001:db8::1",        true },
        {"2001:db8::1",          "2001:db8::2",        false},
        {"fe80::/10",            "febf::1",            true },
        {"fe80::/10",            "fec0::1",            false},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        if (admits(NULL, cases[i].network, INITIATOR, cases[i].from) != cases[i].admitted)
            fail_msg("network %s, from %s", cases[i].network, cases[i].from);
}

static void test_both_lists_must_agree(void **state)
{
    (void)state;
    assert_true(admits("iqn.a:*", "192.0.2.0/24", "iqn.a:b", "192.0.2.1"));
    assert_false(admits("iqn.a:*", "192.0.2.0/24", "iqn.b:b", "192.0.2.1"));
    assert_false(admits("iqn.a:*", "192.0.2.0/24", "iqn.a:b", "192.0.3.1"));
}

static void test_other_families_are_not_admitted_by_address(void **state)
{
    (void)state;
    const char *everywhere[] = {"::/0", "0.0.0.0/0"};
    struct error error;
    const struct iscsi_target_options options = {
        .name = TARGET, .addresses = everywhere, .address_count = 2};
    struct iscsi_target *target = make(&options, &error);
    const struct sockaddr_storage local = {.ss_family = AF_UNIX};
    assert_false(iscsi_target_admits(target, INITIATOR, &local));
    iscsi_target_free(target);
}

static void test_bad_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "192.0.2",
        "192.0.2.0/33",
        "192.0.2.0/",
        "192.0.2.0/-1",
        "192.0.2.0/x",
        "host",
        "192.0.2.0/24/",
        "2001:db8::/129",
        "2001:db8::g",
        "*",
        "192.0.2.*",
        "/24",
        "192.0.2.1:3260",
        "192.0.2.0/024",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error error;
        const struct iscsi_target_options options = {
            .name = TARGET, .addresses = &bad[i], .address_count = 1};
        if (make(&options, &error))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(strstr(error.text, "192.0.2.0/24")); /* says what would be right */
    }
}

static void test_secrets_are_checked(void **state)
{
    (void)state;
    static const struct iscsi_credentials same_as_target[] = {
        {USER,    SECRET},
        {"other", PROOF }
    };
    static const struct iscsi_credentials empty_secret[] = {
        {USER, ""}
    };
    static const struct iscsi_credentials empty_name[] = {
        {"", SECRET}
    };
    const struct {
        struct iscsi_auth auth;
        const char *why; /* NULL: taken */
    } cases[] = {
        {{.mode = ISCSI_AUTH_NONE},                                  NULL                       },
        {{ISCSI_AUTH_CHAP, one_initiator, 1, {"", ""}, 0},           NULL                       },
        {{ISCSI_AUTH_MUTUAL, one_initiator, 1, {PROVER, PROOF}, 0},  NULL                       },
        {{ISCSI_AUTH_CHAP, NULL, 0, {"", ""}, 0},                    "no initiator has a secret"},
        {{ISCSI_AUTH_CHAP, empty_secret, 1, {"", ""}, 0},            "empty"                    },
        {{ISCSI_AUTH_CHAP, empty_name, 1, {"", ""}, 0},              "empty"                    },
        {{ISCSI_AUTH_MUTUAL, one_initiator, 1, {"", ""}, 0},         "mutual CHAP"              },
        {{ISCSI_AUTH_MUTUAL, one_initiator, 1, {PROVER, ""}, 0},     "mutual CHAP"              },
        {{ISCSI_AUTH_MUTUAL, same_as_target, 2, {PROVER, PROOF}, 0}, "same secret"              },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error;
        struct iscsi_target_options options = {.name = TARGET, .auth = cases[i].auth};
        struct iscsi_target *target = make(&options, &error);
        assert_int_equal(target == NULL, cases[i].why != NULL);
        if (cases[i].why)
            assert_non_null(strstr(error.text, cases[i].why));
        assert_null(strstr(error.text, SECRET));
        iscsi_target_free(target);
    }
}

static void test_find(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    fixture_init(&fixture, &options);
    assert_ptr_equal(iscsi_node_find_target(fixture.node, TARGET), fixture.target);
    assert_ptr_equal(iscsi_node_find_target(fixture.node, "IQN.2026-11.local.netboot-target:Disk"),
                     fixture.target);
    static const char *const others[] = {"", "iqn.2026-11.local.netboot-target:dis", (TARGET "x"),
                                         (" " TARGET), "*"};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_null(iscsi_node_find_target(fixture.node, others[i]));
    struct iscsi_target *twin = iscsi_target_new(&options, NULL, NULL);
    assert_int_equal(iscsi_node_add_target(fixture.node, twin), -EEXIST);
    iscsi_target_free(twin);
    fixture_done(&fixture);
}

/* ── ownership ───────────────────────────────────────────────────────────────────────────────── */

#define FIRST  "iqn.a:first"
#define SECOND "iqn.a:second"

static void test_login_of_another_than_the_owner(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = open_options();
    struct block_device device = {
        .geometry = {.blocks = 2048, .logical_block_bytes = 512, .physical_block_bytes = 512}
    };
    const struct scsi_environment environment = {0};
    const struct scsi_lu_options lu_options = {.vendor = "NETBOOT"};
    options.hold_ms = 1000000;
    fixture_init(&fixture, &options);
    struct scsi_lu *lu = scsi_lu_new(&environment, &device, &lu_options);
    assert_int_equal(scsi_target_add_lu(fixture.scsi, 0, lu), 0);
    iscsi_target_set_owner(fixture.target, FIRST, 0, 1);
    assert_int_equal(
        send_text(&fixture, T(1, 3), "InitiatorName=" SECOND "\nTargetName=" TARGET "\n"),
        ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0202);
    assert_non_null(strstr(fixture.answer.reason, FIRST)); /* says who has it */
    start_anew(&fixture);
    assert_int_equal(
        send_text(&fixture, T(1, 3), "InitiatorName=" FIRST "\nTargetName=" TARGET "\n"),
        ISCSI_LOGIN_COMPLETE);
    fixture_done(&fixture);
    scsi_lu_free(lu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_options_are_copied),
        cmocka_unit_test(test_initiator_patterns),
        cmocka_unit_test(test_address_patterns),
        cmocka_unit_test(test_both_lists_must_agree),
        cmocka_unit_test(test_other_families_are_not_admitted_by_address),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_secrets_are_checked),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_login_of_another_than_the_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
