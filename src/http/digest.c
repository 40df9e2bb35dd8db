/* digest.c - Digest access authentication, RFC 7616, with qop=auth and stateless nonces */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/hex.h>

#include "authorization.h"
#include "internal.h"

/* A nonce: milliseconds, random bytes, the first half of their HMAC; as hexadecimal. */
#define NONCE_RANDOM_BYTES 8
#define NONCE_TEXT_BYTES   (8 + NONCE_RANDOM_BYTES)
#define NONCE_PROOF_BYTES  16
#define NONCE_BYTES        (NONCE_TEXT_BYTES + NONCE_PROOF_BYTES)
#define HEX_BYTES_LIMIT    (2 * EVP_MAX_MD_SIZE + 1)

static const struct algorithm {
    const char *name;
    const EVP_MD *(*method)(void);
} algorithms[] = {
    [HTTP_DIGEST_MD5] = {"MD5",     EVP_md5   },
    [HTTP_DIGEST_SHA256] = {"SHA-256", EVP_sha256},
};

/* ── nonces ──────────────────────────────────────────────────────────────────────────────────── */

static bool nonce_prove(const struct http_digest *digest, const char *client,
                        uint8_t nonce[NONCE_BYTES])
{
    uint8_t text[512], proof[EVP_MAX_MD_SIZE];
    struct buffer buffer;
    buffer_init_fixed(&buffer, text, sizeof text);
    buffer_append(&buffer, nonce, NONCE_TEXT_BYTES);
    buffer_append_string(&buffer, client);
    buffer_put_u8(&buffer, 0);
    buffer_append_string(&buffer, digest->realm);
    if (buffer.failed ||
        !HMAC(EVP_sha256(), digest->key, sizeof digest->key, text, buffer.length, proof, NULL))
        return false;
    memcpy(nonce + NONCE_TEXT_BYTES, proof, NONCE_PROOF_BYTES);
    return true;
}

static bool nonce_is_ours(const struct http_digest *digest, const char *client,
                          const uint8_t nonce[NONCE_BYTES])
{
    uint8_t expected[NONCE_BYTES];
    memcpy(expected, nonce, NONCE_TEXT_BYTES);
    return nonce_prove(digest, client, expected) && !CRYPTO_memcmp(expected, nonce, NONCE_BYTES);
}

static bool nonce_is_fresh(const struct http_digest *digest, const uint8_t nonce[NONCE_BYTES],
                           uint64_t now_ms)
{
    uint64_t made_ms = load_be64(nonce);
    return made_ms <= now_ms && now_ms - made_ms <= digest->window_ms;
}

void http_digest_challenge(const struct http_digest *digest, enum http_digest_algorithm algorithm,
                           const char *client, bool stale, uint64_t now_ms,
                           struct random_source *random, struct buffer *to)
{
    uint8_t nonce[NONCE_BYTES];
    char text[2 * NONCE_BYTES + 1];
    store_be64(nonce, now_ms);
    random->fill(random, nonce + 8, NONCE_RANDOM_BYTES);
    if (!nonce_prove(digest, client, nonce)) {
        to->failed = true;
        return;
    }
    hex_text(text, nonce, sizeof nonce);
    buffer_format(to, "Digest realm=\"%s\", qop=\"auth\", algorithm=%s, nonce=\"%s\"%s",
                  digest->realm, algorithms[algorithm].name, text, stale ? ", stale=true" : "");
}

/* ── the check ───────────────────────────────────────────────────────────────────────────────── */

/* H(parts joined by colons), as hexadecimal. */
static bool hash_parts(const struct algorithm *algorithm, const char *const *parts, size_t count,
                       char hex[HEX_BYTES_LIMIT])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned length;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestInit_ex(context, algorithm->method(), NULL);
    for (size_t i = 0; good && i < count; i++)
        good = (i == 0 || EVP_DigestUpdate(context, ":", 1)) &&
               EVP_DigestUpdate(context, parts[i], strlen(parts[i]));
    good = good && EVP_DigestFinal_ex(context, hash, &length);
    EVP_MD_CTX_free(context);
    if (good)
        hex_text(hex, hash, length);
    OPENSSL_cleanse(hash, sizeof hash);
    return good;
}

