/* dhcp_server.c - DHCP on every boot interface: found by name or by kind, followed as they change
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "boot_source.h"
#include "dhcp_server.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#define AGAIN_S        10.0
#define COMING_BACK_MS 120000 /* for initiators, after a restart of ours */

static uint64_t now_ms(const struct dhcp_server *dhcp)
{
    return server_now_us(dhcp->server) / 1000;
}

/* ── which interfaces ────────────────────────────────────────────────────────────────────────── */

static const struct config_interface *find_config(const struct config *config, const char *name)
{
    for (unsigned i = 0; i < config->interfaces.count; i++)
        if (strcmp(config->interfaces.items[i].name, name) == 0)
            return &config->interfaces.items[i];
    return NULL;
}

/* What holds for this interface, NULL: it is none of ours. Without any named one every wired
 * physical interface is. */
static const struct config_interface *config_of(const struct dhcp_server *dhcp,
                                                const struct net_interface *kernel)
{
    const struct config *config = dhcp->config;
    const struct config_interface *named = find_config(config, kernel->name);
    if (named)
        return kernel->is_ethernet || named->dhcp == CONFIG_DHCP_OFF ? named : NULL;
    if (config->interfaces.count || !kernel->is_ethernet || kernel->is_virtual ||
        kernel->is_wireless || kernel->is_tunnel)
        return NULL;
    return &config->any_interface;
}

static struct dhcp_interface *find(const struct dhcp_server *dhcp, int index)
{
    struct dhcp_interface *interface;
    DL_FOREACH (dhcp->interfaces, interface)
        if (interface->kernel.index == index)
            return interface;
    return NULL;
}

static void remove_interface(struct dhcp_server *dhcp, struct dhcp_interface *interface)
{
    DL_DELETE(dhcp->interfaces, interface);
    dhcp_interface_free(interface);
}

/* Gone, or another one under the same number: a new name or MAC makes it another interface. */
static void remove_gone(struct dhcp_server *dhcp)
{
    struct dhcp_interface *interface, *next;
    DL_FOREACH_SAFE (dhcp->interfaces, interface, next) {
        const struct net_interface *kernel =
            net_watcher_find(dhcp->watcher, interface->kernel.index);
        if (kernel && !strcmp(kernel->name, interface->kernel.name) &&
            !memcmp(kernel->mac, interface->kernel.mac, sizeof kernel->mac))
            continue;
        log_notice("%s: the interface is gone", interface->kernel.name);
        remove_interface(dhcp, interface);
    }
}

static void add_interface(struct dhcp_server *dhcp, const struct config_interface *config,
                          const struct net_interface *kernel)
{
    struct dhcp_interface *interface =
        dhcp_interface_new(dhcp, config, config != &dhcp->config->any_interface, kernel);
    if (!interface) {
        log_error("%s: out of memory, it is not served", kernel->name);
        return;
    }
    DL_APPEND(dhcp->interfaces, interface);
    if (interface->probe && !kernel->is_up)
        log_notice("%s: the interface is switched off: ip link set %s up", kernel->name,
                   kernel->name);
}

static void follow_leaving(struct dhcp_server *dhcp)
{
    struct dhcp_interface *interface, *next;
    DL_FOREACH_SAFE (dhcp->leaving, interface, next) {
        int index = interface->kernel.index;
        const struct dhcp_interface *again = find(dhcp, index);
        const struct net_interface *kernel = net_watcher_find(dhcp->watcher, index);
        bool is_served_again = again && again->probe;
        if (!is_served_again && kernel && !dhcp_interface_has_left(interface, kernel))
            continue;
        DL_DELETE(dhcp->leaving, interface);
        dhcp_interface_free(interface);
    }
}

static void rest_or_watch(struct dhcp_server *dhcp)
{
    bool restless = dhcp->leaving;
    const struct dhcp_interface *interface;
    DL_FOREACH (dhcp->interfaces, interface)
        restless |= dhcp_interface_is_restless(interface);
    if (!restless)
        ev_timer_stop(dhcp->server->loop, &dhcp->again);
    else if (!ev_is_active(&dhcp->again))
        ev_timer_again(dhcp->server->loop, &dhcp->again);
}

/* Makes our list what the kernel has now. An update may refresh the watcher's list, so the kernel's
 * words are looked up anew each time. */
static void follow_kernel(struct dhcp_server *dhcp)
{
    const struct net_interface *kernel;
    remove_gone(dhcp);
    DL_FOREACH (net_watcher_interfaces(dhcp->watcher), kernel) {
        const struct config_interface *config = config_of(dhcp, kernel);
        if (config && !find(dhcp, kernel->index))
            add_interface(dhcp, config, kernel);
    }
    struct dhcp_interface *interface;
    DL_FOREACH (dhcp->interfaces, interface) {
        kernel = net_watcher_find(dhcp->watcher, interface->kernel.index);
        if (kernel) {
            const struct net_interface now = *kernel;
            dhcp_interface_update(interface, &now);
        }
    }
    follow_leaving(dhcp);
    rest_or_watch(dhcp);
}

