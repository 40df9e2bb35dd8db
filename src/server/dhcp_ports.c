/* dhcp_ports.c - see dhcp_ports.h */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dhcp_ports.h"
#include "net_packet.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define PACKETS_PER_TURN 64
#define HEADERS_BYTES    (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr))
#define FRAME_BYTES      (HEADERS_BYTES + DHCP_PACKET_BYTES_LIMIT)
#define TTL              64
#define HEARING_S        30.0

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

static void close_watcher(struct dhcp_ports *ports, ev_io *watcher)
{
    if (watcher->fd < 0)
        return;
    ev_io_stop(ports->loop, watcher);
    close(watcher->fd);
    ev_io_set(watcher, -1, EV_READ);
}

static void open_watcher(struct dhcp_ports *ports, ev_io *watcher, int descriptor)
{
    ev_io_set(watcher, descriptor, EV_READ);
    ev_io_start(ports->loop, watcher);
}

static void on_datagram(struct ev_loop *loop, ev_io *watcher, int events);
static void on_answer(struct ev_loop *loop, ev_io *watcher, int events);
static void on_hearing_ends(struct ev_loop *loop, ev_timer *timer, int events);
static void on_routers(struct ev_loop *loop, ev_io *watcher, int events);

void dhcp_ports_init(struct dhcp_ports *ports, struct ev_loop *loop,
                     const struct net_interface *interface)
{
    ports->loop = loop;
    ports->interface_index = interface->index;
    memcpy(ports->own_mac, interface->mac, sizeof ports->own_mac);
    ev_io_init(&ports->server, on_datagram, -1, EV_READ);
    ev_io_init(&ports->boot_server, on_datagram, -1, EV_READ);
    ev_io_init(&ports->answers, on_answer, -1, EV_READ);
    ev_io_init(&ports->routers, on_routers, -1, EV_READ);
    ports->server.data = ports->boot_server.data = ports;
    ports->answers.data = ports->routers.data = ports;
    ev_init(&ports->hearing_ends, on_hearing_ends);
    ports->hearing_ends.repeat = HEARING_S;
    ports->hearing_ends.data = ports;
}

void dhcp_ports_done(struct dhcp_ports *ports)
{
    dhcp_ports_close(ports);
    ev_timer_stop(ports->loop, &ports->hearing_ends);
    close_watcher(ports, &ports->answers);
    close_watcher(ports, &ports->routers);
}

/* ── ports 67 and 4011 ───────────────────────────────────────────────────────────────────────── */

static const char *cure(int code)
{
    switch (code) {
    case EADDRINUSE:
        return "another program has it, such as dnsmasq or a DHCP server (ss -ulnp names it): stop "
               "it, or let it serve this interface and set dhcp = \"off\" here";
    case EACCES:
    case EPERM:
        return "that needs CAP_NET_BIND_SERVICE: start as root, or give the service that "
               "capability";
    default:
        return "check the interface";
    }
}

static int set_up(int socket, const char *interface, uint16_t port)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(socket, SOL_SOCKET, SO_BROADCAST, &(int){1}, sizeof(int));
    setsockopt(socket, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int));
    if (setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface,
                   (socklen_t)strlen(interface) + 1))
        return -errno;
    return bind(socket, (const struct sockaddr *)&any, sizeof any) ? -errno : 0;
}

static int open_port(struct dhcp_ports *ports, ev_io *watcher,
                     const struct net_interface *interface, uint16_t port, struct error *error)
{
    _cleanup_close_ int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int result = descriptor < 0 ? -errno : set_up(descriptor, interface->name, port);
    if (result)
        return error_set(error, result, "%s: UDP port %u cannot be opened: %s; %s", interface->name,
                         port, strerror(-result), cure(-result));
    open_watcher(ports, watcher, take_descriptor(descriptor));
    return 0;
}

int dhcp_ports_open(struct dhcp_ports *ports, const struct net_interface *interface,
                    struct error *error)
{
    if (dhcp_ports_are_open(ports))
        return 0;
    int result = open_port(ports, &ports->server, interface, DHCP_PORT_SERVER, error);
    if (!result)
        result = open_port(ports, &ports->boot_server, interface, DHCP_PORT_BOOT_SERVER, error);
    if (result)
        dhcp_ports_close(ports);
    return result;
}

bool dhcp_ports_are_open(const struct dhcp_ports *ports)
{
    return ports->boot_server.fd >= 0;
}

void dhcp_ports_close(struct dhcp_ports *ports)
{
    close_watcher(ports, &ports->server);
    close_watcher(ports, &ports->boot_server);
}

/* Where it was sent to, and on which interface it came. */
static const struct in_pktinfo *find_pktinfo(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO)
            return (const struct in_pktinfo *)(const void *)CMSG_DATA(part);
    return NULL;
}

/* Addresses that are not the one to answer from: ipi_spec_dst is ours, ipi_addr what it was sent
 * to; they are the same for unicast alone. */
