/* secrets.h - CHAP names and secrets of a target: configured, or generated once and kept. */
#pragma once
#include "internal.h"

/* Fills the target's credentials; generates and keeps what the configuration leaves open. */
int secrets_prepare(struct served_target *target, struct error *error);
/* Points `auth` at them; valid as long as the target. */
void secrets_fill_auth(const struct served_target *target, struct iscsi_auth *auth);
void secrets_wipe(struct served_target *target);
