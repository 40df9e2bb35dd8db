/*
 * faulty.c - a device over another one that fails as told. A request that is to fail goes down as
 * an empty prefetch, so that it ends in the order and at the time the device below would end it,
 * and nothing is written.
 */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "device.h"

#include <netboot-target/util/array.h>

struct fault {
    struct block_fault fault;
    unsigned left; /* of `times` */
    struct fault *next;
};

struct faulty_device {
    struct block_device device;
    struct block_device *below;
    struct fault *faults;
    struct passage *held;
};

/* A request on its way through the device below. */
struct passage {
    struct block_request below;
    struct block_request *request;
    int result; /* what it has to end with; 0: what the device below says */
    uint64_t error_offset_bytes;
    struct passage *previous, *next;
};

static struct faulty_device *faulty_of(struct block_device *device)
{
    return container_of(device, struct faulty_device, device);
}

static bool applies(const struct fault *fault, enum block_operation operation,
                    uint64_t offset_bytes, uint64_t length_bytes)
{
    if (!(fault->fault.operations & 1u << operation) || (fault->fault.times && !fault->left))
        return false;
    if (operation == BLOCK_FLUSH)
        return true;
    return length_bytes && offset_bytes <= fault->fault.last_byte &&
           offset_bytes + length_bytes - 1 >= fault->fault.first_byte;
}

static struct fault *find_fault(const struct faulty_device *faulty, enum block_operation operation,
                                uint64_t offset_bytes, uint64_t length_bytes)
{
    struct fault *fault;
    LL_FOREACH (faulty->faults, fault) {
        if (applies(fault, operation, offset_bytes, length_bytes))
            return fault;
    }
    return NULL;
}

static void passage_done(struct block_request *below)
{
    struct passage *passage = container_of(below, struct passage, below);
    struct block_request *request = passage->request;
    int result = passage->result ? passage->result : below->result;
    request->error_offset_bytes =
        passage->result ? passage->error_offset_bytes : below->error_offset_bytes;
    free(passage);
    block_request_complete(request, result);
}

static void pass(struct faulty_device *faulty, struct passage *passage)
{
    const struct block_request *request = passage->request;
    passage->below = (struct block_request){
        .operation = request->operation,
        .fua = request->fua,
        .past_cache = request->past_cache,
        .offset_bytes = request->offset_bytes,
        .length_bytes = request->length_bytes,
        .buffer = request->buffer,
        .done = passage_done,
    };
    if (passage->result) {
        passage->below.operation = BLOCK_PREFETCH;
        passage->below.offset_bytes = 0;
        passage->below.length_bytes = 0;
    }
    block_submit(faulty->below, &passage->below);
}

static void meet_fault(struct passage *passage, struct fault *fault)
{
    const struct block_request *request = passage->request;
    if (fault->fault.times)
        fault->left--;
    passage->result = fault->fault.result;
    passage->error_offset_bytes = max_of(request->offset_bytes, fault->fault.first_byte);
}

static void faulty_submit(struct block_device *device, struct block_request *request)
{
    struct faulty_device *faulty = faulty_of(device);
    struct passage *passage = calloc(1, sizeof *passage);
    if (!passage)
        abort(); /* a test device: nothing sensible is left to test */
    passage->request = request;
    passage->result = block_request_admit(device, request);
    passage->error_offset_bytes = request->offset_bytes;
    struct fault *fault =
        passage->result
            ? NULL
            : find_fault(faulty, request->operation, request->offset_bytes, request->length_bytes);
    if (fault)
        meet_fault(passage, fault);
    if (fault && fault->fault.hang)
        DL_APPEND2(faulty->held, passage, previous, next);
    else
        pass(faulty, passage);
}

static bool read_faults(struct faulty_device *faulty, uint64_t offset_bytes, uint64_t length_bytes)
{
    return find_fault(faulty, BLOCK_READ, offset_bytes, length_bytes) != NULL;
}

static enum block_residency faulty_residency(struct block_device *device, uint64_t offset_bytes,
                                             uint64_t length_bytes)
{
    struct faulty_device *faulty = faulty_of(device);
    if (read_faults(faulty, offset_bytes, length_bytes))
        return BLOCK_ABSENT;
    return block_residency(faulty->below, offset_bytes, length_bytes);
}

static ssize_t faulty_read_cached(struct block_device *device, void *buffer, uint64_t offset_bytes,
                                  size_t length_bytes)
{
    struct faulty_device *faulty = faulty_of(device);
    if (read_faults(faulty, offset_bytes, length_bytes))
        return -EAGAIN;
    return block_read_cached(faulty->below, buffer, offset_bytes, length_bytes);
}

static ssize_t faulty_send(struct block_device *device, int socket, uint64_t offset_bytes,
                           size_t length_bytes)
{
    struct faulty_device *faulty = faulty_of(device);
    struct fault *fault = find_fault(faulty, BLOCK_READ, offset_bytes, length_bytes);
    if (fault && fault->fault.result)
        return fault->fault.result;
    return block_send(faulty->below, socket, offset_bytes, length_bytes);
}

static void faulty_observe(struct block_device *device)
{
    block_device_observe(faulty_of(device)->below);
}

static void faulty_rearm(struct block_device *device)
{
    block_device_rearm(faulty_of(device)->below);
}

static void faulty_close(struct block_device *device)
{
    struct faulty_device *faulty = faulty_of(device);
    block_faulty_clear(device);
    block_device_close(faulty->below);
    free(faulty);
}

static const struct block_device_operations faulty_operations = {
    .name = "faulty",
    .submit = faulty_submit,
    .residency = faulty_residency,
    .read_cached = faulty_read_cached,
    .send = faulty_send,
    .observe = faulty_observe,
    .rearm = faulty_rearm,
    .close = faulty_close,
};

static void below_changed(struct block_device *below, void *context)
{
    struct block_device *device = context;
    block_device_resized(device, below->geometry.blocks);
    if (below->health == BLOCK_GONE)
        block_device_lost(device);
    else if (below->health == BLOCK_WRITES_LATCHED)
        block_device_latch(device, "write", -EIO);
}

struct block_device *block_faulty_new(struct block_device *below)
{
    struct faulty_device *faulty = calloc(1, sizeof *faulty);
    if (!faulty)
        return NULL;
    faulty->device = (struct block_device){
        .operations = &faulty_operations,
        .geometry = below->geometry,
        .health = below->health,
        .path = below->path,
        .write_mode = below->write_mode,
    };
    faulty->below = below;
    below->changed = below_changed;
    below->changed_context = &faulty->device;
    return &faulty->device;
}

int block_faulty_add(struct block_device *device, const struct block_fault *fault)
{
    struct fault *added = calloc(1, sizeof *added);
    if (!added)
        return -ENOMEM;
    added->fault = *fault;
    added->left = fault->times;
    LL_APPEND(faulty_of(device)->faults, added);
    return 0;
}

void block_faulty_clear(struct block_device *device)
{
    struct faulty_device *faulty = faulty_of(device);
    struct fault *fault;
    struct fault *next;
    LL_FOREACH_SAFE (faulty->faults, fault, next)
        free(fault);
    faulty->faults = NULL;
}

void block_faulty_release(struct block_device *device)
{
    struct faulty_device *faulty = faulty_of(device);
    struct passage *held = faulty->held;
    faulty->held = NULL;
    while (held) {
        struct passage *passage = held;
        DL_DELETE2(held, passage, previous, next);
        pass(faulty, passage);
    }
}
