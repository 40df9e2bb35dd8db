/*
 * state.c - the state directory: one small file per record, replaced by write, fsync, rename, fsync
 * of the directory. Without a usable directory the daemon runs all the same (a RAM-only target has
 * no /var) and says what that costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/read.h>

#define RECORD_LIMIT_BYTES (1u << 20)

struct state {
    struct store store;
    char directory[400];
    int descriptor; /* -1: records last as long as the process */
    struct job_queue *queue;
    unsigned puts;     /* under way */
    struct put *spare; /* without room for data: to say that there was no memory */
};

struct put {
    struct job job;
    struct state *state;
    char name[129];
    store_done done;
    void *context;
    int result;
    size_t length;
    uint8_t data[];
};

static int write_all(int descriptor, const void *data, size_t length)
{
    const uint8_t *from = data;
    while (length) {
        ssize_t written = write(descriptor, from, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        from += written;
        length -= (size_t)written;
    }
    return 0;
}

static int save(int directory, const char *name, const void *data, size_t length)
{
    char temporary[160];
    snprintf(temporary, sizeof temporary, ".%s.new", name);
    _cleanup_close_ int descriptor =
        openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0)
        return -errno;
    int result = write_all(descriptor, data, length);
    if (!result &&
        (fsync(descriptor) || renameat(directory, temporary, directory, name) || fsync(directory)))
        result = -errno;
    return result;
}

static void put_run(struct job *job)
{
    struct put *put = container_of(job, struct put, job);
    put->result = save(put->state->descriptor, put->name, put->data, put->length);
}

static void put_run_without_memory(struct job *job)
{
    container_of(job, struct put, job)->result = -ENOMEM;
}

static void put_done(struct job *job)
{
    struct put *put = container_of(job, struct put, job);
    if (put->result)
        log_error("cannot keep %s/%s: %s", put->state->directory, put->name,
                  strerror(-put->result));
    put->state->puts--;
    if (put->done)
        put->done(put->context, put->result);
    if (put->state->spare)
        free(put);
    else
        put->state->spare = put;
}

static void put_run_nowhere(struct job *job)
{
    container_of(job, struct put, job)->result = 0;
}

static void state_put(struct store *store, const char *name, const void *data, size_t length,
                      store_done done, void *context)
{
    struct state *state = container_of(store, struct state, store);
    struct put *whole = calloc(1, sizeof *whole + length);
    struct put *put = whole ? whole : take_pointer(state->spare);
    if (!put)
        abort(); /* a caller that waits for durability can't be told otherwise later */
    put->job.run = !whole                  ? put_run_without_memory
                   : state->descriptor < 0 ? put_run_nowhere
                                           : put_run;
    put->job.done = put_done;
    put->state = state;
    put->done = done;
    put->context = context;
    snprintf(put->name, sizeof put->name, "%s", name);
    if (whole) {
        put->length = length;
        memcpy(put->data, data, length);
    }
    state->puts++;
    job_queue_submit(state->queue, &put->job);
}

struct state *state_new(const char *directory, struct block_io *io)
{
    struct state *state = calloc(1, sizeof *state);
    if (!state)
        return NULL;
    snprintf(state->directory, sizeof state->directory, "%s", directory);
    mkdir(directory, 0700);
    state->descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state->descriptor >= 0 && faccessat(state->descriptor, ".", W_OK, AT_EACCESS)) {
        close(state->descriptor);
        state->descriptor = -1;
    }
    if (state->descriptor < 0)
        log_warning(
            "cannot write to the state directory %s: %s; identities, secrets and reservations "
            "that are not configured will change with the next start",
            directory, strerror(errno));
    state->queue = job_queue_new(block_io_workers(io), 1); /* one thread keeps the order of puts */
    state->store.put = state_put;
    state->spare = calloc(1, sizeof *state->spare);
    if (!state->queue || !state->spare) {
        state_free(state);
        return NULL;
    }
    return state;
}

void state_free(struct state *state)
{
    if (!state)
        return;
    if (state->descriptor >= 0)
        close(state->descriptor);
    job_queue_free(state->queue);
    free(state->spare);
    free(state);
}

struct store *state_store(struct state *state)
{
    return &state->store;
}

bool state_is_busy(const struct state *state)
{
    return state->puts > 0;
}

char *state_load(struct state *state, const char *name, size_t *ret_length)
{
    if (state->descriptor < 0)
        return NULL;
    _cleanup_close_ int descriptor =
        openat(state->descriptor, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) || !S_ISREG(status.st_mode) ||
        status.st_size > RECORD_LIMIT_BYTES)
        return NULL;
    size_t length = (size_t)status.st_size;
    char *content = calloc(1, length + 1);
    if (content && read_exactly(descriptor, content, length)) {
        free(content);
        return NULL;
    }
    if (content)
        *ret_length = length;
    return content;
}

int state_save(struct state *state, const char *name, const void *data, size_t length)
{
    return state->descriptor < 0 ? -EROFS : save(state->descriptor, name, data, length);
}

void state_path(const struct state *state, const char *name, char *to, size_t size)
{
    if (state->descriptor < 0)
        snprintf(to, size, "%s", "");
    else
        snprintf(to, size, "%s/%s", state->directory, name);
}
