/* device.c - see device.h and block.h */
#include <errno.h>
#include <string.h>

#include "device.h"

#include <netboot-target/util/log.h>

int block_device_check_range(const struct block_device *device, uint64_t offset_bytes,
                             uint64_t length_bytes)
{
    uint64_t size = block_device_bytes(device);
    return offset_bytes <= size && length_bytes <= size - offset_bytes ? 0 : -ENXIO;
}

static int check(const struct block_device *device, const struct block_request *request)
{
    bool modifies = block_operation_modifies(request->operation);
    if (device->health == BLOCK_GONE)
        return -ENODEV;
    if (modifies && device->geometry.read_only)
        return -EROFS;
    if (device->health == BLOCK_WRITES_LATCHED && (modifies || request->operation == BLOCK_FLUSH))
        return -EIO;
    if (request->operation == BLOCK_FLUSH)
        return 0;
    if (request->operation == BLOCK_DISCARD && !device->geometry.discard_granularity_bytes)
        return -EOPNOTSUPP;
    if ((request->offset_bytes | request->length_bytes) % device->geometry.logical_block_bytes)
        return -EINVAL;
    return block_device_check_range(device, request->offset_bytes, request->length_bytes);
}

int block_request_admit(struct block_device *device, struct block_request *request)
{
    request->device = device;
    request->result = 0;
    request->error_offset_bytes = request->offset_bytes;
    request->previous = NULL;
    request->next = NULL;
    request->progress_bytes = 0;
    device->counters.operations[request->operation]++;
    device->counters.in_flight++;
    return check(device, request);
}

void block_request_complete(struct block_request *request, int result)
{
    struct block_device *device = request->device;
    request->result = result;
    if (result < 0)
        device->counters.errors[request->operation]++;
    else
        device->counters.bytes[request->operation] += request->length_bytes;
    if (result < 0 && request->operation == BLOCK_FLUSH)
        block_device_latch(device, "flush", result);
    device->counters.in_flight--;
    bool close_now = device->closing && !device->counters.in_flight;
    request->done(request);
    if (close_now)
        device->operations->close(device);
}

void block_device_hold(struct block_device *device)
{
    device->counters.in_flight++;
}

void block_device_release(struct block_device *device)
{
    device->counters.in_flight--;
    if (device->closing && !device->counters.in_flight)
        device->operations->close(device);
}

static void notify(struct block_device *device)
{
    if (device->changed)
        device->changed(device, device->changed_context);
}

void block_device_latch(struct block_device *device, const char *what, int result)
{
    if (device->health != BLOCK_HEALTHY)
        return;
    device->health = BLOCK_WRITES_LATCHED;
    log_error("a %s failed, so writes already acknowledged may be lost: writes are refused until "
              "this device is re-armed; device=%s error=\"%s\"",
              what, device->path, strerror(-result));
    notify(device);
}

void block_device_resized(struct block_device *device, uint64_t blocks)
{
    if (blocks == device->geometry.blocks)
        return;
    device->geometry.blocks = blocks;
    notify(device);
}

void block_device_lost(struct block_device *device)
{
    if (device->health == BLOCK_GONE)
        return;
    device->health = BLOCK_GONE;
    log_error("the device is gone; device=%s", device->path);
    notify(device);
}

void block_device_close(struct block_device *device)
{
    if (!device)
        return;
    device->changed = NULL;
    if (device->counters.in_flight)
        device->closing = true;
    else
        device->operations->close(device);
}

void block_device_rearm(struct block_device *device)
{
    if (device->health != BLOCK_WRITES_LATCHED)
        return;
    if (device->operations->rearm)
        device->operations->rearm(device);
    device->health = BLOCK_HEALTHY;
    log_notice("writes are let through again; device=%s", device->path);
    notify(device);
}

void block_device_observe(struct block_device *device)
{
    if (device->operations->observe && device->health != BLOCK_GONE)
        device->operations->observe(device);
}
