/* The memory that all connections share: who makes way for whom. */
#include "iscsi/connection_fixture.h"

#define BURST_BLOCKS 512u
#define BURST        (BURST_BLOCKS * BLOCK)
#define PATIENCE_US  1000000u

static struct world *world_with_pool(size_t pool_bytes)
{
    struct world_options options = world_defaults();
    options.pool_bytes = pool_bytes;
    return world_new(&options);
}

static void write_well(struct peer *peer, uint32_t lba)
{
    uint32_t itt = send_write(peer, lba, BURST_BLOCKS, NULL, 0);
    struct pdu r2t = expect_r2t(peer, itt, 0, 0, BURST);
    send_data_out(peer, itt, pdu_ttt(&r2t), 0, 0, pattern(3), BURST, true);
    world_dispatch(peer->world);
    expect_good(peer, itt);
    assert_on_disk(peer->world, lba, pattern(3), BURST);
}

/* Whoever has been asked for data and is silent keeps nobody out for longer than a second. */
static void test_an_unanswered_r2t_makes_way(void **state)
{
    (void)state;
    struct world *world = world_with_pool(BURST);
    struct peer *silent = peer_new(world, ""), *peer = peer_new(world, "");
    uint32_t held = send_write(silent, 0, BURST_BLOCKS, NULL, 0);
    struct pdu r2t = expect_r2t(silent, held, 0, 0, BURST);
    world->now_us += PATIENCE_US - 1;
    uint32_t itt = send_write(peer, 1000, BURST_BLOCKS, NULL, 0);
    expect_status(peer, itt, SCSI_STATUS_BUSY, 'U', BURST); /* it may just be on its way */
    world->now_us += 200000;                                /* nobody is looked for in between */
    silent->woken = false;
    write_well(peer, 1000);
    assert_true(silent->woken);
    expect_status(silent, held, SCSI_STATUS_BUSY, 'U', BURST);
    send_data_out(silent, held, pdu_ttt(&r2t), 0, 0, pattern(9), BURST, true); /* too late */
    world_dispatch(world);
    expect_nothing(silent);
    write_well(silent, 0); /* it comes again, as BUSY asks it to */
    world_free(world);
}

/* Dripping buys no time: what counts is when the burst was asked for. Its PDU that is just arriving
 * is let in, though. */
static void test_a_dripping_peer_makes_way(void **state)
{
    (void)state;
    struct world *world = world_with_pool(BURST);
    struct peer *slow = peer_new(world, ""), *peer = peer_new(world, "");
    uint32_t held = send_write(slow, 0, BURST_BLOCKS, NULL, 0);
    struct pdu r2t = expect_r2t(slow, held, 0, 0, BURST);
    for (unsigned i = 0; i < 4; i++) {
        world->now_us += PATIENCE_US / 4;
        send_data_out(slow, held, pdu_ttt(&r2t), i, i * 4, pattern(1) + (size_t)i * 4, 4, false);
    }
    write_well(peer, 1000);
    expect_status(slow, held, SCSI_STATUS_BUSY, 'U', BURST);
    world_free(world);
}

/* What was read for a peer that does not take it is read again when it does. */
static void test_an_untaken_read_makes_way(void **state)
{
    (void)state;
    struct world *world = world_with_pool(BURST);
    struct peer *silent = peer_new(world, ""), *peer = peer_new(world, "");
    block_memory_set_resident(world->memory, false);
    uint32_t reading = send_read(silent, 2000, BURST_BLOCKS);
    expect_nothing(silent); /* the engine reads */
    world_dispatch(world);
    assert_int_equal(pool_left_bytes(world->pool), 0);
    world->now_us += PATIENCE_US;
    write_well(peer, 1000);
    peer_pull(silent);
    world_dispatch(world);
    expect_data_in(silent, reading, 2000, BURST);
    world_free(world);
}

/* The one that holds most goes first, with all that waits for it. */
static void test_the_biggest_one_makes_way(void **state)
{
    (void)state;
    struct world *world = world_with_pool(4 * BURST);
    struct peer *big = peer_new(world, ""), *small = peer_new(world, "");
    uint32_t big_itt[2], small_itt;
    for (unsigned i = 0; i < 2; i++) {
        big_itt[i] = send_write(big, i * 1000, BURST_BLOCKS, NULL, 0);
        expect_r2t(big, big_itt[i], 0, 0, BURST);
    }
    small_itt = send_write(small, 3000, BURST_BLOCKS, NULL, 0);
    struct pdu r2t = expect_r2t(small, small_itt, 0, 0, BURST);
    struct peer *third = peer_new(world, ""), *peer = peer_new(world, "");
    expect_r2t(third, send_write(third, 4000, BURST_BLOCKS, NULL, 0), 0, 0, BURST);
    world->now_us += PATIENCE_US;
    write_well(peer, 5000);
    for (unsigned i = 0; i < 2; i++)
        expect_status(big, big_itt[i], SCSI_STATUS_BUSY, 'U', BURST);
    send_data_out(small, small_itt, pdu_ttt(&r2t), 0, 0, pattern(1), BURST, true);
    world_dispatch(world);
    expect_good(small, small_itt);
    world_free(world);
}

/* Beyond its first command a connection leaves others as much as it has. */
static void test_half_of_what_is_left(void **state)
{
    (void)state;
    struct world *world = world_with_pool(4 * BURST);
    struct peer *greedy = peer_new(world, ""), *peer = peer_new(world, "");
    uint32_t itt[4];
    struct pdu r2t[2];
    for (unsigned i = 0; i < 4; i++)
        itt[i] = send_write(greedy, i * 1000, BURST_BLOCKS, NULL, 0);
    for (unsigned i = 0; i < 2; i++)
        r2t[i] = expect_r2t(greedy, itt[i], 0, 0, BURST);
    expect_nothing(greedy);
    write_well(peer, 5000);
    send_data_out(greedy, itt[0], pdu_ttt(&r2t[0]), 0, 0, pattern(1), BURST, true);
    world_dispatch(world);
    expect_good(greedy, itt[0]);
    expect_r2t(greedy, itt[2], 0, 0, BURST);
    expect_nothing(greedy);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unanswered_r2t_makes_way),
        cmocka_unit_test(test_a_dripping_peer_makes_way),
        cmocka_unit_test(test_an_untaken_read_makes_way),
        cmocka_unit_test(test_the_biggest_one_makes_way),
        cmocka_unit_test(test_half_of_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
