/* One owner per target: who becomes it, who gets back in, who has to wait and what they are told.
 */
#include "iscsi/connection_fixture.h"

#define FIRST   "iqn.2010-04.org.ipxe:first"
#define SECOND  "iqn.2010-04.org.ipxe:second"
#define HOLD_US UINT64_C(60000000)

enum { TAKEN = 0, OWNED = 0x0202, LATER = 0x0301 };

static struct world_options owned(void)
{
    struct world_options options = world_defaults();
    options.target.shared = false;
    options.target.hold_ms = HOLD_US / 1000;
    return options;
}

static struct world *owned_world(void)
{
    struct world_options options = owned();
    return world_new(&options);
}

static struct peer *open_as(struct world *world, const char *initiator)
{
    struct peer *peer = peer_open(world);
    snprintf(peer->initiator, sizeof peer->initiator, "%s", initiator);
    return peer;
}

static struct peer *log_in_as(struct world *world, const char *initiator, unsigned status)
{
    struct peer *peer = open_as(world, initiator);
    send_whole_login(peer, "");
    if (status == TAKEN) {
        expect_logged_in(peer);
        pass_unit_attention(peer);
        return peer;
    }
    struct pdu pdu = expect_pdu(peer, OP_LOGIN_RESPONSE);
    if (load_be16(pdu.bhs + 36) != status)
        fail_msg("status %04x instead of %04x: %s", load_be16(pdu.bhs + 36), status, world->reason);
    return peer;
}

static void log_out(struct peer *peer)
{
    send_logout(peer, 0, 0);
    expect_pdu(peer, OP_LOGOUT_RESPONSE);
    peer_pull(peer);
    assert_null(peer->connection);
}

static void write_well(struct peer *peer, const uint8_t *data)
{
    uint32_t itt = send_write(peer, 0, 8, data, 4096);
    world_dispatch(peer->world);
    expect_good(peer, itt);
    assert_on_disk(peer->world, 0, data, 4096);
}

static void expect_owner(const struct world *world, const char *initiator)
{
    assert_string_equal(iscsi_target_owner(world->target), initiator);
}

static void expect_reason(const struct world *world, const char *words)
{
    if (!strstr(world->reason, words))
        fail_msg("\"%s\" has no \"%s\"", world->reason, words);
}

/* ── who gets in ─────────────────────────────────────────────────────────────────────────────── */

static void test_one_owner(void **state)
{
    (void)state;
    struct world *world = owned_world();
    struct peer *first = log_in_as(world, FIRST, TAKEN);
    expect_owner(world, FIRST);
    assert_int_equal(world->events[ISCSI_EVENT_OWNER_CHANGED], 1);
    world->now_us += 12000000;
    log_in_as(world, SECOND, OWNED);
    expect_reason(world, "owned for 12 s and logged in, " FIRST); /* who has it and how long */
    log_in_as(world, FIRST, TAKEN);                               /* beside its first session */
    assert_int_equal(world->events[ISCSI_EVENT_OWNER_CHANGED], 1);
    assert_non_null(first->connection);
    world_free(world);
}

/* A lost owner keeps its disk for the hold time, counted from its last session's end: also when it
 * had been idle for longer before. */
static void test_lost_owner_keeps_its_disk(void **state)
{
    (void)state;
    struct world *world = owned_world();
    struct peer *first = log_in_as(world, FIRST, TAKEN), *beside = log_in_as(world, FIRST, TAKEN);
    peer_close(first, "connection reset by peer");
    world->now_us += 2 * HOLD_US;
    log_in_as(world, SECOND, OWNED);
    peer_close(beside, "connection reset by peer");
    world->now_us += HOLD_US - 1000000;
    log_in_as(world, SECOND, OWNED);
    expect_reason(world, "lost 59 s ago and awaited for another 1 s, " FIRST);
    struct peer *again = log_in_as(world, FIRST, TAKEN);
    peer_close(again, "connection reset by peer");
    world->now_us += HOLD_US;
    log_in_as(world, SECOND, TAKEN);
    expect_owner(world, SECOND);
    log_in_as(world, FIRST, OWNED);
    world_free(world);
}

/* Who comes late finds its disk if nobody else has come. */
static void test_owner_after_the_hold(void **state)
{
    (void)state;
    struct world *world = owned_world();
    peer_close(log_in_as(world, FIRST, TAKEN), "connection reset by peer");
    world->now_us += 3 * HOLD_US;
    expect_owner(world, FIRST);
    log_in_as(world, FIRST, TAKEN);
    assert_int_equal(world->events[ISCSI_EVENT_OWNER_CHANGED], 1);
    world_free(world);
}

