/* node.c - all targets, sessions and connections behind the portals. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>

#include "connection.h"

#define DEFAULT_ZERO_COPY_MIN_BYTES (32u << 10)

enum { ASYNC_LOGOUT_REQUEST = 1, ASYNC_LOGOUT_SECONDS = 3 }; /* RFC 7143 §11.9.1 */

const struct iscsi_limits iscsi_default_limits = {
    .connections = 4096,
    .connections_per_source = 256,
    .logins_in_progress = 64,
    .logins_per_source = 16,
    .login_deadline_ms = 15000,
    .text_bytes = 64 << 10,
    .sessions_per_initiator = 32,
    .command_window = 256,
    .commands_per_session = 512,
    .credit_bytes = 2 << 20,
    .immediate_reserve_bytes = 4 << 20,
    .write_stall_ms = 60000,
};

struct iscsi_node *iscsi_node_new(const struct iscsi_node_options *options)
{
    struct iscsi_node *node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->callbacks = options->callbacks;
    node->context = options->context;
    node->limits = options->limits ? *options->limits : iscsi_default_limits;
    node->pool = options->pool;
    node->random = options->random;
    node->discovery_auth = options->discovery_auth;
    node->zero_copy_min_bytes =
        options->zero_copy_min_bytes ? options->zero_copy_min_bytes : DEFAULT_ZERO_COPY_MIN_BYTES;
    return node;
}

void iscsi_node_free(struct iscsi_node *node)
{
    free(node);
}

void iscsi_node_set_limits(struct iscsi_node *node, const struct iscsi_limits *limits)
{
    node->limits = *limits;
}

void iscsi_node_set_discovery_auth(struct iscsi_node *node, const struct iscsi_auth *auth)
{
    node->discovery_auth = *auth;
}

int iscsi_node_add_target(struct iscsi_node *node, struct iscsi_target *target)
{
    if (iscsi_node_find_target(node, target->name))
        return -EEXIST;
    DL_APPEND(node->targets, target);
    return 0;
}

void iscsi_node_set_incomplete(struct iscsi_node *node, bool incomplete)
{
    node->incomplete = incomplete;
}

void iscsi_node_set_welcome(struct iscsi_node *node, enum iscsi_welcome welcome)
{
    node->welcome = welcome;
}

/* A login that waits for an old session's drain would come back to a target that is gone. */
static void fail_reinstating(struct iscsi_node *node, const struct iscsi_target *target)
{
    struct iscsi_connection *connection;
    struct iscsi_connection *next;
    DL_FOREACH_SAFE (node->connections, connection, next)
        if (connection->phase == PHASE_REINSTATING &&
            iscsi_login_result(connection->login)->target == target)
            connection_fail(connection, "the target is being removed");
}

void iscsi_node_remove_target(struct iscsi_node *node, struct iscsi_target *target,
                              void (*removed)(void *context), void *context)
{
    DL_DELETE(node->targets, target);
    target->ready = false;
    fail_reinstating(node, target);
    target->removing = true;
    target->removed = removed;
    target->removed_context = context;
    if (!target->sessions) {
        iscsi_target_finish_removal(target);
        return;
    }
    struct iscsi_session *session;
    struct iscsi_session *next;
    DL_FOREACH_SAFE (node->sessions, session, next)
        if (session->login.target == target && session->connection->phase != PHASE_CLOSED)
            node->callbacks->close(node->context, session->connection->owner);
}

static void ask_to_log_out(struct iscsi_session *session)
{
    struct iscsi_connection *connection = session->connection;
    if (connection->phase != PHASE_FULL_FEATURE || session_is_firmware(session))
        return;
    struct iscsi_response *async = response_new(OP_ASYNC, RESERVED_TAG, NULL, 0);
    if (!async)
        return;
    async->bhs[36] = ASYNC_LOGOUT_REQUEST;
    store_be16(async->bhs + 42, ASYNC_LOGOUT_SECONDS); /* Parameter3: seconds to log out in */
    response_send(connection, async);
    session->asked_to_log_out = true;
    connection_wake(connection);
}

void iscsi_node_drain(struct iscsi_node *node)
{
    node->welcome = ISCSI_WELCOME_NOBODY;
    struct iscsi_session *session;
    struct iscsi_session *next;
    DL_FOREACH_SAFE (node->sessions, session, next)
        ask_to_log_out(session);
}

