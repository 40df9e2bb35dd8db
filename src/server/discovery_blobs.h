/*
 * discovery_blobs.h - kernels and initrds in memory: sealed memory files of the helper, mapped
 * read-only. Nobody can change or shorten them any more, so reading them never faults.
 */
#pragma once
#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/error.h>

struct mapped_blob {
    struct boot_blob blob;
    struct mapped_blob *prev, *next;
    struct discovery_blobs *all;
    uint64_t disk; /* from which it came */
    struct blob_memory *memory;
};

/* Of blobs with the same bytes, whichever disks they came from. */
struct blob_memory {
    void *data;
    unsigned references;
    bool counted; /* by whoever walks them */
};

/* Every blob there is. It must outlive them. */
struct discovery_blobs {
    struct mapped_blob *list;
};

/* Maps a memory file, or shares the memory of one that is the same, byte by byte: what a helper
 * says of a file is no proof. The descriptor stays the caller's. NULL: it is none that nobody can
 * change, or longer than `limit_bytes`; `error` says so. One reference. */
struct boot_blob *discovery_blob_map(struct discovery_blobs *all, uint64_t disk, int descriptor,
                                     uint64_t limit_bytes, struct error *error);
/* Only of the same disk: the digest is what a helper said that this disk may have taken over, and
 * none must slip its kernel to another one. NULL: there is none. Borrowed. */
struct boot_blob *discovery_blob_find(struct discovery_blobs *all, uint64_t disk,
                                      const uint8_t sha256[32], uint64_t bytes);
