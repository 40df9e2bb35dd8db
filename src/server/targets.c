/*
 * targets.c - from the configuration to targets on the wire: puts a target together when all its
 * LUNs are open, carries out a reload, closes in order.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "internal.h"
#include "secrets.h"

#include <netboot-target/util/amount.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/log.h>

/* ── putting a target together ───────────────────────────────────────────────────────────────── */

static enum iscsi_digest_policy digest_policy(enum config_digests digests)
{
    static const enum iscsi_digest_policy policies[] = {
        [CONFIG_DIGESTS_NONE] = ISCSI_DIGEST_REFUSE_CRC32C,
        [CONFIG_DIGESTS_ALLOW] = ISCSI_DIGEST_PREFER_NONE,
        [CONFIG_DIGESTS_PREFER] = ISCSI_DIGEST_PREFER_CRC32C,
        [CONFIG_DIGESTS_REQUIRE] = ISCSI_DIGEST_REQUIRE_CRC32C,
    };
    return policies[digests];
}

/* Networks back to the text form iscsi/ checks, since that room knows no config. */
struct address_list {
    char text[CONFIG_ADDRESSES_LIMIT][INET6_ADDRSTRLEN + 5];
    const char *pointers[CONFIG_ADDRESSES_LIMIT];
    unsigned count;
};

static void list_addresses(const struct config_target *config, struct address_list *list)
{
    list->count = config->addresses.count;
    for (unsigned i = 0; i < list->count; i++) {
        const struct config_network *network = &config->addresses.items[i];
        char host[INET6_ADDRSTRLEN];
        inet_ntop(network->family, &network->ipv4, host, sizeof host);
        snprintf(list->text[i], sizeof list->text[i], "%s/%u", host, network->prefix);
        list->pointers[i] = list->text[i];
    }
}

static struct iscsi_target *make_iscsi_target(struct served_target *target, struct error *error)
{
    const struct config_target *config = target->config;
    struct address_list addresses;
    list_addresses(config, &addresses);
    struct iscsi_target_options options = {
        .name = target->iqn,
        .alias = config->alias,
        .initiators = (const char *const *)config->initiators.items,
        .initiator_count = config->initiators.count,
        .addresses = addresses.pointers,
        .address_count = addresses.count,
        .shared = config->shared,
        .others_may_read = config->others == CONFIG_OTHERS_READ_ONLY,
        .hold_ms = config->hold_ms,
        .invited_only = config->after_script_ms != 0,
        .header_digest = digest_policy(config->digests),
        .data_digest = digest_policy(config->digests),
        .initial_r2t = config->initial_r2t,
        .ping_ms = config->ping_ms,
    };
    secrets_fill_auth(&target->secrets, &config->auth, &options.auth);
    return iscsi_target_new(&options, target->scsi, error);
}

static void announce(const struct served_target *target)
{
    log_notice("serving target %s as %s%s", target->name, target->iqn,
               target->config->auth.mode == CONFIG_AUTH_NONE ? ", open to everyone on the network"
                                                             : "");
    for (unsigned i = 0; i < target->lun_count; i++) {
        const struct served_lun *lun = &target->luns[i];
        const struct block_geometry *geometry = &lun->device->geometry;
        struct amount size;
        log_notice("  LUN %u: %s, %s, %s, identity %s", lun->number, lun->device->path,
                   amount_bytes(&size, geometry->blocks * geometry->logical_block_bytes),
                   geometry->read_only || lun->config->read_only ? "read-only"
                                                                 : lun->device->write_mode,
                   lun->identity_text);
    }
    if (target->secrets.path[0])
        log_notice("  CHAP names and secrets: %s", target->secrets.path);
}

static int keep_identities(const struct served_target *target, struct error *error)
{
    for (unsigned i = 0; i < target->lun_count; i++) {
        int result = identity_keep(&target->luns[i], error);
        if (result)
            return result;
    }
    return 0;
}

