/* test_residency.c - what is in the page cache is known, without cachestat(2) as well */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "block/loop_disk.h"
#include "block/raw.h"
#include "block/requests.h"

#include <netboot-target/util/array.h>

#define DISK_BYTES (8u << 20)
#define CACHESTAT  451

/* ── cachestat(2) and mincore(2), standing in front of libc's ────────────────────────────────── */

static int cachestat_error;
static int mincore_error;
static unsigned mincore_calls;

long syscall(long number, ...)
{
    va_list arguments;
    long a[6];
    va_start(arguments, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == CACHESTAT && cachestat_error) {
        errno = cachestat_error;
        return -1;
    }
    long (*real)(long, ...) = (__typeof__(&syscall))dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int mincore(void *address, size_t length, unsigned char *present)
{
    mincore_calls++;
    if (mincore_error) {
        errno = mincore_error;
        return -1;
    }
    return ((__typeof__(&mincore))dlsym(RTLD_NEXT, "mincore"))(address, length, present);
}

/* ────────────────────────────────────────────────────────────────────────────────────────────── */

struct opened {
    struct loop_disk disk;
    struct block_io *io;
    struct block_device *device;
    int outside; /* reads behind the device's back */
};

static struct opened open_disk(bool file, const struct block_open_options *options)
{
    struct opened opened;
    loop_disk_make_file(&opened.disk, DISK_BYTES);
    if (!file)
        loop_disk_attach(&opened.disk, 512, false);
    const char *path = file ? opened.disk.file : opened.disk.path;
    opened.outside = open(path, O_RDONLY | O_CLOEXEC);
    posix_fadvise(opened.outside, 0, 0, POSIX_FADV_RANDOM);
    opened.io = make_io(BLOCK_ENGINE_AUTO);
    opened.device = open_path(opened.io, path, options);
    mincore_calls = 0;
    return opened;
}

static void close_disk(struct opened *opened)
{
    block_device_close(opened->device);
    block_io_free(opened->io);
    close(opened->outside);
    loop_disk_remove(&opened->disk);
}

static void drop_cache(struct opened *opened, uint64_t offset, uint64_t length)
{
    assert_int_equal(
        posix_fadvise(opened->outside, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED), 0);
}

static const struct way {
    const char *name;
    int cachestat_error;
    int mincore_error;
    bool known;
} ways[] = {
    {"cachestat",                   0,      0,      true },
    {"cachestat alone",             0,      EPERM,  true },
    {"mincore, on an older kernel", ENOSYS, 0,      true },
    {"mincore, under a filter",     EPERM,  0,      true },
    {"nothing",                     ENOSYS, ENOSYS, false},
};

static void check_way(const struct way *way, bool file)
{
    uint8_t *buffer = aligned_buffer(1 << 20, 0x42);
    print_message("  %s, %s\n", way->name, file ? "file" : "disk");
    cachestat_error = way->cachestat_error;
    mincore_error = way->mincore_error;
    struct opened opened = open_disk(file, &(struct block_open_options){0});
    enum block_residency resident = way->known ? BLOCK_RESIDENT : BLOCK_UNKNOWN;
    enum block_residency absent = way->known ? BLOCK_ABSENT : BLOCK_UNKNOWN;

    drop_cache(&opened, 0, 0);
    assert_int_equal(block_residency(opened.device, 0, 1 << 20), absent);
    assert_int_equal(carry_out(opened.io, opened.device, BLOCK_READ, 0, 1 << 20, buffer), 0);
    assert_int_equal(block_residency(opened.device, 0, 1 << 20), resident);
    assert_int_equal(block_residency(opened.device, 512, 512), resident);
    assert_int_equal(block_residency(opened.device, 512, 4096), resident);
    assert_int_equal(block_residency(opened.device, (1 << 20) - 512, 512), resident);
    assert_int_equal(block_residency(opened.device, 0, (1 << 20) + 512), absent);
    assert_int_equal(block_residency(opened.device, DISK_BYTES - 512, 512), absent);

    drop_cache(&opened, 512 << 10, 4096);
    assert_int_equal(block_residency(opened.device, 0, 1 << 20), absent);
    assert_int_equal(block_residency(opened.device, 0, 512 << 10), resident);
    assert_int_equal(block_residency(opened.device, (512 << 10) + 512, 512), absent);
    assert_int_equal(block_read_cached(opened.device, buffer, 0, 512 << 10), 512 << 10);
    free(buffer);
    close_disk(&opened);
    cachestat_error = 0;
    mincore_error = 0;
}

static void test_every_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        check_way(&ways[i], false);
        check_way(&ways[i], true);
    }
}

/* Once nothing has been fetched for a while, the quick question is enough. */
static void test_settled_range_is_asked_for_cheaply(void **state)
{
    (void)state;
    uint8_t *buffer = aligned_buffer(1 << 20, 0);
    struct opened opened = open_disk(false, &(struct block_open_options){0});
    assert_int_equal(carry_out(opened.io, opened.device, BLOCK_READ, 0, 1 << 20, buffer), 0);
    mincore_calls = 0;
    assert_int_equal(block_residency(opened.device, 0, 1 << 20), BLOCK_RESIDENT);
    assert_true(mincore_calls > 0);
    raw_of(opened.device)->residency.unsettled_until_ms = 0;
    mincore_calls = 0;
    assert_int_equal(block_residency(opened.device, 0, 1 << 20), BLOCK_RESIDENT);
    assert_int_equal(mincore_calls, 0);
    free(buffer);
    close_disk(&opened);
}

