/* test_script.c - the scripts: what must stand in them, in which order, and that iPXE can run them
 */
#include <errno.h>
#include <stdlib.h>

#include "script_reader.h"

#include <netboot-target/boot/catalog.h>

static struct script made;

static struct boot_client client;
static struct boot_start begin(void)
{
    client = client_of(MAC, NULL, NULL);
    return (struct boot_start){
        .client = &client,
        .target_name = "laptop",
        .portal_address = "192.168.200.1",
        .portal_port = 3260,
        .iqn = "iqn.2026-11.local.x:disk",
        .lun = 1,
        .initiator = "iqn.2010-04.org.ipxe:52-54-00-ab-cd-ef",
    };
}

static const char *start_script(const struct boot_start *start)
{
    struct error error = {0};
    if (boot_script_start(script_begin(&made), &server, start, &error) < 0)
        fail_msg("%s", error.text);
    return script_end(&made);
}

static const char *stop_script(const struct boot_server *from, enum boot_verdict verdict,
                               enum boot_reason reason, const char *detail)
{
    const struct boot_decision decision = {.verdict = verdict, .reason = reason};
    client = client_of(MAC, NULL, NULL);
    boot_script_stop(script_begin(&made), from, &client, &decision, detail);
    return script_end(&made);
}

/* ── the URL and the entry ───────────────────────────────────────────────────────────────────── */

static void test_the_url_is_filled_in_by_ipxe(void **state)
{
    const struct boot_server far = {"2001:db8:1111:2222:3333:4444:5555:6666", 65535, NULL};
    (void)state;
    boot_url(script_begin(&made), &server);
    assert_string_equal(script_end(&made),
                        "http://192.168.200.1/boot.ipxe?mac=${netX/mac:hexhyp}&uuid=${uuid}"
                        "&serial=${serial:uristring}&on=${platform}-${buildarch}");
    boot_url(script_begin(&made), &far);
    assert_has(script_end(&made), "http://[2001:db8:1111:2222:3333:4444:5555:6666]:65535/boot");
    assert_true(strlen(made.text) <= BOOT_URL_BYTES_LIMIT);
}

static void test_the_entry_gets_an_address_and_goes_on(void **state)
{
    (void)state;
    boot_script_entry(script_begin(&made), &server);
    const char *text = script_end(&made);
    check_script(text);
    assert_order(text, "isset ${netX/ip} || dhcp ||", "chain --replace http://192.168.200.1/boot");
}

/* ── booting ─────────────────────────────────────────────────────────────────────────────────── */

static void test_hooks_one_lun_after_all_settings(void **state)
{
    struct boot_start start = begin();
    (void)state;
    start.user = "laptop";
    start.secret = "secret of 12";
    start.reverse_user = "netboot-target";
    start.reverse_secret = "another ${one}";
    start.mask_gateway = true;
    const char *text = start_script(&start);
    const char *hook = "sanhook --drive 0x80 iscsi:192.168.200.1::3260:1:iqn.2026-11.local.x:disk ";
    check_script(text);
    assert_order(text, "set initiator-iqn iqn.2010-04.org.ipxe:52-54-00-ab-cd-ef\n", hook);
    assert_order(text, "set username:uristring laptop\n", hook);
    assert_order(text, "set password:uristring secret%20of%2012\n", hook);
    assert_order(text, "set reverse-username:uristring netboot%2Dtarget\n", hook);
    assert_order(text, "set reverse-password:uristring another%20%24%7Bone%7D\n", hook);
    assert_order(text, "set netX/gateway 0.0.0.0", hook);
    assert_null(strstr(strstr(text, "sanhook") + 1, "sanhook"));
    assert_order(text, hook, "sanboot");
}

/* An earlier round's would be offered, and half a pair refused. */
static void test_clears_credentials_that_are_not_meant(void **state)
{
    struct boot_start start = begin();
    (void)state;
    start.user = "laptop";
    start.secret = "secret of 12";
    const char *text = start_script(&start);
    check_script(text);
    assert_has(text, "clear reverse-username ||\n");
    assert_has(text, "clear reverse-password ||\n");
    assert_lacks(text, "clear username");
    assert_lacks(text, "netX/gateway");
}

