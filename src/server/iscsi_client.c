/*
 * iscsi_client.c - connections: carries bytes between sockets and iscsi_connection, and
 * page-cache ranges from devices to sockets. It knows no PDU.
 *
 * A turn of the loop: every readable socket is read and what it brought is handled; then, right
 * before the loop sleeps, every connection with something to say is pumped. So all requests of a
 * turn are answered with as few system calls as the socket allows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "boot_journal.h"
#include "iscsi_server.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/pool.h>

/* RFC 7143 §11.13.5 */
enum { INITIATOR_ERROR = 2, AUTHENTICATION_FAILURE = 1 };

#define SCRATCH_BYTES     (256u << 10)
#define BESIDE_BULK_BYTES 512         /* read behind a payload: the next header and a little */
#define PUMP_LIMIT_BYTES  (1u << 20)  /* of one connection in one turn */
#define NOTSENT_LOW_BYTES (256 << 10) /* bounds pinned pages and what an abort can't recall */

/* What was committed but has not left. */
struct unsent {
    unsigned count, next;
    size_t offset; /* of segments[next] that has left */
    uint8_t *copy; /* of slab bytes */
    struct iscsi_segment segments[];
};

struct client {
    struct client *prev, *next;             /* iscsi_server->clients */
    struct client *dirty_prev, *dirty_next; /* iscsi_server->dirty */
    struct iscsi_server *server;
    struct iscsi_connection *connection;
    int socket;
    ev_io readable, writable;
    ev_timer held; /* until then nothing is read: its address failed to log in too often */
    bool dirty;
    struct unsent *unsent;
    struct late_fetch *late_fetch;
    void *late_buffer; /* what it read; the segment that is being sent lies in it */
    size_t late_buffer_bytes;
    uint64_t blocked_since_us; /* the socket has taken nothing since; 0: it is not blocked */
};

/* A range that was resident when its header was committed and is no more: the engine reads it. */
struct late_fetch {
    struct block_request request;
    struct client *client; /* NULL: closed meanwhile */
    struct iscsi_server *server;
    size_t skip; /* a disk reads whole blocks, but sendfile stops anywhere */
    size_t length;
};

static void client_close(struct client *client, const char *reason);
static void client_pump_and_close(struct client *client);

/* ── dirty connections ───────────────────────────────────────────────────────────────────────────
 */

static void client_mark_dirty(struct client *client)
{
    if (client->dirty)
        return;
    client->dirty = true;
    DL_APPEND2(client->server->dirty, client, dirty_prev, dirty_next);
}

static void client_unmark_dirty(struct client *client)
{
    if (!client->dirty)
        return;
    client->dirty = false;
    DL_DELETE2(client->server->dirty, client, dirty_prev, dirty_next);
}

static void want_deadlines(struct iscsi_server *iscsi)
{
    if (!ev_is_active(&iscsi->deadlines))
        ev_timer_again(iscsi->server->loop, &iscsi->deadlines);
}

/* ── output ──────────────────────────────────────────────────────────────────────────────────────
 */

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
        .buffer = pool_take(server->pool, (size_t)(end - start)),
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
    want_deadlines(iscsi);
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

/* A peer must not take a cut answer for a whole one: reset, not FIN. */
static void client_reset(struct client *client, const char *reason)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client->socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client_close(client, reason);
}

/* Nothing is left to say for now. */
static void client_rest(struct client *client)
{
    ev_io_stop(client->server->server->loop, &client->writable);
    if (iscsi_connection_ends(client->connection))
        client_close(client, "ended");
}

static void client_pump(struct client *client)
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

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    client_mark_dirty(watcher->data);
}

static void on_pump(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    struct iscsi_server *iscsi = watcher->data;
    struct client *last = iscsi->dirty ? iscsi->dirty->dirty_prev : NULL;
    /* Those marked meanwhile have their turn after the next poll. */
    for (bool more = last; more;) {
        struct client *client = iscsi->dirty;
        more = client && client != last;
        if (!client)
            break;
        client_unmark_dirty(client);
        client_pump(client);
    }
    if (iscsi->dirty)
        ev_idle_start(iscsi->server->loop, &iscsi->again);
}

/* ── input ───────────────────────────────────────────────────────────────────────────────────────
 */

/* iPXE sends a PDU's header and data as two segments and waits for the first to be acknowledged;
 * with delayed ACKs each such PDU would cost 40 ms. */
