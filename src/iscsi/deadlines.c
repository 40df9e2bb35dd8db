/* deadlines.c - what is due when nothing arrives: logins that drag on, data of writes that never
 * comes, and idle sessions that are asked whether they are there. */
#include <utlist.h>

#include <netboot-target/util/array.h>

#include "connection.h"

/* When the earliest of several things is due; 0: nothing is. */
static void note_due(uint64_t *next_us, uint64_t due_us)
{
    if (!*next_us || due_us < *next_us)
        *next_us = due_us;
}

static bool is_in_login(const struct iscsi_connection *connection)
{
    return connection->phase == PHASE_LOGIN || connection->phase == PHASE_REINSTATING;
}

/* ── data of writes ──────────────────────────────────────────────────────────────────────────── */

static bool owes_data(const struct iscsi_session *session)
{
    const struct iscsi_command *command;
    DL_FOREACH (session->commands, command)
        if (command->state == COMMAND_GATHERING)
            return true;
    return false;
}

bool iscsi_connection_has_deadline(const struct iscsi_connection *connection)
{
    return connection->data_out_us;
}

/* ── idle sessions: NOP-In with a transfer tag, RFC 7143 §11.19 ──────────────────────────────── */

/* Firmware does not know that ping. Nobody is dropped who does not answer: that is the keepalive's
 * business. What it is good for: paths that forget a connection on which nothing is said. */
static uint64_t ping_us(const struct iscsi_session *session)
{
    const struct iscsi_target *target = session->login.target;
    return target && !session_is_firmware(session) ? target->ping_ms * 1000 : 0;
}

static void ping(struct iscsi_session *session)
{
    struct iscsi_connection *connection = session->connection;
    if (connection->answers) /* it has not taken the last one, or is about to hear from us */
        return;
    struct iscsi_response *nop = response_new(OP_NOP_IN, RESERVED_TAG, NULL, 0);
    if (!nop)
        return;
    nop->advances_stat_sn = false; /* §11.19.1: with the reserved task tag */
    store_be32(nop->bhs + BHS_TTT, session_take_ttt(session));
    response_send(connection, nop);
    connection_wake(connection);
}

/* ── the tick ────────────────────────────────────────────────────────────────────────────────── */

static void tick_login(struct iscsi_connection *connection, uint64_t now_us, uint64_t *next_us)
{
    uint64_t allowed_ms = connection->node->limits.login_deadline_ms;
    uint64_t due_us = connection->started_us + allowed_ms * 1000;
    if (due_us <= now_us)
        connection_fail(connection, "login took longer than %llu ms",
                        (unsigned long long)allowed_ms);
    else
        note_due(next_us, due_us);
}

static void tick_ping(struct iscsi_connection *connection, uint64_t now_us, uint64_t *next_us)
{
    uint64_t interval_us = ping_us(connection->session);
    if (!interval_us)
        return;
    uint64_t since_us = max_of(connection->heard_us, connection->pinged_us);
    if (since_us + interval_us <= now_us) {
        ping(connection->session);
        connection->pinged_us = since_us = now_us;
    }
    note_due(next_us, since_us + interval_us);
}

static void tick_session(struct iscsi_connection *connection, uint64_t now_us, uint64_t *next_us)
{
    uint64_t allowed_ms = connection->node->limits.write_stall_ms;
    tick_ping(connection, now_us, next_us);
    if (!connection->data_out_us)
        return;
    uint64_t due_us = connection->data_out_us + allowed_ms * 1000;
    if (!owes_data(connection->session))
        connection->data_out_us = 0;
    else if (due_us <= now_us)
        connection_fail(connection,
                        "the data of a write has not come for %llu ms (limits.write-stall)",
                        (unsigned long long)allowed_ms);
    else
        note_due(next_us, due_us);
}

uint64_t iscsi_node_tick(struct iscsi_node *node, uint64_t now_us)
{
    uint64_t next_us = 0;
    struct iscsi_connection *connection;
    struct iscsi_connection *following;
    DL_FOREACH_SAFE (node->connections, connection, following) {
        if (is_in_login(connection))
            tick_login(connection, now_us, &next_us);
        else if (connection->phase == PHASE_FULL_FEATURE)
            tick_session(connection, now_us, &next_us);
    }
    return next_us;
}
