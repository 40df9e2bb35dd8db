/*
 * memory.c - a disk in memory for tests and fuzzing. Nothing happens by itself: requests wait until
 * block_memory_dispatch(), and what the page cache would hold is a bit per 4 KiB page.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "device.h"

#include <netboot-target/util/array.h>

#define PAGE_BYTES 4096u

struct memory_device {
    struct block_device device;
    uint8_t *bytes;
    bool *resident; /* of each page */
    struct block_request *waiting;
};

static struct memory_device *memory_of(struct block_device *device)
{
    return container_of(device, struct memory_device, device);
}

static size_t page_count(const struct block_device *device)
{
    return (size_t)((block_device_bytes(device) + PAGE_BYTES - 1) / PAGE_BYTES);
}

static void memory_submit(struct block_device *device, struct block_request *request)
{
    request->result = block_request_admit(device, request);
    DL_APPEND2(memory_of(device)->waiting, request, previous, next);
}

static size_t resident_bytes(const struct memory_device *memory, uint64_t offset_bytes,
                             uint64_t length_bytes)
{
    uint64_t end = offset_bytes + length_bytes;
    uint64_t at = offset_bytes;
    while (at < end && memory->resident[at / PAGE_BYTES])
        at = round_down(at, PAGE_BYTES) + PAGE_BYTES;
    return (size_t)(min_of(at, end) - offset_bytes);
}

static void fetch(struct memory_device *memory, const struct block_request *request)
{
    uint64_t end = request->offset_bytes + request->length_bytes;
    for (uint64_t page = request->offset_bytes / PAGE_BYTES; page * PAGE_BYTES < end; page++)
        memory->resident[page] = true;
}

static enum block_residency memory_residency(struct block_device *device, uint64_t offset_bytes,
                                             uint64_t length_bytes)
{
    if (block_device_check_range(device, offset_bytes, length_bytes) < 0)
        return BLOCK_ABSENT;
    return resident_bytes(memory_of(device), offset_bytes, length_bytes) == length_bytes
               ? BLOCK_RESIDENT
               : BLOCK_ABSENT;
}

static ssize_t memory_read_cached(struct block_device *device, void *buffer, uint64_t offset_bytes,
                                  size_t length_bytes)
{
    struct memory_device *memory = memory_of(device);
    if (block_device_check_range(device, offset_bytes, length_bytes) < 0)
        return -ENXIO;
    size_t there = resident_bytes(memory, offset_bytes, length_bytes);
    if (!there && length_bytes)
        return -EAGAIN;
    memcpy(buffer, memory->bytes + offset_bytes, there);
    return (ssize_t)there;
}

static ssize_t memory_send(struct block_device *device, int socket, uint64_t offset_bytes,
                           size_t length_bytes)
{
    (void)device, (void)socket, (void)offset_bytes, (void)length_bytes;
    return -EOPNOTSUPP;
}

static void memory_close(struct block_device *device)
{
    struct memory_device *memory = memory_of(device);
    free(memory->bytes);
    free(memory->resident);
    free(memory);
}

static const struct block_device_operations memory_operations = {
    .name = "memory",
    .submit = memory_submit,
    .residency = memory_residency,
    .read_cached = memory_read_cached,
    .send = memory_send,
    .close = memory_close,
};

/* malloc(0) may be NULL, and a device may be shrunk to nothing. */
static int allocate(struct memory_device *memory, uint64_t blocks)
{
    size_t old_bytes = (size_t)block_device_bytes(&memory->device);
    size_t old_pages = page_count(&memory->device);
    struct block_device sized = memory->device;
    sized.geometry.blocks = blocks;
    size_t new_bytes = (size_t)block_device_bytes(&sized);
    size_t new_pages = page_count(&sized);

    uint8_t *bytes = realloc(memory->bytes, new_bytes + 1);
    if (!bytes)
        return -ENOMEM;
    memory->bytes = bytes;
    bool *resident = realloc(memory->resident, new_pages + 1);
    if (!resident)
        return -ENOMEM;
    memory->resident = resident;
    if (new_bytes > old_bytes)
        memset(bytes + old_bytes, 0, new_bytes - old_bytes);
    for (size_t page = old_pages; page < new_pages; page++)
        resident[page] = true;
    return 0;
}

struct block_device *block_memory_new(const struct block_geometry *geometry)
{
    struct memory_device *memory = calloc(1, sizeof *memory);
    if (!memory)
        return NULL;
    memory->device = (struct block_device){
        .operations = &memory_operations,
        .geometry = *geometry,
        .path = "memory",
        .write_mode = geometry->read_only ? "read-only" : "memory",
    };
    memory->device.geometry.blocks = 0;
    if (allocate(memory, geometry->blocks) < 0) {
        memory_close(&memory->device);
        return NULL;
    }
    memory->device.geometry.blocks = geometry->blocks;
    return &memory->device;
}

uint8_t *block_memory_bytes(struct block_device *device)
{
    return memory_of(device)->bytes;
}

static void carry_out(struct memory_device *memory, struct block_request *request)
{
    uint8_t *at = memory->bytes + request->offset_bytes;
    size_t length = (size_t)request->length_bytes;
    switch (request->operation) {
    case BLOCK_READ:
        memcpy(request->buffer, at, length);
        if (!request->past_cache)
            fetch(memory, request);
        break;
    case BLOCK_WRITE:
        memcpy(at, request->buffer, length);
        break;
    case BLOCK_DISCARD:
        if (memory->device.geometry.discard_zeroes)
            memset(at, 0, length);
        break;
    case BLOCK_WRITE_ZEROES:
        memset(at, 0, length);
        break;
    case BLOCK_PREFETCH:
        fetch(memory, request);
        break;
    case BLOCK_FLUSH:
    case BLOCK_OPERATION_COUNT:
        break;
    }
}

/* The device may have shrunk while the request waited. */
static int finish(struct memory_device *memory, struct block_request *request)
{
    if (request->result < 0)
        return request->result;
    if (request->operation != BLOCK_FLUSH &&
        block_device_check_range(&memory->device, request->offset_bytes, request->length_bytes) < 0)
        return -ENXIO;
    if (request->length_bytes)
        carry_out(memory, request);
    return 0;
}

unsigned block_memory_dispatch(struct block_device *device, unsigned limit)
{
    struct memory_device *memory = memory_of(device);
    unsigned dispatched = 0;
    block_device_hold(device); /* a callback may close it */
    while (memory->waiting && (!limit || dispatched < limit)) {
        struct block_request *request = memory->waiting;
        DL_DELETE2(memory->waiting, request, previous, next);
        block_request_complete(request, finish(memory, request));
        dispatched++;
    }
    block_device_release(device);
    return dispatched;
}

void block_memory_set_resident(struct block_device *device, bool resident)
{
    struct memory_device *memory = memory_of(device);
    for (size_t page = 0; page < page_count(device); page++)
        memory->resident[page] = resident;
}

void block_memory_resize(struct block_device *device, uint64_t blocks)
{
    if (!allocate(memory_of(device), blocks))
        block_device_resized(device, blocks);
}