static int assemble(struct served_target *target, struct error *error)
{
    int result = keep_identities(target, error);
    if (result)
        return result;
    result = identity_make_iqn(target, target->iqn, error);
    if (result)
        return result;
    char record[128]; /* a client with an image of its own has secrets of its own */
    snprintf(record, sizeof record, "secrets-%s", target->name);
    result = secrets_prepare(&target->secrets, target->server->state, record, &target->config->auth,
                             &target->owner->secret_key, error);
    if (result)
        return result;
    target->scsi = scsi_target_new(target->iqn);
    if (!target->scsi)
        return error_set(error, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < target->lun_count; i++) {
        result = scsi_target_add_lu(target->scsi, target->luns[i].number, target->luns[i].lu);
        if (result)
            return error_set(error, result, "LUN %u cannot be added: %s", target->luns[i].number,
                             strerror(-result));
    }
    target->iscsi = make_iscsi_target(target, error);
    if (!target->iscsi)
        return -EINVAL;
    result = owner_restore(target, error);
    if (!result)
        result = invitations_restore(target, error);
    if (result)
        return result;
    if (iscsi_node_add_target(target->server->node, target->iscsi))
        return error_set(error, -EEXIST, "its name %s is taken by another target", target->iqn);
    return 0;
}

void target_note_problem(struct served_target *target, const struct error *error)
{
    if (strcmp(target->problem.text, error->text) != 0)
        log_error("target %s is not served: %s", target->name, error->text);
    target->problem = *error;
    server_want_housekeeping(target->server);
}

void target_assemble(struct served_target *target)
{
    for (unsigned i = 0; i < target->lun_count; i++)
        if (target->luns[i].state != LUN_OPEN)
            return;
    struct error error;
    int result = assemble(target, &error);
    if (result) {
        if (result != -EINPROGRESS)
            target_note_problem(target, &error);
        guests_free(target);
        iscsi_target_free(take_pointer(target->iscsi));
        scsi_target_free(take_pointer(target->scsi));
        return;
    }
    target->problem.text[0] = '\0';
    iscsi_target_set_ready(target->iscsi, true);
    announce(target);
    if (target->key[0])
        client_targets_note(target->server);
    server_targets_changed(target->server);
}

char *client_image_path(const char *pattern, const struct client_images *images)
{
    char mac[HEX_MAC_BYTES] = "";
    struct buffer to;
    buffer_init(&to, PATH_MAX);
    if (images->has_mac)
        hex_mac(mac, images->mac, '-');
    for (const char *mark; (mark = strstr(pattern, "%m")); pattern = mark + 2) {
        buffer_append(&to, pattern, (size_t)(mark - pattern));
        buffer_append_string(&to, mac);
    }
    buffer_append_string(&to, pattern);
    char *path = buffer_string(&to) ? strdup((const char *)to.data) : NULL;
    buffer_done(&to);
    return path;
}

/* Images of clients are no disks of everybody, and the other way round. */
static bool has_lun(const struct config_lun *config, const struct client_images *images)
{
    if (images && images->device)
        return config->number == images->lun;
    return config_lun_per_client(config) == (images != NULL);
}

static bool lun_begin(struct served_target *target, const struct config_lun *config,
                      const struct client_images *images)
{
    struct served_lun *lun = &target->luns[target->lun_count++];
    lun->target = target;
    lun->config = config;
    lun->number = config->number;
    if (images)
        lun->image = client_image_path(images->device ? images->device : config->device, images);
    return !images || lun->image;
}

static void name_target(struct served_target *target, const struct client_images *images)
{
    snprintf(target->name, sizeof target->name, "%s%s%s", target->config->name, images ? "." : "",
             images ? images->key : "");
    if (!images)
        return;
    snprintf(target->key, sizeof target->key, "%s", images->key);
    memcpy(target->salt, images->salt, sizeof target->salt);
}

static void target_free(struct served_target *target);

struct served_target *targets_add(struct server *server, struct config *config,
                                  const struct config_target *target_config,
                                  const struct client_images *images)
{
    struct served_target *target = calloc(1, sizeof *target);
    if (!target)
        return NULL;
    target->luns = calloc(target_config->luns.count, sizeof *target->luns);
    target->server = server;
    target->owner = config_ref(config);
    target->config = target_config;
    name_target(target, images);
    DL_APPEND(server->targets, target);
    bool complete = target->luns;
    for (unsigned i = 0; complete && i < target_config->luns.count; i++)
        if (has_lun(&target_config->luns.items[i], images))
            complete = lun_begin(target, &target_config->luns.items[i], images);
    if (!complete) {
        target_free(target);
        return NULL;
    }
    for (unsigned i = 0; i < target->lun_count; i++)
        lun_try(&target->luns[i]);
    return target;
}

