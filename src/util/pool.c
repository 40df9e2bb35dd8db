/* pool.c - see pool.h */
#include <stdlib.h>

#include <netboot-target/util/pool.h>

#define SMALLEST_SHIFT 12u
#define LARGEST_SHIFT  20u
#define CLASSES        (LARGEST_SHIFT - SMALLEST_SHIFT + 1)

/* A free buffer holds the link to the next one in its first bytes. */
struct free_buffer {
    struct free_buffer *next;
};

struct pool {
    size_t limit_bytes;
    size_t keep_bytes;
    size_t taken_bytes;
    size_t kept_bytes;
    struct free_buffer *free[CLASSES];
};

static unsigned size_class(size_t bytes)
{
    unsigned class = 0;
    while (((size_t)1 << (SMALLEST_SHIFT + class)) < bytes)
        class ++;
    return class;
}

size_t pool_cost(size_t bytes)
{
    return (size_t)1 << (SMALLEST_SHIFT + size_class(bytes));
}

struct pool *pool_new(size_t limit_bytes, size_t keep_bytes)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->limit_bytes = limit_bytes;
    pool->keep_bytes = keep_bytes;
    return pool;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    for (unsigned class = 0; class < CLASSES; class ++) {
        while (pool->free[class]) {
            struct free_buffer *buffer = pool->free[class];
            pool->free[class] = buffer->next;
            free(buffer);
        }
    }
    free(pool);
}

void *pool_take(struct pool *pool, size_t bytes)
{
    if (!bytes || bytes > POOL_BUFFER_LIMIT)
        return NULL;
    unsigned class = size_class(bytes);
    size_t size = (size_t)1 << (SMALLEST_SHIFT + class);
    if (size > pool->limit_bytes - pool->taken_bytes)
        return NULL;
    struct free_buffer *buffer = pool->free[class];
    if (buffer) {
        pool->free[class] = buffer->next;
        pool->kept_bytes -= size;
    } else {
        buffer = aligned_alloc(POOL_ALIGNMENT, size);
        if (!buffer)
            return NULL;
    }
    pool->taken_bytes += size;
    return buffer;
}

void pool_give(struct pool *pool, void *buffer, size_t bytes)
{
    if (!buffer)
        return;
    unsigned class = size_class(bytes);
    size_t size = (size_t)1 << (SMALLEST_SHIFT + class);
    pool->taken_bytes -= size;
    if (pool->kept_bytes + size > pool->keep_bytes) {
        free(buffer);
        return;
    }
    struct free_buffer *kept = buffer;
    kept->next = pool->free[class];
    pool->free[class] = kept;
    pool->kept_bytes += size;
}

size_t pool_taken_bytes(const struct pool *pool)
{
    return pool->taken_bytes;
}

size_t pool_left_bytes(const struct pool *pool)
{
    return pool->limit_bytes - pool->taken_bytes;
}
