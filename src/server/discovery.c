/* discovery.c - see discovery.h. One helper runs at a time; LUNs wait in a list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "discovery.h"
#include "discovery_helper.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/log.h>

#define SETTLE_US (3 * 1000000ull) /* a session that ends is often followed by the next one */
#define RETRY_US  (1 * 1000000ull) /* the last request of a session is still under way */
#define PAUSE_US  (5 * 1000000ull) /* between two rescans that somebody asks for */

/* What is known of one open LUN. */
struct discovered {
    struct discovered *prev, *next;
    struct served_lun *lun;
    uint64_t number;
    struct boot_catalog *catalog; /* NULL: none yet */
    struct error problem;
    bool wanted;
    uint64_t not_before_us; /* while `wanted` */
    uint64_t begun_us;      /* the latest look; 0: none yet */
};

struct discovery {
    struct server *server;
    struct discovered *all;
    uint64_t last_number;
    struct discovered *current; /* the helper is at it; NULL: at none */
    struct discovery_helper *helper;
    struct discovery_helpers helpers;
    ev_timer next;
};

static const struct config_kernels *kernels_of(const struct served_lun *lun)
{
    return &lun->target->config->kernels;
}

/* ── may it be looked at? ────────────────────────────────────────────────────────────────────── */

struct session_search {
    const char *iqn;
    bool found;
};

static void look_at_session(void *context, const struct iscsi_session_info *info)
{
    struct session_search *search = context;
    search->found |= info->target && !strcmp(info->target, search->iqn);
}

static bool is_in_use(const struct served_lun *lun)
{
    struct session_search search = {.iqn = lun->target->iqn};
    if (lun->target->iscsi)
        iscsi_node_for_each_session(lun->target->server->node, look_at_session, &search);
    return search.found;
}

/* ── memory ──────────────────────────────────────────────────────────────────────────────────── */

/* What the catalogs of other LUNs leave for this one. */
static uint64_t memory_for(struct discovery *discovery, const struct discovered *one)
{
    uint64_t used = 0;
    uint64_t limit = discovery->server->config->discovery.memory_bytes;
    struct mapped_blob *mapped;
    DL_FOREACH (discovery->helpers.blobs.list, mapped)
        mapped->memory->counted = false;
    const struct discovered *other;
    DL_FOREACH (discovery->all, other) {
        for (unsigned i = 0; other != one && other->catalog && i < other->catalog->file_count;
             i++) {
            struct boot_blob *blob = other->catalog->files[i].blob;
            mapped = blob ? container_of(blob, struct mapped_blob, blob) : NULL;
            if (!mapped || mapped->memory->counted)
                continue;
            mapped->memory->counted = true;
            used += blob->bytes;
        }
    }
    return used < limit ? limit - used : 0;
}

/* ── looking ─────────────────────────────────────────────────────────────────────────────────── */

static void run_next(struct discovery *discovery);

static void want(struct discovery *discovery, struct discovered *one, uint64_t delay_us)
{
    one->wanted = true;
    one->not_before_us = server_now_us(discovery->server) + delay_us;
    run_next(discovery);
}

static bool has_note(const struct boot_catalog *catalog, const char *note)
{
    for (unsigned i = 0; catalog && i < catalog->note_count; i++)
        if (!strcmp(catalog->notes[i], note))
            return true;
    return false;
}

/* What is new since the last look. */
static void tell_notes(const struct discovered *one, const struct boot_catalog *catalog)
{
    for (unsigned i = 0; i < catalog->note_count; i++)
        if (!has_note(one->catalog, catalog->notes[i]))
            log_warning("looking for kernels: %s; target=%s lun=%u", catalog->notes[i],
                        one->lun->target->name, one->lun->number);
}

static unsigned count_offered(const struct boot_catalog *catalog)
{
    unsigned count = 0;
    for (unsigned i = 0; i < catalog->entry_count; i++)
        count += !catalog->entries[i].problem;
    return count;
}

/* On a filesystem that was not unmounted GRUB's drivers see what was before its journal: then what
 * we saw when it was clean is nearer to the truth. */
