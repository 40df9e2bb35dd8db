/* iscsi_server.c - portals: listening sockets and what is accepted there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "address.h"
#include "iscsi_server.h"

#include <netboot-target/util/log.h>

#define ACCEPTS_PER_TURN 64

/* ── accepting ───────────────────────────────────────────────────────────────────────────────── */

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct portal *portal = watcher->data;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer;
        int socket = listener_accept(&portal->listener, &peer);
        if (socket < 0)
            return;
        client_new(portal->server, socket, &peer);
    }
}

/* ── portals ─────────────────────────────────────────────────────────────────────────────────── */

static struct portal *find_portal(struct iscsi_server *iscsi,
                                  const struct config_endpoint *endpoint)
{
    struct portal *portal;
    DL_FOREACH (iscsi->portals, portal)
        if (listener_is_at(&portal->listener, endpoint))
            return portal;
    return NULL;
}

static int open_portal(struct iscsi_server *iscsi, const struct config_endpoint *endpoint,
                       struct error *error)
{
    struct portal *portal = calloc(1, sizeof *portal);
    if (!portal)
        return error_set(error, -ENOMEM, "out of memory");
    portal->server = iscsi;
    int result =
        listener_open(&portal->listener, &iscsi->listeners, endpoint, on_acceptable, portal, error);
    if (result) {
        free(portal);
        return result;
    }
    DL_APPEND(iscsi->portals, portal);
    return 0;
}

static void close_portal(struct iscsi_server *iscsi, struct portal *portal)
{
    DL_DELETE(iscsi->portals, portal);
    listener_close(&portal->listener);
    free(portal);
}

/* Every literal address must work, but one that does not keeps none of the others closed; of the
 * two wildcards one is enough. */
static int open_portals(struct iscsi_server *iscsi, const struct config *config,
                        struct error *error)
{
    int first_result = 0;
    for (unsigned i = 0; i < config->portals.count; i++) {
        const struct config_endpoint *endpoint = &config->portals.items[i];
        if (find_portal(iscsi, endpoint))
            continue;
        struct error problem;
        int result = open_portal(iscsi, endpoint, &problem);
        if (!result || (endpoint->wildcard && result == -EAFNOSUPPORT) || first_result)
            continue;
        first_result = result;
        *error = problem;
    }
    if (first_result)
        return first_result;
    if (!iscsi->portals)
        return error_set(error, -EADDRNOTAVAIL, "no portal could be opened");
    return 0;
}

static bool is_configured(const struct portal *portal, const struct config *config)
{
    for (unsigned i = 0; i < config->portals.count; i++)
        if (listener_is_at(&portal->listener, &config->portals.items[i]))
            return true;
    return false;
}

void iscsi_server_reload(struct server *server, const struct config *config)
{
    struct iscsi_server *iscsi = server->iscsi;
    struct portal *portal;
    struct portal *next;
    DL_FOREACH_SAFE (iscsi->portals, portal, next)
        if (!is_configured(portal, config))
            close_portal(iscsi, portal);
    struct error error;
    if (open_portals(iscsi, config, &error))
        log_error("%s", error.text);
}

unsigned iscsi_server_portals(const struct server *server, char (*to)[64], unsigned limit)
{
    unsigned count = 0;
    const struct portal *portal;
    DL_FOREACH (server->iscsi->portals, portal)
        if (count < limit)
            address_text(&portal->listener.endpoint.address, to[count++]);
    return count;
}

uint16_t iscsi_server_portal_at(const struct server *server, const char *local,
                                char to[INET6_ADDRSTRLEN])
{
    const struct portal *portal;
    uint16_t port = 0;
    snprintf(to, INET6_ADDRSTRLEN, "%s", local);
    DL_FOREACH (server->iscsi->portals, portal)
        if ((port = endpoint_port_at(&portal->listener.endpoint, local)))
            return port;
    /* Only at other addresses: the first one, if it is an address at all. */
    DL_FOREACH (server->iscsi->portals, portal) {
        const struct config_endpoint *endpoint = &portal->listener.endpoint;
        if (endpoint->address.ss_family != AF_INET || endpoint_is_any(endpoint))
            continue;
        address_host(&endpoint->address, to);
        return address_port(&endpoint->address);
    }
    return 0;
}

/* ── start and end ───────────────────────────────────────────────────────────────────────────── */

int iscsi_server_start(struct server *server, struct error *error)
{
    struct iscsi_server *iscsi = calloc(1, sizeof *iscsi);
    if (!iscsi)
        return error_set(error, -ENOMEM, "out of memory");
    server->iscsi = iscsi;
    iscsi->server = server;
    listeners_init(&iscsi->listeners, server->loop);
    if (clients_start(iscsi))
        return error_set(error, -ENOMEM, "out of memory");
    return open_portals(iscsi, server->config, error);
}

void iscsi_server_stop_accepting(struct server *server)
{
    struct portal *portal;
    struct portal *next;
    DL_FOREACH_SAFE (server->iscsi->portals, portal, next)
        close_portal(server->iscsi, portal);
}

void iscsi_server_free(struct server *server)
{
    struct iscsi_server *iscsi = server->iscsi;
    if (!iscsi)
        return;
    iscsi_server_stop_accepting(server);
    listeners_done(&iscsi->listeners);
    clients_stop(iscsi);
    free(iscsi);
    server->iscsi = NULL;
}
