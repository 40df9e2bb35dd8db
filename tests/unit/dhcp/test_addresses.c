/* test_addresses.c - giving addresses as a server */
#include "dhcp/fixture.h"

/* ── every client, from DISCOVER to ACK ──────────────────────────────────────────────────────── */

struct guest {
    const char *boot;
    bool echoes_client_id;
    const char *vendor_class;
};

static void boot_guest(void (*build)(struct packet *, enum dhcp_message_type),
                       const struct guest *expected)
{
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    build(&packet, DHCP_DISCOVER);
    deliver(&f, &packet);
    assert_false(f.answered); /* not before the address was probed */
    assert_int_equal(f.count_of[DHCP_EVENT_PROBE], 1);
    uint32_t address = f.probe_address;
    build(&packet, DHCP_DISCOVER); /* it repeats itself; one probe is enough */
    deliver(&f, &packet);
    assert_int_equal(f.count_of[DHCP_EVENT_PROBE], 0);
    expect_silence(&f, DHCP_SILENCE_PROBING);
    dhcp_service_probed(f.service, address, NULL, f.now_ms);
    fixture_pull(&f);
    for (int round = 0; round < 2; round++) {
        expect_common(&f, round ? DHCP_ACK : DHCP_OFFER, expected->boot);
        expect_lease(&f);
        assert_int_equal(f.reply.your_address, address);
        expect_broadcast(&f);
        assert_false(has_option(&f, DHCP_OPTION_VENDOR_SPECIFIC));
        assert_false(has_option(&f, DHCP_OPTION_ROUTER));
        assert_false(has_option(&f, DHCP_OPTION_DNS));
        assert_int_equal(has_option(&f, DHCP_OPTION_CLIENT_ID), expected->echoes_client_id);
        if (expected->vendor_class)
            expect_option(&f, DHCP_OPTION_VENDOR_CLASS, expected->vendor_class,
                          strlen(expected->vendor_class));
        else
            assert_false(has_option(&f, DHCP_OPTION_VENDOR_CLASS));
        build(&packet, DHCP_REQUEST);
        assert_true(request(&f, &packet, address));
    }
    fixture_end(&f);
}

static void build_ipxe(struct packet *packet, enum dhcp_message_type type)
{
    packet_ipxe(packet, type, 7);
}

static void test_every_client_is_answered(void **state)
{
    (void)state;
    boot_guest(packet_bios_rom, &(struct guest){.boot = "undionly.kpxe"});
    boot_guest(packet_ovmf, &(struct guest){.boot = "snponly.efi"});
    boot_guest(packet_ovmf_http, &(struct guest){.boot = "http://192.168.200.1/snponly.efi",
                                                 .vendor_class = "HTTPClient"});
    boot_guest(build_ipxe,
               &(struct guest){.boot = "http://192.168.200.1/boot.ipxe", .echoes_client_id = true});
    boot_guest(packet_ipconfig, &(struct guest){.boot = ""});
    boot_guest(packet_dhclient, &(struct guest){.boot = ""});
}

static void test_ipxe_is_told_not_to_wait(void **state)
{
    (void)state;
    static const uint8_t hints[] = {1, 1, 1, 176, 1, 1};
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_ipxe(&packet, DHCP_DISCOVER, 0);
    assert_true(deliver_probed(&f, &packet));
    expect_option(&f, DHCP_OPTION_IPXE, hints, sizeof hints);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    assert_false(has_option(&f, DHCP_OPTION_IPXE));
    fixture_end(&f);
}

