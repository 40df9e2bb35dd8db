/*
 * invitations.c - targets with `after-script` take an initiator's first login only soon after it
 * has fetched its boot script from the same address. Whoever has logged in is a guest from then on
 * and comes back whenever and from wherever it likes: until it logs out, or has been gone for the
 * hold time. Guests are kept in the state directory, one name a line.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "address.h"
#include "internal.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/cleanup.h>

#define SCRIPTS_LIMIT 1024 /* of those that are remembered; the oldest makes way */
#define GUESTS_LIMIT  1024 /* of one target */

struct script {
    struct script *prev, *next; /* the oldest first */
    char host[INET6_ADDRSTRLEN];
    char initiator[ISCSI_NAME_BYTES];
    uint64_t fetched_us;
};

struct invitations {
    struct script *scripts;
    unsigned count;
};

struct guest {
    struct guest *prev, *next;
    char initiator[ISCSI_NAME_BYTES];
    uint64_t seen_us; /* when something was last heard of it that is no command */
};

/* ── scripts ─────────────────────────────────────────────────────────────────────────────────── */

static struct script *find_script(const struct invitations *invitations, const char *host,
                                  const char *initiator)
{
    struct script *script;
    DL_FOREACH (invitations->scripts, script)
        if (!strcmp(script->host, host) && !strcasecmp(script->initiator, initiator))
            return script;
    return NULL;
}

static struct script *take_script(struct invitations *invitations, const char *host,
                                  const char *initiator)
{
    struct script *script = find_script(invitations, host, initiator);
    if (!script && invitations->count >= SCRIPTS_LIMIT)
        script = invitations->scripts;
    if (script) {
        DL_DELETE(invitations->scripts, script);
        return script;
    }
    script = calloc(1, sizeof *script);
    invitations->count += script != NULL;
    return script;
}

void invitations_note_script(struct server *server, const char *host, const char *initiator)
{
    if (!server->invitations)
        server->invitations = calloc(1, sizeof *server->invitations);
    struct script *script =
        server->invitations ? take_script(server->invitations, host, initiator) : NULL;
    if (!script)
        return;
    snprintf(script->host, sizeof script->host, "%s", host);
    snprintf(script->initiator, sizeof script->initiator, "%s", initiator);
    script->fetched_us = server_now_us(server);
    DL_APPEND(server->invitations->scripts, script);
}

static bool has_fetched(const struct served_target *target, const char *initiator,
                        const struct sockaddr_storage *peer)
{
    const struct server *server = target->server;
    char host[INET6_ADDRSTRLEN];
    address_host(peer, host);
    const struct script *script =
        server->invitations ? find_script(server->invitations, host, initiator) : NULL;
    return script &&
           server_now_us(server) - script->fetched_us <= target->config->after_script_ms * 1000;
}

void invitations_free(struct server *server)
{
    struct invitations *invitations = take_pointer(server->invitations);
    struct script *script, *next;
    if (!invitations)
        return;
    DL_FOREACH_SAFE (invitations->scripts, script, next)
        free(script);
    free(invitations);
}

/* ── guests ──────────────────────────────────────────────────────────────────────────────────── */

static struct guest *find_guest(const struct served_target *target, const char *initiator)
{
    struct guest *guest;
    DL_FOREACH (target->guests, guest)
        if (!strcmp(guest->initiator, initiator))
            return guest;
    return NULL;
}

static void remove_guest(struct served_target *target, struct guest *guest)
{
    DL_DELETE(target->guests, guest);
    free(guest);
}

static bool add_guest(struct served_target *target, const char *initiator)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (!guest)
        return false;
    snprintf(guest->initiator, sizeof guest->initiator, "%s", initiator);
    guest->seen_us = server_now_us(target->server);
    DL_APPEND(target->guests, guest);
    return true;
}

void guests_free(struct served_target *target)
{
    while (target->guests)
        remove_guest(target, target->guests);
}

static void record_name(const struct served_target *target, char *to, size_t size)
{
    snprintf(to, size, "guests-%s", target->name);
}

