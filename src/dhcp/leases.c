/* leases.c - see leases.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "leases.h"
#include "reply.h"

#define OFFER_MS       60000u
#define OFFER_REST_MS  10000u /* firmware takes some seconds to choose among offers */
#define CONFLICT_MS    600000u
#define VERIFIED_MS    600000u
#define RECYCLE_AGE_MS 3600000u /* younger ones are not taken from anybody */

struct dhcp_leases {
    size_t pool_count; /* the first ones, in order of their addresses */
    size_t count;      /* behind them, reserved addresses outside the pool */
    struct dhcp_lease leases[];
};

/* ── the addresses ───────────────────────────────────────────────────────────────────────────── */

static int find_pool(const struct dhcp_settings *settings, uint32_t *ret_first, uint32_t *ret_last)
{
    uint32_t network = settings->own_address & settings->netmask;
    uint32_t broadcast = network | ~settings->netmask;
    uint32_t first = settings->pool_first, last = settings->pool_last;
    if (broadcast - network < 2) { /* a point-to-point mask has no hosts to give away */
        *ret_first = 1;
        *ret_last = 0;
        return 0;
    }
    if (!first) {
        first = network + 1;
        last = min_of(broadcast - 1, first + DHCP_POOL_LIMIT - 1);
    }
    if (first <= network || last >= broadcast || first > last || last - first >= DHCP_POOL_LIMIT)
        return -EINVAL;
    *ret_first = first;
    *ret_last = last;
    return 0;
}

static void add(struct dhcp_leases *leases, uint32_t address, bool in_pool, bool reserved)
{
    struct dhcp_lease *lease = &leases->leases[leases->count++];
    *lease = (struct dhcp_lease){.address = address, .in_pool = in_pool, .reserved = reserved};
}

static void add_reserved(struct dhcp_leases *leases, const struct dhcp_settings *settings)
{
    for (unsigned i = 0; i < settings->client_count; i++) {
        uint32_t address = settings->clients[i].address;
        struct dhcp_lease *lease = address ? dhcp_leases_find(leases, address) : NULL;
        if (lease)
            lease->reserved = true;
        else if (address && address != settings->own_address)
            add(leases, address, false, true);
    }
}

static void remember(struct dhcp_leases *leases, const struct dhcp_leases *old)
{
    for (size_t i = 0; old && i < leases->count; i++) {
        struct dhcp_lease *lease = &leases->leases[i];
        const struct dhcp_lease *before = dhcp_leases_find(old, lease->address);
        if (!before)
            continue;
        bool in_pool = lease->in_pool, reserved = lease->reserved;
        *lease = *before;
        lease->in_pool = in_pool;
        lease->reserved = reserved;
    }
}

struct dhcp_leases *dhcp_leases_new(const struct dhcp_settings *settings,
                                    const struct dhcp_leases *old, int *ret_error)
{
    uint32_t first = 1, last = 0; /* no own address, no subnet, no pool */
    int r = settings->own_address ? find_pool(settings, &first, &last) : 0;
    if (r < 0) {
        *ret_error = r;
        return NULL;
    }
    size_t most = last - first + 1u + settings->client_count;
    struct dhcp_leases *leases = calloc(1, sizeof *leases + most * sizeof leases->leases[0]);
    if (!leases) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    for (uint32_t address = first; address <= last; address++) {
        if (address != settings->own_address)
            add(leases, address, true, false);
    }
    leases->pool_count = leases->count;
    add_reserved(leases, settings);
    remember(leases, old);
    return leases;
}

void dhcp_leases_free(struct dhcp_leases *leases)
{
    free(leases);
}

struct dhcp_lease *dhcp_leases_find(const struct dhcp_leases *leases, uint32_t address)
{
    for (size_t i = 0; i < leases->count; i++) {
        if (leases->leases[i].address == address)
            return (struct dhcp_lease *)&leases->leases[i];
    }
    return NULL;
}

struct dhcp_lease *dhcp_leases_find_by_mac(const struct dhcp_leases *leases,
                                           const uint8_t mac[DHCP_MAC_BYTES])
{
    for (size_t i = 0; i < leases->count; i++) {
        const struct dhcp_lease *lease = &leases->leases[i];
        bool is_given = lease->state == DHCP_LEASE_PROBING || lease->state == DHCP_LEASE_OFFERED ||
                        lease->state == DHCP_LEASE_BOUND;
        if (is_given && memcmp(lease->mac, mac, DHCP_MAC_BYTES) == 0)
            return (struct dhcp_lease *)lease;
    }
    return NULL;
}

/* ── one address ─────────────────────────────────────────────────────────────────────────────── */

