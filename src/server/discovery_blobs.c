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
    if (!--mapped->memory->references) {
        munmap(mapped->memory->data, blob->bytes);
        free(mapped->memory);
    }
    free(mapped);
}

/* One reference; NULL: out of memory. Files of one size mostly differ within their first pages;
 * those of one disk are not compared, or it could keep the loop busy with many that are nearly the
 * same. */
static struct blob_memory *map(const struct discovery_blobs *all, uint64_t disk, int descriptor,
                               uint64_t bytes)
{
    const struct mapped_blob *other;
    struct blob_memory *memory = calloc(1, sizeof *memory);
    void *data = memory ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0) : MAP_FAILED;
    if (data == MAP_FAILED) {
        free(memory);
        return NULL;
    }
    *memory = (struct blob_memory){.data = data, .references = 1};
    DL_FOREACH (all->list, other) {
        if (other->disk == disk || other->blob.bytes != bytes ||
            memcmp(other->blob.data, data, bytes) != 0)
            continue;
        munmap(data, bytes);
        free(memory);
        other->memory->references++;
        return other->memory;
    }
    return memory;
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
    struct blob_memory *memory = mapped ? map(all, disk, descriptor, bytes) : NULL;
    if (!memory) {
        free(mapped);
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    mapped->memory = memory;
    mapped->all = all;
    mapped->disk = disk;
    mapped->blob = (struct boot_blob){
        .data = memory->data, .bytes = bytes, .references = 1, .release = release};
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
