/* request.c - read requests, RFC 1350 §5 and their options, RFC 2347-2349 and 7440 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <netboot-target/tftp.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "codec.h"

/* The next NUL-terminated string of the packet; NULL when its NUL is missing. */
static const char *next_string(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *nul = memchr(*at, 0, (size_t)(end - *at));
    if (!nul)
        return NULL;
    const char *string = (const char *)*at;
    *at = nul + 1;
    return string;
}

/* Digits only: no sign, no blank, no overflow. */
static bool parse_number(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    if (!digits || text[digits] || digits > 18)
        return false;
    for (; *text; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    *ret_value = value;
    return true;
}

static void take_blksize(struct tftp_request *request, uint64_t value)
{
    request->blksize_bytes = (uint32_t)value;
}

static void take_timeout(struct tftp_request *request, uint64_t value)
{
    request->timeout_s = (uint32_t)value;
}

static void take_tsize(struct tftp_request *request, uint64_t value)
{
    (void)value; /* 0 in a read request; what counts is that it was asked for (RFC 2349) */
    request->wants_tsize = true;
}

static void take_windowsize(struct tftp_request *request, uint64_t value)
{
    request->windowsize_blocks = (uint32_t)value;
}

static const struct option_row {
    const char *name;
    uint64_t minimum;
    uint64_t maximum;
    void (*take)(struct tftp_request *request, uint64_t value);
} options[] = {
    {"blksize",    8, TFTP_BLKSIZE_LIMIT, take_blksize   }, /* RFC 2348 */
    {"timeout",    1, 255,                take_timeout   }, /* RFC 2349 */
    {"tsize",      0, UINT64_MAX,         take_tsize     }, /* RFC 2349 */
    {"windowsize", 1, 65535,              take_windowsize}, /* RFC 7440 */
};

static int refuse(struct tftp_refusal *refusal, enum tftp_error_code code, const char *text)
{
    *refusal = (struct tftp_refusal){code, text};
    return -EPROTO;
}

/* Every option at most once (RFC 2347); unknown ones are passed over. */
static int parse_options(const uint8_t *at, const uint8_t *end, struct tftp_request *request,
                         struct tftp_refusal *refusal)
{
    unsigned seen = 0;
    while (at < end) {
        const char *name = next_string(&at, end);
        const char *text = name ? next_string(&at, end) : NULL;
        if (!text)
            return refuse(refusal, TFTP_ERROR_OPTION, "Option without an end");
        for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
            const struct option_row *row = &options[i];
            uint64_t value;
            if (strcasecmp(name, row->name) != 0)
                continue;
            if (seen & 1u << i)
                return refuse(refusal, TFTP_ERROR_OPTION, "Option given twice");
            seen |= 1u << i;
            if (parse_number(text, &value) && value >= row->minimum && value <= row->maximum)
                row->take(request, value);
        }
    }
    return 0;
}

/* A name is what a client may ask of a boot server: no way up, no way to other notations. */
static bool name_is_safe(const char *name)
{
    for (const char *c = name; *c; c++) {
        if ((uint8_t)*c < 0x20 || *c == 0x7f || *c == '\\')
            return false;
    }
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        if (length == 2 && memcmp(part, "..", 2) == 0)
            return false;
    }
    return true;
}

static int parse_name(const char *name, struct tftp_request *request, struct tftp_refusal *refusal)
{
    if (strlen(name) > TFTP_NAME_BYTES_LIMIT)
        return refuse(refusal, TFTP_ERROR_ACCESS, "File name too long");
    if (!name_is_safe(name))
        return refuse(refusal, TFTP_ERROR_ACCESS, "File name not allowed");
    name += strspn(name, "/"); /* clients write them from the root; names have no other */
    if (!*name)
        return refuse(refusal, TFTP_ERROR_NOT_FOUND, "No file name");
    snprintf(request->name, sizeof request->name, "%s", name);
    return 0;
}

static int parse_read_request(const uint8_t *packet, size_t length, struct tftp_request *request,
                              struct tftp_refusal *refusal)
{
    const uint8_t *at = packet + 2, *end = packet + length;
    const char *name = next_string(&at, end);
    const char *mode = name ? next_string(&at, end) : NULL;
    if (!mode)
        return refuse(refusal, TFTP_ERROR_ILLEGAL, "Request without an end");
    int r = parse_name(name, request, refusal);
    if (r < 0)
        return r;
    if (strcasecmp(mode, "octet") != 0)
        return refuse(refusal, TFTP_ERROR_ILLEGAL, "Only octet mode is served");
    return parse_options(at, end, request, refusal);
}

int tftp_request_parse(const uint8_t *packet, size_t length, struct tftp_request *ret_request,
                       struct tftp_refusal *ret_refusal)
{
    if (length < 4 || length > TFTP_REQUEST_BYTES_LIMIT)
        return -EBADMSG;
    switch (load_be16(packet)) {
    case TFTP_RRQ: {
        struct tftp_request request = {0};
        int r = parse_read_request(packet, length, &request, ret_refusal);
        if (r == 0)
            *ret_request = request;
        return r;
    }
    case TFTP_WRQ:
        return refuse(ret_refusal, TFTP_ERROR_ACCESS, "Nothing can be written here");
    default:
        return -EBADMSG;
    }
}

void tftp_error_write(struct buffer *out, enum tftp_error_code code, const char *text)
{
    buffer_put_be16(out, TFTP_ERROR);
    buffer_put_be16(out, (uint16_t)code);
    buffer_append(out, text, strnlen(text, TFTP_TEXT_BYTES_LIMIT));
    buffer_put_u8(out, 0);
}
