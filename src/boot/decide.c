/* decide.c - who boots what, see boot.h */
#include <string.h>

#include <netboot-target/boot.h>
#include <netboot-target/util/array.h>

/* ── why, and what follows from it ───────────────────────────────────────────────────────────── */

static const struct {
    enum boot_verdict verdict;
    const char *text;
} reasons[] = {
    [BOOT_REASON_NONE] = {BOOT_START,  "it boots"                                      },
    [BOOT_REASON_NOT_LISTED] = {BOOT_REFUSE, "it is not listed in clients"                   },
    [BOOT_REASON_PASSWORD] = {BOOT_REFUSE, "it needs the password"                         },
    [BOOT_REASON_NO_MAC] = {BOOT_FAIL,   "its disk is named by its MAC, and it told none"},
    [BOOT_REASON_NO_NAME] = {BOOT_FAIL,   "it told neither MAC nor UUID, which name it"   },
    [BOOT_REASON_NO_TARGET] = {BOOT_FAIL,   "there is no target for it"                     },
    [BOOT_REASON_NO_LUN] = {BOOT_FAIL,   "its target has no such LUN"                    },
    [BOOT_REASON_NOT_READY] = {BOOT_WAIT,   "its disk is not ready yet"                     },
    [BOOT_REASON_NOT_SERVING] = {BOOT_WAIT,   "serving is switched off"                       },
};

const char *boot_reason_text(enum boot_reason reason)
{
    return reasons[reason].text;
}

static void conclude(struct boot_decision *decision, enum boot_reason reason)
{
    decision->reason = reason;
    decision->verdict = reasons[reason].verdict;
}

void boot_decision_wait(struct boot_decision *decision)
{
    conclude(decision, BOOT_REASON_NOT_READY);
}

/* ── rules ───────────────────────────────────────────────────────────────────────────────────── */

/* SMBIOS keeps the first three fields of a UUID little-endian, and not all firmware turns them. */
static bool uuid_matches(const uint8_t *a, const uint8_t *b)
{
    static const uint8_t turned[] = {3, 2, 1, 0, 5, 4, 7, 6};
    if (memcmp(a + sizeof turned, b + sizeof turned, BOOT_UUID_BYTES - sizeof turned) != 0)
        return false;
    if (memcmp(a, b, sizeof turned) == 0)
        return true;
    for (unsigned i = 0; i < sizeof turned; i++) {
        if (a[i] != b[turned[i]])
            return false;
    }
    return true;
}

/* The text without the blanks around it. */
static const char *trim(const char *text, size_t *ret_length)
{
    text += strspn(text, " ");
    *ret_length = strlen(text);
    while (*ret_length && text[*ret_length - 1] == ' ')
        --*ret_length;
    return text;
}

/* Some firmware fills the field up with blanks, which other programs do not show. */
static bool serial_matches(const char *a, const char *b)
{
    size_t a_length, b_length;
    a = trim(a, &a_length);
    b = trim(b, &b_length);
    return a_length && a_length == b_length && memcmp(a, b, a_length) == 0;
}

bool boot_rule_matches(const struct boot_rule *rule, const struct boot_client *client)
{
    if (rule->has_mac && (!client->has_mac || memcmp(rule->mac, client->mac, BOOT_MAC_BYTES) != 0))
        return false;
    if (rule->has_uuid && (!client->has_uuid || !uuid_matches(rule->uuid, client->uuid)))
        return false;
    if (rule->serial && !serial_matches(rule->serial, client->serial))
        return false;
    return rule->has_mac || rule->has_uuid || rule->serial;
}

static const struct boot_rule *find_rule(const struct boot_policy *policy,
                                         const struct boot_client *client)
{
    for (unsigned i = 0; i < policy->rule_count; i++) {
        if (boot_rule_matches(&policy->rules[i], client))
            return &policy->rules[i];
    }
    return NULL;
}

/* ── targets ─────────────────────────────────────────────────────────────────────────────────── */

static const struct boot_target *find_target(const struct boot_policy *policy, const char *name)
{
    for (unsigned i = 0; i < policy->target_count; i++) {
        if (!name || strcmp(policy->targets[i].name, name) == 0)
            return &policy->targets[i];
    }
    return NULL;
}

/* Whoever boots one LUN sees all LUNs of its target. */
static bool is_harmless(const struct boot_target *target)
{
    for (unsigned i = 0; i < target->lun_count; i++) {
        if (!target->luns[i].read_only)
            return false;
    }
    return !target->needs_secret;
}