static uint32_t unicast_address(const struct in_pktinfo *info)
{
    return info && info->ipi_addr.s_addr == info->ipi_spec_dst.s_addr ? ntohl(info->ipi_addr.s_addr)
                                                                      : 0;
}

/* False: nothing more there. */
static bool take_datagram(struct dhcp_ports *ports, int socket, enum dhcp_port port)
{
    uint8_t packet[DHCP_PACKET_BYTES_LIMIT + 1];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control;
    struct sockaddr_in from;
    struct iovec iov = {packet, sizeof packet};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t length = recvmsg(socket, &message, 0);
    if (length < 0)
        return errno == EINTR;
    const struct in_pktinfo *info = find_pktinfo(&message);
    if (!info || info->ipi_ifindex != ports->interface_index)
        return true;
    const struct dhcp_arrival arrival = {.port = port,
                                         .source_address = ntohl(from.sin_addr.s_addr),
                                         .source_port = ntohs(from.sin_port),
                                         .local_address = unicast_address(info)};
    ports->received(ports->context, packet, (size_t)length, &arrival);
    return true;
}

static void on_datagram(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct dhcp_ports *ports = watcher->data;
    enum dhcp_port port = watcher == &ports->server ? DHCP_PORT_SERVER : DHCP_PORT_BOOT_SERVER;
    for (unsigned i = 0; i < PACKETS_PER_TURN && watcher->fd >= 0; i++)
        if (!take_datagram(ports, watcher->fd, port))
            break;
}

void dhcp_ports_send(const struct dhcp_ports *ports, const struct dhcp_output *output)
{
    const ev_io *watcher =
        output->from_port == DHCP_PORT_SERVER ? &ports->server : &ports->boot_server;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control = {.bytes = {0}};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(output->to_port),
                             .sin_addr.s_addr = htonl(output->to_address)};
    struct iovec iov = {(void *)(uintptr_t)output->data, output->length};
    struct msghdr message = {.msg_name = &to,
                             .msg_namelen = sizeof to,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    control.header = (struct cmsghdr){.cmsg_level = IPPROTO_IP,
                                      .cmsg_type = IP_PKTINFO,
                                      .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))};
    const struct in_pktinfo info = {.ipi_ifindex = ports->interface_index,
                                    .ipi_spec_dst.s_addr = htonl(output->from_address)};
    memcpy(CMSG_DATA(&control.header), &info, sizeof info);
    if (watcher->fd >= 0 && sendmsg(watcher->fd, &message, MSG_NOSIGNAL) < 0)
        log_warning("a DHCP answer could not be sent: %s", strerror(errno));
}

/* ── looking for servers ─────────────────────────────────────────────────────────────────────── */

/* Takes what a packet socket has; whoever takes a frame may close the socket. */
static void take_frames(ev_io *watcher, void (*handle)(struct dhcp_ports *ports,
                                                       const uint8_t *frame, size_t length))
{
    uint8_t frame[FRAME_BYTES];
    for (unsigned i = 0; i < PACKETS_PER_TURN && watcher->fd >= 0; i++) {
        ssize_t length = recv(watcher->fd, frame, sizeof frame, 0);
        if (length < 0)
            return;
        handle(watcher->data, frame, (size_t)length);
    }
}

/* IPv4, UDP, no later fragment, to port 68. */
static const struct sock_filter to_client_port[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, ETH_HLEN + offsetof(struct iphdr, protocol)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, ETH_HLEN + offsetof(struct iphdr, frag_off)),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IP_OFFMASK, 4, 0),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, ETH_HLEN),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, ETH_HLEN + offsetof(struct udphdr, dest)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP_PORT_CLIENT, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

