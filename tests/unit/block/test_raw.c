/* test_raw.c - a real disk through both engines and write modes: what is written is read, ranges
 * are kept, a disk may shrink, and a bad block is named */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "block/loop_disk.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_is_read),
        cmocka_unit_test(test_discard_and_zero),
        cmocka_unit_test(test_bad_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
