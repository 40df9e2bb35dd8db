/* test_transfer.c - short transfers, merged writes, flushes, and what a fault does to later writes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "block/fake_calls.h"
#include "block/loop_disk.h"
#include "block/raw.h"
#include "block/requests.h"

#include <netboot-target/util/array.h>

#define DISK_BYTES (32u << 20)
#define PAGE       4096u

static struct loop_disk disk;
static struct block_io *io;
static struct block_device *device;
static unsigned changes;

static void count_change(struct block_device *changed, void *context)
{
    assert_ptr_equal(changed, context);
    changes++;
}

static void open_disk(enum block_write_mode mode)
{
    fakes_reset();
    changes = 0;
    /* Two threads for transfers, so that two writes at the gate make the rest wait. */
    struct block_io_options options = {.engine = BLOCK_ENGINE_THREADS, .workers_per_device = 4};
    struct error error = {""};
    loop_disk_make(&disk, DISK_BYTES);
    assert_int_equal(block_io_new(&options, &io, &error), 0);
    device =
        open_path(io, disk.path, &(struct block_open_options){.write_mode = mode, .discard = true});
    device->changed = count_change;
    device->changed_context = device;
    fakes_reset();
}

static void close_disk(void)
{
    fakes_reset();
    block_device_close(device);
    block_io_free(io);
    loop_disk_remove(&disk);
}

static int run_one(enum block_operation operation, uint64_t offset, uint64_t length, void *buffer)
{
    return carry_out(io, device, operation, offset, length, buffer);
}

static int run_fua(uint64_t offset, uint64_t length, void *buffer)
{
    struct awaited awaited;
    unsigned left = 0;
    awaited = (struct awaited){.left = &left};
    awaited.request = (struct block_request){.operation = BLOCK_WRITE,
                                             .fua = true,
                                             .offset_bytes = offset,
                                             .length_bytes = length,
                                             .buffer = buffer,
                                             .done = awaited_done,
                                             .context = &awaited};
    left = 1;
    block_submit(device, &awaited.request);
    wait_for_end(io, &left);
    return awaited.request.result;
}

static void assert_on_disk(uint64_t offset, const void *expected, size_t length)
{
    uint8_t *found = malloc(length);
    assert_int_equal(pread(disk.backing, found, length, (off_t)offset), (ssize_t)length);
    assert_memory_equal(found, expected, length);
    free(found);
}

/* ── short and interrupted ───────────────────────────────────────────────────────────────────── */

static void test_short_transfers(void **state)
{
    (void)state;
    static const enum block_write_mode modes[] = {BLOCK_WRITE_DIRECT, BLOCK_WRITE_BUFFERED};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        open_disk(modes[i]);
        uint8_t *written = aligned_buffer(4 * PAGE, 0);
        uint8_t *read = aligned_buffer(4 * PAGE, 0);
        for (unsigned b = 0; b < 4 * PAGE; b++)
            written[b] = (uint8_t)rand();
        fake_write.short_bytes = 1536;
        fake_write.interrupt_next = true;
        assert_int_equal(run_one(BLOCK_WRITE, 512, 4 * PAGE, written), 0);
        assert_true(fake_write.calls >= 4 * PAGE / 1536 + 2);
        /* Not whole blocks: the write goes on at the boundary before. (The fake cuts what it passes
         * on, which direct I/O would not take.) */
        fake_write.short_bytes = 700;
        if (modes[i] == BLOCK_WRITE_BUFFERED)
            assert_int_equal(run_one(BLOCK_WRITE, 512, 1024, written), 0);
        fake_write.short_bytes = 0;
        fake_read.short_bytes = 1000;
        fake_read.interrupt_next = true;
        assert_int_equal(run_one(BLOCK_READ, 512, 4 * PAGE, read), 0);
        assert_memory_equal(read, written, 4 * PAGE);
        fake_read.short_bytes = 0;
        assert_int_equal(run_one(BLOCK_FLUSH, 0, 0, NULL), 0);
        assert_on_disk(512, written, 4 * PAGE);
        free(written);
        free(read);
        close_disk();
    }
}

