/* dhcp_events.c - what happened at a boot interface: for the log, the journal and its role */
#include <arpa/inet.h>
#include <stdio.h>

#include "boot_journal.h"
#include "dhcp_server.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/hex.h>

#define LINES_AT_ONCE 30
#define LINE_EVERY_MS 200

uint64_t dhcp_interface_now_ms(const struct dhcp_interface *interface)
{
    return server_now_us(interface->dhcp->server) / 1000;
}

const char *dhcp_address_text(uint32_t address, char to[INET_ADDRSTRLEN])
{
    const struct in_addr in = {.s_addr = htonl(address)};
    return inet_ntop(AF_INET, &in, to, INET_ADDRSTRLEN);
}

/* ── what happened ───────────────────────────────────────────────────────────────────────────── */

static bool may_log(struct dhcp_interface *interface)
{
    uint32_t suppressed = 0;
    if (!log_limit_allows(&interface->limit, LINES_AT_ONCE, LINE_EVERY_MS,
                          dhcp_interface_now_ms(interface), &suppressed))
        return false;
    if (suppressed)
        log_info("%s: %u lines about DHCP were held back", interface->kernel.name, suppressed);
    return true;
}

static void on_answered(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    char mac[HEX_MAC_BYTES], address[INET_ADDRSTRLEN];
    /* Who boots is in the journal, step by step. */
    enum log_level level = event->stage == DHCP_BOOT_NONE ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
    bool is_bare = event->silence != DHCP_SILENCE_NONE;
    if (log_get_level() < level || !may_log(interface))
        return;
    log_message(
        level,
        "%s: DHCP %s answered with %s%s%s: client=%s class=\"%s\" arch=\"%s\" address=%s boot=%s",
        interface->kernel.name, dhcp_message_type_name(event->request),
        dhcp_message_type_name(event->reply), is_bare ? ", but no boot file: " : "",
        is_bare ? dhcp_silence_text(event->silence) : "", hex_mac(mac, event->client.mac, ':'),
        dhcp_client_class_name(event->client.class),
        event->client.architecture ? event->client.architecture->name : "-",
        event->address ? dhcp_address_text(event->address, address) : "-", escaped(event->boot));
}

static void on_silent(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    char mac[HEX_MAC_BYTES];
    bool boots = event->client.class != DHCP_CLIENT_OTHER;
    enum log_level level = boots && event->silence != DHCP_SILENCE_OTHER_SERVER &&
                                   event->silence != DHCP_SILENCE_NOT_FOR_PORT &&
                                   event->silence != DHCP_SILENCE_PROBING
                               ? LOG_LEVEL_INFO
                               : LOG_LEVEL_DEBUG;
    if (log_get_level() >= level && may_log(interface))
        log_message(level, "%s: DHCP %s not answered: %s: client=%s arch=\"%s\"",
                    interface->kernel.name, dhcp_message_type_name(event->request),
                    dhcp_silence_text(event->silence), hex_mac(mac, event->client.mac, ':'),
                    event->client.architecture ? event->client.architecture->name : "-");
}

static void on_probe(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    struct error error = {""};
    int result = arp_prober_start(interface->prober, event->address, &error);
    if (result && may_log(interface))
        log_warning("%s; addresses are given without asking whether somebody has them", error.text);
    if (result)
        dhcp_service_probed(interface->service, event->address, NULL,
                            dhcp_interface_now_ms(interface));
}

static void on_conflict(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    char mac[HEX_MAC_BYTES], address[INET_ADDRSTRLEN];
    if (may_log(interface))
        log_warning("%s: %s, which is ours to give, is in use by somebody else: mac=%s",
                    interface->kernel.name, dhcp_address_text(event->address, address),
                    hex_mac(mac, event->mac, ':'));
}

static void on_declined(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    char mac[HEX_MAC_BYTES], address[INET_ADDRSTRLEN];
    if (may_log(interface))
        log_warning("%s: the client found %s in use: client=%s", interface->kernel.name,
                    dhcp_address_text(event->address, address),
                    hex_mac(mac, event->client.mac, ':'));
}

static void on_released(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    char mac[HEX_MAC_BYTES], address[INET_ADDRSTRLEN];
    if (may_log(interface))
        log_info("%s: %s given back: client=%s", interface->kernel.name,
                 dhcp_address_text(event->address, address), hex_mac(mac, event->client.mac, ':'));
}

static void on_foreign_server(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    dhcp_server_probe_server_seen(interface->probe, event->address,
                                  dhcp_interface_now_ms(interface));
}

static void on_peer(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    dhcp_server_probe_peer_seen(interface->probe, event->mac, dhcp_interface_now_ms(interface));
}

static void on_loop(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    char mac[HEX_MAC_BYTES];
    if (may_log(interface))
        log_warning("%s: the client loaded %s three times without going on, it is not answered for "
                    "five minutes: client=%s",
                    interface->kernel.name, escaped(event->boot), hex_mac(mac, event->mac, ':'));
}

/* While a client boots, others may tell it what to load; without the privilege nobody hears it. */
static void listen_to_others(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    struct error error;
    bool boots =
        event->client.class != DHCP_CLIENT_OTHER && event->client.class != DHCP_CLIENT_PEER;
    if (boots && event->request == DHCP_DISCOVER)
        (void)dhcp_ports_hear_answers(&interface->ports, &interface->kernel, &error);
}

/* Why nobody is answered there now. */
static struct journal_event why_off(const struct dhcp_interface *interface)
{
    enum dhcp_role_reason reason = dhcp_server_probe_reason(interface->probe);
    struct journal_event off = {.detail = dhcp_role_reason_text(reason)};
    if (interface->problem.text[0])
        off.detail = interface->problem.text;
    else if (reason == DHCP_REASON_PROBING || reason == DHCP_REASON_CLAIMING)
        off.unanswered = JOURNAL_UNANSWERED_NOT_YET;
    else if (!dhcp_interface_address(interface)) {
        off.unanswered = JOURNAL_UNANSWERED_NO_ADDRESS;
        off.detail = "this server has no IPv4 address there";
    }
    return off;
}

void dhcp_interface_note(struct dhcp_interface *interface, const struct dhcp_event *event)
{
    static void (*const handlers[])(struct dhcp_interface * interface,
                                    const struct dhcp_event *event) = {
        [DHCP_EVENT_ANSWERED] = on_answered,
        [DHCP_EVENT_SILENT] = on_silent,
        [DHCP_EVENT_PROBE] = on_probe,
        [DHCP_EVENT_CONFLICT] = on_conflict,
        [DHCP_EVENT_DECLINED] = on_declined,
        [DHCP_EVENT_RELEASED] = on_released,
        [DHCP_EVENT_FOREIGN_SERVER] = on_foreign_server,
        [DHCP_EVENT_PEER] = on_peer,
        [DHCP_EVENT_LOOP] = on_loop,
    };
    const struct journal_event off = why_off(interface);
    listen_to_others(interface, event);
    boot_journal_dhcp(interface->dhcp->server, interface->kernel.name, event, &off);
    handlers[event->type](interface, event);
}
