/* status_source.c - gathers the report that status/ writes down. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <netboot-target/status.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/log.h>

#include "discovery.h"
#include "status_actions.h"
#include "status_machines.h"
#include "status_source.h"

#define PORTAL_LIMIT 64

struct lun_texts {
    char identity[33];
    char reservation[ISCSI_NAME_BYTES + 64];
};

/* A report with the memory that it points to. Strings of the node and of targets are borrowed, so
 * it is written down before anything else happens. */
struct gathered {
    struct status_report report;
    char portal_texts[PORTAL_LIMIT][64];
    const char *portals[PORTAL_LIMIT];
    struct status_target *targets;
    struct status_lun *luns;
    struct lun_texts *lun_texts;
    struct status_boot_entry *boot_entries; /* of all LUNs */
    struct status_session *sessions;
    char (*isids)[2 * ISCSI_ISID_BYTES + 1];
    unsigned session_capacity;
    struct machines *machines;
    uint64_t now_us;
};

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

/* ── LUNs and targets ────────────────────────────────────────────────────────────────────────── */

_Static_assert((int)STATUS_READ == (int)BLOCK_READ && (int)STATUS_WRITE == (int)BLOCK_WRITE &&
                   (int)STATUS_FLUSH == (int)BLOCK_FLUSH &&
                   (int)STATUS_DISCARD == (int)BLOCK_DISCARD &&
                   (int)STATUS_WRITE_ZEROES == (int)BLOCK_WRITE_ZEROES &&
                   (int)STATUS_PREFETCH == (int)BLOCK_PREFETCH &&
                   (int)STATUS_OPERATION_COUNT == (int)BLOCK_OPERATION_COUNT,
               "the report counts what devices count");

static void gather_device(const struct block_device *device, struct status_lun *to)
{
    const struct block_geometry *geometry = &device->geometry;
    to->device = device->path;
    to->write_mode = device->write_mode;
    to->read_only = geometry->read_only;
    to->size_bytes = geometry->blocks * geometry->logical_block_bytes;
    to->logical_block_bytes = geometry->logical_block_bytes;
    to->physical_block_bytes = geometry->physical_block_bytes;
    to->in_flight = device->counters.in_flight;
    for (unsigned i = 0; i < STATUS_OPERATION_COUNT; i++)
        to->operations[i] = (struct status_operations){.count = device->counters.operations[i],
                                                       .bytes = device->counters.bytes[i],
                                                       .errors = device->counters.errors[i]};
}

static void gather_lun(const struct served_lun *lun, struct status_lun *to, struct lun_texts *texts)
{
    static const uint8_t unknown[sizeof lun->identity];
    *to = (struct status_lun){
        .number = lun->number,
        .state = lun_state_word(lun),
        .problem = lun->error.text[0] ? lun->error.text : lun->target->problem.text,
        .device = lun_specification(lun),
        .identity = texts->identity,
        .identity_source = lun->identity_text,
        .open = lun->state == LUN_OPEN,
        .write_mode = "",
        .serial = "",
        .reservation = texts->reservation,
    };
    if (memcmp(lun->identity, unknown, sizeof unknown) != 0)
        hex_text(texts->identity, lun->identity, sizeof lun->identity);
    if (!to->open)
        return;
    gather_device(lun->device, to);
    to->read_only |= lun->config->read_only;
    to->serial = scsi_lu_get_options(lun->lu)->serial;
    scsi_lu_describe_reservation(lun->lu, texts->reservation, sizeof texts->reservation);
}

static void gather_owner(const struct served_target *target, struct status_target *to)
{
    struct iscsi_owner owner;
    if (!target->iscsi)
        return;
    iscsi_target_get_owner(target->iscsi, server_now_us(target->server), &owner);
    to->owner = owner.initiator;
    if (!owner.initiator[0])
        return;
    to->owner_since_unix_seconds = owner_since_unix_seconds(&owner);
    if (owner.hold_left_us)
        to->hold_ends_unix_seconds = (uint64_t)time(NULL) + owner.hold_left_us / 1000000;
}

/* Strings are the catalog's. */
static unsigned gather_boot(const struct served_lun *lun, struct status_boot *to,
                            struct status_boot_entry *entries)
{
    static const char *const kinds[] = {
        [BOOT_ENTRY_LINUX] = "linux", [BOOT_ENTRY_LOADER] = "loader", [BOOT_ENTRY_MBR] = "mbr"};
    const struct server *server = lun->target->server;
    const struct boot_catalog *catalog = discovery_catalog(lun);
    to->busy = discovery_is_busy(server, lun);
    to->problem = discovery_problem(lun);
    if (!catalog)
        return 0;
    to->stale = catalog->stale;
    to->scanned_unix_seconds = catalog->scanned_unix_seconds;
    to->entries = entries;
    to->entry_count = catalog->entry_count;
    to->notes = (const char *const *)catalog->notes;
    to->note_count = catalog->note_count;
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        const struct boot_entry *entry = &catalog->entries[i];
        entries[i] = (struct status_boot_entry){
            .id = entry->id,
            .title = entry->title,
            .kind = kinds[entry->kind],
            .source = text_or_empty(entry->source),
            .problem = text_or_empty(entry->problem),
            .seen_unix_seconds =
                entry->seen_unix_seconds ? entry->seen_unix_seconds : to->scanned_unix_seconds};
    }
    return catalog->entry_count;
}

