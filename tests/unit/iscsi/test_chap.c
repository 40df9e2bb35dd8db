/* test_chap.c - CHAP with known answers (computed with another implementation), and every way to
 * get past it. The fixture's random source counts, so identifier and challenge are 0 and 1, 2, 3 …
 */
#include "iscsi/chap.h"
#include "login_fixture.h"
#include <netboot-target/util/array.h>

#define THEIR_CHALLENGE "0xa0a1a2a3a4a5a6a7a8a9aaabacadaeaf"

struct talk {
    struct counting_random random;
    struct iscsi_node *node;
    struct iscsi_chap chap;
    struct iscsi_auth auth;
    uint8_t memory[LOGIN_DATA_LIMIT];
    struct buffer answer;
    struct error error;
};

static void begin(struct talk *talk, enum iscsi_auth_mode mode)
{
    *talk = (struct talk){.random.source.fill = count, .chap.state = CHAP_AGREED};
    talk->node = iscsi_node_new(
        &(struct iscsi_node_options){.callbacks = &quiet, .random = &talk->random.source});
    talk->auth = chap_options(mode).auth;
    buffer_init_fixed(&talk->answer, talk->memory, sizeof talk->memory);
}

static void end(struct talk *talk)
{
    iscsi_node_free(talk->node);
}

static int challenge(struct talk *talk, const char *list)
{
    buffer_clear(&talk->answer);
    return iscsi_chap_challenge(&talk->chap, &talk->auth, &talk->random.source, list, &talk->answer,
                                &talk->error);
}

static int verify(struct talk *talk, const struct iscsi_chap_request *request)
{
    buffer_clear(&talk->answer);
    return iscsi_chap_verify(&talk->chap, &talk->auth, talk->node, request, &talk->answer,
                             &talk->error);
}

/* For identifier 0, challenge 1, 2, 3 … of the digest's length, secret "initiator-secret"; and for
 * identifier 77, THEIR_CHALLENGE, secret "target-secret-of-16". */
static const struct known_answer {
    const char *number, *response, *proof;
    size_t digest_bytes;
} known_answers[] = {
    {"5", "0x39acb9981c52777c9a716e5f6091f23b",                                 "0x8b9c3c190870f96b3d2d3347f86f64a4", 16},
    {"6", "0x7e0d1e9373a931add8158c1a014e2ab66233622e",
     "0x137ba05a9484d9fde3fb6cca26f9baffd9e0b6d2",                                                                    20},
    {"7", "0x3be1d1a3e3e388fa8b05002a86042c9616e29b372807241e8fdd9e5c1af569fe",
     "0x130da1d1b7212db6468f5982575496c7e81c2857194b002e2b1a515027bce6ee",                                            32},
    {"8", "0x4750d363ebc340b75bb49a9480f5806e4b847a11cf94ce8e3f2ac6b6531586cb",
     "0xf29cd60d6984f4fa60a9ef0ccdb933d89741b421851ded7c87380884bc21f336",                                            32},
};

static void test_known_answers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(known_answers); i++) {
        const struct known_answer *known = &known_answers[i];
        struct talk talk;
        begin(&talk, ISCSI_AUTH_CHAP);
        assert_int_equal(challenge(&talk, known->number), 0);
        assert_string_equal(find_value(&talk.answer, "CHAP_A"), known->number);
        assert_string_equal(find_value(&talk.answer, "CHAP_I"), "0");
        assert_int_equal(strlen(find_value(&talk.answer, "CHAP_C")), 2 + 2 * known->digest_bytes);
        assert_memory_equal(find_value(&talk.answer, "CHAP_C"), "0x0102030405", 12);
        const struct iscsi_chap_request request = {USER, known->response, NULL, NULL};
        assert_int_equal(verify(&talk, &request), 0);
        assert_int_equal(talk.chap.state, CHAP_DONE);
        assert_false(talk.chap.mutual);
        assert_int_equal(talk.answer.length, 0);
        end(&talk);
    }
}

