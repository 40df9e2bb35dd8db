/* server_probe.c - see dhcp/server_probe.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/dhcp/server_probe.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "options.h"
#include "peer.h"
#include "wire.h"

#define START_JITTER_MS 250u    /* so that two daemons started together don't look in step */
#define FIRST_REPEAT_MS 1000u   /* then doubled: DISCOVERs at 0, 1, 3 s … */
#define WATCH_MS        60000u  /* a server keeps looking for others */
#define PEER_GONE_MS    150000u /* two looks without an answer of the one it yielded to */
#define REFUSED_REST_MS 10000u  /* after a refused claim */
#define CLAIM_MS        20000u  /* longest time for a claim; then it is asked for again */
#define RELEASE_HOLD_MS 120000u /* initiators come back within this after a restart of ours */

enum state {
    STATE_FIXED, /* an obstacle, or a role by configuration; `reason` tells */
    STATE_PROBING,
    STATE_CLAIMING, /* waits for the result */
    STATE_REFUSED,  /* the fallback address cannot be had for now */
    STATE_SERVER,
    STATE_YIELDED, /* proxy because somebody else serves */
};

struct dhcp_server_probe {
    struct dhcp_server_probe_settings settings;
    struct random_source *random;
    struct dhcp_interface_state interface;
    enum state state;
    enum dhcp_role role;
    enum dhcp_role_reason reason;
    uint32_t server;

    uint32_t xid;
    uint64_t probe_end_ms; /* of PROBING */
    uint64_t repeat_ms;
    uint64_t discover_ms;   /* next DISCOVER; UINT64_MAX: none */
    uint64_t looked_ms;     /* the last one */
    uint64_t retry_ms;      /* end of CLAIMING or REFUSED */
    uint64_t heard_ms;      /* YIELDED by a server of the configuration: its peer's last answer */
    uint64_t idle_since_ms; /* no session over the fallback address since */
    bool release_asked;

    unsigned actions; /* BIT(enum dhcp_role_action) */
};

/* ── what speaks against serving ─────────────────────────────────────────────────────────────── */

static bool is_wireless(const struct dhcp_interface_state *i)
{
    return i->wireless && !i->named;
}

static bool is_bridge_port(const struct dhcp_interface_state *i)
{
    return i->bridge_port && !i->named;
}

static bool is_tunnel(const struct dhcp_interface_state *i)
{
    return i->tunnel && !i->named;
}

static bool is_virtual(const struct dhcp_interface_state *i)
{
    return i->virtual_device && !i->named;
}

static bool has_leased_address(const struct dhcp_interface_state *i)
{
    return i->has_address && i->address_is_finite;
}

static bool has_address(const struct dhcp_interface_state *i)
{
    return i->has_address;
}

static bool has_default_route(const struct dhcp_interface_state *i)
{
    return i->has_default_route;
}

/* Each "never" of `auto`; the first that holds is told. */
static const struct obstacle {
    bool (*holds)(const struct dhcp_interface_state *interface);
    enum dhcp_role_reason reason;
} obstacles[] = {
    {has_leased_address, DHCP_REASON_LEASED_ADDRESS},
    {has_address,        DHCP_REASON_HAS_ADDRESS   },
    {has_default_route,  DHCP_REASON_DEFAULT_ROUTE },
    {is_wireless,        DHCP_REASON_WIRELESS      },
    {is_bridge_port,     DHCP_REASON_BRIDGE_PORT   },
    {is_tunnel,          DHCP_REASON_TUNNEL        },
    {is_virtual,         DHCP_REASON_VIRTUAL       },
};

static const struct obstacle *find_obstacle(const struct dhcp_interface_state *interface)
{
    for (size_t i = 0; i < ARRAY_SIZE(obstacles); i++) {
        if (obstacles[i].holds(interface))
            return &obstacles[i];
    }
    return NULL;
}

const char *dhcp_role_name(enum dhcp_role role)
{
    static const char *const names[] = {
        [DHCP_ROLE_OFF] = "off", [DHCP_ROLE_PROXY] = "proxy", [DHCP_ROLE_SERVER] = "server"};
    return names[role];
}

