/* test_raw.c - a real disk through both engines and write modes: what is written is read, ranges
 * are kept, a disk may shrink, and a bad block is named */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block/loop_disk.h"
#include "block/raw.h"
#include "block/requests.h"

#include <netboot-target/util/array.h>

#define DISK_BYTES (8u << 20)

static const struct combination {
    const char *name;
    bool file;
    enum block_engine engine;
    enum block_write_mode mode;
    const char *mode_name;
} combinations[] = {
    {"disk threads auto",      false, BLOCK_ENGINE_THREADS, BLOCK_WRITE_AUTO,     "direct"  },
    {"disk threads buffered",  false, BLOCK_ENGINE_THREADS, BLOCK_WRITE_BUFFERED, "buffered"},
    {"disk io_uring direct",   false, BLOCK_ENGINE_URING,   BLOCK_WRITE_DIRECT,   "direct"  },
    {"disk io_uring buffered", false, BLOCK_ENGINE_URING,   BLOCK_WRITE_BUFFERED, "buffered"},
    {"file threads auto",      true,  BLOCK_ENGINE_THREADS, BLOCK_WRITE_AUTO,     "buffered"},
    {"file io_uring direct",   true,  BLOCK_ENGINE_URING,   BLOCK_WRITE_DIRECT,   "direct"  },
};

struct opened {
    struct loop_disk disk;
    struct block_io *io;
    struct block_device *device;
};

static void open_combination(struct opened *opened, const struct combination *combination)
{
    print_message("  %s\n", combination->name);
    loop_disk_make_file(&opened->disk, DISK_BYTES);
    if (!combination->file)
        loop_disk_attach(&opened->disk, 512, false);
    opened->io = make_io(combination->engine);
    opened->device =
        open_path(opened->io, combination->file ? opened->disk.file : opened->disk.path,
                  &(struct block_open_options){.write_mode = combination->mode, .discard = true});
    assert_string_equal(opened->device->write_mode, combination->mode_name);
}

static void close_combination(struct opened *opened)
{
    block_device_close(opened->device);
    block_io_free(opened->io);
    loop_disk_remove(&opened->disk);
}

static void each_combination(void (*check)(struct opened *opened))
{
    for (size_t i = 0; i < ARRAY_SIZE(combinations); i++) {
        struct opened opened;
        open_combination(&opened, &combinations[i]);
        check(&opened);
        close_combination(&opened);
    }
}

static bool all_are(const uint8_t *bytes, size_t length, uint8_t value)
{
    return length && bytes[0] == value && !memcmp(bytes, bytes + 1, length - 1);
}

static void write_and_read(struct opened *opened)
{
    static const uint32_t lengths[] = {512, 4096, 4096 + 512, 65536, 1 << 20};
    uint8_t *written = aligned_buffer(1 << 20, 0);
    uint8_t *read = aligned_buffer(1 << 20, 0);
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        for (unsigned b = 0; b < lengths[i]; b++)
            written[b] = (uint8_t)rand();
        uint64_t offset = 512 * (uint64_t)(1 + i * 3001);
        memset(read, 0x55, lengths[i]);
        assert_int_equal(
            carry_out(opened->io, opened->device, BLOCK_WRITE, offset, lengths[i], written), 0);
        assert_int_equal(
            carry_out(opened->io, opened->device, BLOCK_READ, offset, lengths[i], read), 0);
        assert_memory_equal(written, read, lengths[i]);
        assert_int_equal(carry_out(opened->io, opened->device, BLOCK_FLUSH, 0, 0, NULL), 0);
        assert_int_equal(pread(opened->disk.backing, read, lengths[i], (off_t)offset),
                         (ssize_t)lengths[i]);
        assert_memory_equal(written, read, lengths[i]);
    }
    assert_int_equal(opened->device->counters.operations[BLOCK_WRITE], ARRAY_SIZE(lengths));
    assert_int_equal(opened->device->counters.errors[BLOCK_WRITE], 0);
    assert_int_equal(opened->device->counters.in_flight, 0);
    free(written);
    free(read);
}

static void test_written_is_read(void **state)
{
    (void)state;
    each_combination(write_and_read);
}