static void test_we_prove_ourselves(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(known_answers); i++) {
        const struct known_answer *known = &known_answers[i];
        struct talk talk;
        begin(&talk, ISCSI_AUTH_MUTUAL);
        challenge(&talk, known->number);
        const struct iscsi_chap_request request = {USER, known->response, "77", THEIR_CHALLENGE};
        assert_int_equal(verify(&talk, &request), 0);
        assert_true(talk.chap.mutual);
        assert_string_equal(find_value(&talk.answer, "CHAP_N"), PROVER);
        assert_string_equal(find_value(&talk.answer, "CHAP_R"), known->proof);
        end(&talk);
    }
}

static void test_forms_of_the_response(void **state)
{
    (void)state;
    static const struct {
        const char *response;
        int result;
    } cases[] = {
        {"0x39acb9981c52777c9a716e5f6091f23b",     0      },
        {"0X39ACB9981C52777C9A716E5F6091F23B",     0      },
        {"0bOay5mBxSd3yacW5fYJHyOw==",             0      },
        {"0BOay5mBxSd3yacW5fYJHyOw==",             0      },
        {"0bb3ZlcnNpemUKOay5mBxSd3yacW5fYJHyOw==", -EACCES}, /* a good one with more before it */
        {"0bOay5mBxSd3yacW5fYJHyOw",               -EACCES},
        {"0x39acb9981c52777c9a716e5f6091f23",      -EACCES},
        {"0x39acb9981c52777c9a716e5f6091f2",       -EACCES},
        {"0x39acb9981c52777c9a716e5f6091f23b00",   -EACCES},
        {"0x0039acb9981c52777c9a716e5f6091f23b",   -EACCES},
        {"0x39acb9981c52777c9a716e5f6091f23c",     -EACCES},
        {"39acb9981c52777c9a716e5f6091f23b",       -EACCES},
        {"0x",                                     -EACCES},
        {"0b",                                     -EACCES},
        {"",                                       -EACCES},
        {"0",                                      -EACCES},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct talk talk;
        begin(&talk, ISCSI_AUTH_CHAP);
        challenge(&talk, "5");
        const struct iscsi_chap_request request = {USER, cases[i].response, NULL, NULL};
        if (verify(&talk, &request) != cases[i].result)
            fail_msg("\"%s\"", cases[i].response);
        assert_int_equal(talk.chap.state == CHAP_DONE, cases[i].result == 0);
        end(&talk);
    }
}

/* Whatever length the response has, decoded or not (CVE-2018-14633). */
static void test_responses_of_every_length(void **state)
{
    (void)state;
    char response[2 + 2 * 300 + 1] = "0x";
    for (unsigned length = 1; length <= 300; length++) {
        strcat(response, "ab");
        for (unsigned i = 0; i < ARRAY_SIZE(known_answers); i++) {
            struct talk talk;
            begin(&talk, ISCSI_AUTH_CHAP);
            challenge(&talk, known_answers[i].number);
            const struct iscsi_chap_request request = {USER, response, NULL, NULL};
            assert_int_equal(verify(&talk, &request), -EACCES);
            end(&talk);
        }
    }
}

