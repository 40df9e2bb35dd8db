/*
 * connection_fixture.h - whole connections without sockets: a node with one target of two LUNs on
 * a disk in memory, and peers that send PDUs built by hand, pull what there is to say and take it
 * apart. Every answer's padding, digests and numbers are checked on the way. Closing is done as
 * server/ does it.
 */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/connection.h"

#include <netboot-target/block.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/pool.h>

#define TARGET            "iqn.2026-11.local.netboot-target:disk"
#define OTHER_TARGET      "iqn.2026-11.local.netboot-target:other"
#define INITIATOR         "iqn.1993-08.org.debian:01:client"
#define BLOCK             512u
#define DISK_BLOCKS       8192u
#define DISK_BYTES        (DISK_BLOCKS * BLOCK)
#define PEERS             8
#define START_US          1000000u
#define TRANSIT(csg, nsg) ((uint8_t)(BHS_FINAL | (csg) << 2 | (nsg)))

/* ── the world ───────────────────────────────────────────────────────────────────────────────── */

/* How a peer's bytes arrive. */
enum feeding { FEED_WHOLE, FEED_BYTES, FEED_BULK };

struct world;

struct peer {
    struct world *world;
    struct iscsi_connection *connection; /* NULL: closed */
    enum feeding feeding;
    char initiator[64];
    uint8_t isid[ISCSI_ISID_BYTES];
    uint16_t tsih, cid;
    bool header_digest, data_digest;
    uint32_t next_itt, cmd_sn;
    uint32_t stat_sn, exp_cmd_sn, max_cmd_sn; /* as last seen */
    bool stat_sn_known, logged_in;
    bool woken; /* output_ready was called */
    uint8_t *stream;
    size_t stream_length, stream_taken;
};

struct world {
    struct counting_source {
        struct random_source source;
        uint8_t next;
    } random;
    struct pool *pool;
    struct scsi_environment environment;
    struct block_device *memory, *disk, *second;
    struct scsi_lu *lu[2];
    struct scsi_target *scsi;
    struct iscsi_target *target;
    struct iscsi_node *node;
    struct peer peers[PEERS];
    unsigned peer_count;
    uint64_t now_us;
    unsigned events[ISCSI_EVENT_OWNER_CHANGED + 1];
    char reason[500];     /* of the last event that has one */
    unsigned owners_kept; /* records of the owner that were asked for */
    bool slow_store;      /* they are not there before world_keep_owners() */
    bool uninvited;
    uint8_t slab[ISCSI_SLAB_BYTES];
};

struct world_options {
    struct iscsi_limits limits; /* connections 0: the defaults */
    struct iscsi_target_options target;
    size_t pool_bytes, zero_copy_min_bytes;
    bool read_only;
};

struct pdu {
    uint8_t bhs[BHS_BYTES];
    const uint8_t *data; /* until the next pull */
    uint32_t length;
};

static inline void count_up(struct random_source *source, void *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = ++((struct counting_source *)source)->next;
}

static inline void peer_close(struct peer *peer, const char *reason)
{
    struct iscsi_connection *connection = peer->connection;
    peer->connection = NULL;
    if (connection)
        iscsi_connection_close(connection, reason);
}

static inline void on_event(void *context, const struct iscsi_event *event)
{
    struct world *world = context;
    world->events[event->kind]++;
    assert_non_null(event->peer);
    assert_non_null(event->initiator);
    assert_non_null(event->target);
    if (event->reason[0])
        snprintf(world->reason, sizeof world->reason, "%s", event->reason);
}

static inline void on_output_ready(void *context, void *owner)
{
    (void)context;
    ((struct peer *)owner)->woken = true;
}

static inline void on_close(void *context, void *owner)
{
    (void)context;
    peer_close(owner, "closed by the target");
}

static inline uint64_t world_now_us(void *context)
{
    return ((struct world *)context)->now_us;
}

static inline void on_keep_owner(void *context, struct iscsi_target *target)
{
    struct world *world = context;
    world->owners_kept++;
    if (!world->slow_store)
        iscsi_target_owner_kept(world->node, target);
}

static inline void world_keep_owners(struct world *world)
{
    while (world->target->keeping)
        iscsi_target_owner_kept(world->node, world->target);
}

static inline bool on_is_invited(void *context, const struct iscsi_target *target,
                                 const char *initiator, const struct sockaddr_storage *peer)
{
    const struct world *world = context;
    assert_ptr_equal(target, world->target);
    assert_true(initiator[0]);
    assert_int_equal(peer->ss_family, AF_INET);
    return !world->uninvited;
}

static const struct iscsi_callbacks world_callbacks = {
    .event = on_event,
    .output_ready = on_output_ready,
    .close = on_close,
    .now_us = world_now_us,
    .keep_owner = on_keep_owner,
    .is_invited = on_is_invited,
};

