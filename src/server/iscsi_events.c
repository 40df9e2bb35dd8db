/*
 * iscsi_events.c - what the node tells: lines in the log, the journal's events, owners and failed
 * logins to remember.
 */
#include "boot_journal.h"
#include "discovery.h"
#include "iscsi_client.h"

#include <netboot-target/util/escape.h>

/* RFC 7143 §11.13.5 */
enum { INITIATOR_ERROR = 2, AUTHENTICATION_FAILURE = 1 };

static const char *const event_words[] = {
    [ISCSI_EVENT_LOGIN] = "login",
    [ISCSI_EVENT_LOGIN_REFUSED] = "login refused",
    [ISCSI_EVENT_LOGIN_BROKEN] = "login broken off",
    [ISCSI_EVENT_SESSION_ENDED] = "session ended",
    [ISCSI_EVENT_FIRST_COMMAND] = "first disk access",
    [ISCSI_EVENT_PROTOCOL_ERROR] = "protocol error",
    [ISCSI_EVENT_DISCOVERY] = "discovery",
    [ISCSI_EVENT_OWNER_CHANGED] = "owner changed",
};

static void note_failed_login(struct server *server, const struct iscsi_event *event)
{
    if (event->kind != ISCSI_EVENT_LOGIN_REFUSED || event->status_class != INITIATOR_ERROR ||
        event->status_detail != AUTHENTICATION_FAILURE)
        return;
    unsigned limit = server->config->limits.failed_logins_per_minute;
    if (login_delay_note_failure(&server->iscsi->login_delay, event->peer,
                                 server_now_us(server) / 1000) == limit)
        log_warning("too many failed logins of one address (limits.failed-logins-per-minute), its "
                    "next ones are delayed: peer=%s",
                    event->peer);
}

/* A peer can cause these lines, so they come at a bounded rate. */
static void log_event(struct server *server, const struct iscsi_event *event)
{
    struct iscsi_server *iscsi = server->iscsi;
    bool peers_fault =
        event->kind == ISCSI_EVENT_LOGIN_REFUSED || event->kind == ISCSI_EVENT_PROTOCOL_ERROR;
    if (!peer_lines_allow(&iscsi->lines, event->peer, server_now_us(server) / 1000)) {
        clients_want_deadlines(iscsi);
        return;
    }
    log_message(peers_fault ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
                "iSCSI %s: %s%speer=%s initiator=%s target=%s", event_words[event->kind],
                event->reason, event->reason[0] ? "; " : "", event->peer, escaped(event->initiator),
                escaped(event->target));
}

bool iscsi_events_tell_left_out(struct iscsi_server *iscsi)
{
    uint64_t now_ms = server_now_us(iscsi->server) / 1000;
    struct peer_lines_left_out left_out;
    while (peer_lines_next_left_out(&iscsi->lines, now_ms, &left_out))
        log_warning("iSCSI: %u lines about one peer were left out: peer=%s", left_out.lines,
                    left_out.host);
    return peer_lines_any_left_out(&iscsi->lines);
}

static void on_event(void *context, const struct iscsi_event *event)
{
    struct server *server = context;
    invitations_note_event(server, event);
    note_failed_login(server, event);
    boot_journal_iscsi(server, event);
    discovery_iscsi_event(server, event);
    log_event(server, event);
}

static void on_output_ready(void *context, void *owner)
{
    (void)context;
    client_mark_dirty(owner);
}

static void on_close(void *context, void *owner)
{
    (void)context;
    client_close(owner, "closed by the target");
}

static uint64_t on_now_us(void *context)
{
    return server_now_us(context);
}

const struct iscsi_callbacks iscsi_server_callbacks = {
    .event = on_event,
    .output_ready = on_output_ready,
    .close = on_close,
    .now_us = on_now_us,
    .keep_owner = owner_keep,
    .is_invited = invitations_admit,
};
