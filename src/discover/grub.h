/*
 * grub.h - files of a disk, read by GRUB's drivers: grub-fstest(1) of Debian's grub-common, a
 * process for each question. It gets the whole disk and finds partitions and volumes itself.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/error.h>

#define GRUB_NAMES_LIMIT  4096u
#define GRUB_SIZE_UNKNOWN UINT64_MAX
#define GRUB_DEVICE_BYTES 160u

struct grub {
    const char *disk;
    uint64_t deadline_ms; /* CLOCK_MONOTONIC: questions after it fail */
    uint64_t file_limit_bytes;
};

/* A file's content: a memory file, mapped. */
struct grub_file {
    int descriptor;
    const uint8_t *data;
    size_t bytes;
};
void grub_file_done(struct grub_file *file);
/* One with a copy of these bytes. 0 or -errno. */
int grub_file_make(struct grub_file *ret_file, const void *bytes, size_t length);
#define _cleanup_file_ _cleanup_(grub_file_done)
#define GRUB_FILE_NONE ((struct grub_file){.descriptor = -1})

/* `device`: "loop0,gpt2", "lvm/vg-root". -ENODATA: it could not be read; `error` has GRUB's words.
 */
int grub_read(const struct grub *grub, const char *device, const char *path, uint64_t limit_bytes,
              struct grub_file *ret_file, struct error *error);
/* `count` sectors of 512 bytes of the device itself. */
int grub_read_sectors(const struct grub *grub, const char *device, uint64_t first, uint64_t count,
                      struct grub_file *ret_file, struct error *error);

struct grub_name {
    char *name;
    bool is_folder;
    uint64_t bytes; /* of what a link points to; GRUB_SIZE_UNKNOWN */
};

struct grub_folder {
    struct grub_name *names;
    unsigned count;
};
void grub_folder_done(struct grub_folder *folder);
/* An empty one when there is no such folder: GRUB does not tell. */
int grub_list(const struct grub *grub, const char *device, const char *path,
              struct grub_folder *ret_folder, struct error *error);

struct grub_device {
    char name[GRUB_DEVICE_BYTES];
    bool is_known; /* some driver reads its filesystem */
};
/* The disk, its partitions and the volumes in them. At most `limit`. */
int grub_devices(const struct grub *grub, struct grub_device *ret_devices, unsigned limit,
                 unsigned *ret_count, struct error *error);
