/* listen.c - see listen.h */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "address.h"
#include "listen.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define BACKLOG          256
#define ACCEPT_BACKOFF_S 0.5

/* ── opening ─────────────────────────────────────────────────────────────────────────────────── */

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

/* An address that is still to come, such as our own fallback address: the socket waits for it. */
static int bind_ahead(int socket, const struct config_endpoint *endpoint,
                      const struct sockaddr_storage *address)
{
    char text[ADDRESS_TEXT_BYTES];
    bool is_ipv4 = address->ss_family == AF_INET;
    if (endpoint_is_any(endpoint))
        return -EADDRNOTAVAIL;
    if (setsockopt(socket, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
                   is_ipv4 ? IP_FREEBIND : IPV6_FREEBIND, &(int){1}, sizeof(int)) ||
        bind(socket, (const struct sockaddr *)address, address_length(address)))
        return -errno;
    address_text(address, text);
    log_notice("%s: this machine does not have that address yet, it is waited for", text);
    return 0;
}

static int set_up(int socket, const struct config_endpoint *endpoint)
{
    struct sockaddr_storage address = endpoint->address;
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
    if (!bind(socket, (const struct sockaddr *)&address, address_length(&address)))
        return 0;
    return errno == EADDRNOTAVAIL ? bind_ahead(socket, endpoint, &address) : -errno;
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

static int open_listener(struct listener *listener, int type, listener_callback ready, void *data,
                         struct error *error)
{
    const struct config_endpoint *endpoint = &listener->endpoint;
    char text[ADDRESS_TEXT_BYTES];
    address_text(&endpoint->address, text);
    int descriptor = open_socket(endpoint, type);
    if (descriptor < 0)
        return error_set(error, descriptor, "cannot listen on %s%s: %s; %s",
                         type == SOCK_DGRAM ? "UDP " : "", text, strerror(-descriptor),
                         cure(-descriptor, type));
    ev_io_init(&listener->watcher, ready, descriptor, EV_READ);
    listener->watcher.data = data;
    DL_APPEND(listener->group->list, listener);
    ev_io_start(listener->group->loop, &listener->watcher);
    return 0;
}

int listener_open(struct listener *listener, struct listeners *group,
                  const struct config_endpoint *endpoint, listener_callback acceptable, void *data,
                  struct error *error)
{
    listener->group = group;
    listener->endpoint = *endpoint;
    return open_listener(listener, SOCK_STREAM, acceptable, data, error);
}

int listener_open_datagram(struct listener *listener, struct listeners *group,
                           const struct config_endpoint *endpoint, listener_callback readable,
                           void *data, struct error *error)
{
    listener->group = group;
    listener->endpoint = *endpoint;
    return open_listener(listener, SOCK_DGRAM, readable, data, error);
}

void listener_close(struct listener *listener)
{
    DL_DELETE(listener->group->list, listener);
    ev_io_stop(listener->group->loop, &listener->watcher);
    close(listener->watcher.fd);
}

/* ── accepting ───────────────────────────────────────────────────────────────────────────────── */

static void on_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct listeners *group = watcher->data;
    struct listener *listener;
    ev_timer_stop(loop, watcher);
    DL_FOREACH (group->list, listener)
        ev_io_start(loop, &listener->watcher);
}

void listeners_init(struct listeners *group, struct ev_loop *loop)
{
    group->loop = loop;
    group->list = NULL;
    group->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ev_init(&group->again, on_again);
    group->again.repeat = ACCEPT_BACKOFF_S;
    group->again.data = group;
}

void listeners_done(struct listeners *group)
{
    ev_timer_stop(group->loop, &group->again);
    if (group->spare >= 0)
        close(group->spare);
}

static void rest(struct listeners *group)
{
    struct listener *listener;
    DL_FOREACH (group->list, listener)
        ev_io_stop(group->loop, &listener->watcher);
    ev_timer_again(group->loop, &group->again);
}

/* The spare descriptor takes the connection just to refuse it. */
static void refuse_one(struct listeners *group, int listening)
{
    log_warning("out of file descriptors, connections are refused for a moment: raise LimitNOFILE");
    if (group->spare >= 0)
        close(group->spare);
    int refused = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (refused >= 0)
        close(refused);
    group->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int listener_accept(struct listener *listener, struct sockaddr_storage *ret_peer)
{
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    int listening = listener->watcher.fd;
    int accepted =
        accept4(listening, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
        *ret_peer = peer;
        return accepted;
    }
    int result = -errno;
    if (result == -EMFILE || result == -ENFILE)
        refuse_one(listener->group, listening);
    if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM)
        rest(listener->group);
    return result;
}

/* ── where they are ──────────────────────────────────────────────────────────────────────────── */

bool listener_is_at(const struct listener *listener, const struct config_endpoint *endpoint)
{
    const struct config_endpoint *mine = &listener->endpoint;
    return mine->wildcard == endpoint->wildcard && !strcmp(mine->interface, endpoint->interface) &&
           !memcmp(&mine->address, &endpoint->address, sizeof mine->address);
}

bool endpoint_is_any(const struct config_endpoint *endpoint)
{
    char host[INET6_ADDRSTRLEN];
    address_host(&endpoint->address, host);
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

uint16_t endpoint_port_at(const struct config_endpoint *endpoint, const char *local)
{
    struct sockaddr_storage address;
    if (!address_parse(endpoint->address.ss_family, local, &address) ||
        (!endpoint_is_any(endpoint) && !address_same_host(&endpoint->address, &address)))
        return 0;
    return address_port(&endpoint->address);
}
