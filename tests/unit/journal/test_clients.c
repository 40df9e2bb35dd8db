/* test_clients.c - who is who */
#include "fixture.h"

static const struct journal_event seen = {.step = JOURNAL_DISCOVER};
static const struct journal_event login = {.step = JOURNAL_OS_LOGIN};

static void assert_mac(const struct journal *journal, const struct journal_identity *who,
                       const uint8_t *mac)
{
    const struct journal_client *client = journal_find(journal, who);
    struct journal_report report;
    if (!mac) {
        assert_null(client);
        return;
    }
    assert_non_null(client);
    journal_client_report(client, 0, &report);
    assert_non_null(report.mac);
    assert_memory_equal(report.mac, mac, JOURNAL_MAC_BYTES);
}

static void test_events_are_joined(void **state)
{
    static const uint8_t uuid[JOURNAL_UUID_BYTES] = {1, 2, 3};
    struct journal *journal = journal_new(4, 4);
    struct journal_report report;
    (void)state;
    journal_record(journal, &(struct journal_identity){.mac = mac_a, .uuid = uuid}, &seen, 1);
    journal_record(journal, &(struct journal_identity){.mac = mac_a, .address = "10.0.0.7"}, &seen,
                   2);
    /* TFTP and HTTP know the address, iSCSI the name as well. */
    journal_record(journal, &(struct journal_identity){.address = "10.0.0.7"}, &seen, 3);
    journal_record(journal,
                   &(struct journal_identity){.address = "10.0.0.7", .initiator = "iqn.x:a"}, &seen,
                   4);
    /* The system has another address than its firmware. */
    journal_record(journal,
                   &(struct journal_identity){.address = "10.0.0.8", .initiator = "iqn.x:a"},
                   &login, 5);
    assert_int_equal(journal_client_count(journal), 1);
    journal_client_report(journal_client_at(journal, 0), 5, &report);
    assert_memory_equal(report.mac, mac_a, sizeof mac_a);
    assert_memory_equal(report.uuid, uuid, sizeof uuid);
    assert_string_equal(report.address, "10.0.0.8");
    assert_string_equal(report.initiator, "iqn.x:a");
    assert_int_equal(report.first_seen_ms, 1);
    assert_int_equal(report.last_seen_ms, 5);
    journal_free(journal);
}

static void test_an_address_moves(void **state)
{
    struct journal *journal = journal_new(4, 4);
    const struct journal_identity by_address = {.address = "10.0.0.7"};
    (void)state;
    journal_record(journal, &(struct journal_identity){.mac = mac_a, .address = "10.0.0.7"}, &seen,
                   1);
    journal_record(journal, &(struct journal_identity){.mac = mac_b, .address = "10.0.0.7"}, &seen,
                   2);
    assert_mac(journal, &by_address, mac_b);
    assert_int_equal(journal_client_count(journal), 2);
    journal_free(journal);
}

static void test_a_client_without_mac_gets_one(void **state)
{
    struct journal *journal = journal_new(4, 4);
    const struct journal_identity by_address = {.address = "10.0.0.7"};
    (void)state;
    journal_record(journal, &by_address, &login, 1);
    assert_int_equal(journal_client_count(journal), 1);
    journal_record(journal, &(struct journal_identity){.mac = mac_a, .address = "10.0.0.7"}, &seen,
                   2);
    assert_int_equal(journal_client_count(journal), 1);
    assert_mac(journal, &by_address, mac_a);
    journal_free(journal);
}

static void test_nobody_is_nobody(void **state)
{
    struct journal *journal = journal_new(4, 4);
    (void)state;
    journal_record(journal, &(struct journal_identity){.interface = "eth0", .address = ""}, &seen,
                   1);
    assert_int_equal(journal_client_count(journal), 0);
    assert_null(journal_client_at(journal, 0));
    assert_null(journal_find(journal, &(struct journal_identity){.mac = mac_a}));
    journal_session_progress(journal, &(struct journal_identity){.mac = mac_a}, 1, 1, false, 1);
    assert_int_equal(journal_client_count(journal), 0);
    journal_free(journal);
}

static struct journal_identity nth(unsigned n, uint8_t mac[JOURNAL_MAC_BYTES])
{
    memcpy(mac, mac_a, JOURNAL_MAC_BYTES);
    mac[5] = (uint8_t)n;
    return (struct journal_identity){.mac = mac};
}

