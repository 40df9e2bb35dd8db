/* authorization.c - auth-param lists, RFC 9110 §11.2 and RFC 7616 §3.4 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "authorization.h"

static const char *const names[DIGEST_PARAMETER_COUNT] = {
    [DIGEST_USERNAME] = "username",
    [DIGEST_REALM] = "realm",
    [DIGEST_NONCE] = "nonce",
    [DIGEST_URI] = "uri",
    [DIGEST_RESPONSE] = "response",
    [DIGEST_ALGORITHM] = "algorithm",
    [DIGEST_CNONCE] = "cnonce",
    [DIGEST_QOP] = "qop",
    [DIGEST_NC] = "nc",
};

static const char blanks[] = " \t";

/* RFC 9110 §5.6.2 */
static size_t token_length(const char *text)
{
    return strspn(text, "!#$%&'*+-.^_`|~0123456789"
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* A token or a quoted string (RFC 9110 §5.6.4) into `to`, which never needs more room than the
 * value takes in the field. NULL: not well formed. */
static const char *read_value(const char *at, char **to)
{
    if (*at != '"') {
        size_t length = token_length(at);
        memcpy(*to, at, length);
        *to += length;
        *(*to)++ = '\0';
        return length ? at + length : NULL;
    }
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\')
            at++;
        if (!*at)
            return NULL;
        *(*to)++ = *at;
    }
    *(*to)++ = '\0';
    return *at ? at + 1 : NULL;
}

static int keep(struct authorization *authorization, const char *name, size_t length,
                const char *value)
{
    for (unsigned i = 0; i < DIGEST_PARAMETER_COUNT; i++) {
        if (strlen(names[i]) != length || strncasecmp(name, names[i], length) != 0)
            continue;
        if (*authorization->parameters[i])
            return -EBADMSG;
        authorization->parameters[i] = value;
    }
    return 0;
}

/* name=value; returns where the next one begins, NULL when it is not well formed. */
static const char *read_parameter(struct authorization *authorization, const char *at, char **to)
{
    const char *name = at, *value = *to;
    size_t length = token_length(at);
    at += length;
    at += strspn(at, blanks);
    if (!length || *at != '=')
        return NULL;
    at++;
    at = read_value(at + strspn(at, blanks), to);
    if (!at || keep(authorization, name, length, value))
        return NULL;
    at += strspn(at, blanks);
    return !*at || *at == ',' ? at : NULL;
}

int authorization_parse(const char *field, struct authorization *ret_authorization)
{
    static const char scheme[] = "Digest";
    size_t length = token_length(field);
    if (length != sizeof scheme - 1 || strncasecmp(field, scheme, length) != 0)
        return -ENOENT;
    if (strlen(field) >= AUTHORIZATION_BYTES_LIMIT)
        return -EBADMSG;
    for (unsigned i = 0; i < DIGEST_PARAMETER_COUNT; i++)
        ret_authorization->parameters[i] = "";
    char *to = ret_authorization->text;
    const char *at = field + length;
    while (*(at += strspn(at, " \t,")))
        if (!(at = read_parameter(ret_authorization, at, &to)))
            return -EBADMSG;
    return 0;
}
