/*
 * connection.c - several connections to one target over a moody disk in memory. The input is a byte
 * of options, then actions: a byte that says which and for whom, and what follows it. Bytes come
 * raw or as PDUs whose numbers and digests are made right, since no fuzzer would guess them.
 * Whatever happens: what is sent are whole PDUs in their order, and when all is closed and the disk
 * has let go, nothing is left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/connection.h"

#include <netboot-target/block.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/pool.h>

#include "leaving.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TARGET     "iqn.2026-11.local:disk"
#define PEERS      4
#define BLOCK      512u
#define BLOCKS     1024u
#define PDU_BYTES  (96u << 10)
#define HELD_LIMIT 4

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* ── the input ───────────────────────────────────────────────────────────────────────────────── */

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t take_byte(struct input *input)
{
    if (!input->left)
        return 0;
    input->left--;
    return *input->at++;
}

static void take_bytes(struct input *input, void *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = take_byte(input);
}

static uint16_t take_u16(struct input *input)
{
    uint8_t bytes[2];
    take_bytes(input, bytes, sizeof bytes);
    return load_be16(bytes);
}

/* ── the world ───────────────────────────────────────────────────────────────────────────────── */

struct world;

struct peer {
    struct world *world;
    struct iscsi_connection *connection;
    bool header_digest, data_digest; /* on what it gets */
    bool stat_sn_known;
    uint32_t stat_sn, most;
    uint8_t r2t[BHS_BYTES]; /* the last one it got */
    uint32_t data_sn, last_itt;
    uint8_t *rest; /* of a PDU that has been sent in part */
    size_t rest_length;
    struct iscsi_output held[HELD_LIMIT];
    unsigned held_count;
};

struct world {
    struct random_source random;
    uint8_t next_random;
    struct pool *pool;
    struct scsi_environment environment;
    struct block_device *memory, *disk;
    struct scsi_lu *lu;
    struct scsi_target *scsi;
    struct iscsi_target *target;
    struct iscsi_node *node;
    struct peer peers[PEERS];
    uint64_t now_us;
    bool removed;
};

static uint8_t slab[ISCSI_SLAB_BYTES];
static uint8_t stream[2 * ISCSI_SLAB_BYTES];

static void count_up(struct random_source *source, void *to, size_t length)
{
    struct world *world = container_of(source, struct world, random);
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = ++world->next_random;
}

static void release_held(struct peer *peer)
{
    for (unsigned h = 0; h < peer->held_count; h++)
        for (unsigned i = 0; i < peer->held[h].segment_count; i++)
            iscsi_segment_release(peer->connection, &peer->held[h].segments[i]);
    peer->held_count = 0;
}

static void close_peer(struct peer *peer)
{
    struct iscsi_connection *connection = peer->connection;
    if (!connection)
        return;
    release_held(peer);
    free(peer->rest);
    *peer = (struct peer){.world = peer->world};
    iscsi_connection_close(connection, "closed");
}

static void on_event(void *context, const struct iscsi_event *event)
{
    (void)context;
    require(event->peer && event->initiator && event->target && event->reason);
    require(strlen(event->reason) < 1000);
}

static void on_output_ready(void *context, void *owner)
{
    (void)context;
    require(((struct peer *)owner)->connection);
}

static void on_close(void *context, void *owner)
{
    (void)context;
    require(((struct peer *)owner)->connection);
    close_peer(owner);
}

static uint64_t on_now_us(void *context)
{
    return ((const struct world *)context)->now_us;
}

static const struct iscsi_callbacks callbacks = {
    .event = on_event, .output_ready = on_output_ready, .close = on_close, .now_us = on_now_us};

static void on_changed(struct block_device *device, void *context)
{
    (void)device;
    scsi_lu_device_changed(context);
}

static void on_removed(void *context)
{
    ((struct world *)context)->removed = true;
}

static struct iscsi_limits small_limits(void)
{
    struct iscsi_limits limits = iscsi_default_limits;
    limits.connections = PEERS;
    limits.logins_in_progress = 3;
    limits.sessions_per_initiator = 3;
    limits.command_window = 8;
    limits.commands_per_session = 12;
    limits.credit_bytes = 64 << 10;
    limits.immediate_reserve_bytes = 16 << 10;
    limits.text_bytes = 16 << 10;
    return limits;
}

