/* MODE SENSE and MODE SELECT. */
#include "scsi/fixture.h"

static void sense_6(struct fixture *f, struct io *io, uint8_t dbd, uint8_t page, uint8_t subpage,
                    uint8_t allocation)
{
    struct request request = {CDB(0x1a, dbd, page, subpage, allocation, 0)};
    io_run(f, f->nexus[0], io, &request);
}

static void all_pages(void **state)
{
    struct fixture *f = *state;
    struct io io;
    sense_6(f, &io, 0x08, 0x3f, 0, 255);
    assert_int_equal(io.in_bytes, 4 + 20 + 12 + 12);
    assert_int_equal(io.in[0], io.in_bytes - 1);
    assert_int_equal(io.in[2], 0x10); /* DPOFUA, not WP */
    assert_int_equal(io.in[3], 0);
    assert_int_equal(io.in[4], 0x08);
    assert_int_equal(io.in[4 + 2], 0x04); /* WCE */
    assert_int_equal(io.in[24], 0x0a);
    assert_int_equal(io.in[24 + 2], 0x20); /* TST 1 */
    assert_int_equal(io.in[24 + 3], 0x10); /* QAM 1 */
    assert_int_equal(io.in[36], 0x1c);
    io_free(&io);
    sense_6(f, &io, 0, 0x08, 0, 255);
    assert_int_equal(io.in_bytes, 4 + 8 + 20);
    assert_int_equal(io.in[3], 8);
    assert_int_equal(load_be32(io.in + 4), DISK_BLOCKS);
    assert_int_equal(load_be24(io.in + 9), BLOCK);
    io_free(&io);
    sense_6(f, &io, 0, 0x3f, 0xff, 4);
    assert_int_equal(io.in_bytes, 4);
    assert_int_equal(io.in[0], 4 + 8 + 44 - 1); /* the whole length, whatever is cut */
    io_free(&io);
}

static void long_form(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = {CDB(0x5a, 0x10, 0x0a, 0, 0, 0, 0, 1, 0, 0)};
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.in_bytes, 8 + 16 + 12);
    assert_int_equal(load_be16(io.in), io.in_bytes - 2);
    assert_int_equal(io.in[4], 1); /* LONGLBA */
    assert_int_equal(load_be16(io.in + 6), 16);
    assert_int_equal(load_be64(io.in + 8), DISK_BLOCKS);
    assert_int_equal(load_be32(io.in + 20), BLOCK);
    io_free(&io);
}

static void changeable_and_default_values(void **state)
{
    struct fixture *f = *state;
    struct io io;
    sense_6(f, &io, 0x08, 0x40 | 0x0a, 0, 255);
    assert_memory_equal(io.in + 4, ((uint8_t[]){0x0a, 10, 0x04, 0, 0x08, 0x40, 0, 0, 0, 0, 0, 0}),
                        12);
    io_free(&io);
    sense_6(f, &io, 0x08, 0x40 | 0x08, 0, 255); /* the cache is on for good */
    for (unsigned i = 2; i < 20; i++)
        assert_int_equal(io.in[4 + i], 0);
    io_free(&io);
    expect_error(f, 0, 0x5, 0x3900, CDB(0x1a, 0, 0xff, 0, 255, 0));
    expect_error(f, 0, 0x5, 0x2400, CDB(0x1a, 0, 0x0b, 0, 255, 0));
    expect_error(f, 0, 0x5, 0x2400, CDB(0x1a, 0, 0x0a, 1, 255, 0));
}

/* A list with header, no block descriptor, and the control page with these bits. */
static struct request select_control(uint8_t list[static 16], uint8_t d_sense, uint8_t swp,
                                     uint8_t tas)
{
    memset(list, 0, 16);
    memcpy(list + 4,
           ((uint8_t[]){0x0a, 10, 0x20 | d_sense, 0x10, swp, tas, 0, 0, 0xff, 0xff, 0, 0}), 12);
    return (struct request){CDB(0x15, 0x10, 0, 0, 16, 0), .out = list, .out_bytes = 16};
}

