/*
 * packets.h - requests of real clients, option for option as they send them.
 */
#pragma once
#include <string.h>

#include <netboot-target/dhcp/message.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/bytes.h>

static const uint8_t CLIENT_MAC[6] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
static const uint8_t CLIENT_UUID[16] = {0xde, 0xad, 0xbe, 0xef, 1, 2,  3,  4,
                                        5,    6,    7,    8,    9, 10, 11, 12};

struct packet {
    struct buffer buffer;
    uint8_t data[DHCP_PACKET_BYTES_LIMIT];
};

static inline void packet_option(struct packet *packet, uint8_t code, const void *data,
                                 size_t length)
{
    buffer_put_u8(&packet->buffer, code);
    buffer_put_u8(&packet->buffer, (uint8_t)length);
    buffer_append(&packet->buffer, data, length);
}

static inline void packet_option_u32(struct packet *packet, uint8_t code, uint32_t value)
{
    uint8_t bytes[4];
    store_be32(bytes, value);
    packet_option(packet, code, bytes, sizeof bytes);
}

static inline void packet_string(struct packet *packet, uint8_t code, const char *string)
{
    packet_option(packet, code, string, strlen(string));
}

static inline void packet_begin(struct packet *packet, enum dhcp_message_type type, uint16_t flags)
{
    buffer_init_fixed(&packet->buffer, packet->data, sizeof packet->data);
    buffer_put_zeros(&packet->buffer, 240);
    uint8_t *head = packet->data;
    head[0] = 1;
    head[1] = 1;
    head[2] = 6;
    store_be32(head + 4, 0x12345678);
    store_be16(head + 10, flags);
    memcpy(head + 28, CLIENT_MAC, sizeof CLIENT_MAC);
    store_be32(head + 236, 0x63825363);
    uint8_t value = (uint8_t)type;
    if (type != DHCP_BOOTP)
        packet_option(packet, DHCP_OPTION_MESSAGE_TYPE, &value, 1);
}

static inline void packet_end(struct packet *packet)
{
    buffer_put_u8(&packet->buffer, DHCP_OPTION_END);
}

static inline void packet_machine_id(struct packet *packet)
{
    uint8_t id[17] = {0};
    memcpy(id + 1, CLIENT_UUID, sizeof CLIENT_UUID);
    packet_option(packet, DHCP_OPTION_MACHINE_ID, id, sizeof id);
}

static inline void packet_architecture(struct packet *packet, uint16_t code)
{
    uint8_t bytes[2];
    store_be16(bytes, code);
    packet_option(packet, DHCP_OPTION_ARCHITECTURE, bytes, sizeof bytes);
}

static inline void packet_class(struct packet *packet, const char *word, uint16_t architecture,
                                const char *undi)
{
    struct buffer text;
    char area[64];
    buffer_init_fixed(&text, area, sizeof area);
    buffer_format(&text, "%s:Arch:%05u:UNDI:%s", word, (unsigned)architecture, undi);
    packet_option(packet, DHCP_OPTION_VENDOR_CLASS, area, text.length);
}

/* edk2 in OVMF, all but the final END: 55, 57, 97, 94, 93, 60; broadcast flag, no 61, no 77. */
static inline void packet_edk2(struct packet *packet, enum dhcp_message_type type, const char *word,
                               uint16_t architecture)
{
    static const uint8_t parameters[] = {1,  2,  3,  4,   5,   6,   12,  13,  15,  17,  18, 22,
                                         23, 28, 40, 41,  42,  43,  50,  51,  54,  58,  59, 60,
                                         66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135};
    static const uint8_t undi[] = {1, 3, 0}, size[] = {0x05, 0xc0};
    packet_begin(packet, type, DHCP_FLAG_BROADCAST);
    packet_option(packet, DHCP_OPTION_PARAMETER_LIST, parameters, sizeof parameters);
    packet_option(packet, DHCP_OPTION_MAXIMUM_SIZE, size, sizeof size);
    packet_machine_id(packet);
    packet_option(packet, DHCP_OPTION_NETWORK_INTERFACE, undi, sizeof undi);
    packet_architecture(packet, architecture);
    packet_class(packet, word, architecture, "003000");
}

static inline void packet_ovmf(struct packet *packet, enum dhcp_message_type type)
{
    packet_edk2(packet, type, "PXEClient", 7);
}

