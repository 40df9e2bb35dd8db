/* Commands that wait for their connection's credit; see test_credit.c for the memory of all. */
#include "iscsi/connection_fixture.h"

static struct world *tight_world(void)
{
    struct world_options options = world_defaults();
    options.limits.credit_bytes = 128 << 10;
    options.limits.immediate_reserve_bytes = 16 << 10;
    options.target.initial_r2t = false;
    return world_new(&options);
}

/* Commands of the credit hold R2Ts, more wait with their immediate data in the reserve; whatever
 * order the initiator works in, everything ends. */
static void test_credit_runs_out(void **state)
{
    (void)state;
    enum { COMMANDS = 5, BLOCKS = 128 };
    struct world *world = tight_world();
    struct peer *peer = peer_new(world, "");
    uint32_t itt[COMMANDS];
    for (unsigned i = 0; i < COMMANDS; i++)
        itt[i] = send_write(peer, i * BLOCKS, BLOCKS, pattern((uint8_t)i), i ? 4096 : 0);
    struct pdu r2t[COMMANDS];
    r2t[0] = expect_r2t(peer, itt[0], 0, 0, BLOCKS * BLOCK);
    r2t[1] = expect_r2t(peer, itt[1], 0, 4096, BLOCKS * BLOCK - 4096);
    expect_nothing(peer); /* the credit is used up */
    uint32_t ping = send_nop(peer, true, NULL, 0);
    assert_int_equal(load_be32(expect_pdu(peer, OP_NOP_IN).bhs + BHS_ITT), ping);
    for (unsigned i = 0; i < COMMANDS; i++) {
        uint32_t from = i ? 4096 : 0;
        send_data_out(peer, itt[i], pdu_ttt(&r2t[i]), 0, from, pattern((uint8_t)i) + from,
                      BLOCKS * BLOCK - from, true);
        world_dispatch(world);
        expect_good(peer, itt[i]);
        assert_on_disk(world, i * BLOCKS, pattern((uint8_t)i), BLOCKS * BLOCK);
        if (i + 2 < COMMANDS)
            r2t[i + 2] = expect_r2t(peer, itt[i + 2], 0, 4096, BLOCKS * BLOCK - 4096);
    }
    world_free(world);
}

static void test_full_reserve_is_told(void **state)
{
    (void)state;
    struct world *world = tight_world();
    struct peer *peer = peer_new(world, "");
    uint32_t itt[8];
    for (unsigned i = 0; i < 8; i++)
        itt[i] = send_write(peer, i * 128, 128, pattern((uint8_t)i), i < 2 ? 0 : 4096);
    expect_r2t(peer, itt[0], 0, 0, 65536);
    expect_r2t(peer, itt[1], 0, 0, 65536);
    /* Two hold the credit, four the reserve, the rest are asked to come again. */
    expect_status(peer, itt[6], SCSI_STATUS_TASK_SET_FULL, 'U', 65536);
    expect_status(peer, itt[7], SCSI_STATUS_TASK_SET_FULL, 'U', 65536);
    expect_nothing(peer);
    uint32_t reset = send_management(peer, 5, 0, 0);
    expect_management(peer, reset, 0);
    expect_nothing(peer);
    assert_int_equal(peer->connection->credit_used, 0);
    assert_int_equal(peer->connection->reserve_used, 0);
    world_free(world);
}

/* Aborting who holds the credit, who waits for it, and who has come to the disk: nobody is stuck.
 */
static void test_credit_immediate_r2t_abort(void **state)
{
    (void)state;
    for (unsigned aborted = 0; aborted < 4; aborted++) {
        struct world *world = tight_world();
        struct peer *peer = peer_new(world, "");
        uint32_t itt[4];
        struct pdu r2t[4];
        for (unsigned i = 0; i < 4; i++)
            itt[i] = send_write(peer, i * 128, 128, pattern((uint8_t)i), i == 3 ? 4096 : 0);
        r2t[0] = expect_r2t(peer, itt[0], 0, 0, 65536);
        r2t[1] = expect_r2t(peer, itt[1], 0, 0, 65536);
        uint32_t abort = send_management(peer, 1, 0, itt[aborted]);
        struct pdu response;
        assert_true(next_pdu(peer, &response));
        if (bhs_opcode(response.bhs) == OP_R2T) { /* to the next in line */
            r2t[2] = response;
            send_data_out(peer, itt[2], pdu_ttt(&r2t[2]), 0, 0, pattern(2), 65536, true);
            expect_management(peer, abort, 0);
        } else {
            assert_int_equal(bhs_opcode(response.bhs), OP_TASK_MANAGEMENT_RESPONSE);
        }
        send_data_out(peer, itt[aborted], 0, 0, 0, pattern(7), 65536, true); /* too late */
        for (unsigned i = 0; i < 2; i++)
            if (i != aborted)
                send_data_out(peer, itt[i], pdu_ttt(&r2t[i]), 0, 0, pattern((uint8_t)i), 65536,
                              true);
        unsigned good = 0;
        struct pdu pdu;
        world_dispatch(world);
        for (; next_pdu(peer, &pdu); world_dispatch(world)) {
            unsigned i = load_be32(pdu.bhs + BHS_ITT) - itt[0];
            uint32_t from = i == 3 ? 4096 : 0;
            if (bhs_opcode(pdu.bhs) == OP_R2T)
                send_data_out(peer, itt[i], pdu_ttt(&pdu), 0, from, pattern((uint8_t)i) + from,
                              65536 - from, true);
            else
                assert_int_equal(bhs_opcode(pdu.bhs), OP_SCSI_RESPONSE);
            assert_int_equal(pdu.bhs[3], SCSI_STATUS_GOOD);
            good += bhs_opcode(pdu.bhs) == OP_SCSI_RESPONSE;
        }
        assert_int_equal(good, 3);
        assert_int_equal(peer->connection->credit_used + peer->connection->reserve_used, 0);
        world_free(world);
    }
}

