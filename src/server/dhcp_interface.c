/* dhcp_interface.c - one boot interface: its role, its packets */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boot_journal.h"
#include "dhcp_server.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/random.h>

#define BOOTP_REPLY 2

/* ── addresses ───────────────────────────────────────────────────────────────────────────────── */

static const struct net_address *find_address(const struct dhcp_interface *interface,
                                              bool is_fallback)
{
    const struct net_interface *kernel = &interface->kernel;
    for (unsigned i = 0; i < kernel->address_count; i++)
        if (kernel->addresses[i].is_fallback == is_fallback)
            return &kernel->addresses[i];
    return NULL;
}

/* Ours only where there is no other. */
static const struct net_address *own_address(const struct dhcp_interface *interface)
{
    const struct net_address *address = find_address(interface, false);
    return address ? address : find_address(interface, true);
}

uint32_t dhcp_interface_address(const struct dhcp_interface *interface)
{
    const struct net_address *address = own_address(interface);
    return address ? address->address : 0;
}

struct session_count {
    const char *address;
    unsigned count;
};

static void count_session(void *context, const struct iscsi_session_info *info)
{
    struct session_count *count = context;
    size_t length = strlen(count->address);
    if (strncmp(info->local, count->address, length) == 0 && info->local[length] == ':')
        count->count++;
}

/* Live sessions that came over the fallback address. */
static unsigned sessions_over_fallback(const struct dhcp_interface *interface)
{
    char text[INET_ADDRSTRLEN];
    const struct net_address *fallback = find_address(interface, true);
    struct iscsi_node *node = interface->dhcp->server->node;
    if (!fallback || !node)
        return 0;
    struct session_count count = {.address = dhcp_address_text(fallback->address, text)};
    iscsi_node_for_each_session(node, count_session, &count);
    return count.count;
}

/* ── the service's settings ──────────────────────────────────────────────────────────────────── */

enum dhcp_role dhcp_interface_role(const struct dhcp_interface *interface)
{
    return interface->probe ? dhcp_server_probe_role(interface->probe) : DHCP_ROLE_OFF;
}

static struct dhcp_settings settings_of(const struct dhcp_interface *interface)
{
    static const enum dhcp_chainload chainloads[] = {
        [CONFIG_CHAINLOAD_MISSING_FEATURES] = DHCP_CHAINLOAD_MISSING_FEATURES,
        [CONFIG_CHAINLOAD_ALWAYS] = DHCP_CHAINLOAD_ALWAYS,
        [CONFIG_CHAINLOAD_NEVER] = DHCP_CHAINLOAD_NEVER,
    };
    const struct config *config = interface->dhcp->config;
    const struct config_interface *mine = interface->config;
    const struct net_address *address = own_address(interface);
    struct dhcp_settings settings = {
        .role = dhcp_interface_role(interface),
        .own_address = address ? address->address : 0,
        .netmask = address && address->prefix ? ~(uint32_t)0 << (32 - address->prefix) : 0,
        .router = ntohl(mine->router.s_addr),
        .chainload = chainloads[config->boot.chainload],
        .replies_per_second = config->limits.dhcp_replies_per_second,
        .clients = interface->dhcp->clients,
        .client_count = interface->dhcp->client_count,
    };
    memcpy(settings.own_mac, interface->kernel.mac, sizeof settings.own_mac);
    if (settings.role == DHCP_ROLE_SERVER) {
        settings.pool_first = ntohl(mine->pool.first.s_addr);
        settings.pool_last = ntohl(mine->pool.last.s_addr);
    }
    settings.dns_count = min_of(mine->dns.count, DHCP_DNS_LIMIT);
    for (unsigned i = 0; i < settings.dns_count; i++)
        settings.dns[i] = ntohl(mine->dns.items[i].s_addr);
    return settings;
}

/* Tells a problem once, however often it comes. */
static void set_problem(struct dhcp_interface *interface, const struct error *error)
{
    bool is_news = error->text[0] && strcmp(interface->problem.text, error->text) != 0;
    interface->problem = *error;
    if (is_news)
        log_warning("%s", error->text);
}

_Static_assert(CONFIG_POOL_LIMIT == DHCP_POOL_LIMIT, "a pool that is good is one to serve");

