/*
 * dhcp/router_help.h - an answer for iPXE's router solicitations. Every iPXE waits up to 16 s for
 * an IPv6 router. Where there is none, a client that is booting gets an advertisement which says
 * just that: lifetime 0, no prefix, no flags, sent to this client alone (RFC 4861 §4.1, §4.2).
 *
 * The caller's part: a raw (packet) socket that sees Ethernet frames with ICMPv6 type 133 and 134,
 * and dhcp_service_is_booting() for the permission.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/dhcp/message.h>
#include <netboot-target/util/buffer.h>

struct dhcp_router_solicitation {
    uint8_t mac[DHCP_MAC_BYTES]; /* the sender's, of the Ethernet header */
    uint8_t source[16];          /* its IPv6 address, perhaps all zero */
};

#define DHCP_ROUTER_FRAME_BYTES 78u /* an advertisement of ours, as a whole frame */

/* Reads an Ethernet frame. 0, or -EBADMSG: no valid solicitation (RFC 4861 §6.1.1). */
int dhcp_router_solicitation_parse(const uint8_t *frame, size_t length,
                                   struct dhcp_router_solicitation *ret_solicitation);
/* True for a frame in which a real router advertises itself: valid by RFC 4861 §6.1.2, not from
 * `own_mac`. */
bool dhcp_router_advertisement_check(const uint8_t *frame, size_t length,
                                     const uint8_t own_mac[DHCP_MAC_BYTES]);
/* Appends the answer as a whole Ethernet frame, from the link-local address of `own_mac`. */
void dhcp_router_advertisement_write(struct buffer *out, const uint8_t own_mac[DHCP_MAC_BYTES],
                                     const struct dhcp_router_solicitation *solicitation);

/* A real router may take 0.5 s (MAX_RA_DELAY_TIME) to answer; we speak when it has not. */
#define DHCP_ROUTER_WAIT_MS 550u

/* Waiting solicitations of one interface. */
struct dhcp_router_help;

/* NULL: out of memory. */
struct dhcp_router_help *dhcp_router_help_new(const uint8_t own_mac[DHCP_MAC_BYTES]);
void dhcp_router_help_free(struct dhcp_router_help *help);
/* `permitted`: the sender just sent a PXE or iPXE DISCOVER, and the help is switched on. */
void dhcp_router_help_receive(struct dhcp_router_help *help, const uint8_t *frame, size_t length,
                              bool permitted, uint64_t now_ms);
/* Appends one frame that is due. False: none. */
bool dhcp_router_help_next_frame(struct dhcp_router_help *help, struct buffer *out,
                                 uint64_t now_ms);
/* When a frame is due next. UINT64_MAX: none waits. */
uint64_t dhcp_router_help_deadline_ms(const struct dhcp_router_help *help);
