/* test_claim.c - a disk that somebody uses is refused, and the refusal says who */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "block/claim.h"
#include "block/holders.h"
#include "block/loop_disk.h"
#include "block/requests.h"

#include <netboot-target/util/array.h>

#define DISK_BYTES (16u << 20)

static const struct block_open_options writable = {.write_mode = BLOCK_WRITE_AUTO};
static const struct block_open_options forced = {.write_mode = BLOCK_WRITE_AUTO, .force = true};
static const struct block_open_options read_only = {.read_only = true};
static const struct block_open_options forced_read_only = {.read_only = true, .force = true};
static const struct block_open_options look = {.look_only = true};
static const struct block_open_options look_read_only = {.look_only = true, .read_only = true};

static struct block_io *io;

static int try_open(const char *path, const struct block_open_options *options,
                    struct block_device **ret_device, struct error *error)
{
    struct block_location location = {0};
    snprintf(location.path, sizeof location.path, "%s", path);
    return block_open(io, &location, options, ret_device, error);
}

static void assert_refused(const char *path, const struct block_open_options *options, int code,
                           const char *because)
{
    struct block_device *device = NULL;
    struct error error = {""};
    assert_int_equal(try_open(path, options, &device, &error), code);
    assert_null(device);
    if (!strstr(error.text, because))
        fail_msg("\"%s\" does not say \"%s\"", error.text, because);
    if (!strstr(error.text, path))
        fail_msg("\"%s\" does not name %s", error.text, path);
}

/* Whoever reads the refusal is told of force where that lets it pass, and only there. */
static void assert_force_is_named(const char *path, const struct block_open_options *options,
                                  bool named)
{
    struct block_device *device = NULL;
    struct error error = {""};
    assert_int_equal(try_open(path, options, &device, &error), -EBUSY);
    if (!strstr(error.text, "; end that use first") ||
        (strstr(error.text, "force = true") != NULL) != named)
        fail_msg("\"%s\" %s force", error.text, named ? "does not name" : "names");
}

static void assert_opens(const char *path, const struct block_open_options *options)
{
    struct block_device *device;
    struct error error = {""};
    if (try_open(path, options, &device, &error) < 0)
        fail_msg("%s", error.text);
    block_device_close(device);
}

/* ── what this machine can really do ─────────────────────────────────────────────────────────── */

static void make_filesystem(const char *device)
{
    run(formatted("mkfs.ext4 -q -F -b 1024 %s", device));
}

/* Mounts of a test are its own: it runs in a mount namespace. */
static char *mount_point(char point[32])
{
    strcpy(point, "/tmp/netboot-mount-XXXXXX");
    loop_disk_need(mkdtemp(point) != NULL, "mkdtemp");
    return point;
}

static void mount_at(const char *device, const char *point, unsigned long flags)
{
    loop_disk_need(!mount(device, point, "ext4", flags, NULL), "mount");
}

static void unmount(const char *point)
{
    assert_int_equal(umount(point), 0);
    rmdir(point);
}

static void test_unused_disk_opens(void **state)
{
    (void)state;
    struct loop_disk disk;
    loop_disk_make(&disk, DISK_BYTES);
    assert_opens(disk.path, &writable);
    assert_opens(disk.path, &read_only);
    assert_opens(disk.path, &writable);
    loop_disk_remove(&disk);
}

static void test_mounted_disk(void **state)
{
    (void)state;
    struct loop_disk disk;
    char point[32];
    loop_disk_make(&disk, DISK_BYTES);
    make_filesystem(disk.path);
    mount_at(disk.path, mount_point(point), 0);
    assert_refused(disk.path, &writable, -EBUSY, formatted("is mounted on %s", point));
    assert_refused(disk.path, &read_only, -EBUSY, formatted("is mounted on %s", point));
    /* The kernel's claim stands, whatever is forced. */
    assert_refused(disk.path, &forced, -EBUSY, formatted("is mounted on %s", point));
    assert_refused(disk.path, &forced_read_only, -EBUSY, formatted("is mounted on %s", point));
    assert_force_is_named(disk.path, &writable, false);
    assert_force_is_named(disk.path, &read_only, false);
    assert_refused(disk.path, &look, -EBUSY, formatted("is mounted on %s", point));
    unmount(point);

    /* Readers of both sides do no harm to each other. */
    mount_at(disk.path, mount_point(point), MS_RDONLY);
    assert_opens(disk.path, &read_only);
    assert_opens(disk.path, &look_read_only);
    assert_refused(disk.path, &writable, -EBUSY, formatted("is mounted on %s", point));
    assert_force_is_named(disk.path, &writable, false);
    assert_refused(disk.path, &look, -EBUSY, formatted("is mounted on %s", point));
    unmount(point);
    assert_opens(disk.path, &writable);
    loop_disk_remove(&disk);
}

