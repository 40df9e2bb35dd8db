/* boot_http.c - what the boot listener answers by HTTP: scripts and boot files */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot_access.h"
#include "boot_files.h"
#include "boot_journal.h"
#include "boot_kernels.h"
#include "boot_source.h"
#include "http_server.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define RETRY_AFTER_S 5u

struct boot_http {
    struct http_routes routes;
};

static struct boot_reach reach_of(const struct http_request *request)
{
    return (struct boot_reach){
        .peer = request->peer, .local = request->local, .http_port = request->local_port};
}

/* ── scripts ─────────────────────────────────────────────────────────────────────────────────── */

static void answer_script(struct server *server, const struct http_request *request,
                          enum boot_page page, bool authenticated, struct http_response *response)
{
    const struct boot_reach reach = reach_of(request);
    const struct boot_question question = {
        .page = page, .query = request->query, .authenticated = authenticated};
    struct boot_answer answer;
    struct buffer script;
    buffer_init(&script, BOOT_SCRIPT_BYTES_LIMIT);
    if (boot_source_script(server, &reach, &question, &script, &answer)) {
        buffer_done(&script);
        http_response_text(response, 500, "The script could not be made; the log says why.");
        return;
    }
    if (answer.kind == BOOT_ANSWER_LATER) {
        response->status = 503;
        response->retry_after_seconds = RETRY_AFTER_S;
    }
    http_response_take(response, &script, "text/plain; charset=utf-8");
    if (request->method != HTTP_GET)
        return;
    boot_journal_script(server, &reach, &answer);
    if (answer.initiator[0])
        invitations_note_script(server, reach.peer, answer.initiator);
}

/* Open to all: what one may see is decided by its query. */
static void get_page(struct server *server, const struct http_request *request, enum boot_page page,
                     struct http_response *response)
{
    if (boot_access_admits(server, request, response))
        answer_script(server, request, page, false, response);
}

static void get_boot(void *context, const struct http_request *request,
                     struct http_response *response)
{
    get_page(context, request, BOOT_PAGE_BOOT, response);
}

static void get_menu(void *context, const struct http_request *request,
                     struct http_response *response)
{
    get_page(context, request, BOOT_PAGE_MENU, response);
}

static void get_reload(void *context, const struct http_request *request,
                       struct http_response *response)
{
    get_page(context, request, BOOT_PAGE_RELOAD, response);
}

static void get_entry(void *context, const struct http_request *request,
                      struct http_response *response)
{
    get_page(context, request, BOOT_PAGE_CHOICE, response);
}

static void get_login(void *context, const struct http_request *request,
                      struct http_response *response)
{
    if (boot_access_granted(context, request, response))
        answer_script(context, request, BOOT_PAGE_MENU, true, response);
}

/* ── kernels ─────────────────────────────────────────────────────────────────────────────────── */

/* One kernel or initrd on its way. */
struct kernel_sending {
    struct server *server;
    struct boot_transfer transfer;
    char name[128];
};

static void release_blob(void *context)
{
    boot_blob_unref(context);
}

static void on_kernel_sent(void *context, enum http_sent sent)
{
    struct kernel_sending *sending = context;
    if (sent == HTTP_SENT_END)
        boot_journal_kernel_sent(sending->server, &sending->transfer);
    if (sent == HTTP_SENT_BROKEN)
        boot_journal_kernel_failed(sending->server, &sending->transfer,
                                   "the client broke the connection");
    free(sending);
}

static void watch_kernel(struct server *server, const struct http_request *request, uint64_t bytes,
                         struct http_response *response)
{
    struct kernel_sending *sending =
        request->method == HTTP_GET ? calloc(1, sizeof *sending) : NULL;
    if (!sending)
        return;
    sending->server = server;
    snprintf(sending->name, sizeof sending->name, "%s", request->captures[1]);
    sending->transfer = (struct boot_transfer){
        .name = sending->name, .bytes = bytes, .started_ms = server_now_us(server) / 1000};
    snprintf(sending->transfer.peer, sizeof sending->transfer.peer, "%s", request->peer);
    response->sent = on_kernel_sent;
    response->sent_context = sending;
}

