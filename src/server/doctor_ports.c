/* doctor_ports.c - who has the ports that we need, from /proc and sock_diag(7). See doctor.h */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

#include <netboot-target/config.h>
#include <netboot-target/dhcp/message.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#define TCP_STATE_LISTEN 0x0A /* include/net/tcp_states.h */
#define OWN_NAME         "netboot-target"

/* ── which ───────────────────────────────────────────────────────────────────────────────────── */

static uint16_t port_of(const struct config_endpoint *endpoint)
{
    return ntohs(endpoint->address.ss_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)&endpoint->address)->sin6_port
                     : ((const struct sockaddr_in *)&endpoint->address)->sin_port);
}

static unsigned add_endpoints(const struct config_endpoint *endpoints, unsigned endpoint_count,
                              int type, const char *purpose, struct doctor_port *to, unsigned count)
{
    for (unsigned i = 0; i < endpoint_count && count < DOCTOR_PORTS_LIMIT; i++)
        to[count++] = (struct doctor_port){.type = type,
                                           .number = port_of(&endpoints[i]),
                                           .endpoint = endpoints[i],
                                           .purpose = purpose};
    return count;
}

static bool answers_dhcp(const struct config *config)
{
    for (unsigned i = 0; i < config->interfaces.count; i++)
        if (config->interfaces.items[i].dhcp != CONFIG_DHCP_OFF)
            return true;
    return !config->interfaces.count;
}

unsigned doctor_ports(const struct config *config, struct doctor_port to[DOCTOR_PORTS_LIMIT])
{
    unsigned count = 0;
    if (answers_dhcp(config)) {
        to[count++] =
            (struct doctor_port){SOCK_DGRAM, DHCP_PORT_SERVER, {.wildcard = true}, "DHCP", true};
        to[count++] = (struct doctor_port){
            SOCK_DGRAM, DHCP_PORT_BOOT_SERVER, {.wildcard = true}, "PXE", true};
    }
    count = add_endpoints(config->boot.tftp_listen.items, config->boot.tftp_listen.count,
                          SOCK_DGRAM, "TFTP", to, count);
    count = add_endpoints(config->boot.http_listen.items, config->boot.http_listen.count,
                          SOCK_STREAM, "boot files and scripts", to, count);
    count = add_endpoints(config->portals.items, config->portals.count, SOCK_STREAM, "iSCSI", to,
                          count);
    return add_endpoints(config->status.listen.items, config->status.listen.count, SOCK_STREAM,
                         "status", to, count);
}

/* ── processes ───────────────────────────────────────────────────────────────────────────────── */

struct holder {
    int pid; /* 0: none found */
    char name[32];
};

static void read_name(int pid, char name[32])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    if (!file || !fgets(name, 32, file))
        name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

static bool has_socket(int pid, const char *link)
{
    char path[64], found[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    bool result = false;
    const struct dirent *entry;
    while (directory && !result && (entry = readdir(directory))) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, found, sizeof found - 1);
        found[length > 0 ? length : 0] = '\0';
        result = strcmp(found, link) == 0;
    }
    if (directory)
        closedir(directory);
    return result;
}

static int process_of(const struct dirent *entry)
{
    return (int)strtol(entry->d_name, NULL, 10);
}

/* The first process that `fits`. 0: none. */
static int find_process(bool (*fits)(int pid, const char *text), const char *text)
{
    DIR *directory = opendir("/proc");
    int found = 0;
    const struct dirent *entry;
    while (directory && !found && (entry = readdir(directory)))
        if (isdigit((unsigned char)entry->d_name[0]) && fits(process_of(entry), text))
            found = process_of(entry);
    if (directory)
        closedir(directory);
    return found;
}

static bool is_called(int pid, const char *name)
{
    char found[32];
    read_name(pid, found);
    return strcmp(found, name) == 0;
}

int doctor_find_process(const char *name)
{
    return find_process(is_called, name);
}

static void find_holder(unsigned long inode, struct holder *to)
{
    char link[64];
    snprintf(link, sizeof link, "socket:[%lu]", inode);
    *to = (struct holder){.pid = inode ? find_process(has_socket, link) : 0};
    if (to->pid)
        read_name(to->pid, to->name);
}

