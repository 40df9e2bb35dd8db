/* test_menu.c - the menu and the login: what stands in them, and that no title becomes a command */
#include "script_reader.h"

static struct script made;

static const struct boot_menu_entry entries[] = {
    {BOOT_MENU_KERNELS, "entry:debian-6.1", "Debian GNU/Linux, 6.1",              NULL,                               false, ""     },
    {BOOT_MENU_KERNELS, "entry:old",        "Old one",                            "not prepared: run setup/linux.sh", true,  ""     },
    {BOOT_MENU_KERNELS, "entry:big",        "Big one",                            "too large",                        false, "15:00"},
    {BOOT_MENU_LOADERS, "disk",             "Whatever the disk starts by itself", NULL,                               false, ""     },
    {BOOT_MENU_ITEMS,   "item:rescue",      "Rescue system",                      NULL,                               false, ""     },
};

static struct boot_menu begin(void)
{
    return (struct boot_menu){.target_name = "laptop",
                              .lun = 3,
                              .entries = entries,
                              .entry_count = ARRAY_SIZE(entries),
                              .selected = "disk",
                              .timeout_ms = 10000,
                              .key = "00ff"};
}

static const char *menu_script(const struct boot_menu *menu)
{
    boot_script_menu(script_begin(&made), &server, menu);
    return script_end(&made);
}

static void test_offers_what_there_is(void **state)
{
    const struct boot_menu menu = begin();
    (void)state;
    const char *text = menu_script(&menu);
    check_script(text);
    assert_has(text, "menu netboot-target: laptop LUN 3\n");
    assert_has(text, "item --gap -- Linux, kernel by HTTP\nitem -- e0 Debian GNU/Linux, 6.1\n");
    assert_has(text, "item -- e1 Old one (not prepared: run setup/linux.sh)\n");
    assert_has(text, "item -- e2 Big one, as it was on 15:00 (too large)\n");
    assert_has(text, "item --gap -- Boot from the disk\nitem -- e3 Whatever");
    assert_has(text, "item --gap -- Others\nitem -- e4 Rescue system\n");
    assert_has(text, "choose --timeout ${wait} --default e3 choice && set wait 0 || goto stay\n");
    assert_has(text, "set wait 10000\n");
    assert_has(text, ":e0\nset choice entry:debian-6.1\ngoto take\n");
    assert_has(text, "/entry.ipxe?mac=");
    assert_has(text, "&key=00ff&preset=disk&choice=${choice} ||\n");
    assert_has(text, "/reload.ipxe?mac=");
    assert_lacks(text, "login");
}

/* A BIOS goes on whatever it is told, UEFI's boot manager only after a failure. */
static void test_leaving_goes_on_to_the_next_device(void **state)
{
    const struct boot_menu menu = begin();
    (void)state;
    assert_has(menu_script(&menu), ":leave\niseq ${platform} efi || exit 0\nexit 1\n");
}

static void test_what_has_a_problem_is_not_taken_at_once(void **state)
{
    const struct boot_menu menu = begin();
    (void)state;
    const char *text = menu_script(&menu);
    assert_has(text, ":e1\nset choice entry:old\necho\necho -- Old one:\n"
                     "echo -- not prepared: run setup/linux.sh\nprompt --key t ");
    assert_has(text, ":e2\nset choice entry:big\necho\necho -- Big one:\necho -- too large\n"
                     "prompt --timeout 30000 Press a key for the menu. ||\ngoto menu\n");
}

/* The time-out would take whatever stands there. */
static void test_no_time_out_without_a_good_default(void **state)
{
    static const char *const selected[] = {NULL, "entry:gone", "entry:old"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(selected); i++) {
        struct boot_menu menu = begin();
        menu.selected = selected[i];
        const char *text = menu_script(&menu);
        check_script(text);
        assert_has(text, "set wait 0\n:menu\n");
        assert_lacks(text, "--default");
    }
}

static void test_who_has_not_logged_in_can(void **state)
{
    struct boot_menu menu = begin();
    (void)state;
    menu.key = NULL;
    menu.note = "as it was on 2026-11-21 15:00";
    const char *text = menu_script(&menu);
    check_script(text);
    assert_has(text, "LUN 3, as it was on 2026-11-21 15:00\n");
    assert_has(text, "item --key l -- login Log in (l)\n");
    assert_has(text, ":reload\ngoto login\n");
    assert_has(text, "login || goto menu\n");
    assert_has(text, "chain --replace http://${username:uristring}:${password:uristring}@"
                     "192.168.200.1/login.ipxe?mac=${netX/mac:hexhyp}");
    assert_lacks(text, "key=");
}

static void test_help_is_one_screen(void **state)
{
    const struct boot_menu menu = begin();
    (void)state;
    const char *at = strstr(menu_script(&menu), ":help\n"), *end = strstr(at, "prompt ");
    unsigned lines = 0;
    for (at = strchr(at, '\n') + 1; at < end; at = strchr(at, '\n') + 1, lines++)
        assert_true(strcspn(at, "\n") <= sizeof "echo " - 1 + 79);
    assert_true(lines > 5 && lines < 23);
}

