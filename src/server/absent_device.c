/* absent_device.c - see absent_device.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "absent_device.h"

#include <netboot-target/util/array.h>

struct absent_device {
    struct block_device device;
    struct ev_loop *loop;
    struct block_request *refused;
    ev_timer answer; /* `done` never runs inside block_submit() */
    char *path;
};

static struct absent_device *absent_of(struct block_device *device)
{
    return container_of(device, struct absent_device, device);
}

static void absent_close(struct block_device *device)
{
    struct absent_device *absent = absent_of(device);
    ev_timer_stop(absent->loop, &absent->answer);
    free(absent->path);
    free(absent);
}

static void on_answer(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct absent_device *absent = watcher->data;
    struct block_device *device = &absent->device;
    while (absent->refused) {
        struct block_request *request = absent->refused;
        DL_DELETE2(absent->refused, request, previous, next);
        device->counters.in_flight--;
        request->result = -ENODEV;
        request->done(request);
    }
    if (device->closing)
        absent_close(device);
}

static void absent_submit(struct block_device *device, struct block_request *request)
{
    struct absent_device *absent = absent_of(device);
    request->device = device;
    request->error_offset_bytes = request->offset_bytes;
    device->counters.operations[request->operation]++;
    device->counters.errors[request->operation]++;
    device->counters.in_flight++;
    DL_APPEND2(absent->refused, request, previous, next);
    ev_timer_start(absent->loop, &absent->answer);
}

static enum block_residency absent_residency(struct block_device *device, uint64_t offset_bytes,
                                             uint64_t length_bytes)
{
    (void)device;
    (void)offset_bytes;
    (void)length_bytes;
    return BLOCK_ABSENT;
}

static ssize_t absent_read_cached(struct block_device *device, void *buffer, uint64_t offset_bytes,
                                  size_t length_bytes)
{
    (void)device;
    (void)buffer;
    (void)offset_bytes;
    (void)length_bytes;
    return -ENODEV;
}

static ssize_t absent_send(struct block_device *device, int socket, uint64_t offset_bytes,
                           size_t length_bytes)
{
    (void)device;
    (void)socket;
    (void)offset_bytes;
    (void)length_bytes;
    return -ENODEV;
}

static const struct block_device_operations operations = {
    .name = "absent",
    .submit = absent_submit,
    .residency = absent_residency,
    .read_cached = absent_read_cached,
    .send = absent_send,
    .close = absent_close,
};

struct block_device *absent_device_new(struct ev_loop *loop, const struct block_device *gone)
{
    struct absent_device *absent = calloc(1, sizeof *absent);
    char *path = absent ? strdup(gone->path) : NULL;
    if (!path) {
        free(absent);
        return NULL;
    }
    absent->loop = loop;
    absent->path = path;
    absent->device = (struct block_device){
        .operations = &operations,
        .geometry = gone->geometry,
        .health = BLOCK_GONE,
        .path = path,
        .write_mode = gone->write_mode, /* a constant */
    };
    ev_timer_init(&absent->answer, on_answer, 0, 0);
    absent->answer.data = absent;
    return &absent->device;
}
