/*
 * owners.c - who owns a target: kept in the state directory, so that after a restart the owner
 * finds its disk as it left it. A record is "NAME SECONDS", the seconds since 1970 when it became
 * the owner, or nothing. While it cannot be kept nobody is let in: after a crash nobody would know
 * whose the disk is.
 */
#include <errno.h>
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

/* False: it was not us who wrote this. */
static bool parse(const char *record, size_t length, char ret_owner[ISCSI_NAME_BYTES],
                  uint64_t *ret_since_s)
{
    const char *blank = strchr(record, ' ');
    size_t name_length = blank ? (size_t)(blank - record) : 0;
    if (!name_length || name_length >= ISCSI_NAME_BYTES || strlen(record) != length || !blank[1] ||
        strspn(blank + 1, "0123456789") != strlen(blank + 1))
        return false;
    memcpy(ret_owner, record, name_length);
    ret_owner[name_length] = '\0';
    *ret_since_s = strtoull(blank, NULL, 10);
    return true;
}

static int set_unkept(const struct served_target *target, int reason, struct error *error)
{
    char path[512], name[TARGET_NAME_BYTES + 8];
    record_name(target, name, sizeof name);
    state_path(target->server->state, name, path, sizeof path);
    return error_set(error, reason, "%s cannot be written: %s; nobody is let in until it can", path,
                     strerror(-reason));
}

int owner_restore(struct served_target *target, struct error *error)
{
    char name[TARGET_NAME_BYTES + 8], owner[ISCSI_NAME_BYTES] = "";
    record_name(target, name, sizeof name);
    struct state *state = target->server->state;
    const char *record;
    size_t length;
    uint64_t now_s = (uint64_t)time(NULL), since_s = 0;
    int result = state_load(state, name, &record, &length, error);
    if (result == -ENOENT || (!result && !length))
        return 0;
    if (!result && !parse(record, length, owner, &since_s))
        result = state_reject(state, name, error);
    if (result)
        return result;
    uint64_t owned_s = now_s > since_s ? now_s - since_s : 0;
    iscsi_target_set_owner(target->iscsi, owner, owned_s * 1000000, server_now_us(target->server));
    if (!iscsi_target_owner(target->iscsi)[0])
        return state_reject(state, name, error); /* no iSCSI name */
    /* Before a reload it may have been put, and not been written. */
    result = state_keep(state, name, record, length);
    return result && result != -EINPROGRESS ? set_unkept(target, result, error) : result;
}

static void tell_unkept(struct served_target *target, int reason)
{
    struct error error;
    set_unkept(target, reason, &error);
    target_note_problem(target, &error);
}

/* The iSCSI target is there until it was told: its removal waits for that. */
static void on_kept(void *context, int result)
{
    struct served_target *target = context;
    struct server *server = target->server;
    bool waits = result && !target->removing;
    /* Whichever waits already is written anew with what is then true, and stands for this one. */
    if (waits && !take(target->owner_unkept, true)) {
        tell_unkept(target, result);
        return;
    }
    if (!target->owner_unkept)
        target->problem.text[0] = '\0';
    iscsi_target_owner_kept(server->node, target->iscsi);
}

static void put(struct served_target *target)
{
    struct server *server = target->server;
    struct store *store = state_store(server->state);
    struct iscsi_owner owner;
    char name[TARGET_NAME_BYTES + 8];
    char record[ISCSI_NAME_BYTES + 24] = "";
    iscsi_target_get_owner(target->iscsi, server_now_us(server), &owner);
    if (owner.initiator[0])
        snprintf(record, sizeof record, "%s %llu", owner.initiator,
                 (unsigned long long)owner_since_unix_seconds(&owner));
    record_name(target, name, sizeof name);
    store->put(store, name, record, strlen(record), on_kept, target);
}

void owner_keep(void *context, struct iscsi_target *iscsi)
{
    put(targets_find_iscsi(context, iscsi));
}

bool owner_keep_again(struct served_target *target)
{
    if (!take(target->owner_unkept, false))
        return false;
    put(target);
    return true;
}

void owner_give_up(struct served_target *target)
{
    if (take(target->owner_unkept, false))
        iscsi_target_owner_kept(target->server->node, target->iscsi);
}
