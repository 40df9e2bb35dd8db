/* WRITE SAME(10) and (16). */
#include "scsi/fixture.h"

#define SAME_10(bits, count) CDB(0x41, bits, 0, 0, 0, 4, 0, (count) >> 8, (count)&0xff, 0)
#define SAME_16(bits, count) \
    CDB(0x93, bits, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, (count) >> 8, (count)&0xff, 0, 0)

static uint8_t block[2 * BLOCK];

static void a_pattern_is_written_in_steps(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < BLOCK; i++)
        block[i] = (uint8_t)(i + 1);
    expect_good(f, 0, SAME_10(0, 3000), .out = block, .out_bytes = BLOCK);
    for (unsigned i = 4; i < 3004; i++)
        assert_memory_equal(f->disk.bytes + i * BLOCK, block, BLOCK);
    assert_int_equal(f->disk.bytes[4 * BLOCK - 1], 0);
    assert_int_equal(f->disk.bytes[3004 * BLOCK], 0);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 6); /* of 256 KiB */
    expect_good(f, 0, SAME_16(0, 1), .out = block, .out_bytes = BLOCK);
}

static void zeros_need_no_transfer(void **state)
{
    struct fixture *f = *state;
    memset(block, 0, BLOCK);
    memset(f->disk.bytes, 1, 64 * BLOCK);
    expect_good(f, 0, SAME_10(0, 8), .out = block, .out_bytes = BLOCK);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE_ZEROES], 1);
    assert_int_equal(f->disk.bytes[4 * BLOCK], 0);
    assert_int_equal(f->disk.bytes[12 * BLOCK], 1);
    expect_good(f, 0, SAME_16(0x01, 9)); /* NDOB */
    assert_int_equal(f->disk.bytes[12 * BLOCK], 0);
}

static void unmapping_is_done_where_it_reads_as_asked(void **state)
{
    struct fixture *f = *state;
    memset(block, 0, BLOCK);
    expect_good(f, 0, SAME_10(0x08, 256), .out = block, .out_bytes = BLOCK);
    assert_int_equal(f->disk.submitted[BLOCK_DISCARD], 1);
    expect_good(f, 0, SAME_16(0x09, 3000));
    assert_int_equal(f->disk.submitted[BLOCK_DISCARD], 3); /* of at most discard_limit */
    block[BLOCK - 1] = 7;                                  /* not zeros: written, UNMAP or not */
    expect_good(f, 0, SAME_10(0x08, 2), .out = block, .out_bytes = BLOCK);
    assert_memory_equal(f->disk.bytes + 5 * BLOCK, block, BLOCK);
    f->disk.device.geometry.discard_zeroes = false;
    memset(block, 0, BLOCK);
    expect_good(f, 0, SAME_10(0x08, 2), .out = block, .out_bytes = BLOCK);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE_ZEROES], 1);
    f->disk.device.geometry.discard_granularity_bytes = 0;
    expect_error(f, 0, 0x5, 0x2400, SAME_10(0x08, 2), .out = block, .out_bytes = BLOCK);
}

static void what_is_refused(void **state)
{
    struct fixture *f = *state;
    expect_error(f, 0, 0x5, 0x2400, SAME_10(0x10, 1), .out = block, .out_bytes = BLOCK);
    expect_error(f, 0, 0x5, 0x2400, SAME_10(0x18, 1), .out = block, .out_bytes = BLOCK);
    expect_error(f, 0, 0x5, 0x0e03, SAME_10(0x08, 1), .out = block, .out_bytes = BLOCK / 2);
    expect_error(f, 0, 0x5, 0x0e03, SAME_10(0x08, 1), .out = block, .out_bytes = 2 * BLOCK);
    expect_error(f, 0, 0x5, 0x2100, CDB(0x41, 0, 0, 0, 0x10, 0, 0, 0, 1, 0), .out = block,
                 .out_bytes = BLOCK);
    f->disk.device.geometry.blocks = 1u << 20;
    expect_error(f, 0, 0x5, 0x2400, CDB(0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 0));
    f->disk.device.geometry.blocks = DISK_BLOCKS;
    assert_int_equal(f->disk.queue == NULL, 1);
}

static void a_disk_that_stops_discarding_is_zeroed(void **state)
{
    struct fixture *f = *state;
    memset(f->disk.bytes, 1, DISK_BLOCKS * BLOCK);
    f->disk.fail_operations = 1 << BLOCK_DISCARD;
    f->disk.fail_result = -EOPNOTSUPP;
    expect_good(f, 0, SAME_16(0x09, 4000));
    assert_int_equal(f->disk.bytes[4 * BLOCK - 1], 1);
    for (unsigned i = 4; i < 4004; i++)
        assert_int_equal(f->disk.bytes[i * BLOCK], 0);
    assert_int_equal(f->disk.bytes[4004 * BLOCK], 1);
}

/* No blocks: to the end, if that is not too much. */
static void to_the_end(void **state)
{
    struct fixture *f = *state;
    block[0] = 9;
    expect_good(f, 0, CDB(0x41, 0, 0, 0, 0x0f, 0xfd), .out = block, .out_bytes = BLOCK);
    assert_int_equal(f->disk.bytes[(DISK_BLOCKS - 4) * BLOCK], 0);
    for (unsigned i = DISK_BLOCKS - 3; i < DISK_BLOCKS; i++)
        assert_int_equal(f->disk.bytes[i * BLOCK], 9);
    f->disk.device.geometry.blocks = 1u << 16; /* 32 MiB */
    expect_error(f, 0, 0x5, 0x2400, CDB(0x41, 0), .out = block, .out_bytes = BLOCK);
    expect_error(f, 0, 0x5, 0x2100, CDB(0x41, 0, 0, 1, 0, 1), .out = block, .out_bytes = BLOCK);
    f->disk.device.geometry.blocks = DISK_BLOCKS;
}

static void an_error_ends_it(void **state)
{
    struct fixture *f = *state;
    block[0] = 1;
    f->disk.fail_operations = 1 << BLOCK_WRITE;
    f->disk.fail_result = -EIO;
    expect_error(f, 0, 0x3, 0x0c00, SAME_10(0, 3000), .out = block, .out_bytes = BLOCK);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(a_pattern_is_written_in_steps),
        scsi_test(zeros_need_no_transfer),
        scsi_test(unmapping_is_done_where_it_reads_as_asked),
        scsi_test(what_is_refused),
        scsi_test(an_error_ends_it),
        scsi_test(to_the_end),
        scsi_test(a_disk_that_stops_discarding_is_zeroed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
