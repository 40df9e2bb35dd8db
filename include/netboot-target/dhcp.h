/*
 * dhcp.h - the DHCP and PXE responder of one interface (RFC 2131, 4578, PXE 2.1). Pure: packets and
 * the time go in, packets, requests and events come out. What is answered to whom stands in one
 * table, src/dhcp/policy.c.
 *
 * The caller's part: UDP sockets on 67 and 4011 of the interface, an ARP probe when asked, and the
 * boot files and scripts (struct dhcp_boot_source). After each call that takes `now_ms` it pulls
 * dhcp_service_next_packet() and dhcp_service_next_event() until both are empty.
 *
 * Addresses are host integers: 192.168.200.1 is 0xc0a8c801. 0 stands for none.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/dhcp/client.h>
#include <netboot-target/dhcp/message.h>
#include <netboot-target/dhcp/router_help.h>
#include <netboot-target/dhcp/server_probe.h>

#define DHCP_BOOT_TEXT_BYTES_LIMIT 254u /* a boot file name or URL, with its NUL one option */
#define DHCP_DNS_LIMIT             3u
#define DHCP_POOL_LIMIT            1024u /* addresses */

/* ── why somebody is not answered ────────────────────────────────────────────────────────────── */

enum dhcp_silence {
    DHCP_SILENCE_NONE,
    DHCP_SILENCE_OFF,            /* role off, or no address yet */
    DHCP_SILENCE_NOT_A_REQUEST,  /* malformed, a reply, BOOTP, our own */
    DHCP_SILENCE_HARDWARE,       /* a hardware address we cannot serve */
    DHCP_SILENCE_NO_BOOT_CLIENT, /* does not want to boot from the network, and we are a proxy */
    DHCP_SILENCE_OTHER_SERVER,   /* the client speaks to another server */
    DHCP_SILENCE_NOT_FOR_PORT,   /* a message type that this port or role does not answer */
    DHCP_SILENCE_NO_BOOT_FILE,   /* nothing to load for this architecture or client */
    DHCP_SILENCE_NOT_SERVING,    /* serving is switched off */
    DHCP_SILENCE_NO_HTTP,        /* it loads by HTTP, and no port is open for that */
    DHCP_SILENCE_LOOP,           /* loaded the same file three times without going on */
    DHCP_SILENCE_RATE,           /* more requests than we answer */
    DHCP_SILENCE_UNKNOWN_SENDER, /* 4011 from off the link by a client no relay told us of */
    DHCP_SILENCE_ADDRESS,        /* asks for an address that is not its own, or not free */
    DHCP_SILENCE_ADDRESS_HELD,   /* the address written down for it is somebody else's */
    DHCP_SILENCE_POOL,           /* no address left */
    DHCP_SILENCE_PROBING,        /* its address is being probed; the answer follows */
    DHCP_SILENCE_TOO_LONG,       /* the answer does not fit what the client takes */
};

/* ── what clients are to load ────────────────────────────────────────────────────────────────── */

enum dhcp_boot_stage {
    DHCP_BOOT_NONE,
    DHCP_BOOT_LOADER,     /* a boot file by TFTP: a name */
    DHCP_BOOT_LOADER_URL, /* the same for UEFI HTTP boot: a URL with a literal address */
    DHCP_BOOT_SCRIPT,     /* iPXE that is ready for it: the URL of its script */
};

struct dhcp_boot_source {
    /* Writes a NUL-terminated name or URL for this client. `own_address` is the one the client
     * reaches us at. Other than DHCP_SILENCE_NONE: nothing for this client, and why; it is not
     * answered (in the server role it gets its address all the same). */
    enum dhcp_silence (*describe)(struct dhcp_boot_source *source, const struct dhcp_client *client,
                                  enum dhcp_boot_stage stage, uint32_t own_address,
                                  char ret_text[DHCP_BOOT_TEXT_BYTES_LIMIT + 1]);
};

/* ── settings ────────────────────────────────────────────────────────────────────────────────── */

enum dhcp_chainload {
    DHCP_CHAINLOAD_MISSING_FEATURES, /* an iPXE that lacks iSCSI, HTTP or menus gets our build */
    DHCP_CHAINLOAD_ALWAYS,
    DHCP_CHAINLOAD_NEVER,
};

/* How a proxy offer sends firmware to its boot file; some accept only one of the two. */
enum dhcp_pxe_style {
    DHCP_PXE_AUTO,        /* BIOS: direct; UEFI: boot server */
    DHCP_PXE_DIRECT,      /* 43 {6=8}: take the file of this offer */
    DHCP_PXE_BOOT_SERVER, /* no 43: ask port 4011 */
};

/* A client written down in the configuration, known by MAC or, while it boots, by option 97. */
struct dhcp_named_client {
    bool has_mac;
    bool has_uuid;
    uint8_t mac[DHCP_MAC_BYTES];
    uint8_t uuid[16];
    uint32_t address; /* 0: none of its own. Else a full answer even in the proxy role */
    enum dhcp_pxe_style style;
};

