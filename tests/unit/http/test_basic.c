/* test_basic.c - Basic access authentication: who is let in, and what cannot be read */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

static const struct {
    const char *field; /* NULL: none came */
    enum http_digest_verdict verdict;
} cases[] = {
    {NULL,                               HTTP_DIGEST_MISSING  },
    {"",                                 HTTP_DIGEST_MISSING  },
    {"Basic",                            HTTP_DIGEST_MISSING  },
    {"Basics bWU6Y29ycmVjdDpob3JzZQ==",  HTTP_DIGEST_MISSING  },
    {"Digest username=\"me\"",           HTTP_DIGEST_MISSING  },
    {"Basic bWU6Y29ycmVjdDpob3JzZQ==",   HTTP_DIGEST_GRANTED  }, /* me:correct:horse */
    {"bASIC   bWU6Y29ycmVjdDpob3JzZQ==", HTTP_DIGEST_GRANTED  },
    {"Basic bWU6Y29ycmVjdDpob3JzZQ",     HTTP_DIGEST_MALFORMED}, /* no padding */
    {"Basic bWU6Y29ycmVjdDpob3JzZQ== ",  HTTP_DIGEST_MALFORMED},
    {"Basic bWU6Y29ycmVjdDpob3JzZQ=a",   HTTP_DIGEST_MALFORMED},
    {"Basic bWU6Y29ycmVjdDpob3JzZR===",  HTTP_DIGEST_MALFORMED},
    {"Basic ====",                       HTTP_DIGEST_MALFORMED},
    {"Basic ",                           HTTP_DIGEST_MALFORMED},
    {"Basic bWVjb3JyZWN0",               HTTP_DIGEST_MALFORMED}, /* no colon */
    {"Basic bWU6Y29ycmVjdDpob3JzZXM=",   HTTP_DIGEST_DENIED   }, /* one sign more */
    {"Basic bWU6Y29ycmVjdDpob3Jz",       HTTP_DIGEST_DENIED   }, /* one less */
    {"Basic eW91OmNvcnJlY3Q6aG9yc2U=",   HTTP_DIGEST_DENIED   }, /* another user */
    {"Basic Og==",                       HTTP_DIGEST_DENIED   }, /* ":" */
    {"Basic bWU6Y29ycmVjdDpob3JzZQA=",   HTTP_DIGEST_DENIED   }, /* a NUL behind */
};

static void test_verdicts(void **state)
{
    (void)state;
    const struct http_digest digest = {
        .realm = "netboot", .user = "me", .password = "correct:horse"};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct http_request request = {.authorization = cases[i].field};
        if (http_basic_check(&digest, &request) != cases[i].verdict)
            fail_msg("case %zu: %s", i, cases[i].field ? cases[i].field : "none");
    }
}

static void test_too_long(void **state)
{
    (void)state;
    char field[4096] = "Basic ";
    const struct http_digest digest = {.realm = "netboot", .user = "me", .password = "x"};
    const struct http_request request = {.authorization = field};
    memset(field + 6, 'A', 2048);
    assert_int_equal(http_basic_check(&digest, &request), HTTP_DIGEST_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
