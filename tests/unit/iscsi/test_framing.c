/* Bytes to PDUs: layout, digests, padding, additional headers, and what ends a connection. */
#include "iscsi/connection_fixture.h"

#define DIGESTS "HeaderDigest=CRC32C\nDataDigest=CRC32C\n"

/* RFC 3720, appendix B.4 */
static void test_crc32c_known_values(void **state)
{
    (void)state;
    uint8_t data[48] = {0}, digest[DIGEST_BYTES];
    static const struct {
        uint8_t fill, step;
        uint8_t digest[DIGEST_BYTES];
    } known[] = {
        {0x00, 0, {0xaa, 0x36, 0x91, 0x8a}},
        {0xff, 0, {0x43, 0xab, 0xa8, 0x62}},
        {0x00, 1, {0x4e, 0x79, 0xdd, 0x46}},
    };
    for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
        for (size_t i = 0; i < 32; i++)
            data[i] = (uint8_t)(known[k].fill + i * known[k].step);
        crc32c_store(crc32c_add(crc32c_begin(), data, 32), digest);
        assert_memory_equal(digest, known[k].digest, DIGEST_BYTES);
        crc32c_store(crc32c_add(crc32c_add(crc32c_begin(), data, 5), data + 5, 27), digest);
        assert_memory_equal(digest, known[k].digest, DIGEST_BYTES);
        assert_int_equal(load_le32(digest), reference_crc32c(data, 32));
    }
}

/* The same conversation however its bytes are cut. */
static void converse(enum feeding feeding, const char *keys)
{
    struct world *world = world_default();
    struct peer *peer = peer_open(world);
    peer->feeding = feeding;
    peer_log_in(peer, keys);
    for (uint32_t length = 0; length < 9; length++) {
        uint32_t itt = send_nop(peer, length & 1, "12345678", length);
        struct pdu pdu = expect_pdu(peer, OP_NOP_IN);
        assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
        assert_int_equal(pdu.length, length);
        assert_memory_equal(pdu.data, "12345678", length);
    }
    uint32_t itt = send_write(peer, 8, 128, pattern(3), 65536);
    world_dispatch(world);
    expect_good(peer, itt);
    assert_on_disk(world, 8, pattern(3), 65536);
    itt = send_write(peer, 300, 256, NULL, 0);
    struct pdu r2t = expect_r2t(peer, itt, 0, 0, 131072);
    send_data_out(peer, itt, pdu_ttt(&r2t), 0, 0, pattern(5), 131072, true);
    world_dispatch(world);
    expect_good(peer, itt);
    assert_on_disk(world, 300, pattern(5), 131072);
    itt = send_read(peer, 200, 512);
    expect_data_in(peer, itt, 200, 512 * BLOCK);
    itt = send_read(peer, 7, 3);
    expect_data_in(peer, itt, 7, 3 * BLOCK);
    send_logout(peer, 0, 0);
    expect_pdu(peer, OP_LOGOUT_RESPONSE);
    assert_null(peer->connection);
    world_free(world);
}

static void test_any_cut(void **state)
{
    (void)state;
    static const char *const keys[] = {"", DIGESTS, "HeaderDigest=CRC32C\n", "DataDigest=CRC32C\n"};
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
        for (enum feeding feeding = FEED_WHOLE; feeding <= FEED_BULK; feeding++)
            converse(feeding, keys[k]);
}

static void test_bulk_is_offered_for_large_payloads_only(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint8_t bhs[BHS_BYTES] = {OP_SCSI_COMMAND, WRITE_FLAGS};
    size_t length;
    make_rw10(bhs + 32, 0x2a, 0, 64);
    store_be32(bhs + 20, 64 * BLOCK);
    number_request(peer, bhs);
    uint8_t *wire = encode(peer, bhs, NULL, 0, pattern(1), 64 * BLOCK, &length);
    assert_int_equal(iscsi_connection_bulk(peer->connection).iov_len, 0);
    assert_false(iscsi_connection_is_waited_for(peer->connection));
    peer_feed(peer, wire, 47);
    assert_true(iscsi_connection_is_waited_for(peer->connection));
    assert_int_equal(iscsi_connection_bulk(peer->connection).iov_len, 0);
    peer_feed(peer, wire + 47, 11);
    assert_int_equal(iscsi_connection_bulk(peer->connection).iov_len, 64 * BLOCK - 10);
    peer_feed(peer, wire + 58, 64 * BLOCK - 10 - BULK_MIN_BYTES);
    assert_int_equal(iscsi_connection_bulk(peer->connection).iov_len, BULK_MIN_BYTES);
    peer_feed(peer, wire + length - BULK_MIN_BYTES, BULK_MIN_BYTES - 1);
    assert_int_equal(iscsi_connection_bulk(peer->connection).iov_len, 1); /* to its last byte */
    peer_feed(peer, wire + length - 1, 1);
    free(wire);
    assert_false(iscsi_connection_is_waited_for(peer->connection));
    world_dispatch(world);
    expect_good(peer, peer->next_itt - 1);
    assert_on_disk(world, 0, pattern(1), 64 * BLOCK);
    world_free(world);
}

