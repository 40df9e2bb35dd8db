/* Sessions: reinstatement, ownership, what a session leaves behind. */
#include "iscsi/connection_fixture.h"

/* A second connection of the same initiator and ISID. */
static struct peer *again(struct world *world, const struct peer *peer)
{
    struct peer *next = peer_open(world);
    memcpy(next->isid, peer->isid, sizeof next->isid);
    memcpy(next->initiator, peer->initiator, sizeof next->initiator);
    return next;
}

static void test_sessions_have_numbers_of_their_own(void **state)
{
    (void)state;
    struct world *world = world_default();
    for (unsigned i = 0; i < 5; i++)
        peer_new(world, "");
    for (unsigned i = 0; i < 5; i++) {
        uint16_t tsih = world->peers[i].connection->session->tsih;
        assert_int_not_equal(tsih, 0);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(tsih, world->peers[k].connection->session->tsih);
    }
    assert_int_equal(iscsi_node_session_count(world->node), 5);
    world_free(world);
}

/* iscsid re-makes the running root session at every boot: the old one ends at once. */
static void test_reinstatement(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *old = peer_new(world, "");
    struct peer *next = again(world, old);
    peer_log_in(next, "");
    assert_null(old->connection);
    assert_int_equal(iscsi_node_session_count(world->node), 1);
    assert_string_equal(world->reason, "reinstated by a new login of the same initiator and ISID");
    assert_int_equal(world->events[ISCSI_EVENT_SESSION_ENDED], 1);
    world_free(world);
}

/* Other ISIDs, other initiators and discovery sessions are left alone. */
static void test_others_are_not_reinstated(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *old = peer_new(world, "");
    struct peer *other = again(world, old);
    snprintf(other->initiator, sizeof other->initiator, "iqn.1993-08.org.debian:01:other");
    peer_log_in(other, "");
    struct peer *discovery = again(world, old);
    send_login(discovery, TRANSIT(1, 3), "InitiatorName=" INITIATOR "\nSessionType=Discovery\n");
    expect_logged_in(discovery);
    struct peer *isid = peer_new(world, "");
    assert_non_null(old->connection);
    assert_non_null(other->connection);
    assert_non_null(isid->connection);
    assert_int_equal(iscsi_node_session_count(world->node), 4);
    world_free(world);
}

/* A write of the old session must not land behind one of the new. */
static void test_reinstatement_waits_for_the_disk(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *old = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(old, 0, 8, pattern(1), 4096);
    struct peer *next = again(world, old);
    next->stat_sn_known = false;
    send_whole_login(next, "");
    assert_null(old->connection);
    expect_nothing(next);
    assert_int_equal(world->events[ISCSI_EVENT_LOGIN], 1);
    next->woken = false;
    unhang(world);
    assert_true(next->woken);
    expect_logged_in(next);
    pass_unit_attention(next);
    assert_on_disk(world, 0, pattern(1), 4096);
    uint32_t itt = send_write(next, 0, 8, pattern(2), 4096);
    world_dispatch(world);
    expect_good(next, itt);
    assert_on_disk(world, 0, pattern(2), 4096);
    assert_int_equal(iscsi_node_session_count(world->node), 1);
    world_free(world);
}

/* Also when the old connection was lost before. */
static void test_reinstatement_of_a_lost_connection(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *old = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(old, 0, 8, pattern(1), 4096);
    peer_close(old, "connection reset by peer");
    struct peer *next = again(world, old);
    send_whole_login(next, "");
    expect_nothing(next);
    unhang(world);
    expect_logged_in(next);
    world_free(world);
}

/* Who waits may give up, be overtaken, say something too early, or take too long. */
static void test_waiting_logins_that_fail(void **state)
{
    (void)state;
    enum { GIVES_UP, OVERTAKEN, TOO_EARLY, TOO_LATE, REMOVED, WAYS };
    for (unsigned way = 0; way < WAYS; way++) {
        struct world *world = world_default();
        struct peer *old = peer_new(world, "");
        hang(world, BLOCK_WRITE);
        send_write(old, 0, 8, pattern(1), 4096);
        struct peer *next = again(world, old), *third = NULL;
        bool removed = false;
        send_whole_login(next, "");
        switch (way) {
        case GIVES_UP:
            peer_close(next, "closed by the initiator");
            break;
        case OVERTAKEN:
            third = again(world, old);
            send_whole_login(third, "");
            assert_null(next->connection);
            break;
        case TOO_EARLY:
            send_nop(next, true, NULL, 0);
            assert_null(next->connection);
            break;
        case TOO_LATE:
            assert_int_equal(iscsi_node_tick(world->node, START_US + 14999999),
                             START_US + 15000000);
            assert_non_null(next->connection);
            assert_int_equal(iscsi_node_tick(world->node, START_US + 15000000), 0);
            assert_null(next->connection);
            break;
        case REMOVED:
            iscsi_node_remove_target(world->node, world->target, note_removed, &removed);
            assert_null(next->connection);
            assert_false(removed);
            break;
        default:
            fail();
        }
        unhang(world);
        if (third)
            expect_logged_in(third);
        assert_int_equal(iscsi_node_session_count(world->node), third ? 1 : 0);
        if (way == REMOVED) {
            assert_true(removed);
            assert_int_equal(iscsi_node_add_target(world->node, world->target), 0);
        }
        world_free(world);
    }
}