static void test_the_quietest_makes_room(void **state)
{
    struct journal *journal = journal_new(3, 4);
    uint8_t mac[JOURNAL_MAC_BYTES];
    struct journal_identity who;
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        who = nth(i, mac);
        journal_record(journal, &who, &seen, i);
    }
    who = nth(0, mac);
    journal_record(journal, &who, &seen, 3); /* heard again: now 1 is the quietest */
    who = nth(3, mac);
    journal_record(journal, &who, &seen, 4);
    assert_int_equal(journal_client_count(journal), 3);
    who = nth(1, mac);
    assert_mac(journal, &who, NULL);
    who = nth(0, mac);
    assert_mac(journal, &who, mac);
    who = nth(3, mac);
    assert_ptr_equal(journal_client_at(journal, 0), journal_find(journal, &who));
    assert_null(journal_client_at(journal, 3));
    journal_free(journal);
}

/* A flood of strangers does not push a running machine out. */
static void test_who_runs_stays(void **state)
{
    static const struct journal_event runs = {.step = JOURNAL_OS_READ};
    struct journal *journal = journal_new(3, 4);
    uint8_t mac[JOURNAL_MAC_BYTES];
    struct journal_identity who = nth(200, mac);
    (void)state;
    journal_record(journal, &who, &runs, 1);
    for (unsigned i = 0; i < 100; i++) {
        who = nth(i, mac);
        journal_record(journal, &who, &seen, 2 + i);
    }
    who = nth(200, mac);
    assert_mac(journal, &who, mac);
    for (unsigned i = 0; i < 3; i++) { /* when all run, the quietest goes */
        who = nth(i, mac);
        journal_record(journal, &who, &runs, 200 + i);
    }
    who = nth(200, mac);
    assert_mac(journal, &who, NULL);
    journal_free(journal);
}

/* Nor one that boots: made-up cards only ask by DHCP. */
static void test_who_got_further_stays(void **state)
{
    static const struct journal_event steps[] = {
        {.step = JOURNAL_FILE, .detail = "undionly.kpxe"},
        {.step = JOURNAL_IPXE_OFFER                   }
    };
    static const struct journal_event asks = {.step = JOURNAL_IPXE_OFFER};
    struct journal *journal = journal_new(3, 4);
    uint8_t mac[JOURNAL_MAC_BYTES];
    (void)state;
    struct journal_identity who = nth(0, mac);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        journal_record(journal, &who, &steps[i], i);
    for (unsigned i = 1; i < 20; i++) {
        who = nth(i, mac);
        journal_record(journal, &who, i & 1 ? &seen : &asks, i);
    }
    who = nth(0, mac);
    assert_mac(journal, &who, mac);
    journal_free(journal);
}

static void test_limits_can_shrink(void **state)
{
    struct journal *journal = journal_new(10, 10);
    uint8_t mac[JOURNAL_MAC_BYTES];
    struct journal_identity who;
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        who = nth(i, mac);
        journal_record(journal, &who, &seen, i);
    }
    journal_set_limits(journal, 2, 1);
    assert_int_equal(journal_client_count(journal), 2);
    who = nth(9, mac);
    assert_mac(journal, &who, mac);
    journal_set_limits(journal, 0, 0); /* at least one of each */
    who = nth(11, mac);
    journal_record(journal, &who, &seen, 20);
    journal_record(journal, &who, &login, 21);
    assert_int_equal(journal_client_count(journal), 1);
    struct journal_entry entry;
    assert_true(journal_client_entry(journal_client_at(journal, 0), 0, &entry));
    assert_int_equal(entry.step, JOURNAL_OS_LOGIN);
    assert_false(journal_client_entry(journal_client_at(journal, 0), 1, &entry));
    journal_free(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_are_joined),
        cmocka_unit_test(test_an_address_moves),
        cmocka_unit_test(test_a_client_without_mac_gets_one),
        cmocka_unit_test(test_nobody_is_nobody),
        cmocka_unit_test(test_the_quietest_makes_room),
        cmocka_unit_test(test_who_runs_stays),
        cmocka_unit_test(test_who_got_further_stays),
        cmocka_unit_test(test_limits_can_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
