/* boot_journal.c - see boot_journal.h */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot_journal.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/log.h>

#define PROGRESS_S 1.0 /* how often sessions of firmware are looked at */

struct boot_journal {
    struct server *server;
    struct journal *journal;
    ev_timer deadline;
    ev_timer progress; /* runs while firmware has sessions */
    bool has_firmware_sessions;
};

static uint64_t now_ms(const struct server *server)
{
    return server_now_us(server) / 1000;
}

/* ── lines and time ──────────────────────────────────────────────────────────────────────────── */

static void rearm(struct boot_journal *journal)
{
    struct ev_loop *loop = journal->server->loop;
    uint64_t due = journal_deadline_ms(journal->journal);
    uint64_t now = now_ms(journal->server);
    ev_timer_stop(loop, &journal->deadline);
    if (!due)
        return;
    ev_now_update(loop);
    ev_timer_set(&journal->deadline, due > now ? (double)(due - now) / 1e3 : 0., 0.);
    ev_timer_start(loop, &journal->deadline);
}

static void settle(struct boot_journal *journal)
{
    struct journal_line line;
    while (journal_next_line(journal->journal, &line))
        log_message(line.is_trouble ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "%s", line.text);
    rearm(journal);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct boot_journal *journal = timer->data;
    journal_expire(journal->journal, now_ms(journal->server));
    settle(journal);
}

static void note(struct server *server, const struct journal_identity *who,
                 const struct journal_event *event)
{
    struct boot_journal *journal = server->boot_journal;
    if (!journal)
        return;
    journal_record(journal->journal, who, event, now_ms(server));
    settle(journal);
}

/* ── identities ──────────────────────────────────────────────────────────────────────────────── */

/* Who is at an address; memory for what an identity points to. */
struct person {
    struct journal_identity identity;
    uint8_t mac[JOURNAL_MAC_BYTES];
    uint8_t uuid[JOURNAL_UUID_BYTES];
    char address[JOURNAL_ADDRESS_BYTES];
    const struct journal_event *off; /* why its interface answers nobody */
};

static void find_person(const struct server *server, const char *address, struct person *to)
{
    struct in_addr in;
    snprintf(to->address, sizeof to->address, "%s", address);
    to->identity = (struct journal_identity){.address = to->address};
    if (inet_pton(AF_INET, address, &in) == 1 &&
        dhcp_server_client_mac(server, ntohl(in.s_addr), to->mac))
        to->identity.mac = to->mac;
}

/* ── DHCP ────────────────────────────────────────────────────────────────────────────────────── */

/* SMBIOS keeps the first three fields little-endian, and so does firmware's option 97; iPXE turns
 * them to the order in which they are written. */
static void turn_uuid(const uint8_t from[JOURNAL_UUID_BYTES], uint8_t to[JOURNAL_UUID_BYTES])
{
    static const uint8_t order[JOURNAL_UUID_BYTES] = {3, 2, 1,  0,  5,  4,  7,  6,
                                                      8, 9, 10, 11, 12, 13, 14, 15};
    for (unsigned i = 0; i < JOURNAL_UUID_BYTES; i++)
        to[i] = from[order[i]];
}

static void fill_person(const char *interface, const struct dhcp_client *client, struct person *to)
{
    memcpy(to->mac, client->mac, sizeof to->mac);
    to->identity = (struct journal_identity){.mac = to->mac, .interface = interface};
    if (!client->has_uuid)
        return;
    if (client->class == DHCP_CLIENT_IPXE)
        memcpy(to->uuid, client->uuid, sizeof to->uuid);
    else
        turn_uuid(client->uuid, to->uuid);
    to->identity.uuid = to->uuid;
}

