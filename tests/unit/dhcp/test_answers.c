/* test_answers.c - what each real client gets: proxy, 4011, relayed, chainloading, loops */
#include "dhcp/fixture.h"

static const uint8_t USE_THE_FILE[] = {6, 1, 8, 255};

/* ── proxy on port 67 ────────────────────────────────────────────────────────────────────────── */

static void test_proxy_bios_rom(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_OFFER, "undionly.kpxe");
    assert_int_equal(f.reply.your_address, 0);
    assert_true(f.reply.flags & DHCP_FLAG_BROADCAST);
    expect_broadcast(&f);
    expect_option(&f, DHCP_OPTION_VENDOR_CLASS, "PXEClient", 9);
    expect_option(&f, DHCP_OPTION_VENDOR_SPECIFIC, USE_THE_FILE, sizeof USE_THE_FILE);
    expect_machine_id(&f);
    assert_false(has_option(&f, DHCP_OPTION_LEASE_TIME));
    assert_false(has_option(&f, DHCP_OPTION_SUBNET_MASK));
    assert_int_equal(f.event.stage, DHCP_BOOT_LOADER);
    fixture_end(&f);
}

static void test_proxy_edk2(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    packet_ovmf(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_OFFER, "snponly.efi");
    assert_int_equal(f.reply.your_address, 0);
    expect_broadcast(&f);
    expect_option(&f, DHCP_OPTION_VENDOR_CLASS, "PXEClient", 9);
    assert_false(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
    expect_machine_id(&f);
    fixture_end(&f);
}

static void test_proxy_http_boot(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    packet_ovmf_http(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_OFFER, "http://192.168.200.1/snponly.efi");
    assert_int_equal(f.reply.your_address, 0);
    expect_option(&f, DHCP_OPTION_VENDOR_CLASS, "HTTPClient", 10);
    assert_false(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
    assert_int_equal(f.event.stage, DHCP_BOOT_LOADER_URL);
    fixture_end(&f);
}

static void test_proxy_ipxe(void **state)
{
    (void)state;
    static const uint16_t builds[] = {0, 6, 7, 10, 11, 27, 39};
    for (size_t i = 0; i < ARRAY_SIZE(builds); i++) {
        struct fixture f;
        struct packet packet;
        fixture_begin(&f, DHCP_ROLE_PROXY);
        packet_ipxe(&packet, DHCP_DISCOVER, builds[i]);
        assert_true(deliver(&f, &packet));
        expect_common(&f, DHCP_OFFER, "http://192.168.200.1/boot.ipxe");
        assert_int_equal(f.reply.your_address, 0);
        expect_broadcast(&f);
        expect_option(&f, DHCP_OPTION_VENDOR_CLASS, "PXEClient", 9);
        assert_false(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
        assert_int_equal(f.event.stage, DHCP_BOOT_SCRIPT);
        fixture_end(&f);
    }
}

static void test_proxy_is_silent(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    packet_ipconfig(&packet, DHCP_DISCOVER);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NO_BOOT_CLIENT);
    packet_dhclient(&packet, DHCP_DISCOVER);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NO_BOOT_CLIENT);
    packet_bios_rom(&packet, DHCP_INFORM);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_FOR_PORT);
    packet_bios_rom(&packet, DHCP_REQUEST); /* INIT-REBOOT: not ours to confirm */
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0xc0a8c832);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_FOR_PORT);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    packet.data[0] = 2; /* a reply */
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_A_REQUEST);
    packet_bios_rom(&packet, DHCP_BOOTP);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_A_REQUEST);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    packet.data[2] = 16;
    expect_no_answer(&f, &packet, DHCP_SILENCE_HARDWARE);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    packet.data[236] = 0;
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_A_REQUEST);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    memcpy(packet.data + 28, OWN_MAC, 6); /* our own broadcast, back again */
    assert_false(deliver(&f, &packet));
    fixture_end(&f);
}

static void test_off(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_OFF);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    expect_no_answer(&f, &packet, DHCP_SILENCE_OFF);
    fixture_end(&f);
    struct dhcp_settings no_address = settings_for(DHCP_ROLE_PROXY);
    no_address.own_address = 0;
    fixture_begin_with(&f, &no_address);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    expect_no_answer(&f, &packet, DHCP_SILENCE_OFF);
    fixture_end(&f);
}

