/* decode.c - numbers, percent-encoding (RFC 3986 §2.1) and queries, each decoded exactly once */
#include <errno.h>
#include <string.h>

#include <netboot-target/http.h>

#include "internal.h"

int parse_decimal(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    int digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9'; digits++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[digits] - '0'), &value))
            return -1;
    if (!digits)
        return -1;
    *ret_value = value;
    return digits;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool hex_decode(const char *text, uint8_t *to, size_t length)
{
    if (strlen(text) != 2 * length)
        return false;
    for (size_t i = 0; i < length; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* One character, escaped or not. Returns the bytes it took, 0 for a bad one. */
static size_t decode_one(const char *from, size_t left, bool plus_is_space, char *ret_byte)
{
    char byte = *from;
    size_t taken = 1;
    if (byte == '%') {
        int high = left >= 3 ? hex_value(from[1]) : -1;
        int low = high >= 0 ? hex_value(from[2]) : -1;
        if (low < 0)
            return 0;
        byte = (char)(high << 4 | low);
        taken = 3;
    } else if (byte == '+' && plus_is_space) {
        byte = ' ';
    }
    *ret_byte = byte;
    return byte ? taken : 0;
}

ssize_t percent_decode(const char *from, size_t length, bool plus_is_space, char *to, size_t size)
{
    size_t used = 0;
    while (length) {
        char byte;
        size_t taken = decode_one(from, length, plus_is_space, &byte);
        if (!taken)
            return -EBADMSG;
        if (used + 1 >= size)
            return -ENOSPC;
        to[used++] = byte;
        from += taken;
        length -= taken;
    }
    if (!size)
        return -ENOSPC;
    to[used] = '\0';
    return (ssize_t)used;
}

int http_query_value(const char *query, const char *name, char *to, size_t size)
{
    size_t name_length = strlen(name);
    for (const char *at = query; *at;) {
        size_t length = strcspn(at, "&");
        if (length >= name_length && !memcmp(at, name, name_length) &&
            (length == name_length || at[name_length] == '=')) {
            const char *value = at + name_length + (length > name_length);
            size_t value_length = length > name_length ? length - name_length - 1 : 0;
            ssize_t result = percent_decode(value, value_length, true, to, size);
            return result < 0 ? (int)result : 0;
        }
        at += length + (at[length] == '&');
    }
    return -ENOENT;
}
