/*
 * queue.h - room in the request queue of a kernel's device, private to this room.
 *
 * Whoever brings a request to a device whose queue is full waits until another one has ended, and
 * on a disk that hangs that is for ever: also a read with RWF_NOWAIT that misses the page cache (it
 * begins the read), and also one through io_uring. So the loop itself begins reads only where there
 * is room for certain; the others go to the device's worker threads. Of files the loop begins none:
 * a filesystem may read its own blocks first, or ask a server.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "sysfs.h"

struct raw_device;

struct queue {
    int inflight;           /* the disk's sysfs attribute; -1: there is none */
    unsigned limit;         /* of requests in flight up to which the loop may begin more; 0: none */
    uint32_t request_bytes; /* a longer read is several requests */
    unsigned in_ring;       /* requests, by estimate, of reads in the ring */
    unsigned seen;          /* requests of everybody, when it was looked the last time */
    uint64_t looked_ms;
    uint64_t dirty_until_ms; /* the kernel may write back by itself until then */
    bool quiet;              /* nothing of ours has been there since it was seen to be empty */
};

/* Closed, with no room. */
void queue_init(struct queue *queue);
void queue_open(struct raw_device *raw, const struct system_root *root);
void queue_done(struct queue *queue);

/* The kernel has taken the disk away. */
bool queue_is_lost(const struct queue *queue);

/* Something of ours is on its way there. */
void queue_disturb(struct queue *queue);
/* Pages were written that the kernel writes back when it likes. */
void queue_note_dirty(struct queue *queue);
/* The loop may try a read that is most likely a hit without asking whether it is one. */
bool queue_is_quiet(struct raw_device *raw);
/* The loop may begin this read; then it has, until queue_leave(). */
bool queue_enter(struct raw_device *raw, uint64_t length_bytes);
void queue_leave(struct raw_device *raw, uint64_t length_bytes);
