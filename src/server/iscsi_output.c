/*
 * iscsi_output.c - what leaves a connection: bytes that iscsi_connection commits, and page-cache
 * ranges from devices to sockets. A committed PDU leaves whole, or the connection is reset.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "iscsi_client.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/pool.h>

#define PUMP_LIMIT_BYTES (1u << 20) /* of one connection in one turn */

/* What was committed but has not left. */
struct unsent {
    unsigned count, next;
    size_t offset; /* of segments[next] that has left */
    uint8_t *copy; /* of slab bytes */
    struct iscsi_segment segments[];
};

/* A range that was resident when its header was committed and is no more: the engine reads it. */
struct late_fetch {
    struct block_request request;
    struct client *client; /* NULL: closed meanwhile */
    struct iscsi_server *server;
    size_t skip; /* a disk reads whole blocks, but sendfile stops anywhere */
    size_t length;
};

enum send_verdict { SEND_DONE, SEND_BLOCKED, SEND_BROKEN };

/* A cursor over committed segments, in the loop's slab or kept from an earlier turn. */
struct cursor {
    struct iscsi_segment *segments;
    unsigned count, next;
    size_t offset;
    bool fresh; /* committed a moment ago: what was resident then still is */
};

static void release_segment(struct client *client, const struct iscsi_segment *segment)
{
    if (client->late_buffer && segment->release == client->late_buffer)
        pool_give(client->server->server->pool, take_pointer(client->late_buffer),
                  client->late_buffer_bytes);
    else
        iscsi_segment_release(client->connection, segment);
}

static void advance(struct client *client, struct cursor *cursor, size_t sent)
{
    client->blocked_since_us = 0;
    while (sent) {
        struct iscsi_segment *segment = &cursor->segments[cursor->next];
        size_t left = segment->length - cursor->offset;
        if (sent < left) {
            cursor->offset += sent;
            return;
        }
        sent -= left;
        release_segment(client, segment);
        cursor->next++;
        cursor->offset = 0;
    }
}

static enum send_verdict verdict_of_errno(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK ? SEND_BLOCKED : SEND_BROKEN;
}

/* All memory up to the next device range in one system call. */
static enum send_verdict send_memory(struct client *client, struct cursor *cursor)
{
    struct iovec iov[ISCSI_OUTPUT_SEGMENTS];
    size_t count = 0;
    size_t offset = cursor->offset;
    unsigned i;
    for (i = cursor->next; i < cursor->count; i++) {
        const struct iscsi_segment *segment = &cursor->segments[i];
        if (segment->kind == ISCSI_SEGMENT_DEVICE)
            break;
        iov[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)(segment->base + offset),
                                      .iov_len = segment->length - offset};
        offset = 0;
    }
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    ssize_t sent =
        sendmsg(client->socket, &message, MSG_NOSIGNAL | (i < cursor->count ? MSG_MORE : 0));
    if (sent < 0)
        return errno == EINTR ? SEND_DONE : verdict_of_errno(errno);
    advance(client, cursor, (size_t)sent);
    return SEND_DONE;
}

static void late_fetch_done(struct block_request *request);

static void *take_late_buffer(struct server *server, size_t bytes)
{
    void *buffer;
    while (!(buffer = pool_take(server->pool, bytes)) && iscsi_node_make_room(server->node))
        ;
    return buffer;
}

static enum send_verdict start_late_fetch(struct client *client, const struct cursor *cursor)
{
    struct server *server = client->server->server;
    const struct iscsi_segment *segment = &cursor->segments[cursor->next];
    uint64_t block = scsi_lu_device(segment->lu)->geometry.logical_block_bytes;
    uint64_t from = segment->offset_bytes + cursor->offset;
    uint64_t start = round_down(from, block);
    uint64_t end = round_up(segment->offset_bytes + segment->length, block);
    struct late_fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch)
        return SEND_BROKEN;
    fetch->skip = (size_t)(from - start);
    fetch->length = segment->length - cursor->offset;
    fetch->client = client;
    fetch->server = client->server;
    fetch->request = (struct block_request){
        .operation = BLOCK_READ,
        .offset_bytes = start,
        .length_bytes = end - start,
        .buffer = take_late_buffer(server, (size_t)(end - start)),
        .done = late_fetch_done,
        .context = fetch,
    };
    if (!fetch->request.buffer) {
        free(fetch);
        return SEND_BROKEN;
    }
    client->late_fetch = fetch;
    block_submit(scsi_lu_device(segment->lu), &fetch->request);
    return SEND_BLOCKED;
}