static void test_router_and_dns_when_configured(void **state)
{
    (void)state;
    struct dhcp_settings settings = settings_for(DHCP_ROLE_SERVER);
    settings.router = OTHER_SERVER;
    settings.dns[0] = 0x01010101;
    settings.dns[1] = 0x08080808;
    settings.dns_count = 2;
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    packet_dhclient(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    assert_int_equal(dhcp_message_option_u32(&f.reply, DHCP_OPTION_ROUTER), OTHER_SERVER);
    expect_option(&f, DHCP_OPTION_DNS, "\1\1\1\1\10\10\10\10", 8);
    fixture_end(&f);
}

/* With no boot file a client gets its address all the same. */
static void test_address_without_boot_file(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    f.no_file_for = 16;
    packet_ovmf_http(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    expect_common(&f, DHCP_OFFER, "");
    expect_lease(&f);
    assert_false(has_option(&f, DHCP_OPTION_VENDOR_CLASS));
    assert_int_equal(f.event.stage, DHCP_BOOT_NONE);
    assert_int_equal(f.event.silence, DHCP_SILENCE_NO_BOOT_FILE);
    packet_dhclient(&packet, DHCP_DISCOVER); /* wants none */
    assert_true(deliver_probed(&f, &packet));
    assert_int_equal(f.event.silence, DHCP_SILENCE_NONE);
    fixture_end(&f);
}

/* ── a function of the MAC ───────────────────────────────────────────────────────────────────── */

static void test_same_address_after_a_restart(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    uint32_t before = offered_to(&f, CLIENT_MAC);
    fixture_end(&f);
    fixture_begin(&f, DHCP_ROLE_SERVER);
    assert_int_not_equal(offered_to(&f, OTHER_MAC), before);
    assert_int_equal(offered_to(&f, CLIENT_MAC), before);
    fixture_end(&f);
}

static void test_stages_of_one_boot_keep_the_address(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_bios_rom(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    uint32_t address = f.reply.your_address;
    packet_ipxe(&packet, DHCP_DISCOVER, 0);
    assert_true(deliver(&f, &packet)); /* at once: it was probed */
    assert_int_equal(f.reply.your_address, address);
    packet_ipconfig(&packet, DHCP_DISCOVER);
    assert_true(deliver(&f, &packet));
    assert_int_equal(f.reply.your_address, address);
    fixture_end(&f);
}

/* ── probes ──────────────────────────────────────────────────────────────────────────────────── */

static void test_address_in_use(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_ipconfig(&packet, DHCP_DISCOVER);
    deliver(&f, &packet);
    uint32_t taken = f.probe_address;
    dhcp_service_probed(f.service, taken, STRANGER_MAC, f.now_ms);
    fixture_pull(&f);
    assert_false(f.answered);
    assert_int_equal(f.count_of[DHCP_EVENT_CONFLICT], 1);
    assert_int_equal(f.count_of[DHCP_EVENT_PROBE], 1); /* goes on to the next one */
    assert_int_not_equal(f.probe_address, taken);
    uint32_t next = f.probe_address;
    dhcp_service_probed(f.service, next, NULL, f.now_ms);
    fixture_pull(&f);
    assert_true(f.answered);
    assert_int_equal(f.reply.your_address, next);
    /* the stranger may have what it holds */
    packet_ipconfig(&packet, DHCP_REQUEST);
    memcpy(packet.data + 28, STRANGER_MAC, 6);
    store_be32(packet.data + 12, taken);
    assert_true(deliver(&f, &packet));
    assert_int_equal(f.reply.type, DHCP_ACK);
    assert_int_equal(f.reply.your_address, taken);
    fixture_end(&f);
}

static void test_holder_is_the_client_itself(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_ipconfig(&packet, DHCP_DISCOVER);
    deliver(&f, &packet);
    uint32_t address = f.probe_address;
    dhcp_service_probed(f.service, address, CLIENT_MAC, f.now_ms);
    fixture_pull(&f);
    assert_true(f.answered);
    assert_int_equal(f.reply.your_address, address);
    fixture_end(&f);
}

static void test_probe_results_that_nobody_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    dhcp_service_probed(f.service, 0xc0a8c832, STRANGER_MAC, f.now_ms);
    dhcp_service_probed(f.service, 0x0a000001, NULL, f.now_ms);
    fixture_pull(&f);
    assert_false(f.answered);
    /* a result that never comes: three seconds on, and however often the client repeats itself,
     * the probe is asked for again */
    for (int second = 0; second <= 3; second++) {
        packet_ipconfig(&packet, DHCP_DISCOVER);
        deliver(&f, &packet);
        assert_int_equal(f.count_of[DHCP_EVENT_PROBE], second == 0 || second == 3);
        f.now_ms += 1000;
    }
    fixture_end(&f);
}

/* ── REQUEST without an offer of ours ────────────────────────────────────────────────────────── */

static void test_init_reboot(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_dhclient(&packet, DHCP_REQUEST);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0xc0a8c832);
    expect_no_answer(&f, &packet, DHCP_SILENCE_PROBING); /* it does not use the address yet */
    assert_int_equal(f.probe_address, 0xc0a8c832);
    dhcp_service_probed(f.service, f.probe_address, NULL, f.now_ms);
    fixture_pull(&f);
    assert_true(f.answered);
    assert_int_equal(f.reply.type, DHCP_ACK);
    assert_int_equal(f.reply.your_address, 0xc0a8c832);
    expect_lease(&f);
    /* somebody else asks for the same */
    packet_dhclient(&packet, DHCP_REQUEST);
    memcpy(packet.data + 28, OTHER_MAC, 6);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0xc0a8c832);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    fixture_end(&f);
}