static inline void packet_ovmf_http(struct packet *packet, enum dhcp_message_type type)
{
    packet_edk2(packet, type, "HTTPClient", 16);
}

/* A BIOS ROM of the PXE 2.1 days. */
static inline void packet_bios_rom(struct packet *packet, enum dhcp_message_type type)
{
    static const uint8_t parameters[] = {1,  2,  3,  5,  6,   11,  12,  13,  15,  16,  17,  18,
                                         43, 54, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135};
    static const uint8_t undi[] = {1, 2, 1}, size[] = {0x04, 0xec};
    packet_begin(packet, type, DHCP_FLAG_BROADCAST);
    packet_option(packet, DHCP_OPTION_PARAMETER_LIST, parameters, sizeof parameters);
    packet_option(packet, DHCP_OPTION_MAXIMUM_SIZE, size, sizeof size);
    packet_machine_id(packet);
    packet_architecture(packet, 0);
    packet_option(packet, DHCP_OPTION_NETWORK_INTERFACE, undi, sizeof undi);
    packet_class(packet, "PXEClient", 0, "002001");
}

/* Features of option 175 as QEMU's ROMs and Debian's builds have them. */
static const uint8_t IPXE_FULL[] = {0xb1, 5, 1, 0x80, 0x86, 0x10, 0x0e, /* bus id */
                                    0xeb, 3, 1, 0,    0,                /* version */
                                    0x17, 1, 1, 0x15, 1,    1,    0x11, 1, 1, 0x13, 1, 1,
                                    0x18, 1, 1, 0x27, 1,    1,    0x21, 1, 1, 0x22, 1, 1};
/* A stripped ROM: no iSCSI, HTTP or menu. */
static const uint8_t IPXE_POOR[] = {0xeb, 3, 1, 0, 0, 0x15, 1, 1, 0x17, 1, 1, 0x21, 1, 1};

static inline void packet_ipxe_with(struct packet *packet, enum dhcp_message_type type,
                                    uint16_t architecture, const void *features,
                                    size_t features_length)
{
    static const uint8_t parameters[] = {1,   3,   6,   7,   12,  15,  17,  26,  43,  60,  66, 67,
                                         119, 128, 129, 130, 131, 132, 133, 134, 135, 175, 203};
    static const uint8_t undi[] = {1, 2, 1}, size[] = {0x05, 0xc0};
    uint8_t id[7] = {1};
    memcpy(id + 1, CLIENT_MAC, sizeof CLIENT_MAC);
    packet_begin(packet, type, 0);
    packet->data[9] = 4; /* secs, which iPXE uses for something else */
    packet_option(packet, DHCP_OPTION_MAXIMUM_SIZE, size, sizeof size);
    packet_architecture(packet, architecture);
    packet_option(packet, DHCP_OPTION_NETWORK_INTERFACE, undi, sizeof undi);
    packet_class(packet, "PXEClient", architecture, "002001");
    packet_option(packet, DHCP_OPTION_USER_CLASS, "iPXE", 4);
    packet_option(packet, DHCP_OPTION_PARAMETER_LIST, parameters, sizeof parameters);
    packet_option(packet, DHCP_OPTION_IPXE, features, features_length);
    packet_option(packet, DHCP_OPTION_CLIENT_ID, id, sizeof id);
    packet_machine_id(packet);
}

static inline void packet_ipxe(struct packet *packet, enum dhcp_message_type type,
                               uint16_t architecture)
{
    packet_ipxe_with(packet, type, architecture, IPXE_FULL, sizeof IPXE_FULL);
}

/* klibc's ipconfig, in every initramfs-tools initramfs. */
static inline void packet_ipconfig(struct packet *packet, enum dhcp_message_type type)
{
    static const uint8_t parameters[] = {1, 3, 6, 12, 15, 17, 26, 28, 40, 42};
    packet_begin(packet, type, DHCP_FLAG_BROADCAST);
    packet_option(packet, DHCP_OPTION_PARAMETER_LIST, parameters, sizeof parameters);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "Linux ipconfig");
}

/* ISC dhclient: no broadcast flag, a host name. */
static inline void packet_dhclient(struct packet *packet, enum dhcp_message_type type)
{
    static const uint8_t parameters[] = {1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42};
    packet_begin(packet, type, 0);
    packet_string(packet, DHCP_OPTION_HOST_NAME, "guest");
    packet_option(packet, DHCP_OPTION_PARAMETER_LIST, parameters, sizeof parameters);
}
