/*
 * find.c - from what a person wrote to where the bytes are. Tags are looked for on the disks
 * themselves, at the offsets their partition tables give, so that it needs neither partition nodes
 * nor links that udev makes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "find.h"
#include "io.h"
#include "probe.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/log.h>

#define MATCH_LIMIT   16u
#define STACKED_DEPTH 8u

struct tag {
    const char *name; /* of a value of libblkid's superblock probe; NULL: of the partition entry */
    const char *prefix;
    const char *(*of_partition)(blkid_partition partition);
};

static const struct tag tags[] = {
    {.prefix = "UUID=",      .name = "UUID"                          },
    {.prefix = "LABEL=",     .name = "LABEL"                         },
    {.prefix = "PARTUUID=",  .of_partition = blkid_partition_get_uuid},
    {.prefix = "PARTLABEL=", .of_partition = blkid_partition_get_name},
};

struct match {
    struct sysfs_device disk;
    uint64_t offset_bytes;
    uint64_t length_bytes; /* 0: the whole disk */
};

/* What is looked for on one disk, and found there. It may outlive its search, if the disk hangs. */
struct look {
    struct probe_work work;
    const struct tag *tag;
    char *value;
    char path[PATH_MAX];
    struct sysfs_device disk;
    int error; /* -errno: it cannot be read */
    unsigned count;
    struct match matches[MATCH_LIMIT];
};

struct search {
    struct probes *probes;
    const struct system_root *root;
    const struct tag *tag;
    const char *value;
    unsigned disks;
    unsigned unreadable;
    int why_unreadable;
    unsigned count;
    struct match matches[MATCH_LIMIT];
};

/* ── looking at one disk ─────────────────────────────────────────────────────────────────────── */

static bool is_value(const struct look *look, const char *found)
{
    if (!found)
        return false;
    bool hexadecimal = strstr(look->tag->prefix, "UUID") != NULL;
    return hexadecimal ? !strcasecmp(found, look->value) : !strcmp(found, look->value);
}

static bool superblock_matches(const struct look *look, int descriptor, uint64_t offset_bytes,
                               uint64_t length_bytes)
{
    const char *found = NULL;
    _cleanup_probe_ blkid_probe probe = probe_new(descriptor, offset_bytes, length_bytes);
    if (!probe)
        return false;
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL);
    return !blkid_do_safeprobe(probe) &&
           !blkid_probe_lookup_value(probe, look->tag->name, &found, NULL) && is_value(look, found);
}

static void add_match(struct look *look, uint64_t offset_bytes, uint64_t length_bytes)
{
    if (look->count < MATCH_LIMIT)
        look->matches[look->count++] = (struct match){
            .disk = look->disk, .offset_bytes = offset_bytes, .length_bytes = length_bytes};
}

static bool partition_matches(const struct look *look, int descriptor, blkid_partition partition,
                              uint64_t offset_bytes, uint64_t length_bytes)
{
    if (look->tag->of_partition)
        return is_value(look, look->tag->of_partition(partition));
    return !blkid_partition_is_extended(partition) &&
           superblock_matches(look, descriptor, offset_bytes, length_bytes);
}

static void look_at_partitions(struct look *look, int descriptor)
{
    _cleanup_probe_ blkid_probe probe = probe_new(descriptor, 0, 0);
    blkid_partlist partitions = probe ? blkid_probe_get_partitions(probe) : NULL;
    int count = partitions ? blkid_partlist_numof_partitions(partitions) : 0;
    for (int i = 0; i < count; i++) {
        blkid_partition partition = blkid_partlist_get_partition(partitions, i);
        uint64_t offset = (uint64_t)blkid_partition_get_start(partition) * PROBE_SECTOR_BYTES;
        uint64_t length = (uint64_t)blkid_partition_get_size(partition) * PROBE_SECTOR_BYTES;
        bool inside = offset < look->disk.size_bytes && length <= look->disk.size_bytes - offset;
        if (inside && length && partition_matches(look, descriptor, partition, offset, length))
            add_match(look, offset, length);
    }
}

static void look_run(struct probe_work *work)
{
    struct look *look = container_of(work, struct look, work);
    _cleanup_close_ int descriptor = open(look->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        look->error = -errno;
        return;
    }
    look_at_partitions(look, descriptor);
    /* A hybrid image shows its filesystem at the beginning of the disk and in a partition. */
    if (!look->count && look->tag->name && superblock_matches(look, descriptor, 0, 0))
        add_match(look, 0, 0);
}