static void test_luns_are_hexadecimal(void **state)
{
    struct boot_start start = begin();
    (void)state;
    start.lun = 26;
    assert_has(start_script(&start), "::3260:1a:iqn");
    start.lun = 255;
    assert_has(start_script(&start), "::3260:ff:iqn");
    start.lun = 256; /* SAM-5 §4.7.7.4: flat space addressing */
    assert_has(start_script(&start), "::3260:4100:iqn");
    start.portal_address = "fd00::1";
    start.portal_port = 860;
    start.lun = 0;
    assert_has(start_script(&start), "iscsi:[fd00::1]::860:0:iqn");
}

static void test_uefi_tries_loaders_in_order(void **state)
{
    static const char *const loaders[] = {"\\EFI\\b\\b.efi", "\\EFI\\a\\a.efi"};
    struct boot_start start = begin();
    (void)state;
    const char *text = start_script(&start);
    assert_has(text, "--filename \\EFI\\debian\\shim${efi}.efi ||\n");
    assert_order(text, "--filename \\EFI\\debian\\shim", "sanboot --drive 0x80 --keep ||\n:unboot");
    start.loaders = loaders;
    start.loader_count = 2;
    text = start_script(&start);
    check_script(text);
    assert_lacks(text, "debian");
    assert_order(text, "--filename \\EFI\\b\\b.efi ||\n", "--filename \\EFI\\a\\a.efi ||\n");
    assert_order(text, "--filename \\EFI\\a\\a.efi ||\n",
                 "sanboot --drive 0x80 --keep ||\n:unboot");
}

static void test_failures_end_in_words_and_a_shell(void **state)
{
    struct boot_start start = begin();
    (void)state;
    const char *text = start_script(&start);
    assert_has(text, "The disk could not be opened");
    assert_has(text, "The disk was reached, but nothing on it could be started");
    assert_has(text, "laptop LUN 1 at 192.168.200.1 port 3260\n");
    assert_has(text, "&& shell ||\n:again\nchain --replace http://192.168.200.1/boot.ipxe");
}

static void test_back_to_the_menu(void **state)
{
    struct boot_start start = begin();
    (void)state;
    start.menu = true;
    start.key = "0123abc";
    const char *text = start_script(&start);
    check_script(text);
    assert_has(text, "chain --replace http://192.168.200.1/menu.ipxe?mac=");
    assert_has(text, "&key=0123abc ||\n");
    assert_lacks(text, "/boot.ipxe");
}

static void test_one_loader_alone(void **state)
{
    static const char *const loader[] = {"\\EFI\\Microsoft\\Boot\\bootmgfw.efi"};
    struct boot_start start = begin();
    (void)state;
    start.loaders = loader;
    start.loader_count = 1;
    start.only_these = true;
    const char *text = start_script(&start);
    check_script(text);
    assert_has(text, "--filename \\EFI\\Microsoft\\Boot\\bootmgfw.efi ||\n:unbootable");
}

/* ── kernels ─────────────────────────────────────────────────────────────────────────────────── */

static const char *const initrds[] = {"/kernel/0f/microcode.img", "/kernel/1e/initrd.img-6.1"};
static struct boot_kernel kernel;

static struct boot_start begin_kernel(void)
{
    struct boot_start start = begin();
    kernel = (struct boot_kernel){.path = "/kernel/2d/vmlinuz-6.1",
                                  .initrd_paths = initrds,
                                  .initrd_count = 2,
                                  .command_line = "root=LABEL=a iscsi_auto"};
    start.kernel = &kernel;
    return start;
}

static void test_a_kernel_comes_after_the_hook(void **state)
{
    struct boot_start start = begin_kernel();
    (void)state;
    client.machine = BOOT_MACHINE_X64;
    const char *text = start_script(&start);
    check_script(text);
    assert_order(text, "sanhook", "imgfree ||\nkernel --name kernel ");
    assert_has(text, "kernel --name kernel http://192.168.200.1/kernel/2d/vmlinuz-6.1 "
                     "initrd=initrd0 initrd=initrd1 root=LABEL=a iscsi_auto || goto unloaded\n"
                     "initrd --name initrd0 http://192.168.200.1/kernel/0f/microcode.img || "
                     "goto unloaded\n"
                     "initrd --name initrd1 http://192.168.200.1/kernel/1e/initrd.img-6.1 || "
                     "goto unloaded\n"
                     "boot ||\n");
    assert_lacks(text, "sanboot");
}

