/* test_journal.c - recording: repetitions, stops and going on, limits, lines */
#include "fixture.h"

#include "journal/internal.h"

static struct journal_entry entry_at(struct fixture *fixture, unsigned index)
{
    struct journal_entry entry;
    assert_true(journal_client_entry(journal_find(fixture->journal, &fixture->who), index, &entry));
    return entry;
}

/* ── a whole boot ────────────────────────────────────────────────────────────────────────────── */

static void test_a_whole_boot(void **state)
{
    static const enum journal_step steps[] = {
        JOURNAL_DISCOVER,      JOURNAL_OFFER,        JOURNAL_FILE_REQUEST, JOURNAL_FILE,
        JOURNAL_IPXE_DISCOVER, JOURNAL_IPXE_OFFER,   JOURNAL_SCRIPT,       JOURNAL_LOGIN,
        JOURNAL_READ,          JOURNAL_LAST_COMMAND, JOURNAL_OS_LOGIN,     JOURNAL_OS_READ};
    struct fixture fixture;
    unsigned trouble;
    (void)state;
    begin(&fixture);
    running(&fixture);
    assert_state(&fixture, JOURNAL_RUNNING);
    assert_int_equal(fixture.report.event_count, ARRAY_SIZE(steps));
    assert_int_equal(fixture.report.boots, 1);
    uint64_t before_ms = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        struct journal_entry entry = entry_at(&fixture, i);
        assert_int_equal(entry.step, steps[i]);
        assert_int_equal(entry.count, 1);
        assert_true(entry.first_ms >= before_ms); /* the last command at its own time */
        before_ms = entry.first_ms;
    }
    assert_int_equal(entry_at(&fixture, 3).bytes, 70000);
    assert_int_equal(entry_at(&fixture, 9).bytes, 60u << 20);
    assert_int_equal(take_lines(&fixture, &trouble), ARRAY_SIZE(steps)); /* one each */
    assert_int_equal(trouble, 0);
    sleep_s(&fixture, 36000);
    assert_state(&fixture, JOURNAL_RUNNING);
    assert_int_equal(journal_deadline_ms(fixture.journal), 0);
    finish(&fixture);
}

/* iscsid drops the session and logs in again when it starts. */
static void test_a_system_that_logs_in_again_runs_on(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    running(&fixture);
    STEP(&fixture, .step = JOURNAL_OS_ENDED, .detail = "reinstated");
    assert_state(&fixture, JOURNAL_ENDED);
    STEP(&fixture, .step = JOURNAL_OS_LOGIN, .detail = "laptop");
    sleep_s(&fixture, 600); /* an idle system reads nothing */
    assert_state(&fixture, JOURNAL_RUNNING);
    STEP(&fixture, .step = JOURNAL_OS_LOGIN_REFUSED, .status_class = 2, .status_detail = 1);
    assert_stopped(&fixture, "CHAP failed");
    STEP(&fixture, .step = JOURNAL_OS_LOGIN, .detail = "laptop");
    assert_state(&fixture, JOURNAL_RUNNING);
    STEP(&fixture, .step = JOURNAL_OS_ENDED, .detail = "connection lost");
    sleep_s(&fixture, 600);
    assert_state(&fixture, JOURNAL_ENDED);
    finish(&fixture);
}

/* A reboot is a new boot, not a stop. */
static void test_a_reboot_begins_anew(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    running(&fixture);
    bios_offer(&fixture);
    assert_state(&fixture, JOURNAL_BOOTING);
    assert_int_equal(fixture.report.boots, 2);
    sleep_s(&fixture, 21);
    assert_stopped(&fixture, "No DHCP server gave it an address");
    finish(&fixture);
}

/* BIOS: iPXE looks at the disk in one session and reads it in the next. */
static void test_two_sessions_of_ipxe(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    handed_over(&fixture, 150u << 10);
    journal_session_progress(fixture.journal, &fixture.who, 150u << 10, fixture.now_ms, true,
                             fixture.now_ms);
    STEP(&fixture, .step = JOURNAL_LOGIN, .detail = "laptop");
    STEP(&fixture, .step = JOURNAL_READ);
    for (unsigned i = 0; i < 30; i++) { /* slow, but it reads */
        sleep_s(&fixture, 5);
        journal_session_progress(fixture.journal, &fixture.who, (uint64_t)i << 20, fixture.now_ms,
                                 false, fixture.now_ms);
        assert_int_equal(report(&fixture)->step, JOURNAL_READ);
    }
    sleep_s(&fixture, 11);
    assert_int_equal(report(&fixture)->step, JOURNAL_LAST_COMMAND);
    assert_state(&fixture, JOURNAL_BOOTING);
    finish(&fixture);
}

static void test_a_pause_at_the_boot_menu(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    handed_over(&fixture, 5u << 20);
    sleep_s(&fixture, 150);
    assert_state(&fixture, JOURNAL_STOPPED);
    journal_session_progress(fixture.journal, &fixture.who, 60u << 20, fixture.now_ms, false,
                             fixture.now_ms);
    assert_int_equal(report(&fixture)->step, JOURNAL_READ);
    STEP(&fixture, .step = JOURNAL_OS_LOGIN);
    assert_state(&fixture, JOURNAL_BOOTING);
    finish(&fixture);
}

