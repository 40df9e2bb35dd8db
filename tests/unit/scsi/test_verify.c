/* VERIFY and WRITE AND VERIFY. */
#include "scsi/fixture.h"

static uint8_t data[8 * BLOCK];

static void prepare(struct fixture *f)
{
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 13 + i / BLOCK);
    memcpy(f->disk.bytes + 4 * BLOCK, data, sizeof(data));
}

static void the_medium_alone(void **state)
{
    struct fixture *f = *state;
    /* More than a transfer may carry: nothing is transferred. Data-out is not looked at. */
    expect_good(f, 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0, 0));
    assert_int_equal(f->disk.submitted[BLOCK_READ], DISK_BLOCKS * BLOCK / (256 << 10));
    assert_int_equal(f->disk.past_cache, f->disk.submitted[BLOCK_READ]);
    expect_good(f, 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = data, .out_bytes = BLOCK);
    expect_good(f, 0, CDB(0x2f, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    expect_error(f, 0, 0x5, 0x2100, CDB(0x2f, 0, 0, 0, 0x10, 1, 0, 0, 0, 0));
    f->disk.fail_operations = 1 << BLOCK_READ;
    f->disk.fail_result = -EIO;
    f->disk.fail_offset = 3 * BLOCK;
    struct io io;
    struct request request = {CDB(0x8f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0)};
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.asc_ascq, 0x1100);
    assert_int_equal(load_be32(io.sense + 3), 3);
    io_free(&io);
}

static void against_data(void **state)
{
    struct fixture *f = *state;
    struct io io;
    prepare(f);
    struct request request = {CDB(0x2f, 0x02, 0, 0, 0, 4, 0, 0, 8, 0), .out = data,
                              .out_bytes = sizeof(data)};
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    for (size_t at = 0; at < sizeof(data); at += 257) {
        data[at] ^= 1;
        io_run(f, f->nexus[0], &io, &request);
        assert_int_equal(io.key, 0xe);
        assert_int_equal(io.asc_ascq, 0x1d00);
        assert_int_equal(load_be32(io.sense + 3), at);
        io_free(&io);
        data[at] ^= 1;
    }
    request.cdb[1] = 0;
    data[0] ^= 1;
    expect_status(f, 0, request, SCSI_STATUS_GOOD); /* BYTCHK 0 compares nothing */
    request.cdb[1] = 0x04;
    expect_sense(f, 0, request, 0x5, 0x2400);
    request.cdb[1] = 0x02;
    request.out_bytes = BLOCK + 1;
    expect_sense(f, 0, request, 0x5, 0x0e03);
}

static void against_one_block(void **state)
{
    struct fixture *f = *state;
    struct io io;
    memset(f->disk.bytes, 0x33, 1 << 20);
    memset(data, 0x33, BLOCK);
    struct request request = {CDB(0xaf, 0x06, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0), .out = data,
                              .out_bytes = BLOCK};
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    assert_int_equal(io.wanted, BLOCK);
    io_free(&io);
    f->disk.bytes[1000 * BLOCK + 9] = 0;
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(load_be32(io.sense + 3), 1000 * BLOCK + 9);
    io_free(&io);
}

static void writing_and_verifying(void **state)
{
    struct fixture *f = *state;
    prepare(f);
    for (uint8_t check = 0; check < 4; check += 2) {
        memset(f->disk.bytes, 0, 8 * BLOCK);
        expect_good(f, 0, CDB(0x2e, check, 0, 0, 0, 0, 0, 0, 8, 0), .out = data,
                    .out_bytes = sizeof(data));
        assert_memory_equal(f->disk.bytes, data, sizeof(data));
    }
    assert_int_equal(f->disk.submitted[BLOCK_READ], 2);
    assert_int_equal(f->disk.past_cache, 2);
    expect_error(f, 0, 0x5, 0x2400, CDB(0x2e, 0x06, 0, 0, 0, 0, 0, 0, 1, 0), .out = data,
                 .out_bytes = BLOCK);
    f->disk.fail_operations = 1 << BLOCK_READ;
    f->disk.fail_result = -EIO;
    expect_error(f, 0, 0x3, 0x1100, CDB(0x8e, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0),
                 .out = data, .out_bytes = BLOCK);
}

static void residuals_of_write_and_verify(void **state)
{
    struct fixture *f = *state;
    memset(f->disk.bytes, 'a', 2 * BLOCK);
    memset(data, 'b', sizeof(data));
    expect_good(f, 0, CDB(0x2e, 2, 0, 0, 0, 0, 0, 0, 1, 0));
    assert_int_equal(f->disk.bytes[0], 'a');
    expect_good(f, 0, CDB(0x2e, 2, 0, 0, 0, 0, 0, 0, 2, 0), .out = data, .out_bytes = BLOCK);
    assert_int_equal(f->disk.bytes[0], 'b');
    assert_int_equal(f->disk.bytes[BLOCK], 'a');
    expect_error(f, 0, 0x5, 0x0e03, CDB(0x2e, 2, 0, 0, 0, 0, 0, 0, 1, 0), .out = data,
                 .out_bytes = 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(the_medium_alone),
        scsi_test(against_data),
        scsi_test(against_one_block),
        scsi_test(writing_and_verifying),
        scsi_test(residuals_of_write_and_verify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
