/* test_diff.c - a reload must see every change of a target, and no change where there is none. */
#include "helper.h"

#include "config/internal.h"
#include <netboot-target/util/array.h>

static void targets_are_matched_by_name(void **state)
{
    (void)state;
    struct config *old = parse_good("targets = ({ name = \"a\"; luns = ({ device = \"/a\" }) },"
                                    "{ name = \"b\"; luns = ({ device = \"/b\" }) },"
                                    "{ name = \"c\"; luns = ({ device = \"/c\" }) })",
                                    0);
    struct config *new =
        parse_good("\n\ntargets = ({ name = \"d\"; luns = ({ device = \"/d\" }) },\n"
                   "{ name = \"c\"; luns = ({ device = \"/c\" }); hold = \"10m\" },\n"
                   "{ name = \"a\"; luns = ({ device = \"/a2\" }) })",
                   0);
    static const struct {
        enum config_change change;
        const char *old, *new;
    } wanted[] = {
        {CONFIG_CHANGED,   "a",  "a" },
        {CONFIG_REMOVED,   "b",  NULL},
        {CONFIG_UNCHANGED, "c",  "c" },
        {CONFIG_ADDED,     NULL, "d" }
    };
    struct config_diff diff;
    assert_int_equal(config_diff(old, new, &diff), 0);
    assert_int_equal(diff.targets.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        const struct config_target_change *change = &diff.targets.items[i];
        assert_int_equal(change->change, wanted[i].change);
        assert_int_equal(change->old != NULL, wanted[i].old != NULL);
        assert_int_equal(change->new != NULL, wanted[i].new != NULL);
        if (change->old)
            assert_string_equal(change->old->name, wanted[i].old);
        if (change->new)
            assert_string_equal(change->new->name, wanted[i].new);
    }
    config_diff_done(&diff);
    config_unref(old);
    config_unref(new);
}

/* What only the menu needs costs no session. */
static void kernels_are_changed_while_sessions_run(void **state)
{
    (void)state;
    struct config *old = parse_good("targets = ({ luns = ({ device = \"/a\" }) })", 0);
    struct config *new = parse_good("targets = ({ luns = ({ device = \"/a\" });"
                                    "kernels = { cmdline = \"root=x\" } })",
                                    0);
    struct config_diff diff;
    assert_int_equal(config_diff(old, new, &diff), 0);
    assert_int_equal(diff.targets.items[0].change, CONFIG_UNCHANGED);
    assert_false(config_same(old, new, "targets"));
    config_diff_done(&diff);
    config_unref(old);
    config_unref(new);
}

/* What a target does not give follows from keys outside of it. */
static void targets_follow_what_they_are_made_from(void **state)
{
    static const char authority[] = "iqn-authority = \"iqn.2026-11.local.x\"; ";
    static const char key[] = "secret-key = \"0123456789abcdef0123456789abcdef\"; ";
    static const struct {
        const char *outside, *target;
        enum config_change change;
    } rows[] = {
        {authority, "",                                                                         CONFIG_CHANGED  },
        {authority, "iqn = \"iqn.2026-11.local.y\"",                                            CONFIG_UNCHANGED},
        {key,       "",                                                                         CONFIG_CHANGED  },
        {key,       "auth = { secret = \"twelve-chars\" }",                                     CONFIG_CHANGED  },
        {key,       "auth = { mode = \"chap\"; secret = \"twelve-chars\" }",                    CONFIG_UNCHANGED},
        {key,       "auth = { mode = \"chap\" }",                                               CONFIG_CHANGED  },
        {key,       "auth = { mode = \"none\" }",                                               CONFIG_UNCHANGED},
        {key,       "auth = { secret = \"twelve-chars\"; target-secret = \"another-twelve\" }",
         CONFIG_UNCHANGED                                                                                       },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[512];
        struct config_diff diff;
        snprintf(text, sizeof text, "targets = ({ " DISK "; %s })", rows[i].target);
        struct config *old = parse_good(text, 0);
        snprintf(text, sizeof text, "%stargets = ({ " DISK "; %s })", rows[i].outside,
                 rows[i].target);
        struct config *new = parse_good(text, 0);
        assert_int_equal(config_diff(old, new, &diff), 0);
        assert_int_equal(diff.targets.items[0].change, rows[i].change);
        config_diff_done(&diff);
        config_unref(old);
        config_unref(new);
    }
}

/* One key of a target each; all of them differ from the plain one and from each other. */
static void every_change_is_seen(void **state)
{
    static const char *const variants[] = {"",
                                           "iqn = \"iqn.2026-11.local.x\"",
                                           "alias = \"x\"",
                                           "first-lun = 1",
                                           "initiators = \"a*\"",
                                           "initiators = [ \"a*\", \"b*\" ]",
                                           "addresses = \"10.0.0.0/8\"",
                                           "addresses = \"10.0.0.0/9\"",
                                           "shared = true",
                                           "hold = \"1s\"",
                                           "open = true",
                                           "digests = \"require\"",
                                           "auth = { mode = \"none\" }",
                                           "auth = { user = \"u\" }",
                                           "auth = { secret = \"twelve-chars\" }",
                                           "auth = { secret = \"twelve-charz\" }",
                                           "auth = { target-secret = \"twelve-chars\" }",
                                           "auth = { target-user = \"u\" }",
                                           "auth = { algorithms = \"md5\" }"};
    enum { COUNT = sizeof variants / sizeof *variants };
    struct config *configs[COUNT];
    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        char text[512];
        snprintf(text, sizeof text, "targets = ({ " DISK "; %s })", variants[i]);
        configs[i] = parse_good(text, 0);
    }
    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned j = 0; j < COUNT; j++)
            assert_int_equal(config_same(configs[i], configs[j], "targets"), i == j);
    for (unsigned i = 0; i < COUNT; i++)
        config_unref(configs[i]);
}

static void sections_are_apart(void **state)
{
    (void)state;
    struct config *one = parse_good("targets = ({" DISK "})", 0);
    struct config *two =
        parse_good("log-level = \"info\"\nlimits = { logins = 63 }\ntargets = ({" DISK "})", 0);
    assert_false(config_same(one, two, "limits"));
    assert_true(config_same(one, two, "targets"));
    assert_true(config_same(one, two, "portals"));
    assert_true(config_same(one, two, "log-level"));
    assert_false(config_same(one, two, "no-such-key"));
    config_unref(one);
    config_unref(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_matched_by_name),
        cmocka_unit_test(kernels_are_changed_while_sessions_run),
        cmocka_unit_test(targets_follow_what_they_are_made_from),
        cmocka_unit_test(every_change_is_seen),
        cmocka_unit_test(sections_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