/* Every architecture of the registry, with and without 93 and 97. */
static void test_every_architecture(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    const struct dhcp_architecture *row;
    for (unsigned i = 0; (row = dhcp_architecture_at(i)); i++) {
        bool is_http = row->firmware == DHCP_FIRMWARE_UEFI_HTTP;
        bool is_bios =
            row->firmware == DHCP_FIRMWARE_BIOS || row->firmware == DHCP_FIRMWARE_BIOS_HTTP;
        for (unsigned with = 0; with < 4; with++) {
            struct packet packet;
            packet_begin(&packet, DHCP_DISCOVER, DHCP_FLAG_BROADCAST);
            packet_class(&packet, is_http ? "HTTPClient" : "PXEClient", row->code, "003000");
            if (with & 1)
                packet_architecture(&packet, row->code);
            if (with & 2)
                packet_machine_id(&packet);
            f.now_ms += 10000;
            assert_true(deliver(&f, &packet));
            expect_common(&f, DHCP_OFFER,
                          is_http     ? "http://192.168.200.1/snponly.efi"
                          : row->code ? "snponly.efi"
                                      : "undionly.kpxe");
            assert_int_equal(f.event.client.architecture_code, row->code);
            assert_int_equal(has_option(&f, DHCP_OPTION_MACHINE_ID), (with & 2) != 0);
            assert_int_equal(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC), is_bios);
        }
    }
    fixture_end(&f);
}

static void test_no_boot_file(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    f.no_file_for = 0x0e;
    packet_edk2(&packet, DHCP_DISCOVER, "PXEClient", 0x0e);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NO_BOOT_FILE);
    f.no_file_why = DHCP_SILENCE_NOT_SERVING; /* the source knows why */
    packet_edk2(&packet, DHCP_DISCOVER, "PXEClient", 0x0e);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_SERVING);
    packet_begin(&packet, DHCP_DISCOVER, 0); /* as old as it gets: no 93, no Arch, no 97 */
    packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_OFFER, "undionly.kpxe");
    assert_true(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
    fixture_end(&f);
}

static void test_style_per_client(void **state)
{
    (void)state;
    struct dhcp_named_client client = named_by_mac(0);
    client.style = DHCP_PXE_DIRECT;
    struct dhcp_settings settings = settings_with(&client, DHCP_ROLE_PROXY);
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    packet_ovmf(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    expect_option(&f, DHCP_OPTION_VENDOR_SPECIFIC, USE_THE_FILE, sizeof USE_THE_FILE);
    packet_ipxe(&packet, DHCP_DISCOVER, 7); /* concerns firmware alone */
    assert_true(deliver(&f, &packet));
    assert_false(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
    client.style = DHCP_PXE_BOOT_SERVER;
    assert_int_equal(dhcp_service_configure(f.service, &settings), 0);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    assert_false(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
    fixture_end(&f);
}

/* ── relays ──────────────────────────────────────────────────────────────────────────────────── */

static void test_relayed(void **state)
{
    (void)state;
    static const uint8_t agent[] = {1, 4, 'e', 't', 'h', '0', 2, 2, 'r', '1'};
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER); /* also a server gives no address to another network */
    packet_bios_rom(&packet, DHCP_DISCOVER);
    store_be32(packet.data + 24, 0x0a000001);
    packet_option(&packet, DHCP_OPTION_RELAY_AGENT, agent, sizeof agent);
    f.arrival.source_address = 0x0a0000fe;
    f.arrival.local_address = OWN_ADDRESS;
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_OFFER, "undionly.kpxe");
    assert_int_equal(f.reply.your_address, 0);
    assert_int_equal(f.reply.relay_address, 0x0a000001);
    assert_true(f.reply.flags & DHCP_FLAG_BROADCAST);
    assert_int_equal(f.output.to_address, 0x0a000001);
    assert_int_equal(f.output.to_port, DHCP_PORT_SERVER);
    assert_true(f.event.relayed);
    expect_option(&f, DHCP_OPTION_RELAY_AGENT, agent, sizeof agent);
    /* the last option before the end, RFC 3046 §2.2 */
    const uint8_t *found = memmem(f.output.data, f.output.length, agent, sizeof agent);
    assert_int_equal(found[sizeof agent], DHCP_OPTION_END);
    fixture_end(&f);
}

static void test_relays_that_cannot_be(void **state)
{
    (void)state;
    static const uint32_t addresses[] = {0x7f000001, 0xe0000001, BROADCAST, OWN_ADDRESS, 5};
    struct fixture f;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        struct packet packet;
        packet_bios_rom(&packet, DHCP_DISCOVER);
        store_be32(packet.data + 24, addresses[i]);
        expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_A_REQUEST);
    }
    fixture_end(&f);
}

