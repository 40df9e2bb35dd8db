/* Commands on their way in: immediate data, R2T, Data-Out, residuals, the command window. */
#include "iscsi/connection_fixture.h"

/* ── writing ─────────────────────────────────────────────────────────────────────────────────── */

static void test_writes_of_all_shapes(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "InitialR2T=Yes\nImmediateData=Yes\n",
        "InitialR2T=Yes\nImmediateData=No\n",
        "InitialR2T=No\nImmediateData=Yes\nFirstBurstLength=8192\n",
        "InitialR2T=No\nImmediateData=No\nFirstBurstLength=4096\nMaxBurstLength=8192\n",
        "InitialR2T=Yes\nMaxBurstLength=512\nFirstBurstLength=512\n",
        "HeaderDigest=CRC32C\nDataDigest=CRC32C\nMaxBurstLength=16384\n",
    };
    static const uint32_t blocks[] = {1, 8, 16, 17, 128, 1024};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        struct world_options options = world_defaults();
        options.target.initial_r2t = false;
        struct world *world = world_new(&options);
        struct peer *peer = peer_new(world, keys[k]);
        const struct iscsi_parameters *parameters = &peer->connection->session->login.parameters;
        for (size_t b = 0; b < ARRAY_SIZE(blocks); b++) {
            uint32_t bytes = blocks[b] * BLOCK, sent = 0, sn = 0, r2t_sn = 0;
            const uint8_t *data = pattern((uint8_t)(k * 8 + b));
            uint32_t first = min_of(bytes, parameters->first_burst_bytes);
            uint32_t immediate = parameters->immediate_data ? min_of(first, 1024u) : 0;
            if (parameters->initial_r2t)
                first = immediate;
            uint8_t cdb[16];
            make_rw10(cdb, 0x2a, 100, blocks[b]);
            uint8_t flags = (uint8_t)(first > immediate ? WRITE_FLAGS & ~BHS_FINAL : WRITE_FLAGS);
            uint32_t itt = send_scsi(peer, flags, 0, cdb, bytes, data, immediate);
            for (sent = immediate; sent < first;) {
                uint32_t piece = min_of(first - sent, 1500u);
                send_data_out(peer, itt, RESERVED_TAG, sn++, sent, data + sent, piece,
                              sent + piece == first);
                sent += piece;
            }
            while (sent < bytes) {
                uint32_t burst = min_of(bytes - sent, parameters->max_burst_bytes);
                struct pdu r2t = expect_r2t(peer, itt, r2t_sn++, sent, burst);
                uint32_t end = sent + burst;
                for (sn = 0; sent < end; sn++) {
                    uint32_t piece = min_of(end - sent, 9000u);
                    send_data_out(peer, itt, pdu_ttt(&r2t), sn, sent, data + sent, piece,
                                  sent + piece == end);
                    sent += piece;
                }
            }
            world_dispatch(world);
            struct pdu pdu = expect_status(peer, itt, SCSI_STATUS_GOOD, 0, 0);
            assert_int_equal(load_be32(pdu.bhs + 36), r2t_sn);
            assert_on_disk(world, 100, data, bytes);
        }
        world_free(world);
    }
}

/* A burst announced (F=0) goes on until F, also when it carries nothing any more. */
static void test_unsolicited_burst_ends_with_f(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.target.initial_r2t = false;
    struct world *world = world_new(&options);
    struct peer *peer = peer_new(world, "InitialR2T=No\nFirstBurstLength=1024\n");
    uint8_t cdb[16];
    make_rw10(cdb, 0x2a, 0, 4);
    uint32_t itt =
        send_scsi(peer, WRITE_FLAGS & ~BHS_FINAL, 0, cdb, 4 * BLOCK, pattern(1), 2 * BLOCK);
    expect_nothing(peer);
    send_data_out(peer, itt, RESERVED_TAG, 0, 1024, NULL, 0, true);
    struct pdu r2t = expect_r2t(peer, itt, 0, 1024, 1024);
    send_data_out(peer, itt, pdu_ttt(&r2t), 0, 1024, pattern(1) + 1024, 1024, true);
    world_dispatch(world);
    expect_good(peer, itt);
    /* Fewer than might have come: the rest is asked for. */
    itt = send_scsi(peer, WRITE_FLAGS & ~BHS_FINAL, 0, cdb, 4 * BLOCK, NULL, 0);
    send_data_out(peer, itt, RESERVED_TAG, 0, 0, pattern(2), 100, true);
    r2t = expect_r2t(peer, itt, 0, 100, 2048 - 100);
    send_data_out(peer, itt, pdu_ttt(&r2t), 0, 100, pattern(2) + 100, 2048 - 100, true);
    world_dispatch(world);
    expect_good(peer, itt);
    assert_on_disk(world, 0, pattern(2), 4 * BLOCK);
    world_free(world);
}