static void configure_service(struct dhcp_interface *interface)
{
    struct dhcp_settings settings = settings_of(interface);
    int result = dhcp_service_configure(interface->service, &settings);
    if (!result)
        return;
    struct error error;
    error_set(&error, result,
              result == -EINVAL
                  ? "%s: the pool holds what are no hosts of the interface's own network, so "
                    "nobody is given an address: change pool"
                  : "%s: out of memory",
              interface->kernel.name);
    set_problem(interface, &error);
    settings.pool_first = settings.pool_last = 0;
    settings.role = DHCP_ROLE_PROXY;
    (void)dhcp_service_configure(interface->service, &settings);
}

/* ── the role ────────────────────────────────────────────────────────────────────────────────── */

static void follow(struct dhcp_interface *interface);

static struct dhcp_interface_state state_of(const struct dhcp_interface *interface)
{
    const struct net_interface *kernel = &interface->kernel;
    const struct net_address *address = find_address(interface, false);
    return (struct dhcp_interface_state){
        /* without its ports it is as good as unplugged */
        .carrier = kernel->has_carrier && dhcp_ports_are_open(&interface->ports),
        .wireless = kernel->is_wireless,
        .bridge_port = kernel->is_bridge_port,
        .tunnel = kernel->is_tunnel,
        .virtual_device = kernel->is_virtual,
        .named = interface->is_named,
        .has_address = address,
        .address_is_finite = address && address->is_finite,
        .has_default_route = kernel->has_default_route,
        .has_fallback_address = find_address(interface, true),
        .sessions = sessions_over_fallback(interface),
    };
}

static void tell_role(struct dhcp_interface *interface)
{
    char address[INET_ADDRSTRLEN], server[INET_ADDRSTRLEN];
    const char *name = interface->kernel.name;
    enum dhcp_role role = dhcp_server_probe_role(interface->probe);
    const char *reason = dhcp_role_reason_text(dhcp_server_probe_reason(interface->probe));
    uint32_t other = dhcp_server_probe_server(interface->probe);
    uint32_t own = dhcp_interface_address(interface);
    bool yields = role == DHCP_ROLE_PROXY && interface->config->dhcp == CONFIG_DHCP_SERVER;
    interface->is_told = true;
    if (interface->problem.text[0])
        return; /* told already */
    if (role == DHCP_ROLE_OFF)
        log_notice("%s: %s", name, reason);
    else if (!own)
        log_notice("%s: %s, but the interface has no IPv4 address, so no client is answered", name,
                   reason);
    else
        log_message(yields ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE,
                    "%s: address %s, DHCP role %s: %s%s%s", name, dhcp_address_text(own, address),
                    dhcp_role_name(role), reason, other ? ", server=" : "",
                    other ? dhcp_address_text(other, server) : "");
}

static void warn_of_manager(const struct dhcp_interface *interface)
{
    const struct net_manager *manager = net_interface_manager(&interface->kernel);
    if (manager)
        log_warning("%s: %s configures this interface and may take our address away; to keep it "
                    "off: %s",
                    interface->kernel.name, manager->name, manager->cure);
}

static void finish_claim(struct dhcp_interface *interface, int result, const struct error *error)
{
    interface->is_claiming = false;
    set_problem(interface, error);
    dhcp_server_probe_claimed(interface->probe, result, dhcp_interface_now_ms(interface));
    follow(interface);
}

static void ask_kernel(struct dhcp_interface *interface)
{
    struct net_watcher *watcher = interface->dhcp->watcher;
    net_watcher_refresh(watcher);
    const struct net_interface *kernel = net_watcher_find(watcher, interface->kernel.index);
    if (kernel)
        interface->kernel = *kernel;
}

/* Nobody has the address. */
static void set_fallback(struct dhcp_interface *interface)
{
    struct error error = {""};
    int result = net_fallback_add(interface->dhcp->watcher, &interface->kernel, interface->fallback,
                                  interface->config->fallback_address.prefix, &error);
    if (!result) {
        warn_of_manager(interface);
        ask_kernel(interface);
        const struct dhcp_interface_state state = state_of(interface);
        dhcp_server_probe_interface_changed(interface->probe, &state,
                                            dhcp_interface_now_ms(interface));
    }
    finish_claim(interface, result, &error);
}

static void claim(struct dhcp_interface *interface)
{
    struct error error = {""};
    if (own_address(interface)) {
        finish_claim(interface, 0, &error);
        return;
    }
    int result = dhcp_fallback_choose(interface, &interface->fallback, &error);
    interface->is_claiming = !result;
    if (!result)
        result = arp_prober_start(interface->prober, interface->fallback, &error);
    if (result)
        finish_claim(interface, result, &error);
}