const char *dhcp_role_reason_text(enum dhcp_role_reason reason)
{
    static const char *const texts[] = {
        [DHCP_REASON_CONFIGURED] = "the configuration says so",
        [DHCP_REASON_NO_CARRIER] = "no cable is connected",
        [DHCP_REASON_PROBING] = "looking for another DHCP server",
        [DHCP_REASON_CLAIMING] = "checking that the fallback address is free",
        [DHCP_REASON_NO_SERVER_ANSWERED] = "no other DHCP server answered",
        [DHCP_REASON_SERVER_ANSWERED] = "another DHCP server is there",
        [DHCP_REASON_PEER_SERVES] = "another netboot-target serves this network",
        [DHCP_REASON_LEASED_ADDRESS] = "the interface has an address from a DHCP server",
        [DHCP_REASON_HAS_ADDRESS] = "the interface has an address of its own",
        [DHCP_REASON_DEFAULT_ROUTE] = "the default route leads over this interface",
        [DHCP_REASON_WIRELESS] = "the interface is wireless and the configuration does not name it",
        [DHCP_REASON_BRIDGE_PORT] =
            "the interface is a bridge port and the configuration does not name it",
        [DHCP_REASON_TUNNEL] = "the interface is a tunnel and the configuration does not name it",
        [DHCP_REASON_VIRTUAL] = "the interface is virtual and the configuration does not name it",
        [DHCP_REASON_ADDRESS_REFUSED] = "the fallback address cannot be had",
    };
    return texts[reason];
}

/* ── changes of state ────────────────────────────────────────────────────────────────────────── */

static void ask(struct dhcp_server_probe *probe, enum dhcp_role_action action)
{
    probe->actions |= 1u << action;
}

static void enter(struct dhcp_server_probe *probe, enum state state, enum dhcp_role role,
                  enum dhcp_role_reason reason)
{
    if (probe->role != role || probe->reason != reason)
        ask(probe, DHCP_ACTION_ROLE_CHANGED);
    probe->state = state;
    probe->role = role;
    probe->reason = reason;
    if (state != STATE_YIELDED)
        probe->server = 0;
    if (state != STATE_PROBING && state != STATE_SERVER)
        probe->discover_ms = UINT64_MAX;
    if (state != STATE_CLAIMING && state != STATE_REFUSED)
        probe->retry_ms = UINT64_MAX;
    /* What is no longer meant must not be done later. */
    probe->actions &= ~(1u << DHCP_ACTION_SEND_DISCOVER | 1u << DHCP_ACTION_CLAIM_ADDRESS);
}

static uint32_t random_u32(struct dhcp_server_probe *probe)
{
    uint8_t bytes[4];
    probe->random->fill(probe->random, bytes, sizeof bytes);
    return load_be32(bytes);
}

static void begin_probing(struct dhcp_server_probe *probe, uint64_t now_ms)
{
    uint32_t probe_ms =
        probe->settings.probe_ms ? probe->settings.probe_ms : DHCP_SERVER_PROBE_MS_DEFAULT;
    enter(probe, STATE_PROBING, DHCP_ROLE_OFF, DHCP_REASON_PROBING);
    probe->xid = random_u32(probe);
    probe->discover_ms = now_ms + random_u32(probe) % START_JITTER_MS;
    probe->probe_end_ms = probe->discover_ms + probe_ms;
    probe->repeat_ms = FIRST_REPEAT_MS;
}

static void begin_claiming(struct dhcp_server_probe *probe, uint64_t now_ms)
{
    enter(probe, STATE_CLAIMING, DHCP_ROLE_OFF, DHCP_REASON_CLAIMING);
    probe->retry_ms = now_ms + CLAIM_MS;
    ask(probe, DHCP_ACTION_CLAIM_ADDRESS);
}

static void begin_serving(struct dhcp_server_probe *probe, uint64_t now_ms)
{
    bool is_auto = probe->settings.wanted == DHCP_WANTED_AUTO;
    enter(probe, STATE_SERVER, DHCP_ROLE_SERVER,
          is_auto ? DHCP_REASON_NO_SERVER_ANSWERED : DHCP_REASON_CONFIGURED);
    if (is_auto) {
        probe->discover_ms = now_ms + WATCH_MS;
        return;
    }
    /* It did not look around before: of two, one is to learn of the other now. */
    probe->xid = random_u32(probe);
    probe->discover_ms = now_ms + random_u32(probe) % START_JITTER_MS;
}

