/* status_machines.c - see status_machines.h */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "boot_journal.h"
#include "dhcp_server.h"
#include "status_machines.h"

#include <netboot-target/util/hex.h>

struct client_texts {
    struct journal_report report;
    char mac[HEX_MAC_BYTES], uuid[HEX_UUID_BYTES];
};

struct interface_texts {
    char address[INET_ADDRSTRLEN];
};

struct machines {
    struct status_interface *interfaces;
    struct interface_texts *interface_texts;
    unsigned interface_count;
    struct status_client *clients;
    struct client_texts *client_texts;
    unsigned client_count;
    struct status_step *steps; /* of all clients */
    uint64_t now_ms;
};

/* ── interfaces ──────────────────────────────────────────────────────────────────────────────── */

static void gather_interface(const struct dhcp_interface *interface, struct status_interface *to,
                             struct interface_texts *texts)
{
    const struct in_addr in = {.s_addr = htonl(dhcp_interface_address(interface))};
    if (in.s_addr)
        inet_ntop(AF_INET, &in, texts->address, sizeof texts->address);
    enum dhcp_role_reason reason =
        interface->probe ? dhcp_server_probe_reason(interface->probe) : DHCP_REASON_CONFIGURED;
    *to = (struct status_interface){.name = interface->kernel.name,
                                    .address = texts->address,
                                    .role = dhcp_role_name(dhcp_interface_role(interface)),
                                    .reason = dhcp_role_reason_text(reason),
                                    .problem = interface->problem.text,
                                    .carrier = interface->kernel.has_carrier};
}

static bool gather_interfaces(const struct server *server, struct machines *to)
{
    const struct dhcp_interface *interface;
    unsigned count = 0;
    if (!server->dhcp)
        return true;
    DL_COUNT(server->dhcp->interfaces, interface, count);
    to->interfaces = calloc(count + 1u, sizeof *to->interfaces);
    to->interface_texts = calloc(count + 1u, sizeof *to->interface_texts);
    if (!to->interfaces || !to->interface_texts)
        return false;
    DL_FOREACH (server->dhcp->interfaces, interface) {
        unsigned at = to->interface_count++;
        gather_interface(interface, &to->interfaces[at], &to->interface_texts[at]);
    }
    return true;
}

/* ── clients ─────────────────────────────────────────────────────────────────────────────────── */

static uint64_t ago_ms(const struct machines *machines, uint64_t then_ms)
{
    return machines->now_ms > then_ms ? machines->now_ms - then_ms : 0;
}

/* RFC 9562 §4: 8-4-4-4-12 digits. */
static void gather_client(const struct machines *machines, const struct journal_client *client,
                          struct status_client *to, struct client_texts *texts)
{
    struct journal_report *report = &texts->report;
    journal_client_report(client, machines->now_ms, report);
    if (report->mac)
        hex_mac(texts->mac, report->mac, ':');
    if (report->uuid)
        hex_uuid(texts->uuid, report->uuid);
    *to = (struct status_client){
        .mac = texts->mac,
        .uuid = texts->uuid,
        .address = report->address,
        .initiator = report->initiator,
        .interface = report->interface,
        .state = report->state_name,
        .step = report->step_name,
        .sentence = report->sentence,
        .cause_count = report->cause_count,
        .first_seen_ms = ago_ms(machines, report->first_seen_ms),
        .last_seen_ms = ago_ms(machines, report->last_seen_ms),
        .step_ms = ago_ms(machines, report->step_ms),
        .boots = report->boots,
    };
    for (unsigned i = 0; i < report->cause_count; i++)
        to->causes[i] = report->causes[i];
}

static unsigned gather_steps(const struct machines *machines, const struct journal_client *client,
                             struct status_step *to)
{
    struct journal_entry entry;
    unsigned count = 0;
    for (; journal_client_entry(client, count, &entry); count++)
        to[count] = (struct status_step){.name = entry.step_name,
                                         .words = entry.words,
                                         .detail = entry.detail,
                                         .first_ms = ago_ms(machines, entry.first_ms),
                                         .last_ms = ago_ms(machines, entry.last_ms),
                                         .count = entry.count,
                                         .bytes = entry.bytes,
                                         .duration_ms = entry.duration_ms};
    return count;
}

static bool gather_all_steps(const struct journal *journal, struct machines *to)
{
    const struct journal_client *client;
    size_t total = 0;
    for (unsigned i = 0; i < to->client_count; i++)
        total += to->client_texts[i].report.event_count;
    to->steps = calloc(total + 1, sizeof *to->steps);
    if (!to->steps)
        return false;
    struct status_step *next = to->steps;
    for (unsigned i = 0; i < to->client_count && (client = journal_client_at(journal, i)); i++) {
        to->clients[i].steps = next;
        to->clients[i].step_count = gather_steps(to, client, next);
        next += to->clients[i].step_count;
    }
    return true;
}

static bool gather_clients(struct server *server, bool with_steps, struct machines *to)
{
    const struct journal *journal = boot_journal_get(server);
    const struct journal_client *client;
    if (!journal)
        return true;
    unsigned count = journal_client_count(journal);
    to->clients = calloc(count + 1u, sizeof *to->clients);
    to->client_texts = calloc(count + 1u, sizeof *to->client_texts);
    if (!to->clients || !to->client_texts)
        return false;
    for (; to->client_count < count && (client = journal_client_at(journal, to->client_count));
         to->client_count++)
        gather_client(to, client, &to->clients[to->client_count],
                      &to->client_texts[to->client_count]);
    return !with_steps || gather_all_steps(journal, to);
}

/* ── both ────────────────────────────────────────────────────────────────────────────────────── */

struct machines *machines_gather(struct server *server, bool with_steps)
{
    struct machines *machines = calloc(1, sizeof *machines);
    if (!machines)
        return NULL;
    machines->now_ms = server_now_us(server) / 1000;
    if (gather_interfaces(server, machines) && gather_clients(server, with_steps, machines))
        return machines;
    machines_free(machines);
    return NULL;
}

void machines_free(struct machines *machines)
{
    if (!machines)
        return;
    free(machines->interfaces);
    free(machines->interface_texts);
    free(machines->clients);
    free(machines->client_texts);
    free(machines->steps);
    free(machines);
}

void machines_report(const struct machines *machines, struct status_report *report)
{
    report->interfaces = machines->interfaces;
    report->interface_count = machines->interface_count;
    report->clients = machines->clients;
    report->client_count = machines->client_count;
}