static void gather_target(const struct served_target *target, struct status_target *to,
                          struct status_lun *luns, struct lun_texts *texts)
{
    static const char *const modes[] = {
        [CONFIG_AUTH_NONE] = "none", [CONFIG_AUTH_CHAP] = "chap", [CONFIG_AUTH_MUTUAL] = "mutual"};
    *to = (struct status_target){
        .name = target->name,
        .iqn = target->iqn,
        .auth = modes[target->config->auth.mode],
        .secrets_path = target->secrets.path,
        .owner = "",
        .ready = target->iscsi && !target->problem.text[0] && target->server->serving &&
                 !target->server->draining,
        .shared = target->config->shared,
        .luns = luns,
        .lun_count = target->lun_count,
    };
    gather_owner(target, to);
    for (unsigned i = 0; i < target->lun_count; i++)
        gather_lun(&target->luns[i], &luns[i], &texts[i]);
}

static bool gather_targets(const struct server *server, struct gathered *to)
{
    unsigned targets = 0, luns = 0;
    const struct served_target *target;
    for (target = server->targets; target; target = target->next) {
        targets++;
        luns += target->lun_count;
    }
    to->targets = calloc(targets + 1, sizeof *to->targets);
    to->luns = calloc(luns + 1, sizeof *to->luns);
    to->lun_texts = calloc(luns + 1, sizeof *to->lun_texts);
    if (!to->targets || !to->luns || !to->lun_texts)
        return false;
    targets = luns = 0;
    for (target = server->targets; target; target = target->next) {
        if (target->removing) /* its successor may have the same name */
            continue;
        gather_target(target, &to->targets[targets++], to->luns + luns, to->lun_texts + luns);
        luns += target->lun_count;
    }
    to->report.targets = to->targets;
    to->report.target_count = targets;
    return true;
}

/* Beside the LUNs of gather_targets(), in their order. */
static bool gather_boots(const struct server *server, struct gathered *to)
{
    unsigned count = 0, number = 0;
    const struct served_target *target;
    for (target = server->targets; target; target = target->next) {
        for (unsigned i = 0; i < target->lun_count; i++) {
            const struct boot_catalog *catalog = discovery_catalog(&target->luns[i]);
            count += catalog ? catalog->entry_count : 0;
        }
    }
    to->boot_entries = calloc(count + 1, sizeof *to->boot_entries);
    if (!to->boot_entries)
        return false;
    count = 0;
    for (target = server->targets; target; target = target->next)
        for (unsigned i = 0; !target->removing && i < target->lun_count; i++)
            count +=
                gather_boot(&target->luns[i], &to->luns[number++].boot, to->boot_entries + count);
    return true;
}

/* ── sessions ────────────────────────────────────────────────────────────────────────────────── */

_Static_assert(STATUS_LATENCY_BUCKETS == ISCSI_LATENCY_BUCKETS, "the same histogram");

static uint64_t since_ms(const struct gathered *gathered, uint64_t then_us)
{
    return gathered->now_us > then_us ? (gathered->now_us - then_us) / 1000 : 0;
}

static void gather_session(void *context, const struct iscsi_session_info *info)
{
    struct gathered *to = context;
    unsigned at = to->report.session_count;
    if (at == to->session_capacity) /* one that began meanwhile, which cannot be */
        return;
    hex_text(to->isids[at], info->isid, ISCSI_ISID_BYTES);
    struct status_session *session = &to->sessions[at];
    *session = (struct status_session){
        .initiator = text_or_empty(info->initiator),
        .target = text_or_empty(info->target),
        .peer = text_or_empty(info->peer),
        .local = text_or_empty(info->local),
        .isid = to->isids[at],
        .tsih = info->tsih,
        .discovery = info->discovery,
        .read_only = info->read_only,
        .auth = text_or_empty(info->auth),
        .header_digest = info->header_digest,
        .data_digest = info->data_digest,
        .initial_r2t = info->initial_r2t,
        .immediate_data = info->immediate_data,
        .max_send_bytes = info->max_send_bytes,
        .max_receive_bytes = info->max_receive_bytes,
        .max_burst_bytes = info->max_burst_bytes,
        .first_burst_bytes = info->first_burst_bytes,
        .age_ms = since_ms(to, info->started_us),
        .idle_ms = since_ms(to, max_of(info->last_command_us, info->started_us)),
        .commands = info->commands,
        .reads = info->reads,
        .writes = info->writes,
        .read_bytes = info->read_bytes,
        .written_bytes = info->written_bytes,
        .zero_copy_bytes = info->zero_copy_bytes,
        .errors = info->errors,
        .outstanding = info->outstanding,
    };
    memcpy(session->latency, info->latency, sizeof session->latency);
    to->report.session_count++;
}

