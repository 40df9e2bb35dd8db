/*
 * tftp_server.c - boot files by TFTP: a request socket for each address of boot.tftp-listen, and a
 * socket of its own for each transfer (RFC 1350 §4).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "address.h"
#include "boot_files.h"
#include "boot_journal.h"
#include "boot_source.h"
#include "listen.h"

#include <netboot-target/tftp.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/log.h>

#define REQUESTS_PER_TURN 64
#define PACKETS_PER_TURN  64
#define QUIET_MS          500 /* clients acknowledge sooner; they ask again after a second or more */
#define SEND_BUFFER_BYTES                                                   \
    (4 << 20) /* a window of large blocks at once; the kernel may give less \
               */

struct tftp_port {
    struct tftp_port *prev, *next;
    struct tftp_server *tftp;
    struct listener listener;
    bool wanted;
};

struct tftp_client {
    struct tftp_client *prev, *next;
    struct tftp_server *tftp;
    struct sockaddr_storage peer;
    ev_io readable;
    ev_timer deadline;
    struct boot_file *file;
    struct tftp_transfer *transfer;
    struct boot_transfer told;
    uint64_t heard_ms; /* its last packet; 0: none yet */
};

struct tftp_server {
    struct server *server;
    struct config *config; /* its own reference */
    struct listeners listeners;
    struct tftp_port *ports;
    struct tftp_client *clients;
    unsigned client_count;
    struct log_limit limit;
    uint8_t packet[TFTP_PACKET_BYTES_LIMIT]; /* the one that is being sent or read */
};

static uint64_t now_ms(const struct tftp_server *tftp)
{
    return server_now_us(tftp->server) / 1000;
}

static bool same_sender(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    return address_port(a) == address_port(b) && address_same_host(a, b);
}

/* ── transfers ───────────────────────────────────────────────────────────────────────────────── */

static bool may_log(struct tftp_server *tftp)
{
    uint32_t suppressed = 0;
    if (!log_limit_allows(&tftp->limit, 50, 200, now_ms(tftp), &suppressed))
        return false;
    if (suppressed)
        log_info("tftp: %u lines were held back", suppressed);
    return true;
}

static void send_error(int socket, const struct sockaddr_storage *to, enum tftp_error_code code,
                       const char *text)
{
    uint8_t packet[TFTP_REQUEST_BYTES_LIMIT];
    struct buffer out;
    buffer_init_fixed(&out, packet, sizeof packet);
    tftp_error_write(&out, code, text);
    (void)sendto(socket, out.data, out.length, MSG_NOSIGNAL, (const struct sockaddr *)to,
                 address_length(to));
}

/* What the socket does not take is lost, and sent again like anything lost on the way. */
static void send_packets(struct tftp_client *client)
{
    struct tftp_server *tftp = client->tftp;
    struct buffer out;
    buffer_init_fixed(&out, tftp->packet, sizeof tftp->packet);
    while (tftp_transfer_next_packet(client->transfer, &out)) {
        (void)sendto(client->readable.fd, out.data, out.length, MSG_NOSIGNAL,
                     (const struct sockaddr *)&client->peer, address_length(&client->peer));
        buffer_clear(&out);
    }
}

static void rearm(struct tftp_client *client)
{
    struct ev_loop *loop = client->tftp->server->loop;
    uint64_t now = now_ms(client->tftp);
    uint64_t due = tftp_transfer_deadline_ms(client->transfer);
    ev_now_update(loop);
    ev_timer_stop(loop, &client->deadline);
    ev_timer_set(&client->deadline, due > now ? (double)(due - now) / 1e3 : 0., 0.);
    ev_timer_start(loop, &client->deadline);
}

static void client_free(struct tftp_client *client)
{
    struct tftp_server *tftp = client->tftp;
    ev_io_stop(tftp->server->loop, &client->readable);
    ev_timer_stop(tftp->server->loop, &client->deadline);
    close(client->readable.fd);
    DL_DELETE(tftp->clients, client);
    tftp->client_count--;
    tftp_transfer_free(client->transfer);
    boot_file_unref(client->file);
    free(client);
}

