/* claim.h - opening a disk as its only user; private to this room. */
#pragma once
#include <pthread.h>

#include "sysfs.h"

#include <netboot-target/block.h>

/* What one block_io has claimed. Several devices may be parts of one disk (partitions without
 * nodes), which the kernel lets be claimed once: they share that claim. */
struct claims {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct claimed_disk *disks;
};

/* One device's part in it. */
struct claim;

void claims_init(struct claims *claims);
void claims_done(struct claims *claims); /* every claim is released */

/* Opens for reading and writing, or reading alone, through the page cache. A writable block device
 * is claimed with O_EXCL; a lock (shared where read-only) keeps apart those who lock, on files and
 * devices. -EBUSY names the holder. Any thread. */
int claim_open(struct claims *claims, const struct system_root *root,
               const struct block_location *location, const struct block_open_options *options,
               struct claim **ret_claim, int *ret_descriptor, struct error *error);
void claim_release(struct claim *claim); /* NULL is fine */

/* Carries the claim itself: of others than its holder the kernel does not take discards of what is
 * in the page cache. Where the claim is for writing it is open for that, until its release. */
int claim_descriptor(const struct claim *claim);
