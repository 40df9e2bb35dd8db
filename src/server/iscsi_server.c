/* iscsi_server.c - portals: listening sockets and what is accepted there. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "iscsi_server.h"

#include <netboot-target/util/log.h>

#define ACCEPTS_PER_TURN 64
#define ACCEPT_BACKOFF_S 0.5

/* ── accepting ───────────────────────────────────────────────────────────────────────────────────
 */

static void pause_accepting(struct iscsi_server *iscsi)
{
    struct portal *portal;
    DL_FOREACH (iscsi->portals, portal)
        listener_pause(iscsi->server->loop, &portal->listener);
    ev_timer_again(iscsi->server->loop, &iscsi->accept_again);
}

static void on_accept_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct iscsi_server *iscsi = watcher->data;
    ev_timer_stop(loop, watcher);
    struct portal *portal;
    DL_FOREACH (iscsi->portals, portal)
        listener_resume(loop, &portal->listener);
}

/* Out of descriptors: the spare one takes the connection just to refuse it, then accepting rests.
 */
static void refuse_for_want_of_descriptors(struct iscsi_server *iscsi, int listening)
{
    log_warning("out of file descriptors, connections are refused for a moment: raise LimitNOFILE");
    close(iscsi->spare);
    int refused = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (refused >= 0)
        close(refused);
    iscsi->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pause_accepting(iscsi);
}

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct portal *portal = watcher->data;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof peer;
        int socket =
            accept4(watcher->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket < 0) {
            if (errno == EMFILE || errno == ENFILE)
                refuse_for_want_of_descriptors(portal->server, watcher->fd);
            return;
        }
        client_new(portal->server, socket, &peer);
    }
}

/* ── portals ─────────────────────────────────────────────────────────────────────────────────────
 */

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
    int result = listener_open(&portal->listener, endpoint, on_acceptable, portal, error);
    if (result) {
        free(portal);
        return result;
    }
    listener_resume(iscsi->server->loop, &portal->listener);
    DL_APPEND(iscsi->portals, portal);
    return 0;
}

static void close_portal(struct iscsi_server *iscsi, struct portal *portal)
{
    DL_DELETE(iscsi->portals, portal);
    listener_close(iscsi->server->loop, &portal->listener);
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
            listener_text(&portal->listener, to[count++], sizeof to[0]);
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
        const struct sockaddr_storage *address = &portal->listener.endpoint.address;
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        if (address->ss_family != AF_INET || in->sin_addr.s_addr == INADDR_ANY)
            continue;
        inet_ntop(AF_INET, &in->sin_addr, to, INET6_ADDRSTRLEN);
        return ntohs(in->sin_port);
    }
    return 0;
}

/* ── start and end ───────────────────────────────────────────────────────────────────────────────
 */

int iscsi_server_start(struct server *server, struct error *error)
{
    struct iscsi_server *iscsi = calloc(1, sizeof *iscsi);
    if (!iscsi)
        return error_set(error, -ENOMEM, "out of memory");
    server->iscsi = iscsi;
    iscsi->server = server;
    iscsi->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (clients_start(iscsi))
        return error_set(error, -ENOMEM, "out of memory");
    ev_init(&iscsi->accept_again, on_accept_again);
    iscsi->accept_again.repeat = ACCEPT_BACKOFF_S;
    iscsi->accept_again.data = iscsi;
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
    ev_timer_stop(server->loop, &iscsi->accept_again);
    clients_stop(iscsi);
    if (iscsi->spare >= 0)
        close(iscsi->spare);
    free(iscsi);
    server->iscsi = NULL;
}