/* ── sockets ─────────────────────────────────────────────────────────────────────────────────── */

/* An address as /proc/net prints it: 32-bit words in the order of the host. */
static bool parse_address(const char *text, uint8_t bytes[16], size_t *ret_length)
{
    size_t length = strlen(text) / 2;
    if (length != 4 && length != 16)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        char word[9] = {0};
        memcpy(word, text + 2 * i, 8);
        uint32_t value = (uint32_t)strtoul(word, NULL, 16);
        memcpy(bytes + i, &value, sizeof value);
    }
    *ret_length = length;
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    static const uint8_t zeros[16];
    return memcmp(bytes, zeros, length) == 0;
}

/* Two sockets at one port are in each other's way unless each names another address. */
static bool collides(const struct doctor_port *port, const char *text)
{
    uint8_t theirs[16];
    size_t length;
    const struct config_endpoint *endpoint = &port->endpoint;
    if (!parse_address(text, theirs, &length))
        return false;
    if (endpoint->wildcard || is_zero(theirs, length))
        return true;
    if (endpoint->address.ss_family == AF_INET6)
        return length == 16 && memcmp(&((const struct sockaddr_in6 *)&endpoint->address)->sin6_addr,
                                      theirs, 16) == 0;
    return length == 4 &&
           memcmp(&((const struct sockaddr_in *)&endpoint->address)->sin_addr, theirs, 4) == 0;
}

/* ── a socket that is bound to an interface ──────────────────────────────────────────────────── */

struct bound {
    unsigned long inode;
    unsigned interface;
};

static int take_socket(const struct nlmsghdr *message, void *context)
{
    struct bound *bound = context;
    const struct inet_diag_msg *found = mnl_nlmsg_get_payload(message);
    if (found->idiag_inode == bound->inode)
        bound->interface = found->id.idiag_if;
    return MNL_CB_OK;
}

static void dump_sockets(struct mnl_socket *netlink, uint8_t family, uint8_t protocol,
                         struct bound *to)
{
    char bytes[16384];
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    struct inet_diag_req_v2 *what = mnl_nlmsg_put_extra_header(request, sizeof *what);
    what->sdiag_family = family;
    what->sdiag_protocol = protocol;
    what->idiag_states = UINT32_MAX;
    ssize_t length = mnl_socket_sendto(netlink, request, request->nlmsg_len);
    int more = length < 0 ? MNL_CB_ERROR : MNL_CB_OK;
    while (more > MNL_CB_STOP && (length = mnl_socket_recvfrom(netlink, bytes, sizeof bytes)) > 0)
        more =
            mnl_cb_run(bytes, (size_t)length, 0, mnl_socket_get_portid(netlink), take_socket, to);
}

/* The index of the only interface that it hears (SO_BINDTODEVICE); /proc does not tell. 0: it is
 * not bound to one, or the kernel does not say. */
static unsigned interface_of(unsigned long inode, uint8_t protocol)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct bound bound = {.inode = inode};
    struct mnl_socket *netlink = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
    if (!netlink)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(families) && !bound.interface; i++)
        dump_sockets(netlink, families[i], protocol, &bound);
    mnl_socket_close(netlink);
    return bound.interface;
}

/* DHCP listens on each of its interfaces alone, beside whoever does the same on another one. */
static bool is_elsewhere(const struct doctor *doctor, const struct doctor_port *port,
                         unsigned long inode)
{
    unsigned interface = port->is_dhcp ? interface_of(inode, IPPROTO_UDP) : 0;
    for (unsigned i = 0; i < doctor->dhcp_interface_count; i++)
        if ((unsigned)doctor->dhcp_interfaces[i] == interface)
            return false;
    return interface != 0;
}

/* ── looking ─────────────────────────────────────────────────────────────────────────────────── */