/* ── merging ─────────────────────────────────────────────────────────────────────────────────── */

#define WRITES 16u

struct burst {
    struct awaited blockers[2];
    struct awaited writes[WRITES];
    uint8_t *blocker;
    uint8_t *data;
    unsigned left;
};

/* Two writes hold the threads; WRITES adjacent ones wait behind them. */
static void start_burst(struct burst *burst)
{
    burst->left = 0;
    burst->blocker = aligned_buffer(PAGE, 0xbb);
    burst->data = aligned_buffer(WRITES * PAGE, 0);
    for (unsigned i = 0; i < WRITES; i++)
        memset(burst->data + i * PAGE, 0x10 + (int)i, PAGE);
    gate_close(&fake_write);
    submit_awaited(device, &burst->blockers[0], BLOCK_WRITE, 8 << 20, PAGE, burst->blocker,
                   &burst->left);
    submit_awaited(device, &burst->blockers[1], BLOCK_WRITE, 9 << 20, PAGE, burst->blocker,
                   &burst->left);
    block_io_kick(io);
    gate_await(&fake_write, 2);
    for (unsigned i = 0; i < WRITES; i++)
        submit_awaited(device, &burst->writes[i], BLOCK_WRITE, i * PAGE, PAGE,
                       burst->data + i * PAGE, &burst->left);
}

static void finish_burst(struct burst *burst)
{
    gate_open(&fake_write);
    wait_for_end(io, &burst->left);
}

static void free_burst(struct burst *burst)
{
    free(burst->blocker);
    free(burst->data);
}

static void test_adjacent_writes_are_merged(void **state)
{
    (void)state;
    struct burst burst;
    open_disk(BLOCK_WRITE_DIRECT);
    start_burst(&burst);
    gate_let_one_through(&fake_write, 3); /* so one thread alone finds the row */
    finish_burst(&burst);
    for (unsigned i = 0; i < WRITES; i++)
        assert_int_equal(burst.writes[i].request.result, 0);
    assert_on_disk(0, burst.data, WRITES * PAGE);
    assert_int_equal(fake_write.calls, 3);
    assert_int_equal(fake_write.largest_vectors, WRITES);
    assert_int_equal(device->counters.operations[BLOCK_WRITE], WRITES + 2);
    assert_int_equal(device->counters.bytes[BLOCK_WRITE], (WRITES + 2) * PAGE);
    free_burst(&burst);
    close_disk();
}

static void test_one_bad_block_fails_its_own_write(void **state)
{
    (void)state;
    struct burst burst;
    open_disk(BLOCK_WRITE_DIRECT);
    start_burst(&burst);
    fake_write.error = EIO;
    fake_write.bad_byte = 5 * PAGE + 77;
    finish_burst(&burst);
    for (unsigned i = 0; i < WRITES; i++)
        assert_int_equal(burst.writes[i].request.result, i == 5 ? -EIO : 0);
    assert_on_disk(0, burst.data, 5 * PAGE);
    assert_on_disk(6 * PAGE, burst.data + 6 * PAGE, (WRITES - 6) * PAGE);
    assert_int_equal(device->counters.errors[BLOCK_WRITE], 1);
    assert_int_equal(device->health, BLOCK_HEALTHY);
    free_burst(&burst);
    close_disk();
}

static void test_fua_is_not_merged_with_others(void **state)
{
    (void)state;
    struct burst burst;
    open_disk(BLOCK_WRITE_DIRECT);
    start_burst(&burst);
    for (unsigned i = 0; i < WRITES; i += 2)
        burst.writes[i].request.fua = true; /* nobody has begun them */
    finish_burst(&burst);
    assert_int_equal(fake_write.calls, 2 + WRITES);
    assert_int_equal(fake_write.largest_vectors, 1);
    assert_on_disk(0, burst.data, WRITES * PAGE);
    free_burst(&burst);
    close_disk();
}

/* ── flushes ─────────────────────────────────────────────────────────────────────────────────── */

#define FLUSHES 5u