static enum journal_firmware firmware_of(const struct dhcp_client *client)
{
    static const enum journal_firmware firmwares[] = {
        [DHCP_FIRMWARE_BIOS] = JOURNAL_FIRMWARE_BIOS,
        [DHCP_FIRMWARE_UEFI] = JOURNAL_FIRMWARE_UEFI,
        [DHCP_FIRMWARE_BIOS_HTTP] = JOURNAL_FIRMWARE_BIOS,
        [DHCP_FIRMWARE_UEFI_HTTP] = JOURNAL_FIRMWARE_UEFI_HTTP,
        [DHCP_FIRMWARE_OTHER] = JOURNAL_FIRMWARE_UNKNOWN,
    };
    return client->architecture ? firmwares[client->architecture->firmware]
                                : JOURNAL_FIRMWARE_UNKNOWN;
}

static void note_discover(struct server *server, const struct person *person,
                          const struct dhcp_event *event, bool is_ipxe)
{
    const struct dhcp_architecture *architecture = event->client.architecture;
    const struct journal_event discover = {
        .step = is_ipxe ? JOURNAL_IPXE_DISCOVER : JOURNAL_DISCOVER,
        .detail = architecture ? architecture->name : NULL,
        .firmware = firmware_of(&event->client),
    };
    note(server, &person->identity, &discover);
}

/* Which address of its own it cannot have, and because of whom. */
static void write_holder(const struct dhcp_event *event, char *to, size_t size)
{
    static const uint8_t nobody[JOURNAL_MAC_BYTES];
    char address[INET_ADDRSTRLEN], mac[HEX_MAC_BYTES];
    const struct in_addr in = {.s_addr = htonl(event->address)};
    bool is_known = memcmp(event->mac, nobody, sizeof nobody) != 0;
    snprintf(to, size, "%s is in use by %s", inet_ntop(AF_INET, &in, address, sizeof address),
             is_known ? hex_mac(mac, event->mac, ':') : "somebody else");
}

/* It boots, and we name it nothing to load. */
static void note_unanswered(struct server *server, struct person *person,
                            const struct dhcp_event *event)
{
    static const enum journal_unanswered reasons[] = {
        [DHCP_SILENCE_NO_BOOT_FILE] = JOURNAL_UNANSWERED_NO_BOOT_FILE,
        [DHCP_SILENCE_NOT_SERVING] = JOURNAL_UNANSWERED_NOT_SERVING,
        [DHCP_SILENCE_NO_HTTP] = JOURNAL_UNANSWERED_NO_HTTP,
        [DHCP_SILENCE_ADDRESS_HELD] = JOURNAL_UNANSWERED_ADDRESS_HELD,
    };
    char holder[JOURNAL_DETAIL_BYTES];
    bool loops = event->silence == DHCP_SILENCE_LOOP;
    struct journal_event unanswered = {.step = loops ? JOURNAL_LOOP : JOURNAL_UNANSWERED,
                                       .detail =
                                           loops ? event->boot : dhcp_silence_text(event->silence)};
    if (event->silence == DHCP_SILENCE_ADDRESS_HELD) {
        write_holder(event, holder, sizeof holder);
        unanswered.detail = holder;
    }
    if (event->silence < (int)ARRAY_SIZE(reasons))
        unanswered.unanswered = reasons[event->silence];
    if (event->silence == DHCP_SILENCE_OFF) {
        unanswered.unanswered = person->off->unanswered;
        unanswered.detail = person->off->detail;
    }
    if (!loops)
        note_discover(server, person, event, event->client.class == DHCP_CLIENT_IPXE);
    note(server, &person->identity, &unanswered);
}