static void tell_end(struct tftp_client *client)
{
    static const enum journal_file_end ends[] = {
        [TFTP_END_ABORTED] = JOURNAL_FILE_ABORTED,
        [TFTP_END_TIMED_OUT] = JOURNAL_FILE_LOST,
        [TFTP_END_SOURCE_FAILED] = JOURNAL_FILE_BROKEN,
    };
    const struct tftp_report *report = tftp_transfer_report(client->transfer);
    struct tftp_server *tftp = client->tftp;
    char problem[TFTP_TEXT_BYTES_LIMIT + 64];
    if (report->end == TFTP_END_SIZE_PROBE) {
        log_debug("tftp: size asked: file=%s client=%s", escaped(client->file->name),
                  client->told.peer);
        return;
    }
    client->told.bytes = report->bytes;
    snprintf(problem, sizeof problem, "%s%s%s", tftp_end_name(report->end),
             report->error_text[0] ? ": " : "", report->error_text);
    if (report->end == TFTP_END_COMPLETED)
        boot_journal_file_sent(tftp->server, &client->told);
    else
        boot_journal_file_failed(tftp->server, &client->told, ends[report->end], problem);
    if (log_get_level() >= LOG_LEVEL_DEBUG && may_log(tftp)) /* the journal tells it, too */
        log_debug("tftp: %s: file=%s bytes=%llu ms=%llu again=%u client=%s", escaped(problem),
                  escaped(client->file->name), (unsigned long long)report->bytes,
                  (unsigned long long)report->duration_ms, report->retransmissions,
                  client->told.peer);
}

/* Says what the transfer has to say, and ends it if it is over. False: it is gone. */
static bool go_on(struct tftp_client *client, enum tftp_verdict verdict)
{
    if (verdict != TFTP_IGNORED)
        send_packets(client);
    if (verdict != TFTP_ENDED) {
        rearm(client);
        return true;
    }
    tell_end(client);
    client_free(client);
    return false;
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct tftp_client *client = timer->data;
    (void)go_on(client, tftp_transfer_expire(client->transfer, now_ms(client->tftp)));
}

static void on_packet(struct ev_loop *loop, ev_io *readable, int events)
{
    (void)loop;
    (void)events;
    struct tftp_client *client = readable->data;
    struct tftp_server *tftp = client->tftp;
    for (unsigned i = 0; i < PACKETS_PER_TURN; i++) {
        struct sockaddr_storage from = {0};
        socklen_t length = sizeof from;
        uint8_t packet[TFTP_REQUEST_BYTES_LIMIT]; /* clients send ACKs and errors */
        ssize_t got =
            recvfrom(readable->fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &length);
        if (got < 0) {
            if (errno == EINTR || errno == ECONNREFUSED)
                continue;
            return;
        }
        if (!same_sender(&from, &client->peer)) {
            send_error(readable->fd, &from, TFTP_ERROR_UNKNOWN_TRANSFER, "not your transfer");
            continue;
        }
        client->heard_ms = now_ms(tftp);
        if (!go_on(client,
                   tftp_transfer_receive(client->transfer, packet, (size_t)got, now_ms(tftp))))
            return;
    }
}

/* ── requests ────────────────────────────────────────────────────────────────────────────────── */

/* A request as it came: from whom, and to which of our addresses. */
struct arrival {
    struct tftp_port *port;
    struct sockaddr_storage from, to; /* `to`: with port 0 */
    char peer[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN];
};

static void refuse(const struct arrival *arrival, enum tftp_error_code code, const char *text)
{
    send_error(arrival->port->listener.watcher.fd, &arrival->from, code, text);
}

/* Requests come from any address that somebody writes into them; those shall not keep others out.
 */
static bool end_oldest_unheard(struct tftp_server *tftp)
{
    struct tftp_client *client;
    DL_FOREACH (tftp->clients, client) { /* in the order of their arrival */
        if (tftp_transfer_is_heard(client->transfer))
            continue;
        boot_journal_file_failed(tftp->server, &client->told, JOURNAL_FILE_LOST,
                                 "not a word from the client, others wait (limits.tftp-transfers)");
        client_free(client);
        return true;
    }
    return false;
}

/* NULL: it may begin. */
static const char *limit_reached(struct tftp_server *tftp, const struct sockaddr_storage *from)
{
    const struct config_limits *limits = &tftp->config->limits;
    unsigned of_source = 0;
    const struct tftp_client *client;
    DL_FOREACH (tftp->clients, client)
        of_source += address_same_host(&client->peer, from);
    if (of_source >= limits->tftp_transfers_per_source)
        return "tftp-transfers-per-source";
    if (tftp->client_count >= limits->tftp_transfers && !end_oldest_unheard(tftp))
        return "tftp-transfers";
    return NULL;
}

/* A reference to a file, or to a script made for this request. NULL: there is nothing. */
static struct boot_file *find_file(struct tftp_server *tftp, const struct arrival *arrival,
                                   const char *name)
{
    struct boot_file *file = boot_files_find(tftp->server, name);
    if (file) {
        boot_file_ref(file);
        return file;
    }
    const struct boot_reach reach = {.peer = arrival->peer, .local = arrival->local};
    struct buffer script;
    buffer_init(&script, BOOT_SCRIPT_BYTES_LIMIT);
    if (boot_source_is_entry(name) && !boot_source_entry(tftp->server, &reach, &script))
        return boot_file_new(name, script.data, script.length);
    buffer_done(&script);
    return NULL;
}

