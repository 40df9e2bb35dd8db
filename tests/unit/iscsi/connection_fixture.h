/*
 * connection_fixture.h - PDUs built by hand for the connections of connection_world.h, and the
 * answers taken apart. Every answer's padding, digests and numbers are checked on the way.
 */
#pragma once
#include "iscsi/connection_world.h"

struct pdu {
    uint8_t bhs[BHS_BYTES];
    const uint8_t *data; /* until the next pull */
    uint32_t length;
};

/* ── PDUs to the target ──────────────────────────────────────────────────────────────────────── */

/* CRC32C bit by bit, written anew so that crc32c.c has something to be compared with. */
static inline uint32_t reference_crc32c(const uint8_t *data, size_t length)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* Header (its lengths filled in), additional header, data, padding, digests. To be freed. */
static inline uint8_t *encode(const struct peer *peer, uint8_t bhs[BHS_BYTES], const void *ahs,
                              size_t ahs_bytes, const void *data, uint32_t length,
                              size_t *ret_length)
{
    uint8_t *to = calloc(1, BHS_BYTES + ahs_bytes + length + 16);
    size_t at = BHS_BYTES + ahs_bytes;
    bhs[BHS_AHS_LENGTH] = (uint8_t)(ahs_bytes / 4);
    store_be24(bhs + BHS_DATA_LENGTH, length);
    memcpy(to, bhs, BHS_BYTES);
    if (ahs_bytes)
        memcpy(to + BHS_BYTES, ahs, ahs_bytes);
    if (peer->header_digest) {
        store_le32(to + at, reference_crc32c(to, at));
        at += DIGEST_BYTES;
    }
    size_t data_at = at;
    if (length)
        memcpy(to + at, data, length);
    at += round_up(length, 4u);
    if (peer->data_digest && length) {
        store_le32(to + at, reference_crc32c(to + data_at, at - data_at));
        at += DIGEST_BYTES;
    }
    *ret_length = at;
    return to;
}

static inline void send_pdu(struct peer *peer, uint8_t bhs[BHS_BYTES], const void *data,
                            uint32_t length)
{
    size_t bytes;
    uint8_t *wire = encode(peer, bhs, NULL, 0, data, length, &bytes);
    peer_feed(peer, wire, bytes);
    free(wire);
}

/* The numbers every request but Data-Out carries; a CmdSN is used up unless it is immediate. */
static inline uint32_t number_request(struct peer *peer, uint8_t bhs[BHS_BYTES])
{
    uint32_t itt = peer->next_itt++;
    store_be32(bhs + BHS_ITT, itt);
    store_be32(bhs + BHS_CMD_SN, peer->cmd_sn);
    store_be32(bhs + BHS_EXP_STAT_SN, peer->stat_sn + 1);
    if (!(bhs[0] & BHS_IMMEDIATE))
        peer->cmd_sn++;
    return itt;
}

/* Pairs are written with '\n' where the wire has a NUL. */
static inline void send_text_pdu(struct peer *peer, uint8_t bhs[BHS_BYTES], const char *lines)
{
    char text[8192];
    size_t length = strlen(lines);
    assert_true(length < sizeof text);
    for (size_t i = 0; i < length; i++)
        text[i] = lines[i] == '\n' ? '\0' : lines[i];
    send_pdu(peer, bhs, text, (uint32_t)length);
}

static inline void send_login(struct peer *peer, uint8_t flags, const char *lines)
{
    uint8_t bhs[BHS_BYTES] = {OP_LOGIN_REQUEST | BHS_IMMEDIATE, flags};
    memcpy(bhs + 8, peer->isid, ISCSI_ISID_BYTES);
    store_be16(bhs + 14, peer->tsih);
    store_be16(bhs + 20, peer->cid);
    number_request(peer, bhs);
    send_text_pdu(peer, bhs, lines);
}

