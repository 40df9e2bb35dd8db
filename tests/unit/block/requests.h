/* requests.h - a small loop for tests: submit, wait for the end, look at the result. */
#pragma once
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/block.h>

#define REQUEST_TIMEOUT_MS 10000

struct awaited {
    struct block_request request;
    unsigned *left;
    bool ended;
};

static inline void awaited_done(struct block_request *request)
{
    struct awaited *awaited = request->context;
    if (awaited->ended)
        fail_msg("a request ended twice");
    awaited->ended = true;
    --*awaited->left;
}

static inline void wait_for_end(struct block_io *io, const unsigned *left)
{
    while (*left) {
        block_io_kick(io);
        int descriptors[2];
        block_io_descriptors(io, descriptors);
        struct pollfd polled[2] = {
            {.fd = descriptors[0], .events = POLLIN},
            {.fd = descriptors[1], .events = POLLIN}
        };
        if (poll(polled, 2, REQUEST_TIMEOUT_MS) <= 0)
            fail_msg("%u requests did not end in time", *left);
        block_io_dispatch(io);
    }
}

static inline void submit_awaited(struct block_device *device, struct awaited *awaited,
                                  enum block_operation operation, uint64_t offset_bytes,
                                  uint64_t length_bytes, void *buffer, unsigned *left)
{
    *awaited = (struct awaited){.left = left};
    awaited->request = (struct block_request){.operation = operation,
                                              .offset_bytes = offset_bytes,
                                              .length_bytes = length_bytes,
                                              .buffer = buffer,
                                              .done = awaited_done,
                                              .context = awaited};
    ++*left;
    block_submit(device, &awaited->request);
    assert_false(awaited->ended); /* never inside submit */
}

/* One request, start to end. */
static inline int carry_out(struct block_io *io, struct block_device *device,
                            enum block_operation operation, uint64_t offset_bytes,
                            uint64_t length_bytes, void *buffer)
{
    struct awaited awaited;
    unsigned left = 0;
    submit_awaited(device, &awaited, operation, offset_bytes, length_bytes, buffer, &left);
    wait_for_end(io, &left);
    return awaited.request.result;
}

static inline void *aligned_buffer(size_t bytes, int fill)
{
    void *buffer = aligned_alloc(4096, bytes);
    assert_non_null(buffer);
    return memset(buffer, fill, bytes);
}

static inline struct block_io *make_io(enum block_engine engine)
{
    struct block_io_options options = {.engine = engine};
    struct block_io *io;
    struct error error = {""};
    if (block_io_new(&options, &io, &error) < 0)
        fail_msg("%s", error.text);
    return io;
}

static inline struct block_device *open_path(struct block_io *io, const char *path,
                                             const struct block_open_options *options)
{
    struct block_location location = {0};
    struct block_device *device;
    struct error error = {""};
    snprintf(location.path, sizeof location.path, "%s", path);
    if (block_open(io, &location, options, &device, &error) < 0)
        fail_msg("%s", error.text);
    return device;
}
