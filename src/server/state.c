/* state.c - see state.h */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "state.h"
#include "state_files.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/workers.h>

#define RECORDS_LIMIT 65536u
#define LATE_AFTER_S  5.0
#define KICK_AGAIN_MS 1000

struct record {
    struct record *prev, *next;
    char name[STATE_NAME_BYTES];
    char *data; /* NULL: there is no file */
    size_t length;
    int problem;    /* why it could not be read; 0: what is here counts */
    bool rejected;  /* it could, but makes no sense */
    unsigned puts;  /* under way */
    int put_result; /* of the latest */
    uint64_t version;
    struct job reading; /* the one file again */
    bool is_reading;
    struct state *state;
    /* by the worker */
    char *read_data;
    size_t read_length;
    int read_result;
    uint64_t read_version;
};

struct state {
    struct store store;
    char directory[400];
    int descriptor; /* -1: there is none */
    bool known;
    bool is_late; /* it did not answer in time, and has not since */
    bool writable;
    struct record *records;
    void (*changed)(void *context);
    void *context;
    struct ev_loop *loop;
    struct workers *workers; /* its own one: a disk that hangs takes others */
    struct job_queue *queue; /* keeps the order */
    ev_io finished;
    ev_prepare kick;
    ev_timer late;
    unsigned busy; /* jobs under way */
    bool ending;
    struct put *spare; /* without room for data: to say that there was no memory */

    /* the first look, by the worker */
    struct job look;
    bool is_looking;
    struct record *found;
    unsigned found_count;
    int look_result;
    int read_only_reason;
    int told; /* about a look that failed */
};

struct put {
    struct job job;
    struct state *state;
    struct record *record;
    store_done done;
    void *context;
    int result;
    size_t length;
    uint8_t data[];
};

/* ── records in memory ───────────────────────────────────────────────────────────────────────── */

static void wipe(char *data, size_t length)
{
    if (data)
        explicit_bzero(data, length);
    free(data);
}

static void records_free(struct record *records)
{
    struct record *record, *next;
    DL_FOREACH_SAFE (records, record, next) {
        wipe(record->data, record->length);
        wipe(record->read_data, record->read_length);
        free(record);
    }
}

static struct record *record_new(struct state *state, const char *name)
{
    struct record *record = calloc(1, sizeof *record);
    if (!record)
        return NULL;
    record->state = state;
    snprintf(record->name, sizeof record->name, "%s", name);
    return record;
}

static struct record *find(const struct state *state, const char *name)
{
    struct record *record;
    DL_FOREACH (state->records, record)
        if (!strcmp(record->name, name))
            return record;
    return NULL;
}

static void tell_change(struct state *state)
{
    if (!state->ending)
        state->changed(state->context);
}

static void submit(struct state *state, struct job *job)
{
    state->busy++;
    job_queue_submit(state->queue, job);
}

static void replace(struct record *record, char *data, size_t length)
{
    wipe(record->data, record->length);
    record->data = data;
    record->length = data ? length : 0;
    record->version++;
}

/* ── the first look ──────────────────────────────────────────────────────────────────────────── */

static int look_at(void *context, const char *name)
{
    struct state *state = context;
    if (++state->found_count > RECORDS_LIMIT)
        return -E2BIG;
    struct record *record = record_new(state, name);
    if (!record)
        return -ENOMEM;
    record->problem = state_files_read(state->descriptor, name, &record->data, &record->length);
    DL_APPEND(state->found, record);
    return 0;
}

static void look_run(struct job *job)
{
    struct state *state = container_of(job, struct state, look);
    state->look_result = 0;
    if (state->descriptor < 0)
        state->look_result =
            state_files_open(state->directory, &state->descriptor, &state->read_only_reason);
    if (!state->look_result)
        state->look_result = state_files_walk(state->descriptor, look_at, state);
}

/* A machine without such a directory has none tomorrow either; anything else may pass. */
static bool is_not_there(const struct state *state)
{
    int result = state->look_result;
    return state->descriptor < 0 && (result == -ENOENT || result == -ENOTDIR || result == -EACCES ||
                                     result == -EPERM || result == -EROFS);
}

static void tell_look(struct state *state)
{
    int reason = state->look_result ? -state->look_result : state->read_only_reason;
    if (!state->known && reason != state->told)
        log_error("cannot read the state directory %s: %s; nothing is served until it can be read",
                  state->directory, strerror(reason));
    if (state->known && reason)
        log_warning("cannot write to the state directory %s: %s; identities, secrets and "
                    "reservations that are not configured will change with the next start",
                    state->directory, strerror(reason));
    state->told = reason;
}