static struct world *world_new(uint8_t choice)
{
    struct world *world = calloc(1, sizeof *world);
    const struct iscsi_limits limits = small_limits();
    struct scsi_lu_options lu = {.vendor = "NETBOOT", .product = "fuzz", .serial = "1"};
    world->random.fill = count_up;
    world->now_us = 1000000;
    world->pool = pool_new(choice & 1 ? 128u << 10 : 1u << 20, 1u << 20);
    world->environment.pool = world->pool;
    world->memory = block_memory_new(&(struct block_geometry){.blocks = BLOCKS,
                                                              .logical_block_bytes = BLOCK,
                                                              .physical_block_bytes = 4096,
                                                              .discard_granularity_bytes = BLOCK,
                                                              .discard_limit_bytes = 65536});
    world->disk = block_faulty_new(world->memory);
    world->lu = scsi_lu_new(&world->environment, world->disk, &lu);
    world->disk->changed = on_changed;
    world->disk->changed_context = world->lu;
    world->scsi = scsi_target_new(TARGET);
    scsi_target_add_lu(world->scsi, 0, world->lu);
    const struct iscsi_target_options target = {
        .name = TARGET,
        .shared = choice & 2,
        .hold_ms = 100,
        .initial_r2t = choice & 4,
        .header_digest = choice & 8 ? ISCSI_DIGEST_PREFER_CRC32C : ISCSI_DIGEST_PREFER_NONE,
    };
    world->target = iscsi_target_new(&target, world->scsi, NULL);
    world->node = iscsi_node_new(&(struct iscsi_node_options){
        .callbacks = &callbacks,
        .context = world,
        .limits = &limits,
        .pool = world->pool,
        .random = &world->random,
        .zero_copy_min_bytes = choice & 16 ? 4096 : 0,
    });
    iscsi_node_add_target(world->node, world->target);
    iscsi_target_set_ready(world->target, true);
    for (unsigned i = 0; i < PEERS; i++)
        world->peers[i].world = world;
    return world;
}

static void world_free(struct world *world)
{
    for (unsigned i = 0; i < PEERS; i++)
        close_peer(&world->peers[i]);
    block_faulty_clear(world->disk);
    block_faulty_release(world->disk);
    block_memory_dispatch(world->memory, 0);
    require(iscsi_node_connection_count(world->node) == 0);
    require(iscsi_node_session_count(world->node) == 0);
    require(world->node->logins_in_progress == 0 && pool_taken_bytes(world->pool) == 0);
    if (!world->target->removing && !world->removed)
        iscsi_node_remove_target(world->node, world->target, on_removed, world);
    require(world->removed);
    iscsi_target_free(world->target);
    iscsi_node_free(world->node);
    scsi_target_free(world->scsi);
    scsi_lu_free(world->lu);
    block_device_close(world->disk);
    pool_free(world->pool);
    free(world);
}

/* ── what comes from the target ──────────────────────────────────────────────────────────────── */

static void check_numbers(struct peer *peer, const uint8_t *bhs)
{
    uint8_t opcode = bhs_opcode(bhs);
    uint32_t stat_sn = load_be32(bhs + BHS_STAT_SN);
    require(!peer->stat_sn_known || stat_sn == peer->stat_sn + 1);
    if (opcode != OP_R2T && !(opcode == OP_DATA_IN && !(bhs[1] & DATA_IN_STATUS))) {
        peer->stat_sn = stat_sn;
        peer->stat_sn_known = true;
    }
    if (opcode == OP_LOGIN_RESPONSE) {
        peer->most = load_be32(bhs + BHS_MAX_CMD_SN);
        return;
    }
    uint32_t most = load_be32(bhs + BHS_MAX_CMD_SN);
    require((int32_t)(most - peer->most) >= 0);
    peer->most = most;
}

static void note_pdu(struct peer *peer, const uint8_t *bhs)
{
    check_numbers(peer, bhs);
    if (bhs_opcode(bhs) == OP_R2T) {
        memcpy(peer->r2t, bhs, BHS_BYTES);
        peer->data_sn = 0;
    }
    if (bhs_opcode(bhs) == OP_LOGIN_RESPONSE && !bhs[36] && (bhs[1] & 0x83) == 0x83 &&
        peer->connection->session) {
        peer->header_digest = peer->connection->in.header_digest;
        peer->data_digest = peer->connection->in.data_digest;
    }
}

