/* test_service.c - limits, memory of clients, peers, settings */
#include "dhcp/fixture.h"

static void packet_from(struct packet *packet, uint32_t number)
{
    packet_bios_rom(packet, DHCP_DISCOVER);
    packet->data[28] = 0x02;
    packet->data[29] = 0;
    store_be32(packet->data + 30, number);
}

/* ── limits ──────────────────────────────────────────────────────────────────────────────────── */

static void test_one_client_is_limited(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    unsigned answers = 0;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    for (int i = 0; i < 40; i++) {
        packet_from(&packet, 1);
        answers += deliver(&f, &packet);
    }
    assert_in_range(answers, 8, 16); /* a boot needs some; a flood gets no more */
    expect_silence(&f, DHCP_SILENCE_RATE);
    packet_from(&packet, 2); /* others are not touched */
    assert_true(deliver(&f, &packet));
    f.now_ms += 1000;
    packet_from(&packet, 1);
    assert_true(deliver(&f, &packet));
    fixture_end(&f);
}

static void flood(struct dhcp_settings *settings, unsigned at_once, unsigned per_second)
{
    struct fixture f;
    unsigned answers = 0, later = 0;
    fixture_begin_with(&f, settings);
    for (uint32_t i = 0; i < 500; i++) {
        struct packet packet;
        packet_from(&packet, i);
        answers += deliver(&f, &packet);
    }
    assert_int_equal(answers, at_once);
    for (uint32_t i = 0; i < 1000; i++) {
        struct packet packet;
        f.now_ms += 1;
        packet_from(&packet, 1000 + i);
        later += deliver(&f, &packet);
    }
    assert_int_equal(later, per_second);
    fixture_end(&f);
}

static void test_all_clients_are_limited(void **state)
{
    (void)state;
    struct dhcp_settings settings = settings_for(DHCP_ROLE_PROXY);
    flood(&settings, 100, 50);
    settings.replies_per_second = 10;
    flood(&settings, 20, 10);
}

/* Made-up cards, each with a DISCOVER a millisecond, for `ms`; probes find nobody. */
static void crowd(struct fixture *f, uint32_t *number, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        struct packet packet;
        f->now_ms++;
        packet_from(&packet, ++*number);
        deliver_probed(f, &packet);
    }
}

/* One that asks for an address takes longer than the crowd's next card: its probe is under way. */
static bool is_offered(struct fixture *f, uint32_t card)
{
    struct packet packet;
    packet_from(&packet, card);
    return deliver_probed(f, &packet);
}

static void test_known_clients_in_a_flood(void **state)
{
    (void)state;
    static const enum dhcp_role roles[] = {DHCP_ROLE_PROXY, DHCP_ROLE_SERVER};
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        struct dhcp_named_client client = {.has_mac = true};
        client.mac[0] = 0x02;
        store_be32(client.mac + 2, 0xffffff01);
        struct dhcp_settings settings = settings_with(&client, roles[i]);
        const uint8_t loaded[6] = {0x02, 0, 0xff, 0xff, 0xff, 0x02};
        struct fixture f;
        uint32_t number = 0;
        fixture_begin_with(&f, &settings);
        assert_true(is_offered(&f, 0xffffff02));
        dhcp_service_loader_sent(f.service, loaded, "undionly.kpxe", f.now_ms);
        for (unsigned round = 0; round < 10; round++) {
            crowd(&f, &number, 2000);
            assert_true(is_offered(&f, 0xffffff01)); /* named */
            assert_true(is_offered(&f, 0xffffff02)); /* it was here before */
        }
        assert_true(dhcp_service_is_booting(f.service, loaded, f.now_ms));
        fixture_end(&f);
    }
}

/* Nobody tells of the results of the crowd's probes. */
static void test_known_clients_are_probed_in_a_flood(void **state)
{
    (void)state;
    struct dhcp_named_client client = named_by_mac(0);
    struct dhcp_settings settings = settings_with(&client, DHCP_ROLE_SERVER);
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    for (uint32_t i = 0; i < 90; i++) {
        packet_from(&packet, i);
        deliver(&f, &packet);
    }
    expect_silence(&f, DHCP_SILENCE_RATE);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    fixture_end(&f);
}

