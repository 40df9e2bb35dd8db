/*
 * raw.h - a block device of the kernel, a regular file, or a range of either, private to this room.
 *
 * Two descriptors: `buffered` carries the reads through the page cache and flushes; `direct`
 * carries what goes past the page cache. A write must be synchronous there: only then does the
 * kernel drop a page that a reader brought back meanwhile, which an asynchronous direct write to a
 * block device leaves stale for good.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "device.h"
#include "queue.h"

struct raw_device {
    struct block_device device;
    struct block_io *io;
    char *path;
    struct claim *claim;
    int claimed; /* of the claim, for discards */
    int buffered;
    int direct; /* -1: the device cannot */
    bool is_file;
    bool writes_direct;
    bool discard_by_punching; /* else BLKDISCARD */
    uint64_t base_bytes;      /* where the location begins */
    uint64_t limit_bytes;     /* of the location; 0: to the end */

    struct queue queue;

    struct job_queue *transfers; /* all but these two: */
    /* One thread, which takes many at once: a copy costs less than waking a thread for it. */
    struct job_queue *buffered_writes;
    struct job_queue *flushes;

    /* Writes no worker has begun, for merging. */
    pthread_mutex_t lock;
    struct block_request *waiting_writes;

    /* Set by the worker that saw the fault, so that no write begun later is acknowledged. */
    atomic_bool latched;
    /* Of two flushes at once one alone is told of a lost page: they follow each other. */
    pthread_mutex_t flush_lock;
    atomic_uint doubts; /* writes that have just failed and may have been told of a lost page */
    atomic_ullong dirty_bytes; /* written into the page cache since write-back was started */
    struct job write_back;     /* on the thread of flushes, so that no write waits for it */
    bool writing_back;

    struct job observation; /* of a file's size, on the thread of flushes */
    bool observing;
    uint64_t observed_blocks; /* 0: it is gone */

    struct block_request *flushing;      /* these wait for the running flush */
    struct block_request *waiting_flush; /* these came later and need another one */

    struct residency {
        enum { RESIDENCY_UNASKED, RESIDENCY_CACHESTAT, RESIDENCY_MINCORE, RESIDENCY_NONE } way;
        uint8_t *map; /* of the whole device, never touched, for mincore(2) */
        uint64_t map_bytes;
        uint64_t unsettled_until_ms;
    } residency;
};

static inline struct raw_device *raw_of(struct block_device *device)
{
    return (struct raw_device *)device;
}

/* The size in bytes of what an open descriptor stands for: 0 or -errno. */
int raw_size(int descriptor, uint64_t *ret_bytes);

/* residency.c */
enum block_residency residency_ask(struct raw_device *raw, uint64_t offset_bytes,
                                   uint64_t length_bytes);
/* Pages are on their way into the cache: what is present may not be up to date yet. */
void residency_unsettle(struct raw_device *raw);
void residency_done(struct raw_device *raw);

/* transfer.c: on a worker; each waits for the disk and returns 0 or -errno. */
int transfer_read(struct raw_device *raw, struct block_request *request);
/* `count` writes that follow each other without a gap, as one. */
#define TRANSFER_MERGE_LIMIT 64
int transfer_write(struct raw_device *raw, struct block_request *const requests[], unsigned count);
int transfer_flush(struct raw_device *raw);
/* Whether enough has been written into the page cache to start its way to the disk; true once. */
bool transfer_write_back_due(struct raw_device *raw);
int transfer_write_back(struct raw_device *raw);
int transfer_discard(struct raw_device *raw, const struct block_request *request);
int transfer_write_zeroes(struct raw_device *raw, const struct block_request *request);
int transfer_prefetch(struct raw_device *raw, const struct block_request *request);