/* An iPXE that is sent to a boot file is firmware like any other. */
static void on_answered(struct server *server, struct person *person,
                        const struct dhcp_event *event)
{
    bool is_ipxe = event->stage == DHCP_BOOT_SCRIPT;
    char address[INET_ADDRSTRLEN];
    const struct in_addr in = {.s_addr = htonl(event->address)};
    if (event->stage == DHCP_BOOT_NONE) {
        if (event->reply == DHCP_OFFER && event->silence != DHCP_SILENCE_NONE)
            note_unanswered(server, person, event);
        return;
    }
    if (event->address)
        person->identity.address = inet_ntop(AF_INET, &in, address, sizeof address);
    struct journal_event answer = {.detail = event->boot};
    if (event->port == DHCP_PORT_BOOT_SERVER) {
        answer.step = is_ipxe ? JOURNAL_IPXE_OFFER : JOURNAL_BOOT_SERVER;
    } else if (event->reply == DHCP_OFFER) {
        note_discover(server, person, event, is_ipxe);
        answer.step = is_ipxe ? JOURNAL_IPXE_OFFER : JOURNAL_OFFER;
        answer.gives_address = event->address != 0;
        answer.via_boot_server = event->via_boot_server;
    } else if (is_ipxe) {
        answer.step = JOURNAL_IPXE_OFFER;
        answer.gives_address = event->address != 0;
    } else {
        answer.step = JOURNAL_ADDRESS;
        answer.detail = person->identity.address;
    }
    note(server, &person->identity, &answer);
}

/* Only what a person has to do something about. */
static void on_silent(struct server *server, struct person *person, const struct dhcp_event *event)
{
    static const bool matters[] = {
        [DHCP_SILENCE_OFF] = true,         [DHCP_SILENCE_NO_BOOT_FILE] = true,
        [DHCP_SILENCE_NOT_SERVING] = true, [DHCP_SILENCE_NO_HTTP] = true,
        [DHCP_SILENCE_LOOP] = true,        [DHCP_SILENCE_ADDRESS_HELD] = true,
        [DHCP_SILENCE_POOL] = true,        [DHCP_SILENCE_RATE] = true,
        [DHCP_SILENCE_TOO_LONG] = true,
    };
    bool boots =
        event->client.class != DHCP_CLIENT_OTHER && event->client.class != DHCP_CLIENT_PEER;
    if (boots && event->request == DHCP_DISCOVER && event->silence < (int)ARRAY_SIZE(matters) &&
        matters[event->silence])
        note_unanswered(server, person, event);
}

static void on_foreign_server(struct server *server, struct person *person,
                              const struct dhcp_event *event)
{
    char server_address[INET_ADDRSTRLEN];
    char detail[INET_ADDRSTRLEN + 16];
    const struct in_addr in = {.s_addr = htonl(event->address)};
    const struct journal_event taken = {
        .step = JOURNAL_ADDRESS, .detail = detail, .server = server_address};
    if (event->client.class == DHCP_CLIENT_OTHER)
        return; /* an operating system's */
    snprintf(detail, sizeof detail, "from server %s",
             inet_ntop(AF_INET, &in, server_address, sizeof server_address));
    note(server, &person->identity, &taken);
}

static void on_loop(struct server *server, struct person *person, const struct dhcp_event *event)
{
    const struct journal_event loop = {.step = JOURNAL_LOOP, .detail = event->boot};
    note(server, &person->identity, &loop);
}

void boot_journal_dhcp(struct server *server, const char *interface, const struct dhcp_event *event,
                       const struct journal_event *off)
{
    static void (*const handlers[])(struct server * server, struct person * person,
                                    const struct dhcp_event *event) = {
        [DHCP_EVENT_ANSWERED] = on_answered,
        [DHCP_EVENT_SILENT] = on_silent,
        [DHCP_EVENT_FOREIGN_SERVER] = on_foreign_server,
        [DHCP_EVENT_LOOP] = on_loop,
    };
    struct person person;
    if (event->type >= ARRAY_SIZE(handlers) || !handlers[event->type])
        return;
    fill_person(interface, &event->client, &person);
    person.off = off;
    handlers[event->type](server, &person, event);
}

void boot_journal_foreign_answer(struct server *server, const char *interface,
                                 const struct foreign_answer *answer)
{
    struct boot_journal *journal = server->boot_journal;
    const struct journal_identity who = {.mac = answer->mac, .interface = interface};
    const struct in_addr in = {.s_addr = htonl(answer->server)};
    char text[INET_ADDRSTRLEN];
    if (!journal || !journal_find(journal->journal, &who)) /* none of those who asked us */
        return;
    if (answer->gives_address)
        journal_foreign_address(journal->journal, &who, now_ms(server));
    if (answer->names_boot_file)
        journal_foreign_server(journal->journal, &who, inet_ntop(AF_INET, &in, text, sizeof text),
                               now_ms(server));
}

