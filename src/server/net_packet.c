/* net_packet.c - see net_packet.h */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_packet.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/cleanup.h>

/* ── packet sockets ──────────────────────────────────────────────────────────────────────────── */

static int say_refused(struct error *error, int result, const struct net_interface *interface)
{
    if (result == -EPERM || result == -EACCES)
        return error_set(error, result,
                         "%s: frames cannot be sent and heard: that needs CAP_NET_RAW; start as "
                         "root, or give the service that capability",
                         interface->name);
    return error_set(error, result, "%s: frames cannot be sent and heard: %s", interface->name,
                     strerror(-result));
}

static int set_up(int socket, const struct net_interface *interface, uint16_t ethertype,
                  const struct sock_filter *filter, unsigned filter_length)
{
    const struct sock_fprog program = {.len = (unsigned short)filter_length,
                                       .filter = (struct sock_filter *)(uintptr_t)filter};
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ethertype), .sll_ifindex = interface->index};
    if (filter && setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
        return -errno;
    return bind(socket, (const struct sockaddr *)&address, sizeof address) ? -errno : 0;
}

/* Opened for no protocol: nothing arrives before the filter is in place and bind() names one. */
int packet_socket_open(const struct net_interface *interface, uint16_t ethertype,
                       const struct sock_filter *filter, unsigned filter_length,
                       struct error *error)
{
    _cleanup_close_ int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result =
        descriptor < 0 ? -errno : set_up(descriptor, interface, ethertype, filter, filter_length);
    return result ? say_refused(error, result, interface) : take_descriptor(descriptor);
}

void packet_socket_join(int socket, int interface_index, const uint8_t mac[NET_MAC_BYTES])
{
    struct packet_mreq request = {
        .mr_ifindex = interface_index, .mr_type = PACKET_MR_MULTICAST, .mr_alen = NET_MAC_BYTES};
    memcpy(request.mr_address, mac, NET_MAC_BYTES);
    setsockopt(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request);
}

/* ── ARP ─────────────────────────────────────────────────────────────────────────────────────── */

enum { /* RFC 826 over Ethernet, as it lies in a frame */
       FRAME_TO = 0,
       FRAME_FROM = 6,
       FRAME_TYPE = 12,
       ARP_HARDWARE_TYPE = 14,
       ARP_PROTOCOL_TYPE = 16,
       ARP_HARDWARE_LENGTH = 18,
       ARP_PROTOCOL_LENGTH = 19,
       ARP_OPERATION = 20,
       ARP_SENDER_MAC = 22,
       ARP_SENDER_ADDRESS = 28,
       ARP_TARGET_ADDRESS = 38,
       ARP_FRAME_BYTES = 42,
};

#define ARP_ETHERNET    1
#define ARP_REQUEST     1
#define PROBES          3
#define PROBE_GAP_S     0.12
#define FRAMES_PER_TURN 64

struct arp_probe {
    bool used;
    uint32_t address;
    unsigned sent;
};

struct arp_prober {
    struct ev_loop *loop;
    struct net_interface interface; /* as it was; only index, name and MAC count */
    arp_probed probed;
    void *context;
    int socket; /* -1 while nothing is probed */
    ev_io readable;
    ev_timer next;
    struct arp_probe probes[ARP_PROBES_LIMIT];
};

static void send_probe(const struct arp_prober *prober, uint32_t address)
{
    uint8_t frame[ARP_FRAME_BYTES] = {0};
    memset(frame + FRAME_TO, 0xff, NET_MAC_BYTES);
    memcpy(frame + FRAME_FROM, prober->interface.mac, NET_MAC_BYTES);
    store_be16(frame + FRAME_TYPE, ETH_P_ARP);
    store_be16(frame + ARP_HARDWARE_TYPE, ARP_ETHERNET);
    store_be16(frame + ARP_PROTOCOL_TYPE, ETH_P_IP);
    frame[ARP_HARDWARE_LENGTH] = NET_MAC_BYTES;
    frame[ARP_PROTOCOL_LENGTH] = sizeof(uint32_t);
    store_be16(frame + ARP_OPERATION, ARP_REQUEST);
    memcpy(frame + ARP_SENDER_MAC, prober->interface.mac, NET_MAC_BYTES);
    store_be32(frame + ARP_TARGET_ADDRESS, address); /* the sender's address stays 0: a probe */
    (void)send(prober->socket, frame, sizeof frame, 0);
}

static void rest(struct arp_prober *prober)
{
    for (size_t i = 0; i < ARP_PROBES_LIMIT; i++)
        if (prober->probes[i].used)
            return;
    ev_timer_stop(prober->loop, &prober->next);
    ev_io_stop(prober->loop, &prober->readable);
    if (prober->socket >= 0)
        close(take_descriptor(prober->socket));
}

