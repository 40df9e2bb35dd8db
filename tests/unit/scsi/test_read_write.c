/* READ and WRITE: lengths, ranges, flags, residuals, errors of the disk. */
#include "scsi/fixture.h"

static uint8_t pattern[4 * BLOCK];

static int fill_pattern(void **state)
{
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / BLOCK);
    return fixture_setup(state);
}

#define rw_test(function) cmocka_unit_test_setup_teardown(function, fill_pattern, fixture_teardown)

static void written_blocks_are_read_back(void **state)
{
    struct fixture *f = *state;
    expect_good(f, 0, CDB(0x2a, 0, 0, 0, 0, 8, 0, 0, 4, 0), .out = pattern,
                .out_bytes = sizeof(pattern));
    assert_memory_equal(f->disk.bytes + 8 * BLOCK, pattern, sizeof(pattern));
    struct io io;
    struct request read = {CDB(0x28, 0, 0, 0, 0, 8, 0, 0, 4, 0), .in_bytes = sizeof(pattern)};
    assert_int_equal(io_start(f->nexus[1], &io, &read), SCSI_DONE); /* at once */
    assert_int_equal(io.task->data_source, SCSI_DATA_DEVICE);
    assert_int_equal(io.task->device_offset_bytes, 8 * BLOCK);
    assert_int_equal(io.task->data_in_bytes, sizeof(pattern));
    uint8_t buffer[sizeof(pattern)];
    assert_true(scsi_task_is_resident(io.task, 0, sizeof(buffer)));
    assert_int_equal(scsi_task_read_cached(io.task, buffer, BLOCK, 2 * BLOCK), 2 * BLOCK);
    assert_memory_equal(buffer, pattern + BLOCK, 2 * BLOCK);
    io_finish(&io);
    io_free(&io);
}

/* Every length of CDB does the same. */
static void all_forms(void **state)
{
    struct fixture *f = *state;
    static const struct {
        struct request write, read;
    } forms[] = {
        {{CDB(0x0a, 0, 0, 16, 4, 0)},                                  {CDB(0x08, 0, 0, 16, 4, 0)}               },
        {{CDB(0x2a, 0x1a, 0, 0, 0, 16, 0, 0, 4, 0)},                   {CDB(0x28, 0x1a, 0, 0, 0, 16, 3, 0, 4, 0)}},
        {{CDB(0xaa, 0x1a, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0)},
         {CDB(0xa8, 0, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0)}                                                           },
        {{CDB(0x8a, 0x08, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0)},
         {CDB(0x88, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0)}                                               },
    };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct io io;
        struct request write = forms[i].write;
        pattern[0] = (uint8_t)(0xf0 + i);
        write.out = pattern;
        write.out_bytes = sizeof(pattern);
        expect_status(f, 0, write, SCSI_STATUS_GOOD);
        io_run(f, f->nexus[0], &io, &forms[i].read);
        assert_int_equal(io.status, SCSI_STATUS_GOOD);
        assert_int_equal(io.in_bytes, sizeof(pattern));
        assert_memory_equal(f->disk.bytes + 16 * BLOCK, pattern, sizeof(pattern));
        io_free(&io);
    }
}

static void fua_goes_to_stable_storage(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request write = {CDB(0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1, 0), .out = pattern,
                            .out_bytes = BLOCK};
    assert_int_equal(io_begin(f->nexus[0], &io, &write), SCSI_PENDING);
    assert_true(f->disk.queue->fua);
    disk_dispatch(&f->disk, 0);
    io_finish(&io);
    io_free(&io);
    write.cdb[1] = 0;
    assert_int_equal(io_begin(f->nexus[0], &io, &write), SCSI_PENDING);
    assert_false(f->disk.queue->fua);
    disk_dispatch(&f->disk, 0);
    io_finish(&io);
    io_free(&io);
    /* a read with FUA flushes first */
    expect_good(f, 0, CDB(0x28, 0x08, 0, 0, 0, 0, 0, 0, 1, 0));
    assert_int_equal(f->disk.submitted[BLOCK_FLUSH], 1);
}

