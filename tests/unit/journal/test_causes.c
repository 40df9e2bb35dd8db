/* test_causes.c - each way to fail, and the sentence that names it */
#include "fixture.h"

#define TEST(name)                                  \
    static void name##_on(struct fixture *fixture); \
    static void name(void **state)                  \
    {                                               \
        struct fixture fixture;                     \
        (void)state;                                \
        begin(&fixture);                            \
        name##_on(&fixture);                        \
        finish(&fixture);                           \
    }                                               \
    static void name##_on(struct fixture *fixture)

/* ── the link ────────────────────────────────────────────────────────────────────────────────── */

TEST(test_link_down)
{
    uefi_offer(fixture);
    journal_link_changed(fixture->journal, "eth1", false, fixture->now_ms);
    assert_state(fixture, JOURNAL_BOOTING);
    journal_link_changed(fixture->journal, "eth0", false, fixture->now_ms);
    assert_stopped(fixture, "The link of eth0 is down");
    assert_int_equal(fixture->report.cause_count, 1); /* it is certain */
    journal_link_changed(fixture->journal, "eth0", true, fixture->now_ms);
    assert_stopped(fixture, "No DHCP server gave it an address");
}

TEST(test_cable_pulled_in_a_transfer)
{
    bios_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE_REQUEST, .detail = "undionly.kpxe");
    STEP(fixture, .step = JOURNAL_FILE_FAILED, .detail = "undionly.kpxe", .bytes = 20000,
         .file_end = JOURNAL_FILE_LOST);
    assert_stopped(fixture, "The connection was lost in the middle of undionly.kpxe: the cable");
    assert_says(fixture, "limits.tftp-block");
}

/* ── DHCP ────────────────────────────────────────────────────────────────────────────────────── */

TEST(test_wrong_architecture)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_UEFI,
         .detail = "ARM 64-bit UEFI");
    STEP(fixture, .step = JOURNAL_UNANSWERED, .unanswered = JOURNAL_UNANSWERED_NO_BOOT_FILE,
         .detail = "there is nothing to load for its architecture");
    assert_stopped(fixture, "There is no boot file for its architecture (ARM 64-bit UEFI)");
}

TEST(test_serving_switched_off)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS);
    STEP(fixture, .step = JOURNAL_UNANSWERED, .unanswered = JOURNAL_UNANSWERED_NOT_SERVING);
    assert_stopped(fixture, "Serving is switched off: switch it on again");
}

TEST(test_no_http_port)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_UEFI_HTTP);
    STEP(fixture, .step = JOURNAL_UNANSWERED, .unanswered = JOURNAL_UNANSWERED_NO_HTTP);
    assert_stopped(fixture, "no HTTP port for booting is open at our address there");
}

TEST(test_its_address_is_held)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS);
    STEP(fixture, .step = JOURNAL_UNANSWERED, .unanswered = JOURNAL_UNANSWERED_ADDRESS_HELD,
         .detail = "192.168.200.77 is in use by 02:00:00:00:00:99");
    assert_stopped(fixture, "The address that clients has for it is taken: 192.168.200.77 is in "
                            "use by 02:00:00:00:00:99.");
}

TEST(test_not_answered)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS);
    STEP(fixture, .step = JOURNAL_UNANSWERED, .detail = "no address is left");
    assert_stopped(fixture, "Not answered: no address is left.");
}

/* The machine was switched on together with this server: it asks again. */
TEST(test_asked_too_early)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS);
    STEP(fixture, .step = JOURNAL_UNANSWERED, .unanswered = JOURNAL_UNANSWERED_NOT_YET,
         .detail = "looking for another DHCP server");
    assert_state(fixture, JOURNAL_WAITING);
    sleep_s(fixture, 21);
    assert_stopped(fixture, "not ready yet (looking for another DHCP server) and the machine has "
                            "given up: start it once more.");
}

