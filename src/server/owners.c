/*
 * owners.c - who owns a target: kept in the state directory, so that after a restart the owner
 * finds its disk as it left it. A record is "NAME SECONDS", the seconds since 1970 when it became
 * the owner, or nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

#include <netboot-target/util/cleanup.h>

static void record_name(const struct served_target *target, char *to, size_t size)
{
    snprintf(to, size, "owner-%s", target->name);
}

uint64_t owner_since_unix_seconds(const struct iscsi_owner *owner)
{
    return (uint64_t)time(NULL) - owner->owned_us / 1000000;
}

void owner_restore(struct served_target *target)
{
    char name[TARGET_NAME_BYTES + 8];
    record_name(target, name, sizeof name);
    size_t length;
    _cleanup_free_ char *record = state_load(target->server->state, name, &length);
    if (!record)
        return;
    char *blank = strchr(record, ' ');
    uint64_t now_s = (uint64_t)time(NULL);
    uint64_t since_s = blank ? strtoull(blank, NULL, 10) : now_s;
    if (blank)
        *blank = '\0';
    uint64_t owned_s = now_s > since_s ? now_s - since_s : 0;
    iscsi_target_set_owner(target->iscsi, record, owned_s * 1000000, server_now_us(target->server));
}

/* The iSCSI target is there until this was called: its removal waits for it. */
static void on_kept(void *context, int result)
{
    struct served_target *target = context;
    (void)result; /* told in the log; the owner is then known as long as the process lasts */
    iscsi_target_owner_kept(target->server->node, target->iscsi);
}

void owner_keep(void *context, struct iscsi_target *iscsi)
{
    struct server *server = context;
    struct served_target *target = targets_find_iscsi(server, iscsi);
    struct store *store = state_store(server->state);
    struct iscsi_owner owner;
    char name[TARGET_NAME_BYTES + 8];
    char record[ISCSI_NAME_BYTES + 24] = "";
    iscsi_target_get_owner(iscsi, server_now_us(server), &owner);
    if (owner.initiator[0])
        snprintf(record, sizeof record, "%s %llu", owner.initiator,
                 (unsigned long long)owner_since_unix_seconds(&owner));
    record_name(target, name, sizeof name);
    store->put(store, name, record, strlen(record), on_kept, target);
}