static void submit_flushes(struct awaited flushes[FLUSHES], unsigned *left)
{
    gate_close(&fake_sync);
    submit_awaited(device, &flushes[0], BLOCK_FLUSH, 0, 0, NULL, left);
    block_io_kick(io);
    gate_await(&fake_sync, 1);
    for (unsigned i = 1; i < FLUSHES; i++)
        submit_awaited(device, &flushes[i], BLOCK_FLUSH, 0, 0, NULL, left);
}

static void test_waiting_flushes_share_one(void **state)
{
    (void)state;
    struct awaited flushes[FLUSHES];
    unsigned left = 0;
    open_disk(BLOCK_WRITE_DIRECT);
    submit_flushes(flushes, &left);
    gate_open(&fake_sync);
    wait_for_end(io, &left);
    for (unsigned i = 0; i < FLUSHES; i++)
        assert_int_equal(flushes[i].request.result, 0);
    /* What came while the first one ran may not be covered by it. */
    assert_int_equal(fake_sync.calls, 2);
    close_disk();
}

static void test_flush_does_not_wait_for_writes(void **state)
{
    (void)state;
    struct burst burst;
    open_disk(BLOCK_WRITE_DIRECT);
    start_burst(&burst);
    assert_int_equal(run_one(BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_int_equal(burst.left, WRITES + 2);
    finish_burst(&burst);
    free_burst(&burst);
    close_disk();
}

static void assert_latched_until_rearmed(void)
{
    uint8_t *page = aligned_buffer(PAGE, 0x77);
    fake_write.error = 0;
    fake_sync.error = 0;
    assert_int_equal(device->health, BLOCK_WRITES_LATCHED);
    assert_int_equal(changes, 1);
    unsigned writes = fake_write.calls;
    unsigned syncs = fake_sync.calls;
    assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), -EIO);
    assert_int_equal(run_one(BLOCK_DISCARD, 0, PAGE, NULL), -EIO);
    assert_int_equal(run_one(BLOCK_WRITE_ZEROES, 0, PAGE, NULL), -EIO);
    assert_int_equal(run_one(BLOCK_FLUSH, 0, 0, NULL), -EIO);
    assert_int_equal(fake_write.calls, writes);
    assert_int_equal(fake_sync.calls, syncs);
    assert_int_equal(run_one(BLOCK_READ, 0, PAGE, page), 0);

    block_device_rearm(device);
    assert_int_equal(device->health, BLOCK_HEALTHY);
    assert_int_equal(changes, 2);
    assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), 0);
    assert_int_equal(run_one(BLOCK_FLUSH, 0, 0, NULL), 0);
    block_device_rearm(device);
    assert_int_equal(changes, 2);
    free(page);
}

static void test_failed_flush_latches(void **state)
{
    (void)state;
    static const enum block_write_mode modes[] = {BLOCK_WRITE_DIRECT, BLOCK_WRITE_BUFFERED};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        open_disk(modes[i]);
        fake_sync.error = i ? ENOSPC : EIO;
        assert_int_equal(run_one(BLOCK_FLUSH, 0, 0, NULL), -EIO);
        assert_latched_until_rearmed();
        close_disk();
    }
}

/* The kernel tells of a lost write once: the next fdatasync() succeeds. */
static void test_flushes_behind_a_failed_one_fail(void **state)
{
    (void)state;
    struct awaited flushes[FLUSHES];
    unsigned left = 0;
    open_disk(BLOCK_WRITE_DIRECT);
    submit_flushes(flushes, &left);
    fake_sync.error = EIO;
    gate_open(&fake_sync);
    wait_for_end(io, &left);
    for (unsigned i = 0; i < FLUSHES; i++)
        assert_int_equal(flushes[i].request.result, -EIO);
    assert_int_equal(fake_sync.calls, 1);
    assert_latched_until_rearmed();
    close_disk();
}