static void look_done(struct job *job)
{
    struct state *state = container_of(job, struct state, look);
    state->busy--;
    state->is_looking = false;
    state->is_late = false;
    ev_timer_stop(state->loop, &state->late);
    state->known = !state->look_result || is_not_there(state);
    state->writable = !state->look_result && !state->read_only_reason;
    struct record *found = take_pointer(state->found);
    state->found_count = 0;
    tell_look(state);
    if (state->known)
        state->records = found;
    else
        records_free(found);
    if (state->known)
        tell_change(state);
}

static void look(struct state *state)
{
    if (state->is_looking)
        return;
    state->is_looking = true;
    state->look.run = look_run;
    state->look.done = look_done;
    submit(state, &state->look);
}

static void on_late(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct state *state = watcher->data;
    state->is_late = true;
    log_error("the state directory %s does not answer; nothing is served until it does",
              state->directory);
}

/* ── looking again ───────────────────────────────────────────────────────────────────────────── */

static void read_run(struct job *job)
{
    struct record *record = container_of(job, struct record, reading);
    record->read_result = state_files_read(record->state->descriptor, record->name,
                                           &record->read_data, &record->read_length);
}

static bool is_news(const struct record *record)
{
    if (record->read_version != record->version)
        return false; /* it has been put meanwhile */
    if (!record->rejected)
        return record->read_result != record->problem;
    return record->read_result || record->read_length != record->length ||
           memcmp(record->read_data, record->data, record->length) != 0;
}

static void read_done(struct job *job)
{
    struct record *record = container_of(job, struct record, reading);
    struct state *state = record->state;
    bool news = is_news(record);
    char *data = take_pointer(record->read_data);
    size_t length = take(record->read_length, 0);
    state->busy--;
    record->is_reading = false;
    if (!news) {
        wipe(data, length);
        return;
    }
    record->problem = record->read_result == -ENOENT ? 0 : record->read_result;
    record->rejected = false;
    replace(record, data, length);
    tell_change(state);
}

static void read_again(struct record *record)
{
    if (record->is_reading)
        return;
    record->is_reading = true;
    record->reading.run = read_run;
    record->reading.done = read_done;
    record->read_version = record->version;
    submit(record->state, &record->reading);
}

/* Nothing, for the moment that a look takes. */
static int tell_unknown(const struct state *state, struct error *error)
{
    const char *reason = state->told      ? strerror(state->told)
                         : state->is_late ? "it does not answer"
                                          : NULL;
    if (!reason)
        return error_set(error, -EAGAIN, "%s", "");
    return error_set(error, -EAGAIN, "the state directory %s cannot be read: %s", state->directory,
                     reason);
}

static int tell_rejected(const struct record *record, struct error *error)
{
    const char *directory = record->state->directory;
    return error_set(error, -EBADMSG,
                     "%s/%s makes no sense; put a copy of it back, or remove it and what it says "
                     "is forgotten",
                     directory, record->name);
}

int state_load(struct state *state, const char *name, const char **ret_data, size_t *ret_length,
               struct error *error)
{
    if (!state->known) {
        look(state);
        return tell_unknown(state, error);
    }
    struct record *record = find(state, name);
    if (!record || (!record->data && !record->problem))
        return -ENOENT;
    if (record->rejected || record->problem)
        read_again(record);
    if (record->rejected)
        return tell_rejected(record, error);
    if (record->problem)
        return error_set(error, record->problem,
                         "%s/%s cannot be read: %s; mend the disk it is on, or remove it and what "
                         "it says is forgotten",
                         state->directory, name, strerror(-record->problem));
    *ret_data = record->data;
    *ret_length = record->length;
    return 0;
}

int state_reject(struct state *state, const char *name, struct error *error)
{
    struct record *record = find(state, name);
    record->rejected = true;
    return tell_rejected(record, error);
}

/* ── putting ─────────────────────────────────────────────────────────────────────────────────── */

static void put_run(struct job *job)
{
    struct put *put = container_of(job, struct put, job);
    const struct state *state = put->state;
    if (!put->record)
        put->result = -ENOMEM;
    else if (!state->writable)
        put->result = 0;
    else
        put->result =
            state_files_write(state->descriptor, put->record->name, put->data, put->length);
}

/* Nobody is told of a failure but who waits for it: tried again at once it would fail again. */
static void note_put(struct state *state, struct record *record, int result)
{
    bool is_last = !--record->puts;
    if (result && result != record->put_result)
        log_error("cannot keep %s/%s: %s", state->directory, record->name, strerror(-result));
    if (is_last || result)
        record->put_result = result;
    if (is_last && !result)
        tell_change(state);
}

static void put_done(struct job *job)
{
    struct put *put = container_of(job, struct put, job);
    struct state *state = put->state;
    state->busy--;
    if (put->done && !state->ending)
        put->done(put->context, put->result);
    if (put->record)
        note_put(state, put->record, put->result);
    explicit_bzero(put->data, put->length);
    if (state->spare)
        free(put);
    else
        state->spare = put;
}

