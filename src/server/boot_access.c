/* boot_access.c - see boot_access.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include "boot_access.h"
#include "boot_journal.h"
#include "boot_source.h"
#include "login_delay.h"
#include "secrets.h"

#include <netboot-target/util/bytes.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/random.h>

#define REALM             "netboot-target"
#define NONCE_WINDOW_MS   300000u
#define KEY_LIFE_MS       (12 * 3600 * 1000u)
#define RETRY_AFTER_S     60u
#define PROOF_BYTES       16
#define PROOF_INPUT_BYTES 2048

struct boot_access {
    struct config *config; /* its own reference: user, basic */
    struct menu_password password;
    bool is_waiting; /* for the state directory: nobody knows the password yet */
    int told;        /* why nobody can log in */
    struct http_digest digest;
    uint8_t key[32]; /* of this process, for the keys in scripts */
    struct login_delay failures;
};

/* ── the password ────────────────────────────────────────────────────────────────────────────── */

static bool admit(const struct server *server, const struct http_request *request)
{
    return boot_source_admits(server, request->local);
}

bool boot_access_admits(const struct server *server, const struct http_request *request,
                        struct http_response *response)
{
    if (admit(server, request))
        return true;
    http_response_text(response, 403,
                       "Machines are not booted on this network: its interface is "
                       "not listed in interfaces.");
    return false;
}

static void ask(const struct server *server, const struct http_request *request, bool stale,
                struct http_response *response)
{
    const struct boot_access *access = server->boot_access;
    struct buffer challenge;
    http_response_text(response, 401, "The user and password of the boot menu, please.");
    buffer_init_fixed(&challenge, response->authenticate, sizeof response->authenticate);
    http_digest_challenge(&access->digest, HTTP_DIGEST_MD5, request->peer, stale,
                          server_now_us(server) / 1000, &system_random, &challenge);
    if (!buffer_string(&challenge))
        response->authenticate[0] = '\0';
    if (access->config->menu.basic)
        snprintf(response->authenticate_basic, sizeof response->authenticate_basic,
                 "Basic realm=\"%s\", charset=\"UTF-8\"", access->digest.realm);
}

/* The form that login_delay.h reads. */
static void name_peer(const struct http_request *request, char to[64])
{
    snprintf(to, 64, "[%s]:0", request->peer);
}

static void note_wrong(struct server *server, const struct http_request *request)
{
    char peer[64];
    name_peer(request, peer);
    unsigned count = login_delay_note_failure(&server->boot_access->failures, peer,
                                              server_now_us(server) / 1000);
    struct boot_client client;
    boot_source_client(request->query, &client);
    boot_journal_wrong_password(server, request->peer, &client, count);
    if (count <= server->config->limits.failed_logins_per_minute)
        log_notice("wrong user or password for the boot menu: client=%s tries=%u", request->peer,
                   count);
}

static bool must_wait(const struct server *server, const struct http_request *request)
{
    char peer[64];
    name_peer(request, peer);
    return request->authorization &&
           login_delay_applies(&server->boot_access->failures, peer,
                               server->config->limits.failed_logins_per_minute,
                               server_now_us(server) / 1000);
}

static enum http_digest_verdict check(const struct server *server,
                                      const struct http_request *request)
{
    const struct boot_access *access = server->boot_access;
    enum http_digest_verdict verdict = HTTP_DIGEST_MISSING;
    if (access->config->menu.basic)
        verdict = http_basic_check(&access->digest, request);
    if (verdict == HTTP_DIGEST_MISSING)
        verdict = http_digest_check(&access->digest, request, request->peer,
                                    server_now_us(server) / 1000);
    return verdict;
}

bool boot_access_is_possible(const struct server *server)
{
    return server->boot_access && *server->boot_access->password.text;
}

bool boot_access_granted(struct server *server, const struct http_request *request,
                         struct http_response *response)
{
    if (!boot_access_admits(server, request, response))
        return false;
    if (!boot_access_is_possible(server)) {
        http_response_text(response, 503, "There is no password for the boot menu.");
        return false;
    }
    if (must_wait(server, request)) {
        http_response_text(response, 429,
                           "Too many wrong passwords came from this address; wait a minute.");
        response->retry_after_seconds = RETRY_AFTER_S;
        return false;
    }
    switch (check(server, request)) {
    case HTTP_DIGEST_GRANTED:
        return true;
    case HTTP_DIGEST_MALFORMED:
        note_wrong(server, request);
        http_response_text(response, 400, "The field Authorization cannot be read.");
        return false;
    case HTTP_DIGEST_DENIED:
        note_wrong(server, request);
        ask(server, request, false, response);
        return false;
    case HTTP_DIGEST_STALE:
        ask(server, request, true, response);
        return false;
    case HTTP_DIGEST_MISSING:
        break;
    }
    ask(server, request, false, response);
    return false;
}

