/* router_help.c - see dhcp/router_help.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/dhcp/router_help.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

enum { /* Ethernet and IPv6 (RFC 8200 §3) as they lie in a frame */
       FRAME_TO = 0,
       FRAME_FROM = 6,
       FRAME_TYPE = 12,
       FRAME_IPV6 = 14,
       IPV6_PAYLOAD_LENGTH = FRAME_IPV6 + 4,
       IPV6_NEXT_HEADER = FRAME_IPV6 + 6,
       IPV6_HOP_LIMIT = FRAME_IPV6 + 7,
       IPV6_SOURCE = FRAME_IPV6 + 8,
       IPV6_DESTINATION = FRAME_IPV6 + 24,
       FRAME_ICMP = FRAME_IPV6 + 40,
};

#define IPV6_ADDRESS_BYTES 16u
#define ETHERTYPE_IPV6     0x86ddu
#define NEXT_HEADER_ICMPV6 58u
#define HOP_LIMIT          255u /* proves that no router forwarded it (RFC 4861 §6.1) */

#define ROUTER_SOLICITATION      133u
#define ROUTER_ADVERTISEMENT     134u
#define SOLICITATION_BYTES       8u /* without options */
#define ADVERTISEMENT_BYTES      16u
#define ADVERTISEMENT_LIFETIME   6u
#define OPTION_SOURCE_LINK_LAYER 1u
#define SOURCE_LINK_LAYER_BYTES  8u

#define WAITING_LIMIT 16u

/* ── frames ──────────────────────────────────────────────────────────────────────────────────── */

static const uint8_t unspecified[IPV6_ADDRESS_BYTES];
static const uint8_t all_nodes[IPV6_ADDRESS_BYTES] = {0xff, 0x02, [15] = 1};

