/*
 * connection_world.h - whole connections without sockets: a node with one target of two LUNs on a
 * disk in memory, and peers whose bytes are fed to it and pulled from it. Closing is done as
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
