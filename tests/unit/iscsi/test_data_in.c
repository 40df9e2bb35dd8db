/* Answers with data: copies, device ranges, cold reads, errors half way, slow readers. */
#include "iscsi/connection_fixture.h"

/* Every way a read's bytes can take, cut by every limit. */
static void test_reads_of_all_shapes(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "",
        "MaxRecvDataSegmentLength=262144\n",
        "MaxRecvDataSegmentLength=512\nMaxBurstLength=4096\nFirstBurstLength=512\n",
        "MaxRecvDataSegmentLength=65536\nMaxBurstLength=100000\n",
        "MaxRecvDataSegmentLength=777\nMaxBurstLength=1554\nFirstBurstLength=512\n",
        "MaxRecvDataSegmentLength=262144\nHeaderDigest=CRC32C\nDataDigest=CRC32C\n",
    };
    static const uint32_t blocks[] = {1, 16, 63, 64, 65, 512, 2048};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        for (unsigned cold = 0; cold < 2; cold++) {
            struct world *world = world_default();
            struct peer *peer = peer_new(world, keys[k]);
            for (size_t b = 0; b < ARRAY_SIZE(blocks); b++) {
                block_memory_set_resident(world->memory, !cold);
                uint32_t itt = send_read(peer, 11, blocks[b]);
                for (unsigned i = 0; cold && i < 5; i++) {
                    peer_pull(peer);
                    world_dispatch(world);
                }
                expect_data_in(peer, itt, 11, blocks[b] * BLOCK);
                expect_nothing(peer);
            }
            assert_int_equal(peer->connection->credit_used, 0);
            world_free(world);
        }
    }
}

/* From 32 KiB on a warm read leaves from the page cache, unless a digest needs its bytes. */
static void test_who_is_sent_from_the_device(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        uint32_t blocks;
        bool device;
    } cases[] = {
        {"MaxRecvDataSegmentLength=262144\n",                      63,  false},
        {"MaxRecvDataSegmentLength=262144\n",                      64,  true },
        {"MaxRecvDataSegmentLength=262144\n",                      512, true },
        {"MaxRecvDataSegmentLength=8192\n",                        512, false},
        {"MaxRecvDataSegmentLength=262144\nDataDigest=CRC32C\n",   512, false},
        {"MaxRecvDataSegmentLength=262144\nHeaderDigest=CRC32C\n", 512, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, cases[i].keys);
        static struct iscsi_output output;
        uint32_t itt = send_read(peer, 40, cases[i].blocks);
        bool device = false;
        while (peer_commit(peer, &output)) {
            for (unsigned s = 0; s < output.segment_count; s++)
                device |= output.segments[s].kind == ISCSI_SEGMENT_DEVICE;
            peer_take(peer, &output);
            peer_release(peer, &output);
        }
        assert_int_equal(device, cases[i].device);
        assert_int_equal(peer->connection->session->zero_copy_bytes,
                         device ? cases[i].blocks * BLOCK : 0);
        expect_data_in(peer, itt, 40, cases[i].blocks * BLOCK);
        world_free(world);
    }
}

/* Answers of many small commands leave together, as one segment. */
static void test_small_answers_are_batched(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    static struct iscsi_output output;
    uint32_t first = send_read(peer, 0, 8);
    for (unsigned i = 1; i < 32; i++)
        send_read(peer, i * 8, 8);
    assert_true(peer_commit(peer, &output));
    assert_int_equal(output.segment_count, 1);
    assert_int_equal(output.bytes, 32 * (BHS_BYTES + 8 * BLOCK));
    peer_take(peer, &output);
    for (unsigned i = 0; i < 32; i++)
        expect_data_in(peer, first + i, i * 8, 8 * BLOCK);
    world_free(world);
}

