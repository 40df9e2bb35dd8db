/* test_check.c - what must be unique, and the helpers that all checks share. */
#include "helper.h"

#define TARGET(name, device) "{ name = \"" name "\"; luns = ({ device = \"" device "\" }) }"

static void names(void **state)
{
    (void)state;
    expect_error(
        "targets = (\n" TARGET("a", "/a") ",\n" TARGET("b", "/b") ",\n" TARGET("a", "/c") ")",
        "test.conf:4: the target name a is given twice, first in the group of line 2;");
    expect_error("targets = ({ luns = ({ device = \"/a\" }); iqn = \"iqn.2026-11.local.x\" },\n"
                 "{ luns = ({ device = \"/b\" }); iqn = \"IQN.2026-11.LOCAL.X\" })",
                 "test.conf:2: the iSCSI name iqn.2026-11.local.x is given twice");
    expect_error("targets = (" TARGET("target-2", "/a") ",\n{ luns = ({ device = \"/b\" }) })",
                 "test.conf:2: the target name target-2 is given twice");
}

static void luns(void **state)
{
    (void)state;
    expect_error("targets = ({ luns = ( { device = \"/a\", lun = 1 },\n"
                 "{ device = \"/b\" },\n"
                 "{ device = \"/c\", lun = 2 } ) })",
                 "test.conf:3: the LUN number is given twice, first in the group of line 2;");
    expect_error("targets = ({ first-lun = 255; luns = ( { device = \"/a\" },\n"
                 "{ device = \"/b\" } ) })",
                 "test.conf:2: target target-1: LUN 256 is beyond 255");
    expect_error("targets = ({ luns = ( { device = \"/a\";\n disk-with = \"UUID=1\" } ) })",
                 "test.conf:2: target target-1: a LUN has a device or disk-with, not both");
    expect_error("targets = ({ luns = ( { } ) })",
                 "test.conf:1: target target-1: the LUN has no disk: add device");
    expect_error("targets = ({ name = \"a\" })",
                 "test.conf:1: target a has no disk: add luns = ( { device");
    expect_error("targets = ({ name = \"a\";\nluns = () })",
                 "test.conf:2: target a has an empty list of luns");
}

#define READ_ONLY(key) "targets = ({ luns = ({ device = \"/a\"; read-only = true;\n" key " }) })"

static void keys_without_effect(void **state)
{
    (void)state;
    expect_problem("targets = ({ " DISK "; shared = true;\n others = \"read-only\" })",
                   "test.conf:2: target target-1: others has no effect: shared", true);
    expect_problem(READ_ONLY("sanitize = true"),
                   "test.conf:2: target target-1: sanitize has no effect: LUN 0 is read-only",
                   true);
    expect_problem(READ_ONLY("write = \"direct\""),
                   "test.conf:2: target target-1: write has no effect: LUN 0 is read-only", true);
    config_unref(parse_good(READ_ONLY("sanitize = false; write = \"auto\""), 0));
    config_unref(parse_good("targets = ({ " DISK "; others = \"read-only\" })", 0));
}

static void kernels(void **state)
{
    (void)state;
    expect_error(
        "targets = ({ luns = ({ device = \"/a\" });\n kernels = { partition = \"/dev/sda1\" } })",
        "test.conf:2: target target-1: kernels.partition is UUID=…");
    expect_error(
        "targets = ({ luns = ({ device = \"/a\" });\n kernels = { partition = \"UUID=\" } })",
        "test.conf:2: target target-1: kernels.partition is UUID=…");
    expect_error("targets = ({ luns = ({ device = \"/a\" });\n kernels = { path = \"boot\" } })",
                 "test.conf:2: targets.kernels.path:");
}

/* Longer than what uses them has room for. */
static void long_paths(void **state)
{
    char path[384] = "/", text[1024];
    (void)state;
    memset(path + 1, 'p', sizeof path - 2);
    snprintf(text, sizeof text, "targets = ({ " DISK " });\nstate-directory = \"%s\"", path);
    struct config *config = parse_good(text, 0);
    assert_string_equal(config->state_directory, path);
    config_unref(config);
    snprintf(text, sizeof text, "targets = ({ " DISK " });\nstate-directory = \"%sp\"", path);
    expect_error(text, "test.conf:2: state-directory: \"/ppp");
    snprintf(text, sizeof text,
             "targets = ({ " DISK ";\nkernels = { path = \"%s/0123456789abcdefgh\" } })", path);
    expect_error(text, "test.conf:2: targets.kernels.path: \"/ppp");
}

static void disks(void **state)
{
    (void)state;
    expect_error("targets = (" TARGET("a", "/dev/sda") ",\n" TARGET("b", "/dev//./sda") ")",
                 "test.conf:2: the disk /dev/sda is given twice, first in the group of line 1;");
    expect_error("targets = (" TARGET("a", "UUID=x") ",\n{ luns = ({ disk-with = \"UUID=x\" }) })",
                 "test.conf:2: the disk UUID=x is given twice");
    expect_error("targets = (" TARGET(
                     "a", "/srv/a.img") ");\n"
                                        "clients = ({ serial = \"1\"; device = \"/srv/a.img\" })",
                 "test.conf:2: the disk /srv/a.img is given twice");
    expect_error("targets = ({ luns = ({ device = \"/a\"; naa = \"3112233445566778\" },\n"
                 "{ device = \"/b\"; naa = \"0x3112233445566778\" }) })",
                 "test.conf:2: the designator is given twice");
    expect_error("targets = ({ luns = ({ device = \"/a\"; serial = \"S1\" },\n"
                 "{ device = \"/b\"; serial = \"S1\" }) })",
                 "test.conf:2: the serial S1 is given twice");
}

/* More problems than are kept: the rest is counted. */
static void very_many(void **state)
{
    struct config_errors errors = {0};
    char *text = NULL;
    size_t length = 0;
    (void)state;
    FILE *file = open_memstream(&text, &length);
    fputs("targets = (" TARGET("a", "/a"), file);
    for (int i = 0; i < 250; i++)
        fputs(",\n" TARGET("a", "/a"), file);
    fputs(")", file);
    assert_int_equal(fclose(file), 0);
    assert_null(parse(text, &errors));
    assert_int_equal(errors.count, 100);
    assert_int_equal(errors.errors, 500);
    assert_int_equal(errors.suppressed, 400);
    config_errors_done(&errors);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),     cmocka_unit_test(luns),
        cmocka_unit_test(kernels),   cmocka_unit_test(keys_without_effect),
        cmocka_unit_test(disks),     cmocka_unit_test(long_paths),
        cmocka_unit_test(very_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