/* The address that the client reaches us at counts, wherever we have several. */
static void test_own_address_of_a_relayed_client(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    packet_ipxe(&packet, DHCP_DISCOVER, 7);
    store_be32(packet.data + 24, 0x0a000001);
    f.arrival.local_address = 0x0a010203;
    assert_true(deliver(&f, &packet));
    assert_int_equal(f.reply.server_address, 0x0a010203);
    assert_int_equal(dhcp_message_option_u32(&f.reply, DHCP_OPTION_SERVER_ID), 0x0a010203);
    assert_string_equal(f.reply.boot_file, "http://10.1.2.3/boot.ipxe");
    assert_int_equal(f.output.from_address, 0x0a010203);
    fixture_end(&f);
}

/* ── port 4011 ───────────────────────────────────────────────────────────────────────────────── */

static void come_to_4011(struct fixture *f, uint32_t source, uint16_t port)
{
    f->arrival = (struct dhcp_arrival){.port = DHCP_PORT_BOOT_SERVER,
                                       .source_address = source,
                                       .source_port = port,
                                       .local_address = OWN_ADDRESS};
}

static void test_boot_server_edk2(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    come_to_4011(&f, 0xc0a8c820, 4011);
    packet_ovmf(&packet, DHCP_REQUEST);
    store_be32(packet.data + 12, 0xc0a8c820);
    store_be16(packet.data + 10, 0);
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_ACK, "snponly.efi");
    assert_int_equal(f.reply.your_address, 0);
    assert_int_equal(f.reply.client_address, 0xc0a8c820);
    assert_int_equal(f.output.to_address, 0xc0a8c820);
    assert_int_equal(f.output.to_port, 4011); /* its own port, not 68 */
    assert_int_equal(f.output.from_port, DHCP_PORT_BOOT_SERVER);
    expect_option(&f, DHCP_OPTION_VENDOR_CLASS, "PXEClient", 9);
    expect_machine_id(&f);
    assert_false(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
    assert_false(has_option(&f, DHCP_OPTION_LEASE_TIME));
    fixture_end(&f);
}

static void test_boot_server_ipxe(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER); /* answered in every role */
    come_to_4011(&f, 0xc0a8c820, 68);
    packet_ipxe(&packet, DHCP_REQUEST, 0);
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, OWN_ADDRESS);
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_ACK, "http://192.168.200.1/boot.ipxe");
    assert_int_equal(f.output.to_port, 68);
    assert_int_equal(f.output.from_port, DHCP_PORT_BOOT_SERVER);
    fixture_end(&f);
}

static void test_boot_server_item(void **state)
{
    (void)state;
    static const uint8_t asked[] = {71, 4, 0x80, 0x01, 0x80, 0x00, 255};
    static const uint8_t answer[] = {71, 4, 0x80, 0x01, 0, 0, 255};
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    come_to_4011(&f, 0xc0a8c820, 68);
    packet_bios_rom(&packet, DHCP_REQUEST);
    packet_option(&packet, DHCP_OPTION_VENDOR_SPECIFIC, asked, sizeof asked);
    assert_true(deliver(&f, &packet));
    expect_option(&f, DHCP_OPTION_VENDOR_SPECIFIC, answer, sizeof answer);

    f.arrival.local_address = 0; /* to all boot servers: the item of somebody else's menu */
    packet_bios_rom(&packet, DHCP_REQUEST);
    packet_option(&packet, DHCP_OPTION_VENDOR_SPECIFIC, asked, sizeof asked);
    expect_no_answer(&f, &packet, DHCP_SILENCE_OTHER_SERVER);
    packet_bios_rom(&packet, DHCP_INFORM);
    assert_true(deliver(&f, &packet));
    expect_common(&f, DHCP_ACK, "undionly.kpxe");
    fixture_end(&f);
}

