/* range.c - one byte range, RFC 9110 §14.1.2. Several would let a request of some bytes ask for
 * gigabytes (CVE-2011-3192); every sum is checked (CVE-2017-7529). */
#include <string.h>
#include <strings.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

#include "internal.h"

/* "-500": the last 500 bytes. */
static enum http_range_verdict suffix_range(const char *text, uint64_t size, uint64_t *ret_offset,
                                            uint64_t *ret_length)
{
    uint64_t length;
    int digits = parse_decimal(text, &length);
    if (digits < 0 || text[digits])
        return HTTP_RANGE_WHOLE;
    if (!length || !size)
        return HTTP_RANGE_UNSATISFIABLE;
    *ret_length = min_of(length, size);
    *ret_offset = size - *ret_length;
    return HTTP_RANGE_PART;
}

/* Another unit, a list or nonsense is passed over, as if the field had not come. */
enum http_range_verdict http_range_parse(const char *field, uint64_t size,
                                         uint64_t *ret_offset_bytes, uint64_t *ret_length_bytes)
{
    static const char unit[] = "bytes=";
    uint64_t first, last = UINT64_MAX;
    if (strncasecmp(field, unit, sizeof unit - 1) != 0)
        return HTTP_RANGE_WHOLE;
    const char *text = field + sizeof unit - 1;
    if (*text == '-')
        return suffix_range(text + 1, size, ret_offset_bytes, ret_length_bytes);
    int digits = parse_decimal(text, &first);
    if (digits < 0 || text[digits] != '-')
        return HTTP_RANGE_WHOLE;
    text += digits + 1;
    if (*text) {
        digits = parse_decimal(text, &last);
        if (digits < 0 || text[digits] || last < first)
            return HTTP_RANGE_WHOLE;
    }
    if (first >= size)
        return HTTP_RANGE_UNSATISFIABLE;
    *ret_offset_bytes = first;
    *ret_length_bytes = min_of(last, size - 1) - first + 1;
    return HTTP_RANGE_PART;
}