/* Cached pages must not outlive what was under them. */
static void discard_and_zero(struct opened *opened)
{
    const struct block_geometry *geometry = &opened->device->geometry;
    uint8_t *buffer = aligned_buffer(1 << 20, 0xee);
    assert_true(geometry->discard_granularity_bytes);
    assert_true(geometry->discard_limit_bytes >= 1 << 20);
    assert_true(geometry->discard_zeroes);
    assert_int_equal(carry_out(opened->io, opened->device, BLOCK_WRITE, 0, 1 << 20, buffer), 0);
    assert_int_equal(carry_out(opened->io, opened->device, BLOCK_READ, 0, 1 << 20, buffer), 0);
    assert_true(all_are(buffer, 1 << 20, 0xee));

    assert_int_equal(carry_out(opened->io, opened->device, BLOCK_DISCARD, 65536, 65536, NULL), 0);
    assert_int_equal(carry_out(opened->io, opened->device, BLOCK_READ, 0, 1 << 20, buffer), 0);
    assert_true(all_are(buffer, 65536, 0xee));
    assert_true(all_are(buffer + 65536, 65536, 0));
    assert_true(all_are(buffer + 131072, (1 << 20) - 131072, 0xee));

    assert_int_equal(
        carry_out(opened->io, opened->device, BLOCK_WRITE_ZEROES, 262144 + 512, 1024, NULL), 0);
    assert_int_equal(carry_out(opened->io, opened->device, BLOCK_READ, 262144, 4096, buffer), 0);
    assert_true(all_are(buffer, 512, 0xee));
    assert_true(all_are(buffer + 512, 1024, 0));
    assert_true(all_are(buffer + 1536, 2560, 0xee));
    free(buffer);
}

static void test_discard_and_zero(void **state)
{
    (void)state;
    each_combination(discard_and_zero);
}

static void refuse_bad_ranges(struct opened *opened)
{
    static const struct {
        enum block_operation operation;
        uint64_t offset_bytes;
        uint64_t length_bytes;
        int result;
    } rows[] = {
        {BLOCK_READ,         DISK_BYTES,       512,              -ENXIO },
        {BLOCK_READ,         DISK_BYTES - 512, 1024,             -ENXIO },
        {BLOCK_WRITE,        DISK_BYTES,       512,              -ENXIO },
        {BLOCK_WRITE,        UINT64_MAX - 511, 1024,             -ENXIO },
        {BLOCK_DISCARD,      DISK_BYTES - 512, 1024,             -ENXIO },
        {BLOCK_WRITE_ZEROES, 0,                DISK_BYTES + 512, -ENXIO },
        {BLOCK_PREFETCH,     DISK_BYTES,       512,              -ENXIO },
        {BLOCK_READ,         1,                512,              -EINVAL},
        {BLOCK_WRITE,        0,                511,              -EINVAL},
    };
    uint8_t *buffer = aligned_buffer(4096, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(carry_out(opened->io, opened->device, rows[i].operation,
                                   rows[i].offset_bytes, rows[i].length_bytes, buffer),
                         rows[i].result);
    assert_int_equal(block_read_cached(opened->device, buffer, DISK_BYTES, 512), -ENXIO);
    assert_int_equal(block_residency(opened->device, DISK_BYTES, 512), BLOCK_ABSENT);
    free(buffer);
}

static void test_bad_ranges(void **state)
{
    (void)state;
    each_combination(refuse_bad_ranges);
}

static struct opened open_disk(uint32_t block_bytes, const struct block_open_options *options)
{
    struct opened opened;
    loop_disk_make_file(&opened.disk, DISK_BYTES);
    loop_disk_attach(&opened.disk, block_bytes, false);
    opened.io = make_io(BLOCK_ENGINE_AUTO);
    opened.device = open_path(opened.io, opened.disk.path, options);
    return opened;
}

static int run_one(struct opened *opened, enum block_operation operation, uint64_t offset,
                   uint64_t length, void *buffer)
{
    return carry_out(opened->io, opened->device, operation, offset, length, buffer);
}

static void count_change(struct block_device *device, void *context)
{
    (void)device;
    ++*(unsigned *)context;
}

static void resize(struct opened *opened, uint64_t bytes)
{
    assert_int_equal(truncate(opened->disk.file, (off_t)bytes), 0);
    assert_int_equal(ioctl(opened->disk.loop, LOOP_SET_CAPACITY), 0);
}

static void test_shrinks_and_grows_while_open(void **state)
{
    (void)state;
    static const enum block_engine engines[] = {BLOCK_ENGINE_THREADS, BLOCK_ENGINE_URING};
    uint8_t *buffer = aligned_buffer(4096, 0x11);
    for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
        struct opened opened;
        unsigned changes = 0;
        loop_disk_make(&opened.disk, DISK_BYTES);
        opened.io = make_io(engines[i]);
        opened.device = open_path(opened.io, opened.disk.path, &(struct block_open_options){0});
        opened.device->changed = count_change;
        opened.device->changed_context = &changes;
        block_device_observe(opened.device);
        assert_int_equal(changes, 0);

        resize(&opened, DISK_BYTES / 2);
        /* Nobody has noticed yet, and still nothing is invented. */
        assert_int_equal(run_one(&opened, BLOCK_READ, DISK_BYTES / 2, 4096, buffer), -ENXIO);
        assert_int_equal(run_one(&opened, BLOCK_READ, DISK_BYTES / 2 - 512, 1024, buffer), -ENXIO);
        assert_int_equal(run_one(&opened, BLOCK_WRITE, DISK_BYTES / 2, 4096, buffer), -ENXIO);
        assert_int_equal(run_one(&opened, BLOCK_WRITE, DISK_BYTES - 4096, 4096, buffer), -ENXIO);
        assert_int_equal(opened.device->health, BLOCK_HEALTHY);
        block_device_observe(opened.device);
        assert_int_equal(changes, 1);
        assert_int_equal(opened.device->geometry.blocks, DISK_BYTES / 2 / 512);
        assert_int_equal(run_one(&opened, BLOCK_READ, DISK_BYTES / 2, 4096, buffer), -ENXIO);
        assert_int_equal(run_one(&opened, BLOCK_WRITE, DISK_BYTES / 2 - 4096, 4096, buffer), 0);

        resize(&opened, 2 * DISK_BYTES);
        block_device_observe(opened.device);
        assert_int_equal(changes, 2);
        assert_int_equal(opened.device->geometry.blocks, 2 * DISK_BYTES / 512);
        assert_int_equal(run_one(&opened, BLOCK_WRITE, 2 * DISK_BYTES - 4096, 4096, buffer), 0);
        assert_int_equal(run_one(&opened, BLOCK_READ, 2 * DISK_BYTES - 4096, 4096, buffer), 0);
        close_combination(&opened);
    }
    free(buffer);
}

