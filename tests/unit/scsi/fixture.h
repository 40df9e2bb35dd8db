/*
 * fixture.h - a target with one LUN on a disk in memory, nexuses, and a transport that carries
 * tasks through: what every test of this room starts from. Requests complete from disk_dispatch(),
 * so that tests own the order of events.
 */
#pragma once
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <utlist.h>

#include <netboot-target/block.h>
#include <netboot-target/scsi.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/pool.h>

#define DISK_BLOCKS 4096
#define BLOCK       512

/* ── a disk ──────────────────────────────────────────────────────────────────────────────────── */

struct disk {
    struct block_device device; /* first */
    uint8_t *bytes;
    struct block_request *queue;
    bool absent;              /* nothing is in the page cache */
    unsigned fail_operations; /* bits */
    int fail_result;
    uint64_t fail_offset;
    unsigned submitted[BLOCK_OPERATION_COUNT];
    unsigned past_cache; /* of the reads */
};

static void disk_submit(struct block_device *device, struct block_request *request)
{
    struct disk *disk = (struct disk *)device;
    disk->submitted[request->operation]++;
    disk->past_cache += request->past_cache;
    DL_APPEND2(disk->queue, request, previous, next);
}

static enum block_residency disk_residency(struct block_device *device, uint64_t offset,
                                           uint64_t length)
{
    (void)offset;
    (void)length;
    return ((struct disk *)device)->absent ? BLOCK_ABSENT : BLOCK_RESIDENT;
}

static ssize_t disk_read_cached(struct block_device *device, void *buffer, uint64_t offset,
                                size_t length)
{
    struct disk *disk = (struct disk *)device;
    if (disk->absent)
        return -EAGAIN;
    memcpy(buffer, disk->bytes + offset, length);
    return (ssize_t)length;
}

static ssize_t disk_send(struct block_device *device, int socket, uint64_t offset, size_t length)
{
    (void)device;
    (void)socket;
    (void)offset;
    (void)length;
    return -EOPNOTSUPP;
}

static void disk_close(struct block_device *device)
{
    (void)device;
}

static void disk_carry_out(struct disk *disk, struct block_request *request)
{
    uint64_t size = disk->device.geometry.blocks * disk->device.geometry.logical_block_bytes;
    uint8_t *at = disk->bytes + request->offset_bytes;
    request->result = 0;
    if (disk->fail_operations & (1u << request->operation)) {
        request->result = disk->fail_result;
        request->error_offset_bytes = disk->fail_offset;
        return;
    }
    if (request->operation == BLOCK_FLUSH)
        return;
    if (request->offset_bytes > size || request->length_bytes > size - request->offset_bytes) {
        request->result = -ENXIO;
        return;
    }
    switch (request->operation) {
    case BLOCK_READ:
        memcpy(request->buffer, at, request->length_bytes);
        break;
    case BLOCK_WRITE:
        assert_int_equal((uintptr_t)request->buffer % POOL_ALIGNMENT, 0);
        memcpy(at, request->buffer, request->length_bytes);
        break;
    case BLOCK_DISCARD:
    case BLOCK_WRITE_ZEROES:
        memset(at, 0, request->length_bytes);
        break;
    default:
        break;
    }
}

/* Completes the oldest `limit` requests; 0: all, also those their callbacks submit. */
static unsigned disk_dispatch(struct disk *disk, unsigned limit)
{
    unsigned count = 0;
    while (disk->queue && (limit == 0 || count < limit)) {
        struct block_request *request = disk->queue;
        DL_DELETE2(disk->queue, request, previous, next);
        disk_carry_out(disk, request);
        request->done(request);
        count++;
    }
    return count;
}

static const struct block_device_operations disk_operations = {
    .name = "memory",
    .submit = disk_submit,
    .residency = disk_residency,
    .read_cached = disk_read_cached,
    .send = disk_send,
    .close = disk_close,
};