/* Looks through one table of /proc/net; gives the socket's inode. False: nobody is in the way. */
static bool find_in_table(const struct doctor *doctor, const struct doctor_port *port,
                          const char *table, unsigned long *ret_inode)
{
    char path[64], line[512], address[65];
    snprintf(path, sizeof path, "/proc/net/%s", table);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        unsigned number, state;
        unsigned long inode;
        // NOLINTNEXTLINE(cert-err34-c): the kernel writes these numbers
        if (sscanf(line,
                   " %*d: %64[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                   address, &number, &state, &inode) != 4)
            continue;
        if (number != port->number || (port->type == SOCK_STREAM && state != TCP_STATE_LISTEN) ||
            !collides(port, address) || is_elsewhere(doctor, port, inode))
            continue;
        *ret_inode = inode;
        return true;
    }
    return false;
}

static bool find_socket(const struct doctor *doctor, const struct doctor_port *port,
                        unsigned long *ret_inode)
{
    bool is_stream = port->type == SOCK_STREAM;
    return find_in_table(doctor, port, is_stream ? "tcp" : "udp", ret_inode) ||
           find_in_table(doctor, port, is_stream ? "tcp6" : "udp6", ret_inode);
}

/* ── what to say ─────────────────────────────────────────────────────────────────────────────── */

/* By the first 15 letters of a program's name, as the kernel keeps it. */
static const struct {
    const char *name, *cure;
} known[] = {
    {"dnsmasq",
     "run systemctl disable --now dnsmasq; netboot-target does its work, and finds another "
     "machine's DHCP server by itself"                                       },
    {"tgtd",            "run systemctl disable --now tgt"                    },
    {"in.tftpd",        "run systemctl disable --now tftpd-hpa"              },
    {"atftpd",          "run systemctl disable --now atftpd"                 },
    {"dhcpd",           "run systemctl disable --now isc-dhcp-server, or set dhcp = \"off\" for "
              "that interface"                                  },
    {"kea-dhcp4",       "run systemctl disable --now kea-dhcp4-server, or set dhcp = \"off\" for "
                  "that interface"                          },
    {"systemd-network", "set DHCPServer=no in that interface's .network file"},
    {"apache2",         "stop it, or give boot.http-listen another port"     },
    {"nginx",           "stop it, or give boot.http-listen another port"     },
    {"lighttpd",        "stop it, or give boot.http-listen another port"     },
};

static const char *cure_for(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].cure;
    return "stop it, or choose another port";
}

static void tell_holder(struct doctor *doctor, const struct doctor_port *port, const char *what,
                        unsigned long inode)
{
    struct holder holder;
    find_holder(inode, &holder);
    if (!strcmp(holder.name, OWN_NAME))
        doctor_tell(doctor, FINDING_FINE, what, "%s: netboot-target runs already (process %d)",
                    port->purpose, holder.pid);
    else if (holder.pid)
        doctor_tell(doctor, FINDING_PROBLEM, what, "%s: %s has it (process %d): %s", port->purpose,
                    holder.name, holder.pid, cure_for(holder.name));
    else if (access("/sys/module/iscsi_target_mod", F_OK) == 0 && port->type == SOCK_STREAM)
        doctor_tell(doctor, FINDING_PROBLEM, what,
                    "%s: the kernel's own target (LIO) may have it: run targetctl clear and "
                    "systemctl disable --now rtslib-fb-targetctl",
                    port->purpose);
    else
        doctor_tell(doctor, FINDING_PROBLEM, what,
                    "%s: a program has it that cannot be seen from here: run this as root to be "
                    "told which",
                    port->purpose);
}

static bool is_told(const struct doctor_port *ports, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (ports[i].type == ports[index].type && ports[i].number == ports[index].number &&
            ports[i].endpoint.wildcard) /* that covers every address */
            return true;
    return false;
}

void doctor_check_ports(struct doctor *doctor)
{
    struct doctor_port ports[DOCTOR_PORTS_LIMIT];
    unsigned count = doctor_ports(doctor->config, ports);
    for (unsigned i = 0; i < count; i++) {
        char what[32];
        unsigned long inode;
        if (is_told(ports, i))
            continue;
        snprintf(what, sizeof what, "%s port %u", ports[i].type == SOCK_STREAM ? "TCP" : "UDP",
                 ports[i].number);
        if (find_socket(doctor, &ports[i], &inode))
            tell_holder(doctor, &ports[i], what, inode);
        else
            doctor_tell(doctor, FINDING_FINE, what, "%s: free", ports[i].purpose);
    }
}