/* A write that no worker had begun when the fault came is not acknowledged either. */
static void test_waiting_writes_see_the_latch(void **state)
{
    (void)state;
    struct burst burst;
    open_disk(BLOCK_WRITE_DIRECT);
    start_burst(&burst);
    fake_sync.error = EIO;
    assert_int_equal(run_one(BLOCK_FLUSH, 0, 0, NULL), -EIO);
    finish_burst(&burst);
    for (unsigned i = 0; i < WRITES; i++)
        assert_int_equal(burst.writes[i].request.result, -EIO);
    assert_int_equal(fake_write.calls, 2);
    assert_latched_until_rearmed();
    free_burst(&burst);
    close_disk();
}

/* ── failed writes ───────────────────────────────────────────────────────────────────────────── */

static void test_failed_direct_write_does_not_latch(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EROFS};
    uint8_t *page = aligned_buffer(PAGE, 0x66);
    open_disk(BLOCK_WRITE_DIRECT);
    assert_int_equal(run_one(BLOCK_READ, 0, PAGE, page), 0);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        fake_write.error = errors[i];
        assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), -errors[i]);
        assert_int_equal(device->health, BLOCK_HEALTHY);
        /* The cache may no longer say what is on the disk. */
        assert_int_not_equal(block_residency(device, 0, PAGE), BLOCK_RESIDENT);
        assert_int_equal(run_one(BLOCK_READ, 0, PAGE, page), 0);
    }
    fake_write.error = 0;
    assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), 0);
    assert_int_equal(changes, 0);
    free(page);
    close_disk();
}

static void test_failed_fua(void **state)
{
    (void)state;
    uint8_t *page = aligned_buffer(PAGE, 0x66);
    open_disk(BLOCK_WRITE_DIRECT);
    /* The write itself fails: its own affair. */
    fake_write.error = EIO;
    assert_int_equal(run_fua(0, PAGE, page), -EIO);
    assert_int_equal(device->health, BLOCK_HEALTHY);
    /* The flush behind it fails: others' writes may be lost with it. */
    fake_write.only_flags = RWF_DSYNC;
    assert_int_equal(run_fua(0, PAGE, page), -EIO);
    assert_latched_until_rearmed();
    close_disk();

    /* Disks have other words for it. */
    static const int errors[] = {ETIMEDOUT, ENODATA, EREMOTEIO, ENOLINK};
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        open_disk(BLOCK_WRITE_DIRECT);
        fake_write.error = errors[i];
        assert_int_equal(run_fua(0, PAGE, page), -errors[i]);
        assert_int_equal(device->health, BLOCK_HEALTHY);
        fake_write.only_flags = RWF_DSYNC;
        assert_int_equal(run_fua(0, PAGE, page), -errors[i]);
        assert_latched_until_rearmed();
        close_disk();
    }
    free(page);
}

/* An acknowledged write finds no space when its page is written back. The next write with FUA is
 * told, and nobody after it. */
static void test_lost_page_is_not_taken_for_the_fua_write(void **state)
{
    (void)state;
    static const int errors[] = {ENOSPC, EDQUOT, ENXIO, EIO};
    uint8_t *page = aligned_buffer(PAGE, 0x66);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        open_disk(BLOCK_WRITE_BUFFERED);
        assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), 0);
        assert_int_equal(run_fua(PAGE, PAGE, page), 0);
        lose_a_page(errors[i], false);
        assert_int_equal(run_fua(2 * PAGE, PAGE, page), -EIO);
        assert_latched_until_rearmed();
        /* What was told before the re-arm is not told again. */
        fake_write.error = ENOSPC;
        assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), -ENOSPC);
        assert_int_equal(device->health, BLOCK_HEALTHY);
        close_disk();
    }
    free(page);
}

static void test_lost_page_is_not_taken_for_a_plain_write(void **state)
{
    (void)state;
    static const int errors[] = {ENOSPC, EDQUOT};
    uint8_t *page = aligned_buffer(PAGE, 0x66);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        open_disk(BLOCK_WRITE_BUFFERED);
        assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), 0);
        lose_a_page(errors[i], true);
        assert_int_equal(run_one(BLOCK_WRITE, PAGE, PAGE, page), -errors[i]);
        assert_latched_until_rearmed();
        close_disk();
    }
    /* Without another open file nothing can be told apart. */
    open_disk(BLOCK_WRITE_BUFFERED);
    close(raw_of(device)->direct);
    raw_of(device)->direct = -1;
    fake_write.error = ENOSPC;
    assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), -ENOSPC);
    assert_latched_until_rearmed();
    free(page);
    close_disk();
}

