/*
 * http_connection.c - a connection and its requests, as libmicrohttpd tells of them. Deadlines are
 * our own: its time-out starts anew with every byte, so a client that drips could stay for ever.
 */
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "http_connection.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/escape.h>

#define HEADER_BYTES_LIMIT      (16u << 10) /* of one request, parsed */
#define ANSWER_BYTES_PER_SECOND (8u << 10)  /* who takes less is cut off */
#define NO_LIMIT                (1 << 30)   /* http_server.c counts connections itself */

/* ── connections ─────────────────────────────────────────────────────────────────────────────── */

static void set_deadline(struct http_connection *connection, uint64_t milliseconds)
{
    if (connection->leaving)
        return;
    struct ev_loop *loop = connection->http->server->loop;
    connection->deadline.repeat = (double)milliseconds / 1e3;
    ev_timer_again(loop, &connection->deadline);
}

/* libmicrohttpd closes what is no longer there. */
static void leave(struct http_connection *connection)
{
    ev_timer_stop(connection->http->server->loop, &connection->deadline);
    connection->leaving = true;
    connection->http->connection_count--;
    shutdown(connection->socket, SHUT_RDWR);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct http_connection *connection = watcher->data;
    log_debug("http: too slow or idle, closed: peer=%s", connection->peer_text);
    leave(connection);
}

bool http_connection_end_idle(struct http_server *http)
{
    struct http_connection *connection;
    DL_FOREACH (http->connections, connection) { /* in the order of their arrival */
        if (connection->asks || connection->leaving)
            continue;
        log_debug("http: idle, makes way for another: peer=%s", connection->peer_text);
        leave(connection);
        return true;
    }
    return false;
}

static void note_addresses(struct http_connection *connection)
{
    struct sockaddr_storage local = {.ss_family = AF_INET};
    socklen_t length = sizeof local;
    address_text(&connection->peer, connection->peer_text);
    address_host(&connection->peer, connection->peer_host);
    (void)getsockname(connection->socket, (struct sockaddr *)&local, &length);
    address_host(&local, connection->local_host);
    connection->local_port = address_port(&local);
}

struct http_connection *http_connection_new(struct http_server *http, enum http_listener kind,
                                            int socket, const struct sockaddr_storage *peer)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->http = http;
    connection->kind = kind;
    connection->socket = socket;
    connection->peer = *peer;
    note_addresses(connection);
    ev_init(&connection->deadline, on_deadline);
    connection->deadline.data = connection;
    DL_APPEND(http->connections, connection);
    http->connection_count++;
    set_deadline(connection, http->config->limits.http_header_ms);
    return connection;
}

static void tell_sent(struct http_connection *connection, enum http_sent what)
{
    void (*sent)(void *context, enum http_sent sent) = take_pointer(connection->sent);
    if (sent)
        sent(connection->sent_context, what);
}

void http_connection_free(struct http_connection *connection)
{
    struct http_server *http = connection->http;
    tell_sent(connection, HTTP_SENT_BROKEN);
    ev_timer_stop(http->server->loop, &connection->deadline);
    DL_DELETE(http->connections, connection);
    if (!connection->leaving)
        http->connection_count--;
    buffer_done(&connection->body);
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *transport, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)transport;
    struct http_server *http = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *socket_context = take_pointer(http->arriving);
    else if (*socket_context)
        http_connection_free(take_pointer(*(struct http_connection **)socket_context));
}

