/* lun_return.c - see lun_return.h */
#include <string.h>

#include "absent_device.h"
#include "discovery.h"
#include "lun_return.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

void lun_device_changed(struct block_device *device, void *context)
{
    struct served_lun *lun = context;
    log_notice("device changed: target=%s lun=%u device=%s blocks=%llu health=%s",
               lun->target->name, lun->number, device->path,
               (unsigned long long)device->geometry.blocks, lun_state_word(lun));
    scsi_lu_device_changed(lun->lu);
    if (device->health == BLOCK_GONE)
        server_want_housekeeping(lun->target->server);
}

static bool was_written(const struct block_device *device)
{
    const uint64_t *count = device->counters.operations;
    return count[BLOCK_WRITE] || count[BLOCK_DISCARD] || count[BLOCK_WRITE_ZEROES];
}

/* Its claim ends, which the disk needs to come back: as the same device node it would be busy. */
static void let_go(struct served_lun *lun)
{
    struct block_device *gone = lun->device;
    if (gone->counters.in_flight || !scsi_lu_is_idle(lun->lu))
        return; /* the next time */
    struct block_device *absent = absent_device_new(lun->target->server->loop, gone);
    if (!absent)
        return;
    lun->is_suspect |= was_written(gone);
    lun->is_absent = true;
    discovery_lun_closing(lun);
    lun->device = absent;
    scsi_lu_replace_device(lun->lu, absent);
    block_device_close(gone);
}

bool lun_observe(struct served_lun *lun)
{
    block_device_observe(lun->device);
    if (lun->device->health != BLOCK_GONE)
        return false;
    if (!lun->is_absent)
        let_go(lun);
    if (lun->is_absent && !lun->attempt)
        lun_try(lun);
    return true;
}

/* The hardware says it best; a table may be that of a copy, but then its owner made the copy. */
static bool is_same_disk(const struct block_identity *was, const struct block_identity *is)
{
    if (was->has_hardware || is->has_hardware)
        return was->has_hardware && is->has_hardware &&
               !memcmp(was->hardware, is->hardware, sizeof was->hardware);
    return was->source != BLOCK_IDENTITY_NONE && was->source == is->source &&
           !memcmp(was->bytes, is->bytes, sizeof was->bytes);
}

static void refuse(struct served_lun *lun)
{
    struct error error;
    error_set(&error, 0,
              "nothing tells that %s is the disk that was there before; if it is, restart the "
              "daemon or change the target and reload",
              lun_specification(lun));
    if (strcmp(lun->error.text, error.text) != 0)
        log_error("target %s, LUN %u does not come back: %s", lun->target->name, lun->number,
                  error.text);
    lun->error = error;
}

void lun_returned(struct served_lun *lun, const struct block_location *location,
                  const struct block_identity *identity, struct block_device **device)
{
    const struct block_geometry *was = &lun->device->geometry;
    if (!is_same_disk(&lun->derived, identity) ||
        was->logical_block_bytes != (*device)->geometry.logical_block_bytes) {
        refuse(lun);
        return;
    }
    block_device_close(lun->device);
    lun->device = take_pointer(*device);
    lun->location = *location;
    lun->is_absent = false;
    lun->error.text[0] = '\0';
    /* What it had not flushed may be lost, and a flush that goes well now would hide it. */
    if (lun->is_suspect)
        lun->device->health = BLOCK_WRITES_LATCHED;
    lun->device->changed = lun_device_changed;
    lun->device->changed_context = lun;
    scsi_lu_replace_device(lun->lu, lun->device);
    discovery_lun_opened(lun);
    log_notice("the device is back: target=%s lun=%u device=%s%s", lun->target->name, lun->number,
               lun->device->path,
               lun->is_suspect ? "; what was written before may be lost, so writes are refused "
                                 "until it is re-armed"
                               : "");
}
