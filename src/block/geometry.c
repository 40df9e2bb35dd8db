/* geometry.c - see geometry.h */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "geometry.h"

#include <netboot-target/util/array.h>

#define LOGICAL_BLOCK_LIMIT      4096u
#define FILE_LOGICAL_BLOCK       512u
#define FILE_PHYSICAL_BLOCK      4096u
#define FILE_DISCARD_LIMIT_BYTES (1ull << 32)

int raw_size(int descriptor, uint64_t *ret_bytes)
{
    struct stat status;
    if (fstat(descriptor, &status) < 0)
        return -errno;
    if (S_ISREG(status.st_mode)) {
        *ret_bytes = (uint64_t)status.st_size;
        return 0;
    }
    return ioctl(descriptor, BLKGETSIZE64, ret_bytes) < 0 ? -errno : 0;
}

int geometry_count_blocks(const struct raw_device *raw, uint64_t *ret_blocks)
{
    uint64_t bytes = 0;
    int r = raw_size(raw->buffered, &bytes);
    if (r < 0)
        return r;
    bytes -= min_of(bytes, raw->base_bytes);
    if (raw->limit_bytes)
        bytes = min_of(bytes, raw->limit_bytes);
    *ret_blocks = bytes / raw->device.geometry.logical_block_bytes;
    return 0;
}

/* Punching beyond the end changes nothing, but asks the filesystem whether it can. */
static bool file_can_punch(int descriptor, uint64_t size)
{
    return !fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t)round_up(size, (uint64_t)FILE_PHYSICAL_BLOCK) + FILE_PHYSICAL_BLOCK,
                      FILE_PHYSICAL_BLOCK);
}

static int read_file(struct raw_device *raw, bool discard)
{
    struct block_geometry *geometry = &raw->device.geometry;
    uint64_t size = 0;
    int r = raw_size(raw->buffered, &size);
    if (r < 0)
        return r;
    geometry->logical_block_bytes = FILE_LOGICAL_BLOCK;
    geometry->physical_block_bytes = FILE_PHYSICAL_BLOCK;
    if (discard && file_can_punch(raw->buffered, size)) {
        raw->discard_by_punching = true;
        geometry->discard_granularity_bytes = FILE_PHYSICAL_BLOCK;
        geometry->discard_limit_bytes = FILE_DISCARD_LIMIT_BYTES;
        geometry->discard_zeroes = true;
    }
    return 0;
}

/* A partition has the queue of its disk. */
static int find_queue(const struct system_root *root, int descriptor, char *to, size_t size)
{
    struct stat status;
    struct sysfs_device device;
    struct sysfs_device disk;
    if (fstat(descriptor, &status) < 0)
        return -errno;
    int r = sysfs_find(root, status.st_rdev, &device);
    if (!r)
        r = sysfs_find_disk(&device, &disk);
    if (r < 0)
        return r;
    return (size_t)snprintf(to, size, "%s/queue", disk.directory) < size ? 0 : -ENAMETOOLONG;
}

/* Punching a hole into a block device discards and promises zeros, where the device can do both at
 * once; where it cannot, a plain discard promises nothing. */
static void read_discard(const struct system_root *root, struct raw_device *raw)
{
    struct block_geometry *geometry = &raw->device.geometry;
    char queue[PATH_MAX];
    if (find_queue(root, raw->buffered, queue, sizeof queue) < 0)
        return;
    uint64_t limit = sysfs_read_number(queue, "discard_max_bytes", 0);
    uint64_t granularity = sysfs_read_number(queue, "discard_granularity", 0);
    if (!limit || granularity > UINT32_MAX)
        return;
    geometry->discard_limit_bytes = limit;
    geometry->discard_granularity_bytes =
        max_of((uint32_t)granularity, geometry->logical_block_bytes);
    raw->discard_by_punching = sysfs_read_number(queue, "write_zeroes_max_bytes", 0) > 0;
    geometry->discard_zeroes = raw->discard_by_punching;
}

static uint32_t ask(int descriptor, unsigned long question)
{
    unsigned answer = 0;
    return ioctl(descriptor, question, &answer) < 0 ? 0 : answer;
}

/* Where the first physical block boundary lies, seen from the beginning of the location. */
static uint32_t find_alignment(const struct raw_device *raw, uint32_t physical_bytes)
{
    int of_device = 0; /* -1: misaligned beyond repair */
    if (ioctl(raw->buffered, BLKALIGNOFF, &of_device) < 0 || of_device < 0)
        return 0;
    uint64_t base = raw->base_bytes % physical_bytes;
    return (uint32_t)(((uint64_t)of_device + physical_bytes - base) % physical_bytes);
}

static int read_device(const struct system_root *root, struct raw_device *raw, bool discard)
{
    struct block_geometry *geometry = &raw->device.geometry;
    int logical;
    unsigned short rotational = 0;
    if (ioctl(raw->buffered, BLKSSZGET, &logical) < 0)
        return -errno;
    geometry->logical_block_bytes = (uint32_t)logical;
    geometry->physical_block_bytes =
        max_of(ask(raw->buffered, BLKPBSZGET), geometry->logical_block_bytes);
    geometry->alignment_offset_bytes = find_alignment(raw, geometry->physical_block_bytes);
    geometry->minimum_io_bytes = ask(raw->buffered, BLKIOMIN);
    geometry->optimal_io_bytes = ask(raw->buffered, BLKIOOPT);
    ioctl(raw->buffered, BLKROTATIONAL, &rotational);
    geometry->rotational = rotational;
    if (discard)
        read_discard(root, raw);
    return 0;
}

static int check(const struct raw_device *raw, bool lacks_writing, struct error *error)
{
    const struct block_geometry *geometry = &raw->device.geometry;
    if (geometry->logical_block_bytes > LOGICAL_BLOCK_LIMIT)
        return error_set(error, -EMEDIUMTYPE, "%s has blocks of %u bytes; at most %u can be served",
                         raw->path, geometry->logical_block_bytes, LOGICAL_BLOCK_LIMIT);
    if ((raw->base_bytes | raw->limit_bytes) % geometry->logical_block_bytes)
        return error_set(error, -EINVAL,
                         "the range asked for on %s does not lie on blocks of %u bytes", raw->path,
                         geometry->logical_block_bytes);
    if (!geometry->blocks)
        return error_set(error, -ENOMEDIUM, "%s is empty: it has no medium, or a size of 0",
                         raw->path);
    if (lacks_writing)
        return error_set(error, -EROFS,
                         "%s is read-only: set read-only = true, or make it writable", raw->path);
    return 0;
}

int geometry_read(const struct system_root *root, struct raw_device *raw,
                  const struct block_open_options *options, struct error *error)
{
    struct block_geometry *geometry = &raw->device.geometry;
    int read_only_device = 0;
    geometry->read_only = options->read_only || options->look_only;
    bool discard = options->discard && !geometry->read_only;
    int r = raw->is_file ? read_file(raw, discard) : read_device(root, raw, discard);
    if (!r)
        r = geometry_count_blocks(raw, &geometry->blocks);
    if (r < 0)
        return error_set(error, r, "%s does not say its size: %s", raw->path, strerror(-r));
    if (!raw->is_file)
        ioctl(raw->buffered, BLKROGET, &read_only_device);
    return check(raw, read_only_device && !options->read_only, error);
}
