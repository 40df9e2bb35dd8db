/* test_decide.c - who boots what */
#include "fixture.h"

static const struct boot_lun writable[] = {{.number = 1}, {.number = 4}};
static const struct boot_lun read_only[] = {
    {.number = 0, .read_only = true}
};
static const struct boot_lun mixed[] = {
    {.number = 0, .read_only = true},
    {.number = 1          }
};
static const struct boot_lun per_client[] = {
    {.number = 0, .per_client = true}
};

struct fixture {
    struct boot_target targets[3];
    struct boot_rule rules[3];
    struct boot_policy policy;
    struct boot_decision decision;
};

#define TARGET(its_name, its_luns)                                                   \
    {                                                                                \
        .name = (its_name), .ready = true, .needs_secret = true, .luns = (its_luns), \
        .lun_count = ARRAY_SIZE(its_luns)                                            \
    }

static void begin(struct fixture *fixture)
{
    struct boot_client listed = client_of(MAC, NULL, NULL);
    *fixture = (struct fixture){
        .targets = {TARGET("laptop", writable), TARGET("rescue", read_only), TARGET("mix", mixed)},
        .rules = {{.has_mac = true, .open = true}  },
        .policy = {.serving = true,             .rule_count = 1,      .target_count = 3                    },
    };
    memcpy(fixture->rules[0].mac, listed.mac, BOOT_MAC_BYTES);
    fixture->policy.rules = fixture->rules;
    fixture->policy.targets = fixture->targets;
}

static void decide(struct fixture *fixture, struct boot_client client, bool authenticated,
                   enum boot_reason reason)
{
    boot_decide(&fixture->policy, &client, authenticated, &fixture->decision);
    assert_string_equal(boot_reason_text(fixture->decision.reason), boot_reason_text(reason));
    assert_int_equal(fixture->decision.verdict == BOOT_START, reason == BOOT_REASON_NONE);
}

#define LISTED   client_of(MAC, UUID, "S1")
#define STRANGER client_of("52-54-00-00-00-01", NULL, "S2")

static void test_a_listed_client_boots(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    assert_ptr_equal(fixture.decision.rule, &fixture.rules[0]);
    assert_ptr_equal(fixture.decision.target, &fixture.targets[0]);
    assert_int_equal(fixture.decision.lun, 1); /* the target's first */
    assert_false(fixture.decision.own_image || fixture.decision.menu);
}

static void test_a_stranger_does_not(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    decide(&fixture, STRANGER, false, BOOT_REASON_NOT_LISTED);
    assert_int_equal(fixture.decision.verdict, BOOT_REFUSE);
    assert_null(fixture.decision.target);
    decide(&fixture, client_of(NULL, NULL, NULL), false, BOOT_REASON_NOT_LISTED);
    decide(&fixture, STRANGER, true, BOOT_REASON_NONE); /* it proved the password */
}

static void test_open_targets_are_for_everybody(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.targets[2].open = true;
    decide(&fixture, STRANGER, false, BOOT_REASON_NONE);
    assert_ptr_equal(fixture.decision.target, &fixture.targets[2]);
    decide(&fixture, LISTED, false, BOOT_REASON_NONE); /* its rule comes first */
    assert_ptr_equal(fixture.decision.target, &fixture.targets[0]);
}

/* What is booted sees all LUNs of the target, so all must be harmless. */
static void test_harmless_targets_are_for_everybody(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.targets[2].needs_secret = false; /* mixed: one LUN can be written */
    decide(&fixture, STRANGER, false, BOOT_REASON_NOT_LISTED);
    fixture.targets[1].needs_secret = false;
    decide(&fixture, STRANGER, false, BOOT_REASON_NONE);
    assert_ptr_equal(fixture.decision.target, &fixture.targets[1]);
}

static void test_a_rule_without_open_wants_the_password(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0].open = false;
    decide(&fixture, LISTED, false, BOOT_REASON_PASSWORD);
    assert_int_equal(fixture.decision.verdict, BOOT_REFUSE);
    decide(&fixture, LISTED, true, BOOT_REASON_NONE);
}

/* Who is listed gets at least what strangers get; not an image of its own, which they do not. */
static void test_a_rule_takes_nothing_away(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0].open = false;
    fixture.targets[0].open = true;
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    fixture.rules[0].own_image = true;
    decide(&fixture, LISTED, false, BOOT_REASON_PASSWORD);
    decide(&fixture, LISTED, true, BOOT_REASON_NONE);
    begin(&fixture);
    fixture.rules[0].open = false;
    fixture.rules[0].target = "rescue";
    fixture.targets[1].needs_secret = false;
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    fixture.targets[1].needs_secret = true;
    decide(&fixture, LISTED, false, BOOT_REASON_PASSWORD);
}