static void yield_to(struct dhcp_server_probe *probe, uint32_t server, bool is_peer,
                     uint64_t now_ms)
{
    if (probe->state == STATE_SERVER) /* who was served just now may be about to log in */
        probe->idle_since_ms = now_ms;
    enter(probe, STATE_YIELDED, DHCP_ROLE_PROXY,
          is_peer ? DHCP_REASON_PEER_SERVES : DHCP_REASON_SERVER_ANSWERED);
    probe->server = server;
    if (probe->settings.wanted != DHCP_WANTED_SERVER)
        return;
    probe->heard_ms = now_ms;
    probe->discover_ms = now_ms + WATCH_MS;
}

/* A server by configuration only needs an address; `auto` looks around first. */
static void begin(struct dhcp_server_probe *probe, uint64_t now_ms)
{
    if (probe->settings.wanted != DHCP_WANTED_SERVER)
        begin_probing(probe, now_ms);
    else if (probe->interface.has_address)
        begin_serving(probe, now_ms);
    else
        begin_claiming(probe, now_ms);
}

/* A role that can be told at once: by configuration, without a cable, or by an obstacle. False:
 * there is something to find out. */
static bool settle(struct dhcp_server_probe *probe)
{
    static const enum dhcp_role roles[] = {
        [DHCP_WANTED_PROXY] = DHCP_ROLE_PROXY,
        [DHCP_WANTED_OFF] = DHCP_ROLE_OFF,
    };
    enum dhcp_wanted_role wanted = probe->settings.wanted;
    const struct obstacle *obstacle = find_obstacle(&probe->interface);
    if (wanted == DHCP_WANTED_OFF)
        enter(probe, STATE_FIXED, DHCP_ROLE_OFF, DHCP_REASON_CONFIGURED);
    else if (!probe->interface.carrier)
        enter(probe, STATE_FIXED, DHCP_ROLE_OFF, DHCP_REASON_NO_CARRIER);
    else if (wanted == DHCP_WANTED_SERVER)
        return false;
    else if (wanted != DHCP_WANTED_AUTO)
        enter(probe, STATE_FIXED, roles[wanted], DHCP_REASON_CONFIGURED);
    else if (obstacle)
        enter(probe, STATE_FIXED, DHCP_ROLE_PROXY, obstacle->reason);
    else
        return false;
    return true;
}

/* ── the fallback address that is no longer needed ───────────────────────────────────────────── */

/* It stays as long as sessions come over it, and long enough after a restart for them to come back.
 */
static bool holds_spare_address(const struct dhcp_server_probe *probe)
{
    bool is_auto = probe->settings.wanted == DHCP_WANTED_AUTO;
    return probe->interface.has_fallback_address &&
           (probe->state == STATE_YIELDED || (is_auto && probe->state == STATE_FIXED)) &&
           probe->reason != DHCP_REASON_NO_CARRIER && !probe->interface.sessions &&
           !probe->release_asked;
}

static uint64_t release_ms(const struct dhcp_server_probe *probe)
{
    return holds_spare_address(probe) ? probe->idle_since_ms + RELEASE_HOLD_MS : UINT64_MAX;
}

/* ── input ───────────────────────────────────────────────────────────────────────────────────── */

struct dhcp_server_probe *dhcp_server_probe_new(const struct dhcp_server_probe_settings *settings,
                                                struct random_source *random, uint64_t now_ms)
{
    struct dhcp_server_probe *probe = calloc(1, sizeof *probe);
    if (!probe)
        return NULL;
    probe->settings = *settings;
    probe->random = random;
    probe->idle_since_ms = now_ms;
    probe->role = DHCP_ROLE_OFF;
    probe->reason = DHCP_REASON_NO_CARRIER;
    settle(probe);
    return probe;
}

void dhcp_server_probe_free(struct dhcp_server_probe *probe)
{
    free(probe);
}

static bool has_any_address(const struct dhcp_interface_state *interface)
{
    return interface->has_address || interface->has_fallback_address;
}

void dhcp_server_probe_interface_changed(struct dhcp_server_probe *probe,
                                         const struct dhcp_interface_state *state, uint64_t now_ms)
{
    if (probe->interface.sessions || state->sessions)
        probe->idle_since_ms = now_ms;
    if (!state->has_fallback_address)
        probe->release_asked = false;
    bool lost_address = probe->state == STATE_SERVER && has_any_address(&probe->interface) &&
                        !has_any_address(state);
    bool got_address = probe->settings.wanted == DHCP_WANTED_SERVER && state->has_address &&
                       (probe->state == STATE_CLAIMING || probe->state == STATE_REFUSED);
    bool was_fixed = probe->state == STATE_FIXED;
    probe->interface = *state;
    if (settle(probe))
        return;
    /* What held us back is gone, or somebody took our address. */
    if (was_fixed || lost_address || got_address)
        begin(probe, now_ms);
}

