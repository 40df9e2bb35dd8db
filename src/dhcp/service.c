/* service.c - one message's way through the room, see dhcp.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#include "options.h"
#include "peer.h"
#include "service.h"
#include "wire.h"

#define REPLIES_PER_SECOND 50u
#define TOKEN              1000u
#define BOOTING_MS         60000u  /* how long a DISCOVER gives permission for router help */
#define KNOWN_MS           600000u /* how long it vouches for a client from off the link */
#define PXE_BOOT_ITEM      71u     /* sub-option of 43 */

/* ── who asks, and what we are to them ───────────────────────────────────────────────────────── */

static const struct dhcp_named_client *match_named(const struct dhcp_settings *settings,
                                                   const struct dhcp_client *client)
{
    for (unsigned i = 0; i < settings->client_count; i++) {
        const struct dhcp_named_client *named = &settings->clients[i];
        if (named->has_mac && memcmp(named->mac, client->mac, sizeof named->mac) != 0)
            continue;
        if (named->has_uuid &&
            (!client->has_uuid || memcmp(named->uuid, client->uuid, sizeof named->uuid) != 0))
            continue;
        if (named->has_mac || named->has_uuid)
            return named;
    }
    return NULL;
}

/* An installed system does not send the UUID that its firmware sent; the record of its MAC has it.
 */
static const struct dhcp_named_client *find_named(struct dhcp_service *service,
                                                  const struct dhcp_client *client)
{
    const struct dhcp_named_client *named = match_named(&service->settings, client);
    const struct dhcp_record *record = dhcp_roster_find(&service->roster, client->mac);
    return named || !record ? named : match_named(&service->settings, &record->client);
}

static enum dhcp_way way_of(const struct dhcp_message *message, const struct dhcp_arrival *arrival)
{
    if (arrival->port == DHCP_PORT_BOOT_SERVER)
        return DHCP_WAY_BOOT_SERVER;
    return message->relay_address ? DHCP_WAY_RELAYED : DHCP_WAY_LINK;
}

/* Addresses of ours fit only clients of our subnet; for those behind a relay we are a proxy. */
static enum dhcp_standing standing_of(const struct dhcp_exchange *exchange)
{
    const struct dhcp_settings *settings = &exchange->service->settings;
    if (settings->role == DHCP_ROLE_OFF || !settings->own_address)
        return DHCP_STANDING_OFF;
    if (exchange->way == DHCP_WAY_RELAYED &&
        !dhcp_is_on_link(settings, exchange->message->relay_address))
        return DHCP_STANDING_PROXY;
    if (settings->role == DHCP_ROLE_SERVER)
        return DHCP_STANDING_SERVER;
    bool is_named = exchange->named && exchange->named->address;
    return is_named ? DHCP_STANDING_NAMED : DHCP_STANDING_PROXY;
}

static enum dhcp_firmware firmware_of(const struct dhcp_client *client)
{
    if (client->architecture)
        return client->architecture->firmware;
    if (client->has_architecture)
        return DHCP_FIRMWARE_OTHER;
    /* A ROM too old for option 93 is a BIOS. */
    return client->class == DHCP_CLIENT_HTTP ? DHCP_FIRMWARE_UEFI_HTTP : DHCP_FIRMWARE_BIOS;
}

/* A relay's address that a datagram may be sent to. */
static bool is_plausible_relay(const struct dhcp_settings *settings, uint32_t address)
{
    return address >> 24 != 0 && address >> 24 != 127 && address < 0xe0000000u &&
           address != settings->own_address;
}

/* What we heard of the client's address: from the server that it chose, or on port 4011. */
static void learn(struct dhcp_exchange *exchange)
{
    const struct dhcp_message *message = exchange->message;
    struct dhcp_record *record = exchange->record;
    bool boots =
        exchange->client.class == DHCP_CLIENT_PXE || exchange->client.class == DHCP_CLIENT_IPXE;
    if (message->type == DHCP_DISCOVER && boots) {
        record->booted = true;
        record->discovered_ms = exchange->now_ms;
    }
    uint32_t requested = dhcp_message_option_u32(message, DHCP_OPTION_REQUESTED_ADDRESS);
    if (message->type == DHCP_REQUEST && requested)
        record->address = requested;
    else if (message->client_address)
        record->address = message->client_address;
}

