/* listen.h - one listening socket in the loop: TCP, or UDP for requests. */
#pragma once
#include <ev.h>

#include <netboot-target/config.h>
#include <netboot-target/util/error.h>

struct listener {
    struct config_endpoint endpoint;
    ev_io watcher; /* data: whatever the owner gave */
};

/* Opens the socket (SO_REUSEADDR; IPv6 only on IPv6; bound to the endpoint's interface). 0 or
 * -errno; the sentence names the address and, where it is known, what to do. It does not accept
 * yet. */
int listener_open(struct listener *listener, const struct config_endpoint *endpoint,
                  void (*acceptable)(struct ev_loop *loop, ev_io *watcher, int events), void *data,
                  struct error *error);
/* The same for UDP; each datagram comes with IP_PKTINFO or IPV6_PKTINFO. */
int listener_open_datagram(struct listener *listener, const struct config_endpoint *endpoint,
                           void (*readable)(struct ev_loop *loop, ev_io *watcher, int events),
                           void *data, struct error *error);
void listener_resume(struct ev_loop *loop, struct listener *listener);
void listener_pause(struct ev_loop *loop, struct listener *listener);
void listener_close(struct ev_loop *loop, struct listener *listener);
bool listener_is_at(const struct listener *listener, const struct config_endpoint *endpoint);
/* "0.0.0.0:3260", "[::1]:3260" */
void listener_text(const struct listener *listener, char *to, size_t size);
/* True for 0.0.0.0 and [::]. */
bool endpoint_is_any(const struct config_endpoint *endpoint);
/* The port when a socket at this endpoint takes what is sent to the address `local` ("192.0.2.1",
 * "fe80::1"), else 0. */
uint16_t endpoint_port_at(const struct config_endpoint *endpoint, const char *local);
