/*
 * leases.h - which address a client gets. Nothing is stored: the address is a function of the MAC
 * and the pool, so that a restart gives the same one; what is known in memory only keeps two
 * clients, or a client and a stranger, from sharing one.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/dhcp.h>

enum dhcp_lease_state {
    DHCP_LEASE_FREE,
    DHCP_LEASE_PROBING,  /* somebody wants it; a probe runs */
    DHCP_LEASE_OFFERED,  /* for a minute; the oldest goes first when the pool is full */
    DHCP_LEASE_BOUND,    /* for ever, but the oldest goes first when the pool is full */
    DHCP_LEASE_CONFLICT, /* a stranger holds it; looked at again after ten minutes */
};

struct dhcp_lease {
    uint32_t address;
    bool in_pool;
    bool reserved; /* written down for one client */
    enum dhcp_lease_state state;
    uint8_t mac[DHCP_MAC_BYTES]; /* whose it is; zero: nobody knows */
    bool known;                  /* …and no made-up card's: an offer that is not taken from it */
    uint64_t changed_ms;
    uint64_t probed_ms; /* when nobody else was found to hold it */
    uint64_t seen_ms;
};

#define DHCP_PROBE_RESULT_MS 3000u /* a probe without a result is forgotten */

struct dhcp_leases;

/* The subnet of `settings`, its pool and the addresses of its clients. NULL with `ret_error`
 * -ENOMEM or -EINVAL: a pool outside the subnet, or the wrong way round. `old` (may be NULL) tells
 * what is known of addresses that remain. */
struct dhcp_leases *dhcp_leases_new(const struct dhcp_settings *settings,
                                    const struct dhcp_leases *old, int *ret_error);
void dhcp_leases_free(struct dhcp_leases *leases);

struct dhcp_lease *dhcp_leases_find(const struct dhcp_leases *leases, uint32_t address);
/* The client's address of the pool: what it has, else `wanted` when free, else its place by MAC or
 * the next free one behind, else one that was only offered (a client that is known waits for none
 * of those that are not), else the one unseen for longest. NULL: none. */
struct dhcp_lease *dhcp_leases_choose(const struct dhcp_leases *leases,
                                      const uint8_t mac[DHCP_MAC_BYTES], uint32_t wanted,
                                      bool is_known, uint64_t now_ms);
struct dhcp_lease *dhcp_leases_find_by_mac(const struct dhcp_leases *leases,
                                           const uint8_t mac[DHCP_MAC_BYTES]);

/* False: somebody else has it, or holds it without asking us. */
bool dhcp_lease_is_open_to(const struct dhcp_lease *lease, const uint8_t mac[DHCP_MAC_BYTES],
                           uint64_t now_ms);
/* True when it was probed for this client just now, or the client has been using it. */
bool dhcp_lease_is_verified(const struct dhcp_lease *lease, const uint8_t mac[DHCP_MAC_BYTES],
                            uint64_t now_ms);
void dhcp_lease_set(struct dhcp_lease *lease, enum dhcp_lease_state state,
                    const uint8_t mac[DHCP_MAC_BYTES], uint64_t now_ms);
