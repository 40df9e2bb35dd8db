/* io.c - see block.h and io.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "io.h"

#define WORKERS_DEFAULT            32u
#define WORKERS_PER_DEVICE_DEFAULT 8u

static int start_ring(struct block_io *io, enum block_engine engine, struct error *error)
{
    if (engine == BLOCK_ENGINE_THREADS)
        return 0;
    int r = ring_new(&io->ring);
    if (r < 0 && engine == BLOCK_ENGINE_URING)
        return error_set(error, r,
                         "io_uring cannot be used here (%s): see sysctl kernel.io_uring_disabled "
                         "and the system-call filter, or choose the engine \"threads\"",
                         strerror(-r));
    return 0;
}

int block_io_new(const struct block_io_options *options, struct block_io **ret_io,
                 struct error *error)
{
    struct block_io *io = calloc(1, sizeof *io);
    if (!io)
        return error_set(error, -ENOMEM, "out of memory");
    claims_init(&io->claims);
    io->workers_per_device =
        options->workers_per_device ? options->workers_per_device : WORKERS_PER_DEVICE_DEFAULT;
    io->probes = probes_new(PROBES_PATIENCE_MS);
    io->workers = workers_new(options->workers ? options->workers : WORKERS_DEFAULT);
    int r = io->workers && io->probes ? start_ring(io, options->engine, error)
                                      : error_set(error, -ENOMEM, "out of memory");
    if (r < 0) {
        block_io_free(io);
        return r;
    }
    *ret_io = io;
    return 0;
}

void block_io_free(struct block_io *io)
{
    if (!io)
        return;
    workers_free(io->workers);
    ring_free(io->ring);
    claims_done(&io->claims);
    probes_free(io->probes);
    free(io);
}

const char *block_io_engine_name(const struct block_io *io)
{
    return io->ring ? "io_uring" : "threads";
}

void block_io_descriptors(const struct block_io *io, int ret_descriptors[2])
{
    ret_descriptors[0] = workers_descriptor(io->workers);
    ret_descriptors[1] = io->ring ? ring_descriptor(io->ring) : -1;
}

struct workers *block_io_workers(struct block_io *io)
{
    return io->workers;
}

static unsigned end_refused(struct block_io *io)
{
    unsigned ended = 0;
    struct block_request *refused = io->refused;
    io->refused = NULL; /* what callbacks submit now ends at the next dispatch */
    while (refused) {
        struct block_request *request = refused;
        DL_DELETE2(refused, request, previous, next);
        block_request_complete(request, request->result);
        ended++;
    }
    return ended;
}

unsigned block_io_dispatch(struct block_io *io)
{
    unsigned ended = workers_dispatch(io->workers);
    /* When it was the workers who woke us, an empty ring has nothing to tell. */
    if (io->ring && (!ended || ring_is_busy(io->ring)))
        ended += ring_dispatch(io->ring);
    return ended + end_refused(io);
}

static void wake_loop(const struct block_io *io)
{
    (void)!write(workers_descriptor(io->workers), &(uint64_t){1}, sizeof(uint64_t));
}

void block_io_kick(struct block_io *io)
{
    bool taken = !io->ring || ring_kick(io->ring);
    workers_kick(io->workers);
    if (!taken || io->refused)
        wake_loop(io);
}
