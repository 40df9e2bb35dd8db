/* test_faulty.c - the device that fails as told */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/block.h>
#include <netboot-target/util/array.h>

static const struct block_geometry geometry = {.blocks = 256,
                                               .logical_block_bytes = 512,
                                               .physical_block_bytes = 512,
                                               .discard_granularity_bytes = 512,
                                               .discard_limit_bytes = 1 << 20};

static struct block_device *memory;
static struct block_device *device;
static uint8_t buffer[65536];
static unsigned ended;

static void note_end(struct block_request *request)
{
    (void)request;
    ended++;
}

static void submit(struct block_request *request, enum block_operation operation, uint64_t offset,
                   uint64_t length)
{
    *request = (struct block_request){.operation = operation,
                                      .offset_bytes = offset,
                                      .length_bytes = length,
                                      .buffer = buffer,
                                      .done = note_end};
    block_submit(device, request);
}

static int run_one(enum block_operation operation, uint64_t offset, uint64_t length)
{
    struct block_request request;
    ended = 0;
    submit(&request, operation, offset, length);
    assert_int_equal(ended, 0);
    block_memory_dispatch(memory, 0);
    assert_int_equal(ended, 1);
    return request.result;
}

static void add(struct block_fault fault)
{
    assert_int_equal(block_faulty_add(device, &fault), 0);
}

static int set_up(void **state)
{
    (void)state;
    memory = block_memory_new(&geometry);
    device = block_faulty_new(memory);
    memset(buffer, 0x44, sizeof buffer);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    block_device_close(device);
    return 0;
}

static void test_passes_what_is_not_to_fail(void **state)
{
    (void)state;
    add((struct block_fault){
        .operations = 1 << BLOCK_READ, .first_byte = 4096, .last_byte = 4607, .result = -EIO});
    assert_int_equal(run_one(BLOCK_WRITE, 4096, 512), 0);
    assert_int_equal(block_memory_bytes(memory)[4096], 0x44);
    assert_int_equal(run_one(BLOCK_READ, 0, 4096), 0);
    assert_int_equal(run_one(BLOCK_READ, 4608, 512), 0);
    assert_int_equal(run_one(BLOCK_READ, 256 * 512, 512), -ENXIO);
    assert_int_equal(device->counters.errors[BLOCK_READ], 1);
}

static void test_read_error_names_its_first_byte(void **state)
{
    (void)state;
    struct block_request request;
    add((struct block_fault){
        .operations = 1 << BLOCK_READ, .first_byte = 5000, .last_byte = 9000, .result = -EIO});
    submit(&request, BLOCK_READ, 4096, 4096);
    block_memory_dispatch(memory, 0);
    assert_int_equal(request.result, -EIO);
    assert_int_equal(request.error_offset_bytes, 5000);
    submit(&request, BLOCK_READ, 8192, 4096);
    block_memory_dispatch(memory, 0);
    assert_int_equal(request.error_offset_bytes, 8192);
    /* The cache must not answer what the disk cannot. */
    assert_int_equal(block_read_cached(device, buffer, 4608, 512), -EAGAIN);
    assert_int_equal(block_residency(device, 0, 65536), BLOCK_ABSENT);
    assert_int_equal(block_residency(device, 0, 4608), BLOCK_RESIDENT);
    assert_int_equal(block_send(device, 1, 4608, 512), -EIO);
    block_faulty_clear(device);
    assert_int_equal(run_one(BLOCK_READ, 4096, 4096), 0);
    assert_int_equal(block_residency(device, 0, 65536), BLOCK_RESIDENT);
}

static void test_failed_write_writes_nothing(void **state)
{
    (void)state;
    add((struct block_fault){.operations = 1 << BLOCK_WRITE | 1 << BLOCK_DISCARD,
                             .last_byte = UINT64_MAX,
                             .result = -ENOSPC,
                             .times = 2});
    assert_int_equal(run_one(BLOCK_WRITE, 0, 512), -ENOSPC);
    assert_int_equal(block_memory_bytes(memory)[0], 0);
    assert_int_equal(run_one(BLOCK_DISCARD, 0, 512), -ENOSPC);
    assert_int_equal(run_one(BLOCK_WRITE, 0, 512), 0); /* that was twice */
    assert_int_equal(block_memory_bytes(memory)[0], 0x44);
    assert_int_equal(device->health, BLOCK_HEALTHY);
}

static void count_change(struct block_device *changed, void *context)
{
    (void)changed;
    ++*(unsigned *)context;
}

static void test_failed_flush_latches(void **state)
{
    (void)state;
    unsigned changes = 0;
    device->changed = count_change;
    device->changed_context = &changes;
    add((struct block_fault){.operations = 1 << BLOCK_FLUSH, .result = -EIO, .times = 1});
    assert_int_equal(run_one(BLOCK_FLUSH, 0, 0), -EIO);
    assert_int_equal(device->health, BLOCK_WRITES_LATCHED);
    assert_int_equal(changes, 1);
    assert_int_equal(run_one(BLOCK_WRITE, 0, 512), -EIO);
    assert_int_equal(run_one(BLOCK_FLUSH, 0, 0), -EIO);
    assert_int_equal(run_one(BLOCK_READ, 0, 512), 0);
    block_device_rearm(device);
    assert_int_equal(changes, 2);
    assert_int_equal(run_one(BLOCK_WRITE, 0, 512), 0);
    assert_int_equal(run_one(BLOCK_FLUSH, 0, 0), 0);
}

static void test_hang(void **state)
{
    (void)state;
    struct block_request held[2];
    struct block_request free_one;
    ended = 0;
    add((struct block_fault){
        .operations = 1 << BLOCK_WRITE, .last_byte = 4095, .hang = true, .times = 2});
    submit(&held[0], BLOCK_WRITE, 0, 512);
    submit(&held[1], BLOCK_WRITE, 512, 512);
    submit(&free_one, BLOCK_WRITE, 8192, 512);
    block_memory_dispatch(memory, 0);
    assert_int_equal(ended, 1);
    assert_int_equal(device->counters.in_flight, 2);
    assert_int_equal(block_memory_bytes(memory)[0], 0);
    block_faulty_release(device);
    assert_int_equal(ended, 1);
    block_memory_dispatch(memory, 0);
    assert_int_equal(ended, 3);
    assert_int_equal(held[0].result, 0);
    assert_int_equal(block_memory_bytes(memory)[512], 0x44);

    add((struct block_fault){
        .operations = 1 << BLOCK_READ, .last_byte = 4095, .hang = true, .result = -EIO});
    submit(&held[0], BLOCK_READ, 0, 512);
    block_faulty_release(device);
    block_memory_dispatch(memory, 0);
    assert_int_equal(held[0].result, -EIO);
}

static void test_follows_the_device_below(void **state)
{
    (void)state;
    unsigned changes = 0;
    device->changed = count_change;
    device->changed_context = &changes;
    block_memory_resize(memory, 128);
    assert_int_equal(device->geometry.blocks, 128);
    assert_int_equal(changes, 1);
    assert_int_equal(run_one(BLOCK_READ, 128 * 512, 512), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_passes_what_is_not_to_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_error_names_its_first_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_write_writes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_flush_latches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hang, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_follows_the_device_below, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