/* A storm of logins of one identity, each while the one before still waits. */
static void test_reinstatement_storm(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(peer, 0, 8, pattern(1), 4096);
    for (unsigned i = 0; i < 5; i++) {
        peer = again(world, peer);
        send_whole_login(peer, "");
    }
    assert_int_equal(iscsi_node_connection_count(world->node), 2);
    unhang(world);
    expect_logged_in(peer);
    assert_int_equal(iscsi_node_session_count(world->node), 1);
    world_free(world);
}

/* The new session finds no reservation of the old: it is another nexus, SAM-5 §6.3.4. */
static void test_reservation_ends_with_the_session(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, ""), *other = peer_new(world, "");
    const uint8_t reserve[16] = {0x16};
    expect_good(peer, send_scsi(peer, BHS_FINAL | 1, 0, reserve, 0, NULL, 0));
    uint32_t itt = send_scsi(other, BHS_FINAL | 1, 0, reserve, 0, NULL, 0);
    expect_status(other, itt, SCSI_STATUS_RESERVATION_CONFLICT, 0, 0);
    peer_close(peer, "gone");
    expect_good(other, send_scsi(other, BHS_FINAL | 1, 0, reserve, 0, NULL, 0));
    world_free(world);
}

/* ── ownership ───────────────────────────────────────────────────────────────────────────────── */

static struct world *owned_world(bool read_only)
{
    struct world_options options = world_defaults();
    options.target.shared = false;
    options.target.hold_ms = 60000;
    options.read_only = read_only;
    return world_new(&options);
}

static struct peer *log_in_as(struct world *world, const char *initiator, unsigned status)
{
    struct peer *peer = peer_open(world);
    snprintf(peer->initiator, sizeof peer->initiator, "%s", initiator);
    send_whole_login(peer, "");
    struct pdu pdu = expect_pdu(peer, OP_LOGIN_RESPONSE);
    if (load_be16(pdu.bhs + 36) != status)
        fail_msg("status %04x instead of %04x: %s", load_be16(pdu.bhs + 36), status, world->reason);
    return peer;
}

#define FIRST  "iqn.2010-04.org.ipxe:first"
#define SECOND "iqn.2010-04.org.ipxe:second"

static void test_one_owner(void **state)
{
    (void)state;
    struct world *world = owned_world(false);
    struct peer *first = log_in_as(world, FIRST, 0);
    assert_string_equal(iscsi_target_owner(world->target), FIRST);
    assert_int_equal(world->events[ISCSI_EVENT_OWNER_CHANGED], 1);
    log_in_as(world, SECOND, 0x0202);
    assert_non_null(strstr(world->reason, FIRST)); /* who has it */
    log_in_as(world, FIRST, 0);                    /* a second session of the owner's */
    assert_int_equal(world->events[ISCSI_EVENT_OWNER_CHANGED], 1);
    assert_non_null(first->connection);
    world_free(world);
}

/* A lost owner keeps its disk for the hold time, counted from its last session's end. */
static void test_lost_owner_keeps_its_disk(void **state)
{
    (void)state;
    struct world *world = owned_world(false);
    struct peer *first = log_in_as(world, FIRST, 0), *again_first = log_in_as(world, FIRST, 0);
    peer_close(first, "connection reset by peer");
    world->now_us += 70000000;
    log_in_as(world, SECOND, 0x0202);
    send_nop(again_first, true, NULL, 0); /* so that it knows the time */
    peer_close(again_first, "connection reset by peer");
    world->now_us += 59000000;
    log_in_as(world, SECOND, 0x0202);
    log_in_as(world, FIRST, 0);
    peer_close(&world->peers[world->peer_count - 1], "connection reset by peer");
    world->now_us += 61000000;
    log_in_as(world, SECOND, 0);
    assert_string_equal(iscsi_target_owner(world->target), SECOND);
    world_free(world);
}