void boot_journal_link(struct server *server, const char *interface, bool is_up)
{
    struct boot_journal *journal = server->boot_journal;
    if (!journal)
        return;
    journal_link_changed(journal->journal, interface, is_up, now_ms(server));
    settle(journal);
}

/* ── boot files and scripts ──────────────────────────────────────────────────────────────────── */

void boot_journal_file_begins(struct server *server, const struct boot_transfer *transfer)
{
    struct person person;
    const struct journal_event asked = {.step = JOURNAL_FILE_REQUEST, .detail = transfer->name};
    if (boot_source_is_entry(transfer->name))
        return; /* not firmware: iPXE looks for it before it does anything else */
    find_person(server, transfer->peer, &person);
    note(server, &person.identity, &asked);
}

void boot_journal_file_sent(struct server *server, const struct boot_transfer *transfer)
{
    struct person person;
    const struct journal_event sent = {.step = JOURNAL_FILE,
                                       .detail = transfer->name,
                                       .bytes = transfer->bytes,
                                       .duration_ms = now_ms(server) - transfer->started_ms};
    if (boot_source_is_entry(transfer->name))
        return;
    find_person(server, transfer->peer, &person);
    if (person.identity.mac)
        dhcp_server_loader_sent(server, person.mac, transfer->name);
    note(server, &person.identity, &sent);
}

void boot_journal_file_failed(struct server *server, const struct boot_transfer *transfer,
                              enum journal_file_end end, const char *problem)
{
    struct person person;
    char detail[JOURNAL_DETAIL_BYTES];
    const struct journal_event failed = {.step = JOURNAL_FILE_FAILED,
                                         .detail = detail,
                                         .file_end = end,
                                         .bytes = transfer->bytes,
                                         .duration_ms = now_ms(server) - transfer->started_ms};
    if (boot_source_is_entry(transfer->name))
        return;
    snprintf(detail, sizeof detail, "%s: %s", transfer->name, problem);
    find_person(server, transfer->peer, &person);
    note(server, &person.identity, &failed);
}

void boot_journal_file_missing(struct server *server, const char *peer, const char *name)
{
    struct person person;
    const struct journal_event missing = {.step = JOURNAL_FILE_MISSING, .detail = name};
    if (boot_source_is_entry(name))
        return;
    find_person(server, peer, &person);
    note(server, &person.identity, &missing);
}

void boot_journal_kernel_sent(struct server *server, const struct boot_transfer *transfer)
{
    struct person person;
    const struct journal_event sent = {.step = JOURNAL_KERNEL,
                                       .detail = transfer->name,
                                       .bytes = transfer->bytes,
                                       .duration_ms = now_ms(server) - transfer->started_ms};
    find_person(server, transfer->peer, &person);
    note(server, &person.identity, &sent);
}

void boot_journal_kernel_failed(struct server *server, const struct boot_transfer *transfer,
                                const char *problem)
{
    struct person person;
    char detail[JOURNAL_DETAIL_BYTES];
    const struct journal_event failed = {.step = JOURNAL_KERNEL_FAILED,
                                         .detail = detail,
                                         .bytes = transfer->bytes,
                                         .duration_ms = now_ms(server) - transfer->started_ms};
    snprintf(detail, sizeof detail, "%s: %s", transfer->name, problem);
    find_person(server, transfer->peer, &person);
    note(server, &person.identity, &failed);
}

/* Whose address it is, and who the request says it is. */
static void person_of_client(const struct server *server, const char *peer,
                             const struct boot_client *client, struct person *to)
{
    find_person(server, peer, to);
    if (client->has_mac) {
        memcpy(to->mac, client->mac, sizeof to->mac);
        to->identity.mac = to->mac;
    }
    if (client->has_uuid) {
        memcpy(to->uuid, client->uuid, sizeof to->uuid);
        to->identity.uuid = to->uuid;
    }
}