static void test_renew(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_dhclient(&packet, DHCP_REQUEST);
    store_be32(packet.data + 12, 0xc0a8c832);
    f.arrival.source_address = 0xc0a8c832;
    f.arrival.local_address = OWN_ADDRESS;
    assert_true(deliver(&f, &packet)); /* in use by the client itself: no probe */
    assert_int_equal(f.reply.type, DHCP_ACK);
    assert_int_equal(f.reply.your_address, 0xc0a8c832);
    assert_int_equal(f.reply.client_address, 0xc0a8c832);
    assert_int_equal(f.output.to_address, 0xc0a8c832);
    assert_int_equal(f.output.to_port, DHCP_PORT_CLIENT);
    expect_lease(&f);
    fixture_end(&f);
}

/* RFC 2131 would send these to ciaddr; a forged one must not aim us at anybody. */
static void test_answers_go_to_nobody_who_did_not_ask(void **state)
{
    (void)state;
    static const uint32_t sources[] = {0, 0xc0a8c833, 0x08080808};
    struct fixture f;
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        struct packet packet;
        fixture_begin(&f, DHCP_ROLE_SERVER);
        packet_dhclient(&packet, DHCP_REQUEST);
        store_be32(packet.data + 12, 0xc0a8c832);
        f.arrival.source_address = sources[i];
        assert_true(deliver(&f, &packet));
        expect_broadcast(&f);
        fixture_end(&f);
    }
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_dhclient(&packet, DHCP_INFORM);
    store_be32(packet.data + 12, 0x08080808);
    f.arrival.source_address = 0x08080808; /* truly from there, but off the link */
    assert_true(deliver(&f, &packet));
    expect_broadcast(&f);
    fixture_end(&f);
}

static void test_nak(void **state)
{
    (void)state;
    struct fixture f;
    for (int renewing = 0; renewing < 2; renewing++) {
        struct packet packet;
        fixture_begin(&f, DHCP_ROLE_SERVER);
        packet_dhclient(&packet, DHCP_REQUEST);
        if (renewing)
            store_be32(packet.data + 12, 0x0a000005);
        else
            packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0x0a000005);
        f.arrival.source_address = renewing ? 0x0a000005 : 0;
        assert_true(deliver(&f, &packet));
        assert_int_equal(f.reply.type, DHCP_NAK);
        assert_int_equal(f.reply.your_address, 0);
        assert_int_equal(f.reply.server_address, 0);
        assert_int_equal(f.reply.client_address, 0);
        assert_true(f.reply.flags & DHCP_FLAG_BROADCAST);
        assert_true(has_option(&f, DHCP_OPTION_SERVER_ID));
        assert_false(has_option(&f, DHCP_OPTION_LEASE_TIME));
        assert_false(has_option(&f, DHCP_OPTION_SUBNET_MASK));
        expect_broadcast(&f);
        fixture_end(&f);
    }
}

