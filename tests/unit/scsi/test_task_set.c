/* Whose turn it is: task attributes and exclusive ranges. */
#include "scsi/fixture.h"

static uint8_t data[16 * BLOCK];

static struct request write_at(uint8_t lba, uint8_t blocks, enum scsi_attribute attribute)
{
    return (struct request){CDB(0x2a, 0, 0, 0, 0, lba, 0, 0, blocks, 0), .out = data,
                            .out_bytes = (uint32_t)(blocks * BLOCK), .attribute = attribute};
}

static struct request same_at(uint8_t lba, uint8_t blocks)
{
    return (struct request){CDB(0x41, 0, 0, 0, 0, lba, 0, 0, blocks, 0), .out = data,
                            .out_bytes = BLOCK};
}

static void end(struct io *io)
{
    assert_true(io->done);
    io_finish(io);
    assert_int_equal(io->status, SCSI_STATUS_GOOD);
    io_free(io);
}

static unsigned queued(const struct fixture *f)
{
    unsigned count;
    const struct block_request *request;
    DL_COUNT2(f->disk.queue, request, count, next);
    return count;
}

static void simple_writes_do_not_wait(void **state)
{
    struct fixture *f = *state;
    struct io io[3];
    for (unsigned i = 0; i < 3; i++) { /* overlapping, too */
        struct request request = write_at(0, 4, SCSI_SIMPLE);
        assert_int_equal(io_begin(f->nexus[i], &io[i], &request), SCSI_PENDING);
    }
    assert_int_equal(queued(f), 3);
    disk_dispatch(&f->disk, 0);
    for (unsigned i = 0; i < 3; i++)
        end(&io[i]);
}

static void ordered_drains_and_holds_back(void **state)
{
    struct fixture *f = *state;
    struct io first, ordered, last;
    struct request a = write_at(0, 1, SCSI_SIMPLE), b = write_at(8, 1, SCSI_ORDERED),
                   c = write_at(12, 1, SCSI_UNTAGGED);
    io_begin(f->nexus[0], &first, &a);
    assert_int_equal(io_begin(f->nexus[0], &ordered, &b), SCSI_PENDING);
    assert_int_equal(io_begin(f->nexus[0], &last, &c), SCSI_PENDING);
    assert_int_equal(queued(f), 1);
    disk_dispatch(&f->disk, 0);
    assert_true(first.done);
    assert_false(ordered.done);
    assert_int_equal(queued(f), 0); /* the first has not been answered yet */
    end(&first);
    assert_int_equal(queued(f), 1);
    disk_dispatch(&f->disk, 0);
    assert_true(ordered.done);
    assert_false(last.done);
    end(&ordered);
    disk_dispatch(&f->disk, 0);
    end(&last);
}

/* A read that has been answered from the device counts until it has left. */
static void ordered_waits_for_reads_on_their_way(void **state)
{
    struct fixture *f = *state;
    struct io reading, ordered;
    struct request read = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0)}, b = write_at(0, 1, SCSI_ORDERED);
    assert_int_equal(io_start(f->nexus[0], &reading, &read), SCSI_DONE);
    assert_int_equal(io_begin(f->nexus[0], &ordered, &b), SCSI_PENDING);
    assert_int_equal(queued(f), 0);
    end(&reading);
    assert_int_equal(queued(f), 1);
    disk_dispatch(&f->disk, 0);
    end(&ordered);
}

static void a_read_waits_behind_ordered(void **state)
{
    struct fixture *f = *state;
    struct io ordered, reading;
    struct request b = write_at(0, 1, SCSI_ORDERED), read = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0)};
    io_begin(f->nexus[0], &ordered, &b);
    assert_int_equal(io_start(f->nexus[0], &reading, &read), SCSI_PENDING);
    disk_dispatch(&f->disk, 0);
    assert_false(reading.done);
    end(&ordered);
    assert_true(reading.done);
    assert_int_equal(reading.task->data_source, SCSI_DATA_DEVICE);
    end(&reading);
}

static void head_of_queue_goes_first(void **state)
{
    struct fixture *f = *state;
    struct io running, ordered, head;
    struct request a = write_at(0, 1, SCSI_SIMPLE), b = write_at(4, 1, SCSI_ORDERED),
                   c = write_at(8, 1, SCSI_HEAD_OF_QUEUE);
    io_begin(f->nexus[0], &running, &a);
    io_begin(f->nexus[0], &ordered, &b);
    io_begin(f->nexus[0], &head, &c);
    assert_int_equal(queued(f), 2); /* it overtakes the waiting one */
    disk_dispatch(&f->disk, 0);
    end(&running);
    assert_false(ordered.done);
    assert_int_equal(queued(f), 0); /* and that waits for it as well */
    end(&head);
    disk_dispatch(&f->disk, 0);
    end(&ordered);
}

/* TST 001b: nobody's order holds up another nexus, though its answers stay for ever, or its data
 * never comes. */
