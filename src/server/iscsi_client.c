/*
 * iscsi_client.c - connections: their life, and the bytes they bring. It knows no PDU.
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

#include "address.h"
#include "iscsi_client.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/pool.h>

#define SCRATCH_BYTES     (256u << 10)
#define ONE_SEGMENT_BYTES (9u << 10)  /* of TCP, with jumbo frames */
#define BESIDE_BULK_BYTES 512         /* read behind a payload: the next header and a little */
#define NOTSENT_LOW_BYTES (256 << 10) /* bounds pinned pages and what an abort can't recall */

/* ── dirty connections ───────────────────────────────────────────────────────────────────────── */

void client_mark_dirty(struct client *client)
{
    if (client->dirty)
        return;
    client->dirty = true;
    client->server->dirty_count++;
    DL_APPEND2(client->server->dirty, client, dirty_prev, dirty_next);
}

static void client_unmark_dirty(struct client *client)
{
    if (!client->dirty)
        return;
    client->dirty = false;
    client->server->dirty_count--;
    DL_DELETE2(client->server->dirty, client, dirty_prev, dirty_next);
}

void clients_want_deadlines(struct iscsi_server *iscsi)
{
    if (!ev_is_active(&iscsi->deadlines))
        ev_timer_again(iscsi->server->loop, &iscsi->deadlines);
}

/* ── turns of the loop ───────────────────────────────────────────────────────────────────────── */

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
    /* Those marked meanwhile have their turn after the next poll. */
    for (unsigned left = iscsi->dirty_count; left && iscsi->dirty; left--) {
        struct client *client = iscsi->dirty;
        client_unmark_dirty(client);
        client_pump(client);
    }
    if (iscsi->dirty)
        ev_idle_start(iscsi->server->loop, &iscsi->again);
}

/* ── input ───────────────────────────────────────────────────────────────────────────────────── */

/* iPXE sends a PDU's header and data as two segments and waits for the first to be acknowledged, as
 * for each one of a long payload; with delayed ACKs each would cost 40 ms. It also shall not have
 * to wait for a slow disk to hear that its command has come. Who sends more at once does not wait.
 */
static void acknowledge_now(const struct client *client, size_t got)
{
    if (got <= ONE_SEGMENT_BYTES && iscsi_connection_is_waited_for(client->connection))
        setsockopt(client->socket, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

/* Large payloads come in a row: the next one shall go straight to its place, too, so no more is
 * read than a header, until that turns out to be wrong. */
static size_t scratch_wanted(const struct client *client)
{
    return client->in_bulk ? BESIDE_BULK_BYTES : SCRATCH_BYTES;
}

/* Reads once. Returns how much; 0: that is all for now. */
static size_t client_receive(struct client *client)
{
    struct iscsi_server *iscsi = client->server;
    struct iovec iov[2] = {
        iscsi_connection_bulk(client->connection),
        {.iov_base = iscsi->scratch, .iov_len = scratch_wanted(client)}
    };
    size_t first = iov[0].iov_len ? 0 : 1;
    ssize_t got = readv(client->socket, iov + first, (int)(2 - first));
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client_close(client, strerror(errno));
        return 0;
    }
    if (!got) {
        client_close(client, "closed by the initiator");
        return 0;
    }
    size_t bulk = min_of((size_t)got, iov[0].iov_len);
    int result = iscsi_connection_received(client->connection, bulk, iscsi->scratch,
                                           (size_t)got - bulk, server_now_us(iscsi->server));
    if (result) {
        client_say_last(client, "protocol error");
        return 0;
    }
    acknowledge_now(client, (size_t)got);
    client_mark_dirty(client);
    bool filled = (size_t)got - bulk == iov[1].iov_len;
    bool expects_bulk = iscsi_connection_bulk(client->connection).iov_len;
    client->in_bulk = expects_bulk || (client->in_bulk && !filled);
    return expects_bulk && filled ? (size_t)got : 0;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct client *client = watcher->data;
    size_t received = 0, got;
    do {
        got = client_receive(client);
        received += got;
    } while (got && received < SCRATCH_BYTES);
}

/* ── life of a connection ────────────────────────────────────────────────────────────────────── */

void client_close(struct client *client, const char *reason)
{
    struct iscsi_server *iscsi = client->server;
    ev_io_stop(iscsi->server->loop, &client->readable);
    ev_io_stop(iscsi->server->loop, &client->writable);
    ev_timer_stop(iscsi->server->loop, &client->held);
    client_unmark_dirty(client);
    DL_DELETE(iscsi->clients, client);
    client_drop_output(client);
    close(client->socket);
    iscsi_connection_close(client->connection, reason);
    free(client);
}

/* A peer must not take a cut answer for a whole one: reset, not FIN. */
void client_reset(struct client *client, const char *reason)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client->socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client_close(client, reason);
}

/* Not paced: on a LAN the timers of a pacing algorithm (bbr) cost more CPU than large reads do.
 * Where cubic is not the machine's own it takes CAP_NET_ADMIN; reno is everybody's. */
static void choose_congestion_control(int socket)
{
    if (setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, "cubic", sizeof "cubic" - 1))
        setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, "reno", sizeof "reno" - 1);
}

static void set_socket_options(int socket, const struct config_limits *limits)
{
    const int idle_s = (int)max_of(limits->keepalive_ms / 1000, (uint64_t)1);
    const int probes = 3;
    const int interval_s = max_of(idle_s / probes, 1);
    /* The kernel gives a silent peer up at the first probe that finds this time over, however few
     * were sent (tcp(7)); so it ends between the last two. It also bounds how long data waits for
     * its acknowledgement, while no probe is sent. */
    const unsigned silent_ms = (unsigned)(2 * (idle_s + probes * interval_s) - interval_s) * 500;
    choose_congestion_control(socket);
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
    setsockopt(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){NOTSENT_LOW_BYTES}, sizeof(int));
}

static void on_hold_over(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct client *client = watcher->data;
    ev_io_start(loop, &client->readable);
}

static void start_reading(struct client *client, const struct sockaddr_storage *peer)
{
    const struct server *server = client->server->server;
    const struct config_limits *limits = &server->config->limits;
    char text[ADDRESS_TEXT_BYTES];
    address_text(peer, text);
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
    clients_want_deadlines(iscsi);
}

/* ── deadlines ───────────────────────────────────────────────────────────────────────────────── */

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
    bool untold = iscsi_events_tell_left_out(iscsi);
    if (!blocked && !next_login && !untold)
        ev_timer_stop(loop, watcher);
}

/* ── start and stop ──────────────────────────────────────────────────────────────────────────── */

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