static void test_gone_is_gone(void **state)
{
    (void)state;
    unsigned changes = 0;
    uint8_t *buffer = aligned_buffer(4096, 0x11);
    struct opened opened = open_disk(512, &(struct block_open_options){0});
    opened.device->changed = count_change;
    opened.device->changed_context = &changes;
    resize(&opened, 0);
    block_device_observe(opened.device);
    assert_int_equal(opened.device->health, BLOCK_GONE);
    assert_int_equal(changes, 1);
    for (unsigned operation = 0; operation < BLOCK_OPERATION_COUNT; operation++)
        assert_int_equal(run_one(&opened, operation, 0, 4096, buffer), -ENODEV);
    /* What comes back may be another disk. */
    resize(&opened, DISK_BYTES);
    block_device_observe(opened.device);
    block_device_rearm(opened.device);
    assert_int_equal(opened.device->health, BLOCK_GONE);
    assert_int_equal(run_one(&opened, BLOCK_READ, 0, 4096, buffer), -ENODEV);
    close_combination(&opened);
    free(buffer);
}

/* The size of a partition says nothing when its disk is pulled: the kernel's list of disks does. */
static void test_pulled_disk_is_gone(void **state)
{
    (void)state;
    enum { NUMBER = 1000 };
    struct opened opened = open_disk(512, &(struct block_open_options){0});
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    ioctl(control, LOOP_CTL_REMOVE, NUMBER); /* of a run that was interrupted */
    assert_int_equal(ioctl(control, LOOP_CTL_ADD, NUMBER), NUMBER);
    int attribute = open(formatted("/sys/block/loop%d/inflight", NUMBER), O_RDONLY | O_CLOEXEC);
    assert_true(attribute >= 0);
    int *inflight = &raw_of(opened.device)->queue.inflight;
    assert_true(*inflight >= 0);
    close(*inflight);
    *inflight = attribute;
    block_device_observe(opened.device);
    assert_int_equal(opened.device->health, BLOCK_HEALTHY);
    assert_int_equal(ioctl(control, LOOP_CTL_REMOVE, NUMBER), 0);
    block_device_observe(opened.device);
    assert_int_equal(opened.device->health, BLOCK_GONE);
    close(control);
    close_combination(&opened);
}

