/* REQUEST SENSE, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL, SYNCHRONIZE CACHE, PRE-FETCH, and
 * unit attentions. */
#include "scsi/internal.h"

#include "scsi/fixture.h"

static void a_new_nexus_hears_of_power_on_once(void **state)
{
    struct fixture *f = *state;
    scsi_nexus_end(f->nexus[2], on_ended, f);
    assert_int_equal(f->ended, 1);
    nexus_open(f, 2);
    expect_good(f, 2, CDB(0x12, 0, 0, 0, 96, 0)); /* neither reports nor clears it */
    expect_good(f, 2, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0));
    expect_error(f, 2, 0x6, 0x2900, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    expect_good(f, 2, CDB_TUR);
}

static void request_sense_takes_the_attention(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = {CDB(0x03, 0, 0, 0, 252, 0)};
    f->disk.device.geometry.blocks--;
    scsi_lu_device_changed(f->lu);
    io_run(f, f->nexus[0], &io, &request);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    assert_int_equal(io.in_bytes, 18);
    assert_int_equal(io.in[2], 6);
    assert_int_equal(load_be16(io.in + 12), 0x2a09);
    io_free(&io);
    expect_good(f, 0, CDB_TUR);
    request.cdb[1] = 1; /* DESC */
    io_run(f, f->nexus[0], &io, &request);
    assert_memory_equal(io.in, ((uint8_t[]){0x72, 0, 0, 0, 0, 0, 0, 0}), 8);
    io_free(&io);
}

static void the_most_important_attention_comes_first(void **state)
{
    struct fixture *f = *state;
    struct itl *itl = f->nexus[0]->itls[0];
    static const uint16_t order[] = {0x2900, 0x2903, 0x2907, 0x2a03, 0x2a04, 0x2a05,
                                     0x2800, 0x2a01, 0x2a09, 0x3f03, 0x3f0e};
    assert_int_equal(ARRAY_SIZE(order), ATTENTION_COUNT);
    for (unsigned i = ATTENTION_COUNT; i-- > 0;)
        unit_attention_raise(itl, i);
    for (unsigned i = 0; i < ATTENTION_COUNT; i++)
        expect_error(f, 0, 0x6, order[i], CDB_TUR);
    expect_good(f, 0, CDB_TUR);
}

/* SAM-5 §5.3.3: a reset is reported before a conflict, the rest after it. */
static void attentions_and_conflicts(void **state)
{
    struct fixture *f = *state;
    expect_good(f, 0, CDB(0x16));
    unit_attention_raise(f->nexus[1]->itls[0], ATTENTION_RESET);
    unit_attention_raise(f->nexus[1]->itls[0], ATTENTION_MODE_PARAMETERS_CHANGED);
    expect_error(f, 1, 0x6, 0x2903, CDB_TUR);
    expect_conflict(f, 1, CDB_TUR);
    expect_good(f, 0, CDB(0x17));
    expect_error(f, 1, 0x6, 0x2a01, CDB_TUR);
}

static void start_and_stop(void **state)
{
    struct fixture *f = *state;
    expect_good(f, 0, CDB(0x1b, 0, 0, 0, 0, 0)); /* stop flushes and keeps the disk ready */
    assert_int_equal(f->disk.submitted[BLOCK_FLUSH], 1);
    expect_good(f, 0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    expect_good(f, 0, CDB(0x1b, 1, 0, 0, 4, 0)); /* NO_FLUSH */
    expect_good(f, 0, CDB(0x1b, 0, 0, 0, 1, 0));
    assert_int_equal(f->disk.submitted[BLOCK_FLUSH], 1);
    for (unsigned condition = 1; condition < 16; condition++)
        expect_good(f, 0, CDB(0x1b, 1, 0, 0, (uint8_t)(condition << 4 | 2), 0));
    expect_error(f, 0, 0x5, 0x2400, CDB(0x1b, 0, 0, 0, 2, 0)); /* it cannot be ejected */
}

static void prevent(void **state)
{
    struct fixture *f = *state;
    expect_good(f, 1, CDB(0x1e, 0, 0, 0, 1, 0));
    expect_error(f, 0, 0x5, 0x5302, CDB(0x1b, 0, 0, 0, 2, 0));
    expect_good(f, 0, CDB(0x1e, 0, 0, 0, 0, 0)); /* not its own */
    expect_error(f, 0, 0x5, 0x5302, CDB(0x1b, 0, 0, 0, 2, 0));
    scsi_nexus_end(f->nexus[1], on_ended, f); /* nexus loss gives it up */
    f->nexus[1] = NULL;
    expect_error(f, 0, 0x5, 0x2400, CDB(0x1b, 0, 0, 0, 2, 0));
    expect_error(f, 0, 0x5, 0x2400, CDB(0x1e, 0, 0, 0, 2, 0));
    nexus_open(f, 1);
    clear_attentions(f);
}

static void flush_and_prefetch(void **state)
{
    struct fixture *f = *state;
    for (uint8_t bits = 0; bits < 8; bits += 2) {
        expect_good(f, 0, CDB(0x35, bits, 0, 0, 0, 0, 0, 0, 0, 0));
        expect_good(f, 0, CDB(0x91, bits, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0));
    }
    assert_int_equal(f->disk.submitted[BLOCK_FLUSH], 8);
    expect_error(f, 0, 0x5, 0x2100, CDB(0x91, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 0, 0, 0));
    expect_good(f, 0, CDB(0x34, 2, 0, 0, 0, 0, 3, 0, 8, 0));
    expect_good(f, 0, CDB(0x90, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 0, 1, 0, 0));
    expect_good(f, 0, CDB(0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    expect_error(f, 0, 0x5, 0x2100, CDB(0x34, 0, 0, 0, 0x10, 1, 0, 0, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(a_new_nexus_hears_of_power_on_once),
        scsi_test(request_sense_takes_the_attention),
        scsi_test(the_most_important_attention_comes_first),
        scsi_test(attentions_and_conflicts),
        scsi_test(start_and_stop),
        scsi_test(prevent),
        scsi_test(flush_and_prefetch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