static void acknowledge_now(const struct client *client)
{
    if (iscsi_connection_is_mid_pdu(client->connection))
        setsockopt(client->socket, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct client *client = watcher->data;
    struct iscsi_server *iscsi = client->server;
    struct iovec iov[2] = {
        iscsi_connection_bulk(client->connection),
        {.iov_base = iscsi->scratch, .iov_len = SCRATCH_BYTES}
    };
    size_t first = iov[0].iov_len ? 0 : 1;
    if (!first) /* large payloads come in a row: the next one shall go straight to its place, too */
        iov[1].iov_len = BESIDE_BULK_BYTES;
    ssize_t got = readv(client->socket, iov + first, (int)(2 - first));
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client_close(client, strerror(errno));
        return;
    }
    if (!got) {
        client_close(client, "closed by the initiator");
        return;
    }
    size_t bulk = min_of((size_t)got, iov[0].iov_len);
    int result = iscsi_connection_received(client->connection, bulk, iscsi->scratch,
                                           (size_t)got - bulk, server_now_us(iscsi->server));
    if (result) {
        client_pump_and_close(client);
        return;
    }
    acknowledge_now(client);
    client_mark_dirty(client);
}

/* ── life of a connection ────────────────────────────────────────────────────────────────────────
 */

/* What there is to say to a peer that broke the protocol is said once, if its socket takes it. */
static void client_pump_and_close(struct client *client)
{
    size_t bytes;
    if (!client->unsent && !client->late_fetch)
        (void)send_next(client, &bytes);
    if (client->unsent)
        client_reset(client, "protocol error");
    else
        client_close(client, "protocol error");
}

static void client_close(struct client *client, const char *reason)
{
    struct iscsi_server *iscsi = client->server;
    ev_io_stop(iscsi->server->loop, &client->readable);
    ev_io_stop(iscsi->server->loop, &client->writable);
    ev_timer_stop(iscsi->server->loop, &client->held);
    client_unmark_dirty(client);
    DL_DELETE(iscsi->clients, client);
    if (client->late_fetch)
        client->late_fetch->client = NULL;
    drop_unsent(client);
    close(client->socket);
    iscsi_connection_close(client->connection, reason);
    free(client);
}

static void set_socket_options(int socket, const struct config_limits *limits)
{
    const int idle_s = (int)max_of(limits->keepalive_ms / 1000, (uint64_t)1);
    const int probes = 3;
    const int interval_s = max_of(idle_s / probes, 1);
    const unsigned stall_ms = (unsigned)limits->send_stall_ms;
    /* Not paced: on a LAN the timers of a pacing algorithm (bbr) cost more CPU than large reads do.
     */
    setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, "cubic", sizeof "cubic" - 1);
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof stall_ms);
    setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){NOTSENT_LOW_BYTES}, sizeof(int));
}

static void on_hold_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct client *client = watcher->data;
    ev_io_start(loop, &client->readable);
}

/* In the form of struct iscsi_event. */
static void peer_text(const struct sockaddr_storage *peer, char *to, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    const void *address = peer->ss_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)peer)->sin6_addr
                              : (const void *)&((const struct sockaddr_in *)peer)->sin_addr;
    inet_ntop(peer->ss_family, address, host, sizeof host);
    snprintf(to, size, peer->ss_family == AF_INET6 ? "[%s]:0" : "%s:0", host);
}

static void start_reading(struct client *client, const struct sockaddr_storage *peer)
{
    const struct server *server = client->server->server;
    const struct config_limits *limits = &server->config->limits;
    char text[INET6_ADDRSTRLEN + 8];
    peer_text(peer, text, sizeof text);
    uint64_t delay_ms = min_of((uint64_t)LOGIN_DELAY_MS, limits->login_deadline_ms / 2);
    ev_timer_init(&client->held, on_hold_over, (double)delay_ms / 1000, 0);
    client->held.data = client;
    if (login_delay_applies(&client->server->login_delay, text, limits->failed_logins_per_minute,
                            server_now_us(server) / 1000))
        ev_timer_start(server->loop, &client->held);
    else
        ev_io_start(server->loop, &client->readable);
}

void client_new(struct iscsi_server *iscsi, int descriptor, const struct sockaddr_storage *peer)
{
    _cleanup_close_ int socket = descriptor;
    struct server *server = iscsi->server;
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof local;
    if (getsockname(socket, (struct sockaddr *)&local, &length))
        return;
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return;
    set_socket_options(socket, &server->config->limits);
    client->server = iscsi;
    client->connection =
        iscsi_connection_new(server->node, &local, peer, client, server_now_us(server));
    if (!client->connection) {
        free(client);
        return;
    }
    client->socket = take_descriptor(socket);
    ev_io_init(&client->readable, on_readable, client->socket, EV_READ);
    ev_io_init(&client->writable, on_writable, client->socket, EV_WRITE);
    client->readable.data = client->writable.data = client;
    start_reading(client, peer);
    DL_APPEND(iscsi->clients, client);
    want_deadlines(iscsi);
}

/* ── what the node asks for ──────────────────────────────────────────────────────────────────────
 */

static void on_output_ready(void *context, void *owner)
{
    (void)context;
    client_mark_dirty(owner);
}

static void on_close(void *context, void *owner)
{
    (void)context;
    client_close(owner, "closed by the target");
}

