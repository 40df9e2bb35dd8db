/*
 * dhcp/message.h - the DHCP message (RFC 2131 §2, options of RFC 2132, 3046, 3396, 4578, and
 * iPXE's 175) as host values. Addresses are host integers: 192.168.200.1 is 0xc0a8c801.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DHCP_MAC_BYTES           6u
#define DHCP_PACKET_BYTES_LIMIT  2048u /* received; longer ones are refused */
#define DHCP_REPLY_BYTES_LIMIT   1444u /* sent; edk2 and iPXE take 1472 with IP and UDP headers */
#define DHCP_REPLY_BYTES_MINIMUM 300u  /* RFC 1542 §2.1 */

enum dhcp_port {
    DHCP_PORT_SERVER = 67,
    DHCP_PORT_CLIENT = 68,
    DHCP_PORT_BOOT_SERVER = 4011, /* PXE 2.1 §2.2 */
};

enum dhcp_message_type {                 /* RFC 2132 §9.6 */
                         DHCP_BOOTP = 0, /* the message carries no type */
                         DHCP_DISCOVER = 1,
                         DHCP_OFFER = 2,
                         DHCP_REQUEST = 3,
                         DHCP_DECLINE = 4,
                         DHCP_ACK = 5,
                         DHCP_NAK = 6,
                         DHCP_RELEASE = 7,
                         DHCP_INFORM = 8,
};

enum dhcp_option_code {
    DHCP_OPTION_PAD = 0,
    DHCP_OPTION_SUBNET_MASK = 1,
    DHCP_OPTION_ROUTER = 3,
    DHCP_OPTION_DNS = 6,
    DHCP_OPTION_HOST_NAME = 12,
    DHCP_OPTION_BROADCAST_ADDRESS = 28,
    DHCP_OPTION_VENDOR_SPECIFIC = 43,
    DHCP_OPTION_REQUESTED_ADDRESS = 50,
    DHCP_OPTION_LEASE_TIME = 51,
    DHCP_OPTION_OVERLOAD = 52,
    DHCP_OPTION_MESSAGE_TYPE = 53,
    DHCP_OPTION_SERVER_ID = 54,
    DHCP_OPTION_PARAMETER_LIST = 55,
    DHCP_OPTION_MESSAGE = 56,
    DHCP_OPTION_MAXIMUM_SIZE = 57,
    DHCP_OPTION_VENDOR_CLASS = 60,
    DHCP_OPTION_CLIENT_ID = 61,
    DHCP_OPTION_TFTP_SERVER = 66,
    DHCP_OPTION_BOOT_FILE = 67,
    DHCP_OPTION_USER_CLASS = 77,
    DHCP_OPTION_RELAY_AGENT = 82,
    DHCP_OPTION_ARCHITECTURE = 93,
    DHCP_OPTION_NETWORK_INTERFACE = 94,
    DHCP_OPTION_MACHINE_ID = 97,
    DHCP_OPTION_IPXE = 175,
    DHCP_OPTION_END = 255,
};

#define DHCP_FLAG_BROADCAST 0x8000u

/* Where an option's bytes lie in dhcp_message.storage. */
struct dhcp_option_place {
    uint16_t offset;
    uint16_t length;
    bool present;
};

/* Self-contained: the packet it was read from may go away. About 4 KiB. */
struct dhcp_message {
    uint8_t op; /* 1 request, 2 reply */
    uint8_t hardware_type;
    uint8_t hardware_length;
    uint8_t hops;
    uint32_t xid;
    uint16_t secs;
    uint16_t flags;
    uint32_t client_address; /* ciaddr */
    uint32_t your_address;   /* yiaddr */
    uint32_t server_address; /* siaddr */
    uint32_t relay_address;  /* giaddr */
    uint8_t hardware_address[16];
    char server_name[64 + 1];
    char boot_file[128 + 1]; /* the header field; empty when it holds options */
    enum dhcp_message_type type;
    unsigned malformed_options; /* known ones with a length that cannot be; taken as absent */
    struct dhcp_option_place options[256];
    uint8_t storage[DHCP_PACKET_BYTES_LIMIT];
    uint16_t stored;
};

/* 0, or -EBADMSG: too short, too long, no magic cookie, or an option that leaves its field. An
 * option given in pieces is joined (RFC 3396); options in file and sname are read (option 52) once,
 * and an option 52 in there counts for nothing. Options that no row of our table names are left
 * out. */
int dhcp_message_parse(const uint8_t *packet, size_t length, struct dhcp_message *ret_message);

/* NULL: absent. `ret_length` may be NULL for options of a fixed length. */
const uint8_t *dhcp_message_option(const struct dhcp_message *message, enum dhcp_option_code code,
                                   size_t *ret_length);
/* An option that holds one address or 32-bit number; 0 when absent. */
uint32_t dhcp_message_option_u32(const struct dhcp_message *message, enum dhcp_option_code code);

/* "DISCOVER" …; "unknown" */
const char *dhcp_message_type_name(enum dhcp_message_type type);
