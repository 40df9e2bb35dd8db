/* check_auth.c - what CHAP needs to be worth anything (RFC 7143 §9.2.1, §12.1.3). */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

struct auth_check {
    struct reader *reader;
    const char *who; /* "target laptop" */
    const struct config_auth *auth;
};

static void refuse_keys(const struct auth_check *check, const char *const *keys, const char *why)
{
    for (; *keys; keys++)
        if (reader_has(check->reader, check->auth, *keys))
            reader_report(check->reader, false, check->auth, *keys, "%s: auth.%s is given %s",
                          check->who, *keys, why);
}

static void check_mode(const struct auth_check *check)
{
    static const char *const initiator[] = {"user", "secret", "secret-file", "secret-credential",
                                            NULL};
    static const char *const target[] = {"target-user", "target-secret", "target-secret-file",
                                         "target-secret-credential", NULL};
    if (check->auth->mode == CONFIG_AUTH_NONE)
        refuse_keys(check, initiator, "but mode \"none\" lets everyone in without it");
    if (check->auth->mode != CONFIG_AUTH_MUTUAL)
        refuse_keys(check, target, "but only mode \"mutual\" proves it to the initiator");
}

static void check_algorithms(const struct auth_check *check)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < check->auth->algorithms.count; i++) {
        unsigned bit = 1u << (check->auth->algorithms.items[i] & 31);
        if (seen & bit)
            reader_report(check->reader, false, check->auth, "algorithms",
                          "%s: auth.algorithms names one twice", check->who);
        seen |= bit;
    }
    if (!check->auth->algorithms.count)
        reader_report(check->reader, false, check->auth, "algorithms",
                      "%s: auth.algorithms is empty, so that nobody could log in", check->who);
}

static void check_one(struct reader *reader, const char *who, const struct config_auth *auth)
{
    struct auth_check check = {.reader = reader, .who = who, .auth = auth};
    check_mode(&check);
    check_algorithms(&check);
}

/* One secret of the whole config and what it proves. */
struct known_secret {
    const struct secret *secret;
    const struct config_auth *auth;
    bool is_target;
};

static int compare_secrets(const void *one, const void *two)
{
    const struct known_secret *a = one, *b = two;
    if (a->secret->length != b->secret->length)
        return a->secret->length < b->secret->length ? -1 : 1;
    return memcmp(a->secret->text, b->secret->text, a->secret->length);
}

static void compare_pair(struct reader *reader, const struct known_secret *a,
                         const struct known_secret *b)
{
    if (a->is_target != b->is_target) {
        const struct known_secret *target = a->is_target ? a : b;
        reader_report(reader, false, target->auth, "target-secret",
                      "the secret of user %s is also the secret of target user %s: whoever can "
                      "check one could pretend to be the other; take two different ones",
                      escaped((a->is_target ? b : a)->auth->user),
                      escaped(target->auth->target_user));
    } else if (!a->is_target && a->auth->user && b->auth->user &&
               strcmp(a->auth->user, b->auth->user) != 0) {
        reader_report(reader, true, b->auth, "secret", "users %s and %s have the same secret",
                      escaped(a->auth->user), escaped(b->auth->user));
    }
}

static unsigned collect(struct known_secret *to, const struct config_auth *auth)
{
    unsigned count = 0;
    if (auth->secret.length)
        to[count++] = (struct known_secret){&auth->secret, auth, false};
    if (auth->target_secret.length)
        to[count++] = (struct known_secret){&auth->target_secret, auth, true};
    return count;
}

/* Any secret of an initiator and any of a target must differ; equal ones stand side by side once
 * they are sorted, so each is compared with its neighbours alone. */
static void check_pairs(struct reader *reader)
{
    const struct config *config = reader->config;
    struct known_secret *known = calloc(2 * ((size_t)config->targets.count + 1), sizeof *known);
    if (!known) {
        errors_add(reader->errors, false, NULL, 0, "out of memory");
        return;
    }
    unsigned count = collect(known, &config->discovery_auth);
    for (unsigned i = 0; i < config->targets.count; i++)
        count += collect(known + count, &config->targets.items[i].auth);
    qsort(known, count, sizeof *known, compare_secrets);
    for (unsigned i = 1; i < count; i++)
        if (compare_secrets(&known[i - 1], &known[i]) == 0)
            compare_pair(reader, &known[i - 1], &known[i]);
    free(known);
}

void check_auth(struct reader *reader)
{
    const struct config *config = reader->config;
    check_one(reader, "discovery", &config->discovery_auth);
    for (unsigned i = 0; i < config->targets.count; i++) {
        struct error who;
        error_set(&who, 0, "target %s", escaped(config->targets.items[i].name));
        check_one(reader, who.text, &config->targets.items[i].auth);
    }
    check_pairs(reader);
}
