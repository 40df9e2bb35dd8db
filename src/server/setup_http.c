/* setup_http.c - GET /setup/…: scripts that prepare the system on a disk, for who may see secrets
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* It stands for the targets of its clients, which have names of their own. */
static bool has_images(const struct config *config, const char *name)
{
    bool per_client = false;
    for (unsigned i = 0; i < config->targets.count; i++) {
        const struct config_target *target = &config->targets.items[i];
        for (unsigned j = 0; !strcmp(target->name, name) && j < target->luns.count; j++)
            per_client |= config_lun_per_client(&target->luns.items[j]);
    }
    return per_client;
}

/* The target that the query names, else the first. NULL: `response` says that there is none. */
static const struct served_target *find_target(const struct server *server,
                                               const struct http_request *request,
                                               struct http_response *response)
{
    const struct config *config = server->config;
    char name[TARGET_NAME_BYTES] = "";
    struct error error;
    int result = http_query_value(request->query, "target", name, sizeof name);
    if (result == -ENOENT && config->targets.count)
        snprintf(name, sizeof name, "%s", config->targets.items[0].name);
    const struct served_target *target = targets_find(server, name);
    bool is_there = target && target->iqn[0] && target->lun_count;
    if (!is_there && has_images(config, name)) {
        error_set(&error, -EINVAL,
                  "Each machine has a disk of its own on target %s: add its MAC, as in "
                  "?target=%s.52-54-00-ab-cd-ef, once it has asked for its script.",
                  name, name);
        http_response_text(response, 409, error.text);
        target = NULL;
    } else if (!target) {
        http_response_text(response, 404,
                           "There is no such target. The status lists those that there are.");
    } else if (!target->iqn[0]) {
        http_response_text(response, 503,
                           "The target's name is made from its disk, which is not open yet.");
        target = NULL;
    }
    return target;
}

/* The line of `clients` for the machine that the script is for: the one whose MAC the query tells,
 * or that the target's name tells, else the only one of this target. NULL: nobody knows. */
static const struct config_client *find_client(const struct server *server,
                                               const struct served_target *target,
                                               const struct http_request *request)
{
    const struct config *config = server->config;
    const struct config_client *found = NULL;
    struct boot_client asker;
    unsigned count = 0;
    boot_source_client(request->query, &asker);
    for (unsigned i = 0; i < config->clients.count; i++) {
        const struct config_client *client = &config->clients.items[i];
        char key[CLIENT_KEY_BYTES];
        client_key_of_row(client, key);
        bool is_served = target->key[0] ? strcmp(target->key, key) == 0 : !client->device;
        bool is_asker = client->mac.set ? !asker.has_mac || !memcmp(client->mac.bytes, asker.mac,
                                                                    sizeof asker.mac)
                                        : !asker.has_mac || target->key[0];
        if (config_client_target(config, client) != target->config || !is_served || !is_asker)
            continue;
        found = client;
        count++;
    }
    return count == 1 ? found : NULL;
}

/* Whether a machine that calls itself so may log in. */
static bool admits(const struct config_target *target, const char *pattern)
{
    static const struct boot_client any = {
        .has_mac = true, .mac = {0x52, 0x54}
    };
    char name[BOOT_INITIATOR_BYTES];
    if (boot_initiator_name(pattern, &any, name))
        return false;
    for (unsigned i = 0; i < target->initiators.count; i++)
        if (fnmatch(target->initiators.items[i], name, FNM_NOESCAPE) == 0)
            return true;
    return target->initiators.count == 0;
}

/* A name that targets.initiators lets in, made from its first row: a * becomes the MAC. False: that
 * row has other wildcards. */
static bool name_from_rule(const struct config_target *target, char to[BOOT_INITIATOR_BYTES])
{
    const char *rule = target->initiators.items[0];
    const char *star = strchr(rule, '*');
    if (strpbrk(rule, "?[") || (star && strchr(star + 1, '*')))
        return false;
    int head = (int)(star ? star - rule : (ptrdiff_t)strlen(rule));
    int length = snprintf(to, BOOT_INITIATOR_BYTES, "%.*s%s%s", head, rule, star ? "%m" : "",
                          star ? star + 1 : "");
    return length > 0 && (size_t)length < BOOT_INITIATOR_BYTES;
}

/* The pattern of the name that this machine is to log in by. False: there is none that may. */
static bool choose_initiator(const struct server *server, const struct served_target *target,
                             const struct http_request *request, char to[BOOT_INITIATOR_BYTES])
{
    const struct config_client *client = find_client(server, target, request);
    const char *pattern = client && client->initiator ? client->initiator : BOOT_INITIATOR_PATTERN;
    if (!admits(target->config, pattern))
        return name_from_rule(target->config, to);
    snprintf(to, BOOT_INITIATOR_BYTES, "%s", pattern);
    return true;
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
    char portal[INET6_ADDRSTRLEN], initiator[BOOT_INITIATOR_BYTES];
    if (!choose_initiator(server, target, request, initiator)) {
        http_response_text(response, 409,
                           "Nobody can tell by which name this machine may log in: give it a line "
                           "in clients with an initiator that targets.initiators lets in.");
        return;
    }
    struct boot_setup setup = {
        .version = NBT_VERSION,
        .server = portal,
        .port = iscsi_server_portal_at(server, request->local, portal),
        .iqn = target->iqn,
        .lun = target->luns[0].number,
        .initiator = initiator,
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