static void take_result(struct discovery *discovery, struct discovered *one,
                        struct boot_catalog *catalog)
{
    int kept = boot_catalog_complete(catalog, one->catalog, memory_for(discovery, one));
    if (kept < 0) {
        boot_catalog_free(catalog);
        error_set(&one->problem, kept, "out of memory");
        return;
    }
    tell_notes(one, catalog);
    boot_catalog_free(one->catalog);
    one->catalog = catalog;
    if (kept)
        log_notice("a filesystem was not unmounted, the last clean result of it stays: entries=%d "
                   "target=%s lun=%u",
                   kept, one->lun->target->name, one->lun->number);
    if (catalog->entry_count == 0)
        log_info("no kernel and no boot loader was found: target=%s lun=%u", one->lun->target->name,
                 one->lun->number);
    else
        log_info("%u of %u boot entries can be offered: target=%s lun=%u", count_offered(catalog),
                 catalog->entry_count, one->lun->target->name, one->lun->number);
}

static void on_done(void *context, struct boot_catalog *catalog, const struct error *error)
{
    struct discovery *discovery = context;
    struct discovered *one = take_pointer(discovery->current);
    discovery->helper = NULL;
    one->problem = *error;
    if (catalog) {
        one->problem.text[0] = '\0';
        catalog->scanned_unix_seconds = (uint64_t)time(NULL);
        take_result(discovery, one, catalog);
    } else {
        log_warning("the disk could not be searched for kernels: %s; target=%s lun=%u", error->text,
                    one->lun->target->name, one->lun->number);
    }
    run_next(discovery);
}

static void begin(struct discovery *discovery, struct discovered *one)
{
    const struct config_discovery *config = &discovery->server->config->discovery;
    const struct discovery_request request = {
        .device = one->lun->device->path,
        .disk = one->number,
        .kernels = kernels_of(one->lun),
        .memory_bytes = memory_for(discovery, one),
        .time_ms = config->time_ms,
        .without_landlock = config->without_landlock,
    };
    one->wanted = false;
    one->begun_us = server_now_us(discovery->server);
    discovery->helper =
        discovery_helper_start(&discovery->helpers, &request, on_done, discovery, &one->problem);
    if (discovery->helper)
        discovery->current = one;
    else
        log_warning("disks are not searched for kernels: %s", one->problem.text);
}

/* Begins the next one that may be looked at; where each has to wait, comes back in time. */
static void run_next(struct discovery *discovery)
{
    uint64_t now_us = server_now_us(discovery->server);
    uint64_t wait_us = UINT64_MAX;
    struct discovered *one;
    DL_FOREACH (discovery->all, one) {
        if (!one->wanted)
            continue;
        if (one->not_before_us > now_us)
            wait_us = min_of(wait_us, one->not_before_us - now_us);
        else if (one->lun->device->counters.in_flight)
            wait_us = min_of(wait_us, RETRY_US);
        else if (!discovery->current && !is_in_use(one->lun)) /* else its end calls us again */
            begin(discovery, one);
    }
    if (wait_us == UINT64_MAX)
        return;
    ev_timer_stop(discovery->server->loop, &discovery->next);
    ev_timer_set(&discovery->next, (double)wait_us / 1e6 + 0.001, 0);
    ev_timer_start(discovery->server->loop, &discovery->next);
}

static void on_next(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    run_next(watcher->data);
}

/* What is being read now counts for nothing. */
static void give_up(struct discovery *discovery, const struct discovered *one)
{
    if (discovery->current != one)
        return;
    discovery->current = NULL;
    discovery_helper_stop(take_pointer(discovery->helper));
}

/* ── what the edge tells ─────────────────────────────────────────────────────────────────────── */

void discovery_lun_opened(struct served_lun *lun)
{
    struct discovery *discovery = lun->target->server->discovery;
    struct discovered *one = discovery ? calloc(1, sizeof *one) : NULL;
    if (!one)
        return;
    one->lun = lun;
    one->number = ++discovery->last_number;
    lun->discovered = one;
    DL_APPEND(discovery->all, one);
    if (kernels_of(lun)->discover)
        want(discovery, one, 0);
}