static void software_write_protect(void **state)
{
    struct fixture *f = *state;
    uint8_t list[16], block[BLOCK] = {1};
    struct io io;
    expect_status(f, 0, select_control(list, 0, 0x08, 0), 0);
    expect_error(f, 1, 0x6, 0x2a01, CDB_TUR); /* the others hear of it */
    expect_good(f, 0, CDB_TUR);
    sense_6(f, &io, 0x08, 0x0a, 0, 255);
    assert_int_equal(io.in[2], 0x90);
    assert_int_equal(io.in[4 + 4], 0x08);
    io_free(&io);
    expect_good(f, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    expect_error(f, 0, 0x7, 0x2702, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = block,
                 .out_bytes = BLOCK);
    expect_status(f, 0, select_control(list, 0, 0, 0), 0);
    expect_good(f, 0, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = block, .out_bytes = BLOCK);
}

static void sense_format_follows(void **state)
{
    struct fixture *f = *state;
    uint8_t list[16];
    struct io io;
    struct request bad = {CDB(0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0)};
    expect_status(f, 0, select_control(list, 0x04, 0, 0), 0);
    io_run(f, f->nexus[0], &io, &bad);
    assert_int_equal(io.sense[0], 0x72);
    assert_int_equal(io.sense[1], 5);
    assert_int_equal(load_be16(io.sense + 2), 0x2100);
    io_free(&io);
}

static void bad_lists(void **state)
{
    struct fixture *f = *state;
    uint8_t list[32];
    struct io io;
    struct request request = select_control(list, 0, 0, 0);
    list[4 + 3] = 0; /* QAM cannot be changed */
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.asc_ascq, 0x2600);
    assert_int_equal(io.sense[15], 0x8c); /* in the parameters, bit 4 */
    assert_int_equal(load_be16(io.sense + 16), 7);
    io_free(&io);
    request = select_control(list, 0x04, 0, 0);
    request.cdb[4] = 15; /* cut */
    request.out_bytes = 15;
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request.cdb[4] = 16; /* fewer bytes than announced */
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request = select_control(list, 0, 0, 0);
    list[5] = 11; /* page length */
    expect_sense(f, 0, request, 0x5, 0x2600);
    request = select_control(list, 0, 0, 0);
    list[4] = 0x0b;
    expect_sense(f, 0, request, 0x5, 0x2600);
    request = select_control(list, 0, 0, 0);
    list[3] = 8; /* block descriptor: no number of blocks this disk has */
    expect_sense(f, 0, request, 0x5, 0x2600);
    list[3] = 255;
    expect_sense(f, 0, request, 0x5, 0x1a00);
    request.cdb[1] = 0; /* PF */
    expect_sense(f, 0, request, 0x5, 0x2400);
    request.cdb[1] = 0x11; /* SP */
    expect_sense(f, 0, request, 0x5, 0x2400);
    expect_good(f, 0, CDB(0x15, 0x10, 0, 0, 0, 0)); /* no list is no error */
}

/* What MODE SENSE says can be selected as it is, in both lengths. */
static void what_is_sensed_can_be_selected(void **state)
{
    struct fixture *f = *state;
    struct io io;
    sense_6(f, &io, 0, 0x3f, 0, 255);
    io.in[0] = 0;
    expect_good(f, 0, CDB(0x15, 0x10, 0, 0, (uint8_t)io.in_bytes, 0), .out = io.in,
                .out_bytes = (uint32_t)io.in_bytes);
    io_free(&io);
    struct request request = {CDB(0x5a, 0x10, 0x3f, 0, 0, 0, 0, 1, 0, 0)};
    io_run(f, f->nexus[0], &io, &request);
    expect_good(f, 0, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, (uint8_t)io.in_bytes, 0), .out = io.in,
                .out_bytes = (uint32_t)io.in_bytes);
    io_free(&io);
    expect_good(f, 1, CDB_TUR); /* nothing has changed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(all_pages),
        scsi_test(long_form),
        scsi_test(changeable_and_default_values),
        scsi_test(software_write_protect),
        scsi_test(sense_format_follows),
        scsi_test(bad_lists),
        scsi_test(what_is_sensed_can_be_selected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
