/*
 * lun_return.h - a disk that is gone while its LUN is open, and comes back. The LUN and the
 * sessions on it stay; meanwhile it is not ready. See lun_observe() in internal.h.
 */
#pragma once
#include "internal.h"

/* struct block_device.changed; context: the LUN. */
void lun_device_changed(struct block_device *device, void *context);
/* Something is where its disk was. Takes `device` if it is the same disk. */
void lun_returned(struct served_lun *lun, const struct block_location *location,
                  const struct block_identity *identity, struct block_device **device);
