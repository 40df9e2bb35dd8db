/* Which READs are prefetched for, and that a prefetch outlives nobody. */
#include "scsi/fixture.h"

#define RUN_BLOCKS 8

static void read_blocks(struct fixture *f, uint8_t first, uint8_t blocks)
{
    struct io io;
    struct request read = {CDB(0x28, 0, 0, 0, 0, first, 0, 0, blocks, 0),
                           .in_bytes = (uint32_t)blocks * BLOCK};
    io_run(f, f->nexus[0], &io, &read);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    io_free(&io);
}

static void read_in_a_row(struct fixture *f, unsigned reads)
{
    for (unsigned i = 0; i < reads; i++)
        read_blocks(f, (uint8_t)(i * RUN_BLOCKS), RUN_BLOCKS);
}

static void a_cold_run_is_prefetched(void **state)
{
    struct fixture *f = *state;
    f->disk.absent = true;
    read_in_a_row(f, 2);
    assert_int_equal(f->disk.submitted[BLOCK_PREFETCH], 0); /* two may be chance */
    read_in_a_row(f, 1);                                    /* begins anew */
    assert_int_equal(f->disk.submitted[BLOCK_PREFETCH], 0);
    for (unsigned i = 1; i < 4; i++)
        read_blocks(f, (uint8_t)(i * RUN_BLOCKS), RUN_BLOCKS);
    assert_int_equal(f->disk.submitted[BLOCK_PREFETCH], 1); /* one window serves many */
}

static void a_warm_run_is_not(void **state)
{
    struct fixture *f = *state;
    read_in_a_row(f, 8);
    assert_int_equal(f->disk.submitted[BLOCK_PREFETCH], 0);
}

static void random_reads_are_not(void **state)
{
    struct fixture *f = *state;
    static const uint8_t places[] = {0, 80, 24, 160, 40, 200, 64, 120};
    f->disk.absent = true;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        read_blocks(f, places[i], RUN_BLOCKS);
    assert_int_equal(f->disk.submitted[BLOCK_PREFETCH], 0);
}

static void two_runs_at_once_are_told_apart(void **state)
{
    struct fixture *f = *state;
    f->disk.absent = true;
    for (unsigned i = 0; i < 4; i++) {
        read_blocks(f, (uint8_t)(i * RUN_BLOCKS), RUN_BLOCKS);
        read_blocks(f, (uint8_t)(128 + i * RUN_BLOCKS), RUN_BLOCKS);
    }
    assert_int_equal(f->disk.submitted[BLOCK_PREFETCH], 2);
}

static void the_kernel_reads_ahead_on_read_only_disks(void **state)
{
    struct fixture *f = *state;
    f->disk.absent = true;
    f->disk.device.geometry.read_only = true;
    read_in_a_row(f, 8);
    assert_int_equal(f->disk.submitted[BLOCK_PREFETCH], 0);
    f->disk.device.geometry.read_only = false;
}

#define ahead_test(function) \
    cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ahead_test(a_cold_run_is_prefetched),
        ahead_test(a_warm_run_is_not),
        ahead_test(random_reads_are_not),
        ahead_test(two_runs_at_once_are_told_apart),
        ahead_test(the_kernel_reads_ahead_on_read_only_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