static void test_all_that_a_rule_gives_must_match(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0].serial = "S1";
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    decide(&fixture, client_of(MAC, NULL, "S2"), false, BOOT_REASON_NOT_LISTED);
    decide(&fixture, client_of(MAC, NULL, NULL), false, BOOT_REASON_NOT_LISTED);
    fixture.rules[0] = (struct boot_rule){.open = true}; /* gives nothing: matches nobody */
    decide(&fixture, LISTED, false, BOOT_REASON_NOT_LISTED);
}

/* Firmware fills the field up; who copies it may or may not copy the blanks. */
static void test_a_serial_matches_without_the_blanks_around_it(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0] = (struct boot_rule){.serial = "PF 1", .open = true};
    decide(&fixture, client_of(MAC, NULL, "  PF 1   "), false, BOOT_REASON_NONE);
    decide(&fixture, client_of(MAC, NULL, "PF  1"), false, BOOT_REASON_NOT_LISTED);
    decide(&fixture, client_of(MAC, NULL, "PF 11"), false, BOOT_REASON_NOT_LISTED);
    decide(&fixture, client_of(MAC, NULL, "PF "), false, BOOT_REASON_NOT_LISTED);
    fixture.rules[0].serial = " PF 1 ";
    decide(&fixture, client_of(MAC, NULL, "PF 1"), false, BOOT_REASON_NONE);
    fixture.rules[0].serial = "  "; /* nobody's */
    decide(&fixture, client_of(MAC, NULL, NULL), false, BOOT_REASON_NOT_LISTED);
    decide(&fixture, client_of(MAC, NULL, "  "), false, BOOT_REASON_NOT_LISTED);
}

/* With one initiator name for all of them, two would own one disk. */
static void test_who_has_no_name_of_its_own_does_not_boot(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0] = (struct boot_rule){.serial = "S1", .open = true};
    decide(&fixture, client_of(NULL, NULL, "S1"), false, BOOT_REASON_NO_NAME);
    assert_int_equal(fixture.decision.verdict, BOOT_FAIL);
    decide(&fixture, client_of(NULL, UUID, "S1"), false, BOOT_REASON_NONE);
    fixture.rules[0].initiator = "iqn.2026-11.local.x:%m";
    decide(&fixture, client_of(NULL, NULL, "S1"), false, BOOT_REASON_NO_NAME);
    fixture.rules[0].initiator = "iqn.2026-11.local.x:s1";
    decide(&fixture, client_of(NULL, NULL, "S1"), false, BOOT_REASON_NONE);
    fixture.targets[0].open = true;
    decide(&fixture, client_of(NULL, NULL, NULL), false, BOOT_REASON_NO_NAME);
    decide(&fixture, client_of(MAC, NULL, NULL), false, BOOT_REASON_NONE);
}

static void test_a_uuid_matches_in_both_byte_orders(void **state)
{
    struct fixture fixture;
    struct boot_client listed = client_of(NULL, UUID, NULL);
    (void)state;
    begin(&fixture);
    fixture.rules[0] = (struct boot_rule){.has_uuid = true, .open = true};
    memcpy(fixture.rules[0].uuid, listed.uuid, BOOT_UUID_BYTES);
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    decide(&fixture, client_of(NULL, "33221100-5544-7766-8899-aabbccddeeff", NULL), false,
           BOOT_REASON_NONE);
    decide(&fixture, client_of(NULL, "33221100-4455-6677-8899-aabbccddeeff", NULL), false,
           BOOT_REASON_NOT_LISTED);
    decide(&fixture, client_of(NULL, "00112233-4455-6677-8899-aabbccddeefe", NULL), false,
           BOOT_REASON_NOT_LISTED);
    decide(&fixture, client_of(MAC, NULL, NULL), false, BOOT_REASON_NOT_LISTED);
}

static void test_the_first_rule_counts(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[1] = fixture.rules[0];
    fixture.rules[0].target = "rescue";
    fixture.rules[0].menu = true;
    fixture.policy.rule_count = 2;
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    assert_ptr_equal(fixture.decision.target, &fixture.targets[1]);
    assert_true(fixture.decision.menu);
}

static void test_a_rule_chooses_the_lun(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0].has_lun = true;
    fixture.rules[0].lun = 4;
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    assert_int_equal(fixture.decision.lun, 4);
    fixture.rules[0].lun = 2;
    decide(&fixture, LISTED, false, BOOT_REASON_NO_LUN);
    assert_int_equal(fixture.decision.verdict, BOOT_FAIL);
}

static void test_what_is_not_there(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0].target = "gone";
    decide(&fixture, LISTED, false, BOOT_REASON_NO_TARGET);
    fixture.policy.target_count = 0;
    decide(&fixture, STRANGER, false, BOOT_REASON_NO_TARGET);
    assert_int_equal(fixture.decision.verdict, BOOT_FAIL);
}