static void look_free(struct probe_work *work)
{
    struct look *look = container_of(work, struct look, work);
    free(look->value);
    free(look);
}

static struct look *look_new(const struct search *search, const struct sysfs_device *disk)
{
    struct look *look = calloc(1, sizeof *look);
    char *value = strdup(search->value);
    if (!look || !value) {
        free(look);
        free(value);
        return NULL;
    }
    look->work = (struct probe_work){.run = look_run, .free = look_free};
    look->tag = search->tag;
    look->value = value;
    look->disk = *disk;
    snprintf(look->path, sizeof look->path, "%s/%s", search->root->dev, disk->name);
    return look;
}

/* One disk that hangs must not keep those from being found that do not. */
static int look_at(const struct search *search, const struct sysfs_device *disk,
                   struct look **ret_look)
{
    struct look *look = look_new(search, disk);
    if (!look)
        return -ENOMEM;
    int r = probes_run(search->probes, disk->device, &look->work);
    if (r == -ETIMEDOUT) {
        log_warning("a disk does not answer and is passed over until it does; device=%s/%s",
                    search->root->dev, disk->name);
        return r;
    }
    if (!r && look->error)
        r = look->error;
    if (r < 0) {
        look_free(&look->work);
        return r == -EBUSY ? -ETIMEDOUT : r;
    }
    *ret_look = look;
    return 0;
}

static bool search_disk(const struct sysfs_device *disk, void *context)
{
    struct search *search = context;
    struct look *look = NULL;
    int r = look_at(search, disk, &look);
    search->disks++;
    if (r < 0) {
        search->unreadable++;
        search->why_unreadable = -r;
        return false;
    }
    for (unsigned i = 0; i < look->count && search->count < MATCH_LIMIT; i++)
        search->matches[search->count++] = look->matches[i];
    look_free(&look->work);
    return false;
}

/* ── which of several ────────────────────────────────────────────────────────────────────────── */

static bool is_below(const struct sysfs_device *lower, const struct sysfs_device *upper,
                     const struct system_root *root, unsigned depth);

struct below_search {
    const struct sysfs_device *lower;
    const struct sysfs_device *upper;
    const struct system_root *root;
    unsigned depth;
};

/* `upper` has a link to each device it stands on in its slaves/. */
static bool stands_on(const struct sysfs_device *candidate, void *context)
{
    const struct below_search *search = context;
    char name[SYSFS_NAME_BYTES + 8];
    char path[PATH_MAX];
    const char *base = strrchr(candidate->directory, '/') + 1;
    snprintf(name, sizeof name, "slaves/%s", base);
    snprintf(path, sizeof path, "%s/%s", search->upper->directory, name);
    struct sysfs_device disk;
    if (access(path, F_OK) < 0 || sysfs_find_disk(candidate, &disk) < 0)
        return false;
    return disk.device == search->lower->device ||
           is_below(search->lower, &disk, search->root, search->depth + 1);
}

static bool disk_stands_on(const struct sysfs_device *disk, void *context)
{
    return stands_on(disk, context) || sysfs_each_partition(disk, stands_on, context);
}

static bool is_below(const struct sysfs_device *lower, const struct sysfs_device *upper,
                     const struct system_root *root, unsigned depth)
{
    struct below_search search = {lower, upper, root, depth};
    return depth < STACKED_DEPTH && sysfs_each_disk(root, disk_stands_on, &search);
}

/* The disks under a multipath or RAID 1 device show what it shows; the device on top is meant. */
static void drop_lower(struct search *search)
{
    for (unsigned i = 0; i < search->count;) {
        bool lower = false;
        for (unsigned j = 0; j < search->count && !lower; j++)
            lower = j != i &&
                    is_below(&search->matches[i].disk, &search->matches[j].disk, search->root, 0);
        if (lower)
            search->matches[i] = search->matches[--search->count];
        else
            i++;
    }
}

static bool same_place(const struct match *one, const struct match *other, bool whole_disk)
{
    return one->disk.device == other->disk.device &&
           (whole_disk || one->offset_bytes == other->offset_bytes);
}

