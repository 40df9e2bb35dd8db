/* fixture.h - a service, the packets it is given, and a close look at what it answers */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netboot-target/dhcp.h>
#include <netboot-target/util/array.h>

#include "dhcp/packets.h"

#define OWN_ADDRESS   0xc0a8c801u /* 192.168.200.1/24 */
#define NETMASK       0xffffff00u
#define OTHER_SERVER  0xc0a8c8feu
#define BROADCAST     0xffffffffu
#define NAMED_ADDRESS 0xc0a8c84du

static const uint8_t OWN_MAC[6] = {0x02, 0, 0, 0, 0, 0x10};
static const uint8_t OTHER_MAC[6] = {0x52, 0x54, 0, 9, 9, 9};
static const uint8_t STRANGER_MAC[6] = {0x02, 0, 0, 0, 0, 0x99};

struct fixture {
    struct dhcp_boot_source source;
    struct dhcp_service *service;
    struct dhcp_settings settings;
    uint64_t now_ms;
    struct dhcp_arrival arrival;
    /* what came out last */
    bool answered;
    struct dhcp_output output;
    struct dhcp_message reply;
    struct dhcp_event event; /* the last one */
    unsigned count_of[DHCP_EVENT_LOOP + 1];
    uint32_t probe_address;
    bool long_url;
    uint16_t no_file_for; /* architecture code; 0xffff: every one has a file */
    enum dhcp_silence no_file_why;
};

static inline enum dhcp_silence describe(struct dhcp_boot_source *source,
                                         const struct dhcp_client *client,
                                         enum dhcp_boot_stage stage, uint32_t own_address,
                                         char ret_text[DHCP_BOOT_TEXT_BYTES_LIMIT + 1])
{
    struct fixture *f = container_of(source, struct fixture, source);
    char address[16];
    snprintf(address, sizeof address, "%u.%u.%u.%u", own_address >> 24, own_address >> 16 & 255,
             own_address >> 8 & 255, own_address & 255);
    if (client->has_architecture && client->architecture_code == f->no_file_for)
        return f->no_file_why;
    if (f->long_url)
        snprintf(ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1, "http://%s/%0200d", address, 0);
    else if (stage == DHCP_BOOT_SCRIPT)
        snprintf(ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1, "http://%s/boot.ipxe", address);
    else if (stage == DHCP_BOOT_LOADER_URL)
        snprintf(ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1, "http://%s/snponly.efi", address);
    else
        snprintf(ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1, "%s",
                 client->has_architecture && client->architecture_code ? "snponly.efi"
                                                                       : "undionly.kpxe");
    return DHCP_SILENCE_NONE;
}

static inline void fixture_begin_with(struct fixture *f, const struct dhcp_settings *settings)
{
    *f = (struct fixture){.source = {describe},
                          .now_ms = 1000000,
                          .no_file_for = 0xffff,
                          .no_file_why = DHCP_SILENCE_NO_BOOT_FILE};
    f->settings = *settings;
    f->arrival = (struct dhcp_arrival){.port = DHCP_PORT_SERVER, .source_port = 68};
    f->service = dhcp_service_new(settings, &f->source);
    assert_non_null(f->service);
}

static inline struct dhcp_settings settings_for(enum dhcp_role role)
{
    struct dhcp_settings settings = {.role = role, .own_address = OWN_ADDRESS, .netmask = NETMASK};
    memcpy(settings.own_mac, OWN_MAC, sizeof OWN_MAC);
    return settings;
}

static inline struct dhcp_named_client named_by_mac(uint32_t address)
{
    struct dhcp_named_client client = {.has_mac = true, .address = address};
    memcpy(client.mac, CLIENT_MAC, sizeof client.mac);
    return client;
}

static inline struct dhcp_settings settings_with(const struct dhcp_named_client *client,
                                                 enum dhcp_role role)
{
    struct dhcp_settings settings = settings_for(role);
    settings.clients = client;
    settings.client_count = 1;
    return settings;
}

static inline void fixture_begin(struct fixture *f, enum dhcp_role role)
{
    struct dhcp_settings settings = settings_for(role);
    fixture_begin_with(f, &settings);
}

static inline void fixture_end(struct fixture *f)
{
    dhcp_service_free(f->service);
}

/* Takes everything out of the service; at most one packet is there. */
static inline void fixture_pull(struct fixture *f)
{
    struct dhcp_output more;
    f->answered = dhcp_service_next_packet(f->service, &f->output);
    if (f->answered) {
        assert_in_range(f->output.length, DHCP_REPLY_BYTES_MINIMUM, DHCP_REPLY_BYTES_LIMIT);
        assert_int_equal(dhcp_message_parse(f->output.data, f->output.length, &f->reply), 0);
        assert_int_equal(f->reply.op, 2);
        assert_int_equal(f->reply.malformed_options, 0);
    }
    assert_false(dhcp_service_next_packet(f->service, &more));
    memset(f->count_of, 0, sizeof f->count_of);
    while (dhcp_service_next_event(f->service, &f->event)) {
        f->count_of[f->event.type]++;
        if (f->event.type == DHCP_EVENT_PROBE)
            f->probe_address = f->event.address;
    }
}

