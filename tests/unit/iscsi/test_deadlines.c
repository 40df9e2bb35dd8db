/* What is due when nothing arrives: data of writes, and pings. */
#include "iscsi/connection_fixture.h"

#define STALL_US (60000u * 1000u)
#define PING_US  (30000u * 1000u)

static void expect_still_there(struct peer *peer, uint64_t due_us)
{
    assert_int_equal(iscsi_node_tick(peer->world->node, peer->world->now_us), due_us);
    assert_non_null(peer->connection);
}

static void expect_cut_off(struct peer *peer)
{
    assert_int_equal(iscsi_node_tick(peer->world->node, peer->world->now_us), 0);
    expect_closed(peer, "limits.write-stall");
    assert_int_equal(pool_taken_bytes(peer->world->pool), 0);
    world_free(peer->world);
}

static void test_an_r2t_is_not_answered(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    assert_false(iscsi_connection_has_deadline(peer->connection));
    uint32_t itt = send_write(peer, 0, 1024, NULL, 0);
    struct pdu r2t = expect_r2t(peer, itt, 0, 0, 262144);
    assert_true(iscsi_connection_has_deadline(peer->connection));
    world->now_us += STALL_US - 1;
    expect_still_there(peer, world->now_us + 1);
    send_data_out(peer, itt, pdu_ttt(&r2t), 0, 0, pattern(1), 262144, true);
    expect_r2t(peer, itt, 1, 262144, 262144);
    world->now_us += STALL_US - 1; /* a whole burst has come, so the next one has its time */
    expect_still_there(peer, world->now_us + 1);
    world->now_us++;
    expect_cut_off(peer);
}

/* A byte now and then buys no time. */
static void test_a_burst_drips(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint32_t itt = send_write(peer, 0, 512, NULL, 0);
    struct pdu r2t = expect_r2t(peer, itt, 0, 0, 262144);
    for (unsigned i = 0; i < 4; i++) {
        world->now_us += STALL_US / 4;
        send_data_out(peer, itt, pdu_ttt(&r2t), i, i * 4, pattern(1), 4, false);
        send_nop(peer, true, NULL, 0);
        expect_pdu(peer, OP_NOP_IN);
    }
    expect_cut_off(peer);
}

static void test_unsolicited_data_does_not_end(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.target.initial_r2t = false;
    struct world *world = world_new(&options);
    struct peer *peer = peer_new(world, "InitialR2T=No\n");
    uint8_t cdb[16];
    make_rw10(cdb, 0x2a, 0, 16);
    send_scsi(peer, WRITE_FLAGS & ~BHS_FINAL, 0, cdb, 16 * BLOCK, pattern(1), 2 * BLOCK);
    expect_nothing(peer);
    world->now_us += STALL_US;
    expect_cut_off(peer);
}

/* A command whose immediate data stops in the middle. */
static void test_immediate_data_stops(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint8_t bhs[BHS_BYTES] = {OP_SCSI_COMMAND, WRITE_FLAGS};
    size_t length;
    store_be32(bhs + BHS_ITT, 77);
    store_be32(bhs + 20, 4096);
    store_be32(bhs + BHS_CMD_SN, peer->cmd_sn++);
    make_rw10(bhs + 32, 0x2a, 0, 8);
    uint8_t *bytes = encode(peer, bhs, NULL, 0, pattern(1), 4096, &length);
    peer_feed(peer, bytes, length - 1);
    free(bytes);
    expect_nothing(peer);
    assert_true(iscsi_connection_has_deadline(peer->connection));
    world->now_us += STALL_US;
    expect_cut_off(peer);
}

/* Nobody is blamed for a disk that hangs, nor for having nothing to say. */
static void test_nothing_is_owed(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    uint32_t itt = send_write(peer, 0, 8, pattern(1), 4096);
    expect_nothing(peer);
    world->now_us += 2 * STALL_US;
    expect_still_there(peer, 0);
    assert_false(iscsi_connection_has_deadline(peer->connection));
    unhang(world);
    expect_good(peer, itt);
    world->now_us += 2 * STALL_US;
    expect_still_there(peer, 0);
    world_free(world);
}

/* ── pings ───────────────────────────────────────────────────────────────────────────────────── */

static struct world *pinging_world(void)
{
    struct world_options options = world_defaults();
    options.target.ping_ms = PING_US / 1000;
    return world_new(&options);
}

static void test_an_idle_session_is_pinged(void **state)
{
    (void)state;
    struct world *world = pinging_world();
    struct peer *peer = peer_new(world, "");
    uint64_t heard_us = world->now_us;
    world->now_us += PING_US - 1;
    expect_still_there(peer, heard_us + PING_US);
    expect_nothing(peer);
    world->now_us++;
    for (unsigned i = 0; i < 3; i++) { /* whether it answers or not */
        uint32_t stat_sn = peer->connection->stat_sn;
        peer->woken = false;
        expect_still_there(peer, world->now_us + PING_US);
        assert_true(peer->woken);
        struct pdu ping = expect_pdu(peer, OP_NOP_IN);
        assert_int_equal(ping.bhs[1], BHS_FINAL);
        assert_int_equal(load_be32(ping.bhs + BHS_ITT), RESERVED_TAG);
        assert_int_not_equal(pdu_ttt(&ping), RESERVED_TAG);
        assert_int_equal(ping.length, 0);
        assert_int_equal(peer->connection->stat_sn, stat_sn); /* it is not advanced */
        expect_nothing(peer);
        world->now_us += PING_US;
    }
    expect_still_there(peer, world->now_us + PING_US);
    struct pdu ping = expect_pdu(peer, OP_NOP_IN);
    uint8_t bhs[BHS_BYTES] = {OP_NOP_OUT | BHS_IMMEDIATE, BHS_FINAL};
    store_be32(bhs + BHS_ITT, RESERVED_TAG);
    store_be32(bhs + BHS_TTT, pdu_ttt(&ping));
    store_be32(bhs + BHS_CMD_SN, peer->cmd_sn);
    world->now_us += PING_US / 2;
    send_pdu(peer, bhs, NULL, 0);
    expect_nothing(peer);
    expect_still_there(peer, world->now_us + PING_US); /* from the answer on */
    world_free(world);
}

/* Pings do not pile up for a peer that reads nothing. */
static void test_one_ping_at_a_time(void **state)
{
    (void)state;
    struct world *world = pinging_world();
    struct peer *peer = peer_new(world, "");
    for (unsigned i = 0; i < 3; i++) {
        world->now_us += PING_US;
        expect_still_there(peer, world->now_us + PING_US);
    }
    expect_pdu(peer, OP_NOP_IN);
    expect_nothing(peer);
    world_free(world);
}

static void test_firmware_is_not_pinged(void **state)
{
    (void)state;
    static const uint8_t ipxe[] = {0x40, 0x00, 0x27, 0x23, 0x12, 0x34};
    struct world *world = pinging_world();
    struct peer *peer = peer_open(world);
    memcpy(peer->isid, ipxe, sizeof ipxe);
    peer_log_in(peer, "");
    world->now_us += PING_US;
    expect_still_there(peer, 0);
    expect_nothing(peer);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_r2t_is_not_answered),
        cmocka_unit_test(test_a_burst_drips),
        cmocka_unit_test(test_unsolicited_data_does_not_end),
        cmocka_unit_test(test_immediate_data_stops),
        cmocka_unit_test(test_nothing_is_owed),
        cmocka_unit_test(test_an_idle_session_is_pinged),
        cmocka_unit_test(test_one_ping_at_a_time),
        cmocka_unit_test(test_firmware_is_not_pinged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