/* The range of a partition is asked for where it is on the disk. */
static void test_offset_of_a_range(void **state)
{
    (void)state;
    struct opened opened = open_disk(false, &(struct block_open_options){0});
    uint8_t *buffer = aligned_buffer(1 << 20, 0);
    struct block_location location = {.offset_bytes = 1 << 20, .length_bytes = 4 << 20};
    struct block_open_options options = {0};
    struct error error;
    block_device_close(opened.device);
    snprintf(location.path, sizeof location.path, "%s", opened.disk.path);
    assert_int_equal(block_open(opened.io, &location, &options, &opened.device, &error), 0);
    drop_cache(&opened, 0, 0);
    assert_int_equal(pread(opened.outside, buffer, 65536, 1 << 20), 65536);
    assert_int_equal(block_residency(opened.device, 0, 65536), BLOCK_RESIDENT);
    assert_int_equal(block_residency(opened.device, 0, 65536 + 512), BLOCK_ABSENT);
    assert_int_equal(block_read_cached(opened.device, buffer, 0, 65536), 65536);
    free(buffer);
    close_disk(&opened);
}

static void test_direct_write_drops_its_pages_alone(void **state)
{
    (void)state;
    uint8_t *buffer = aligned_buffer(1 << 20, 0x42);
    struct opened opened =
        open_disk(false, &(struct block_open_options){.write_mode = BLOCK_WRITE_DIRECT});
    assert_int_equal(carry_out(opened.io, opened.device, BLOCK_PREFETCH, 0, 1 << 20, NULL), 0);
    assert_int_equal(carry_out(opened.io, opened.device, BLOCK_READ, 0, 1 << 20, buffer), 0);
    assert_int_equal(carry_out(opened.io, opened.device, BLOCK_WRITE, 65536, 4096, buffer), 0);
    assert_int_equal(block_residency(opened.device, 65536, 4096), BLOCK_ABSENT);
    assert_int_equal(block_residency(opened.device, 0, 32768), BLOCK_RESIDENT);
    free(buffer);
    close_disk(&opened);
}

static void test_prefetch(void **state)
{
    (void)state;
    static const bool read_only[] = {false, true};
    for (size_t i = 0; i < ARRAY_SIZE(read_only); i++) {
        struct opened opened =
            open_disk(false, &(struct block_open_options){.read_only = read_only[i]});
        drop_cache(&opened, 0, 0);
        unsigned waited_ms = 0;
        do { /* advice, which a busy kernel may drop: asked for again every second */
            if (waited_ms % 1000 == 0)
                assert_int_equal(
                    carry_out(opened.io, opened.device, BLOCK_PREFETCH, 1 << 20, 7 << 20, NULL), 0);
            usleep(1000);
            assert_true(waited_ms++ < 10000);
        } while (block_residency(opened.device, 1 << 20, 7 << 20) != BLOCK_RESIDENT);
        close_disk(&opened);
    }
}

/* A miss may fetch by itself; until then it is no hit. */
static void test_read_cached_never_waits(void **state)
{
    (void)state;
    uint8_t *buffer = aligned_buffer(65536, 0);
    struct opened opened = open_disk(false, &(struct block_open_options){0});
    drop_cache(&opened, 0, 0);
    assert_int_equal(block_read_cached(opened.device, buffer, 1 << 20, 65536), -EAGAIN);
    assert_int_equal(carry_out(opened.io, opened.device, BLOCK_READ, 1 << 20, 65536, buffer), 0);
    assert_int_equal(block_read_cached(opened.device, buffer, 1 << 20, 65536), 65536);
    drop_cache(&opened, (1 << 20) + 32768, 32768);
    ssize_t n = block_read_cached(opened.device, buffer, 1 << 20, 65536);
    assert_true(n == 32768 || n == -EAGAIN); /* not tried, soon after other reads */
    free(buffer);
    close_disk(&opened);
}

static void test_send(void **state)
{
    (void)state;
    uint8_t *written = aligned_buffer(1 << 20, 0);
    uint8_t *received = malloc(1 << 20);
    int sockets[2];
    struct opened opened = open_disk(false, &(struct block_open_options){0});
    for (unsigned i = 0; i < 1 << 20; i++)
        written[i] = (uint8_t)rand();
    assert_int_equal(carry_out(opened.io, opened.device, BLOCK_WRITE, 4096, 1 << 20, written), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    size_t sent = 0;
    size_t got = 0;
    unsigned full = 0;
    while (got < 1 << 20) {
        ssize_t n = sent < 1 << 20
                        ? block_send(opened.device, sockets[0], 4096 + sent, (1 << 20) - sent)
                        : -EAGAIN;
        if (n > 0) {
            sent += (size_t)n;
            continue;
        }
        assert_int_equal(n, -EAGAIN);
        full++;
        n = read(sockets[1], received + got, (1 << 20) - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_true(full > 1);
    assert_memory_equal(written, received, 1 << 20);
    assert_int_equal(block_send(opened.device, sockets[0], DISK_BYTES, 512), -ENXIO);

    /* It ends early: nothing is made up. */
    assert_int_equal(truncate(opened.disk.file, 4096), 0);
    assert_int_equal(ioctl(opened.disk.loop, LOOP_SET_CAPACITY), 0);
    assert_int_equal(block_send(opened.device, sockets[0], 4096, 512), -ENXIO);
    assert_int_equal(block_read_cached(opened.device, written, 4096, 512), -ENXIO);
    close(sockets[0]);
    close(sockets[1]);
    free(written);
    free(received);
    close_disk(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way),
        cmocka_unit_test(test_settled_range_is_asked_for_cheaply),
        cmocka_unit_test(test_offset_of_a_range),
        cmocka_unit_test(test_direct_write_drops_its_pages_alone),
        cmocka_unit_test(test_prefetch),
        cmocka_unit_test(test_read_cached_never_waits),
        cmocka_unit_test(test_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
