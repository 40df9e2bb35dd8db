/* Task management in each state a task can be in, and the end of a nexus. */
#include "scsi/fixture.h"

static uint8_t data[16 * BLOCK];

struct answer {
    struct scsi_management management; /* first */
    unsigned count;
    enum scsi_management_response response;
};

static void on_answer(struct scsi_management *management, enum scsi_management_response response)
{
    struct answer *answer = (struct answer *)management;
    answer->count++;
    answer->response = response;
}

static void manage(struct fixture *f, unsigned nexus, struct answer *answer,
                   enum scsi_management_function function, uint64_t tag)
{
    memset(answer, 0, sizeof(*answer));
    answer->management.nexus = f->nexus[nexus];
    answer->management.function = function;
    answer->management.tag = tag;
    answer->management.done = on_answer;
    scsi_manage(&answer->management);
}

static void begin_write(struct fixture *f, unsigned nexus, struct io *io, uint64_t tag,
                        enum scsi_attribute attribute)
{
    struct request request = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = data, .out_bytes = BLOCK,
                              .tag = tag, .attribute = attribute};
    assert_int_equal(io_begin(f->nexus[nexus], io, &request), SCSI_PENDING);
}

static void expect_answer(const struct answer *answer, enum scsi_management_response response)
{
    assert_int_equal(answer->count, 1);
    assert_int_equal(answer->response, response);
}

static void an_abort_waits_for_the_disk(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer answer;
    begin_write(f, 0, &io, 7, SCSI_SIMPLE);
    manage(f, 0, &answer, SCSI_ABORT_TASK, 8);
    expect_answer(&answer, SCSI_TASK_NOT_FOUND);
    manage(f, 1, &answer, SCSI_ABORT_TASK, 7); /* of another nexus */
    expect_answer(&answer, SCSI_TASK_NOT_FOUND);
    manage(f, 0, &answer, SCSI_ABORT_TASK, 7);
    assert_true(io.aborted);
    assert_false(io.answer);
    assert_false(io.finished);
    assert_int_equal(answer.count, 0);
    disk_dispatch(&f->disk, 0);
    assert_true(io.finished);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    io_free(&io);
}

/* "There is no such task" would mean that nothing of it comes any more. */
static void an_abort_that_comes_again_waits_as_well(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer first, again;
    begin_write(f, 0, &io, 7, SCSI_SIMPLE);
    manage(f, 0, &first, SCSI_ABORT_TASK, 7);
    manage(f, 0, &again, SCSI_ABORT_TASK, 7);
    assert_int_equal(again.count, 0);
    disk_dispatch(&f->disk, 0);
    assert_true(io.finished);
    expect_answer(&first, SCSI_FUNCTION_COMPLETE);
    expect_answer(&again, SCSI_FUNCTION_COMPLETE);
    manage(f, 0, &again, SCSI_ABORT_TASK, 7);
    expect_answer(&again, SCSI_TASK_NOT_FOUND);
    io_free(&io);
}

static void an_abort_of_a_waiting_task_is_done_at_once(void **state)
{
    struct fixture *f = *state;
    struct io running, waiting;
    struct answer answer;
    begin_write(f, 0, &running, 1, SCSI_SIMPLE);
    begin_write(f, 0, &waiting, 2, SCSI_ORDERED);
    manage(f, 0, &answer, SCSI_ABORT_TASK, 2);
    assert_true(waiting.finished);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    disk_dispatch(&f->disk, 0);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 1); /* it never reached the disk */
    io_finish(&running);
    io_free(&running);
    io_free(&waiting);
}

static void an_abort_while_data_is_gathered(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer answer;
    struct request request = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out_bytes = BLOCK, .tag = 3};
    assert_int_equal(io_start(f->nexus[0], &io, &request), SCSI_WANTS_DATA);
    manage(f, 0, &answer, SCSI_ABORT_TASK, 3);
    assert_true(io.finished);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    io_free(&io);
}

/* An answer that is being sent is waited for. */
static void an_abort_of_an_answered_task_waits_for_the_transport(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer answer;
    struct request read = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), .tag = 4};
    assert_int_equal(io_start(f->nexus[0], &io, &read), SCSI_DONE);
    io.keep = true;
    manage(f, 0, &answer, SCSI_ABORT_TASK, 4);
    assert_int_equal(answer.count, 0);
    io_finish(&io);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    io_free(&io);
}

static void an_abort_during_a_fetch(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer answer;
    static uint8_t buffer[BLOCK];
    struct request read = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), .tag = 5};
    io_start(f->nexus[0], &io, &read);
    io.keep = true;
    scsi_task_fetch(io.task, buffer, 0, BLOCK);
    manage(f, 0, &answer, SCSI_ABORT_TASK, 5);
    assert_int_equal(answer.count, 0);
    disk_dispatch(&f->disk, 0);
    assert_int_equal(io.fetched, 1);
    io_finish(&io);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    io_free(&io);
}

