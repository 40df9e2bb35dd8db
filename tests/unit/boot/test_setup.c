/* test_setup.c - setup scripts: every placeholder gets its value, quoted so that it stays one */
#include <errno.h>
#include <stdlib.h>

#include "fixture.h"

#include <netboot-target/boot/setup.h>

static char text[BOOT_SETUP_BYTES_LIMIT + 1];
static struct error error;

static struct boot_setup begin(void)
{
    return (struct boot_setup){.version = "9.8.7",
                               .server = "192.168.200.1",
                               .port = 3261,
                               .iqn = "iqn.2026-11.local.x:disk",
                               .lun = 3,
                               .initiator = "iqn.2010-04.org.ipxe:%m",
                               .user = "laptop",
                               .secret = "abcdefghijkl",
                               .target_user = "us",
                               .target_secret = "mnopqrstuvwx"};
}

static int render(const char *name, const struct boot_setup *setup)
{
    struct buffer out;
    error.text[0] = '\0';
    buffer_init_fixed(&out, text, sizeof text);
    int result = boot_setup_script(&out, name, setup, &error);
    assert_non_null(buffer_string(&out));
    return result;
}

static void test_names(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    assert_string_equal(boot_setup_name(0), "linux.sh");
    assert_string_equal(boot_setup_name(1), "windows.ps1");
    assert_string_equal(boot_setup_name(2), "freebsd.sh");
    assert_null(boot_setup_name(3));
    assert_int_equal(render("macos.sh", &setup), -ENOENT);
    assert_int_equal(render("", &setup), -ENOENT);
    assert_string_equal(text, "");
}

static void test_no_placeholder_stays(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    for (unsigned i = 0; boot_setup_name(i); i++) {
        assert_int_equal(render(boot_setup_name(i), &setup), 0);
        assert_lacks(text, "'@");
        assert_lacks(text, "@'");
        assert_has(text, "'9.8.7'");
        assert_has(text, "'iqn.2026-11.local.x:disk'");
    }
}

static void test_shell_values(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    assert_int_equal(render("linux.sh", &setup), 0);
    assert_has(text, "#!/bin/sh\n");
    assert_has(text, "\nserver='192.168.200.1'\n");
    assert_has(text, "\nport='3261'\n");
    assert_has(text, "\niqn='iqn.2026-11.local.x:disk'\n");
    assert_has(text, "\nlun='3'\n");
    assert_has(text, "\ninitiator='iqn.2010-04.org.ipxe:%m'\n");
    assert_has(text, "\nchap_user='laptop'\n");
    assert_has(text, "\nchap_secret='abcdefghijkl'\n");
    assert_has(text, "\nchap_target_user='us'\n");
    assert_has(text, "\nchap_target_secret='mnopqrstuvwx'\n");
}

static void test_powershell_values(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    assert_int_equal(render("windows.ps1", &setup), 0);
    assert_has(text, "\n$Server = '192.168.200.1'\n");
    assert_has(text, "\n$Port = '3261'\n");
    assert_has(text, "\n$ChapSecret = 'abcdefghijkl'\n");
    assert_has(text, "\n$ChapTargetSecret = 'mnopqrstuvwx'\n");
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c < 0x80);
}

static void test_none(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    setup.user = setup.secret = setup.target_user = setup.target_secret = NULL;
    assert_int_equal(render("linux.sh", &setup), 0);
    assert_has(text, "\nchap_user=''\n");
    assert_has(text, "\nchap_target_secret=''\n");
    assert_int_equal(render("windows.ps1", &setup), 0);
    assert_has(text, "\n$ChapSecret = ''\n");
}

/* What sh itself makes of the quoting. */
static void test_shell_reads_it_back(void **state)
{
    (void)state;
    static const char *const nasty[] = {
        "it's",      "''",       "'; touch /tmp/x; '",
        "$(reboot)", "`reboot`", "a\\'b",
        "\\",        "$HOME",    "%m %s",
        "'@IQN@'",   "!! ~ *",   "-n",
        "\xc3\xbc@", " blanks ", "\"double\"",
    };
    struct boot_setup setup = begin();
    for (unsigned i = 0; i < ARRAY_SIZE(nasty); i++) {
        setup.secret = nasty[i];
        assert_int_equal(render("linux.sh", &setup), 0);
        const char *line = strstr(text, "\nchap_secret=") + 1;
        char command[512], answer[128] = {0};
        snprintf(command, sizeof command, "%.*s\nprintf %%s. \"$chap_secret\"",
                 (int)strcspn(line, "\n"), line);
        FILE *shell = popen(command, "r"); // NOLINT(cert-env33-c): that is what is tested
        assert_non_null(shell);
        assert_true(fread(answer, 1, sizeof answer - 1, shell) > 0);
        assert_int_equal(pclose(shell), 0);
        assert_int_equal(strlen(answer), strlen(nasty[i]) + 1);
        assert_memory_equal(answer, nasty[i], strlen(nasty[i]));
    }
}

static void test_powershell_quotes(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    setup.secret = "it's $me `n\"'x";
    assert_int_equal(render("windows.ps1", &setup), 0);
    assert_has(text, "\n$ChapSecret = 'it''s $me `n\"''x'\n");
}

static void assert_refused(const char *name, const struct boot_setup *setup, const char *words)
{
    assert_int_equal(render(name, setup), -EINVAL);
    assert_has(error.text, words);
    assert_has(error.text, name);
    assert_string_equal(text, "");
}

static void test_control_characters(void **state)
{
    (void)state;
    static const char *const names[] = {"linux.sh", "windows.ps1", "freebsd.sh"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        struct boot_setup setup = begin();
        setup.secret = "line\nreboot xx";
        assert_refused(names[i], &setup, "the CHAP secret has a character");
        setup = begin();
        setup.iqn = "iqn\x7f";
        assert_refused(names[i], &setup, "the target's name has a character");
        setup = begin();
        setup.version = "1\r";
        assert_refused(names[i], &setup, "the version has a character");
        assert_lacks(error.text, "\r");
    }
}

/* U+2019 ends a PowerShell string that ' has begun. */
static void test_powershell_takes_ascii(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    setup.secret = "abcdefgh\xe2\x80\x99;x";
    assert_refused("windows.ps1", &setup, "the CHAP secret has a character");
    assert_int_equal(render("linux.sh", &setup), 0);
}

static void test_windows_secret_length(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    setup.target_secret = "12345678901";
    assert_refused("windows.ps1", &setup, "11 characters, and Windows takes 12 to 16");
    setup.target_secret = "12345678901234567";
    assert_refused("windows.ps1", &setup, "the target's CHAP secret has 17");
    assert_lacks(error.text, "12345678901234567");
    assert_int_equal(render("linux.sh", &setup), 0);
    setup.target_secret = "1234567890123456";
    assert_int_equal(render("windows.ps1", &setup), 0);
}

static void test_a_small_buffer_fails(void **state)
{
    (void)state;
    struct boot_setup setup = begin();
    struct buffer out;
    buffer_init(&out, 1000);
    (void)boot_setup_script(&out, "linux.sh", &setup, &error);
    assert_null(buffer_string(&out));
    buffer_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_placeholder_stays),
        cmocka_unit_test(test_shell_values),
        cmocka_unit_test(test_powershell_values),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_shell_reads_it_back),
        cmocka_unit_test(test_powershell_quotes),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_powershell_takes_ascii),
        cmocka_unit_test(test_windows_secret_length),
        cmocka_unit_test(test_a_small_buffer_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
