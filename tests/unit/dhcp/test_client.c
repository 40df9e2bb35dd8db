/* test_client.c - who asks, as the packets of real clients tell */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netboot-target/dhcp/client.h>
#include <netboot-target/util/array.h>

#include "dhcp/packets.h"

static struct dhcp_client recognise(struct packet *packet)
{
    struct dhcp_message message;
    struct dhcp_client client;
    packet_end(packet);
    assert_int_equal(dhcp_message_parse(packet->data, packet->buffer.length, &message), 0);
    assert_int_equal(dhcp_client_recognise(&message, &client), 0);
    assert_memory_equal(client.mac, CLIENT_MAC, 6);
    return client;
}

static void test_firmware(void **state)
{
    (void)state;
    struct packet packet;
    packet_ovmf(&packet, DHCP_DISCOVER);
    struct dhcp_client client = recognise(&packet);
    assert_int_equal(client.class, DHCP_CLIENT_PXE);
    assert_int_equal(client.architecture_code, 7);
    assert_int_equal(client.architecture->firmware, DHCP_FIRMWARE_UEFI);
    assert_true(client.has_uuid);
    assert_memory_equal(client.uuid, CLIENT_UUID, 16);

    packet_ovmf_http(&packet, DHCP_DISCOVER);
    client = recognise(&packet);
    assert_int_equal(client.class, DHCP_CLIENT_HTTP);
    assert_int_equal(client.architecture->firmware, DHCP_FIRMWARE_UEFI_HTTP);

    packet_bios_rom(&packet, DHCP_DISCOVER);
    client = recognise(&packet);
    assert_int_equal(client.class, DHCP_CLIENT_PXE);
    assert_int_equal(client.architecture->firmware, DHCP_FIRMWARE_BIOS);
}

static void test_installed_systems(void **state)
{
    (void)state;
    struct packet packet;
    packet_ipconfig(&packet, DHCP_DISCOVER);
    assert_int_equal(recognise(&packet).class, DHCP_CLIENT_OTHER);
    packet_dhclient(&packet, DHCP_DISCOVER);
    struct dhcp_client client = recognise(&packet);
    assert_int_equal(client.class, DHCP_CLIENT_OTHER);
    assert_false(client.has_architecture);
    assert_false(client.has_uuid);
    packet_begin(&packet, DHCP_DISCOVER, 0);
    packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, "PXEClien"); /* almost */
    assert_int_equal(recognise(&packet).class, DHCP_CLIENT_OTHER);
}

static void test_ipxe(void **state)
{
    (void)state;
    struct packet packet;
    packet_ipxe(&packet, DHCP_DISCOVER, 0);
    struct dhcp_client client = recognise(&packet);
    assert_int_equal(client.class, DHCP_CLIENT_IPXE);
    assert_true(client.has_features);
    assert_int_equal(client.features,
                     DHCP_IPXE_ISCSI | DHCP_IPXE_HTTP | DHCP_IPXE_BZIMAGE | DHCP_IPXE_MENU);
    assert_false(dhcp_client_lacks_features(&client));

    packet_ipxe_with(&packet, DHCP_DISCOVER, 0, IPXE_POOR, sizeof IPXE_POOR);
    client = recognise(&packet);
    assert_int_equal(client.features, 0);
    assert_true(dhcp_client_lacks_features(&client));

    static const uint8_t switched_off[] = {0x11, 1, 1, 0x13, 1, 0, 0x27, 1, 1};
    packet_ipxe_with(&packet, DHCP_DISCOVER, 0, switched_off, sizeof switched_off);
    client = recognise(&packet);
    assert_true(dhcp_client_lacks_features(&client));

    static const uint8_t broken[] = {0x17, 1, 1, 0x21, 9, 1};
    packet_ipxe_with(&packet, DHCP_DISCOVER, 0, broken, sizeof broken);
    client = recognise(&packet);
    assert_int_equal(client.class, DHCP_CLIENT_IPXE);
    assert_false(client.has_features); /* can't tell: no reason to load anything else */
    assert_false(dhcp_client_lacks_features(&client));
}