static void give_back(struct dhcp_interface *interface, const char *why)
{
    struct error error = {""};
    const struct net_address *fallback = find_address(interface, true);
    if (!fallback)
        return;
    char text[INET_ADDRSTRLEN];
    log_notice("%s: giving back the fallback address %s: %s", interface->kernel.name,
               dhcp_address_text(fallback->address, text), why);
    (void)net_fallback_remove(interface->dhcp->watcher, &interface->kernel, fallback->address,
                              fallback->prefix, &error);
    set_problem(interface, &error);
}

static void release(struct dhcp_interface *interface)
{
    give_back(interface, "no session uses it");
}

/* Initiators that an earlier process served come back to its address. */
static bool may_give_back(const struct dhcp_interface *interface)
{
    return find_address(interface, true) &&
           dhcp_interface_now_ms(interface) >= interface->dhcp->hold_until_ms &&
           !sessions_over_fallback(interface);
}

static void send_discover(struct dhcp_interface *interface)
{
    uint8_t packet[DHCP_PACKET_BYTES_LIMIT];
    struct buffer out;
    struct error error = {""};
    buffer_init_fixed(&out, packet, sizeof packet);
    dhcp_server_probe_write(interface->probe, &out);
    int result = dhcp_ports_look(&interface->ports, &interface->kernel, packet, out.length, &error);
    /* A server that looks for its like may have a problem that stays. */
    if (result || interface->cannot_look || dhcp_interface_role(interface) != DHCP_ROLE_SERVER)
        set_problem(interface, &error);
    interface->cannot_look = result;
}

static void change_role(struct dhcp_interface *interface)
{
    configure_service(interface);
    tell_role(interface);
}

static void rearm(struct dhcp_interface *interface)
{
    struct ev_loop *loop = interface->dhcp->server->loop;
    uint64_t now = dhcp_interface_now_ms(interface);
    uint64_t due = dhcp_router_help_deadline_ms(interface->router_help);
    due = min_of(due, dhcp_server_probe_deadline_ms(interface->probe));
    ev_timer_stop(loop, &interface->deadline);
    if (due == UINT64_MAX)
        return;
    ev_now_update(loop);
    ev_timer_set(&interface->deadline, due > now ? (double)(due - now) / 1e3 : 0., 0.);
    ev_timer_start(loop, &interface->deadline);
}

static void follow(struct dhcp_interface *interface)
{
    static void (*const actions[])(struct dhcp_interface * interface) = {
        [DHCP_ACTION_SEND_DISCOVER] = send_discover,
        [DHCP_ACTION_CLAIM_ADDRESS] = claim,
        [DHCP_ACTION_RELEASE_ADDRESS] = release,
        [DHCP_ACTION_ROLE_CHANGED] = change_role,
    };
    enum dhcp_role_action action;
    while (dhcp_server_probe_next_action(interface->probe, &action))
        actions[action](interface);
    rearm(interface);
}

/* ── what comes in ───────────────────────────────────────────────────────────────────────────── */

/* Sends and tells what the service has to say. */
static void drain(struct dhcp_interface *interface)
{
    struct dhcp_output output;
    struct dhcp_event event;
    for (bool more = true; more;) {
        more = false;
        while (dhcp_service_next_packet(interface->service, &output)) {
            dhcp_ports_send(&interface->ports, &output);
            more = true;
        }
        while (dhcp_service_next_event(interface->service, &event)) {
            dhcp_interface_note(interface, &event);
            more = true;
        }
    }
    follow(interface);
}

static void on_received(void *context, const uint8_t *packet, size_t length,
                        const struct dhcp_arrival *arrival)
{
    struct dhcp_interface *interface = context;
    dhcp_service_receive(interface->service, packet, length, arrival,
                         dhcp_interface_now_ms(interface));
    drain(interface);
}

/* Another server answers a client: the journal has to know who it was. */
static void note_foreign_answer(struct dhcp_interface *interface, const uint8_t *packet,
                                size_t length)
{
    struct dhcp_message message;
    if (dhcp_message_parse(packet, length, &message) < 0 || message.op != BOOTP_REPLY)
        return;
    const struct foreign_answer answer = {
        .mac = message.hardware_address,
        .server = dhcp_message_option_u32(&message, DHCP_OPTION_SERVER_ID),
        .gives_address = message.your_address,
        .names_boot_file = message.boot_file[0] ||
                           dhcp_message_option(&message, DHCP_OPTION_BOOT_FILE, NULL) ||
                           dhcp_message_option(&message, DHCP_OPTION_VENDOR_CLASS, NULL),
    };
    if (answer.server && answer.server != dhcp_interface_address(interface))
        boot_journal_foreign_answer(interface->dhcp->server, interface->kernel.name, &answer);
}