/* Silence where a NAK could hurt: inside our subnet, for another server's client, as a proxy. */
static void test_no_nak(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    struct dhcp_settings settings = settings_for(DHCP_ROLE_SERVER);
    settings.pool_first = 0xc0a8c864;
    settings.pool_last = 0xc0a8c8c8;
    fixture_begin_with(&f, &settings);
    packet_dhclient(&packet, DHCP_REQUEST); /* in the subnet, not in the pool */
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0xc0a8c805);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    packet_dhclient(&packet, DHCP_REQUEST); /* our own */
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, OWN_ADDRESS);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    packet_dhclient(&packet, DHCP_REQUEST);
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, 0x0a000001);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0x0a000005);
    assert_false(deliver(&f, &packet));
    assert_int_equal(f.event.type, DHCP_EVENT_FOREIGN_SERVER);
    assert_int_equal(f.event.address, 0x0a000001);
    packet_dhclient(&packet, DHCP_REQUEST); /* through a relay another network is no mistake */
    store_be32(packet.data + 24, OTHER_SERVER);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0x0a000005);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    packet_dhclient(&packet, DHCP_REQUEST); /* nothing to say at all */
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_A_REQUEST);
    fixture_end(&f);
}

static void test_inform(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    packet_dhclient(&packet, DHCP_INFORM);
    store_be32(packet.data + 12, 0xc0a8c807);
    f.arrival.source_address = 0xc0a8c807;
    assert_true(deliver(&f, &packet));
    assert_int_equal(f.reply.type, DHCP_ACK);
    assert_int_equal(f.reply.your_address, 0);
    assert_false(has_option(&f, DHCP_OPTION_LEASE_TIME));
    expect_settings(&f);
    assert_int_equal(f.output.to_address, 0xc0a8c807);
    fixture_end(&f);
}

/* ── DECLINE and RELEASE ─────────────────────────────────────────────────────────────────────── */

static void test_decline(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    uint32_t address = offered_to(&f, CLIENT_MAC);
    packet_ipconfig(&packet, DHCP_DECLINE); /* somebody else declines it: no */
    memcpy(packet.data + 28, OTHER_MAC, 6);
    assert_false(request(&f, &packet, address));
    assert_int_equal(f.count_of[DHCP_EVENT_DECLINED], 0);
    packet_ipconfig(&packet, DHCP_DECLINE); /* to another server: no */
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, OTHER_SERVER);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, address);
    deliver(&f, &packet);
    assert_int_equal(f.count_of[DHCP_EVENT_DECLINED], 0);
    packet_ipconfig(&packet, DHCP_DECLINE);
    assert_false(request(&f, &packet, address));
    assert_int_equal(f.count_of[DHCP_EVENT_DECLINED], 1);
    assert_int_not_equal(offered_to(&f, CLIENT_MAC), address);
    fixture_end(&f);
}

static void test_release(void **state)
{
    (void)state;
    struct fixture f;
    struct packet packet;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    uint32_t address = offered_to(&f, CLIENT_MAC);
    packet_ipconfig(&packet, DHCP_REQUEST);
    assert_true(request(&f, &packet, address));
    packet_ipconfig(&packet, DHCP_RELEASE);
    store_be32(packet.data + 12, address);
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, OWN_ADDRESS);
    assert_false(deliver(&f, &packet));
    assert_int_equal(f.count_of[DHCP_EVENT_RELEASED], 1);
    packet_dhclient(&packet, DHCP_REQUEST); /* free for whoever comes */
    memcpy(packet.data + 28, OTHER_MAC, 6);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, address);
    assert_true(deliver_probed(&f, &packet));
    fixture_end(&f);
}

