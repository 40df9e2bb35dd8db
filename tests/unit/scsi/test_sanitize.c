/* SANITIZE. */
#include "scsi/fixture.h"

static uint8_t list[4 + BLOCK + 8];

static int allowed(void **state)
{
    fixture_setup(state);
    struct fixture *f = *state;
    fixture_close(f);
    f->options.allow_sanitize = true;
    fixture_open(f);
    clear_attentions(f);
    return 0;
}

#define sanitize_test(function) cmocka_unit_test_setup_teardown(function, allowed, fixture_teardown)

static struct request overwrite(uint8_t flags, uint8_t count, uint16_t length, uint8_t byte)
{
    list[0] = count;
    list[1] = 0;
    store_be16(list + 2, length);
    memset(list + 4, byte, BLOCK);
    length = (uint16_t)(length + 4);
    return (struct request){
        CDB(0x48, (uint8_t)(1 | flags), 0, 0, 0, 0, 0, (uint8_t)(length >> 8), (uint8_t)length, 0),
        .out = list, .out_bytes = length};
}

static bool all_are(const struct fixture *f, uint8_t byte)
{
    for (size_t i = 0; i < DISK_BLOCKS * BLOCK; i++) {
        if (f->disk.bytes[i] != byte)
            return false;
    }
    return true;
}

static void overwriting(void **state)
{
    struct fixture *f = *state;
    expect_status(f, 0, overwrite(0, 1, BLOCK, 0xaa), SCSI_STATUS_GOOD);
    assert_true(all_are(f, 0xaa));
    assert_int_equal(f->disk.submitted[BLOCK_FLUSH], 1);
    expect_status(f, 0, overwrite(0, 3 | 0x80, 4, 0x0f), SCSI_STATUS_GOOD);
    assert_true(all_are(f, 0x0f)); /* inverted between the passes: the third is as the first */
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 8);
    struct request request = overwrite(0, 1, 3, 7);
    memcpy(list + 4, "abc", 3);
    expect_status(f, 0, request, SCSI_STATUS_GOOD);
    assert_memory_equal(f->disk.bytes, "abcabc", 6); /* each block begins with the pattern */
    assert_memory_equal(f->disk.bytes + BLOCK, "abcabc", 6);
    expect_good(f, 0, CDB_TUR);
}

static void bad_parameters(void **state)
{
    struct fixture *f = *state;
    struct request request = overwrite(0, 1, BLOCK, 0);
    for (uint8_t length = 0; length < 5; length++) {
        request.cdb[7] = 0;
        request.cdb[8] = length;
        expect_sense(f, 0, request, 0x5, 0x2400);
    }
    store_be16(request.cdb + 7, BLOCK + 5);
    expect_sense(f, 0, request, 0x5, 0x2400);
    expect_sense(f, 0, overwrite(0, 0, BLOCK, 0), 0x5, 0x2600); /* no passes */
    request = overwrite(0, 1, BLOCK, 0);
    store_be16(list + 2, 0);
    expect_sense(f, 0, request, 0x5, 0x2600);
    store_be16(list + 2, BLOCK + 4);
    expect_sense(f, 0, request, 0x5, 0x2600);
    expect_error(f, 0, 0x5, 0x2400, CDB(0x48, 2, [8] = 8), .out = list, .out_bytes = 8);
    expect_error(f, 0, 0x5, 0x2400, CDB(0x48, 0x1f, [8] = 8), .out = list, .out_bytes = 8);
    for (uint8_t action = 0; action < 31; action++) {
        if (action != 1 && action != 2)
            expect_error(f, 0, 0x5, 0x2400, CDB(0x48, action));
    }
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 0);
}

static void erasing(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request lba_status = {CDB(0x9e, 0x12, [12] = 1)};
    memset(f->disk.bytes, 1, DISK_BLOCKS * BLOCK);
    expect_good(f, 0, CDB(0x48, 2));
    assert_true(all_are(f, 0));
    io_run(f, f->nexus[0], &io, &lba_status);
    assert_int_equal(load_be64(io.in + 8), 0);
    assert_int_equal(load_be32(io.in + 16), DISK_BLOCKS);
    assert_int_equal(io.in[20], 1); /* deallocated */
    io_free(&io);
    expect_good(f, 0, CDB(0x2a, [8] = 1), .out = list, .out_bytes = BLOCK);
    io_run(f, f->nexus[0], &io, &lba_status);
    assert_int_equal(io.in[20], 0);
    io_free(&io);
    struct request b1 = {CDB(0x12, 1, 0xb1, 0, 64)};
    io_run(f, f->nexus[0], &io, &b1);
    assert_int_equal(io.in[7] >> 6, 1); /* WABEREQ: reads succeed */
    io_free(&io);
    f->disk.device.geometry.discard_zeroes = false; /* then it is overwritten first */
    expect_good(f, 0, CDB(0x48, 2));
    assert_int_equal(f->disk.submitted[BLOCK_WRITE_ZEROES], 2);
    assert_int_equal(f->disk.submitted[BLOCK_DISCARD], 4);
    f->disk.fail_operations = 1 << BLOCK_DISCARD; /* and where it cannot be discarded any more */
    f->disk.fail_result = -EOPNOTSUPP;
    expect_good(f, 0, CDB(0x48, 2));
    io_run(f, f->nexus[0], &io, &lba_status);
    assert_int_equal(io.in[20], 1); /* it reads as an erased one does */
    io_free(&io);
    f->disk.fail_operations = 0;
    f->disk.device.geometry.discard_granularity_bytes = 0;
    expect_error(f, 0, 0x5, 0x2400, CDB(0x48, 2));
}