static int choose(struct search *search, const char *specification, bool whole_disk,
                  struct error *error)
{
    if (search->count > 1)
        drop_lower(search);
    for (unsigned i = 1; i < search->count; i++) {
        if (!same_place(&search->matches[0], &search->matches[i], whole_disk))
            return error_set(error, -ENOTUNIQ,
                             "%s is on %s/%s (at byte %llu) and on %s/%s (at byte %llu), as if "
                             "one were a copy of the other: name the device by its path",
                             specification, search->root->dev, search->matches[0].disk.name,
                             (unsigned long long)search->matches[0].offset_bytes, search->root->dev,
                             search->matches[i].disk.name,
                             (unsigned long long)search->matches[i].offset_bytes);
    }
    if (search->count)
        return 0;
    if (search->unreadable)
        return error_set(
            error, -ENOENT, "%s is on none of the %u disks here, %u of which cannot be read (%s)",
            specification, search->disks, search->unreadable,
            search->why_unreadable == ETIMEDOUT ? "no answer" : strerror(search->why_unreadable));
    return error_set(error, -ENOENT, "%s is on none of the %u disks here", specification,
                     search->disks);
}

/* ── from a match to a location ──────────────────────────────────────────────────────────────── */

struct node_search {
    const struct match *match;
    struct sysfs_device node;
};

static bool is_node_of_match(const struct sysfs_device *partition, void *context)
{
    struct node_search *search = context;
    if (partition->start_bytes != search->match->offset_bytes ||
        partition->size_bytes != search->match->length_bytes)
        return false;
    search->node = *partition;
    return true;
}

/* A partition that has a node is claimed through it, which leaves its neighbours free. */
static void locate(const struct system_root *root, const struct match *match, bool whole_disk,
                   struct block_location *ret_location)
{
    struct node_search search = {.match = match};
    struct block_location location = {0};
    const char *name = match->disk.name;
    if (!whole_disk && match->length_bytes) {
        if (sysfs_each_partition(&match->disk, is_node_of_match, &search)) {
            name = search.node.name;
        } else {
            location.offset_bytes = match->offset_bytes;
            location.length_bytes = match->length_bytes;
        }
    }
    snprintf(location.path, sizeof location.path, "%s/%s", root->dev, name);
    *ret_location = location;
}

static int find_tag(struct probes *probes, const struct system_root *root, const struct tag *tag,
                    const char *specification, bool whole_disk, struct block_location *ret_location,
                    struct error *error)
{
    const char *value = specification + strlen(tag->prefix);
    if (!*value)
        return error_set(error, -EINVAL, "%s names nothing", specification);
    _cleanup_free_ struct search *search = calloc(1, sizeof *search);
    if (!search)
        return error_set(error, -ENOMEM, "out of memory");
    search->probes = probes;
    search->root = root;
    search->tag = tag;
    search->value = value;
    sysfs_each_disk(root, search_disk, search);
    int r = choose(search, specification, whole_disk, error);
    if (r < 0)
        return r;
    locate(root, &search->matches[0], whole_disk, ret_location);
    return 0;
}

static int find_path(const struct system_root *root, const char *path, bool whole_disk,
                     struct block_location *ret_location, struct error *error)
{
    struct stat status;
    struct sysfs_device device;
    struct sysfs_device disk;
    char resolved[PATH_MAX];
    if (!realpath(path, resolved) || stat(resolved, &status) < 0)
        return error_set(error, -errno, "%s cannot be found: %s", path, strerror(errno));
    if (!S_ISBLK(status.st_mode) && !S_ISREG(status.st_mode))
        return error_set(error, -ENOTBLK, "%s is neither a block device nor a regular file", path);
    struct block_location location = {0};
    snprintf(location.path, sizeof location.path, "%s", resolved);
    if (whole_disk && S_ISBLK(status.st_mode) && !sysfs_find(root, status.st_rdev, &device) &&
        device.partition && !sysfs_find_disk(&device, &disk))
        snprintf(location.path, sizeof location.path, "%s/%s", root->dev, disk.name);
    *ret_location = location;
    return 0;
}

int find_in(struct probes *probes, const struct system_root *root, const char *specification,
            bool whole_disk, struct block_location *ret_location, struct error *error)
{
    for (unsigned i = 0; i < ARRAY_SIZE(tags); i++) {
        if (!strncmp(specification, tags[i].prefix, strlen(tags[i].prefix)))
            return find_tag(probes, root, &tags[i], specification, whole_disk, ret_location, error);
    }
    return find_path(root, specification, whole_disk, ret_location, error);
}

int block_find(struct block_io *io, const char *specification, bool whole_disk,
               struct block_location *ret_location, struct error *error)
{
    return find_in(io->probes, &system_root, specification, whole_disk, ret_location, error);
}