static uint64_t lifetime_ms(enum dhcp_lease_state state)
{
    switch (state) {
    case DHCP_LEASE_PROBING:
        return DHCP_PROBE_RESULT_MS;
    case DHCP_LEASE_OFFERED:
        return OFFER_MS;
    case DHCP_LEASE_CONFLICT:
        return CONFLICT_MS;
    case DHCP_LEASE_FREE:
    case DHCP_LEASE_BOUND:
        break;
    }
    return UINT64_MAX;
}

bool dhcp_lease_is_open_to(const struct dhcp_lease *lease, const uint8_t mac[DHCP_MAC_BYTES],
                           uint64_t now_ms)
{
    return lease->state == DHCP_LEASE_FREE || memcmp(lease->mac, mac, DHCP_MAC_BYTES) == 0 ||
           now_ms - lease->changed_ms >= lifetime_ms(lease->state);
}

bool dhcp_lease_is_verified(const struct dhcp_lease *lease, const uint8_t mac[DHCP_MAC_BYTES],
                            uint64_t now_ms)
{
    return (lease->state == DHCP_LEASE_OFFERED || lease->state == DHCP_LEASE_BOUND) &&
           memcmp(lease->mac, mac, DHCP_MAC_BYTES) == 0 && now_ms - lease->probed_ms < VERIFIED_MS;
}

void dhcp_lease_set(struct dhcp_lease *lease, enum dhcp_lease_state state,
                    const uint8_t mac[DHCP_MAC_BYTES], uint64_t now_ms)
{
    lease->state = state;
    memcpy(lease->mac, mac, DHCP_MAC_BYTES);
    lease->known = false;
    lease->changed_ms = now_ms;
    lease->seen_ms = now_ms;
}

/* ── choosing ────────────────────────────────────────────────────────────────────────────────── */

/* FNV-1a, and a finish that mixes the low bits: MACs of one batch differ only in the last bytes. */
static uint32_t hash_mac(const uint8_t mac[DHCP_MAC_BYTES])
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < DHCP_MAC_BYTES; i++)
        hash = (hash ^ mac[i]) * 16777619u;
    hash ^= hash >> 15;
    hash *= 0x2c1b3c6du;
    return hash ^ hash >> 12;
}

static bool is_free_for(const struct dhcp_lease *lease, const uint8_t mac[DHCP_MAC_BYTES],
                        uint64_t now_ms)
{
    return lease->in_pool && !lease->reserved && dhcp_lease_is_open_to(lease, mac, now_ms);
}

/* Offers that nobody came back for: whoever makes up network cards gets many. */
static struct dhcp_lease *oldest_offer(const struct dhcp_leases *leases, bool is_known,
                                       uint64_t now_ms)
{
    const struct dhcp_lease *found = NULL;
    for (size_t i = 0; i < leases->pool_count; i++) {
        const struct dhcp_lease *lease = &leases->leases[i];
        bool rests = (is_known && !lease->known) || now_ms - lease->changed_ms >= OFFER_REST_MS;
        if (lease->state == DHCP_LEASE_OFFERED && !lease->reserved && rests &&
            (!found || lease->changed_ms < found->changed_ms))
            found = lease;
    }
    return (struct dhcp_lease *)found;
}

static struct dhcp_lease *oldest(const struct dhcp_leases *leases, uint64_t now_ms)
{
    const struct dhcp_lease *found = NULL;
    for (size_t i = 0; i < leases->pool_count; i++) {
        const struct dhcp_lease *lease = &leases->leases[i];
        if (lease->state == DHCP_LEASE_BOUND && !lease->reserved &&
            now_ms - lease->seen_ms >= RECYCLE_AGE_MS &&
            (!found || lease->seen_ms < found->seen_ms))
            found = lease;
    }
    return (struct dhcp_lease *)found;
}

struct dhcp_lease *dhcp_leases_choose(const struct dhcp_leases *leases,
                                      const uint8_t mac[DHCP_MAC_BYTES], uint32_t wanted,
                                      bool is_known, uint64_t now_ms)
{
    struct dhcp_lease *lease = dhcp_leases_find_by_mac(leases, mac);
    if (lease && is_free_for(lease, mac, now_ms))
        return lease;
    lease = wanted ? dhcp_leases_find(leases, wanted) : NULL;
    if (lease && is_free_for(lease, mac, now_ms))
        return lease;
    size_t start = leases->pool_count ? hash_mac(mac) % leases->pool_count : 0;
    for (size_t i = 0; i < leases->pool_count; i++) {
        size_t at = (start + i) % leases->pool_count;
        if (is_free_for(&leases->leases[at], mac, now_ms))
            return (struct dhcp_lease *)&leases->leases[at];
    }
    lease = oldest_offer(leases, is_known, now_ms);
    return lease ? lease : oldest(leases, now_ms);
}