static void on_found(void *context, const uint8_t *packet, size_t length)
{
    struct dhcp_interface *interface = context;
    note_foreign_answer(interface, packet, length);
    dhcp_server_probe_receive(interface->probe, packet, length, dhcp_interface_now_ms(interface));
    follow(interface);
}

static void on_solicited(void *context, const uint8_t *frame, size_t length)
{
    struct dhcp_interface *interface = context;
    const struct server *server = interface->dhcp->server;
    struct dhcp_router_solicitation solicitation;
    uint64_t now = dhcp_interface_now_ms(interface);
    bool permitted = server->serving &&
                     !dhcp_router_solicitation_parse(frame, length, &solicitation) &&
                     dhcp_service_is_booting(interface->service, solicitation.mac, now);
    dhcp_router_help_receive(interface->router_help, frame, length, permitted, now);
    rearm(interface);
}

static void on_probed(void *context, uint32_t address, const uint8_t *holder)
{
    struct dhcp_interface *interface = context;
    if (!interface->is_claiming || address != interface->fallback) {
        dhcp_service_probed(interface->service, address, holder, dhcp_interface_now_ms(interface));
        drain(interface);
        return;
    }
    if (!holder) {
        set_fallback(interface);
        return;
    }
    char mac[HEX_MAC_BYTES], text[INET_ADDRSTRLEN];
    struct error error;
    error_set(&error, -EADDRINUSE,
              "%s: the fallback address %s is in use by %s on this network: set another "
              "fallback-address, or give the interface an address",
              interface->kernel.name, dhcp_address_text(address, text), hex_mac(mac, holder, ':'));
    finish_claim(interface, -EADDRINUSE, &error);
}

static void help_routers(struct dhcp_interface *interface)
{
    uint8_t frame[DHCP_ROUTER_FRAME_BYTES];
    struct buffer out;
    buffer_init_fixed(&out, frame, sizeof frame);
    while (dhcp_router_help_next_frame(interface->router_help, &out,
                                       dhcp_interface_now_ms(interface))) {
        dhcp_ports_send_frame(&interface->ports, out.data, out.length);
        buffer_clear(&out);
    }
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct dhcp_interface *interface = timer->data;
    help_routers(interface);
    dhcp_server_probe_expire(interface->probe, dhcp_interface_now_ms(interface));
    follow(interface);
}

/* ── following the kernel ────────────────────────────────────────────────────────────────────── */

static void open_ports(struct dhcp_interface *interface)
{
    struct error error = {""};
    if (interface->dhcp->is_stopped || dhcp_ports_are_open(&interface->ports))
        return;
    if (dhcp_ports_open(&interface->ports, &interface->kernel, &error)) {
        set_problem(interface, &error);
        return;
    }
    set_problem(interface, &error);
    if (!interface->config->router_advertisement)
        return;
    if (dhcp_ports_hear_routers(&interface->ports, &interface->kernel, &error))
        log_notice("%s; iPXE will wait up to 16 s for an IPv6 router where there is none",
                   error.text);
}

void dhcp_interface_update(struct dhcp_interface *interface, const struct net_interface *kernel)
{
    if (kernel->has_carrier != interface->kernel.has_carrier) {
        log_info("%s: the cable is %s", kernel->name, kernel->has_carrier ? "in" : "out");
        boot_journal_link(interface->dhcp->server, kernel->name, kernel->has_carrier);
    }
    interface->kernel = *kernel;
    if (may_give_back(interface) && !dhcp_fallback_fits(interface, find_address(interface, true))) {
        give_back(interface, "fallback-address has changed");
        ask_kernel(interface);
    }
    if (!interface->probe) {
        if (!interface->is_told)
            log_notice("%s: DHCP is off here, the configuration says so", kernel->name);
        interface->is_told = true;
        return;
    }
    open_ports(interface);
    const struct dhcp_interface_state state = state_of(interface);
    dhcp_server_probe_interface_changed(interface->probe, &state, dhcp_interface_now_ms(interface));
    configure_service(interface);
    follow(interface);
    if (!interface->is_told)
        tell_role(interface);
}

