/* status_actions.c - see status_actions.h. Each action leaves a line in the log: who, what, to
 * whom. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "discovery.h"
#include "status_actions.h"

#include <netboot-target/util/escape.h>
#include <netboot-target/util/log.h>

/* ── LUNs and logins ─────────────────────────────────────────────────────────────────────────── */

/* A number that is part of a path. */
static bool read_number(const char *text, unsigned limit, unsigned *ret_number)
{
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 5)
        return false;
    *ret_number = (unsigned)strtoul(text, NULL, 10);
    return *ret_number <= limit;
}

static struct served_lun *find_lun(struct server *server, const struct http_request *request)
{
    unsigned number;
    return read_number(request->captures[1], SCSI_LUN_LIMIT, &number)
               ? targets_find_lun(server, request->captures[0], number)
               : NULL;
}

/* After a write fault writes stay refused until a person says that the disk is well again. */
void post_rearm(void *context, const struct http_request *request, struct http_response *response)
{
    struct served_lun *lun = find_lun(context, request);
    if (!lun) {
        http_response_text(response, 404, "There is no such LUN.");
    } else if (lun->state != LUN_OPEN) {
        http_response_text(response, 409, "This LUN has no disk at the moment.");
    } else if (lun->device->health == BLOCK_GONE) {
        server_disk_is_free(lun->target->server);
        http_response_text(response, 202, "The disk of this LUN is gone; it is looked for.");
    } else if (lun->device->health == BLOCK_HEALTHY) {
        http_response_text(response, 200, "This LUN takes writes already.");
    } else {
        log_notice("writes are let through again: target=%s lun=%u device=%s", lun->target->name,
                   lun->number, lun->device->path);
        lun->is_suspect = false;
        block_device_rearm(lun->device);
        http_response_text(response, 200, "Writes are let through again.");
    }
}

/* Without the end of its line. */
static size_t body_length(const struct http_request *request)
{
    size_t length = request->body_bytes;
    while (length && strchr(" \r\n", request->body[length - 1]))
        length--;
    return length;
}

/* What became of asking for a look at each LUN. */
struct rescans {
    unsigned begun;
    struct error refusal; /* the first one */
};

static void rescan_lun(struct served_lun *lun, struct rescans *rescans)
{
    struct error error;
    if (!discovery_rescan(lun->target->server, lun, &error)) {
        log_notice("a look for kernels was asked for: target=%s lun=%u", lun->target->name,
                   lun->number);
        rescans->begun++;
    } else if (!rescans->refusal.text[0]) {
        rescans->refusal = error;
    }
}

static void answer_rescans(const struct rescans *rescans, struct http_response *response)
{
    char text[ERROR_TEXT_BYTES + 8];
    if (rescans->begun) {
        snprintf(text, sizeof text, "Looking at %u of the disks.", rescans->begun);
        http_response_text(response, 202, text);
        return;
    }
    snprintf(text, sizeof text, "%s.",
             rescans->refusal.text[0] ? rescans->refusal.text : "There is no disk");
    text[0] = (char)toupper((unsigned char)text[0]);
    http_response_text(response, 409, text);
}

void post_rescan(void *context, const struct http_request *request, struct http_response *response)
{
    struct server *server = context;
    struct rescans rescans = {0};
    (void)request;
    for (struct served_target *target = server->targets; target; target = target->next)
        for (unsigned i = 0; !target->removing && i < target->lun_count; i++)
            rescan_lun(&target->luns[i], &rescans);
    answer_rescans(&rescans, response);
}

void post_rescan_lun(void *context, const struct http_request *request,
                     struct http_response *response)
{
    struct served_lun *lun = find_lun(context, request);
    struct rescans rescans = {0};
    if (!lun) {
        http_response_text(response, 404, "There is no such LUN.");
        return;
    }
    rescan_lun(lun, &rescans);
    answer_rescans(&rescans, response);
}

static bool body_is(const struct http_request *request, const char *word)
{
    size_t length = body_length(request);
    return length == strlen(word) && !memcmp(request->body, word, length);
}

void post_serving(void *context, const struct http_request *request, struct http_response *response)
{
    struct server *server = context;
    bool on = body_is(request, "on");
    if (!on && !body_is(request, "off")) {
        http_response_text(response, 400, "The body must be \"on\" or \"off\".");
    } else if (server->draining) {
        http_response_text(response, 409, "The daemon is shutting down.");
    } else {
        server_set_serving(server, on);
        http_response_text(response, 200,
                           on ? "New logins are taken."
                              : "New logins are put off; running sessions go on.");
    }
}