static inline void on_disk_changed(struct block_device *device, void *context)
{
    (void)device;
    scsi_lu_device_changed(context);
}

static inline struct block_device *memory_disk(bool read_only)
{
    struct block_device *device = block_memory_new(&(struct block_geometry){
        .blocks = DISK_BLOCKS,
        .logical_block_bytes = BLOCK,
        .physical_block_bytes = 4096,
        .read_only = read_only,
    });
    assert_non_null(device);
    static uint8_t content[DISK_BYTES];
    for (size_t i = content[1] ? DISK_BYTES : 0; i < DISK_BYTES; i++) /* once */
        content[i] = (uint8_t)(i / BLOCK * 7 + i);
    memcpy(block_memory_bytes(device), content, DISK_BYTES);
    return device;
}

static inline struct scsi_lu *world_lu(struct world *world, struct block_device *device,
                                       const char *serial)
{
    struct scsi_lu_options options = {.vendor = "NETBOOT", .product = "test", .revision = "1"};
    snprintf(options.serial, sizeof options.serial, "%s", serial);
    options.read_only = device->geometry.read_only;
    struct scsi_lu *lu = scsi_lu_new(&world->environment, device, &options);
    assert_non_null(lu);
    device->changed = on_disk_changed;
    device->changed_context = lu;
    return lu;
}

static inline struct world_options world_defaults(void)
{
    return (struct world_options){
        .limits = iscsi_default_limits,
        .target = {.name = TARGET, .shared = true, .initial_r2t = true},
        .pool_bytes = 64u << 20,
    };
}

static inline struct world *world_new(const struct world_options *options)
{
    struct error error = {0};
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->random.source.fill = count_up;
    world->now_us = START_US;
    world->pool = pool_new(options->pool_bytes, 1u << 20);
    world->environment.pool = world->pool;
    world->memory = memory_disk(options->read_only);
    world->disk = block_faulty_new(world->memory);
    world->second = memory_disk(options->read_only);
    world->lu[0] = world_lu(world, world->disk, "one");
    world->lu[1] = world_lu(world, world->second, "two");
    world->scsi = scsi_target_new(options->target.name);
    assert_int_equal(scsi_target_add_lu(world->scsi, 0, world->lu[0]), 0);
    assert_int_equal(scsi_target_add_lu(world->scsi, 1, world->lu[1]), 0);
    world->target = iscsi_target_new(&options->target, world->scsi, &error);
    assert_string_equal(error.text, "");
    world->node = iscsi_node_new(&(struct iscsi_node_options){
        .callbacks = &world_callbacks,
        .context = world,
        .limits = &options->limits,
        .pool = world->pool,
        .random = &world->random.source,
        .zero_copy_min_bytes = options->zero_copy_min_bytes,
    });
    assert_int_equal(iscsi_node_add_target(world->node, world->target), 0);
    iscsi_target_set_ready(world->target, true);
    return world;
}

static inline struct world *world_default(void)
{
    struct world_options options = world_defaults();
    return world_new(&options);
}

/* Everything both disks still have to do, also what that brings about. */
static inline void world_dispatch(struct world *world)
{
    while (block_memory_dispatch(world->memory, 0) + block_memory_dispatch(world->second, 0))
        ;
}

static inline void note_removed(void *context)
{
    *(bool *)context = true;
}

/* Closes what is open; nothing may be left of it. */
static inline void world_free(struct world *world)
{
    bool removed = false;
    for (unsigned i = 0; i < world->peer_count; i++)
        peer_close(&world->peers[i], "the test is over");
    block_faulty_release(world->disk);
    world_dispatch(world);
    assert_int_equal(iscsi_node_connection_count(world->node), 0);
    assert_int_equal(iscsi_node_session_count(world->node), 0);
    assert_int_equal(world->node->logins_in_progress, 0);
    assert_int_equal(pool_taken_bytes(world->pool), 0);
    iscsi_node_remove_target(world->node, world->target, note_removed, &removed);
    assert_true(removed);
    iscsi_target_free(world->target);
    iscsi_node_free(world->node);
    scsi_target_free(world->scsi);
    scsi_lu_free(world->lu[0]);
    scsi_lu_free(world->lu[1]);
    block_device_close(world->disk);
    block_device_close(world->second);
    pool_free(world->pool);
    for (unsigned i = 0; i < world->peer_count; i++)
        free(world->peers[i].stream);
    free(world);
}

/* ── peers ───────────────────────────────────────────────────────────────────────────────────── */

static inline struct sockaddr_storage ipv4(const char *text, uint16_t port)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *address = (struct sockaddr_in *)&storage;
    address->sin_family = AF_INET;
    address->sin_port = htons(port);
    assert_int_equal(inet_pton(AF_INET, text, &address->sin_addr), 1);
    return storage;
}