static inline bool deliver(struct fixture *f, struct packet *packet)
{
    packet_end(packet);
    dhcp_service_receive(f->service, packet->data, packet->buffer.length, &f->arrival, f->now_ms);
    fixture_pull(f);
    return f->answered;
}

/* Delivers, and lets the probe that is asked for find nobody. */
static inline bool deliver_probed(struct fixture *f, struct packet *packet)
{
    if (deliver(f, packet) || !f->count_of[DHCP_EVENT_PROBE])
        return f->answered;
    f->now_ms += 300;
    dhcp_service_probed(f->service, f->probe_address, NULL, f->now_ms);
    fixture_pull(f);
    return f->answered;
}

static inline bool has_option(const struct fixture *f, enum dhcp_option_code code)
{
    return dhcp_message_option(&f->reply, code, NULL) != NULL;
}

static inline void expect_option(const struct fixture *f, enum dhcp_option_code code,
                                 const void *value, size_t length)
{
    size_t found;
    const uint8_t *data = dhcp_message_option(&f->reply, code, &found);
    assert_non_null(data);
    assert_int_equal(found, length);
    assert_memory_equal(data, value, length);
}

static inline void expect_silence(const struct fixture *f, enum dhcp_silence silence)
{
    assert_false(f->answered);
    assert_int_equal(f->event.type, DHCP_EVENT_SILENT);
    assert_int_equal(f->event.silence, silence);
}

static inline void expect_no_answer(struct fixture *f, struct packet *packet,
                                    enum dhcp_silence silence)
{
    deliver(f, packet);
    expect_silence(f, silence);
}

/* What holds for every answer but a NAK. */
static inline void expect_common(const struct fixture *f, enum dhcp_message_type type,
                                 const char *boot)
{
    assert_true(f->answered);
    assert_int_equal(f->reply.type, type);
    assert_int_equal(f->reply.xid, 0x12345678);
    assert_memory_equal(f->reply.hardware_address, CLIENT_MAC, 6);
    assert_int_equal(f->reply.hardware_type, 1);
    assert_int_equal(f->reply.hardware_length, 6);
    assert_int_equal(f->reply.server_address, OWN_ADDRESS); /* always: iPXE loops without */
    assert_int_equal(dhcp_message_option_u32(&f->reply, DHCP_OPTION_SERVER_ID), OWN_ADDRESS);
    assert_string_equal(f->reply.boot_file, boot);
    assert_false(has_option(f, DHCP_OPTION_OVERLOAD)); /* iPXE cannot read it */
    assert_int_equal(f->event.type, DHCP_EVENT_ANSWERED);
    assert_int_equal(f->event.reply, type);
    assert_string_equal(f->event.boot, boot);
}

static inline void expect_machine_id(const struct fixture *f)
{
    uint8_t id[17] = {0};
    memcpy(id + 1, CLIENT_UUID, sizeof CLIENT_UUID);
    expect_option(f, DHCP_OPTION_MACHINE_ID, id, sizeof id);
}

static inline void expect_broadcast(const struct fixture *f)
{
    assert_int_equal(f->output.to_address, BROADCAST);
    assert_int_equal(f->output.to_port, DHCP_PORT_CLIENT);
    assert_int_equal(f->output.from_port, DHCP_PORT_SERVER);
    assert_int_equal(f->output.from_address, OWN_ADDRESS);
}

/* ── a server gives an address ───────────────────────────────────────────────────────────────── */

static inline uint32_t offered_to(struct fixture *f, const uint8_t mac[6])
{
    struct packet packet;
    packet_ipconfig(&packet, DHCP_DISCOVER);
    memcpy(packet.data + 28, mac, 6);
    assert_true(deliver_probed(f, &packet));
    assert_int_equal(f->reply.type, DHCP_OFFER);
    return f->reply.your_address;
}

/* An OFFER of ours taken: what every client does. */
static inline bool request(struct fixture *f, struct packet *packet, uint32_t address)
{
    packet_option_u32(packet, DHCP_OPTION_SERVER_ID, OWN_ADDRESS);
    packet_option_u32(packet, DHCP_OPTION_REQUESTED_ADDRESS, address);
    return deliver(f, packet);
}

static inline void expect_settings(struct fixture *f)
{
    assert_int_equal(dhcp_message_option_u32(&f->reply, DHCP_OPTION_SUBNET_MASK), NETMASK);
    assert_int_equal(dhcp_message_option_u32(&f->reply, DHCP_OPTION_BROADCAST_ADDRESS),
                     OWN_ADDRESS | ~NETMASK);
}

static inline void expect_lease(struct fixture *f)
{
    assert_int_equal(dhcp_message_option_u32(&f->reply, DHCP_OPTION_LEASE_TIME), 0xffffffff);
    assert_int_equal(f->reply.your_address & NETMASK, OWN_ADDRESS & NETMASK);
    assert_int_not_equal(f->reply.your_address, OWN_ADDRESS);
    expect_settings(f);
    assert_int_equal(f->event.address, f->reply.your_address);
}
