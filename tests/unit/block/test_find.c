/* test_find.c - disks and partitions by their tags, read from the disks themselves */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "block/find.h"
#include "block/hanging_work.h"
#include "block/io.h"
#include "block/loop_disk.h"
#include "block/requests.h"

#include <netboot-target/util/array.h>

#define MIB (1u << 20)

static struct block_io *io;

struct uuid {
    char text[37];
};

/* Fresh in every run: other disks of this machine are looked at as well. */
static struct uuid random_uuid(void)
{
    uint8_t b[16];
    struct uuid uuid;
    assert_int_equal(getrandom(b, sizeof b, 0), sizeof b);
    snprintf(uuid.text, sizeof uuid.text,
             "%02x%02x%02x%02x-%02x%02x-4%01x%02x-a%01x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6] & 15, b[7], b[8] & 15, b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return uuid;
}

/* A disk with two filesystems in a GPT. The kernel is told of no partition. */
struct tagged_disk {
    struct loop_disk disk;
    struct uuid table, first_part, second_part, first_fs, second_fs;
    char label[17];
    char part_label[40];
};

static void make_filesystem(const struct loop_disk *disk, unsigned at_mib, unsigned mib,
                            const struct uuid *uuid, const char *label)
{
    struct loop_disk image;
    loop_disk_make_file(&image, (uint64_t)mib * MIB);
    run(formatted("mkfs.ext4 -q -F -U %s -L %s %s", uuid->text, label, image.file));
    run(formatted("dd if=%s of=%s bs=1M seek=%u conv=notrunc status=none", image.file, disk->file,
                  at_mib));
    loop_disk_remove(&image);
}

static void make_tagged(struct tagged_disk *tagged)
{
    tagged->table = random_uuid();
    tagged->first_part = random_uuid();
    tagged->second_part = random_uuid();
    tagged->first_fs = random_uuid();
    tagged->second_fs = random_uuid();
    snprintf(tagged->label, sizeof tagged->label, "nbt%.8s", tagged->first_fs.text);
    snprintf(tagged->part_label, sizeof tagged->part_label, "Root of %.8s", tagged->table.text);
    loop_disk_make_file(&tagged->disk, 16 * MIB);
    run(formatted("printf 'label: gpt\\nlabel-id: %s\\nstart=2048,size=8192,uuid=%s,name=\"%s\"\\n"
                  "start=16384,size=8192,uuid=%s\\n' | sfdisk -q %s",
                  tagged->table.text, tagged->first_part.text, tagged->part_label,
                  tagged->second_part.text, tagged->disk.file));
    make_filesystem(&tagged->disk, 1, 4, &tagged->first_fs, tagged->label);
    make_filesystem(&tagged->disk, 8, 4, &tagged->second_fs, "other");
    loop_disk_attach(&tagged->disk, 512, false);
}

static void assert_found(const char *specification, bool whole_disk, const char *path,
                         uint64_t offset_bytes, uint64_t length_bytes)
{
    struct block_location location;
    struct error error = {""};
    if (block_find(io, specification, whole_disk, &location, &error) < 0)
        fail_msg("%s", error.text);
    assert_string_equal(location.path, path);
    assert_int_equal(location.offset_bytes, offset_bytes);
    assert_int_equal(location.length_bytes, length_bytes);
}

static void assert_not_found(const char *specification, int code, const char *because)
{
    struct block_location location;
    struct error error = {""};
    assert_int_equal(block_find(io, specification, false, &location, &error), code);
    if (!strstr(error.text, because) || !strstr(error.text, specification))
        fail_msg("\"%s\" does not say \"%s\" of %s", error.text, because, specification);
}

static void test_tags_without_partition_nodes(void **state)
{
    (void)state;
    struct tagged_disk tagged;
    make_tagged(&tagged);
    const char *path = tagged.disk.path;
    const char *first[] = {formatted("UUID=%s", tagged.first_fs.text),
                           formatted("LABEL=%s", tagged.label),
                           formatted("PARTUUID=%s", tagged.first_part.text),
                           formatted("PARTLABEL=%s", tagged.part_label)};
    for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
        assert_found(first[i], false, path, 1 * MIB, 4 * MIB);
        assert_found(first[i], true, path, 0, 0);
    }
    assert_found(formatted("UUID=%s", tagged.second_fs.text), false, path, 8 * MIB, 4 * MIB);
    assert_found(formatted("PARTUUID=%s", tagged.second_part.text), false, path, 8 * MIB, 4 * MIB);
    for (char *c = tagged.first_fs.text; *c; c++)
        *c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
    assert_found(formatted("UUID=%s", tagged.first_fs.text), false, path, 1 * MIB, 4 * MIB);
    loop_disk_remove(&tagged.disk);
}