TEST(test_we_have_no_address)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS);
    STEP(fixture, .step = JOURNAL_UNANSWERED, .unanswered = JOURNAL_UNANSWERED_NO_ADDRESS,
         .detail = "this server has no IPv4 address there");
    assert_stopped(fixture, "eth0 of this server has no IPv4 address");
}

TEST(test_our_answer_held_back)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS);
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 9);
    assert_stopped(fixture, "held back");
}

TEST(test_port_4011_filtered)
{
    uefi_offer(fixture);
    STEP(fixture, .step = JOURNAL_ADDRESS);
    sleep_s(fixture, 14);
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 2);
    assert_stopped(fixture, "UDP port 4011 of this server is filtered");
    assert_says(fixture, "Another PXE server");
}

TEST(test_no_dhcp_server)
{
    uefi_offer(fixture);
    sleep_s(fixture, 15);
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 10);
    assert_stopped(fixture, "No DHCP server gave it an address, and beside others we give none");
}

TEST(test_our_offers_do_not_get_there)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_BIOS);
    STEP(fixture, .step = JOURNAL_OFFER, .detail = "undionly.kpxe", .gives_address = true);
    sleep_s(fixture, 21);
    assert_stopped(fixture, "Our answers do not get there");
}

TEST(test_port_69_filtered)
{
    bios_offer(fixture);
    STEP(fixture, .step = JOURNAL_ADDRESS, .detail = "192.168.200.7");
    sleep_s(fixture, 16);
    assert_stopped(fixture, "UDP port 69 (TFTP) of this server is filtered");
}

TEST(test_port_69_filtered_after_4011)
{
    uefi_offer(fixture);
    STEP(fixture, .step = JOURNAL_BOOT_SERVER, .detail = "snponly.efi");
    sleep_s(fixture, 16);
    assert_stopped(fixture, "UDP port 69 (TFTP) of this server is filtered");
    assert_says(fixture, "pxe-style");
}

TEST(test_http_boot_filtered)
{
    STEP(fixture, .step = JOURNAL_DISCOVER, .firmware = JOURNAL_FIRMWARE_UEFI_HTTP);
    STEP(fixture, .step = JOURNAL_OFFER, .detail = "http://192.168.200.1/snponly.efi");
    STEP(fixture, .step = JOURNAL_ADDRESS, .detail = "192.168.200.7");
    sleep_s(fixture, 16);
    assert_stopped(fixture, "boot HTTP server");
}

TEST(test_another_server_heard)
{
    uefi_offer(fixture);
    journal_foreign_server(fixture->journal, &fixture->who, "192.168.200.254", fixture->now_ms);
    sleep_s(fixture, 21);
    assert_stopped(fixture, "Another PXE server, 192.168.200.254, answers on this network and won");
}

TEST(test_another_server_chosen)
{
    bios_offer(fixture);
    STEP(fixture, .step = JOURNAL_ADDRESS, .server = "192.168.200.254");
    sleep_s(fixture, 16);
    assert_stopped(fixture, "UDP port 69");
    assert_says(fixture, "or the DHCP server 192.168.200.254 names a boot file itself");
}

TEST(test_another_servers_ipxe)
{
    uefi_offer(fixture);
    ipxe_offer(fixture); /* and no file of ours was loaded */
    sleep_s(fixture, 36);
    assert_stopped(fixture, "Another PXE server won: the iPXE that runs did not come from here");
}

TEST(test_firmware_that_takes_one_answer)
{
    for (unsigned i = 0; i < 4; i++) {
        bios_offer(fixture);
        journal_foreign_address(fixture->journal, &fixture->who, fixture->now_ms);
        sleep_s(fixture, 7);
    }
    assert_stopped(fixture, "give it an address in clients");
}

/* ── the boot file ───────────────────────────────────────────────────────────────────────────── */