/* ── keys ────────────────────────────────────────────────────────────────────────────────────── */

/* `input` failed or libcrypto out of memory: a proof nobody can have. */
static void prove(const struct boot_access *access, const struct buffer *input,
                  char ret_proof[2 * PROOF_BYTES + 1])
{
    uint8_t proof[EVP_MAX_MD_SIZE];
    if (input->failed || !HMAC(EVP_sha256(), access->key, sizeof access->key, input->data,
                               input->length, proof, NULL))
        system_random.fill(&system_random, proof, PROOF_BYTES);
    hex_text(ret_proof, proof, PROOF_BYTES);
}

static void prove_session(const struct boot_access *access, const struct boot_client *client,
                          const char *peer, uint64_t made_ms, char ret_key[BOOT_ACCESS_KEY_BYTES])
{
    uint8_t data[PROOF_INPUT_BYTES];
    struct buffer input;
    buffer_init_fixed(&input, data, sizeof data);
    buffer_append_string(&input, "menu");
    buffer_put_be64(&input, made_ms);
    buffer_append(&input, client->mac, sizeof client->mac);
    buffer_append(&input, client->uuid, sizeof client->uuid);
    buffer_append_string(&input, client->serial);
    buffer_put_u8(&input, 0);
    buffer_append_string(&input, peer);
    buffer_put_u8(&input, 0);
    buffer_append_string(&input, access->digest.user);
    buffer_put_u8(&input, 0);
    buffer_append_string(&input, access->digest.password);
    uint8_t time[8];
    store_be64(time, made_ms);
    hex_text(ret_key, time, sizeof time);
    prove(access, &input, ret_key + 2 * sizeof time);
    explicit_bzero(data, sizeof data);
}

void boot_access_make_key(const struct server *server, const struct boot_client *client,
                          const char *peer, char ret_key[BOOT_ACCESS_KEY_BYTES])
{
    prove_session(server->boot_access, client, peer, server_now_us(server) / 1000, ret_key);
}

bool boot_access_has_key(const struct server *server, const struct boot_client *client,
                         const char *peer, const char *key)
{
    char time[17], expected[BOOT_ACCESS_KEY_BYTES], *end;
    if (!server->boot_access || strlen(key) != BOOT_ACCESS_KEY_BYTES - 1)
        return false;
    memcpy(time, key, 16);
    time[16] = '\0';
    uint64_t made_ms = strtoull(time, &end, 16), now_ms = server_now_us(server) / 1000;
    if (*end || made_ms > now_ms || now_ms - made_ms > KEY_LIFE_MS)
        return false;
    prove_session(server->boot_access, client, peer, made_ms, expected);
    return CRYPTO_memcmp(expected, key, sizeof expected) == 0;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

static void use_password(struct server *server, struct boot_access *access)
{
    struct error error;
    const struct config_menu *menu = &access->config->menu;
    int result = secrets_prepare_password(&access->password, server->state, menu,
                                          &access->config->secret_key, &error);
    access->is_waiting = result && result != -EROFS;
    bool is_late = result == -EAGAIN || result == -EINPROGRESS;
    if (result && !is_late && result != access->told)
        log_warning("nobody can log in to the boot menu: %s", error.text);
    if (!result && access->password.path[0])
        log_notice("user and password of the boot menu: %s", access->password.path);
    access->told = is_late ? access->told : result;
    access->digest.user = menu->user;
    access->digest.password = access->password.text;
}

void boot_access_retry(struct server *server)
{
    if (server->boot_access && server->boot_access->is_waiting)
        use_password(server, server->boot_access);
}

int boot_access_start(struct server *server, struct error *error)
{
    struct boot_access *access = calloc(1, sizeof *access);
    if (!access)
        return error_set(error, -ENOMEM, "out of memory");
    access->config = config_ref(server->config);
    access->digest.realm = REALM;
    access->digest.window_ms = NONCE_WINDOW_MS;
    system_random.fill(&system_random, access->digest.key, sizeof access->digest.key);
    system_random.fill(&system_random, access->key, sizeof access->key);
    server->boot_access = access;
    use_password(server, access);
    return 0;
}

void boot_access_reload(struct server *server, const struct config *config)
{
    struct boot_access *access = server->boot_access;
    if (!access)
        return;
    bool same = config_same(access->config, config, "menu") &&
                config_same(access->config, config, "secret-key");
    config_unref(access->config);
    access->config = config_ref((struct config *)config);
    access->digest.user = config->menu.user;
    if (!same)
        use_password(server, access);
}

void boot_access_free(struct server *server)
{
    struct boot_access *access = take_pointer(server->boot_access);
    if (!access)
        return;
    config_unref(access->config);
    explicit_bzero(access, sizeof *access);
    free(access);
}
