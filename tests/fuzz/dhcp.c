/*
 * dhcp.c - a service and what is around it. The input is a list of steps, each {kind, length in two
 * bytes, bytes}; the bytes are a packet, a frame, or what the step needs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/dhcp.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "leaving.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OWN_ADDRESS 0xc0a8c801u

struct world {
    struct dhcp_service *service;
    struct dhcp_server_probe *probe;
    struct dhcp_router_help *help;
    struct dhcp_settings settings;
    uint64_t now_ms;
    uint32_t probe_address;
};

static void fill(struct random_source *source, void *to, size_t length)
{
    (void)source;
    memset(to, 0x5a, length);
}

static enum dhcp_silence describe(struct dhcp_boot_source *source, const struct dhcp_client *client,
                                  enum dhcp_boot_stage stage, uint32_t own_address,
                                  char ret_text[DHCP_BOOT_TEXT_BYTES_LIMIT + 1])
{
    (void)source;
    int width = client->architecture_code == 7 ? 230 : 8; /* long and short names */
    snprintf(ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1, "%x/%0*d", own_address, width, (int)stage);
    return client->architecture_code != 3 ? DHCP_SILENCE_NONE : DHCP_SILENCE_NO_BOOT_FILE;
}

/* What must hold whatever came in. */
static void check_output(const struct world *world, const struct dhcp_output *output)
{
    struct dhcp_message reply;
    check_leaving(output->data, output->length);
    if (output->length < DHCP_REPLY_BYTES_MINIMUM || output->length > DHCP_REPLY_BYTES_LIMIT ||
        dhcp_message_parse(output->data, output->length, &reply) < 0 || reply.op != 2)
        abort();
    if (world->settings.role == DHCP_ROLE_OFF)
        abort();
    if (world->settings.role == DHCP_ROLE_PROXY && (reply.your_address || reply.type == DHCP_NAK))
        abort();
    if (reply.your_address == OWN_ADDRESS)
        abort();
}

static void pull(struct world *world)
{
    struct dhcp_output output;
    struct dhcp_event event;
    enum dhcp_role_action action;
    while (dhcp_service_next_packet(world->service, &output))
        check_output(world, &output);
    while (dhcp_service_next_event(world->service, &event)) {
        if (event.type == DHCP_EVENT_PROBE)
            world->probe_address = event.address;
        if (event.type == DHCP_EVENT_PEER)
            dhcp_server_probe_peer_seen(world->probe, event.mac, world->now_ms);
    }
    while (dhcp_server_probe_next_action(world->probe, &action)) {
        if (action == DHCP_ACTION_CLAIM_ADDRESS)
            dhcp_server_probe_claimed(world->probe, 0, world->now_ms);
    }
}

static void receive(struct world *world, enum dhcp_port port, const uint8_t *data, size_t size)
{
    struct dhcp_arrival arrival = {.port = port,
                                   .source_address = size >= 16 ? load_be32(data + 12) : 0,
                                   .source_port = (uint16_t)port,
                                   .local_address = size & 1 ? OWN_ADDRESS : 0};
    dhcp_service_receive(world->service, data, size, &arrival, world->now_ms);
}

static void look_at_frame(struct world *world, const uint8_t *data, size_t size)
{
    uint8_t area[DHCP_ROUTER_FRAME_BYTES];
    struct buffer out;
    buffer_init_fixed(&out, area, sizeof area);
    dhcp_router_help_receive(world->help, data, size, true, world->now_ms);
    dhcp_router_help_next_frame(world->help, &out, world->now_ms + DHCP_ROUTER_WAIT_MS);
    check_leaving(out.data, out.length);
}

static void configure(struct world *world, const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    struct dhcp_settings settings = world->settings;
    settings.role = (enum dhcp_role)(data[0] % 3);
    settings.chainload = (enum dhcp_chainload)(data[1] % 3);
    if (dhcp_service_configure(world->service, &settings) == 0)
        world->settings = settings;
}

static void step(struct world *world, uint8_t kind, const uint8_t *data, size_t size)
{
    switch (kind % 8) {
    case 0:
        receive(world, DHCP_PORT_SERVER, data, size);
        break;
    case 1:
        receive(world, DHCP_PORT_BOOT_SERVER, data, size);
        break;
    case 2:
        dhcp_service_probed(world->service, world->probe_address, size >= 6 ? data : NULL,
                            world->now_ms);
        break;
    case 3:
        look_at_frame(world, data, size);
        break;
    case 4:
        world->now_ms += size >= 4 ? load_be32(data) : 1;
        dhcp_server_probe_expire(world->probe, world->now_ms);
        break;
    case 5:
        dhcp_server_probe_receive(world->probe, data, size, world->now_ms);
        break;
    case 6:
        if (size >= 6)
            dhcp_service_loader_sent(world->service, data, "snponly.efi", world->now_ms);
        break;
    case 7:
        configure(world, data, size);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct random_source random = {fill};
    struct dhcp_boot_source source = {describe};
    const struct dhcp_server_probe_settings probe_settings = {
        .own_mac = {2, 0, 0, 0, 0, 1}
    };
    const struct dhcp_interface_state up = {.carrier = true};
    struct world world = {
        .settings = {.role = DHCP_ROLE_SERVER,
                     .own_mac = {2, 0, 0, 0, 0, 1},
                     .own_address = OWN_ADDRESS,
                     .netmask = 0xfffffff0u},
        .now_ms = 1
    };
    world.service = dhcp_service_new(&world.settings, &source);
    world.probe = dhcp_server_probe_new(&probe_settings, &random, 1);
    world.help = dhcp_router_help_new(probe_settings.own_mac);
    if (!world.service || !world.probe || !world.help)
        abort();
    dhcp_server_probe_interface_changed(world.probe, &up, 1);
    while (size >= 3) {
        size_t length = min_of((size_t)load_be16(data + 1), size - 3);
        step(&world, data[0], data + 3, length);
        pull(&world);
        data += 3 + length;
        size -= 3 + length;
    }
    dhcp_service_free(world.service);
    dhcp_server_probe_free(world.probe);
    dhcp_router_help_free(world.help);
    return 0;
}