/* The file behind the device ends early: reading beyond is an I/O error of the disk. */
static void test_real_bad_block_is_named(void **state)
{
    (void)state;
    static const enum block_engine engines[] = {BLOCK_ENGINE_THREADS, BLOCK_ENGINE_URING};
    static const uint64_t ends[] = {300 * 1024 + 512, 320 * 1024, 256 * 1024 + 3584};
    uint8_t *buffer = aligned_buffer(256 << 10, 0);
    for (size_t i = 0; i < ARRAY_SIZE(engines) * ARRAY_SIZE(ends); i++) {
        uint64_t end = ends[i / 2];
        struct opened opened;
        struct awaited awaited;
        unsigned left = 0;
        loop_disk_make(&opened.disk, DISK_BYTES);
        opened.io = make_io(engines[i % 2]);
        opened.device = open_path(opened.io, opened.disk.path, &(struct block_open_options){0});
        assert_int_equal(truncate(opened.disk.file, (off_t)end), 0);
        submit_awaited(opened.device, &awaited, BLOCK_READ, 256 << 10, 256 << 10, buffer, &left);
        wait_for_end(opened.io, &left);
        assert_int_equal(awaited.request.result, -EIO);
        assert_int_equal(awaited.request.error_offset_bytes, end);
        assert_int_equal(opened.device->health, BLOCK_HEALTHY);
        assert_int_equal(run_one(&opened, BLOCK_READ, 0, 256 << 10, buffer), 0);
        close_combination(&opened);
    }
    free(buffer);
}

static void test_geometry(void **state)
{
    (void)state;
    struct opened opened = open_disk(4096, &(struct block_open_options){.discard = true});
    const struct block_geometry *geometry = &opened.device->geometry;
    uint8_t *buffer = aligned_buffer(8192, 0x22);
    assert_int_equal(geometry->logical_block_bytes, 4096);
    assert_int_equal(geometry->physical_block_bytes, 4096);
    assert_int_equal(geometry->blocks, DISK_BYTES / 4096);
    assert_int_equal(geometry->alignment_offset_bytes, 0);
    assert_true(geometry->minimum_io_bytes >= 4096);
    assert_true(geometry->discard_granularity_bytes >= 4096);
    assert_false(geometry->read_only);
    assert_int_equal(run_one(&opened, BLOCK_WRITE, 512, 4096, buffer), -EINVAL);
    assert_int_equal(run_one(&opened, BLOCK_WRITE, 4096, 512, buffer), -EINVAL);
    assert_int_equal(run_one(&opened, BLOCK_WRITE, 4096, 8192, buffer), 0);
    memset(buffer, 0, 8192);
    assert_int_equal(run_one(&opened, BLOCK_READ, 4096, 8192, buffer), 0);
    assert_true(all_are(buffer, 8192, 0x22));
    free(buffer);
    close_combination(&opened);

    opened = open_disk(512, &(struct block_open_options){0});
    assert_int_equal(opened.device->geometry.logical_block_bytes, 512);
    assert_int_equal(opened.device->geometry.discard_granularity_bytes, 0);
    assert_int_equal(run_one(&opened, BLOCK_DISCARD, 0, 4096, NULL), -EOPNOTSUPP);
    close_combination(&opened);
}

/* A range that begins between two physical blocks of its disk says so. */
static void test_alignment_of_a_range(void **state)
{
    (void)state;
    struct opened opened;
    struct error error = {""};
    struct block_location location = {.offset_bytes = 3 * 512, .length_bytes = 1 << 20};
    loop_disk_make(&opened.disk, DISK_BYTES);
    opened.io = make_io(BLOCK_ENGINE_AUTO);
    snprintf(location.path, sizeof location.path, "%s", opened.disk.path);
    struct block_open_options options = {0};
    assert_int_equal(block_open(opened.io, &location, &options, &opened.device, &error), 0);
    uint32_t physical = opened.device->geometry.physical_block_bytes;
    assert_int_equal(opened.device->geometry.alignment_offset_bytes,
                     (physical - 1536 % physical) % physical);
    assert_int_equal(opened.device->geometry.blocks, (1 << 20) / 512);
    block_device_close(opened.device);

    location.offset_bytes = 100;
    assert_int_equal(block_open(opened.io, &location, &options, &opened.device, &error), -EINVAL);
    assert_non_null(strstr(error.text, "does not lie on blocks of 512 bytes"));
    location.offset_bytes = DISK_BYTES;
    assert_int_equal(block_open(opened.io, &location, &options, &opened.device, &error),
                     -ENOMEDIUM);
    block_io_free(opened.io);
    loop_disk_remove(&opened.disk);
}