static void test_data_out_that_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        uint32_t ttt_off, offset, length;
        bool final;
        const char *reason;
    } cases[] = {
        {1, 0,          4096, true,  "transfer tag"    },
        {0, 1,          4096, true,  "at offset 1"     },
        {0, 512,        3584, true,  "at offset 512"   },
        {0, 0xffffffff, 1,    true,  "at offset"       },
        {0, 0xfffffe00, 4096, true,  "at offset"       },
        {0, 0,          4097, true,  "4097 bytes where"},
        {0, 0,          8192, false, "8192 bytes where"},
        {0, 0,          4095, true,  "4096 were asked" },
        {0, 0,          0,    true,  "4096 were asked" },
        {0, 0,          4096, false, "without F"       },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, "");
        uint32_t itt = send_write(peer, 0, 8, NULL, 0);
        struct pdu r2t = expect_r2t(peer, itt, 0, 0, 4096);
        send_data_out(peer, itt, pdu_ttt(&r2t) + cases[i].ttt_off, 0, cases[i].offset, pattern(1),
                      cases[i].length, cases[i].final);
        world_dispatch(world);
        expect_closed(peer, cases[i].reason);
        assert_int_not_equal(block_memory_bytes(world->memory)[1], pattern(1)[1]);
        world_free(world);
    }
}

/* TTT ffffffff is for unsolicited data only, and that only while it is open. */
static void test_unsolicited_data_nobody_allowed(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint32_t itt = send_write(peer, 0, 8, NULL, 0);
    expect_r2t(peer, itt, 0, 0, 4096);
    send_data_out(peer, itt, RESERVED_TAG, 0, 0, pattern(1), 4096, true);
    expect_closed(peer, "transfer tag 0xffffffff");
    peer = peer_new(world, "");
    uint8_t cdb[16];
    make_rw10(cdb, 0x2a, 0, 8);
    send_scsi(peer, WRITE_FLAGS & ~BHS_FINAL, 0, cdb, 4096, NULL, 0);
    expect_closed(peer, "in spite of InitialR2T=Yes");
    world_free(world);
}

/* An R2T that has not been pulled yet cannot have been answered. */
static void test_answer_to_an_r2t_not_sent(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint32_t itt = send_write(peer, 0, 8, NULL, 0);
    send_data_out(peer, itt, 0, 0, 0, pattern(1), 4096, true);
    expect_closed(peer, "transfer tag");
    world_free(world);
}

/* What a command did not take is swallowed, its session goes on. */
static void test_wrong_data_sn_costs_the_command(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {1, 27, 0xffffffff};
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uint32_t itt = send_write(peer, 0, 8, NULL, 0);
        struct pdu r2t = expect_r2t(peer, itt, 0, 0, 4096);
        send_data_out(peer, itt, pdu_ttt(&r2t), numbers[i], 0, pattern(1), 2048, false);
        struct pdu pdu = expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 0, 0);
        expect_sense(&pdu, 0x0b, 0x4b00);
        send_data_out(peer, itt, pdu_ttt(&r2t), numbers[i] + 1, 2048, pattern(1), 2048, true);
        expect_nothing(peer);
    }
    uint32_t itt = send_write(peer, 0, 8, NULL, 0);
    struct pdu r2t = expect_r2t(peer, itt, 0, 0, 4096);
    send_data_out(peer, itt, pdu_ttt(&r2t), 0, 0, pattern(1), 2048, false);
    send_data_out(peer, itt, pdu_ttt(&r2t), 0, 2048, pattern(1), 2048, true);
    expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 0, 0);
    world_dispatch(world);
    assert_int_not_equal(block_memory_bytes(world->memory)[1], pattern(1)[1]);
    itt = send_write(peer, 0, 1, pattern(4), BLOCK);
    world_dispatch(world);
    expect_good(peer, itt);
    world_free(world);
}