/* ── a store ─────────────────────────────────────────────────────────────────────────────────── */

struct memory_store {
    struct store store; /* first */
    char name[129];
    uint8_t record[1 << 16];
    size_t length;
    unsigned puts;
    bool waits; /* answer only from store_answer() */
    int result;
    store_done done;
    void *context;
};

static void memory_store_put(struct store *store, const char *name, const void *data, size_t length,
                             store_done done, void *context)
{
    struct memory_store *memory = (struct memory_store *)store;
    assert_true(length <= sizeof(memory->record));
    snprintf(memory->name, sizeof(memory->name), "%s", name);
    memcpy(memory->record, data, length);
    memory->length = length;
    memory->puts++;
    memory->done = done;
    memory->context = context;
    if (!memory->waits)
        done(context, memory->result);
}

static void __attribute__((unused)) store_answer(struct memory_store *memory, int result)
{
    memory->done(memory->context, result);
}

/* ── the fixture ─────────────────────────────────────────────────────────────────────────────── */

#define NEXUSES 3

struct fixture {
    struct pool *pool;
    struct memory_store store;
    struct scsi_environment environment;
    struct disk disk;
    struct scsi_lu_options options;
    struct scsi_lu *lu;
    struct scsi_target *target;
    struct scsi_nexus *nexus[NEXUSES];
    unsigned ended;
};

/* One command on its way. */
struct io {
    struct scsi_task *task;
    uint8_t *out;
    bool done, aborted, answer, finished, keep; /* keep: not finished by abort */
    unsigned fetched;
    uint8_t status;
    unsigned key;
    unsigned asc_ascq;
    uint8_t sense[SCSI_SENSE_BYTES];
    unsigned sense_bytes;
    uint8_t *in;
    uint64_t in_bytes;
    enum scsi_data_source source;
    uint32_t wanted;
};

static void io_decode_sense(struct io *io)
{
    bool descriptor = (io->sense[0] & 0x7f) >= 0x72;
    io->key = io->sense[descriptor ? 1 : 2] & 0x0fu;
    io->asc_ascq = load_be16(io->sense + (descriptor ? 2 : 12));
}

static void io_finish(struct io *io)
{
    struct scsi_task *task = io->task;
    io->status = task->status;
    io->sense_bytes = task->sense_bytes;
    memcpy(io->sense, task->sense, sizeof(io->sense));
    io_decode_sense(io);
    io->in_bytes = task->data_in_bytes;
    io->source = task->data_source;
    if (task->data_source == SCSI_DATA_MEMORY) {
        io->in = calloc(1, io->in_bytes + 1);
        memcpy(io->in, task->parameter_data, io->in_bytes);
    }
    io->finished = true;
    scsi_task_finish(task);
    io->task = NULL;
}

static void on_done(struct scsi_task *task)
{
    struct io *io = task->transport;
    io->done = true;
    if (io->aborted)
        io_finish(io);
}

static void on_fetched(struct scsi_task *task)
{
    struct io *io = task->transport;
    io->fetched++;
}

/* As a transport does: finished at once when neither execute nor fetch is under way. */
static void on_abort(struct scsi_task *task, bool answer)
{
    struct io *io = task->transport;
    io->aborted = true;
    io->answer = answer;
    if (io->done && !io->keep)
        io_finish(io);
}

static const struct scsi_task_callbacks callbacks = {
    .done = on_done, .fetched = on_fetched, .abort = on_abort};

static void fixture_geometry(struct fixture *f)
{
    f->disk.device.geometry = (struct block_geometry){
        .blocks = DISK_BLOCKS,
        .logical_block_bytes = BLOCK,
        .physical_block_bytes = BLOCK,
        .discard_granularity_bytes = BLOCK,
        .discard_limit_bytes = 1 << 20,
        .discard_zeroes = true,
    };
}