/* A target that has only images of clients is served as each of them comes. */
static int target_new(struct server *server, struct config *config,
                      const struct config_target *target_config)
{
    for (unsigned i = 0; i < target_config->luns.count; i++)
        if (has_lun(&target_config->luns.items[i], NULL))
            return targets_add(server, config, target_config, NULL) ? 0 : -ENOMEM;
    return 0;
}

/* ── closing ─────────────────────────────────────────────────────────────────────────────────── */

static void target_free(struct served_target *target)
{
    struct server *server = target->server;
    DL_DELETE(server->targets, target);
    secrets_wipe(&target->secrets);
    guests_free(target);
    config_unref(target->owner);
    for (unsigned i = 0; i < target->lun_count; i++)
        free(target->luns[i].image);
    free(target->luns);
    free(target);
    server_targets_changed(server);
    server_disk_is_free(server);
}

void target_lun_closed(struct served_target *target)
{
    for (unsigned i = 0; i < target->lun_count; i++)
        if (target->luns[i].device)
            return;
    target_free(target);
}

static void on_drained(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct served_target *target = watcher->data;
    iscsi_target_free(take_pointer(target->iscsi));
    scsi_target_free(take_pointer(target->scsi));
    bool any = false;
    unsigned count = target->lun_count;
    for (unsigned i = 0; i < count; i++)
        any |= target->luns[i].device != NULL;
    if (!any) {
        target_free(target);
        return;
    }
    /* The last one to close frees the target, so the list is taken first. */
    struct served_lun *open[SCSI_LUN_LIMIT];
    unsigned open_count = 0;
    for (unsigned i = 0; i < count; i++)
        if (target->luns[i].device)
            open[open_count++] = &target->luns[i];
    for (unsigned i = 0; i < open_count; i++)
        lun_close(open[i]);
}

/* No session is left. This may be told from inside the last command's end, which still looks at its
 * LU. */
static void target_drained(void *context)
{
    struct served_target *target = context;
    ev_timer_init(&target->drained, on_drained, 0, 0);
    target->drained.data = target;
    ev_timer_start(target->server->loop, &target->drained);
}

void target_remove(struct served_target *target)
{
    if (target->removing)
        return;
    target->removing = true;
    for (unsigned i = 0; i < target->lun_count; i++)
        lun_give_up(&target->luns[i]);
    if (target->iscsi)
        iscsi_node_remove_target(target->server->node, target->iscsi, target_drained, target);
    else
        target_drained(target);
    owner_give_up(target);
}

void targets_flush_and_close(struct server *server)
{
    struct served_target *target;
    struct served_target *next;
    DL_FOREACH_SAFE (server->targets, target, next)
        target_remove(target);
}

/* ── start, reload, tick ─────────────────────────────────────────────────────────────────────── */

int targets_start(struct server *server, struct error *error)
{
    server->opening_threads = OPENING_THREADS;
    server->opening = job_queue_new(block_io_workers(server->io), server->opening_threads);
    if (!server->opening)
        return error_set(error, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < server->config->targets.count; i++)
        if (target_new(server, server->config, &server->config->targets.items[i]))
            return error_set(error, -ENOMEM, "out of memory");
    return 0;
}

static struct served_target *find_target(struct server *server, const struct config_target *config)
{
    struct served_target *target;
    DL_FOREACH (server->targets, target)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): target_free() takes it off this very list
        if (target->config == config && !target->removing && !target->key[0])
            return target;
    return NULL;
}

static const struct config_lun *find_lun_config(const struct config_target *config, unsigned number)
{
    for (unsigned i = 0; i < config->luns.count; i++)
        if (config->luns.items[i].number == number)
            return &config->luns.items[i];
    return NULL;
}

/* Its sessions go on; only what it points to moves. */
static void target_adopt(struct served_target *target, struct config *config,
                         const struct config_target *target_config)
{
    config_unref(target->owner);
    target->owner = config_ref(config);
    target->config = target_config;
    for (unsigned i = 0; i < target->lun_count; i++)
        target->luns[i].config = find_lun_config(target_config, target->luns[i].number);
}