static struct http_connection *connection_of(struct MHD_Connection *transport)
{
    return MHD_get_connection_info(transport, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* ── requests ────────────────────────────────────────────────────────────────────────────────── */

/* The request line has come. We decode the target ourselves, once. */
static void *on_target(void *context, const char *target, struct MHD_Connection *transport)
{
    (void)context;
    struct http_connection *connection = connection_of(transport);
    http_request_begin(&connection->request, connection->kind, target);
    connection->request.peer = connection->peer_host;
    connection->request.local = connection->local_host;
    connection->request.local_port = connection->local_port;
    connection->begun = connection->refused = false;
    return connection;
}

static size_t leave_encoded(void *context, struct MHD_Connection *transport, char *text)
{
    (void)context;
    (void)transport;
    return strlen(text);
}

static enum MHD_Result on_field(void *context, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    (void)kind;
    http_request_add_field(context, name, value ? value : "");
    return MHD_YES;
}

static void add_field(struct MHD_Response *answer, const char *name, const char *value)
{
    if (value && *value)
        MHD_add_response_header(answer, name, value);
}

static void add_fields(struct MHD_Response *answer, const struct http_response *response)
{
    char seconds[16] = "";
    if (response->retry_after_seconds)
        snprintf(seconds, sizeof seconds, "%u", response->retry_after_seconds);
    add_field(answer, "Content-Type", response->content_type);
    add_field(answer, "Content-Range", response->content_range);
    add_field(answer, "Accept-Ranges", response->ranged ? "bytes" : "");
    add_field(answer, "Retry-After", seconds);
    add_field(answer, "Allow", response->allow);
    /* iPXE takes the first one it knows. */
    add_field(answer, "WWW-Authenticate", response->authenticate);
    add_field(answer, "WWW-Authenticate", response->authenticate_basic);
    add_field(answer, "Content-Security-Policy", response->content_security_policy);
    add_field(answer, "Cache-Control", "no-store");
    add_field(answer, "X-Content-Type-Options", "nosniff");
}

static void log_request(const struct http_connection *connection,
                        const struct http_response *response)
{
    const struct http_request *request = &connection->request;
    static const char *const methods[] = {
        [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST", [HTTP_METHOD_OTHER] = "?"};
    bool told = connection->kind == HTTP_LISTENER_BOOT || request->method == HTTP_POST;
    enum log_level level = told ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
    if (log_get_level() < level)
        return;
    /* without the query, which may hold what is nobody's business */
    char path[200];
    if (response->path_is_secret)
        snprintf(path, sizeof path, "%s", connection->match.route->pattern);
    else
        escape_text(path, sizeof path, request->target, strcspn(request->target, "?"));
    log_message(level, "http: method=%s path=%s status=%u bytes=%llu peer=%s",
                methods[request->method], path, response->status,
                (unsigned long long)response->length_bytes, connection->peer_text);
}

static void answer_released(void *context)
{
    struct http_response *response = context;
    http_response_done(response);
    free(response);
}

/* Takes `response` over. */
static enum MHD_Result answer(struct http_connection *connection, struct MHD_Connection *transport,
                              struct http_response *response)
{
    const struct http_server *http = connection->http;
    http_response_select(response, &connection->request);
    log_request(connection, response);
    static const char nothing[1];
    const char *data =
        response->data ? (const char *)response->data + response->offset_bytes : nothing;
    struct MHD_Response *answer = MHD_create_response_from_buffer_with_free_callback_cls(
        (size_t)response->length_bytes, (void *)data, answer_released, response);
    connection->sent = response->sent;
    connection->sent_context = response->sent_context;
    if (!answer) {
        tell_sent(connection, HTTP_SENT_BROKEN);
        answer_released(response);
        return MHD_NO;
    }
    add_fields(answer, response);
    connection->sends_end = connection->request.method == HTTP_GET && response->status < 300 &&
                            response->offset_bytes + response->length_bytes == response->data_bytes;
    set_deadline(connection, http->config->limits.http_header_ms +
                                 response->length_bytes * 1000 / ANSWER_BYTES_PER_SECOND);
    enum MHD_Result result = MHD_queue_response(transport, response->status, answer);
    MHD_destroy_response(answer);
    return result;
}

static enum MHD_Result answer_refusal(struct http_connection *connection,
                                      struct MHD_Connection *transport)
{
    struct http_response *response = malloc(sizeof *response);
    if (!response)
        return MHD_NO;
    http_response_init(response);
    http_response_refuse(response, &connection->refusal);
    return answer(connection, transport, response);
}

static enum MHD_Result answer_request(struct http_connection *connection,
                                      struct MHD_Connection *transport)
{
    struct http_response *response = malloc(sizeof *response);
    if (!response)
        return MHD_NO;
    http_response_init(response);
    connection->request.body = connection->body.data;
    connection->request.body_bytes = connection->body.length;
    connection->match.route->handle(connection->match.context, &connection->request, response);
    return answer(connection, transport, response);
}

/* The header is complete. A refusal waits for the end of the request, so that the connection can be
 * kept, unless a body would have to be taken for it. */
static enum MHD_Result begin_request(struct http_connection *connection,
                                     struct MHD_Connection *transport, const char *method)
{
    const struct http_server *http = connection->http;
    const struct config *config = http->config;
    struct http_request *request = &connection->request;
    const struct http_hosts hosts = {(const char *const *)config->status.hosts.items,
                                     config->status.hosts.count};
    connection->begun = connection->asks = true;
    setsockopt(connection->socket, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
    http_request_set_method(request, method);
    MHD_get_connection_values(transport, MHD_HEADER_KIND, on_field, request);
    buffer_done(&connection->body);
    buffer_init(&connection->body, config->limits.http_body_bytes);
    connection->refused =
        http_request_route(request, http->routes, &hosts, config->limits.http_body_bytes,
                           &connection->match, &connection->refusal) != 0;
    if (connection->refused && (request->content_length || request->transfer_encoding))
        return answer_refusal(connection, transport);
    return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *transport, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **request_context)
{
    (void)context;
    (void)url;
    (void)version;
    struct http_connection *connection = *request_context;
    if (!connection->begun)
        return begin_request(connection, transport, method);
    if (*upload_bytes) {
        buffer_append(&connection->body, upload, *upload_bytes);
        *upload_bytes = 0;
        return connection->body.failed ? MHD_NO : MHD_YES;
    }
    return connection->refused ? answer_refusal(connection, transport)
                               : answer_request(connection, transport);
}

/* The answer has left, or the client has: the next request has its own time. */
static void on_completed(void *context, struct MHD_Connection *transport, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)transport;
    struct http_connection *connection = take_pointer(*(struct http_connection **)request_context);
    if (!connection)
        return;
    connection->asks = false;
    enum http_sent sent = connection->sends_end ? HTTP_SENT_END : HTTP_SENT_PART;
    tell_sent(connection, code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? sent : HTTP_SENT_BROKEN);
    set_deadline(connection, connection->http->config->limits.http_header_ms);
}

/* ── the daemon ──────────────────────────────────────────────────────────────────────────────── */

struct MHD_Daemon *http_connection_start_daemon(struct http_server *http)
{
    const struct MHD_OptionItem options[] = {
        {MHD_OPTION_NOTIFY_CONNECTION,       (intptr_t)on_connection, http},
        {MHD_OPTION_NOTIFY_COMPLETED,        (intptr_t)on_completed,  http},
        {MHD_OPTION_URI_LOG_CALLBACK,        (intptr_t)on_target,     http},
        {MHD_OPTION_UNESCAPE_CALLBACK,       (intptr_t)leave_encoded, http},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES_LIMIT,      NULL},
        {MHD_OPTION_CONNECTION_LIMIT,        NO_LIMIT,                NULL}, /* ours hold */
        {MHD_OPTION_STRICT_FOR_CLIENT,       1,                       NULL},
        {MHD_OPTION_SIGPIPE_HANDLED_BY_APP,  1,                       NULL},
        {MHD_OPTION_END,                     0,                       NULL},
    };
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request,
                            http, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}