/* Of a flush and a write with FUA at once, one is told of the lost page: both fail. */
static void test_flush_beside_a_fua_write(void **state)
{
    (void)state;
    struct awaited awaited[2];
    unsigned left = 0;
    uint8_t *page = aligned_buffer(PAGE, 0x66);
    open_disk(BLOCK_WRITE_BUFFERED);
    gate_close(&fake_sync);
    submit_awaited(device, &awaited[0], BLOCK_WRITE, 0, PAGE, page, &left);
    awaited[0].request.fua = true; /* nobody has begun it */
    block_io_kick(io);
    gate_await(&fake_sync, 1);
    submit_awaited(device, &awaited[1], BLOCK_FLUSH, 0, 0, NULL, &left);
    block_io_kick(io);
    usleep(50000);
    lose_a_page(EIO, false);
    gate_open(&fake_sync);
    wait_for_end(io, &left);
    assert_int_equal(awaited[0].request.result, -EIO);
    assert_int_equal(awaited[1].request.result, -EIO);
    assert_latched_until_rearmed();
    free(page);
    close_disk();
}

static void test_failed_buffered_write_latches(void **state)
{
    (void)state;
    uint8_t *page = aligned_buffer(PAGE, 0x66);
    open_disk(BLOCK_WRITE_BUFFERED);
    fake_write.error = ENOSPC; /* of a sparse file: nothing acknowledged is lost */
    assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), -ENOSPC);
    assert_int_equal(device->health, BLOCK_HEALTHY);
    fake_write.error = EIO;
    assert_int_equal(run_one(BLOCK_WRITE, 0, PAGE, page), -EIO);
    assert_latched_until_rearmed();
    free(page);
    close_disk();
}

/* Writes and lets the write-back that it may bring about end. */
static int write_and_rest(uint64_t offset_bytes, uint8_t *megabyte)
{
    int result = run_one(BLOCK_WRITE, offset_bytes, 1 << 20, megabyte);
    while (device->counters.in_flight) {
        block_io_kick(io);
        block_io_dispatch(io);
    }
    return result;
}

static void test_dirty_window(void **state)
{
    (void)state;
    uint8_t *megabyte = aligned_buffer(1 << 20, 0x66);
    open_disk(BLOCK_WRITE_BUFFERED);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(write_and_rest(i << 20, megabyte), 0);
    assert_int_equal(fake_write_back.calls, 2); /* every 8 MiB, beside the writes */
    fake_write_back.error = EIO;
    for (unsigned i = 20; i < 24; i++)
        assert_int_equal(write_and_rest(i << 20, megabyte), 0);
    assert_int_equal(fake_write_back.calls, 3);
    assert_int_equal(write_and_rest(0, megabyte), -EIO);
    fake_write_back.error = 0;
    assert_latched_until_rearmed();
    close_disk();

    open_disk(BLOCK_WRITE_DIRECT);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(run_one(BLOCK_WRITE, i << 20, 1 << 20, megabyte), 0);
    assert_int_equal(fake_write_back.calls, 0);
    free(megabyte);
    close_disk();
}

/* ── reading past the cache ──────────────────────────────────────────────────────────────────── */

static int read_past_cache(uint64_t offset, uint64_t length, void *buffer, uint64_t *ret_error)
{
    unsigned left = 1;
    struct awaited awaited = {.left = &left};
    awaited.request = (struct block_request){.operation = BLOCK_READ,
                                             .past_cache = true,
                                             .offset_bytes = offset,
                                             .length_bytes = length,
                                             .buffer = buffer,
                                             .done = awaited_done,
                                             .context = &awaited};
    block_submit(device, &awaited.request);
    wait_for_end(io, &left);
    *ret_error = awaited.request.error_offset_bytes;
    return awaited.request.result;
}

