/* raw.c - see raw.h and block.h */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utlist.h>

#include "geometry.h"
#include "io.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/pool.h>

/* Of the threads a device may have: flushes and buffered writes have one each. */
#define OTHER_THREADS      2u
#define UNSURE_TRIES_LIMIT 8u

static bool begin_in_ring(struct raw_device *raw, struct block_request *request)
{
    if (!queue_enter(raw, request->length_bytes))
        return false;
    if (ring_read(raw->io->ring, request))
        return true;
    queue_leave(raw, request->length_bytes);
    return false;
}

static void raw_submit(struct block_device *device, struct block_request *request)
{
    struct raw_device *raw = raw_of(device);
    struct block_io *io = raw->io;
    request->result = block_request_admit(device, request);
    queue_disturb(&raw->queue);
    if (request->operation == BLOCK_READ || request->operation == BLOCK_PREFETCH)
        residency_unsettle(raw);
    if (request->result < 0)
        DL_APPEND2(io->refused, request, previous, next);
    else if (!io->ring || request->operation != BLOCK_READ || request->past_cache ||
             !begin_in_ring(raw, request))
        threads_start(request);
}

static enum block_residency raw_residency(struct block_device *device, uint64_t offset_bytes,
                                          uint64_t length_bytes)
{
    if (block_device_check_range(device, offset_bytes, length_bytes) < 0)
        return BLOCK_ABSENT;
    return residency_ask(raw_of(device), offset_bytes, length_bytes);
}

/* Even a try may wait, when it misses: see queue.h. Where residency cannot be asked, a few requests
 * in flight are no sign of a disk that hangs. */
static bool may_try_cached(struct raw_device *raw, uint64_t offset_bytes, uint64_t length_bytes)
{
    if (queue_is_quiet(raw))
        return true;
    enum block_residency residency = residency_ask(raw, offset_bytes, length_bytes);
    return residency == BLOCK_RESIDENT ||
           (residency == BLOCK_UNKNOWN && raw->device.counters.in_flight < UNSURE_TRIES_LIMIT);
}

static ssize_t raw_read_cached(struct block_device *device, void *buffer, uint64_t offset_bytes,
                               size_t length_bytes)
{
    struct raw_device *raw = raw_of(device);
    struct iovec vector = {.iov_base = buffer, .iov_len = length_bytes};
    if (block_device_check_range(device, offset_bytes, length_bytes) < 0)
        return -ENXIO;
    if (!may_try_cached(raw, offset_bytes, length_bytes))
        return -EAGAIN;
    ssize_t n =
        preadv2(raw->buffered, &vector, 1, (off_t)(raw->base_bytes + offset_bytes), RWF_NOWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP || errno == EINTR)) {
        residency_unsettle(raw); /* the kernel may have begun to read it */
        queue_disturb(&raw->queue);
        return -EAGAIN;
    }
    if (n < 0)
        return -errno;
    return n || !length_bytes ? n : -ENXIO; /* it has shrunk */
}

static ssize_t raw_send(struct block_device *device, int socket, uint64_t offset_bytes,
                        size_t length_bytes)
{
    struct raw_device *raw = raw_of(device);
    off_t offset = (off_t)(raw->base_bytes + offset_bytes);
    if (block_device_check_range(device, offset_bytes, length_bytes) < 0)
        return -ENXIO;
    ssize_t n = sendfile(socket, raw->buffered, &offset, length_bytes);
    if (n < 0)
        return errno == EINVAL || errno == ENOSYS ? -EOPNOTSUPP : -errno;
    return n || !length_bytes ? n : -ENXIO;
}

/* A partition keeps its size when its disk is pulled. */
static void observe(struct raw_device *raw)
{
    if (queue_is_lost(&raw->queue) || geometry_count_blocks(raw, &raw->observed_blocks) < 0)
        raw->observed_blocks = 0;
}

static void tell_observed(struct raw_device *raw)
{
    if (raw->observed_blocks)
        block_device_resized(&raw->device, raw->observed_blocks);
    else
        block_device_lost(&raw->device);
}

static void run_observation(struct job *job)
{
    observe(container_of(job, struct raw_device, observation));
}

static void end_observation(struct job *job)
{
    struct raw_device *raw = container_of(job, struct raw_device, observation);
    raw->observing = false;
    tell_observed(raw);
    block_device_release(&raw->device);
}

/* The kernel knows the size of its devices, but a file's may have to be asked for over a network.
 */
static void raw_observe(struct block_device *device)
{
    struct raw_device *raw = raw_of(device);
    if (!raw->is_file) {
        observe(raw);
        tell_observed(raw);
    } else if (!raw->observing) {
        raw->observing = true;
        raw->observation.run = run_observation;
        raw->observation.done = end_observation;
        block_device_hold(device);
        job_queue_submit(raw->flushes, &raw->observation);
    }
}

static void raw_rearm(struct block_device *device)
{
    atomic_store(&raw_of(device)->latched, false);
}

static void raw_close(struct block_device *device)
{
    struct raw_device *raw = raw_of(device);
    residency_done(raw);
    job_queue_free(raw->transfers);
    job_queue_free(raw->buffered_writes);
    job_queue_free(raw->flushes);
    queue_done(&raw->queue);
    if (raw->direct >= 0)
        close(raw->direct);
    if (raw->buffered >= 0)
        close(raw->buffered);
    claim_release(raw->claim);
    pthread_mutex_destroy(&raw->lock);
    pthread_mutex_destroy(&raw->flush_lock);
    free(raw->path);
    free(raw);
}