/* One pull commits a bounded amount. */
static void test_one_pull_is_bounded(void **state)
{
    (void)state;
    static const char *const keys[] = {"MaxRecvDataSegmentLength=262144\n",
                                       "MaxRecvDataSegmentLength=512\n"};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, keys[k]);
        static struct iscsi_output output;
        unsigned pulls = 0;
        for (unsigned i = 0; i < 4; i++)
            send_read(peer, i * 100, 1024);
        while (peer_commit(peer, &output)) {
            assert_true(output.bytes <= ISCSI_OUTPUT_BYTES + BHS_BYTES);
            peer_take(peer, &output);
            peer_release(peer, &output);
            pulls++;
        }
        assert_true(pulls >= 8);
        for (unsigned i = 0; i < 4; i++)
            expect_data_in(peer, peer->next_itt - 4 + i, i * 100, 1024 * BLOCK);
        world_free(world);
    }
}

/* ── cold ────────────────────────────────────────────────────────────────────────────────────── */

/* A cold read does not hold up the warm one behind it. */
static void test_warm_overtakes_cold(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    block_memory_set_resident(world->memory, false);
    uint32_t cold = send_read(peer, 0, 64);
    uint32_t ping = send_nop(peer, true, NULL, 0);
    assert_int_equal(load_be32(expect_pdu(peer, OP_NOP_IN).bhs + BHS_ITT), ping);
    expect_nothing(peer);
    peer->woken = false;
    world_dispatch(world);
    assert_true(peer->woken);
    expect_data_in(peer, cold, 0, 64 * BLOCK);
    world_free(world);
}

/* It turns cold between its PDUs. */
static void test_turning_cold_half_way(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=65536\n");
    static struct iscsi_output output;
    uint32_t itt = send_read(peer, 0, 2048);
    while (peer_commit(peer, &output)) {
        peer_take(peer, &output);
        peer_release(peer, &output);
        block_memory_set_resident(world->memory, false);
        world_dispatch(world);
    }
    for (unsigned i = 0; i < 8; i++) {
        world_dispatch(world);
        peer_pull(peer);
    }
    expect_data_in(peer, itt, 0, 2048 * BLOCK);
    assert_int_equal(peer->connection->credit_used, 0);
    world_free(world);
}

/* ── errors ──────────────────────────────────────────────────────────────────────────────────── */

static void test_read_error_half_way(void **state)
{
    (void)state;
    static const uint32_t bad_blocks[] = {100, 600, 1023};
    static const char *const keys[] = {"", "MaxRecvDataSegmentLength=65536\nDataDigest=CRC32C\n"};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        for (size_t i = 0; i < ARRAY_SIZE(bad_blocks); i++) {
            struct world *world = world_default();
            struct peer *peer = peer_new(world, keys[k]);
            block_memory_set_resident(world->memory, false);
            block_faulty_add(world->disk, &(struct block_fault){.operations = 1u << BLOCK_READ,
                                                                .first_byte = bad_blocks[i] * BLOCK,
                                                                .last_byte = bad_blocks[i] * BLOCK,
                                                                .result = -EIO});
            uint32_t itt = send_read(peer, 0, 1024), sent = 0;
            for (unsigned n = 0; n < 8; n++) {
                peer_pull(peer);
                world_dispatch(world);
            }
            struct pdu pdu;
            while (next_pdu(peer, &pdu) && bhs_opcode(pdu.bhs) == OP_DATA_IN) {
                assert_false(pdu.bhs[1] & DATA_IN_STATUS);
                assert_int_equal(load_be32(pdu.bhs + 40), sent);
                assert_memory_equal(pdu.data, block_memory_bytes(world->memory) + sent, pdu.length);
                sent += pdu.length;
            }
            assert_true(sent <= bad_blocks[i] * BLOCK);
            assert_int_equal(bhs_opcode(pdu.bhs), OP_SCSI_RESPONSE);
            assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
            assert_int_equal(pdu.bhs[3], SCSI_STATUS_CHECK_CONDITION);
            assert_int_equal(pdu.bhs[1], BHS_FINAL | DATA_IN_UNDERFLOW);
            assert_int_equal(load_be32(pdu.bhs + 44), 1024 * BLOCK - sent);
            expect_sense(&pdu, 3, 0x1100);
            assert_int_equal(load_be32(pdu.data + 2 + 3), bad_blocks[i]); /* INFORMATION */
            assert_int_equal(peer->connection->credit_used, 0);
            /* Nothing latches: another place can be read. */
            itt = send_read(peer, 4000, 8);
            peer_pull(peer);
            world_dispatch(world);
            expect_data_in(peer, itt, 4000, 8 * BLOCK);
            world_free(world);
        }
    }
}

