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

static const char *cure(int code, int type)
{
    switch (code) {
    case EADDRINUSE:
        return type == SOCK_STREAM
                   ? "another program listens there: stop it (ss -tlnp names it) or choose another "
                     "port"
                   : "another program has that port: stop it (ss -ulnp names it)";
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
    return bind(socket, (const struct sockaddr *)&address, length) ? -errno : 0;
}

/* A datagram must tell to which of our addresses it was sent: the answer comes from there. */
static int set_up_type(int socket, sa_family_t family, int type)
{
    if (type == SOCK_STREAM)
        return setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    return family == AF_INET
               ? setsockopt(socket, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int))
               : setsockopt(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, &(int){1}, sizeof(int));
}

static int open_socket(const struct config_endpoint *endpoint, int type)
{
    sa_family_t family = endpoint->address.ss_family;
    _cleanup_close_ int descriptor = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || set_up_type(descriptor, family, type))
        return -errno;
    int result = set_up(descriptor, endpoint);
    if (result)
        return result;
    if (type == SOCK_STREAM && listen(descriptor, BACKLOG))
        return -errno;
    return take_descriptor(descriptor);
}

typedef void (*watch_callback)(struct ev_loop *loop, ev_io *watcher, int events);

static int open_listener(struct listener *listener, const struct config_endpoint *endpoint,
                         int type, watch_callback ready, void *data, struct error *error)
{
    char text[64];
    endpoint_text(endpoint, text, sizeof text);
    int descriptor = open_socket(endpoint, type);
    if (descriptor < 0)
        return error_set(error, descriptor, "cannot listen on %s%s: %s; %s",
                         type == SOCK_DGRAM ? "UDP " : "", text, strerror(-descriptor),
                         cure(-descriptor, type));
    listener->endpoint = *endpoint;
    ev_io_init(&listener->watcher, ready, descriptor, EV_READ);
    listener->watcher.data = data;
    return 0;
}

int listener_open(struct listener *listener, const struct config_endpoint *endpoint,
                  watch_callback acceptable, void *data, struct error *error)
{
    return open_listener(listener, endpoint, SOCK_STREAM, acceptable, data, error);
}

int listener_open_datagram(struct listener *listener, const struct config_endpoint *endpoint,
                           watch_callback readable, void *data, struct error *error)
{
    return open_listener(listener, endpoint, SOCK_DGRAM, readable, data, error);
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

/* The address without its port, in network byte order. */
static const void *host_of(const struct config_endpoint *endpoint, size_t *ret_bytes)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&endpoint->address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&endpoint->address;
    bool is_ipv4 = endpoint->address.ss_family == AF_INET;
    *ret_bytes = is_ipv4 ? sizeof in->sin_addr : sizeof in6->sin6_addr;
    return is_ipv4 ? (const void *)&in->sin_addr : &in6->sin6_addr;
}

bool endpoint_is_any(const struct config_endpoint *endpoint)
{
    static const struct in6_addr any;
    size_t bytes;
    const void *host = host_of(endpoint, &bytes);
    return memcmp(host, &any, bytes) == 0;
}

uint16_t endpoint_port_at(const struct config_endpoint *endpoint, const char *local)
{
    size_t bytes;
    uint8_t address[sizeof(struct in6_addr)];
    const void *host = host_of(endpoint, &bytes);
    if (inet_pton(endpoint->address.ss_family, local, address) != 1 ||
        (!endpoint_is_any(endpoint) && memcmp(host, address, bytes) != 0))
        return 0;
    return ntohs(endpoint->address.ss_family == AF_INET
                     ? ((const struct sockaddr_in *)&endpoint->address)->sin_port
                     : ((const struct sockaddr_in6 *)&endpoint->address)->sin6_port);
}