/* Reads and writes wait for the same credit. */
static void test_reads_and_writes_share_the_credit(void **state)
{
    (void)state;
    struct world *world = tight_world();
    struct peer *peer = peer_new(world, "");
    block_memory_set_resident(world->memory, false);
    uint32_t writing = send_write(peer, 0, 256, NULL, 0); /* all of it */
    struct pdu r2t = expect_r2t(peer, writing, 0, 0, 131072);
    uint32_t reading = send_read(peer, 1000, 128);
    uint32_t later = send_write(peer, 3000, 8, pattern(2), 4096);
    expect_nothing(peer);
    world_dispatch(world);
    expect_good(peer, later); /* came whole with its command, in the reserve */
    expect_nothing(peer);
    send_data_out(peer, writing, pdu_ttt(&r2t), 0, 0, pattern(1), 131072, true);
    world_dispatch(world);
    expect_good(peer, writing);
    peer_pull(peer);
    world_dispatch(world);
    expect_data_in(peer, reading, 1000, 128 * BLOCK);
    assert_on_disk(world, 3000, pattern(2), 4096);
    world_free(world);
}

/* The memory of the whole node is gone, by other connections: come again, rather than wait for
 * nobody. */
static void test_no_memory_in_the_node(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.pool_bytes = 256 << 10;
    struct world *world = world_new(&options);
    struct peer *other = peer_new(world, ""), *peer = peer_new(world, "");
    uint32_t held = send_write(other, 0, 512, NULL, 0);
    struct pdu r2t = expect_r2t(other, held, 0, 0, 262144);
    uint32_t itt = send_write(peer, 600, 8, NULL, 0);
    expect_status(peer, itt, SCSI_STATUS_BUSY, 'U', 4096);
    itt = send_write(peer, 600, 8, pattern(1), 4096);
    expect_status(peer, itt, SCSI_STATUS_TASK_SET_FULL, 'U', 4096);
    block_memory_set_resident(world->memory, false);
    itt = send_read(peer, 600, 8);
    expect_status(peer, itt, SCSI_STATUS_BUSY, 'U', 4096);
    send_data_out(other, held, pdu_ttt(&r2t), 0, 0, pattern(1), 262144, true);
    world_dispatch(world);
    expect_good(other, held);
    itt = send_write(peer, 600, 8, pattern(1), 4096);
    world_dispatch(world);
    expect_good(peer, itt);
    world_free(world);
}

/* A command larger than all of the credit runs alone. */
static void test_one_large_command_always_runs(void **state)
{
    (void)state;
    struct world *world = tight_world();
    struct peer *peer = peer_new(world, "");
    uint32_t first = send_write(peer, 0, 512, NULL, 0);
    uint32_t second = send_write(peer, 1000, 512, NULL, 0);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t itt = i ? second : first;
        struct pdu r2t = expect_r2t(peer, itt, 0, 0, 262144);
        expect_nothing(peer);
        send_data_out(peer, itt, pdu_ttt(&r2t), 0, 0, pattern(1), 262144, true);
        world_dispatch(world);
        expect_good(peer, itt);
    }
    world_free(world);
}

/* Credit that an abort from elsewhere sets free serves who waits for it. */
static void test_abort_from_elsewhere_wakes_who_waits(void **state)
{
    (void)state;
    struct world *world = tight_world();
    struct peer *peer = peer_new(world, ""), *other = peer_new(world, "");
    uint8_t cdb[16];
    uint32_t itt = send_write(peer, 0, 256, NULL, 0);
    expect_r2t(peer, itt, 0, 0, 131072);
    make_rw10(cdb, 0x2a, 0, 8);
    uint32_t ready = send_scsi(peer, BHS_FINAL | 1, 1, (uint8_t[16]){0}, 0, NULL, 0);
    expect_status(peer, ready, SCSI_STATUS_CHECK_CONDITION, 0, 0); /* LUN 1's attention */
    uint32_t waiting = send_scsi(peer, WRITE_FLAGS, 1, cdb, 4096, NULL, 0);
    expect_nothing(peer);
    peer->woken = false;
    uint32_t reset = send_management(other, 5, 0, 0);
    expect_management(other, reset, 0);
    assert_true(peer->woken);
    expect_r2t(peer, waiting, 0, 0, 4096);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit_runs_out),
        cmocka_unit_test(test_full_reserve_is_told),
        cmocka_unit_test(test_credit_immediate_r2t_abort),
        cmocka_unit_test(test_reads_and_writes_share_the_credit),
        cmocka_unit_test(test_no_memory_in_the_node),
        cmocka_unit_test(test_one_large_command_always_runs),
        cmocka_unit_test(test_abort_from_elsewhere_wakes_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
