/* queue.c - see queue.h */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#define LOOK_MS          4u /* what was seen is believed for so long: a tick of the coarse clock */
#define QUIET_LOOK_MS    100u   /* how often it is looked whether quiet has come back */
#define DIRTY_MS         60000u /* vm.dirty_expire_centisecs and more */
#define LIMIT_MOST       64u
#define PART_OF_REQUESTS 4u /* ours; neighbours on the same disk have theirs, and write-back */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void queue_init(struct queue *queue)
{
    *queue = (struct queue){.inflight = -1, .request_bytes = 1};
}

/* Of a stack (dm, md) the attributes say nothing about the disks below. */
void queue_open(struct raw_device *raw, const struct system_root *root)
{
    struct queue *queue = &raw->queue;
    struct stat status;
    struct sysfs_device device, disk;
    char path[PATH_MAX];
    if (raw->is_file || fstat(raw->buffered, &status) < 0 ||
        sysfs_find(root, status.st_rdev, &device) < 0 || sysfs_find_disk(&device, &disk) < 0 ||
        sysfs_is_stack(&disk))
        return;
    snprintf(path, sizeof path, "%s/queue", disk.directory);
    uint64_t requests = sysfs_read_number(path, "nr_requests", 0);
    uint64_t most_kib = sysfs_read_number(path, "max_sectors_kb", 4);
    snprintf(path, sizeof path, "%s/inflight", disk.directory);
    queue->inflight = open(path, O_RDONLY | O_CLOEXEC);
    if (queue->inflight < 0)
        return;
    queue->limit = (unsigned)min_of(requests / PART_OF_REQUESTS, (uint64_t)LIMIT_MOST);
    queue->request_bytes = (uint32_t)min_of(max_of(most_kib, (uint64_t)1) << 10, 1ull << 30);
}

void queue_done(struct queue *queue)
{
    if (queue->inflight >= 0)
        close(queue->inflight);
    queue->inflight = -1;
}

/* An attribute that is held open says so when its disk goes. */
bool queue_is_lost(const struct queue *queue)
{
    char byte;
    return queue->inflight >= 0 && pread(queue->inflight, &byte, 1, 0) < 0 && errno == ENODEV;
}

void queue_disturb(struct queue *queue)
{
    queue->quiet = false;
}

void queue_note_dirty(struct queue *queue)
{
    queue->dirty_until_ms = now_ms() + DIRTY_MS;
}

/* "       3        0": reads and writes of everybody, of the whole disk. */
static void look(struct queue *queue, uint64_t now)
{
    char text[64];
    ssize_t length = pread(queue->inflight, text, sizeof text - 1, 0);
    char *end = text;
    text[max_of(length, (ssize_t)0)] = '\0';
    unsigned long reads = strtoul(text, &end, 10);
    unsigned long writes = strtoul(end, NULL, 10);
    queue->seen =
        length > 0 ? (unsigned)min_of(reads + writes, (unsigned long)UINT16_MAX) : UINT16_MAX;
    queue->looked_ms = now;
}

bool queue_is_quiet(struct raw_device *raw)
{
    struct queue *queue = &raw->queue;
    if (queue->quiet || !queue->limit)
        return queue->quiet;
    uint64_t now = now_ms();
    if (raw->device.counters.in_flight || now < queue->dirty_until_ms ||
        now < queue->looked_ms + QUIET_LOOK_MS)
        return false;
    look(queue, now);
    queue->quiet = queue->seen == 0;
    return queue->quiet;
}

static unsigned requests_of(const struct queue *queue, uint64_t length_bytes)
{
    return 1 + (unsigned)(length_bytes / queue->request_bytes);
}

/* What was seen may hold our own reads, too: counting them twice errs on the safe side. */
bool queue_enter(struct raw_device *raw, uint64_t length_bytes)
{
    struct queue *queue = &raw->queue;
    unsigned requests = requests_of(queue, length_bytes);
    if (queue->in_ring + requests > queue->limit)
        return false;
    uint64_t now = now_ms();
    if (now >= queue->looked_ms + LOOK_MS)
        look(queue, now);
    if (queue->seen > queue->limit)
        return false;
    queue->in_ring += requests;
    return true;
}

void queue_leave(struct raw_device *raw, uint64_t length_bytes)
{
    raw->queue.in_ring -= requests_of(&raw->queue, length_bytes);
}
