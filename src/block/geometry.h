/* geometry.h - block sizes and limits as the kernel reports them; private to this room. */
#pragma once
#include "raw.h"
#include "sysfs.h"

/* Fills the geometry of `raw` and how it discards, from its open descriptor and location. */
int geometry_read(const struct system_root *root, struct raw_device *raw,
                  const struct block_open_options *options, struct error *error);
/* How many logical blocks the location has now: 0 or -errno. */
int geometry_count_blocks(const struct raw_device *raw, uint64_t *ret_blocks);
