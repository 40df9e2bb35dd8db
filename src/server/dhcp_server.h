/*
 * dhcp_server.h - DHCP on the boot interfaces: which interfaces these are, the role of each, and
 * what other files of the edge tell and ask.
 *
 *   dhcp_server.c     interfaces: found, followed, reloaded
 *   dhcp_interface.c  one of them: its role, its packets
 *   dhcp_fallback.c   the address of one that has none
 *   dhcp_events.c     what happened there
 *   dhcp_ports.c      sockets
 */
#pragma once
#include <netboot-target/dhcp.h>

#include "dhcp_ports.h"
#include "internal.h"
#include "net_interfaces.h"
#include "net_packet.h"

#include <netboot-target/util/log.h>

struct dhcp_interface {
    struct dhcp_interface *prev, *next;
    struct dhcp_server *dhcp;
    const struct config_interface *config; /* of dhcp->config */
    bool is_named;                         /* the configuration names it */
    struct net_interface kernel;           /* as last told; its list pointers mean nothing */
    struct dhcp_server_probe *probe;       /* NULL: role off by configuration */
    struct dhcp_service *service;
    struct dhcp_router_help *router_help;
    struct arp_prober *prober;
    struct dhcp_ports ports;
    ev_timer deadline;
    uint32_t fallback;    /* the fallback address that was chosen last */
    bool is_claiming;     /* it is being probed */
    bool keeps_address;   /* at the end: sessions came over the fallback address */
    bool is_told;         /* its role */
    bool cannot_look;     /* for other servers: that is its problem */
    struct error problem; /* why it does not do its part; "" when it does */
    struct log_limit limit;
};

struct dhcp_server {
    struct server *server;
    struct config *config; /* its own reference */
    struct dhcp_named_client *clients;
    unsigned client_count;
    struct dhcp_boot_source *source;
    struct net_watcher *watcher;
    struct dhcp_interface *interfaces;
    struct dhcp_interface *leaving; /* no longer served, but sessions come over their address */
    uint64_t hold_until_ms;         /* addresses that an earlier process left are not touched */
    ev_timer again;  /* runs while a port is taken or a fallback address may be given back */
    bool is_stopped; /* shutting down */
};

/* ── dhcp_interface.c ────────────────────────────────────────────────────────────────────────── */

/* NULL: out of memory. */
struct dhcp_interface *dhcp_interface_new(struct dhcp_server *dhcp,
                                          const struct config_interface *config, bool is_named,
                                          const struct net_interface *kernel);
void dhcp_interface_free(struct dhcp_interface *interface);
/* Answers nobody from now on; we are ending. */
void dhcp_interface_stop(struct dhcp_interface *interface);
/* What the kernel says of it now. */
void dhcp_interface_update(struct dhcp_interface *interface, const struct net_interface *kernel);
/* The address clients reach us at, 0: none. */
uint32_t dhcp_interface_address(const struct dhcp_interface *interface);
enum dhcp_role dhcp_interface_role(const struct dhcp_interface *interface);
/* Settings of the configuration or of the named clients changed. */
void dhcp_interface_reconfigure(struct dhcp_interface *interface,
                                const struct config_interface *config);
/* It is no longer served; all that stays is its fallback address, as long as sessions use it. */
void dhcp_interface_leave(struct dhcp_interface *interface);
/* True when nothing is left of it: its address is gone, perhaps just now. */
bool dhcp_interface_has_left(struct dhcp_interface *interface, const struct net_interface *kernel);
/* True while it is to be looked at every few seconds. */
bool dhcp_interface_is_restless(const struct dhcp_interface *interface);

/* ── dhcp_fallback.c ─────────────────────────────────────────────────────────────────────────── */

/* The address for an interface that has none: fallback-address, or where that is the usual one and
 * another interface of ours is in its network, the same in the next free network. 0 or -EADDRINUSE
 * with a sentence. */
int dhcp_fallback_choose(const struct dhcp_interface *interface, uint32_t *ret_address,
                         struct error *error);
/* False: it was set for another fallback-address. */
bool dhcp_fallback_fits(const struct dhcp_interface *interface, const struct net_address *address);

/* ── dhcp_events.c ───────────────────────────────────────────────────────────────────────────── */

void dhcp_interface_note(struct dhcp_interface *interface, const struct dhcp_event *event);
uint64_t dhcp_interface_now_ms(const struct dhcp_interface *interface);
const char *dhcp_address_text(uint32_t address, char to[INET_ADDRSTRLEN]);