/* ── the pool ────────────────────────────────────────────────────────────────────────────────── */

static void test_small_pool(void **state)
{
    (void)state;
    struct dhcp_settings settings = settings_for(DHCP_ROLE_SERVER);
    settings.pool_first = 0xc0a8c864;
    settings.pool_last = 0xc0a8c865;
    struct fixture f;
    struct packet packet;
    uint8_t third[6] = {2, 0, 0, 0, 0, 3};
    fixture_begin_with(&f, &settings);
    uint32_t first = offered_to(&f, CLIENT_MAC), second = offered_to(&f, OTHER_MAC);
    assert_int_equal(first + second, 0xc0a8c864u + 0xc0a8c865u);
    packet_ipconfig(&packet, DHCP_REQUEST);
    assert_true(request(&f, &packet, first));
    packet_ipconfig(&packet, DHCP_DISCOVER);
    memcpy(packet.data + 28, third, 6);
    expect_no_answer(&f, &packet, DHCP_SILENCE_POOL);
    f.now_ms += 61000; /* the second one never took its offer */
    assert_int_equal(offered_to(&f, third), second);
    packet_ipconfig(&packet, DHCP_REQUEST);
    memcpy(packet.data + 28, third, 6);
    assert_true(request(&f, &packet, second));
    f.now_ms += 3600000; /* the first one was not seen for an hour: probed, then given away */
    packet_ipconfig(&packet, DHCP_DISCOVER);
    memcpy(packet.data + 28, OTHER_MAC, 6);
    deliver(&f, &packet);
    assert_int_equal(f.count_of[DHCP_EVENT_PROBE], 1);
    assert_int_equal(f.probe_address, first);
    dhcp_service_probed(f.service, first, CLIENT_MAC, f.now_ms); /* it lives: hands off */
    fixture_pull(&f);
    assert_int_equal(f.count_of[DHCP_EVENT_CONFLICT], 1);
    fixture_end(&f);
}

static void test_pools_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        uint32_t first, last;
    } rows[] = {
        {0xc0a8c900, 0xc0a8c910}, /* another subnet */
        {0xc0a8c864, 0xc0a8c863}, /* backwards */
        {0xc0a8c800, 0xc0a8c810}, /* the network itself */
        {0xc0a8c864, 0xc0a8c8ff}, /* the broadcast address */
        {0xc0a8c864, 0         },
    };
    struct fixture f;
    fixture_begin(&f, DHCP_ROLE_SERVER);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct dhcp_settings settings = settings_for(DHCP_ROLE_SERVER);
        settings.pool_first = rows[i].first;
        settings.pool_last = rows[i].last;
        assert_null(dhcp_service_new(&settings, &f.source));
        assert_true(dhcp_service_configure(f.service, &settings) < 0);
    }
    offered_to(&f, CLIENT_MAC); /* refused settings changed nothing */
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_client_is_answered),
        cmocka_unit_test(test_ipxe_is_told_not_to_wait),
        cmocka_unit_test(test_router_and_dns_when_configured),
        cmocka_unit_test(test_address_without_boot_file),
        cmocka_unit_test(test_same_address_after_a_restart),
        cmocka_unit_test(test_stages_of_one_boot_keep_the_address),
        cmocka_unit_test(test_address_in_use),
        cmocka_unit_test(test_holder_is_the_client_itself),
        cmocka_unit_test(test_probe_results_that_nobody_asked_for),
        cmocka_unit_test(test_init_reboot),
        cmocka_unit_test(test_renew),
        cmocka_unit_test(test_answers_go_to_nobody_who_did_not_ask),
        cmocka_unit_test(test_nak),
        cmocka_unit_test(test_no_nak),
        cmocka_unit_test(test_inform),
        cmocka_unit_test(test_decline),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_small_pool),
        cmocka_unit_test(test_pools_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
