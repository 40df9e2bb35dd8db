/* basic.c - Basic access authentication, RFC 7617 */
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <netboot-target/http.h>

#define CREDENTIALS_BYTES_LIMIT 1024u /* as base64 */

/* Standard base64 with its padding (RFC 4648 §4), nothing before or behind. Returns the number of
 * bytes, -1: it is none. EVP_DecodeBlock() takes blanks around it and counts the padding. */
static int decode_base64(const char *text, uint8_t to[CREDENTIALS_BYTES_LIMIT])
{
    size_t length = strlen(text), padding = 0;
    size_t signs = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789+/");
    while (signs + padding < length && padding < 2 && text[signs + padding] == '=')
        padding++;
    if (signs + padding != length || !length || length % 4 || length > CREDENTIALS_BYTES_LIMIT)
        return -1;
    int bytes = EVP_DecodeBlock(to, (const uint8_t *)text, (int)length);
    return bytes < (int)padding ? -1 : bytes - (int)padding;
}

/* In constant time but for the length. */
static bool is_same(const uint8_t *given, size_t length, const char *expected)
{
    return length == strlen(expected) && CRYPTO_memcmp(given, expected, length) == 0;
}

enum http_digest_verdict http_basic_check(const struct http_digest *digest,
                                          const struct http_request *request)
{
    static const char scheme[] = "Basic";
    uint8_t credentials[CREDENTIALS_BYTES_LIMIT];
    const char *field = request->authorization;
    if (!field || strncasecmp(field, scheme, sizeof scheme - 1) != 0 ||
        field[sizeof scheme - 1] != ' ')
        return HTTP_DIGEST_MISSING;
    field += sizeof scheme;
    int length = decode_base64(field + strspn(field, " "), credentials);
    const uint8_t *colon = length < 0 ? NULL : memchr(credentials, ':', (size_t)length);
    if (!colon)
        return HTTP_DIGEST_MALFORMED;
    size_t user_bytes = (size_t)(colon - credentials);
    bool knows_user = is_same(credentials, user_bytes, digest->user);
    bool knows_password = is_same(colon + 1, (size_t)length - user_bytes - 1, digest->password);
    OPENSSL_cleanse(credentials, sizeof credentials);
    return knows_user && knows_password ? HTTP_DIGEST_GRANTED : HTTP_DIGEST_DENIED;
}
