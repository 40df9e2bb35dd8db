/* buffer.c - see buffer.h */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/bytes.h>

#define FIRST_CAPACITY 256

void buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit, .owns_data = true};
}

void buffer_init_fixed(struct buffer *buffer, void *data, size_t size)
{
    *buffer = (struct buffer){.data = data, .capacity = size, .limit = size};
}

void buffer_done(struct buffer *buffer)
{
    if (buffer->owns_data)
        free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    buffer->failed = false;
}

static bool make_room(struct buffer *buffer, size_t length)
{
    if (buffer->failed || length > buffer->limit - buffer->length)
        return false;
    if (length <= buffer->capacity - buffer->length)
        return true;
    if (!buffer->owns_data)
        return false;
    size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    while (capacity - buffer->length < length)
        capacity *= 2;
    if (capacity > buffer->limit)
        capacity = buffer->limit;
    uint8_t *grown = realloc(buffer->data, capacity);
    if (!grown)
        return false;
    buffer->data = grown;
    buffer->capacity = capacity;
    return true;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t length)
{
    if (!make_room(buffer, length)) {
        buffer->failed = true;
        return NULL;
    }
    uint8_t *place = buffer->data + buffer->length;
    buffer->length += length;
    return place;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    uint8_t *place = length ? buffer_reserve(buffer, length) : NULL;
    if (place)
        memcpy(place, data, length);
}

void buffer_append_string(struct buffer *buffer, const char *string)
{
    buffer_append(buffer, string, strlen(string));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
        return;
    }
    buffer_append(buffer, text, (size_t)length);
    free(text);
}

void buffer_put_u8(struct buffer *buffer, uint8_t value)
{
    buffer_append(buffer, &value, 1);
}

void buffer_put_be16(struct buffer *buffer, uint16_t value)
{
    uint8_t bytes[2];
    store_be16(bytes, value);
    buffer_append(buffer, bytes, sizeof bytes);
}

void buffer_put_be32(struct buffer *buffer, uint32_t value)
{
    uint8_t bytes[4];
    store_be32(bytes, value);
    buffer_append(buffer, bytes, sizeof bytes);
}

void buffer_put_be64(struct buffer *buffer, uint64_t value)
{
    uint8_t bytes[8];
    store_be64(bytes, value);
    buffer_append(buffer, bytes, sizeof bytes);
}

void buffer_put_zeros(struct buffer *buffer, size_t count)
{
    uint8_t *place = count ? buffer_reserve(buffer, count) : NULL;
    if (place)
        memset(place, 0, count);
}

const char *buffer_string(struct buffer *buffer)
{
    if (!buffer_reserve(buffer, 1))
        return NULL;
    buffer->length--;
    buffer->data[buffer->length] = '\0';
    return (const char *)buffer->data;
}
