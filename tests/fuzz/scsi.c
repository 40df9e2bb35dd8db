/*
 * scsi.c - commands, task management, lost nexuses and a moody disk, as the input says. The input
 * is a geometry byte, then actions of one byte with what follows them. Whatever happens: every task
 * that was started ends once, every function is answered at most once, no answer is longer than it
 * may be, nothing leaks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include <netboot-target/block.h>
#include <netboot-target/scsi.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/pool.h>

#include "leaving.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NEXUSES    3
#define TASKS      24
#define FUNCTIONS  8
#define DISK_BYTES (256u << 10)

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* ── the input ───────────────────────────────────────────────────────────────────────────────── */

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t take_byte(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

static void take_bytes(struct input *input, void *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = take_byte(input);
}

/* ── the disk and the store ──────────────────────────────────────────────────────────────────── */

struct disk {
    struct block_device device; /* first */
    uint8_t bytes[DISK_BYTES];
    struct block_request *queue;
    unsigned fail_operations;
};

static void disk_submit(struct block_device *device, struct block_request *request)
{
    struct disk *disk = (struct disk *)device;
    uint32_t block_bytes = device->geometry.logical_block_bytes;
    require(request->offset_bytes % block_bytes == 0 && request->length_bytes % block_bytes == 0);
    if (request->operation == BLOCK_WRITE)
        require((uintptr_t)request->buffer % POOL_ALIGNMENT == 0);
    DL_APPEND2(disk->queue, request, previous, next);
}

static enum block_residency disk_residency(struct block_device *device, uint64_t offset,
                                           uint64_t length)
{
    (void)device;
    (void)length;
    return offset % 1024 ? BLOCK_ABSENT : BLOCK_RESIDENT;
}

static ssize_t disk_read_cached(struct block_device *device, void *buffer, uint64_t offset,
                                size_t length)
{
    struct disk *disk = (struct disk *)device;
    if (offset >= DISK_BYTES || disk_residency(device, offset, length) != BLOCK_RESIDENT)
        return -EAGAIN;
    length = min_of(length, (size_t)(DISK_BYTES - offset));
    memcpy(buffer, disk->bytes + offset, length);
    return (ssize_t)length;
}

static const struct block_device_operations disk_operations = {
    .name = "fuzz",
    .submit = disk_submit,
    .residency = disk_residency,
    .read_cached = disk_read_cached,
};

static void write_out(uint8_t *at, const void *bytes, size_t length)
{
    check_leaving(bytes, length);
    memcpy(at, bytes, length);
}

static int carry_out(struct disk *disk, struct block_request *request)
{
    const struct block_geometry *geometry = &disk->device.geometry;
    uint64_t size = geometry->blocks * geometry->logical_block_bytes;
    uint8_t *at = disk->bytes + request->offset_bytes;
    if (disk->fail_operations & (1u << request->operation))
        return -EIO;
    if (request->operation == BLOCK_FLUSH || request->operation == BLOCK_PREFETCH)
        return 0;
    if (request->offset_bytes > size || request->length_bytes > size - request->offset_bytes)
        return -ENXIO;
    if (request->operation == BLOCK_READ)
        memcpy(request->buffer, at, request->length_bytes);
    else if (request->operation == BLOCK_WRITE)
        write_out(at, request->buffer, request->length_bytes);
    else
        memset(at, 0, request->length_bytes);
    return 0;
}

static void disk_dispatch(struct disk *disk, unsigned limit)
{
    for (unsigned i = 0; disk->queue && (limit == 0 || i < limit); i++) {
        struct block_request *request = disk->queue;
        DL_DELETE2(disk->queue, request, previous, next);
        request->result = carry_out(disk, request);
        request->done(request);
    }
}

struct slow_store {
    struct store store; /* first */
    store_done done;
    void *context;
};

static void store_put(struct store *store, const char *name, const void *data, size_t length,
                      store_done done, void *context)
{
    struct slow_store *slow = (struct slow_store *)store;
    (void)name;
    require(!slow->done && data && length > 0);
    check_leaving(data, length);
    slow->done = done;
    slow->context = context;
}

static void store_answer(struct slow_store *slow, int result)
{
    store_done done = slow->done;
    slow->done = NULL;
    if (done)
        done(slow->context, result);
}

/* ── the transport ───────────────────────────────────────────────────────────────────────────── */

struct slot {
    struct scsi_task *task; /* NULL: free */
    unsigned nexus;
    enum { GATHERING, PENDING, ANSWERED, FETCHING } state;
    bool aborted;
    uint8_t *out, *in;
};

struct world {
    struct disk *disk;
    struct slow_store store;
    struct scsi_environment environment;
    struct scsi_lu *lu;
    struct scsi_target *target;
    struct scsi_nexus *nexus[NEXUSES];
    bool ending[NEXUSES];
    struct slot slots[TASKS];
    struct scsi_management functions[FUNCTIONS];
    bool listed[FUNCTIONS];
    uint64_t next_tag;
};

static void finish(struct slot *slot)
{
    struct scsi_task *task = slot->task;
    slot->task = NULL;
    scsi_task_finish(task);
    free(slot->out);
    free(slot->in);
    memset(slot, 0, sizeof(*slot));
}

static void look_at(const uint8_t *bytes, size_t length)
{
    volatile uint8_t sum = 0;
    check_leaving(bytes, length);
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
}

/* Looks at everything a transport would send. */
static void check_answer(const struct scsi_task *task)
{
    if (task->aborted)
        return;
    if (task->status == SCSI_STATUS_CHECK_CONDITION) {
        require(task->sense_bytes >= 8 && task->sense_bytes <= SCSI_SENSE_BYTES);
        look_at(task->sense, task->sense_bytes);
    }
    if (task->data_source == SCSI_DATA_MEMORY)
        look_at(task->parameter_data, task->data_in_bytes);
    if (task->data_source == SCSI_DATA_DEVICE)
        require(task->data_in_bytes <= SCSI_TRANSFER_LIMIT_BYTES);
}

static void answered(struct slot *slot)
{
    slot->state = ANSWERED;
    check_answer(slot->task);
    if (slot->aborted)
        finish(slot);
}

static void on_done(struct scsi_task *task)
{
    struct slot *slot = task->transport;
    require(slot->task == task && slot->state == PENDING);
    answered(slot);
}

static void on_fetched(struct scsi_task *task)
{
    struct slot *slot = task->transport;
    require(slot->task == task && slot->state == FETCHING);
    answered(slot);
}

static void on_abort(struct scsi_task *task, bool answer)
{
    struct slot *slot = task->transport;
    (void)answer;
    require(slot->task == task && task->aborted && !slot->aborted);
    slot->aborted = true;
    if (slot->state == GATHERING || slot->state == ANSWERED)
        finish(slot);
}

static const struct scsi_task_callbacks callbacks = {on_done, on_fetched, on_abort};

static void settle(struct slot *slot, enum scsi_verdict verdict)
{
    struct scsi_task *task = slot->task;
    if (verdict == SCSI_DONE && slot->state == PENDING) {
        answered(slot);
    } else if (verdict == SCSI_WANTS_DATA) {
        require(task->data_out_wanted_bytes > 0 &&
                task->data_out_wanted_bytes <= SCSI_TRANSFER_LIMIT_BYTES);
        slot->state = GATHERING;
    }
}

/* ── actions ─────────────────────────────────────────────────────────────────────────────────── */

static void act_command(struct world *world, struct input *input)
{
    static const uint16_t lengths[] = {0, 1, 511, 512, 1024, 4096, 8192, 65535};
    uint8_t where = take_byte(input), how = take_byte(input);
    unsigned nexus = where % NEXUSES;
    struct slot *slot = world->slots;
    while (slot < world->slots + TASKS && slot->task)
        slot++;
    if (slot == world->slots + TASKS || !world->nexus[nexus] || world->ending[nexus])
        return;
    struct scsi_task *task = scsi_task_new(world->nexus[nexus]);
    *slot = (struct slot){.task = task, .nexus = nexus, .state = PENDING};
    task->callbacks = &callbacks;
    task->transport = slot;
    task->tag = world->next_tag++;
    task->lun[1] = where & 0x80 ? 5 : 0;
    task->attribute = (enum scsi_attribute)(how % 5);
    task->data_out_expected_bytes = lengths[how >> 5];
    take_bytes(input, task->cdb, sizeof(task->cdb));
    settle(slot, scsi_task_start(task));
}

static void act_deliver(struct world *world, struct input *input)
{
    struct slot *slot = &world->slots[take_byte(input) % TASKS];
    if (!slot->task || slot->state != GATHERING)
        return;
    struct scsi_task *task = slot->task;
    uint32_t bytes = min_of(task->data_out_wanted_bytes, task->data_out_expected_bytes);
    slot->out = aligned_alloc(POOL_ALIGNMENT, round_up((size_t)bytes + 1, (size_t)POOL_ALIGNMENT));
    /* Parameters come from the input; the rest of a block is one byte again and again. */
    size_t given = min_of((size_t)bytes, (size_t)96);
    take_bytes(input, slot->out, given);
    memset(slot->out + given, given ? slot->out[0] : 0, bytes - given);
    task->data_out = slot->out;
    task->data_out_bytes = bytes;
    slot->state = PENDING;
    settle(slot, scsi_task_execute(task));
}

static void act_answer(struct world *world, struct input *input)
{
    struct slot *slot = &world->slots[take_byte(input) % TASKS];
    uint8_t what = take_byte(input);
    if (!slot->task || slot->state != ANSWERED)
        return;
    struct scsi_task *task = slot->task;
    if (task->data_source == SCSI_DATA_DEVICE && (what & 1)) {
        size_t length = min_of((size_t)task->data_in_bytes, (size_t)4096);
        slot->in = slot->in ? slot->in : malloc(4096);
        scsi_task_is_resident(task, 0, length);
        if (scsi_task_read_cached(task, slot->in, 0, length) >= 0)
            return;
        slot->state = FETCHING;
        scsi_task_fetch(task, slot->in, 0, length);
        return;
    }
    finish(slot);
}

static void on_managed(struct scsi_management *management, enum scsi_management_response response)
{
    bool *listed = management->context;
    (void)response;
    require(*listed);
    *listed = false;
}

static void act_manage(struct world *world, struct input *input)
{
    uint8_t which = take_byte(input), function = take_byte(input);
    unsigned nexus = which % NEXUSES, i = 0;
    while (i < FUNCTIONS && world->listed[i])
        i++;
    if (i == FUNCTIONS || !world->nexus[nexus] || world->ending[nexus])
        return;
    world->listed[i] = true;
    world->functions[i] = (struct scsi_management){
        .nexus = world->nexus[nexus],
        .function = (enum scsi_management_function)(function % (SCSI_QUERY_ASYNCHRONOUS_EVENT + 1)),
        .tag = world->next_tag - 1 - (which >> 4),
        .done = on_managed,
        .context = &world->listed[i],
    };
    scsi_manage(&world->functions[i]);
}

static void on_ended(void *context)
{
    struct scsi_nexus **nexus = context;
    require(*nexus != NULL);
    *nexus = NULL;
}

static void end_nexus(struct world *world, unsigned nexus)
{
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        if (world->listed[i] && world->functions[i].nexus == world->nexus[nexus]) {
            scsi_management_cancel(&world->functions[i]);
            world->listed[i] = false;
        }
    }
    world->ending[nexus] = true;
    scsi_nexus_end(world->nexus[nexus], on_ended, &world->nexus[nexus]);
}

