/*
 * client_targets.c - targets of single clients: those that `clients` gives a device of its own, and
 * those that boot a target whose devices are named by the client's MAC. Each is opened when its
 * client first asks, and after a restart at once, so that a running system finds its disk again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "internal.h"

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/log.h>

#define CLIENTS_LIMIT 1024
#define RECORD_NAME   "client-targets"
#define RECORD_LIMIT  (256u << 10)
#define SERIAL_WHOLE  36
#define SERIAL_CUT    30     /* and a number of 8 digits */
#define PATIENCE_MS   60000u /* an image that cannot be opened is told about for so long */

/* ── who ─────────────────────────────────────────────────────────────────────────────────────── */

static bool parse_mac(const char *text, uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++, text += 3) {
        if (strspn(text, "0123456789abcdef") != 2 || text[2] != (i < 5 ? '-' : '\0'))
            return false;
        mac[i] = (uint8_t)strtoul(text, NULL, 16);
    }
    return true;
}

/* FNV-1a: spreads, no more is asked of it. */
static uint64_t spread(const char *text, unsigned beginning)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) + beginning;
    for (const char *c = text; *c; c++)
        hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    return hash;
}

/* As much of it as a name can hold; what is not all of it ends in a number made of all of it, for
 * another machine's may be alike so far. */
void client_key_of_serial(const char *serial, char to[CLIENT_KEY_BYTES])
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t length = strlen(serial);
    if (length <= SERIAL_WHOLE && strspn(serial, plain) == length) {
        memcpy(to, serial, length + 1);
        return;
    }
    uint64_t hash = spread(serial, 0);
    snprintf(to, CLIENT_KEY_BYTES, "%.*s-%08x", SERIAL_CUT, serial, (uint32_t)(hash ^ hash >> 32));
    for (char *c = to; *c; c++)
        if (!strchr(plain, *c))
            *c = '_';
}

/* Fills in who the images belong to. */
struct owner {
    char key[CLIENT_KEY_BYTES];
    struct client_images images;
};

static bool find_owner(const struct config_client *client, const uint8_t *mac, struct owner *to)
{
    *to = (struct owner){.images.has_mac = mac};
    if (mac) {
        memcpy(to->images.mac, mac, sizeof to->images.mac);
        memcpy(to->images.salt + 10, mac, 6);
        hex_mac(to->key, mac, '-');
    } else if (client && client->uuid.set) {
        memcpy(to->images.salt, client->uuid.bytes, sizeof to->images.salt);
        hex_uuid(to->key, client->uuid.bytes);
    } else if (client && client->serial) {
        uint64_t halves[] = {spread(client->serial, 0), spread(client->serial, 1)};
        memcpy(to->images.salt, halves, sizeof halves);
        client_key_of_serial(client->serial, to->key);
    }
    to->images.key = to->key;
    return to->key[0];
}

void client_key_of_row(const struct config_client *client, char to[CLIENT_KEY_BYTES])
{
    struct owner owner;
    (void)find_owner(client, client->mac.set ? client->mac.bytes : NULL, &owner);
    memcpy(to, owner.key, sizeof owner.key);
}

/* ── what ────────────────────────────────────────────────────────────────────────────────────── */

static bool has_client_luns(const struct config_target *config)
{
    for (unsigned i = 0; i < config->luns.count; i++)
        if (config_lun_per_client(&config->luns.items[i]))
            return true;
    return false;
}

/* False: this client has no images of its own there. An image that its row names is the row's,
 * whichever card the machine asks through, and in no other target. */
static bool find_images(const struct config *config, const struct config_target *target,
                        const struct config_client *client, const uint8_t *mac, struct owner *to)
{
    bool has_own = client && client->device && config_client_target(config, client) == target;
    if (client && client->mac.set) /* the written one, whatever it calls itself */
        mac = client->mac.bytes;
    else if (has_own)
        mac = NULL;
    if (!find_owner(client, mac, to))
        return false;
    if (has_own) {
        to->images.device = client->device;
        to->images.lun = client->lun != CONFIG_UNSET ? client->lun : target->luns.items[0].number;
        return to->images.has_mac || !strstr(client->device, "%m");
    }
    return to->images.has_mac && has_client_luns(target);
}

static unsigned count_clients(const struct server *server)
{
    const struct served_target *target;
    unsigned count = 0;
    DL_FOREACH (server->targets, target)
        count += target->key[0] != '\0';
    return count;
}

static struct served_target *get(struct server *server, struct config *config,
                                 const struct config_target *target_config,
                                 const struct config_client *client, const uint8_t *mac)
{
    struct owner owner;
    char name[TARGET_NAME_BYTES];
    if (!find_images(config, target_config, client, mac, &owner))
        return NULL;
    snprintf(name, sizeof name, "%s.%s", target_config->name, owner.key);
    struct served_target *target = targets_find(server, name);
    if (target)
        return target;
    if (count_clients(server) >= CLIENTS_LIMIT) {
        log_warning("%s is not opened: there are %u images of clients already", name,
                    CLIENTS_LIMIT);
        return NULL;
    }
    target = targets_add(server, config, target_config, &owner.images);
    if (!target)
        log_error("out of memory, target %s is not served", name);
    server_want_housekeeping(server);
    return target;
}

struct served_target *client_targets_get(struct server *server,
                                         const struct config_target *target_config,
                                         const struct config_client *client, const uint8_t *mac)
{
    return get(server, server->config, target_config, client, mac);
}

/* ── which are known ─────────────────────────────────────────────────────────────────────────── */

