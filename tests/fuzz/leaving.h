/*
 * leaving.h - for bytes that go to a peer. Under MemorySanitizer one that nobody has written ends
 * the test: it would show what was in that memory before.
 */
#ifndef NBT_FUZZ_LEAVING_H
#define NBT_FUZZ_LEAVING_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define NBT_CHECK_LEAVING(bytes, length) __msan_check_mem_is_initialized((bytes), (length))
#define NBT_FORGET(bytes, length)        __msan_poison((bytes), (length))
#endif
#endif

static inline void check_leaving(const void *bytes, size_t length)
{
#ifdef NBT_CHECK_LEAVING
    NBT_CHECK_LEAVING(bytes, length);
#else
    (void)bytes;
    (void)length;
#endif
}

/* As if this memory had just been allocated. */
static inline void forget(void *bytes, size_t length)
{
#ifdef NBT_FORGET
    NBT_FORGET(bytes, length);
#else
    (void)bytes;
    (void)length;
#endif
}

#endif