/* Filled first, so that zeros show. */
static void fill_free_space(const struct tagged_disk *tagged)
{
    run(formatted("head -c 1M /dev/urandom | dd of=%s bs=1M seek=9 conv=notrunc status=none",
                  tagged->disk.file));
    run(formatted("head -c 1M /dev/urandom | dd of=%s bs=1M seek=10 conv=notrunc status=none",
                  tagged->disk.file));
}

static uint8_t *read_image(const struct tagged_disk *tagged)
{
    uint8_t *image = malloc(16 * MIB);
    assert_int_equal(pread(tagged->disk.backing, image, 16 * MIB, 0), 16 * MIB);
    return image;
}

/* What is found by tag can be opened, and holds that filesystem and nothing else. */
static void test_opening_a_range(void **state)
{
    (void)state;
    struct tagged_disk tagged;
    struct block_location location;
    struct block_device *device;
    struct error error = {""};
    make_tagged(&tagged);
    fill_free_space(&tagged);
    assert_int_equal(
        block_find(io, formatted("UUID=%s", tagged.second_fs.text), false, &location, &error), 0);
    struct block_open_options options = {.discard = true};
    assert_int_equal(block_open(io, &location, &options, &device, &error), 0);
    assert_int_equal(device->geometry.blocks, 4 * MIB / 512);

    uint8_t *buffer = aligned_buffer(4096, 0);
    assert_int_equal(carry_out(io, device, BLOCK_READ, 0, 4096, buffer), 0);
    assert_int_equal(buffer[1024 + 56] | buffer[1024 + 57] << 8, 0xef53); /* ext4's magic */
    assert_int_equal(carry_out(io, device, BLOCK_READ, 4 * MIB, 512, buffer), -ENXIO);

    memset(buffer, 0xab, 4096);
    assert_int_equal(carry_out(io, device, BLOCK_WRITE, 4 * MIB - 4096, 4096, buffer), 0);
    assert_int_equal(carry_out(io, device, BLOCK_FLUSH, 0, 0, NULL), 0);
    memset(buffer, 0, 4096);
    assert_int_equal(pread(tagged.disk.backing, buffer, 4096, 12 * MIB - 4096), 4096);
    assert_int_equal(buffer[0], 0xab);
    assert_int_equal(buffer[4095], 0xab);

    /* Nothing is zeroed or discarded but where it was meant: the whole image tells. */
    uint8_t *expected = read_image(&tagged);
    assert_int_equal(carry_out(io, device, BLOCK_WRITE_ZEROES, MIB, 4096, NULL), 0);
    assert_int_equal(carry_out(io, device, BLOCK_DISCARD, 2 * MIB, 65536, NULL), 0);
    memset(expected + 9 * MIB, 0, 4096);
    memset(expected + 10 * MIB, 0, 65536);
    uint8_t *found = read_image(&tagged);
    assert_memory_equal(found, expected, 16 * MIB);
    free(expected);
    free(found);
    free(buffer);
    block_device_close(device);
    loop_disk_remove(&tagged.disk);
}

/* Through its node a partition is claimed alone. */
static void test_partition_node_is_preferred(void **state)
{
    (void)state;
    struct tagged_disk tagged;
    make_tagged(&tagged);
    loop_disk_add_partition(&tagged.disk, 1, 1 * MIB, 4 * MIB);
    const char *uuid = formatted("UUID=%s", tagged.first_fs.text);
    char node[80];
    snprintf(node, sizeof node, "%sp1", tagged.disk.path);
    assert_found(uuid, false, node, 0, 0);
    assert_found(uuid, true, tagged.disk.path, 0, 0);
    assert_found(node, false, node, 0, 0);
    assert_found(node, true, tagged.disk.path, 0, 0);
    /* The other one has none. */
    assert_found(formatted("UUID=%s", tagged.second_fs.text), false, tagged.disk.path, 8 * MIB,
                 4 * MIB);
    loop_disk_delete_partition(&tagged.disk, 1);
    loop_disk_remove(&tagged.disk);
}