/* ── stops ───────────────────────────────────────────────────────────────────────────────────── */

/* Each round of the script is refused; that is one piece of news. */
static void test_the_same_stop_is_told_once(void **state)
{
    struct fixture fixture;
    unsigned trouble, all = 0;
    (void)state;
    begin(&fixture);
    script(&fixture);
    for (unsigned i = 0; i < 20; i++) {
        STEP(&fixture, .step = JOURNAL_LOGIN_REFUSED, .status_class = 2, .status_detail = 1,
             .detail = "authentication failed");
        assert_stopped(&fixture, "CHAP failed");
        sleep_s(&fixture, 60);
        STEP(&fixture, .step = JOURNAL_SCRIPT, .detail = "laptop LUN 0");
        assert_stopped(&fixture, "CHAP failed");
        take_lines(&fixture, &trouble);
        all += trouble;
    }
    assert_int_equal(all, 1);
    STEP(&fixture, .step = JOURNAL_LOGIN, .detail = "laptop");
    assert_state(&fixture, JOURNAL_BOOTING);
    finish(&fixture);
}

static void test_another_stop_is_news(void **state)
{
    struct fixture fixture;
    unsigned trouble;
    (void)state;
    begin(&fixture);
    bios_offer(&fixture);
    sleep_s(&fixture, 21);
    take_lines(&fixture, &trouble);
    assert_int_equal(trouble, 1);
    STEP(&fixture, .step = JOURNAL_FILE_FAILED, .detail = "undionly.kpxe",
         .file_end = JOURNAL_FILE_BROKEN);
    assert_stopped(&fixture, "could not be read");
    take_lines(&fixture, &trouble);
    assert_int_equal(trouble, 1);
    finish(&fixture);
}

/* What came further is the story, until it is old. */
static void test_a_lesser_stop_waits_its_turn(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    uefi_file(&fixture);
    sleep_s(&fixture, 31);
    uefi_offer(&fixture);
    sleep_s(&fixture, 100);
    assert_stopped(&fixture, "Secure Boot");
    sleep_s(&fixture, 300);
    uefi_offer(&fixture);
    sleep_s(&fixture, 21);
    assert_stopped(&fixture, "No DHCP server gave it an address");
    finish(&fixture);
}

static void test_switched_off_in_the_middle(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    script(&fixture);
    STEP(&fixture, .step = JOURNAL_IPXE_DISCOVER); /* 100 ms later it starts from the beginning */
    assert_stopped(&fixture, "3260");
    assert_int_equal(fixture.report.boots, 2);
    finish(&fixture);
}

/* Chainloading: iPXE, a loader, iPXE again is one boot. */
static void test_a_second_stage_is_the_same_boot(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    STEP(&fixture, .step = JOURNAL_IPXE_DISCOVER);
    STEP(&fixture, .step = JOURNAL_IPXE_OFFER, .detail = "undionly.kpxe");
    STEP(&fixture, .step = JOURNAL_FILE, .detail = "undionly.kpxe");
    ipxe_offer(&fixture);
    STEP(&fixture, .step = JOURNAL_SCRIPT);
    assert_state(&fixture, JOURNAL_BOOTING);
    assert_int_equal(fixture.report.boots, 1);
    finish(&fixture);
}

/* ── repetitions and limits ──────────────────────────────────────────────────────────────────── */

static void test_repetitions_are_counted(void **state)
{
    struct fixture fixture;
    unsigned trouble;
    (void)state;
    begin(&fixture);
    for (unsigned i = 0; i < 50; i++)
        bios_offer(&fixture);
    assert_int_equal(report(&fixture)->event_count, 2);
    assert_int_equal(entry_at(&fixture, 0).count, 50);
    assert_int_equal(entry_at(&fixture, 1).last_ms - entry_at(&fixture, 1).first_ms, 49 * 200);
    assert_int_equal(take_lines(&fixture, &trouble), 2);
    finish(&fixture);
}

static void test_events_are_bounded(void **state)
{
    struct fixture fixture;
    char name[16];
    (void)state;
    begin(&fixture);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "file%u", i);
        STEP(&fixture, .step = JOURNAL_FILE_REQUEST, .detail = name);
    }
    assert_int_equal(report(&fixture)->event_count, 32);
    assert_string_equal(entry_at(&fixture, 0).detail, "file68");
    assert_string_equal(entry_at(&fixture, 31).detail, "file99");
    struct journal_entry entry;
    assert_false(journal_client_entry(journal_find(fixture.journal, &fixture.who), 32, &entry));
    finish(&fixture);
}

static void test_lines_of_one_client_are_bounded(void **state)
{
    struct fixture fixture;
    unsigned trouble, all = 0;
    char name[16];
    (void)state;
    begin(&fixture);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "file%u", i);
        fixture.now_ms -= 99;
        STEP(&fixture, .step = JOURNAL_FILE_REQUEST, .detail = name);
        all += take_lines(&fixture, &trouble);
    }
    assert_in_range(all, 40, 42);
    finish(&fixture);
}

