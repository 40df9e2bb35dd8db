/*
 * test_stale_reads.c - no read returns bytes older than the last write acknowledged before it
 * began.
 *
 * Every sector carries the generation of the write that made it. Writes, engine reads, reads of the
 * cache, sendfile and prefetches of overlapping ranges run at once. A block has at most one write
 * in flight, so its generations have an order: a sector that a read returns must be at least of the
 * generation acknowledged when the read began, and none that was never submitted.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "block/loop_disk.h"
#include "block/requests.h"

#include <netboot-target/util/array.h>

#define BLOCK_BYTES  4096u
#define BLOCKS       64u /* few: the more often they meet */
#define SECTOR_BYTES 512u
#define RANGE_BLOCKS 8u
#define WRITERS      8u
#define READERS      8u
#define RUN_MS       2500u
#define PATIENCE_MS  10000u /* more, on a busy machine */
#define PLENTY       2000u  /* reads of each kind, or the test has shown nothing */

struct race;

struct actor {
    struct block_request request;
    struct race *race;
    bool busy;
    unsigned first;
    unsigned count;
    uint64_t generation;
    uint64_t floor[RANGE_BLOCKS];
    uint8_t *buffer;
};

struct race {
    struct loop_disk disk;
    struct block_io *io;
    struct block_device *device;
    struct actor writers[WRITERS];
    struct actor readers[READERS];
    struct actor prefetch;
    uint64_t generation; /* of the newest write submitted */
    uint64_t acknowledged[BLOCKS];
    uint64_t submitted[BLOCKS];
    bool in_flight[BLOCKS];
    int sockets[2];
    uint8_t *cached;
    uint64_t engine_reads, cached_reads, sends, writes, stale, invented;
    unsigned seed;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned pick(struct race *race, unsigned limit)
{
    return (unsigned)rand_r(&race->seed) % limit;
}

static void pick_range(struct race *race, unsigned *first, unsigned *count)
{
    *count = 1 + pick(race, RANGE_BLOCKS);
    *first = pick(race, BLOCKS - *count + 1);
}

static void note_floor(const struct race *race, uint64_t *floor, unsigned first, unsigned count)
{
    memcpy(floor, race->acknowledged + first, count * sizeof *floor);
}

static void check(struct race *race, const uint8_t *bytes, const uint64_t *floor, unsigned first,
                  size_t length)
{
    for (size_t at = 0; at < length; at += SECTOR_BYTES) {
        uint64_t generation;
        memcpy(&generation, bytes + at, sizeof generation);
        size_t block = at / BLOCK_BYTES;
        race->stale += generation < floor[block];
        race->invented += generation > race->submitted[first + block];
    }
}

/* ── actors ──────────────────────────────────────────────────────────────────────────────────── */

static void submit(struct actor *actor, enum block_operation operation,
                   void (*done)(struct block_request *request))
{
    actor->busy = true;
    actor->request = (struct block_request){.operation = operation,
                                            .offset_bytes = actor->first * BLOCK_BYTES,
                                            .length_bytes = actor->count * BLOCK_BYTES,
                                            .buffer = actor->buffer,
                                            .done = done,
                                            .context = actor};
    block_submit(actor->race->device, &actor->request);
}

static void write_done(struct block_request *request)
{
    struct actor *actor = request->context;
    assert_int_equal(request->result, 0);
    actor->busy = false;
    actor->race->writes++;
    for (unsigned i = actor->first; i < actor->first + actor->count; i++) {
        actor->race->acknowledged[i] = actor->generation;
        actor->race->in_flight[i] = false;
    }
}

static void start_write(struct race *race, struct actor *actor)
{
    pick_range(race, &actor->first, &actor->count);
    for (unsigned i = actor->first; i < actor->first + actor->count; i++) {
        if (race->in_flight[i])
            return;
    }
    actor->generation = ++race->generation;
    for (unsigned i = actor->first; i < actor->first + actor->count; i++) {
        race->in_flight[i] = true;
        race->submitted[i] = actor->generation;
    }
    for (size_t at = 0; at < actor->count * BLOCK_BYTES; at += SECTOR_BYTES)
        memcpy(actor->buffer + at, &actor->generation, sizeof actor->generation);
    submit(actor, BLOCK_WRITE, write_done);
}

static void read_done(struct block_request *request)
{
    struct actor *actor = request->context;
    assert_int_equal(request->result, 0);
    actor->busy = false;
    actor->race->engine_reads++;
    check(actor->race, actor->buffer, actor->floor, actor->first, actor->count * BLOCK_BYTES);
}

static void start_read(struct race *race, struct actor *actor)
{
    pick_range(race, &actor->first, &actor->count);
    note_floor(race, actor->floor, actor->first, actor->count);
    submit(actor, BLOCK_READ, read_done);
}

static void prefetch_done(struct block_request *request)
{
    struct actor *actor = request->context;
    actor->busy = false;
}

static void read_cache(struct race *race)
{
    unsigned first;
    unsigned count;
    uint64_t floor[RANGE_BLOCKS];
    pick_range(race, &first, &count);
    note_floor(race, floor, first, count);
    ssize_t n =
        block_read_cached(race->device, race->cached, first * BLOCK_BYTES, count * BLOCK_BYTES);
    assert_true(n > 0 || n == -EAGAIN);
    if (n <= 0)
        return;
    race->cached_reads++;
    check(race, race->cached, floor, first, round_down((size_t)n, SECTOR_BYTES));
}

/* The bytes stay in the socket while other things happen. */
static void send_from_cache(struct race *race)
{
    unsigned first;
    unsigned count;
    uint64_t floor[RANGE_BLOCKS];
    pick_range(race, &first, &count);
    if (block_residency(race->device, first * BLOCK_BYTES, count * BLOCK_BYTES) != BLOCK_RESIDENT)
        return;
    note_floor(race, floor, first, count);
    ssize_t sent =
        block_send(race->device, race->sockets[0], first * BLOCK_BYTES, count * BLOCK_BYTES);
    assert_true(sent > 0);
    block_io_dispatch(race->io);
    size_t got = 0;
    while (got < (size_t)sent) {
        ssize_t n = read(race->sockets[1], race->cached + got, (size_t)sent - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
    race->sends++;
    check(race, race->cached, floor, first, round_down(got, SECTOR_BYTES));
}

/* ────────────────────────────────────────────────────────────────────────────────────────────── */

static void run_turn(struct race *race)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        if (!race->writers[i].busy)
            start_write(race, &race->writers[i]);
    }
    for (unsigned i = 0; i < READERS; i++) {
        if (!race->readers[i].busy)
            start_read(race, &race->readers[i]);
    }
    if (!race->prefetch.busy) {
        pick_range(race, &race->prefetch.first, &race->prefetch.count);
        submit(&race->prefetch, BLOCK_PREFETCH, prefetch_done);
    }
    block_io_kick(race->io);
    for (unsigned i = 0; i < 4; i++) {
        read_cache(race);
        send_from_cache(race);
    }
    block_io_dispatch(race->io);
}

static void wait_for_all(struct race *race)
{
    uint64_t deadline = now_ms() + REQUEST_TIMEOUT_MS;
    while (race->device->counters.in_flight) {
        assert_true(now_ms() < deadline);
        block_io_kick(race->io);
        block_io_dispatch(race->io);
    }
}

static const struct row {
    const char *name;
    bool file;
    enum block_engine engine;
    enum block_write_mode mode;
} rows[] = {
    {"disk, io_uring, direct",   false, BLOCK_ENGINE_URING,   BLOCK_WRITE_DIRECT  },
    {"disk, threads, direct",    false, BLOCK_ENGINE_THREADS, BLOCK_WRITE_DIRECT  },
    {"file, io_uring, direct",   true,  BLOCK_ENGINE_URING,   BLOCK_WRITE_DIRECT  },
    {"disk, io_uring, buffered", false, BLOCK_ENGINE_URING,   BLOCK_WRITE_BUFFERED},
};

static void set_up(struct race *race, const struct row *row)
{
    loop_disk_make_file(&race->disk, BLOCKS * BLOCK_BYTES);
    if (!row->file)
        loop_disk_attach(&race->disk, SECTOR_BYTES, false);
    race->io = make_io(row->engine);
    race->device = open_path(race->io, row->file ? race->disk.file : race->disk.path,
                             &(struct block_open_options){.write_mode = row->mode});
    race->cached = aligned_buffer(RANGE_BLOCKS * BLOCK_BYTES, 0);
    race->seed = 1;
    for (unsigned i = 0; i < WRITERS; i++)
        race->writers[i] =
            (struct actor){.race = race, .buffer = aligned_buffer(RANGE_BLOCKS * BLOCK_BYTES, 0)};
    for (unsigned i = 0; i < READERS; i++)
        race->readers[i] =
            (struct actor){.race = race, .buffer = aligned_buffer(RANGE_BLOCKS * BLOCK_BYTES, 0)};
    race->prefetch.race = race;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, race->sockets), 0);
}

