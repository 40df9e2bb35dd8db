/* test_check_auth.c - CHAP rules, across the whole file. */
#include "helper.h"

#define WITH(auth) "targets = ({ " DISK ";\n auth = {\n" auth " } })"

static void modes(void **state)
{
    (void)state;
    expect_error(
        WITH("mode = \"none\";\n user = \"me\""),
        "test.conf:4: target target-1: auth.user is given but mode \"none\" lets everyone");
    expect_error(WITH("mode = \"none\";\n secret = \"twelve-chars\""),
                 "test.conf:4: target target-1: auth.secret is given but mode \"none\"");
    expect_error(WITH("mode = \"chap\";\n target-secret = \"twelve-chars\""),
                 "test.conf:4: target target-1: auth.target-secret is given but only mode "
                 "\"mutual\"");
    config_unref(parse_good(WITH("mode = \"none\""), 0));
    config_unref(parse_good(WITH("mode = \"chap\"; user = \"me\"; secret = \"twelve-chars\""), 0));
    config_unref(parse_good("discovery-auth = { mode = \"chap\"; secret = \"twelve-chars\" };"
                            "targets = ({" DISK "})",
                            0));
    expect_error("discovery-auth = { secret = \"twelve-chars\" }; targets = ({" DISK "})",
                 "test.conf:1: discovery: auth.secret is given but mode \"none\"");
}

static void lengths(void **state)
{
    (void)state;
    expect_error(WITH("secret = \"eleven-char\""),
                 "test.conf:3: targets.auth.secret: the secret has 11 characters; it takes from 12 "
                 "to 255");
    expect_error("menu = { password = \"seven--\" }; targets = ({" DISK "})",
                 "test.conf:1: menu.password: the secret has 7 characters; it takes from 8 to 255");
}

static void never_the_same_both_ways(void **state)
{
    (void)state;
    expect_error(WITH("secret = \"twelve-chars\";\n target-secret = \"twelve-chars\""),
                 "test.conf:4: the secret of user target-1 is also the secret of target user "
                 "netboot-target");
    expect_error("targets = ({ name = \"a\"; luns = ({ device = \"/a\" });"
                 " auth = { secret = \"twelve-chars\" } },\n"
                 "{ name = \"b\"; luns = ({ device = \"/b\" });\n"
                 " auth = { target-secret = \"twelve-chars\" } })",
                 "test.conf:3: the secret of user a is also the secret of target user");
    config_unref(
        parse_good(WITH("secret = \"twelve-chars\"; target-secret = \"other-twelve\""), 0));
}

static void shared_by_two_users(void **state)
{
    (void)state;
    expect_problem("targets = ({ name = \"a\"; luns = ({ device = \"/a\" });"
                   " auth = { secret = \"twelve-chars\" } },"
                   "{ name = \"b\"; luns = ({ device = \"/b\" });"
                   " auth = { secret = \"twelve-chars\" } })",
                   "test.conf:1: users ", true);
    config_unref(parse_good("targets = ({ name = \"a\"; luns = ({ device = \"/a\" });"
                            " auth = { user = \"u\"; secret = \"twelve-chars\" } },"
                            "{ name = \"b\"; luns = ({ device = \"/b\" });"
                            " auth = { user = \"u\"; secret = \"twelve-chars\" } })",
                            0));
}

static void algorithms(void **state)
{
    (void)state;
    expect_error(WITH("algorithms = [ \"md5\", \"sha1\", \"md5\" ]"),
                 "test.conf:3: target target-1: auth.algorithms names one twice");
    expect_error(WITH("algorithms = []"), "test.conf:3: target target-1: auth.algorithms is empty");
    expect_error(WITH("algorithms = [ \"md4\" ]"),
                 "test.conf:3: targets.auth.algorithms: \"md4\" is none of \"md5\", \"sha1\"");
    struct config *config = parse_good(WITH("algorithms = \"sha256\""), 0);
    assert_int_equal(config->targets.items[0].auth.algorithms.count, 1);
    assert_int_equal(config->targets.items[0].auth.algorithms.items[0], 7);
    config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes),
        cmocka_unit_test(lengths),
        cmocka_unit_test(never_the_same_both_ways),
        cmocka_unit_test(shared_by_two_users),
        cmocka_unit_test(algorithms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
