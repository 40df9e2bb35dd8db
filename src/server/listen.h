/* listen.h - listening sockets in the loop: TCP, or UDP for requests. */
#pragma once
#include <ev.h>
#include <sys/socket.h>

#include <netboot-target/config.h>
#include <netboot-target/util/error.h>

/* The listeners of one service. They rest together for a moment when a connection cannot be
 * accepted for want of descriptors or memory, which would only fail again at once. */
struct listeners {
    struct ev_loop *loop;
    struct listener *list;
    ev_timer again;
    int spare; /* given up for a moment to refuse a connection when descriptors run out */
};

struct listener {
    struct listener *prev, *next;
    struct listeners *group;
    struct config_endpoint endpoint;
    ev_io watcher; /* data: whatever the owner gave */
};

typedef void (*listener_callback)(struct ev_loop *loop, ev_io *watcher, int events);

void listeners_init(struct listeners *group, struct ev_loop *loop);
/* Every listener of it must be closed. */
void listeners_done(struct listeners *group);
/* Opens the socket (SO_REUSEADDR; IPv6 only on IPv6; bound to the endpoint's interface) and
 * watches it; at an address that this machine does not have yet it waits for that. 0 or -errno; the
 * sentence names the address and, where it is known, what to do. */
int listener_open(struct listener *listener, struct listeners *group,
                  const struct config_endpoint *endpoint, listener_callback acceptable, void *data,
                  struct error *error);
/* The same for UDP; each datagram comes with IP_PKTINFO or IPV6_PKTINFO. */
int listener_open_datagram(struct listener *listener, struct listeners *group,
                           const struct config_endpoint *endpoint, listener_callback readable,
                           void *data, struct error *error);
void listener_close(struct listener *listener);
/* A connection's socket, non-blocking. Negative: none waits, or accepting rests. */
int listener_accept(struct listener *listener, struct sockaddr_storage *ret_peer);
bool listener_is_at(const struct listener *listener, const struct config_endpoint *endpoint);
/* True for 0.0.0.0 and [::]. */
bool endpoint_is_any(const struct config_endpoint *endpoint);
/* The port when a socket at this endpoint takes what is sent to the address `local` ("192.0.2.1",
 * "fe80::1"), else 0. */
uint16_t endpoint_port_at(const struct config_endpoint *endpoint, const char *local);
