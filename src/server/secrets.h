/*
 * secrets.h - CHAP names and secrets, and the boot menu's password: configured, else derived from
 * `secret-key`, else generated once and kept.
 */
#pragma once
#include "internal.h"

/* Fills `secrets`; what the configuration leaves open is derived from `key` and `record`; with no
 * key (length 0) it is generated and kept as `record`. -EAGAIN, -EINPROGRESS: the state directory
 * is read or written, ask again. Without one generated secrets are shown on our terminal, if we
 * have one. */
int secrets_prepare(struct chap_secrets *secrets, struct state *state, const char *record,
                    const struct config_auth *auth, const struct secret *key, struct error *error);
/* Points `ret_auth` at them; valid as long as they are. */
void secrets_fill_auth(const struct chap_secrets *secrets, const struct config_auth *auth,
                       struct iscsi_auth *ret_auth);
void secrets_wipe(struct chap_secrets *secrets);

struct menu_password {
    char text[SECRET_MAX_BYTES + 1]; /* "": nobody knows one */
    char path[512];                  /* where a generated one lies, or "" */
};

/* The same for the boot menu. -EROFS: there is no place to keep a generated one and no terminal, so
 * that nobody could read it. */
int secrets_prepare_password(struct menu_password *password, struct state *state,
                             const struct config_menu *menu, const struct secret *key,
                             struct error *error);

#define SECRETS_GENERATED_BYTES 17 /* 16 characters and a NUL */

/* The first 96 bits of HMAC-SHA-256(key, purpose), in the characters of a generated secret: the
 * same on every machine that has the key. -ENOMEM: none; any other would be a wrong one. */
int secrets_derive(const struct secret *key, const char *purpose,
                   char ret_secret[SECRETS_GENERATED_BYTES]);