static void conclude(struct arp_prober *prober, struct arp_probe *probe, const uint8_t *holder)
{
    uint32_t address = probe->address;
    probe->used = false;
    prober->probed(prober->context, address, holder);
}

static void on_next(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct arp_prober *prober = timer->data;
    for (size_t i = 0; i < ARP_PROBES_LIMIT; i++) {
        struct arp_probe *probe = &prober->probes[i];
        if (!probe->used)
            continue;
        if (probe->sent == PROBES) {
            conclude(prober, probe, NULL);
        } else {
            send_probe(prober, probe->address);
            probe->sent++;
        }
    }
    rest(prober);
}

/* Whoever speaks with the address has it; whoever probes for it too will have it, unless it is one
 * of us with the higher MAC, so that one of two goes on (RFC 5227 lets both give up). */
static const uint8_t *holder_of(const struct arp_prober *prober, const uint8_t *frame,
                                uint32_t address)
{
    const uint8_t *mac = frame + ARP_SENDER_MAC;
    int order = memcmp(mac, prober->interface.mac, NET_MAC_BYTES);
    uint32_t sender = load_be32(frame + ARP_SENDER_ADDRESS);
    bool probes_too = !sender && load_be16(frame + ARP_OPERATION) == ARP_REQUEST &&
                      load_be32(frame + ARP_TARGET_ADDRESS) == address;
    return (order && sender == address) || (order < 0 && probes_too) ? mac : NULL;
}

static void take_frame(struct arp_prober *prober, const uint8_t *frame)
{
    for (size_t i = 0; i < ARP_PROBES_LIMIT; i++) {
        struct arp_probe *probe = &prober->probes[i];
        const uint8_t *holder = probe->used ? holder_of(prober, frame, probe->address) : NULL;
        if (holder)
            conclude(prober, probe, holder);
    }
}

static void on_readable(struct ev_loop *loop, ev_io *readable, int events)
{
    (void)loop;
    (void)events;
    struct arp_prober *prober = readable->data;
    uint8_t frame[256];
    for (unsigned i = 0; i < FRAMES_PER_TURN; i++) {
        ssize_t length = recv(readable->fd, frame, sizeof frame, 0);
        if (length < 0)
            break;
        if (length >= ARP_FRAME_BYTES && load_be16(frame + ARP_PROTOCOL_TYPE) == ETH_P_IP &&
            frame[ARP_HARDWARE_LENGTH] == NET_MAC_BYTES)
            take_frame(prober, frame);
    }
    rest(prober);
}

static int begin(struct arp_prober *prober, struct error *error)
{
    if (prober->socket >= 0)
        return 0;
    int socket = packet_socket_open(&prober->interface, ETH_P_ARP, NULL, 0, error);
    if (socket < 0)
        return socket;
    prober->socket = socket;
    ev_io_set(&prober->readable, socket, EV_READ);
    ev_io_start(prober->loop, &prober->readable);
    ev_timer_again(prober->loop, &prober->next);
    return 0;
}

int arp_prober_start(struct arp_prober *prober, uint32_t address, struct error *error)
{
    struct arp_probe *unused = NULL;
    for (size_t i = 0; i < ARP_PROBES_LIMIT; i++) {
        struct arp_probe *probe = &prober->probes[i];
        if (probe->used && probe->address == address)
            return 0;
        if (!probe->used)
            unused = probe;
    }
    if (!unused)
        return error_set(error, -EBUSY, "%s: too many addresses are being probed",
                         prober->interface.name);
    int result = begin(prober, error);
    if (result)
        return result;
    send_probe(prober, address);
    *unused = (struct arp_probe){.used = true, .address = address, .sent = 1};
    return 0;
}

struct arp_prober *arp_prober_new(struct ev_loop *loop, const struct net_interface *interface,
                                  arp_probed probed, void *context)
{
    struct arp_prober *prober = calloc(1, sizeof *prober);
    if (!prober)
        return NULL;
    prober->loop = loop;
    prober->interface = *interface;
    prober->probed = probed;
    prober->context = context;
    prober->socket = -1;
    ev_init(&prober->readable, on_readable);
    ev_init(&prober->next, on_next);
    prober->next.repeat = PROBE_GAP_S;
    prober->readable.data = prober->next.data = prober;
    return prober;
}

void arp_prober_free(struct arp_prober *prober)
{
    if (!prober)
        return;
    memset(prober->probes, 0, sizeof prober->probes);
    rest(prober);
    free(prober);
}