/* A line is "TARGET MAC", of which the name is left in it. */
static bool split_line(char *line, uint8_t ret_mac[6])
{
    char *blank = strchr(line, ' ');
    if (!blank || blank - line >= TARGET_NAME_BYTES || !parse_mac(blank + 1, ret_mac))
        return false;
    *blank = '\0';
    return true;
}

/* NULL: the configuration has no such images, which may be for a while. */
static const struct config_target *find_configured(const struct server *server, const char *name)
{
    const struct config_target *target = config_find_target(server->config, name);
    return target && has_client_luns(target) ? target : NULL;
}

static void open_recorded(struct server *server, char *line)
{
    uint8_t mac[6];
    const struct config_target *target =
        split_line(line, mac) ? find_configured(server, line) : NULL;
    struct served_target *served = target ? get(server, server->config, target, NULL, mac) : NULL;
    if (served)
        served->is_recorded = true;
}

/* What cannot be read is asked for again by client_targets_tick(). */
static void open_all_recorded(struct server *server)
{
    const char *record;
    size_t length;
    struct error error;
    int result = state_load(server->state, RECORD_NAME, &record, &length, &error);
    server->clients_known = !result || result == -ENOENT;
    if (!server->clients_known && result != -EAGAIN &&
        strcmp(server->clients_problem.text, error.text) != 0) {
        server->clients_problem = error;
        log_error("who had images of its own is not known: %s", error.text);
    }
    _cleanup_free_ char *lines = result ? NULL : strdup(record);
    server->clients_known = server->clients_known && (result || lines);
    char *rest = lines, *line;
    while (rest && (line = strsep(&rest, "\n")))
        open_recorded(server, line);
    if (server->clients_known)
        server_targets_changed(server); /* now that all are there, open or not */
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not know cleanup attributes
}

void client_targets_start(struct server *server)
{
    const struct config *config = server->config;
    for (unsigned i = 0; i < config->clients.count; i++) {
        const struct config_client *client = &config->clients.items[i];
        const struct config_target *target = config_client_target(config, client);
        if (client->device && target)
            (void)get(server, server->config, target, client, NULL);
    }
    open_all_recorded(server);
}

static void write_served(const struct server *server, struct buffer *record)
{
    const struct served_target *target;
    uint8_t mac[6];
    DL_FOREACH (server->targets, target)
        if ((target->iscsi || target->is_recorded) && !target->removing &&
            parse_mac(target->key, mac) && has_client_luns(target->config))
            buffer_format(record, "%s %s\n", target->config->name, target->key);
}

/* Those of before whose target may come back into the configuration. */
static void write_missing(const struct server *server, struct buffer *record)
{
    const char *before;
    size_t length;
    int result = state_load(server->state, RECORD_NAME, &before, &length, NULL);
    if (result == -ENOENT)
        return;
    _cleanup_free_ char *lines = result ? NULL : strdup(before);
    char *rest = lines, *line, mac_text[HEX_MAC_BYTES];
    unsigned count = 0;
    uint8_t mac[6];
    record->failed |= !lines;
    while (rest && (line = strsep(&rest, "\n"))) {
        if (!split_line(line, mac) || find_configured(server, line) || ++count > CLIENTS_LIMIT)
            continue;
        hex_mac(mac_text, mac, '-');
        buffer_format(record, "%s %s\n", line, mac_text);
    }
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not know cleanup attributes
}

void client_targets_note(struct server *server)
{
    struct buffer record;
    server->clients_stale = true;
    if (!server->clients_known)
        return; /* it would take the place of what is to be read yet */
    buffer_init(&record, RECORD_LIMIT);
    write_served(server, &record);
    write_missing(server, &record);
    if (!record.failed)
        server->clients_stale =
            state_keep(server->state, RECORD_NAME, record.length ? record.data : (const void *)"",
                       record.length) != 0;
    buffer_done(&record);
}

/* ── which end ───────────────────────────────────────────────────────────────────────────────── */

void client_targets_tick(struct server *server)
{
    uint64_t now_us = server_now_us(server);
    struct served_target *target, *next;
    if (!server->clients_known)
        open_all_recorded(server);
    if (server->clients_stale)
        client_targets_note(server);
    DL_FOREACH_SAFE (server->targets, target, next) {
        const struct served_lun *lun = target->luns;
        if (!target->key[0] || target->removing || target->iscsi || lun->state != LUN_REFUSED ||
            now_us - lun->first_try_us < PATIENCE_MS * 1000ull)
            continue;
        log_notice("target %s is given up until its client asks again", target->name);
        target_remove(target);
    }
}

/* True when the new configuration would open just the same for this client. */
static bool is_wanted(const struct config *config, const struct served_target *served)
{
    const struct config_target *target = config_find_target(config, served->config->name);
    const struct config_lun *lun = served->luns[0].config;
    struct owner owner;
    if (!target)
        return false;
    for (unsigned i = 0; i < config->clients.count; i++) {
        const struct config_client *client = &config->clients.items[i];
        if (!client->device || config_client_target(config, client) != target ||
            !find_images(config, target, client, NULL, &owner) ||
            strcmp(owner.key, served->key) != 0)
            continue;
        _cleanup_free_ char *path = client_image_path(client->device, &owner.images);
        return path && owner.images.lun == lun->number && !strcmp(path, served->luns[0].image);
    }
    return config_lun_per_client(lun); /* else changes of the target itself end it */
}

void client_targets_reload(struct server *server, const struct config *config)
{
    struct served_target *target, *next;
    DL_FOREACH_SAFE (server->targets, target, next)
        if (target->key[0] && !target->removing && !is_wanted(config, target))
            target_remove(target);
}
