/* test_client.c - what a query tells, and the names made of it */
#include <errno.h>

#include "fixture.h"

#include <netboot-target/boot/catalog.h>

static void test_reads_what_ipxe_sends(void **state)
{
    static const uint8_t mac[] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
    (void)state;
    struct boot_client client = client_of(MAC, UUID, "PF 0ABCDE");
    assert_true(client.has_mac && client.has_uuid);
    assert_memory_equal(client.mac, mac, sizeof mac);
    assert_int_equal(client.uuid[0], 0x00);
    assert_int_equal(client.uuid[4], 0x44);
    assert_int_equal(client.uuid[15], 0xff);
    assert_string_equal(client.serial, "PF 0ABCDE");
    client = client_of("52:54:00:AB:CD:EF", NULL, NULL);
    assert_true(client.has_mac && !client.has_uuid);
    assert_memory_equal(client.mac, mac, sizeof mac);
}

static void test_takes_nothing_that_is_not_one(void **state)
{
    static const char *const macs[] = {
        "",
        "52",
        "52-54-00-ab-cd",
        "52-54-00-ab-cd-e",
        "52-54-00-ab-cd-ef-",
        "52-54-00-ab-cd-efx",
        "5254.00ab.cdef",
        "525400abcdef",
        "52-54-00-ab-cd-eg",
        "00-00-00-00-00-00",
        "01-00-5e-00-00-01",
        "ff-ff-ff-ff-ff-ff",
        "${mac}",
    };
    static const char *const uuids[] = {
        "",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233-4455-6677-8899-aabbccddee-ff",
        "00:112233-4455-6677-8899-aabbccddeeff",
    };
    char serial[BOOT_SERIAL_BYTES + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(macs); i++)
        assert_false(client_of(macs[i], NULL, NULL).has_mac);
    for (size_t i = 0; i < ARRAY_SIZE(uuids); i++)
        assert_false(client_of(NULL, uuids[i], NULL).has_uuid);
    memset(serial, 'x', sizeof serial);
    serial[BOOT_SERIAL_BYTES] = '\0';
    assert_string_equal(client_of(NULL, NULL, serial).serial, "");
    serial[BOOT_SERIAL_BYTES - 1] = '\0';
    assert_string_equal(client_of(NULL, NULL, serial).serial, serial);
}

static void assert_name(const char *pattern, const struct boot_client *client, const char *name)
{
    char made[BOOT_INITIATOR_BYTES];
    assert_int_equal(boot_initiator_name(pattern, client, made), 0);
    assert_string_equal(made, name);
}

static void test_names_initiators(void **state)
{
    struct boot_client with_mac = client_of(MAC, UUID, NULL), nobody = client_of(NULL, NULL, NULL);
    struct boot_client with_uuid = client_of(NULL, UUID, NULL);
    (void)state;
    assert_name(NULL, &with_mac, "iqn.2010-04.org.ipxe:52-54-00-ab-cd-ef");
    assert_name(NULL, &with_uuid, "iqn.2010-04.org.ipxe:00112233-4455-6677-8899-aabbccddeeff");
    char made[BOOT_INITIATOR_BYTES];
    assert_int_equal(boot_initiator_name(NULL, &nobody, made), -EINVAL);
    assert_name("iqn.2026-11.local.x:fixed", &nobody, "iqn.2026-11.local.x:fixed");
    assert_name("iqn.2026-11.local.x:%m.%m", &with_mac,
                "iqn.2026-11.local.x:52-54-00-ab-cd-ef.52-54-00-ab-cd-ef");
    assert_name("iqn.2026-11.local.x:fixed", &with_mac, "iqn.2026-11.local.x:fixed");
}

static void test_refuses_names_too_long(void **state)
{
    char pattern[BOOT_INITIATOR_BYTES + 8], made[BOOT_INITIATOR_BYTES] = "kept";
    struct boot_client client = client_of(MAC, NULL, NULL);
    (void)state;
    memset(pattern, 'a', sizeof pattern);
    strcpy(pattern + BOOT_INITIATOR_BYTES - 1 - 17, "%m"); /* 223 with the MAC filled in */
    assert_int_equal(boot_initiator_name(pattern, &client, made), 0);
    assert_int_equal(strlen(made), BOOT_INITIATOR_BYTES - 1);
    strcpy(made, "kept");
    strcpy(pattern + BOOT_INITIATOR_BYTES - 17, "%m");
    assert_int_equal(boot_initiator_name(pattern, &client, made), -ENAMETOOLONG);
    assert_string_equal(made, "kept");
}

static void test_reads_machines(void **state)
{
    static const struct {
        const char *text;
        unsigned machine;
    } cases[] = {
        {"pcbios-i386",   BOOT_MACHINE_BIOS   },
        {"pcbios-x86_64", BOOT_MACHINE_BIOS   },
        {"efi-x86_64",    BOOT_MACHINE_X64    },
        {"efi-i386",      BOOT_MACHINE_IA32   },
        {"efi-arm64",     BOOT_MACHINE_ARM64  },
        {"efi-riscv64",   BOOT_MACHINE_RISCV64},
        {"efi-",          0                   },
        {"",              0                   },
        {"EFI-x86_64",    0                   },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct boot_client client = client_of(MAC, NULL, NULL);
        boot_client_read_machine(&client, cases[i].text);
        assert_int_equal(client.machine, cases[i].machine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_ipxe_sends),
        cmocka_unit_test(test_takes_nothing_that_is_not_one),
        cmocka_unit_test(test_names_initiators),
        cmocka_unit_test(test_refuses_names_too_long),
        cmocka_unit_test(test_reads_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