static void test_boot_server_is_silent(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    come_to_4011(&f, 0xc0a8c820, 68);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_FOR_PORT);
    packet_dhclient(&packet, DHCP_REQUEST);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_FOR_PORT);
    packet_bios_rom(&packet, DHCP_REQUEST);
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, OTHER_SERVER);
    expect_no_answer(&f, &packet, DHCP_SILENCE_OTHER_SERVER);
    fixture_end(&f);
}

/* Behind a router only a client that was heard to boot is answered: nobody else is aimed at. */
static void test_boot_server_from_off_the_link(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    come_to_4011(&f, 0x0a000020, 4011);
    packet_ovmf(&packet, DHCP_REQUEST);
    expect_no_answer(&f, &packet, DHCP_SILENCE_UNKNOWN_SENDER);
    f.arrival = (struct dhcp_arrival){.port = DHCP_PORT_SERVER, .local_address = OWN_ADDRESS};
    packet_ovmf(&packet, DHCP_DISCOVER);
    store_be32(packet.data + 24, 0x0a000001);
    assert_true(deliver(&f, &packet));
    come_to_4011(&f, 0x0a000020, 4011);
    packet_ovmf(&packet, DHCP_REQUEST);
    assert_true(deliver(&f, &packet));
    assert_int_equal(f.output.to_address, 0x0a000020);
    fixture_end(&f);
}

/* ── chainloading ────────────────────────────────────────────────────────────────────────────── */

static enum dhcp_boot_stage stage_of(struct fixture *f, const void *features, size_t length)
{
    struct packet packet;
    f->now_ms += 1000;
    packet_ipxe_with(&packet, DHCP_DISCOVER, 0, features, length);
    assert_true(deliver(f, &packet));
    return f->event.stage;
}

static enum dhcp_boot_stage stage_on_4011(struct fixture *f, const void *features, size_t length)
{
    struct dhcp_arrival before = f->arrival;
    struct packet packet;
    come_to_4011(f, 0xc0a8c820, 68);
    packet_ipxe_with(&packet, DHCP_REQUEST, 0, features, length);
    assert_true(deliver(f, &packet));
    f->arrival = before;
    return f->event.stage;
}

static void begin_chainload(struct fixture *f, enum dhcp_chainload chainload)
{
    struct dhcp_settings settings = settings_for(DHCP_ROLE_PROXY);
    settings.chainload = chainload;
    fixture_begin_with(f, &settings);
}

