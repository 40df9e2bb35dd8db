/* session.c - sessions and their reinstatement, RFC 7143 §6.3.5. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>

#include "connection.h"

/* Its ISIDs carry the IANA number of Fen Systems, and another qualifier for each connection. */
static bool is_ipxe(const uint8_t isid[ISCSI_ISID_BYTES])
{
    static const uint8_t ipxe[] = {0x40, 0x00, 0x27, 0x23};
    return !memcmp(isid, ipxe, sizeof ipxe);
}

/* FreeBSD's boot initiator always has this one. */
static bool is_isboot(const uint8_t isid[ISCSI_ISID_BYTES])
{
    static const uint8_t isboot[] = {0x80, 0x49, 0x53, 0x42, 0x00, 0x01};
    return !memcmp(isid, isboot, sizeof isboot);
}

/* Both take an Async PDU for a reason to start anew. */
bool session_is_firmware(const struct iscsi_session *session)
{
    return is_ipxe(session->login.isid) || is_isboot(session->login.isid);
}

bool session_gave_up(const struct iscsi_session *session)
{
    return session->logged_out && !session->asked_to_log_out;
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

uint32_t session_take_ttt(struct iscsi_session *session)
{
    uint32_t ttt = session->next_ttt++;
    if (session->next_ttt == RESERVED_TAG)
        session->next_ttt = 0;
    return ttt;
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
        if (login->view)
            scsi_nexus_set_read_only(session->nexus);
    }
    session->connection = connection;
    session->login = *login;
    session->ends_at_final = is_isboot(login->isid);
    session->tsih = choose_tsih(node);
    session->started_us = connection->now_us;
    connection->session = session;
    DL_APPEND(node->sessions, session);
    node->session_count++;
    if (login->target) {
        login->target->sessions++;
        owner_session_begins(session);
    }
    return session;
}

/* ── who makes way for whom ──────────────────────────────────────────────────────────────────── */

static bool is_of_same_initiator(const struct iscsi_session *session,
                                 const struct iscsi_login_result *login)
{
    return !login->discovery && session->login.target == login->target &&
           !strcmp(session->login.initiator, login->initiator);
}

/* Initiator name, ISID and target (its one portal group) are a session's identity. iPXE never
 * closes its last session: the system that it has booted takes the network card from under it. Any
 * other session of the same name may be one of several, and stays. NULL: it stays. */
static const char *why_it_ends(const struct iscsi_session *session,
                               const struct iscsi_login_result *login)
{
    if (!is_of_same_initiator(session, login))
        return NULL;
    if (!memcmp(session->login.isid, login->isid, ISCSI_ISID_BYTES))
        return "reinstated by a new login of the same initiator and ISID";
    if (is_ipxe(session->login.isid) && !is_ipxe(login->isid))
        return "the system that iPXE has booted has logged in";
    return NULL;
}

bool session_some_makes_way(const struct iscsi_node *node, const struct iscsi_login_result *login)
{
    const struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        if (why_it_ends(session, login))
            return true;
    return false;
}

bool session_some_drains(const struct iscsi_node *node, const struct iscsi_login_result *login)
{
    const struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        if ((session->drains || session->makes_way) && is_of_same_initiator(session, login))
            return true;
    return false;
}

static struct iscsi_session *next_to_make_way(struct iscsi_node *node,
                                              const struct iscsi_login_result *login)
{
    struct iscsi_session *session;
    DL_FOREACH (node->sessions, session)
        if (!session->makes_way && why_it_ends(session, login))
            return session;
    return NULL;
}

void session_drop(struct iscsi_session *session, const char *reason)
{
    struct iscsi_connection *connection = session->connection;
    connection_event(connection, ISCSI_EVENT_SESSION_ENDED, reason);
    connection->phase = PHASE_ENDING;
    connection->node->callbacks->close(connection->node->context, connection->owner);
}

void session_make_way(struct iscsi_node *node, const struct iscsi_login_result *login)
{
    struct iscsi_session *session;
    while ((session = next_to_make_way(node, login))) {
        session->makes_way = true;
        if (session->connection->phase != PHASE_CLOSED)
            session_drop(session, why_it_ends(session, login));
    }
}

/* ── the end ─────────────────────────────────────────────────────────────────────────────────── */

static void leave_target(struct iscsi_session *session)
{
    struct iscsi_target *target = session->login.target;
    target->sessions--;
    owner_session_ended(session);
    iscsi_target_finish_removal(target);
}

static void session_ended(void *context)
{
    struct iscsi_session *session = context;
    struct iscsi_connection *connection = session->connection;
    struct iscsi_node *node = connection->node;
    DL_DELETE(node->sessions, session);
    node->session_count--;
    if (session->login.target)
        leave_target(session);
    connection->session = NULL;
    free(session);
    connection_drained(connection);
    login_continue_waiting(node);
}

void session_end(struct iscsi_session *session)
{
    session->drains = true;
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