static bool is_from_peer(const struct dhcp_message *message, uint8_t ret_mac[DHCP_MAC_BYTES])
{
    size_t length, mac_length;
    const uint8_t *class = dhcp_message_option(message, DHCP_OPTION_VENDOR_CLASS, &length);
    if (!class || !dhcp_peer_is_class(class, length))
        return false;
    const uint8_t *vendor = dhcp_message_option(message, DHCP_OPTION_VENDOR_SPECIFIC, &length);
    const uint8_t *mac =
        vendor ? dhcp_suboption_find(vendor, length, DHCP_PEER_43_MAC, &mac_length, NULL) : NULL;
    if (!mac || mac_length != DHCP_MAC_BYTES)
        return false;
    memcpy(ret_mac, mac, DHCP_MAC_BYTES);
    return true;
}

static bool looks_around(const struct dhcp_server_probe *probe)
{
    return probe->settings.wanted == DHCP_WANTED_AUTO &&
           (probe->state == STATE_PROBING || probe->state == STATE_CLAIMING ||
            probe->state == STATE_SERVER || probe->state == STATE_REFUSED);
}

/* A server by configuration makes room for its like alone. */
static bool looks_for_peers(const struct dhcp_server_probe *probe)
{
    return probe->settings.wanted == DHCP_WANTED_SERVER &&
           (probe->state == STATE_SERVER || probe->state == STATE_YIELDED);
}

/* An OFFER with an address, to our DISCOVER: there is a server. A proxy's offer (no address) says
 * nothing. Of two peers that serve already, the one with the lower MAC goes on. */
void dhcp_server_probe_receive(struct dhcp_server_probe *probe, const uint8_t *packet,
                               size_t length, uint64_t now_ms)
{
    struct dhcp_message message = {0};
    if ((!looks_around(probe) && !looks_for_peers(probe)) ||
        dhcp_message_parse(packet, length, &message) < 0 || message.op != WIRE_REPLY ||
        message.xid != probe->xid || message.type != DHCP_OFFER || !message.your_address ||
        memcmp(message.hardware_address, probe->settings.own_mac, DHCP_MAC_BYTES) != 0)
        return;
    uint32_t server = dhcp_message_option_u32(&message, DHCP_OPTION_SERVER_ID);
    uint8_t mac[DHCP_MAC_BYTES];
    bool is_peer = is_from_peer(&message, mac);
    if (!server || (!is_peer && looks_for_peers(probe)))
        return;
    if (probe->state == STATE_YIELDED) {
        probe->heard_ms = now_ms;
        return;
    }
    if (is_peer && probe->state == STATE_SERVER &&
        memcmp(probe->settings.own_mac, mac, DHCP_MAC_BYTES) < 0)
        return;
    yield_to(probe, server, is_peer, now_ms);
}

void dhcp_server_probe_server_seen(struct dhcp_server_probe *probe, uint32_t server,
                                   uint64_t now_ms)
{
    if (looks_around(probe))
        yield_to(probe, server, false, now_ms);
}

/* The higher MAC starts its look anew, and so hears the other's answer when that one serves; or if
 * it serves already, it asks whether that one does as well. */
void dhcp_server_probe_peer_seen(struct dhcp_server_probe *probe, const uint8_t mac[DHCP_MAC_BYTES],
                                 uint64_t now_ms)
{
    if (memcmp(mac, probe->settings.own_mac, DHCP_MAC_BYTES) >= 0)
        return;
    if (probe->state == STATE_SERVER)
        probe->discover_ms = min_of(probe->discover_ms, probe->looked_ms + FIRST_REPEAT_MS);
    else if (looks_around(probe))
        begin_probing(probe, now_ms);
}

void dhcp_server_probe_claimed(struct dhcp_server_probe *probe, int result, uint64_t now_ms)
{
    if (probe->state != STATE_CLAIMING)
        return;
    if (result == 0) {
        begin_serving(probe, now_ms);
        return;
    }
    enter(probe, STATE_REFUSED, DHCP_ROLE_OFF, DHCP_REASON_ADDRESS_REFUSED);
    probe->retry_ms = now_ms + REFUSED_REST_MS;
}

