/* test_memory.c - the disk in memory: what other rooms' tests and fuzzing stand on */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/block.h>
#include <netboot-target/util/array.h>

static const struct block_geometry geometry = {.blocks = 64,
                                               .logical_block_bytes = 512,
                                               .physical_block_bytes = 4096,
                                               .discard_granularity_bytes = 4096,
                                               .discard_limit_bytes = 1 << 20,
                                               .discard_zeroes = true};

struct trace {
    unsigned ended[16];
    unsigned count;
};

static struct trace trace;

static void note_end(struct block_request *request)
{
    trace.ended[trace.count++] = (unsigned)(uintptr_t)request->context;
}

static struct block_request make(unsigned number, enum block_operation operation, uint64_t offset,
                                 uint64_t length, void *buffer)
{
    return (struct block_request){.operation = operation,
                                  .offset_bytes = offset,
                                  .length_bytes = length,
                                  .buffer = buffer,
                                  .done = note_end,
                                  .context = (void *)(uintptr_t)number};
}

static int run_one(struct block_device *device, enum block_operation operation, uint64_t offset,
                   uint64_t length, void *buffer)
{
    struct block_request request = make(0, operation, offset, length, buffer);
    trace.count = 0;
    block_submit(device, &request);
    assert_int_equal(trace.count, 0);
    assert_int_equal(device->counters.in_flight, 1);
    assert_int_equal(block_memory_dispatch(device, 0), 1);
    assert_int_equal(trace.count, 1);
    return request.result;
}

static void test_operations(void **state)
{
    (void)state;
    uint8_t buffer[4096];
    struct block_device *device = block_memory_new(&geometry);
    memset(buffer, 0x5a, sizeof buffer);
    assert_int_equal(run_one(device, BLOCK_WRITE, 512, 4096, buffer), 0);
    assert_int_equal(block_memory_bytes(device)[511], 0);
    assert_int_equal(block_memory_bytes(device)[512], 0x5a);
    memset(buffer, 0, sizeof buffer);
    assert_int_equal(run_one(device, BLOCK_READ, 4096, 512, buffer), 0);
    assert_int_equal(buffer[511], 0x5a);
    assert_int_equal(run_one(device, BLOCK_WRITE_ZEROES, 1024, 512, NULL), 0);
    assert_int_equal(block_memory_bytes(device)[1024], 0);
    assert_int_equal(block_memory_bytes(device)[1536], 0x5a);
    assert_int_equal(run_one(device, BLOCK_DISCARD, 512, 4096, NULL), 0);
    assert_int_equal(block_memory_bytes(device)[512], 0);
    assert_int_equal(run_one(device, BLOCK_FLUSH, 0, 0, NULL), 0);
    assert_int_equal(run_one(device, BLOCK_READ, 64 * 512, 512, buffer), -ENXIO);
    assert_int_equal(run_one(device, BLOCK_WRITE, UINT64_MAX - 511, 512, buffer), -ENXIO);
    assert_int_equal(run_one(device, BLOCK_READ, 100, 512, buffer), -EINVAL);
    assert_int_equal(device->counters.operations[BLOCK_READ], 3);
    assert_int_equal(device->counters.errors[BLOCK_READ], 2);
    assert_int_equal(device->counters.bytes[BLOCK_READ], 512);
    block_device_close(device);
}

static void test_order_is_the_callers(void **state)
{
    (void)state;
    uint8_t buffer[512] = {0};
    struct block_request requests[3];
    struct block_device *device = block_memory_new(&geometry);
    trace.count = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
        requests[i] = make(i, i == 1 ? BLOCK_WRITE : BLOCK_READ, i * 512, 512, buffer);
        block_submit(device, &requests[i]);
    }
    assert_int_equal(block_memory_dispatch(device, 1), 1);
    assert_int_equal(trace.count, 1);
    assert_int_equal(trace.ended[0], 0);
    assert_int_equal(block_memory_dispatch(device, 5), 2);
    assert_int_equal(trace.ended[1], 1);
    assert_int_equal(trace.ended[2], 2);
    assert_int_equal(block_memory_dispatch(device, 0), 0);
    block_device_close(device);
}