void boot_journal_wrong_password(struct server *server, const char *peer,
                                 const struct boot_client *client, unsigned tries)
{
    struct person person;
    char detail[32];
    const struct journal_event wrong = {.step = JOURNAL_SCRIPT_PASSWORD, .detail = detail};
    snprintf(detail, sizeof detail, "%s", tries > 1 ? "again and again" : "once");
    person_of_client(server, peer, client, &person);
    note(server, &person.identity, &wrong);
}

void boot_journal_script(struct server *server, const struct boot_reach *reach,
                         const struct boot_answer *answer)
{
    static const enum journal_step steps[] = {
        [BOOT_ANSWER_ENTRY] = JOURNAL_NONE,         [BOOT_ANSWER_PASS] = JOURNAL_NONE,
        [BOOT_ANSWER_START] = JOURNAL_SCRIPT,       [BOOT_ANSWER_MENU] = JOURNAL_SCRIPT_MENU,
        [BOOT_ANSWER_LOGIN] = JOURNAL_SCRIPT_LOGIN, [BOOT_ANSWER_STOP] = JOURNAL_SCRIPT_REFUSED,
        [BOOT_ANSWER_WAIT] = JOURNAL_SCRIPT_WAIT,   [BOOT_ANSWER_LATER] = JOURNAL_SCRIPT_WAIT,
    };
    struct person person;
    const struct journal_event event = {.step = steps[answer->kind], .detail = answer->words};
    const struct journal_event choice = {.step = JOURNAL_SCRIPT_CHOICE, .detail = answer->choice};
    if (!event.step && !answer->choice[0])
        return;
    person_of_client(server, reach->peer, &answer->client, &person);
    if (person.identity.mac)
        dhcp_server_client_progressed(server, person.mac);
    person.identity.initiator = answer->initiator;
    if (answer->choice[0])
        note(server, &person.identity, &choice);
    if (event.step)
        note(server, &person.identity, &event);
}

/* ── iSCSI ───────────────────────────────────────────────────────────────────────────────────── */

/* "192.0.2.7:51234" or "[2001:db8::7]:51234" without its port. */
static void strip_port(const char *peer, char to[JOURNAL_ADDRESS_BYTES])
{
    bool is_ipv6 = peer[0] == '[';
    size_t length = is_ipv6 ? strcspn(peer, "]") - 1 : strcspn(peer, ":");
    snprintf(to, JOURNAL_ADDRESS_BYTES, "%.*s", (int)length, peer + is_ipv6);
}

static const struct {
    enum journal_step firmware, system;
} session_steps[] = {
    [ISCSI_EVENT_LOGIN] = {JOURNAL_LOGIN,         JOURNAL_OS_LOGIN        },
    [ISCSI_EVENT_LOGIN_REFUSED] = {JOURNAL_LOGIN_REFUSED, JOURNAL_OS_LOGIN_REFUSED},
    [ISCSI_EVENT_LOGIN_BROKEN] = {JOURNAL_LOGIN_BROKEN,  JOURNAL_LOGIN_BROKEN    },
    [ISCSI_EVENT_SESSION_ENDED] = {JOURNAL_NONE,          JOURNAL_OS_ENDED        },
    [ISCSI_EVENT_FIRST_COMMAND] = {JOURNAL_READ,          JOURNAL_OS_READ         },
};

static void person_of_session(const struct server *server, const char *peer, const char *initiator,
                              struct person *to)
{
    char address[JOURNAL_ADDRESS_BYTES];
    strip_port(peer, address);
    find_person(server, address, to);
    to->identity.initiator = initiator;
}

/* Of the sessions of one initiator the last one counts: iscsid makes its session anew. */
struct session_search {
    const struct iscsi_event *ended;
    bool found;
};

static void match_session(void *context, const struct iscsi_session_info *info)
{
    struct session_search *search = context;
    search->found |= !info->discovery && info->tsih != search->ended->tsih &&
                     strcmp(info->initiator, search->ended->initiator) == 0 &&
                     !journal_isid_is_firmware(info->isid);
}

