/* Logins whose authentication fails, or is evaded. */
#include "iscsi/connection.h"
#include "login_fixture.h"
#include <netboot-target/util/array.h>

/* On the wire nothing tells a wrong name from a wrong secret. */
static void test_chap_failures_look_alike(void **state)
{
    (void)state;
    static const char *const credentials[][2] = {
        {USER,      "another-secret-x"},
        {"nobody",  SECRET            },
        {"nobody",  "another-secret-x"},
        {USER,      ""                },
        {"",        SECRET            },
        {"CLIENT",  SECRET            },
        {"client2", SECRET            },
        {"clien",   SECRET            },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(credentials); i++) {
        struct fixture fixture;
        struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
        char response[512];
        fixture_init(&fixture, &options);
        send_text(&fixture, T(0, 1), NAMES "AuthMethod=CHAP,None\n");
        send_text(&fixture, T(0, 1), "CHAP_A=5\n");
        respond_to_challenge(&fixture, "MD5", credentials[i][0], credentials[i][1], response);
        assert_int_equal(send_text(&fixture, T(0, 1), response), ISCSI_LOGIN_REFUSE);
        check_status(&fixture, 0x0201);
        assert_null(strstr(fixture.answer.reason, SECRET));
        fixture_done(&fixture);
    }
}

static void test_authentication_cannot_be_skipped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned flags;
        const char *text;
    } cases[] = {
        {"None is offered",            T(0,     1),                             NAMES "AuthMethod=None\n"},
        {"nothing is offered",         T(0,     1),                             NAMES                    },
        {"straight to the end",        T(0,     3),                             NAMES                    },
        {"operational stage",          T(1,     3),                             NAMES                    },
        {"operational stage, staying", STAY(1), NAMES                         },
        {"no method, but an algorithm",                         T(0,      1),             NAMES "CHAP_A=5\n"                         },
        {"part of a word",                         T(0,      1), NAMES "AuthMethod=CHAPS,CHA\n"},
        {"other case",                         T(0,      1),      NAMES "AuthMethod=chap\n"                         },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture fixture;
        struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
        fixture_init(&fixture, &options);
        if (send_text(&fixture, cases[i].flags, cases[i].text) != ISCSI_LOGIN_REFUSE)
            fail_msg("%s was not refused", cases[i].name);
        check_status(&fixture, 0x0201);
        fixture_done(&fixture);
    }
}

static void test_chap_in_the_middle_cannot_be_left(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
    fixture_init(&fixture, &options);
    send_text(&fixture, T(0, 1), NAMES "AuthMethod=CHAP\n");
    assert_int_equal(send_text(&fixture, T(0, 3), ""), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    send_text(&fixture, T(0, 1), "CHAP_A=5\n");
    assert_int_equal(send_text(&fixture, T(0, 3), ""), ISCSI_LOGIN_ANSWER);
    check_stage(&fixture, false, 0, 0);
    assert_int_equal(send_text(&fixture, T(1, 3), ""), ISCSI_LOGIN_REFUSE);
    fixture_done(&fixture);
}

/* RFC 7143 §12.1.3: a second connection is opened to have our challenge answered by ourselves. */
static void test_challenge_of_another_connection(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_MUTUAL);
    char first[128], response[512];
    fixture_init(&fixture, &options);
    send_text(&fixture, T(0, 1), NAMES "AuthMethod=CHAP\n");
    send_text(&fixture, T(0, 1), "CHAP_A=5\n");
    snprintf(first, sizeof first, "%s", find_value(&fixture.answer.text, "CHAP_C"));
    struct iscsi_connection other = {.login = fixture.login};
    other.prev = &other;
    fixture.node->connections = &other;
    fixture.login = NULL;

    send_text(&fixture, T(0, 1), NAMES "AuthMethod=CHAP\n");
    send_text(&fixture, T(0, 1), "CHAP_A=5\n");
    assert_string_not_equal(first, find_value(&fixture.answer.text, "CHAP_C"));
    respond_to_challenge(&fixture, "MD5", USER, SECRET, response);
    sprintf(response + strlen(response), "CHAP_I=1\nCHAP_C=%s\n", first);
    assert_int_equal(send_text(&fixture, T(0, 1), response), ISCSI_LOGIN_REFUSE);
    check_status(&fixture, 0x0201);
    fixture.node->connections = NULL;
    iscsi_login_free(other.login);
    fixture_done(&fixture);
}

static void test_challenge_is_ours_only_while_it_is_open(void **state)
{
    (void)state;
    struct fixture fixture;
    struct iscsi_target_options options = chap_options(ISCSI_AUTH_CHAP);
    char response[512];
    size_t length = 0;
    fixture_init(&fixture, &options);
    send_text(&fixture, T(0, 1), NAMES "AuthMethod=CHAP\n");
    assert_null(iscsi_login_challenge(fixture.login, &length));
    send_text(&fixture, T(0, 1), "CHAP_A=6\n");
    assert_non_null(iscsi_login_challenge(fixture.login, &length));
    assert_int_equal(length, 20);
    respond_to_challenge(&fixture, "SHA1", USER, SECRET, response);
    send_text(&fixture, T(0, 1), response);
    assert_null(iscsi_login_challenge(fixture.login, &length));
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chap_failures_look_alike),
        cmocka_unit_test(test_authentication_cannot_be_skipped),
        cmocka_unit_test(test_chap_in_the_middle_cannot_be_left),
        cmocka_unit_test(test_challenge_of_another_connection),
        cmocka_unit_test(test_challenge_is_ours_only_while_it_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
