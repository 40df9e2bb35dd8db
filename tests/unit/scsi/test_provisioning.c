/* UNMAP and GET LBA STATUS. */
#include "scsi/fixture.h"

static uint8_t list[8 + 300 * 16];

static struct request unmap(unsigned count)
{
    memset(list, 0, sizeof(list));
    uint16_t length = (uint16_t)(8 + 16 * count);
    store_be16(list, (uint16_t)(length - 2));
    store_be16(list + 2, (uint16_t)(length - 8));
    return (struct request){CDB(0x42, 0, 0, 0, 0, 0, 0, (uint8_t)(length >> 8), (uint8_t)length, 0),
                            .out = list, .out_bytes = length};
}

static void describe(unsigned i, uint64_t lba, uint32_t blocks)
{
    store_be64(list + 8 + 16 * i, lba);
    store_be32(list + 16 + 16 * i, blocks);
}

static void descriptors_are_discarded(void **state)
{
    struct fixture *f = *state;
    memset(f->disk.bytes, 1, DISK_BLOCKS * BLOCK);
    struct request request = unmap(3);
    describe(0, 0, 2);
    describe(1, 100, 0);
    describe(2, 500, 3000);
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    assert_int_equal(f->disk.bytes[0], 0);
    assert_int_equal(f->disk.bytes[2 * BLOCK], 1);
    assert_int_equal(f->disk.bytes[100 * BLOCK], 1);
    assert_int_equal(f->disk.bytes[499 * BLOCK], 1);
    assert_int_equal(f->disk.bytes[500 * BLOCK], 0);
    assert_int_equal(f->disk.bytes[3499 * BLOCK], 0);
    assert_int_equal(f->disk.bytes[3500 * BLOCK], 1);
    assert_int_equal(f->disk.submitted[BLOCK_DISCARD], 3); /* 1, and 3000 blocks in two steps */
}

static void nothing_to_do_is_no_error(void **state)
{
    struct fixture *f = *state;
    expect_status(f, 0, unmap(0), SCSI_STATUS_GOOD);
    expect_good(f, 0, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    struct request request = unmap(2);
    describe(0, DISK_BLOCKS, 0); /* at the end */
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    request = unmap(256);
    for (unsigned i = 0; i < 256; i++)
        describe(i, i / 2, 1); /* overlapping */
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
}

static void a_disk_that_stops_discarding_is_zeroed(void **state)
{
    struct fixture *f = *state;
    memset(f->disk.bytes, 1, DISK_BLOCKS * BLOCK);
    f->disk.fail_operations = 1 << BLOCK_DISCARD;
    f->disk.fail_result = -EOPNOTSUPP;
    struct request request = unmap(1);
    describe(0, 4, 2);
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE_ZEROES], 1);
    assert_int_equal(f->disk.bytes[4 * BLOCK], 0);
    assert_int_equal(f->disk.bytes[6 * BLOCK], 1);
}

static void bad_lists(void **state)
{
    struct fixture *f = *state;
    struct request request = unmap(2);
    describe(0, 0, 1);
    describe(1, DISK_BLOCKS - 1, 2);
    expect_sense(f, 0, request, 0x5, 0x2100);
    describe(1, UINT64_MAX, 2);
    expect_sense(f, 0, request, 0x5, 0x2100);
    assert_int_equal(f->disk.submitted[BLOCK_DISCARD], 0); /* all or nothing */
    store_be16(list + 2, 48);                              /* longer than what came */
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request.out_bytes = 7;
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request = unmap(257);
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request = unmap(2);
    f->disk.device.geometry.blocks = 1ull << 32;
    describe(0, 0, 1 << 20);
    describe(1, 0, 1);
    expect_sense(f, 0, request, 0x5, 0x2600); /* more than MAXIMUM UNMAP LBA COUNT */
    f->disk.device.geometry.blocks = DISK_BLOCKS;
}

static void status_begins_where_asked(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = {CDB(0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 0, 24)};
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.in_bytes, 24);
    assert_int_equal(load_be32(io.in), 20);
    assert_int_equal(load_be64(io.in + 8), DISK_BLOCKS - 1);
    assert_int_equal(load_be32(io.in + 16), 1);
    assert_int_equal(io.in[20], 0);
    io_free(&io);
    request.cdb[8] = 0x10;
    expect_sense(f, 0, request, 0x5, 0x2100);
    memset(request.cdb + 2, 0xff, 8);
    expect_sense(f, 0, request, 0x5, 0x2100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(descriptors_are_discarded),
        scsi_test(nothing_to_do_is_no_error),
        scsi_test(a_disk_that_stops_discarding_is_zeroed),
        scsi_test(bad_lists),
        scsi_test(status_begins_where_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