/* ── memory ──────────────────────────────────────────────────────────────────────────────────── */

static void test_whose_address(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    uint8_t mac[6];
    fixture_begin(&f, DHCP_ROLE_PROXY);
    assert_false(dhcp_service_client_at(f.service, 0xc0a8c820, mac));
    packet_ovmf(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    assert_false(dhcp_service_client_at(f.service, 0, mac));
    packet_ovmf(&packet, DHCP_REQUEST); /* overheard: what another server gave */
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, OTHER_SERVER);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0xc0a8c820);
    assert_false(deliver(&f, &packet));
    assert_int_equal(f.event.type, DHCP_EVENT_FOREIGN_SERVER);
    assert_int_equal(f.event.address, OTHER_SERVER);
    assert_true(dhcp_service_client_at(f.service, 0xc0a8c820, mac));
    assert_memory_equal(mac, CLIENT_MAC, 6);
    fixture_end(&f);

    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_ipconfig(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    assert_true(dhcp_service_client_at(f.service, f.reply.your_address, mac));
    assert_memory_equal(mac, CLIENT_MAC, 6);
    fixture_end(&f);
}

static void test_who_is_booting(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_dhclient(&packet, DHCP_DISCOVER); /* an installed system does not boot by PXE */
    deliver(&f, &packet);
    assert_false(dhcp_service_is_booting(f.service, CLIENT_MAC, f.now_ms));
    packet_ipxe(&packet, DHCP_DISCOVER, 0);
    deliver(&f, &packet);
    assert_true(dhcp_service_is_booting(f.service, CLIENT_MAC, f.now_ms + 59999));
    assert_false(dhcp_service_is_booting(f.service, CLIENT_MAC, f.now_ms + 60000));
    assert_false(dhcp_service_is_booting(f.service, STRANGER_MAC, f.now_ms));
    fixture_end(&f);
}

/* The memory is bounded; a flood pushes the oldest out and nothing else happens. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    packet_ipxe(&packet, DHCP_DISCOVER, 0);
    assert_true(deliver(&f, &packet));
    for (uint32_t i = 0; i < 300; i++) {
        f.now_ms += 1;
        packet_from(&packet, i);
        deliver(&f, &packet);
    }
    assert_false(dhcp_service_is_booting(f.service, CLIENT_MAC, f.now_ms));
    fixture_end(&f);
}

static void test_events_are_bounded(void **state)
{
    (void)state;
    struct fixture f;
    struct dhcp_event event;
    unsigned count = 0;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    for (int i = 0; i < 1000; i++)
        dhcp_service_receive(f.service, (const uint8_t *)"junk", 4, &f.arrival, f.now_ms);
    while (dhcp_service_next_event(f.service, &event))
        count++;
    assert_in_range(count, 1, 64);
    fixture_end(&f);
}

/* A caller that does not pull loses answers, not its mind. */
static void test_answers_are_bounded(void **state)
{
    (void)state;
    struct fixture f;
    struct dhcp_output output;
    unsigned count = 0;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    for (uint32_t i = 0; i < 20; i++) {
        struct packet packet;
        packet_from(&packet, i);
        packet_end(&packet);
        dhcp_service_receive(f.service, packet.data, packet.buffer.length, &f.arrival, f.now_ms);
    }
    while (dhcp_service_next_packet(f.service, &output))
        count++;
    assert_int_equal(count, 4);
    fixture_end(&f);
}

/* ── peers ───────────────────────────────────────────────────────────────────────────────────── */

static void fill_source(struct random_source *source, void *to, size_t length)
{
    (void)source;
    memset(to, 0x5a, length);
}

