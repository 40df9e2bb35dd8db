/*
 * engine_uring.c - reads through an io_uring: no thread waits for the disk. Never writes: an
 * asynchronous direct write leaves stale pages behind (raw.h), a buffered one would only use the
 * kernel's threads in place of ours. Only reads that the device has room for (queue.h). A read that
 * ends short or with an error is finished by a worker, which knows how to retry and narrow.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io.h"

#include <netboot-target/util/array.h>

#define RING_ENTRIES 256u
#define REAP_BATCH   64u

struct ring {
    struct io_uring uring;
    int descriptor;
    unsigned reads; /* not yet ended */
};

/* liburing 2.3 of Debian 12 declares these two, but does not export them. */
static int ring_register(const struct io_uring *uring, unsigned operation, void *argument,
                         unsigned count)
{
    long r = syscall(SYS_io_uring_register, uring->ring_fd, operation, argument, count);
    return r < 0 ? -errno : 0;
}

/* The ring can read and nothing else, whatever may get hold of it. */
static int restrict_to_reads(const struct io_uring *uring)
{
    struct io_uring_restriction restrictions[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ},
    };
    return ring_register(uring, IORING_REGISTER_RESTRICTIONS, restrictions,
                         ARRAY_SIZE(restrictions));
}

static int set_up(struct ring *ring, unsigned flags)
{
    int r = io_uring_queue_init(RING_ENTRIES, &ring->uring, flags | IORING_SETUP_R_DISABLED);
    if (r < 0)
        return r;
    r = io_uring_register_eventfd(&ring->uring, ring->descriptor);
    if (!r)
        r = restrict_to_reads(&ring->uring);
    if (!r)
        r = ring_register(&ring->uring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (r < 0)
        io_uring_queue_exit(&ring->uring);
    return r;
}

int ring_new(struct ring **ret_ring)
{
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* Linux 6.1 */
        0,
    };
    struct ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    ring->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = ring->descriptor < 0 ? -errno : -EINVAL;
    for (unsigned i = 0; r == -EINVAL && i < ARRAY_SIZE(flags); i++)
        r = set_up(ring, flags[i]);
    if (r < 0) {
        if (ring->descriptor >= 0)
            close(ring->descriptor);
        free(ring);
        return r;
    }
    *ret_ring = ring;
    return 0;
}

void ring_free(struct ring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->uring);
    close(ring->descriptor);
    free(ring);
}

bool ring_is_busy(const struct ring *ring)
{
    return ring->reads > 0;
}

int ring_descriptor(const struct ring *ring)
{
    return ring->descriptor;
}

bool ring_read(struct ring *ring, struct block_request *request)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe && io_uring_submit(&ring->uring) >= 0)
        sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe || request->length_bytes > INT32_MAX)
        return false;
    const struct raw_device *raw = raw_of(request->device);
    io_uring_prep_read(sqe, raw->buffered, request->buffer, (unsigned)request->length_bytes,
                       raw->base_bytes + request->offset_bytes);
    io_uring_sqe_set_data(sqe, request);
    ring->reads++;
    return true;
}

bool ring_kick(struct ring *ring)
{
    if (io_uring_sq_ready(&ring->uring))
        io_uring_submit(&ring->uring);
    return !io_uring_sq_ready(&ring->uring);
}

static bool end_read(const struct io_uring_cqe *cqe)
{
    struct block_request *request = io_uring_cqe_get_data(cqe);
    queue_leave(raw_of(request->device), request->length_bytes);
    if (cqe->res >= 0 && (uint64_t)cqe->res == request->length_bytes) {
        block_request_complete(request, 0);
        return true;
    }
    request->progress_bytes = cqe->res > 0 ? (uint64_t)cqe->res : 0;
    threads_start(request);
    return false;
}

/* The eventfd is a hint: it may be set without a completion, and completions are only delivered
 * when asked for (DEFER_TASKRUN). */
unsigned ring_dispatch(struct ring *ring)
{
    uint64_t count;
    (void)!read(ring->descriptor, &count, sizeof count);
    io_uring_get_events(&ring->uring);
    unsigned ended = 0;
    struct io_uring_cqe *cqes[REAP_BATCH];
    unsigned reaped;
    while ((reaped = io_uring_peek_batch_cqe(&ring->uring, cqes, REAP_BATCH))) {
        ring->reads -= reaped;
        for (unsigned i = 0; i < reaped; i++)
            ended += end_read(cqes[i]);
        io_uring_cq_advance(&ring->uring, reaped);
    }
    return ended;
}
