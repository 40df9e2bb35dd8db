/* http.c - a request as text ("METHOD target", then "Name: value" lines) through routes, ranges,
 * queries and the checks of passwords. The first byte says which listener it came to. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONTENT_BYTES 1000
#define BODY_LIMIT    100

static void handle(void *context, const struct http_request *request,
                   struct http_response *response)
{
    (void)context;
    static const uint8_t content[CONTENT_BYTES];
    for (unsigned i = 0; i < request->capture_count; i++) {
        const char *capture = request->captures[i];
        size_t length = strlen(capture);
        if (capture < request->path || capture + length >= request->path + sizeof request->path)
            abort(); /* it points elsewhere */
        if (!length || strspn(capture, "/\\") || !strcmp(capture, "..") || strstr(capture, "/../"))
            abort(); /* it could climb out of wherever it is looked up */
        for (size_t j = 0; j < length; j++)
            if ((unsigned char)capture[j] < 0x20)
                abort();
    }
    response->data = content;
    response->data_bytes = sizeof content;
    response->ranged = true;
}

// clang-format off
static const struct http_route rows[] = {
    {HTTP_LISTENER_STATUS, HTTP_GET,  "/status",         false, handle},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/luns/*/*/rearm", false, handle},
    {HTTP_LISTENER_STATUS, HTTP_POST, "/serving",        true,  handle},
    {HTTP_LISTENER_BOOT,   HTTP_GET,  "/boot/**",        false, handle},
    {HTTP_LISTENER_BOOT,   HTTP_POST, "/*/*/*/*",        true,  handle},
};
// clang-format on
static const struct http_routes routes = {rows, ARRAY_SIZE(rows), NULL, NULL};
static const char *const host_names[] = {"netboot.example.org"};
static const struct http_hosts hosts = {host_names, 1};

static void answer(const struct http_match *match, const struct http_request *request)
{
    struct http_response response;
    http_response_init(&response);
    match->route->handle(match->context, request, &response);
    http_response_select(&response, request);
    if (response.offset_bytes > CONTENT_BYTES ||
        response.length_bytes > CONTENT_BYTES - response.offset_bytes)
        abort(); /* CVE-2017-7529 */
    if (response.status != 200 && response.status != 206 && response.status != 416)
        abort();
    http_response_done(&response);
}

static void authenticate(const struct http_request *request)
{
    struct http_digest digest = {
        .realm = "netboot", .user = "me", .password = "correct horse", .window_ms = 60000};
    for (unsigned i = 0; i < sizeof digest.key; i++)
        digest.key[i] = (uint8_t)i;
    enum http_digest_verdict verdict = http_digest_check(&digest, request, "192.0.2.7", 1000);
    if (verdict == HTTP_DIGEST_GRANTED && !strstr(request->authorization, "f00d"))
        abort(); /* nobody else knows the password */
    verdict = http_basic_check(&digest, request);
    if (verdict == HTTP_DIGEST_GRANTED &&
        !strstr(request->authorization, "bWU6Y29ycmVjdCBob3JzZ")) /* me:correct horse */
        abort();
}

static void add_fields(struct http_request *request, char *at)
{
    char *rest = NULL;
    for (char *line = strtok_r(at, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *value = strchr(line, ':');
        if (!value)
            continue;
        *value++ = '\0';
        http_request_add_field(request, line, value + strspn(value, " "));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    char *text = malloc(size), value[64];
    struct http_request request;
    struct http_match match;
    struct http_refusal refusal = {0};
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    char *line_end = text + strcspn(text, "\n");
    char *fields = *line_end ? line_end + 1 : line_end;
    *line_end = '\0';
    char *target = text + strcspn(text, " ");
    if (*target)
        *target++ = '\0';
    http_request_begin(&request, data[0] & 1 ? HTTP_LISTENER_STATUS : HTTP_LISTENER_BOOT, target);
    http_request_set_method(&request, text);
    add_fields(&request, fields);
    if (http_request_route(&request, &routes, &hosts, BODY_LIMIT, &match, &refusal) == 0)
        answer(&match, &request);
    else if (refusal.status < 400 || refusal.status > 499 || !refusal.text)
        abort();
    (void)http_query_value(request.query, "mac", value, sizeof value);
    authenticate(&request);
    free(text);
    return 0;
}