static inline uint32_t send_scsi(struct peer *peer, uint8_t flags, unsigned lun,
                                 const uint8_t cdb[16], uint32_t expected, const void *data,
                                 uint32_t length)
{
    uint8_t bhs[BHS_BYTES] = {OP_SCSI_COMMAND, flags};
    bhs[BHS_LUN + 1] = (uint8_t)lun;
    uint32_t itt = number_request(peer, bhs);
    store_be32(bhs + 20, expected);
    memcpy(bhs + 32, cdb, 16);
    send_pdu(peer, bhs, data, length);
    return itt;
}

static inline void make_rw10(uint8_t cdb[16], uint8_t opcode, uint32_t lba, uint32_t blocks)
{
    memset(cdb, 0, 16);
    cdb[0] = opcode;
    store_be32(cdb + 2, lba);
    store_be16(cdb + 7, (uint16_t)blocks);
}

#define READ_FLAGS  (BHS_FINAL | BHS_READ | 1)
#define WRITE_FLAGS (BHS_FINAL | BHS_WRITE | 1)

static inline uint32_t send_read(struct peer *peer, uint32_t lba, uint32_t blocks)
{
    uint8_t cdb[16];
    make_rw10(cdb, 0x28, lba, blocks);
    return send_scsi(peer, READ_FLAGS, 0, cdb, blocks * BLOCK, NULL, 0);
}

/* With `length` bytes of immediate data. */
static inline uint32_t send_write(struct peer *peer, uint32_t lba, uint32_t blocks,
                                  const void *data, uint32_t length)
{
    uint8_t cdb[16];
    make_rw10(cdb, 0x2a, lba, blocks);
    return send_scsi(peer, WRITE_FLAGS, 0, cdb, blocks * BLOCK, data, length);
}

static inline void send_data_out(struct peer *peer, uint32_t itt, uint32_t ttt, uint32_t data_sn,
                                 uint32_t offset, const void *data, uint32_t length, bool final)
{
    uint8_t bhs[BHS_BYTES] = {OP_DATA_OUT, final ? BHS_FINAL : 0};
    store_be32(bhs + BHS_ITT, itt);
    store_be32(bhs + BHS_TTT, ttt);
    store_be32(bhs + BHS_EXP_STAT_SN, peer->stat_sn + 1);
    store_be32(bhs + 36, data_sn);
    store_be32(bhs + 40, offset);
    send_pdu(peer, bhs, data, length);
}

static inline uint32_t send_management(struct peer *peer, uint8_t function, unsigned lun,
                                       uint32_t referenced)
{
    uint8_t bhs[BHS_BYTES] = {OP_TASK_MANAGEMENT | BHS_IMMEDIATE, (uint8_t)(BHS_FINAL | function)};
    bhs[BHS_LUN + 1] = (uint8_t)lun;
    uint32_t itt = number_request(peer, bhs);
    store_be32(bhs + 20, referenced);
    send_pdu(peer, bhs, NULL, 0);
    return itt;
}

static inline uint32_t send_nop(struct peer *peer, bool immediate, const void *data,
                                uint32_t length)
{
    uint8_t bhs[BHS_BYTES] = {(uint8_t)(OP_NOP_OUT | (immediate ? BHS_IMMEDIATE : 0)), BHS_FINAL};
    uint32_t itt = number_request(peer, bhs);
    store_be32(bhs + BHS_TTT, RESERVED_TAG);
    send_pdu(peer, bhs, data, length);
    return itt;
}

static inline uint32_t send_text(struct peer *peer, uint8_t flags, uint32_t ttt, const char *lines)
{
    uint8_t bhs[BHS_BYTES] = {OP_TEXT_REQUEST | BHS_IMMEDIATE, flags};
    uint32_t itt = number_request(peer, bhs);
    store_be32(bhs + BHS_TTT, ttt);
    send_text_pdu(peer, bhs, lines);
    return itt;
}

static inline uint32_t send_logout(struct peer *peer, uint8_t reason, uint16_t cid)
{
    uint8_t bhs[BHS_BYTES] = {OP_LOGOUT_REQUEST | BHS_IMMEDIATE, (uint8_t)(BHS_FINAL | reason)};
    uint32_t itt = number_request(peer, bhs);
    store_be16(bhs + 20, cid);
    send_pdu(peer, bhs, NULL, 0);
    return itt;
}