/* Who logs out gives its disk up. */
static void test_logout_sets_the_disk_free(void **state)
{
    (void)state;
    struct world *world = owned_world(false);
    struct peer *first = log_in_as(world, FIRST, 0);
    first->logged_in = true;
    first->max_cmd_sn = first->exp_cmd_sn = first->cmd_sn;
    send_logout(first, 0, 0);
    expect_pdu(first, OP_LOGOUT_RESPONSE);
    assert_string_equal(iscsi_target_owner(world->target), "");
    assert_int_equal(world->events[ISCSI_EVENT_OWNER_CHANGED], 2);
    log_in_as(world, SECOND, 0);
    world_free(world);
}

/* Nobody owns what nobody can write, nor what several may. */
static void test_nobody_owns_what_is_read_only_or_shared(void **state)
{
    (void)state;
    struct world *worlds[] = {owned_world(true), world_default()};
    for (size_t i = 0; i < ARRAY_SIZE(worlds); i++) {
        log_in_as(worlds[i], FIRST, 0);
        log_in_as(worlds[i], SECOND, 0);
        assert_string_equal(iscsi_target_owner(worlds[i]->target), "");
        world_free(worlds[i]);
    }
}

/* From the store: before anybody has logged in. */
static void test_stored_owner(void **state)
{
    (void)state;
    struct world *world = owned_world(false);
    iscsi_target_set_owner(world->target, FIRST, world->now_us);
    log_in_as(world, SECOND, 0x0202);
    log_in_as(world, FIRST, 0);
    world_free(world);
}

/* ── counters ────────────────────────────────────────────────────────────────────────────────── */

static void visit(void *context, const struct iscsi_session_info *info)
{
    struct iscsi_session_info *to = context;
    *to = *info;
}

static void test_counters(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=65536\nDataDigest=None\n");
    uint32_t itt = send_read(peer, 0, 8);
    expect_data_in(peer, itt, 0, 8 * BLOCK);
    itt = send_read(peer, 0, 128);
    expect_data_in(peer, itt, 0, 128 * BLOCK);
    world->now_us += 100;
    itt = send_write(peer, 0, 16, pattern(1), 16 * BLOCK);
    world->now_us += 1000;
    world_dispatch(world);
    expect_good(peer, itt);
    itt = send_read(peer, DISK_BLOCKS, 1);
    expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 'U', BLOCK);
    struct iscsi_session_info info = {0};
    iscsi_node_for_each_session(world->node, visit, &info);
    assert_string_equal(info.initiator, INITIATOR);
    assert_string_equal(info.target, TARGET);
    assert_string_equal(info.local, "192.0.2.1:3260");
    assert_string_equal(info.peer, "192.0.2.7:50000");
    assert_string_equal(info.auth, "none");
    assert_int_equal(info.commands, 5);
    assert_int_equal(info.reads, 2);
    assert_int_equal(info.read_bytes, 136 * BLOCK);
    assert_int_equal(info.zero_copy_bytes, 128 * BLOCK);
    assert_int_equal(info.writes, 1);
    assert_int_equal(info.written_bytes, 16 * BLOCK);
    assert_int_equal(info.errors, 2); /* with the first unit attention */
    assert_int_equal(info.outstanding, 0);
    assert_int_equal(info.started_us, START_US);
    assert_int_equal(info.last_command_us, START_US + 1100);
    assert_int_equal(info.max_send_bytes, 65536);
    assert_int_equal(info.latency[0], 4);
    assert_int_equal(info.latency[10], 1); /* 512 to 1023 µs */
    world_free(world);
}

static void test_latency_buckets(void **state)
{
    (void)state;
    static const struct {
        uint64_t microseconds;
        unsigned bucket;
    } cases[] = {
        {0,          0                        },
        {1,          1                        },
        {2,          2                        },
        {3,          2                        },
        {4,          3                        },
        {1023,       10                       },
        {1024,       11                       },
        {1u << 22,   23                       },
        {UINT64_MAX, ISCSI_LATENCY_BUCKETS - 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct iscsi_session session = {0};
        session_note_latency(&session, cases[i].microseconds);
        assert_int_equal(session.latency[cases[i].bucket], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_have_numbers_of_their_own),
        cmocka_unit_test(test_reinstatement),
        cmocka_unit_test(test_others_are_not_reinstated),
        cmocka_unit_test(test_reinstatement_waits_for_the_disk),
        cmocka_unit_test(test_reinstatement_of_a_lost_connection),
        cmocka_unit_test(test_waiting_logins_that_fail),
        cmocka_unit_test(test_reinstatement_storm),
        cmocka_unit_test(test_reservation_ends_with_the_session),
        cmocka_unit_test(test_one_owner),
        cmocka_unit_test(test_lost_owner_keeps_its_disk),
        cmocka_unit_test(test_logout_sets_the_disk_free),
        cmocka_unit_test(test_nobody_owns_what_is_read_only_or_shared),
        cmocka_unit_test(test_stored_owner),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_latency_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
