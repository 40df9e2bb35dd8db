/* response.c - what is answered, and which part of it */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/http.h>

#define TEXT_BYTES_LIMIT 4096

void http_response_init(struct http_response *response)
{
    *response = (struct http_response){.status = 200, .content_type = "text/plain; charset=utf-8"};
}

void http_response_done(struct http_response *response)
{
    if (response->release)
        response->release(response->release_context);
    http_response_init(response);
}

void http_response_take(struct http_response *response, struct buffer *body,
                        const char *content_type)
{
    if (response->release)
        response->release(response->release_context);
    response->content_type = content_type;
    response->data = body->data;
    response->data_bytes = body->length;
    response->release = free;
    response->release_context = body->data;
    if (body->failed) {
        response->status = 500;
        response->data_bytes = 0;
    }
    *body = (struct buffer){0};
}

void http_response_text(struct http_response *response, unsigned status, const char *text)
{
    struct buffer body;
    buffer_init(&body, TEXT_BYTES_LIMIT);
    buffer_append(&body, text, strnlen(text, TEXT_BYTES_LIMIT - 1));
    buffer_append_string(&body, "\n");
    response->status = status;
    http_response_take(response, &body, "text/plain; charset=utf-8");
}

void http_response_refuse(struct http_response *response, const struct http_refusal *refusal)
{
    http_response_text(response, refusal->status, refusal->text);
    snprintf(response->allow, sizeof response->allow, "%s", refusal->allow);
}

static void select_range(struct http_response *response, const char *range)
{
    uint64_t offset, length;
    switch (http_range_parse(range, response->data_bytes, &offset, &length)) {
    case HTTP_RANGE_WHOLE:
        break;
    case HTTP_RANGE_PART:
        response->status = 206;
        response->offset_bytes = offset;
        response->length_bytes = length;
        snprintf(response->content_range, sizeof response->content_range,
                 "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, offset, offset + length - 1,
                 response->data_bytes);
        break;
    case HTTP_RANGE_UNSATISFIABLE:
        response->status = 416;
        response->offset_bytes = response->length_bytes = 0;
        snprintf(response->content_range, sizeof response->content_range, "bytes */%" PRIu64,
                 response->data_bytes);
        break;
    }
}

/* We send no validator, so no If-Range can hold (RFC 9110 §13.1.5). Range counts for GET only. */
void http_response_select(struct http_response *response, const struct http_request *request)
{
    response->offset_bytes = 0;
    response->length_bytes = response->data_bytes;
    response->content_range[0] = '\0';
    if (response->ranged && response->status == 200 && request->method == HTTP_GET &&
        request->range && !request->if_range)
        select_range(response, request->range);
}