static void test_residency(void **state)
{
    (void)state;
    uint8_t buffer[16384];
    struct block_device *device = block_memory_new(&geometry);
    assert_int_equal(block_residency(device, 0, 32768), BLOCK_RESIDENT);
    assert_int_equal(block_read_cached(device, buffer, 512, 1024), 1024);
    block_memory_set_resident(device, false);
    assert_int_equal(block_residency(device, 512, 512), BLOCK_ABSENT);
    assert_int_equal(block_read_cached(device, buffer, 512, 512), -EAGAIN);
    assert_int_equal(run_one(device, BLOCK_READ, 4096, 512, buffer), 0);
    assert_int_equal(block_residency(device, 4096, 4096), BLOCK_RESIDENT);
    assert_int_equal(block_residency(device, 4096, 4608), BLOCK_ABSENT);
    assert_int_equal(run_one(device, BLOCK_PREFETCH, 8192, 4096, NULL), 0);
    assert_int_equal(block_read_cached(device, buffer, 4608, 16384), 12288 - 4608);
    assert_int_equal(block_send(device, 1, 0, 512), -EOPNOTSUPP);
    assert_int_equal(block_read_cached(device, buffer, 32768, 512), -ENXIO);
    block_device_close(device);
}

static void count_change(struct block_device *device, void *context)
{
    (void)device;
    ++*(unsigned *)context;
}

static void test_resize(void **state)
{
    (void)state;
    uint8_t buffer[512];
    unsigned changes = 0;
    struct block_device *device = block_memory_new(&geometry);
    device->changed = count_change;
    device->changed_context = &changes;
    struct block_request request = make(0, BLOCK_READ, 63 * 512, 512, buffer);
    trace.count = 0;
    block_submit(device, &request);
    block_memory_resize(device, 8);
    assert_int_equal(changes, 1);
    block_memory_dispatch(device, 0);
    assert_int_equal(request.result, -ENXIO); /* it shrank before its turn came */
    block_memory_resize(device, 100);
    assert_int_equal(changes, 2);
    assert_int_equal(run_one(device, BLOCK_READ, 99 * 512, 512, buffer), 0);
    assert_int_equal(buffer[0], 0);
    block_memory_resize(device, 100);
    assert_int_equal(changes, 2);
    block_memory_resize(device, 0);
    assert_int_equal(run_one(device, BLOCK_READ, 0, 512, buffer), -ENXIO);
    block_device_close(device);
}

static void test_read_only(void **state)
{
    (void)state;
    uint8_t buffer[512] = {0};
    struct block_geometry fixed = geometry;
    fixed.read_only = true;
    fixed.discard_granularity_bytes = 0;
    struct block_device *device = block_memory_new(&fixed);
    assert_string_equal(device->write_mode, "read-only");
    assert_int_equal(run_one(device, BLOCK_WRITE, 0, 512, buffer), -EROFS);
    assert_int_equal(run_one(device, BLOCK_READ, 0, 512, buffer), 0);
    block_device_close(device);
}

static void close_it(struct block_request *request)
{
    note_end(request);
    block_device_close(request->device);
}

static struct block_request follower;

static void submit_another(struct block_request *request)
{
    note_end(request);
    block_submit(request->device, &follower);
}

static void test_callbacks_may_submit_and_close(void **state)
{
    (void)state;
    uint8_t buffer[512] = {0};
    struct block_device *device = block_memory_new(&geometry);
    struct block_request first = make(1, BLOCK_READ, 0, 512, buffer);
    first.done = submit_another;
    follower = make(2, BLOCK_READ, 0, 512, buffer);
    follower.done = close_it;
    trace.count = 0;
    block_submit(device, &first);
    assert_int_equal(block_memory_dispatch(device, 0), 2);
    assert_int_equal(trace.ended[1], 2);

    /* Closed with one waiting: it ends first. */
    device = block_memory_new(&geometry);
    first = make(3, BLOCK_WRITE, 0, 512, buffer);
    trace.count = 0;
    block_submit(device, &first);
    block_device_close(device);
    assert_int_equal(block_memory_dispatch(device, 0), 1);
    assert_int_equal(first.result, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations), cmocka_unit_test(test_order_is_the_callers),
        cmocka_unit_test(test_residency),  cmocka_unit_test(test_resize),
        cmocka_unit_test(test_read_only),  cmocka_unit_test(test_callbacks_may_submit_and_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
