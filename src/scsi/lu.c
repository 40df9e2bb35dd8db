/* lu.c - logical units and targets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

void lu_update_from_device(struct scsi_lu *lu)
{
    lu->blocks = lu->device->geometry.blocks;
    lu->read_only = lu->options.read_only || lu->device->geometry.read_only;
}

struct mode_parameters lu_default_mode(const struct scsi_lu *lu)
{
    return (struct mode_parameters){.write_through = lu->options.write_through};
}

struct scsi_lu *scsi_lu_new(const struct scsi_environment *environment, struct block_device *device,
                            const struct scsi_lu_options *options)
{
    struct scsi_lu *lu = calloc(1, sizeof(*lu));
    if (!lu)
        return NULL;
    lu->environment = environment;
    lu->device = device;
    lu->options = *options;
    lu->mode = lu_default_mode(lu);
    lu_update_from_device(lu);
    return lu;
}

void scsi_lu_free(struct scsi_lu *lu)
{
    if (!lu)
        return;
    sanitize_done(lu);
    reservations_done(&lu->reservations);
    free(lu);
}

struct block_device *scsi_lu_device(struct scsi_lu *lu)
{
    return lu->device;
}

const struct scsi_lu_options *scsi_lu_get_options(const struct scsi_lu *lu)
{
    return &lu->options;
}

void scsi_lu_device_changed(struct scsi_lu *lu)
{
    bool resized = lu->blocks != lu->device->geometry.blocks;
    bool was_read_only = lu->read_only;
    lu_update_from_device(lu);
    if (resized)
        unit_attention_raise_all(lu, NULL, ATTENTION_CAPACITY_CHANGED);
    if (was_read_only != lu->read_only) /* WP of the mode parameter header */
        unit_attention_raise_all(lu, NULL, ATTENTION_MODE_PARAMETERS_CHANGED);
}

bool scsi_lu_is_idle(const struct scsi_lu *lu)
{
    return !lu->commands && !(lu->sanitize && sanitize_running(lu));
}

void scsi_lu_replace_device(struct scsi_lu *lu, struct block_device *device)
{
    lu->device = device;
    memset(lu->streams, 0, sizeof(lu->streams));
    if (device->health != BLOCK_GONE)
        unit_attention_raise_all(lu, NULL, ATTENTION_MEDIUM_CHANGED);
    scsi_lu_device_changed(lu);
}

void lu_reset(struct scsi_lu *lu)
{
    struct itl *itl;
    lu->mode = lu_default_mode(lu);
    lu->stopped = false;
    lu->reservations.legacy_holder = NULL;
    reservations_update(lu);
    DL_FOREACH (lu->itls, itl) {
        itl->prevents_removal = false;
        unit_attention_raise(itl, ATTENTION_RESET);
    }
}

/* ── targets ─────────────────────────────────────────────────────────────────────────────────── */

struct scsi_target *scsi_target_new(const char *name)
{
    struct scsi_target *target = calloc(1, sizeof(*target));
    if (target)
        snprintf(target->name, sizeof(target->name), "%s", name);
    return target;
}

void scsi_target_free(struct scsi_target *target)
{
    if (!target)
        return;
    while (target->spare) {
        struct command *command = target->spare;
        target->spare = command->lu_next;
        free(command);
    }
    free(target);
}

/* Every logical unit of every nexus says that the list has changed (SPC-4 §6.33). */
static void announce_new_lu(struct scsi_target *target)
{
    struct scsi_nexus *nexus;
    DL_FOREACH (target->nexuses, nexus) {
        for (unsigned lun = 0; lun < SCSI_LUN_LIMIT; lun++) {
            if (nexus->itls[lun])
                unit_attention_raise(nexus->itls[lun], ATTENTION_REPORTED_LUNS_CHANGED);
        }
    }
}

int scsi_target_add_lu(struct scsi_target *target, unsigned lun, struct scsi_lu *lu)
{
    if (lun >= SCSI_LUN_LIMIT)
        return -ERANGE;
    if (target->lus[lun])
        return -EEXIST;
    struct scsi_nexus *nexus;
    bool failed = false;
    DL_FOREACH (target->nexuses, nexus)
        failed = failed || nexus_add_itl(nexus, lun, lu);
    if (failed) {
        DL_FOREACH (target->nexuses, nexus)
            nexus_drop_itl(nexus, lun);
        return -ENOMEM;
    }
    target->lus[lun] = lu;
    announce_new_lu(target);
    return 0;
}

struct scsi_lu *scsi_target_lu(const struct scsi_target *target, unsigned lun)
{
    return lun < SCSI_LUN_LIMIT ? target->lus[lun] : NULL;
}
