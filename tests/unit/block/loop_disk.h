/*
 * loop_disk.h - real block devices for tests: a loop device over a file in /tmp, partitions made
 * with BLKPG. Needs root: a test that cannot have its device fails and says why.
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct loop_disk {
    char file[64]; /* the backing */
    char path[64]; /* "/dev/loop3" */
    int backing;   /* read-only: whoever has it open for writing counts as a user */
    int loop;      /* read-only; keeps the device until the test ends, however it ends */
};

static inline void loop_disk_need(bool done, const char *what)
{
    if (done)
        return;
    fail_msg("this test needs root and a kernel with loop devices: %s: %s", what, strerror(errno));
}

static inline void loop_disk_make_file(struct loop_disk *disk, uint64_t bytes)
{
    snprintf(disk->file, sizeof disk->file, "/tmp/netboot-test-XXXXXX");
    int made = mkstemp(disk->file);
    loop_disk_need(made >= 0 && !ftruncate(made, (off_t)bytes), disk->file);
    close(made);
    disk->backing = open(disk->file, O_RDONLY | O_CLOEXEC);
    disk->loop = -1;
}

/* Tells the kernel of a partition, as partx does; its node is PATHp1. */
static inline bool loop_disk_change_partition(struct loop_disk *disk, int operation,
                                              struct blkpg_partition *partition)
{
    struct blkpg_ioctl_arg argument = {
        .op = operation, .datalen = sizeof *partition, .data = partition};
    return !ioctl(disk->loop, BLKPG, &argument);
}

static inline void loop_disk_add_partition(struct loop_disk *disk, int number, uint64_t start_bytes,
                                           uint64_t length_bytes)
{
    struct blkpg_partition partition = {
        .start = (long long)start_bytes, .length = (long long)length_bytes, .pno = number};
    loop_disk_need(loop_disk_change_partition(disk, BLKPG_ADD_PARTITION, &partition),
                   "BLKPG_ADD_PARTITION");
}

static inline void loop_disk_delete_partition(struct loop_disk *disk, int number)
{
    struct blkpg_partition partition = {.pno = number};
    loop_disk_need(loop_disk_change_partition(disk, BLKPG_DEL_PARTITION, &partition),
                   "BLKPG_DEL_PARTITION");
}

/* Those that whoever had the device before left behind. */
static inline void loop_disk_forget_partitions(struct loop_disk *disk)
{
    for (int number = 1; number <= 16; number++) {
        struct blkpg_partition partition = {.pno = number};
        loop_disk_change_partition(disk, BLKPG_DEL_PARTITION, &partition);
    }
}

static inline void loop_disk_attach(struct loop_disk *disk, uint32_t block_bytes, bool read_only)
{
    int backing = open(disk->file, O_RDWR | O_CLOEXEC);
    struct loop_config config = {.fd = (uint32_t)backing, .block_size = block_bytes};
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0);
    snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", disk->file);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    loop_disk_need(control >= 0, "/dev/loop-control");
    for (unsigned attempt = 0; attempt < 100; attempt++) { /* others look for a free one as well */
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        loop_disk_need(number >= 0, "LOOP_CTL_GET_FREE");
        snprintf(disk->path, sizeof disk->path, "/dev/loop%d", number);
        int writable = open(disk->path, O_RDWR | O_CLOEXEC); /* else the device is read-only */
        loop_disk_need(writable >= 0, disk->path);
        bool done = !ioctl(writable, LOOP_CONFIGURE, &config);
        loop_disk_need(done || errno == EBUSY, "LOOP_CONFIGURE");
        disk->loop = done ? open(disk->path, O_RDONLY | O_CLOEXEC) : -1;
        close(writable);
        if (done)
            break;
    }
    close(control);
    close(backing);
    loop_disk_need(disk->loop >= 0, "LOOP_CONFIGURE");
    loop_disk_forget_partitions(disk);
}

static inline void loop_disk_make(struct loop_disk *disk, uint64_t bytes)
{
    loop_disk_make_file(disk, bytes);
    loop_disk_attach(disk, 512, false);
}

static inline void loop_disk_remove(struct loop_disk *disk)
{
    if (disk->loop >= 0)
        close(disk->loop);
    close(disk->backing);
    unlink(disk->file);
}

/* The text lives until the eighth call after this one. */
__attribute__((format(printf, 1, 2))) static inline const char *formatted(const char *format, ...)
{
    static char texts[8][512];
    static unsigned next;
    char *text = texts[next++ % 8];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof texts[0], format, arguments);
    va_end(arguments);
    return text;
}

/* Runs a program; the test fails if that does. */
static inline void run(const char *command)
{
    int status = system(command);
    if (status)
        fail_msg("\"%s\" failed with status %d", command, status);
}
