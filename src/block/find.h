/* find.h - block_find() on any machine's /sys and /dev; private to this room. */
#pragma once
#include "probes.h"
#include "sysfs.h"

#include <netboot-target/block.h>

int find_in(struct probes *probes, const struct system_root *root, const char *specification,
            bool whole_disk, struct block_location *ret_location, struct error *error);