bool iscsi_node_waits_for_logout(const struct iscsi_node *node)
{
    const struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        if (session->connection->phase == PHASE_FULL_FEATURE && !session_is_firmware(session))
            return true;
    return false;
}

void iscsi_node_close_all(struct iscsi_node *node)
{
    /* The end of one may let the waiting login of another go on, or fail. */
    while (node->connections)
        node->callbacks->close(node->context, node->connections->owner);
}

bool iscsi_node_drop_session(struct iscsi_node *node, uint16_t tsih, const char *reason)
{
    struct iscsi_session *session;
    DL_SEARCH_SCALAR(node->sessions, session, tsih, tsih);
    if (!session || session->connection->phase == PHASE_CLOSED)
        return false;
    session_drop(session, reason);
    return true;
}

uint64_t node_now_us(const struct iscsi_node *node)
{
    return node->callbacks->now_us(node->context);
}

unsigned iscsi_node_connection_count(const struct iscsi_node *node)
{
    return node->connection_count;
}

unsigned iscsi_node_session_count(const struct iscsi_node *node)
{
    return node->session_count;
}

static bool is_like(const struct iscsi_session *session, const struct iscsi_login_result *login)
{
    return session->login.target == login->target &&
           !strcmp(session->login.initiator, login->initiator);
}

unsigned iscsi_node_sessions_like(const struct iscsi_node *node,
                                  const struct iscsi_login_result *login)
{
    unsigned count = 0;
    const struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        count += is_like(session, login);
    return count;
}

bool iscsi_node_end_oldest_like(struct iscsi_node *node, const struct iscsi_login_result *login,
                                const struct sockaddr_storage *peer)
{
    struct iscsi_session *session;
    DL_FOREACH (node->sessions, session) { /* in the order of their logins */
        const struct iscsi_connection *connection = session->connection;
        if (connection->phase == PHASE_CLOSED || !is_like(session, login) ||
            !connection_is_from(connection, peer))
            continue;
        session_drop(session, "the oldest of too many sessions of its initiator on its target "
                              "(limits.sessions-per-initiator)");
        return true;
    }
    return false;
}

bool iscsi_node_has_challenge(const struct iscsi_node *node, const uint8_t *challenge,
                              size_t length)
{
    const struct iscsi_connection *connection;
    DL_FOREACH (node->connections, connection) {
        size_t other_length = 0;
        const uint8_t *other =
            connection->login ? iscsi_login_challenge(connection->login, &other_length) : NULL;
        if (other && other_length == length && !memcmp(other, challenge, length))
            return true;
    }
    return false;
}

static const char *auth_name(enum iscsi_auth_mode mode)
{
    static const char *const names[] = {[ISCSI_AUTH_NONE] = "none",
                                        [ISCSI_AUTH_CHAP] = "CHAP",
                                        [ISCSI_AUTH_MUTUAL] = "mutual CHAP"};
    return names[mode];
}

void iscsi_node_for_each_session(struct iscsi_node *node,
                                 void (*visit)(void *context,
                                               const struct iscsi_session_info *info),
                                 void *context)
{
    const struct iscsi_session *session;
    DL_FOREACH (node->sessions, session) {
        const struct iscsi_login_result *login = &session->login;
        const struct iscsi_parameters *parameters = &login->parameters;
        struct iscsi_session_info info = {
            .initiator = login->initiator,
            .target = login->target ? login->target->name : "",
            .peer = session->connection->peer_text,
            .local = session->connection->local_text,
            .isid = login->isid,
            .tsih = session->tsih,
            .discovery = login->discovery,
            .read_only = login->view,
            .header_digest = parameters->header_digest,
            .data_digest = parameters->data_digest,
            .initial_r2t = parameters->initial_r2t,
            .immediate_data = parameters->immediate_data,
            .max_send_bytes = parameters->max_send_bytes,
            .max_receive_bytes = parameters->max_receive_bytes,
            .max_burst_bytes = parameters->max_burst_bytes,
            .first_burst_bytes = parameters->first_burst_bytes,
            .auth = auth_name(login->auth),
            .started_us = session->started_us,
            .last_command_us = session->last_command_us,
            .commands = session->command_count,
            .reads = session->reads,
            .writes = session->writes,
            .read_bytes = session->read_bytes,
            .written_bytes = session->written_bytes,
            .errors = session->errors,
            .zero_copy_bytes = session->zero_copy_bytes,
            .outstanding = session->outstanding,
        };
        memcpy(info.latency, session->latency, sizeof info.latency);
        visit(context, &info);
    }
}
