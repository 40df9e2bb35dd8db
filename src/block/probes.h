/*
 * probes.h - looking at disks of which any may hang, private to this room. Whoever searches all
 * disks must come back from a search, whatever one of them does.
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

struct probes;

/* How long a disk is waited for: some have to start turning first. */
#define PROBES_PATIENCE_MS 20000u

struct probe_work {
    void (*run)(struct probe_work *work);  /* waits for the disk */
    void (*free)(struct probe_work *work); /* when nobody waits for it any more */

    /* private to probes.c */
    struct probes *probes;
    dev_t disk;
    unsigned long long deadline_ms;
    bool done, abandoned;
    struct probe_work *prev, *next;
};

struct probes *probes_new(unsigned patience_ms);
/* Work that still hangs goes on by itself, and touches nobody. NULL is fine. */
void probes_free(struct probes *probes);

/* Runs work on a thread of its own, one at a time for each disk; any thread may call. 0: it has
 * run. -ETIMEDOUT: it has not come back in time, and belongs to its thread now. -EBUSY: an earlier
 * one has not, and this one was not begun. -ENOMEM, -EAGAIN: no thread. */
int probes_run(struct probes *probes, dev_t disk, struct probe_work *work);