/* What holds for a target holds for its clients' forms. */
static void clients_follow(struct server *server, struct config *config,
                           const struct config_target_change *change)
{
    struct served_target *target, *next;
    DL_FOREACH_SAFE (server->targets, target, next) {
        if (!change->old || target->config != change->old || target->removing || !target->key[0])
            continue;
        if (change->change == CONFIG_UNCHANGED)
            target_adopt(target, config, change->new);
        else
            target_remove(target);
    }
}

void targets_reload(struct server *server, struct config *config)
{
    struct config_diff diff;
    if (config_diff(server->config, config, &diff)) {
        log_error("reload: out of memory, nothing changed");
        return;
    }
    for (unsigned i = 0; i < diff.targets.count; i++) {
        const struct config_target_change *change = &diff.targets.items[i];
        struct served_target *target = change->old ? find_target(server, change->old) : NULL;
        clients_follow(server, config, change);
        if (change->change == CONFIG_UNCHANGED && target) {
            target_adopt(target, config, change->new);
            continue;
        }
        if (target)
            target_remove(target);
        if (change->new &&target_new(server, config, change->new))
            log_error("reload: out of memory, target %s is not served", change->new->name);
    }
    config_diff_done(&diff);
}

bool targets_tick(struct server *server)
{
    bool waiting = !server->clients_known;
    client_targets_tick(server);
    luns_tick(server);
    struct served_target *target;
    DL_FOREACH (server->targets, target) {
        if (target->removing)
            continue;
        for (unsigned i = 0; i < target->lun_count; i++) {
            struct served_lun *lun = &target->luns[i];
            if (lun->state == LUN_OPEN) {
                waiting |= lun_observe(lun);
                continue;
            }
            waiting = true;
            if (!lun->attempt)
                lun_try(lun);
        }
        if (!target->iscsi) {
            waiting = true;
            target_assemble(target);
        } else {
            waiting |= owner_keep_again(target);
            waiting |= guests_keep_again(target);
        }
    }
    return waiting || server->clients_stale;
}

bool targets_all_open(const struct server *server)
{
    const struct served_target *target;
    DL_FOREACH (server->targets, target)
        if (!target->iscsi)
            return false;
    return server->clients_known;
}

bool targets_any_open(const struct server *server)
{
    const struct served_target *target;
    DL_FOREACH (server->targets, target)
        if (target->iscsi)
            return true;
    return false;
}

static bool has_client_images(const struct config *config)
{
    for (unsigned i = 0; i < config->clients.count; i++)
        if (config->clients.items[i].device)
            return true;
    for (unsigned i = 0; i < config->targets.count; i++)
        for (unsigned j = 0; j < config->targets.items[i].luns.count; j++)
            if (config_lun_per_client(&config->targets.items[i].luns.items[j]))
                return true;
    return false;
}

bool targets_hopeless(const struct server *server)
{
    const struct served_target *target;
    if (has_client_images(server->config) || !server->clients_known)
        return false;
    DL_FOREACH (server->targets, target)
        for (unsigned i = 0; i < target->lun_count; i++)
            if (target->luns[i].state != LUN_REFUSED)
                return false;
    return true;
}

struct served_target *targets_find(const struct server *server, const char *name)
{
    struct served_target *target;
    DL_FOREACH (server->targets, target)
        if (!target->removing && strcmp(target->name, name) == 0)
            return target;
    return NULL;
}

struct served_target *targets_find_iqn(const struct server *server, const char *iqn)
{
    struct served_target *target;
    DL_FOREACH (server->targets, target)
        if (target->iscsi && !strcmp(target->iqn, iqn))
            return target;
    return NULL;
}

struct served_target *targets_find_iscsi(const struct server *server,
                                         const struct iscsi_target *iscsi)
{
    struct served_target *target;
    DL_SEARCH_SCALAR(server->targets, target, iscsi, iscsi);
    return target;
}

struct served_lun *targets_find_lun(struct server *server, const char *name, unsigned number)
{
    struct served_target *target = targets_find(server, name);
    for (unsigned i = 0; target && i < target->lun_count; i++)
        if (target->luns[i].number == number)
            return &target->luns[i];
    return NULL;
}
