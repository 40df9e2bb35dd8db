/* answers.c - building and queueing what goes out: answers and events */
#include <stdio.h>
#include <string.h>

#include "peer.h"
#include "service.h"

/* ── events and output ───────────────────────────────────────────────────────────────────────── */

void dhcp_service_push_event(struct dhcp_service *service, const struct dhcp_event *event)
{
    if (service->event_count == EVENTS_LIMIT)
        return; /* the caller does not pull; what is first in the queue explains more */
    unsigned at = (service->first_event + service->event_count++) % EVENTS_LIMIT;
    service->events[at] = *event;
}

struct dhcp_event dhcp_exchange_event(const struct dhcp_exchange *exchange,
                                      enum dhcp_event_type type)
{
    struct dhcp_event event = {
        .type = type,
        .client = exchange->client,
        .request = exchange->message->type,
        .port = exchange->arrival->port,
        .relayed = exchange->way == DHCP_WAY_RELAYED,
    };
    memcpy(event.mac, exchange->client.mac, sizeof event.mac);
    return event;
}

void dhcp_exchange_silent(const struct dhcp_exchange *exchange, enum dhcp_silence silence)
{
    struct dhcp_event event = dhcp_exchange_event(exchange, DHCP_EVENT_SILENT);
    event.silence = silence;
    if (silence == DHCP_SILENCE_LOOP)
        snprintf(event.boot, sizeof event.boot, "%s", exchange->record->file);
    dhcp_service_push_event(exchange->service, &event);
}

bool dhcp_service_next_event(struct dhcp_service *service, struct dhcp_event *ret_event)
{
    if (!service->event_count)
        return false;
    *ret_event = service->events[service->first_event];
    service->first_event = (service->first_event + 1) % EVENTS_LIMIT;
    service->event_count--;
    return true;
}

bool dhcp_service_next_packet(struct dhcp_service *service, struct dhcp_output *ret_output)
{
    if (!service->outputs)
        return false;
    *ret_output = service->output[service->first_output];
    service->first_output = (service->first_output + 1) % OUTPUT_LIMIT;
    service->outputs--;
    return true;
}

/* What a client loads. */
struct boot {
    enum dhcp_boot_stage stage;
    enum dhcp_silence silence; /* of NONE: why */
    char text[DHCP_BOOT_TEXT_BYTES_LIMIT + 1];
};

static const struct boot nothing = {.stage = DHCP_BOOT_NONE, .silence = DHCP_SILENCE_NONE};

/* Builds and queues one answer. `boot` is why it holds what it holds. */
static void send_reply(const struct dhcp_exchange *exchange, const struct dhcp_reply *reply,
                       const struct boot *boot)
{
    struct dhcp_service *service = exchange->service;
    if (service->outputs == OUTPUT_LIMIT) {
        dhcp_exchange_silent(exchange, DHCP_SILENCE_RATE);
        return;
    }
    unsigned at = (service->first_output + service->outputs) % OUTPUT_LIMIT;
    struct dhcp_output *output = &service->output[at];
    struct buffer out;
    buffer_init_fixed(&out, output->data, sizeof output->data);
    dhcp_reply_write(&out, exchange->message, reply, &service->settings);
    if (out.failed) {
        dhcp_exchange_silent(exchange, DHCP_SILENCE_TOO_LONG);
        return;
    }
    output->length = out.length;
    dhcp_reply_address(output, exchange->message, reply, exchange->arrival, &service->settings);
    service->outputs++;
    struct dhcp_event event = dhcp_exchange_event(exchange, DHCP_EVENT_ANSWERED);
    event.reply = reply->type;
    event.via_boot_server = reply->type == DHCP_OFFER && !reply->full && !reply->direct &&
                            exchange->client.class == DHCP_CLIENT_PXE;
    event.stage = boot->stage;
    event.silence = boot->silence;
    if (boot->silence == DHCP_SILENCE_LOOP)
        snprintf(event.boot, sizeof event.boot, "%s", exchange->record->file);
    else
        snprintf(event.boot, sizeof event.boot, "%s", reply->boot);
    event.address = reply->your_address;
    dhcp_service_push_event(service, &event);
}

/* ── answers ─────────────────────────────────────────────────────────────────────────────────── */

/* What the client loads now. Something other than DHCP_SILENCE_NONE: nothing, and why. Who does not
 * boot loads nothing either. */
