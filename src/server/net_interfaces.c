/*
 * net_interfaces.c - see net_interfaces.h. Notifications only say that something changed; then
 * everything is asked anew, since the kernel does not tell of every route that goes with a link.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "net_interfaces.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define SETTLE_S      0.05 /* changes come in bursts */
#define DUMP_TRIES    5    /* a table that changes while it is read is read again */
#define ANSWER_MS     2000
#define MESSAGE_BYTES 256
#define DUMP_BYTES    32768 /* what the kernel fills at most at once */
#define ATTRIBUTES    64    /* of a link; addresses and routes have fewer */

struct net_watcher {
    struct ev_loop *loop;
    void (*changed)(void *context);
    void *context;
    struct mnl_socket *news;     /* multicast: something changed */
    struct mnl_socket *requests; /* questions and answers */
    ev_io readable;
    ev_timer settle;
    uint32_t sequence;
    struct net_interface *interfaces;
};

/* ── sysfs ───────────────────────────────────────────────────────────────────────────────────── */

static bool sysfs_has(const char *interface, const char *entry)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/class/net/%s/%s", interface, entry);
    return access(path, F_OK) == 0;
}

static bool is_tunnel_kind(const char *kind)
{
    static const char *const kinds[] = {"gre",  "gretap",    "erspan",  "ip6gre", "ip6gretap",
                                        "ipip", "sit",       "ip6tnl",  "vti",    "vti6",
                                        "xfrm", "vxlan",     "tun",     "geneve", "gtp",
                                        "ppp",  "wireguard", "bareudp", "l2tp",   "ipoib"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

static void classify(struct net_interface *interface, const char *kind)
{
    const char *name = interface->name;
    interface->is_wireless = sysfs_has(name, "wireless") || sysfs_has(name, "phy80211");
    interface->is_bridge_port = sysfs_has(name, "brport");
    interface->is_tunnel = is_tunnel_kind(kind) || sysfs_has(name, "tun_flags");
    interface->is_virtual = !sysfs_has(name, "device");
}

/* ── what the kernel tells ───────────────────────────────────────────────────────────────────── */

static struct net_interface *find(const struct net_watcher *watcher, int index)
{
    struct net_interface *interface;
    DL_FOREACH (watcher->interfaces, interface)
        if (interface->index == index)
            return interface;
    return NULL;
}

/* The attributes of a message by their type. */
struct attributes {
    const struct nlattr *of[ATTRIBUTES];
};

static int keep_attribute(const struct nlattr *attribute, void *context)
{
    struct attributes *attributes = context;
    uint16_t type = mnl_attr_get_type(attribute);
    if (type < ATTRIBUTES)
        attributes->of[type] = attribute;
    return MNL_CB_OK;
}

static struct attributes attributes_of(const struct nlmsghdr *message, size_t header_bytes)
{
    struct attributes attributes = {{NULL}};
    mnl_attr_parse(message, (unsigned)header_bytes, keep_attribute, &attributes);
    return attributes;
}

static bool has_bytes(const struct nlattr *attribute, size_t bytes)
{
    return attribute && mnl_attr_get_payload_len(attribute) == bytes;
}

/* "" when it is absent. */
static const char *text_of(const struct nlattr *attribute)
{
    return attribute && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0
               ? mnl_attr_get_str(attribute)
               : "";
}

/* "bridge", "veth", "vlan" …; "" for real devices. */
static const char *link_kind(const struct nlattr *info)
{
    struct attributes attributes = {{NULL}};
    if (info)
        mnl_attr_parse_nested(info, keep_attribute, &attributes);
    return text_of(attributes.of[IFLA_INFO_KIND]);
}

static int on_link(const struct nlmsghdr *message, void *context)
{
    struct net_watcher *watcher = context;
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    struct net_interface *interface = calloc(1, sizeof *interface);
    if (!interface)
        return MNL_CB_OK;
    const struct attributes attributes = attributes_of(message, sizeof *link);
    const struct nlattr *address = attributes.of[IFLA_ADDRESS];
    interface->index = link->ifi_index;
    interface->is_up = link->ifi_flags & IFF_UP;
    interface->has_carrier = interface->is_up && link->ifi_flags & IFF_RUNNING;
    snprintf(interface->name, sizeof interface->name, "%s", text_of(attributes.of[IFLA_IFNAME]));
    if (link->ifi_type == ARPHRD_ETHER && has_bytes(address, NET_MAC_BYTES)) {
        memcpy(interface->mac, mnl_attr_get_payload(address), NET_MAC_BYTES);
        interface->is_ethernet = true;
    }
    classify(interface, link_kind(attributes.of[IFLA_LINKINFO]));
    DL_APPEND(watcher->interfaces, interface);
    return MNL_CB_OK;
}

static bool is_our_label(const char *label)
{
    size_t length = strlen(label);
    size_t suffix = sizeof NET_FALLBACK_SUFFIX - 1;
    return length > suffix && strcmp(label + length - suffix, NET_FALLBACK_SUFFIX) == 0;
}

static int on_address(const struct nlmsghdr *message, void *context)
{
    const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
    struct net_interface *interface = find(context, (int)header->ifa_index);
    if (!interface || header->ifa_family != AF_INET ||
        interface->address_count == NET_ADDRESSES_LIMIT)
        return MNL_CB_OK;
    const struct attributes attributes = attributes_of(message, sizeof *header);
    if (has_bytes(attributes.of[IFA_LOCAL], sizeof(uint32_t)))
        interface->addresses[interface->address_count++] = (struct net_address){
            .address = load_be32(mnl_attr_get_payload(attributes.of[IFA_LOCAL])),
            .prefix = header->ifa_prefixlen,
            .is_finite = !(header->ifa_flags & IFA_F_PERMANENT),
            .is_fallback = is_our_label(text_of(attributes.of[IFA_LABEL]))};
    return MNL_CB_OK;
}

static void note_default_route(struct net_watcher *watcher, uint32_t index)
{
    struct net_interface *interface = find(watcher, (int)index);
    if (interface)
        interface->has_default_route = true;
}

static void note_next_hops(struct net_watcher *watcher, const struct nlattr *attribute)
{
    const struct rtnexthop *hop = mnl_attr_get_payload(attribute);
    int left = mnl_attr_get_payload_len(attribute);
    for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
        note_default_route(watcher, (uint32_t)hop->rtnh_ifindex);
}

static int on_route(const struct nlmsghdr *message, void *context)
{
    const struct rtmsg *route = mnl_nlmsg_get_payload(message);
    bool is_ip = route->rtm_family == AF_INET || route->rtm_family == AF_INET6;
    if (!is_ip || route->rtm_dst_len || route->rtm_type != RTN_UNICAST)
        return MNL_CB_OK;
    const struct attributes attributes = attributes_of(message, sizeof *route);
    if (has_bytes(attributes.of[RTA_OIF], sizeof(uint32_t)))
        note_default_route(context, mnl_attr_get_u32(attributes.of[RTA_OIF]));
    if (attributes.of[RTA_MULTIPATH])
        note_next_hops(context, attributes.of[RTA_MULTIPATH]);
    return MNL_CB_OK;
}

/* ── questions ───────────────────────────────────────────────────────────────────────────────── */

/* Sends a request and takes in its answers. 0 or -errno; -EINTR: the table changed meanwhile. */
static int ask(struct net_watcher *watcher, struct nlmsghdr *request, mnl_cb_t callback)
{
    char answer[DUMP_BYTES];
    request->nlmsg_seq = ++watcher->sequence;
    if (mnl_socket_sendto(watcher->requests, request, request->nlmsg_len) < 0)
        return -errno;
    bool changed = false;
    for (;;) {
        ssize_t got = mnl_socket_recvfrom(watcher->requests, answer, sizeof answer);
        if (got < 0)
            return -errno;
        int result = mnl_cb_run(answer, (size_t)got, watcher->sequence,
                                mnl_socket_get_portid(watcher->requests), callback, watcher);
        if (result < 0 && errno != EINTR && errno != ESRCH)
            return -errno;
        changed |= result < 0;
        if (result == MNL_CB_STOP)
            return changed ? -EINTR : 0;
    }
}

static int dump(struct net_watcher *watcher, uint16_t type, sa_family_t family, size_t header_bytes,
                mnl_cb_t callback)
{
    char bytes[MESSAGE_BYTES] = {0};
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = type;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    /* The family is the first byte of each of these headers. */
    uint8_t *header = mnl_nlmsg_put_extra_header(request, header_bytes);
    header[0] = (uint8_t)family;
    return ask(watcher, request, callback);
}

static void forget(struct net_watcher *watcher)
{
    struct net_interface *interface, *next;
    DL_FOREACH_SAFE (watcher->interfaces, interface, next) {
        DL_DELETE(watcher->interfaces, interface);
        free(interface);
    }
}

static int read_all(struct net_watcher *watcher)
{
    static const struct {
        uint16_t type;
        sa_family_t family;
        size_t header_bytes;
        mnl_cb_t callback;
    } tables[] = {
        {RTM_GETLINK,  AF_UNSPEC, sizeof(struct ifinfomsg), on_link   },
        {RTM_GETADDR,  AF_INET,   sizeof(struct ifaddrmsg), on_address},
        {RTM_GETROUTE, AF_INET,   sizeof(struct rtmsg),     on_route  },
        {RTM_GETROUTE, AF_INET6,  sizeof(struct rtmsg),     on_route  },
    };
    forget(watcher);
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        int result = dump(watcher, tables[i].type, tables[i].family, tables[i].header_bytes,
                          tables[i].callback);
        /* a kernel without IPv6 has no such table */
        if (result && !(tables[i].family == AF_INET6 && result != -EINTR))
            return result;
    }
    return 0;
}

void net_watcher_refresh(struct net_watcher *watcher)
{
    int result = -EINTR;
    for (unsigned i = 0; i < DUMP_TRIES && result == -EINTR; i++)
        result = read_all(watcher);
    if (result && result != -EINTR)
        log_warning("the kernel does not tell about network interfaces: %s", strerror(-result));
}

const struct net_interface *net_watcher_interfaces(const struct net_watcher *watcher)
{
    return watcher->interfaces;
}

const struct net_interface *net_watcher_find(const struct net_watcher *watcher, int index)
{
    return find(watcher, index);
}

const struct net_interface *net_watcher_find_address(const struct net_watcher *watcher,
                                                     uint32_t address)
{
    const struct net_interface *interface;
    DL_FOREACH (watcher->interfaces, interface)
        for (unsigned i = 0; i < interface->address_count; i++)
            if (interface->addresses[i].address == address)
                return interface;
    return NULL;
}

/* ── the fallback address ────────────────────────────────────────────────────────────────────── */

static int change_address(struct net_watcher *watcher, const struct net_interface *interface,
                          uint16_t type, uint32_t address, uint8_t prefix)
{
    char bytes[MESSAGE_BYTES] = {0};
    char label[IF_NAMESIZE];
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = type;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    if (type == RTM_NEWADDR)
        request->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
    struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(request, sizeof *header);
    header->ifa_family = AF_INET;
    header->ifa_prefixlen = prefix;
    header->ifa_index = (uint32_t)interface->index;
    snprintf(label, sizeof label, "%.*s%s", (int)(IF_NAMESIZE - sizeof NET_FALLBACK_SUFFIX),
             interface->name, NET_FALLBACK_SUFFIX);
    mnl_attr_put_u32(request, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(request, IFA_ADDRESS, htonl(address));
    if (prefix < 31)
        mnl_attr_put_u32(request, IFA_BROADCAST, htonl(address | UINT32_MAX >> prefix));
    mnl_attr_put_strz(request, IFA_LABEL, label);
    return ask(watcher, request, NULL);
}

static int say_refused(struct error *error, int result, const struct net_interface *interface,
                       const char *what)
{
    if (result == -EPERM || result == -EACCES)
        return error_set(error, result,
                         "%s: the address cannot be %s: that needs CAP_NET_ADMIN; start as root, "
                         "give the service that capability, or set an address by hand",
                         interface->name, what);
    return error_set(error, result, "%s: the address cannot be %s: %s", interface->name, what,
                     strerror(-result));
}

int net_fallback_add(struct net_watcher *watcher, const struct net_interface *interface,
                     uint32_t address, uint8_t prefix, struct error *error)
{
    int result = change_address(watcher, interface, RTM_NEWADDR, address, prefix);
    return result && result != -EEXIST ? say_refused(error, result, interface, "set") : 0;
}

int net_fallback_remove(struct net_watcher *watcher, const struct net_interface *interface,
                        uint32_t address, uint8_t prefix, struct error *error)
{
    int result = change_address(watcher, interface, RTM_DELADDR, address, prefix);
    return result && result != -EADDRNOTAVAIL ? say_refused(error, result, interface, "removed")
                                              : 0;
}

/* ── others who configure interfaces ─────────────────────────────────────────────────────────── */

static bool file_has_line(const char *path, const char *begin)
{
    char line[256];
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, begin, strlen(begin)) == 0)
            return true;
    return false;
}