static void nexus_open(struct fixture *f, unsigned i)
{
    char port[64];
    snprintf(port, sizeof(port), "iqn.2026-11.test:host%u,i,0x00023d00000%u", i, i);
    f->nexus[i] = scsi_nexus_new(f->target, port, 1);
    assert_non_null(f->nexus[i]);
}

static void fixture_open(struct fixture *f)
{
    f->lu = scsi_lu_new(&f->environment, &f->disk.device, &f->options);
    f->target = scsi_target_new("iqn.2026-11.test:target");
    assert_int_equal(scsi_target_add_lu(f->target, 0, f->lu), 0);
    for (unsigned i = 0; i < NEXUSES; i++)
        nexus_open(f, i);
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->pool = pool_new(64u << 20, 4u << 20);
    f->store.store.put = memory_store_put;
    f->environment = (struct scsi_environment){.pool = f->pool, .store = &f->store.store};
    f->disk.device.operations = &disk_operations;
    f->disk.device.write_mode = "memory";
    f->disk.device.path = "memory";
    f->disk.bytes = calloc(DISK_BLOCKS, 4096);
    fixture_geometry(f);
    f->options = (struct scsi_lu_options){
        .vendor = "NETBOOT",
        .product = "disk",
        .revision = "1",
        .serial = "0123456789abcdef",
        .naa = {0x30, 1, 2, 3, 4, 5, 6, 7},
        .naa_bytes = 8,
        .rotation_rate = 1,
        .store_name = "reservations.test",
    };
}

static void on_ended(void *context)
{
    struct fixture *f = context;
    f->ended++;
}

static void fixture_close(struct fixture *f)
{
    f->ended = 0;
    for (unsigned i = 0; i < NEXUSES; i++) {
        if (f->nexus[i])
            scsi_nexus_end(f->nexus[i], on_ended, f);
        else
            f->ended++;
        f->nexus[i] = NULL;
    }
    if (f->ended < NEXUSES) /* somebody waits for the disk */
        disk_dispatch(&f->disk, 0);
    scsi_target_free(f->target);
    scsi_lu_free(f->lu);
    disk_dispatch(&f->disk, 0);
    f->ended = 0;
}

static void fixture_done(struct fixture *f)
{
    fixture_close(f);
    assert_int_equal(pool_taken_bytes(f->pool), 0);
    pool_free(f->pool);
    free(f->disk.bytes);
}

/* ── commands ────────────────────────────────────────────────────────────────────────────────── */

struct request {
    uint8_t cdb[SCSI_CDB_BYTES];
    const void *out;
    uint32_t out_bytes;
    uint32_t in_bytes;
    uint8_t lun;
    enum scsi_attribute attribute;
    uint64_t tag;
};

/* Allocates the task and starts it; data-out is delivered by io_deliver(). */
static enum scsi_verdict io_start(struct scsi_nexus *nexus, struct io *io,
                                  const struct request *request)
{
    memset(io, 0, sizeof(*io));
    struct scsi_task *task = scsi_task_new(nexus);
    assert_non_null(task);
    io->task = task;
    task->callbacks = &callbacks;
    task->transport = io;
    task->lun[1] = request->lun;
    task->tag = request->tag;
    task->attribute = request->attribute;
    task->data_out_expected_bytes = request->out_bytes;
    task->data_in_expected_bytes = request->in_bytes;
    memcpy(task->cdb, request->cdb, sizeof(task->cdb));
    enum scsi_verdict verdict = scsi_task_start(task);
    io->wanted = task->data_out_wanted_bytes;
    io->done = verdict != SCSI_PENDING; /* nothing under way: an abort may finish it */
    return verdict;
}

static enum scsi_verdict io_deliver(struct io *io, const void *out, uint32_t out_bytes)
{
    struct scsi_task *task = io->task;
    size_t room = round_up((size_t)task->data_out_wanted_bytes + 1, (size_t)POOL_ALIGNMENT);
    io->out = aligned_alloc(POOL_ALIGNMENT, room);
    task->data_out = io->out;
    task->data_out_bytes = min_of(task->data_out_wanted_bytes, out_bytes);
    if (task->data_out_bytes)
        memcpy(io->out, out, task->data_out_bytes);
    io->done = false;
    enum scsi_verdict verdict = scsi_task_execute(task);
    if (verdict == SCSI_DONE)
        io->done = true;
    return verdict;
}