/* FlexBoot has no user class, others wrap it as RFC 3004 says, after HTTP boot 60 may differ. */
static void test_ipxe_by_other_signs(void **state)
{
    (void)state;
    static const struct {
        const char *class;
        const char *user_class;
        size_t user_class_length;
        bool has_175;
        enum dhcp_client_class expected;
    } rows[] = {
        {"PXEClient:Arch:00000:UNDI:002001", NULL,           0,  true,  DHCP_CLIENT_IPXE},
        {"PXEClient",                        "iPXE",         4,  false, DHCP_CLIENT_IPXE},
        {"HTTPClient",                       "iPXE",         4,  false, DHCP_CLIENT_IPXE},
        {"PXEClient",                        "\4iPXE",       5,  false, DHCP_CLIENT_IPXE},
        {"PXEClient",                        "\3abc\4iPXE",  9,  false, DHCP_CLIENT_IPXE},
        {"PXEClient",                        "\3abc\5iPXEx", 10, false, DHCP_CLIENT_PXE },
        {"PXEClient",                        "\4iPX",        4,  false, DHCP_CLIENT_PXE },
        {"PXEClient",                        "\377",         1,  false, DHCP_CLIENT_PXE },
        {"PXEClient",                        "pixiecore",    9,  false, DHCP_CLIENT_PXE },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packet packet;
        packet_begin(&packet, DHCP_DISCOVER, 0);
        packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, rows[i].class);
        if (rows[i].user_class)
            packet_option(&packet, DHCP_OPTION_USER_CLASS, rows[i].user_class,
                          rows[i].user_class_length);
        if (rows[i].has_175)
            packet_option(&packet, DHCP_OPTION_IPXE, IPXE_FULL, sizeof IPXE_FULL);
        assert_int_equal(recognise(&packet).class, rows[i].expected);
    }
}

static void test_architecture_lists(void **state)
{
    (void)state;
    static const struct {
        const char *class;
        const char *list;
        size_t length;
        bool has;
        uint16_t expected;
    } rows[] = {
        {"PXEClient",                        "\0\20\0\7", 4, true,  7     }, /* the one that fits the class */
        {"HTTPClient",                       "\0\7\0\20", 4, true,  16    },
        {"PXEClient",                        "\1\0\0\13", 4, true,  11    }, /* the one we know */
        {"PXEClient",                        "\377\377",  2, true,  0xffff}, /* s390x in iPXE's words */
        {"HTTPClient",                       "\0\7",      2, true,  7     },
        {"PXEClient:Arch:00009:UNDI:003016", NULL,        0, true,  9     }, /* no 93 */
        {"PXEClient:Arch:00016",             NULL,        0, true,  16    },
        {"PXEClient:Arch:0001",              NULL,        0, false, 0     },
        {"PXEClient:Arch:0000x:",            NULL,        0, false, 0     },
        {"PXEClient:Arch:99999:",            NULL,        0, false, 0     },
        {"PXEClient",                        NULL,        0, false, 0     },
        {"PXEClient:Arch:00007:UNDI:003000", "\0",        1, true,  7     }, /* a 93 that cannot be */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packet packet;
        packet_begin(&packet, DHCP_DISCOVER, 0);
        packet_string(&packet, DHCP_OPTION_VENDOR_CLASS, rows[i].class);
        if (rows[i].list)
            packet_option(&packet, DHCP_OPTION_ARCHITECTURE, rows[i].list, rows[i].length);
        struct dhcp_client client = recognise(&packet);
        assert_int_equal(client.has_architecture, rows[i].has);
        assert_int_equal(client.architecture_code, rows[i].expected);
        assert_ptr_equal(client.architecture,
                         rows[i].has ? dhcp_architecture_find(rows[i].expected) : NULL);
    }
}

static void test_uuid_that_is_none(void **state)
{
    (void)state;
    static const uint8_t zeros[17], other_type[17] = {1, 2, 3};
    struct packet packet;
    packet_begin(&packet, DHCP_DISCOVER, 0);
    packet_option(&packet, DHCP_OPTION_MACHINE_ID, zeros, sizeof zeros);
    assert_false(recognise(&packet).has_uuid);
    packet_begin(&packet, DHCP_DISCOVER, 0);
    packet_option(&packet, DHCP_OPTION_MACHINE_ID, other_type, sizeof other_type);
    assert_false(recognise(&packet).has_uuid);
}

static void test_hardware_addresses(void **state)
{
    (void)state;
    static const struct {
        uint8_t length;
        uint8_t mac[6];
        int expected;
    } rows[] = {
        {6,   {0x52, 0x54, 0, 1, 2, 3}, 0       },
        {0,   {0x52, 0x54, 0, 1, 2, 3}, -ENOTSUP}, /* InfiniBand */
        {16,  {0x52, 0x54, 0, 1, 2, 3}, -ENOTSUP},
        {255, {0x52, 0x54, 0, 1, 2, 3}, -ENOTSUP},
        {6,   {0x01, 0, 0x5e, 1, 2, 3}, -ENOTSUP}, /* a group */
        {6,   {0},                      -ENOTSUP},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packet packet;
        struct dhcp_message message;
        struct dhcp_client client;
        packet_bios_rom(&packet, DHCP_DISCOVER);
        packet.data[2] = rows[i].length;
        memcpy(packet.data + 28, rows[i].mac, 6);
        assert_int_equal(dhcp_message_parse(packet.data, packet.buffer.length, &message), 0);
        assert_int_equal(dhcp_client_recognise(&message, &client), rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_firmware),
        cmocka_unit_test(test_installed_systems),
        cmocka_unit_test(test_ipxe),
        cmocka_unit_test(test_ipxe_by_other_signs),
        cmocka_unit_test(test_architecture_lists),
        cmocka_unit_test(test_uuid_that_is_none),
        cmocka_unit_test(test_hardware_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
