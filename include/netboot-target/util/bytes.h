/*
 * bytes.h - the only place that knows byte order. Codecs load and store wire integers with these;
 * everywhere else integers are host values.
 */
#pragma once
#include <stdint.h>

static inline uint16_t load_be16(const void *from)
{
    const uint8_t *p = from;
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be24(const void *from)
{
    const uint8_t *p = from;
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t load_be32(const void *from)
{
    const uint8_t *p = from;
    return (uint32_t)p[0] << 24 | load_be24(p + 1);
}

static inline uint64_t load_be64(const void *from)
{
    const uint8_t *p = from;
    return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static inline uint16_t load_le16(const void *from)
{
    const uint8_t *p = from;
    return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t load_le32(const void *from)
{
    const uint8_t *p = from;
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline void store_be16(void *to, uint16_t value)
{
    uint8_t *p = to;
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void store_be24(void *to, uint32_t value)
{
    uint8_t *p = to;
    p[0] = (uint8_t)(value >> 16);
    store_be16(p + 1, (uint16_t)value);
}

static inline void store_be32(void *to, uint32_t value)
{
    uint8_t *p = to;
    store_be16(p, (uint16_t)(value >> 16));
    store_be16(p + 2, (uint16_t)value);
}

static inline void store_be64(void *to, uint64_t value)
{
    uint8_t *p = to;
    store_be32(p, (uint32_t)(value >> 32));
    store_be32(p + 4, (uint32_t)value);
}

static inline void store_le32(void *to, uint32_t value)
{
    uint8_t *p = to;
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}
