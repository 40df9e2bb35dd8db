/* internal.h - what the files of http/ share. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Digits only: no sign, no blank, no overflow. -1 when `text` does not begin with a digit or the
 * number is too large, else how many digits were read. */
int parse_decimal(const char *text, uint64_t *ret_value);

/* Exactly `length` bytes of hexadecimal text. False: anything else; `to` may be written then. */
bool hex_decode(const char *text, uint8_t *to, size_t length);

/* Percent-decodes `length` bytes once, with a NUL behind; `plus_is_space` for queries and forms.
 * Returns the decoded length, or -EBADMSG (bad escape, NUL), -ENOSPC. */
ssize_t percent_decode(const char *from, size_t length, bool plus_is_space, char *to, size_t size);

/* Splits the path of `request->target` into decoded segments, each with a NUL, in request->path.
 * Only the root has an empty one. -EBADMSG: a bad escape, a control byte, an encoded slash, "." or
 * ".."; -ENOENT: an empty segment. */
struct http_request;
int path_decode(struct http_request *request, unsigned *ret_segments);

/* Compares decoded segments with a pattern and fills the captures; `ret_rest`: how many segments a
 * "**" stands for, to be made one string again once the route is chosen. */
bool path_matches(struct http_request *request, unsigned segments, const char *pattern,
                  unsigned *ret_rest);
void path_join_rest(struct http_request *request, unsigned rest);