static void test_read_only(void **state)
{
    (void)state;
    uint8_t *buffer = aligned_buffer(4096, 0x11);
    struct opened opened =
        open_disk(512, &(struct block_open_options){
                           .read_only = true, .discard = true, .write_mode = BLOCK_WRITE_DIRECT});
    assert_string_equal(opened.device->write_mode, "read-only");
    assert_true(opened.device->geometry.read_only);
    assert_int_equal(run_one(&opened, BLOCK_WRITE, 0, 4096, buffer), -EROFS);
    assert_int_equal(run_one(&opened, BLOCK_DISCARD, 0, 4096, buffer), -EROFS);
    assert_int_equal(run_one(&opened, BLOCK_WRITE_ZEROES, 0, 4096, buffer), -EROFS);
    assert_int_equal(run_one(&opened, BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_int_equal(run_one(&opened, BLOCK_READ, 0, 4096, buffer), 0);
    assert_true(all_are(buffer, 4096, 0));
    close_combination(&opened);
    free(buffer);
}

/* The device goes when the last request has ended; the callback may be the one that closes it. */
static void close_it(struct block_request *request)
{
    unsigned *left = request->context;
    block_device_close(request->device);
    --*left;
}

static void count_down(struct block_request *request)
{
    unsigned *left = request->context;
    --*left;
}

static void test_close_with_requests_in_flight(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    static struct block_request requests[COUNT];
    uint8_t *buffer = aligned_buffer(COUNT * 4096, 0x33);
    for (unsigned closer = 0; closer <= COUNT; closer += 16) {
        struct opened opened = open_disk(512, &(struct block_open_options){0});
        unsigned left = COUNT;
        for (unsigned i = 0; i < COUNT; i++) {
            requests[i] = (struct block_request){.operation = i % 8 == 7 ? BLOCK_FLUSH
                                                              : i % 2    ? BLOCK_READ
                                                                         : BLOCK_WRITE,
                                                 .offset_bytes = i * 4096,
                                                 .length_bytes = i % 8 == 7 ? 0 : 4096,
                                                 .buffer = buffer + i * 4096,
                                                 .done = i == closer ? close_it : count_down,
                                                 .context = &left};
            block_submit(opened.device, &requests[i]);
        }
        if (closer == COUNT)
            block_device_close(opened.device);
        wait_for_end(opened.io, &left);
        opened.device = NULL;
        /* The claim has ended with it. */
        struct block_device *again =
            open_path(opened.io, opened.disk.path, &(struct block_open_options){0});
        block_device_close(again);
        close_combination(&opened);
    }
    free(buffer);
}

static void test_engines(void **state)
{
    (void)state;
    static const struct {
        enum block_engine engine;
        const char *name;
    } rows[] = {
        {BLOCK_ENGINE_THREADS, "threads" },
        {BLOCK_ENGINE_URING,   "io_uring"},
        {BLOCK_ENGINE_AUTO,    "io_uring"}
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct block_io *io = make_io(rows[i].engine);
        int descriptors[2];
        block_io_descriptors(io, descriptors);
        assert_string_equal(block_io_engine_name(io), rows[i].name);
        assert_true(descriptors[0] >= 0);
        assert_int_equal(descriptors[1] >= 0, rows[i].engine != BLOCK_ENGINE_THREADS);
        assert_int_equal(block_io_dispatch(io), 0);
        block_io_free(io);
    }
    block_io_free(NULL);
    block_device_close(NULL);
}

/* More reads at once than the ring has entries, of every kind. */
static void many_reads(struct opened *opened)
{
    enum { COUNT = 1504 };
    struct awaited *reads = calloc(COUNT, sizeof *reads);
    uint8_t *data = aligned_buffer(1 << 20, 0);
    uint8_t *buffers = aligned_buffer(COUNT * 512, 0xff);
    unsigned left = 0;
    for (unsigned i = 0; i < 1 << 20; i++)
        data[i] = (uint8_t)(i / 512 * 7);
    assert_int_equal(carry_out(opened->io, opened->device, BLOCK_WRITE, 0, 1 << 20, data), 0);
    for (unsigned i = 0; i < COUNT; i++)
        submit_awaited(opened->device, &reads[i], BLOCK_READ, i * 512, 512, buffers + i * 512,
                       &left);
    wait_for_end(opened->io, &left);
    assert_memory_equal(buffers, data, COUNT * 512);
    assert_int_equal(opened->device->counters.in_flight, 0);
    free(reads);
    free(data);
    free(buffers);
}

static void test_many_reads(void **state)
{
    (void)state;
    each_combination(many_reads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_is_read),
        cmocka_unit_test(test_discard_and_zero),
        cmocka_unit_test(test_bad_ranges),
        cmocka_unit_test(test_shrinks_and_grows_while_open),
        cmocka_unit_test(test_gone_is_gone),
        cmocka_unit_test(test_pulled_disk_is_gone),
        cmocka_unit_test(test_real_bad_block_is_named),
        cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_alignment_of_a_range),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_close_with_requests_in_flight),
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_many_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
