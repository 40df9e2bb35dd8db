/* check_network.c - interfaces and the machines that boot through them. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/hex.h>

/* Neither the first address of the network nor its broadcast address. */
static bool is_host(const struct config_network *network, uint32_t address)
{
    uint32_t mask = UINT32_MAX >> network->prefix;
    return (address & mask) != 0 && (address & mask) != mask;
}

static bool in_network(const struct config_network *network, const struct in_addr *address)
{
    uint32_t mask = ~(uint32_t)((uint64_t)UINT32_MAX >> network->prefix);
    return ((load_be32(address) ^ load_be32(&network->ipv4)) & mask) == 0;
}

static void check_pool(struct reader *reader, const struct config_interface *interface)
{
    const struct config_pool *pool = &interface->pool;
    const struct config_network *ours = &interface->fallback_address;
    if (!pool->first.s_addr)
        return;
    uint32_t first = load_be32(&pool->first), last = load_be32(&pool->last);
    if (last - first >= CONFIG_POOL_LIMIT)
        reader_report(reader, false, interface, "pool",
                      "interface %s: the pool holds %u "
                      "addresses; at most %u are possible",
                      escaped(interface->name), last - first + 1, CONFIG_POOL_LIMIT);
    /* As a server the interface may have an address of its own, which is not known here. */
    bool is_ours =
        interface->dhcp == CONFIG_DHCP_AUTO || reader_has(reader, interface, "fallback-address");
    if (!is_ours || ours->family != AF_INET)
        return;
    if (!in_network(ours, &pool->first) || !in_network(ours, &pool->last))
        reader_report(reader, false, interface, "pool",
                      "interface %s: the pool lies outside the network of fallback-address",
                      escaped(interface->name));
    else if (!is_host(ours, first) || !is_host(ours, last))
        reader_report(reader, false, interface, "pool",
                      "interface %s: the pool holds the %s address of its network, which is no "
                      "host's",
                      escaped(interface->name),
                      first & (UINT32_MAX >> ours->prefix) ? "broadcast" : "first");
    else if (first <= load_be32(&ours->ipv4) && load_be32(&ours->ipv4) <= last)
        reader_report(reader, false, interface, "pool",
                      "interface %s: the pool holds our own fallback-address",
                      escaped(interface->name));
}

static void check_router(struct reader *reader, const struct config_interface *interface)
{
    bool is_ours =
        interface->dhcp == CONFIG_DHCP_AUTO || reader_has(reader, interface, "fallback-address");
    if (is_ours && interface->router.s_addr && interface->fallback_address.family == AF_INET &&
        !in_network(&interface->fallback_address, &interface->router))
        reader_report(reader, false, interface, "router",
                      "interface %s: the router lies outside the network of fallback-address",
                      escaped(interface->name));
}

/* Two servers for one network on two wires: replies would leave by the wrong one. The usual address
 * gives way to the one of the next network. */
static void check_networks_differ(struct reader *reader, unsigned index)
{
    const struct config_interface *late = &reader->config->interfaces.items[index];
    bool is_wanted = reader_has(reader, late, "fallback-address") || late->router.s_addr ||
                     late->pool.first.s_addr;
    if (!is_wanted)
        return;
    for (unsigned i = 0; i < index; i++) {
        const struct config_interface *early = &reader->config->interfaces.items[i];
        bool both_serve = early->dhcp != CONFIG_DHCP_OFF && early->dhcp != CONFIG_DHCP_PROXY &&
                          late->dhcp != CONFIG_DHCP_OFF && late->dhcp != CONFIG_DHCP_PROXY;
        if (!both_serve || early->fallback_address.family != AF_INET ||
            late->fallback_address.family != AF_INET ||
            !in_network(&early->fallback_address, (const void *)&late->fallback_address.ipv4))
            continue;
        reader_report(reader, true, late, "fallback-address",
                      "interfaces %s and %s share one fallback network; only one of them can "
                      "serve it",
                      escaped(early->name), escaped(late->name));
        return;
    }
}

