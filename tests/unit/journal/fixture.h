/* fixture.h - a journal, a clock and one client that takes steps */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/journal.h>
#include <netboot-target/util/array.h>

static const uint8_t mac_a[JOURNAL_MAC_BYTES] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
static const uint8_t mac_b[JOURNAL_MAC_BYTES] = {0x52, 0x54, 0x00, 0x00, 0x00, 0x02};

struct fixture {
    struct journal *journal;
    uint64_t now_ms;
    struct journal_identity who;
    struct journal_report report;
};

static inline void begin(struct fixture *fixture)
{
    *fixture = (struct fixture){.journal = journal_new(8, 32), .now_ms = 5000000};
    fixture->who =
        (struct journal_identity){.mac = mac_a, .address = "192.168.200.7", .interface = "eth0"};
    assert_non_null(fixture->journal);
}

static inline void finish(struct fixture *fixture)
{
    journal_free(fixture->journal);
}

static inline void record(struct fixture *fixture, const struct journal_event *event)
{
    fixture->now_ms += 100;
    journal_record(fixture->journal, &fixture->who, event, fixture->now_ms);
}

#define STEP(fixture, ...) record((fixture), &(const struct journal_event){__VA_ARGS__})

/* Time goes by in small pieces; the journal is woken at its deadlines only. */
static inline void sleep_s(struct fixture *fixture, unsigned seconds)
{
    uint64_t end_ms = fixture->now_ms + seconds * 1000u;
    for (unsigned woken = 0;; woken++) {
        uint64_t due_ms = journal_deadline_ms(fixture->journal);
        if (!due_ms || due_ms > end_ms)
            break;
        assert_true(woken < 100); /* a deadline that was met must go away */
        fixture->now_ms = max_of(fixture->now_ms, due_ms);
        journal_expire(fixture->journal, fixture->now_ms);
    }
    fixture->now_ms = end_ms;
}

static inline const struct journal_report *report(struct fixture *fixture)
{
    const struct journal_client *client = journal_find(fixture->journal, &fixture->who);
    assert_non_null(client);
    journal_client_report(client, fixture->now_ms, &fixture->report);
    return &fixture->report;
}

static inline void assert_state(struct fixture *fixture, enum journal_state state)
{
    if (report(fixture)->state != state)
        fail_msg("%s: %s", fixture->report.state_name, fixture->report.sentence);
}

static inline void assert_says(struct fixture *fixture, const char *part)
{
    if (!strstr(report(fixture)->sentence, part))
        fail_msg("\"%s\" is missing in: %s", part, fixture->report.sentence);
}

/* It has stopped, and this is the likeliest cause. */
static inline void assert_stopped(struct fixture *fixture, const char *first_cause)
{
    assert_state(fixture, JOURNAL_STOPPED);
    assert_true(fixture->report.cause_count > 0);
    if (!strstr(fixture->report.causes[0], first_cause))
        fail_msg("\"%s\" is not the first cause in: %s", first_cause, fixture->report.sentence);
    assert_says(fixture, first_cause);
}

/* The number of lines about trouble since the last time; all lines are taken. */
static inline unsigned take_lines(struct fixture *fixture, unsigned *ret_trouble)
{
    struct journal_line line;
    unsigned count = 0;
    *ret_trouble = 0;
    while (journal_next_line(fixture->journal, &line)) {
        count++;
        *ret_trouble += line.is_trouble;
    }
    return count;
}

/* ── ways of booting, up to a point ──────────────────────────────────────────────────────────── */

static inline void uefi_offer(struct fixture *fixture)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_UEFI,
         .detail = "x64 UEFI");
    STEP(fixture, .step = JOURNAL_OFFER, .detail = "snponly.efi", .via_boot_server = true);
}

static inline void uefi_file(struct fixture *fixture)
{
    uefi_offer(fixture);
    STEP(fixture, .step = JOURNAL_ADDRESS, .detail = "192.168.200.7");
    STEP(fixture, .step = JOURNAL_BOOT_SERVER, .detail = "snponly.efi");
    STEP(fixture, .step = JOURNAL_FILE_REQUEST, .detail = "snponly.efi");
    STEP(fixture, .step = JOURNAL_FILE, .detail = "snponly.efi", .bytes = 173792,
         .duration_ms = 120);
}

static inline void bios_offer(struct fixture *fixture)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS,
         .detail = "x86 BIOS");
    STEP(fixture, .step = JOURNAL_OFFER, .detail = "undionly.kpxe");
}

static inline void bios_file(struct fixture *fixture)
{
    bios_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE_REQUEST, .detail = "undionly.kpxe");
    STEP(fixture, .step = JOURNAL_FILE, .detail = "undionly.kpxe", .bytes = 70000,
         .duration_ms = 50);
}

static inline void ipxe_offer(struct fixture *fixture)
{
    STEP(fixture, .step = JOURNAL_IPXE_DISCOVER);
    STEP(fixture, .step = JOURNAL_IPXE_OFFER, .detail = "http://192.168.200.1/boot.ipxe");
}

static inline void script(struct fixture *fixture)
{
    bios_file(fixture);
    ipxe_offer(fixture);
    STEP(fixture, .step = JOURNAL_SCRIPT, .detail = "laptop LUN 0");
    fixture->who.initiator = "iqn.2010-04.org.ipxe:52-54-00-ab-cd-ef";
}

static inline void handed_over(struct fixture *fixture, uint64_t read_bytes)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN, .detail = "laptop");
    STEP(fixture, .step = JOURNAL_READ);
    fixture->now_ms += 3000;
    journal_session_progress(fixture->journal, &fixture->who, read_bytes, fixture->now_ms, false,
                             fixture->now_ms);
}

static inline void running(struct fixture *fixture)
{
    handed_over(fixture, 60u << 20);
    fixture->now_ms += 20000;
    STEP(fixture, .step = JOURNAL_OS_LOGIN, .detail = "laptop");
    STEP(fixture, .step = JOURNAL_OS_READ);
}