/* A command of many steps ends with the one under way. */
static void an_abort_between_steps(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer answer;
    struct request request = {CDB(0x2f, 0, 0, 0, 0, 0, 0, 0x10, 0, 0), .tag = 6};
    io_start(f->nexus[0], &io, &request);
    disk_dispatch(&f->disk, 1);
    manage(f, 0, &answer, SCSI_ABORT_TASK, 6);
    assert_int_equal(answer.count, 0);
    disk_dispatch(&f->disk, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    assert_int_equal(f->disk.submitted[BLOCK_READ], 2);
    io_free(&io);
}

static void task_sets(void **state)
{
    struct fixture *f = *state;
    struct io own, other;
    struct answer answer;
    begin_write(f, 0, &own, 1, SCSI_SIMPLE);
    begin_write(f, 1, &other, 1, SCSI_SIMPLE);
    manage(f, 0, &answer, SCSI_ABORT_TASK_SET, 0);
    assert_true(own.aborted && !other.aborted);
    disk_dispatch(&f->disk, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    io_finish(&other);
    io_free(&own);
    io_free(&other);
    begin_write(f, 0, &own, 1, SCSI_SIMPLE);
    begin_write(f, 1, &other, 1, SCSI_SIMPLE);
    manage(f, 0, &answer, SCSI_CLEAR_TASK_SET, 0); /* each nexus has a task set of its own */
    assert_true(own.aborted && !other.aborted);
    disk_dispatch(&f->disk, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    io_finish(&other);
    expect_good(f, 0, CDB_TUR);
    expect_good(f, 1, CDB_TUR);
    io_free(&own);
    io_free(&other);
}

static void task_aborted_status(void **state)
{
    struct fixture *f = *state;
    struct io other;
    struct answer answer;
    static uint8_t list[16] = {0, 0, 0, 0, 0x0a, 10, 0x20, 0x10, 0, 0x40, 0, 0, 0xff, 0xff, 0, 0};
    expect_good(f, 0, CDB(0x15, 0x10, 0, 0, 16, 0), .out = list, .out_bytes = 16);
    clear_attentions(f);
    begin_write(f, 1, &other, 1, SCSI_SIMPLE);
    manage(f, 0, &answer, SCSI_LOGICAL_UNIT_RESET, 0);
    assert_true(other.answer);
    disk_dispatch(&f->disk, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    assert_int_equal(other.status, SCSI_STATUS_TASK_ABORTED);
    expect_error(f, 1, 0x6, 0x2903, CDB_TUR);
    io_free(&other);
}

/* Aborting the first must not set off the second, which is to be aborted too. */
static void a_cleared_set_starts_nothing(void **state)
{
    struct fixture *f = *state;
    struct io io[3];
    struct answer answer;
    struct request request = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out_bytes = BLOCK};
    io_start(f->nexus[0], &io[0], &request); /* gathers, is finished in its abort */
    begin_write(f, 0, &io[1], 1, SCSI_ORDERED);
    begin_write(f, 0, &io[2], 2, SCSI_SIMPLE);
    manage(f, 0, &answer, SCSI_LOGICAL_UNIT_RESET, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    assert_int_equal(f->disk.submitted[BLOCK_WRITE], 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(io[i].finished);
        io_free(&io[i]);
    }
}

static void a_reset_clears_and_tells_everybody(void **state)
{
    struct fixture *f = *state;
    static const enum scsi_management_function resets[] = {SCSI_LOGICAL_UNIT_RESET,
                                                           SCSI_TARGET_RESET};
    static uint8_t list[16] = {0, 0, 0, 0, 0x0a, 10, 0x20, 0x10, 0x08, 0, 0, 0, 0xff, 0xff, 0, 0};
    for (size_t i = 0; i < ARRAY_SIZE(resets); i++) {
        struct answer answer;
        expect_good(f, 0, CDB(0x15, 0x10, 0, 0, 16, 0), .out = list, .out_bytes = 16);
        clear_attentions(f);
        expect_good(f, 0, CDB(0x1e, 0, 0, 0, 1, 0));
        expect_good(f, 0, CDB(0x16));
        manage(f, 1, &answer, resets[i], 0);
        expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
        for (unsigned n = 0; n < NEXUSES; n++) {
            expect_error(f, n, 0x6, 0x2903, CDB_TUR);
            expect_good(f, n, CDB_TUR); /* no reservation any more */
        }
        expect_error(f, 1, 0x5, 0x2400, CDB(0x1b, 0, 0, 0, 2, 0)); /* no PREVENT */
        expect_good(f, 2, CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out = data, .out_bytes = BLOCK);
    }
}

static void queries(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer answer;
    manage(f, 0, &answer, SCSI_QUERY_TASK_SET, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    begin_write(f, 0, &io, 9, SCSI_SIMPLE);
    manage(f, 0, &answer, SCSI_QUERY_TASK, 9);
    expect_answer(&answer, SCSI_FUNCTION_SUCCEEDED);
    manage(f, 0, &answer, SCSI_QUERY_TASK, 10);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    manage(f, 0, &answer, SCSI_QUERY_TASK_SET, 0);
    expect_answer(&answer, SCSI_FUNCTION_SUCCEEDED);
    manage(f, 1, &answer, SCSI_QUERY_TASK_SET, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    disk_dispatch(&f->disk, 0);
    io_finish(&io);
    io_free(&io);
    manage(f, 0, &answer, SCSI_QUERY_ASYNCHRONOUS_EVENT, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    f->disk.device.geometry.blocks--;
    scsi_lu_device_changed(f->lu);
    manage(f, 0, &answer, SCSI_QUERY_ASYNCHRONOUS_EVENT, 0);
    expect_answer(&answer, SCSI_FUNCTION_SUCCEEDED);
    manage(f, 0, &answer, SCSI_CLEAR_ACA, 0);
    expect_answer(&answer, SCSI_FUNCTION_REJECTED);
}

static void no_such_lun(void **state)
{
    struct fixture *f = *state;
    struct answer answer = {
        .management = {.nexus = f->nexus[0],
                       .function = SCSI_LOGICAL_UNIT_RESET,
                       .lun = {0, 9},
                       .done = on_answer}
    };
    scsi_manage(&answer.management);
    expect_answer(&answer, SCSI_INCORRECT_LUN);
}

static void a_cancelled_function_is_not_answered(void **state)
{
    struct fixture *f = *state;
    struct io io;
    struct answer answer;
    begin_write(f, 0, &io, 1, SCSI_SIMPLE);
    manage(f, 0, &answer, SCSI_ABORT_TASK, 1);
    scsi_management_cancel(&answer.management);
    scsi_management_cancel(&answer.management);
    disk_dispatch(&f->disk, 0);
    assert_int_equal(answer.count, 0);
    io_free(&io);
}

static void a_nexus_ends_when_the_disk_is_quiet(void **state)
{
    struct fixture *f = *state;
    struct io running, waiting, gathering, answered;
    struct request read = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0)},
                   write = {CDB(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), .out_bytes = BLOCK};
    struct request absent = {CDB_TUR, .lun = 3};
    struct io absent_io;
    expect_good(f, 0, CDB(0x16));
    begin_write(f, 0, &running, 1, SCSI_SIMPLE);
    begin_write(f, 0, &waiting, 2, SCSI_ORDERED);
    io_start(f->nexus[0], &gathering, &write);
    io_start(f->nexus[0], &answered, &read);
    io_start(f->nexus[0], &absent_io, &absent);
    scsi_nexus_end(f->nexus[0], on_ended, f);
    assert_true(waiting.finished && gathering.finished && absent_io.finished);
    assert_int_equal(f->ended, 0);
    expect_conflict(f, 1, CDB_TUR); /* still its reservation */
    disk_dispatch(&f->disk, 0);
    assert_true(running.finished);
    assert_int_equal(f->ended, 1);
    expect_good(f, 1, CDB_TUR);
    io_free(&running);
    io_free(&waiting);
    io_free(&gathering);
    io_free(&answered);
    io_free(&absent_io);
    nexus_open(f, 0);
    clear_attentions(f);
}

static void nexus_reset(void **state)
{
    struct fixture *f = *state;
    struct answer answer;
    expect_good(f, 0, CDB(0x16));
    manage(f, 0, &answer, SCSI_I_T_NEXUS_RESET, 0);
    expect_answer(&answer, SCSI_FUNCTION_COMPLETE);
    expect_good(f, 1, CDB_TUR);
    expect_error(f, 0, 0x6, 0x2907, CDB_TUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(an_abort_waits_for_the_disk),
        scsi_test(an_abort_that_comes_again_waits_as_well),
        scsi_test(an_abort_of_a_waiting_task_is_done_at_once),
        scsi_test(an_abort_while_data_is_gathered),
        scsi_test(an_abort_of_an_answered_task_waits_for_the_transport),
        scsi_test(an_abort_during_a_fetch),
        scsi_test(an_abort_between_steps),
        scsi_test(task_sets),
        scsi_test(task_aborted_status),
        scsi_test(a_cleared_set_starts_nothing),
        scsi_test(a_reset_clears_and_tells_everybody),
        scsi_test(queries),
        scsi_test(no_such_lun),
        scsi_test(a_cancelled_function_is_not_answered),
        scsi_test(a_nexus_ends_when_the_disk_is_quiet),
        scsi_test(nexus_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
