/* probe.h - what libblkid reads from a disk itself; private to this room. */
#pragma once
#include <blkid/blkid.h>
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/util/cleanup.h>

static inline void cleanup_probe(blkid_probe *probe)
{
    if (*probe)
        blkid_free_probe(*probe);
}

#define _cleanup_probe_ _cleanup_(cleanup_probe)

/* A probe over a range of an open disk (length 0: all of it); NULL where it cannot be. */
static inline blkid_probe probe_new(int descriptor, uint64_t offset_bytes, uint64_t length_bytes)
{
    blkid_probe probe = blkid_new_probe();
    if (probe && blkid_probe_set_device(probe, descriptor, (blkid_loff_t)offset_bytes,
                                        (blkid_loff_t)length_bytes) < 0) {
        blkid_free_probe(probe);
        probe = NULL;
    }
    return probe;
}

/* libblkid counts the blocks of a partition table in these, whatever the disk does. */
#define PROBE_SECTOR_BYTES 512u