static const char *event_words[] = {
    [ISCSI_EVENT_LOGIN] = "login",
    [ISCSI_EVENT_LOGIN_REFUSED] = "login refused",
    [ISCSI_EVENT_LOGIN_BROKEN] = "login broken off",
    [ISCSI_EVENT_SESSION_ENDED] = "session ended",
    [ISCSI_EVENT_FIRST_COMMAND] = "first disk access",
    [ISCSI_EVENT_PROTOCOL_ERROR] = "protocol error",
    [ISCSI_EVENT_DISCOVERY] = "discovery",
    [ISCSI_EVENT_OWNER_CHANGED] = "disk has a new owner",
};

static void note_failed_login(struct server *server, const struct iscsi_event *event)
{
    if (event->kind != ISCSI_EVENT_LOGIN_REFUSED || event->status_class != INITIATOR_ERROR ||
        event->status_detail != AUTHENTICATION_FAILURE)
        return;
    unsigned limit = server->config->limits.failed_logins_per_minute;
    if (login_delay_note_failure(&server->iscsi->login_delay, event->peer,
                                 server_now_us(server) / 1000) == limit)
        log_warning("too many failed logins of one address (limits.failed-logins-per-minute), its "
                    "next ones are delayed: peer=%s",
                    event->peer);
}

/* A peer can cause these lines, so they come at a bounded rate. */
static void on_event(void *context, const struct iscsi_event *event)
{
    struct server *server = context;
    if (event->kind == ISCSI_EVENT_OWNER_CHANGED)
        targets_note_owner(server, event->target);
    note_failed_login(server, event);
    boot_journal_iscsi(server, event);
    bool peers_fault =
        event->kind == ISCSI_EVENT_LOGIN_REFUSED || event->kind == ISCSI_EVENT_PROTOCOL_ERROR;
    uint32_t suppressed = 0;
    if (!log_limit_allows(&server->iscsi->event_limit, 50, 200, server_now_us(server) / 1000,
                          &suppressed))
        return;
    if (suppressed)
        log_warning("%u lines about iSCSI sessions were held back", suppressed);
    log_message(peers_fault ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
                "iSCSI %s: %s%speer=%s initiator=%s target=%s", event_words[event->kind],
                event->reason, event->reason[0] ? "; " : "", event->peer, escaped(event->initiator),
                escaped(event->target));
}

const struct iscsi_callbacks iscsi_server_callbacks = {
    .event = on_event,
    .output_ready = on_output_ready,
    .close = on_close,
};

/* ── deadlines ───────────────────────────────────────────────────────────────────────────────────
 */

static bool cut_off_stalled(struct iscsi_server *iscsi)
{
    uint64_t now_us = server_now_us(iscsi->server);
    uint64_t allowed_us = iscsi->server->config->limits.send_stall_ms * 1000;
    bool some_blocked = false;
    struct client *client;
    struct client *next;
    DL_FOREACH_SAFE (iscsi->clients, client, next) {
        if (!client->blocked_since_us)
            continue;
        if (client->blocked_since_us + allowed_us <= now_us)
            client_reset(client, "the initiator stopped reading (limits.send-stall)");
        else
            some_blocked = true;
    }
    return some_blocked;
}

static void on_deadlines(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct iscsi_server *iscsi = watcher->data;
    bool blocked = cut_off_stalled(iscsi);
    uint64_t next_login = iscsi_node_tick(iscsi->server->node, server_now_us(iscsi->server));
    if (!blocked && !next_login)
        ev_timer_stop(loop, watcher);
}

/* ── start and stop ──────────────────────────────────────────────────────────────────────────────
 */

/* Keeps the loop from sleeping while connections are dirty. */
static void on_again(struct ev_loop *loop, ev_idle *watcher, int events)
{
    (void)events;
    ev_idle_stop(loop, watcher);
}

int clients_start(struct iscsi_server *iscsi)
{
    struct ev_loop *loop = iscsi->server->loop;
    iscsi->scratch = aligned_alloc(POOL_ALIGNMENT, SCRATCH_BYTES);
    iscsi->slab = aligned_alloc(POOL_ALIGNMENT, ISCSI_SLAB_BYTES);
    if (!iscsi->scratch || !iscsi->slab)
        return -ENOMEM;
    ev_prepare_init(&iscsi->pump, on_pump);
    ev_set_priority(&iscsi->pump, EV_MAXPRI); /* before requests are handed to the kernel */
    iscsi->pump.data = iscsi;
    ev_prepare_start(loop, &iscsi->pump);
    ev_idle_init(&iscsi->again, on_again);
    ev_init(&iscsi->deadlines, on_deadlines);
    iscsi->deadlines.repeat = 1.0;
    iscsi->deadlines.data = iscsi;
    return 0;
}

void clients_stop(struct iscsi_server *iscsi)
{
    struct ev_loop *loop = iscsi->server->loop;
    ev_prepare_stop(loop, &iscsi->pump);
    ev_idle_stop(loop, &iscsi->again);
    ev_timer_stop(loop, &iscsi->deadlines);
    free(iscsi->scratch);
    free(iscsi->slab);
}