/* Whole PDUs, padded, with right digests. */
static void check_stream(struct peer *peer, size_t length)
{
    for (size_t at = 0; at < length;) {
        require(length - at >= BHS_BYTES && stream[at + BHS_AHS_LENGTH] == 0);
        uint8_t digest[DIGEST_BYTES];
        const uint8_t *bhs = stream + at;
        uint32_t data_bytes = bhs_data_length(bhs);
        at += BHS_BYTES;
        if (peer->header_digest) {
            crc32c_store(crc32c_add(crc32c_begin(), bhs, BHS_BYTES), digest);
            require(length - at >= DIGEST_BYTES && !memcmp(digest, stream + at, DIGEST_BYTES));
            at += DIGEST_BYTES;
        }
        uint32_t padded = round_up(data_bytes, 4u);
        require(length - at >= padded);
        if (peer->data_digest && data_bytes) {
            crc32c_store(crc32c_add(crc32c_begin(), stream + at, padded), digest);
            require(length - at >= padded + DIGEST_BYTES);
            require(!memcmp(digest, stream + at + padded, DIGEST_BYTES));
            at += DIGEST_BYTES;
        }
        at += padded;
        note_pdu(peer, bhs);
    }
}

/* A device range may have shrunk away under its header: then the connection is to be reset. */
static bool flatten(struct world *world, const struct iscsi_output *output, size_t *ret_length)
{
    uint64_t disk_bytes = world->memory->geometry.blocks * BLOCK;
    size_t length = 0;
    for (unsigned i = 0; i < output->segment_count; i++) {
        const struct iscsi_segment *segment = &output->segments[i];
        const uint8_t *from = segment->base;
        require(segment->length && length + segment->length <= sizeof stream);
        if (segment->kind == ISCSI_SEGMENT_DEVICE) {
            require(segment->lu == world->lu);
            if (segment->offset_bytes + segment->length > disk_bytes)
                return false;
            from = block_memory_bytes(world->memory) + segment->offset_bytes;
        }
        check_leaving(from, segment->length);
        memcpy(stream + length, from, segment->length);
        length += segment->length;
    }
    require(length == output->bytes);
    *ret_length = length;
    return true;
}

/* Pulls once; its buffers are kept until release_held(), as a slow socket does. */
static bool pull(struct peer *peer)
{
    if (!peer->connection || peer->held_count == HELD_LIMIT)
        return false;
    struct iscsi_output *output = &peer->held[peer->held_count];
    size_t length;
    output->slab = slab;
    forget(slab, sizeof slab);
    if (!iscsi_connection_next_output(peer->connection, output, peer->world->now_us)) {
        if (iscsi_connection_ends(peer->connection))
            close_peer(peer);
        return false;
    }
    require(output->slab_used <= ISCSI_SLAB_BYTES);
    require(output->segment_count <= ISCSI_OUTPUT_SEGMENTS);
    peer->held_count++;
    if (flatten(peer->world, output, &length)) {
        check_stream(peer, length);
        return true;
    }
    close_peer(peer);
    return false;
}

static void pull_all(struct peer *peer)
{
    do
        release_held(peer);
    while (pull(peer));
}

/* ── what goes to the target ─────────────────────────────────────────────────────────────────── */

static void feed(struct peer *peer, const uint8_t *data, size_t length, size_t step)
{
    while (length && peer->connection) {
        struct iovec place = iscsi_connection_bulk(peer->connection);
        size_t now = min_of(length, step);
        size_t bulk = min_of(place.iov_len, now);
        if (bulk)
            memcpy(place.iov_base, data, bulk);
        uint8_t *copy = malloc(now - bulk + 1);
        memcpy(copy, data + bulk, now - bulk);
        if (iscsi_connection_received(peer->connection, bulk, copy, now - bulk,
                                      peer->world->now_us)) {
            release_held(peer);
            pull(peer);
            close_peer(peer);
        }
        free(copy);
        data += now;
        length -= now;
    }
}

