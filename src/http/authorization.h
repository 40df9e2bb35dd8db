/* authorization.h - the Authorization field of Digest access authentication, taken apart */
#pragma once
#include <stddef.h>

enum {
    DIGEST_USERNAME,
    DIGEST_REALM,
    DIGEST_NONCE,
    DIGEST_URI,
    DIGEST_RESPONSE,
    DIGEST_ALGORITHM,
    DIGEST_CNONCE,
    DIGEST_QOP,
    DIGEST_NC,
    DIGEST_PARAMETER_COUNT,
};

#define AUTHORIZATION_BYTES_LIMIT 4096

struct authorization {
    const char *parameters[DIGEST_PARAMETER_COUNT]; /* "": not there; unquoted */
    char text[AUTHORIZATION_BYTES_LIMIT];           /* they point in here */
};

/* 0, -ENOENT: another scheme, -EBADMSG: not well formed, or a parameter twice. */
int authorization_parse(const char *field, struct authorization *ret_authorization);