void check_interfaces(struct reader *reader)
{
    struct claims names = {0};
    for (unsigned i = 0; i < reader->config->interfaces.count; i++) {
        const struct config_interface *interface = &reader->config->interfaces.items[i];
        if (!interface->name && interface->place.file && !reader_has(reader, interface, "name"))
            reader_report(reader, false, interface, "name",
                          "an interface without a name: add name = \"eth0\"");
        claim_text(&names, interface->name, interface, "name");
        check_pool(reader, interface);
        check_router(reader, interface);
        check_networks_differ(reader, i);
    }
    claims_check(&names, reader, "the interface", "write one group for it");
}

/* ---------------------------------------------------------------- clients */

static bool has_lun(const struct config_target *target, uint32_t number)
{
    for (unsigned i = 0; i < target->luns.count; i++)
        if (target->luns.items[i].number == number)
            return true;
    return false;
}

static void report_unknown_target(struct reader *reader, const struct config_client *client)
{
    const char *names[64];
    unsigned count = 0;
    for (unsigned i = 0; i < reader->config->targets.count && count < 64; i++)
        if (reader->config->targets.items[i].name)
            names[count++] = reader->config->targets.items[i].name;
    const char *nearest = nearest_word(client->target, names, count);
    reader_report(reader, false, client, "target", "there is no target %s%s%s%s",
                  escaped(client->target), nearest ? "; did you mean " : "",
                  nearest ? escaped(nearest) : "", nearest ? "?" : "");
}

static void check_client_target(struct reader *reader, const struct config_client *client)
{
    const struct config_target *target = config_client_target(reader->config, client);
    if (!target && client->target)
        report_unknown_target(reader, client);
    if (target && client->lun != CONFIG_UNSET && !has_lun(target, client->lun))
        reader_report(reader, false, client, "lun", "target %s has no LUN %u",
                      escaped(target->name), client->lun);
    if (client->device && client->device[0] != '/')
        reader_report(reader, false, client, "device",
                      "a client's own device is a path, such as \"/srv/clients/%%m.img\"");
    if (client->device && strstr(client->device, "%m") && !client->mac.set)
        reader_report(reader, false, client, "device",
                      "%%m is the client's MAC, which is not given here");
}

/* A target of a single client is called by the target's name and the client's, and so are its
 * records. */
static void check_client_image(struct reader *reader, const struct config_client *client)
{
    const struct config_target *target = config_client_target(reader->config, client);
    char name[256], text[HEX_UUID_BYTES];
    const char *key = client->mac.set    ? hex_mac(text, client->mac.bytes, '-')
                      : client->uuid.set ? hex_uuid(text, client->uuid.bytes)
                                         : client->serial;
    if (!client->device || !target || !target->name || !key)
        return;
    snprintf(name, sizeof name, "%s.%s", target->name, key);
    if (config_find_target(reader->config, name))
        reader_report(reader, false, client, "device",
                      "its target is called %s, and there is another one of that name: give that "
                      "one another name",
                      escaped(name));
}

static void check_client_identity(struct reader *reader, const struct config_client *client)
{
    static const char *const keys[] = {"mac", "uuid", "serial", NULL};
    for (const char *const *key = keys; *key; key++)
        if (reader_has(reader, client, *key))
            return;
    if (!client->place.file)
        return; /* it was no group */
    reader_report(reader, false, client, "mac",
                  "a client that nothing names: add mac = \"52:54:00:…\", uuid or serial");
}

/* What DHCP does for a client, it does for one that it can recognise. */
static void check_client_dhcp(struct reader *reader, const struct config_client *client)
{
    static const char *const keys[] = {"address", "pxe-style", "boot-file", NULL};
    if (!client->serial || client->mac.set || client->uuid.set)
        return;
    for (const char *const *key = keys; *key; key++)
        if (reader_has(reader, client, *key))
            reader_report(reader, false, client, *key,
                          "%s is for a client's DHCP, which tells no serial number: add its mac",
                          *key);
}

