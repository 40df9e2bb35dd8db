/* test_transfer.c - short transfers, merged writes, reads past the cache, ranges given back */
#include "block/transfer_fixture.h"

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

/* ── reading past the cache ──────────────────────────────────────────────────────────────────── */

static int read_past_cache(uint64_t offset, uint64_t length, void *buffer, uint64_t *ret_error)
{
    struct block_request request = run_request((struct block_request){.operation = BLOCK_READ,
                                                                      .past_cache = true,
                                                                      .offset_bytes = offset,
                                                                      .length_bytes = length,
                                                                      .buffer = buffer});
    *ret_error = request.error_offset_bytes;
    return request.result;
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
        cmocka_unit_test(test_reading_past_the_cache),
        cmocka_unit_test(test_bad_block_is_named),
        cmocka_unit_test(test_zeroing_without_the_disks_help),
        cmocka_unit_test(test_plain_discard_drops_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
