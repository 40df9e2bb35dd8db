/*
 * owner.c - who owns a target. A writable target that is not shared has one owner: the first
 * initiator to log in. Its name stays the owner's while it has sessions, and for the hold time
 * after the last one was lost, so that it finds its disk as it left it; a logout sets the target
 * free. The owner is known to the store before the first command is answered.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

#include "connection.h"
#include "target.h"

/* ── questions ───────────────────────────────────────────────────────────────────────────────── */

static bool has_owner(const struct iscsi_target *target)
{
    return target->owner[0] != '\0';
}

/* Of a target that nobody can write, or several may, nobody has to be the owner. */
static bool needs_owner(const struct iscsi_target *target)
{
    return !target->shared && iscsi_target_is_writable(target);
}

void iscsi_target_get_owner(const struct iscsi_target *target, uint64_t now_us,
                            struct iscsi_owner *ret_owner)
{
    *ret_owner =
        (struct iscsi_owner){.initiator = target->owner, .sessions = target->owner_sessions};
    if (!has_owner(target))
        return;
    ret_owner->owned_us = now_us - target->owner_since_us;
    if (target->owner_sessions)
        return;
    uint64_t hold_us = target->hold_ms * 1000;
    ret_owner->lost_us = now_us > target->owner_lost_us ? now_us - target->owner_lost_us : 0;
    ret_owner->hold_left_us = hold_us > ret_owner->lost_us ? hold_us - ret_owner->lost_us : 0;
}

bool owner_is_here(const struct iscsi_target *target, const char *initiator, uint64_t now_us)
{
    struct iscsi_owner owner;
    iscsi_target_get_owner(target, now_us, &owner);
    return has_owner(target) && !strcmp(target->owner, initiator) &&
           (owner.sessions || owner.hold_left_us);
}

const char *iscsi_target_owner(const struct iscsi_target *target)
{
    return target->owner;
}

enum iscsi_claim owner_judge(const struct iscsi_target *target, const char *initiator,
                             uint64_t now_us)
{
    struct iscsi_owner owner;
    iscsi_target_get_owner(target, now_us, &owner);
    if (!has_owner(target) || !strcmp(target->owner, initiator) || !needs_owner(target))
        return CLAIM_WRITE;
    if (target->releasing)
        return CLAIM_LATER;
    if (!owner.sessions && !owner.hold_left_us)
        return CLAIM_WRITE;
    return target->others_may_read ? CLAIM_VIEW : CLAIM_REFUSED;
}

static unsigned long long seconds(uint64_t microseconds)
{
    return (microseconds + 500000) / 1000000;
}

void owner_describe(const struct iscsi_target *target, uint64_t now_us, struct error *ret_text)
{
    struct iscsi_owner owner;
    iscsi_target_get_owner(target, now_us, &owner);
    if (owner.sessions)
        error_set(ret_text, 0, "owned for %llu s and logged in, %s", seconds(owner.owned_us),
                  escaped(owner.initiator));
    else
        error_set(ret_text, 0,
                  "owned for %llu s, lost %llu s ago and awaited for another %llu s, %s",
                  seconds(owner.owned_us), seconds(owner.lost_us), seconds(owner.hold_left_us),
                  escaped(owner.initiator));
}

/* ── changes ─────────────────────────────────────────────────────────────────────────────────── */

static void assign(struct iscsi_target *target, const char *initiator, uint64_t now_us)
{
    snprintf(target->owner, sizeof target->owner, "%s", initiator);
    target->owner_since_us = target->owner_lost_us = now_us;
}

void iscsi_target_set_owner(struct iscsi_target *target, const char *initiator, uint64_t owned_us,
                            uint64_t now_us)
{
    char normal[ISCSI_NAME_BYTES];
    assign(target, iscsi_name_normalize(initiator, normal) < 0 ? "" : normal, now_us);
    target->owner_since_us = now_us - owned_us;
}

static void keep(struct iscsi_node *node, struct iscsi_target *target)
{
    if (!node->callbacks->keep_owner)
        return;
    target->keeping++;
    node->callbacks->keep_owner(node->context, target);
}

void iscsi_target_owner_kept(struct iscsi_node *node, struct iscsi_target *target)
{
    if (--target->keeping)
        return;
    struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        if (session->login.target == target)
            connection_wake(session->connection);
    iscsi_target_finish_removal(target);
}

static void change(struct iscsi_connection *connection, struct iscsi_target *target,
                   const char *initiator, const char *reason)
{
    struct iscsi_node *node = connection->node;
    assign(target, initiator, node_now_us(node));
    connection_event(connection, ISCSI_EVENT_OWNER_CHANGED, reason);
    keep(node, target);
}

void owner_session_begins(struct iscsi_session *session)
{
    struct iscsi_target *target = session->login.target;
    if (session->login.view || !needs_owner(target))
        return;
    session->counted_as_owner = true;
    target->owner_sessions++;
    if (strcmp(target->owner, session->login.initiator) != 0)
        change(session->connection, target, session->login.initiator, "the first to log in");
}

void owner_session_ended(struct iscsi_session *session)
{
    struct iscsi_target *target = session->login.target;
    struct iscsi_connection *connection = session->connection;
    if (!session->counted_as_owner || --target->owner_sessions)
        return;
    target->owner_lost_us = node_now_us(connection->node);
    if (target->releasing) {
        target->releasing = false;
        change(connection, target, target->next_owner, "released by a person");
    } else if (session_gave_up(session)) {
        change(connection, target, "", "logged out");
    }
}

static struct iscsi_session *next_of_owner(struct iscsi_node *node,
                                           const struct iscsi_target *target)
{
    struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        if (session->login.target == target && session->counted_as_owner && !session->makes_way)
            return session;
    return NULL;
}

int iscsi_target_release_owner(struct iscsi_node *node, struct iscsi_target *target,
                               const char *next)
{
    char normal[ISCSI_NAME_BYTES] = "";
    if (!has_owner(target))
        return -ENOENT;
    if (next[0] && iscsi_name_normalize(next, normal) < 0)
        return -EINVAL;
    if (!target->owner_sessions) {
        assign(target, normal, node_now_us(node));
        keep(node, target);
        return 0;
    }
    target->releasing = true;
    snprintf(target->next_owner, sizeof target->next_owner, "%s", normal);
    struct iscsi_session *session;
    while ((session = next_of_owner(node, target))) {
        session->makes_way = true;
        if (session->connection->phase != PHASE_CLOSED)
            session_drop(session, "its target was released by a person");
    }
    return 0;
}