static void test_chainload_missing_features(void **state)
{
    (void)state;
    struct fixture f;
    begin_chainload(&f, DHCP_CHAINLOAD_MISSING_FEATURES);
    assert_int_equal(stage_of(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_SCRIPT);
    assert_int_equal(stage_of(&f, IPXE_POOR, sizeof IPXE_POOR), DHCP_BOOT_LOADER);
    assert_string_equal(f.reply.boot_file, "undionly.kpxe");
    assert_int_equal(stage_on_4011(&f, IPXE_POOR, sizeof IPXE_POOR), DHCP_BOOT_LOADER);
    assert_int_equal(stage_of(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_SCRIPT);
    fixture_end(&f);
}

static void test_chainload_never(void **state)
{
    (void)state;
    struct fixture f;
    begin_chainload(&f, DHCP_CHAINLOAD_NEVER);
    assert_int_equal(stage_of(&f, IPXE_POOR, sizeof IPXE_POOR), DHCP_BOOT_SCRIPT);
    fixture_end(&f);
}

/* ROM and full build look alike; the transfer in between tells them apart. */
static void test_chainload_always(void **state)
{
    (void)state;
    struct fixture f;
    begin_chainload(&f, DHCP_CHAINLOAD_ALWAYS);
    assert_int_equal(stage_of(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_LOADER);
    assert_int_equal(stage_of(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_LOADER); /* repeated */
    assert_int_equal(stage_on_4011(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_LOADER);
    dhcp_service_loader_sent(f.service, STRANGER_MAC, "undionly.kpxe", f.now_ms);
    assert_int_equal(stage_of(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_LOADER);
    dhcp_service_loader_sent(f.service, CLIENT_MAC, "undionly.kpxe", f.now_ms);
    f.now_ms += 118000;
    assert_int_equal(stage_of(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_SCRIPT);
    f.now_ms += 3000; /* the two minutes end between 67 and 4011: one decision all the same */
    assert_int_equal(stage_on_4011(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_SCRIPT);
    assert_int_equal(stage_of(&f, IPXE_FULL, sizeof IPXE_FULL), DHCP_BOOT_LOADER); /* power-on */
    fixture_end(&f);
}

/* ── loops ───────────────────────────────────────────────────────────────────────────────────── */

static void load(struct fixture *f)
{
    f->now_ms += 20000;
    dhcp_service_loader_sent(f->service, CLIENT_MAC, "snponly.efi", f->now_ms);
    fixture_pull(f);
}

static void test_loop_of_firmware(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_PROXY);
    for (int i = 0; i < 3; i++) {
        packet_ovmf(&packet, DHCP_DISCOVER);
        assert_true(deliver(&f, &packet));
        load(&f);
        assert_int_equal(f.count_of[DHCP_EVENT_LOOP], i == 2);
    }
    assert_string_equal(f.event.boot, "snponly.efi");
    assert_memory_equal(f.event.client.mac, CLIENT_MAC, 6);
    packet_ovmf(&packet, DHCP_DISCOVER);
    expect_no_answer(&f, &packet, DHCP_SILENCE_LOOP);
    f.now_ms += 300000; /* somebody may have changed something */
    packet_ovmf(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    fixture_end(&f);
}

static void test_progress_is_no_loop(void **state)
{
    (void)state;
    for (int by_packet = 0; by_packet < 2; by_packet++) {
        struct fixture f;
        struct packet packet;
        fixture_begin(&f, DHCP_ROLE_PROXY);
        for (int i = 0; i < 4; i++) {
            packet_ovmf(&packet, DHCP_DISCOVER);
            assert_true(deliver(&f, &packet));
            load(&f);
            assert_int_equal(f.count_of[DHCP_EVENT_LOOP], 0);
            packet_ipxe(&packet, DHCP_DISCOVER, 7); /* what it loaded asks as iPXE: it works */
            if (by_packet)
                assert_true(deliver(&f, &packet));
            else
                dhcp_service_client_progressed(f.service, CLIENT_MAC);
        }
        fixture_end(&f);
    }
}

/* A build of ours that lacks the features too: after three rounds it gets its script. */
static void test_loop_of_ipxe(void **state)
{
    (void)state;
    struct fixture f;
    begin_chainload(&f, DHCP_CHAINLOAD_MISSING_FEATURES);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stage_of(&f, IPXE_POOR, sizeof IPXE_POOR), DHCP_BOOT_LOADER);
        load(&f);
    }
    assert_int_equal(f.count_of[DHCP_EVENT_LOOP], 1);
    assert_int_equal(stage_of(&f, IPXE_POOR, sizeof IPXE_POOR), DHCP_BOOT_SCRIPT);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proxy_bios_rom),
        cmocka_unit_test(test_proxy_edk2),
        cmocka_unit_test(test_proxy_http_boot),
        cmocka_unit_test(test_proxy_ipxe),
        cmocka_unit_test(test_proxy_is_silent),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_every_architecture),
        cmocka_unit_test(test_no_boot_file),
        cmocka_unit_test(test_style_per_client),
        cmocka_unit_test(test_relayed),
        cmocka_unit_test(test_relays_that_cannot_be),
        cmocka_unit_test(test_own_address_of_a_relayed_client),
        cmocka_unit_test(test_boot_server_edk2),
        cmocka_unit_test(test_boot_server_ipxe),
        cmocka_unit_test(test_boot_server_item),
        cmocka_unit_test(test_boot_server_is_silent),
        cmocka_unit_test(test_boot_server_from_off_the_link),
        cmocka_unit_test(test_chainload_missing_features),
        cmocka_unit_test(test_chainload_never),
        cmocka_unit_test(test_chainload_always),
        cmocka_unit_test(test_loop_of_firmware),
        cmocka_unit_test(test_progress_is_no_loop),
        cmocka_unit_test(test_loop_of_ipxe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