/* `data` NULL: all of it is `fill`. */
static size_t encode(const struct peer *peer, const uint8_t *bhs, const void *data, uint8_t fill,
                     bool right, uint8_t *to)
{
    const struct framing *in = &peer->connection->in;
    uint32_t data_bytes = bhs_data_length(bhs);
    size_t at = BHS_BYTES + bhs[BHS_AHS_LENGTH] * 4u;
    memset(to, fill, at);
    memcpy(to, bhs, BHS_BYTES);
    if (in->header_digest) {
        crc32c_store(crc32c_add(crc32c_begin(), to, at), to + at);
        at += DIGEST_BYTES;
    }
    uint32_t padded = round_up(data_bytes, 4u);
    memset(to + at, fill, padded);
    if (data)
        memcpy(to + at, data, data_bytes);
    if (in->data_digest && data_bytes) {
        crc32c_store(crc32c_add(crc32c_begin(), to + at, padded), to + at + padded);
        padded += DIGEST_BYTES;
    }
    at += padded;
    if (!right)
        to[at - 1] ^= 1;
    return at;
}

/* The numbers that answer the last R2T. */
static void answer_r2t(struct peer *peer, uint8_t *bhs)
{
    memcpy(bhs + BHS_ITT, peer->r2t + BHS_ITT, 8);
    store_be32(bhs + 36, peer->data_sn++);
    memcpy(bhs + 40, peer->r2t + 40, 4);
    uint32_t wanted = load_be32(peer->r2t + 44);
    if (bhs[1] & BHS_FINAL)
        store_be24(bhs + BHS_DATA_LENGTH, min_of(wanted, 65536u));
    else
        store_be24(bhs + BHS_DATA_LENGTH, min_of(wanted, 512u));
    uint32_t length = bhs_data_length(bhs);
    store_be32(peer->r2t + 40, load_be32(peer->r2t + 40) + length);
    store_be32(peer->r2t + 44, wanted - length);
}

enum { MAKE_NUMBER = 1, WRONG_DIGEST = 2, IN_BYTES = 4, CUT = 8, ANSWER_R2T = 16, LAST_TASK = 32 };

static void send_pdu(struct peer *peer, const uint8_t *bhs, uint8_t how, uint8_t fill)
{
    static uint8_t wire[PDU_BYTES];
    size_t length = encode(peer, bhs, NULL, fill, !(how & WRONG_DIGEST), wire);
    size_t now = how & CUT ? length / 2 : length;
    feed(peer, wire, now, how & IN_BYTES ? 1 : 5000);
    if (!peer->connection || now == length)
        return;
    peer->rest = malloc(length - now);
    memcpy(peer->rest, wire + now, length - now);
    peer->rest_length = length - now;
}

/* ── actions ─────────────────────────────────────────────────────────────────────────────────── */

static void act_open(struct peer *peer, struct input *input)
{
    struct sockaddr_storage address = {.ss_family = AF_INET};
    address.__ss_padding[2] = (char)(take_byte(input) & 1);
    if (!peer->connection)
        peer->connection =
            iscsi_connection_new(peer->world->node, &address, &address, peer, peer->world->now_us);
}

static void act_raw(struct peer *peer, struct input *input)
{
    size_t length = min_of((size_t)take_u16(input), input->left);
    feed(peer, input->at, length, SIZE_MAX);
    input->at += length;
    input->left -= length;
}

static void act_rest(struct peer *peer, struct input *input)
{
    (void)input;
    uint8_t *rest = peer->rest;
    size_t length = peer->rest_length;
    peer->rest = NULL;
    peer->rest_length = 0;
    feed(peer, rest, length, SIZE_MAX);
    free(rest);
}

