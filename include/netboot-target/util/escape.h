/* escape.h - text that came from the wire, made safe to print: one line, 7-bit, no control bytes.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Writes at most `size` bytes with a NUL. Bytes outside 0x21..0x7e, `"` and `\` become \xNN;
 * "…" marks a cut. Returns `to`. */
char *escape_text(char *to, size_t size, const void *from, size_t length);

/* The same into a buffer of the caller's frame: log_info("name=%s", escaped(name)). */
struct escaped {
    char text[260];
};
#define escaped(string) (escape_string(&(struct escaped){{0}}, (string)))
const char *escape_string(struct escaped *to, const char *string); /* NULL prints as "-" */
