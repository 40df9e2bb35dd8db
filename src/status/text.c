/* text.c - strings of others made harmless, and latencies for a person */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "internal.h"

const char *const status_operation_names[STATUS_OPERATION_COUNT] = {
    [STATUS_READ] = "read",         [STATUS_WRITE] = "write",
    [STATUS_FLUSH] = "flush",       [STATUS_DISCARD] = "discard",
    [STATUS_PREFETCH] = "prefetch", [STATUS_WRITE_ZEROES] = "write_zeroes",
};

/* First and last of the characters that are not shown as they are: controls, invisible ones, those
 * that turn the direction (Unicode UAX #9), non-characters' neighbours. */
static const uint32_t hidden[][2] = {
    {0x80,    0x9f   },
    {0xad,    0xad   },
    {0x061c,  0x061c },
    {0x180e,  0x180e },
    {0x200b,  0x200f },
    {0x2028,  0x202e },
    {0x2060,  0x206f },
    {0xfeff,  0xfeff },
    {0xfff9,  0xffff },
    {0xe0000, 0xe0fff},
};

static bool is_hidden(uint32_t character)
{
    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
        if (character >= hidden[i][0] && character <= hidden[i][1])
            return true;
    return false;
}

/* One character of more than a byte (RFC 3629 §4). Returns its length, 0 when it is not valid. */
static size_t decode_utf8(const uint8_t *text, uint32_t *ret_character)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {
        {0xe0, 0xc0, 0x80   },
        {0xf0, 0xe0, 0x800  },
        {0xf8, 0xf0, 0x10000}
    };
    for (size_t more = 1; more <= ARRAY_SIZE(forms); more++) {
        if ((text[0] & forms[more - 1].mask) != forms[more - 1].lead)
            continue;
        uint32_t character = text[0] & (uint8_t)~forms[more - 1].mask;
        for (size_t i = 1; i <= more; i++) {
            if ((text[i] & 0xc0) != 0x80) /* also the NUL at the end */
                return 0;
            character = character << 6 | (text[i] & 0x3fu);
        }
        if (character < forms[more - 1].least || character > 0x10ffff ||
            (character >= 0xd800 && character <= 0xdfff))
            return 0;
        *ret_character = character;
        return more + 1;
    }
    return 0;
}

void text_write(struct buffer *to, const char *text, bool (*special)(struct buffer *to, char byte))
{
    const uint8_t *at = (const uint8_t *)text;
    char escape[16];
    while (*at) {
        uint32_t character = 0;
        size_t length = *at < 0x80 ? 1 : decode_utf8(at, &character);
        if (!length || *at < 0x20 || *at == 0x7f)
            snprintf(escape, sizeof escape, "\\x%02x", *at);
        else if (length > 1 && is_hidden(character))
            snprintf(escape, sizeof escape, "\\u{%" PRIx32 "}", character);
        else
            escape[0] = '\0';
        for (const char *byte = escape; *byte; byte++)
            if (!special || !special(to, *byte))
                buffer_put_u8(to, (uint8_t)*byte);
        if (!escape[0] && (length > 1 || !special || !special(to, (char)*at)))
            buffer_append(to, at, length);
        at += length ? length : 1;
    }
}

uint64_t latency_percentile_us(const uint64_t latency[STATUS_LATENCY_BUCKETS], unsigned percent)
{
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < STATUS_LATENCY_BUCKETS; i++)
        total += latency[i];
    for (unsigned i = 0; total && i < STATUS_LATENCY_BUCKETS; i++) {
        seen += latency[i];
        if (seen * 100 >= total * percent)
            return UINT64_C(1) << i;
    }
    return 0;
}
