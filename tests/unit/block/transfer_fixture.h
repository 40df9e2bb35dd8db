/* transfer_fixture.h - a loop device whose system calls can be made to fail, and one request at a
 * time for it */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "block/fake_calls.h"
#include "block/loop_disk.h"
#include "block/raw.h"
#include "block/requests.h"

#include <netboot-target/util/array.h>

#define DISK_BYTES (32u << 20)
#define PAGE       4096u

static struct loop_disk disk;
static struct block_io *io;
static struct block_device *device;
static unsigned changes;

static inline void count_change(struct block_device *changed, void *context)
{
    assert_ptr_equal(changed, context);
    changes++;
}

static inline void open_disk(enum block_write_mode mode)
{
    fakes_reset();
    changes = 0;
    /* Two threads for transfers, so that two writes at the gate make the rest wait. */
    struct block_io_options options = {.engine = BLOCK_ENGINE_THREADS, .workers_per_device = 4};
    struct error error = {""};
    loop_disk_make(&disk, DISK_BYTES);
    assert_int_equal(block_io_new(&options, &io, &error), 0);
    device =
        open_path(io, disk.path, &(struct block_open_options){.write_mode = mode, .discard = true});
    device->changed = count_change;
    device->changed_context = device;
    fakes_reset();
}

static inline void close_disk(void)
{
    fakes_reset();
    block_device_close(device);
    block_io_free(io);
    loop_disk_remove(&disk);
}

static inline int run_one(enum block_operation operation, uint64_t offset, uint64_t length,
                          void *buffer)
{
    return carry_out(io, device, operation, offset, length, buffer);
}

static inline struct block_request run_request(struct block_request request)
{
    unsigned left = 1;
    struct awaited awaited = {.left = &left, .request = request};
    awaited.request.done = awaited_done;
    awaited.request.context = &awaited;
    block_submit(device, &awaited.request);
    wait_for_end(io, &left);
    return awaited.request;
}

static inline void assert_on_disk(uint64_t offset, const void *expected, size_t length)
{
    uint8_t *found = malloc(length);
    assert_int_equal(pread(disk.backing, found, length, (off_t)offset), (ssize_t)length);
    assert_memory_equal(found, expected, length);
    free(found);
}

/* ── writes that wait together ───────────────────────────────────────────────────────────────── */

#define WRITES 16u

struct burst {
    struct awaited blockers[2];
    struct awaited writes[WRITES];
    uint8_t *blocker;
    uint8_t *data;
    unsigned left;
};

/* Two writes hold the threads; WRITES adjacent ones wait behind them. */
static inline void start_burst(struct burst *burst)
{
    burst->left = 0;
    burst->blocker = aligned_buffer(PAGE, 0xbb);
    burst->data = aligned_buffer(WRITES * PAGE, 0);
    for (unsigned i = 0; i < WRITES; i++)
        memset(burst->data + i * PAGE, 0x10 + (int)i, PAGE);
    gate_close(&fake_write);
    submit_awaited(device, &burst->blockers[0], BLOCK_WRITE, 8 << 20, PAGE, burst->blocker,
                   &burst->left);
    submit_awaited(device, &burst->blockers[1], BLOCK_WRITE, 9 << 20, PAGE, burst->blocker,
                   &burst->left);
    block_io_kick(io);
    gate_await(&fake_write, 2);
    for (unsigned i = 0; i < WRITES; i++)
        submit_awaited(device, &burst->writes[i], BLOCK_WRITE, i * PAGE, PAGE,
                       burst->data + i * PAGE, &burst->left);
}

static inline void finish_burst(struct burst *burst)
{
    gate_open(&fake_write);
    wait_for_end(io, &burst->left);
}

static inline void free_burst(struct burst *burst)
{
    free(burst->blocker);
    free(burst->data);
}
