/* test_digest.c - Digest against answers computed elsewhere, and every way to be wrong */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

#define TARGET "/menu.ipxe?mac=52:54:00:00:00:01"
#define CLIENT "192.0.2.7"

/* Made with another implementation (Python's hashlib and hmac) from the values below. */
#define NONCE  "00000000000003e85a5a5a5a5a5a5a5a45aa78eb2d5d9ad22d1e711b1170ddbf"
#define MD5    "5dcfa2819fbbd7182a9ad244cb422fd8"
#define SHA256 "1d61d3de22a99651eab9206dcc6abe5e3ff2e263e02240891b2ce30053d9d680"

#define MADE_MS   1000
#define WINDOW_MS 60000

static struct http_digest digest = {
    .realm = "netboot", .user = "me", .password = "correct horse", .window_ms = WINDOW_MS};

static int make_key(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof digest.key; i++)
        digest.key[i] = (uint8_t)i;
    return 0;
}

static void fill_same(struct random_source *source, void *to, size_t length)
{
    (void)source;
    memset(to, 0x5a, length);
}

static struct random_source same_random = {fill_same};

static enum http_digest_verdict check(const char *authorization, const char *client,
                                      uint64_t now_ms)
{
    struct http_request request;
    http_request_begin(&request, HTTP_LISTENER_BOOT, TARGET);
    http_request_set_method(&request, "GET");
    request.authorization = authorization;
    return http_digest_check(&digest, &request, client, now_ms);
}

#define FIELDS(user, nonce, uri, rest)                                                 \
    "Digest username=\"" user "\", realm=\"netboot\", nonce=\"" nonce "\", uri=\"" uri \
    "\", nc=00000001, cnonce=\"f00d\", qop=auth, " rest

static void test_challenge(void **state)
{
    (void)state;
    char text[320];
    struct buffer to;
    buffer_init_fixed(&to, text, sizeof text);
    http_digest_challenge(&digest, HTTP_DIGEST_MD5, CLIENT, false, MADE_MS, &same_random, &to);
    assert_string_equal(buffer_string(&to), "Digest realm=\"netboot\", qop=\"auth\", "
                                            "algorithm=MD5, nonce=\"" NONCE "\"");
    buffer_clear(&to);
    http_digest_challenge(&digest, HTTP_DIGEST_SHA256, CLIENT, true, MADE_MS, &same_random, &to);
    assert_string_equal(buffer_string(&to),
                        "Digest realm=\"netboot\", qop=\"auth\", algorithm=SHA-256, nonce=\"" NONCE
                        "\", stale=true");
}

static void test_granted(void **state)
{
    (void)state;
    static const char *const rows[] = {
        FIELDS("me", NONCE, TARGET, "response=\"" MD5 "\""),
        FIELDS("me", NONCE, TARGET, "algorithm=MD5, response=\"" MD5 "\""),
        FIELDS("me", NONCE, TARGET, "algorithm=\"md5\", opaque=\"x\", response=" MD5),
        FIELDS("me", NONCE, TARGET, "algorithm=SHA-256, response=\"" SHA256 "\""),
        FIELDS("m\\e", NONCE, TARGET, "response=\"" MD5 "\""),
        "dIgEsT  nonce=" NONCE " ,\t, qop=\"auth\" , cnonce=f00d,nc=00000001,realm=netboot,"
        "response=" MD5 ",uri=\"" TARGET "\",username=me",
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(check(rows[i], CLIENT, MADE_MS), HTTP_DIGEST_GRANTED);
        assert_int_equal(check(rows[i], CLIENT, MADE_MS + WINDOW_MS), HTTP_DIGEST_GRANTED);
        assert_int_equal(check(rows[i], CLIENT, MADE_MS + WINDOW_MS + 1), HTTP_DIGEST_STALE);
        assert_int_equal(check(rows[i], CLIENT, MADE_MS - 1), HTTP_DIGEST_STALE);
        assert_int_equal(check(rows[i], "192.0.2.8", MADE_MS), HTTP_DIGEST_DENIED);
    }
}

