/* test_lost_page.c - what a real kernel tells of an acknowledged write whose page it could not
 * write back: on a thinly provisioned disk that is full, with the image on a filesystem on it */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "block/loop_disk.h"
#include "block/requests.h"

#define MIB         (1u << 20)
#define ROOM        "size=6m" /* of a disk that says it has DISK_BYTES */
#define DISK_BYTES  (64u * MIB)
#define IMAGE_BYTES (32u * MIB)
#define OTHER_PLACE (20u * MIB)

struct full_disk {
    char below[32]; /* where the disk's bytes are */
    char above[32]; /* where its filesystem is */
    struct loop_disk disk;
    char image[64];
};

static void make_full_disk(struct full_disk *full)
{
    strcpy(full->below, "/tmp/netboot-below-XXXXXX");
    strcpy(full->above, "/tmp/netboot-above-XXXXXX");
    loop_disk_need(mkdtemp(full->below) && mkdtemp(full->above), "mkdtemp");
    loop_disk_need(!mount("none", full->below, "tmpfs", 0, ROOM), "mount tmpfs");
    snprintf(full->disk.file, sizeof full->disk.file, "%s/disk", full->below);
    int file = open(full->disk.file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    loop_disk_need(file >= 0 && !ftruncate(file, DISK_BYTES), "ftruncate");
    full->disk.backing = file;
    loop_disk_attach(&full->disk, 512, false);
    /* So that it says ENOSPC; where that cannot be, it says EIO. */
    (void)ioctl(full->disk.loop, LOOP_SET_DIRECT_IO, 1ul);
    run(formatted("mkfs.ext4 -q -F -O ^has_journal -N 16 %s", full->disk.path));
    loop_disk_need(!mount(full->disk.path, full->above, "ext4", 0, NULL), "mount ext4");
    snprintf(full->image, sizeof full->image, "%s/image", full->above);
    int image = open(full->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    loop_disk_need(image >= 0 && !fallocate(image, 0, 0, IMAGE_BYTES), "fallocate");
    close(image);
}

static void remove_full_disk(struct full_disk *full)
{
    umount2(full->above, MNT_DETACH);
    loop_disk_remove(&full->disk);
    umount2(full->below, MNT_DETACH);
    rmdir(full->above);
    rmdir(full->below);
}

/* The kernel writes everything back by itself, and tells nobody of the image's users. */
static void write_back(const struct full_disk *full)
{
    int directory = open(full->above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory >= 0);
    (void)syncfs(directory);
    close(directory);
}

static int write_fua(struct block_io *io, struct block_device *device, void *page)
{
    unsigned left = 1;
    struct awaited awaited = {.left = &left};
    awaited.request = (struct block_request){.operation = BLOCK_WRITE,
                                             .fua = true,
                                             .offset_bytes = OTHER_PLACE,
                                             .length_bytes = 4096,
                                             .buffer = page,
                                             .done = awaited_done,
                                             .context = &awaited};
    block_submit(device, &awaited.request);
    wait_for_end(io, &left);
    return awaited.request.result;
}

static void test_write_with_fua_after_a_lost_page(void **state)
{
    (void)state;
    struct full_disk full;
    uint8_t *megabyte = aligned_buffer(MIB, 0x5a);
    make_full_disk(&full);
    struct block_io *io = make_io(BLOCK_ENGINE_THREADS);
    struct block_device *device =
        open_path(io, full.image, &(struct block_open_options){.write_mode = BLOCK_WRITE_BUFFERED});
    assert_int_equal(write_fua(io, device, megabyte), 0); /* this place has room from now on */
    write_back(&full);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(carry_out(io, device, BLOCK_WRITE, i * MIB, MIB, megabyte), 0);
    write_back(&full);
    /* What was acknowledged is lost, and that must not be told as a failure of this write alone. */
    assert_int_equal(write_fua(io, device, megabyte), -EIO);
    assert_int_equal(device->health, BLOCK_WRITES_LATCHED);
    assert_int_equal(carry_out(io, device, BLOCK_FLUSH, 0, 0, NULL), -EIO);
    block_device_close(device);
    block_io_free(io);
    remove_full_disk(&full);
    free(megabyte);
}

static int set_up(void **state)
{
    (void)state;
    loop_disk_need(!unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL),
                   "a mount namespace");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_with_fua_after_a_lost_page),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