#define hash_of(algorithm, hex, ...)                            \
    hash_parts((algorithm), (const char *const[]){__VA_ARGS__}, \
               ARRAY_SIZE(((const char *const[]){__VA_ARGS__})), (hex))

/* RFC 7616 §3.4.1-3.4.3 with our own user and password, whatever user name was sent. */
static bool response_is_right(const struct http_digest *digest, const struct algorithm *algorithm,
                              const struct authorization *authorization, const char *method)
{
    const char *const *given = authorization->parameters;
    char ha1[HEX_BYTES_LIMIT], ha2[HEX_BYTES_LIMIT], expected[HEX_BYTES_LIMIT];
    uint8_t expected_bytes[EVP_MAX_MD_SIZE], given_bytes[EVP_MAX_MD_SIZE];
    size_t length = (size_t)EVP_MD_get_size(algorithm->method());
    bool right = hash_of(algorithm, ha1, digest->user, digest->realm, digest->password) &&
                 hash_of(algorithm, ha2, method, given[DIGEST_URI]) &&
                 hash_of(algorithm, expected, ha1, given[DIGEST_NONCE], given[DIGEST_NC],
                         given[DIGEST_CNONCE], "auth", ha2) &&
                 hex_decode(expected, expected_bytes, length) &&
                 hex_decode(given[DIGEST_RESPONSE], given_bytes, length) &&
                 !CRYPTO_memcmp(expected_bytes, given_bytes, length);
    OPENSSL_cleanse(ha1, sizeof ha1);
    return right;
}

static const struct algorithm *find_algorithm(const char *name)
{
    if (!*name)
        return &algorithms[HTTP_DIGEST_MD5]; /* RFC 7616 §3.4: the default */
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (!strcasecmp(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

static const char *method_name(enum http_method method)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST", [HTTP_METHOD_OTHER] = ""};
    return names[method];
}

/* What RFC 7616 §3.4 asks of the field, before any secret is touched. */
static bool is_well_formed(const struct authorization *authorization,
                           const struct http_request *request)
{
    uint8_t count[4];
    const char *const *given = authorization->parameters;
    return !strcmp(given[DIGEST_URI], request->target) && !strcasecmp(given[DIGEST_QOP], "auth") &&
           *given[DIGEST_CNONCE] && hex_decode(given[DIGEST_NC], count, sizeof count) &&
           find_algorithm(given[DIGEST_ALGORITHM]);
}

enum http_digest_verdict http_digest_check(const struct http_digest *digest,
                                           const struct http_request *request, const char *client,
                                           uint64_t now_ms)
{
    struct authorization authorization;
    uint8_t nonce[NONCE_BYTES];
    if (!request->authorization)
        return HTTP_DIGEST_MISSING;
    int result = authorization_parse(request->authorization, &authorization);
    if (result == -ENOENT)
        return HTTP_DIGEST_MISSING;
    if (result < 0 || !is_well_formed(&authorization, request))
        return HTTP_DIGEST_MALFORMED;
    const char *const *given = authorization.parameters;
    bool right = response_is_right(digest, find_algorithm(given[DIGEST_ALGORITHM]), &authorization,
                                   method_name(request->method));
    if (!right || strcmp(given[DIGEST_USERNAME], digest->user) != 0 ||
        strcmp(given[DIGEST_REALM], digest->realm) != 0 ||
        !hex_decode(given[DIGEST_NONCE], nonce, sizeof nonce) ||
        !nonce_is_ours(digest, client, nonce))
        return HTTP_DIGEST_DENIED;
    return nonce_is_fresh(digest, nonce, now_ms) ? HTTP_DIGEST_GRANTED : HTTP_DIGEST_STALE;
}