static int open_socket(const struct arrival *arrival)
{
    const struct config_endpoint *endpoint = &arrival->port->listener.endpoint;
    _cleanup_close_ int descriptor =
        socket(arrival->to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -errno;
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER_BYTES}, sizeof(int));
    if (endpoint->interface[0] &&
        setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, endpoint->interface,
                   (socklen_t)strlen(endpoint->interface) + 1))
        return -errno;
    if (bind(descriptor, (const struct sockaddr *)&arrival->to, address_length(&arrival->to)))
        return -errno;
    return take_descriptor(descriptor);
}

/* Takes the reference to `file` over. */
static void begin_transfer(struct tftp_server *tftp, const struct arrival *arrival,
                           const struct tftp_request *request, struct boot_file *file)
{
    const struct config_limits *limits = &tftp->config->limits;
    const struct tftp_limits transfer_limits = {.blksize_bytes = limits->tftp_block_bytes,
                                                .windowsize_blocks = limits->tftp_window_blocks};
    struct tftp_client *client = calloc(1, sizeof *client);
    struct tftp_transfer *transfer =
        client ? tftp_transfer_new(request, &file->source, &transfer_limits, now_ms(tftp)) : NULL;
    int socket = transfer ? open_socket(arrival) : -ENOMEM;
    if (socket < 0) {
        log_warning("tftp: a transfer cannot begin: %s: client=%s", strerror(-socket),
                    arrival->peer);
        tftp_transfer_free(transfer);
        boot_file_unref(file);
        free(client);
        return;
    }
    client->tftp = tftp;
    client->peer = arrival->from;
    client->file = file;
    client->transfer = transfer;
    client->told = (struct boot_transfer){
        .name = file->name, .bytes = file->source.size, .started_ms = now_ms(tftp)};
    snprintf(client->told.peer, sizeof client->told.peer, "%s", arrival->peer);
    ev_io_init(&client->readable, on_packet, socket, EV_READ);
    ev_init(&client->deadline, on_deadline);
    client->readable.data = client->deadline.data = client;
    ev_io_start(tftp->server->loop, &client->readable);
    DL_APPEND(tftp->clients, client);
    tftp->client_count++;
    boot_journal_file_begins(tftp->server, &client->told);
    (void)go_on(client, TFTP_CONTINUE);
}

/* A request from the port of a transfer under way is a copy of its first one, unless that has gone
 * quiet: then the client was restarted, as firmware does that always takes the same port. */
static bool runs_already(struct tftp_server *tftp, const struct sockaddr_storage *from)
{
    struct tftp_client *client;
    DL_FOREACH (tftp->clients, client)
        if (same_sender(&client->peer, from))
            break;
    if (!client || !client->heard_ms || now_ms(tftp) - client->heard_ms < QUIET_MS)
        return client;
    client->told.bytes = tftp_transfer_report(client->transfer)->bytes;
    boot_journal_file_failed(tftp->server, &client->told, JOURNAL_FILE_LOST,
                             "the client began anew");
    client_free(client);
    return false;
}

static void take_request(struct tftp_server *tftp, const struct arrival *arrival,
                         const uint8_t *packet, size_t length)
{
    struct tftp_request request;
    struct tftp_refusal refusal;
    int result = tftp_request_parse(packet, length, &request, &refusal);
    if (result == -EPROTO)
        refuse(arrival, refusal.code, refusal.text);
    if (result || runs_already(tftp, &arrival->from))
        return;
    if (!boot_source_admits(tftp->server, arrival->local)) {
        refuse(arrival, TFTP_ERROR_ACCESS, "not on this network");
        return;
    }
    const char *limit = limit_reached(tftp, &arrival->from);
    if (limit) {
        refuse(arrival, TFTP_ERROR_UNDEFINED, "too many transfers, try again");
        if (may_log(tftp))
            log_warning("tftp: refused, the limit %s is reached: client=%s", limit, arrival->peer);
        return;
    }
    struct boot_file *file = find_file(tftp, arrival, request.name);
    if (file) {
        begin_transfer(tftp, arrival, &request, file);
        return;
    }
    refuse(arrival, TFTP_ERROR_NOT_FOUND, "file not found");
    boot_journal_file_missing(tftp->server, arrival->peer, request.name);
}

