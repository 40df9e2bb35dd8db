/* test_message.c - the codec: what is read, joined and refused */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netboot-target/util/array.h>

#include "dhcp/packets.h"

/* Exact heap bytes, so that a sanitizer sees every read beyond the packet. */
static int parse(const struct packet *packet, struct dhcp_message *message)
{
    size_t length = packet->buffer.length;
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, packet->data, length);
    int r = dhcp_message_parse(copy, length, message);
    free(copy);
    return r;
}

static void test_header(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    packet_ovmf(&packet, DHCP_DISCOVER);
    packet_end(&packet);
    store_be32(packet.data + 24, 0x0a000001);
    memcpy(packet.data + 108, "old.file", 9);
    assert_int_equal(parse(&packet, &message), 0);
    assert_int_equal(message.op, 1);
    assert_int_equal(message.xid, 0x12345678);
    assert_int_equal(message.flags, DHCP_FLAG_BROADCAST);
    assert_int_equal(message.relay_address, 0x0a000001);
    assert_memory_equal(message.hardware_address, CLIENT_MAC, 6);
    assert_string_equal(message.boot_file, "old.file");
    assert_int_equal(message.type, DHCP_DISCOVER);
    assert_int_equal(message.malformed_options, 0);
    size_t length;
    assert_memory_equal(dhcp_message_option(&message, DHCP_OPTION_VENDOR_CLASS, &length),
                        "PXEClient:Arch:00007:UNDI:003000", 32);
    assert_int_equal(length, 32);
    assert_null(dhcp_message_option(&message, DHCP_OPTION_USER_CLASS, &length));
}

static void test_every_cut(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    packet_ipxe(&packet, DHCP_DISCOVER, 7);
    size_t whole = packet.buffer.length;
    for (size_t length = 0; length < whole; length++) {
        packet.buffer.length = length;
        int r = parse(&packet, &message); /* whole options, or refused; never a read beyond */
        assert_true(r == 0 || r == -EBADMSG);
        if (length < 240)
            assert_int_equal(r, -EBADMSG);
    }
    packet.buffer.length = whole; /* an END that is missing is no harm */
    assert_int_equal(parse(&packet, &message), 0);
}

static void test_refused(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    packet_begin(&packet, DHCP_DISCOVER, 0);
    packet.data[236] = 0; /* the cookie */
    assert_int_equal(parse(&packet, &message), -EBADMSG);

    packet_begin(&packet, DHCP_DISCOVER, 0);
    buffer_put_u8(&packet.buffer, DHCP_OPTION_VENDOR_CLASS); /* a code without a length */
    assert_int_equal(parse(&packet, &message), -EBADMSG);

    packet_begin(&packet, DHCP_DISCOVER, 0);
    buffer_append(&packet.buffer, "\x3c\x09PXE", 5); /* a length beyond the end */
    assert_int_equal(parse(&packet, &message), -EBADMSG);

    packet_begin(&packet, DHCP_DISCOVER, 0);
    buffer_append(&packet.buffer, "\x3c\x04PXE", 5); /* by a single byte */
    assert_int_equal(parse(&packet, &message), -EBADMSG);

    static const uint8_t too_long[DHCP_PACKET_BYTES_LIMIT + 1];
    assert_int_equal(dhcp_message_parse(too_long, sizeof too_long, &message), -EBADMSG);
}

static void test_lengths_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        uint8_t code;
        uint8_t length;
    } rows[] = {
        {DHCP_OPTION_REQUESTED_ADDRESS, 3 },
        {DHCP_OPTION_SERVER_ID,         0 },
        {DHCP_OPTION_ARCHITECTURE,      1 },
        {DHCP_OPTION_ARCHITECTURE,      3 },
        {DHCP_OPTION_MACHINE_ID,        16},
        {DHCP_OPTION_MAXIMUM_SIZE,      1 },
        {DHCP_OPTION_USER_CLASS,        0 },
        {DHCP_OPTION_NETWORK_INTERFACE, 4 },
        {DHCP_OPTION_RELAY_AGENT,       1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packet packet;
        struct dhcp_message message;
        packet_begin(&packet, DHCP_DISCOVER, 0);
        packet_option(&packet, rows[i].code, "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", rows[i].length);
        packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
        assert_int_equal(parse(&packet, &message), 0);
        assert_int_equal(message.malformed_options, 1);
        assert_null(dhcp_message_option(&message, rows[i].code, NULL));
        assert_non_null(dhcp_message_option(&message, DHCP_OPTION_VENDOR_CLASS, NULL));
    }
}