static void test_wrong_digests(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* which byte of the wire is changed */
        const char *reason;
    } cases[] = {
        {30,                               "wrong header digest"},
        {BHS_BYTES + 3,                    "wrong header digest"},
        {BHS_BYTES + DIGEST_BYTES,         "wrong data digest"  },
        {BHS_BYTES + DIGEST_BYTES + 5,     "wrong data digest"  }, /* padding */
        {BHS_BYTES + DIGEST_BYTES + 8,     "wrong data digest"  },
        {BHS_BYTES + 2 * DIGEST_BYTES + 7, "wrong data digest"  },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, DIGESTS);
        uint8_t bhs[BHS_BYTES] = {OP_NOP_OUT | BHS_IMMEDIATE, BHS_FINAL};
        size_t length;
        store_be32(bhs + BHS_TTT, RESERVED_TAG);
        number_request(peer, bhs);
        uint8_t *wire = encode(peer, bhs, NULL, 0, "hello", 5, &length);
        assert_int_equal(length, BHS_BYTES + DIGEST_BYTES + 8 + DIGEST_BYTES);
        wire[cases[i].at] ^= 0x10;
        peer_feed(peer, wire, length);
        free(wire);
        expect_closed(peer, cases[i].reason);
        assert_int_equal(world->events[ISCSI_EVENT_PROTOCOL_ERROR], 1);
        world_free(world);
    }
}

/* A write whose data came with a wrong digest leaves the disk alone. */
static void test_wrong_digest_writes_nothing(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, DIGESTS);
    uint8_t before[BLOCK];
    memcpy(before, block_memory_bytes(world->memory), BLOCK);
    uint8_t bhs[BHS_BYTES] = {OP_SCSI_COMMAND, WRITE_FLAGS};
    size_t length;
    make_rw10(bhs + 32, 0x2a, 0, 1);
    store_be32(bhs + 20, BLOCK);
    number_request(peer, bhs);
    uint8_t *wire = encode(peer, bhs, NULL, 0, pattern(9), BLOCK, &length);
    wire[length - 20] ^= 1;
    peer_feed(peer, wire, length);
    free(wire);
    world_dispatch(world);
    expect_closed(peer, "wrong data digest");
    assert_on_disk(world, 0, before, BLOCK);
    world_free(world);
}

/* Digests begin right behind the login: a PDU that was sent without waiting for the answer is read
 * as what it is, also when it was cut where the answer left. */
static void test_digests_begin_behind_the_last_login_request(void **state)
{
    (void)state;
    for (size_t cut = 1; cut < BHS_BYTES + 16; cut++) {
        struct world *world = world_default();
        struct peer *peer = peer_open(world);
        send_whole_login(peer, DIGESTS);
        uint8_t bhs[BHS_BYTES] = {OP_NOP_OUT | BHS_IMMEDIATE, BHS_FINAL};
        size_t length;
        store_be32(bhs + BHS_TTT, RESERVED_TAG);
        uint32_t itt = number_request(peer, bhs);
        struct peer with_digests = *peer;
        with_digests.header_digest = with_digests.data_digest = true;
        uint8_t *wire = encode(&with_digests, bhs, NULL, 0, "hello", 5, &length);
        peer_feed(peer, wire, cut);
        peer_pull(peer);
        peer_feed(peer, wire + cut, length - cut);
        free(wire);
        expect_logged_in(peer);
        struct pdu pdu = expect_pdu(peer, OP_NOP_IN);
        assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
        assert_int_equal(pdu.length, 5);
        world_free(world);
    }
}

static void test_additional_headers(void **state)
{
    (void)state;
    static const char *const keys[] = {"", DIGESTS};
    static const size_t sizes[] = {4, 8, 252 * 4, 255 * 4};
    uint8_t ahs[255 * 4];
    memset(ahs, 0x5a, sizeof ahs);
    for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
            struct world *world = world_default();
            struct peer *peer = peer_new(world, keys[k]);
            peer->feeding = s % 2 ? FEED_BYTES : FEED_WHOLE;
            uint8_t bhs[BHS_BYTES] = {OP_SCSI_COMMAND, READ_FLAGS};
            size_t length;
            make_rw10(bhs + 32, 0x28, 4, 2);
            store_be32(bhs + 20, 2 * BLOCK);
            uint32_t itt = number_request(peer, bhs);
            uint8_t *wire = encode(peer, bhs, ahs, sizes[s], NULL, 0, &length);
            peer_feed(peer, wire, length);
            free(wire);
            expect_data_in(peer, itt, 4, 2 * BLOCK);
            world_free(world);
        }
    }
}

/* ── before login ────────────────────────────────────────────────────────────────────────────── */

