/* test_named_clients.c - clients that are written down: their address is theirs alone, and given
 * also beside another server */
#include "dhcp/fixture.h"

static void test_named_client_beside_another_server(void **state)
{
    (void)state;
    struct dhcp_named_client client = named_by_mac(NAMED_ADDRESS);
    struct dhcp_settings settings = settings_with(&client, DHCP_ROLE_PROXY);
    settings.router = OTHER_SERVER;
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    packet_ovmf(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    expect_common(&f, DHCP_OFFER, "snponly.efi");
    expect_lease(&f);
    assert_int_equal(f.reply.your_address, NAMED_ADDRESS);
    assert_int_equal(dhcp_message_option_u32(&f.reply, DHCP_OPTION_ROUTER), OTHER_SERVER);
    packet_ovmf(&packet, DHCP_REQUEST);
    assert_true(request(&f, &packet, NAMED_ADDRESS));
    expect_common(&f, DHCP_ACK, "snponly.efi");
    /* what it asks of the other server is not ours to answer */
    packet_ovmf(&packet, DHCP_REQUEST);
    packet_option_u32(&packet, DHCP_OPTION_SERVER_ID, OTHER_SERVER);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0xc0a8c832);
    assert_false(deliver(&f, &packet));
    packet_dhclient(&packet, DHCP_REQUEST); /* nor an address that the other one gave */
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0xc0a8c832);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    packet_dhclient(&packet, DHCP_REQUEST); /* and never a NAK */
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, 0x0a000005);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    packet_dhclient(&packet, DHCP_INFORM);
    expect_no_answer(&f, &packet, DHCP_SILENCE_NOT_FOR_PORT);
    /* all others get no address */
    packet_bios_rom(&packet, DHCP_DISCOVER);
    memcpy(packet.data + 28, OTHER_MAC, 6);
    assert_true(deliver(&f, &packet));
    assert_int_equal(f.reply.your_address, 0);
    fixture_end(&f);
}

static void test_reserved_address_is_given_to_nobody_else(void **state)
{
    (void)state;
    struct dhcp_named_client client = named_by_mac(NAMED_ADDRESS);
    struct dhcp_settings settings = settings_with(&client, DHCP_ROLE_SERVER);
    settings.pool_first = NAMED_ADDRESS - 1;
    settings.pool_last = NAMED_ADDRESS;
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    assert_int_equal(offered_to(&f, OTHER_MAC), NAMED_ADDRESS - 1);
    packet_dhclient(&packet, DHCP_REQUEST);
    memcpy(packet.data + 28, STRANGER_MAC, 6);
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, NAMED_ADDRESS);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    assert_int_equal(offered_to(&f, CLIENT_MAC), NAMED_ADDRESS);
    packet_dhclient(&packet, DHCP_REQUEST); /* it has its own and no other */
    packet_option_u32(&packet, DHCP_OPTION_REQUESTED_ADDRESS, NAMED_ADDRESS - 1);
    expect_no_answer(&f, &packet, DHCP_SILENCE_ADDRESS);
    fixture_end(&f);
}

static void test_reserved_address_held_by_a_stranger(void **state)
{
    (void)state;
    struct dhcp_named_client client = named_by_mac(NAMED_ADDRESS);
    struct dhcp_settings settings = settings_with(&client, DHCP_ROLE_PROXY);
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    packet_ovmf(&packet, DHCP_DISCOVER);
    deliver(&f, &packet);
    dhcp_service_probed(f.service, f.probe_address, STRANGER_MAC, f.now_ms);
    fixture_pull(&f);
    assert_int_equal(f.count_of[DHCP_EVENT_CONFLICT], 1);
    expect_silence(&f, DHCP_SILENCE_ADDRESS_HELD);
    assert_int_equal(f.event.address, NAMED_ADDRESS);
    assert_memory_equal(f.event.mac, STRANGER_MAC, 6);
    fixture_end(&f);
}

/* On a network that is not its address's it is a client like any other; a relay of ours changes
 * nothing. Neither are our own address and the ends of the network anybody's. */
static void test_reserved_address_of_another_network(void **state)
{
    (void)state;
    static const uint32_t wrong[] = {0x0a010203, OWN_ADDRESS, OWN_ADDRESS & NETMASK,
                                     OWN_ADDRESS | ~NETMASK};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct dhcp_named_client client = named_by_mac(wrong[i]);
        struct dhcp_settings settings = settings_with(&client, DHCP_ROLE_SERVER);
        struct fixture f;
        struct packet packet;
        fixture_begin_with(&f, &settings);
        uint32_t offered = offered_to(&f, CLIENT_MAC);
        assert_in_range(offered, OWN_ADDRESS + 1, OWN_ADDRESS + 253);
        packet_ipconfig(&packet, DHCP_DISCOVER);
        store_be32(packet.data + 24, 0xc0a8c8fd);
        assert_true(deliver_probed(&f, &packet));
        assert_int_equal(f.reply.your_address, offered);
        settings.role = DHCP_ROLE_PROXY;
        assert_int_equal(dhcp_service_configure(f.service, &settings), 0);
        packet_ovmf(&packet, DHCP_DISCOVER);
        assert_true(deliver_probed(&f, &packet));
        assert_int_equal(f.reply.your_address, 0); /* somebody else gives it one */
        settings.own_address = 0x0a010201;         /* back where it belongs */
        assert_int_equal(dhcp_service_configure(f.service, &settings), 0);
        packet_ovmf(&packet, DHCP_DISCOVER);
        assert_true(deliver_probed(&f, &packet));
        assert_int_equal(f.reply.your_address, i == 0 ? wrong[0] : 0);
        fixture_end(&f);
    }
}

/* Named by UUID: the installed system sends none, but its firmware did. */
static void test_named_by_uuid(void **state)
{
    (void)state;
    struct dhcp_named_client client = {.has_uuid = true, .address = NAMED_ADDRESS};
    memcpy(client.uuid, CLIENT_UUID, 16);
    struct dhcp_settings settings = settings_with(&client, DHCP_ROLE_SERVER);
    struct fixture f;
    struct packet packet;
    fixture_begin_with(&f, &settings);
    packet_ovmf(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    assert_int_equal(f.reply.your_address, NAMED_ADDRESS);
    packet_ipconfig(&packet, DHCP_DISCOVER);
    assert_true(deliver_probed(&f, &packet));
    assert_int_equal(f.reply.your_address, NAMED_ADDRESS);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_client_beside_another_server),
        cmocka_unit_test(test_reserved_address_is_given_to_nobody_else),
        cmocka_unit_test(test_reserved_address_held_by_a_stranger),
        cmocka_unit_test(test_reserved_address_of_another_network),
        cmocka_unit_test(test_named_by_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
