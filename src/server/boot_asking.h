/* boot_asking.h - one request for a script on its way to an answer: boot_source.c decides who may
 * boot, boot_menu.c what. */
#pragma once
#include "boot_access.h"
#include "boot_source.h"

/* What one decision is made from. Strings belong to the configuration. */
struct policy {
    struct boot_policy policy;
    struct boot_rule *rules;
    struct boot_target *targets;
    struct boot_lun *luns;
};

struct asking {
    struct server *server;
    const struct boot_reach *reach;
    const struct boot_question *question;
    const struct policy *policy;
    struct boot_server where;
    bool authenticated;
    char key[BOOT_ACCESS_KEY_BYTES]; /* for the URLs of the answer; "": not logged in */
    struct boot_decision decision;
    struct served_target *target; /* of the decision; NULL: not there */
    struct buffer *out;
    struct boot_answer *answer;
};

/* For the URLs of the answer; NULL: none. */
static inline const char *asking_key(const struct asking *asking)
{
    return asking->key[0] ? asking->key : NULL;
}

/* What this client logs in as. -ENAMETOOLONG; -EINVAL: nothing tells its name. */
int boot_asking_initiator(const struct asking *asking, char ret_name[BOOT_INITIATOR_BYTES],
                          struct error *error);
/* Appends the script that hooks the decision's LUN; `start` says what then. `what`: for the log;
 * NULL: nothing to add. */
int boot_asking_put_start(struct asking *asking, struct boot_start *start, const char *what);
/* Appends the page for whatever is no start: a login, or why not. */
int boot_asking_put_refusal(struct asking *asking);
/* Decides anew, for another disk. */
void boot_asking_decide_other(struct asking *asking, const char *target, const unsigned *lun);
/* A clause about a disk that is not ready; NULL: nothing to tell. */
const char *boot_asking_why_late(const struct asking *asking);

/* boot_menu.c: appends the page asked for, with a decision made. */
int boot_menu_answer(struct asking *asking);
