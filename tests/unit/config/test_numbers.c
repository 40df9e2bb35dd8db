/* test_numbers.c - durations, sizes, integers, words and truth values. */
#include "helper.h"

#include "config/internal.h"

struct number_case {
    const char *text;
    uint64_t value;
};

static void check_good(const struct value_type *type, uint64_t maximum,
                       const struct number_case *cases, size_t count)
{
    struct key key = {.name = "k", .type = type, .maximum = maximum};
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        struct value_input input = {.key = &key, .text = cases[i].text};
        assert_int_equal(type->parse(&input, &value, NULL), 0);
        assert_int_equal(value, cases[i].value);
    }
}

static void check_bad(const struct value_type *type, const char *const *texts)
{
    struct key key = {.name = "k", .type = type, .minimum = 1, .maximum = 1000000};
    for (; *texts; texts++) {
        uint64_t value = 4711;
        struct error why = {""};
        struct value_input input = {.key = &key, .text = *texts};
        assert_int_not_equal(type->parse(&input, &value, &why), 0);
        assert_int_equal(value, 4711);
        assert_true(why.text[0] != '\0');
    }
}

static void durations(void **state)
{
    static const struct number_case good[] = {
        {"500ms",             500            },
        {"30s",               30000          },
        {"2m",                120000         },
        {"1h",                3600000        },
        {"1d",                86400000       },
        {"0",                 0              },
        {"0s",                0              },
        {"999999999999999ms", 999999999999999}
    };
    static const char *const bad[] = {"30",  "s",
                                      "-1s", " 1s",
                                      "1 s", "1s ",
                                      "1w",  "1.5s",
                                      "",    "9999999999999999s",
                                      "0s",  "2000000ms",
                                      "1S",  "999999999999999d",
                                      NULL};
    (void)state;
    check_good(&value_duration, UINT64_MAX, good, sizeof good / sizeof *good);
    check_bad(&value_duration, bad);
}

static void sizes(void **state)
{
    static const struct number_case good[] = {
        {"4096", 4096      },
        {"1K",   1024      },
        {"256M", 256u << 20},
        {"8G",   8ull << 30},
        {"2T",   2ull << 40}
    };
    static const char *const bad[] = {"1KB", "-1",   "K",          "1.5M", "",
                                      "0",   "0x10", "100000000T", NULL};
    (void)state;
    check_good(&value_size, UINT64_MAX, good, sizeof good / sizeof *good);
    check_bad(&value_size, bad);
}

static void integers(void **state)
{
    static const char *const bad[] = {"-1", "", "1x", "0x1", "0", "1000001", "4294967297", NULL};
    struct key key = {.name = "k", .type = &value_integer, .maximum = UINT32_MAX};
    uint32_t value = 0;
    struct value_input input = {.key = &key, .text = "4294967295"};
    (void)state;
    assert_int_equal(value_integer.parse(&input, &value, NULL), 0);
    assert_int_equal(value, UINT32_MAX);
    check_bad(&value_integer, bad);
}

static void ranges_are_told_in_their_units(void **state)
{
    (void)state;
    expect_error("limits = { login-deadline = \"1h\" }; targets = ({" DISK "})",
                 "test.conf:1: limits.login-deadline: 1h is out of range: it is from 1s to 10m");
    expect_error("io = { memory = \"1M\" }; targets = ({" DISK "})",
                 "test.conf:1: io.memory: 1M is out of range: it is from 16M to 1T");
    expect_error("limits = {\n queue-depth = 5000 }; targets = ({" DISK "})",
                 "test.conf:2: limits.queue-depth: 5000 is out of range: it is from 1 to 4096");
}

static void words_and_kinds(void **state)
{
    (void)state;
    expect_error("targets = ({" DISK "; digests = \"crc32c\" })",
                 "test.conf:1: targets.digests: \"crc32c\" is none of \"none\", \"allow\", "
                 "\"prefer\", \"require\"");
    expect_error("targets = ({" DISK "; shared = \"yes\" })",
                 "test.conf:1: targets.shared: the value is no truth value");
    expect_error("targets = ({" DISK "; hold = 30 })",
                 "test.conf:1: targets.hold: the value is no quoted duration");
    expect_error("limits = { queue-depth = \"7\" }; targets = ({" DISK "})",
                 "test.conf:1: limits.queue-depth: the value is no whole number");
    expect_error("limits = { queue-depth = -7 }; targets = ({" DISK "})",
                 "test.conf:1: limits.queue-depth: \"-7\" is no whole number");
    expect_error("limits = { queue-depth = 7.5 }; targets = ({" DISK "})",
                 "test.conf:1: limits.queue-depth: the value is no whole number");
}

static void values_arrive(void **state)
{
    (void)state;
    struct config *config = parse_good("targets = ({" DISK "; hold = \"45s\"; shared = true;"
                                       " digests = \"require\" });"
                                       "io = { memory = 33554432; engine = \"threads\" }",
                                       0);
    assert_int_equal(config->targets.items[0].hold_ms, 45000);
    assert_true(config->targets.items[0].shared);
    assert_int_equal(config->targets.items[0].digests, CONFIG_DIGESTS_REQUIRE);
    assert_int_equal(config->io.memory_bytes, 32u << 20);
    assert_int_equal(config->io.engine, CONFIG_ENGINE_THREADS);
    config_unref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),       cmocka_unit_test(sizes),
        cmocka_unit_test(integers),        cmocka_unit_test(ranges_are_told_in_their_units),
        cmocka_unit_test(words_and_kinds), cmocka_unit_test(values_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
