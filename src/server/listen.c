/* listen.c - see listen.h */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"

#include <netboot-target/util/cleanup.h>

#define BACKLOG 256

static void endpoint_text(const struct config_endpoint *endpoint, char *to, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (endpoint->address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&endpoint->address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(to, size, "%s:%u", host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&endpoint->address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(to, size, "[%s]:%u", host, ntohs(in6->sin6_port));
    }
}

static const char *cure(int code)
{
    switch (code) {
    case EADDRINUSE:
        return "another program listens there: stop it (ss -tlnp names it) or choose another port";
    case EACCES:
        return "ports below 1024 need CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL:
        return "this machine does not have that address";
    default:
        return "check the address";
    }
}

static int set_up(int socket, const struct config_endpoint *endpoint)
{
    struct sockaddr_storage address = endpoint->address;
    socklen_t length =
        address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
        setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
        if (endpoint->interface[0] && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
            in6->sin6_scope_id = if_nametoindex(endpoint->interface);
    }
    if (endpoint->interface[0] &&
        setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, endpoint->interface,
                   (socklen_t)strlen(endpoint->interface) + 1))
        return -errno;
    if (bind(socket, (const struct sockaddr *)&address, length) || listen(socket, BACKLOG))
        return -errno;
    return 0;
}

int listener_open(struct listener *listener, const struct config_endpoint *endpoint,
                  void (*acceptable)(struct ev_loop *loop, ev_io *watcher, int events), void *data,
                  struct error *error)
{
    char text[64];
    endpoint_text(endpoint, text, sizeof text);
    _cleanup_close_ int descriptor =
        socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = descriptor < 0 ? -errno : set_up(descriptor, endpoint);
    if (result)
        return error_set(error, result, "cannot listen on %s: %s; %s", text, strerror(-result),
                         cure(-result));
    listener->endpoint = *endpoint;
    ev_io_init(&listener->watcher, acceptable, take_descriptor(descriptor), EV_READ);
    listener->watcher.data = data;
    return 0;
}

void listener_resume(struct ev_loop *loop, struct listener *listener)
{
    ev_io_start(loop, &listener->watcher);
}

void listener_pause(struct ev_loop *loop, struct listener *listener)
{
    ev_io_stop(loop, &listener->watcher);
}

void listener_close(struct ev_loop *loop, struct listener *listener)
{
    ev_io_stop(loop, &listener->watcher);
    close(listener->watcher.fd);
}

bool listener_is_at(const struct listener *listener, const struct config_endpoint *endpoint)
{
    const struct config_endpoint *mine = &listener->endpoint;
    return mine->wildcard == endpoint->wildcard && !strcmp(mine->interface, endpoint->interface) &&
           !memcmp(&mine->address, &endpoint->address, sizeof mine->address);
}

void listener_text(const struct listener *listener, char *to, size_t size)
{
    endpoint_text(&listener->endpoint, to, size);
}