/* Only a script names its URL, and scripts go to those who may. */
static void get_kernel(void *context, const struct http_request *request,
                       struct http_response *response)
{
    struct server *server = context;
    if (!boot_access_admits(server, request, response))
        return;
    struct boot_blob *blob = boot_kernels_find(server, request->captures[0]);
    response->path_is_secret = true;
    if (!blob) {
        http_response_text(response, 404, "There is no such file, or its time is over.");
        return;
    }
    response->content_type = "application/octet-stream";
    response->data = blob->data;
    response->data_bytes = blob->bytes;
    response->ranged = true;
    response->release = release_blob;
    response->release_context = blob;
    watch_kernel(server, request, blob->bytes, response);
}

/* ── files ───────────────────────────────────────────────────────────────────────────────────── */

/* One answer on its way: who gets what. */
struct sending {
    struct boot_file *file;
    struct boot_transfer transfer;
    struct server *server;
};

static void release_file(void *context)
{
    boot_file_unref(context);
}

static void on_sent(void *context, enum http_sent sent)
{
    struct sending *sending = context;
    if (sent == HTTP_SENT_END)
        boot_journal_file_sent(sending->server, &sending->transfer);
    if (sent == HTTP_SENT_BROKEN)
        boot_journal_file_failed(sending->server, &sending->transfer, JOURNAL_FILE_ABORTED,
                                 "the client broke the connection");
    boot_file_unref(sending->file);
    free(sending);
}

/* HEAD is how firmware asks for the size; it has nothing then. */
static void watch_sending(struct server *server, const struct http_request *request,
                          struct boot_file *file, struct http_response *response)
{
    struct sending *sending = request->method == HTTP_GET ? calloc(1, sizeof *sending) : NULL;
    if (!sending)
        return;
    boot_file_ref(file);
    sending->file = file;
    sending->server = server;
    sending->transfer = (struct boot_transfer){
        .name = file->name, .bytes = file->source.size, .started_ms = server_now_us(server) / 1000};
    snprintf(sending->transfer.peer, sizeof sending->transfer.peer, "%s", request->peer);
    response->sent = on_sent;
    response->sent_context = sending;
    boot_journal_file_begins(server, &sending->transfer);
}

static void get_file(void *context, const struct http_request *request,
                     struct http_response *response)
{
    struct server *server = context;
    const char *name = request->captures[0];
    if (!boot_access_admits(server, request, response))
        return;
    if (boot_source_is_entry(name)) {
        const struct boot_reach reach = reach_of(request);
        struct buffer script;
        buffer_init(&script, BOOT_SCRIPT_BYTES_LIMIT);
        script.failed = boot_source_entry(server, &reach, &script) != 0;
        http_response_take(response, &script, "text/plain; charset=utf-8");
        return;
    }
    struct boot_file *file = boot_files_find(server, name);
    if (!file) {
        boot_journal_file_missing(server, request->peer, name);
        http_response_text(response, 404, "There is no such boot file.");
        return;
    }
    boot_file_ref(file);
    response->content_type = http_content_type(name);
    response->data = file->data;
    response->data_bytes = file->source.size;
    response->ranged = true;
    response->release = release_file;
    response->release_context = file;
    watch_sending(server, request, file, response);
}

// clang-format off
static const struct http_route routes[] = {
    {HTTP_LISTENER_BOOT, HTTP_GET, "/boot.ipxe",   false, get_boot},
    {HTTP_LISTENER_BOOT, HTTP_GET, "/menu.ipxe",   false, get_menu},
    {HTTP_LISTENER_BOOT, HTTP_GET, "/login.ipxe",  false, get_login},
    {HTTP_LISTENER_BOOT, HTTP_GET, "/reload.ipxe", false, get_reload},
    {HTTP_LISTENER_BOOT, HTTP_GET, "/entry.ipxe",  false, get_entry},
    {HTTP_LISTENER_BOOT, HTTP_GET, "/kernel/*/*",  false, get_kernel},
    {HTTP_LISTENER_BOOT, HTTP_GET, "/**",          false, get_file},
};
// clang-format on

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

int boot_http_start(struct server *server, struct error *error)
{
    struct boot_http *http = calloc(1, sizeof *http);
    if (!http)
        return error_set(error, -ENOMEM, "out of memory");
    http->routes = (struct http_routes){routes, ARRAY_SIZE(routes), server, NULL};
    server->boot_http = http;
    http_server_add_routes(server, &http->routes);
    return 0;
}

/* After the HTTP server. */
void boot_http_free(struct server *server)
{
    free(take_pointer(server->boot_http));
}