static void change_behind_the_cache(uint64_t offset, const void *bytes, size_t length)
{
    int file = open(disk.file, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(file, bytes, length, (off_t)offset), (ssize_t)length);
    close(file);
}

/* The cache says what was written, the disk something else. */
static void test_reading_past_the_cache(void **state)
{
    (void)state;
    static const struct {
        enum block_write_mode mode;
        bool without_direct;
    } rows[] = {
        {BLOCK_WRITE_DIRECT,   false},
        {BLOCK_WRITE_BUFFERED, false},
        {BLOCK_WRITE_BUFFERED, true },
    };
    uint64_t error;
    uint8_t *written = aligned_buffer(4 * PAGE, 0x11);
    uint8_t *changed = aligned_buffer(2 * PAGE, 0x22);
    uint8_t *read = aligned_buffer(4 * PAGE, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        open_disk(rows[i].mode);
        if (rows[i].without_direct) {
            close(raw_of(device)->direct);
            raw_of(device)->direct = -1;
        }
        assert_int_equal(run_one(BLOCK_WRITE, 0, 4 * PAGE, written), 0);
        /* What has not reached the disk yet is written there first. */
        assert_int_equal(read_past_cache(512, 3 * PAGE, read, &error), 0);
        assert_memory_equal(read, written, 3 * PAGE);
        assert_on_disk(512, written, 3 * PAGE);

        assert_int_equal(run_one(BLOCK_READ, 0, 4 * PAGE, read), 0);
        change_behind_the_cache(PAGE, changed, 2 * PAGE);
        assert_int_equal(run_one(BLOCK_READ, PAGE, 2 * PAGE, read), 0);
        assert_memory_equal(read, written, 2 * PAGE);
        assert_int_equal(read_past_cache(PAGE + 512, PAGE, read, &error), 0);
        assert_memory_equal(read, changed, PAGE);

        fake_read.error = EIO;
        fake_read.bad_byte = PAGE + 1536 + 100;
        assert_int_equal(read_past_cache(PAGE, PAGE, read, &error), -EIO);
        assert_int_equal(error, rows[i].without_direct ? PAGE : PAGE + 1536);
        close_disk();
    }
    free(written);
    free(changed);
    free(read);
}

/* ── failed reads ────────────────────────────────────────────────────────────────────────────── */

static void test_bad_block_is_named(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset, length, bad, named;
    } rows[] = {
        {0,       256 << 10, 100000,        100000 / 512 * 512},
        {0,       256 << 10, 1,             0                 },
        {512,     1024,      1100,          1024              },
        {1 << 20, 1 << 20,   (2 << 20) - 1, (2 << 20) - 512   },
        {3 * 512, 64 << 10,  40000,         40000 / 512 * 512 },
    };
    uint8_t *written = aligned_buffer(4 << 20, 0);
    uint8_t *read = aligned_buffer(1 << 20, 0);
    open_disk(BLOCK_WRITE_DIRECT);
    for (unsigned b = 0; b < 4 << 20; b++)
        written[b] = (uint8_t)rand();
    assert_int_equal(run_one(BLOCK_WRITE, 0, 4 << 20, written), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct awaited awaited;
        unsigned left = 0;
        memset(read, 0, 1 << 20);
        fake_read.calls = 0;
        fake_read.error = EIO;
        fake_read.bad_byte = rows[i].bad;
        submit_awaited(device, &awaited, BLOCK_READ, rows[i].offset, rows[i].length, read, &left);
        wait_for_end(io, &left);
        assert_int_equal(awaited.request.result, -EIO);
        assert_int_equal(awaited.request.error_offset_bytes, rows[i].named);
        assert_memory_equal(read, written + rows[i].offset, rows[i].named - rows[i].offset);
        assert_true(fake_read.calls <= rows[i].length / PAGE + 12);
    }
    /* Other ranges stay readable, and nothing is latched. */
    assert_int_equal(run_one(BLOCK_READ, 0, 4096, read), 0);
    assert_int_equal(device->health, BLOCK_HEALTHY);
    fake_read.error = 0;
    assert_int_equal(run_one(BLOCK_READ, 1 << 20, 1 << 20, read), 0);
    assert_memory_equal(read, written + (1 << 20), 1 << 20);
    free(written);
    free(read);
    close_disk();
}