/* Which address of ours it was sent to. */
static bool find_local(struct msghdr *message, struct sockaddr_storage *to)
{
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        const void *data = CMSG_DATA(part);
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
            const struct in_pktinfo *info = data;
            *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = info->ipi_spec_dst};
            return true;
        }
        if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
            const struct in6_pktinfo *info = data;
            *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = info->ipi6_addr};
            if (IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
                in6->sin6_scope_id = info->ipi6_ifindex;
            return !IN6_IS_ADDR_MULTICAST(&info->ipi6_addr);
        }
    }
    return false;
}

static void on_request(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct arrival arrival = {.port = watcher->data};
    for (unsigned i = 0; i < REQUESTS_PER_TURN; i++) {
        uint8_t packet[TFTP_REQUEST_BYTES_LIMIT + 1];
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        } control;
        struct iovec iov = {packet, sizeof packet};
        struct msghdr message = {.msg_name = &arrival.from,
                                 .msg_namelen = sizeof arrival.from,
                                 .msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes};
        ssize_t length = recvmsg(watcher->fd, &message, 0);
        if (length < 0 && errno != EINTR)
            return;
        if (length < 0 || !find_local(&message, &arrival.to))
            continue;
        address_host(&arrival.from, arrival.peer);
        address_host(&arrival.to, arrival.local);
        take_request(arrival.port->tftp, &arrival, packet, (size_t)length);
    }
}

/* ── listening ───────────────────────────────────────────────────────────────────────────────── */

static struct tftp_port *find_port(const struct tftp_server *tftp,
                                   const struct config_endpoint *endpoint)
{
    struct tftp_port *port;
    DL_FOREACH (tftp->ports, port)
        if (listener_is_at(&port->listener, endpoint))
            return port;
    return NULL;
}

static int open_port(struct tftp_server *tftp, const struct config_endpoint *endpoint,
                     struct error *error)
{
    struct tftp_port *port = calloc(1, sizeof *port);
    if (!port)
        return error_set(error, -ENOMEM, "out of memory");
    int result = listener_open_datagram(&port->listener, &tftp->listeners, endpoint, on_request,
                                        port, error);
    if (result) {
        free(port);
        return result;
    }
    port->tftp = tftp;
    DL_APPEND(tftp->ports, port);
    return 0;
}

static void close_port(struct tftp_server *tftp, struct tftp_port *port)
{
    DL_DELETE(tftp->ports, port);
    listener_close(&port->listener);
    free(port);
}

static void open_ports(struct tftp_server *tftp)
{
    const struct config_boot *boot = &tftp->config->boot;
    for (unsigned i = 0; i < boot->tftp_listen.count; i++) {
        const struct config_endpoint *endpoint = &boot->tftp_listen.items[i];
        struct tftp_port *port = find_port(tftp, endpoint);
        struct error error;
        int result = port ? 0 : open_port(tftp, endpoint, &error);
        if (result == 0)
            find_port(tftp, endpoint)->wanted = true;
        else if (!endpoint->wildcard || (result != -EAFNOSUPPORT && result != -EADDRNOTAVAIL))
            log_warning("tftp: %s", error.text);
    }
}

static void listen_as_configured(struct tftp_server *tftp)
{
    struct tftp_port *port, *next;
    DL_FOREACH (tftp->ports, port)
        port->wanted = false;
    open_ports(tftp);
    DL_FOREACH_SAFE (tftp->ports, port, next)
        if (!port->wanted)
            close_port(tftp, port);
    if (!tftp->ports && tftp->config->boot.tftp_listen.count)
        log_warning("tftp: none of the addresses can be listened on: no boot files by TFTP, so "
                    "firmware does not boot from here; disks are served all the same");
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

int tftp_server_start(struct server *server, struct error *error)
{
    struct tftp_server *tftp = calloc(1, sizeof *tftp);
    if (!tftp)
        return error_set(error, -ENOMEM, "out of memory");
    tftp->server = server;
    tftp->config = config_ref(server->config);
    listeners_init(&tftp->listeners, server->loop);
    server->tftp = tftp;
    listen_as_configured(tftp);
    return 0;
}

void tftp_server_reload(struct server *server, struct config *config)
{
    struct tftp_server *tftp = server->tftp;
    if (!tftp)
        return;
    config_unref(tftp->config);
    tftp->config = config_ref(config);
    listen_as_configured(tftp);
}

void tftp_server_free(struct server *server)
{
    struct tftp_server *tftp = take_pointer(server->tftp);
    if (!tftp)
        return;
    struct tftp_client *client, *next_client;
    DL_FOREACH_SAFE (tftp->clients, client, next_client)
        client_free(client);
    struct tftp_port *port, *next;
    DL_FOREACH_SAFE (tftp->ports, port, next)
        close_port(tftp, port);
    listeners_done(&tftp->listeners);
    config_unref(tftp->config);
    free(tftp);
}
