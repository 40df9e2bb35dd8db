/* Commands on their way in: credit, immediate data, R2T, Data-Out, the command window, aborts. */
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

/* ── credit ──────────────────────────────────────────────────────────────────────────────────── */

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

/* ── aborts and lost connections ─────────────────────────────────────────────────────────────── */

/* What a command may be doing when it is aborted. */
enum doing {
    ASKING,
    GATHERING,
    ARRIVING,
    WAITING,
    EXECUTING,
    FETCHING,
    ANSWERING,
    HALF_ANSWERED,
    DOINGS
};

struct scene {
    struct world *world;
    struct peer *peer;
    uint32_t itt;
    struct iscsi_output held; /* what has been committed but not left */
};

static void set_scene(struct scene *scene, enum doing doing)
{
    struct world_options options = world_defaults();
    options.limits.credit_bytes = 512 << 10;
    scene->world = world_new(&options);
    struct peer *peer = scene->peer =
        peer_new(scene->world, "MaxRecvDataSegmentLength=65536\nMaxBurstLength=262144\n");
    scene->held.segment_count = 0;
    switch (doing) {
    case ASKING: /* its R2T has not been pulled yet */
        scene->itt = send_write(peer, 0, 256, NULL, 0);
        break;
    case GATHERING:
        scene->itt = send_write(peer, 0, 256, NULL, 0);
        expect_r2t(peer, scene->itt, 0, 0, 131072);
        break;
    case ARRIVING: {
        uint8_t bhs[BHS_BYTES] = {OP_DATA_OUT, BHS_FINAL};
        size_t length;
        scene->itt = send_write(peer, 0, 256, NULL, 0);
        struct pdu r2t = expect_r2t(peer, scene->itt, 0, 0, 131072);
        store_be32(bhs + BHS_ITT, scene->itt);
        store_be32(bhs + BHS_TTT, pdu_ttt(&r2t));
        uint8_t *wire = encode(peer, bhs, NULL, 0, pattern(1), 131072, &length);
        peer_feed(peer, wire, length / 2);
        free(wire);
        break;
    }
    case WAITING: {
        for (unsigned i = 0; i < 2; i++) {
            uint32_t itt = send_write(peer, 1000, 512, NULL, 0);
            expect_r2t(peer, itt, 0, 0, 262144);
        }
        scene->itt = send_write(peer, 0, 256, pattern(1), 4096);
        expect_nothing(peer);
        break;
    }
    case EXECUTING:
        hang(scene->world, BLOCK_WRITE);
        scene->itt = send_write(peer, 0, 8, pattern(1), 4096);
        expect_nothing(peer);
        break;
    case FETCHING:
        block_memory_set_resident(scene->world->memory, false);
        hang(scene->world, BLOCK_READ);
        scene->itt = send_read(peer, 0, 512);
        expect_nothing(peer);
        break;
    case ANSWERING:
        scene->itt = send_read(peer, 0, 512);
        break;
    case HALF_ANSWERED: /* its buffer is on the way, the rest behind it does not fit */
        block_memory_set_resident(scene->world->memory, false);
        scene->itt = send_read(peer, 0, 512);
        expect_nothing(peer);
        world_dispatch(scene->world);
        send_nop(peer, true, pattern(3), 4096);
        send_nop(peer, true, pattern(3), 4096);
        assert_true(peer_commit(peer, &scene->held));
        peer_take(peer, &scene->held);
        break;
    case DOINGS:
        fail();
    }
}

static void end_scene(struct scene *scene)
{
    for (unsigned i = 0; i < scene->held.segment_count; i++)
        iscsi_segment_release(scene->peer->connection, &scene->held.segments[i]);
    scene->held.segment_count = 0;
}

/* What has been committed is still what the disk holds. Returns how many buffers that is. */
static unsigned check_held(const struct scene *scene)
{
    const uint8_t *disk = block_memory_bytes(scene->world->memory);
    unsigned count = 0;
    for (unsigned i = 0; i < scene->held.segment_count; i++) {
        const struct iscsi_segment *segment = &scene->held.segments[i];
        if (segment->kind != ISCSI_SEGMENT_BUFFER)
            continue;
        assert_int_equal(segment->length, 65536);
        assert_memory_equal(segment->base, disk + 65536 * count++, 65536);
    }
    return count;
}

static bool waits_for_the_disk(enum doing doing)
{
    return doing == EXECUTING || doing == FETCHING;
}

