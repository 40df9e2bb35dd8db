/*
 * pool.h - page-aligned buffers of power-of-two sizes, 4 KiB to 1 MiB, kept on free lists so that
 * the hot path neither mallocs nor faults pages in. Bounded: what is taken and what is kept.
 * One thread (the loop) takes and gives; a worker may fill a buffer in between.
 */
#pragma once
#include <stddef.h>

#define POOL_ALIGNMENT    4096u
#define POOL_BUFFER_LIMIT (1u << 20)

struct pool;

/* At most `limit_bytes` are out at once; at most `keep_bytes` stay cached when given back. */
struct pool *pool_new(size_t limit_bytes, size_t keep_bytes);
void pool_free(struct pool *pool); /* every buffer must have been given back */

/* NULL: `bytes` is 0 or above POOL_BUFFER_LIMIT, the limit is reached, or memory is exhausted. */
void *pool_take(struct pool *pool, size_t bytes);
/* `bytes` as asked for; NULL buffer is accepted. */
void pool_give(struct pool *pool, void *buffer, size_t bytes);
/* What a buffer for `bytes` really costs: the power of two above it. */
size_t pool_cost(size_t bytes);
size_t pool_taken_bytes(const struct pool *pool);
size_t pool_left_bytes(const struct pool *pool); /* before the limit is reached */
