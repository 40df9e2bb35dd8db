/*
 * secrets.c - see secrets.h. Generated ones have 16 characters of 64 kinds, 96 random bits: what
 * RFC 7143 §9.2.1 asks for, what Windows takes (12 to 16), and no character that a boot script or a
 * kernel line could stumble over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secrets.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/random.h>

#define GENERATED_CHARACTERS 16

static void generate(char secret[ISCSI_SECRET_BYTES])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
    uint8_t random[GENERATED_CHARACTERS];
    system_random.fill(&system_random, random, sizeof random);
    for (unsigned i = 0; i < GENERATED_CHARACTERS; i++)
        secret[i] = alphabet[random[i] % 64];
    secret[GENERATED_CHARACTERS] = '\0';
    explicit_bzero(random, sizeof random);
}

static void copy_secret(char to[ISCSI_SECRET_BYTES], const struct secret *from)
{
    snprintf(to, ISCSI_SECRET_BYTES, "%.*s", (int)from->length, from->text);
}

static void record_name(const struct served_target *target, char *to, size_t size)
{
    snprintf(to, size, "secrets-%s", target->config->name);
}

/* Two lines, "initiator NAME SECRET" and "target NAME SECRET". */
static void load_line(const char *record, const char *kind, char secret[ISCSI_SECRET_BYTES])
{
    const char *line = strstr(record, kind);
    if (line)
        (void)sscanf(line, "%*s %*s %255s", secret); /* stays empty when it is not there */
}

static void load_kept(struct served_target *target)
{
    char name[96];
    record_name(target, name, sizeof name);
    size_t length;
    char *record = state_load(target->server->state, name, &length);
    if (!record)
        return;
    if (!target->initiator_credentials.secret[0])
        load_line(record, "initiator", target->initiator_credentials.secret);
    if (!target->target_credentials.secret[0])
        load_line(record, "\ntarget", target->target_credentials.secret);
    explicit_bzero(record, length);
    free(record);
}

static int keep(struct served_target *target, struct error *error)
{
    char name[96];
    char record[2 * (ISCSI_NAME_BYTES + ISCSI_SECRET_BYTES) + 32];
    record_name(target, name, sizeof name);
    int length = snprintf(record, sizeof record, "initiator %s %s\ntarget %s %s\n",
                          target->initiator_credentials.name, target->initiator_credentials.secret,
                          target->target_credentials.name, target->target_credentials.secret);
    int result = state_save(target->server->state, name, record, (size_t)length);
    explicit_bzero(record, sizeof record);
    if (result && result != -EROFS)
        return error_set(error, result, "its generated secrets cannot be kept: %s",
                         strerror(-result));
    state_path(target->server->state, name, target->secrets_path, sizeof target->secrets_path);
    return 0;
}

int secrets_prepare(struct served_target *target, struct error *error)
{
    const struct config_auth *auth = &target->config->auth;
    if (auth->mode == CONFIG_AUTH_NONE)
        return 0;
    struct iscsi_credentials *initiator = &target->initiator_credentials;
    struct iscsi_credentials *ours = &target->target_credentials;
    snprintf(initiator->name, sizeof initiator->name, "%s", auth->user);
    snprintf(ours->name, sizeof ours->name, "%s", auth->target_user);
    copy_secret(initiator->secret, &auth->secret);
    copy_secret(ours->secret, &auth->target_secret);
    bool mutual = auth->mode == CONFIG_AUTH_MUTUAL;
    if (initiator->secret[0] && (ours->secret[0] || !mutual))
        return 0;
    load_kept(target);
    if (!initiator->secret[0])
        generate(initiator->secret);
    if (!ours->secret[0])
        generate(ours->secret);
    return keep(target, error);
}

void secrets_fill_auth(const struct served_target *target, struct iscsi_auth *auth)
{
    static const enum iscsi_auth_mode modes[] = {[CONFIG_AUTH_NONE] = ISCSI_AUTH_NONE,
                                                 [CONFIG_AUTH_CHAP] = ISCSI_AUTH_CHAP,
                                                 [CONFIG_AUTH_MUTUAL] = ISCSI_AUTH_MUTUAL};
    const struct config_auth *config = &target->config->auth;
    *auth = (struct iscsi_auth){.mode = modes[config->mode]};
    if (auth->mode == ISCSI_AUTH_NONE)
        return;
    auth->initiators = &target->initiator_credentials;
    auth->initiator_count = 1;
    auth->target = target->target_credentials;
    for (unsigned i = 0; i < config->algorithms.count; i++)
        auth->algorithms |= 1u << config->algorithms.items[i];
}

void secrets_wipe(struct served_target *target)
{
    explicit_bzero(&target->initiator_credentials, sizeof target->initiator_credentials);
    explicit_bzero(&target->target_credentials, sizeof target->target_credentials);
}
