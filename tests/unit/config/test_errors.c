/* test_errors.c - the guess at what was meant. */
#include "helper.h"

#include "config/internal.h"

static void nearest(void **state)
{
    static const char *const words[] = {"device", "disk-with", "lun", "read-only", "write"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"device",    "device"   },
        {"devce",     "device"   },
        {"dveice",    "device"   },
        {"luns",      "lun"      },
        {"readonly",  "read-only"},
        {"read_only", "read-only"},
        {"wirte",     "write"    },
        {"something", NULL       },
        {"",          NULL       }
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = nearest_word(cases[i].word, words, 5);
        if (cases[i].nearest)
            assert_string_equal(found, cases[i].nearest);
        else
            assert_null(found);
    }
}

static void long_words(void **state)
{
    char word[200];
    const char *words[] = {word, "short"};
    (void)state;
    memset(word, 'x', sizeof word);
    word[sizeof word - 1] = '\0';
    assert_null(nearest_word(word, words, 2));
    assert_string_equal(nearest_word("shor", words, 2), "short");
}

static void none_at_all(void **state)
{
    (void)state;
    assert_null(nearest_word("x", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest),
        cmocka_unit_test(long_words),
        cmocka_unit_test(none_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
