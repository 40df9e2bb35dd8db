/* reply.c - see reply.h */
#include <string.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "options.h"
#include "peer.h"
#include "reply.h"
#include "wire.h"

#define UDP_HEADERS_BYTES     28u  /* IP and UDP; clients count them in option 57 */
#define SMALLEST_MAXIMUM_SIZE 576u /* RFC 2132 §9.10 */
#define INFINITE_LEASE        0xffffffffu
#define BROADCAST             0xffffffffu

#define PXE_DISCOVERY_CONTROL 6u /* sub-options of 43, PXE 2.1 §2.2.1 */
#define PXE_BOOT_ITEM         71u
#define PXE_USE_THE_FILE      8u

#define IPXE_PRIORITY 1u /* sub-options of 175 */
#define IPXE_NO_PROXY 176u

/* ── content ─────────────────────────────────────────────────────────────────────────────────── */

static size_t size_limit(const struct dhcp_message *request)
{
    size_t wanted = SMALLEST_MAXIMUM_SIZE;
    const uint8_t *maximum = dhcp_message_option(request, DHCP_OPTION_MAXIMUM_SIZE, NULL);
    if (maximum && load_be16(maximum) > wanted)
        wanted = load_be16(maximum);
    return min_of(wanted - UDP_HEADERS_BYTES, (size_t)DHCP_REPLY_BYTES_LIMIT);
}

/* In pieces where it is longer than 255 bytes (RFC 3396). */
static void put_option(struct buffer *out, uint8_t code, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    do {
        size_t piece = min_of(length, (size_t)255);
        buffer_put_u8(out, code);
        buffer_put_u8(out, (uint8_t)piece);
        buffer_append(out, bytes, piece);
        bytes += piece;
        length -= piece;
    } while (length);
}

static void put_u8(struct buffer *out, uint8_t code, uint8_t value)
{
    put_option(out, code, &value, 1);
}

static void put_u32(struct buffer *out, uint8_t code, uint32_t value)
{
    uint8_t bytes[4];
    store_be32(bytes, value);
    put_option(out, code, bytes, sizeof bytes);
}

static void put_string(struct buffer *out, uint8_t code, const char *string)
{
    put_option(out, code, string, strlen(string));
}

static void put_echo(struct buffer *out, const struct dhcp_message *request, uint8_t code)
{
    size_t length;
    const uint8_t *value = dhcp_message_option(request, code, &length);
    if (value)
        put_option(out, code, value, length);
}

/* RFC 2131 §4.3.1 table 3. `file` and option 67 never both: clients differ in which one counts. */
static void put_header(struct buffer *out, const struct dhcp_message *request,
                       const struct dhcp_reply *reply)
{
    uint8_t *head = buffer_reserve(out, WIRE_OPTIONS);
    if (!head)
        return;
    memset(head, 0, WIRE_OPTIONS);
    head[WIRE_OP] = WIRE_REPLY;
    head[WIRE_HTYPE] = request->hardware_type;
    head[WIRE_HLEN] = request->hardware_length;
    store_be32(head + WIRE_XID, request->xid);
    /* With no address to send it to, only a broadcast reaches the client, also from a relay. */
    bool broadcast = !reply->full || reply->type == DHCP_NAK;
    store_be16(head + WIRE_FLAGS, request->flags | (broadcast ? DHCP_FLAG_BROADCAST : 0));
    if (reply->type == DHCP_ACK)
        store_be32(head + WIRE_CIADDR, request->client_address);
    store_be32(head + WIRE_YIADDR, reply->your_address);
    if (reply->type != DHCP_NAK)
        store_be32(head + WIRE_SIADDR, reply->own_address);
    store_be32(head + WIRE_GIADDR, request->relay_address);
    memcpy(head + WIRE_CHADDR, request->hardware_address, sizeof request->hardware_address);
    if (strlen(reply->boot) < WIRE_FILE_BYTES)
        memcpy(head + WIRE_FILE, reply->boot, strlen(reply->boot));
    store_be32(head + WIRE_COOKIE, WIRE_MAGIC);
}

static void put_network(struct buffer *out, const struct dhcp_settings *settings)
{
    put_u32(out, DHCP_OPTION_SUBNET_MASK, settings->netmask);
    put_u32(out, DHCP_OPTION_BROADCAST_ADDRESS, settings->own_address | ~settings->netmask);
    if (settings->router)
        put_u32(out, DHCP_OPTION_ROUTER, settings->router);
    uint8_t list[4 * DHCP_DNS_LIMIT];
    for (unsigned i = 0; i < settings->dns_count; i++)
        store_be32(list + 4 * i, settings->dns[i]);
    if (settings->dns_count)
        put_option(out, DHCP_OPTION_DNS, list, 4 * settings->dns_count);
}