/* A whole login in one PDU: the first byte says what it offers, the second its ISID. */
static void act_login(struct peer *peer, struct input *input)
{
    static const char *const lengths[] = {"512", "8192", "65536", "262144"};
    uint8_t offer = take_byte(input), isid = take_byte(input);
    uint8_t bhs[BHS_BYTES] = {OP_LOGIN_REQUEST | BHS_IMMEDIATE, 0x87};
    char text[512];
    act_open(peer, input);
    if (!peer->connection || peer->rest || peer->connection->in.header_have)
        return;
    int length = snprintf(
        text, sizeof text,
        "InitiatorName=iqn.2010-04.org.ipxe:%c%c%s%cHeaderDigest=%s%cDataDigest=%s%c"
        "InitialR2T=No%cImmediateData=%s%cMaxRecvDataSegmentLength=%s%cMaxBurstLength=%s%c"
        "FirstBurstLength=4096%c",
        'a' + isid % 2, 0, offer & 1 ? "SessionType=Discovery" : "TargetName=" TARGET, 0,
        offer & 2 ? "CRC32C" : "None", 0, offer & 4 ? "CRC32C" : "None", 0, 0,
        offer & 8 ? "No" : "Yes", 0, lengths[offer >> 4 & 3], 0, lengths[offer >> 6], 0, 0);
    bhs[8] = isid & 4 ? 0x80 : 0x40;
    bhs[13] = isid >> 3 & 3;
    store_be24(bhs + BHS_DATA_LENGTH, (uint32_t)length);
    uint8_t wire[BHS_BYTES + sizeof text] = {0};
    memcpy(wire, bhs, BHS_BYTES);
    memcpy(wire + BHS_BYTES, text, (size_t)length);
    feed(peer, wire, BHS_BYTES + round_up((size_t)length, (size_t)4), SIZE_MAX);
}

static void act_pdu(struct peer *peer, struct input *input)
{
    uint8_t bhs[BHS_BYTES] = {0};
    uint8_t how = take_byte(input);
    take_bytes(input, bhs, 2);
    bhs[BHS_AHS_LENGTH] = how >> 6 == 3 ? 2 : 0;
    bhs[BHS_LUN + 1] = take_byte(input) >> 7;
    store_be32(bhs + BHS_ITT, take_byte(input));
    take_bytes(input, bhs + 20, 4);
    take_bytes(input, bhs + 32, 16);
    store_be24(bhs + BHS_DATA_LENGTH, take_u16(input));
    uint8_t fill = take_byte(input);
    if (!peer->connection || peer->rest)
        return;
    if (how & MAKE_NUMBER && peer->connection->session)
        store_be32(bhs + BHS_CMD_SN, peer->connection->session->exp_cmd_sn);
    if (how & ANSWER_R2T && bhs_opcode(bhs) == OP_DATA_OUT)
        answer_r2t(peer, bhs);
    if (how & LAST_TASK)
        store_be32(bhs + 20, peer->last_itt);
    if (bhs_opcode(bhs) == OP_SCSI_COMMAND)
        peer->last_itt = load_be32(bhs + BHS_ITT);
    send_pdu(peer, bhs, how, fill);
}

/* READ(10) and WRITE(10) in few bytes. */
static void act_read_write(struct peer *peer, struct input *input)
{
    uint8_t what = take_byte(input), lba = take_byte(input), blocks = take_byte(input);
    uint8_t immediate = take_byte(input);
    bool writes = what & 1;
    uint8_t bhs[BHS_BYTES] = {OP_SCSI_COMMAND,
                              (uint8_t)(BHS_FINAL | (writes ? BHS_WRITE : BHS_READ) | 1)};
    if (!peer->connection || peer->rest || !peer->connection->session)
        return;
    peer->last_itt++;
    store_be32(bhs + BHS_ITT, peer->last_itt);
    store_be32(bhs + 20, (uint32_t)(blocks * BLOCK + (what >> 1 & 3)));
    store_be32(bhs + BHS_CMD_SN, peer->connection->session->exp_cmd_sn);
    bhs[32] = writes ? 0x2a : 0x28;
    store_be32(bhs + 34, (uint32_t)lba * 4);
    store_be16(bhs + 39, blocks);
    if (writes) {
        uint32_t most = min_of((uint32_t)(blocks * BLOCK), 4096u);
        store_be24(bhs + BHS_DATA_LENGTH, min_of(immediate * 64u, most));
        if (what & 8)
            bhs[1] &= (uint8_t)~BHS_FINAL;
    }
    send_pdu(peer, bhs, what & (IN_BYTES | CUT) & (what >> 4), lba);
}

static void act_pull(struct peer *peer, struct input *input)
{
    (void)input;
    pull_all(peer);
}

static void act_pull_slowly(struct peer *peer, struct input *input)
{
    (void)input;
    pull(peer);
}

static void act_release(struct peer *peer, struct input *input)
{
    (void)input;
    if (peer->connection)
        release_held(peer);
}