static void test_filesystem_without_a_table(void **state)
{
    (void)state;
    struct loop_disk disk;
    struct uuid uuid = random_uuid();
    loop_disk_make(&disk, 8 * MIB);
    run(formatted("mkfs.ext4 -q -F -U %s %s", uuid.text, disk.path));
    assert_found(formatted("UUID=%s", uuid.text), false, disk.path, 0, 0);
    assert_found(formatted("UUID=%s", uuid.text), true, disk.path, 0, 0);
    loop_disk_remove(&disk);
}

static void test_dos_table_with_logical_partition(void **state)
{
    (void)state;
    struct loop_disk disk;
    struct uuid uuid = random_uuid();
    loop_disk_make_file(&disk, 16 * MIB);
    run(formatted("printf 'label: dos\\nlabel-id: 0x%.8s\\nstart=2048,size=4096\\n"
                  "start=8192,type=5\\nstart=10240,size=8192\\n' | sfdisk -q %s",
                  uuid.text, disk.file));
    make_filesystem(&disk, 5, 4, &uuid, "logical");
    loop_disk_attach(&disk, 512, false);
    assert_found(formatted("UUID=%s", uuid.text), false, disk.path, 5 * MIB, 4 * MIB);
    assert_found(formatted("PARTUUID=%.8s-01", uuid.text), false, disk.path, 1 * MIB, 2 * MIB);
    assert_found(formatted("PARTUUID=%.8s-05", uuid.text), false, disk.path, 5 * MIB, 4 * MIB);
    loop_disk_remove(&disk);
}

static void test_copies_are_refused(void **state)
{
    (void)state;
    struct tagged_disk tagged;
    struct loop_disk copy;
    make_tagged(&tagged);
    loop_disk_make_file(&copy, 16 * MIB);
    run(formatted("cp %s %s", tagged.disk.file, copy.file));
    loop_disk_attach(&copy, 512, false);
    const char *uuid = formatted("UUID=%s", tagged.first_fs.text);
    assert_not_found(uuid, -ENOTUNIQ, tagged.disk.path);
    assert_not_found(uuid, -ENOTUNIQ, copy.path);
    assert_not_found(formatted("PARTLABEL=%s", tagged.part_label), -ENOTUNIQ, copy.path);
    loop_disk_remove(&copy);
    assert_found(formatted("UUID=%s", tagged.first_fs.text), false, tagged.disk.path, 1 * MIB,
                 4 * MIB);
    loop_disk_remove(&tagged.disk);
}

/* Both paths of a multipath disk show what the disk on top of them shows; so do the halves of a
 * mirror. The machine is made of files: its /sys and /dev. */
static void test_the_device_on_top_is_meant(void **state)
{
    (void)state;
    static const char *const names[] = {"sdx", "sdy", "dm-0"};
    char directory[] = "/tmp/netboot-machine-XXXXXX";
    char sys[64];
    char dev[64];
    struct loop_disk image;
    struct uuid uuid = random_uuid();
    struct block_location location;
    struct error error = {""};
    assert_non_null(mkdtemp(directory));
    snprintf(sys, sizeof sys, "%s/sys", directory);
    snprintf(dev, sizeof dev, "%s/dev", directory);
    loop_disk_make_file(&image, 8 * MIB);
    run(formatted("mkfs.ext4 -q -F -U %s %s", uuid.text, image.file));
    run(formatted("mkdir -p %s/block %s", sys, dev));
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        const char *at = formatted("%s/block/%s", sys, names[i]);
        run(formatted("mkdir -p %s/slaves && echo 9:%u > %s/dev && echo 16384 > %s/size", at, i, at,
                      at));
        run(formatted("cp %s %s/%s", image.file, dev, names[i]));
    }
    struct system_root root = {.sys = sys, .proc = "/proc", .dev = dev};
    const char *tag = formatted("UUID=%s", uuid.text);
    assert_int_equal(find_in(io->probes, &root, tag, false, &location, &error), -ENOTUNIQ);

    run(formatted("ln -s ../../sdx %s/block/dm-0/slaves/sdx", sys));
    assert_int_equal(find_in(io->probes, &root, tag, false, &location, &error), -ENOTUNIQ);
    run(formatted("ln -s ../../sdy %s/block/dm-0/slaves/sdy", sys));
    assert_int_equal(find_in(io->probes, &root, tag, false, &location, &error), 0);
    assert_string_equal(location.path, formatted("%s/dm-0", dev));
    run(formatted("rm -r %s", directory));
    loop_disk_remove(&image);
}

