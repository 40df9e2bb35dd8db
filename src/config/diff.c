/* diff.c - what a reload changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

bool config_same(const struct config *a, const struct config *b, const char *key)
{
    const struct key *row = section_find(&config_schema, key);
    return row && key_same(row, a, b);
}

/* Names and secrets that a target does not give follow from keys outside of it. */
static bool same_outside(const struct config *old, const struct config *new,
                         const struct config_target *target)
{
    const struct config_auth *auth = &target->auth;
    bool lacks_secrets = (auth->mode != CONFIG_AUTH_NONE && !auth->secret.length) ||
                         (auth->mode == CONFIG_AUTH_MUTUAL && !auth->target_secret.length);
    return (target->iqn || config_same(old, new, "iqn-authority")) &&
           (!lacks_secrets || config_same(old, new, "secret-key"));
}

int config_diff(const struct config *old, const struct config *new, struct config_diff *ret_diff)
{
    const struct section *section = section_find(&config_schema, "targets")->section;
    size_t most = (size_t)old->targets.count + new->targets.count;
    struct config_target_change *changes = calloc(most ? most : 1, sizeof *changes);
    if (!changes)
        return -ENOMEM;
    unsigned count = 0;
    for (unsigned i = 0; i < old->targets.count; i++) {
        const struct config_target *before = &old->targets.items[i];
        const struct config_target *after = config_find_target(new, before->name);
        enum config_change change = CONFIG_REMOVED;
        if (after)
            change =
                section_same_for_sessions(section, before, after) && same_outside(old, new, after)
                    ? CONFIG_UNCHANGED
                    : CONFIG_CHANGED;
        changes[count++] =
            (struct config_target_change){.change = change, .old = before, .new = after};
    }
    for (unsigned i = 0; i < new->targets.count; i++) {
        const struct config_target *after = &new->targets.items[i];
        if (!config_find_target(old, after->name))
            changes[count++] = (struct config_target_change){.change = CONFIG_ADDED, .new = after};
    }
    ret_diff->targets.items = changes;
    ret_diff->targets.count = count;
    return 0;
}

void config_diff_done(struct config_diff *diff)
{
    free(diff->targets.items);
    *diff = (struct config_diff){0};
}