static void read_6_of_0_blocks_means_256(void **state)
{
    struct io io;
    struct request read = {CDB(0x08, 0, 0, 0, 0, 0)};
    struct fixture *f = *state;
    io_run(f, f->nexus[0], &io, &read);
    assert_int_equal(io.in_bytes, 256 * BLOCK);
    io_free(&io);
}

static void ranges_are_checked_without_overflow(void **state)
{
    struct fixture *f = *state;
    expect_good(f, 0, CDB(0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 1, 0)); /* the last block */
    static const struct request bad[] = {
        {CDB(0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2, 0)},
        {CDB(0x28, 0, 0, 0, 0x10, 0x01, 0, 0, 0, 0)}, /* no blocks, but beyond */
        {CDB(0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0)},
        {CDB(0x08, 0x1f, 0xff, 0xff, 1, 0)},
        {CDB(0xa8, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0)},
        {CDB(0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0)},
        {CDB(0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,
             0)},
        {CDB(0x88, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
        {CDB(0x2a, 0, 0x80, 0, 0, 0, 0, 0, 0, 0)},
        {CDB(0x8b, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0, 0, 0, 0, 0, 0)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        expect_sense(f, 0, bad[i], 0x5, 0x2100);
}

static void no_blocks_is_no_error(void **state)
{
    struct fixture *f = *state;
    expect_good(f, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    expect_good(f, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    expect_good(f, 0, CDB(0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 0);
}

/* 1 MiB is taken; more is refused with a pointer at the length. */
static void transfers_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct io io;
    expect_good(f, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0x08, 0x00, 0));
    struct request read = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0x08, 0x01, 0)};
    io_run(f, f->nexus[0], &io, &read);
    assert_int_equal(io.asc_ascq, 0x2400);
    assert_int_equal(load_be16(io.sense + 16), 7);
    io_free(&io);
}

static void protection_bits_and_reserved_bits_are_refused(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 1; i < 8; i++) {
        struct io io;
        struct request read = {CDB(0x28, (uint8_t)(i << 5), 0, 0, 0, 0, 0, 0, 1, 0)};
        io_run(f, f->nexus[0], &io, &read);
        assert_int_equal(io.key, 5);
        assert_int_equal(io.asc_ascq, 0x2400);
        /* SKSV, C/D, BPV, the highest wrong bit of byte 1 */
        assert_int_equal(io.sense[15], 0xc8 | (i >= 4 ? 7 : i >= 2 ? 6 : 5));
        assert_int_equal(load_be16(io.sense + 16), 1);
        io_free(&io);
    }
    expect_error(f, 0, 0x5, 0x2400, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0x04)); /* NACA */
}

/* What libiscsi's residual tests ask for: whole blocks that came are written, half ones are not. */
static void less_data_than_blocks(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request write = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0), .out = pattern,
                            .out_bytes = BLOCK};
    memset(f->disk.bytes, 'a', 2 * BLOCK);
    io_run(f, f->nexus[0], &io, &write);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    assert_int_equal(io.wanted, 2 * BLOCK); /* the transport's residual */
    assert_memory_equal(f->disk.bytes, pattern, BLOCK);
    assert_int_equal(f->disk.bytes[BLOCK], 'a');
    io_free(&io);
    write.out_bytes = 200;
    memset(f->disk.bytes, 'a', 2 * BLOCK);
    expect_status(f, 0, write, SCSI_STATUS_CHECK_CONDITION);
    expect_sense(f, 0, write, 0x5, 0x0e03);
    assert_int_equal(f->disk.bytes[0], 'a');
    write.out_bytes = 0;
    expect_status(f, 0, write, SCSI_STATUS_GOOD);
    assert_int_equal(f->disk.bytes[0], 'a');
}

