/* claim.h - opening a disk as its only user; private to this room. */
#pragma once
#include "sysfs.h"

#include <netboot-target/block.h>

/* Opens for reading and writing, or reading alone, through the page cache. The descriptor carries
 * the claim: a writable block device is opened O_EXCL; a lock (shared where read-only) keeps apart
 * those who lock, on files and devices. -EBUSY names the holder. */
int claim_open(const struct system_root *root, const char *path,
               const struct block_open_options *options, int *ret_descriptor, struct error *error);