static void count_session(void *context, const struct iscsi_session_info *info)
{
    (void)info;
    ++*(unsigned *)context;
}

static bool gather_sessions(const struct server *server, struct gathered *to)
{
    iscsi_node_for_each_session(server->node, count_session, &to->session_capacity);
    to->sessions = calloc(to->session_capacity + 1, sizeof *to->sessions);
    to->isids = calloc(to->session_capacity + 1, sizeof *to->isids);
    if (!to->sessions || !to->isids)
        return false;
    iscsi_node_for_each_session(server->node, gather_session, to);
    to->report.sessions = to->sessions;
    return true;
}

/* ── the report ──────────────────────────────────────────────────────────────────────────────── */

static void gathered_free(struct gathered *gathered)
{
    if (!gathered)
        return;
    free(gathered->targets);
    free(gathered->luns);
    free(gathered->lun_texts);
    free(gathered->boot_entries);
    free(gathered->sessions);
    free(gathered->isids);
    machines_free(gathered->machines);
    free(gathered);
}

static void gather_daemon(const struct server *server, struct gathered *to)
{
    struct status_report *report = &to->report;
    report->version = NBT_VERSION;
    report->uptime_seconds = since_ms(to, server->started_us) / 1000;
    report->started_unix_seconds = server->started_unix_seconds;
    report->serving = server->serving;
    report->draining = server->draining;
    report->engine = block_io_engine_name(server->io);
    report->connections = iscsi_node_connection_count(server->node);
    report->portals = to->portals;
    report->portal_count = iscsi_server_portals(server, to->portal_texts, PORTAL_LIMIT);
    for (unsigned i = 0; i < report->portal_count; i++)
        to->portals[i] = to->portal_texts[i];
}

static struct gathered *gather(struct server *server)
{
    struct gathered *gathered = calloc(1, sizeof *gathered);
    if (!gathered)
        return NULL;
    gathered->now_us = server_now_us(server);
    gather_daemon(server, gathered);
    gathered->machines = machines_gather(server, false);
    if (!gathered->machines || !gather_targets(server, gathered) ||
        !gather_boots(server, gathered) || !gather_sessions(server, gathered)) {
        gathered_free(gathered);
        return NULL;
    }
    machines_report(gathered->machines, &gathered->report);
    return gathered;
}

static void answer_report(struct server *server, struct http_response *response,
                          void (*write)(const struct status_report *report, struct buffer *to),
                          const char *content_type)
{
    struct buffer body;
    struct gathered *gathered = gather(server);
    buffer_init(&body, STATUS_OUTPUT_BYTES_LIMIT);
    if (gathered)
        write(&gathered->report, &body);
    else
        body.failed = true;
    http_response_take(response, &body, content_type);
    gathered_free(gathered);
}

/* ── what is answered ────────────────────────────────────────────────────────────────────────── */

static void get_page(void *context, const struct http_request *request,
                     struct http_response *response)
{
    (void)request;
    response->content_security_policy = STATUS_PAGE_SECURITY_POLICY;
    answer_report(context, response, status_write_page, "text/html; charset=utf-8");
}

static void get_status(void *context, const struct http_request *request,
                       struct http_response *response)
{
    (void)request;
    answer_report(context, response, status_write_json, "application/json");
}

static void get_metrics(void *context, const struct http_request *request,
                        struct http_response *response)
{
    (void)request;
    answer_report(context, response, status_write_metrics, STATUS_METRICS_CONTENT_TYPE);
}

static void get_clients(void *context, const struct http_request *request,
                        struct http_response *response)
{
    (void)request;
    struct status_report report = {.version = ""};
    struct machines *machines = machines_gather(context, true);
    struct buffer body;
    buffer_init(&body, STATUS_OUTPUT_BYTES_LIMIT);
    if (machines) {
        machines_report(machines, &report);
        status_write_clients(&report, &body);
    } else {
        body.failed = true;
    }
    http_response_take(response, &body, "application/json");
    machines_free(machines);
}

// clang-format off
const struct http_route status_routes[] = {
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/",                        false, get_page},
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/status",                  false, get_status},
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/clients",                 false, get_clients},
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/metrics",                 false, get_metrics},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/luns/*/*/rearm",          false, post_rearm},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/luns/*/*/rescan",         false, post_rescan_lun},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/rescan",                  false, post_rescan},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/serving",                 true,  post_serving},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/sessions/*/drop",         false, post_drop},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/targets/*/owner/release", true,  post_release},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/owner/release",           true,  post_release_only},
};
// clang-format on
const unsigned status_route_count = ARRAY_SIZE(status_routes);