/* ── giving back ─────────────────────────────────────────────────────────────────────────────── */

static void test_zeroing_without_the_disks_help(void **state)
{
    (void)state;
    uint8_t *buffer = aligned_buffer(4 << 20, 0x99);
    uint8_t *zeros = aligned_buffer(3 << 20, 0);
    open_disk(BLOCK_WRITE_DIRECT);
    assert_int_equal(run_one(BLOCK_WRITE, 0, 4 << 20, buffer), 0);
    assert_int_equal(run_one(BLOCK_READ, 0, 4 << 20, buffer), 0);
    fake_zero.error = EOPNOTSUPP;
    assert_int_equal(run_one(BLOCK_WRITE_ZEROES, 512, 3 << 20, NULL), 0);
    assert_int_equal(run_one(BLOCK_READ, 0, 4 << 20, buffer), 0);
    assert_int_equal(buffer[511], 0x99);
    assert_memory_equal(buffer + 512, zeros, 3 << 20);
    assert_int_equal(buffer[512 + (3 << 20)], 0x99);
    fake_zero.error = EIO;
    assert_int_equal(run_one(BLOCK_WRITE_ZEROES, 0, PAGE, NULL), -EIO);
    assert_int_equal(device->health, BLOCK_HEALTHY);
    free(buffer);
    free(zeros);
    close_disk();
}

/* A plain discard must not leave pages behind in the cache either. */
static void test_plain_discard_drops_the_cache(void **state)
{
    (void)state;
    uint8_t *buffer = aligned_buffer(1 << 20, 0x99);
    uint8_t *found = malloc(1 << 20);
    open_disk(BLOCK_WRITE_DIRECT);
    raw_of(device)->discard_by_punching = false;
    assert_int_equal(run_one(BLOCK_WRITE, 0, 1 << 20, buffer), 0);
    assert_int_equal(run_one(BLOCK_READ, 0, 1 << 20, buffer), 0);
    assert_int_equal(block_residency(device, 65536, 65536), BLOCK_RESIDENT);
    assert_int_equal(run_one(BLOCK_DISCARD, 65536, 65536, NULL), 0);
    assert_int_equal(fake_zero.calls, 0);
    assert_int_equal(run_one(BLOCK_READ, 0, 1 << 20, buffer), 0);
    assert_int_equal(pread(disk.backing, found, 1 << 20, 0), 1 << 20);
    assert_memory_equal(buffer, found, 1 << 20);
    assert_int_equal(found[65536], 0); /* a loop device discards by punching its file */
    assert_int_equal(found[65535], 0x99);
    free(buffer);
    free(found);
    close_disk();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_transfers),
        cmocka_unit_test(test_adjacent_writes_are_merged),
        cmocka_unit_test(test_one_bad_block_fails_its_own_write),
        cmocka_unit_test(test_fua_is_not_merged_with_others),
        cmocka_unit_test(test_waiting_flushes_share_one),
        cmocka_unit_test(test_flush_does_not_wait_for_writes),
        cmocka_unit_test(test_failed_flush_latches),
        cmocka_unit_test(test_flushes_behind_a_failed_one_fail),
        cmocka_unit_test(test_waiting_writes_see_the_latch),
        cmocka_unit_test(test_failed_direct_write_does_not_latch),
        cmocka_unit_test(test_failed_fua),
        cmocka_unit_test(test_lost_page_is_not_taken_for_the_fua_write),
        cmocka_unit_test(test_lost_page_is_not_taken_for_a_plain_write),
        cmocka_unit_test(test_flush_beside_a_fua_write),
        cmocka_unit_test(test_reading_past_the_cache),
        cmocka_unit_test(test_failed_buffered_write_latches),
        cmocka_unit_test(test_dirty_window),
        cmocka_unit_test(test_bad_block_is_named),
        cmocka_unit_test(test_zeroing_without_the_disks_help),
        cmocka_unit_test(test_plain_discard_drops_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
