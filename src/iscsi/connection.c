/* connection.c - a connection's life, from accept to the last I/O of its session. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>

#include "connection.h"

/* ── events ──────────────────────────────────────────────────────────────────────────────────── */

void connection_event(struct iscsi_connection *connection, enum iscsi_event_kind kind,
                      const char *reason)
{
    const struct iscsi_session *session = connection->session;
    const struct iscsi_login *login = connection->login;
    struct iscsi_event event = {.kind = kind, .peer = connection->peer_text, .reason = reason};
    if (session) {
        event.initiator = session->login.initiator;
        event.target = session->login.target ? session->login.target->name : "";
        event.isid = session->login.isid;
        event.tsih = session->tsih;
        event.logged_out = session_gave_up(session);
    } else {
        event.initiator = login ? iscsi_login_initiator_name(login) : "";
        event.target = login ? iscsi_login_target_name(login) : "";
        event.mutual_chap = login && iscsi_login_has_proven(login);
        event.isid = connection->in.header + 8;
    }
    connection->node->callbacks->event(connection->node->context, &event);
}

/* Closing is asked for at once from outside, and by the result of the call from inside. */
static void ask_to_close(struct iscsi_connection *connection)
{
    if (!connection->in_call)
        connection->node->callbacks->close(connection->node->context, connection->owner);
}

int connection_fail(struct iscsi_connection *connection, const char *format, ...)
{
    if (connection->failed || connection->phase == PHASE_CLOSED)
        return -EPROTO;
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    connection->failed = true;
    connection_event(connection, ISCSI_EVENT_PROTOCOL_ERROR, reason);
    connection->phase = PHASE_ENDING;
    ask_to_close(connection);
    return -EPROTO;
}

/* ── the queue of answers ────────────────────────────────────────────────────────────────────── */

void connection_queue(struct iscsi_connection *connection, struct iscsi_answer *answer)
{
    DL_APPEND(connection->answers, answer);
}

void connection_unqueue(struct iscsi_connection *connection, struct iscsi_answer *answer)
{
    DL_DELETE(connection->answers, answer);
}

void connection_wake(struct iscsi_connection *connection)
{
    if (!connection->in_call && connection->phase != PHASE_CLOSED && !connection->failed)
        connection->node->callbacks->output_ready(connection->node->context, connection->owner);
}

/* ── birth ───────────────────────────────────────────────────────────────────────────────────── */

/* "192.0.2.1:3260" or "[2001:db8::1]:3260"; a v4-mapped address is the IPv4 address it maps. */
static void address_text(const struct sockaddr_storage *address, char *to, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(to, size, "%s:%u", host, ntohs(in->sin_port));
        return;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    uint16_t port = ntohs(in6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, host, sizeof host);
        snprintf(to, size, "%s:%u", host, port);
    } else {
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(to, size, "[%s]:%u", host, port);
    }
}

/* Without the port, which is behind the last colon. */
static bool same_host(const char *a, const char *b)
{
    size_t a_host = (size_t)(strrchr(a, ':') - a);
    size_t b_host = (size_t)(strrchr(b, ':') - b);
    return a_host == b_host && !memcmp(a, b, a_host);
}

bool connection_is_from(const struct iscsi_connection *connection,
                        const struct sockaddr_storage *peer)
{
    char text[PEER_TEXT_BYTES];
    address_text(peer, text, sizeof text);
    return same_host(connection->peer_text, text);
}

/* Whoever floods us with connections from many addresses shall not keep others out: an initiator
 * says its name at once. */
static bool end_oldest_nameless(struct iscsi_node *node)
{
    struct iscsi_connection *connection;
    DL_FOREACH (node->connections, connection) { /* in the order of their arrival */
        if (connection->phase != PHASE_LOGIN || iscsi_login_initiator_name(connection->login)[0])
            continue;
        connection_event(
            connection, ISCSI_EVENT_LOGIN_REFUSED,
            "too many logins in progress (limits.logins), this one is the oldest that has "
            "not said a name");
        node->callbacks->close(node->context, connection->owner);
        return true;
    }
    return false;
}

