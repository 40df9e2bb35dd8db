/* INQUIRY and its vital product data pages. */
#include "scsi/fixture.h"

static void inquire(struct fixture *f, struct io *io, int page, uint16_t allocation)
{
    struct request request = {CDB(0x12, page >= 0, (uint8_t)(page >= 0 ? page : 0),
                                  (uint8_t)(allocation >> 8), (uint8_t)allocation, 0)};
    io_run(f, f->nexus[0], io, &request);
    assert_int_equal(io->status, SCSI_STATUS_GOOD);
}

static void standard_data(void **state)
{
    struct fixture *f = *state;
    struct io io, other;
    inquire(f, &io, -1, 512);
    assert_int_equal(io.in_bytes, 96);
    assert_int_equal(io.in[0], 0);
    assert_int_equal(io.in[2], 6);    /* SPC-4 */
    assert_int_equal(io.in[3], 0x12); /* HISUP, format 2 */
    assert_int_equal(io.in[4], 96 - 5);
    assert_int_equal(io.in[5], 0);    /* no TPGS, no protection */
    assert_int_equal(io.in[7], 0x02); /* CMDQUE */
    assert_memory_equal(io.in + 8, "NETBOOT disk            1   ", 28);
    assert_int_equal(load_be16(io.in + 62), 0x0460);
    assert_int_equal(load_be16(io.in + 64), 0x04c0);
    for (uint16_t allocation = 0; allocation < 100; allocation++) {
        inquire(f, &other, -1, allocation);
        assert_int_equal(other.in_bytes, min_of(allocation, 96));
        assert_memory_equal(other.in ? other.in : io.in, io.in, other.in_bytes);
        io_free(&other);
    }
    io_free(&io);
    expect_error(f, 0, 0x5, 0x2400, CDB(0x12, 0, 1, 0, 96, 0)); /* a page without EVPD */
    expect_error(f, 0, 0x5, 0x2400, CDB(0x12, 1, 0x42, 0, 96, 0));
}

static void text_is_ascii(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    strcpy(f->options.product, "d\xc3\xbcrr\x01");
    fixture_open(f);
    struct io io;
    inquire(f, &io, -1, 96);
    assert_memory_equal(io.in + 16, "d??rr?          ", 16);
    io_free(&io);
}

static void every_listed_page_can_be_read(void **state)
{
    struct fixture *f = *state;
    struct io list, io;
    static const uint8_t expected[] = {0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2};
    inquire(f, &list, 0, 255);
    assert_int_equal(load_be16(list.in + 2), sizeof(expected));
    assert_memory_equal(list.in + 4, expected, sizeof(expected));
    for (size_t i = 0; i < sizeof(expected); i++) {
        inquire(f, &io, expected[i], 1024);
        assert_int_equal(io.in[1], expected[i]);
        assert_int_equal(load_be16(io.in + 2), io.in_bytes - 4);
        io_free(&io);
    }
    io_free(&list);
}

static void provisioning_is_there_only_where_the_disk_discards(void **state)
{
    struct fixture *f = *state;
    struct io io;
    inquire(f, &io, 0xb2, 255);
    assert_int_equal(io.in[5], 0xe0); /* LBPU, LBPWS, LBPWS10 */
    assert_int_equal(io.in[6] & 7, 2);
    io_free(&io);
    inquire(f, &io, 0xb0, 255);
    assert_int_equal(io.in_bytes, 64);
    assert_int_equal(io.in[4], 0);   /* WSNZ */
    assert_int_equal(io.in[5], 255); /* COMPARE AND WRITE */
    assert_int_equal(load_be32(io.in + 8), (1 << 20) / BLOCK);
    assert_int_equal(load_be32(io.in + 20), 1 << 20);
    assert_int_equal(load_be32(io.in + 24), 256);
    assert_int_equal(load_be32(io.in + 28), 1);
    io_free(&io);
    f->disk.device.geometry.discard_granularity_bytes = 0;
    inquire(f, &io, 0, 255);
    assert_int_equal(io.in_bytes, 4 + 6);
    io_free(&io);
    inquire(f, &io, 0xb0, 255);
    for (unsigned i = 20; i < 36; i++)
        assert_int_equal(io.in[i], 0);
    io_free(&io);
    expect_error(f, 0, 0x5, 0x2400, CDB(0x12, 1, 0xb2, 0, 96, 0));
    expect_error(f, 0, 0x5, 0x2000, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 8, 0));
}

/* Designators follow each other without gap; returns the one of this association and type. */
static const uint8_t *designator(const struct io *io, unsigned association, unsigned type)
{
    const uint8_t *at = io->in + 4, *found = NULL;
    while (at < io->in + io->in_bytes) {
        if ((at[1] >> 4 & 3) == association && (at[1] & 0xf) == type) {
            assert_null(found);
            found = at;
        }
        at += 4 + at[3];
    }
    assert_ptr_equal(at, io->in + io->in_bytes);
    assert_non_null(found);
    return found;
}

static void identification(void **state)
{
    struct fixture *f = *state;
    struct io io;
    inquire(f, &io, 0x83, 1024);
    const uint8_t *naa = designator(&io, 0, 3);
    assert_int_equal(naa[3], 8);
    assert_memory_equal(naa + 4, f->options.naa, 8);
    const uint8_t *vendor = designator(&io, 0, 1);
    assert_memory_equal(vendor + 4, "NETBOOT 0123456789abcdef", 24);
    assert_int_equal(load_be16(designator(&io, 1, 4) + 6), 1); /* relative target port */
    assert_int_equal(load_be16(designator(&io, 1, 5) + 6), 1); /* target port group */
    const uint8_t *port = designator(&io, 1, 8);
    assert_int_equal(port[0], 0x53); /* iSCSI, UTF-8 */
    assert_int_equal(port[3] % 4, 0);
    assert_string_equal((const char *)port + 4, "iqn.2026-11.test:target,t,0x0001");
    assert_string_equal((const char *)designator(&io, 2, 8) + 4, "iqn.2026-11.test:target");
    io_free(&io);
    inquire(f, &io, 0x80, 255);
    assert_memory_equal(io.in + 4, "0123456789abcdef", 16);
    io_free(&io);
}

static void large_blocks_have_smaller_limits(void **state)
{
    struct fixture *f = *state;
    struct io io;
    f->disk.device.geometry.logical_block_bytes = 4096;
    f->disk.device.geometry.physical_block_bytes = 4096;
    inquire(f, &io, 0xb0, 255);
    assert_int_equal(io.in[5], 128); /* two halves of 128 blocks are 1 MiB */
    assert_int_equal(load_be32(io.in + 8), 256);
    io_free(&io);
}

static void absent_units(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = {CDB(0x12, 0, 0, 0, 96, 0), .lun = 7};
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    assert_int_equal(io.in[0], 0x7f);
    io_free(&io);
    expect_error(f, 0, 0x5, 0x2500, CDB_TUR, .lun = 7);
    expect_error(f, 0, 0x5, 0x2500, CDB(0x28), .lun = 1);
    struct request sense = {CDB(0x03, 0, 0, 0, 18, 0), .lun = 7};
    io_run(f, f->nexus[0], &io, &sense);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    assert_int_equal(io.in[2], 5);
    assert_int_equal(load_be16(io.in + 12), 0x2500);
    io_free(&io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(standard_data),
        scsi_test(text_is_ascii),
        scsi_test(every_listed_page_can_be_read),
        scsi_test(provisioning_is_there_only_where_the_disk_discards),
        scsi_test(identification),
        scsi_test(large_blocks_have_smaller_limits),
        scsi_test(absent_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