/* RFC 8200 §8.1: over the pseudo header too. */
static uint16_t icmp_checksum(const uint8_t *frame, size_t icmp_bytes)
{
    uint32_t sum = (uint32_t)icmp_bytes + NEXT_HEADER_ICMPV6;
    for (size_t at = IPV6_SOURCE; at < FRAME_ICMP; at += 2)
        sum += load_be16(frame + at);
    for (size_t i = 0; i + 1 < icmp_bytes; i += 2)
        sum += load_be16(frame + FRAME_ICMP + i);
    if (icmp_bytes & 1)
        sum += (uint32_t)frame[FRAME_ICMP + icmp_bytes - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The ICMPv6 message of this type in the frame, its length in `ret_bytes`; NULL: not one that
 * RFC 4861 §6.1 lets pass. */
static const uint8_t *find_icmp(const uint8_t *frame, size_t length, uint8_t type,
                                size_t minimum_bytes, size_t *ret_bytes)
{
    if (length < FRAME_ICMP + minimum_bytes || load_be16(frame + FRAME_TYPE) != ETHERTYPE_IPV6 ||
        frame[FRAME_IPV6] >> 4 != 6 || frame[IPV6_NEXT_HEADER] != NEXT_HEADER_ICMPV6 ||
        frame[IPV6_HOP_LIMIT] != HOP_LIMIT)
        return NULL;
    size_t bytes = load_be16(frame + IPV6_PAYLOAD_LENGTH);
    const uint8_t *icmp = frame + FRAME_ICMP;
    if (bytes < minimum_bytes || bytes > length - FRAME_ICMP || icmp[0] != type || icmp[1] != 0 ||
        icmp_checksum(frame, bytes) != 0)
        return NULL;
    *ret_bytes = bytes;
    return icmp;
}

/* Options of a neighbour discovery message, in units of 8 bytes; none may be empty. */
static bool options_are_sound(const uint8_t *options, size_t length, bool *ret_has_source)
{
    *ret_has_source = false;
    for (size_t at = 0; at < length;) {
        size_t option = length - at >= 2 ? options[at + 1] * 8u : 0;
        if (!option || option > length - at)
            return false;
        *ret_has_source |= options[at] == OPTION_SOURCE_LINK_LAYER;
        at += option;
    }
    return true;
}

int dhcp_router_solicitation_parse(const uint8_t *frame, size_t length,
                                   struct dhcp_router_solicitation *ret_solicitation)
{
    size_t bytes;
    bool has_source;
    const uint8_t *icmp = find_icmp(frame, length, ROUTER_SOLICITATION, SOLICITATION_BYTES, &bytes);
    if (!icmp ||
        !options_are_sound(icmp + SOLICITATION_BYTES, bytes - SOLICITATION_BYTES, &has_source))
        return -EBADMSG;
    const uint8_t *source = frame + IPV6_SOURCE;
    bool is_unspecified = memcmp(source, unspecified, IPV6_ADDRESS_BYTES) == 0;
    bool is_link_local = source[0] == 0xfe && (source[1] & 0xc0) == 0x80;
    if ((is_unspecified && has_source) || (!is_unspecified && !is_link_local) ||
        frame[FRAME_FROM] & 1)
        return -EBADMSG;
    memcpy(ret_solicitation->mac, frame + FRAME_FROM, DHCP_MAC_BYTES);
    memcpy(ret_solicitation->source, source, IPV6_ADDRESS_BYTES);
    return 0;
}

bool dhcp_router_advertisement_check(const uint8_t *frame, size_t length,
                                     const uint8_t own_mac[DHCP_MAC_BYTES])
{
    size_t bytes;
    bool has_source;
    const uint8_t *icmp =
        find_icmp(frame, length, ROUTER_ADVERTISEMENT, ADVERTISEMENT_BYTES, &bytes);
    return icmp && memcmp(frame + FRAME_FROM, own_mac, DHCP_MAC_BYTES) != 0 &&
           frame[IPV6_SOURCE] == 0xfe && (frame[IPV6_SOURCE + 1] & 0xc0) == 0x80 &&
           load_be16(icmp + ADVERTISEMENT_LIFETIME) != 0 &&
           options_are_sound(icmp + ADVERTISEMENT_BYTES, bytes - ADVERTISEMENT_BYTES, &has_source);
}

/* fe80:: and the modified EUI-64 of the MAC (RFC 4291 appendix A). */
static void put_link_local(uint8_t *to, const uint8_t mac[DHCP_MAC_BYTES])
{
    memset(to, 0, IPV6_ADDRESS_BYTES);
    to[0] = 0xfe;
    to[1] = 0x80;
    memcpy(to + 8, mac, 3);
    to[8] ^= 0x02;
    to[11] = 0xff;
    to[12] = 0xfe;
    memcpy(to + 13, mac + 3, 3);
}

void dhcp_router_advertisement_write(struct buffer *out, const uint8_t own_mac[DHCP_MAC_BYTES],
                                     const struct dhcp_router_solicitation *solicitation)
{
    uint8_t *frame = buffer_reserve(out, DHCP_ROUTER_FRAME_BYTES);
    if (!frame)
        return;
    memset(frame, 0, DHCP_ROUTER_FRAME_BYTES);
    memcpy(frame + FRAME_TO, solicitation->mac, DHCP_MAC_BYTES);
    memcpy(frame + FRAME_FROM, own_mac, DHCP_MAC_BYTES);
    store_be16(frame + FRAME_TYPE, ETHERTYPE_IPV6);
    frame[FRAME_IPV6] = 6 << 4;
    store_be16(frame + IPV6_PAYLOAD_LENGTH, ADVERTISEMENT_BYTES + SOURCE_LINK_LAYER_BYTES);
    frame[IPV6_NEXT_HEADER] = NEXT_HEADER_ICMPV6;
    frame[IPV6_HOP_LIMIT] = HOP_LIMIT;
    put_link_local(frame + IPV6_SOURCE, own_mac);
    /* Without an address the client listens to all-nodes; the Ethernet address keeps it private. */
    bool is_unspecified = memcmp(solicitation->source, unspecified, IPV6_ADDRESS_BYTES) == 0;
    memcpy(frame + IPV6_DESTINATION, is_unspecified ? all_nodes : solicitation->source,
           IPV6_ADDRESS_BYTES);
    uint8_t *icmp = frame + FRAME_ICMP; /* RFC 4861 §4.2: all that we don't say is 0 */
    icmp[0] = ROUTER_ADVERTISEMENT;
    icmp[ADVERTISEMENT_BYTES] = OPTION_SOURCE_LINK_LAYER;
    icmp[ADVERTISEMENT_BYTES + 1] = SOURCE_LINK_LAYER_BYTES / 8;
    memcpy(icmp + ADVERTISEMENT_BYTES + 2, own_mac, DHCP_MAC_BYTES);
    store_be16(icmp + 2, icmp_checksum(frame, ADVERTISEMENT_BYTES + SOURCE_LINK_LAYER_BYTES));
}

/* ── solicitations that wait ─────────────────────────────────────────────────────────────────── */

struct waiting {
    bool used;
    struct dhcp_router_solicitation solicitation;
    uint64_t due_ms;
};

struct dhcp_router_help {
    uint8_t own_mac[DHCP_MAC_BYTES];
    struct waiting waiting[WAITING_LIMIT];
};

struct dhcp_router_help *dhcp_router_help_new(const uint8_t own_mac[DHCP_MAC_BYTES])
{
    struct dhcp_router_help *help = calloc(1, sizeof *help);
    if (help)
        memcpy(help->own_mac, own_mac, DHCP_MAC_BYTES);
    return help;
}

void dhcp_router_help_free(struct dhcp_router_help *help)
{
    free(help);
}

/* A client asks again and again; its first question counts. */
static void wait_for_router(struct dhcp_router_help *help,
                            const struct dhcp_router_solicitation *solicitation, uint64_t now_ms)
{
    struct waiting *unused = NULL;
    for (size_t i = 0; i < WAITING_LIMIT; i++) {
        struct waiting *waiting = &help->waiting[i];
        if (!waiting->used)
            unused = waiting;
        else if (memcmp(waiting->solicitation.mac, solicitation->mac, DHCP_MAC_BYTES) == 0)
            return;
    }
    if (unused)
        *unused = (struct waiting){true, *solicitation, now_ms + DHCP_ROUTER_WAIT_MS};
}

void dhcp_router_help_receive(struct dhcp_router_help *help, const uint8_t *frame, size_t length,
                              bool permitted, uint64_t now_ms)
{
    struct dhcp_router_solicitation solicitation;
    if (dhcp_router_advertisement_check(frame, length, help->own_mac))
        memset(help->waiting, 0, sizeof help->waiting); /* there is a router: nothing to say */
    else if (permitted && dhcp_router_solicitation_parse(frame, length, &solicitation) == 0)
        wait_for_router(help, &solicitation, now_ms);
}

bool dhcp_router_help_next_frame(struct dhcp_router_help *help, struct buffer *out, uint64_t now_ms)
{
    for (size_t i = 0; i < WAITING_LIMIT; i++) {
        struct waiting *waiting = &help->waiting[i];
        if (!waiting->used || waiting->due_ms > now_ms)
            continue;
        waiting->used = false;
        dhcp_router_advertisement_write(out, help->own_mac, &waiting->solicitation);
        return !out->failed;
    }
    return false;
}

uint64_t dhcp_router_help_deadline_ms(const struct dhcp_router_help *help)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < WAITING_LIMIT; i++) {
        if (help->waiting[i].used)
            first = min_of(first, help->waiting[i].due_ms);
    }
    return first;
}
