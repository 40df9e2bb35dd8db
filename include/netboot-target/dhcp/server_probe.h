/*
 * dhcp/server_probe.h - which role an interface has, and how `auto` finds out: it looks for a DHCP
 * server, and only where none answers and nothing speaks against it, it becomes one. Pure: the
 * caller tells facts and the time, and carries out actions.
 *
 *      no carrier ──▶ DOWN ──carrier──▶ PROBING ──silence──▶ CLAIMING ──claimed──▶ SERVER
 *                                          │                    │                    │
 *                    an obstacle, or a server answers       refused: probes      a server shows up
 *                                          ▼                 again later             ▼
 *                                     PROXY or OFF                                 PROXY
 *
 * A server by configuration serves at once. It makes room for another netboot-target alone: of two
 * on one wire the one with the lower MAC serves, and the other one goes on when that is gone.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/dhcp/message.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/random.h>

enum dhcp_wanted_role {
    DHCP_WANTED_AUTO,
    DHCP_WANTED_PROXY,
    DHCP_WANTED_SERVER,
    DHCP_WANTED_OFF,
};

enum dhcp_role {
    DHCP_ROLE_OFF,    /* answers nobody */
    DHCP_ROLE_PROXY,  /* names boot files beside another server, hands out no addresses */
    DHCP_ROLE_SERVER, /* answers every client */
};

/* Why a role is what it is. dhcp_role_reason_text() has the words. */
enum dhcp_role_reason {
    DHCP_REASON_CONFIGURED,
    DHCP_REASON_NO_CARRIER,
    DHCP_REASON_PROBING,
    DHCP_REASON_CLAIMING,
    DHCP_REASON_NO_SERVER_ANSWERED,
    DHCP_REASON_SERVER_ANSWERED,
    DHCP_REASON_PEER_SERVES,
    DHCP_REASON_LEASED_ADDRESS,
    DHCP_REASON_HAS_ADDRESS,
    DHCP_REASON_DEFAULT_ROUTE,
    DHCP_REASON_WIRELESS,
    DHCP_REASON_BRIDGE_PORT,
    DHCP_REASON_TUNNEL,
    DHCP_REASON_VIRTUAL,
    DHCP_REASON_ADDRESS_REFUSED,
};

/* What the kernel and the configuration say of the interface. */
struct dhcp_interface_state {
    bool carrier;
    bool wireless;
    bool bridge_port;
    bool tunnel;
    bool virtual_device;
    bool named;                /* the configuration names it, so that its kind is no obstacle */
    bool has_address;          /* an IPv4 address other than our labelled fallback address */
    bool address_is_finite;    /* it has a limited lifetime: a DHCP server gave it */
    bool has_default_route;    /* a default route, IPv4 or IPv6, over this interface */
    bool has_fallback_address; /* ours is set, perhaps by an earlier process */
    unsigned sessions;         /* live ones that came over the fallback address */
};

#define DHCP_SERVER_PROBE_MS_DEFAULT 5000u /* servers may ping for 3 s before they offer */

struct dhcp_server_probe_settings {
    enum dhcp_wanted_role wanted;
    uint8_t own_mac[DHCP_MAC_BYTES];
    uint32_t probe_ms; /* how long after carrier; 0: the default */
};

enum dhcp_role_action {
    DHCP_ACTION_SEND_DISCOVER,   /* broadcast what dhcp_server_probe_write() gives, 68 → 67 */
    DHCP_ACTION_CLAIM_ADDRESS,   /* ARP-probe the fallback address, set it, report the result */
    DHCP_ACTION_RELEASE_ADDRESS, /* take the fallback address away */
    DHCP_ACTION_ROLE_CHANGED,    /* read role and reason anew, and say so */
};

struct dhcp_server_probe;

/* `random` is borrowed. NULL: out of memory. Begins with no carrier. */
struct dhcp_server_probe *dhcp_server_probe_new(const struct dhcp_server_probe_settings *settings,
                                                struct random_source *random, uint64_t now_ms);
void dhcp_server_probe_free(struct dhcp_server_probe *probe);

/* Tell all facts whenever one of them changes. */
void dhcp_server_probe_interface_changed(struct dhcp_server_probe *probe,
                                         const struct dhcp_interface_state *state, uint64_t now_ms);
/* What came to port 68 of the interface; anything that does not answer our DISCOVER is ignored. */
void dhcp_server_probe_receive(struct dhcp_server_probe *probe, const uint8_t *packet,
                               size_t length, uint64_t now_ms);
/* From DHCP_EVENT_FOREIGN_SERVER: a client spoke of another server. */
void dhcp_server_probe_server_seen(struct dhcp_server_probe *probe, uint32_t server,
                                   uint64_t now_ms);
/* From DHCP_EVENT_PEER: another netboot-target looks for a server on this wire. Of two that look
 * at the same time the one with the lower MAC goes on, so that one serves. */
void dhcp_server_probe_peer_seen(struct dhcp_server_probe *probe, const uint8_t mac[DHCP_MAC_BYTES],
                                 uint64_t now_ms);
/* The result of DHCP_ACTION_CLAIM_ADDRESS: 0, -EADDRINUSE or another -errno. A claim of an address
 * that we have already (has_fallback_address) is to succeed. */
void dhcp_server_probe_claimed(struct dhcp_server_probe *probe, int result, uint64_t now_ms);
/* To be called at the deadline; before it, nothing happens. */
void dhcp_server_probe_expire(struct dhcp_server_probe *probe, uint64_t now_ms);
uint64_t dhcp_server_probe_deadline_ms(const struct dhcp_server_probe *probe);
/* False: nothing more to do. Pull after each call above. */
bool dhcp_server_probe_next_action(struct dhcp_server_probe *probe,
                                   enum dhcp_role_action *ret_action);
/* Appends the DHCPDISCOVER of this round. */
void dhcp_server_probe_write(const struct dhcp_server_probe *probe, struct buffer *out);

enum dhcp_role dhcp_server_probe_role(const struct dhcp_server_probe *probe);
enum dhcp_role_reason dhcp_server_probe_reason(const struct dhcp_server_probe *probe);
/* The server that made us a proxy, 0: none. */
uint32_t dhcp_server_probe_server(const struct dhcp_server_probe *probe);

/* "off", "proxy", "server" */
const char *dhcp_role_name(enum dhcp_role role);
/* "no other DHCP server answered" … */
const char *dhcp_role_reason_text(enum dhcp_role_reason reason);
