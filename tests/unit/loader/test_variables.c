/* test_variables.c - GRUB's environment */
#include "fixture.h"

static void test_environment(void **state)
{
    struct loader_variables *variables = loader_variables_new();
    (void)state;
    assert_false(loader_variables_read_environment(variables, TEXT("kernelopts=x\n")));
    assert_string_equal(loader_variables_get(variables, "kernelopts"), "");
    assert_true(loader_variables_read_environment(
        variables, TEXT("# GRUB Environment Block\nkernelopts=root=a ro\nempty=\n1x=bad\nno line\n"
                        "path=C:\\\\x\nkernelopts=root=b ro\n##########")));
    assert_string_equal(loader_variables_get(variables, "kernelopts"), "root=b ro");
    assert_string_equal(loader_variables_get(variables, "path"), "C:\\x");
    assert_string_equal(loader_variables_get(variables, "empty"), "");
    assert_string_equal(loader_variables_get(variables, "1x"), "");
    loader_variables_free(variables);
}

static void test_grub_cfg(void **state)
{
    struct loader_variables *variables = loader_variables_new();
    (void)state;
    loader_variables_read_grub_cfg(
        variables, TEXT("set a=\"one two\"\n  set b='three'\nset c=four # no\nset\nset d\n"
                        "settle e=5\nif [ x ]; then set f=6; fi\nset a=\"\\\"q\\\"\"\n"));
    assert_string_equal(loader_variables_get(variables, "a"), "\"q\"");
    assert_string_equal(loader_variables_get(variables, "b"), "three");
    assert_string_equal(loader_variables_get(variables, "c"), "four");
    assert_string_equal(loader_variables_get(variables, "e"), "");
    loader_variables_free(variables);
}

static void test_expansion(void **state)
{
    static const struct {
        const char *text, *expanded;
    } rows[] = {
        {"$a",       "1"     },
        {"x${a}y$b", "x1y$a" },
        {"$unset|",  "|"     },
        {"$",        "$"     },
        {"$$a",      "$1"    },
        {"${a",      "${a"   },
        {"${}",      "${}"   },
        {"$1",       "$1"    },
        {"a=$(x)",   "a=$(x)"},
    };
    struct loader_variables *variables = loader_variables_new();
    (void)state;
    loader_variables_read_grub_cfg(variables, TEXT("set a=1\nset b='$a'\n"));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buffer out;
        buffer_init(&out, 100);
        loader_expand(&out, rows[i].text, variables);
        assert_string_equal(buffer_string(&out), rows[i].expanded);
        buffer_done(&out);
    }
    loader_variables_free(variables);
}

static void test_what_is_lacking(void **state)
{
    static const struct {
        const char *text;
        bool lacks;
    } rows[] = {
        {"$kernelopts x",   true },
        {"a ${kernelopts}", true },
        {"$kernelopts2",    false},
        {"kernelopts",      false},
        {"$a $",            false},
        {"",                false},
    };
    struct loader_variables *variables = loader_variables_new();
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(loader_lacks(rows[i].text, "kernelopts", variables), rows[i].lacks);
    loader_variables_read_grub_cfg(variables, TEXT("set kernelopts=ro\n"));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_false(loader_lacks(rows[i].text, "kernelopts", variables));
    loader_variables_free(variables);
}

/* A file full of names costs a bounded amount. */
static void test_the_limit(void **state)
{
    struct loader_variables *variables = loader_variables_new();
    char line[64];
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "set v%u=%u\n", i, i);
        loader_variables_read_grub_cfg(variables, TEXT(line));
    }
    assert_string_equal(loader_variables_get(variables, "v255"), "255");
    assert_string_equal(loader_variables_get(variables, "v256"), "");
    loader_variables_read_grub_cfg(variables, TEXT("set v1=new\n"));
    assert_string_equal(loader_variables_get(variables, "v1"), "new");
    loader_variables_free(variables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment), cmocka_unit_test(test_grub_cfg),
        cmocka_unit_test(test_expansion),   cmocka_unit_test(test_what_is_lacking),
        cmocka_unit_test(test_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