static void nobody_waits_for_the_order_of_others(void **state)
{
    struct fixture *f = *state;
    static const enum scsi_attribute attributes[] = {SCSI_ORDERED, SCSI_HEAD_OF_QUEUE};
    struct request read = {CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0)},
                   verify = {CDB(0x2f, 2, 0, 0, 0, 0, 0, 0, 1, 0), .out_bytes = BLOCK},
                   write = write_at(0, 1, SCSI_SIMPLE), ordered = write_at(4, 1, SCSI_ORDERED);
    for (unsigned i = 0; i < ARRAY_SIZE(attributes); i++) {
        struct io unread, gathering, reading, writing, draining;
        read.attribute = verify.attribute = attributes[i];
        assert_int_equal(io_start(f->nexus[1], &unread, &read), SCSI_DONE);
        assert_int_equal(io_start(f->nexus[2], &gathering, &verify), SCSI_WANTS_DATA);
        read.attribute = SCSI_SIMPLE;
        assert_int_equal(io_start(f->nexus[0], &reading, &read), SCSI_DONE);
        end(&reading);
        assert_int_equal(io_begin(f->nexus[0], &writing, &write), SCSI_PENDING);
        disk_dispatch(&f->disk, 0);
        end(&writing);
        assert_int_equal(io_begin(f->nexus[0], &draining, &ordered), SCSI_PENDING);
        disk_dispatch(&f->disk, 0);
        end(&draining);
        end(&unread);
        assert_int_equal(io_deliver(&gathering, data, BLOCK), SCSI_PENDING);
        disk_dispatch(&f->disk, 0);
        assert_true(gathering.done);
        io_finish(&gathering);
        io_free(&gathering);
    }
}

static void exclusive_ranges(void **state)
{
    struct fixture *f = *state;
    struct io before, exclusive, beside, inside, reading;
    struct request a = write_at(2, 4, SCSI_SIMPLE), b = same_at(4, 8),
                   c = write_at(12, 2, SCSI_SIMPLE), d = write_at(11, 1, SCSI_SIMPLE),
                   read = {CDB(0x28, 0, 0, 0, 0, 4, 0, 0, 8, 0)};
    data[0] = 1;
    io_begin(f->nexus[0], &before, &a);
    assert_int_equal(io_begin(f->nexus[1], &exclusive, &b), SCSI_PENDING);
    assert_int_equal(queued(f), 1); /* it waits for the write in its range */
    io_begin(f->nexus[2], &beside, &c);
    assert_int_equal(queued(f), 2); /* blocks beside it are free */
    io_begin(f->nexus[2], &inside, &d);
    assert_int_equal(queued(f), 2); /* who comes later waits behind it */
    assert_int_equal(io_start(f->nexus[0], &reading, &read), SCSI_DONE); /* reads do not */
    end(&reading);
    disk_dispatch(&f->disk, 1);
    assert_true(before.done);
    assert_int_equal(queued(f), 2); /* …beside, and now the exclusive one */
    disk_dispatch(&f->disk, 2);
    assert_true(exclusive.done && beside.done && !inside.done);
    disk_dispatch(&f->disk, 0);
    end(&before);
    end(&exclusive);
    end(&beside);
    end(&inside);
}

/* A whole-range wait must not block the one it waits for. */
static void waiting_for_order_does_not_block_a_range(void **state)
{
    struct fixture *f = *state;
    struct io gathering, ordered;
    struct request a = write_at(4, 1, SCSI_SIMPLE), b = same_at(0, 8);
    b.attribute = SCSI_ORDERED;
    assert_int_equal(io_start(f->nexus[0], &gathering, &a), SCSI_WANTS_DATA);
    assert_int_equal(io_begin(f->nexus[0], &ordered, &b), SCSI_PENDING);
    assert_int_equal(io_deliver(&gathering, data, BLOCK), SCSI_PENDING);
    assert_int_equal(queued(f), 1);
    disk_dispatch(&f->disk, 0);
    end(&gathering);
    disk_dispatch(&f->disk, 0);
    end(&ordered);
}

/* What changed while a task waited is looked at again. */
static void waiting_tasks_are_checked_again(void **state)
{
    struct fixture *f = *state;
    struct io first, waiting;
    struct request a = write_at(0, 1, SCSI_SIMPLE), b = write_at(4, 4, SCSI_ORDERED);
    io_begin(f->nexus[0], &first, &a);
    io_begin(f->nexus[0], &waiting, &b);
    f->disk.device.geometry.blocks = 6;
    disk_dispatch(&f->disk, 0);
    end(&first);
    assert_true(waiting.done);
    io_finish(&waiting);
    assert_int_equal(waiting.asc_ascq, 0x2100);
    io_free(&waiting);
    f->disk.device.geometry.blocks = DISK_BLOCKS;
}

static void a_reservation_stops_writes_that_still_gather(void **state)
{
    struct fixture *f = *state;
    struct io gathering;
    struct request a = write_at(0, 1, SCSI_SIMPLE);
    assert_int_equal(io_start(f->nexus[0], &gathering, &a), SCSI_WANTS_DATA);
    expect_good(f, 1, CDB(0x16));
    assert_int_equal(io_deliver(&gathering, data, BLOCK), SCSI_DONE);
    assert_int_equal(gathering.task->status, SCSI_STATUS_RESERVATION_CONFLICT);
    io_finish(&gathering);
    io_free(&gathering);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scsi_test(simple_writes_do_not_wait),
        scsi_test(ordered_drains_and_holds_back),
        scsi_test(ordered_waits_for_reads_on_their_way),
        scsi_test(a_read_waits_behind_ordered),
        scsi_test(head_of_queue_goes_first),
        scsi_test(nobody_waits_for_the_order_of_others),
        scsi_test(exclusive_ranges),
        scsi_test(waiting_for_order_does_not_block_a_range),
        scsi_test(waiting_tasks_are_checked_again),
        scsi_test(a_reservation_stops_writes_that_still_gather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