/* Who logs out gives its disk up. */
static void test_logout_sets_the_disk_free(void **state)
{
    (void)state;
    struct world *world = owned_world();
    struct peer *first = log_in_as(world, FIRST, TAKEN), *beside = log_in_as(world, FIRST, TAKEN);
    log_out(first);
    expect_owner(world, FIRST);
    log_out(beside);
    expect_owner(world, "");
    assert_int_equal(world->events[ISCSI_EVENT_OWNER_CHANGED], 2);
    assert_int_equal(world->owners_kept, 2);
    log_in_as(world, SECOND, TAKEN);
    world_free(world);
}

/* A logout that we asked for (shutdown) gives nothing up: it will be back when we are. */
static void test_logout_on_request_keeps_the_disk(void **state)
{
    (void)state;
    struct world *world = owned_world();
    struct peer *first = log_in_as(world, FIRST, TAKEN);
    iscsi_node_drain(world->node);
    expect_pdu(first, OP_ASYNC);
    log_out(first);
    expect_owner(world, FIRST);
    iscsi_node_set_welcome(world->node, ISCSI_WELCOME_ALL);
    log_in_as(world, SECOND, OWNED);
    log_in_as(world, FIRST, TAKEN);
    world_free(world);
}

/* Serving is off: a running system whose connection breaks comes back to its disk, nobody else
 * comes. */
static void test_who_was_here_is_welcome_back(void **state)
{
    (void)state;
    struct world *world = owned_world();
    struct peer *first = log_in_as(world, FIRST, TAKEN);
    iscsi_node_set_welcome(world->node, ISCSI_WELCOME_BACK);
    log_in_as(world, SECOND, LATER);
    struct peer *beside = log_in_as(world, FIRST, TAKEN); /* or the one that ends the first */
    peer_close(first, "connection reset by peer");
    peer_close(beside, "connection reset by peer");
    world->now_us += HOLD_US - 1000000;
    log_in_as(world, SECOND, LATER);
    peer_close(log_in_as(world, FIRST, TAKEN), "connection reset by peer");
    world->now_us += HOLD_US; /* not awaited any more */
    log_in_as(world, FIRST, LATER);
    iscsi_node_set_welcome(world->node, ISCSI_WELCOME_NOBODY); /* shutdown */
    log_in_as(world, FIRST, LATER);
    world_free(world);
}

/* Of a disk that nobody owns those have a place who are there. */
static void test_a_session_is_welcome_back_to_a_shared_disk(void **state)
{
    (void)state;
    struct world_options options = owned();
    options.target.shared = true;
    struct world *world = world_new(&options);
    log_in_as(world, FIRST, TAKEN);
    iscsi_node_set_welcome(world->node, ISCSI_WELCOME_BACK);
    log_in_as(world, FIRST, TAKEN);
    log_in_as(world, SECOND, LATER);
    world_free(world);
}

/* Nobody owns what nobody can write, nor what several may. */
static void test_nobody_owns_what_is_read_only_or_shared(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        struct world_options options = owned();
        options.read_only = way == 0;
        options.target.shared = way == 1;
        struct world *world = world_new(&options);
        log_in_as(world, FIRST, TAKEN);
        log_in_as(world, SECOND, TAKEN);
        expect_owner(world, "");
        world_free(world);
    }
}

/* An I/O that still runs when the owner logs out keeps everybody else away. */
static void test_free_when_drained(void **state)
{
    (void)state;
    struct world *world = owned_world();
    struct peer *first = log_in_as(world, FIRST, TAKEN);
    hang(world, BLOCK_WRITE);
    send_write(first, 0, 8, pattern(1), 4096);
    log_out(first);
    world->now_us += 2 * HOLD_US;
    log_in_as(world, SECOND, OWNED);
    unhang(world);
    struct peer *second = log_in_as(world, SECOND, TAKEN);
    write_well(second, pattern(2));
    world_free(world);
}

/* ── the record ──────────────────────────────────────────────────────────────────────────────── */

/* From the store: before anybody has logged in. */
static void test_stored_owner(void **state)
{
    (void)state;
    struct world *world = owned_world();
    iscsi_target_set_owner(world->target, "IQN.2010-04.org.ipxe:First", UINT64_C(90000000),
                           world->now_us); /* since long before the clock began */
    world->now_us += 1000000;
    log_in_as(world, SECOND, OWNED);
    expect_reason(world, "owned for 91 s, lost 1 s ago and awaited for another 59 s, " FIRST);
    log_in_as(world, FIRST, TAKEN);
    assert_int_equal(world->owners_kept, 0);
    world_free(world);
}

