/*
 * http_server.c - libmicrohttpd as the transport of HTTP, in our loop: it frames requests and sends
 * answers; what they mean is http/'s. We accept ourselves, so that limits hold per source and
 * several addresses share one daemon.
 */
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "address.h"
#include "http_connection.h"
#include "status_source.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define ACCEPTS_PER_TURN 32

struct http_port {
    struct http_port *prev, *next;
    struct http_server *http;
    enum http_listener kind;
    struct listener listener;
    bool wanted;
};

/* ── libmicrohttpd in the loop ───────────────────────────────────────────────────────────────── */

/* libmicrohttpd's wishes change with everything it does. */
static void rearm(struct http_server *http)
{
    MHD_UNSIGNED_LONG_LONG milliseconds;
    ev_timer_stop(http->server->loop, &http->timeout);
    if (MHD_get_timeout(http->daemon, &milliseconds) != MHD_YES)
        return;
    ev_timer_set(&http->timeout, (double)milliseconds / 1e3, 0.);
    ev_timer_start(http->server->loop, &http->timeout);
}

static void run(struct http_server *http)
{
    MHD_run(http->daemon);
    rearm(http);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    run(watcher->data);
}

static void on_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    run(watcher->data);
}

/* ── accepting ───────────────────────────────────────────────────────────────────────────────── */

static bool log_refusals(struct http_server *http)
{
    uint32_t suppressed = 0;
    if (!log_limit_allows(&http->refusal_limit, 5, 10000, server_now_us(http->server) / 1000,
                          &suppressed))
        return false;
    if (suppressed)
        log_info("http: %u refusals not logged", suppressed);
    return true;
}

/* Whoever floods us from many addresses without asking anything shall not keep others out. */
static const char *limit_reached(struct http_server *http, const struct sockaddr_storage *peer)
{
    const struct config_limits *limits = &http->config->limits;
    unsigned of_source = 0;
    const struct http_connection *connection;
    DL_FOREACH (http->connections, connection)
        of_source += !connection->leaving && address_same_host(&connection->peer, peer);
    if (of_source >= limits->http_connections_per_source)
        return "http-connections-per-source";
    if (http->connection_count >= limits->http_connections && !http_connection_end_idle(http))
        return "http-connections";
    return NULL;
}

/* Takes the socket over. */
static void take_socket(struct http_port *port, int socket, const struct sockaddr_storage *peer)
{
    struct http_server *http = port->http;
    struct http_connection *connection = http_connection_new(http, port->kind, socket, peer);
    if (!connection) {
        close(socket);
        return;
    }
    http->arriving = connection;
    MHD_add_connection(http->daemon, socket, (const struct sockaddr *)peer, address_length(peer));
    if (http->arriving) /* it did not want it, and has closed the socket */
        http_connection_free(take_pointer(http->arriving));
}

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct http_port *port = watcher->data;
    struct http_server *http = port->http;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer;
        int socket = listener_accept(&port->listener, &peer);
        if (socket < 0)
            break;
        const char *limit = limit_reached(http, &peer);
        if (!limit) {
            take_socket(port, socket, &peer);
            continue;
        }
        close(socket);
        if (log_refusals(http))
            log_warning("http: connection refused, the limit %s is reached", limit);
    }
    run(http);
}

/* ── listening ───────────────────────────────────────────────────────────────────────────────── */

struct endpoints {
    const struct config_endpoint *items;
    unsigned count;
};

/* Who answers there: HTTP_LISTENER_ bits. */
static unsigned kinds_of(const struct http_routes *routes)
{
    unsigned kinds = 0;
    for (unsigned i = 0; i < routes->count; i++)
        kinds |= routes->rows[i].listeners;
    return kinds;
}

static struct endpoints endpoints_of(const struct http_server *http, enum http_listener kind)
{
    const struct config *config = http->config;
    if (kind == HTTP_LISTENER_STATUS)
        return (struct endpoints){config->status.listen.items, config->status.listen.count};
    return (struct endpoints){config->boot.http_listen.items, config->boot.http_listen.count};
}

static struct http_port *find_port(const struct http_server *http, enum http_listener kind,
                                   const struct config_endpoint *endpoint)
{
    struct http_port *port;
    DL_FOREACH (http->ports, port)
        if (port->kind == kind && listener_is_at(&port->listener, endpoint))
            return port;
    return NULL;
}

static int open_port(struct http_server *http, enum http_listener kind,
                     const struct config_endpoint *endpoint, struct error *error)
{
    struct http_port *port = calloc(1, sizeof *port);
    if (!port)
        return error_set(error, -ENOMEM, "out of memory");
    int result =
        listener_open(&port->listener, &http->listeners, endpoint, on_acceptable, port, error);
    if (result) {
        free(port);
        return result;
    }
    port->http = http;
    port->kind = kind;
    DL_APPEND(http->ports, port);
    if (kind == HTTP_LISTENER_STATUS) {
        char address[ADDRESS_TEXT_BYTES];
        address_text(&port->listener.endpoint.address, address);
        log_notice("status page: http://%s/", address);
    }
    return 0;
}

