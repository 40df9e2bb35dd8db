/* test_transfer_faults.c - flushes, and what a fault does to later writes */
#include "block/transfer_fixture.h"

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

static int run_fua(uint64_t offset, uint64_t length, void *buffer)
{
    return run_request((struct block_request){.operation = BLOCK_WRITE,
                                              .fua = true,
                                              .offset_bytes = offset,
                                              .length_bytes = length,
                                              .buffer = buffer})
        .result;
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(test_failed_buffered_write_latches),
        cmocka_unit_test(test_dirty_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
