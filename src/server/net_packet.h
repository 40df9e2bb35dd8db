/* net_packet.h - Ethernet frames: packet sockets (packet(7)), and ARP probes over one. */
#pragma once
#include <ev.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "net_interfaces.h"

/* A non-blocking socket for whole frames of one EtherType on one interface that pass `filter`. The
 * descriptor, or -errno with a sentence. */
int packet_socket_open(const struct net_interface *interface, uint16_t ethertype,
                       const struct sock_filter *filter, unsigned filter_length,
                       struct error *error);
/* Lets the interface take frames to this multicast address. */
void packet_socket_join(int socket, int interface_index, const uint8_t mac[NET_MAC_BYTES]);

/* ── ARP probes ──────────────────────────────────────────────────────────────────────────────────
 * Whether somebody on the link has an address already (RFC 5227 §2.1.1, with shorter waits: a
 * client in its firmware does not stay for nine seconds). */

#define ARP_PROBES_LIMIT 33 /* at once */

struct arp_prober;

/* `holder`: the MAC of whoever has the address, NULL: nobody answered. */
typedef void (*arp_probed)(void *context, uint32_t address, const uint8_t *holder);

struct arp_prober *arp_prober_new(struct ev_loop *loop, const struct net_interface *interface,
                                  arp_probed probed, void *context);
void arp_prober_free(struct arp_prober *prober);
/* 0: `probed` follows within half a second, never inside this call. -errno with a sentence. */
int arp_prober_start(struct arp_prober *prober, uint32_t address, struct error *error);
