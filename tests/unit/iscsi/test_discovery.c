/* test_discovery.c - text requests of the full feature phase. */
#include "iscsi/text.h"
#include "login_fixture.h"
#include <netboot-target/util/array.h>

#define PORTAL  "192.0.2.1:3260"
#define VISIBLE "iqn.2026-11.local.netboot-target:second"
#define HIDDEN  "iqn.2026-11.local.netboot-target:hidden"
#define REMOTE  "iqn.2026-11.local.netboot-target:remote"

static const char *const others_only[] = {"iqn.2010-04.org.other:*"};
static const char *const elsewhere[] = {"198.51.100.0/24"};

static const struct iscsi_target_options more_targets[] = {
    {.name = HIDDEN,      .initiators = others_only, .initiator_count = 1},
    {.name = VISIBLE    },
    {.name = REMOTE, .addresses = elsewhere,                          .address_count = 1                                },
};

struct world {
    struct fixture fixture;
    struct iscsi_target *more[ARRAY_SIZE(more_targets)];
    struct iscsi_login_result session;
    struct buffer reply;
};

static void begin(struct world *world, bool discovery)
{
    struct iscsi_target_options options = open_options();
    *world = (struct world){.session.discovery = discovery};
    fixture_init(&world->fixture, &options);
    for (unsigned i = 0; i < ARRAY_SIZE(more_targets); i++) {
        world->more[i] = iscsi_target_new(&more_targets[i], NULL, NULL);
        assert_non_null(world->more[i]);
        assert_int_equal(iscsi_node_add_target(world->fixture.node, world->more[i]), 0);
    }
    strcpy(world->session.initiator, INITIATOR);
    world->session.target = discovery ? NULL : world->fixture.target;
    world->session.parameters.max_send_bytes = 8192;
    buffer_init(&world->reply, 65536);
}

static void end(struct world *world)
{
    for (unsigned i = 0; i < ARRAY_SIZE(more_targets); i++) {
        bool removed = false;
        iscsi_node_remove_target(world->fixture.node, world->more[i], note_removed, &removed);
        iscsi_target_free(world->more[i]);
    }
    fixture_done(&world->fixture);
    buffer_done(&world->reply);
}

/* `length` bytes, the last one a NUL as in a string constant. */
static enum iscsi_text_verdict ask(struct world *world, const char *text, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, text, length);
    buffer_clear(&world->reply);
    enum iscsi_text_verdict verdict =
        iscsi_text_receive(world->fixture.node, &world->session, &world->fixture.peer, PORTAL, copy,
                           length, &world->reply);
    free(copy);
    return verdict;
}

#define ASK(world, text) ask(world, text, sizeof(text))

static void check_reply(const struct world *world, const char *expected, size_t length)
{
    assert_int_equal(world->reply.length, length);
    if (length)
        assert_memory_equal(world->reply.data, expected, length);
}

static const char of_all[] = "TargetName=" TARGET "\0TargetAddress=" PORTAL ",1\0"
                             "TargetName=" VISIBLE "\0TargetAddress=" PORTAL ",1";
static const char of_own[] = "TargetName=" TARGET "\0TargetAddress=" PORTAL ",1";
static const char of_second[] = "TargetName=" VISIBLE "\0TargetAddress=" PORTAL ",1";

static void test_all_it_may_reach(void **state)
{
    (void)state;
    struct world world;
    begin(&world, true);
    assert_int_equal(ASK(&world, "SendTargets=All"), ISCSI_TEXT_ANSWER);
    check_reply(&world, of_all, sizeof of_all);
    end(&world);
}

static void test_targets_that_are_not_ready_are_shown(void **state)
{
    (void)state;
    struct world world;
    begin(&world, true);
    iscsi_target_set_ready(world.fixture.target, false);
    assert_int_equal(ASK(&world, "SendTargets=All"), ISCSI_TEXT_ANSWER);
    check_reply(&world, of_all, sizeof of_all);
    end(&world);
}

static void test_one_by_name(void **state)
{
    (void)state;
    struct world world;
    begin(&world, true);
    assert_int_equal(ASK(&world, "SendTargets=" VISIBLE), ISCSI_TEXT_ANSWER);
    check_reply(&world, of_second, sizeof of_second);
    /* One that is hidden looks like one that is not there. */
    assert_int_equal(ASK(&world, "SendTargets=" HIDDEN), ISCSI_TEXT_ANSWER);
    check_reply(&world, "", 0);
    assert_int_equal(ASK(&world, "SendTargets=" REMOTE), ISCSI_TEXT_ANSWER);
    check_reply(&world, "", 0);
    assert_int_equal(ASK(&world, "SendTargets=iqn.2026-11.local:nobody"), ISCSI_TEXT_ANSWER);
    check_reply(&world, "", 0);
    end(&world);
}