/* The disk has shrunk under a read that has begun to be answered. */
static void test_device_shrinks_half_way(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=65536\n");
    static struct iscsi_output output;
    uint32_t itt = send_read(peer, DISK_BLOCKS - 2048, 2048);
    assert_true(peer_commit(peer, &output));
    peer_take(peer, &output);
    block_memory_resize(world->memory, DISK_BLOCKS - 1024);
    struct pdu pdu;
    uint32_t sent = 0;
    for (unsigned i = 0; i < 4; i++) {
        peer_pull(peer);
        world_dispatch(world);
    }
    while (next_pdu(peer, &pdu) && bhs_opcode(pdu.bhs) == OP_DATA_IN)
        sent += pdu.length;
    assert_int_equal(bhs_opcode(pdu.bhs), OP_SCSI_RESPONSE);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
    assert_true(sent <= 1024 * BLOCK);
    expect_sense(&pdu, 5, 0x2100);
    itt = send_read(peer, 0, 1); /* hears of the new size */
    pdu = expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 'U', BLOCK);
    expect_sense(&pdu, 6, 0x2a09);
    world_free(world);
}

/* Sense and the data of INQUIRY and kin are cut to what the initiator takes. */
static void test_parameter_data(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=512\nDataDigest=CRC32C\n");
    uint8_t cdb[16] = {0x12, 0, 0, 0, 96};
    for (uint32_t expected = 1; expected <= 200; expected += 33) {
        uint32_t itt = send_scsi(peer, READ_FLAGS, 0, cdb, expected, NULL, 0);
        struct pdu pdu = expect_pdu(peer, OP_DATA_IN);
        assert_int_equal(pdu.length, min_of(expected, 96u));
        if (expected != 96)
            expect_status(peer, itt, SCSI_STATUS_GOOD, expected < 96 ? 'O' : 'U',
                          expected < 96 ? 96 - expected : expected - 96);
    }
    uint8_t wrong[16] = {0xff};
    uint32_t itt = send_scsi(peer, READ_FLAGS, 0, wrong, 512, NULL, 0);
    struct pdu pdu = expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 'U', 512);
    expect_sense(&pdu, 5, 0x2000);
    itt = send_scsi(peer, READ_FLAGS, 77, wrong, 512, NULL, 0);
    pdu = expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 'U', 512);
    expect_sense(&pdu, 5, 0x2500);
    world_free(world);
}

/* MaxRecvDataSegmentLength declared anew holds from the next PDU on, also in the middle. */
static void test_segment_length_changes_half_way(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=65536\n");
    static struct iscsi_output output;
    uint32_t itt = send_read(peer, 0, 1024);
    assert_true(peer_commit(peer, &output));
    peer_take(peer, &output);
    send_text(peer, BHS_FINAL, RESERVED_TAG, "MaxRecvDataSegmentLength=4096\n");
    assert_int_equal(expect_data_in(peer, itt, 0, 1024 * BLOCK), 3 + (8 - 3) * 16);
    expect_pdu(peer, OP_TEXT_RESPONSE);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_of_all_shapes),
        cmocka_unit_test(test_who_is_sent_from_the_device),
        cmocka_unit_test(test_small_answers_are_batched),
        cmocka_unit_test(test_one_pull_is_bounded),
        cmocka_unit_test(test_warm_overtakes_cold),
        cmocka_unit_test(test_turning_cold_half_way),
        cmocka_unit_test(test_read_error_half_way),
        cmocka_unit_test(test_device_shrinks_half_way),
        cmocka_unit_test(test_parameter_data),
        cmocka_unit_test(test_segment_length_changes_half_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
