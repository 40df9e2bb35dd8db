/*
 * net_interfaces.h - the network interfaces of this machine as the kernel tells of them
 * (rtnetlink, sysfs): what kind they are, carrier, IPv4 addresses, default routes. Addresses are
 * host integers.
 */
#pragma once
#include <ev.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/util/error.h>

#define NET_MAC_BYTES       6
#define NET_ADDRESSES_LIMIT 16
/* Our fallback address carries the label "IFNAME:nbt" (the name cut to make room). */
#define NET_FALLBACK_SUFFIX ":nbt"

struct net_address {
    uint32_t address;
    uint8_t prefix;
    bool is_finite;   /* it has a limited lifetime: a DHCP server gave it */
    bool is_fallback; /* we set it, perhaps an earlier process of ours */
};

struct net_interface {
    struct net_interface *prev, *next;
    int index;
    char name[IF_NAMESIZE];
    bool is_ethernet; /* Ethernet frames and a MAC; not the loopback */
    uint8_t mac[NET_MAC_BYTES];
    bool is_up;
    bool has_carrier;
    bool is_wireless;
    bool is_bridge_port;
    bool is_tunnel;
    bool is_virtual; /* no device behind it: a bridge, bond, VLAN, one end of a pair */
    bool has_default_route;
    unsigned address_count;
    struct net_address addresses[NET_ADDRESSES_LIMIT];
};

struct net_watcher;

/* `changed` is called from the loop after something did, never inside another call. 0 or -errno. */
int net_watcher_new(struct ev_loop *loop, void (*changed)(void *context), void *context,
                    struct net_watcher **ret_watcher, struct error *error);
void net_watcher_free(struct net_watcher *watcher);
/* Asks the kernel again, at once. Interfaces handed out before are gone. */
void net_watcher_refresh(struct net_watcher *watcher);
/* The head of the list; valid until the next refresh, which also happens before `changed`. */
const struct net_interface *net_watcher_interfaces(const struct net_watcher *watcher);
const struct net_interface *net_watcher_find(const struct net_watcher *watcher, int index);
/* The interface that has this IPv4 address. NULL: none. */
const struct net_interface *net_watcher_find_address(const struct net_watcher *watcher,
                                                     uint32_t address);

/* Sets or removes the labelled fallback address. 0 or -errno with a sentence; one that is there
 * already, or gone already, is a success. */
int net_fallback_add(struct net_watcher *watcher, const struct net_interface *interface,
                     uint32_t address, uint8_t prefix, struct error *error);
int net_fallback_remove(struct net_watcher *watcher, const struct net_interface *interface,
                        uint32_t address, uint8_t prefix, struct error *error);

/* Who configures this interface and would take a foreign address away: "NetworkManager",
 * "systemd-networkd", with the cure. NULL: nobody known. */
struct net_manager {
    const char *name;
    const char *cure;
};
const struct net_manager *net_interface_manager(const struct net_interface *interface);