static void tear_down(struct race *race)
{
    for (unsigned i = 0; i < WRITERS; i++)
        free(race->writers[i].buffer);
    for (unsigned i = 0; i < READERS; i++)
        free(race->readers[i].buffer);
    free(race->cached);
    close(race->sockets[0]);
    close(race->sockets[1]);
    block_device_close(race->device);
    block_io_free(race->io);
    loop_disk_remove(&race->disk);
}

static bool has_plenty(const struct race *race)
{
    return race->writes >= PLENTY && race->engine_reads >= PLENTY && race->cached_reads >= PLENTY &&
           race->sends >= PLENTY;
}

static void run_race(const struct row *row)
{
    struct race *race = calloc(1, sizeof *race);
    set_up(race, row);
    uint64_t end = now_ms() + RUN_MS;
    while (now_ms() < end || (!has_plenty(race) && now_ms() < end + PATIENCE_MS))
        run_turn(race);
    wait_for_all(race);
    print_message("  %s: %llu writes, %llu engine reads, %llu cached, %llu sent: %llu sectors "
                  "stale, %llu invented\n",
                  row->name, (unsigned long long)race->writes,
                  (unsigned long long)race->engine_reads, (unsigned long long)race->cached_reads,
                  (unsigned long long)race->sends, (unsigned long long)race->stale,
                  (unsigned long long)race->invented);
    assert_int_equal(race->stale, 0);
    assert_int_equal(race->invented, 0);
    assert_true(has_plenty(race));
    tear_down(race);
    free(race);
}

static void test_no_read_is_stale(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        run_race(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_read_is_stale)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