/* A TCP connection; each has an ISID of its own. `connection` stays NULL when it was refused. */
static inline struct peer *peer_open_from(struct world *world, const char *address)
{
    assert_true(world->peer_count < PEERS);
    unsigned number = world->peer_count++;
    struct peer *peer = &world->peers[number];
    const struct sockaddr_storage local = ipv4("192.0.2.1", ISCSI_PORT);
    const struct sockaddr_storage remote = ipv4(address, (uint16_t)(50000 + number));
    *peer = (struct peer){
        .world = world,
        .isid = {0x00, 0x02, 0x3d, 0, 0, (uint8_t)(number + 1)},
        .next_itt = number << 16 | 1,
        .cmd_sn = 100 * (number + 1),
    };
    snprintf(peer->initiator, sizeof peer->initiator, "%s", INITIATOR);
    peer->connection = iscsi_connection_new(world->node, &local, &remote, peer, world->now_us);
    return peer;
}

static inline struct peer *peer_open(struct world *world)
{
    struct peer *peer = peer_open_from(world, "192.0.2.7");
    assert_non_null(peer->connection);
    return peer;
}

/* Keeps what was pulled, in the order of the wire. */
static inline void stream_append(struct peer *peer, const void *data, size_t length)
{
    if (peer->stream_taken == peer->stream_length)
        peer->stream_taken = peer->stream_length = 0;
    peer->stream = realloc(peer->stream, peer->stream_length + length + 1);
    assert_non_null(peer->stream);
    memcpy(peer->stream + peer->stream_length, data, length);
    peer->stream_length += length;
}

/* Commits once; the segments of buffers stay to be released. */
static inline bool peer_commit(struct peer *peer, struct iscsi_output *output)
{
    output->slab = peer->world->slab;
    if (!peer->connection ||
        !iscsi_connection_next_output(peer->connection, output, peer->world->now_us))
        return false;
    size_t bytes = 0;
    for (unsigned i = 0; i < output->segment_count; i++)
        bytes += output->segments[i].length;
    assert_int_equal(bytes, output->bytes);
    assert_true(output->bytes <= ISCSI_SLAB_BYTES);
    assert_true(output->slab_used <= ISCSI_SLAB_BYTES);
    assert_true(output->segment_count <= ISCSI_OUTPUT_SEGMENTS);
    return true;
}

static inline void peer_take(struct peer *peer, const struct iscsi_output *output)
{
    for (unsigned i = 0; i < output->segment_count; i++) {
        const struct iscsi_segment *segment = &output->segments[i];
        const uint8_t *from = segment->base;
        if (segment->kind == ISCSI_SEGMENT_DEVICE)
            from = block_memory_bytes(segment->lu == peer->world->lu[0] ? peer->world->memory
                                                                        : peer->world->second) +
                   segment->offset_bytes;
        stream_append(peer, from, segment->length);
    }
}

static inline void peer_release(struct peer *peer, const struct iscsi_output *output)
{
    for (unsigned i = 0; i < output->segment_count; i++)
        iscsi_segment_release(peer->connection, &output->segments[i]);
}

/* Pulls all there is, as a peer that reads. */
static inline void peer_pull(struct peer *peer)
{
    static struct iscsi_output output;
    while (peer_commit(peer, &output)) {
        peer_take(peer, &output);
        peer_release(peer, &output);
    }
    if (peer->connection && iscsi_connection_ends(peer->connection))
        peer_close(peer, "ended");
}

static inline int peer_feed_some(struct peer *peer, const uint8_t *data, size_t length, bool bulk)
{
    struct iovec place = iscsi_connection_bulk(peer->connection);
    size_t in_place = bulk ? min_of(place.iov_len, length) : 0;
    if (in_place)
        memcpy(place.iov_base, data, in_place);
    /* A copy of exactly this size, so that the sanitizer sees any step beyond. */
    uint8_t *copy = malloc(length - in_place + 1);
    memcpy(copy, data + in_place, length - in_place);
    int result = iscsi_connection_received(peer->connection, in_place, copy, length - in_place,
                                           peer->world->now_us);
    free(copy);
    return result;
}

/* Sends bytes; the connection may be closed afterwards. */
static inline void peer_feed(struct peer *peer, const void *bytes, size_t length)
{
    const uint8_t *data = bytes;
    size_t step = length;
    if (peer->feeding == FEED_BYTES)
        step = 1;
    else if (peer->feeding == FEED_BULK)
        step = 2000;
    while (length && peer->connection) {
        step = min_of(step, length);
        if (peer_feed_some(peer, data, step, peer->feeding == FEED_BULK)) {
            static struct iscsi_output output;
            if (peer_commit(peer, &output)) { /* said once, as server/ does */
                peer_take(peer, &output);
                peer_release(peer, &output);
            }
            peer_close(peer, "protocol error");
        }
        data += step;
        length -= step;
    }
}

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
