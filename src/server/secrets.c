/*
 * secrets.c - see secrets.h. Generated ones have 16 characters of 64 kinds, 96 random bits: what
 * RFC 7143 §9.2.1 asks for, what Windows takes (12 to 16), and no character that a boot script or a
 * kernel line could stumble over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/hmac.h>

#include "secrets.h"

#include <netboot-target/util/log.h>
#include <netboot-target/util/random.h>

#define GENERATED_CHARACTERS (SECRETS_GENERATED_BYTES - 1)
#define PASSWORD_RECORD      "menu-password"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

/* Six bits of each byte. */
static void spell(const uint8_t bytes[GENERATED_CHARACTERS], char secret[SECRETS_GENERATED_BYTES])
{
    for (unsigned i = 0; i < GENERATED_CHARACTERS; i++)
        secret[i] = letters[bytes[i] % 64];
    secret[GENERATED_CHARACTERS] = '\0';
}

static void generate(char *secret)
{
    uint8_t random[GENERATED_CHARACTERS];
    system_random.fill(&system_random, random, sizeof random);
    spell(random, secret);
    explicit_bzero(random, sizeof random);
}

int secrets_derive(const struct secret *key, const char *purpose,
                   char ret_secret[SECRETS_GENERATED_BYTES])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    if (!HMAC(EVP_sha256(), key->text, key->length, (const uint8_t *)purpose, strlen(purpose), hash,
              NULL))
        return -ENOMEM;
    spell(hash, ret_secret);
    explicit_bzero(hash, sizeof hash);
    return 0;
}

static void copy_secret(char to[ISCSI_SECRET_BYTES], const struct secret *from)
{
    snprintf(to, ISCSI_SECRET_BYTES, "%.*s", (int)from->length, from->text);
}

static bool is_generated(const char *word, size_t length)
{
    return length == GENERATED_CHARACTERS && strspn(word, letters) >= length;
}

/* "NAME SECRET" and the end of the line. Both may have blanks; behind another name than today's,
 * which may be the beginning of that one, the last word is taken, since generated secrets are one.
 * False: it is no such line. */
static bool take_secret(const char *line, const char *name, char secret[SECRET_MAX_BYTES + 1])
{
    size_t length = strcspn(line, "\n"), known = strlen(name);
    const char *blank = memrchr(line, ' ', length);
    if (!blank || line[length] != '\n')
        return false;
    bool is_of_name = !strncmp(line, name, known) && line[known] == ' ';
    if (is_of_name && !is_generated(blank + 1, length - (size_t)(blank + 1 - line)))
        blank = line + known;
    length -= (size_t)(blank + 1 - line);
    if (!length || length > SECRET_MAX_BYTES)
        return false;
    memcpy(secret, blank + 1, length);
    secret[length] = '\0';
    return true;
}

/* Two lines, "initiator NAME SECRET" and "target NAME SECRET". Those that are configured count. */
static int load_kept(struct chap_secrets *secrets, struct state *state, const char *name,
                     struct error *error)
{
    static const char initiator[] = "initiator ", target[] = "\ntarget ";
    const char *record;
    size_t length;
    int result = state_load(state, name, &record, &length, error);
    if (result)
        return result == -ENOENT ? 0 : result;
    struct chap_secrets kept = *secrets;
    const char *line = strstr(record, target);
    bool makes_sense =
        !strncmp(record, initiator, strlen(initiator)) && line &&
        take_secret(record + strlen(initiator), kept.initiator.name, kept.initiator.secret) &&
        take_secret(line + strlen(target), kept.target.name, kept.target.secret);
    if (makes_sense && !secrets->initiator.secret[0])
        secrets->initiator = kept.initiator;
    if (makes_sense && !secrets->target.secret[0])
        secrets->target = kept.target;
    secrets_wipe(&kept);
    return makes_sense ? 0 : state_reject(state, name, error);
}

/* What is kept nowhere is shown to a person who sits there, and to nobody else: the log is for more
 * eyes. False: nobody sits there. */
static bool show_on_terminal(const char *what, const char *text)
{
    return isatty(STDERR_FILENO) &&
           dprintf(STDERR_FILENO, "%s, until this process ends:\n%s", what, text) > 0;
}

static int keep(struct chap_secrets *secrets, struct state *state, const char *name,
                struct error *error)
{
    char record[2 * (ISCSI_CHAP_NAME_BYTES + ISCSI_SECRET_BYTES) + 32];
    int length =
        snprintf(record, sizeof record, "initiator %s %s\ntarget %s %s\n", secrets->initiator.name,
                 secrets->initiator.secret, secrets->target.name, secrets->target.secret);
    int result = state_keep(state, name, record, (size_t)length);
    if (!result && !state_lasts(state) && !show_on_terminal("CHAP names and secrets", record))
        log_warning("generated CHAP secrets (%s) hold until this process ends, and only boot "
                    "scripts have them: there is no state directory; set secret-key-file, or "
                    "secret-file and target-secret-file of auth",
                    name);
    explicit_bzero(record, sizeof record);
    if (result == -EINPROGRESS)
        return result;
    if (result)
        return error_set(error, result, "its generated secrets cannot be kept: %s",
                         strerror(-result));
    state_path(state, name, secrets->path, sizeof secrets->path);
    return 0;
}

