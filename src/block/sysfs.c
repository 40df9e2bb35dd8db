/* sysfs.c - see sysfs.h */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sysfs.h"

#include <netboot-target/util/cleanup.h>

#define SECTOR_BYTES 512u /* sysfs counts in these, whatever the device does */

const struct system_root system_root = {.sys = "/sys", .proc = "/proc", .dev = "/dev"};

static void cleanup_closedir(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

static bool join(char path[PATH_MAX], const char *directory, const char *name)
{
    return snprintf(path, PATH_MAX, "%s/%s", directory, name) < PATH_MAX;
}

ssize_t sysfs_read(const char *directory, const char *attribute, void *to, size_t size)
{
    char path[PATH_MAX];
    if (!join(path, directory, attribute))
        return -ENAMETOOLONG;
    _cleanup_close_ int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    ssize_t length = read(descriptor, to, size - 1);
    if (length < 0)
        return -errno;
    char *text = to;
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    text[length] = 0;
    return length;
}

uint64_t sysfs_read_number(const char *directory, const char *attribute, uint64_t otherwise)
{
    char text[32];
    char *end;
    if (sysfs_read(directory, attribute, text, sizeof text) <= 0)
        return otherwise;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    return errno || *end ? otherwise : value;
}

int sysfs_parse_device(const char *text, dev_t *ret_device)
{
    char *colon;
    char *end;
    unsigned long major_number = strtoul(text, &colon, 10);
    if (colon == text || *colon != ':')
        return -EINVAL;
    unsigned long minor_number = strtoul(colon + 1, &end, 10);
    if (end == colon + 1)
        return -EINVAL;
    *ret_device = makedev((unsigned)major_number, (unsigned)minor_number);
    return 0;
}

static bool exists(const char *directory, const char *attribute)
{
    char path[PATH_MAX];
    return join(path, directory, attribute) && !access(path, F_OK);
}

/* `directory` is resolved. */
static int describe(const char *directory, struct sysfs_device *ret_device)
{
    struct sysfs_device device = {0};
    char numbers[32];
    size_t length = strlen(directory);
    if (sysfs_read(directory, "dev", numbers, sizeof numbers) < 0 ||
        sysfs_parse_device(numbers, &device.device) < 0 || length >= sizeof device.directory)
        return -ENOENT;
    memcpy(device.directory, directory, length + 1);
    snprintf(device.name, sizeof device.name, "%s", strrchr(directory, '/') + 1);
    for (char *c = device.name; *c; c++)
        *c = *c == '!' ? '/' : *c; /* "cciss!c0d0" is /dev/cciss/c0d0 */
    device.partition = exists(directory, "partition");
    device.start_bytes = sysfs_read_number(directory, "start", 0) * SECTOR_BYTES;
    device.size_bytes = sysfs_read_number(directory, "size", 0) * SECTOR_BYTES;
    *ret_device = device;
    return 0;
}

static int find_at(const char *path, struct sysfs_device *ret_device)
{
    char directory[PATH_MAX];
    return realpath(path, directory) ? describe(directory, ret_device) : -ENOENT;
}

int sysfs_find(const struct system_root *root, dev_t device, struct sysfs_device *ret_device)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/dev/block/%u:%u", root->sys, major(device), minor(device));
    return find_at(path, ret_device);
}

int sysfs_find_disk(const struct sysfs_device *device, struct sysfs_device *ret_disk)
{
    if (!device->partition) {
        *ret_disk = *device;
        return 0;
    }
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/..", device->directory);
    return find_at(path, ret_disk);
}

bool sysfs_is_stack(const struct sysfs_device *disk)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/slaves", disk->directory);
    _cleanup_(cleanup_closedir) DIR *listing = opendir(path);
    const struct dirent *entry;
    while (listing && (entry = readdir(listing)))
        if (entry->d_name[0] != '.')
            return true;
    return false;
}

static bool each(const char *directory,
                 bool (*found)(const struct sysfs_device *device, void *context), void *context,
                 bool partitions)
{
    _cleanup_(cleanup_closedir) DIR *listing = opendir(directory);
    const struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        char path[PATH_MAX];
        struct sysfs_device device;
        if (entry->d_name[0] == '.' || !join(path, directory, entry->d_name))
            continue;
        if (!exists(path, "dev") || find_at(path, &device) < 0 || device.partition != partitions)
            continue;
        if (found(&device, context))
            return true;
    }
    return false;
}

bool sysfs_each_partition(const struct sysfs_device *disk,
                          bool (*found)(const struct sysfs_device *partition, void *context),
                          void *context)
{
    return each(disk->directory, found, context, true);
}

struct disk_filter {
    bool (*found)(const struct sysfs_device *disk, void *context);
    void *context;
};

/* Not those without a medium, those another path stands for (NVMe multipath), and optical drives
 * and floppies, which may take seconds to say no. */
static bool filter_disk(const struct sysfs_device *disk, void *context)
{
    const struct disk_filter *filter = context;
    bool slow = !strncmp(disk->name, "sr", 2) || !strncmp(disk->name, "fd", 2);
    if (!disk->size_bytes || slow || sysfs_read_number(disk->directory, "hidden", 0))
        return false;
    return filter->found(disk, filter->context);
}

bool sysfs_each_disk(const struct system_root *root,
                     bool (*found)(const struct sysfs_device *disk, void *context), void *context)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/block", root->sys);
    struct disk_filter filter = {.found = found, .context = context};
    return each(path, filter_disk, &filter, false);
}