static void open_nexus(struct world *world, unsigned nexus)
{
    char port[64];
    snprintf(port, sizeof(port), "iqn.2026-11.test:host%u,i,0x%u", nexus, nexus);
    world->nexus[nexus] = scsi_nexus_new(world->target, port, 1);
    world->ending[nexus] = false;
}

static void act_nexus(struct world *world, struct input *input)
{
    unsigned nexus = take_byte(input) % NEXUSES;
    if (!world->nexus[nexus])
        open_nexus(world, nexus);
    else if (!world->ending[nexus])
        end_nexus(world, nexus);
}

static void act_disk(struct world *world, struct input *input)
{
    uint8_t what = take_byte(input), value = take_byte(input);
    struct block_geometry *geometry = &world->disk->device.geometry;
    switch (what % 4) {
    case 0:
        disk_dispatch(world->disk, value % 16 + 1u);
        break;
    case 1:
        world->disk->fail_operations = value;
        break;
    case 2:
        geometry->blocks = DISK_BYTES / geometry->logical_block_bytes - value % 32;
        scsi_lu_device_changed(world->lu);
        break;
    case 3:
        world->disk->device.health = value % 8 == 7 ? BLOCK_GONE : BLOCK_HEALTHY;
        break;
    }
}

static void act_store(struct world *world, struct input *input)
{
    store_answer(&world->store, take_byte(input) % 4 == 3 ? -EIO : 0);
}