struct dhcp_settings {
    enum dhcp_role role;
    uint8_t own_mac[DHCP_MAC_BYTES];
    uint32_t own_address; /* 0: nobody is answered until there is one */
    uint32_t netmask;
    uint32_t pool_first; /* 0: every host address of the subnet, at most DHCP_POOL_LIMIT */
    uint32_t pool_last;
    uint32_t router;
    uint32_t dns[DHCP_DNS_LIMIT];
    unsigned dns_count;
    enum dhcp_chainload chainload;
    uint32_t replies_per_second;             /* in all; 0: 50 */
    const struct dhcp_named_client *clients; /* copied */
    unsigned client_count;
};

/* ── the service ─────────────────────────────────────────────────────────────────────────────── */

/* How a packet came. */
struct dhcp_arrival {
    enum dhcp_port port; /* ours: 67 or 4011 */
    uint32_t source_address;
    uint16_t source_port;
    uint32_t local_address; /* the address of ours it was sent to; 0: it was broadcast */
};

struct dhcp_output {
    uint32_t to_address; /* 0xffffffff: broadcast on the interface */
    uint16_t to_port;
    uint32_t from_address;
    enum dhcp_port from_port; /* which socket sends it: iPXE takes answers from 4011 only there */
    size_t length;
    uint8_t data[DHCP_REPLY_BYTES_LIMIT];
};

enum dhcp_event_type {
    DHCP_EVENT_ANSWERED,       /* client, request, reply, stage, boot, address; silence: why a
                                * client that boots got no more than an address */
    DHCP_EVENT_SILENT,         /* client (when known), request, silence; LOOP: boot; ADDRESS_HELD:
                                * address, mac of its holder, zero: not known */
    DHCP_EVENT_PROBE,          /* address: ARP-probe it and call dhcp_service_probed() */
    DHCP_EVENT_CONFLICT,       /* address, mac: somebody else holds it */
    DHCP_EVENT_DECLINED,       /* client, address: the client found it in use */
    DHCP_EVENT_RELEASED,       /* client, address */
    DHCP_EVENT_FOREIGN_SERVER, /* client, address of the server that it chose */
    DHCP_EVENT_PEER,           /* mac: another netboot-target looks for a server */
    DHCP_EVENT_LOOP,           /* client, boot: three loads of this file without going on */
};

struct dhcp_event {
    enum dhcp_event_type type;
    struct dhcp_client client;
    enum dhcp_message_type request;
    enum dhcp_message_type reply;
    enum dhcp_port port;
    bool relayed;
    bool via_boot_server; /* ANSWERED: the client is to ask port 4011 for its file */
    enum dhcp_silence silence;
    enum dhcp_boot_stage stage;
    uint32_t address;
    uint8_t mac[DHCP_MAC_BYTES];
    char boot[DHCP_BOOT_TEXT_BYTES_LIMIT + 1];
};

struct dhcp_service;

/* `source` is borrowed. NULL: out of memory. */
struct dhcp_service *dhcp_service_new(const struct dhcp_settings *settings,
                                      struct dhcp_boot_source *source);
void dhcp_service_free(struct dhcp_service *service);
/* New settings: another role, address, reload. What is known of clients stays; leases stay unless
 * the pool changed. 0 or -ENOMEM, -EINVAL (a pool outside the subnet), which changes nothing. */
int dhcp_service_configure(struct dhcp_service *service, const struct dhcp_settings *settings);

/* A packet as it came to one of our ports, of any length and content. Then pull what there is to
 * send and to tell. */
void dhcp_service_receive(struct dhcp_service *service, const uint8_t *packet, size_t length,
                          const struct dhcp_arrival *arrival, uint64_t now_ms);
/* The result of DHCP_EVENT_PROBE: who holds the address, NULL when nobody answered. */
void dhcp_service_probed(struct dhcp_service *service, uint32_t address, const uint8_t *holder_mac,
                         uint64_t now_ms);
/* A boot file has been transferred whole to this client, by TFTP or HTTP. This is how the second
 * stage and loops are recognised: no packet tells them. */
void dhcp_service_loader_sent(struct dhcp_service *service, const uint8_t mac[DHCP_MAC_BYTES],
                              const char *file, uint64_t now_ms);
/* The client got further than its loader (its script was fetched): not a loop. */
void dhcp_service_client_progressed(struct dhcp_service *service,
                                    const uint8_t mac[DHCP_MAC_BYTES]);

/* Pull after each call above until both are false: nothing more to send, nothing more to tell. */
bool dhcp_service_next_packet(struct dhcp_service *service, struct dhcp_output *ret_output);
bool dhcp_service_next_event(struct dhcp_service *service, struct dhcp_event *ret_event);

/* Whose address this is, as far as DHCP traffic told: addresses that we gave, and those clients
 * were heard to request from another server. */
bool dhcp_service_client_at(const struct dhcp_service *service, uint32_t address,
                            uint8_t ret_mac[DHCP_MAC_BYTES]);
/* It sent a PXE or iPXE DISCOVER within the last minute: permission for router help. */
bool dhcp_service_is_booting(const struct dhcp_service *service, const uint8_t mac[DHCP_MAC_BYTES],
                             uint64_t now_ms);

/* Why a packet is not answered, as a person reads it. */
const char *dhcp_silence_text(enum dhcp_silence silence);
