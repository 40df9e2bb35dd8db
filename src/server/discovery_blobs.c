/* discovery_blobs.c - see discovery_blobs.h */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utlist.h>

#include "discovery_blobs.h"

#include <netboot-target/util/array.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static void release(struct boot_blob *blob)
{
    struct mapped_blob *mapped = container_of(blob, struct mapped_blob, blob);
    DL_DELETE(mapped->all->list, mapped);
    munmap((void *)blob->data, blob->bytes);
    free(mapped);
}

struct boot_blob *discovery_blob_map(struct discovery_blobs *all, uint64_t disk, int descriptor,
                                     uint64_t limit_bytes, struct error *error)
{
    struct stat status;
    int seals = fcntl(descriptor, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(descriptor, &status) < 0) {
        error_set(error, -EPROTO, "the helper sent a file that can still be changed");
        return NULL;
    }
    uint64_t bytes = (uint64_t)status.st_size;
    if (!bytes || bytes > limit_bytes) {
        error_set(error, -EFBIG, "the helper sent a file of %llu bytes", (unsigned long long)bytes);
        return NULL;
    }
    struct mapped_blob *mapped = calloc(1, sizeof *mapped);
    void *data = mapped ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0) : MAP_FAILED;
    if (data == MAP_FAILED) {
        free(mapped);
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    mapped->all = all;
    mapped->disk = disk;
    mapped->blob =
        (struct boot_blob){.data = data, .bytes = bytes, .references = 1, .release = release};
    DL_APPEND(all->list, mapped);
    return &mapped->blob;
}

struct boot_blob *discovery_blob_find(struct discovery_blobs *all, uint64_t disk,
                                      const uint8_t sha256[32], uint64_t bytes)
{
    struct mapped_blob *mapped;
    DL_FOREACH (all->list, mapped)
        if (mapped->disk == disk && mapped->blob.bytes == bytes &&
            !memcmp(mapped->blob.sha256, sha256, 32))
            return &mapped->blob;
    return NULL;
}
