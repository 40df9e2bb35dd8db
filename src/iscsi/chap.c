/* chap.c - see chap.h */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "chap.h"
#include "text.h"
#include <netboot-target/util/array.h>

#define DIGEST_LIMIT_BYTES 32

struct algorithm {
    enum iscsi_chap_algorithm number;
    const char *name; /* OpenSSL's */
    size_t digest_bytes;
};

static const struct algorithm algorithms[] = {
    {ISCSI_CHAP_MD5,      "MD5",      16},
    {ISCSI_CHAP_SHA1,     "SHA1",     20},
    {ISCSI_CHAP_SHA256,   "SHA2-256", 32},
    {ISCSI_CHAP_SHA3_256, "SHA3-256", 32},
};

static const struct algorithm *find_algorithm(uint32_t number)
{
    for (unsigned i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].number == number)
            return &algorithms[i];
    return NULL;
}

/* MD5 is missing where OpenSSL is confined to FIPS algorithms. */
static bool is_available(const struct algorithm *algorithm)
{
    EVP_MD *digest = EVP_MD_fetch(NULL, algorithm->name, NULL);
    if (!digest)
        ERR_clear_error();
    EVP_MD_free(digest);
    return digest;
}

/* ── algorithm and challenge ─────────────────────────────────────────────────────────────────── */

static const struct algorithm *choose_algorithm(const char *list, unsigned allowed,
                                                struct error *error)
{
    char item[8];
    uint32_t number;
    const struct algorithm *missing = NULL;
    while (iscsi_text_list_next(&list, item, sizeof item)) {
        const struct algorithm *algorithm =
            iscsi_text_number(item, &number) == 0 ? find_algorithm(number) : NULL;
        if (!algorithm || (allowed && !(allowed & 1u << number)))
            continue;
        if (is_available(algorithm))
            return algorithm;
        missing = algorithm;
    }
    if (missing)
        error_set(error, -EACCES,
                  "the OpenSSL library of this machine has no %s (FIPS mode?), which is all that "
                  "the initiator offers",
                  missing->name);
    else
        error_set(error, -EACCES, "the initiator offers no CHAP algorithm that the target allows");
    return NULL;
}

int iscsi_chap_challenge(struct iscsi_chap *chap, const struct iscsi_auth *auth,
                         struct random_source *random, const char *list, struct buffer *answer,
                         struct error *error)
{
    if (chap->state != CHAP_AGREED)
        return error_set(error, -EACCES, "CHAP_A comes at the wrong time");
    const struct algorithm *algorithm = choose_algorithm(list, auth->algorithms, error);
    if (!algorithm)
        return -EACCES;
    chap->algorithm = algorithm->number;
    chap->challenge_bytes = algorithm->digest_bytes;
    random->fill(random, &chap->identifier, sizeof chap->identifier);
    random->fill(random, chap->challenge, chap->challenge_bytes);
    chap->state = CHAP_CHALLENGED;
    iscsi_text_put_number(answer, "CHAP_A", algorithm->number);
    iscsi_text_put_number(answer, "CHAP_I", chap->identifier);
    iscsi_text_put_hex(answer, "CHAP_C", chap->challenge, chap->challenge_bytes);
    return 0;
}

/* ── response ────────────────────────────────────────────────────────────────────────────────── */

struct challenge {
    uint8_t identifier;
    uint8_t data[CHAP_CHALLENGE_LIMIT_BYTES];
    size_t length;
};

/* RFC 1994 §4.1: the digest of identifier, secret, challenge. */
static int respond(const struct algorithm *algorithm, const struct challenge *challenge,
                   const char *secret, uint8_t ret_response[DIGEST_LIMIT_BYTES])
{
    uint8_t message[1 + ISCSI_SECRET_BYTES + CHAP_CHALLENGE_LIMIT_BYTES];
    size_t secret_length = strnlen(secret, ISCSI_SECRET_BYTES), digest_length = 0;
    message[0] = challenge->identifier;
    memcpy(message + 1, secret, secret_length);
    memcpy(message + 1 + secret_length, challenge->data, challenge->length);
    int done = EVP_Q_digest(NULL, algorithm->name, NULL, message,
                            1 + secret_length + challenge->length, ret_response, &digest_length);
    OPENSSL_cleanse(message, sizeof message);
    return done && digest_length == algorithm->digest_bytes ? 0 : -ENOTSUP;
}