static struct record *put_in_memory(struct state *state, const char *name, const void *data,
                                    size_t length)
{
    struct record *record = find(state, name);
    char *copy = calloc(1, length + 1);
    if (!record && copy) {
        record = record_new(state, name);
        if (record)
            DL_APPEND(state->records, record);
    }
    if (!record || !copy) {
        free(copy);
        return NULL;
    }
    memcpy(copy, data, length);
    replace(record, copy, length);
    record->problem = 0;
    record->rejected = false;
    record->puts++;
    return record;
}

static void state_put(struct store *store, const char *name, const void *data, size_t length,
                      store_done done, void *context)
{
    struct state *state = container_of(store, struct state, store);
    struct put *whole = calloc(1, sizeof *whole + length);
    struct put *put = whole ? whole : take_pointer(state->spare);
    if (!put)
        abort(); /* a caller that waits for durability can't be told otherwise later */
    *put = (struct put){.state = state, .done = done, .context = context};
    put->job.run = put_run;
    put->job.done = put_done;
    if (whole) { /* first of all a copy: `data` may be what the record is now */
        memcpy(put->data, data, length);
        put->length = length;
        put->record = put_in_memory(state, name, put->data, length);
    }
    if (!put->record)
        log_error("cannot keep %s/%s: out of memory", state->directory, name);
    submit(state, &put->job);
}

int state_keep(struct state *state, const char *name, const void *data, size_t length)
{
    struct record *record = find(state, name);
    bool same = record && record->data && !record->problem && record->length == length &&
                !memcmp(record->data, data, length);
    if (same && record->puts)
        return -EINPROGRESS;
    if (same && !record->put_result)
        return 0;
    int last = same ? record->put_result : -EINPROGRESS;
    state_put(&state->store, name, data, length, NULL, NULL);
    return last;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

static void on_finished(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    const struct state *state = watcher->data;
    workers_dispatch(state->workers);
}

/* Each turn of the loop: its thread may not have been there to start. */
static void on_kick(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop;
    (void)events;
    const struct state *state = watcher->data;
    workers_kick(state->workers);
}

static void watch(struct state *state)
{
    ev_prepare_init(&state->kick, on_kick);
    ev_set_priority(&state->kick, EV_MINPRI); /* after whoever puts in the same turn */
    state->kick.data = state;
    ev_prepare_start(state->loop, &state->kick);
    ev_io_init(&state->finished, on_finished, workers_descriptor(state->workers), EV_READ);
    state->finished.data = state;
    ev_io_start(state->loop, &state->finished);
    ev_timer_init(&state->late, on_late, LATE_AFTER_S, 0);
    state->late.data = state;
    ev_timer_start(state->loop, &state->late);
}

struct state *state_new(const char *directory, struct ev_loop *loop, void (*changed)(void *context),
                        void *context)
{
    struct state *state = calloc(1, sizeof *state);
    if (!state)
        return NULL;
    snprintf(state->directory, sizeof state->directory, "%s", directory);
    state->descriptor = -1;
    state->changed = changed;
    state->context = context;
    state->loop = loop;
    state->store.put = state_put;
    state->workers = workers_new(1);
    state->queue = state->workers ? job_queue_new(state->workers, 1) : NULL;
    state->spare = calloc(1, sizeof *state->spare);
    if (!state->queue || !state->spare) {
        state_free(state);
        return NULL;
    }
    watch(state);
    look(state);
    return state;
}

/* Nobody is told any more. */
static void wait_for_jobs(struct state *state)
{
    state->ending = true;
    while (state->busy) {
        struct pollfd finished = {.fd = workers_descriptor(state->workers), .events = POLLIN};
        workers_kick(state->workers);
        (void)poll(&finished, 1, KICK_AGAIN_MS);
        workers_dispatch(state->workers);
    }
}

void state_free(struct state *state)
{
    if (!state)
        return;
    wait_for_jobs(state);
    ev_io_stop(state->loop, &state->finished);
    ev_prepare_stop(state->loop, &state->kick);
    ev_timer_stop(state->loop, &state->late);
    job_queue_free(state->queue);
    workers_free(state->workers);
    if (state->descriptor >= 0)
        close(state->descriptor);
    records_free(state->records);
    records_free(state->found);
    free(state->spare);
    free(state);
}

struct store *state_store(struct state *state)
{
    return &state->store;
}

bool state_is_known(const struct state *state)
{
    return state->known;
}

bool state_lasts(const struct state *state)
{
    return state->known && state->writable;
}

bool state_is_busy(const struct state *state)
{
    return state->busy > 0;
}

void state_path(const struct state *state, const char *name, char *to, size_t size)
{
    if (state_lasts(state))
        snprintf(to, size, "%s/%s", state->directory, name);
    else
        snprintf(to, size, "%s", "");
}