/* A record for whoever boots, and for whoever booted before; others only pass by. */
static void remember(struct dhcp_exchange *exchange)
{
    struct dhcp_roster *roster = &exchange->service->roster;
    const uint8_t *mac = exchange->client.mac;
    bool boots = dhcp_policy_stage(exchange->client.class) != DHCP_BOOT_NONE;
    exchange->record = boots || exchange->standing == DHCP_STANDING_SERVER
                           ? dhcp_roster_get(roster, mac, exchange->now_ms)
                           : dhcp_roster_find(roster, mac);
    if (!exchange->record)
        return;
    if (boots || exchange->record->client.class == DHCP_CLIENT_OTHER)
        exchange->record->client = exchange->client;
    exchange->record->known |= exchange->named != NULL;
    learn(exchange);
}

bool dhcp_exchange_is_known(const struct dhcp_exchange *exchange)
{
    return exchange->named || (exchange->record && exchange->record->known);
}

/* ── what is not answered ────────────────────────────────────────────────────────────────────── */

static bool knows_client(const struct dhcp_exchange *exchange)
{
    return exchange->record && exchange->record->booted &&
           exchange->now_ms - exchange->record->discovered_ms < KNOWN_MS;
}

/* Another server's menu makes clients ask all boot servers for an item; we have no menu. */
static bool is_call_for_others(const struct dhcp_exchange *exchange)
{
    size_t length, item_length;
    const uint8_t *vendor =
        dhcp_message_option(exchange->message, DHCP_OPTION_VENDOR_SPECIFIC, &length);
    return !exchange->arrival->local_address && vendor &&
           dhcp_suboption_find(vendor, length, PXE_BOOT_ITEM, &item_length, NULL);
}

static enum dhcp_silence check_sender(const struct dhcp_exchange *exchange)
{
    const struct dhcp_settings *settings = &exchange->service->settings;
    uint32_t source = exchange->arrival->source_address;
    if (exchange->way == DHCP_WAY_RELAYED &&
        !is_plausible_relay(settings, exchange->message->relay_address))
        return DHCP_SILENCE_NOT_A_REQUEST;
    if (exchange->way != DHCP_WAY_BOOT_SERVER)
        return DHCP_SILENCE_NONE;
    if (source && !dhcp_is_on_link(settings, source) && !knows_client(exchange))
        return DHCP_SILENCE_UNKNOWN_SENDER;
    return is_call_for_others(exchange) ? DHCP_SILENCE_OTHER_SERVER : DHCP_SILENCE_NONE;
}

static bool speaks_to_another(struct dhcp_exchange *exchange)
{
    uint32_t server = dhcp_message_option_u32(exchange->message, DHCP_OPTION_SERVER_ID);
    if (exchange->message->type != DHCP_REQUEST || !server || server == exchange->own_address)
        return false;
    if (exchange->way == DHCP_WAY_BOOT_SERVER) {
        dhcp_exchange_silent(exchange, DHCP_SILENCE_OTHER_SERVER);
        return true;
    }
    dhcp_exchange_forget_offer(exchange);
    struct dhcp_event event = dhcp_exchange_event(exchange, DHCP_EVENT_FOREIGN_SERVER);
    event.address = server;
    dhcp_service_push_event(exchange->service, &event);
    return true;
}

static bool take_token(struct dhcp_allowance *allowance, uint32_t rate, uint64_t now_ms)
{
    uint64_t most = 2ull * rate * TOKEN;
    uint64_t gained = (now_ms - allowance->tokens_ms) * rate; /* a TOKEN is 1000 ms */
    if (!allowance->started)
        gained = most;
    allowance->started = true;
    allowance->tokens_ms = now_ms;
    allowance->millitokens = (uint32_t)min_of(allowance->millitokens + gained, most);
    if (allowance->millitokens < TOKEN)
        return false;
    allowance->millitokens -= TOKEN;
    return true;
}