static enum dhcp_silence choose_boot(const struct dhcp_exchange *exchange, struct boot *ret_boot)
{
    struct dhcp_service *service = exchange->service;
    *ret_boot = (struct boot){.stage = DHCP_BOOT_NONE};
    if (!exchange->record || dhcp_policy_stage(exchange->client.class) == DHCP_BOOT_NONE)
        return DHCP_SILENCE_NO_BOOT_CLIENT;
    enum dhcp_boot_stage stage =
        dhcp_record_choose_stage(exchange->record, service->settings.chainload,
                                 exchange->way == DHCP_WAY_BOOT_SERVER, exchange->now_ms);
    if (stage != DHCP_BOOT_SCRIPT && dhcp_record_is_looping(exchange->record, exchange->now_ms))
        return DHCP_SILENCE_LOOP;
    struct boot boot = {.stage = stage};
    enum dhcp_silence silence = service->source->describe(service->source, &exchange->client, stage,
                                                          exchange->own_address, boot.text);
    if (silence == DHCP_SILENCE_NONE && !boot.text[0])
        silence = DHCP_SILENCE_NO_BOOT_FILE;
    if (silence == DHCP_SILENCE_NONE)
        *ret_boot = boot;
    return silence;
}

static bool is_direct(const struct dhcp_exchange *exchange, const struct dhcp_answer_form *form)
{
    enum dhcp_pxe_style style = exchange->named ? exchange->named->style : DHCP_PXE_AUTO;
    if (exchange->client.class != DHCP_CLIENT_PXE || style == DHCP_PXE_AUTO)
        return form->direct;
    return style == DHCP_PXE_DIRECT;
}

/* No address: a proxy's OFFER on port 67, its ACK on 4011. */
void dhcp_exchange_answer_boot(struct dhcp_exchange *exchange, const struct dhcp_answer_form *form)
{
    struct boot boot;
    enum dhcp_silence silence = choose_boot(exchange, &boot);
    if (silence != DHCP_SILENCE_NONE) {
        dhcp_exchange_silent(exchange, silence);
        return;
    }
    bool is_ack = form->kind == DHCP_ANSWER_BOOT_ACK;
    struct dhcp_reply reply = {
        .type = is_ack ? DHCP_ACK : DHCP_OFFER,
        .own_address = exchange->own_address,
        .vendor_class = form->vendor_class,
        .direct = !is_ack && is_direct(exchange, form),
        .via_boot_server = is_ack,
        .boot = boot.text,
        .to_ipxe = exchange->client.class == DHCP_CLIENT_IPXE,
    };
    send_reply(exchange, &reply, &boot);
}

/* An address, and a boot file for whoever boots. */
void dhcp_exchange_answer_full(struct dhcp_exchange *exchange, const struct dhcp_answer_form *form)
{
    struct dhcp_grant grant;
    enum dhcp_grant_verdict verdict = dhcp_exchange_grant(exchange, &grant);
    if (verdict == DHCP_GRANT_SILENT)
        return;
    if (verdict == DHCP_GRANT_NAK) {
        struct dhcp_reply nak = {.type = DHCP_NAK,
                                 .own_address = exchange->own_address,
                                 .full = true,
                                 .boot = "",
                                 .message = "this address belongs to another network"};
        send_reply(exchange, &nak, &nothing);
        return;
    }
    struct boot boot;
    enum dhcp_silence silence = choose_boot(exchange, &boot);
    /* With nothing to load it gets its address all the same. */
    boot.silence = silence == DHCP_SILENCE_NO_BOOT_CLIENT ? DHCP_SILENCE_NONE : silence;
    struct dhcp_reply reply = {
        .type = grant.type,
        .own_address = exchange->own_address,
        .your_address = grant.address,
        .full = true,
        .vendor_class = boot.stage == DHCP_BOOT_NONE ? NULL : form->vendor_class,
        .boot = boot.text,
        .to_ipxe = exchange->client.class == DHCP_CLIENT_IPXE,
    };
    send_reply(exchange, &reply, &boot);
}

/* Another netboot-target looks for a server: one that serves says so, with its MAC. */
void dhcp_exchange_answer_peer(struct dhcp_exchange *exchange)
{
    struct dhcp_service *service = exchange->service;
    struct dhcp_event event = dhcp_exchange_event(exchange, DHCP_EVENT_PEER);
    dhcp_service_push_event(service, &event);
    if (exchange->standing != DHCP_STANDING_SERVER || exchange->way != DHCP_WAY_LINK ||
        exchange->message->type != DHCP_DISCOVER)
        return;
    /* It will not take the address, but an OFFER must name one. */
    struct dhcp_lease *lease =
        dhcp_leases_choose(service->leases, exchange->client.mac, 0, false, exchange->now_ms);
    struct dhcp_reply reply = {
        .type = DHCP_OFFER,
        .own_address = exchange->own_address,
        .your_address = lease ? lease->address : exchange->own_address,
        .full = true,
        .vendor_class = DHCP_PEER_CLASS,
        .boot = "",
        .peer_mac = service->settings.own_mac,
    };
    send_reply(exchange, &reply, &nothing);
}