static void keep_guests(struct served_target *target)
{
    char name[TARGET_NAME_BYTES + 8];
    struct buffer record;
    const struct guest *guest;
    buffer_init(&record, GUESTS_LIMIT * ISCSI_NAME_BYTES);
    DL_FOREACH (target->guests, guest)
        buffer_format(&record, "%s\n", guest->initiator);
    record_name(target, name, sizeof name);
    target->guests_stale =
        record.failed || state_keep(target->server->state, name,
                                    record.length ? (const char *)record.data : "", record.length);
    buffer_done(&record);
}

bool guests_keep_again(struct served_target *target)
{
    if (target->guests_stale)
        keep_guests(target);
    return target->guests_stale;
}

int invitations_restore(struct served_target *target, struct error *error)
{
    char name[TARGET_NAME_BYTES + 8];
    record_name(target, name, sizeof name);
    const char *record;
    size_t length;
    char *rest = NULL;
    if (!target->config->after_script_ms)
        return 0;
    int result = state_load(target->server->state, name, &record, &length, error);
    if (result)
        return result == -ENOENT ? 0 : result;
    _cleanup_free_ char *lines = strdup(record);
    if (!lines)
        return error_set(error, -ENOMEM, "out of memory");
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not know cleanup attributes
    char *line = strtok_r(lines, "\n", &rest);
    for (unsigned count = 0; line && count < GUESTS_LIMIT; count++) {
        if (!add_guest(target, line))
            return error_set(error, -ENOMEM, "out of memory");
        line = strtok_r(NULL, "\n", &rest);
    }
    target->guests_stale = true; /* before a reload they may not have been written */
    return 0;
}

/* Those who are here have been seen just now. */
static void see_session(void *context, const struct iscsi_session_info *info)
{
    struct served_target *target = context;
    struct guest *guest =
        strcmp(info->target, target->iqn) == 0 ? find_guest(target, info->initiator) : NULL;
    if (guest)
        guest->seen_us = server_now_us(target->server);
}

/* Forgets who has been gone for the hold time, and the longest gone of too many. */
static void forget_gone(struct served_target *target)
{
    unsigned count = 0;
    struct guest *guest, *next, *oldest = NULL;
    iscsi_node_for_each_session(target->server->node, see_session, target);
    uint64_t now_us = server_now_us(target->server); /* nobody was seen after it */
    DL_FOREACH_SAFE (target->guests, guest, next) {
        if (now_us - guest->seen_us > target->config->hold_ms * 1000) {
            remove_guest(target, guest);
            continue;
        }
        count++;
        if (!oldest || guest->seen_us < oldest->seen_us)
            oldest = guest;
    }
    if (count > GUESTS_LIMIT)
        remove_guest(target, oldest);
}

static bool is_guest(struct served_target *target, const char *initiator)
{
    if (!find_guest(target, initiator))
        return false;
    forget_gone(target);
    return find_guest(target, initiator);
}

struct others {
    const struct iscsi_event *ended;
    bool any;
};

static void find_other(void *context, const struct iscsi_session_info *info)
{
    struct others *others = context;
    others->any |= info->tsih != others->ended->tsih &&
                   !strcmp(info->target, others->ended->target) &&
                   !strcmp(info->initiator, others->ended->initiator);
}

/* With its last session. */
static bool leaves(struct server *server, const struct iscsi_event *event)
{
    struct others others = {.ended = event};
    if (event->logged_out)
        iscsi_node_for_each_session(server->node, find_other, &others);
    return event->logged_out && !others.any;
}

void invitations_note_event(struct server *server, const struct iscsi_event *event)
{
    struct served_target *target = event->tsih ? targets_find_iqn(server, event->target) : NULL;
    if (!target || !target->config->after_script_ms)
        return;
    struct guest *guest = find_guest(target, event->initiator);
    if (guest && !leaves(server, event)) {
        guest->seen_us = server_now_us(server);
        return;
    }
    if (guest) {
        remove_guest(target, guest);
    } else if (event->logged_out) {
        return;
    } else {
        (void)add_guest(target, event->initiator);
        forget_gone(target);
    }
    keep_guests(target);
}

bool invitations_admit(void *context, const struct iscsi_target *iscsi, const char *initiator,
                       const struct sockaddr_storage *peer)
{
    struct served_target *target = targets_find_iscsi(context, iscsi);
    return !strcmp(iscsi_target_owner(iscsi), initiator) || is_guest(target, initiator) ||
           has_fetched(target, initiator, peer);
}
