/*
 * transfer.c - the system calls that wait for a disk, on a worker. All of them loop over short
 * transfers and interruptions.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "raw.h"

#include <netboot-target/util/array.h>

#define PAGE_BYTES           4096u
#define WRITE_BACK_BYTES     (8u << 20)   /* the bounded dirty window of buffered writes */
#define DISCARD_CHUNK_BYTES  (1u << 30)   /* so that a worker can be waited for */
#define PREFETCH_CHUNK_BYTES (128u << 10) /* the kernel cuts advice at its readahead window */

/* ── reading ─────────────────────────────────────────────────────────────────────────────────── */

static ssize_t read_at(int descriptor, void *buffer, size_t length_bytes, uint64_t offset_bytes)
{
    struct iovec vector = {.iov_base = buffer, .iov_len = length_bytes};
    ssize_t n;
    do
        n = preadv2(descriptor, &vector, 1, (off_t)offset_bytes, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* The page at the progress of `request` cannot be read through the cache. Takes its good logical
 * blocks from the disk itself, so that the error names the block and not its page. */
static void narrow_to_block(struct raw_device *raw, struct block_request *request,
                            uint64_t end_bytes)
{
    _Alignas(PAGE_BYTES) uint8_t block[PAGE_BYTES];
    uint32_t block_bytes = raw->device.geometry.logical_block_bytes;
    while (raw->direct >= 0 && request->progress_bytes < end_bytes) {
        uint64_t at = request->offset_bytes + request->progress_bytes;
        if (read_at(raw->direct, block, block_bytes, raw->base_bytes + at) != (ssize_t)block_bytes)
            return;
        memcpy((uint8_t *)request->buffer + request->progress_bytes, block, block_bytes);
        request->progress_bytes += block_bytes;
    }
}

/* After -EIO: page by page, since pages that can be read are mostly in the cache by now and a bad
 * one costs seconds on a dying disk. True: a bad block was found, progress stands on it. */
static bool narrow(struct raw_device *raw, struct block_request *request)
{
    while (request->progress_bytes < request->length_bytes) {
        uint64_t at = request->offset_bytes + request->progress_bytes;
        uint64_t page_end = round_down(raw->base_bytes + at, (uint64_t)PAGE_BYTES) + PAGE_BYTES -
                            raw->base_bytes - request->offset_bytes;
        uint64_t end = min_of(page_end, request->length_bytes);
        size_t length = (size_t)(end - request->progress_bytes);
        ssize_t n = read_at(raw->buffered, (uint8_t *)request->buffer + request->progress_bytes,
                            length, raw->base_bytes + at);
        if (n > 0) {
            request->progress_bytes += (uint64_t)n;
            continue;
        }
        narrow_to_block(raw, request, end);
        if (request->progress_bytes < end)
            return true;
    }
    return false;
}

static int read_cached(struct raw_device *raw, struct block_request *request)
{
    while (request->progress_bytes < request->length_bytes) {
        uint64_t at = request->offset_bytes + request->progress_bytes;
        ssize_t n = read_at(raw->buffered, (uint8_t *)request->buffer + request->progress_bytes,
                            (size_t)(request->length_bytes - request->progress_bytes),
                            raw->base_bytes + at);
        if (n == 0)
            return -ENXIO; /* it has shrunk */
        if (n == -EIO && !narrow(raw, request))
            continue;
        if (n < 0) {
            request->error_offset_bytes = request->offset_bytes + request->progress_bytes;
            return (int)n;
        }
        request->progress_bytes += (uint64_t)n;
    }
    return 0;
}

/* The kernel writes dirty pages of the range to the disk first. */
static int read_direct(struct raw_device *raw, struct block_request *request)
{
    while (request->progress_bytes < request->length_bytes) {
        uint64_t at = request->offset_bytes + request->progress_bytes;
        ssize_t n = read_at(raw->direct, (uint8_t *)request->buffer + request->progress_bytes,
                            (size_t)(request->length_bytes - request->progress_bytes),
                            raw->base_bytes + at);
        if (n >= 0 && n < (ssize_t)raw->device.geometry.logical_block_bytes)
            return -ENXIO; /* it has shrunk */
        if (n >= 0) {
            request->progress_bytes +=
                round_down((uint64_t)n, (uint64_t)raw->device.geometry.logical_block_bytes);
            continue;
        }
        if (n == -EIO)
            narrow_to_block(raw, request, request->length_bytes);
        if (request->progress_bytes < request->length_bytes) {
            request->error_offset_bytes = request->offset_bytes + request->progress_bytes;
            return (int)n;
        }
    }
    return 0;
}

/* Where there is no direct I/O: a range that the cache no longer holds comes from the disk. */
static int drop_range(struct raw_device *raw, const struct block_request *request)
{
    uint64_t from = round_down(raw->base_bytes + request->offset_bytes, (uint64_t)PAGE_BYTES);
    uint64_t to = round_up(raw->base_bytes + request->offset_bytes + request->length_bytes,
                           (uint64_t)PAGE_BYTES);
    int r = raw->device.geometry.read_only ? 0 : transfer_flush(raw);
    return r < 0 ? r
                 : -posix_fadvise(raw->buffered, (off_t)from, (off_t)(to - from),
                                  POSIX_FADV_DONTNEED);
}

int transfer_read(struct raw_device *raw, struct block_request *request)
{
    if (!request->past_cache)
        return read_cached(raw, request);
    if (raw->direct >= 0)
        return read_direct(raw, request);
    int r = drop_range(raw, request);
    return r < 0 ? r : read_cached(raw, request);
}

/* ── writing ─────────────────────────────────────────────────────────────────────────────────── */

/* Moves the start of the vectors forward; returns how many are left. */
static unsigned advance(struct iovec *vectors, unsigned count, size_t bytes)
{
    unsigned first = 0;
    while (first < count && bytes >= vectors[first].iov_len)
        bytes -= vectors[first++].iov_len;
    memmove(vectors, vectors + first, (count - first) * sizeof *vectors);
    if (first < count) {
        vectors->iov_base = (uint8_t *)vectors->iov_base + bytes;
        vectors->iov_len -= bytes;
    }
    return count - first;
}

/* A write that ends beyond a disk that has shrunk says ENOSPC, as a full filesystem or thin pool
 * does. */
static int name_write_error(const struct raw_device *raw, int result, uint64_t end_bytes)
{
    uint64_t size;
    if (result != -ENOSPC || raw->is_file || raw_size(raw->buffered, &size) < 0)
        return result;
    return end_bytes > size ? -ENXIO : -ENOSPC;
}

/* `vectors` is used up. Offsets are those of the descriptor. */
static int write_vectors(const struct raw_device *raw, struct iovec *vectors, unsigned count,
                         uint64_t offset_bytes, int flags)
{
    int descriptor = raw->writes_direct ? raw->direct : raw->buffered;
    uint64_t end = offset_bytes;
    for (unsigned i = 0; i < count; i++)
        end += vectors[i].iov_len;
    while (count) {
        ssize_t n = pwritev2(descriptor, vectors, (int)count, (off_t)offset_bytes, flags);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return name_write_error(raw, n < 0 ? -errno : -ENOSPC, end);
        /* A direct write goes on at a block boundary. */
        size_t written = round_down((size_t)n, raw->device.geometry.logical_block_bytes);
        if (!written)
            return -EIO;
        offset_bytes += written;
        count = advance(vectors, count, written);
    }
    return 0;
}

/* Write-back starts now and then, so that a flush does not find gigabytes. */
bool transfer_write_back_due(struct raw_device *raw)
{
    return atomic_load(&raw->dirty_bytes) >= WRITE_BACK_BYTES &&
           atomic_exchange(&raw->dirty_bytes, 0);
}

/* A failure leaves the state of acknowledged bytes unknown. */
int transfer_write_back(struct raw_device *raw)
{
    if (!sync_file_range(raw->buffered, 0, 0, SYNC_FILE_RANGE_WRITE))
        return 0;
    int result = -errno;
    atomic_store(&raw->latched, true);
    return result;
}

/* Errors of a direct write, or of a buffered one on its way into the page cache, that concern its
 * own bytes. */
static bool concerns_itself_alone(int result)
{
    return result == -ENXIO || result == -ENOSPC || result == -EDQUOT;
}

/* Lost pages are told once to each open file. Some filesystems (NFS) tell a write that ran out of
 * space of the pages of earlier ones, and the next flush of that file is called a success. `direct`
 * is another open file, which nothing is written through in this mode: what it has not been told
 * when it is flushed was not the write's own affair. */
static bool lost_nothing(const struct raw_device *raw)
{
    return raw->direct >= 0 && !fdatasync(raw->buffered) && !fdatasync(raw->direct);
}

static void settle_out_of_space(struct raw_device *raw)
{
    atomic_fetch_add(&raw->doubts, 1); /* for a flush that runs now */
    pthread_mutex_lock(&raw->flush_lock);
    if (!lost_nothing(raw))
        atomic_store(&raw->latched, true);
    atomic_fetch_sub(&raw->doubts, 1);
    pthread_mutex_unlock(&raw->flush_lock);
}

/* How a write that has just been tried ends: 0 or -errno. A failed direct write concerns its own
 * bytes alone; the page cache must not go on serving what may no longer be on the disk. A failed
 * buffered one leaves the state of acknowledged bytes unknown. */
static int settle_write(struct raw_device *raw, int result, uint64_t offset_bytes,
                        uint64_t length_bytes)
{
    if (!raw->writes_direct) {
        atomic_fetch_add(&raw->dirty_bytes, length_bytes);
        if (result == -ENOSPC || result == -EDQUOT)
            settle_out_of_space(raw);
        else if (result < 0 && !concerns_itself_alone(result))
            atomic_store(&raw->latched, true);
    } else if (result < 0) {
        (void)posix_fadvise(raw->buffered, (off_t)offset_bytes, (off_t)length_bytes,
                            POSIX_FADV_DONTNEED);
    }
    return result;
}

static int write_requests(const struct raw_device *raw, struct block_request *const requests[],
                          unsigned count, uint64_t offset_bytes, int flags)
{
    struct iovec vectors[TRANSFER_MERGE_LIMIT];
    for (unsigned i = 0; i < count; i++) {
        vectors[i].iov_base = requests[i]->buffer;
        vectors[i].iov_len = (size_t)requests[i]->length_bytes;
    }
    return write_vectors(raw, vectors, count, offset_bytes, flags);
}

int transfer_write(struct raw_device *raw, struct block_request *const requests[], unsigned count)
{
    const struct block_request *last = requests[count - 1];
    uint64_t offset = raw->base_bytes + requests[0]->offset_bytes;
    uint64_t length = raw->base_bytes + last->offset_bytes + last->length_bytes - offset;
    bool fua = requests[0]->fua;

    if (atomic_load(&raw->latched))
        return -EIO;
    /* Through the page cache, RWF_DSYNC would tell of lost pages of earlier writes as if they were
     * this one's, and never again: there the flush is one of its own, whose failure is everybody's.
     */
    int flags = fua && raw->writes_direct ? RWF_DSYNC : 0;
    int result = write_requests(raw, requests, count, offset, flags);
    /* Was it the write or the flush of the device's cache behind it, which takes other acknowledged
     * writes down with it? The write alone tells. */
    if (flags && result < 0 && !concerns_itself_alone(result) &&
        !write_requests(raw, requests, count, offset, 0))
        atomic_store(&raw->latched, true);
    result = settle_write(raw, result, offset, length);
    return !result && fua && !raw->writes_direct ? transfer_flush(raw) : result;
}

/* With the lock of flushes held. */
static bool flush_fails(const struct raw_device *raw)
{
    return fdatasync(raw->buffered) ||
           (atomic_load(&raw->doubts) && (raw->direct < 0 || fdatasync(raw->direct)));
}

int transfer_flush(struct raw_device *raw)
{
    pthread_mutex_lock(&raw->flush_lock);
    bool latched = atomic_load(&raw->latched);
    if (!latched && flush_fails(raw)) {
        latched = true;
        atomic_store(&raw->latched, true);
        if (!raw->writes_direct && raw->direct >= 0) /* it has then been told before a re-arm */
            (void)fdatasync(raw->direct);
    }
    pthread_mutex_unlock(&raw->flush_lock);
    return latched ? -EIO : 0;
}

/* ── giving back and zeroing ─────────────────────────────────────────────────────────────────── */

static int punch(const struct raw_device *raw, uint64_t offset_bytes, uint64_t length_bytes)
{
    uint64_t range[2] = {offset_bytes, length_bytes};
    int r = raw->discard_by_punching
                ? fallocate(raw->claimed, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            (off_t)offset_bytes, (off_t)length_bytes)
                : ioctl(raw->claimed, BLKDISCARD, range);
    return r < 0 ? -errno : 0;
}

static int zero(const struct raw_device *raw, uint64_t offset_bytes, uint64_t length_bytes)
{
    int r = fallocate(raw->claimed, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes,
                      (off_t)length_bytes);
    return r < 0 ? -errno : 0;
}

/* In chunks, from `*progress_bytes` on. */
static int over_range(const struct raw_device *raw, const struct block_request *request,
                      int (*act)(const struct raw_device *, uint64_t, uint64_t),
                      uint64_t *progress_bytes)
{
    while (*progress_bytes < request->length_bytes) {
        uint64_t length =
            min_of(request->length_bytes - *progress_bytes, (uint64_t)DISCARD_CHUNK_BYTES);
        int r = act(raw, raw->base_bytes + request->offset_bytes + *progress_bytes, length);
        if (r < 0 && r != -EINTR)
            return r;
        if (!r)
            *progress_bytes += length;
    }
    return 0;
}

int transfer_discard(struct raw_device *raw, const struct block_request *request)
{
    uint64_t progress = 0;
    if (atomic_load(&raw->latched))
        return -EIO;
    return over_range(raw, request, punch, &progress);
}

static int write_zeros(struct raw_device *raw, uint64_t offset_bytes, uint64_t length_bytes)
{
    static const _Alignas(PAGE_BYTES) uint8_t zeros[64 << 10];
    while (length_bytes) {
        struct iovec vectors[16];
        unsigned count = 0;
        uint64_t piece = 0;
        for (; count < ARRAY_SIZE(vectors) && piece < length_bytes; count++) {
            size_t bytes = (size_t)min_of(length_bytes - piece, (uint64_t)sizeof zeros);
            vectors[count] = (struct iovec){.iov_base = (void *)(uintptr_t)zeros, .iov_len = bytes};
            piece += bytes;
        }
        int r = write_vectors(raw, vectors, count, offset_bytes, 0);
        r = settle_write(raw, r, offset_bytes, piece);
        if (r < 0)
            return r;
        offset_bytes += piece;
        length_bytes -= piece;
    }
    return 0;
}

int transfer_write_zeroes(struct raw_device *raw, const struct block_request *request)
{
    uint64_t progress = 0;
    if (atomic_load(&raw->latched))
        return -EIO;
    int r = over_range(raw, request, zero, &progress);
    if (r != -EOPNOTSUPP)
        return r;
    return write_zeros(raw, raw->base_bytes + request->offset_bytes + progress,
                       request->length_bytes - progress);
}

int transfer_prefetch(struct raw_device *raw, const struct block_request *request)
{
    uint64_t at = raw->base_bytes + request->offset_bytes;
    uint64_t end = at + request->length_bytes;
    for (; at < end; at += PREFETCH_CHUNK_BYTES) {
        int r = posix_fadvise(raw->buffered, (off_t)at,
                              (off_t)min_of(end - at, (uint64_t)PREFETCH_CHUNK_BYTES),
                              POSIX_FADV_WILLNEED);
        if (r)
            return -r;
    }
    return 0;
}
