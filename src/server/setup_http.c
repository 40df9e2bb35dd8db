/* setup_http.c - GET /setup/…: scripts that prepare the system on a disk, for who may see secrets
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "boot_access.h"
#include "boot_source.h"
#include "http_server.h"

#include <netboot-target/boot/setup.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

struct setup_http {
    struct http_routes routes;
};

/* The target that the query names, else the first. NULL: `response` says that there is none. */
static const struct served_target *find_target(const struct server *server,
                                               const struct http_request *request,
                                               struct http_response *response)
{
    const struct config *config = server->config;
    char name[TARGET_NAME_BYTES] = "";
    int result = http_query_value(request->query, "target", name, sizeof name);
    if (result == -ENOENT && config->targets.count)
        snprintf(name, sizeof name, "%s", config->targets.items[0].name);
    const struct served_target *target = targets_find(server, name);
    if (!target) {
        http_response_text(response, 404,
                           "There is no such target. The status lists those that there are.");
    } else if (!target->iqn[0]) {
        http_response_text(response, 503,
                           "The target's name is made from its disk, which is not open yet.");
        target = NULL;
    }
    return target;
}

static void fill_secrets(const struct served_target *target, struct boot_setup *setup)
{
    enum config_auth_mode mode = target->config->auth.mode;
    if (mode == CONFIG_AUTH_NONE)
        return;
    setup->user = target->secrets.initiator.name;
    setup->secret = target->secrets.initiator.secret;
    if (mode == CONFIG_AUTH_MUTUAL) {
        setup->target_user = target->secrets.target.name;
        setup->target_secret = target->secrets.target.secret;
    }
}

static void put_script(const struct server *server, const struct served_target *target,
                       const struct http_request *request, struct http_response *response)
{
    const char *name = request->captures[0];
    char portal[INET6_ADDRSTRLEN];
    struct boot_setup setup = {
        .version = NBT_VERSION,
        .server = portal,
        .port = iscsi_server_portal_at(server, request->local, portal),
        .iqn = target->iqn,
        .lun = target->luns[0].number,
        .initiator = BOOT_INITIATOR_PATTERN,
    };
    fill_secrets(target, &setup);
    struct buffer script;
    struct error error;
    buffer_init(&script, BOOT_SETUP_BYTES_LIMIT);
    int result = boot_setup_script(&script, name, &setup, &error);
    if (result) {
        buffer_done(&script);
        http_response_text(response, result == -ENOENT ? 404 : 409, error.text);
        return;
    }
    http_response_take(response, &script, "text/plain; charset=utf-8");
    if (request->method == HTTP_GET)
        log_notice("setup script sent, with secrets: script=%s target=%s client=%s", name,
                   target->name, request->peer);
}

static void get_setup(void *context, const struct http_request *request,
                      struct http_response *response)
{
    struct server *server = context;
    if (!boot_access_granted(server, request, response))
        return;
    const struct served_target *target = find_target(server, request, response);
    if (target)
        put_script(server, target, request, response);
}

// clang-format off
static const struct http_route routes[] = {
    {HTTP_LISTENER_BOOT, HTTP_GET, "/setup/*", false, get_setup},
};
// clang-format on

/* Before boot_http_start(), whose files are everything that no other route takes. */
int setup_http_start(struct server *server, struct error *error)
{
    struct setup_http *http = calloc(1, sizeof *http);
    if (!http)
        return error_set(error, -ENOMEM, "out of memory");
    http->routes = (struct http_routes){routes, ARRAY_SIZE(routes), server, NULL};
    server->setup_http = http;
    http_server_add_routes(server, &http->routes);
    return 0;
}

/* After the HTTP server. */
void setup_http_free(struct server *server)
{
    free(take_pointer(server->setup_http));
}
