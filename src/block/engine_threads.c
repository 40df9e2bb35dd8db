/*
 * engine_threads.c - requests on worker threads. Every request is a job of its device's queue. A
 * write takes those waiting writes along that begin where it ends, in one system call.
 */
#include <errno.h>
#include <utlist.h>

#include "io.h"

#include <netboot-target/util/array.h>

#define MERGE_BYTES_LIMIT  (1u << 20)
#define MERGE_SEARCH_LIMIT 32u /* waiting writes looked at for the next one */

static struct block_request *request_of(struct job *job)
{
    return container_of(job, struct block_request, job);
}

static void end_one(struct job *job)
{
    struct block_request *request = request_of(job);
    block_request_complete(request, request->result);
}

/* ── writes ──────────────────────────────────────────────────────────────────────────────────── */

static struct job_queue *writes_of(const struct raw_device *raw)
{
    return raw->writes_direct ? raw->transfers : raw->buffered_writes;
}

/* With the lock held: a waiting write that begins at `at`, taken out of its queue. */
static struct block_request *take_adjacent(struct raw_device *raw, uint64_t at, bool fua)
{
    unsigned looked_at = 0;
    struct block_request *request;
    DL_FOREACH2 (raw->waiting_writes, request, next) {
        if (request->offset_bytes == at && request->fua == fua)
            break;
        if (++looked_at == MERGE_SEARCH_LIMIT)
            return NULL;
    }
    if (!request || !job_queue_cancel(writes_of(raw), &request->job))
        return NULL; /* none, or another worker has begun it */
    DL_DELETE2(raw->waiting_writes, request, previous, next);
    return request;
}

static unsigned collect_writes(struct raw_device *raw, struct block_request *first,
                               struct block_request *batch[TRANSFER_MERGE_LIMIT])
{
    unsigned count = 0;
    uint64_t end = first->offset_bytes;
    pthread_mutex_lock(&raw->lock);
    DL_DELETE2(raw->waiting_writes, first, previous, next);
    struct block_request *request = first;
    while (request) {
        batch[count++] = request;
        end += request->length_bytes;
        bool full = count == TRANSFER_MERGE_LIMIT || end - first->offset_bytes >= MERGE_BYTES_LIMIT;
        request = full ? NULL : take_adjacent(raw, end, first->fua);
    }
    pthread_mutex_unlock(&raw->lock);
    return count;
}

static void run_write(struct job *job)
{
    struct block_request *first = request_of(job);
    struct raw_device *raw = raw_of(first->device);
    struct block_request *batch[TRANSFER_MERGE_LIMIT];
    unsigned count = collect_writes(raw, first, batch);
    int result = transfer_write(raw, batch, count);
    first->next = NULL;
    for (unsigned i = 0; i < count; i++) {
        /* One bad block must not fail its neighbours. */
        batch[i]->result = result < 0 && count > 1 ? transfer_write(raw, &batch[i], 1) : result;
        batch[i]->next = i + 1 < count ? batch[i + 1] : NULL;
    }
}

static void run_write_back(struct job *job)
{
    (void)transfer_write_back(container_of(job, struct raw_device, write_back));
}

static void end_write_back(struct job *job)
{
    struct raw_device *raw = container_of(job, struct raw_device, write_back);
    raw->writing_back = false;
    if (atomic_load(&raw->latched))
        block_device_latch(&raw->device, "write-back", -EIO);
    block_device_release(&raw->device);
}

static void begin_write_back(struct raw_device *raw)
{
    raw->writing_back = true;
    raw->write_back.run = run_write_back;
    raw->write_back.done = end_write_back;
    block_device_hold(&raw->device);
    job_queue_submit(raw->flushes, &raw->write_back);
}

static void end_writes(struct job *job)
{
    struct block_request *request = request_of(job);
    struct raw_device *raw = raw_of(request->device);
    if (!raw->writes_direct)
        queue_note_dirty(&raw->queue);
    if (!raw->writing_back && transfer_write_back_due(raw))
        begin_write_back(raw);
    while (request) {
        struct block_request *next = request->next;
        if (request->result < 0 && atomic_load(&raw->latched))
            block_device_latch(&raw->device, "write", request->result);
        block_request_complete(request, request->result);
        request = next;
    }
}

/* ── flushes ─────────────────────────────────────────────────────────────────────────────────── */

static void run_flush(struct job *job)
{
    struct block_request *request = request_of(job);
    request->result = transfer_flush(raw_of(request->device));
}

static void end_flushes(struct job *job);

/* One flush serves all that were submitted before it begins. */
static void begin_flush(struct raw_device *raw)
{
    raw->flushing = raw->waiting_flush;
    raw->waiting_flush = NULL;
    if (!raw->flushing)
        return;
    raw->flushing->job.run = run_flush;
    raw->flushing->job.done = end_flushes;
    job_queue_submit(raw->flushes, &raw->flushing->job);
}

/* After a failure the kernel would call the next flush a success, though what it should have saved
 * is lost: those that wait fail as well. */
static void end_flushes(struct job *job)
{
    struct raw_device *raw = raw_of(request_of(job)->device);
    int result = request_of(job)->result;
    struct block_request *served = raw->flushing;
    raw->flushing = NULL;
    if (result < 0)
        DL_CONCAT2(served, raw->waiting_flush, previous, next);
    if (result < 0)
        raw->waiting_flush = NULL;
    begin_flush(raw);
    while (served) {
        struct block_request *request = served;
        DL_DELETE2(served, request, previous, next);
        block_request_complete(request, result);
    }
}

/* ── the rest ────────────────────────────────────────────────────────────────────────────────── */

static void run_read(struct job *job)
{
    struct block_request *request = request_of(job);
    request->result = transfer_read(raw_of(request->device), request);
}

static void run_discard(struct job *job)
{
    struct block_request *request = request_of(job);
    request->result = transfer_discard(raw_of(request->device), request);
}

static void run_write_zeroes(struct job *job)
{
    struct block_request *request = request_of(job);
    request->result = transfer_write_zeroes(raw_of(request->device), request);
}

static void run_prefetch(struct job *job)
{
    struct block_request *request = request_of(job);
    request->result = transfer_prefetch(raw_of(request->device), request);
}

static const struct {
    void (*run)(struct job *job);
    void (*done)(struct job *job);
} jobs[BLOCK_OPERATION_COUNT] = {
    [BLOCK_READ] = {run_read,         end_one   },
    [BLOCK_WRITE] = {run_write,        end_writes},
    [BLOCK_DISCARD] = {run_discard,      end_one   },
    [BLOCK_WRITE_ZEROES] = {run_write_zeroes, end_writes},
    [BLOCK_PREFETCH] = {run_prefetch,     end_one   },
};

void threads_start(struct block_request *request)
{
    struct raw_device *raw = raw_of(request->device);
    if (request->operation == BLOCK_FLUSH) {
        DL_APPEND2(raw->waiting_flush, request, previous, next);
        if (!raw->flushing)
            begin_flush(raw);
        return;
    }
    request->job.run = jobs[request->operation].run;
    request->job.done = jobs[request->operation].done;
    if (request->operation == BLOCK_WRITE) {
        pthread_mutex_lock(&raw->lock);
        DL_APPEND2(raw->waiting_writes, request, previous, next);
        pthread_mutex_unlock(&raw->lock);
        job_queue_submit(writes_of(raw), &request->job);
    } else {
        request->next = NULL;
        job_queue_submit(raw->transfers, &request->job);
    }
}