static void test_data_out_for_nobody_is_swallowed(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    peer->feeding = FEED_BULK;
    send_data_out(peer, 4711, 0, 0, 0, pattern(1), 100000, true);
    send_data_out(peer, 4711, RESERVED_TAG, 5, 77, NULL, 0, true);
    uint32_t itt = send_read(peer, 0, 1);
    expect_data_in(peer, itt, 0, BLOCK);
    world_free(world);
}

static void test_immediate_data_that_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        uint8_t flags;
        uint32_t expected, length;
        const char *reason;
    } cases[] = {
        {"ImmediateData=No\n",     WRITE_FLAGS,            512,   512,   "ImmediateData=No"   },
        {"",                       READ_FLAGS,             512,   512,   "does not write"     },
        {"",                       BHS_FINAL | 1,          512,   512,   "does not write"     },
        {"",                       WRITE_FLAGS,            511,   512,   "expects to send 511"},
        {"",                       WRITE_FLAGS,            0,     4,     "expects to send 0"  },
        {"FirstBurstLength=512\n", WRITE_FLAGS,            8192,  513,   "FirstBurstLength"   },
        {"",                       WRITE_FLAGS,            65540, 65537, "FirstBurstLength"   },
        {"",                       WRITE_FLAGS | BHS_READ, 512,   0,     "bidirectional"      },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, cases[i].keys);
        uint8_t cdb[16];
        make_rw10(cdb, 0x2a, 0, 1);
        send_scsi(peer, cases[i].flags, 0, cdb, cases[i].expected, pattern(1), cases[i].length);
        expect_closed(peer, cases[i].reason);
        world_free(world);
    }
}

/* ── residuals ───────────────────────────────────────────────────────────────────────────────── */

static void test_read_residuals(void **state)
{
    (void)state;
    static const struct {
        uint8_t flags;
        uint32_t blocks, expected, data;
        char residual;
        uint32_t count;
    } cases[] = {
        {READ_FLAGS,    1, 0,     0,    'O', 512 },
        {READ_FLAGS,    1, 200,   200,  'O', 312 },
        {READ_FLAGS,    1, 10000, 512,  'U', 9488},
        {READ_FLAGS,    2, 512,   512,  'O', 512 },
        {READ_FLAGS,    2, 1023,  1023, 'O', 1   },
        {READ_FLAGS,    0, 512,   0,    'U', 512 },
        {BHS_FINAL | 1, 1, 0,     0,    'O', 512 },
    };
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t cdb[16];
        make_rw10(cdb, 0x28, 3, cases[i].blocks);
        uint32_t itt = send_scsi(peer, cases[i].flags, 0, cdb, cases[i].expected, NULL, 0);
        if (cases[i].data) {
            struct pdu pdu = expect_pdu(peer, OP_DATA_IN);
            assert_int_equal(pdu.length, cases[i].data);
            assert_int_equal(pdu.bhs[1], BHS_FINAL); /* the status comes apart */
            assert_memory_equal(pdu.data, block_memory_bytes(world->memory) + 3 * BLOCK,
                                pdu.length);
        }
        struct pdu pdu =
            expect_status(peer, itt, SCSI_STATUS_GOOD, cases[i].residual, cases[i].count);
        assert_int_equal(load_be32(pdu.bhs + 36), cases[i].data ? 1 : 0); /* ExpDataSN */
    }
    world_free(world);
}

/* Whole blocks that came are written, half a block is refused and nothing changes. */
static void test_write_residuals(void **state)
{
    (void)state;
    static const struct {
        uint8_t flags;
        uint32_t blocks, expected, written;
        uint8_t status;
        char residual;
        uint32_t count;
    } cases[] = {
        {WRITE_FLAGS, 1, 0,     0,   SCSI_STATUS_GOOD,            'O', 512 },
        {WRITE_FLAGS, 1, 10000, 512, SCSI_STATUS_GOOD,            'U', 9488},
        {WRITE_FLAGS, 2, 512,   512, SCSI_STATUS_GOOD,            'O', 512 },
        {WRITE_FLAGS, 1, 200,   0,   SCSI_STATUS_CHECK_CONDITION, 'O', 312 },
        {WRITE_FLAGS, 2, 1023,  0,   SCSI_STATUS_CHECK_CONDITION, 'O', 1   },
        {WRITE_FLAGS, 0, 512,   0,   SCSI_STATUS_GOOD,            'U', 512 },
    };
    static const char *const keys[] = {"", "ImmediateData=No\n"};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, keys[k]);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            uint8_t cdb[16], before[2 * BLOCK];
            memcpy(before, block_memory_bytes(world->memory) + 3 * BLOCK, sizeof before);
            make_rw10(cdb, 0x2a, 3, cases[i].blocks);
            const uint8_t *data = pattern((uint8_t)(i + 50 * k + 1));
            uint32_t length = k ? 0 : cases[i].expected;
            uint32_t itt = send_scsi(peer, cases[i].flags, 0, cdb, cases[i].expected, data, length);
            uint32_t wanted = min_of(cases[i].expected, cases[i].blocks * BLOCK);
            if (k && wanted) {
                struct pdu r2t = expect_r2t(peer, itt, 0, 0, wanted);
                send_data_out(peer, itt, pdu_ttt(&r2t), 0, 0, data, wanted, true);
            }
            world_dispatch(world);
            expect_status(peer, itt, cases[i].status, cases[i].residual, cases[i].count);
            memcpy(before, data, cases[i].written);
            assert_on_disk(world, 3, before, sizeof before);
        }
        world_free(world);
    }
}