/* The limit of one client, then the one it shares with those who are as well known. */
static bool may_answer(struct dhcp_exchange *exchange)
{
    struct dhcp_service *service = exchange->service;
    uint32_t rate = service->settings.replies_per_second ? service->settings.replies_per_second
                                                         : REPLIES_PER_SECOND;
    if (exchange->record && !dhcp_record_may_ask(exchange->record, exchange->now_ms))
        return false;
    return take_token(dhcp_exchange_is_known(exchange) ? &service->for_known : &service->for_others,
                      rate, exchange->now_ms);
}

/* ── the way through ─────────────────────────────────────────────────────────────────────────── */

static void dispatch(struct dhcp_exchange *exchange)
{
    const struct dhcp_policy_case wanted = {
        .class = exchange->client.class,
        .firmware = firmware_of(&exchange->client),
        .type = exchange->message->type,
        .way = exchange->way,
        .standing = exchange->standing,
    };
    const struct dhcp_answer_form *form = dhcp_policy_find(&wanted);
    switch (form->kind) {
    case DHCP_ANSWER_NONE:
        dhcp_exchange_silent(exchange, form->silence);
        break;
    case DHCP_ANSWER_PROXY_OFFER:
    case DHCP_ANSWER_BOOT_ACK:
        dhcp_exchange_answer_boot(exchange, form);
        break;
    case DHCP_ANSWER_FULL:
        dhcp_exchange_answer_full(exchange, form);
        break;
    }
}

/* False: answered by silence, and said so. */
static bool begin(struct dhcp_exchange *exchange)
{
    const struct dhcp_message *message = exchange->message;
    const struct dhcp_arrival *arrival = exchange->arrival;
    struct dhcp_settings *settings = &exchange->service->settings;
    exchange->way = way_of(message, arrival);
    exchange->own_address = arrival->local_address ? arrival->local_address : settings->own_address;
    if (message->op != WIRE_REQUEST || message->type == DHCP_BOOTP) {
        dhcp_exchange_silent(exchange, DHCP_SILENCE_NOT_A_REQUEST);
        return false;
    }
    if (dhcp_client_recognise(message, &exchange->client) < 0) {
        dhcp_exchange_silent(exchange, DHCP_SILENCE_HARDWARE);
        return false;
    }
    if (memcmp(exchange->client.mac, settings->own_mac, DHCP_MAC_BYTES) == 0)
        return false; /* our own broadcast comes back to us */
    exchange->named = find_named(exchange->service, &exchange->client);
    exchange->standing = standing_of(exchange);
    return true;
}

/* Messages that nobody answers, whatever the role. True: done. */
static bool take_note(struct dhcp_exchange *exchange)
{
    switch (exchange->message->type) {
    case DHCP_DECLINE:
        dhcp_exchange_decline(exchange);
        return true;
    case DHCP_RELEASE:
        dhcp_exchange_release(exchange);
        return true;
    default:
        return speaks_to_another(exchange);
    }
}

static void handle(struct dhcp_exchange *exchange, bool is_again)
{
    if (!begin(exchange))
        return;
    if (exchange->client.class == DHCP_CLIENT_PEER) {
        if (may_answer(exchange))
            dhcp_exchange_answer_peer(exchange);
        return;
    }
    remember(exchange);
    if (take_note(exchange))
        return;
    enum dhcp_silence silence = check_sender(exchange);
    if (silence == DHCP_SILENCE_NONE && exchange->standing != DHCP_STANDING_OFF && !is_again &&
        (exchange->record || exchange->standing != DHCP_STANDING_PROXY) && !may_answer(exchange))
        silence = DHCP_SILENCE_RATE;
    if (silence != DHCP_SILENCE_NONE)
        dhcp_exchange_silent(exchange, silence);
    else
        dispatch(exchange);
}

