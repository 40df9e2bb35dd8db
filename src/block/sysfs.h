/*
 * sysfs.h - what the kernel tells about its block devices in /sys and /proc, private to this room.
 * The roots are arguments, so that tests can show machines that are not there (md, dm, LVM).
 */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct system_root {
    const char *sys;
    const char *proc;
    const char *dev;
};

extern const struct system_root system_root; /* the real one */

#define SYSFS_NAME_BYTES 64

/* A disk or partition as the kernel lists it. */
struct sysfs_device {
    dev_t device;
    char name[SYSFS_NAME_BYTES];  /* "sda1", the name of its node under /dev */
    char directory[PATH_MAX / 2]; /* where its attributes are */
    bool partition;
    uint64_t start_bytes; /* of a partition; else 0 */
    uint64_t size_bytes;
};

/* 0, -ENOENT. */
int sysfs_find(const struct system_root *root, dev_t device, struct sysfs_device *ret_device);
/* The disk a partition is on; the device itself where it is none. */
int sysfs_find_disk(const struct sysfs_device *device, struct sysfs_device *ret_disk);
/* It stands on other devices (dm, md). */
bool sysfs_is_stack(const struct sysfs_device *disk);
/* Calls `found` for every partition the kernel knows on this disk, until it returns true. */
bool sysfs_each_partition(const struct sysfs_device *disk,
                          bool (*found)(const struct sysfs_device *partition, void *context),
                          void *context);
/* The same for all whole disks that have a size. */
bool sysfs_each_disk(const struct system_root *root,
                     bool (*found)(const struct sysfs_device *disk, void *context), void *context);

/* The bytes of DIRECTORY/ATTRIBUTE without white space at its end, and a NUL. Returns the length or
 * -errno. */
ssize_t sysfs_read(const char *directory, const char *attribute, void *to, size_t size);
/* A device number as the kernel writes it, "8:1". 0, -EINVAL. */
int sysfs_parse_device(const char *text, dev_t *ret_device);
/* Decimal; `otherwise` where there is none. */
uint64_t sysfs_read_number(const char *directory, const char *attribute, uint64_t otherwise);