static void close_port(struct http_server *http, struct http_port *port)
{
    DL_DELETE(http->ports, port);
    listener_close(&port->listener);
    free(port);
}

static bool lacks_family(int result)
{
    return result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL;
}

/* Opens what the config wants and is not open. Returns how many are. */
static unsigned open_ports(struct http_server *http, enum http_listener kind)
{
    const struct endpoints endpoints = endpoints_of(http, kind);
    unsigned open = 0;
    for (unsigned i = 0; i < endpoints.count; i++) {
        const struct config_endpoint *endpoint = &endpoints.items[i];
        struct http_port *port = find_port(http, kind, endpoint);
        struct error error;
        int result = port ? 0 : open_port(http, kind, endpoint, &error);
        if (result == 0) {
            find_port(http, kind, endpoint)->wanted = true;
            open++;
        } else if (!endpoint->wildcard || !lacks_family(result)) {
            log_warning("http: %s", error.text);
        }
    }
    return open;
}

/* Makes the listening sockets of these kinds what the config says. No disk waits for this. */
static int listen_as_configured(struct http_server *http, unsigned kinds, struct error *error)
{
    static const struct {
        enum http_listener kind;
        const char *without;
    } listeners[] = {
        {HTTP_LISTENER_STATUS, "no status page; disks are served all the same"                   },
        {HTTP_LISTENER_BOOT,   "no scripts and boot files by HTTP; disks are served all the same"},
    };
    struct http_port *port, *next;
    int result = 0;
    DL_FOREACH (http->ports, port)
        port->wanted = !(port->kind & kinds);
    for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
        enum http_listener kind = listeners[i].kind;
        if (!(kind & kinds) || open_ports(http, kind) || !endpoints_of(http, kind).count)
            continue;
        result = error_set(error, -EADDRNOTAVAIL, "%s", listeners[i].without);
        log_warning("http: none of the addresses can be listened on: %s", listeners[i].without);
    }
    DL_FOREACH_SAFE (http->ports, port, next)
        if (!port->wanted)
            close_port(http, port);
    return result;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

int http_server_start(struct server *server, struct error *error)
{
    struct http_server *http = calloc(1, sizeof *http);
    if (!http)
        return error_set(error, -ENOMEM, "out of memory");
    http->server = server;
    http->daemon = http_connection_start_daemon(http);
    if (!http->daemon) {
        free(http);
        log_warning("http: libmicrohttpd does not start, there is no status page");
        return error_set(error, -EIO, "libmicrohttpd does not start");
    }
    server->http = http;
    http->config = config_ref(server->config);
    listeners_init(&http->listeners, server->loop);
    ev_io_init(&http->readable, on_readable,
               MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, EV_READ);
    ev_init(&http->timeout, on_timeout);
    http->readable.data = http->timeout.data = http;
    ev_io_start(server->loop, &http->readable);
    http->status_routes = (struct http_routes){status_routes, status_route_count, server, NULL};
    LL_APPEND(http->routes, &http->status_routes);
    return listen_as_configured(http, kinds_of(&http->status_routes), error);
}

void http_server_add_routes(struct server *server, struct http_routes *routes)
{
    if (!server->http)
        return;
    LL_APPEND(server->http->routes, routes);
    (void)listen_as_configured(server->http, kinds_of(routes), NULL);
}

uint16_t http_server_boot_port(const struct server *server, const char *local)
{
    const struct http_port *port;
    uint16_t number = 0;
    if (!server->http)
        return 0;
    DL_FOREACH (server->http->ports, port)
        if (port->kind == HTTP_LISTENER_BOOT && !number)
            number = endpoint_port_at(&port->listener.endpoint, local);
    return number;
}

void http_server_reload(struct server *server, struct config *config)
{
    struct http_server *http = server->http;
    if (!http)
        return;
    config_unref(http->config);
    http->config = config_ref(config);
    const struct http_routes *routes;
    unsigned kinds = 0;
    LL_FOREACH (http->routes, routes)
        kinds |= kinds_of(routes);
    (void)listen_as_configured(http, kinds, NULL);
}

void http_server_free(struct server *server)
{
    struct http_server *http = take_pointer(server->http);
    if (!http)
        return;
    struct http_port *port, *next;
    DL_FOREACH_SAFE (http->ports, port, next)
        close_port(http, port);
    ev_io_stop(server->loop, &http->readable);
    ev_timer_stop(server->loop, &http->timeout);
    listeners_done(&http->listeners);
    MHD_stop_daemon(http->daemon);
    config_unref(http->config);
    free(http);
}