/* ── sessions and owners ─────────────────────────────────────────────────────────────────────── */

struct search {
    unsigned tsih;
    char peer[64], initiator[ISCSI_NAME_BYTES], target[ISCSI_NAME_BYTES];
    bool found;
};

static void match_session(void *context, const struct iscsi_session_info *info)
{
    struct search *search = context;
    if (info->tsih != search->tsih)
        return;
    search->found = true;
    snprintf(search->peer, sizeof search->peer, "%s", info->peer);
    snprintf(search->initiator, sizeof search->initiator, "%s", info->initiator);
    snprintf(search->target, sizeof search->target, "%s", info->target);
}

/* It may come back: this is for one that hangs. Its target stays its own for the hold time. */
void post_drop(void *context, const struct http_request *request, struct http_response *response)
{
    struct server *server = context;
    struct search search = {0};
    if (read_number(request->captures[0], UINT16_MAX, &search.tsih))
        iscsi_node_for_each_session(server->node, match_session, &search);
    if (!search.found ||
        !iscsi_node_drop_session(server->node, (uint16_t)search.tsih, "dropped by a person")) {
        http_response_text(response, 404, "There is no such session.");
        return;
    }
    log_notice("session dropped: by=%s tsih=%u peer=%s initiator=%s target=%s", request->peer,
               search.tsih, search.peer, escaped(search.initiator), search.target);
    http_response_text(response, 200, "The session has been dropped.");
}

static void log_release(const struct http_request *request, const struct served_target *target,
                        const struct iscsi_owner *owner, const char *next)
{
    char initiator[ISCSI_NAME_BYTES * 4];
    snprintf(initiator, sizeof initiator, "%s", escaped(owner->initiator));
    log_notice("owner released: by=%s target=%s owner=%s sessions=%u next=%s", request->peer,
               target->name, initiator, owner->sessions, next[0] ? escaped(next) : "anybody");
}

/* The body may name the initiator that shall have it next: one that is well comes back sooner than
 * anybody else could. */
static void release(struct served_target *target, const struct http_request *request,
                    struct http_response *response)
{
    struct server *server = target->server;
    struct iscsi_owner owner;
    char next[ISCSI_NAME_BYTES] = "";
    size_t length = body_length(request);
    if (length >= sizeof next) {
        http_response_text(response, 400, "The body is longer than an iSCSI name can be.");
        return;
    }
    if (length)
        memcpy(next, request->body, length);
    char was[ISCSI_NAME_BYTES];
    iscsi_target_get_owner(target->iscsi, server_now_us(server), &owner);
    snprintf(was, sizeof was, "%s", owner.initiator);
    owner.initiator = was;
    switch (iscsi_target_release_owner(server->node, target->iscsi, next)) {
    case 0:
        log_release(request, target, &owner, next);
        http_response_text(response, owner.sessions ? 202 : 200,
                           owner.sessions ? "Its owner's sessions end; the target is released when "
                                            "their last write is on the disk."
                                          : "The target has been released.");
        break;
    case -ENOENT:
        http_response_text(response, 409, "Nobody owns this target.");
        break;
    default:
        http_response_text(response, 400, "The body is no iSCSI name.");
        break;
    }
}

void post_release(void *context, const struct http_request *request, struct http_response *response)
{
    struct served_target *target = targets_find(context, request->captures[0]);
    if (!target)
        http_response_text(response, 404, "There is no such target.");
    else if (!target->iscsi)
        http_response_text(response, 409, "This target is not served at the moment.");
    else
        release(target, request, response);
}

/* Without a name: where there is no doubt which target is meant. */
void post_release_only(void *context, const struct http_request *request,
                       struct http_response *response)
{
    const struct server *server = context;
    struct served_target *target, *owned = NULL;
    unsigned count = 0;
    DL_FOREACH (server->targets, target) {
        if (target->removing || !target->iscsi || !iscsi_target_owner(target->iscsi)[0])
            continue;
        owned = target;
        count++;
    }
    if (count == 1)
        release(owned, request, response);
    else
        http_response_text(response, 409,
                           count ? "Several targets have an owner; name one: POST "
                                   "/targets/NAME/owner/release."
                                 : "Nobody owns a target.");
}