void dhcp_service_receive(struct dhcp_service *service, const uint8_t *packet, size_t length,
                          const struct dhcp_arrival *arrival, uint64_t now_ms)
{
    struct dhcp_message message = {0};
    int r = dhcp_message_parse(packet, length, &message);
    struct dhcp_exchange exchange = {
        .service = service, .message = &message, .arrival = arrival, .now_ms = now_ms};
    if (r < 0)
        dhcp_exchange_silent(&exchange, DHCP_SILENCE_NOT_A_REQUEST);
    else
        handle(&exchange, false);
}

/* The lease takes the result; then the message that waited is looked at again, and either gets its
 * answer or goes on to the next address. */
void dhcp_service_probed(struct dhcp_service *service, uint32_t address, const uint8_t *holder_mac,
                         uint64_t now_ms)
{
    struct dhcp_lease *lease = dhcp_leases_find(service->leases, address);
    if (!lease || lease->state != DHCP_LEASE_PROBING)
        return;
    if (!holder_mac || memcmp(holder_mac, lease->mac, DHCP_MAC_BYTES) == 0) {
        dhcp_lease_set(lease, DHCP_LEASE_OFFERED, lease->mac, now_ms);
        lease->probed_ms = now_ms;
    } else {
        dhcp_lease_set(lease, DHCP_LEASE_CONFLICT, holder_mac, now_ms);
        struct dhcp_event event = {.type = DHCP_EVENT_CONFLICT, .address = address};
        memcpy(event.mac, holder_mac, sizeof event.mac);
        dhcp_service_push_event(service, &event);
    }
    for (size_t i = 0; i < PENDING_LIMIT; i++) {
        struct dhcp_pending *pending = &service->pending[i];
        if (!pending->used || pending->address != address)
            continue;
        struct dhcp_message message = pending->message;
        struct dhcp_arrival arrival = pending->arrival;
        struct dhcp_exchange exchange = {
            .service = service, .message = &message, .arrival = &arrival, .now_ms = now_ms};
        pending->used = false;
        handle(&exchange, true);
        return;
    }
}

/* ── what others tell ────────────────────────────────────────────────────────────────────────── */

void dhcp_service_loader_sent(struct dhcp_service *service, const uint8_t mac[DHCP_MAC_BYTES],
                              const char *file, uint64_t now_ms)
{
    struct dhcp_record *record = dhcp_roster_get(&service->roster, mac, now_ms);
    if (!dhcp_record_loaded(record, file, now_ms))
        return;
    struct dhcp_event event = {.type = DHCP_EVENT_LOOP, .client = record->client};
    memcpy(event.mac, mac, sizeof event.mac);
    snprintf(event.boot, sizeof event.boot, "%s", record->file);
    dhcp_service_push_event(service, &event);
}

void dhcp_service_client_progressed(struct dhcp_service *service, const uint8_t mac[DHCP_MAC_BYTES])
{
    struct dhcp_record *record = dhcp_roster_find(&service->roster, mac);
    if (!record)
        return;
    record->loads = 0;
    record->known = true;
}

bool dhcp_service_client_at(const struct dhcp_service *service, uint32_t address,
                            uint8_t ret_mac[DHCP_MAC_BYTES])
{
    const struct dhcp_record *found = NULL;
    for (size_t i = 0; address && i < DHCP_ROSTER_RECORDS; i++) {
        const struct dhcp_record *record = &service->roster.records[i];
        if (record->used && record->address == address &&
            (!found || record->seen_ms > found->seen_ms))
            found = record;
    }
    if (found)
        memcpy(ret_mac, found->client.mac, DHCP_MAC_BYTES);
    return found != NULL;
}

