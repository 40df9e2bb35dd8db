/* path.c - request paths: decoded once, segment by segment, then matched exactly */
#include <errno.h>
#include <string.h>

#include <netboot-target/http.h>

#include "internal.h"

/* A decoded segment that could mean something else to whoever looks it up. */
static bool is_treacherous(const char *segment, size_t length)
{
    if (!strcmp(segment, ".") || !strcmp(segment, ".."))
        return true;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)segment[i];
        if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\')
            return true;
    }
    return false;
}

int path_decode(struct http_request *request, unsigned *ret_segments)
{
    const char *at = request->target;
    char *to = request->path, *end = request->path + sizeof request->path;
    unsigned segments = 0;
    while (*at == '/') {
        size_t length = strcspn(++at, "/?");
        ssize_t decoded = percent_decode(at, length, false, to, (size_t)(end - to));
        if (decoded < 0 || is_treacherous(to, (size_t)decoded))
            return -EBADMSG;
        if (!decoded && (segments || at[length] == '/'))
            return -ENOENT;
        to += decoded + 1;
        segments++;
        at += length;
    }
    if (!segments || (*at && *at != '?'))
        return -EBADMSG;
    *ret_segments = segments;
    return 0;
}

static bool segment_matches(struct http_request *request, const char *segment, const char *pattern,
                            size_t length)
{
    if (length == 1 && *pattern == '*' && request->capture_count < HTTP_CAPTURE_LIMIT) {
        request->captures[request->capture_count++] = segment;
        return *segment;
    }
    return strlen(segment) == length && !memcmp(segment, pattern, length);
}

bool path_matches(struct http_request *request, unsigned segments, const char *pattern,
                  unsigned *ret_rest)
{
    const char *segment = request->path;
    request->capture_count = 0;
    *ret_rest = 0;
    for (; *pattern == '/'; segments--) {
        size_t length = strcspn(++pattern, "/");
        if (!segments)
            return false;
        if (length == 2 && !memcmp(pattern, "**", 2) &&
            request->capture_count < HTTP_CAPTURE_LIMIT) {
            request->captures[request->capture_count++] = segment;
            *ret_rest = segments;
            return *segment;
        }
        if (!segment_matches(request, segment, pattern, length))
            return false;
        segment += strlen(segment) + 1;
        pattern += length;
    }
    return !segments;
}

void path_join_rest(struct http_request *request, unsigned rest)
{
    if (!rest)
        return;
    char *at = request->path + (request->captures[request->capture_count - 1] - request->path);
    for (; rest > 1; rest--) {
        at += strlen(at);
        *at++ = '/';
    }
}