/* More is announced than the command takes: refused, and what comes is swallowed. */
static void test_more_unsolicited_data_than_wanted(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.target.initial_r2t = false;
    struct world *world = world_new(&options);
    struct peer *peer = peer_new(world, "InitialR2T=No\nFirstBurstLength=4096\n");
    uint8_t cdb[16];
    make_rw10(cdb, 0x2a, 3, 1);
    uint32_t itt =
        send_scsi(peer, WRITE_FLAGS & ~BHS_FINAL, 0, cdb, 4 * BLOCK, pattern(1), 2 * BLOCK);
    struct pdu pdu = expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 'U', 3 * BLOCK);
    expect_sense(&pdu, 5, 0x0e03);
    send_data_out(peer, itt, RESERVED_TAG, 0, 1024, pattern(1), 1024, true);
    expect_nothing(peer);
    itt = send_read(peer, 3, 1);
    expect_data_in(peer, itt, 3, BLOCK);
    world_free(world);
}

/* A command without data that the disk has to work on. */
static void test_synchronize_cache(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_FLUSH);
    uint32_t itt = send_scsi(peer, BHS_FINAL | 1, 0, (uint8_t[16]){0x35}, 0, NULL, 0);
    expect_nothing(peer);
    unhang(world);
    expect_good(peer, itt);
    world_free(world);
}

/* ffffffff is no tag of ours. */
static void test_transfer_tags_wrap(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    peer->connection->session->next_ttt = 0xfffffffe;
    uint32_t first = send_write(peer, 0, 8, NULL, 0);
    struct pdu r2t = expect_r2t(peer, first, 0, 0, 4096);
    assert_int_equal(pdu_ttt(&r2t), 0xfffffffe);
    uint32_t second = send_write(peer, 8, 8, NULL, 0);
    r2t = expect_r2t(peer, second, 0, 0, 4096);
    assert_int_equal(pdu_ttt(&r2t), 0);
    world_free(world);
}

/* A write that announces to read gets no data-out and asks for none. */
static void test_write_with_the_flag_of_a_read(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint8_t cdb[16];
    make_rw10(cdb, 0x2a, 3, 1);
    uint32_t itt = send_scsi(peer, READ_FLAGS, 0, cdb, BLOCK, NULL, 0);
    world_dispatch(world);
    expect_status(peer, itt, SCSI_STATUS_GOOD, 'U', BLOCK);
    world_free(world);
}

/* ── the command window ──────────────────────────────────────────────────────────────────────── */

static void test_only_the_next_number_is_taken(void **state)
{
    (void)state;
    static const int32_t wrong[] = {-1, 1, 255, 256, 1000, INT32_MIN};
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint32_t right = peer->cmd_sn;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        peer->cmd_sn = right + (uint32_t)wrong[i];
        send_write(peer, 0, 1, pattern(1), BLOCK);
        peer->cmd_sn = right + (uint32_t)wrong[i];
        send_nop(peer, false, "x", 1);
        world_dispatch(world);
        expect_nothing(peer);
        assert_non_null(peer->connection);
    }
    peer->cmd_sn = right;
    uint32_t itt = send_read(peer, 0, 1);
    expect_data_in(peer, itt, 0, BLOCK);
    peer->cmd_sn = right - 77; /* of an immediate command it does not matter */
    itt = send_nop(peer, true, NULL, 0);
    assert_int_equal(load_be32(expect_pdu(peer, OP_NOP_IN).bhs + BHS_ITT), itt);
    world_free(world);
}

