/*
 * dhcp/client.h - who asks: what the options of one message tell about the client.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/dhcp/message.h>

enum dhcp_client_class {
    DHCP_CLIENT_OTHER, /* an installed system, an initramfs: not network boot firmware */
    DHCP_CLIENT_PXE,   /* option 60 "PXEClient" */
    DHCP_CLIENT_HTTP,  /* option 60 "HTTPClient": UEFI HTTP boot */
    DHCP_CLIENT_IPXE,  /* option 175 or user class "iPXE", whatever option 60 says */
    DHCP_CLIENT_PEER,  /* another netboot-target that looks for a server */
};

/* How the firmware of an architecture starts; decides the form of the answer. */
enum dhcp_firmware {
    DHCP_FIRMWARE_BIOS,
    DHCP_FIRMWARE_UEFI,
    DHCP_FIRMWARE_BIOS_HTTP,
    DHCP_FIRMWARE_UEFI_HTTP,
    DHCP_FIRMWARE_OTHER, /* Open Firmware, U-Boot, s390 …: named, but no loader by default */
};

/* A row of the IANA registry "Processor Architecture Types" (RFC 4578 §2.1, RFC 5970 §3.3). */
struct dhcp_architecture {
    uint16_t code;
    uint16_t alike; /* the code whose boot file serves this one too: 9 (EBC) is x64, 7 */
    enum dhcp_firmware firmware;
    const char *name;
};

/* NULL: not in the registry. */
const struct dhcp_architecture *dhcp_architecture_find(uint16_t code);
/* Row `index` of the table, NULL behind its end. */
const struct dhcp_architecture *dhcp_architecture_at(unsigned index);

/* Sub-options of 175 that iPXE sets for what it was built with (its features.h). */
enum dhcp_ipxe_feature {
    DHCP_IPXE_ISCSI = 1u << 0,
    DHCP_IPXE_HTTP = 1u << 1,
    DHCP_IPXE_HTTPS = 1u << 2,
    DHCP_IPXE_BZIMAGE = 1u << 3,
    DHCP_IPXE_EFI = 1u << 4,
    DHCP_IPXE_MENU = 1u << 5,
};
#define DHCP_IPXE_NEEDED (DHCP_IPXE_ISCSI | DHCP_IPXE_HTTP | DHCP_IPXE_MENU)

struct dhcp_client {
    uint8_t mac[DHCP_MAC_BYTES];
    enum dhcp_client_class class;
    bool has_architecture;
    uint16_t architecture_code;                   /* as the client sent it */
    const struct dhcp_architecture *architecture; /* NULL: none sent or not in the registry */
    bool has_features;                            /* option 175 lists them and is well-formed */
    uint32_t features;                            /* enum dhcp_ipxe_feature */
    bool has_uuid;                                /* option 97, type 0, not all zero */
    uint8_t uuid[16];                             /* as sent: the byte order of SMBIOS */
};

/* 0, or -ENOTSUP: no hardware address of six bytes, or not a unicast one. */
int dhcp_client_recognise(const struct dhcp_message *message, struct dhcp_client *ret_client);

/* True when the client told its features and lacks one that our scripts need. */
bool dhcp_client_lacks_features(const struct dhcp_client *client);

/* One word, for logs. */
const char *dhcp_client_class_name(enum dhcp_client_class class);