static void test_what_is_not_ready(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.targets[0].ready = false;
    decide(&fixture, LISTED, false, BOOT_REASON_NOT_READY);
    assert_int_equal(fixture.decision.verdict, BOOT_WAIT);
    fixture.policy.serving = false;
    decide(&fixture, LISTED, false, BOOT_REASON_NOT_SERVING);
    assert_int_equal(fixture.decision.verdict, BOOT_WAIT);
}

static void test_images_of_its_own(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.rules[0].own_image = true;
    fixture.targets[0].ready = false; /* another image's business */
    decide(&fixture, LISTED, false, BOOT_REASON_NONE);
    assert_true(fixture.decision.own_image);
    boot_decision_wait(&fixture.decision);
    assert_int_equal(fixture.decision.verdict, BOOT_WAIT);
    assert_int_equal(fixture.decision.reason, BOOT_REASON_NOT_READY);
}

static void test_images_named_by_mac(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    fixture.targets[0] = (struct boot_target)TARGET("images", per_client);
    fixture.targets[0].open = true;
    decide(&fixture, STRANGER, false, BOOT_REASON_NONE);
    assert_true(fixture.decision.own_image);
    decide(&fixture, client_of(NULL, UUID, "S2"), false, BOOT_REASON_NO_MAC);
    assert_int_equal(fixture.decision.verdict, BOOT_FAIL);
}

static void decide_other(struct fixture *fixture, struct boot_client client, const char *target,
                         bool authenticated, enum boot_reason reason)
{
    boot_decide_other(&fixture->policy, &client, target, NULL, authenticated, &fixture->decision);
    assert_string_equal(boot_reason_text(fixture->decision.reason), boot_reason_text(reason));
}

/* What a menu offers beside the client's own disk. */
static void test_another_disk_needs_the_password(void **state)
{
    static const unsigned first = 0, none = 9;
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    decide_other(&fixture, LISTED, "laptop", false, BOOT_REASON_NONE); /* its own */
    decide_other(&fixture, LISTED, "mix", false, BOOT_REASON_PASSWORD);
    decide_other(&fixture, LISTED, "mix", true, BOOT_REASON_NONE);
    assert_ptr_equal(fixture.decision.target, &fixture.targets[2]);
    assert_ptr_equal(fixture.decision.rule, &fixture.rules[0]);
    decide_other(&fixture, STRANGER, "laptop", false, BOOT_REASON_PASSWORD);
    decide_other(&fixture, STRANGER, "laptop", true, BOOT_REASON_NONE);
    decide_other(&fixture, STRANGER, "rescue", false, BOOT_REASON_PASSWORD); /* it has a secret */
    fixture.targets[1].needs_secret = false;
    decide_other(&fixture, STRANGER, "rescue", false, BOOT_REASON_NONE);
    fixture.targets[2].open = true;
    decide_other(&fixture, STRANGER, "mix", false, BOOT_REASON_NONE);
    decide_other(&fixture, STRANGER, "gone", true, BOOT_REASON_NO_TARGET);
    fixture.rules[0].open = false;
    decide_other(&fixture, LISTED, "laptop", false, BOOT_REASON_PASSWORD);
    fixture.policy.serving = false;
    decide_other(&fixture, LISTED, "mix", true, BOOT_REASON_NOT_SERVING);
    fixture.policy.serving = true;
    boot_decide_other(&fixture.policy, &(struct boot_client){0}, "mix", &none, true,
                      &fixture.decision);
    assert_int_equal(fixture.decision.reason, BOOT_REASON_NO_LUN);
    boot_decide_other(&fixture.policy, &(struct boot_client){0}, "mix", &first, true,
                      &fixture.decision);
    assert_int_equal(fixture.decision.lun, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_listed_client_boots),
        cmocka_unit_test(test_a_stranger_does_not),
        cmocka_unit_test(test_open_targets_are_for_everybody),
        cmocka_unit_test(test_harmless_targets_are_for_everybody),
        cmocka_unit_test(test_a_rule_without_open_wants_the_password),
        cmocka_unit_test(test_a_rule_takes_nothing_away),
        cmocka_unit_test(test_all_that_a_rule_gives_must_match),
        cmocka_unit_test(test_a_serial_matches_without_the_blanks_around_it),
        cmocka_unit_test(test_who_has_no_name_of_its_own_does_not_boot),
        cmocka_unit_test(test_a_uuid_matches_in_both_byte_orders),
        cmocka_unit_test(test_the_first_rule_counts),
        cmocka_unit_test(test_a_rule_chooses_the_lun),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_what_is_not_ready),
        cmocka_unit_test(test_images_of_its_own),
        cmocka_unit_test(test_images_named_by_mac),
        cmocka_unit_test(test_another_disk_needs_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