static void others_are_kept_out_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct io io, other;
    struct request request = overwrite(0, 1, BLOCK, 0x55), ask = {CDB(0x03, [4] = 18)};
    assert_int_equal(io_begin(f->nexus[0], &io, &request), SCSI_PENDING);
    disk_dispatch(&f->disk, 1); /* half of it */
    struct request refused[] = {{CDB_TUR}, {CDB(0x28, [8] = 1)}, {CDB(0x1b, 1, 0, 1, 2)}, request};
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_int_equal(io_begin(f->nexus[1], &other, &refused[i]), SCSI_DONE);
        io_finish(&other);
        assert_int_equal(other.key, 0x2);
        assert_int_equal(other.asc_ascq, 0x041b);
        assert_int_equal(load_be16(other.sense + 16), 0x8000); /* progress */
        io_free(&other);
    }
    static const struct request served[] = {
        {CDB(0x12, [4] = 96)},       {CDB(0xa0, [9] = 16)}, {CDB(0x25, 0)},
        {CDB(0x1a, 0, 0x3f, 0, 64)}, {CDB(0x5e, [8] = 8)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(served); i++) {
        assert_int_equal(io_begin(f->nexus[1], &other, &served[i]), SCSI_DONE);
        io_finish(&other);
        assert_int_equal(other.status, SCSI_STATUS_GOOD);
        io_free(&other);
    }
    assert_int_equal(io_begin(f->nexus[1], &other, &ask), SCSI_DONE);
    io_finish(&other);
    assert_int_equal(load_be16(other.in + 12), 0x041b);
    io_free(&other);
    disk_dispatch(&f->disk, 0);
    assert_true(io.done);
    io_finish(&io);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    io_free(&io);
    expect_good(f, 1, CDB_TUR);
}

static void on_answer(struct scsi_management *management, enum scsi_management_response response)
{
    assert_int_equal(response, SCSI_FUNCTION_COMPLETE);
    (*(unsigned *)management->context)++;
}

static void it_survives_aborts_resets_and_nexus_loss(void **state)
{
    struct fixture *f = *state;
    struct io io;
    unsigned answers = 0;
    struct request request = overwrite(0, 1, BLOCK, 0x55);
    assert_int_equal(io_begin(f->nexus[0], &io, &request), SCSI_PENDING);
    static const enum scsi_management_function functions[] = {
        SCSI_ABORT_TASK, SCSI_ABORT_TASK_SET, SCSI_LOGICAL_UNIT_RESET, SCSI_TARGET_RESET};
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        struct scsi_management management = {
            .nexus = f->nexus[0], .function = functions[i], .done = on_answer, .context = &answers};
        scsi_manage(&management);
        assert_int_equal(answers, i + 1);
    }
    assert_true(io.finished); /* the task; not the operation */
    io_free(&io);
    scsi_nexus_end(f->nexus[0], on_ended, f);
    assert_int_equal(f->ended, 1);
    nexus_open(f, 0);
    expect_error(f, 0, 0x6, 0x2900, CDB_TUR);
    struct request ready = {CDB_TUR};
    assert_int_equal(io_begin(f->nexus[0], &io, &ready), SCSI_DONE);
    io_finish(&io);
    assert_int_equal(io.asc_ascq, 0x041b);
    io_free(&io);
    disk_dispatch(&f->disk, 0);
    assert_true(all_are(f, 0x55));
    clear_attentions(f);
}

static void immediate(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = overwrite(0x80, 1, BLOCK, 0x55);
    assert_int_equal(io_begin(f->nexus[0], &io, &request), SCSI_DONE);
    io_finish(&io);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    io_free(&io);
    disk_dispatch(&f->disk, 0);
    assert_true(all_are(f, 0x55));
}

struct waiting {
    struct scsi_delay delay; /* first */
    void (*done)(void *context);
    void *context;
    unsigned pauses;
};

static void wait_for_it(struct scsi_delay *delay, unsigned delay_ms, void (*done)(void *context),
                        void *context)
{
    struct waiting *waiting = (struct waiting *)delay;
    assert_int_equal(delay_ms, 16);
    waiting->done = done;
    waiting->context = context;
    waiting->pauses++;
}