static void test_not_granted(void **state)
{
    (void)state;
#define OTHER_NONCE "00000000000003e95a5a5a5a5a5a5a5a45aa78eb2d5d9ad22d1e711b1170ddbf"
    // clang-format off
    static const struct {
        const char *field;
        enum http_digest_verdict verdict;
    } rows[] = {
        {NULL, HTTP_DIGEST_MISSING},
        {"Basic bWU6Y29ycmVjdCBob3JzZQ==", HTTP_DIGEST_MISSING},
        {"Digestive a=b", HTTP_DIGEST_MISSING},
        {"", HTTP_DIGEST_MISSING},
        {"Digest", HTTP_DIGEST_MALFORMED},
        {"Digest username", HTTP_DIGEST_MALFORMED},
        {"Digest username=", HTTP_DIGEST_MALFORMED},
        {"Digest username=\"me", HTTP_DIGEST_MALFORMED},
        {"Digest username=\"me\\", HTTP_DIGEST_MALFORMED},
        {"Digest =\"me\"", HTTP_DIGEST_MALFORMED},
        {FIELDS("me", NONCE, TARGET, "response=\"" MD5 "\" x"), HTTP_DIGEST_MALFORMED},
        {FIELDS("me", NONCE, TARGET, "username=\"me\", response=\"" MD5 "\""),
         HTTP_DIGEST_MALFORMED},
        {FIELDS("me", NONCE, "/menu.ipxe", "response=\"" MD5 "\""), HTTP_DIGEST_MALFORMED},
        {FIELDS("me", NONCE, TARGET, "algorithm=MD5-sess, response=\"" MD5 "\""),
         HTTP_DIGEST_MALFORMED},
        {"Digest username=\"me\", realm=\"netboot\", nonce=\"" NONCE "\", uri=\"" TARGET
         "\", response=\"" MD5 "\"", HTTP_DIGEST_MALFORMED}, /* RFC 2069 form, without qop */
        {FIELDS("me", NONCE, TARGET, "algorithm=SHA-256, response=\"" MD5 "\""),
         HTTP_DIGEST_DENIED},
        {FIELDS("you", NONCE, TARGET, "response=\"" MD5 "\""), HTTP_DIGEST_DENIED},
        {FIELDS("me", NONCE, TARGET, "response=\"\""), HTTP_DIGEST_DENIED},
        {FIELDS("me", NONCE, TARGET, "response=\"5dcfa2819fbbd7182a9ad244cb422fd9\""),
         HTTP_DIGEST_DENIED},
        {FIELDS("me", OTHER_NONCE, TARGET, "response=\"" MD5 "\""), HTTP_DIGEST_DENIED},
        {FIELDS("me", "", TARGET, "response=\"" MD5 "\""), HTTP_DIGEST_DENIED},
    };
    // clang-format on
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(check(rows[i].field, CLIENT, MADE_MS), rows[i].verdict);
}

/* A right response to a nonce that somebody else made up. */
static void test_nonce_of_another(void **state)
{
    (void)state;
    const char *field = FIELDS("me", NONCE, TARGET, "response=\"" MD5 "\"");
    digest.key[31] ^= 1;
    assert_int_equal(check(field, CLIENT, MADE_MS), HTTP_DIGEST_DENIED);
    digest.key[31] ^= 1;
    assert_int_equal(check(field, CLIENT, MADE_MS), HTTP_DIGEST_GRANTED);
}

static void md5_hex(const char *text, char hex[33])
{
    uint8_t hash[16];
    assert_int_equal(EVP_Digest(text, strlen(text), hash, NULL, EVP_md5(), NULL), 1);
    for (unsigned i = 0; i < sizeof hash; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

/* A class that is switched on at once: every challenge of one millisecond is good, in any order. */
static void test_many_clients_at_once(void **state)
{
    (void)state;
    enum { CLIENTS = 500 };
    static char nonces[CLIENTS][65];
    char client[32], text[512], ha1[33], ha2[33], response[33];
    md5_hex("me:netboot:correct horse", ha1);
    md5_hex("GET:" TARGET, ha2);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct buffer to;
        buffer_init_fixed(&to, text, sizeof text);
        snprintf(client, sizeof client, "10.0.%u.%u", i / 250, i % 250);
        http_digest_challenge(&digest, HTTP_DIGEST_MD5, client, false, MADE_MS, &system_random,
                              &to);
        const char *nonce = strstr(buffer_string(&to), "nonce=\"") + 7;
        snprintf(nonces[i], sizeof nonces[i], "%.64s", nonce);
    }
    for (unsigned i = CLIENTS; i-- > 0;) {
        snprintf(client, sizeof client, "10.0.%u.%u", i / 250, i % 250);
        snprintf(text, sizeof text, "%s:%s:00000001:c:auth:%s", ha1, nonces[i], ha2);
        md5_hex(text, response);
        snprintf(text, sizeof text,
                 "Digest username=\"me\", realm=\"netboot\", nonce=\"%s\", uri=\"" TARGET
                 "\", nc=00000001, cnonce=\"c\", qop=auth, response=\"%s\"",
                 nonces[i], response);
        assert_int_equal(check(text, client, MADE_MS), HTTP_DIGEST_GRANTED);
        assert_int_equal(check(text, "10.9.9.9", MADE_MS), HTTP_DIGEST_DENIED);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    size_t length = 5000;
    char *field = malloc(length + 1);
    memset(field, 'a', length);
    memcpy(field, "Digest a=", 9);
    field[length] = '\0';
    assert_int_equal(check(field, CLIENT, MADE_MS), HTTP_DIGEST_MALFORMED);
    free(field);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge),
        cmocka_unit_test(test_granted),
        cmocka_unit_test(test_not_granted),
        cmocka_unit_test(test_nonce_of_another),
        cmocka_unit_test(test_many_clients_at_once),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