TEST(test_secure_boot)
{
    uefi_file(fixture);
    sleep_s(fixture, 25);
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 6);
    assert_stopped(fixture, "Secure Boot is on: the firmware refuses snponly.efi");
    assert_says(fixture,
                "it loaded its boot file to the end (snponly.efi, 173792 bytes in 120 ms)");
    assert_says(fixture, "Next should have come a DHCP request of the iPXE");
}

/* The firmware goes on to its next boot option, and does not hide where it got stuck. */
TEST(test_secure_boot_stays_the_story)
{
    uefi_file(fixture);
    sleep_s(fixture, 31);
    uefi_offer(fixture);
    assert_stopped(fixture, "Secure Boot is on");
    assert_says(fixture, "started over 1 times");
    sleep_s(fixture, 60);
    assert_stopped(fixture, "Secure Boot is on");
}

TEST(test_signed_loader_is_not_refused)
{
    uefi_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE, .detail = "signed/shimx64.efi", .bytes = 900000);
    sleep_s(fixture, 31);
    assert_stopped(fixture, "another processor");
}

TEST(test_bios_got_an_efi_file)
{
    bios_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE, .detail = "snponly.efi", .bytes = 173792);
    sleep_s(fixture, 31);
    assert_stopped(fixture, "snponly.efi is for UEFI, but this machine starts by BIOS (x86 BIOS)");
}

TEST(test_uefi_got_a_bios_file)
{
    uefi_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE, .detail = "undionly.kpxe", .bytes = 70000);
    sleep_s(fixture, 31);
    assert_stopped(fixture, "undionly.kpxe is no UEFI program");
}

TEST(test_own_drivers_hang)
{
    uefi_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE, .detail = "ipxe.efi", .bytes = 900000);
    sleep_s(fixture, 31);
    assert_stopped(fixture, "Secure Boot");
    assert_says(fixture, "snponly.efi");
}

static void fail_file(struct fixture *fixture, enum journal_file_end end)
{
    bios_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE_REQUEST, .detail = "undionly.kpxe");
    STEP(fixture, .step = JOURNAL_FILE_FAILED, .detail = "undionly.kpxe: aborted", .file_end = end);
}

TEST(test_missing_file)
{
    bios_offer(fixture);
    STEP(fixture, .step = JOURNAL_FILE_MISSING, .detail = "undionly.kpxe");
    sleep_s(fixture, 11);
    assert_stopped(fixture, "undionly.kpxe is not among the boot files");
}

/* A signed chain looks for files that it can do without. */
TEST(test_missing_file_is_no_stop_where_another_follows)
{
    uefi_file(fixture);
    STEP(fixture, .step = JOURNAL_FILE_MISSING, .detail = "revocations_sku.efi");
    STEP(fixture, .step = JOURNAL_FILE_MISSING, .detail = "revocations_sbat.efi");
    STEP(fixture, .step = JOURNAL_FILE_REQUEST, .detail = "grubx64.efi");
    sleep_s(fixture, 11);
    assert_state(fixture, JOURNAL_BOOTING);
}

TEST(test_missing_file_while_the_system_runs)
{
    running(fixture);
    STEP(fixture, .step = JOURNAL_FILE_MISSING, .detail = "favicon.ico");
    sleep_s(fixture, 11);
    assert_state(fixture, JOURNAL_RUNNING);
}

TEST(test_unreadable_file)
{
    fail_file(fixture, JOURNAL_FILE_BROKEN);
    assert_stopped(fixture, "undionly.kpxe could not be read on this server");
}

TEST(test_unwanted_file)
{
    fail_file(fixture, JOURNAL_FILE_ABORTED);
    assert_stopped(fixture, "did not want the rest of undionly.kpxe: too large for it");
}

TEST(test_loop)
{
    for (unsigned i = 0; i < 3; i++) {
        ipxe_offer(fixture);
        STEP(fixture, .step = JOURNAL_FILE, .detail = "undionly.kpxe");
    }
    STEP(fixture, .step = JOURNAL_LOOP, .detail = "undionly.kpxe");
    assert_stopped(fixture, "undionly.kpxe is no iPXE that asks for our script");
}