static void act_dispatch(struct peer *peer, struct input *input)
{
    block_memory_dispatch(peer->world->memory, take_byte(input) % 8);
}

static void act_residency(struct peer *peer, struct input *input)
{
    block_memory_set_resident(peer->world->memory, take_byte(input) & 1);
}

static void act_fault(struct peer *peer, struct input *input)
{
    static const int results[] = {-5, -28, -6, -12}; /* EIO, ENOSPC, ENXIO, ENOMEM */
    uint8_t what = take_byte(input);
    block_faulty_add(peer->world->disk,
                     &(struct block_fault){.operations = 1u << what % BLOCK_OPERATION_COUNT,
                                           .first_byte = take_byte(input) * 2048u,
                                           .last_byte = UINT64_MAX,
                                           .result = what & 0x80 ? 0 : results[what >> 4 & 3],
                                           .times = what >> 6 & 1,
                                           .hang = what & 0x80});
}

static void act_heal(struct peer *peer, struct input *input)
{
    (void)input;
    block_faulty_clear(peer->world->disk);
    block_faulty_release(peer->world->disk);
}

static void act_resize(struct peer *peer, struct input *input)
{
    block_memory_resize(peer->world->memory, 1 + take_byte(input) * 4u);
}

static void act_close(struct peer *peer, struct input *input)
{
    (void)input;
    close_peer(peer);
}

static void act_time(struct peer *peer, struct input *input)
{
    struct world *world = peer->world;
    world->now_us += take_byte(input) * 100000u;
    iscsi_node_tick(world->node, world->now_us);
}

/* TASK ABORTED status (TAS) on: MODE SELECT(6) of the control mode page. */
static void set_task_aborted_status(struct peer *peer)
{
    static const uint8_t page[16] = {0, 0,    0, 0, 0x0a, 0x0a, 0, 0x10,
                                     0, 0x40, 0, 0, 0xff, 0xff, 0, 0};
    uint8_t bhs[BHS_BYTES] = {OP_SCSI_COMMAND, BHS_FINAL | BHS_WRITE | 1};
    uint8_t wire[128];
    if (!peer->connection || peer->rest || !peer->connection->session)
        return;
    store_be24(bhs + BHS_DATA_LENGTH, sizeof page);
    store_be32(bhs + BHS_ITT, ++peer->last_itt);
    store_be32(bhs + 20, sizeof page);
    store_be32(bhs + BHS_CMD_SN, peer->connection->session->exp_cmd_sn);
    memcpy(bhs + 32, (uint8_t[]){0x15, 0x10, 0, 0, sizeof page}, 5);
    feed(peer, wire, encode(peer, bhs, page, 0, true, wire), SIZE_MAX);
}

static void visit(void *context, const struct iscsi_session_info *info)
{
    (void)context;
    require(info->initiator && info->target && info->peer && info->local && info->tsih);
}

/* What seldom happens, from the side of the owner. */
static void act_seldom(struct peer *peer, struct input *input)
{
    struct world *world = peer->world;
    switch (take_byte(input) % 8) {
    case 0:
        iscsi_node_drain(world->node);
        break;
    case 1:
        iscsi_node_close_all(world->node);
        break;
    case 2:
        if (!world->target->removing && !world->removed)
            iscsi_node_remove_target(world->node, world->target, on_removed, world);
        break;
    case 3:
        iscsi_node_set_welcome(world->node, ISCSI_WELCOME_ALL);
        break;
    case 4:
        block_device_rearm(world->memory);
        block_device_rearm(world->disk);
        break;
    case 5:
        set_task_aborted_status(peer);
        break;
    default:
        iscsi_node_for_each_session(world->node, visit, NULL);
        break;
    }
}

static void (*const actions[])(struct peer *peer, struct input *input) = {
    act_open,     act_raw,   act_login,   act_pdu,       act_read_write, act_pull,
    act_dispatch, act_rest,  act_release, act_residency, act_fault,      act_heal,
    act_resize,   act_close, act_time,    act_seldom,    act_pdu,        act_pull_slowly,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct world *world = world_new(take_byte(&input));
    while (input.left) {
        uint8_t action = take_byte(&input);
        actions[action % ARRAY_SIZE(actions)](&world->peers[action / 64], &input);
    }
    world_free(world);
    return 0;
}