/* Nothing is answered, not even the login, before a restart would know the owner. */
static void test_kept_before_the_first_answer(void **state)
{
    (void)state;
    struct world *world = owned_world();
    world->slow_store = true;
    struct peer *first = open_as(world, FIRST);
    send_whole_login(first, "");
    send_scsi(first, BHS_FINAL | 1, 0, (uint8_t[16]){0}, 0, NULL, 0);
    send_write(first, 0, 8, pattern(1), 4096);
    world_dispatch(world);
    expect_nothing(first);
    assert_int_equal(world->owners_kept, 1);
    first->woken = false;
    world_keep_owners(world);
    assert_true(first->woken);
    struct pdu pdu = expect_pdu(first, OP_LOGIN_RESPONSE);
    assert_int_equal(load_be16(pdu.bhs + 36), 0);
    expect_pdu(first, OP_SCSI_RESPONSE);
    world_free(world);
}

/* A target is not given back while its record is on the way: it is told of its end. */
static void test_removal_waits_for_the_record(void **state)
{
    (void)state;
    struct world *world = owned_world();
    bool removed = false;
    world->slow_store = true;
    send_whole_login(open_as(world, FIRST), "");
    iscsi_node_remove_target(world->node, world->target, note_removed, &removed);
    assert_int_equal(iscsi_node_session_count(world->node), 0);
    assert_false(removed);
    world_keep_owners(world);
    assert_true(removed);
    assert_int_equal(iscsi_node_add_target(world->node, world->target), 0);
    world->target->removing = false;
    world_free(world);
}

/* ── a view for the others ───────────────────────────────────────────────────────────────────── */

static void expect_protected(struct peer *peer, uint32_t itt)
{
    struct pdu pdu = expect_pdu(peer, OP_SCSI_RESPONSE);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
    assert_int_equal(pdu.bhs[3], SCSI_STATUS_CHECK_CONDITION);
    expect_sense(&pdu, 0x7, 0x2700);
}

static void test_others_may_read(void **state)
{
    (void)state;
    struct world_options options = owned();
    options.target.others_may_read = true;
    struct world *world = world_new(&options);
    struct peer *first = log_in_as(world, FIRST, TAKEN);
    struct peer *second = log_in_as(world, SECOND, TAKEN);
    expect_owner(world, FIRST);
    expect_data_in(second, send_read(second, 0, 8), 0, 8 * BLOCK);
    expect_protected(second, send_write(second, 0, 8, pattern(1), 4096));
    static const uint8_t interfering[][16] = {
        {0x15},
        {0x16},
        {0x1b},
        {0x1e, 0, 0, 0, 1},
        {0x56  },
        {0x5f,   3, [8] = 24},
        {0x41},
        {0x93},
    };
    for (size_t i = 0; i < ARRAY_SIZE(interfering); i++)
        expect_protected(second, send_scsi(second, BHS_FINAL | 1, 0, interfering[i], 0, NULL, 0));
    const uint8_t mode_sense[16] = {0x1a, 0x08, 0x3f, 0, 255};
    send_scsi(second, READ_FLAGS, 0, mode_sense, 255, NULL, 0);
    assert_true(expect_pdu(second, OP_DATA_IN).data[2] & 0x80); /* WP */
    expect_pdu(second, OP_SCSI_RESPONSE);                       /* the residual */
    send_scsi(first, READ_FLAGS, 0, mode_sense, 255, NULL, 0);
    assert_false(expect_pdu(first, OP_DATA_IN).data[2] & 0x80);
    expect_pdu(first, OP_SCSI_RESPONSE);
    expect_management(second, send_management(second, 4, 0, 0), 0); /* its own task set */
    for (uint8_t function = 5; function <= 7; function++) /* LOGICAL UNIT RESET to COLD RESET */
        expect_management(second, send_management(second, function, 0, 0), 255);
    assert_non_null(first->connection);
    write_well(first, pattern(2)); /* no unit attention */
    expect_good(second, send_scsi(second, BHS_FINAL | 1, 0, (const uint8_t[16]){0x35}, 0, NULL, 0));
    log_out(second);
    expect_owner(world, FIRST); /* a view's end is no owner's */
    peer_close(first, "connection reset by peer");
    world->now_us += HOLD_US;
    second = log_in_as(world, SECOND, TAKEN); /* may write now */
    write_well(second, pattern(3));
    world_free(world);
}

