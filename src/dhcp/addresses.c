/* addresses.c - giving addresses: DISCOVER, REQUEST, INFORM, DECLINE, RELEASE (RFC 2131 §4.3) */
#include <string.h>

#include <netboot-target/util/array.h>

#include "service.h"

static const uint8_t nobody[DHCP_MAC_BYTES];

/* ── probing ─────────────────────────────────────────────────────────────────────────────────── */

/* A flood of made-up cards leaves room for those that are known. */
static struct dhcp_pending *find_pending(struct dhcp_service *service, uint32_t address,
                                         bool is_known, uint64_t now_ms)
{
    struct dhcp_pending *unused = NULL;
    size_t limit = is_known ? PENDING_LIMIT : PENDING_LIMIT - PENDING_KNOWN;
    for (size_t i = 0; i < limit; i++) {
        struct dhcp_pending *pending = &service->pending[i];
        if (pending->used && now_ms - pending->since_ms >= DHCP_PROBE_RESULT_MS)
            pending->used = false;
        if (pending->used && pending->address == address)
            return pending;
        if (!pending->used)
            unused = pending;
    }
    return unused;
}

/* Keeps the message and asks for a probe; a repeated message only takes the place of the first. */
static void probe_first(struct dhcp_exchange *exchange, struct dhcp_lease *lease)
{
    uint64_t now_ms = exchange->now_ms;
    struct dhcp_pending *pending =
        find_pending(exchange->service, lease->address, dhcp_exchange_is_known(exchange), now_ms);
    if (!pending) {
        dhcp_exchange_silent(exchange, DHCP_SILENCE_RATE);
        return;
    }
    bool is_new = !pending->used;
    if (is_new)
        pending->since_ms = now_ms;
    pending->used = true;
    pending->address = lease->address;
    pending->message = *exchange->message;
    pending->arrival = *exchange->arrival;
    if (is_new) {
        dhcp_lease_set(lease, DHCP_LEASE_PROBING, exchange->client.mac, now_ms);
        struct dhcp_event event = dhcp_exchange_event(exchange, DHCP_EVENT_PROBE);
        event.address = lease->address;
        dhcp_service_push_event(exchange->service, &event);
    }
    dhcp_exchange_silent(exchange, DHCP_SILENCE_PROBING);
}

/* ── which address ───────────────────────────────────────────────────────────────────────────── */

/* An address written down for somebody is that client's alone. */
static bool is_theirs_to_ask(const struct dhcp_exchange *exchange, const struct dhcp_lease *lease)
{
    if (exchange->named && exchange->named->address)
        return lease->address == exchange->named->address;
    return lease->in_pool && !lease->reserved;
}

static enum dhcp_grant_verdict refuse(struct dhcp_exchange *exchange, enum dhcp_silence silence)
{
    dhcp_exchange_silent(exchange, silence);
    return DHCP_GRANT_SILENT;
}

static enum dhcp_grant_verdict give(struct dhcp_exchange *exchange, struct dhcp_lease *lease,
                                    enum dhcp_lease_state state, struct dhcp_grant *ret_grant)
{
    dhcp_lease_set(lease, state, exchange->client.mac, exchange->now_ms);
    lease->known = dhcp_exchange_is_known(exchange);
    if (exchange->record) {
        exchange->record->address = lease->address;
        exchange->record->known |= state == DHCP_LEASE_BOUND;
    }
    ret_grant->type = exchange->message->type == DHCP_DISCOVER ? DHCP_OFFER : DHCP_ACK;
    ret_grant->address = lease->address;
    return DHCP_GRANT_GIVE;
}

/* The address that is written down for this client is not to be had. */
static void tell_holder(const struct dhcp_exchange *exchange, const struct dhcp_lease *lease)
{
    struct dhcp_event event = dhcp_exchange_event(exchange, DHCP_EVENT_SILENT);
    event.silence = DHCP_SILENCE_ADDRESS_HELD;
    event.address = lease->address;
    memcpy(event.mac, lease->mac, sizeof event.mac);
    dhcp_service_push_event(exchange->service, &event);
}

static enum dhcp_grant_verdict answer_discover(struct dhcp_exchange *exchange,
                                               struct dhcp_grant *ret_grant)
{
    struct dhcp_leases *leases = exchange->service->leases;
    const uint8_t *mac = exchange->client.mac;
    uint32_t wanted = dhcp_message_option_u32(exchange->message, DHCP_OPTION_REQUESTED_ADDRESS);
    bool is_named = exchange->named && exchange->named->address;
    struct dhcp_lease *lease =
        is_named ? dhcp_leases_find(leases, exchange->named->address)
                 : dhcp_leases_choose(leases, mac, wanted, dhcp_exchange_is_known(exchange),
                                      exchange->now_ms);
    if (!lease)
        return refuse(exchange, DHCP_SILENCE_POOL);
    if (is_named && !dhcp_lease_is_open_to(lease, mac, exchange->now_ms)) {
        tell_holder(exchange, lease);
        return DHCP_GRANT_SILENT;
    }
    if (!dhcp_lease_is_verified(lease, mac, exchange->now_ms)) {
        probe_first(exchange, lease);
        return DHCP_GRANT_SILENT;
    }
    bool is_bound = lease->state == DHCP_LEASE_BOUND;
    return give(exchange, lease, is_bound ? DHCP_LEASE_BOUND : DHCP_LEASE_OFFERED, ret_grant);
}

