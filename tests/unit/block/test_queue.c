/* test_queue.c - when the loop itself may begin a read, by what sysfs tells of the disk's queue */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/raw.h"

/* /dev/null stands for a disk: only its number matters. */
struct machine {
    char directory[64];
    struct system_root root;
    struct raw_device raw;
};

static void put(const struct machine *machine, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", machine->directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_folder(const struct machine *machine, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", machine->directory, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int set_up(void **state)
{
    struct machine *machine = calloc(1, sizeof *machine);
    struct stat status;
    char target[256], link[300], text[32];
    snprintf(machine->directory, sizeof machine->directory, "/tmp/nbt-queue-XXXXXX");
    assert_non_null(mkdtemp(machine->directory));
    machine->root.sys = machine->directory;
    machine->raw.buffered = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(machine->raw.buffered, &status), 0);
    static const char *const folders[] = {"dev", "dev/block", "disk", "disk/queue", "disk/slaves"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        make_folder(machine, folders[i]);
    snprintf(target, sizeof target, "%s/disk", machine->directory);
    snprintf(link, sizeof link, "%s/dev/block/%u:%u", machine->directory, major(status.st_rdev),
             minor(status.st_rdev));
    assert_int_equal(symlink(target, link), 0);
    snprintf(text, sizeof text, "%u:%u\n", major(status.st_rdev), minor(status.st_rdev));
    put(machine, "disk/dev", text);
    put(machine, "disk/queue/nr_requests", "64\n");
    put(machine, "disk/queue/max_sectors_kb", "128\n");
    put(machine, "disk/inflight", "       0        0\n");
    queue_init(&machine->raw.queue);
    *state = machine;
    return 0;
}

static int tear_down(void **state)
{
    struct machine *machine = *state;
    char command[128];
    queue_done(&machine->raw.queue);
    close(machine->raw.buffered);
    snprintf(command, sizeof command, "rm -r %s", machine->directory);
    assert_int_equal(system(command), 0);
    free(machine);
    return 0;
}

/* What was seen is believed for some milliseconds. */
static void forget_look(struct machine *machine)
{
    machine->raw.queue.looked_ms = 0;
}

static void test_a_part_is_ours(void **state)
{
    struct machine *machine = *state;
    struct raw_device *raw = &machine->raw;
    queue_open(raw, &machine->root);
    for (unsigned i = 0; i < 16; i++)
        assert_true(queue_enter(raw, 4096));
    assert_false(queue_enter(raw, 4096));
    queue_leave(raw, 4096);
    assert_true(queue_enter(raw, 4096));
}

static void test_long_reads_are_several_requests(void **state)
{
    struct machine *machine = *state;
    struct raw_device *raw = &machine->raw;
    queue_open(raw, &machine->root);
    for (unsigned i = 0; i < 5; i++)
        assert_true(queue_enter(raw, 256 << 10));
    assert_false(queue_enter(raw, 256 << 10));
    for (unsigned i = 0; i < 5; i++)
        queue_leave(raw, 256 << 10);
    assert_int_equal(raw->queue.in_ring, 0);
}

static void test_others_count(void **state)
{
    struct machine *machine = *state;
    struct raw_device *raw = &machine->raw;
    queue_open(raw, &machine->root);
    put(machine, "disk/inflight", "       9        9\n");
    forget_look(machine);
    assert_false(queue_enter(raw, 4096));
    put(machine, "disk/inflight", "       8        8\n");
    forget_look(machine);
    assert_true(queue_enter(raw, 4096));
}

static void test_files_and_stacks_have_no_room(void **state)
{
    struct machine *machine = *state;
    struct raw_device *raw = &machine->raw;
    assert_false(queue_enter(raw, 4096)); /* not opened */
    assert_false(queue_is_quiet(raw));
    raw->is_file = true;
    queue_open(raw, &machine->root);
    assert_false(queue_enter(raw, 4096));
    assert_false(queue_is_quiet(raw));
    raw->is_file = false;
    make_folder(machine, "disk/slaves/sda");
    queue_open(raw, &machine->root);
    assert_false(queue_enter(raw, 4096));
    assert_false(queue_is_quiet(raw));
}

static void test_quiet_until_disturbed(void **state)
{
    struct machine *machine = *state;
    struct raw_device *raw = &machine->raw;
    queue_open(raw, &machine->root);
    assert_true(queue_is_quiet(raw));
    queue_disturb(&raw->queue);
    assert_false(queue_is_quiet(raw)); /* it was looked a moment ago */
    forget_look(machine);
    raw->device.counters.in_flight = 1;
    assert_false(queue_is_quiet(raw));
    raw->device.counters.in_flight = 0;
    put(machine, "disk/inflight", "       0        1\n");
    forget_look(machine);
    assert_false(queue_is_quiet(raw));
    put(machine, "disk/inflight", "       0        0\n");
    forget_look(machine);
    queue_note_dirty(&raw->queue);
    assert_false(queue_is_quiet(raw));
    raw->queue.dirty_until_ms = 0;
    assert_true(queue_is_quiet(raw));
}

static void test_unreadable_is_full(void **state)
{
    struct machine *machine = *state;
    struct raw_device *raw = &machine->raw;
    queue_open(raw, &machine->root);
    put(machine, "disk/inflight", "");
    forget_look(machine);
    assert_false(queue_enter(raw, 4096));
    forget_look(machine);
    assert_false(queue_is_quiet(raw));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_part_is_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_reads_are_several_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_and_stacks_have_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quiet_until_disturbed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable_is_full, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