static const char *limit_reached(const struct iscsi_connection *connection)
{
    struct iscsi_node *node = connection->node;
    unsigned from_source = 0;
    unsigned logins_from_source = 0;
    const struct iscsi_connection *other;
    DL_FOREACH (node->connections, other)
        if (same_host(other->peer_text, connection->peer_text)) {
            from_source++;
            logins_from_source += other->phase == PHASE_LOGIN;
        }
    if (node->connection_count >= node->limits.connections)
        return "too many connections (limits.connections)";
    if (from_source >= node->limits.connections_per_source)
        return "too many connections from one address (limits.connections-per-source)";
    if (logins_from_source >= node->limits.logins_per_source)
        return "too many logins in progress from one address (limits.logins-per-source)";
    if (node->logins_in_progress >= node->limits.logins_in_progress && !end_oldest_nameless(node))
        return "too many logins in progress (limits.logins)";
    return NULL;
}

struct iscsi_connection *iscsi_connection_new(struct iscsi_node *node,
                                              const struct sockaddr_storage *local,
                                              const struct sockaddr_storage *peer, void *owner,
                                              uint64_t now_us)
{
    struct iscsi_connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    connection->node = node;
    connection->owner = owner;
    connection->local = *local;
    connection->peer = *peer;
    connection->started_us = connection->now_us = now_us;
    address_text(local, connection->local_text, sizeof connection->local_text);
    address_text(peer, connection->peer_text, sizeof connection->peer_text);
    buffer_init(&connection->text, node->limits.text_bytes);
    buffer_init(&connection->text_reply, node->limits.text_bytes);
    connection->text_ttt = 1;
    const char *refused = limit_reached(connection);
    if (refused)
        connection_event(connection, ISCSI_EVENT_LOGIN_REFUSED, refused);
    else
        connection->login = iscsi_login_new(node, local, peer);
    if (!connection->login) {
        free(connection);
        return NULL;
    }
    DL_APPEND(node->connections, connection);
    node->connection_count++;
    node->logins_in_progress++;
    connection->counted_login = true;
    return connection;
}

/* ── input ───────────────────────────────────────────────────────────────────────────────────── */

int iscsi_connection_received(struct iscsi_connection *connection, size_t bulk_bytes,
                              const void *data, size_t length, uint64_t now_us)
{
    connection->now_us = connection->heard_us = now_us;
    connection->in_call = true;
    int result = bulk_bytes ? framing_receive_bulk(connection, bulk_bytes) : 0;
    if (!result)
        result = framing_receive(connection, data, length);
    if (!result && connection->responses_bytes > RESPONSES_LIMIT_BYTES)
        result = connection_fail(connection,
                                 "the peer asks but does not read: %zu bytes of answers wait",
                                 connection->responses_bytes);
    connection->in_call = false;
    if (result && !connection->failed)
        connection_fail(connection, "internal error %d", result);
    return connection->failed ? -EPROTO : 0;
}

bool iscsi_connection_ends(const struct iscsi_connection *connection)
{
    return connection->phase == PHASE_ENDING;
}

/* ── death ───────────────────────────────────────────────────────────────────────────────────── */

void connection_drained(struct iscsi_connection *connection)
{
    connection->node->connection_count--;
    free(connection);
}

static void drop_answers(struct iscsi_connection *connection)
{
    struct iscsi_answer *answer;
    struct iscsi_answer *next;
    DL_FOREACH_SAFE (connection->answers, answer, next) {
        if (!answer->drop)
            continue; /* a command's: the end of the nexus aborts it */
        connection_unqueue(connection, answer);
        answer->drop(answer);
    }
}

void iscsi_connection_close(struct iscsi_connection *connection, const char *reason)
{
    struct iscsi_node *node = connection->node;
    if (connection->phase == PHASE_FULL_FEATURE)
        connection_event(connection, ISCSI_EVENT_SESSION_ENDED, reason);
    else if (connection->phase == PHASE_LOGIN && connection->login &&
             iscsi_login_initiator_name(connection->login)[0])
        connection_event(connection, ISCSI_EVENT_LOGIN_BROKEN, reason);
    connection->phase = PHASE_CLOSED;
    connection->in.handler = NULL;
    connection->in.destination = NULL;
    DL_DELETE(node->connections, connection);
    free(connection->last_login_response);
    connection->last_login_response = NULL;
    management_drop_all(connection);
    drop_answers(connection);
    if (connection->session)
        command_drop_aborted(connection->session);
    buffer_done(&connection->text);
    buffer_done(&connection->text_reply);
    if (connection->counted_login)
        node->logins_in_progress--;
    iscsi_login_free(connection->login);
    connection->login = NULL;
    if (connection->session)
        session_end(connection->session);
    else
        connection_drained(connection);
}