/* A view stays one, whatever becomes of the owner; its next login is judged anew. */
static void test_view_stays_a_view(void **state)
{
    (void)state;
    struct world_options options = owned();
    options.target.others_may_read = true;
    struct world *world = world_new(&options);
    struct peer *first = log_in_as(world, FIRST, TAKEN);
    struct peer *second = log_in_as(world, SECOND, TAKEN);
    log_out(first);
    expect_owner(world, "");
    expect_protected(second, send_write(second, 0, 8, pattern(1), 4096));
    expect_owner(world, "");
    world_free(world);
}

/* ── a person steps in ───────────────────────────────────────────────────────────────────────── */

static void test_drop(void **state)
{
    (void)state;
    struct world *world = owned_world();
    struct peer *first = log_in_as(world, FIRST, TAKEN);
    uint16_t tsih = first->connection->session->tsih;
    assert_false(iscsi_node_drop_session(world->node, (uint16_t)(tsih + 1), "dropped"));
    assert_true(iscsi_node_drop_session(world->node, tsih, "dropped"));
    assert_null(first->connection);
    expect_reason(world, "dropped");
    assert_false(iscsi_node_drop_session(world->node, tsih, "dropped"));
    log_in_as(world, SECOND, OWNED);
    log_in_as(world, FIRST, TAKEN);
    world_free(world);
}

static void test_release(void **state)
{
    (void)state;
    struct world *world = owned_world();
    assert_int_equal(iscsi_target_release_owner(world->node, world->target, ""), -ENOENT);
    peer_close(log_in_as(world, FIRST, TAKEN), "connection reset by peer");
    assert_int_equal(iscsi_target_release_owner(world->node, world->target, "no name"), -EINVAL);
    assert_int_equal(iscsi_target_release_owner(world->node, world->target, ""), 0);
    expect_owner(world, "");
    assert_int_equal(world->owners_kept, 2);
    log_in_as(world, SECOND, TAKEN);
    world_free(world);
}

/* Sessions of the owner that are there end, and what they have begun lands first. */
static void test_release_of_live_sessions(void **state)
{
    (void)state;
    static const char *const nexts[] = {"", SECOND};
    for (size_t i = 0; i < ARRAY_SIZE(nexts); i++) {
        struct world *world = owned_world();
        struct peer *first = log_in_as(world, FIRST, TAKEN);
        struct peer *beside = log_in_as(world, FIRST, TAKEN);
        hang(world, BLOCK_WRITE);
        send_write(first, 0, 8, pattern(1), 4096);
        assert_int_equal(iscsi_target_release_owner(world->node, world->target, nexts[i]), 0);
        assert_null(first->connection);
        assert_null(beside->connection);
        expect_owner(world, FIRST);
        log_in_as(world, SECOND, LATER);
        struct peer *again = open_as(world, FIRST);
        send_whole_login(again, ""); /* waits */
        expect_nothing(again);
        unhang(world);
        if (nexts[i][0]) { /* what it waited for has gone to somebody else */
            assert_null(again->connection);
            log_in_as(world, FIRST, OWNED);
            struct peer *second = log_in_as(world, SECOND, TAKEN);
            write_well(second, pattern(2));
            expect_owner(world, SECOND);
        } else { /* first come, first served */
            expect_logged_in(again);
            expect_owner(world, FIRST);
        }
        world_free(world);
    }
}

/* ── invitations ─────────────────────────────────────────────────────────────────────────────── */

static void test_invited_only(void **state)
{
    (void)state;
    struct world_options options = owned();
    options.target.invited_only = true;
    struct world *world = world_new(&options);
    world->uninvited = true;
    log_in_as(world, FIRST, OWNED);
    expect_reason(world, "boot script");
    expect_owner(world, "");
    world->uninvited = false;
    log_in_as(world, FIRST, TAKEN);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_owner),
        cmocka_unit_test(test_lost_owner_keeps_its_disk),
        cmocka_unit_test(test_owner_after_the_hold),
        cmocka_unit_test(test_logout_sets_the_disk_free),
        cmocka_unit_test(test_logout_on_request_keeps_the_disk),
        cmocka_unit_test(test_who_was_here_is_welcome_back),
        cmocka_unit_test(test_a_session_is_welcome_back_to_a_shared_disk),
        cmocka_unit_test(test_nobody_owns_what_is_read_only_or_shared),
        cmocka_unit_test(test_free_when_drained),
        cmocka_unit_test(test_stored_owner),
        cmocka_unit_test(test_kept_before_the_first_answer),
        cmocka_unit_test(test_removal_waits_for_the_record),
        cmocka_unit_test(test_others_may_read),
        cmocka_unit_test(test_view_stays_a_view),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_release_of_live_sessions),
        cmocka_unit_test(test_invited_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
