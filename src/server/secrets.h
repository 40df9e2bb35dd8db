/* secrets.h - CHAP names and secrets: configured, or generated once and kept. */
#pragma once
#include "internal.h"

/* Fills `secrets`; generates what the configuration leaves open and keeps it as `record`. */
int secrets_prepare(struct chap_secrets *secrets, struct state *state, const char *record,
                    const struct config_auth *auth, struct error *error);
/* Points `ret_auth` at them; valid as long as they are. */
void secrets_fill_auth(const struct chap_secrets *secrets, const struct config_auth *auth,
                       struct iscsi_auth *ret_auth);
void secrets_wipe(struct chap_secrets *secrets);