/* Whatever a disk, or who wrote the configuration, calls things. */
static void test_titles_stay_text(void **state)
{
    static const struct {
        const char *title, *shown;
    } cases[] = {
        {"a && shell",      "a ?? shell"     },
        {"a || reboot ; b", "a ?? reboot ? b"},
        {"${password}",     "?{password}"    },
        {"$ {x} # comment", "? {x} ? comment"},
        {"two\nshell",      "two?shell"      },
        {"\r:menu",         "?:menu"         },
        {"ends with \\",    "ends with ?"    },
        {"--key x",         "--key x"        },
        {"-d",              "-d"             },
        {"M\xc3\xbcnchen",  "M??nchen"       },
        {"\x1b[2J\x7f",     "?[2J?"          },
        {"",                ""               },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct boot_menu_entry hostile[] = {
            {BOOT_MENU_KERNELS, "entry:a", cases[i].title, cases[i].title, true, ""}
        };
        struct boot_menu menu = begin();
        char line[200];
        menu.entries = hostile;
        menu.entry_count = 1;
        menu.target_name = menu.note = cases[i].title;
        const char *text = menu_script(&menu);
        check_script(text);
        snprintf(line, sizeof line, "item -- e0 %s (%s)\n", cases[i].shown, cases[i].shown);
        assert_has(text, line);
        assert_lacks(text, "${password}");
    }
}

static void test_an_empty_menu_still_has_its_tools(void **state)
{
    struct boot_menu menu = begin();
    (void)state;
    menu.entry_count = 0;
    const char *text = menu_script(&menu);
    check_script(text);
    assert_has(text, "item --key s -- shell ");
}

/* 128 entries and 64 items, with the longest of titles. */
static void test_the_largest_menu_fits(void **state)
{
    static struct boot_menu_entry many[193];
    static char title[129];
    struct boot_menu menu = begin();
    (void)state;
    memset(title, 'x', sizeof title - 1);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
        many[i].title = many[i].problem = title;
        many[i].can_try = true;
        memset(many[i].choice, 'y', sizeof many[i].choice - 1);
    }
    menu.entries = many;
    menu.entry_count = ARRAY_SIZE(many);
    check_script(menu_script(&menu));
}

/* ── logging in ──────────────────────────────────────────────────────────────────────────────── */

static const char *login_script(const struct boot_rule *rule, enum boot_reason reason)
{
    const struct boot_client client = client_of(MAC, NULL, NULL);
    const struct boot_decision decision = {.verdict = BOOT_REFUSE, .reason = reason, .rule = rule};
    boot_script_login(script_begin(&made), &server, &client, &decision);
    return script_end(&made);
}

static void test_who_is_listed_is_asked_at_once(void **state)
{
    const struct boot_rule rule = {.menu = true};
    (void)state;
    const char *text = login_script(&rule, BOOT_REASON_PASSWORD);
    check_script(text);
    assert_has(text, "#!ipxe\ngoto login\n");
    assert_order(text, ":login\nlogin || goto ways\n", "/login.ipxe?mac=");
    assert_order(text, "/login.ipxe?mac=", "clear password ||\n");
}

static void test_a_stranger_is_told_first(void **state)
{
    (void)state;
    const char *text = login_script(NULL, BOOT_REASON_NOT_LISTED);
    check_script(text);
    assert_order(text, "{ mac = \"52:54:00:ab:cd:ef\", open = true }", "login || goto ways\n");
    assert_has(text, "Press a key to log in for the menu; next try in 30 seconds. && goto ways ||\n"
                     ":again\nchain --replace http://192.168.200.1/boot.ipxe?");
}

static void test_goes_on_to_the_menu(void **state)
{
    (void)state;
    boot_script_to_menu(script_begin(&made), &server, "It is ${in} use.", "00ff");
    const char *text = script_end(&made);
    check_script(text);
    assert_order(text, "echo -- It is ?{in} use.\n", "/menu.ipxe?mac=");
    assert_has(text, "&key=00ff&fresh=1 ||\n");
    boot_script_to_menu(script_begin(&made), &server, NULL, NULL);
    text = script_end(&made);
    check_script(text);
    assert_lacks(text, "key=");
    assert_lacks(text, "prompt");
}

static void test_choices_are_words(void **state)
{
    char longest[BOOT_CHOICE_BYTES + 1];
    (void)state;
    assert_true(boot_choice_is_valid("disk"));
    assert_true(boot_choice_is_valid("entry:a.b_c-1"));
    assert_false(boot_choice_is_valid(""));
    assert_false(boot_choice_is_valid("entry:${x}"));
    assert_false(boot_choice_is_valid("a b"));
    assert_false(boot_choice_is_valid("-a"));
    memset(longest, 'a', sizeof longest);
    longest[BOOT_CHOICE_BYTES] = '\0';
    assert_false(boot_choice_is_valid(longest));
    longest[BOOT_CHOICE_BYTES - 1] = '\0';
    assert_true(boot_choice_is_valid(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers_what_there_is),
        cmocka_unit_test(test_leaving_goes_on_to_the_next_device),
        cmocka_unit_test(test_what_has_a_problem_is_not_taken_at_once),
        cmocka_unit_test(test_no_time_out_without_a_good_default),
        cmocka_unit_test(test_who_has_not_logged_in_can),
        cmocka_unit_test(test_help_is_one_screen),
        cmocka_unit_test(test_titles_stay_text),
        cmocka_unit_test(test_an_empty_menu_still_has_its_tools),
        cmocka_unit_test(test_the_largest_menu_fits),
        cmocka_unit_test(test_who_is_listed_is_asked_at_once),
        cmocka_unit_test(test_a_stranger_is_told_first),
        cmocka_unit_test(test_goes_on_to_the_menu),
        cmocka_unit_test(test_choices_are_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
