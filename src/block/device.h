/*
 * device.h - what every block device has in common, private to this room: the checks a request
 * passes before it is carried out, the way it ends, and the health of its device.
 */
#pragma once
#include <netboot-target/block.h>

static inline uint64_t block_device_bytes(const struct block_device *device)
{
    return device->geometry.blocks * device->geometry.logical_block_bytes;
}

static inline bool block_operation_modifies(enum block_operation operation)
{
    return operation == BLOCK_WRITE || operation == BLOCK_DISCARD ||
           operation == BLOCK_WRITE_ZEROES;
}

/* Takes the request in: it counts as in flight from now on and must end in
 * block_request_complete(). Returns 0, or the -errno it has to end with, later, not now. */
int block_request_admit(struct block_device *device, struct block_request *request);

/* Ends the request: counts, latches after a failed flush, calls `done`, and closes the device if
 * that was put off until now. Neither request nor device may be touched afterwards. */
void block_request_complete(struct block_request *request, int result);

/* Between the two the device is not closed; counts as one in flight. */
void block_device_hold(struct block_device *device);
void block_device_release(struct block_device *device);

/* Writes and flushes fail from now on. */
void block_device_latch(struct block_device *device, const char *what, int result);
void block_device_resized(struct block_device *device, uint64_t blocks);
void block_device_lost(struct block_device *device);

/* 0, or -ENXIO where the range does not lie within the device. */
int block_device_check_range(const struct block_device *device, uint64_t offset_bytes,
                             uint64_t length_bytes);