/* isboot never looks at MaxCmdSN. */
static void test_the_next_number_is_taken_past_the_window(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.command_window = 4;
    struct world *world = world_new(&options);
    struct peer *peer = peer_new(world, "");
    uint32_t first = 0;
    block_memory_set_resident(world->memory, false);
    for (unsigned i = 0; i < 8; i++) {
        uint32_t itt = send_read(peer, 100 + i * 8, 1);
        first = i ? first : itt;
    }
    expect_nothing(peer);
    assert_int_equal(peer->connection->session->max_cmd_sn - peer->max_cmd_sn, 0);
    world_dispatch(world);
    for (unsigned i = 0; i < 8; i++)
        expect_data_in(peer, first + i, 100 + i * 8, BLOCK);
    world_free(world);
}

/* The window opens again whatever uses numbers up: an idle session that only pings must not starve
 * itself. */
static void test_pings_move_the_window(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.command_window = 8;
    struct world *world = world_new(&options);
    struct peer *peer = peer_new(world, "");
    for (unsigned i = 0; i < 40; i++) {
        assert_true((int32_t)(peer->max_cmd_sn - peer->cmd_sn) >= 0);
        send_nop(peer, false, NULL, 0);
        expect_pdu(peer, OP_NOP_IN);
        assert_int_equal(peer->exp_cmd_sn, peer->cmd_sn);
        assert_int_equal(peer->max_cmd_sn, peer->cmd_sn + 7);
    }
    world_free(world);
}

/* An initiator that keeps within the window is never told TASK SET FULL. */
static void test_the_window_holds(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    unsigned sent = 0;
    while ((int32_t)(peer->max_cmd_sn - peer->cmd_sn) >= 0) {
        send_write(peer, sent, 1, pattern(1), BLOCK);
        sent++;
        expect_nothing(peer);
        assert_true(sent <= 256);
    }
    assert_int_equal(sent, 256);
    unhang(world);
    for (unsigned i = 0; i < sent; i++)
        assert_int_equal(expect_pdu(peer, OP_SCSI_RESPONSE).bhs[3], SCSI_STATUS_GOOD);
    assert_true((int32_t)(peer->max_cmd_sn - peer->cmd_sn) >= 254);
    world_free(world);
}

static void test_too_many_commands(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.commands_per_session = 4;
    struct world *world = world_new(&options);
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    for (unsigned i = 0; i < 4; i++)
        send_write(peer, i, 1, pattern(1), BLOCK);
    uint32_t itt = send_write(peer, 9, 1, pattern(1), BLOCK);
    expect_status(peer, itt, SCSI_STATUS_TASK_SET_FULL, 'U', BLOCK);
    itt = send_scsi(peer, BHS_FINAL | 1, 0, (uint8_t[16]){0}, 0, NULL, 0);
    expect_status(peer, itt, SCSI_STATUS_TASK_SET_FULL, 0, 0);
    unhang(world);
    for (unsigned i = 0; i < 4; i++)
        expect_pdu(peer, OP_SCSI_RESPONSE);
    itt = send_write(peer, 9, 1, pattern(1), BLOCK);
    world_dispatch(world);
    expect_good(peer, itt);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_of_all_shapes),
        cmocka_unit_test(test_unsolicited_burst_ends_with_f),
        cmocka_unit_test(test_data_out_that_does_not_fit),
        cmocka_unit_test(test_unsolicited_data_nobody_allowed),
        cmocka_unit_test(test_answer_to_an_r2t_not_sent),
        cmocka_unit_test(test_wrong_data_sn_costs_the_command),
        cmocka_unit_test(test_data_out_for_nobody_is_swallowed),
        cmocka_unit_test(test_immediate_data_that_does_not_fit),
        cmocka_unit_test(test_read_residuals),
        cmocka_unit_test(test_write_residuals),
        cmocka_unit_test(test_more_unsolicited_data_than_wanted),
        cmocka_unit_test(test_synchronize_cache),
        cmocka_unit_test(test_transfer_tags_wrap),
        cmocka_unit_test(test_write_with_the_flag_of_a_read),
        cmocka_unit_test(test_only_the_next_number_is_taken),
        cmocka_unit_test(test_the_next_number_is_taken_past_the_window),
        cmocka_unit_test(test_pings_move_the_window),
        cmocka_unit_test(test_the_window_holds),
        cmocka_unit_test(test_too_many_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