static void (*const actions[])(struct world *world, struct input *input) = {
    act_command, act_deliver, act_answer, act_disk, act_manage, act_nexus, act_store, act_command};

/* ── one life ────────────────────────────────────────────────────────────────────────────────── */

static struct world *world_new(uint8_t choice)
{
    struct world *world = calloc(1, sizeof(*world));
    world->disk = calloc(1, sizeof(*world->disk));
    uint32_t block_bytes = choice & 1 ? 4096 : 512;
    world->disk->device.operations = &disk_operations;
    world->disk->device.geometry = (struct block_geometry){
        .blocks = DISK_BYTES / block_bytes,
        .logical_block_bytes = block_bytes,
        .physical_block_bytes = 4096,
        .discard_granularity_bytes = choice & 2 ? block_bytes : 0,
        .discard_limit_bytes = choice & 2 ? 65536 : 0,
        .discard_zeroes = choice & 4,
    };
    world->store.store.put = store_put;
    world->environment.pool = pool_new(16u << 20, 1u << 20);
    world->environment.store = choice & 8 ? &world->store.store : NULL;
    struct scsi_lu_options options = {.vendor = "NETBOOT",
                                      .product = "fuzz",
                                      .serial = "1",
                                      .naa_bytes = 8,
                                      .allow_sanitize = choice & 16,
                                      .store_name = "fuzz"};
    world->lu = scsi_lu_new(&world->environment, &world->disk->device, &options);
    world->target = scsi_target_new("iqn.2026-11.test:target");
    scsi_target_add_lu(world->target, 0, world->lu);
    for (unsigned i = 0; i < NEXUSES; i++)
        open_nexus(world, i);
    return world;
}

static void world_free(struct world *world)
{
    for (unsigned i = 0; i < NEXUSES; i++) {
        if (world->nexus[i] && !world->ending[i])
            end_nexus(world, i);
    }
    while (world->disk->queue || world->store.done) {
        disk_dispatch(world->disk, 0);
        store_answer(&world->store, 0);
    }
    for (unsigned i = 0; i < NEXUSES; i++)
        require(world->nexus[i] == NULL);
    for (unsigned i = 0; i < TASKS; i++)
        require(world->slots[i].task == NULL);
    scsi_target_free(world->target);
    scsi_lu_free(world->lu);
    require(pool_taken_bytes(world->environment.pool) == 0);
    pool_free(world->environment.pool);
    free(world->disk);
    free(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct world *world = world_new(take_byte(&input));
    while (input.left > 0)
        actions[take_byte(&input) % ARRAY_SIZE(actions)](world, &input);
    world_free(world);
    return 0;
}