/* ── time ────────────────────────────────────────────────────────────────────────────────────── */

static void send_discover(struct dhcp_server_probe *probe, uint64_t now_ms)
{
    ask(probe, DHCP_ACTION_SEND_DISCOVER);
    probe->looked_ms = now_ms;
    if (probe->state == STATE_SERVER || probe->state == STATE_YIELDED) {
        probe->discover_ms = now_ms + WATCH_MS;
    } else {
        probe->discover_ms = now_ms + probe->repeat_ms;
        probe->repeat_ms *= 2;
    }
}

void dhcp_server_probe_expire(struct dhcp_server_probe *probe, uint64_t now_ms)
{
    if (now_ms >= release_ms(probe)) {
        probe->release_asked = true;
        ask(probe, DHCP_ACTION_RELEASE_ADDRESS);
    }
    if (probe->state == STATE_PROBING && now_ms >= probe->probe_end_ms)
        begin_claiming(probe, now_ms);
    else if (now_ms >= probe->discover_ms && probe->state == STATE_YIELDED &&
             now_ms - probe->heard_ms >= PEER_GONE_MS)
        begin(probe, now_ms);
    else if (now_ms >= probe->discover_ms)
        send_discover(probe, now_ms);
    else if (now_ms >= probe->retry_ms)
        begin(probe, now_ms);
}

uint64_t dhcp_server_probe_deadline_ms(const struct dhcp_server_probe *probe)
{
    uint64_t first = min_of(probe->discover_ms, probe->retry_ms);
    if (probe->state == STATE_PROBING)
        first = min_of(first, probe->probe_end_ms);
    return min_of(first, release_ms(probe));
}

/* ── output ──────────────────────────────────────────────────────────────────────────────────── */

bool dhcp_server_probe_next_action(struct dhcp_server_probe *probe,
                                   enum dhcp_role_action *ret_action)
{
    for (unsigned action = 0; probe->actions; action++) {
        if (!(probe->actions & 1u << action))
            continue;
        probe->actions &= ~(1u << action);
        *ret_action = (enum dhcp_role_action)action;
        return true;
    }
    return false;
}

/* RFC 2131 §4.4.1, from an interface that has no address and so must be answered by broadcast. */
void dhcp_server_probe_write(const struct dhcp_server_probe *probe, struct buffer *out)
{
    static const uint8_t options[] = {
        DHCP_OPTION_MESSAGE_TYPE,   1, DHCP_DISCOVER,
        DHCP_OPTION_PARAMETER_LIST, 2, DHCP_OPTION_SUBNET_MASK,
        DHCP_OPTION_ROUTER,
    };
    size_t start = out->length;
    uint8_t *head = buffer_reserve(out, WIRE_OPTIONS);
    if (!head)
        return;
    memset(head, 0, WIRE_OPTIONS);
    head[WIRE_OP] = WIRE_REQUEST;
    head[WIRE_HTYPE] = WIRE_HTYPE_ETHERNET;
    head[WIRE_HLEN] = DHCP_MAC_BYTES;
    store_be32(head + WIRE_XID, probe->xid);
    store_be16(head + WIRE_FLAGS, DHCP_FLAG_BROADCAST);
    memcpy(head + WIRE_CHADDR, probe->settings.own_mac, DHCP_MAC_BYTES);
    store_be32(head + WIRE_COOKIE, WIRE_MAGIC);
    buffer_append(out, options, sizeof options);
    buffer_put_u8(out, DHCP_OPTION_VENDOR_CLASS);
    buffer_put_u8(out, sizeof DHCP_PEER_CLASS - 1);
    buffer_append_string(out, DHCP_PEER_CLASS);
    buffer_put_u8(out, DHCP_OPTION_END);
    if (!out->failed)
        buffer_put_zeros(out, DHCP_REPLY_BYTES_MINIMUM - (out->length - start));
}

enum dhcp_role dhcp_server_probe_role(const struct dhcp_server_probe *probe)
{
    return probe->role;
}

enum dhcp_role_reason dhcp_server_probe_reason(const struct dhcp_server_probe *probe)
{
    return probe->reason;
}

uint32_t dhcp_server_probe_server(const struct dhcp_server_probe *probe)
{
    return probe->server;
}
