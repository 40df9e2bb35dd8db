/*
 * credit.c - who may hold how much of the memory that all connections share.
 *
 * A connection holds at most `credit_bytes` of data buffers, and what is more than one command's
 * worth only while as much as it holds is left for others. When nothing is left, the biggest of
 * those makes way that wait for their peer: a write that nobody sends the data of is answered BUSY,
 * what was read for somebody who does not take it is read again later. So whoever has a buffer that
 * only a peer's silence keeps cannot keep others out.
 */
#include <utlist.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/pool.h>

#include "connection.h"

#define PATIENCE_US     1000000 /* a peer is not silent before that */
#define SEARCH_AGAIN_US 100000  /* a search goes through every command there is */

/* ── making way ──────────────────────────────────────────────────────────────────────────────── */

static size_t held_bytes(const struct iscsi_connection *connection)
{
    return connection->credit_used + connection->reserve_used;
}

static bool waits_for_peer(const struct iscsi_command *command, uint64_t now_us)
{
    if (command->waits_since_us + PATIENCE_US > now_us)
        return false;
    if (command->state == COMMAND_GATHERING)
        return command->buffer && command->connection->in.command != command;
    return command->state == COMMAND_ANSWERING && command->fetched &&
           command->fetched->references == 1;
}

static struct iscsi_command *next_to_make_way(const struct iscsi_connection *connection,
                                              uint64_t now_us)
{
    struct iscsi_command *command;
    if (connection->phase != PHASE_FULL_FEATURE)
        return NULL;
    DL_FOREACH (connection->session->commands, command)
        if (waits_for_peer(command, now_us))
            return command;
    return NULL;
}

static struct iscsi_connection *biggest_waiting(const struct iscsi_node *node, uint64_t now_us)
{
    struct iscsi_connection *connection;
    struct iscsi_connection *biggest = NULL;
    DL_FOREACH (node->connections, connection)
        if (held_bytes(connection) > (biggest ? held_bytes(biggest) : 0) &&
            next_to_make_way(connection, now_us))
            biggest = connection;
    return biggest;
}

bool iscsi_node_make_room(struct iscsi_node *node)
{
    uint64_t now_us = node_now_us(node);
    if (now_us < node->no_room_before_us)
        return false;
    struct iscsi_connection *connection = biggest_waiting(node, now_us);
    if (!connection) {
        node->no_room_before_us = now_us + SEARCH_AGAIN_US;
        return false;
    }
    struct iscsi_command *command;
    while ((command = next_to_make_way(connection, now_us)))
        command_make_way(command);
    connection_wake(connection);
    return true;
}

/* ── taking and giving ───────────────────────────────────────────────────────────────────────── */

static bool is_left_for_others(const struct iscsi_connection *connection, size_t cost)
{
    return held_bytes(connection) + cost <= pool_left_bytes(connection->node->pool);
}

static void *take(struct iscsi_connection *connection, size_t bytes, bool is_first)
{
    struct iscsi_node *node = connection->node;
    void *buffer;
    while (!(buffer = pool_take(node->pool, bytes)) && is_first && iscsi_node_make_room(node))
        ;
    return buffer;
}

void *credit_take(struct iscsi_connection *connection, size_t bytes)
{
    size_t cost = pool_cost(bytes);
    bool is_first = !connection->credit_used; /* one command may always run */
    if (!is_first && (connection->credit_used + cost > connection->node->limits.credit_bytes ||
                      !is_left_for_others(connection, cost)))
        return NULL;
    void *buffer = take(connection, bytes, is_first);
    if (buffer)
        connection->credit_used += cost;
    return buffer;
}

void credit_give(struct iscsi_connection *connection, void *buffer, size_t bytes)
{
    pool_give(connection->node->pool, buffer, bytes);
    connection->credit_used -= pool_cost(bytes);
}

void *reserve_take(struct iscsi_connection *connection, size_t bytes)
{
    size_t cost = pool_cost(bytes);
    bool is_first = !held_bytes(connection);
    if (!is_first &&
        (connection->reserve_used + cost > connection->node->limits.immediate_reserve_bytes ||
         !is_left_for_others(connection, cost)))
        return NULL;
    void *buffer = take(connection, bytes, is_first);
    if (buffer)
        connection->reserve_used += cost;
    return buffer;
}

void reserve_give(struct iscsi_connection *connection, void *buffer, size_t bytes)
{
    pool_give(connection->node->pool, buffer, bytes);
    connection->reserve_used -= pool_cost(bytes);
}