/* RFC 7143 §6.2.1: the first of the initiator's list that is allowed, as whole words. */
static void test_choice_of_algorithm(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        unsigned allowed;
        const char *chosen; /* NULL: refused */
    } cases[] = {
        {"5",          0,                                               "5" },
        {"5,6,7,8",    0,                                               "5" },
        {"8,7,6,5",    0,                                               "8" },
        {"7,5",        0,                                               "7" },
        {"9,6",        0,                                               "6" },
        {"56,5",       0,                                               "5" },
        {"0x7",        0,                                               "7" },
        {"5,7",        1 << ISCSI_CHAP_SHA256,                          "7" },
        {"5,6,7,8",    1 << ISCSI_CHAP_SHA3_256 | 1 << ISCSI_CHAP_SHA1, "6" },
        {"5",          1 << ISCSI_CHAP_SHA256,                          NULL},
        {"",           0,                                               NULL},
        {"56",         0,                                               NULL},
        {"55",         0,                                               NULL},
        {"5 ",         0,                                               NULL},
        {" 5",         0,                                               NULL},
        {"05",         0,                                               NULL},
        {"5x",         0,                                               NULL},
        {"4",          0,                                               NULL},
        {"9",          0,                                               NULL},
        {"-5",         0,                                               NULL},
        {"37",         0,                                               NULL}, /* 32 + 5 */
        {"4294967301", 0,                                               NULL}, /* 2^32 + 5 */
        {"5;6",        0,                                               NULL},
        {",,,",        0,                                               NULL},
        {"MD5",        0,                                               NULL},
        {"0",          ~0u,                                             NULL},
        {"31,30,1",    ~0u,                                             NULL},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct talk talk;
        begin(&talk, ISCSI_AUTH_CHAP);
        talk.auth.algorithms = cases[i].allowed;
        int result = challenge(&talk, cases[i].list);
        if ((result == 0) != (cases[i].chosen != NULL))
            fail_msg("\"%s\" gave %d", cases[i].list, result);
        if (cases[i].chosen)
            assert_string_equal(find_value(&talk.answer, "CHAP_A"), cases[i].chosen);
        else
            assert_int_equal(talk.answer.length, 0);
        end(&talk);
    }
}

static void test_challenges_differ(void **state)
{
    (void)state;
    struct talk talk;
    char first[128];
    begin(&talk, ISCSI_AUTH_CHAP);
    challenge(&talk, "5");
    snprintf(first, sizeof first, "%s", find_value(&talk.answer, "CHAP_C"));
    talk.chap = (struct iscsi_chap){.state = CHAP_AGREED};
    challenge(&talk, "5");
    assert_string_not_equal(first, find_value(&talk.answer, "CHAP_C"));
    end(&talk);
}

static void test_any_initiator_of_the_list(void **state)
{
    (void)state;
    static const struct iscsi_credentials several[] = {
        {"first", "the-first-secret"},
        {USER,    "an-older-secret" },
        {USER,    SECRET            }
    };
    static const struct {
        const char *name, *secret;
        int result;
    } cases[] = {
        {"first", "the-first-secret", 0      },
        {USER,    SECRET,             0      },
        {USER,    "an-older-secret",  0      },
        {"first", SECRET,             -EACCES},
        {"third", SECRET,             -EACCES},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct talk talk;
        char response[128];
        begin(&talk, ISCSI_AUTH_CHAP);
        talk.auth.initiators = several;
        talk.auth.initiator_count = ARRAY_SIZE(several);
        challenge(&talk, "7");
        chap_response("SHA256", 0, cases[i].secret, find_value(&talk.answer, "CHAP_C"), response);
        const struct iscsi_chap_request request = {cases[i].name, response, NULL, NULL};
        assert_int_equal(verify(&talk, &request), cases[i].result);
        end(&talk);
    }
}

static void test_nobody_is_known(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, ISCSI_AUTH_CHAP);
    talk.auth.initiator_count = 0;
    challenge(&talk, "5");
    const struct iscsi_chap_request request = {USER, known_answers[0].response, NULL, NULL};
    assert_int_equal(verify(&talk, &request), -EACCES);
    end(&talk);
}

static void test_longest_secret(void **state)
{
    (void)state;
    struct iscsi_credentials longest = {.name = USER};
    struct talk talk;
    char response[128];
    memset(longest.secret, 's', ISCSI_SECRET_BYTES - 1);
    begin(&talk, ISCSI_AUTH_MUTUAL);
    talk.auth.initiators = &longest;
    challenge(&talk, "5");
    chap_response("MD5", 0, longest.secret, find_value(&talk.answer, "CHAP_C"), response);
    const struct iscsi_chap_request request = {USER, response, NULL, NULL};
    assert_int_equal(verify(&talk, &request), 0);
    end(&talk);
}