static void disk_errors_become_sense(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int result;
        uint8_t status;
        unsigned key, asc_ascq;
    } errors[] = {
        {-EIO,    SCSI_STATUS_CHECK_CONDITION, 0x3, 0x0c00},
        {-ENOSPC, SCSI_STATUS_CHECK_CONDITION, 0x7, 0x2707},
        {-ENXIO,  SCSI_STATUS_CHECK_CONDITION, 0x5, 0x2100},
        {-ENODEV, SCSI_STATUS_CHECK_CONDITION, 0x2, 0x3a00},
        {-EROFS,  SCSI_STATUS_CHECK_CONDITION, 0x7, 0x2700},
        {-ENOMEM, SCSI_STATUS_BUSY,            0,   0     },
    };
    f->disk.fail_operations = 1 << BLOCK_WRITE;
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        struct io io;
        struct request write = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = pattern,
                                .out_bytes = BLOCK};
        f->disk.fail_result = errors[i].result;
        io_run(f, f->nexus[0], &io, &write);
        assert_int_equal(io.status, errors[i].status);
        assert_int_equal(io.key, errors[i].key);
        assert_int_equal(io.asc_ascq, errors[i].asc_ascq);
        io_free(&io);
    }
    f->disk.fail_operations = 1 << BLOCK_FLUSH;
    f->disk.fail_result = -EIO;
    expect_error(f, 0, 0x3, 0x0c00, CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

static void a_fetch_reads_through_the_engine(void **state)
{
    struct fixture *f = *state;
    struct io io;
    uint8_t buffer[BLOCK];
    struct request read = {CDB(0x28, 0, 0, 0, 0, 4, 0, 0, 2, 0)};
    memset(f->disk.bytes + 5 * BLOCK, 0x5a, BLOCK);
    f->disk.absent = true;
    assert_int_equal(io_start(f->nexus[0], &io, &read), SCSI_DONE);
    assert_false(scsi_task_is_resident(io.task, 0, BLOCK));
    assert_int_equal(scsi_task_read_cached(io.task, buffer, 0, BLOCK), -EAGAIN);
    scsi_task_fetch(io.task, buffer, BLOCK, BLOCK);
    assert_int_equal(io.fetched, 0);
    disk_dispatch(&f->disk, 0);
    assert_int_equal(io.fetched, 1);
    assert_int_equal(io.task->fetch_result, 0);
    assert_int_equal(buffer[0], 0x5a);
    f->disk.fail_operations = 1 << BLOCK_READ;
    f->disk.fail_result = -EIO;
    f->disk.fail_offset = 5 * BLOCK;
    scsi_task_fetch(io.task, buffer, 0, BLOCK);
    disk_dispatch(&f->disk, 0);
    assert_int_equal(io.task->fetch_result, -EIO);
    io_finish(&io);
    assert_int_equal(io.status, SCSI_STATUS_CHECK_CONDITION);
    assert_int_equal(io.key, 3);
    assert_int_equal(io.asc_ascq, 0x1100);
    assert_int_equal(io.sense[0], 0xf0); /* INFORMATION is valid: the LBA */
    assert_int_equal(load_be32(io.sense + 3), 5);
    io_free(&io);
}

/* An initiator that takes 200 bytes of a block; the disk reads whole blocks. */
static void a_fetch_of_half_a_block(void **state)
{
    struct fixture *f = *state;
    struct io io;
    uint8_t buffer[700];
    struct request read = {CDB(0x28, 0, 0, 0, 0, 4, 0, 0, 2, 0)};
    memcpy(f->disk.bytes + 4 * BLOCK, pattern, 2 * BLOCK);
    assert_int_equal(io_start(f->nexus[0], &io, &read), SCSI_DONE);
    scsi_task_fetch(io.task, buffer, 100, 700);
    assert_int_equal(f->disk.queue->offset_bytes, 4 * BLOCK);
    assert_int_equal(f->disk.queue->length_bytes, 2 * BLOCK);
    disk_dispatch(&f->disk, 0);
    assert_int_equal(io.task->fetch_result, 0);
    assert_memory_equal(buffer, pattern + 100, 700);
    void *hog[64];
    size_t count = 0;
    while (count < ARRAY_SIZE(hog) && (hog[count] = pool_take(f->pool, 1 << 20)))
        count++;
    scsi_task_fetch(io.task, buffer, 0, 200); /* no memory: told as always, by the callback */
    assert_int_equal(io.fetched, 1);
    disk_dispatch(&f->disk, 0);
    assert_int_equal(io.fetched, 2);
    assert_int_equal(io.task->fetch_result, -EIO);
    assert_int_equal(io.task->status, SCSI_STATUS_BUSY);
    io_finish(&io);
    io_free(&io);
    expect_status(f, 0, (struct request){CDB(0x2f, [8] = 1)}, SCSI_STATUS_BUSY);
    while (count > 0)
        pool_give(f->pool, hog[--count], 1 << 20);
}

static void without_write_cache_every_write_is_durable(void **state)
{
    struct fixture *f = *state;
    struct io io;
    fixture_close(f);
    f->options.write_through = true;
    fixture_open(f);
    clear_attentions(f);
    struct request write = {CDB(0x2a, [8] = 1), .out = pattern, .out_bytes = BLOCK};
    io_begin(f->nexus[0], &io, &write);
    assert_true(f->disk.queue->fua);
    disk_dispatch(&f->disk, 0);
    io_finish(&io);
    io_free(&io);
    expect_good(f, 0, CDB(0x93, 1, [13] = 8)); /* zeros cannot be FUA: flushed behind */
    assert_int_equal(f->disk.submitted[BLOCK_FLUSH], 1);
    for (uint8_t control = 0; control < 3; control++) { /* current, changeable, default */
        struct request sense = {CDB(0x1a, 8, (uint8_t)(control << 6 | 8), 0, 64)};
        io_run(f, f->nexus[0], &io, &sense);
        assert_int_equal(io.in[6] & 0x04, 0);
        io_free(&io);
    }
}

static void write_protection(void **state)
{
    struct fixture *f = *state;
    f->disk.device.geometry.read_only = true;
    scsi_lu_device_changed(f->lu);
    clear_attentions(f);
    struct request write = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = pattern,
                            .out_bytes = BLOCK};
    expect_sense(f, 0, write, 0x7, 0x2700);
    expect_good(f, 0, CDB(0x28, 0x08, 0, 0, 0, 0, 0, 0, 1, 0));
    expect_good(f, 0, CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    assert_int_equal(f->disk.submitted[BLOCK_FLUSH], 0);
}

static void a_disk_that_is_gone_is_not_ready(void **state)
{
    struct fixture *f = *state;
    f->disk.device.health = BLOCK_GONE;
    expect_error(f, 0, 0x2, 0x3a00, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    expect_error(f, 0, 0x2, 0x3a00, CDB_TUR);
    expect_good(f, 0, CDB(0x12, 0, 0, 0, 96, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rw_test(written_blocks_are_read_back),
        rw_test(all_forms),
        rw_test(fua_goes_to_stable_storage),
        rw_test(read_6_of_0_blocks_means_256),
        rw_test(ranges_are_checked_without_overflow),
        rw_test(no_blocks_is_no_error),
        rw_test(transfers_are_bounded),
        rw_test(protection_bits_and_reserved_bits_are_refused),
        rw_test(less_data_than_blocks),
        rw_test(disk_errors_become_sense),
        rw_test(a_fetch_reads_through_the_engine),
        rw_test(a_fetch_of_half_a_block),
        rw_test(without_write_cache_every_write_is_durable),
        rw_test(write_protection),
        rw_test(a_disk_that_is_gone_is_not_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
