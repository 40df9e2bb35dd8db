/* READ CAPACITY, READ DEFECT DATA, and a disk that changes its size. */
#include "scsi/fixture.h"

#define READ_CAPACITY_10 CDB(0x25)
#define READ_CAPACITY_16 CDB(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32)

static void both_say_the_same(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request ten = {READ_CAPACITY_10}, sixteen = {READ_CAPACITY_16};
    f->disk.device.geometry.physical_block_bytes = 4096;
    f->disk.device.geometry.alignment_offset_bytes = 3 * BLOCK;
    io_run(f, f->nexus[0], &io, &ten);
    assert_int_equal(io.in_bytes, 8);
    assert_int_equal(load_be32(io.in), DISK_BLOCKS - 1);
    assert_int_equal(load_be32(io.in + 4), BLOCK);
    io_free(&io);
    io_run(f, f->nexus[0], &io, &sixteen);
    assert_int_equal(io.in_bytes, 32);
    assert_int_equal(load_be64(io.in), DISK_BLOCKS - 1);
    assert_int_equal(load_be32(io.in + 8), BLOCK);
    assert_int_equal(io.in[12], 0);                  /* no protection */
    assert_int_equal(io.in[13], 3);                  /* 8 logical blocks per physical one */
    assert_int_equal(load_be16(io.in + 14), 0x8003); /* LBPME, lowest aligned LBA */
    io_free(&io);
    f->disk.device.geometry.discard_granularity_bytes = 0;
    io_run(f, f->nexus[0], &io, &sixteen);
    assert_int_equal(load_be16(io.in + 14), 3);
    io_free(&io);
    f->disk.device.geometry.blocks = 1ull << 33;
    io_run(f, f->nexus[0], &io, &ten);
    assert_int_equal(load_be32(io.in), UINT32_MAX);
    io_free(&io);
    f->disk.device.geometry.blocks = DISK_BLOCKS;
}

static void any_allocation_length(void **state)
{
    struct fixture *f = *state;
    for (uint8_t allocation = 0; allocation < 40; allocation++) {
        struct io io;
        struct request request = {READ_CAPACITY_16};
        request.cdb[13] = allocation;
        io_run(f, f->nexus[0], &io, &request);
        assert_int_equal(io.status, SCSI_STATUS_GOOD);
        assert_int_equal(io.in_bytes, min_of(allocation, 32));
        io_free(&io);
    }
}

static void resizing_is_told_to_everybody(void **state)
{
    struct fixture *f = *state;
    f->disk.device.geometry.blocks = DISK_BLOCKS / 2;
    scsi_lu_device_changed(f->lu);
    expect_error(f, 0, 0x6, 0x2a09, CDB_TUR);
    expect_error(f, 1, 0x6, 0x2a09, CDB_TUR);
    expect_good(f, 0, CDB_TUR);
    expect_error(f, 0, 0x5, 0x2100, CDB(0x28, 0, 0, 0, 0x08, 0, 0, 0, 1, 0));
    scsi_lu_device_changed(f->lu); /* nothing new */
    expect_good(f, 0, CDB_TUR);
}

/* Its stand-in, then the same disk again, larger. */
static void a_disk_that_comes_back_is_told_to_everybody(void **state)
{
    struct fixture *f = *state;
    struct disk other = f->disk;
    other.device.health = BLOCK_GONE;
    assert_true(scsi_lu_is_idle(f->lu));
    scsi_lu_replace_device(f->lu, &other.device);
    expect_error(f, 0, 0x2, 0x3a00, CDB_TUR);
    f->disk.device.geometry.blocks = DISK_BLOCKS * 2;
    scsi_lu_replace_device(f->lu, &f->disk.device);
    for (unsigned i = 0; i < 2; i++) {
        expect_error(f, i, 0x6, 0x2800, CDB_TUR);
        expect_error(f, i, 0x6, 0x2a09, CDB_TUR);
        expect_good(f, i, CDB_TUR);
    }
    struct io io;
    struct request request = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)};
    io_start(f->nexus[0], &io, &request);
    assert_false(scsi_lu_is_idle(f->lu));
    io_finish(&io);
    assert_true(scsi_lu_is_idle(f->lu));
    io_free(&io);
}

static void there_are_no_defects(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request ten = {CDB(0x37, 0, 0x1d, 0, 0, 0, 0, 0, 32, 0)};
    io_run(f, f->nexus[0], &io, &ten);
    assert_int_equal(io.in_bytes, 4);
    assert_memory_equal(io.in, ((uint8_t[]){0, 0x1d, 0, 0}), 4);
    io_free(&io);
    struct request twelve = {CDB(0xb7, 0x0d, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0)};
    io_run(f, f->nexus[0], &io, &twelve);
    assert_int_equal(io.in_bytes, 8);
    assert_int_equal(io.in[1], 0x0d);
    io_free(&io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(both_say_the_same),
        scsi_test(any_allocation_length),
        scsi_test(resizing_is_told_to_everybody),
        scsi_test(a_disk_that_comes_back_is_told_to_everybody),
        scsi_test(there_are_no_defects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