static void test_mounted_partition(void **state)
{
    (void)state;
    struct loop_disk disk;
    char point[32];
    char first[80];
    char second[80];
    loop_disk_make(&disk, DISK_BYTES);
    loop_disk_add_partition(&disk, 1, 1 << 20, 6 << 20);
    loop_disk_add_partition(&disk, 2, 8 << 20, 6 << 20);
    snprintf(first, sizeof first, "%sp1", disk.path);
    snprintf(second, sizeof second, "%sp2", disk.path);
    make_filesystem(first);
    mount_at(first, mount_point(point), 0);

    char because[256];
    snprintf(because, sizeof because, "%s is mounted on %s", first, point);
    assert_refused(disk.path, &writable, -EBUSY, because);
    assert_refused(disk.path, &forced, -EBUSY, because);
    assert_refused(disk.path, &read_only, -EBUSY, because);
    assert_refused(first, &writable, -EBUSY, because);
    assert_opens(second, &writable); /* a neighbour is free */

    unmount(point);
    assert_opens(disk.path, &writable);
    loop_disk_delete_partition(&disk, 1);
    loop_disk_delete_partition(&disk, 2);
    loop_disk_remove(&disk);
}

/* Only the kernel sees that mount. */
static void test_mounted_in_another_namespace(void **state)
{
    (void)state;
    struct loop_disk disk;
    char point[32];
    int ready[2];
    uint8_t byte;
    loop_disk_make(&disk, DISK_BYTES);
    make_filesystem(disk.path);
    mount_point(point);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bool mounted = !unshare(CLONE_NEWNS) && !mount(disk.path, point, "ext4", 0, NULL);
        (void)!write(ready[1], &mounted, 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(byte);
    const char *because = formatted("is mounted on %s as process %d", point, (int)child);
    assert_refused(disk.path, &writable, -EBUSY, because);
    assert_refused(disk.path, &forced, -EBUSY, because);
    assert_refused(disk.path, &look, -EBUSY, because);
    assert_refused(disk.path, &read_only, -EBUSY, because);
    assert_refused(disk.path, &forced_read_only, -EBUSY, because);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    rmdir(point);
    close(ready[0]);
    close(ready[1]);
    loop_disk_remove(&disk);
}

static void test_whole_disk_mounted_refuses_partition(void **state)
{
    (void)state;
    struct loop_disk disk;
    char point[32];
    char partition[80];
    loop_disk_make(&disk, DISK_BYTES);
    make_filesystem(disk.path);
    loop_disk_add_partition(&disk, 1, 1 << 20, 6 << 20);
    snprintf(partition, sizeof partition, "%sp1", disk.path);
    mount_at(disk.path, mount_point(point), 0);
    assert_refused(partition, &writable, -EBUSY, formatted("is mounted on %s", point));
    unmount(point);
    loop_disk_delete_partition(&disk, 1);
    loop_disk_remove(&disk);
}

static void test_swap(void **state)
{
    (void)state;
    struct loop_disk disk;
    char partition[80];
    loop_disk_make(&disk, DISK_BYTES);
    loop_disk_add_partition(&disk, 1, 1 << 20, 6 << 20);
    snprintf(partition, sizeof partition, "%sp1", disk.path);
    run(formatted("mkswap -q %s >/dev/null", partition));
    loop_disk_need(!swapon(partition, 0), "swapon");
    char because[128];
    snprintf(because, sizeof because, "%s is in use as swap", partition);
    assert_refused(disk.path, &writable, -EBUSY, because);
    assert_refused(disk.path, &forced, -EBUSY, because);
    assert_refused(disk.path, &read_only, -EBUSY, because);
    assert_refused(disk.path, &forced_read_only, -EBUSY, because);
    assert_force_is_named(disk.path, &writable, false);
    assert_int_equal(swapoff(partition), 0);
    assert_opens(disk.path, &writable);
    loop_disk_delete_partition(&disk, 1);
    loop_disk_remove(&disk);
}

static void test_file_behind_loop_device(void **state)
{
    (void)state;
    struct loop_disk disk;
    loop_disk_make(&disk, DISK_BYTES);
    char because[128];
    snprintf(because, sizeof because, "is the backing of the loop device %s", disk.path);
    assert_refused(disk.file, &writable, -EBUSY, because);
    assert_refused(disk.file, &read_only, -EBUSY, because);
    assert_force_is_named(disk.file, &writable, true);
    assert_opens(disk.file, &forced); /* nothing in the kernel keeps a file */
    loop_disk_remove(&disk);

    loop_disk_make_file(&disk, DISK_BYTES);
    loop_disk_attach(&disk, 512, true);
    snprintf(because, sizeof because, "is the backing of the loop device %s", disk.path);
    assert_opens(disk.file, &read_only);
    assert_refused(disk.file, &writable, -EBUSY, because);
    loop_disk_remove(&disk);
}

static void test_disk_behind_loop_device(void **state)
{
    (void)state;
    struct loop_disk disk;
    loop_disk_make(&disk, DISK_BYTES);
    struct loop_disk upper = {.loop = -1, .backing = -1};
    snprintf(upper.file, sizeof upper.file, "%s", disk.path);
    loop_disk_attach(&upper, 512, false);
    char because[128];
    snprintf(because, sizeof because, "is the backing of the loop device %s", upper.path);
    assert_refused(disk.path, &writable, -EBUSY, because);
    close(upper.loop);
    loop_disk_remove(&disk);
}

static void test_two_targets(void **state)
{
    (void)state;
    struct loop_disk disk;
    struct block_device *device;
    struct error error = {""};
    char process[64];
    loop_disk_make(&disk, DISK_BYTES);
    snprintf(process, sizeof process, "process %d", (int)getpid());
    assert_int_equal(try_open(disk.path, &writable, &device, &error), 0);
    assert_refused(disk.path, &writable, -EBUSY, process);
    assert_refused(disk.path, &forced, -EBUSY, process);
    assert_refused(disk.path, &read_only, -EBUSY, process);
    block_device_close(device);

    assert_int_equal(try_open(disk.path, &read_only, &device, &error), 0);
    assert_opens(disk.path, &read_only); /* any number of readers */
    assert_refused(disk.path, &writable, -EBUSY, process);
    assert_refused(disk.path, &forced, -EBUSY, process);
    block_device_close(device);
    assert_opens(disk.path, &writable);
    loop_disk_remove(&disk);
}

static void test_two_targets_on_a_file(void **state)
{
    (void)state;
    struct loop_disk disk;
    struct block_device *device;
    struct error error = {""};
    loop_disk_make_file(&disk, DISK_BYTES);
    assert_int_equal(try_open(disk.file, &writable, &device, &error), 0);
    assert_refused(disk.file, &writable, -EBUSY, "process");
    assert_refused(disk.file, &forced, -EBUSY, "process");
    assert_refused(disk.file, &read_only, -EBUSY, "process");
    block_device_close(device);
    assert_int_equal(try_open(disk.file, &read_only, &device, &error), 0);
    assert_opens(disk.file, &read_only);
    assert_refused(disk.file, &forced, -EBUSY, "process");
    block_device_close(device);
    loop_disk_remove(&disk);
}

/* A program that writes to the disk without a claim, as dd does. */
static void test_another_process_writes(void **state)
{
    (void)state;
    struct loop_disk disk;
    int ready[2];
    char because[64];
    uint8_t byte;
    loop_disk_make(&disk, DISK_BYTES);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int descriptor = open(disk.path, O_RDWR);
        (void)!write(ready[1], &descriptor, 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    snprintf(because, sizeof because, "process %d", (int)child);
    assert_refused(disk.path, &writable, -EBUSY, because);
    assert_refused(disk.path, &read_only, -EBUSY, "open for writing");
    assert_force_is_named(disk.path, &writable, true);
    assert_force_is_named(disk.path, &read_only, true);
    assert_opens(disk.path, &forced);
    assert_opens(disk.path, &forced_read_only);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_opens(disk.path, &writable);
    close(ready[0]);
    close(ready[1]);
    loop_disk_remove(&disk);
}

/* Somebody keeps it to himself, and no name shows. */
static void test_looking_meets_a_nameless_claim(void **state)
{
    (void)state;
    struct loop_disk disk;
    loop_disk_make(&disk, DISK_BYTES);
    int claim = open(disk.path, O_RDONLY | O_EXCL | O_CLOEXEC);
    assert_true(claim >= 0);
    assert_refused(disk.path, &writable, -EBUSY, "is claimed by another user");
    assert_refused(disk.path, &look, -EBUSY, "is claimed by another user");
    assert_opens(disk.path, &look_read_only);
    close(claim);
    assert_opens(disk.path, &look);
    loop_disk_remove(&disk);

    struct block_device *device;
    struct error error = {""};
    loop_disk_make_file(&disk, DISK_BYTES);
    assert_opens(disk.file, &look);
    assert_int_equal(try_open(disk.file, &read_only, &device, &error), 0);
    struct block_io *ours = io;
    io = make_io(BLOCK_ENGINE_THREADS); /* another daemon, as it were */
    assert_refused(disk.file, &look, -EBUSY, "is claimed by another user");
    assert_opens(disk.file, &look_read_only);
    block_io_free(io);
    io = ours;
    block_device_close(device);
    loop_disk_remove(&disk);
}

/* What the device manager sees: looking ends in no close of a descriptor that could write. */
static void test_looking_opens_for_reading(void **state)
{
    (void)state;
    struct loop_disk disk;
    struct block_device *device;
    struct error error = {""};
    loop_disk_make(&disk, DISK_BYTES);
    assert_int_equal(try_open(disk.path, &look, &device, &error), 0);
    struct stat status;
    struct error holder = {""};
    assert_int_equal(stat(disk.path, &status), 0);
    assert_false(holders_find(&system_root, disk.path, &status, HOLDERS_OF_WRITABLE, &holder));
    uint8_t *page = aligned_buffer(4096, 1);
    assert_int_equal(carry_out(io, device, BLOCK_WRITE, 0, 4096, page), -EROFS);
    free(page);
    block_device_close(device);
    loop_disk_remove(&disk);

    loop_disk_make_file(&disk, DISK_BYTES);
    loop_disk_attach(&disk, 512, true);
    assert_refused(disk.path, &look, -EROFS, "read-only = true");
    assert_opens(disk.path, &look_read_only);
    loop_disk_remove(&disk);
}

/* ── parts of one disk, without partition nodes ──────────────────────────────────────────────── */

static int try_part(const char *path, const struct block_open_options *options, unsigned at_mib,
                    unsigned mib, struct block_device **ret_device)
{
    struct error error = {""};
    struct block_location location = {.offset_bytes = (uint64_t)at_mib << 20,
                                      .length_bytes = (uint64_t)mib << 20};
    snprintf(location.path, sizeof location.path, "%s", path);
    return block_open(io, &location, options, ret_device, &error);
}

static struct block_device *open_part(const char *path, const struct block_open_options *options,
                                      unsigned at_mib, unsigned mib)
{
    struct block_device *device = NULL;
    assert_int_equal(try_part(path, options, at_mib, mib, &device), 0);
    return device;
}

static void assert_part_refused(const char *path, const struct block_open_options *options,
                                unsigned at_mib, unsigned mib)
{
    struct block_device *device = NULL;
    assert_int_equal(try_part(path, options, at_mib, mib, &device), -EBUSY);
    assert_null(device);
}

static void assert_others_are_refused(const char *path, const struct block_open_options *options)
{
    struct block_io *ours = io;
    io = make_io(BLOCK_ENGINE_THREADS);
    assert_part_refused(path, options, 12, 1);
    block_io_free(io);
    io = ours;
}

static void test_parts_of_one_disk(void **state)
{
    (void)state;
    struct loop_disk disk;
    uint8_t *page = aligned_buffer(4096, 1);
    loop_disk_make(&disk, DISK_BYTES);
    struct block_device *first = open_part(disk.path, &writable, 1, 4);
    struct block_device *second = open_part(disk.path, &writable, 5, 4);
    assert_part_refused(disk.path, &writable, 4, 2);
    assert_part_refused(disk.path, &read_only, 0, 2);
    assert_part_refused(disk.path, &forced, 8, 1);
    assert_refused(disk.path, &writable, -EBUSY, formatted("process %d", (int)getpid()));
    struct block_device *reader = open_part(disk.path, &read_only, 9, 1);
    /* Each is a disk of its own, with all that the first one can. */
    struct block_device *const writers[] = {first, second};
    for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
        assert_int_equal(carry_out(io, writers[i], BLOCK_WRITE, 0, 4096, page), 0);
        assert_int_equal(carry_out(io, writers[i], BLOCK_READ, 0, 4096, page), 0);
        assert_int_equal(carry_out(io, writers[i], BLOCK_WRITE_ZEROES, 0, 4096, NULL), 0);
        assert_int_equal(carry_out(io, writers[i], BLOCK_FLUSH, 0, 0, NULL), 0);
    }
    /* The claim is there until the last has gone. */
    block_device_close(first);
    assert_others_are_refused(disk.path, &writable);
    assert_others_are_refused(disk.path, &read_only);
    first = open_part(disk.path, &writable, 1, 4);
    block_device_close(first);
    block_device_close(second);
    assert_others_are_refused(disk.path, &writable);
    block_device_close(reader);
    assert_opens(disk.path, &writable);
    free(page);
    loop_disk_remove(&disk);
}

/* Whoever comes first. */
static void test_reader_before_the_writer_of_another_part(void **state)
{
    (void)state;
    struct loop_disk disk;
    char point[32];
    loop_disk_make(&disk, DISK_BYTES);
    make_filesystem(disk.path);
    struct block_device *reader = open_part(disk.path, &read_only, 9, 1);
    /* It is refused, and the reader is none the worse. */
    mount_at(disk.path, mount_point(point), MS_RDONLY);
    assert_part_refused(disk.path, &writable, 1, 4);
    unmount(point);
    assert_others_are_refused(disk.path, &writable);
    struct block_device *writer = open_part(disk.path, &writable, 1, 4);
    assert_part_refused(disk.path, &writable, 9, 1);
    assert_others_are_refused(disk.path, &read_only);
    block_device_close(reader);
    block_device_close(writer);
    assert_opens(disk.path, &writable);
    loop_disk_remove(&disk);
}

static void test_what_cannot_be_served(void **state)
{
    (void)state;
    struct loop_disk disk;
    assert_refused("/dev/null", &writable, -ENOTBLK, "neither a block device nor a regular file");
    assert_refused("/tmp", &writable, -ENOTBLK, "neither");
    assert_refused("/tmp/netboot-is-not-there", &writable, -ENOENT, "No such file");
    loop_disk_make_file(&disk, 0);
    assert_refused(disk.file, &writable, -ENOMEDIUM, "is empty");
    loop_disk_remove(&disk);
    loop_disk_make_file(&disk, DISK_BYTES);
    loop_disk_attach(&disk, 512, true);
    assert_refused(disk.path, &writable, -EROFS, "read-only = true");
    assert_opens(disk.path, &read_only);
    loop_disk_remove(&disk);
}

/* ────────────────────────────────────────────────────────────────────────────────────────────── */

static int set_up(void **state)
{
    (void)state;
    loop_disk_need(!unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
                   "a mount namespace");
    io = make_io(BLOCK_ENGINE_AUTO);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    block_io_free(io);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unused_disk_opens),
        cmocka_unit_test(test_mounted_disk),
        cmocka_unit_test(test_mounted_partition),
        cmocka_unit_test(test_mounted_in_another_namespace),
        cmocka_unit_test(test_whole_disk_mounted_refuses_partition),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_file_behind_loop_device),
        cmocka_unit_test(test_disk_behind_loop_device),
        cmocka_unit_test(test_two_targets),
        cmocka_unit_test(test_two_targets_on_a_file),
        cmocka_unit_test(test_another_process_writes),
        cmocka_unit_test(test_looking_meets_a_nameless_claim),
        cmocka_unit_test(test_looking_opens_for_reading),
        cmocka_unit_test(test_parts_of_one_disk),
        cmocka_unit_test(test_reader_before_the_writer_of_another_part),
        cmocka_unit_test(test_what_cannot_be_served),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
