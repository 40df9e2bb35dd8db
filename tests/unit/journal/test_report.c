/* test_report.c - the story in words */
#include "fixture.h"

static void assert_sentence(struct fixture *fixture, enum journal_state state, const char *sentence)
{
    assert_state(fixture, state);
    assert_string_equal(fixture->report.sentence, sentence);
}

static void test_on_its_way(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    bios_file(&fixture);
    fixture.now_ms += 5000;
    assert_sentence(&fixture, JOURNAL_BOOTING,
                    "5 s ago it loaded its boot file to the end (undionly.kpxe, 70000 bytes in "
                    "50 ms). Next comes a DHCP request of the iPXE in that file.");
    assert_string_equal(fixture.report.state_name, "booting");
    assert_string_equal(fixture.report.step_name, "file");
    assert_string_equal(fixture.report.interface, "eth0");
    assert_int_equal(fixture.report.cause_count, 0);
    finish(&fixture);
}

static void test_running_and_gone(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    running(&fixture);
    fixture.now_ms += 10 * 60 * 1000;
    assert_sentence(&fixture, JOURNAL_RUNNING,
                    "10 min ago the operating system began to use its disk.");
    STEP(&fixture, .step = JOURNAL_OS_ENDED, .detail = "connection lost");
    fixture.now_ms += 3ull * 3600 * 1000;
    assert_sentence(&fixture, JOURNAL_ENDED,
                    "3 h ago the operating system's session ended (connection lost). That is how "
                    "it looks when it was switched off.");
    finish(&fixture);
}

static void test_stopped(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    bios_offer(&fixture);
    STEP(&fixture, .step = JOURNAL_ADDRESS, .detail = "192.168.200.7");
    sleep_s(&fixture, 30);
    assert_sentence(
        &fixture, JOURNAL_STOPPED,
        "The boot has stopped: 30 s ago it took its address (192.168.200.7). Next should have come "
        "the request for its boot file, or first for port 4011. Most likely: UDP port 69 (TFTP) of "
        "this server is filtered: open it in the firewall. Or: Another PXE server, or a DHCP "
        "server that names a boot file itself, won: look for options 66 and 67 there.");
    finish(&fixture);
}

/* Also before anybody has called journal_expire(). */
static void test_late_is_stopped(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    bios_offer(&fixture);
    fixture.now_ms += 19000;
    assert_state(&fixture, JOURNAL_BOOTING);
    fixture.now_ms += 2000;
    assert_stopped(&fixture, "No DHCP server gave it an address");
    finish(&fixture);
}

static void test_lines(void **state)
{
    struct fixture fixture;
    struct journal_line line;
    (void)state;
    begin(&fixture);
    bios_offer(&fixture);
    assert_true(journal_next_line(fixture.journal, &line));
    assert_false(line.is_trouble);
    assert_string_equal(line.text, "boot: its firmware asked for a boot file (x86 BIOS); "
                                   "client=52:54:00:ab:cd:ef address=192.168.200.7 interface=eth0");
    assert_true(journal_next_line(fixture.journal, &line));
    sleep_s(&fixture, 30);
    assert_true(journal_next_line(fixture.journal, &line));
    assert_true(line.is_trouble);
    assert_string_equal(line.text,
                        "boot stopped: its boot file was named to it (undionly.kpxe). Most likely: "
                        "No DHCP server gave it an address, and beside others we give none: look "
                        "after the network's DHCP server, or write an address for this machine "
                        "into its line of clients. "
                        "client=52:54:00:ab:cd:ef address=192.168.200.7 interface=eth0");
    assert_false(journal_next_line(fixture.journal, &line));
    finish(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_its_way), cmocka_unit_test(test_running_and_gone),
        cmocka_unit_test(test_stopped),    cmocka_unit_test(test_late_is_stopped),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
