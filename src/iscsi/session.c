/* session.c - sessions and their reinstatement, RFC 7143 §6.3.5. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>

#include "connection.h"

/* iPXE's ISIDs carry the IANA number of Fen Systems, isboot's are constant; both take an Async PDU
 * for a reason to start anew. */
bool session_is_firmware(const struct iscsi_session *session)
{
    static const uint8_t ipxe[] = {0x40, 0x00, 0x27, 0x23};
    static const uint8_t isboot[] = {0x80, 0x49, 0x53, 0x42, 0x00, 0x01};
    return !memcmp(session->login.isid, ipxe, sizeof ipxe) ||
           !memcmp(session->login.isid, isboot, sizeof isboot);
}

static uint16_t choose_tsih(struct iscsi_node *node)
{
    for (;;) {
        uint16_t tsih;
        node->random->fill(node->random, &tsih, sizeof tsih);
        struct iscsi_session *session;
        DL_SEARCH_SCALAR(node->sessions, session, tsih, tsih);
        if (tsih && !session)
            return tsih;
    }
}

static struct scsi_nexus *new_nexus(const struct iscsi_login_result *login)
{
    char port[ISCSI_NAME_BYTES + 32];
    const uint8_t *isid = login->isid;
    snprintf(port, sizeof port, "%s,i,0x%02x%02x%02x%02x%02x%02x", login->initiator, isid[0],
             isid[1], isid[2], isid[3], isid[4], isid[5]);
    return scsi_nexus_new(login->target->scsi, port, ISCSI_PORTAL_GROUP);
}

static void take_ownership(struct iscsi_session *session)
{
    struct iscsi_target *target = session->login.target;
    target->sessions++;
    if (target->shared || !iscsi_target_is_writable(target))
        return;
    target->owner_since_us = 0;
    session->counted_as_owner = true;
    if (!strcmp(target->owner, session->login.initiator))
        return;
    snprintf(target->owner, sizeof target->owner, "%s", session->login.initiator);
    connection_event(session->connection, ISCSI_EVENT_OWNER_CHANGED, "first to log in");
}

struct iscsi_session *session_new(struct iscsi_connection *connection,
                                  const struct iscsi_login_result *login)
{
    struct iscsi_node *node = connection->node;
    struct iscsi_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    if (!login->discovery) {
        session->nexus = new_nexus(login);
        if (!session->nexus) {
            free(session);
            return NULL;
        }
    }
    session->connection = connection;
    session->login = *login;
    session->tsih = choose_tsih(node);
    session->started_us = connection->now_us;
    connection->session = session;
    DL_APPEND(node->sessions, session);
    node->session_count++;
    if (login->target)
        take_ownership(session);
    return session;
}

/* Initiator name, ISID and target (its one portal group) are a session's identity. */
struct iscsi_session *session_find(struct iscsi_node *node, const struct iscsi_login_result *login)
{
    struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        if (!session->login.discovery && session->login.target == login->target &&
            !memcmp(session->login.isid, login->isid, ISCSI_ISID_BYTES) &&
            !strcmp(session->login.initiator, login->initiator))
            return session;
    return NULL;
}

/* A lost owner keeps its disks for the hold time, since it will be back; one that logged out does
 * not. */
static void give_up_ownership(struct iscsi_session *session)
{
    struct iscsi_target *target = session->login.target;
    target->owner_since_us = max_of(session->connection->now_us, (uint64_t)1);
    if (!session->logged_out)
        return;
    target->owner[0] = '\0';
    connection_event(session->connection, ISCSI_EVENT_OWNER_CHANGED, "logged out");
}

static void leave_target(struct iscsi_session *session)
{
    struct iscsi_target *target = session->login.target;
    target->sessions--;
    if (session->counted_as_owner && !target->sessions)
        give_up_ownership(session);
    if (target->removing && !target->sessions)
        target->removed(target->removed_context);
}

static void session_ended(void *context)
{
    struct iscsi_session *session = context;
    struct iscsi_connection *connection = session->connection;
    struct iscsi_connection *successor = session->successor;
    struct iscsi_node *node = connection->node;
    DL_DELETE(node->sessions, session);
    node->session_count--;
    if (session->login.target)
        leave_target(session);
    connection->session = NULL;
    free(session);
    connection_drained(connection);
    if (successor)
        login_continue_reinstating(successor);
}

void session_end(struct iscsi_session *session)
{
    if (session->nexus)
        scsi_nexus_end(session->nexus, session_ended, session);
    else
        session_ended(session);
}

void session_note_latency(struct iscsi_session *session, uint64_t microseconds)
{
    unsigned bucket = 0;
    while (bucket + 1 < ISCSI_LATENCY_BUCKETS && microseconds >> bucket)
        bucket++;
    session->latency[bucket]++;
}
