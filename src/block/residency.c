/*
 * residency.c - is a range in the page cache, so that sendfile(2) will not wait for the disk?
 *
 * cachestat(2) (Linux 6.5) is quick, but it counts pages that are still being read; mincore(2)
 * counts only those that are up to date, at seven times the cost. So: cachestat, and mincore as
 * well for a while after something brought pages in. Read-ahead that the kernel began by itself
 * shows in the last page of the range: reading one byte of it must not have to wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"

#include <netboot-target/util/array.h>

#define PAGE_BYTES     4096u
#define MINCORE_PAGES  256u /* asked for at once */
#define UNSETTLED_MS   2000u
#define CACHESTAT_CALL 451 /* the same on every architecture; newer than Debian 12's headers */

struct cachestat_range {
    uint64_t offset;
    uint64_t length;
};

struct cachestat {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void residency_unsettle(struct raw_device *raw)
{
    raw->residency.unsettled_until_ms = now_ms() + UNSETTLED_MS;
}

static uint64_t pages_of(uint64_t offset_bytes, uint64_t length_bytes)
{
    return (offset_bytes + length_bytes - 1) / PAGE_BYTES - offset_bytes / PAGE_BYTES + 1;
}

/* 1, 0, or -errno. */
static int ask_cachestat(const struct raw_device *raw, uint64_t offset_bytes, uint64_t length_bytes)
{
    struct cachestat_range range = {offset_bytes, length_bytes};
    struct cachestat counts;
    if (syscall(CACHESTAT_CALL, raw->buffered, &range, &counts, 0) < 0)
        return -errno;
    return counts.cached >= pages_of(offset_bytes, length_bytes);
}

static void unmap(struct residency *residency)
{
    if (residency->map)
        munmap(residency->map, residency->map_bytes);
    residency->map = NULL;
}

/* Follows the size of the device. The kernel answers mincore() with "all present" to whoever may
 * not write the file, which is worse than no answer. */
static int map_device(struct raw_device *raw)
{
    struct residency *residency = &raw->residency;
    uint64_t bytes = raw->base_bytes + block_device_bytes(&raw->device);
    if (residency->map && residency->map_bytes == bytes)
        return 0;
    unmap(residency);
    if (faccessat(raw->buffered, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) < 0)
        return -errno;
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, raw->buffered, 0);
    if (map == MAP_FAILED)
        return -errno;
    residency->map = map;
    residency->map_bytes = bytes;
    return 0;
}

/* 1, 0, or -errno. */
static int ask_mincore(struct raw_device *raw, uint64_t offset_bytes, uint64_t length_bytes)
{
    int r = map_device(raw);
    if (r < 0)
        return r;
    uint64_t first = offset_bytes / PAGE_BYTES;
    uint64_t left = pages_of(offset_bytes, length_bytes);
    while (left) {
        unsigned char present[MINCORE_PAGES];
        uint64_t pages = min_of(left, (uint64_t)MINCORE_PAGES);
        if (mincore(raw->residency.map + first * PAGE_BYTES, pages * PAGE_BYTES, present) < 0)
            return -errno;
        for (uint64_t i = 0; i < pages; i++) {
            if (!(present[i] & 1))
                return 0;
        }
        first += pages;
        left -= pages;
    }
    return 1;
}

/* Once per device: what is missing (ENOSYS) and what a system-call filter refuses (EPERM) are the
 * same to us. */
static void find_way(struct raw_device *raw)
{
    if (ask_cachestat(raw, 0, PAGE_BYTES) >= 0)
        raw->residency.way = RESIDENCY_CACHESTAT;
    else if (ask_mincore(raw, 0, 1) >= 0)
        raw->residency.way = RESIDENCY_MINCORE;
    else
        raw->residency.way = RESIDENCY_NONE;
}

static bool last_page_waits(const struct raw_device *raw, uint64_t end_bytes)
{
    uint8_t byte;
    struct iovec vector = {&byte, 1};
    return preadv2(raw->buffered, &vector, 1, (off_t)end_bytes - 1, RWF_NOWAIT) != 1;
}

static enum block_residency confirm(struct raw_device *raw, uint64_t offset_bytes,
                                    uint64_t length_bytes)
{
    int present = now_ms() < raw->residency.unsettled_until_ms
                      ? ask_mincore(raw, offset_bytes, length_bytes)
                      : -EAGAIN;
    if (present >= 0)
        return present ? BLOCK_RESIDENT : BLOCK_ABSENT;
    if (!last_page_waits(raw, offset_bytes + length_bytes))
        return BLOCK_RESIDENT;
    residency_unsettle(raw);
    return BLOCK_ABSENT;
}

enum block_residency residency_ask(struct raw_device *raw, uint64_t offset_bytes,
                                   uint64_t length_bytes)
{
    uint64_t offset = raw->base_bytes + offset_bytes;
    if (!length_bytes)
        return BLOCK_RESIDENT;
    if (raw->residency.way == RESIDENCY_UNASKED)
        find_way(raw);
    if (raw->residency.way == RESIDENCY_NONE)
        return BLOCK_UNKNOWN;
    int present = raw->residency.way == RESIDENCY_CACHESTAT
                      ? ask_cachestat(raw, offset, length_bytes)
                      : ask_mincore(raw, offset, length_bytes);
    if (present < 0)
        return BLOCK_UNKNOWN;
    if (!present)
        return BLOCK_ABSENT;
    return raw->residency.way == RESIDENCY_MINCORE ? BLOCK_RESIDENT
                                                   : confirm(raw, offset, length_bytes);
}

void residency_done(struct raw_device *raw)
{
    unmap(&raw->residency);
}
