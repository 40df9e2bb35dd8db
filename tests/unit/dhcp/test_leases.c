/* test_leases.c - the address as a function of MAC and pool */
#include "dhcp/fixture.h"

#include "dhcp/leases.h"

static struct dhcp_leases *leases_of(uint32_t first, uint32_t last, uint32_t netmask)
{
    struct dhcp_settings settings = settings_for(DHCP_ROLE_SERVER);
    settings.netmask = netmask;
    settings.pool_first = first;
    settings.pool_last = last;
    int error = 0;
    struct dhcp_leases *leases = dhcp_leases_new(&settings, NULL, &error);
    assert_non_null(leases);
    return leases;
}

static void mac_of(uint32_t number, uint8_t mac[6])
{
    mac[0] = 0x52;
    mac[1] = 0x54;
    store_be32(mac + 2, number);
}

/* Machines of one batch differ in their last bits; they still spread, and each finds a place. */
static void test_batch_fills_the_pool(void **state)
{
    (void)state;
    struct dhcp_leases *leases = leases_of(0, 0, NETMASK);
    unsigned at_home = 0;
    uint8_t mac[6];
    for (uint32_t i = 0; i < 253; i++) {
        mac_of(i, mac);
        struct dhcp_leases *fresh = leases_of(0, 0, NETMASK);
        uint32_t home = dhcp_leases_choose(fresh, mac, 0, false, 1)->address;
        struct dhcp_lease *lease = dhcp_leases_choose(leases, mac, 0, false, 1);
        assert_non_null(lease);
        assert_int_equal(lease->state, DHCP_LEASE_FREE); /* nobody else's */
        assert_in_range(lease->address, OWN_ADDRESS + 1, OWN_ADDRESS + 253);
        at_home += lease->address == home;
        dhcp_lease_set(lease, DHCP_LEASE_BOUND, mac, 1);
        dhcp_leases_free(fresh);
    }
    assert_in_range(at_home, 100, 253); /* a poor function would pile them up */
    mac_of(1000, mac);
    assert_null(dhcp_leases_choose(leases, mac, 0, false, 2)); /* full: nobody is pushed out */
    dhcp_leases_free(leases);
}

static void test_edges_of_subnets(void **state)
{
    (void)state;
    uint8_t mac[6];
    mac_of(1, mac);
    struct dhcp_leases *leases = leases_of(0, 0, 0xfffffffcu); /* /30: one other host */
    assert_int_equal(dhcp_leases_choose(leases, mac, 0, false, 1)->address, OWN_ADDRESS + 1);
    dhcp_leases_free(leases);
    leases = leases_of(0, 0, 0xffffffffu); /* /32: none */
    assert_null(dhcp_leases_choose(leases, mac, 0, false, 1));
    dhcp_leases_free(leases);
    leases = leases_of(0, 0, 0xffff0000u); /* /16: bounded */
    assert_non_null(dhcp_leases_choose(leases, mac, 0, false, 1));
    assert_null(dhcp_leases_find(leases, 0xc0a80000u + DHCP_POOL_LIMIT + 1));
    dhcp_leases_free(leases);
}

static void test_wanted_address(void **state)
{
    (void)state;
    struct dhcp_leases *leases = leases_of(0, 0, NETMASK);
    uint8_t mac[6], other[6];
    mac_of(1, mac);
    mac_of(2, other);
    struct dhcp_lease *lease = dhcp_leases_choose(leases, mac, 0xc0a8c832, false, 1);
    assert_int_equal(lease->address, 0xc0a8c832);
    dhcp_lease_set(lease, DHCP_LEASE_BOUND, mac, 1);
    assert_int_not_equal(dhcp_leases_choose(leases, other, 0xc0a8c832, false, 1)->address,
                         0xc0a8c832);
    /* what it has goes before what it wants */
    assert_ptr_equal(dhcp_leases_choose(leases, mac, 0xc0a8c840, false, 1), lease);
    dhcp_leases_free(leases);
}