static bool has_other_session(struct server *server, const struct iscsi_event *ended)
{
    struct session_search search = {.ended = ended};
    iscsi_node_for_each_session(server->node, match_session, &search);
    return search.found;
}

static void end_firmware_session(struct server *server, const struct person *person)
{
    struct boot_journal *journal = server->boot_journal;
    uint64_t now = now_ms(server);
    journal_session_progress(journal->journal, &person->identity, 0, now, true, now);
    settle(journal);
}

void boot_journal_iscsi(struct server *server, const struct iscsi_event *event)
{
    struct boot_journal *journal = server->boot_journal;
    struct person person;
    bool is_discovery = event->tsih && !event->target[0];
    if (!journal || event->kind >= ARRAY_SIZE(session_steps) || is_discovery)
        return;
    bool is_firmware = journal_isid_is_firmware(event->isid);
    struct journal_event told = {
        .step =
            is_firmware ? session_steps[event->kind].firmware : session_steps[event->kind].system,
        .detail = event->kind == ISCSI_EVENT_LOGIN ? event->target : event->reason,
        .mutual_chap = event->mutual_chap,
        .status_class = event->status_class,
        .status_detail = event->status_detail,
    };
    person_of_session(server, event->peer, event->initiator, &person);
    if (is_firmware && event->kind == ISCSI_EVENT_LOGIN && !ev_is_active(&journal->progress))
        ev_timer_again(server->loop, &journal->progress);
    if (told.step == JOURNAL_OS_ENDED && has_other_session(server, event))
        return;
    if (told.step)
        note(server, &person.identity, &told);
    else
        end_firmware_session(server, &person);
}

static void on_session(void *context, const struct iscsi_session_info *info)
{
    struct boot_journal *journal = context;
    struct person person;
    if (info->discovery || !journal_isid_is_firmware(info->isid))
        return;
    journal->has_firmware_sessions = true;
    person_of_session(journal->server, info->peer, info->initiator, &person);
    journal_session_progress(journal->journal, &person.identity, info->read_bytes,
                             info->last_command_us / 1000, false, now_ms(journal->server));
}

static void look_at_sessions(struct boot_journal *journal)
{
    journal->has_firmware_sessions = false;
    iscsi_node_for_each_session(journal->server->node, on_session, journal);
    settle(journal);
}

static void on_progress(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct boot_journal *journal = timer->data;
    look_at_sessions(journal);
    if (!journal->has_firmware_sessions)
        ev_timer_stop(loop, timer);
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

int boot_journal_start(struct server *server, struct error *error)
{
    const struct config_limits *limits = &server->config->limits;
    struct boot_journal *journal = calloc(1, sizeof *journal);
    if (journal)
        journal->journal = journal_new(limits->journal_clients, limits->journal_events_per_client);
    if (!journal || !journal->journal) {
        free(journal);
        return error_set(error, -ENOMEM, "out of memory");
    }
    journal->server = server;
    ev_init(&journal->deadline, on_deadline);
    ev_init(&journal->progress, on_progress);
    journal->progress.repeat = PROGRESS_S;
    journal->deadline.data = journal->progress.data = journal;
    server->boot_journal = journal;
    return 0;
}

void boot_journal_reload(struct server *server, const struct config *config)
{
    if (server->boot_journal)
        journal_set_limits(server->boot_journal->journal, config->limits.journal_clients,
                           config->limits.journal_events_per_client);
}

void boot_journal_free(struct server *server)
{
    struct boot_journal *journal = take_pointer(server->boot_journal);
    if (!journal)
        return;
    ev_timer_stop(server->loop, &journal->deadline);
    ev_timer_stop(server->loop, &journal->progress);
    journal_free(journal->journal);
    free(journal);
}

const struct journal *boot_journal_get(const struct server *server)
{
    struct boot_journal *journal = server->boot_journal;
    if (!journal)
        return NULL;
    look_at_sessions(journal);
    journal_expire(journal->journal, now_ms(server));
    settle(journal);
    return journal->journal;
}
