/*
 * dhcp_ports.h - what a DHCP responder sends and hears on one interface: UDP ports 67 and 4011,
 * and whole frames where UDP does not reach: a DHCPDISCOVER from an interface without an address
 * and its answers, and router solicitations.
 */
#pragma once
#include <ev.h>

#include <netboot-target/dhcp.h>

#include "net_interfaces.h"

struct dhcp_ports {
    struct ev_loop *loop;
    int interface_index;
    uint8_t own_mac[DHCP_MAC_BYTES];
    void *context;
    void (*received)(void *context, const uint8_t *packet, size_t length,
                     const struct dhcp_arrival *arrival);
    /* Something came to port 68 of anybody's while we listen there. */
    void (*found)(void *context, const uint8_t *packet, size_t length);
    /* A frame with a router solicitation or advertisement. */
    void (*solicited)(void *context, const uint8_t *frame, size_t length);

    /* A watcher without descriptor (-1) is closed. */
    ev_io server, boot_server; /* 67, 4011 */
    ev_io answers, routers;
    ev_timer hearing_ends;
};

/* Fills in `loop` and the interface; the callbacks and `context` are the caller's. */
void dhcp_ports_init(struct dhcp_ports *ports, struct ev_loop *loop,
                     const struct net_interface *interface);
void dhcp_ports_done(struct dhcp_ports *ports);

/* Ports 67 and 4011. 0 or -errno with a sentence that names the port and the cure. */
int dhcp_ports_open(struct dhcp_ports *ports, const struct net_interface *interface,
                    struct error *error);
bool dhcp_ports_are_open(const struct dhcp_ports *ports);
void dhcp_ports_close(struct dhcp_ports *ports);
void dhcp_ports_send(const struct dhcp_ports *ports, const struct dhcp_output *output);

/* Hears the answers of all servers for half a minute from now on. Not for ever: a packet socket
 * costs every packet of the interface something. 0 or -errno with a sentence. */
int dhcp_ports_hear_answers(struct dhcp_ports *ports, const struct net_interface *interface,
                            struct error *error);
/* Broadcasts a DHCPDISCOVER as a client without an address would (68 → 67), and hears the answers.
 * 0 or -errno with a sentence. */
int dhcp_ports_look(struct dhcp_ports *ports, const struct net_interface *interface,
                    const uint8_t *packet, size_t length, struct error *error);

/* Begins to hear router solicitations and advertisements. */
int dhcp_ports_hear_routers(struct dhcp_ports *ports, const struct net_interface *interface,
                            struct error *error);
void dhcp_ports_send_frame(const struct dhcp_ports *ports, const uint8_t *frame, size_t length);