/* Looks at every credential to its end, so that a wrong name takes as long as a wrong secret. */
static bool is_known(const struct iscsi_chap *chap, const struct iscsi_auth *auth, const char *name,
                     const uint8_t *response)
{
    const struct algorithm *algorithm = find_algorithm(chap->algorithm);
    struct challenge ours = {.identifier = chap->identifier, .length = chap->challenge_bytes};
    memcpy(ours.data, chap->challenge, chap->challenge_bytes);
    bool known = false;
    for (unsigned i = 0; i < auth->initiator_count; i++) {
        uint8_t expected[DIGEST_LIMIT_BYTES] = {0};
        bool computed = respond(algorithm, &ours, auth->initiators[i].secret, expected) == 0;
        bool same_name = strcmp(auth->initiators[i].name, name) == 0;
        bool same_response = CRYPTO_memcmp(expected, response, algorithm->digest_bytes) == 0;
        known |= computed & same_name & same_response;
        OPENSSL_cleanse(expected, sizeof expected);
    }
    return known;
}

static int read_their_challenge(const struct iscsi_chap_request *request,
                                struct challenge *ret_challenge, struct error *error)
{
    uint32_t identifier;
    if (!request->identifier || !request->challenge)
        return error_set(error, -EACCES, "CHAP_I and CHAP_C must come together");
    if (iscsi_text_number(request->identifier, &identifier) < 0 || identifier > UINT8_MAX)
        return error_set(error, -EACCES, "CHAP_I is no number from 0 to 255");
    if (iscsi_text_binary(request->challenge, ret_challenge->data, sizeof ret_challenge->data,
                          &ret_challenge->length) < 0)
        return error_set(error, -EACCES, "CHAP_C is not hexadecimal or base64 of at most %d bytes",
                         CHAP_CHALLENGE_LIMIT_BYTES);
    ret_challenge->identifier = (uint8_t)identifier;
    return 0;
}

/* RFC 7143 §12.1.3: a challenge of ours that comes back, on this connection or through another, is
 * an attempt to have us compute the response to it. */
static bool is_reflected(const struct iscsi_chap *chap, const struct iscsi_node *node,
                         const struct challenge *theirs)
{
    if (theirs->length == chap->challenge_bytes &&
        memcmp(theirs->data, chap->challenge, theirs->length) == 0)
        return true;
    return iscsi_node_has_challenge(node, theirs->data, theirs->length);
}

static int prove_ourselves(struct iscsi_chap *chap, const struct iscsi_auth *auth,
                           const struct iscsi_node *node, const struct challenge *theirs,
                           const uint8_t *their_response, struct buffer *answer,
                           struct error *error)
{
    const struct algorithm *algorithm = find_algorithm(chap->algorithm);
    uint8_t response[DIGEST_LIMIT_BYTES];
    if (auth->mode != ISCSI_AUTH_MUTUAL)
        return error_set(error, -EACCES,
                         "the initiator asks for mutual CHAP, but the target has no secret of its "
                         "own");
    if (is_reflected(chap, node, theirs))
        return error_set(error, -EACCES, "the initiator sends a challenge of ours back to us");
    if (respond(algorithm, theirs, auth->target.secret, response) < 0)
        return error_set(error, -EACCES, "OpenSSL cannot compute %s", algorithm->name);
    if (CRYPTO_memcmp(response, their_response, algorithm->digest_bytes) == 0)
        return error_set(error, -EACCES, "the initiator's response is the one we would give");
    iscsi_text_put(answer, "CHAP_N", auth->target.name);
    iscsi_text_put_hex(answer, "CHAP_R", response, algorithm->digest_bytes);
    chap->mutual = true;
    return 0;
}

int iscsi_chap_verify(struct iscsi_chap *chap, const struct iscsi_auth *auth,
                      const struct iscsi_node *node, const struct iscsi_chap_request *request,
                      struct buffer *answer, struct error *error)
{
    if (chap->state != CHAP_CHALLENGED)
        return error_set(error, -EACCES, "a CHAP response comes at the wrong time");
    if (!request->name || !request->response)
        return error_set(error, -EACCES, "CHAP_N and CHAP_R must come together");
    uint8_t response[DIGEST_LIMIT_BYTES];
    size_t length = 0;
    if (iscsi_text_binary(request->response, response, sizeof response, &length) < 0 ||
        length != find_algorithm(chap->algorithm)->digest_bytes)
        return error_set(error, -EACCES,
                         "CHAP_R is not hexadecimal or base64 of as many bytes as the digest has");
    if (!is_known(chap, auth, request->name, response))
        return error_set(error, -EACCES, "the CHAP name is unknown or the secret is wrong");
    if (request->identifier || request->challenge) {
        struct challenge theirs = {0};
        int result = read_their_challenge(request, &theirs, error);
        if (result == 0)
            result = prove_ourselves(chap, auth, node, &theirs, response, answer, error);
        if (result < 0)
            return result;
    }
    chap->state = CHAP_DONE;
    return 0;
}