static void test_lines_that_nobody_takes(void **state)
{
    struct fixture fixture;
    struct journal_line line;
    unsigned trouble;
    (void)state;
    begin(&fixture);
    for (unsigned client = 0; client < 4; client++) {
        const uint8_t mac[] = {2, 0, 0, 0, 0, (uint8_t)client};
        fixture.who = (struct journal_identity){.mac = mac};
        for (unsigned i = 0; i < 20; i++) {
            char name[16];
            snprintf(name, sizeof name, "file%u", i);
            STEP(&fixture, .step = JOURNAL_FILE_REQUEST, .detail = name);
        }
    }
    assert_true(journal_next_line(fixture.journal, &line));
    assert_string_equal(line.text, "16 lines about clients were left out");
    assert_int_equal(take_lines(&fixture, &trouble), LINES_LIMIT);
    finish(&fixture);
}

static void test_what_comes_from_the_wire_is_escaped(void **state)
{
    struct fixture fixture;
    struct journal_line line;
    (void)state;
    begin(&fixture);
    fixture.who.initiator = "iqn.x\ninitiator=forged";
    STEP(&fixture, .step = JOURNAL_FILE_REQUEST, .detail = "a\n<6>forged \x1b[2J");
    assert_string_equal(entry_at(&fixture, 0).detail, "a\\x0a<6>forged \\x1b[2J");
    assert_true(journal_next_line(fixture.journal, &line));
    assert_null(strpbrk(line.text, "\n\x1b"));
    assert_non_null(strstr(line.text, "initiator=iqn.x\\x0ainitiator=forged"));
    finish(&fixture);
}

static void test_texts_too_long_are_cut(void **state)
{
    struct fixture fixture;
    struct journal_line line;
    char detail[500], initiator[500];
    (void)state;
    begin(&fixture);
    memset(detail, '\n', sizeof detail - 1);
    memset(initiator, '\t', sizeof initiator - 1);
    detail[499] = initiator[499] = '\0';
    fixture.who.initiator = initiator;
    STEP(&fixture, .step = JOURNAL_LOGIN_REFUSED, .status_class = 2, .status_detail = 1,
         .detail = detail);
    assert_true(strlen(entry_at(&fixture, 0).detail) < JOURNAL_DETAIL_BYTES);
    while (journal_next_line(fixture.journal, &line))
        assert_true(memchr(line.text, '\0', sizeof line.text) != NULL);
    assert_state(&fixture, JOURNAL_STOPPED);
    const char *cause = fixture.report.causes[0];
    assert_true(strlen(cause) < JOURNAL_CAUSE_BYTES);
    assert_string_equal(cause + strlen(cause) - 3, "...");
    assert_true(strlen(fixture.report.sentence) < JOURNAL_SENTENCE_BYTES);
    finish(&fixture);
}

static void test_steps_out_of_range_are_nothing(void **state)
{
    struct fixture fixture;
    (void)state;
    begin(&fixture);
    STEP(&fixture, .step = JOURNAL_NONE);
    STEP(&fixture, .step = JOURNAL_STEP_COUNT);
    assert_int_equal(report(&fixture)->event_count, 0);
    assert_state(&fixture, JOURNAL_WAITING);
    finish(&fixture);
}

static void test_ipxe_is_known_by_its_isid(void **state)
{
    const uint8_t ipxe[] = {0x40, 0x00, 0x27, 0x23, 0x12, 0x34};
    const uint8_t linux_isid[] = {0x00, 0x02, 0x3d, 0x00, 0x00, 0x01};
    (void)state;
    assert_true(journal_isid_is_firmware(ipxe));
    assert_false(journal_isid_is_firmware(linux_isid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_boot),
        cmocka_unit_test(test_a_system_that_logs_in_again_runs_on),
        cmocka_unit_test(test_a_reboot_begins_anew),
        cmocka_unit_test(test_two_sessions_of_ipxe),
        cmocka_unit_test(test_a_pause_at_the_boot_menu),
        cmocka_unit_test(test_the_same_stop_is_told_once),
        cmocka_unit_test(test_another_stop_is_news),
        cmocka_unit_test(test_a_lesser_stop_waits_its_turn),
        cmocka_unit_test(test_switched_off_in_the_middle),
        cmocka_unit_test(test_a_second_stage_is_the_same_boot),
        cmocka_unit_test(test_repetitions_are_counted),
        cmocka_unit_test(test_events_are_bounded),
        cmocka_unit_test(test_lines_of_one_client_are_bounded),
        cmocka_unit_test(test_lines_that_nobody_takes),
        cmocka_unit_test(test_what_comes_from_the_wire_is_escaped),
        cmocka_unit_test(test_texts_too_long_are_cut),
        cmocka_unit_test(test_steps_out_of_range_are_nothing),
        cmocka_unit_test(test_ipxe_is_known_by_its_isid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