static void test_order_of_steps(void **state)
{
    (void)state;
    struct talk talk;
    const struct iscsi_chap_request good = {USER, known_answers[0].response, NULL, NULL};
    begin(&talk, ISCSI_AUTH_CHAP);
    assert_int_equal(verify(&talk, &good), -EACCES); /* no challenge yet */
    assert_int_equal(challenge(&talk, "5"), 0);
    assert_int_equal(challenge(&talk, "5"), -EACCES); /* a second one */
    assert_int_equal(verify(&talk, &good), 0);
    assert_int_equal(verify(&talk, &good), -EACCES); /* done already */
    assert_int_equal(challenge(&talk, "5"), -EACCES);
    talk.chap = (struct iscsi_chap){.state = CHAP_IDLE}; /* AuthMethod not agreed upon */
    assert_int_equal(challenge(&talk, "5"), -EACCES);
    end(&talk);
}

static void test_incomplete_requests(void **state)
{
    (void)state;
    const char *response = known_answers[0].response;
    const struct iscsi_chap_request cases[] = {
        {USER, NULL,     NULL, NULL           },
        {NULL, response, NULL, NULL           },
        {NULL, NULL,     "1",  THEIR_CHALLENGE},
        {USER, response, "1",  NULL           },
        {USER, response, NULL, THEIR_CHALLENGE},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct talk talk;
        begin(&talk, ISCSI_AUTH_MUTUAL);
        challenge(&talk, "5");
        assert_int_equal(verify(&talk, &cases[i]), -EACCES);
        assert_int_equal(talk.answer.length, 0);
        end(&talk);
    }
}

static void test_their_challenge(void **state)
{
    (void)state;
    static const struct {
        const char *identifier, *challenge;
        int result;
    } cases[] = {
        {"0",          THEIR_CHALLENGE, 0      },
        {"255",        THEIR_CHALLENGE, 0      },
        {"0xff",       THEIR_CHALLENGE, 0      },
        {"1",          "0x00",          0      },
        {"1",          "0bQUJD",        0      },
        {"256",        THEIR_CHALLENGE, -EACCES},
        {"-1",         THEIR_CHALLENGE, -EACCES},
        {"",           THEIR_CHALLENGE, -EACCES},
        {"1x",         THEIR_CHALLENGE, -EACCES},
        {"4294967297", THEIR_CHALLENGE, -EACCES},
        {"1",          "",              -EACCES},
        {"1",          "0x",            -EACCES},
        {"1",          "0x1",           -EACCES},
        {"1",          "1234",          -EACCES},
        {"1",          "0xzz",          -EACCES},
        {"1",          "0bA",           -EACCES},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct talk talk;
        begin(&talk, ISCSI_AUTH_MUTUAL);
        challenge(&talk, "5");
        const struct iscsi_chap_request request = {USER, known_answers[0].response,
                                                   cases[i].identifier, cases[i].challenge};
        if (verify(&talk, &request) != cases[i].result)
            fail_msg("CHAP_I=%s CHAP_C=%s", cases[i].identifier, cases[i].challenge);
        assert_int_equal(talk.answer.length > 0, cases[i].result == 0);
        end(&talk);
    }
}

static void test_longest_challenge_of_theirs(void **state)
{
    (void)state;
    static char hex[2 + 2 * (CHAP_CHALLENGE_LIMIT_BYTES + 1) + 1];
    memset(hex, 'a', sizeof hex - 1);
    memcpy(hex, "0x", 2);
    for (unsigned excess = 0; excess <= 1; excess++) {
        struct talk talk;
        char proof[128];
        begin(&talk, ISCSI_AUTH_MUTUAL);
        challenge(&talk, "5");
        hex[2 + 2 * (CHAP_CHALLENGE_LIMIT_BYTES + excess)] = '\0';
        const struct iscsi_chap_request request = {USER, known_answers[0].response, "9", hex};
        assert_int_equal(verify(&talk, &request), excess ? -EACCES : 0);
        if (!excess) {
            chap_response("MD5", 9, PROOF, hex, proof);
            assert_int_equal(strcasecmp(find_value(&talk.answer, "CHAP_R"), proof), 0);
            hex[2 + 2 * CHAP_CHALLENGE_LIMIT_BYTES] = 'a';
        }
        end(&talk);
    }
}