/* ── PDUs from the target ────────────────────────────────────────────────────────────────────── */

static inline bool advances_stat_sn(const struct pdu *pdu)
{
    uint8_t opcode = bhs_opcode(pdu->bhs);
    if (opcode == OP_R2T)
        return false;
    if (opcode == OP_NOP_IN && load_be32(pdu->bhs + BHS_ITT) == RESERVED_TAG)
        return false; /* a ping of the target's */
    return opcode != OP_DATA_IN || (pdu->bhs[1] & DATA_IN_STATUS);
}

static inline void check_numbers(struct peer *peer, const struct pdu *pdu)
{
    uint32_t stat_sn = load_be32(pdu->bhs + BHS_STAT_SN);
    if (peer->stat_sn_known)
        assert_int_equal(stat_sn, peer->stat_sn + 1);
    if (advances_stat_sn(pdu)) {
        peer->stat_sn = stat_sn;
        peer->stat_sn_known = true;
    }
    if (!peer->logged_in)
        return;
    uint32_t expected = load_be32(pdu->bhs + BHS_EXP_CMD_SN);
    uint32_t most = load_be32(pdu->bhs + BHS_MAX_CMD_SN);
    assert_true((int32_t)(expected - peer->exp_cmd_sn) >= 0);
    assert_true((int32_t)(most - peer->max_cmd_sn) >= 0);
    peer->exp_cmd_sn = expected;
    peer->max_cmd_sn = most;
}

/* The next PDU that has been pulled whole. */
static inline bool take_pdu(struct peer *peer, struct pdu *pdu)
{
    size_t left = peer->stream_length - peer->stream_taken;
    if (!left)
        return false;
    const uint8_t *from = peer->stream + peer->stream_taken;
    size_t at = BHS_BYTES;
    assert_true(left >= BHS_BYTES);
    memcpy(pdu->bhs, from, BHS_BYTES);
    assert_int_equal(from[BHS_AHS_LENGTH], 0);
    pdu->length = bhs_data_length(from);
    if (peer->header_digest) {
        assert_int_equal(load_le32(from + at), reference_crc32c(from, at));
        at += DIGEST_BYTES;
    }
    pdu->data = from + at;
    size_t padded = round_up(pdu->length, 4u);
    assert_true(left >= at + padded);
    for (size_t i = pdu->length; i < padded; i++)
        assert_int_equal(pdu->data[i], 0);
    at += padded;
    if (peer->data_digest && pdu->length) {
        assert_true(left >= at + DIGEST_BYTES);
        assert_int_equal(load_le32(from + at), reference_crc32c(pdu->data, padded));
        at += DIGEST_BYTES;
    }
    peer->stream_taken += at;
    check_numbers(peer, pdu);
    return true;
}

static inline bool next_pdu(struct peer *peer, struct pdu *pdu)
{
    if (peer->stream_taken == peer->stream_length)
        peer_pull(peer);
    return take_pdu(peer, pdu);
}

static inline struct pdu expect_pdu(struct peer *peer, uint8_t opcode)
{
    struct pdu pdu;
    if (!next_pdu(peer, &pdu))
        fail_msg("no PDU 0x%02x comes (%s)", opcode, peer->world->reason);
    if (bhs_opcode(pdu.bhs) != opcode)
        fail_msg("PDU 0x%02x instead of 0x%02x", pdu.bhs[0], opcode);
    return pdu;
}

static inline void expect_nothing(struct peer *peer)
{
    struct pdu pdu;
    if (next_pdu(peer, &pdu))
        fail_msg("unexpected PDU 0x%02x", pdu.bhs[0]);
}

/* The connection was closed, and this was the reason. */
static inline void expect_closed(struct peer *peer, const char *reason)
{
    peer_pull(peer);
    assert_null(peer->connection);
    if (!strstr(peer->world->reason, reason))
        fail_msg("\"%s\" has no \"%s\"", peer->world->reason, reason);
}

