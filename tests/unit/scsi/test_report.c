/* REPORT LUNS, REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS, LOG SENSE. */
#include "scsi/fixture.h"

static void luns(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = {CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)};
    struct scsi_lu *second = scsi_lu_new(&f->environment, &f->disk.device, &f->options);
    assert_int_equal(scsi_target_add_lu(f->target, 0, second), -EEXIST);
    assert_int_equal(scsi_target_add_lu(f->target, 256, second), -ERANGE);
    assert_int_equal(scsi_target_add_lu(f->target, 200, second), 0);
    expect_error(f, 1, 0x6, 0x3f0e, CDB_TUR);
    for (uint8_t lun = 1; lun <= 7; lun += 6) { /* also through a LUN that is not there */
        request.lun = lun;
        io_run(f, f->nexus[0], &io, &request);
        assert_int_equal(load_be32(io.in), 16);
        assert_int_equal(io.in_bytes, 24);
        assert_int_equal(load_be64(io.in + 8), 0);
        assert_int_equal(load_be64(io.in + 16), 200ull << 48);
        io_free(&io);
    }
    expect_good(f, 0, CDB_TUR); /* the attention went with the report */
    expect_error(f, 0, 0x6, 0x2900, CDB_TUR, .lun = 200);
    request.cdb[8] = 0;
    request.cdb[9] = 8;
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.in_bytes, 8);
    assert_int_equal(load_be32(io.in), 16);
    io_free(&io);
    request.cdb[2] = 1; /* well known ones: none */
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(load_be32(io.in), 0);
    io_free(&io);
    request.cdb[2] = 3;
    expect_sense(f, 0, request, 0x5, 0x2400);
    for (unsigned i = 0; i < NEXUSES; i++) {
        scsi_nexus_end(f->nexus[i], NULL, NULL);
        f->nexus[i] = NULL;
    }
    scsi_lu_free(second);
}

static void report(struct fixture *f, struct io *io, uint8_t options, uint8_t opcode,
                   uint8_t action)
{
    struct request request = {CDB(0xa3, 0x0c, options, opcode, 0, action, 0, 0, 255, 255, 0, 0)};
    io_run(f, f->nexus[0], io, &request);
}

static void every_opcode_is_reported_alike(void **state)
{
    struct fixture *f = *state;
    struct io all, one;
    for (unsigned timeouts = 0; timeouts < 2; timeouts++) {
        report(f, &all, (uint8_t)(timeouts << 7), 0, 0);
        size_t width = timeouts ? 20 : 8;
        assert_int_equal(load_be32(all.in), all.in_bytes - 4);
        assert_int_equal((all.in_bytes - 4) % width, 0);
        unsigned count = 0;
        for (size_t at = 4; at < all.in_bytes; at += width, count++) {
            const uint8_t *descriptor = all.in + at;
            bool has_action = descriptor[5] & 1;
            assert_int_equal(!!(descriptor[5] & 2), timeouts);
            if (timeouts)
                assert_int_equal(load_be16(descriptor + 8), 10);
            if (!has_action)
                assert_int_equal(load_be16(descriptor + 2), 0);
            report(f, &one, (uint8_t)(timeouts << 7 | (has_action ? 2 : 1)), descriptor[0],
                   descriptor[3]);
            assert_int_equal(one.status, SCSI_STATUS_GOOD);
            assert_int_equal(one.in[1] & 7, 3);
            assert_int_equal(one.in[4], descriptor[0]);
            assert_int_equal(load_be16(one.in + 2), load_be16(descriptor + 6));
            assert_int_equal(!!(one.in[1] & 0x80), timeouts);
            io_free(&one);
            report(f, &one, has_action ? 1 : 2, descriptor[0], descriptor[3]);
            assert_int_equal(one.asc_ascq, 0x2400);
            assert_int_equal(load_be16(one.sense + 16), 2); /* not byte 1: it is implemented */
            io_free(&one);
            report(f, &one, 3, descriptor[0], descriptor[3]);
            assert_int_equal(one.in[1] & 7, 3);
            io_free(&one);
        }
        assert_int_equal(count, 57); /* all but SANITIZE */
        io_free(&all);
    }
}

static void what_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct io io;
    report(f, &io, 1, 0x83, 0);
    assert_int_equal(io.in[1] & 7, 1);
    io_free(&io);
    report(f, &io, 2, 0x48, 1); /* switched off */
    assert_int_equal(io.in[1] & 7, 1);
    io_free(&io);
    report(f, &io, 3, 0x28, 5);
    assert_int_equal(io.in[1] & 7, 1);
    io_free(&io);
    report(f, &io, 4, 0x28, 0);
    assert_int_equal(io.asc_ascq, 0x2400);
    io_free(&io);
    report(f, &io, 1, 0x28, 0); /* DPO and FUA, as the mode parameter header says */
    assert_int_equal(io.in[4 + 1] & 0x18, 0x18);
    io_free(&io);
}

static void management_functions(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = {CDB(0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0)};
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.in_bytes, 4);
    assert_memory_equal(io.in, ((uint8_t[]){0xde, 0x07, 0, 0}), 4);
    io_free(&io);
    request.cdb[2] = 0x80;
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.in_bytes, 16);
    assert_int_equal(io.in[3], 12);
    io_free(&io);
}

static void logs(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = {CDB(0x4d, 0, 0x40, 0, 0, 0, 0, 0, 255, 0)};
    io_run(f, f->nexus[0], &io, &request);
    assert_memory_equal(io.in, ((uint8_t[]){0x00, 0, 0, 2, 0x00, 0x0e}), 6);
    io_free(&io);
    request.cdb[3] = 0xff;
    io_run(f, f->nexus[0], &io, &request);
    assert_memory_equal(io.in, ((uint8_t[]){0x40, 0xff, 0, 6, 0, 0, 0, 0xff, 0x0e, 0}), 10);
    io_free(&io);
    expect_good(f, 0, CDB(0x1b, 0, 0, 0, 0, 0));
    expect_good(f, 0, CDB(0x1b, 0, 0, 0, 1, 0));
    request.cdb[2] = 0x4e;
    request.cdb[3] = 0;
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(load_be16(io.in + 2), io.in_bytes - 4);
    assert_int_equal(load_be16(io.in + 32), 4); /* accumulated cycles */
    assert_int_equal(load_be32(io.in + 36), 1);
    io_free(&io);
    request.cdb[2] = 0x4d; /* temperature */
    expect_sense(f, 0, request, 0x5, 0x2400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(luns),
        scsi_test(every_opcode_is_reported_alike),
        scsi_test(what_is_not_there),
        scsi_test(management_functions),
        scsi_test(logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
