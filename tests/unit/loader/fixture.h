/* fixture.h - what the tests of loader/ begin with, and images that they make */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#define TEXT(string) (string), strlen(string)

static inline void assert_text(const char *text, const char *expected)
{
    if (expected)
        assert_string_equal(text, expected);
    else
        assert_null(text);
}

/* A PE program with sections of these names and contents; returns its length. */
struct made_section {
    const char *name, *content;
};

static inline size_t make_program(uint8_t *to, size_t size, uint16_t machine,
                                  const struct made_section *sections, unsigned count)
{
    enum { PE = 0x80, TABLE = PE + 24 + 112, DATA = 0x400 };
    size_t offset = DATA;
    memset(to, 0, size);
    memcpy(to, "MZ", 2);
    store_le32(to + 0x3c, PE);
    memcpy(to + PE, "PE\0\0", 4);
    to[PE + 4] = (uint8_t)machine;
    to[PE + 5] = (uint8_t)(machine >> 8);
    to[PE + 6] = (uint8_t)count;
    to[PE + 20] = 112;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *header = to + TABLE + 40 * i;
        size_t length = strlen(sections[i].content), raw = round_up(length, (size_t)512);
        memcpy(header, sections[i].name, min_of(strlen(sections[i].name), (size_t)8));
        store_le32(header + 8, (uint32_t)length);
        store_le32(header + 16, (uint32_t)raw);
        store_le32(header + 20, (uint32_t)offset);
        memcpy(to + offset, sections[i].content, length);
        offset += raw;
    }
    return offset;
}
