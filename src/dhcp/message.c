/* message.c - reading a DHCP message, see dhcp/message.h */
#include <errno.h>
#include <string.h>

#include <netboot-target/dhcp/message.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "options.h"
#include "wire.h"

#define OVERLOADS_FILE  1u /* option 52, RFC 2132 §9.3 */
#define OVERLOADS_SNAME 2u

/* Puts a piece behind what came before of the same option (RFC 3396 §7). */
static bool store_piece(struct dhcp_message *message, uint8_t code, const uint8_t *data,
                        size_t length)
{
    struct dhcp_option_place *place = &message->options[code];
    size_t before = place->present ? place->length : 0;
    if (sizeof message->storage - message->stored < before + length)
        return false;
    uint8_t *to = message->storage + message->stored;
    if (before)
        memcpy(to, message->storage + place->offset, before);
    if (length)
        memcpy(to + before, data, length);
    *place = (struct dhcp_option_place){message->stored, (uint16_t)(before + length), true};
    message->stored = (uint16_t)(message->stored + before + length);
    return true;
}

/* One field of options. An option that leaves the field spoils the whole message. */
static bool walk(struct dhcp_message *message, const uint8_t *data, size_t length)
{
    size_t at = 0;
    while (at < length && data[at] != DHCP_OPTION_END) {
        uint8_t code = data[at++];
        if (code == DHCP_OPTION_PAD)
            continue;
        if (at >= length || data[at] > length - at - 1)
            return false;
        size_t piece = data[at++];
        if (dhcp_option_find(code) && !store_piece(message, code, data + at, piece))
            return false;
        at += piece;
    }
    return true;
}

/* Options in file and sname, in this order (RFC 2131 §4.1). What they say of option 52 is void:
 * the value was read before. */
static bool walk_overloaded(struct dhcp_message *message, const uint8_t *packet)
{
    const uint8_t *overload = dhcp_message_option(message, DHCP_OPTION_OVERLOAD, NULL);
    if (!overload || message->options[DHCP_OPTION_OVERLOAD].length != 1)
        return true;
    uint8_t fields = *overload;
    if (fields & OVERLOADS_FILE) {
        message->boot_file[0] = '\0';
        if (!walk(message, packet + WIRE_FILE, WIRE_FILE_BYTES))
            return false;
    }
    if (fields & OVERLOADS_SNAME) {
        message->server_name[0] = '\0';
        if (!walk(message, packet + WIRE_SNAME, WIRE_SNAME_BYTES))
            return false;
    }
    return true;
}

/* Takes away options whose joined length cannot be. */
static void check_lengths(struct dhcp_message *message)
{
    const struct dhcp_option_row *row;
    for (unsigned i = 0; (row = dhcp_option_at(i)); i++) {
        struct dhcp_option_place *place = &message->options[row->code];
        if (!place->present)
            continue;
        if (place->length < row->minimum_bytes || place->length > row->maximum_bytes ||
            place->length % row->multiple_bytes) {
            place->present = false;
            message->malformed_options++;
        }
    }
}

static void read_header(struct dhcp_message *message, const uint8_t *packet)
{
    message->op = packet[WIRE_OP];
    message->hardware_type = packet[WIRE_HTYPE];
    message->hardware_length = packet[WIRE_HLEN];
    message->hops = packet[WIRE_HOPS];
    message->xid = load_be32(packet + WIRE_XID);
    message->secs = load_be16(packet + WIRE_SECS);
    message->flags = load_be16(packet + WIRE_FLAGS);
    message->client_address = load_be32(packet + WIRE_CIADDR);
    message->your_address = load_be32(packet + WIRE_YIADDR);
    message->server_address = load_be32(packet + WIRE_SIADDR);
    message->relay_address = load_be32(packet + WIRE_GIADDR);
    memcpy(message->hardware_address, packet + WIRE_CHADDR, sizeof message->hardware_address);
    memcpy(message->server_name, packet + WIRE_SNAME, WIRE_SNAME_BYTES);
    memcpy(message->boot_file, packet + WIRE_FILE, WIRE_FILE_BYTES);
}

int dhcp_message_parse(const uint8_t *packet, size_t length, struct dhcp_message *ret_message)
{
    if (length < WIRE_OPTIONS || length > DHCP_PACKET_BYTES_LIMIT ||
        load_be32(packet + WIRE_COOKIE) != WIRE_MAGIC)
        return -EBADMSG;
    struct dhcp_message message = {0};
    read_header(&message, packet);
    if (!walk(&message, packet + WIRE_OPTIONS, length - WIRE_OPTIONS) ||
        !walk_overloaded(&message, packet))
        return -EBADMSG;
    check_lengths(&message);
    const uint8_t *type = dhcp_message_option(&message, DHCP_OPTION_MESSAGE_TYPE, NULL);
    message.type = type && *type <= DHCP_INFORM ? (enum dhcp_message_type) * type : DHCP_BOOTP;
    *ret_message = message;
    return 0;
}

const uint8_t *dhcp_message_option(const struct dhcp_message *message, enum dhcp_option_code code,
                                   size_t *ret_length)
{
    const struct dhcp_option_place *place = &message->options[code];
    if (!place->present)
        return NULL;
    if (ret_length)
        *ret_length = place->length;
    return message->storage + place->offset;
}

uint32_t dhcp_message_option_u32(const struct dhcp_message *message, enum dhcp_option_code code)
{
    size_t length;
    const uint8_t *value = dhcp_message_option(message, code, &length);
    return value && length == 4 ? load_be32(value) : 0;
}

const char *dhcp_message_type_name(enum dhcp_message_type type)
{
    static const char *const names[] = {
        "BOOTP", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM",
    };
    return (unsigned)type < ARRAY_SIZE(names) ? names[type] : "unknown";
}