static enum scsi_verdict io_begin(struct scsi_nexus *nexus, struct io *io,
                                  const struct request *request)
{
    enum scsi_verdict verdict = io_start(nexus, io, request);
    if (verdict == SCSI_WANTS_DATA)
        verdict = io_deliver(io, request->out, request->out_bytes);
    return verdict;
}

static void io_free(struct io *io)
{
    free(io->out);
    free(io->in);
    memset(io, 0, sizeof(*io));
}

/* To the end, with all the disk's work in between. The caller frees. */
static void io_run(struct fixture *f, struct scsi_nexus *nexus, struct io *io,
                   const struct request *request)
{
    if (io_begin(nexus, io, request) == SCSI_PENDING)
        disk_dispatch(&f->disk, 0);
    assert_true(io->done);
    io_finish(io);
}

#define CDB(...) .cdb = {__VA_ARGS__}

/* Runs one and checks its status; for CHECK CONDITION also key and ASC/ASCQ. */
static void __attribute__((unused))
expect_status(struct fixture *f, unsigned nexus, struct request request, uint8_t status)
{
    struct io io;
    io_run(f, f->nexus[nexus], &io, &request);
    if (io.status != status)
        print_error("%s: status %02x, sense %x/%04x\n", scsi_opcode_name(request.cdb), io.status,
                    io.key, io.asc_ascq);
    assert_int_equal(io.status, status);
    io_free(&io);
}

static void __attribute__((unused))
expect_sense(struct fixture *f, unsigned nexus, struct request request, unsigned key,
             unsigned asc_ascq)
{
    struct io io;
    io_run(f, f->nexus[nexus], &io, &request);
    if (io.status != SCSI_STATUS_CHECK_CONDITION || io.key != key || io.asc_ascq != asc_ascq)
        print_error("%s: status %02x, sense %x/%04x\n", scsi_opcode_name(request.cdb), io.status,
                    io.key, io.asc_ascq);
    assert_int_equal(io.status, SCSI_STATUS_CHECK_CONDITION);
    assert_int_equal(io.key, key);
    assert_int_equal(io.asc_ascq, asc_ascq);
    io_free(&io);
}

#define expect_good(f, nexus, ...) expect_status(f, nexus, (struct request){__VA_ARGS__}, 0)
#define expect_conflict(f, nexus, ...) \
    expect_status(f, nexus, (struct request){__VA_ARGS__}, SCSI_STATUS_RESERVATION_CONFLICT)
#define expect_error(f, nexus, key, asc_ascq, ...) \
    expect_sense(f, nexus, (struct request){__VA_ARGS__}, key, asc_ascq)

#define CDB_TUR CDB(0, 0, 0, 0, 0, 0)

/* The attention every nexus begins with. */
static void __attribute__((unused)) clear_attentions(struct fixture *f)
{
    for (unsigned i = 0; i < NEXUSES; i++) {
        struct io io;
        do {
            struct request request = {CDB_TUR};
            io_run(f, f->nexus[i], &io, &request);
            io_free(&io);
        } while (io.status == SCSI_STATUS_CHECK_CONDITION);
    }
}

static int __attribute__((unused)) fixture_setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    fixture_init(f);
    fixture_open(f);
    *state = f;
    struct io io;
    for (unsigned i = 0; i < NEXUSES; i++) {
        struct request request = {CDB_TUR};
        io_run(f, f->nexus[i], &io, &request);
        io_free(&io);
    }
    return 0;
}

static int __attribute__((unused)) fixture_teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

#define scsi_test(function) \
    cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
