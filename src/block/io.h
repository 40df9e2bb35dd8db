/*
 * io.h - how requests of raw devices are carried out, private to this room.
 *
 * The loop admits a request and hands it to an engine. Writes, flushes, discards and whatever else
 * may wait run on worker threads (engine_threads.c); reads go to an io_uring where there is one
 * (engine_uring.c). An engine ends a request on the loop, from block_io_dispatch().
 */
#pragma once
#include "claim.h"
#include "probes.h"
#include "raw.h"

struct ring;

struct block_io {
    struct workers *workers;
    unsigned workers_per_device;
    struct claims claims;
    struct probes *probes;
    struct ring *ring;             /* NULL: reads are for the threads as well */
    struct block_request *refused; /* their result says why; they end at the next dispatch */
};

/* engine_threads.c: makes it a job, which a worker begins after the next kick. */
void threads_start(struct block_request *request);

/* engine_uring.c */
int ring_new(struct ring **ret_ring);
void ring_free(struct ring *ring);
int ring_descriptor(const struct ring *ring);
/* A read has not ended yet. */
bool ring_is_busy(const struct ring *ring);
/* Puts a read into the submission queue. False: it is full. */
bool ring_read(struct ring *ring, struct block_request *request);
/* False: the kernel would not take all (short of memory); kick again soon. */
bool ring_kick(struct ring *ring);
/* Ends the reads that are done. Returns how many. */
unsigned ring_dispatch(struct ring *ring);