/* SELECTING and INIT-REBOOT: the client does not use the address yet, so it is probed unless that
 * was done for the offer. RENEWING and REBINDING: it does, and would answer the probe itself. */
static enum dhcp_grant_verdict claim(struct dhcp_exchange *exchange, uint32_t address,
                                     bool is_in_use, struct dhcp_grant *ret_grant)
{
    struct dhcp_lease *lease = dhcp_leases_find(exchange->service->leases, address);
    if (!lease || !is_theirs_to_ask(exchange, lease) ||
        !dhcp_lease_is_open_to(lease, exchange->client.mac, exchange->now_ms))
        return refuse(exchange, DHCP_SILENCE_ADDRESS);
    if (!is_in_use && !dhcp_lease_is_verified(lease, exchange->client.mac, exchange->now_ms)) {
        probe_first(exchange, lease);
        return DHCP_GRANT_SILENT;
    }
    if (is_in_use)
        lease->probed_ms = exchange->now_ms;
    return give(exchange, lease, DHCP_LEASE_BOUND, ret_grant);
}

/* Only a server that stands alone may say no, and only to what can't be right here: an address of
 * another network. All else could disturb a client that somebody else serves. */
static bool may_refuse(const struct dhcp_exchange *exchange, uint32_t address)
{
    return exchange->standing == DHCP_STANDING_SERVER && exchange->way == DHCP_WAY_LINK &&
           !dhcp_is_on_link(&exchange->service->settings, address);
}

/* RFC 2131 §4.3.2, table 4. */
static enum dhcp_grant_verdict answer_request(struct dhcp_exchange *exchange,
                                              struct dhcp_grant *ret_grant)
{
    const struct dhcp_message *message = exchange->message;
    uint32_t server = dhcp_message_option_u32(message, DHCP_OPTION_SERVER_ID);
    uint32_t requested = dhcp_message_option_u32(message, DHCP_OPTION_REQUESTED_ADDRESS);
    if (server) /* SELECTING: us, the others were sorted out before */
        return requested ? claim(exchange, requested, false, ret_grant)
                         : refuse(exchange, DHCP_SILENCE_ADDRESS);
    bool is_in_use = !requested; /* RENEWING, REBINDING; else INIT-REBOOT */
    uint32_t address = requested ? requested : message->client_address;
    if (!address)
        return refuse(exchange, DHCP_SILENCE_NOT_A_REQUEST);
    if (may_refuse(exchange, address))
        return DHCP_GRANT_NAK;
    return claim(exchange, address, is_in_use, ret_grant);
}

enum dhcp_grant_verdict dhcp_exchange_grant(struct dhcp_exchange *exchange,
                                            struct dhcp_grant *ret_grant)
{
    switch (exchange->message->type) {
    case DHCP_DISCOVER:
        return answer_discover(exchange, ret_grant);
    case DHCP_REQUEST:
        return answer_request(exchange, ret_grant);
    default: /* INFORM: settings, but no address and no lease (RFC 2131 §4.3.5) */
        *ret_grant = (struct dhcp_grant){.type = DHCP_ACK};
        return DHCP_GRANT_GIVE;
    }
}

/* ── taking back ─────────────────────────────────────────────────────────────────────────────── */

static struct dhcp_lease *lease_of_client(const struct dhcp_exchange *exchange, uint32_t address)
{
    struct dhcp_lease *lease = dhcp_leases_find(exchange->service->leases, address);
    bool is_given =
        lease && (lease->state == DHCP_LEASE_OFFERED || lease->state == DHCP_LEASE_BOUND);
    if (!is_given || memcmp(lease->mac, exchange->client.mac, DHCP_MAC_BYTES) != 0)
        return NULL;
    return lease;
}

static void take_back(struct dhcp_exchange *exchange, struct dhcp_lease *lease,
                      enum dhcp_lease_state state, enum dhcp_event_type type)
{
    dhcp_lease_set(lease, state, nobody, exchange->now_ms);
    struct dhcp_event event = dhcp_exchange_event(exchange, type);
    event.address = lease->address;
    dhcp_service_push_event(exchange->service, &event);
}

static bool is_for_us(const struct dhcp_exchange *exchange)
{
    return dhcp_message_option_u32(exchange->message, DHCP_OPTION_SERVER_ID) ==
           exchange->own_address;
}

void dhcp_exchange_decline(struct dhcp_exchange *exchange)
{
    uint32_t address = dhcp_message_option_u32(exchange->message, DHCP_OPTION_REQUESTED_ADDRESS);
    struct dhcp_lease *lease = lease_of_client(exchange, address);
    if (lease && is_for_us(exchange))
        take_back(exchange, lease, DHCP_LEASE_CONFLICT, DHCP_EVENT_DECLINED);
}

void dhcp_exchange_release(struct dhcp_exchange *exchange)
{
    struct dhcp_lease *lease = lease_of_client(exchange, exchange->message->client_address);
    if (lease && is_for_us(exchange))
        take_back(exchange, lease, DHCP_LEASE_FREE, DHCP_EVENT_RELEASED);
}

void dhcp_exchange_forget_offer(struct dhcp_exchange *exchange)
{
    struct dhcp_lease *lease =
        dhcp_leases_find_by_mac(exchange->service->leases, exchange->client.mac);
    if (lease && lease->state == DHCP_LEASE_OFFERED)
        dhcp_lease_set(lease, DHCP_LEASE_FREE, nobody, exchange->now_ms);
}