static inline struct pdu expect_r2t(struct peer *peer, uint32_t itt, uint32_t sn, uint32_t offset,
                                    uint32_t length)
{
    struct pdu pdu = expect_pdu(peer, OP_R2T);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
    assert_int_equal(load_be32(pdu.bhs + 36), sn);
    assert_int_equal(load_be32(pdu.bhs + 40), offset);
    assert_int_equal(load_be32(pdu.bhs + 44), length);
    assert_int_not_equal(load_be32(pdu.bhs + BHS_TTT), RESERVED_TAG);
    return pdu;
}

static inline uint32_t pdu_ttt(const struct pdu *pdu)
{
    return load_be32(pdu->bhs + BHS_TTT);
}

/* A SCSI Response with this status and residual ('U', 'O' or 0). */
static inline struct pdu expect_status(struct peer *peer, uint32_t itt, uint8_t status,
                                       char residual, uint32_t count)
{
    struct pdu pdu = expect_pdu(peer, OP_SCSI_RESPONSE);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
    if (pdu.bhs[3] != status)
        fail_msg("status 0x%02x, sense %x/%02x%02x", pdu.bhs[3], pdu.length > 4 ? pdu.data[4] : 0,
                 pdu.length > 15 ? pdu.data[14] : 0, pdu.length > 15 ? pdu.data[15] : 0);
    assert_int_equal(pdu.bhs[1], BHS_FINAL | (residual == 'U'   ? DATA_IN_UNDERFLOW
                                              : residual == 'O' ? DATA_IN_OVERFLOW
                                                                : 0));
    assert_int_equal(load_be32(pdu.bhs + 44), count);
    return pdu;
}

static inline void expect_sense(const struct pdu *pdu, uint8_t key, uint16_t asc_ascq)
{
    assert_true(pdu->length >= 2 + 14);
    assert_int_equal(load_be16(pdu->data), pdu->length - 2);
    assert_int_equal(pdu->data[2] & 0x7f, 0x70);
    assert_int_equal(pdu->data[4] & 0xf, key);
    assert_int_equal(load_be16(pdu->data + 14), asc_ascq);
}

static inline void expect_good(struct peer *peer, uint32_t itt)
{
    expect_status(peer, itt, SCSI_STATUS_GOOD, 0, 0);
}

static inline void expect_management(struct peer *peer, uint32_t itt, uint8_t response)
{
    struct pdu pdu = expect_pdu(peer, OP_TASK_MANAGEMENT_RESPONSE);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
    assert_int_equal(pdu.bhs[2], response);
}

/* Data-In PDUs of one command, in order, F at the end of each burst, GOOD riding on the last one:
 * exactly the disk's bytes from `lba` on. Returns how many PDUs it took. */
static inline unsigned expect_data_in(struct peer *peer, uint32_t itt, uint32_t lba, uint32_t bytes)
{
    const uint8_t *disk = block_memory_bytes(peer->world->memory) + (size_t)lba * BLOCK;
    uint32_t max_burst = peer->connection->session->login.parameters.max_burst_bytes;
    uint32_t at = 0, burst = 0;
    unsigned count = 0;
    while (at < bytes) {
        struct pdu pdu = expect_pdu(peer, OP_DATA_IN);
        assert_int_equal(load_be32(pdu.bhs + BHS_ITT), itt);
        assert_int_equal(load_be32(pdu.bhs + BHS_TTT), RESERVED_TAG);
        assert_int_equal(load_be32(pdu.bhs + 36), count++);
        assert_int_equal(load_be32(pdu.bhs + 40), at);
        assert_in_range(pdu.length, 1, bytes - at);
        assert_memory_equal(pdu.data, disk + at, pdu.length);
        at += pdu.length;
        burst += pdu.length;
        bool last = at == bytes;
        assert_int_equal(!!(pdu.bhs[1] & BHS_FINAL), last || burst == max_burst);
        assert_int_equal(pdu.bhs[1] & DATA_IN_STATUS, last ? DATA_IN_STATUS : 0);
        assert_true(burst <= max_burst);
        if (burst == max_burst)
            burst = 0;
    }
    return count;
}

