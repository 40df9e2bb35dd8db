/* service.h - the insides of struct dhcp_service, shared by service.c, answers.c and addresses.c */
#pragma once
#include <netboot-target/dhcp.h>

#include "leases.h"
#include "policy.h"
#include "reply.h"
#include "roster.h"

#define PENDING_LIMIT 32u
#define PENDING_KNOWN 8u /* of them, only for known clients */
#define EVENTS_LIMIT  64u
#define OUTPUT_LIMIT  4u

/* A message that waits until its address has been probed. */
struct dhcp_pending {
    bool used;
    uint32_t address;
    uint64_t since_ms;
    struct dhcp_message message;
    struct dhcp_arrival arrival;
};

/* How many answers may go out. Clients that are known do not share it with cards that anybody may
 * have made up. */
struct dhcp_allowance {
    uint32_t millitokens;
    uint64_t tokens_ms;
    bool started;
};

struct dhcp_service {
    struct dhcp_settings settings;
    struct dhcp_named_client *clients; /* what settings.clients points to */
    struct dhcp_boot_source *source;
    struct dhcp_leases *leases;
    struct dhcp_roster roster;
    struct dhcp_allowance for_known, for_others;
    struct dhcp_pending pending[PENDING_LIMIT];
    struct dhcp_output output[OUTPUT_LIMIT];
    unsigned first_output, outputs;
    struct dhcp_event events[EVENTS_LIMIT];
    unsigned first_event, event_count;
};

/* One message on its way through. */
struct dhcp_exchange {
    struct dhcp_service *service;
    const struct dhcp_message *message;
    const struct dhcp_arrival *arrival;
    struct dhcp_client client;
    struct dhcp_record *record; /* NULL: nothing is remembered of this one */
    const struct dhcp_named_client *named;
    enum dhcp_way way;
    enum dhcp_standing standing;
    uint32_t own_address; /* where this client reaches us: options 54 and siaddr */
    uint64_t now_ms;
};

/* The configuration names it, or it went further than asking. */
bool dhcp_exchange_is_known(const struct dhcp_exchange *exchange);

/* ── answers.c: events ───────────────────────────────────────────────────────────────────────── */

void dhcp_service_push_event(struct dhcp_service *service, const struct dhcp_event *event);
/* An event with what the exchange knows. */
struct dhcp_event dhcp_exchange_event(const struct dhcp_exchange *exchange,
                                      enum dhcp_event_type type);
void dhcp_exchange_silent(const struct dhcp_exchange *exchange, enum dhcp_silence silence);

/* ── answers.c ───────────────────────────────────────────────────────────────────────────────── */

/* No address: a proxy's OFFER on port 67, its ACK on 4011. */
void dhcp_exchange_answer_boot(struct dhcp_exchange *exchange, const struct dhcp_answer_form *form);
/* An address, and a boot file for whoever boots. */
void dhcp_exchange_answer_full(struct dhcp_exchange *exchange, const struct dhcp_answer_form *form);
void dhcp_exchange_answer_peer(struct dhcp_exchange *exchange);

/* ── addresses.c: the answers that give one ──────────────────────────────────────────────────── */

enum dhcp_grant_verdict {
    DHCP_GRANT_SILENT, /* said so in an event */
    DHCP_GRANT_GIVE,   /* `type`, and `address` (0 for INFORM) */
    DHCP_GRANT_NAK,
};

struct dhcp_grant {
    enum dhcp_message_type type;
    uint32_t address;
};

/* RFC 2131 §4.3. May ask for a probe; the message then comes again when there is a result. */
enum dhcp_grant_verdict dhcp_exchange_grant(struct dhcp_exchange *exchange,
                                            struct dhcp_grant *ret_grant);
void dhcp_exchange_decline(struct dhcp_exchange *exchange);
void dhcp_exchange_release(struct dhcp_exchange *exchange);
/* The client chose another server. */
void dhcp_exchange_forget_offer(struct dhcp_exchange *exchange);