/* Another search has not come back from one of the disks. */
static void test_hanging_disk_is_passed_over(void **state)
{
    (void)state;
    static const char *const names[] = {"sdx", "sdy"};
    char directory[] = "/tmp/netboot-machine-XXXXXX";
    char sys[64];
    char dev[64];
    struct uuid uuids[] = {random_uuid(), random_uuid()};
    struct block_location location;
    struct error error = {""};
    sem_t hold;
    sem_t freed;
    sem_init(&hold, 0, 0);
    sem_init(&freed, 0, 0);
    assert_non_null(mkdtemp(directory));
    snprintf(sys, sizeof sys, "%s/sys", directory);
    snprintf(dev, sizeof dev, "%s/dev", directory);
    run(formatted("mkdir -p %s", dev));
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        const char *at = formatted("%s/block/%s", sys, names[i]);
        run(formatted("mkdir -p %s && echo 9:%u > %s/dev && echo 16384 > %s/size", at, i, at, at));
        run(formatted("truncate -s 8M %s/%s", dev, names[i]));
        run(formatted("mkfs.ext4 -q -F -U %s %s/%s", uuids[i].text, dev, names[i]));
    }
    struct system_root root = {.sys = sys, .proc = "/proc", .dev = dev};
    struct probes *probes = probes_new(1000);
    assert_int_equal(probes_run(probes, makedev(9, 1), &hanging_new(&hold, &freed)->work),
                     -ETIMEDOUT);
    const char *answers = formatted("UUID=%s", uuids[0].text);
    const char *hangs = formatted("UUID=%s", uuids[1].text);
    assert_int_equal(find_in(probes, &root, answers, false, &location, &error), 0);
    assert_string_equal(location.path, formatted("%s/sdx", dev));
    assert_int_equal(find_in(probes, &root, hangs, false, &location, &error), -ENOENT);
    assert_non_null(strstr(error.text, "1 of which cannot be read (no answer)"));
    sem_post(&hold);
    sem_wait(&freed);
    wait_for_disk(probes, makedev(9, 1));
    assert_int_equal(find_in(probes, &root, hangs, false, &location, &error), 0);
    probes_free(probes);
    run(formatted("rm -r %s", directory));
}

static void test_not_there(void **state)
{
    (void)state;
    assert_not_found(formatted("UUID=%s", random_uuid().text), -ENOENT, "is on none of the");
    assert_not_found("LABEL=", -EINVAL, "names nothing");
    assert_not_found("/dev/disk/by-id/netboot-none", -ENOENT, "No such file");
    assert_not_found("/dev/null", -ENOTBLK, "neither a block device nor a regular file");
}

static void test_files_and_links(void **state)
{
    (void)state;
    struct loop_disk disk;
    char link[80];
    loop_disk_make(&disk, 1 * MIB);
    snprintf(link, sizeof link, "%s.link", disk.file);
    assert_int_equal(symlink(disk.path, link), 0);
    assert_found(link, false, disk.path, 0, 0);
    assert_found(disk.file, false, disk.file, 0, 0);
    assert_found(disk.file, true, disk.file, 0, 0);
    unlink(link);
    loop_disk_remove(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags_without_partition_nodes),
        cmocka_unit_test(test_opening_a_range),
        cmocka_unit_test(test_partition_node_is_preferred),
        cmocka_unit_test(test_filesystem_without_a_table),
        cmocka_unit_test(test_dos_table_with_logical_partition),
        cmocka_unit_test(test_copies_are_refused),
        cmocka_unit_test(test_the_device_on_top_is_meant),
        cmocka_unit_test(test_hanging_disk_is_passed_over),
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_files_and_links),
    };
    io = make_io(BLOCK_ENGINE_THREADS);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    block_io_free(io);
    return failed;
}