/* ── the script ──────────────────────────────────────────────────────────────────────────────── */

TEST(test_http_filtered)
{
    bios_file(fixture);
    ipxe_offer(fixture);
    STEP(fixture, .step = JOURNAL_ADDRESS, .detail = "from server 192.168.200.254");
    sleep_s(fixture, 30); /* 16 s of them iPXE looks for an IPv6 router */
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 6);
    assert_stopped(fixture, "TCP port of the boot HTTP server is filtered");
}

TEST(test_no_address_for_ipxe)
{
    bios_file(fixture);
    ipxe_offer(fixture);
    sleep_s(fixture, 36);
    assert_stopped(fixture, "No DHCP server gave iPXE an address");
}

TEST(test_may_not_boot)
{
    bios_file(fixture);
    ipxe_offer(fixture);
    STEP(fixture, .step = JOURNAL_SCRIPT_REFUSED, .detail = "it is not listed in clients");
    assert_stopped(fixture, "It may not boot: it is not listed in clients. Its MAC for the list "
                            "clients: 52:54:00:ab:cd:ef.");
    STEP(fixture, .step = JOURNAL_SCRIPT, .detail = "laptop LUN 0"); /* now it is */
    assert_state(fixture, JOURNAL_BOOTING);
}

TEST(test_disk_not_ready)
{
    bios_file(fixture);
    ipxe_offer(fixture);
    for (unsigned i = 0; i < 11; i++) {
        STEP(fixture, .step = JOURNAL_SCRIPT_WAIT, .detail = "LUN 0 is not there");
        assert_state(fixture, JOURNAL_WAITING);
        sleep_s(fixture, 5);
    }
    STEP(fixture, .step = JOURNAL_SCRIPT_WAIT, .detail = "LUN 0 is not there");
    sleep_s(fixture, 5);
    assert_stopped(fixture, "Its disk is not ready: LUN 0 is not there.");
}

/* Whatever time a person takes is no stop; a wrong password is one, until the right one came. */
TEST(test_menu_and_password)
{
    bios_file(fixture);
    ipxe_offer(fixture);
    STEP(fixture, .step = JOURNAL_SCRIPT_LOGIN, .detail = "it needs the password");
    sleep_s(fixture, 10000);
    assert_state(fixture, JOURNAL_WAITING);
    STEP(fixture, .step = JOURNAL_SCRIPT_PASSWORD, .detail = "once");
    assert_stopped(fixture, "The user or password is wrong (once).");
    STEP(fixture, .step = JOURNAL_SCRIPT_MENU, .detail = "target laptop LUN 0");
    sleep_s(fixture, 10000);
    assert_state(fixture, JOURNAL_WAITING);
    STEP(fixture, .step = JOURNAL_SCRIPT_CHOICE, .detail = "entry:debian");
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 21);
    assert_stopped(fixture, "Someone at the machine stopped it, or it was switched off");
}

TEST(test_kernel_by_http)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN, .detail = "laptop");
    STEP(fixture, .step = JOURNAL_KERNEL, .detail = "vmlinuz", .bytes = 8000000);
    STEP(fixture, .step = JOURNAL_KERNEL, .detail = "initrd.img", .bytes = 40000000);
    sleep_s(fixture, 170);
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 11);
    assert_stopped(fixture, "The initramfs did not find its disk over iSCSI: prepare the system");
    STEP(fixture, .step = JOURNAL_OS_LOGIN, .detail = "laptop");
    assert_state(fixture, JOURNAL_BOOTING);
}

TEST(test_kernel_that_broke_off)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN, .detail = "laptop");
    STEP(fixture, .step = JOURNAL_KERNEL_FAILED, .detail = "initrd.img: the client broke");
    assert_stopped(fixture, "The machine has too little memory for its kernel and initrd.");
}