/* The item that a client asks of a boot server comes back, on layer 0 (PXE 2.1 §2.2.5). */
static void put_boot_item(struct buffer *out, const struct dhcp_message *request)
{
    size_t length, item_length;
    const uint8_t *vendor = dhcp_message_option(request, DHCP_OPTION_VENDOR_SPECIFIC, &length);
    const uint8_t *item =
        vendor ? dhcp_suboption_find(vendor, length, PXE_BOOT_ITEM, &item_length, NULL) : NULL;
    if (!item || item_length != 4)
        return;
    const uint8_t echo[] = {PXE_BOOT_ITEM, 4, item[0], item[1], 0, 0, DHCP_OPTION_END};
    put_option(out, DHCP_OPTION_VENDOR_SPECIFIC, echo, sizeof echo);
}

static void put_vendor_specific(struct buffer *out, const struct dhcp_message *request,
                                const struct dhcp_reply *reply)
{
    if (reply->peer_mac) {
        uint8_t peer[2 + DHCP_MAC_BYTES] = {DHCP_PEER_43_MAC, DHCP_MAC_BYTES};
        memcpy(peer + 2, reply->peer_mac, DHCP_MAC_BYTES);
        put_option(out, DHCP_OPTION_VENDOR_SPECIFIC, peer, sizeof peer);
    } else if (reply->direct) {
        const uint8_t control[] = {PXE_DISCOVERY_CONTROL, 1, PXE_USE_THE_FILE, DHCP_OPTION_END};
        put_option(out, DHCP_OPTION_VENDOR_SPECIFIC, control, sizeof control);
    } else if (reply->via_boot_server) {
        put_boot_item(out, request);
    }
}

static void put_boot(struct buffer *out, const struct dhcp_message *request,
                     const struct dhcp_reply *reply)
{
    if (reply->vendor_class)
        put_string(out, DHCP_OPTION_VENDOR_CLASS, reply->vendor_class);
    put_vendor_specific(out, request, reply);
    put_echo(out, request, DHCP_OPTION_MACHINE_ID);
    if (reply->full && reply->to_ipxe) { /* ours is the answer: no waiting for a proxy */
        static const uint8_t hints[] = {IPXE_PRIORITY, 1, 1, IPXE_NO_PROXY, 1, 1};
        put_option(out, DHCP_OPTION_IPXE, hints, sizeof hints);
    }
    /* Counting its NUL: edk2 overwrites the byte behind an option 67 that has none. */
    if (strlen(reply->boot) >= WIRE_FILE_BYTES)
        put_option(out, DHCP_OPTION_BOOT_FILE, reply->boot, strlen(reply->boot) + 1);
}

void dhcp_reply_write(struct buffer *out, const struct dhcp_message *request,
                      const struct dhcp_reply *reply, const struct dhcp_settings *settings)
{
    size_t start = out->length;
    put_header(out, request, reply);
    put_u8(out, DHCP_OPTION_MESSAGE_TYPE, (uint8_t)reply->type);
    put_u32(out, DHCP_OPTION_SERVER_ID, reply->own_address);
    if (reply->your_address) /* nothing renews it once the root has been switched: for ever */
        put_u32(out, DHCP_OPTION_LEASE_TIME, INFINITE_LEASE);
    if (reply->full && reply->type != DHCP_NAK)
        put_network(out, settings);
    if (reply->message)
        put_string(out, DHCP_OPTION_MESSAGE, reply->message);
    if (reply->type != DHCP_NAK)
        put_boot(out, request, reply);
    if (reply->full)
        put_echo(out, request, DHCP_OPTION_CLIENT_ID); /* RFC 6842 §3 */
    put_echo(out, request, DHCP_OPTION_RELAY_AGENT);   /* the last one: RFC 3046 §2.2 */
    buffer_put_u8(out, DHCP_OPTION_END);
    size_t length = out->length - start;
    if (!out->failed && length > size_limit(request))
        out->failed = true;
    if (!out->failed && length < DHCP_REPLY_BYTES_MINIMUM)
        buffer_put_zeros(out, DHCP_REPLY_BYTES_MINIMUM - length);
}

/* ── address ─────────────────────────────────────────────────────────────────────────────────── */

/*
 * RFC 2131 §4.1, narrowed: a datagram goes to one host only where that host is on our link and sent
 * the request from there itself. All else is broadcast, so that a forged packet can't aim us at
 * anybody. A client without an address gets a broadcast too, which the RFC allows; sending to an
 * address that it has not yet would take an entry in the neighbour table.
 */
void dhcp_reply_address(struct dhcp_output *output, const struct dhcp_message *request,
                        const struct dhcp_reply *reply, const struct dhcp_arrival *arrival,
                        const struct dhcp_settings *settings)
{
    output->from_address = reply->own_address;
    output->from_port = arrival->port;
    output->to_address = BROADCAST;
    output->to_port = DHCP_PORT_CLIENT;
    if (arrival->port == DHCP_PORT_BOOT_SERVER) {
        if (arrival->source_address) { /* edk2 asks from port 4011, iPXE from 68 */
            output->to_address = arrival->source_address;
            output->to_port = arrival->source_port;
        }
    } else if (request->relay_address) {
        output->to_address = request->relay_address;
        output->to_port = DHCP_PORT_SERVER;
    } else if (reply->type != DHCP_NAK && request->client_address &&
               request->client_address == arrival->source_address &&
               dhcp_is_on_link(settings, request->client_address)) {
        output->to_address = request->client_address;
    }
}