/* ── whole steps ─────────────────────────────────────────────────────────────────────────────── */

/* The value of a key in a text, or NULL. */
static inline const char *text_value(const struct pdu *pdu, const char *key)
{
    size_t key_length = strlen(key);
    for (size_t at = 0; at < pdu->length;) {
        const char *pair = (const char *)pdu->data + at;
        assert_non_null(memchr(pair, '\0', pdu->length - at));
        if (!strncmp(pair, key, key_length) && pair[key_length] == '=')
            return pair + key_length + 1;
        at += strlen(pair) + 1;
    }
    return NULL;
}

/* The answer to the last login request: what was negotiated is in force behind it. */
static inline void expect_logged_in(struct peer *peer)
{
    struct pdu pdu = expect_pdu(peer, OP_LOGIN_RESPONSE);
    if (pdu.bhs[36])
        fail_msg("login refused: %s", peer->world->reason);
    assert_int_equal(pdu.bhs[1], TRANSIT(1, 3));
    assert_int_not_equal(load_be16(pdu.bhs + 14), 0);
    const char *header = text_value(&pdu, "HeaderDigest"), *data = text_value(&pdu, "DataDigest");
    peer->header_digest = header && !strcmp(header, "CRC32C");
    peer->data_digest = data && !strcmp(data, "CRC32C");
    peer->exp_cmd_sn = load_be32(pdu.bhs + BHS_EXP_CMD_SN);
    peer->max_cmd_sn = load_be32(pdu.bhs + BHS_MAX_CMD_SN);
    assert_int_equal(peer->exp_cmd_sn, peer->cmd_sn);
    peer->logged_in = true;
}

static inline void send_whole_login(struct peer *peer, const char *keys)
{
    char lines[2048];
    snprintf(lines, sizeof lines, "InitiatorName=%s\nTargetName=%s\nSessionType=Normal\n%s",
             peer->initiator, TARGET, keys);
    send_login(peer, TRANSIT(1, 3), lines);
}

/* Swallows the unit attention that every new session meets, on LUN 0. */
static inline void pass_unit_attention(struct peer *peer)
{
    uint32_t itt = send_scsi(peer, BHS_FINAL | 1, 0, (uint8_t[16]){0}, 0, NULL, 0);
    struct pdu pdu = expect_status(peer, itt, SCSI_STATUS_CHECK_CONDITION, 0, 0);
    assert_int_equal(pdu.data[4] & 0xf, 6);
}

static inline void peer_log_in(struct peer *peer, const char *keys)
{
    send_whole_login(peer, keys);
    expect_logged_in(peer);
    pass_unit_attention(peer);
}

static inline struct peer *peer_new(struct world *world, const char *keys)
{
    struct peer *peer = peer_open(world);
    peer_log_in(peer, keys);
    return peer;
}

/* Bytes that a write is to put on the disk. */
static inline const uint8_t *pattern(uint8_t seed)
{
    static uint8_t bytes[1u << 20];
    if (bytes[0] == seed && bytes[1]) /* is there already */
        return bytes;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(seed + i * 31 + i / 509);
    return bytes;
}

static inline void assert_on_disk(struct world *world, uint32_t lba, const uint8_t *bytes,
                                  size_t length)
{
    assert_memory_equal(block_memory_bytes(world->memory) + (size_t)lba * BLOCK, bytes, length);
}

/* Requests of these kinds stay with the disk until block_faulty_release(). */
static inline void hang(struct world *world, enum block_operation operation)
{
    assert_int_equal(
        block_faulty_add(world->disk, &(struct block_fault){.operations = 1u << operation,
                                                            .last_byte = UINT64_MAX,
                                                            .hang = true}),
        0);
}

static inline void unhang(struct world *world)
{
    block_faulty_clear(world->disk);
    block_faulty_release(world->disk);
    world_dispatch(world);
}
