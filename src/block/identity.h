/*
 * identity.h - the fixed function from what is on a disk to 128 bits; private to this room.
 *
 * The identity is the first 16 bytes of SHA-256 over an ASCII line without end:
 *
 *   KIND SP NAME              a whole disk or file
 *   KIND SP NAME SP OFFSET    a partition or range, which begins OFFSET bytes (decimal) into it
 *
 * KIND is "gpt" with the disk GUID in lower case, "dos" with the eight lower-case hexadecimal
 * digits of the MBR disk signature, or "serial" with the text the hardware gives. It must never
 * change: initiators know their disks by it.
 */
#pragma once
#include "sysfs.h"

#include <netboot-target/block.h>

int identity_read(const struct system_root *root, const struct block_location *location,
                  struct block_identity *ret_identity, struct error *error);