/* Residency is asked right before each step that does not follow the commit at once: what was warm
 * when the header was committed may be cold now, and sendfile on a cold range would stop the loop
 * for as long as the disk takes. */
static enum send_verdict send_device(struct client *client, struct cursor *cursor)
{
    const struct iscsi_segment *segment = &cursor->segments[cursor->next];
    struct block_device *device = scsi_lu_device(segment->lu);
    uint64_t offset = segment->offset_bytes + cursor->offset;
    size_t length = segment->length - cursor->offset;
    if (!cursor->fresh && block_residency(device, offset, length) != BLOCK_RESIDENT)
        return start_late_fetch(client, cursor);
    ssize_t sent = block_send(device, client->socket, offset, length);
    if (sent == -EAGAIN)
        return SEND_BLOCKED;
    if (sent == -EINTR)
        return SEND_DONE;
    if (sent <= 0) { /* the device failed or shrank under a committed header: never pad */
        log_error(
            "device cannot deliver what was announced, connection reset: device=%s offset=%llu "
            "error=%s",
            device->path, (unsigned long long)offset, strerror(sent ? (int)-sent : ENXIO));
        return SEND_BROKEN;
    }
    advance(client, cursor, (size_t)sent);
    return SEND_DONE;
}

static enum send_verdict send_segments(struct client *client, struct cursor *cursor)
{
    while (cursor->next < cursor->count) {
        bool device = cursor->segments[cursor->next].kind == ISCSI_SEGMENT_DEVICE;
        enum send_verdict verdict =
            device ? send_device(client, cursor) : send_memory(client, cursor);
        if (verdict != SEND_DONE)
            return verdict;
    }
    return SEND_DONE;
}

/* Keeps what has not left; slab bytes are copied, since the slab serves everybody. */
static bool keep_unsent(struct client *client, const struct cursor *cursor)
{
    unsigned count = cursor->count - cursor->next;
    struct unsent *unsent = calloc(1, sizeof *unsent + count * sizeof unsent->segments[0]);
    if (!unsent)
        return false;
    unsent->count = count;
    unsent->offset = cursor->offset;
    memcpy(unsent->segments, cursor->segments + cursor->next, count * sizeof unsent->segments[0]);
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += unsent->segments[i].kind == ISCSI_SEGMENT_MEMORY ? unsent->segments[i].length : 0;
    client->unsent = unsent;
    unsent->copy = bytes ? malloc(bytes) : NULL;
    if (bytes && !unsent->copy)
        return false;
    uint8_t *to = unsent->copy; /* NULL: no bytes to keep */
    for (unsigned i = 0; i < count; i++) {
        struct iscsi_segment *segment = &unsent->segments[i];
        if (segment->kind != ISCSI_SEGMENT_MEMORY || !to)
            continue;
        memcpy(to, segment->base, segment->length);
        segment->base = to;
        to += segment->length;
    }
    return true;
}

static void drop_unsent(struct client *client)
{
    struct unsent *unsent = client->unsent;
    if (!unsent)
        return;
    for (unsigned i = unsent->next; i < unsent->count; i++)
        release_segment(client, &unsent->segments[i]);
    free(unsent->copy);
    free(unsent);
    client->unsent = NULL;
}

