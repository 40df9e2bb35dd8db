/* request.c - what comes before a route is called: fields, checks, the route itself */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

#include "internal.h"

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET",  HTTP_GET },
    {"HEAD", HTTP_HEAD},
    {"POST", HTTP_POST}
};

/* Every one of them means something else when it comes twice (RFC 9112 §3.2, §6.3). */
static const struct {
    const char *name;
    size_t offset;
} fields[] = {
    {"Host",              offsetof(struct http_request, host)             },
    {"Range",             offsetof(struct http_request, range)            },
    {"If-Range",          offsetof(struct http_request, if_range)         },
    {"Authorization",     offsetof(struct http_request, authorization)    },
    {"X-Netboot-Target",  offsetof(struct http_request, action)           },
    {"Content-Length",    offsetof(struct http_request, content_length)   },
    {"Transfer-Encoding", offsetof(struct http_request, transfer_encoding)},
};

void http_request_begin(struct http_request *request, enum http_listener listener,
                        const char *target)
{
    *request = (struct http_request){.listener = listener, .method = HTTP_METHOD_OTHER};
    size_t length = strnlen(target, HTTP_TARGET_BYTES_LIMIT + 1);
    request->target_too_long = length > HTTP_TARGET_BYTES_LIMIT;
    memcpy(request->target, target, min_of(length, (size_t)HTTP_TARGET_BYTES_LIMIT));
    const char *mark = strchr(request->target, '?');
    request->query = mark ? mark + 1 : "";
}

void http_request_set_method(struct http_request *request, const char *method)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (!strcmp(method, methods[i].name)) /* case matters, RFC 9110 §9.1 */
            request->method = methods[i].method;
}

void http_request_add_field(struct http_request *request, const char *name, const char *value)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (strcasecmp(name, fields[i].name) != 0)
            continue;
        const char **field = (const char **)((char *)request + fields[i].offset);
        if (*field)
            request->repeated = fields[i].name;
        *field = value;
    }
}

static int refuse(struct http_refusal *refusal, unsigned status, const char *text)
{
    *refusal = (struct http_refusal){.status = status, .text = text};
    return -EPROTO;
}

static int check_form(const struct http_request *request, struct http_refusal *refusal)
{
    if (request->target_too_long)
        return refuse(refusal, 414, "The address is too long.");
    if (request->repeated)
        return refuse(refusal, 400, "A header field came twice that may come once.");
    if (request->transfer_encoding)
        return refuse(refusal, 411, "Send a Content-Length instead of a Transfer-Encoding.");
    return 0;
}

static int check_host(const struct http_request *request, const struct http_hosts *hosts,
                      struct http_refusal *refusal)
{
    if (request->listener != HTTP_LISTENER_STATUS)
        return 0;
    if (!request->host)
        return refuse(refusal, 400, "The Host field is missing.");
    if (!http_host_is_known(request->host, hosts))
        return refuse(refusal, 421,
                      "This host name is not known here. Use the IP address, or list the name in "
                      "status.hosts of the configuration.");
    return 0;
}

static bool route_takes(const struct http_route *route, enum http_method method)
{
    return route->method == method || (route->method == HTTP_GET && method == HTTP_HEAD);
}

static void refuse_method(const bool allowed[HTTP_METHOD_OTHER], struct http_refusal *refusal)
{
    if (!allowed[HTTP_GET] && !allowed[HTTP_POST]) {
        refuse(refusal, 404, "There is nothing at this address.");
        return;
    }
    refuse(refusal, 405, "This address does not take this method.");
    snprintf(refusal->allow, sizeof refusal->allow, "%s%s", allowed[HTTP_GET] ? "GET, HEAD" : "",
             !allowed[HTTP_POST] ? ""
             : allowed[HTTP_GET] ? ", POST"
                                 : "POST");
}

/* NULL: refused. */
static const struct http_route *find_route(struct http_request *request,
                                           const struct http_routes *routes, void **ret_context,
                                           struct http_refusal *refusal)
{
    unsigned segments, rest;
    bool allowed[HTTP_METHOD_OTHER] = {false};
    int result = path_decode(request, &segments);
    if (result == -EBADMSG) {
        refuse(refusal, 400, "The address is not well formed.");
        return NULL;
    }
    for (; result == 0 && routes; routes = routes->next) {
        for (const struct http_route *row = routes->rows; row < routes->rows + routes->count;
             row++) {
            if (!(row->listeners & request->listener) ||
                !path_matches(request, segments, row->pattern, &rest))
                continue;
            if (route_takes(row, request->method)) {
                path_join_rest(request, rest);
                *ret_context = routes->context;
                return row;
            }
            allowed[row->method] = true;
        }
    }
    refuse_method(allowed, refusal);
    return NULL;
}

/* A browser sends a field of its own only after asking with OPTIONS, which is answered 405. */
static int check_action(const struct http_request *request, struct http_refusal *refusal)
{
    if (request->listener != HTTP_LISTENER_STATUS || request->method != HTTP_POST)
        return 0;
    if (!request->action || strcmp(request->action, "1") != 0)
        return refuse(refusal, 403, "An action needs the header field \"X-Netboot-Target: 1\".");
    return 0;
}

static int check_body(const struct http_request *request, const struct http_route *route,
                      uint64_t body_bytes_limit, struct http_refusal *refusal)
{
    uint64_t length = 0;
    if (request->content_length) {
        int digits = parse_decimal(request->content_length, &length);
        if (digits < 0 || request->content_length[digits])
            return refuse(refusal, 400, "The Content-Length is not a number.");
    }
    if (length > (route->takes_body ? body_bytes_limit : 0))
        return refuse(refusal, 413, "The body is too large, or none is wanted here.");
    return 0;
}

int http_request_route(struct http_request *request, const struct http_routes *routes,
                       const struct http_hosts *hosts, uint64_t body_bytes_limit,
                       struct http_match *ret_match, struct http_refusal *ret_refusal)
{
    void *context = NULL;
    int result = check_form(request, ret_refusal);
    if (result == 0)
        result = check_host(request, hosts, ret_refusal);
    if (result < 0)
        return result;
    const struct http_route *route = find_route(request, routes, &context, ret_refusal);
    if (!route)
        return -EPROTO;
    result = check_action(request, ret_refusal);
    if (result == 0)
        result = check_body(request, route, body_bytes_limit, ret_refusal);
    if (result == 0)
        *ret_match = (struct http_match){route, context};
    return result;
}