static void it_pauses_between_steps(void **state)
{
    struct fixture *f = *state;
    struct waiting waiting = {.delay.after = wait_for_it};
    struct io io;
    struct request request = overwrite(0, 1, BLOCK, 0x55);
    f->environment.delay = &waiting.delay;
    io_begin(f->nexus[0], &io, &request);
    for (unsigned pauses = 1; pauses <= 2; pauses++) {
        disk_dispatch(&f->disk, 0);
        assert_false(io.done);
        assert_int_equal(waiting.pauses, pauses);
        waiting.done(waiting.context);
    }
    disk_dispatch(&f->disk, 0); /* the flush */
    assert_true(io.done);
    io_finish(&io);
    io_free(&io);
    assert_true(all_are(f, 0x55));
    request = overwrite(0x80, 1, BLOCK, 0x55);
    io_begin(f->nexus[0], &io, &request);
    disk_dispatch(&f->disk, 0);
    io_finish(&io);
    io_free(&io);
    fixture_close(f); /* the unit goes while it pauses */
    waiting.done(waiting.context);
    f->environment.delay = NULL;
    fixture_open(f);
}

/* Writes that were there first end first; what waits behind it is told. */
static void it_waits_for_writers(void **state)
{
    struct fixture *f = *state;
    static uint8_t block[BLOCK];
    struct io before, io, behind;
    struct request write = {CDB(0x2a, [8] = 1), .out = block, .out_bytes = BLOCK};
    struct request request = overwrite(0, 1, BLOCK, 0x55);
    io_begin(f->nexus[1], &before, &write);
    io_begin(f->nexus[0], &io, &request);
    assert_int_equal(io_begin(f->nexus[1], &behind, &write), SCSI_PENDING);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 1);
    disk_dispatch(&f->disk, 0);
    assert_true(before.done && io.done && behind.done);
    io_finish(&before);
    io_finish(&io);
    io_finish(&behind);
    assert_int_equal(before.status, SCSI_STATUS_GOOD);
    assert_int_equal(io.status, SCSI_STATUS_GOOD);
    assert_int_equal(behind.asc_ascq, 0x041b);
    assert_true(all_are(f, 0x55));
    io_free(&before);
    io_free(&io);
    io_free(&behind);
}

static void failing(void **state)
{
    struct fixture *f = *state;
    f->disk.fail_operations = 1 << BLOCK_WRITE;
    f->disk.fail_result = -EIO;
    expect_sense(f, 0, overwrite(0, 1, BLOCK, 0), 0x3, 0x3103);
    f->disk.fail_operations = 0;
    expect_error(f, 0, 0x3, 0x3103, CDB_TUR);
    expect_error(f, 0, 0x3, 0x3103, CDB(0x28, [8] = 1));
    expect_error(f, 0, 0x5, 0x2400, CDB(0x48, 0x1f)); /* it was not started with AUSE */
    f->disk.fail_operations = 1 << BLOCK_WRITE;
    expect_sense(f, 0, overwrite(0x20, 1, BLOCK, 0), 0x3, 0x3103);
    f->disk.fail_operations = 0;
    expect_good(f, 0, CDB(0x48, 0x1f));
    expect_good(f, 0, CDB_TUR);
    f->disk.fail_operations = 1 << BLOCK_WRITE;
    expect_sense(f, 0, overwrite(0, 1, BLOCK, 0), 0x3, 0x3103);
    f->disk.fail_operations = 0;
    expect_status(f, 0, overwrite(0, 1, BLOCK, 1), SCSI_STATUS_GOOD); /* another one helps */
    expect_good(f, 0, CDB_TUR);
    expect_good(f, 0, CDB(0x48, 0x1f)); /* nothing has failed */
}

static void who_may(void **state)
{
    struct fixture *f = *state;
    static uint8_t swp[16] = {0, 0, 0, 0, 0x0a, 10, 0x20, 0x10, 0x08, 0, 0, 0, 0xff, 0xff, 0, 0};
    expect_good(f, 1, CDB(0x16));
    expect_status(f, 0, overwrite(0, 1, BLOCK, 0), SCSI_STATUS_RESERVATION_CONFLICT);
    expect_conflict(f, 0, CDB(0x48, 2));
    expect_good(f, 1, CDB(0x17));
    expect_good(f, 1, CDB(0x15, 0x10, 0, 0, 16, 0), .out = swp, .out_bytes = 16);
    clear_attentions(f);
    expect_sense(f, 0, overwrite(0, 1, BLOCK, 0), 0x7, 0x2702);
    expect_error(f, 0, 0x7, 0x2702, CDB(0x48, 2));
}

/* Freed while it runs: its last request cleans up. */
static void a_freed_unit_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct request request = overwrite(0x80, 1, BLOCK, 0x55);
    io_begin(f->nexus[0], &io, &request);
    io_finish(&io);
    io_free(&io);
    /* the teardown does it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sanitize_test(overwriting),
        sanitize_test(bad_parameters),
        sanitize_test(erasing),
        sanitize_test(others_are_kept_out_meanwhile),
        sanitize_test(it_survives_aborts_resets_and_nexus_loss),
        sanitize_test(immediate),
        sanitize_test(it_pauses_between_steps),
        sanitize_test(it_waits_for_writers),
        sanitize_test(failing),
        sanitize_test(who_may),
        sanitize_test(a_freed_unit_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
