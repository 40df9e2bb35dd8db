/*
 * buffer.h - a bounded writer. It never grows past `limit`; a write that does not fit sets `failed`
 * and writes nothing, so that a builder checks once, at its end.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
    size_t limit;
    bool owns_data; /* grown with realloc; false: a fixed area of the caller's */
    bool failed;
};

/* A buffer that grows up to `limit` bytes. */
void buffer_init(struct buffer *buffer, size_t limit);
/* A buffer over the caller's memory; it never allocates. */
void buffer_init_fixed(struct buffer *buffer, void *data, size_t size);
void buffer_done(struct buffer *buffer);
/* Empties it and clears `failed`; keeps the memory. */
void buffer_clear(struct buffer *buffer);

/* Appends `length` bytes and returns where they begin, to be filled; NULL when they do not fit. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t length);
void buffer_append(struct buffer *buffer, const void *data, size_t length);
void buffer_append_string(struct buffer *buffer, const char *string); /* without its NUL */
void buffer_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* without a NUL */
void buffer_put_u8(struct buffer *buffer, uint8_t value);
void buffer_put_be16(struct buffer *buffer, uint16_t value);
void buffer_put_be32(struct buffer *buffer, uint32_t value);
void buffer_put_be64(struct buffer *buffer, uint64_t value);
void buffer_put_zeros(struct buffer *buffer, size_t count);
/* The content as a C string: a NUL stands behind it but does not count. NULL when failed. */
const char *buffer_string(struct buffer *buffer);