static void test_own_target_in_a_normal_session(void **state)
{
    (void)state;
    struct world world;
    begin(&world, false);
    assert_int_equal(ASK(&world, "SendTargets=All"), ISCSI_TEXT_ANSWER);
    check_reply(&world, of_own, sizeof of_own);
    assert_int_equal(ASK(&world, "SendTargets="), ISCSI_TEXT_ANSWER);
    check_reply(&world, of_own, sizeof of_own);
    assert_int_equal(ASK(&world, "SendTargets=" TARGET), ISCSI_TEXT_ANSWER);
    check_reply(&world, of_own, sizeof of_own);
    assert_int_equal(ASK(&world, "SendTargets=" VISIBLE), ISCSI_TEXT_REJECT);
    assert_int_equal(ASK(&world, "SendTargets=" HIDDEN), ISCSI_TEXT_REJECT);
    end(&world);
}

static void test_rejected(void **state)
{
    (void)state;
    for (unsigned discovery = 0; discovery <= 1; discovery++) {
        struct world world;
        begin(&world, discovery);
        assert_int_equal(ASK(&world, "SendTargetsPlease=All"), ISCSI_TEXT_REJECT);
        assert_int_equal(ASK(&world, "SendTargets=Alle"), ISCSI_TEXT_REJECT);
        assert_int_equal(ASK(&world, "SendTargets=A"), ISCSI_TEXT_REJECT);
        assert_int_equal(ASK(&world, "SendTargets=all"), ISCSI_TEXT_REJECT);
        assert_int_equal(ASK(&world, "sENDtARGETS=aLL"), ISCSI_TEXT_REJECT);
        assert_int_equal(ASK(&world, "SendTargets"), ISCSI_TEXT_REJECT);
        assert_int_equal(ask(&world, "SendTargets=All", 15), ISCSI_TEXT_REJECT); /* no NUL */
        assert_int_equal(ASK(&world, "SendTargets=All"), ISCSI_TEXT_ANSWER);     /* still works */
        end(&world);
    }
    struct world world;
    begin(&world, true);
    assert_int_equal(ASK(&world, "SendTargets="), ISCSI_TEXT_REJECT);
    end(&world);
}

static void test_other_keys(void **state)
{
    (void)state;
    struct world world;
    begin(&world, false);
    assert_int_equal(ASK(&world, ""), ISCSI_TEXT_ANSWER);
    assert_int_equal(world.reply.length, 0);
    assert_int_equal(ASK(&world, "InitiatorAlias=laptop"), ISCSI_TEXT_ANSWER);
    assert_int_equal(world.reply.length, 0);
    assert_int_equal(ASK(&world, "MaxRecvDataSegmentLength=65536"), ISCSI_TEXT_ANSWER);
    assert_int_equal(world.reply.length, 0);
    assert_int_equal(world.session.parameters.max_send_bytes, 65536);
    assert_int_equal(ASK(&world, "MaxRecvDataSegmentLength=1"), ISCSI_TEXT_ANSWER);
    assert_string_equal(find_value(&world.reply, "MaxRecvDataSegmentLength"), "Reject");
    assert_int_equal(world.session.parameters.max_send_bytes, 65536);
    assert_int_equal(ASK(&world, "MaxBurstLength=512\0Foo=1"), ISCSI_TEXT_ANSWER);
    assert_string_equal(find_value(&world.reply, "MaxBurstLength"), "Reject");
    assert_string_equal(find_value(&world.reply, "Foo"), "NotUnderstood");
    assert_int_equal(ASK(&world, "CHAP_A=5"), ISCSI_TEXT_ANSWER);
    assert_string_equal(find_value(&world.reply, "CHAP_A"), "Reject");
    assert_int_equal(ASK(&world, "X-org.example.colour=blue"), ISCSI_TEXT_ANSWER);
    assert_string_equal(find_value(&world.reply, "X-org.example.colour"), "NotUnderstood");
    end(&world);
}

/* More targets than the reply may hold: an error, not a cut list. */
static void test_reply_is_bounded(void **state)
{
    (void)state;
    struct world world;
    begin(&world, true);
    for (size_t limit = 0; limit < sizeof of_all; limit += 7) {
        buffer_done(&world.reply);
        buffer_init(&world.reply, limit);
        assert_int_equal(ASK(&world, "SendTargets=All"), ISCSI_TEXT_REJECT);
    }
    buffer_done(&world.reply);
    buffer_init(&world.reply, sizeof of_all);
    assert_int_equal(ASK(&world, "SendTargets=All"), ISCSI_TEXT_ANSWER);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_it_may_reach),
        cmocka_unit_test(test_targets_that_are_not_ready_are_shown),
        cmocka_unit_test(test_one_by_name),
        cmocka_unit_test(test_own_target_in_a_normal_session),
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_reply_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