const struct net_manager *net_interface_manager(const struct net_interface *interface)
{
    static const struct {
        const char *path, *line;
        struct net_manager manager;
    } managers[] = {
        {"/run/NetworkManager/devices/%d",
         "managed=true",       {"NetworkManager", "nmcli device set INTERFACE managed no"}       },
        {"/run/systemd/netif/links/%d",
         "ADMIN_STATE=config", {"systemd-networkd", "Unmanaged=yes in the [Link] section of its .network file, or "
                              "KeepConfiguration=yes in [Network]"}},
    };
    char path[64];
    for (size_t i = 0; i < ARRAY_SIZE(managers); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(path, sizeof path, managers[i].path, interface->index);
#pragma GCC diagnostic pop
        if (file_has_line(path, managers[i].line))
            return &managers[i].manager;
    }
    return NULL;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

static void on_settled(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct net_watcher *watcher = timer->data;
    ev_timer_stop(loop, timer);
    net_watcher_refresh(watcher);
    watcher->changed(watcher->context);
}

/* What it says does not matter, and neither does what was lost (ENOBUFS): all is asked anew. */
static void on_news(struct ev_loop *loop, ev_io *readable, int events)
{
    (void)events;
    struct net_watcher *watcher = readable->data;
    char bytes[DUMP_BYTES];
    while (recv(readable->fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0 || errno == ENOBUFS)
        ;
    if (!ev_is_active(&watcher->settle)) {
        ev_timer_set(&watcher->settle, SETTLE_S, 0.);
        ev_timer_start(loop, &watcher->settle);
    }
}

static struct mnl_socket *open_netlink(unsigned groups)
{
    struct mnl_socket *netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (netlink && mnl_socket_bind(netlink, groups, MNL_SOCKET_AUTOPID) < 0) {
        mnl_socket_close(netlink);
        return NULL;
    }
    return netlink;
}

int net_watcher_new(struct ev_loop *loop, void (*changed)(void *context), void *context,
                    struct net_watcher **ret_watcher, struct error *error)
{
    const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
    struct net_watcher *watcher = calloc(1, sizeof *watcher);
    if (!watcher)
        return error_set(error, -ENOMEM, "out of memory");
    watcher->loop = loop;
    watcher->changed = changed;
    watcher->context = context;
    watcher->news =
        open_netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
    watcher->requests = watcher->news ? open_netlink(0) : NULL;
    if (!watcher->requests) {
        int result = error_set(error, -errno, "network interfaces cannot be watched (netlink): %s",
                               strerror(errno));
        net_watcher_free(watcher);
        return result;
    }
    setsockopt(mnl_socket_get_fd(watcher->requests), SOL_SOCKET, SO_RCVTIMEO, &patience,
               sizeof patience);
    ev_io_init(&watcher->readable, on_news, mnl_socket_get_fd(watcher->news), EV_READ);
    ev_init(&watcher->settle, on_settled);
    watcher->readable.data = watcher->settle.data = watcher;
    ev_io_start(loop, &watcher->readable);
    net_watcher_refresh(watcher);
    *ret_watcher = watcher;
    return 0;
}

void net_watcher_free(struct net_watcher *watcher)
{
    if (!watcher)
        return;
    ev_io_stop(watcher->loop, &watcher->readable);
    ev_timer_stop(watcher->loop, &watcher->settle);
    if (watcher->news)
        mnl_socket_close(watcher->news);
    if (watcher->requests)
        mnl_socket_close(watcher->requests);
    forget(watcher);
    free(watcher);
}