static void on_changed(void *context)
{
    follow_kernel(context);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    follow_kernel(timer->data);
}

/* ── clients of the configuration ────────────────────────────────────────────────────────────── */

/* Firmware sends the first three fields of a UUID as SMBIOS has them, little-endian, or turned. */
static void turn_uuid(uint8_t uuid[16])
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t turned[16];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = uuid[order[i]];
    memcpy(uuid, turned, sizeof turned);
}

static void add_client(struct dhcp_server *dhcp, const struct config_client *config)
{
    static const enum dhcp_pxe_style styles[] = {[CONFIG_PXE_AUTO] = DHCP_PXE_AUTO,
                                                 [CONFIG_PXE_DIRECT] = DHCP_PXE_DIRECT,
                                                 [CONFIG_PXE_BOOT_SERVER] = DHCP_PXE_BOOT_SERVER};
    struct dhcp_named_client client = {.has_mac = config->mac.set,
                                       .has_uuid = config->uuid.set,
                                       .address = ntohl(config->address.s_addr),
                                       .style = styles[config->pxe_style]};
    memcpy(client.mac, config->mac.bytes, sizeof client.mac);
    memcpy(client.uuid, config->uuid.bytes, sizeof client.uuid);
    dhcp->clients[dhcp->client_count++] = client;
    if (!client.has_uuid)
        return;
    turn_uuid(client.uuid);
    dhcp->clients[dhcp->client_count++] = client;
}

/* DHCP tells no serial number, so that a client known by one goes by its MAC or UUID here. */
static int gather_clients(struct dhcp_server *dhcp)
{
    const struct config *config = dhcp->config;
    free(dhcp->clients);
    dhcp->client_count = 0;
    dhcp->clients = calloc(2 * config->clients.count + 1, sizeof *dhcp->clients);
    if (!dhcp->clients)
        return -ENOMEM;
    for (unsigned i = 0; i < config->clients.count; i++) {
        const struct config_client *client = &config->clients.items[i];
        if (client->mac.set || client->uuid.set)
            add_client(dhcp, client);
    }
    return 0;
}

/* ── for others ──────────────────────────────────────────────────────────────────────────────── */

/* What the kernel's neighbour table has. */
static bool ask_neighbours(const char *interface, uint32_t address, uint8_t mac[NET_MAC_BYTES])
{
    _cleanup_close_ int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct arpreq request = {0};
    const struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    memcpy(&request.arp_pa, &in, sizeof in);
    memcpy(request.arp_dev, interface, min_of(strlen(interface), sizeof request.arp_dev - 1));
    if (descriptor < 0 || ioctl(descriptor, SIOCGARP, &request) < 0 ||
        !(request.arp_flags & ATF_COM))
        return false;
    memcpy(mac, request.arp_ha.sa_data, NET_MAC_BYTES);
    return true;
}

bool dhcp_server_client_mac(const struct server *server, uint32_t address,
                            uint8_t ret_mac[NET_MAC_BYTES])
{
    const struct dhcp_server *dhcp = server->dhcp;
    const struct dhcp_interface *interface;
    if (!dhcp || !address)
        return false;
    DL_FOREACH (dhcp->interfaces, interface)
        if (interface->service && dhcp_service_client_at(interface->service, address, ret_mac))
            return true;
    DL_FOREACH (dhcp->interfaces, interface)
        if (ask_neighbours(interface->kernel.name, address, ret_mac))
            return true;
    return false;
}

bool dhcp_server_has_address(const struct server *server, uint32_t address)
{
    const struct dhcp_interface *interface;
    if (!server->dhcp)
        return false;
    DL_FOREACH (server->dhcp->interfaces, interface)
        for (unsigned i = 0; i < interface->kernel.address_count; i++)
            if (interface->kernel.addresses[i].address == address)
                return true;
    return false;
}

bool dhcp_server_describe(const struct server *server, char *to, size_t size)
{
    const struct dhcp_interface *interface;
    struct buffer names;
    if (!server->dhcp)
        return false;
    buffer_init_fixed(&names, to, size - 1);
    DL_FOREACH (server->dhcp->interfaces, interface)
        if (interface->probe)
            buffer_format(&names, "%s%s", names.length ? " or " : "", interface->kernel.name);
    to[names.length] = '\0';
    return names.length;
}

bool dhcp_server_is_on_link(const struct server *server, uint32_t own, uint32_t other)
{
    if (!server->dhcp)
        return false;
    const struct net_interface *kernel = net_watcher_find_address(server->dhcp->watcher, own);
    for (unsigned i = 0; kernel && i < kernel->address_count; i++) {
        const struct net_address *address = &kernel->addresses[i];
        uint32_t mask = address->prefix ? ~(uint32_t)0 << (32 - address->prefix) : 0;
        if (((address->address ^ other) & mask) == 0)
            return true;
    }
    return false;
}

void dhcp_server_loader_sent(struct server *server, const uint8_t mac[NET_MAC_BYTES],
                             const char *file)
{
    struct dhcp_interface *interface;
    if (!server->dhcp)
        return;
    DL_FOREACH (server->dhcp->interfaces, interface)
        if (interface->service)
            dhcp_service_loader_sent(interface->service, mac, file, now_ms(server->dhcp));
}