static void test_memory_over_a_reload(void **state)
{
    (void)state;
    struct dhcp_leases *old = leases_of(0xc0a8c810, 0xc0a8c820, NETMASK);
    uint8_t mac[6], other[6];
    mac_of(1, mac);
    mac_of(2, other);
    uint32_t address = dhcp_leases_choose(old, mac, 0xc0a8c815, false, 1)->address;
    dhcp_lease_set(dhcp_leases_find(old, address), DHCP_LEASE_BOUND, mac, 1);
    struct dhcp_settings settings = settings_for(DHCP_ROLE_SERVER);
    settings.pool_first = address;
    settings.pool_last = address;
    int error;
    struct dhcp_leases *leases = dhcp_leases_new(&settings, old, &error);
    assert_non_null(leases);
    assert_int_equal(dhcp_leases_choose(leases, mac, 0, false, 2)->address, address);
    assert_null(dhcp_leases_choose(leases, other, 0, false, 2));
    dhcp_leases_free(old);
    dhcp_leases_free(leases);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        enum dhcp_lease_state state;
        uint64_t open_after_ms; /* to somebody else */
    } rows[] = {
        {DHCP_LEASE_PROBING,  3000      },
        {DHCP_LEASE_OFFERED,  60000     },
        {DHCP_LEASE_CONFLICT, 600000    },
        {DHCP_LEASE_BOUND,    UINT64_MAX},
    };
    uint8_t mac[6], other[6];
    mac_of(1, mac);
    mac_of(2, other);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct dhcp_lease lease = {0};
        assert_true(dhcp_lease_is_open_to(&lease, other, 5));
        dhcp_lease_set(&lease, rows[i].state, mac, 5);
        assert_true(dhcp_lease_is_open_to(&lease, mac, 5));
        assert_false(dhcp_lease_is_open_to(&lease, other, 5 + rows[i].open_after_ms - 6));
        if (rows[i].open_after_ms != UINT64_MAX)
            assert_true(dhcp_lease_is_open_to(&lease, other, 5 + rows[i].open_after_ms));
    }
    struct dhcp_lease lease = {.probed_ms = 5};
    dhcp_lease_set(&lease, DHCP_LEASE_BOUND, mac, 5);
    assert_true(dhcp_lease_is_verified(&lease, mac, 5 + 599999));
    assert_false(dhcp_lease_is_verified(&lease, mac, 5 + 600000));
    assert_false(dhcp_lease_is_verified(&lease, other, 6));
}

/* Addresses that were only offered are taken again when there are no others: after ten seconds, or
 * at once for a client that is known. */
static void test_offers_make_room(void **state)
{
    (void)state;
    struct dhcp_leases *leases = leases_of(0xc0a8c810, 0xc0a8c811, NETMASK);
    uint8_t mac[6], other[6], late[6];
    mac_of(1, mac);
    mac_of(2, other);
    mac_of(3, late);
    struct dhcp_lease *first = dhcp_leases_choose(leases, mac, 0, false, 1000);
    dhcp_lease_set(first, DHCP_LEASE_OFFERED, mac, 1000);
    struct dhcp_lease *second = dhcp_leases_choose(leases, other, 0, false, 2000);
    dhcp_lease_set(second, DHCP_LEASE_OFFERED, other, 2000);
    assert_null(dhcp_leases_choose(leases, late, 0, false, 10999));
    assert_ptr_equal(dhcp_leases_choose(leases, late, 0, false, 11000), first);
    assert_ptr_equal(dhcp_leases_choose(leases, late, 0, true, 2000), first);
    first->known = true;
    assert_ptr_equal(dhcp_leases_choose(leases, late, 0, true, 2000), second);
    dhcp_lease_set(second, DHCP_LEASE_BOUND, other, 2000);
    assert_null(dhcp_leases_choose(leases, late, 0, true, 2000));
    dhcp_leases_free(leases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_fills_the_pool),
        cmocka_unit_test(test_edges_of_subnets),
        cmocka_unit_test(test_wanted_address),
        cmocka_unit_test(test_memory_over_a_reload),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_offers_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