static void test_mutual_is_asked_of_a_target_without_secret(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, ISCSI_AUTH_CHAP);
    challenge(&talk, "5");
    const struct iscsi_chap_request request = {USER, known_answers[0].response, "77",
                                               THEIR_CHALLENGE};
    assert_int_equal(verify(&talk, &request), -EACCES);
    assert_int_equal(talk.answer.length, 0);
    end(&talk);
}

static void test_our_own_challenge_comes_back(void **state)
{
    (void)state;
    struct talk talk;
    char ours[128];
    begin(&talk, ISCSI_AUTH_MUTUAL);
    challenge(&talk, "5");
    snprintf(ours, sizeof ours, "%s", find_value(&talk.answer, "CHAP_C"));
    const struct iscsi_chap_request request = {USER, known_answers[0].response, "77", ours};
    assert_int_equal(verify(&talk, &request), -EACCES);
    assert_int_equal(talk.answer.length, 0);
    end(&talk);
}

/* Other challenge, other secret, same digest: the letter that the initiator's secret has more is
 * the first of its challenge. */
static void test_their_response_is_ours(void **state)
{
    (void)state;
    static const struct iscsi_credentials longer = {USER, PROOF "A"};
    struct talk talk;
    char response[128], theirs[128];
    begin(&talk, ISCSI_AUTH_MUTUAL);
    talk.auth.initiators = &longer;
    challenge(&talk, "5");
    const char *ours = find_value(&talk.answer, "CHAP_C");
    chap_response("MD5", 0, longer.secret, ours, response);
    snprintf(theirs, sizeof theirs, "0x41%s", ours + 2);
    const struct iscsi_chap_request request = {USER, response, "0", theirs};
    assert_int_equal(verify(&talk, &request), -EACCES);
    assert_non_null(strstr(talk.error.text, "the one we would give"));
    assert_int_equal(talk.answer.length, 0);
    end(&talk);
}

static void test_reasons_hold_no_secret(void **state)
{
    (void)state;
    struct talk talk;
    begin(&talk, ISCSI_AUTH_CHAP);
    challenge(&talk, "5");
    const struct iscsi_chap_request request = {USER, known_answers[1].response, NULL, NULL};
    assert_int_equal(verify(&talk, &request), -EACCES);
    assert_true(talk.error.text[0] != '\0');
    assert_null(strstr(talk.error.text, SECRET));
    assert_null(strstr(talk.error.text, known_answers[1].response));
    end(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_we_prove_ourselves),
        cmocka_unit_test(test_forms_of_the_response),
        cmocka_unit_test(test_responses_of_every_length),
        cmocka_unit_test(test_choice_of_algorithm),
        cmocka_unit_test(test_challenges_differ),
        cmocka_unit_test(test_any_initiator_of_the_list),
        cmocka_unit_test(test_nobody_is_known),
        cmocka_unit_test(test_longest_secret),
        cmocka_unit_test(test_order_of_steps),
        cmocka_unit_test(test_incomplete_requests),
        cmocka_unit_test(test_their_challenge),
        cmocka_unit_test(test_longest_challenge_of_theirs),
        cmocka_unit_test(test_mutual_is_asked_of_a_target_without_secret),
        cmocka_unit_test(test_our_own_challenge_comes_back),
        cmocka_unit_test(test_their_response_is_ours),
        cmocka_unit_test(test_reasons_hold_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