/* A BIOS' Linux gets every image, and its command line no more than it needs. */
static void test_a_bios_is_not_told_the_initrds_names(void **state)
{
    struct boot_start start = begin_kernel();
    (void)state;
    client.machine = BOOT_MACHINE_BIOS;
    assert_has(start_script(&start), "vmlinuz-6.1 root=LABEL=a iscsi_auto || goto unloaded\n");
}

static void test_refuses_a_line_that_a_kernel_would_cut(void **state)
{
    static char line[BOOT_COMMAND_LINE_BYTES];
    struct error error = {0};
    struct boot_start start = begin_kernel();
    (void)state;
    memset(line, 'a', sizeof line - 1);
    kernel.command_line = line;
    client.machine = BOOT_MACHINE_BIOS;
    check_script(start_script(&start));
    client.machine = BOOT_MACHINE_X64;
    assert_int_equal(boot_script_start(script_begin(&made), &server, &start, &error), -E2BIG);
    assert_has(error.text, "cmdline-remove");
}

static void test_lines_of_the_administrator(void **state)
{
    static const char *const lines[] = {"set keep-san 1", "isset ${x} ||", ":again2", "# a comment",
                                        "chain http://192.0.2.1/winpe"};
    struct boot_start start = begin();
    (void)state;
    start.lines = lines;
    start.line_count = ARRAY_SIZE(lines);
    const char *text = start_script(&start);
    assert_order(text, "sanhook",
                 ":hooked\nset keep-san 1 || goto unbootable\nisset ${x} ||\n:again2\n"
                 "# a comment\nchain http://192.0.2.1/winpe || goto unbootable\n");
    assert_lacks(text, "sanboot");
    boot_script_lines(script_begin(&made), &server, "Rescue", lines, 1, "k");
    text = script_end(&made);
    check_script(text);
    assert_has(text, "set keep-san 1 || goto unbootable\ngoto again\n");
    assert_has(text, "/menu.ipxe?");
    assert_lacks(text, "sanhook");
}

static void assert_refused(const struct boot_start *start, const char *word)
{
    struct error error = {0};
    assert_int_equal(boot_script_start(script_begin(&made), &server, start, &error), -EINVAL);
    assert_int_equal(made.buffer.length, 0);
    assert_has(error.text, word);
    assert_lacks(error.text, "topsecret");
}

static void test_refuses_names_that_are_commands(void **state)
{
    static const char *const bad_loader[] = {"\\EFI\\a.efi", "a b"};
    static const char *many[33];
    struct boot_start start = begin();
    (void)state;
    start.iqn = "iqn.2026-11.local.x:a b";
    assert_refused(&start, "laptop");
    start = begin();
    start.initiator = "iqn.x:${password}";
    assert_refused(&start, "initiator");
    start = begin();
    start.portal_address = "host;";
    assert_refused(&start, "address");
    start = begin();
    start.loaders = bad_loader;
    start.loader_count = 2;
    assert_refused(&start, "Loader 2");
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = "\\a.efi";
    start.loaders = many;
    start.loader_count = ARRAY_SIZE(many);
    assert_refused(&start, "32");
    start = begin_kernel();
    kernel.path = "/kernel/a b";
    assert_refused(&start, "URL");
    start = begin_kernel();
    kernel.path = "kernel";
    assert_refused(&start, "URL");
    start = begin_kernel();
    kernel.initrd_paths = (const char *const[]){"/a", "/${b}"};
    assert_refused(&start, "URL");
}

static void test_refuses_half_credentials(void **state)
{
    struct boot_start start = begin();
    (void)state;
    start.secret = "topsecret123";
    assert_refused(&start, "CHAP");
    start = begin();
    start.reverse_user = "target";
    start.reverse_secret = "topsecret456";
    assert_refused(&start, "CHAP");
}

static void test_foreign_names_stay_text(void **state)
{
    struct boot_start start = begin();
    (void)state;
    start.target_name = "a && shell || ${password} #";
    const char *text = start_script(&start);
    check_script(text);
    assert_lacks(text, "${password}");
    assert_has(text, "a ?? shell ?? ?{password} ?");
}