static int derive_missing(struct chap_secrets *secrets, const char *record,
                          const struct secret *key)
{
    char purpose[192];
    int result = 0;
    snprintf(purpose, sizeof purpose, "initiator %s", record);
    if (!secrets->initiator.secret[0])
        result = secrets_derive(key, purpose, secrets->initiator.secret);
    snprintf(purpose, sizeof purpose, "target %s", record);
    if (!result && !secrets->target.secret[0])
        result = secrets_derive(key, purpose, secrets->target.secret);
    return result;
}

int secrets_prepare(struct chap_secrets *secrets, struct state *state, const char *record,
                    const struct config_auth *auth, const struct secret *key, struct error *error)
{
    *secrets = (struct chap_secrets){0};
    if (auth->mode == CONFIG_AUTH_NONE)
        return 0;
    snprintf(secrets->initiator.name, sizeof secrets->initiator.name, "%s", auth->user);
    snprintf(secrets->target.name, sizeof secrets->target.name, "%s", auth->target_user);
    copy_secret(secrets->initiator.secret, &auth->secret);
    copy_secret(secrets->target.secret, &auth->target_secret);
    bool mutual = auth->mode == CONFIG_AUTH_MUTUAL;
    if (secrets->initiator.secret[0] && (secrets->target.secret[0] || !mutual))
        return 0;
    if (key->length)
        return derive_missing(secrets, record, key)
                   ? error_set(error, -ENOMEM, "no memory for its secrets")
                   : 0;
    int result = load_kept(secrets, state, record, error);
    if (result)
        return result;
    if (!secrets->initiator.secret[0])
        generate(secrets->initiator.secret);
    if (!secrets->target.secret[0])
        generate(secrets->target.secret);
    return keep(secrets, state, record, error);
}

void secrets_fill_auth(const struct chap_secrets *secrets, const struct config_auth *auth,
                       struct iscsi_auth *ret_auth)
{
    static const enum iscsi_auth_mode modes[] = {[CONFIG_AUTH_NONE] = ISCSI_AUTH_NONE,
                                                 [CONFIG_AUTH_CHAP] = ISCSI_AUTH_CHAP,
                                                 [CONFIG_AUTH_MUTUAL] = ISCSI_AUTH_MUTUAL};
    *ret_auth = (struct iscsi_auth){.mode = modes[auth->mode]};
    if (ret_auth->mode == ISCSI_AUTH_NONE)
        return;
    ret_auth->initiators = &secrets->initiator;
    ret_auth->initiator_count = 1;
    ret_auth->target = secrets->target;
    for (unsigned i = 0; i < auth->algorithms.count; i++)
        ret_auth->algorithms |= 1u << auth->algorithms.items[i];
}

void secrets_wipe(struct chap_secrets *secrets)
{
    explicit_bzero(secrets, sizeof *secrets);
}

/* ── the menu's password ─────────────────────────────────────────────────────────────────────── */

/* One line, "USER PASSWORD". */
static int load_password(struct menu_password *password, struct state *state, const char *user,
                         struct error *error)
{
    const char *record;
    size_t length;
    int result = state_load(state, PASSWORD_RECORD, &record, &length, error);
    if (!result && !take_secret(record, user, password->text))
        result = state_reject(state, PASSWORD_RECORD, error);
    return result == -ENOENT ? 0 : result;
}

static int keep_password(struct menu_password *password, struct state *state, const char *user,
                         struct error *error)
{
    char record[2 * SECRET_MAX_BYTES];
    int length = snprintf(record, sizeof record, "%s %s\n", user, password->text);
    int result = state_keep(state, PASSWORD_RECORD, record, (size_t)length);
    if (!result && !state_lasts(state) &&
        !show_on_terminal("user and password of the boot menu", record))
        result = error_set(error, -EROFS,
                           "a generated password can be kept nowhere without a state directory, "
                           "and there is no terminal to show it on; set menu.password-file or "
                           "secret-key-file");
    else if (result)
        error_set(error, result,
                  "its generated password cannot be kept (%s); set menu.password-file or "
                  "secret-key-file",
                  strerror(-result));
    explicit_bzero(record, sizeof record);
    if (result)
        *password = (struct menu_password){0};
    else
        state_path(state, PASSWORD_RECORD, password->path, sizeof password->path);
    return result;
}

int secrets_prepare_password(struct menu_password *password, struct state *state,
                             const struct config_menu *menu, const struct secret *key,
                             struct error *error)
{
    *password = (struct menu_password){0};
    if (menu->password.length) {
        snprintf(password->text, sizeof password->text, "%.*s", (int)menu->password.length,
                 menu->password.text);
        return 0;
    }
    if (key->length)
        return secrets_derive(key, "menu-password", password->text)
                   ? error_set(error, -ENOMEM, "no memory for the menu's password")
                   : 0;
    int result = load_password(password, state, menu->user, error);
    if (result)
        return result;
    if (!password->text[0])
        generate(password->text);
    return keep_password(password, state, menu->user, error);
}
