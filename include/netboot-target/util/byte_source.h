/* byte_source.h - bytes of a known size that can be read at any offset: memory, a file kept open.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Embedded in whatever holds the bytes (container_of). `size` and content stay the same as long as
 * a reader lives. */
struct byte_source {
    uint64_t size;
    /* Fills all of `to`; offset + length never passes `size`. 0 or -errno. */
    int (*read)(const struct byte_source *source, uint64_t offset, void *to, size_t length);
};