static uint16_t ip_checksum(const uint8_t *header, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2)
        sum += load_be16(header + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Broadcast from 0.0.0.0; UDP without a checksum (RFC 768). */
static void write_headers(uint8_t *frame, const uint8_t *own_mac, size_t payload_bytes)
{
    size_t udp_bytes = sizeof(struct udphdr) + payload_bytes;
    memset(frame, 0, HEADERS_BYTES);
    memset(frame, 0xff, ETH_ALEN);
    memcpy(frame + ETH_ALEN, own_mac, ETH_ALEN);
    store_be16(frame + 2 * (size_t)ETH_ALEN, ETH_P_IP);
    uint8_t *ip = frame + ETH_HLEN;
    ip[0] = 4 << 4 | sizeof(struct iphdr) / 4;
    store_be16(ip + offsetof(struct iphdr, tot_len), (uint16_t)(sizeof(struct iphdr) + udp_bytes));
    ip[offsetof(struct iphdr, ttl)] = TTL;
    ip[offsetof(struct iphdr, protocol)] = IPPROTO_UDP;
    store_be32(ip + offsetof(struct iphdr, daddr), INADDR_BROADCAST);
    store_be16(ip + offsetof(struct iphdr, check), ip_checksum(ip, sizeof(struct iphdr)));
    uint8_t *udp = ip + sizeof(struct iphdr);
    store_be16(udp + offsetof(struct udphdr, source), DHCP_PORT_CLIENT);
    store_be16(udp + offsetof(struct udphdr, dest), DHCP_PORT_SERVER);
    store_be16(udp + offsetof(struct udphdr, len), (uint16_t)udp_bytes);
}

/* The UDP payload of a frame that passed the filter. NULL: cut. */
static const uint8_t *payload_of(const uint8_t *frame, size_t length, size_t *ret_bytes)
{
    size_t header = ETH_HLEN + (size_t)(frame[ETH_HLEN] & 15) * 4;
    size_t begin = header + sizeof(struct udphdr);
    if (length < begin)
        return NULL;
    size_t udp_bytes = load_be16(frame + header + offsetof(struct udphdr, len));
    if (udp_bytes < sizeof(struct udphdr) || udp_bytes > length - header)
        return NULL;
    *ret_bytes = udp_bytes - sizeof(struct udphdr);
    return frame + begin;
}

static void take_answer(struct dhcp_ports *ports, const uint8_t *frame, size_t length)
{
    size_t bytes;
    const uint8_t *payload = payload_of(frame, length, &bytes);
    if (payload)
        ports->found(ports->context, payload, bytes);
}

static void on_answer(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    take_frames(watcher, take_answer);
}

static void on_hearing_ends(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct dhcp_ports *ports = timer->data;
    ev_timer_stop(loop, timer);
    close_watcher(ports, &ports->answers);
}

int dhcp_ports_hear_answers(struct dhcp_ports *ports, const struct net_interface *interface,
                            struct error *error)
{
    if (ports->answers.fd < 0) {
        int socket = packet_socket_open(interface, ETH_P_IP, to_client_port,
                                        ARRAY_SIZE(to_client_port), error);
        if (socket < 0)
            return socket;
        open_watcher(ports, &ports->answers, socket);
    }
    ev_timer_again(ports->loop, &ports->hearing_ends);
    return 0;
}

int dhcp_ports_look(struct dhcp_ports *ports, const struct net_interface *interface,
                    const uint8_t *packet, size_t length, struct error *error)
{
    uint8_t frame[FRAME_BYTES];
    int result = dhcp_ports_hear_answers(ports, interface, error);
    if (result)
        return result;
    if (length > DHCP_PACKET_BYTES_LIMIT)
        return error_set(error, -EMSGSIZE, "a DHCPDISCOVER of %zu bytes", length);
    write_headers(frame, ports->own_mac, length);
    memcpy(frame + HEADERS_BYTES, packet, length);
    if (send(ports->answers.fd, frame, HEADERS_BYTES + length, 0) < 0)
        return error_set(error, -errno, "%s: a DHCPDISCOVER cannot be sent: %s", interface->name,
                         strerror(errno));
    return 0;
}

/* ── routers ─────────────────────────────────────────────────────────────────────────────────── */

#define IPV6_NEXT_HEADER (ETH_HLEN + 6)
#define IPV6_PAYLOAD     (ETH_HLEN + 40)

/* ICMPv6 types 133 and 134, straight behind the IPv6 header. */
static const struct sock_filter about_routers[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, IPV6_NEXT_HEADER),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 4),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, IPV6_PAYLOAD),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_ROUTER_SOLICIT, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_ROUTER_ADVERT, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

static void take_solicitation(struct dhcp_ports *ports, const uint8_t *frame, size_t length)
{
    ports->solicited(ports->context, frame, length);
}

static void on_routers(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    take_frames(watcher, take_solicitation);
}

/* The groups of RFC 4291 §2.7.1 as Ethernet addresses; a host with IPv6 off has joined neither. */
int dhcp_ports_hear_routers(struct dhcp_ports *ports, const struct net_interface *interface,
                            struct error *error)
{
    static const uint8_t all_nodes[NET_MAC_BYTES] = {0x33, 0x33, 0, 0, 0, 1};
    static const uint8_t all_routers[NET_MAC_BYTES] = {0x33, 0x33, 0, 0, 0, 2};
    if (ports->routers.fd >= 0)
        return 0;
    int socket =
        packet_socket_open(interface, ETH_P_IPV6, about_routers, ARRAY_SIZE(about_routers), error);
    if (socket < 0)
        return socket;
    packet_socket_join(socket, interface->index, all_nodes);
    packet_socket_join(socket, interface->index, all_routers);
    open_watcher(ports, &ports->routers, socket);
    return 0;
}

void dhcp_ports_send_frame(const struct dhcp_ports *ports, const uint8_t *frame, size_t length)
{
    if (ports->routers.fd >= 0 && send(ports->routers.fd, frame, length, 0) < 0)
        log_debug("a router advertisement could not be sent: %s", strerror(errno));
}
