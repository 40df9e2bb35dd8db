/*
 * boot_access.h - who gets what the boot listener keeps for those who may: menus, kernels, scripts
 * with secrets. Whoever knows the menu's user and password proves it once by HTTP Digest; what we
 * write for them then holds keys (HMACs of this process), so that no password is asked for again
 * and iPXE need not keep one.
 */
#pragma once
#include <netboot-target/boot.h>
#include <netboot-target/http.h>

#include "internal.h"

int boot_access_start(struct server *server, struct error *error);
void boot_access_reload(struct server *server, const struct config *config);
/* The state directory may have what is waited for. */
void boot_access_retry(struct server *server);
void boot_access_free(struct server *server);

/* Whether it came to an address at which machines are booted (boot_source_admits()). False:
 * `response` refuses it. */
bool boot_access_admits(const struct server *server, const struct http_request *request,
                        struct http_response *response);

/*
 * Whether the request proves the menu's user and password, by Digest, or by Basic with
 * `menu.basic`. False: `response` is the answer: 401 with a challenge, 429 to an address that
 * failed too often within a minute, 403 where machines are not booted (boot_access_admits() is
 * part of this), 503 when there is no password. Wrong ones are told to log and journal.
 */
bool boot_access_granted(struct server *server, const struct http_request *request,
                         struct http_response *response);

/* There is a password that somebody could know. */
bool boot_access_is_possible(const struct server *server);

/* ── keys ────────────────────────────────────────────────────────────────────────────────────── */

#define BOOT_ACCESS_KEY_BYTES 49u /* of a session: time and proof as hexadecimal, and a NUL */

/* For the scripts of one client at one address that has proven the password: good for half a day
 * of this process, so that a menu may stand overnight, unless user or password change. */
void boot_access_make_key(const struct server *server, const struct boot_client *client,
                          const char *peer, char ret_key[BOOT_ACCESS_KEY_BYTES]);
bool boot_access_has_key(const struct server *server, const struct boot_client *client,
                         const char *peer, const char *key);
