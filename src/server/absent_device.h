/* absent_device.h - stands in for a disk that has vanished, so that its LUN and the sessions on it
 * stay: every request fails with -ENODEV. */
#pragma once
#include <ev.h>

#include <netboot-target/block.h>

/* With the geometry, path and write mode of `gone`, which may be closed then. NULL: out of memory.
 */
struct block_device *absent_device_new(struct ev_loop *loop, const struct block_device *gone);