/* For a client without a rule: the first target that is for it. */
static const struct boot_target *find_public_target(const struct boot_policy *policy,
                                                    bool authenticated)
{
    for (unsigned i = 0; i < policy->target_count; i++) {
        const struct boot_target *target = &policy->targets[i];
        if (authenticated || target->open || is_harmless(target))
            return target;
    }
    return NULL;
}

/* `number` NULL: the first. */
static const struct boot_lun *find_lun(const struct boot_target *target, const unsigned *number)
{
    for (unsigned i = 0; i < target->lun_count; i++) {
        if (!number || target->luns[i].number == *number)
            return &target->luns[i];
    }
    return NULL;
}

/* ── the decision ────────────────────────────────────────────────────────────────────────────── */

static enum boot_reason choose_target(const struct boot_policy *policy, bool authenticated,
                                      struct boot_decision *decision)
{
    const struct boot_rule *rule = decision->rule;
    if (!policy->target_count)
        return BOOT_REASON_NO_TARGET;
    if (!rule) {
        decision->target = find_public_target(policy, authenticated);
        return decision->target ? BOOT_REASON_NONE : BOOT_REASON_NOT_LISTED;
    }
    decision->target = find_target(policy, rule->target);
    if (!decision->target)
        return BOOT_REASON_NO_TARGET;
    /* being listed takes nothing away that strangers have; an image of its own they have not */
    bool is_public = !rule->own_image && (decision->target->open || is_harmless(decision->target));
    return rule->open || authenticated || is_public ? BOOT_REASON_NONE : BOOT_REASON_PASSWORD;
}

/* Two that are called the same would be one initiator, and write one disk. */
static bool has_name(const struct boot_rule *rule, const struct boot_client *client)
{
    const char *pattern = rule && rule->initiator ? rule->initiator : BOOT_INITIATOR_PATTERN;
    return client->has_mac || client->has_uuid || !strstr(pattern, "%m");
}

/* `own_image`: the client's image is in the place of the target's. */
static enum boot_reason choose_lun(const struct boot_client *client, const unsigned *number,
                                   bool own_image, struct boot_decision *decision)
{
    const struct boot_rule *rule = decision->rule;
    const struct boot_lun *lun = find_lun(decision->target, number);
    if (!lun)
        return BOOT_REASON_NO_LUN;
    decision->lun = lun->number;
    decision->own_image = lun->per_client || own_image;
    decision->menu = rule && rule->menu;
    if (lun->per_client && !client->has_mac && !(rule && (rule->has_mac || own_image)))
        return BOOT_REASON_NO_MAC;
    if (!has_name(rule, client))
        return BOOT_REASON_NO_NAME;
    /* An image of its own has a target of its own, which the caller looks at. */
    return decision->own_image || decision->target->ready ? BOOT_REASON_NONE
                                                          : BOOT_REASON_NOT_READY;
}

void boot_decide(const struct boot_policy *policy, const struct boot_client *client,
                 bool authenticated, struct boot_decision *ret_decision)
{
    struct boot_decision decision = {.rule = find_rule(policy, client)};
    enum boot_reason reason = BOOT_REASON_NOT_SERVING;
    if (policy->serving)
        reason = choose_target(policy, authenticated, &decision);
    const struct boot_rule *rule = decision.rule;
    if (reason == BOOT_REASON_NONE)
        reason = choose_lun(client, rule && rule->has_lun ? &rule->lun : NULL,
                            rule && rule->own_image, &decision);
    conclude(&decision, reason);
    *ret_decision = decision;
}

/* A rule opens its own target alone. */
static bool opens(const struct boot_policy *policy, const struct boot_rule *rule,
                  const struct boot_target *target)
{
    return rule && rule->open && find_target(policy, rule->target) == target;
}

void boot_decide_other(const struct boot_policy *policy, const struct boot_client *client,
                       const char *target, const unsigned *lun, bool authenticated,
                       struct boot_decision *ret_decision)
{
    struct boot_decision decision = {.rule = find_rule(policy, client),
                                     .target = find_target(policy, target)};
    enum boot_reason reason = BOOT_REASON_NONE;
    if (!policy->serving)
        reason = BOOT_REASON_NOT_SERVING;
    else if (!decision.target)
        reason = BOOT_REASON_NO_TARGET;
    else if (!authenticated && !decision.target->open && !is_harmless(decision.target) &&
             !opens(policy, decision.rule, decision.target))
        reason = BOOT_REASON_PASSWORD;
    if (reason == BOOT_REASON_NONE)
        reason = choose_lun(client, lun, false, &decision);
    conclude(&decision, reason);
    *ret_decision = decision;
}
