/* loop_memory.c - see loop_memory.h */
#include <ev.h>
#include <stdlib.h>

#include "loop_memory.h"

#include <netboot-target/util/log.h>

#define RESERVE_BYTES (256u << 10) /* libev's tables for thousands of descriptors and timers */

static void *reserve; /* libev's allocator has no context */

static void *allocate(void *block, long size)
{
    if (size <= 0) {
        free(block);
        return NULL;
    }
    void *grown = realloc(block, (size_t)size);
    if (grown || !reserve)
        return grown;
    free(reserve);
    reserve = NULL;
    grown = realloc(block, (size_t)size);
    log_error("out of memory: the event loop took its reserve");
    return grown;
}

void loop_memory_reserve(void)
{
    if (!reserve)
        reserve = malloc(RESERVE_BYTES);
    ev_set_allocator(allocate);
}
