/* test_check_menu.c - the menu's items and its default */
#include "helper.h"

#define TAIL       "; targets = ({ name = \"laptop\"; " DISK "})"
#define MENU(keys) "menu = {\n" keys "\n}" TAIL

static void items(void **state)
{
    (void)state;
    struct config *config = parse_good(
        MENU("default = \"item:item-2\"; items = ({ title = \"Rescue\"; target = \"laptop\" },"
             " { script = [ \"set a b\", \"shell\" ] })"),
        0);
    const struct config_menu *menu = &config->menu;
    assert_int_equal(menu->items.count, 2);
    assert_string_equal(menu->items.items[0].name, "item-1");
    assert_string_equal(menu->items.items[0].title, "Rescue");
    assert_int_equal(menu->items.items[0].lun, CONFIG_UNSET);
    assert_string_equal(menu->items.items[1].title, "item-2");
    assert_int_equal(menu->items.items[1].script.count, 2);
    assert_string_equal(menu->items.items[1].script.items[0], "set a b");
    config_unref(config);
}

static void problems(void **state)
{
    (void)state;
    expect_error(MENU("items = ({ name = \"a\"; target = \"desktop\" })"),
                 "test.conf:2: menu item a: there is no target desktop");
    expect_error(MENU("items = ({ name = \"a\"; target = \"laptop\"; lun = 7 })"),
                 "test.conf:2: menu item a: target laptop has no LUN 7");
    expect_error(MENU("items = ({ name = \"a\"; lun = 7; script = [ \"shell\" ] })"),
                 "test.conf:2: menu item a: a LUN of which target?");
    expect_error(MENU("items = ({ name = \"a\" })"),
                 "test.conf:2: menu item a: it needs a target, or a script");
    expect_error(MENU("items = ({ name = \"a\"; script = [ \"shell\" ] },\n"
                      "{ name = \"a\"; script = [ \"shell\" ] })"),
                 "test.conf:3: the menu item a is given twice");
    expect_error(MENU("default = \"item:a\""), "test.conf:2: the default item:a is none of");
}

static void defaults(void **state)
{
    static const char *const good[] = {"disk", "kernel", "entry:debian-6.1"};
    static const char *const bad[] = {"none", "entry:", "item:a b", "entry:${x}", "Disk"};
    char text[200];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(text, sizeof text, "menu = { default = \"%s\" }" TAIL, good[i]);
        struct config *config = parse_good(text, 0);
        assert_string_equal(config->menu.choice, good[i]);
        config_unref(config);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct config_errors errors = {0};
        snprintf(text, sizeof text, "menu = { default = \"%s\" }" TAIL, bad[i]);
        assert_null(parse(text, &errors));
        config_errors_done(&errors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items),
        cmocka_unit_test(problems),
        cmocka_unit_test(defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