/* ── iSCSI ───────────────────────────────────────────────────────────────────────────────────── */

TEST(test_port_3260_filtered)
{
    script(fixture);
    sleep_s(fixture, 21);
    assert_stopped(fixture, "The TCP port of the iSCSI portal (3260) is filtered");
}

TEST(test_wrong_chap_secret)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN_REFUSED, .status_class = 2, .status_detail = 1,
         .detail = "authentication failed");
    assert_stopped(fixture, "CHAP failed: iqn.2010-04.org.ipxe:52-54-00-ab-cd-ef sent another name "
                            "or secret");
    assert_says(fixture, "Ours are in the configuration, or in the file that the status names");
    assert_int_equal(fixture->report.cause_count, 1);
}

TEST(test_wrong_target_secret)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN_BROKEN, .mutual_chap = true);
    sleep_s(fixture, 16);
    assert_stopped(fixture, "It did not accept our CHAP answer");
}

TEST(test_disk_of_another)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN_REFUSED, .status_class = 2, .status_detail = 2,
         .detail = "another initiator owns the target's writable disks");
    assert_stopped(fixture, "may not use this target: another initiator owns");
}

TEST(test_no_such_target)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN_REFUSED, .status_class = 2, .status_detail = 3,
         .detail = "there is no such target");
    assert_stopped(fixture, "asked for a target that is not served here");
}

TEST(test_login_refused_otherwise)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN_REFUSED, .status_class = 2, .status_detail = 5,
         .detail = "the initiator speaks no version 0 of iSCSI");
    assert_stopped(fixture, "Refused: the initiator speaks no version 0");
}

TEST(test_login_put_off)
{
    script(fixture);
    for (unsigned i = 0; i < 13; i++) {
        STEP(fixture, .step = JOURNAL_LOGIN_REFUSED, .status_class = 3, .status_detail = 1,
             .detail = "the target's disks are not all open yet");
        if (i < 11)
            assert_state(fixture, JOURNAL_WAITING);
        sleep_s(fixture, 5);
    }
    assert_stopped(fixture, "The target takes no logins for now");
}

TEST(test_nothing_to_read)
{
    script(fixture);
    STEP(fixture, .step = JOURNAL_LOGIN, .detail = "laptop");
    sleep_s(fixture, 21);
    assert_state(fixture, JOURNAL_STOPPED);
    assert_says(fixture, "The LUN that it looks for is not there");
}

/* ── the operating system ────────────────────────────────────────────────────────────────────── */

TEST(test_initramfs_without_iscsi)
{
    handed_over(fixture, 60u << 20);
    sleep_s(fixture, 100);
    assert_state(fixture, JOURNAL_BOOTING);
    sleep_s(fixture, 30);
    assert_stopped(fixture, "The initramfs has no iSCSI");
    assert_says(fixture, "rd.iscsi.firmware=1");
    assert_says(fixture, "iscsi_auto");
    assert_says(fixture, "iPXE's last command came (62914560 bytes)");
}

TEST(test_boot_loader_stuck)
{
    handed_over(fixture, 150u << 10);
    sleep_s(fixture, 130);
    assert_stopped(fixture, "The boot loader did not get to a kernel (150 KiB were read)");
}

TEST(test_system_refused)
{
    handed_over(fixture, 60u << 20);
    STEP(fixture, .step = JOURNAL_OS_LOGIN_REFUSED, .status_class = 2, .status_detail = 1,
         .detail = "the target asks for CHAP and the initiator did not offer it");
    assert_stopped(fixture, "CHAP failed");
    assert_says(fixture, "Prepare the system once more by the server's setup script");
}

TEST(test_system_reads_nothing)
{
    handed_over(fixture, 60u << 20);
    STEP(fixture, .step = JOURNAL_OS_LOGIN);
    sleep_s(fixture, 61);
    assert_stopped(fixture, "The connection was lost");
}

