/* COMPARE AND WRITE and ORWRITE. */
#include "scsi/fixture.h"

#define CAW(blocks) CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, blocks, 0, 0)

static uint8_t data[2 * 255 * BLOCK];

static void writes_where_it_matches(void **state)
{
    struct fixture *f = *state;
    for (unsigned blocks = 1; blocks <= 255; blocks += 127) {
        size_t bytes = blocks * BLOCK;
        memset(f->disk.bytes + 4 * BLOCK, 'A', bytes);
        memset(data, 'A', bytes);
        memset(data + bytes, 'B', bytes);
        expect_good(f, 0, CAW((uint8_t)blocks), .out = data, .out_bytes = (uint32_t)(2 * bytes));
        assert_memory_equal(f->disk.bytes + 4 * BLOCK, data + bytes, bytes);
        expect_error(f, 0, 0xe, 0x1d00, CAW((uint8_t)blocks), .out = data,
                     .out_bytes = (uint32_t)(2 * bytes));
    }
    expect_good(f, 0, CAW(0));
}

static void a_miscompare_says_where(void **state)
{
    struct fixture *f = *state;
    memset(f->disk.bytes + 4 * BLOCK, 'A', BLOCK);
    for (unsigned at = 0; at < BLOCK; at++) {
        struct io io;
        struct request request = {CAW(1), .out = data, .out_bytes = 2 * BLOCK};
        memset(data, 'A', BLOCK);
        data[at] = 'Z';
        io_run(f, f->nexus[0], &io, &request);
        assert_int_equal(io.key, 0xe);
        assert_int_equal(io.sense[0], 0xf0);
        assert_int_equal(load_be32(io.sense + 3), at);
        io_free(&io);
    }
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 0);
}

static void data_must_be_two_times_the_blocks(void **state)
{
    struct fixture *f = *state;
    expect_error(f, 0, 0x5, 0x2400, CAW(1), .out = data, .out_bytes = 4 * BLOCK);
    expect_error(f, 0, 0x5, 0x2400, CAW(3), .out = data, .out_bytes = 4 * BLOCK);
    expect_error(f, 0, 0x5, 0x2400, CAW(1));
    f->disk.device.geometry.logical_block_bytes = 4096;
    f->disk.device.geometry.blocks = 512;
    expect_error(f, 0, 0x5, 0x2400, CAW(129), .out = data, .out_bytes = BLOCK);
    f->disk.device.geometry.blocks = DISK_BLOCKS;
    f->disk.device.geometry.logical_block_bytes = BLOCK;
}

/* Two initiators count up; every step is somebody's, none is lost. */
static void it_is_atomic(void **state)
{
    struct fixture *f = *state;
    static struct io io[NEXUSES];
    static uint8_t buffers[NEXUSES][2 * BLOCK];
    unsigned value = 0;
    memset(f->disk.bytes, 0, 64 * BLOCK);
    for (unsigned round = 0; round < 50; round++) {
        unsigned good = 0;
        for (unsigned i = 0; i < NEXUSES; i++) { /* all expect the same value */
            struct request request = {CAW(1), .out = buffers[i], .out_bytes = 2 * BLOCK};
            memset(buffers[i], (int)value, BLOCK);
            memset(buffers[i] + BLOCK, (int)value + 1, BLOCK);
            assert_int_equal(io_begin(f->nexus[i], &io[i], &request), SCSI_PENDING);
        }
        assert_int_equal(f->disk.submitted[BLOCK_READ], round * NEXUSES + 1); /* one at a time */
        while (!io[0].done || !io[1].done || !io[2].done) {
            if (disk_dispatch(&f->disk, 1) == 0)
                for (unsigned i = 0; i < NEXUSES; i++)
                    if (io[i].done && io[i].task)
                        io_finish(&io[i]);
        }
        for (unsigned i = 0; i < NEXUSES; i++) {
            if (io[i].task)
                io_finish(&io[i]);
            good += io[i].status == SCSI_STATUS_GOOD;
            io_free(&io[i]);
        }
        assert_int_equal(good, 1);
        value++;
        assert_int_equal(f->disk.bytes[4 * BLOCK + 77], value);
    }
}

static void orwrite(void **state)
{
    struct fixture *f = *state;
    struct request request = {CDB(0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0),
                              .out = data, .out_bytes = 3 * BLOCK};
    memset(data, 0xa5, 3 * BLOCK);
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    assert_memory_equal(f->disk.bytes + 4 * BLOCK, data, 3 * BLOCK);
    memset(data, 0x5a, 3 * BLOCK);
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    for (unsigned i = 0; i < 3 * BLOCK; i++)
        assert_int_equal(f->disk.bytes[4 * BLOCK + i], 0xff);
    assert_int_equal(f->disk.bytes[7 * BLOCK], 0);
    f->disk.fail_operations = 1 << BLOCK_READ;
    f->disk.fail_result = -EIO;
    expect_sense(f, 0, request, 0x3, 0x1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(writes_where_it_matches),
        scsi_test(a_miscompare_says_where),
        scsi_test(data_must_be_two_times_the_blocks),
        scsi_test(it_is_atomic),
        scsi_test(orwrite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