/* Its initiator name in full. False: it is made from a MAC that is not known here. */
static bool initiator_of(const struct config_client *client, char *to, size_t size)
{
    char mac[HEX_MAC_BYTES];
    size_t length = 0;
    hex_mac(mac, client->mac.bytes, '-');
    for (const char *p = client->initiator; p && *p && length + sizeof mac < size; p++) {
        bool is_mac = p[0] == '%' && p[1] == 'm';
        if (is_mac && !client->mac.set)
            return false;
        length += (size_t)snprintf(to + length, size - length, "%.*s",
                                   is_mac ? HEX_MAC_BYTES - 1 : 1, is_mac ? mac : p);
        p += is_mac;
    }
    return client->initiator;
}

/* What we give it ourselves must be what its target takes. */
static void check_client_name(struct reader *reader, const struct config_client *client,
                              const struct config_target *target)
{
    char name[256];
    if (!target->initiators.count || !initiator_of(client, name, sizeof name))
        return;
    for (unsigned i = 0; i < target->initiators.count; i++) {
        const char *pattern = target->initiators.items[i];
        if (!pattern || fnmatch(pattern, name, FNM_NOESCAPE) == 0)
            return;
    }
    reader_report(reader, true, client, "initiator",
                  "target %s does not let %s in: none of its initiators fits",
                  escaped(target->name), escaped(name));
}

static void check_client_admission(struct reader *reader, const struct config_client *client)
{
    const struct config_target *target = config_client_target(reader->config, client);
    if (!target)
        return;
    check_client_name(reader, client, target);
    if (!target->addresses.count || !client->address.s_addr)
        return;
    for (unsigned i = 0; i < target->addresses.count; i++) {
        const struct config_network *network = &target->addresses.items[i];
        if (network->family == AF_UNSPEC ||
            (network->family == AF_INET && in_network(network, &client->address)))
            return;
    }
    reader_report(reader, true, client, "address",
                  "target %s does not let this address in: none of its addresses fits",
                  escaped(target->name));
}

/* Its address is neither ours nor at the end of its network. */
static void check_client_address(struct reader *reader, const struct config_client *client)
{
    for (unsigned i = 0; i < reader->config->interfaces.count; i++) {
        const struct config_interface *interface = &reader->config->interfaces.items[i];
        if (client->address.s_addr && interface->fallback_address.family == AF_INET &&
            client->address.s_addr == interface->fallback_address.ipv4.s_addr)
            reader_report(reader, false, client, "address",
                          "the address is our own on interface %s", escaped(interface->name));
    }
}

void check_clients(struct reader *reader)
{
    struct claims macs = {0}, uuids = {0}, serials = {0}, addresses = {0}, initiators = {0};
    for (unsigned i = 0; i < reader->config->clients.count; i++) {
        const struct config_client *client = &reader->config->clients.items[i];
        check_client_identity(reader, client);
        check_client_target(reader, client);
        check_client_admission(reader, client);
        check_client_image(reader, client);
        check_client_dhcp(reader, client);
        check_client_address(reader, client);
        if (client->mac.set)
            claim_bytes(&macs, client->mac.bytes, sizeof client->mac.bytes, client, "mac");
        if (client->uuid.set && !client->mac.set)
            claim_bytes(&uuids, client->uuid.bytes, sizeof client->uuid.bytes, client, "uuid");
        if (!client->mac.set && !client->uuid.set)
            claim_text(&serials, client->serial, client, "serial");
        if (client->address.s_addr)
            claim_bytes(&addresses, &client->address, sizeof client->address, client, "address");
        if (client->initiator && !strstr(client->initiator, "%m"))
            claim_text(&initiators, client->initiator, client, "initiator");
    }
    claims_check(&macs, reader, "the MAC", "write one group for each machine");
    claims_check(&uuids, reader, "the UUID", "write one group for each machine");
    claims_check(&serials, reader, "the serial number", "write one group for each machine");
    claims_check(&addresses, reader, "the address", "each machine has its own");
    claims_check(&initiators, reader, "the initiator name", "each machine has its own");
}