void dhcp_interface_reconfigure(struct dhcp_interface *interface,
                                const struct config_interface *config)
{
    interface->config = config;
    if (interface->probe)
        configure_service(interface);
}

bool dhcp_interface_is_restless(const struct dhcp_interface *interface)
{
    return interface->probe &&
           (!dhcp_ports_are_open(&interface->ports) || find_address(interface, true));
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

static bool make_parts(struct dhcp_interface *interface)
{
    static const enum dhcp_wanted_role roles[] = {
        [CONFIG_DHCP_AUTO] = DHCP_WANTED_AUTO,
        [CONFIG_DHCP_PROXY] = DHCP_WANTED_PROXY,
        [CONFIG_DHCP_SERVER] = DHCP_WANTED_SERVER,
        [CONFIG_DHCP_OFF] = DHCP_WANTED_OFF,
    };
    struct dhcp_server *dhcp = interface->dhcp;
    struct dhcp_server_probe_settings probe = {.wanted = roles[interface->config->dhcp],
                                               .probe_ms = (uint32_t)interface->config->probe_ms};
    const struct dhcp_settings settings = settings_of(interface);
    memcpy(probe.own_mac, interface->kernel.mac, sizeof probe.own_mac);
    interface->probe =
        dhcp_server_probe_new(&probe, &system_random, dhcp_interface_now_ms(interface));
    interface->service = dhcp_service_new(&settings, dhcp->source);
    interface->router_help = dhcp_router_help_new(interface->kernel.mac);
    interface->prober =
        arp_prober_new(dhcp->server->loop, &interface->kernel, on_probed, interface);
    return interface->probe && interface->service && interface->router_help && interface->prober;
}

struct dhcp_interface *dhcp_interface_new(struct dhcp_server *dhcp,
                                          const struct config_interface *config, bool is_named,
                                          const struct net_interface *kernel)
{
    struct dhcp_interface *interface = calloc(1, sizeof *interface);
    if (!interface)
        return NULL;
    interface->dhcp = dhcp;
    interface->config = config;
    interface->is_named = is_named;
    interface->kernel = *kernel;
    dhcp_ports_init(&interface->ports, dhcp->server->loop, kernel);
    interface->ports.context = interface;
    interface->ports.received = on_received;
    interface->ports.found = on_found;
    interface->ports.solicited = on_solicited;
    ev_init(&interface->deadline, on_deadline);
    interface->deadline.data = interface;
    if (config->dhcp != CONFIG_DHCP_OFF && !make_parts(interface)) {
        dhcp_interface_free(interface);
        return NULL;
    }
    return interface;
}

void dhcp_interface_stop(struct dhcp_interface *interface)
{
    interface->keeps_address = sessions_over_fallback(interface) > 0;
    ev_timer_stop(interface->dhcp->server->loop, &interface->deadline);
    dhcp_ports_close(&interface->ports);
}

void dhcp_interface_leave(struct dhcp_interface *interface)
{
    interface->config = NULL;
    ev_timer_stop(interface->dhcp->server->loop, &interface->deadline);
    dhcp_ports_done(&interface->ports);
    arp_prober_free(take_pointer(interface->prober));
}

bool dhcp_interface_has_left(struct dhcp_interface *interface, const struct net_interface *kernel)
{
    interface->kernel = *kernel;
    if (!find_address(interface, true))
        return true;
    if (!may_give_back(interface))
        return false;
    give_back(interface, "the interface is no longer served");
    return true;
}

/* Sessions come back to the same address when we are started again; without any it goes. */
static void leave_address(const struct dhcp_interface *interface)
{
    const struct net_address *fallback = find_address(interface, true);
    struct error error;
    if (fallback && interface->dhcp->is_stopped && !interface->keeps_address &&
        net_fallback_remove(interface->dhcp->watcher, &interface->kernel, fallback->address,
                            fallback->prefix, &error))
        log_warning("%s", error.text);
}

void dhcp_interface_free(struct dhcp_interface *interface)
{
    leave_address(interface);
    ev_timer_stop(interface->dhcp->server->loop, &interface->deadline);
    dhcp_ports_done(&interface->ports);
    arp_prober_free(interface->prober);
    dhcp_router_help_free(interface->router_help);
    dhcp_service_free(interface->service);
    dhcp_server_probe_free(interface->probe);
    free(interface);
}