/* RFC 3396: pieces in their order; contradictory fixed-length options are void. */
static void test_pieces(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    uint8_t piece[200];
    packet_begin(&packet, DHCP_DISCOVER, 0);
    memset(piece, 'a', sizeof piece);
    packet_option(&packet, DHCP_OPTION_RELAY_AGENT, piece, sizeof piece);
    packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, "PXE");
    memset(piece, 'b', sizeof piece);
    packet_option(&packet, DHCP_OPTION_RELAY_AGENT, piece, sizeof piece);
    packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, "Client");
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, 1);
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, 2);
    assert_int_equal(parse(&packet, &message), 0);
    size_t length;
    const uint8_t *value = dhcp_message_option(&message, DHCP_OPTION_RELAY_AGENT, &length);
    assert_int_equal(length, 400);
    assert_int_equal(value[199], 'a');
    assert_int_equal(value[200], 'b');
    value = dhcp_message_option(&message, DHCP_OPTION_VENDOR_CLASS, &length);
    assert_int_equal(length, 9);
    assert_memory_equal(value, "PXEClient", 9);
    assert_int_equal(dhcp_message_option_u32(&message, DHCP_OPTION_SERVER_ID), 0);
}

/* Many small pieces cost quadratic room; that is bounded. */
static void test_too_many_pieces(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    packet_begin(&packet, DHCP_DISCOVER, 0);
    while (packet.buffer.length + 3 <= sizeof packet.data)
        packet_option(&packet, DHCP_OPTION_VENDOR_SPECIFIC, "x", 1);
    assert_int_equal(parse(&packet, &message), -EBADMSG);
}

static void test_overload(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    static const uint8_t both = 3;
    packet_begin(&packet, DHCP_DISCOVER, 0);
    packet_option(&packet, DHCP_OPTION_OVERLOAD, &both, 1);
    packet_end(&packet);
    /* an option 52 inside asks for one more round: void, and no reason to refuse */
    memcpy(packet.data + 108, "\x3c\x03PXE\x34\x01\x03\xff", 9);
    memcpy(packet.data + 44,
           "\x3c\x06"
           "Client\xff",
           9);
    assert_int_equal(parse(&packet, &message), 0);
    size_t length;
    const uint8_t *value = dhcp_message_option(&message, DHCP_OPTION_VENDOR_CLASS, &length);
    assert_int_equal(length, 9);
    assert_memory_equal(value, "PXEClient", 9);
    assert_string_equal(message.boot_file, "");
    assert_string_equal(message.server_name, "");

    memset(packet.data + 108, 0x3c, 128); /* runs out of the field */
    packet.data[108 + 127] = 0x3c;
    assert_int_equal(parse(&packet, &message), -EBADMSG);

    packet_begin(&packet, DHCP_DISCOVER, 0); /* without 52 the field is a name */
    memcpy(packet.data + 108, "\x3c\x03PXE", 5);
    assert_int_equal(parse(&packet, &message), 0);
    assert_null(dhcp_message_option(&message, DHCP_OPTION_VENDOR_CLASS, NULL));
}

static void test_unterminated_names(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    packet_begin(&packet, DHCP_DISCOVER, 0);
    memset(packet.data + 44, 's', 64);
    memset(packet.data + 108, 'f', 128);
    assert_int_equal(parse(&packet, &message), 0);
    assert_int_equal(strlen(message.server_name), 64);
    assert_int_equal(strlen(message.boot_file), 128);
}

static void test_types(void **state)
{
    (void)state;
    struct packet packet;
    struct dhcp_message message;
    packet_begin(&packet, DHCP_BOOTP, 0);
    assert_int_equal(parse(&packet, &message), 0);
    assert_int_equal(message.type, DHCP_BOOTP);
    packet_begin(&packet, (enum dhcp_message_type)9, 0);
    assert_int_equal(parse(&packet, &message), 0);
    assert_int_equal(message.type, DHCP_BOOTP);
    assert_string_equal(dhcp_message_type_name(DHCP_INFORM), "INFORM");
    assert_string_equal(dhcp_message_type_name((enum dhcp_message_type)77), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),   cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_lengths_that_cannot_be),
        cmocka_unit_test(test_pieces),   cmocka_unit_test(test_too_many_pieces),
        cmocka_unit_test(test_overload), cmocka_unit_test(test_unterminated_names),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