/* By ABORT TASK of its own nexus, ABORT TASK SET, CLEAR TASK SET, LUN RESET and target reset. */
static void test_abort_in_each_state(void **state)
{
    (void)state;
    static const uint8_t functions[] = {1, 2, 4, 5, 6};
    for (size_t f = 0; f < ARRAY_SIZE(functions); f++) {
        for (enum doing doing = ASKING; doing < DOINGS; doing++) {
            struct scene scene;
            set_scene(&scene, doing);
            struct peer *peer = scene.peer;
            if (doing == ARRIVING) { /* from elsewhere: the own connection is in the middle */
                struct peer *other = peer_new(scene.world, "");
                uint32_t reset = send_management(other, 5, 0, 0);
                expect_management(other, reset, 0);
                assert_int_equal(peer->connection->credit_used, 0);
                assert_int_equal(iscsi_connection_bulk(peer->connection).iov_len, 0);
                world_free(scene.world);
                continue;
            }
            uint32_t management = send_management(peer, functions[f], 0, scene.itt);
            if (waits_for_the_disk(doing)) {
                expect_nothing(peer); /* not while the disk may still write */
                unhang(scene.world);
                assert_true(peer->woken);
            }
            if (doing == HALF_ANSWERED) {
                assert_int_equal(check_held(&scene), 3);
                end_scene(&scene);
                struct pdu pdu;
                do
                    assert_true(next_pdu(peer, &pdu));
                while (bhs_opcode(pdu.bhs) == OP_DATA_IN || bhs_opcode(pdu.bhs) == OP_NOP_IN);
                assert_int_equal(bhs_opcode(pdu.bhs), OP_TASK_MANAGEMENT_RESPONSE);
                assert_int_equal(pdu.bhs[2], 0);
            } else {
                expect_management(peer, management, 0);
            }
            expect_nothing(peer);
            if (functions[f] != 1) {
                assert_int_equal(peer->connection->session->outstanding, 0);
                assert_int_equal(peer->connection->credit_used, 0);
            }
            management = send_management(peer, 1, 0, scene.itt);
            expect_management(peer, management, 1); /* no such task any more */
            world_free(scene.world);
        }
    }
}

/* TAS of the control mode page. */
static void set_task_aborted_status(struct peer *peer)
{
    enum { BYTES = 4 + 12 };
    uint8_t page[BYTES], cdb[16] = {0x1a, 0x08, 0x0a, 0, BYTES};
    uint32_t itt = send_scsi(peer, READ_FLAGS, 0, cdb, BYTES, NULL, 0);
    struct pdu pdu = expect_pdu(peer, OP_DATA_IN);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
    assert_int_equal(pdu.length, BYTES);
    memcpy(page, pdu.data, BYTES);
    memset(page, 0, 4); /* the header's fields are reserved in MODE SELECT */
    page[4] &= 0x3f;
    page[4 + 5] |= 0x40;
    memcpy(cdb, (uint8_t[]){0x15, 0x10, 0, 0, BYTES}, 5);
    itt = send_scsi(peer, WRITE_FLAGS, 0, cdb, BYTES, page, BYTES);
    expect_good(peer, itt);
}

/* The TCP connection drops, before and after the task was aborted, with and without TASK ABORTED to
 * be sent (TAS): everything comes back, at the latest when the disk lets go. */
static void test_connection_drops_in_each_state(void **state)
{
    (void)state;
    for (unsigned aborting = 0; aborting < 3; aborting++) {
        for (enum doing doing = ASKING; doing < DOINGS; doing++) {
            struct scene scene;
            set_scene(&scene, doing);
            struct world *world = scene.world;
            struct peer *other = peer_new(world, "");
            if (aborting == 2)
                set_task_aborted_status(other);
            if (aborting)
                send_management(other, 5, 0, 0); /* LOGICAL UNIT RESET */
            end_scene(&scene);
            peer_close(scene.peer, "connection reset by peer");
            assert_int_equal(iscsi_node_connection_count(world->node),
                             waits_for_the_disk(doing) ? 2 : 1);
            unhang(world);
            assert_int_equal(iscsi_node_connection_count(world->node), 1);
            if (aborting)
                expect_pdu(other, OP_TASK_MANAGEMENT_RESPONSE);
            assert_int_equal(pool_taken_bytes(world->pool), 0);
            world_free(world);
        }
    }
}

/* TASK ABORTED goes to whom another initiator's reset has cost his command. */
static void test_task_aborted_status(void **state)
{
    (void)state;
    for (enum doing doing = ASKING; doing < DOINGS; doing++) {
        struct scene scene;
        set_scene(&scene, doing);
        struct peer *other = peer_new(scene.world, "");
        set_task_aborted_status(other);
        uint32_t reset = send_management(other, 5, 0, 0);
        unhang(scene.world);
        end_scene(&scene);
        struct pdu pdu;
        unsigned aborted = 0;
        while (next_pdu(scene.peer, &pdu)) {
            if (bhs_opcode(pdu.bhs) != OP_SCSI_RESPONSE)
                continue;
            assert_int_equal(pdu.bhs[3], SCSI_STATUS_TASK_ABORTED);
            aborted += load_be32(pdu.bhs + BHS_ITT) == scene.itt;
        }
        assert_int_equal(aborted, 1);
        expect_management(other, reset, 0);
        assert_int_equal(scene.peer->connection->credit_used, 0);
        world_free(scene.world);
    }
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
        cmocka_unit_test(test_credit_runs_out),
        cmocka_unit_test(test_full_reserve_is_told),
        cmocka_unit_test(test_credit_immediate_r2t_abort),
        cmocka_unit_test(test_reads_and_writes_share_the_credit),
        cmocka_unit_test(test_no_memory_in_the_node),
        cmocka_unit_test(test_one_large_command_always_runs),
        cmocka_unit_test(test_abort_from_elsewhere_wakes_who_waits),
        cmocka_unit_test(test_abort_in_each_state),
        cmocka_unit_test(test_connection_drops_in_each_state),
        cmocka_unit_test(test_task_aborted_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
