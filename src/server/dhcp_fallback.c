/*
 * dhcp_fallback.c - which address a boot interface gets that has none. Two interfaces of this
 * machine must not share a network: answers would leave by the wrong one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <utlist.h>

#include "dhcp_server.h"

#define NETWORKS 16u /* looked at, from the usual one on */

static uint32_t mask_of(uint8_t prefix)
{
    return prefix ? ~(uint32_t)0 << (32 - prefix) : 0;
}

static uint32_t configured(const struct dhcp_interface *interface)
{
    return ntohl(interface->config->fallback_address.ipv4.s_addr);
}

/* The usual address is nobody's wish, so the next network is as good. */
static bool may_be_another(const struct dhcp_interface *interface)
{
    const struct config_interface *mine = interface->config;
    const struct config_network *usual = &interface->dhcp->config->any_interface.fallback_address;
    return mine->fallback_address.ipv4.s_addr == usual->ipv4.s_addr &&
           mine->fallback_address.prefix == usual->prefix && usual->prefix &&
           !mine->router.s_addr && !mine->pool.first.s_addr;
}

static bool overlap(uint32_t a, uint8_t a_prefix, uint32_t b, uint8_t b_prefix)
{
    return !((a ^ b) & mask_of(a_prefix) & mask_of(b_prefix));
}

static bool has_in(const struct net_interface *kernel, uint32_t address, uint8_t prefix)
{
    for (unsigned i = 0; i < kernel->address_count; i++)
        if (overlap(kernel->addresses[i].address, kernel->addresses[i].prefix, address, prefix))
            return true;
    return false;
}

/* The name of the other interface that is in this network, or will be in a moment. NULL: none. */
static const char *find_neighbour(const struct dhcp_interface *interface, uint32_t address)
{
    uint8_t prefix = interface->config->fallback_address.prefix;
    const struct net_interface *kernel;
    const struct dhcp_interface *other;
    DL_FOREACH (net_watcher_interfaces(interface->dhcp->watcher), kernel)
        if (kernel->index != interface->kernel.index && has_in(kernel, address, prefix))
            return kernel->name;
    DL_FOREACH (interface->dhcp->interfaces, other)
        if (other != interface && other->is_claiming &&
            overlap(other->fallback, other->config->fallback_address.prefix, address, prefix))
            return other->kernel.name;
    return NULL;
}

/* Of interfaces that look for a server at the same time each gets the same address every time: as
 * many of the free networks are for those before it in the kernel's order. */
static unsigned count_earlier(const struct dhcp_interface *interface)
{
    const struct dhcp_interface *other;
    unsigned count = 0;
    DL_FOREACH (interface->dhcp->interfaces, other) {
        if (!other->probe || other->is_claiming || other->kernel.index >= interface->kernel.index)
            continue;
        enum dhcp_role_reason reason = dhcp_server_probe_reason(other->probe);
        bool is_undecided = reason == DHCP_REASON_PROBING || reason == DHCP_REASON_CLAIMING;
        count += is_undecided && !dhcp_interface_address(other) && may_be_another(other);
    }
    return count;
}

static int refuse(const struct dhcp_interface *interface, const char *neighbour,
                  struct error *error)
{
    char text[INET_ADDRSTRLEN];
    const char *name = interface->kernel.name;
    return error_set(
        error, -EADDRINUSE,
        "%s: the fallback address %s lies in the network of %s, so answers would leave "
        "there: set another fallback-address for %s, or give it an address",
        name, dhcp_address_text(configured(interface), text), neighbour, name);
}

int dhcp_fallback_choose(const struct dhcp_interface *interface, uint32_t *ret_address,
                         struct error *error)
{
    uint8_t prefix = interface->config->fallback_address.prefix;
    bool is_fixed = !may_be_another(interface);
    unsigned earlier = is_fixed ? 0 : count_earlier(interface);
    const char *neighbour = NULL;
    for (uint32_t i = 0; i < (is_fixed ? 1 : NETWORKS); i++) {
        uint32_t address = configured(interface) + (i << (32 - prefix) % 32);
        neighbour = find_neighbour(interface, address);
        if (neighbour)
            continue;
        if (earlier) {
            earlier--;
            continue;
        }
        *ret_address = address;
        return 0;
    }
    return refuse(interface, neighbour ? neighbour : "other interfaces", error);
}

bool dhcp_fallback_fits(const struct dhcp_interface *interface, const struct net_address *address)
{
    uint8_t prefix = interface->config->fallback_address.prefix;
    uint32_t distance = address->address - configured(interface);
    if (address->prefix != prefix)
        return false;
    return !distance || (may_be_another(interface) && !(distance & ~mask_of(prefix)) &&
                         distance >> (32 - prefix) % 32 < NETWORKS);
}