static void test_a_full_buffer_says_so(void **state)
{
    struct boot_start start = begin();
    struct error error;
    struct buffer out;
    char small[64];
    (void)state;
    buffer_init_fixed(&out, small, sizeof small);
    assert_int_equal(boot_script_start(&out, &server, &start, &error), 0);
    assert_true(out.failed);
}

/* ── not booting ─────────────────────────────────────────────────────────────────────────────── */

static void test_a_stranger_gets_the_line_to_paste(void **state)
{
    const struct boot_server fileless = {"192.168.200.1", 80, NULL};
    (void)state;
    const char *text = stop_script(&server, BOOT_REFUSE, BOOT_REASON_NOT_LISTED, NULL);
    check_script(text);
    assert_has(text, "it is not listed in clients.\n");
    assert_has(text, "/etc/netboot.conf\n");
    assert_has(text, "echo { mac = \"52:54:00:ab:cd:ef\", open = true }\n");
    text = stop_script(&fileless, BOOT_REFUSE, BOOT_REASON_NOT_LISTED, NULL);
    check_script(text);
    assert_has(text, "--open");
    assert_has(text, "52:54:00:ab:cd:ef\n");
}

static void test_a_client_without_mac_sees_its_own(void **state)
{
    const struct boot_decision decision = {
        BOOT_REFUSE, BOOT_REASON_NOT_LISTED, NULL, NULL, 0, false, false};
    struct boot_client nobody = client_of(NULL, NULL, NULL);
    (void)state;
    boot_script_stop(script_begin(&made), &server, &nobody, &decision, NULL);
    assert_has(script_end(&made), "{ mac = \"${netX/mac}\", open = true }");
}

static void test_who_waits_comes_again_soon(void **state)
{
    (void)state;
    const char *text = stop_script(&server, BOOT_WAIT, BOOT_REASON_NOT_READY, "LUN 0 ${is} gone");
    check_script(text);
    assert_has(text, "does not boot this machine yet:\n");
    assert_has(text, "echo its disk is not ready yet, LUN 0 ?{is} gone.\n");
    assert_has(text, "prompt --timeout 5000 ");
    assert_has(text, "chain --replace http://192.168.200.1/boot.ipxe");
}

static void test_every_reason_has_a_page(void **state)
{
    (void)state;
    for (unsigned i = BOOT_REASON_NONE; i <= BOOT_REASON_NOT_SERVING; i++) {
        const char *text = stop_script(&server, BOOT_FAIL, (enum boot_reason)i, NULL);
        check_script(text);
        assert_has(text, boot_reason_text((enum boot_reason)i));
        assert_lacks(text, "--timeout 0");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_url_is_filled_in_by_ipxe),
        cmocka_unit_test(test_the_entry_gets_an_address_and_goes_on),
        cmocka_unit_test(test_hooks_one_lun_after_all_settings),
        cmocka_unit_test(test_clears_credentials_that_are_not_meant),
        cmocka_unit_test(test_luns_are_hexadecimal),
        cmocka_unit_test(test_uefi_tries_loaders_in_order),
        cmocka_unit_test(test_failures_end_in_words_and_a_shell),
        cmocka_unit_test(test_back_to_the_menu),
        cmocka_unit_test(test_one_loader_alone),
        cmocka_unit_test(test_a_kernel_comes_after_the_hook),
        cmocka_unit_test(test_a_bios_is_not_told_the_initrds_names),
        cmocka_unit_test(test_refuses_a_line_that_a_kernel_would_cut),
        cmocka_unit_test(test_lines_of_the_administrator),
        cmocka_unit_test(test_refuses_names_that_are_commands),
        cmocka_unit_test(test_refuses_half_credentials),
        cmocka_unit_test(test_foreign_names_stay_text),
        cmocka_unit_test(test_a_full_buffer_says_so),
        cmocka_unit_test(test_a_stranger_gets_the_line_to_paste),
        cmocka_unit_test(test_a_client_without_mac_sees_its_own),
        cmocka_unit_test(test_who_waits_comes_again_soon),
        cmocka_unit_test(test_every_reason_has_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