bool dhcp_service_is_booting(const struct dhcp_service *service, const uint8_t mac[DHCP_MAC_BYTES],
                             uint64_t now_ms)
{
    const struct dhcp_record *record =
        dhcp_roster_find((struct dhcp_roster *)&service->roster, mac);
    return record && record->booted && now_ms - record->discovered_ms < BOOTING_MS;
}

/* ── settings ────────────────────────────────────────────────────────────────────────────────── */

/* A client with an address of its own may be plugged in elsewhere: there it is one of many. */
static bool is_host_here(const struct dhcp_settings *settings, uint32_t address)
{
    uint32_t host = address & ~settings->netmask;
    return dhcp_is_on_link(settings, address) && address != settings->own_address && host != 0 &&
           host != ~settings->netmask;
}

int dhcp_service_configure(struct dhcp_service *service, const struct dhcp_settings *settings)
{
    if (settings->dns_count > DHCP_DNS_LIMIT)
        return -EINVAL;
    _cleanup_free_ struct dhcp_named_client *clients =
        calloc(settings->client_count + 1u, sizeof *clients);
    if (!clients)
        return -ENOMEM;
    if (settings->client_count)
        memcpy(clients, settings->clients, settings->client_count * sizeof *clients);
    struct dhcp_settings next = *settings;
    next.clients = clients;
    for (unsigned i = 0; i < next.client_count; i++)
        if (!is_host_here(&next, clients[i].address))
            clients[i].address = 0;
    int r;
    struct dhcp_leases *leases = dhcp_leases_new(&next, service->leases, &r);
    if (!leases)
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not know cleanup attributes
        return r;
    dhcp_leases_free(service->leases);
    free(service->clients);
    service->leases = leases;
    service->clients = take_pointer(clients);
    service->settings = next;
    return 0;
}

struct dhcp_service *dhcp_service_new(const struct dhcp_settings *settings,
                                      struct dhcp_boot_source *source)
{
    struct dhcp_service *service = calloc(1, sizeof *service);
    if (!service)
        return NULL;
    service->source = source;
    if (dhcp_service_configure(service, settings) < 0) {
        dhcp_service_free(service);
        return NULL;
    }
    return service;
}

void dhcp_service_free(struct dhcp_service *service)
{
    if (!service)
        return;
    dhcp_leases_free(service->leases);
    free(service->clients);
    free(service);
}

const char *dhcp_silence_text(enum dhcp_silence silence)
{
    static const char *const texts[] = {
        [DHCP_SILENCE_NONE] = "answered",
        [DHCP_SILENCE_OFF] = "this interface does not answer now",
        [DHCP_SILENCE_NOT_A_REQUEST] = "not a well-formed DHCP request",
        [DHCP_SILENCE_HARDWARE] = "its hardware address is not an Ethernet one",
        [DHCP_SILENCE_NO_BOOT_CLIENT] = "it does not boot from the network",
        [DHCP_SILENCE_OTHER_SERVER] = "it speaks to another server",
        [DHCP_SILENCE_NOT_FOR_PORT] = "such a message is not answered here",
        [DHCP_SILENCE_NO_BOOT_FILE] = "there is no boot file for it",
        [DHCP_SILENCE_NOT_SERVING] = "serving is switched off",
        [DHCP_SILENCE_NO_HTTP] = "it loads by HTTP, and no HTTP port for booting is open here",
        [DHCP_SILENCE_LOOP] = "it loaded the same file three times without going on",
        [DHCP_SILENCE_RATE] = "too many requests",
        [DHCP_SILENCE_UNKNOWN_SENDER] = "it asks from another network and was not heard before",
        [DHCP_SILENCE_ADDRESS] = "it asks for an address that it cannot have",
        [DHCP_SILENCE_ADDRESS_HELD] = "the address written down for it is in use by somebody else",
        [DHCP_SILENCE_POOL] = "no address is left",
        [DHCP_SILENCE_PROBING] = "its address is being probed",
        [DHCP_SILENCE_TOO_LONG] = "the answer is longer than it takes",
    };
    return texts[silence];
}