void discovery_lun_closing(struct served_lun *lun)
{
    struct discovery *discovery = lun->target->server->discovery;
    struct discovered *one = take_pointer(lun->discovered);
    if (!one)
        return;
    give_up(discovery, one);
    DL_DELETE(discovery->all, one);
    boot_catalog_free(one->catalog);
    free(one);
    run_next(discovery);
}

void discovery_sessions_changed(struct served_target *target)
{
    struct discovery *discovery = target->server->discovery;
    for (unsigned i = 0; i < target->lun_count; i++) {
        struct discovered *one = target->luns[i].discovered;
        if (!one || !kernels_of(one->lun)->discover)
            continue;
        if (is_in_use(one->lun))
            give_up(discovery, one);
        want(discovery, one, SETTLE_US);
    }
}

void discovery_iscsi_event(struct server *server, const struct iscsi_event *event)
{
    if (event->kind != ISCSI_EVENT_LOGIN && event->kind != ISCSI_EVENT_SESSION_ENDED)
        return;
    struct served_target *target = targets_find_iqn(server, event->target);
    if (target)
        discovery_sessions_changed(target);
}

/* ── what others ask ─────────────────────────────────────────────────────────────────────────── */

struct boot_catalog *discovery_catalog(const struct served_lun *lun)
{
    return lun->discovered && kernels_of(lun)->discover ? lun->discovered->catalog : NULL;
}

const char *discovery_problem(const struct served_lun *lun)
{
    return lun->discovered ? lun->discovered->problem.text : "";
}

bool discovery_is_busy(const struct server *server, const struct served_lun *lun)
{
    const struct discovered *one = lun->discovered;
    if (!one)
        return false;
    return server->discovery->current == one || (one->wanted && !is_in_use(lun));
}

int discovery_rescan(struct server *server, struct served_lun *lun, struct error *error)
{
    struct discovered *one = lun->discovered;
    if (!kernels_of(lun)->discover)
        return error_set(error, -EOPNOTSUPP,
                         "target %s is not searched for kernels: kernels.discover is false",
                         lun->target->name);
    if (!one)
        return error_set(error, -EOPNOTSUPP, "LUN %u of target %s has no disk now", lun->number,
                         lun->target->name);
    if (server->discovery->current == one)
        return 0;
    if (is_in_use(lun))
        return error_set(error, -EBUSY, "a session has LUN %u of target %s in use", lun->number,
                         lun->target->name);
    if (one->begun_us && server_now_us(server) - one->begun_us < PAUSE_US)
        return error_set(error, -EAGAIN, "LUN %u of target %s was looked at a moment ago",
                         lun->number, lun->target->name);
    want(server->discovery, one, 0);
    return 0;
}

/* ── start and end ───────────────────────────────────────────────────────────────────────────── */

int discovery_start(struct server *server)
{
    struct discovery *discovery = calloc(1, sizeof *discovery);
    if (!discovery)
        return -ENOMEM;
    discovery->server = server;
    discovery->helpers.loop = server->loop;
    ev_init(&discovery->next, on_next);
    discovery->next.data = discovery;
    server->discovery = discovery;
    return 0;
}

void discovery_reload(struct server *server)
{
    struct discovered *one;
    if (!server->discovery)
        return;
    DL_FOREACH (server->discovery->all, one)
        if (kernels_of(one->lun)->discover)
            one->wanted = true;
    run_next(server->discovery);
}

void discovery_free(struct server *server)
{
    struct discovery *discovery = take_pointer(server->discovery);
    struct discovered *one, *next;
    if (!discovery)
        return;
    ev_timer_stop(server->loop, &discovery->next);
    discovery_helpers_done(&discovery->helpers);
    DL_FOREACH_SAFE (discovery->all, one, next) {
        one->lun->discovered = NULL;
        boot_catalog_free(one->catalog);
        free(one);
    }
    free(discovery);
}