void dhcp_server_client_progressed(struct server *server, const uint8_t mac[NET_MAC_BYTES])
{
    struct dhcp_interface *interface;
    if (!server->dhcp)
        return;
    DL_FOREACH (server->dhcp->interfaces, interface)
        if (interface->service)
            dhcp_service_client_progressed(interface->service, mac);
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

static void tell_absent(const struct dhcp_server *dhcp)
{
    const struct config *config = dhcp->config;
    for (unsigned i = 0; i < config->interfaces.count; i++) {
        const struct config_interface *wanted = &config->interfaces.items[i];
        const struct net_interface *kernel;
        bool is_there = false;
        DL_FOREACH (net_watcher_interfaces(dhcp->watcher), kernel) {
            if (strcmp(kernel->name, wanted->name) != 0)
                continue;
            is_there = true;
            if (!kernel->is_ethernet && wanted->dhcp != CONFIG_DHCP_OFF)
                log_warning("%s: no Ethernet interface, so no DHCP on it; set dhcp = \"off\" there",
                            kernel->name);
        }
        if (!is_there)
            log_notice("%s: the interface is not there yet, it is waited for", wanted->name);
    }
    if (!dhcp->interfaces && !config->interfaces.count)
        log_notice("there is no wired network interface, so machines are not booted from here; "
                   "disks are served all the same");
}

/* An earlier process of ours has left a fallback address. */
static bool is_left_over(const struct dhcp_server *dhcp)
{
    const struct net_interface *kernel;
    DL_FOREACH (net_watcher_interfaces(dhcp->watcher), kernel)
        for (unsigned i = 0; i < kernel->address_count; i++)
            if (kernel->addresses[i].is_fallback)
                return true;
    return false;
}

int dhcp_server_start(struct server *server, struct error *error)
{
    struct dhcp_server *dhcp = calloc(1, sizeof *dhcp);
    if (!dhcp)
        return error_set(error, -ENOMEM, "out of memory");
    dhcp->server = server;
    dhcp->config = config_ref(server->config);
    dhcp->source = boot_source_dhcp(server);
    ev_init(&dhcp->again, on_again);
    dhcp->again.repeat = AGAIN_S;
    dhcp->again.data = dhcp;
    server->dhcp = dhcp;
    int result = gather_clients(dhcp)
                     ? error_set(error, -ENOMEM, "out of memory")
                     : net_watcher_new(server->loop, on_changed, dhcp, &dhcp->watcher, error);
    if (result) {
        log_warning("machines are not booted from here: %s; disks are served all the same",
                    error->text);
        dhcp_server_free(server);
        return result;
    }
    if (is_left_over(dhcp))
        dhcp->hold_until_ms = now_ms(dhcp) + COMING_BACK_MS;
    follow_kernel(dhcp);
    tell_absent(dhcp);
    return 0;
}

void dhcp_server_reload(struct server *server, struct config *config)
{
    struct dhcp_server *dhcp = server->dhcp;
    struct dhcp_interface *interface, *next;
    if (!dhcp)
        return;
    bool same = config_same(dhcp->config, config, "interfaces");
    struct config *old = dhcp->config;
    dhcp->config = config_ref(config);
    if (gather_clients(dhcp))
        log_error("reload: out of memory, clients have no addresses of their own");
    DL_FOREACH_SAFE (dhcp->interfaces, interface, next) {
        const struct config_interface *mine = config_of(dhcp, &interface->kernel);
        if (same && mine) {
            dhcp_interface_reconfigure(interface, mine);
        } else if (!mine || mine->dhcp == CONFIG_DHCP_OFF) {
            DL_DELETE(dhcp->interfaces, interface);
            DL_APPEND(dhcp->leaving, interface);
            dhcp_interface_leave(interface);
        } else {
            remove_interface(dhcp, interface);
        }
    }
    config_unref(old);
    follow_kernel(dhcp);
    if (!same)
        tell_absent(dhcp);
}

void dhcp_server_stop(struct server *server)
{
    struct dhcp_interface *interface;
    if (!server->dhcp)
        return;
    server->dhcp->is_stopped = true;
    DL_FOREACH (server->dhcp->interfaces, interface)
        dhcp_interface_stop(interface);
    DL_FOREACH (server->dhcp->leaving, interface)
        dhcp_interface_stop(interface);
}

void dhcp_server_free(struct server *server)
{
    struct dhcp_server *dhcp = take_pointer(server->dhcp);
    struct dhcp_interface *interface, *next;
    if (!dhcp)
        return;
    DL_FOREACH_SAFE (dhcp->interfaces, interface, next)
        remove_interface(dhcp, interface);
    DL_FOREACH_SAFE (dhcp->leaving, interface, next)
        dhcp_interface_free(interface);
    ev_timer_stop(server->loop, &dhcp->again);
    net_watcher_free(dhcp->watcher);
    free(dhcp->clients);
    config_unref(dhcp->config);
    free(dhcp);
}