/* ── the whole table ─────────────────────────────────────────────────────────────────────────── */

/* Wherever a boot can stop there is a likely cause, in a whole sentence without gaps. */
TEST(test_every_stop_has_a_cause)
{
    finish(fixture);
    for (int step = JOURNAL_DISCOVER; step < JOURNAL_STEP_COUNT; step++) {
        begin(fixture);
        STEP(fixture, .step = (enum journal_step)step, .detail = "detail");
        sleep_s(fixture, 600);
        if (report(fixture)->state == JOURNAL_STOPPED) {
            assert_true(fixture->report.cause_count > 0);
            assert_non_null(strstr(fixture->report.sentence, "Next should have come"));
        }
        for (unsigned i = 0; i < fixture->report.cause_count; i++) {
            const char *cause = fixture->report.causes[i];
            assert_null(strpbrk(cause, "{}"));
            assert_true(cause[strlen(cause) - 1] == '.');
            assert_null(strstr(cause, "..."));
        }
        if (step < JOURNAL_STEP_COUNT - 1)
            finish(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_down),
        cmocka_unit_test(test_cable_pulled_in_a_transfer),
        cmocka_unit_test(test_wrong_architecture),
        cmocka_unit_test(test_serving_switched_off),
        cmocka_unit_test(test_no_http_port),
        cmocka_unit_test(test_its_address_is_held),
        cmocka_unit_test(test_not_answered),
        cmocka_unit_test(test_asked_too_early),
        cmocka_unit_test(test_we_have_no_address),
        cmocka_unit_test(test_our_answer_held_back),
        cmocka_unit_test(test_port_4011_filtered),
        cmocka_unit_test(test_no_dhcp_server),
        cmocka_unit_test(test_our_offers_do_not_get_there),
        cmocka_unit_test(test_port_69_filtered),
        cmocka_unit_test(test_port_69_filtered_after_4011),
        cmocka_unit_test(test_http_boot_filtered),
        cmocka_unit_test(test_another_server_heard),
        cmocka_unit_test(test_another_server_chosen),
        cmocka_unit_test(test_another_servers_ipxe),
        cmocka_unit_test(test_firmware_that_takes_one_answer),
        cmocka_unit_test(test_secure_boot),
        cmocka_unit_test(test_secure_boot_stays_the_story),
        cmocka_unit_test(test_signed_loader_is_not_refused),
        cmocka_unit_test(test_bios_got_an_efi_file),
        cmocka_unit_test(test_uefi_got_a_bios_file),
        cmocka_unit_test(test_own_drivers_hang),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_missing_file_is_no_stop_where_another_follows),
        cmocka_unit_test(test_missing_file_while_the_system_runs),
        cmocka_unit_test(test_unreadable_file),
        cmocka_unit_test(test_unwanted_file),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_http_filtered),
        cmocka_unit_test(test_no_address_for_ipxe),
        cmocka_unit_test(test_may_not_boot),
        cmocka_unit_test(test_disk_not_ready),
        cmocka_unit_test(test_menu_and_password),
        cmocka_unit_test(test_kernel_by_http),
        cmocka_unit_test(test_kernel_that_broke_off),
        cmocka_unit_test(test_port_3260_filtered),
        cmocka_unit_test(test_wrong_chap_secret),
        cmocka_unit_test(test_wrong_target_secret),
        cmocka_unit_test(test_disk_of_another),
        cmocka_unit_test(test_no_such_target),
        cmocka_unit_test(test_login_refused_otherwise),
        cmocka_unit_test(test_login_put_off),
        cmocka_unit_test(test_nothing_to_read),
        cmocka_unit_test(test_initramfs_without_iscsi),
        cmocka_unit_test(test_boot_loader_stuck),
        cmocka_unit_test(test_system_refused),
        cmocka_unit_test(test_system_reads_nothing),
        cmocka_unit_test(test_every_stop_has_a_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