static void test_before_login(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode, ahs;
        uint32_t length;
        const char *reason;
    } cases[] = {
        {OP_NOP_OUT,        0,   0,        "before login"     },
        {OP_SCSI_COMMAND,   0,   0,        "before login"     },
        {OP_LOGOUT_REQUEST, 0,   0,        "before login"     },
        {OP_DATA_OUT,       0,   0xffffff, "before login"     },
        {'G',               'T', 0x202f20, "before login"     }, /* GET / HTTP/1.1 */
        {0x3f,              255, 0xffffff, "before login"     },
        {OP_LOGIN_REQUEST,  1,   0,        "additional header"},
        {OP_LOGIN_REQUEST,  255, 8192,     "additional header"},
        {OP_LOGIN_REQUEST,  0,   8193,     "8193 bytes"       },
        {OP_LOGIN_REQUEST,  0,   0xffffff, "16777215 bytes"   },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_open(world);
        uint8_t bhs[BHS_BYTES] = {cases[i].opcode, BHS_FINAL};
        bhs[BHS_AHS_LENGTH] = cases[i].ahs;
        store_be24(bhs + BHS_DATA_LENGTH, cases[i].length);
        peer_feed(peer, bhs, sizeof bhs);
        expect_closed(peer, cases[i].reason);
        world_free(world);
    }
}

/* ── after login ─────────────────────────────────────────────────────────────────────────────── */

static void test_length_limits(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {262145, 0x0fffff, 0xffffff};
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, "");
        uint8_t bhs[BHS_BYTES] = {OP_NOP_OUT | BHS_IMMEDIATE, BHS_FINAL};
        number_request(peer, bhs);
        store_be24(bhs + BHS_DATA_LENGTH, lengths[i]);
        peer_feed(peer, bhs, sizeof bhs);
        expect_closed(peer, "are allowed");
        world_free(world);
    }
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "MaxRecvDataSegmentLength=262144\n");
    send_nop(peer, true, pattern(1), 262144);
    struct pdu pdu = expect_pdu(peer, OP_NOP_IN);
    assert_int_equal(pdu.length, 262144);
    assert_memory_equal(pdu.data, pattern(1), 262144);
    world_free(world);
}

static void test_wrong_opcodes(void **state)
{
    (void)state;
    for (unsigned opcode = 0; opcode < 0x40; opcode++) {
        switch (opcode) {
        case OP_NOP_OUT:
        case OP_SCSI_COMMAND:
        case OP_TASK_MANAGEMENT:
        case OP_TEXT_REQUEST:
        case OP_DATA_OUT:
        case OP_LOGOUT_REQUEST:
            continue;
        default:
            break;
        }
        struct world *world = world_default();
        struct peer *peer = peer_new(world, "");
        uint8_t bhs[BHS_BYTES] = {(uint8_t)opcode, BHS_FINAL};
        number_request(peer, bhs);
        send_pdu(peer, bhs, NULL, 0);
        expect_closed(peer, "unexpected PDU");
        world_free(world);
    }
}

static void test_data_where_there_is_none(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {OP_TASK_MANAGEMENT, OP_LOGOUT_REQUEST};
    for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_new(world, "");
        uint8_t bhs[BHS_BYTES] = {opcodes[i] | BHS_IMMEDIATE, BHS_FINAL};
        number_request(peer, bhs);
        send_pdu(peer, bhs, "data", 4);
        expect_closed(peer, "with a data segment");
        world_free(world);
    }
}

/* Discovery sessions know no SCSI. */
static void test_discovery_takes_text_only(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {OP_SCSI_COMMAND, OP_TASK_MANAGEMENT, OP_DATA_OUT};
    for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
        struct world *world = world_default();
        struct peer *peer = peer_open(world);
        send_login(peer, TRANSIT(1, 3), "InitiatorName=" INITIATOR "\nSessionType=Discovery\n");
        expect_logged_in(peer);
        uint8_t bhs[BHS_BYTES] = {opcodes[i], BHS_FINAL};
        number_request(peer, bhs);
        send_pdu(peer, bhs, NULL, 0);
        expect_closed(peer, "unexpected PDU");
        world_free(world);
    }
}

/* What stands behind a logout or a protocol error is nobody's any more. */
static void test_nothing_is_heard_after_the_end(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint8_t bhs[2][BHS_BYTES] = {
        {OP_LOGOUT_REQUEST | BHS_IMMEDIATE, BHS_FINAL},
        {OP_SNACK,                          BHS_FINAL}
    };
    number_request(peer, bhs[0]);
    peer_feed(peer, bhs, sizeof bhs);
    assert_non_null(peer->connection);
    assert_int_equal(world->events[ISCSI_EVENT_PROTOCOL_ERROR], 0);
    expect_pdu(peer, OP_LOGOUT_RESPONSE);
    assert_null(peer->connection);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_known_values),
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_bulk_is_offered_for_large_payloads_only),
        cmocka_unit_test(test_wrong_digests),
        cmocka_unit_test(test_wrong_digest_writes_nothing),
        cmocka_unit_test(test_digests_begin_behind_the_last_login_request),
        cmocka_unit_test(test_additional_headers),
        cmocka_unit_test(test_before_login),
        cmocka_unit_test(test_length_limits),
        cmocka_unit_test(test_wrong_opcodes),
        cmocka_unit_test(test_data_where_there_is_none),
        cmocka_unit_test(test_discovery_takes_text_only),
        cmocka_unit_test(test_nothing_is_heard_after_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
