/* Sessions: reinstatement, what makes way for whom, what a session leaves behind. */
#include "iscsi/connection_fixture.h"

/* calloc(3) as the rooms see it (tests/CMakeLists.txt). */
static unsigned calloc_fails_in; /* the next but … ; 0: none does */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    bool fails = calloc_fails_in && !--calloc_fails_in;
    return fails ? NULL : __real_calloc(count, size);
}

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

/* A lost session's write must not land behind one of the next, whatever its ISID: iPXE takes a new
 * one for each connection. */
static void test_lost_sessions_drain_first(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *old = peer_new(world, "");
    struct peer *beside = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(old, 0, 8, pattern(1), 4096);
    peer_close(old, "connection reset by peer");
    struct peer *next = peer_open(world);
    struct peer *stranger = peer_open(world);
    snprintf(stranger->initiator, sizeof stranger->initiator, "iqn.1993-08.org.debian:01:other");
    send_whole_login(next, "");
    expect_nothing(next);
    peer_log_in(stranger, ""); /* has nothing to do with it */
    assert_non_null(beside->connection);
    unhang(world);
    expect_logged_in(next);
    pass_unit_attention(next);
    uint32_t itt = send_write(next, 0, 8, pattern(2), 4096);
    world_dispatch(world);
    expect_good(next, itt);
    assert_on_disk(world, 0, pattern(2), 4096);
    assert_non_null(beside->connection);
    world_free(world);
}

#define IPXE_ISID(n)                   \
    {                                  \
        0x40, 0x00, 0x27, 0x23, 0, (n) \
    }
#define LINUX_ISID                \
    {                             \
        0x00, 0x02, 0x3d, 0, 0, 1 \
    }
#define WINDOWS_ISID                 \
    {                                \
        0x40, 0x00, 0x01, 0x37, 0, 0 \
    }

static struct peer *open_with_isid(struct world *world, const uint8_t isid[ISCSI_ISID_BYTES])
{
    struct peer *peer = peer_open(world);
    memcpy(peer->isid, isid, ISCSI_ISID_BYTES);
    return peer;
}

/* iPXE opens twice and never closes the second: both stay until its system logs in, which does not
 * have to be told apart from it by anything but the ISID. */
static void test_firmware_makes_way_for_its_system(void **state)
{
    (void)state;
    static const uint8_t systems[][ISCSI_ISID_BYTES] = {LINUX_ISID, WINDOWS_ISID};
    for (size_t i = 0; i < ARRAY_SIZE(systems); i++) {
        struct world *world = world_default();
        struct peer *first = open_with_isid(world, (const uint8_t[])IPXE_ISID(1));
        struct peer *second = open_with_isid(world, (const uint8_t[])IPXE_ISID(2));
        struct peer *other = open_with_isid(world, (const uint8_t[])IPXE_ISID(3));
        snprintf(other->initiator, sizeof other->initiator, "iqn.2010-04.org.ipxe:other");
        peer_log_in(first, "");
        peer_log_in(second, "");
        peer_log_in(other, "");
        assert_non_null(first->connection);
        hang(world, BLOCK_WRITE);
        send_write(second, 0, 8, pattern(1), 4096);
        struct peer *system = open_with_isid(world, systems[i]);
        send_whole_login(system, "");
        assert_null(first->connection);
        assert_null(second->connection);
        expect_nothing(system); /* its write has not landed */
        unhang(world);
        expect_logged_in(system);
        assert_non_null(other->connection);
        assert_int_equal(iscsi_node_session_count(world->node), 2);
        struct peer *menu = open_with_isid(world, (const uint8_t[])IPXE_ISID(4));
        peer_log_in(menu, ""); /* firmware kicks nobody */
        assert_non_null(system->connection);
        world_free(world);
    }
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

/* The waiting login goes on as the old session's last write ends: without memory it fails, and
 * leaves nothing behind; with some it succeeds. */
static void test_reinstatement_without_memory(void **state)
{
    (void)state;
    bool failed = true;
    for (unsigned nth = 1; failed; nth++) {
        struct world *world = world_default();
        struct peer *old = peer_new(world, "");
        hang(world, BLOCK_WRITE);
        send_write(old, 0, 8, pattern(1), 4096);
        struct peer *next = again(world, old);
        send_whole_login(next, "");
        calloc_fails_in = nth;
        unhang(world);
        failed = !calloc_fails_in;
        calloc_fails_in = 0;
        if (failed) {
            assert_null(next->connection);
            assert_string_equal(world->reason, "out of memory");
        } else {
            assert_true(nth > 2);
            expect_logged_in(next);
        }
        assert_int_equal(iscsi_node_session_count(world->node), failed ? 0 : 1);
        peer_log_in(again(world, next), ""); /* and the next one succeeds */
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
        cmocka_unit_test(test_lost_sessions_drain_first),
        cmocka_unit_test(test_firmware_makes_way_for_its_system),
        cmocka_unit_test(test_reinstatement_of_a_lost_connection),
        cmocka_unit_test(test_waiting_logins_that_fail),
        cmocka_unit_test(test_reinstatement_without_memory),
        cmocka_unit_test(test_reinstatement_storm),
        cmocka_unit_test(test_reservation_ends_with_the_session),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_latency_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