static const struct block_device_operations raw_operations = {
    .name = "raw",
    .submit = raw_submit,
    .residency = raw_residency,
    .read_cached = raw_read_cached,
    .send = raw_send,
    .observe = raw_observe,
    .rearm = raw_rearm,
    .close = raw_close,
};

/* ── opening ─────────────────────────────────────────────────────────────────────────────────── */

static struct raw_device *raw_new(struct block_io *io, const struct block_location *location)
{
    struct raw_device *raw = calloc(1, sizeof *raw);
    if (!raw)
        return NULL;
    unsigned threads = io->workers_per_device;
    raw->device.operations = &raw_operations;
    raw->io = io;
    raw->buffered = -1;
    raw->direct = -1;
    queue_init(&raw->queue);
    raw->base_bytes = location->offset_bytes;
    raw->limit_bytes = location->length_bytes;
    pthread_mutex_init(&raw->lock, NULL);
    pthread_mutex_init(&raw->flush_lock, NULL);
    raw->path = strdup(location->path);
    raw->device.path = raw->path;
    raw->transfers =
        job_queue_new(io->workers, threads > OTHER_THREADS ? threads - OTHER_THREADS : 1);
    raw->buffered_writes = job_queue_new(io->workers, 1);
    raw->flushes = job_queue_new(io->workers, 1);
    if (!raw->path || !raw->transfers || !raw->buffered_writes || !raw->flushes) {
        raw_close(&raw->device);
        return NULL;
    }
    return raw;
}

/* Some filesystems take direct I/O of whole pages only, some none. */
static bool direct_io_works(const struct raw_device *raw)
{
    _Alignas(POOL_ALIGNMENT) uint8_t block[POOL_ALIGNMENT];
    return pread(raw->direct, block, raw->device.geometry.logical_block_bytes,
                 (off_t)raw->base_bytes) >= 0 ||
           errno != EINVAL;
}

/* A second open file of the same device, past the page cache. */
static int open_direct(struct raw_device *raw, struct error *error)
{
    struct stat buffered;
    struct stat direct;
    int access_mode = raw->device.geometry.read_only ? O_RDONLY : O_RDWR;
    raw->direct = open(raw->path, access_mode | O_DIRECT | O_CLOEXEC);
    if (raw->direct < 0)
        return error_set(error, -errno, "%s cannot be opened for direct I/O: %s", raw->path,
                         strerror(errno));
    if (fstat(raw->buffered, &buffered) < 0 || fstat(raw->direct, &direct) < 0 ||
        buffered.st_dev != direct.st_dev || buffered.st_ino != direct.st_ino ||
        buffered.st_rdev != direct.st_rdev)
        return error_set(error, -EAGAIN, "%s became another device while it was opened", raw->path);
    if (!direct_io_works(raw))
        return error_set(error, -EINVAL,
                         "%s does not take direct I/O in blocks of %u bytes: set write = "
                         "\"buffered\"",
                         raw->path, raw->device.geometry.logical_block_bytes);
    return 0;
}

/* Direct I/O is a must for direct writes only; elsewhere it reads past the cache
 * and names bad blocks. */
static int choose_write_mode(struct raw_device *raw, const struct block_open_options *options,
                             struct error *error)
{
    bool wanted = options->write_mode == BLOCK_WRITE_DIRECT ||
                  (options->write_mode == BLOCK_WRITE_AUTO && !raw->is_file);
    raw->writes_direct = wanted && !options->read_only;
    int r = open_direct(raw, raw->writes_direct ? error : NULL);
    if (r < 0 && raw->direct >= 0) {
        close(raw->direct);
        raw->direct = -1;
    }
    if (options->read_only)
        raw->device.write_mode = "read-only";
    else
        raw->device.write_mode = raw->writes_direct ? "direct" : "buffered";
    return raw->writes_direct ? r : 0;
}

/* Kernel read-ahead makes large folios, and a direct write drops the whole folio it touches: a
 * writable LUN reads ahead for itself, by BLOCK_PREFETCH. */
static void advise(const struct raw_device *raw)
{
    if (!raw->device.geometry.read_only)
        (void)posix_fadvise(raw->buffered, 0, 0, POSIX_FADV_RANDOM);
}

int block_open(struct block_io *io, const struct block_location *location,
               const struct block_open_options *options, struct block_device **ret_device,
               struct error *error)
{
    struct stat status;
    struct raw_device *raw = raw_new(io, location);
    if (!raw)
        return error_set(error, -ENOMEM, "out of memory");
    int r = claim_open(&io->claims, &system_root, location, options, &raw->claim, &raw->buffered,
                       error);
    if (!r && fstat(raw->buffered, &status) < 0)
        r = error_set(error, -errno, "%s: %s", raw->path, strerror(errno));
    if (!r) {
        raw->claimed = claim_descriptor(raw->claim);
        raw->is_file = S_ISREG(status.st_mode);
        r = geometry_read(&system_root, raw, options, error);
    }
    if (!r)
        r = choose_write_mode(raw, options, error);
    if (r < 0) {
        raw_close(&raw->device);
        return r;
    }
    advise(raw);
    queue_open(raw, &system_root);
    *ret_device = &raw->device;
    return 0;
}