static void wait_for_socket(struct client *client)
{
    struct iscsi_server *iscsi = client->server;
    if (client->late_fetch) { /* it is the disk that is waited for */
        client->blocked_since_us = 0;
        ev_io_stop(iscsi->server->loop, &client->writable);
        return;
    }
    if (!client->blocked_since_us)
        client->blocked_since_us = server_now_us(iscsi->server);
    ev_io_start(iscsi->server->loop, &client->writable);
    clients_want_deadlines(iscsi);
}

static enum send_verdict send_kept(struct client *client)
{
    struct unsent *unsent = client->unsent;
    struct cursor cursor = {unsent->segments, unsent->count, unsent->next, unsent->offset, false};
    enum send_verdict verdict = send_segments(client, &cursor);
    unsent->next = cursor.next;
    unsent->offset = cursor.offset;
    if (verdict == SEND_DONE)
        drop_unsent(client);
    return verdict;
}

/* Pulls and sends once. SEND_DONE with *ret_bytes 0: there was nothing. */
static enum send_verdict send_next(struct client *client, size_t *ret_bytes)
{
    struct iscsi_server *iscsi = client->server;
    struct iscsi_output output;
    output.slab = iscsi->slab;
    *ret_bytes = 0;
    if (!iscsi_connection_next_output(client->connection, &output, server_now_us(iscsi->server)))
        return SEND_DONE;
    *ret_bytes = output.bytes;
    struct cursor cursor = {output.segments, output.segment_count, 0, 0, true};
    enum send_verdict verdict = send_segments(client, &cursor);
    if (verdict == SEND_DONE || keep_unsent(client, &cursor))
        return verdict;
    return SEND_BROKEN;
}

/* Nothing is left to say for now. */
static void client_rest(struct client *client)
{
    ev_io_stop(client->server->server->loop, &client->writable);
    if (iscsi_connection_has_deadline(client->connection))
        clients_want_deadlines(client->server);
    if (iscsi_connection_ends(client->connection))
        client_close(client, "ended");
}

void client_pump(struct client *client)
{
    if (client->late_fetch)
        return;
    for (size_t pumped = 0; pumped < PUMP_LIMIT_BYTES;) {
        size_t bytes = 0;
        bool kept = client->unsent;
        enum send_verdict verdict = kept ? send_kept(client) : send_next(client, &bytes);
        if (verdict == SEND_BROKEN) {
            client_reset(client, "connection lost while sending");
            return;
        }
        if (verdict == SEND_BLOCKED) {
            wait_for_socket(client);
            return;
        }
        if (!kept && !bytes) {
            client_rest(client);
            return;
        }
        pumped += bytes;
    }
    ev_io_start(client->server->server->loop, &client->writable); /* others first, then on */
}

static void late_fetch_done(struct block_request *request)
{
    struct late_fetch *fetch = request->context;
    struct client *client = fetch->client;
    struct pool *pool = fetch->server->server->pool;
    bool failed = request->result < 0;
    if (client && !failed) {
        struct unsent *unsent = client->unsent;
        struct iscsi_segment *segment = &unsent->segments[unsent->next];
        *segment = (struct iscsi_segment){.kind = ISCSI_SEGMENT_BUFFER,
                                          .base = (uint8_t *)request->buffer + fetch->skip,
                                          .length = fetch->length,
                                          .release = request->buffer};
        unsent->offset = 0;
        client->late_buffer = request->buffer;
        client->late_buffer_bytes = request->length_bytes;
    } else {
        pool_give(pool, request->buffer, request->length_bytes);
    }
    if (client) {
        client->late_fetch = NULL;
        if (failed)
            client_reset(client, "the disk failed under a committed answer");
        else
            client_mark_dirty(client);
    }
    free(fetch);
}

void client_say_last(struct client *client, const char *reason)
{
    size_t bytes;
    if (!client->unsent && !client->late_fetch)
        (void)send_next(client, &bytes);
    if (client->unsent)
        client_reset(client, reason);
    else
        client_close(client, reason);
}

void client_drop_output(struct client *client)
{
    if (client->late_fetch)
        client->late_fetch->client = NULL;
    drop_unsent(client);
}