static void test_peers_know_each_other(void **state)
{
    (void)state;
    static const enum dhcp_role roles[] = {DHCP_ROLE_OFF, DHCP_ROLE_PROXY, DHCP_ROLE_SERVER};
    struct random_source random = {fill_source};
    struct dhcp_server_probe_settings settings = {.wanted = DHCP_WANTED_AUTO};
    memcpy(settings.own_mac, STRANGER_MAC, 6);
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        struct fixture f;
        fixture_begin(&f, roles[i]);
        struct dhcp_server_probe *probe = dhcp_server_probe_new(&settings, &random, 1);
        const struct dhcp_interface_state up = {.carrier = true};
        dhcp_server_probe_interface_changed(probe, &up, 1);
        uint8_t area[600];
        struct buffer discover;
        buffer_init_fixed(&discover, area, sizeof area);
        dhcp_server_probe_write(probe, &discover);
        dhcp_service_receive(f.service, area, discover.length, &f.arrival, f.now_ms);
        fixture_pull(&f);
        assert_int_equal(f.count_of[DHCP_EVENT_PEER], 1);
        assert_int_equal(f.answered, roles[i] == DHCP_ROLE_SERVER);
        if (f.answered) { /* and the one that asked understands */
            assert_int_not_equal(f.reply.your_address, 0);
            dhcp_server_probe_receive(probe, f.output.data, f.output.length, 2);
            assert_int_equal(dhcp_server_probe_role(probe), DHCP_ROLE_PROXY);
            assert_int_equal(dhcp_server_probe_reason(probe), DHCP_REASON_PEER_SERVES);
            assert_int_equal(dhcp_server_probe_server(probe), OWN_ADDRESS);
        }
        dhcp_server_probe_free(probe);
        fixture_end(&f);
    }
}

/* ── settings ────────────────────────────────────────────────────────────────────────────────── */

/* A server steps back while an address is being probed: the client gets a proxy's answer. */
static void test_role_changes_during_a_probe(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_false(deliver(&f, &packet));
    struct dhcp_settings settings = settings_for(DHCP_ROLE_PROXY);
    assert_int_equal(dhcp_service_configure(f.service, &settings), 0);
    dhcp_service_probed(f.service, f.probe_address, NULL, f.now_ms);
    fixture_pull(&f);
    assert_true(f.answered);
    assert_int_equal(f.reply.your_address, 0);
    fixture_end(&f);
}

static void test_settings_are_copied(void **state)
{
    (void)state;
    struct dhcp_named_client *client = calloc(1, sizeof *client);
    *client = named_by_mac(NAMED_ADDRESS);
    struct dhcp_settings settings = settings_with(client, DHCP_ROLE_PROXY);
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    free(client);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    assert_int_equal(f.reply.your_address, NAMED_ADDRESS);
    settings.client_count = 0; /* struck out */
    assert_int_equal(dhcp_service_configure(f.service, &settings), 0);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    assert_int_equal(f.reply.your_address, 0);
    settings.dns_count = DHCP_DNS_LIMIT + 1;
    assert_true(dhcp_service_configure(f.service, &settings) < 0);
    fixture_end(&f);
}

static void test_words(void **state)
{
    (void)state;
    for (int silence = DHCP_SILENCE_NONE; silence <= DHCP_SILENCE_TOO_LONG; silence++)
        assert_true(strlen(dhcp_silence_text((enum dhcp_silence)silence)) > 3);
    for (int class = DHCP_CLIENT_OTHER; class <= DHCP_CLIENT_PEER; class ++)
        assert_true(*dhcp_client_class_name((enum dhcp_client_class) class));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_client_is_limited),
        cmocka_unit_test(test_all_clients_are_limited),
        cmocka_unit_test(test_known_clients_in_a_flood),
        cmocka_unit_test(test_known_clients_are_probed_in_a_flood),
        cmocka_unit_test(test_whose_address),
        cmocka_unit_test(test_who_is_booting),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_events_are_bounded),
        cmocka_unit_test(test_answers_are_bounded),
        cmocka_unit_test(test_peers_know_each_other),
        cmocka_unit_test(test_role_changes_during_a_probe),
        cmocka_unit_test(test_settings_are_copied),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
