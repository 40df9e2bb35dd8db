/* login.c - see login.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "chap.h"
#include "connection.h"
#include "keys.h"
#include "login.h"
#include "negotiate.h"
#include "pdu.h"
#include "target.h"
#include "text.h"
#include <netboot-target/util/escape.h>

#define REQUESTS_LIMIT 32 /* of one login; initiators send 1 to 5 */

/* Stages as in CSG and NSG, RFC 7143 §11.12.3. */
enum { SECURITY = 0, OPERATIONAL = 1, FULL_FEATURE = 3 };

/* The login request, §11.12. */
enum { LOGIN_VERSION_MIN = 3, LOGIN_ISID = 8, LOGIN_TSIH = 14, LOGIN_CID = 20 };

struct request {
    bool transit, more;
    uint8_t csg, nsg;
};

struct iscsi_login {
    struct iscsi_node *node;
    struct sockaddr_storage peer;
    struct iscsi_login_result result;
    char target_name[ISCSI_NAME_BYTES];
    struct iscsi_negotiation negotiation;
    struct iscsi_chap chap;
    uint8_t stage;
    unsigned requests;
    bool identified;
    char *values[KEY_COUNT]; /* as received, to tell a repetition from a contradiction */
    uint64_t fresh;          /* bits 1 << key: those of the present request */
    struct buffer text;      /* of a request that goes on in the next PDU */
    struct buffer answer;
};
_Static_assert(KEY_COUNT <= 64, "iscsi_login.fresh has a bit for each key");

/* ── refusals ────────────────────────────────────────────────────────────────────────────────── */

enum refusal {
    REFUSE_NOT, /* go on */
    REFUSE_STAGE,
    REFUSE_IDENTITY_CHANGED,
    REFUSE_TOO_LONG,
    REFUSE_TEXT,
    REFUSE_KEY_STAGE,
    REFUSE_CONTRADICTION,
    REFUSE_INITIATOR_NAME,
    REFUSE_DIGEST,
    REFUSE_CHAP,
    REFUSE_UNAUTHENTICATED,
    REFUSE_METHOD,
    REFUSE_NOT_ADMITTED,
    REFUSE_UNINVITED,
    REFUSE_OWNED,
    REFUSE_NO_TARGET,
    REFUSE_VERSION,
    REFUSE_NO_INITIATOR_NAME,
    REFUSE_NO_TARGET_NAME,
    REFUSE_SESSION_TYPE,
    REFUSE_NO_SESSION,
    REFUSE_PUT_OFF,
    REFUSE_NOT_READY,
    REFUSE_CHANGING_HANDS,
    REFUSE_SESSIONS,
    REFUSE_MEMORY,
};

/* Class and detail: RFC 7143 §11.13.5. Class 3 is what initiators try again upon; at class 2 they
 * give up. */
static const struct {
    uint8_t status_class, status_detail;
    const char *reason;
} refusals[] = {
    [REFUSE_STAGE] = {2, 0x00, "the login stages are out of order"                                         },
    [REFUSE_IDENTITY_CHANGED] = {2, 0x00, "ISID, TSIH or CID changed during the login"                                },
    [REFUSE_TOO_LONG] = {2, 0x00, "the login is longer than is allowed"                                       },
    [REFUSE_TEXT] = {2, 0x00, "the login text is malformed"                                               },
    [REFUSE_KEY_STAGE] = {2, 0x00, "a key came in the wrong stage"                                             },
    [REFUSE_CONTRADICTION] = {2, 0x00, "a key came twice with different values"                                    },
    [REFUSE_INITIATOR_NAME] = {2, 0x00, "InitiatorName is no iSCSI name"                                            },
    [REFUSE_DIGEST] = {2, 0x00,
                      "the target insists on CRC32C digests and the initiator did not agree"               },
    [REFUSE_CHAP] = {2, 0x01, "authentication failed"                                                     },
    [REFUSE_UNAUTHENTICATED] = {2, 0x01,
                      "the target asks for CHAP and the initiator did not offer it; set "
                                "its CHAP name and secret"                                                 },
    [REFUSE_METHOD] = {2, 0x01,
                      "the initiator insists on authentication, but the target has no secret "
                       "for it"                                                                            },
    [REFUSE_NOT_ADMITTED] = {2, 0x02,
                      "the target's list of initiators and addresses leaves it out"                        },
    [REFUSE_UNINVITED] =
        {2, 0x02, "it has not fetched its boot script lately from this address (after-script)"},
    [REFUSE_OWNED] = {2, 0x02, "the target's writable disks are another initiator's"                       },
    [REFUSE_NO_TARGET] = {2, 0x03, "there is no such target"                                                   },
    [REFUSE_VERSION] = {2, 0x05, "the initiator speaks no version 0 of iSCSI"                                },
    [REFUSE_NO_INITIATOR_NAME] = {2, 0x07, "InitiatorName is missing"                                                  },
    [REFUSE_NO_TARGET_NAME] = {2, 0x07, "TargetName is missing"                                                     },
    [REFUSE_SESSION_TYPE] = {2, 0x09, "SessionType is neither Normal nor Discovery"                               },
    [REFUSE_NO_SESSION] = {2, 0x0a, "a second connection for a session; one is all we hold"                     },
    [REFUSE_PUT_OFF] = {3, 0x01, "serving is switched off, or the server is ending"                          },
    [REFUSE_NOT_READY] = {3, 0x01, "the target's disks are not all open yet"                                   },
    [REFUSE_CHANGING_HANDS] = {3, 0x01, "the target's owner is just being released"                                 },
    [REFUSE_SESSIONS] = {3, 0x02, "the initiator has too many sessions"                                       },
    [REFUSE_MEMORY] = {3, 0x02, "out of memory"                                                             },
};

/* ── one request: header and text ────────────────────────────────────────────────────────────── */

static enum refusal begin(struct iscsi_login *login, const uint8_t *bhs,
                          const struct request *request, struct error *detail)
{
    if (bhs[LOGIN_VERSION_MIN] != 0)
        return REFUSE_VERSION;
    if (load_be16(bhs + LOGIN_TSIH) != 0)
        return REFUSE_NO_SESSION;
    if (request->csg > OPERATIONAL) {
        error_set(detail, 0, "it begins with stage %u", request->csg);
        return REFUSE_STAGE;
    }
    memcpy(login->result.isid, bhs + LOGIN_ISID, ISCSI_ISID_BYTES);
    login->result.cid = load_be16(bhs + LOGIN_CID);
    login->stage = request->csg;
    return REFUSE_NOT;
}

static enum refusal check_stages(const struct iscsi_login *login, const struct request *request,
                                 struct error *detail)
{
    if (request->csg != login->stage)
        error_set(detail, 0, "stage %u instead of %u", request->csg, login->stage);
    else if (request->transit && request->more)
        error_set(detail, 0, "T and C are both set");
    else if (request->transit && (request->nsg <= request->csg || request->nsg == 2))
        error_set(detail, 0, "it wants to go from stage %u to %u", request->csg, request->nsg);
    else
        return REFUSE_NOT;
    return REFUSE_STAGE;
}

static enum refusal check_header(struct iscsi_login *login, const uint8_t *bhs,
                                 const struct request *request, struct error *detail)
{
    if (login->requests++ == 0) {
        enum refusal refusal = begin(login, bhs, request, detail);
        if (refusal)
            return refusal;
    } else if (memcmp(login->result.isid, bhs + LOGIN_ISID, ISCSI_ISID_BYTES) != 0 ||
               load_be16(bhs + LOGIN_TSIH) != 0 ||
               load_be16(bhs + LOGIN_CID) != login->result.cid) {
        return REFUSE_IDENTITY_CHANGED;
    }
    if (login->requests > REQUESTS_LIMIT)
        return REFUSE_TOO_LONG;
    return check_stages(login, request, detail);
}

static bool is_fresh(const struct iscsi_login *login, enum iscsi_key_id id)
{
    return login->fresh >> id & 1;
}

/* The value if it came with this request, else NULL. */
static const char *fresh_value(const struct iscsi_login *login, enum iscsi_key_id id)
{
    return is_fresh(login, id) ? login->values[id] : NULL;
}

static enum refusal take_pair(struct iscsi_login *login, const struct iscsi_text_pair *pair,
                              struct error *detail)
{
    enum iscsi_key_id id = iscsi_key_find(pair->key);
    if (id == KEY_COUNT) {
        if (!iscsi_text_is_answer(pair->value))
            iscsi_text_put(&login->answer, pair->key, TEXT_NOT_UNDERSTOOD);
        return REFUSE_NOT;
    }
    const struct iscsi_key *key = &iscsi_keys[id];
    error_set(detail, 0, "%s", key->name);
    if (pair->value_length > (key->value_limit ? key->value_limit : TEXT_VALUE_LIMIT))
        return REFUSE_TEXT;
    if (!(key->stages & (login->stage == SECURITY ? STAGE_SECURITY : STAGE_OPERATIONAL)))
        return REFUSE_KEY_STAGE;
    if (login->values[id] && strcmp(login->values[id], pair->value) != 0)
        return REFUSE_CONTRADICTION;
    login->fresh |= UINT64_C(1) << id;
    if (!login->values[id] && !(login->values[id] = strdup(pair->value)))
        return REFUSE_MEMORY;
    return REFUSE_NOT;
}

static enum refusal read_keys(struct iscsi_login *login, const uint8_t *text, size_t length,
                              struct error *detail)
{
    struct iscsi_text_reader reader;
    struct iscsi_text_pair pair;
    iscsi_text_reader_init(&reader, text, length);
    login->fresh = 0;
    for (;;) {
        int result = iscsi_text_read(&reader, &pair, detail);
        if (result < 0)
            return REFUSE_TEXT;
        if (result == 0)
            return REFUSE_NOT;
        enum refusal refusal = take_pair(login, &pair, detail);
        if (refusal)
            return refusal;
    }
}

/* ── who, and to what ────────────────────────────────────────────────────────────────────────── */

static bool is_invited(const struct iscsi_login *login, const struct iscsi_target *target)
{
    const struct iscsi_node *node = login->node;
    return node->callbacks->is_invited &&
           node->callbacks->is_invited(node->context, target, login->result.initiator,
                                       &login->peer);
}

/* While a login goes on a reload may take the target away, so it is looked up each time. */
static enum refusal find_target(struct iscsi_login *login)
{
    struct iscsi_target *target = iscsi_node_find_target(login->node, login->target_name);
    login->result.target = target;
    if (!target)
        return login->identified || login->node->incomplete ? REFUSE_NOT_READY : REFUSE_NO_TARGET;
    if (!iscsi_target_admits(target, login->result.initiator, &login->peer))
        return REFUSE_NOT_ADMITTED;
    if (target->invited_only && !is_invited(login, target))
        return REFUSE_UNINVITED;
    return target->ready && !target->removing ? REFUSE_NOT : REFUSE_NOT_READY;
}

static enum refusal read_names(struct iscsi_login *login, struct error *detail)
{
    const char *initiator = login->values[KEY_INITIATOR_NAME];
    const char *type = login->values[KEY_SESSION_TYPE];
    const char *target = login->values[KEY_TARGET_NAME];
    const char *alias = login->values[KEY_INITIATOR_ALIAS];
    if (!initiator)
        return REFUSE_NO_INITIATOR_NAME;
    if (iscsi_name_normalize(initiator, login->result.initiator) < 0) {
        error_set(detail, 0, "\"%s\"", escaped(initiator));
        login->result.initiator[0] = '\0';
        return REFUSE_INITIATOR_NAME;
    }
    snprintf(login->result.alias, sizeof login->result.alias, "%s", alias ? alias : "");
    login->result.discovery = type && strcmp(type, "Discovery") == 0;
    if (type && !login->result.discovery && strcmp(type, "Normal") != 0) /* §13.21: the default */
        return REFUSE_SESSION_TYPE;
    if (login->result.discovery)
        return REFUSE_NOT;
    if (!target)
        return REFUSE_NO_TARGET_NAME;
    snprintf(login->target_name, sizeof login->target_name, "%s", target);
    return strlen(target) < ISCSI_NAME_BYTES ? REFUSE_NOT : REFUSE_NO_TARGET;
}

/* Serving switched off must not cost a running system its disk: it comes back. */
static bool is_welcome(const struct iscsi_login *login)
{
    const struct iscsi_node *node = login->node;
    const struct iscsi_login_result *result = &login->result;
    if (node->welcome != ISCSI_WELCOME_BACK)
        return node->welcome == ISCSI_WELCOME_ALL;
    return result->target && (iscsi_node_sessions_like(node, result) ||
                              owner_is_here(result->target, result->initiator, node_now_us(node)));
}

/* Whether the target is there, and who may come to it now. */
static enum refusal find_place(struct iscsi_login *login)
{
    enum refusal refusal = REFUSE_NOT;
    if (login->node->welcome != ISCSI_WELCOME_NOBODY && !login->result.discovery)
        refusal = find_target(login);
    return refusal || is_welcome(login) ? refusal : REFUSE_PUT_OFF;
}

/* The leading request names both sides; its answer is the place for TargetPortalGroupTag, §13.9. */
static enum refusal identify(struct iscsi_login *login, struct error *detail)
{
    enum refusal refusal = read_names(login, detail);
    if (refusal == REFUSE_NOT)
        refusal = find_place(login);
    if (refusal)
        return refusal;
    login->identified = true;
    const struct iscsi_target *target = login->result.target;
    iscsi_negotiation_for(&login->negotiation, target);
    if (!target)
        return REFUSE_NOT;
    if (target->alias[0])
        iscsi_text_put(&login->answer, "TargetAlias", target->alias);
    iscsi_text_put_number(&login->answer, "TargetPortalGroupTag", ISCSI_PORTAL_GROUP);
    return REFUSE_NOT;
}

static enum refusal identify_again(struct iscsi_login *login)
{
    return find_place(login);
}

/* ── security stage ──────────────────────────────────────────────────────────────────────────── */

static const struct iscsi_auth *auth_of(const struct iscsi_login *login)
{
    return login->result.discovery ? &login->node->discovery_auth : &login->result.target->auth;
}

static bool is_authenticated(const struct iscsi_login *login)
{
    return auth_of(login)->mode == ISCSI_AUTH_NONE || login->chap.state == CHAP_DONE;
}

/* The target allows exactly one method, whatever the order of the list. */
static enum refusal agree_on_method(struct iscsi_login *login, const char *list)
{
    bool wanted = auth_of(login)->mode != ISCSI_AUTH_NONE;
    const char *method = wanted ? "CHAP" : "None";
    char item[8];
    while (iscsi_text_list_next(&list, item, sizeof item)) {
        if (strcmp(item, method) != 0)
            continue;
        iscsi_text_put(&login->answer, iscsi_keys[KEY_AUTH_METHOD].name, method);
        if (wanted && login->chap.state == CHAP_IDLE)
            login->chap.state = CHAP_AGREED;
        return REFUSE_NOT;
    }
    return wanted ? REFUSE_UNAUTHENTICATED : REFUSE_METHOD;
}

static enum refusal security_stage(struct iscsi_login *login, struct error *detail)
{
    const struct iscsi_auth *auth = auth_of(login);
    const char *methods = fresh_value(login, KEY_AUTH_METHOD);
    const char *algorithms = fresh_value(login, KEY_CHAP_A);
    const struct iscsi_chap_request response = {
        .name = fresh_value(login, KEY_CHAP_N),
        .response = fresh_value(login, KEY_CHAP_R),
        .identifier = fresh_value(login, KEY_CHAP_I),
        .challenge = fresh_value(login, KEY_CHAP_C),
    };
    enum refusal refusal = methods ? agree_on_method(login, methods) : REFUSE_NOT;
    if (refusal)
        return refusal;
    if (algorithms && iscsi_chap_challenge(&login->chap, auth, login->node->random, algorithms,
                                           &login->answer, detail) < 0)
        return REFUSE_CHAP;
    if ((response.name || response.response || response.identifier || response.challenge) &&
        iscsi_chap_verify(&login->chap, auth, login->node, &response, &login->answer, detail) < 0)
        return REFUSE_CHAP;
    return REFUSE_NOT;
}

/* ── operational stage ───────────────────────────────────────────────────────────────────────── */

static void negotiate_keys(struct iscsi_login *login)
{
    for (enum iscsi_key_id id = 0; id < KEY_COUNT; id++) {
        enum iscsi_key_function function = iscsi_keys[id].function;
        if (is_fresh(login, id) && function != KEY_IDENTITY && function != KEY_SECURITY)
            iscsi_negotiate(&login->negotiation, id, login->values[id], &login->answer);
    }
    if (login->stage == OPERATIONAL)
        iscsi_negotiation_declare(&login->negotiation, &login->answer);
}

/* ── the end of a stage ──────────────────────────────────────────────────────────────────────── */

/* A session that this login replaces is not one too many. */
static bool has_room(const struct iscsi_login *login)
{
    struct iscsi_node *node = login->node;
    unsigned limit = node->limits.sessions_per_initiator;
    if (iscsi_node_sessions_like(node, &login->result) < limit)
        return true;
    if (session_some_makes_way(node, &login->result))
        return true;
    return iscsi_node_end_oldest_like(node, &login->result, &login->peer);
}

static enum refusal claim(struct iscsi_login *login, uint64_t now_us, struct error *detail)
{
    const struct iscsi_target *target = login->result.target;
    enum iscsi_claim claim =
        target ? owner_judge(target, login->result.initiator, now_us) : CLAIM_WRITE;
    login->result.view = claim == CLAIM_VIEW;
    if (claim == CLAIM_REFUSED)
        owner_describe(target, now_us, detail);
    return claim == CLAIM_REFUSED ? REFUSE_OWNED
           : claim == CLAIM_LATER ? REFUSE_CHANGING_HANDS
                                  : REFUSE_NOT;
}

static enum refusal complete(struct iscsi_login *login, uint64_t now_us, struct error *detail)
{
    enum refusal refusal = claim(login, now_us, detail);
    if (refusal)
        return refusal;
    if (iscsi_negotiation_lacks_digest(&login->negotiation))
        return REFUSE_DIGEST;
    if (!has_room(login))
        return REFUSE_SESSIONS;
    login->result.parameters = login->negotiation.parameters;
    login->result.auth = login->chap.state != CHAP_DONE ? ISCSI_AUTH_NONE
                         : login->chap.mutual           ? ISCSI_AUTH_MUTUAL
                                                        : ISCSI_AUTH_CHAP;
    return REFUSE_NOT;
}

/* Leaves the stage if it is asked to and can: iPXE asks with every CHAP request. */
static enum refusal transit(struct iscsi_login *login, const struct request *request,
                            uint64_t now_us, struct iscsi_login_answer *answer,
                            struct error *detail)
{
    bool unauthenticated = !is_authenticated(login);
    if (unauthenticated && (request->csg == OPERATIONAL || request->transit) &&
        login->chap.state == CHAP_IDLE)
        return REFUSE_UNAUTHENTICATED;
    if (!request->transit || unauthenticated)
        return REFUSE_NOT;
    enum refusal refusal =
        request->nsg == FULL_FEATURE ? complete(login, now_us, detail) : REFUSE_NOT;
    if (refusal)
        return refusal;
    login->stage = request->nsg;
    answer->transit = true;
    answer->nsg = request->nsg;
    return REFUSE_NOT;
}

/* ── the whole ───────────────────────────────────────────────────────────────────────────────── */

static enum refusal handle_text(struct iscsi_login *login, const struct request *request,
                                const uint8_t *text, size_t length, uint64_t now_us,
                                struct iscsi_login_answer *answer, struct error *detail)
{
    enum refusal refusal = read_keys(login, text, length, detail);
    if (refusal)
        return refusal;
    *detail = (struct error){0};
    refusal = login->identified ? identify_again(login) : identify(login, detail);
    if (refusal == REFUSE_NOT && login->stage == SECURITY)
        refusal = security_stage(login, detail);
    if (refusal)
        return refusal;
    negotiate_keys(login);
    refusal = transit(login, request, now_us, answer, detail);
    return refusal == REFUSE_NOT && login->answer.failed ? REFUSE_TOO_LONG : refusal;
}

/* §6.2: a request with C goes on in the next one and is answered by nothing but "go on". */
static enum refusal handle(struct iscsi_login *login, const uint8_t *bhs, const uint8_t *text,
                           size_t length, uint64_t now_us, struct iscsi_login_answer *answer,
                           struct error *detail)
{
    const struct request request = {
        .transit = bhs[1] & BHS_FINAL,
        .more = bhs[1] & BHS_CONTINUE,
        .csg = bhs[1] >> 2 & 3,
        .nsg = bhs[1] & 3,
    };
    answer->csg = request.csg;
    enum refusal refusal = check_header(login, bhs, &request, detail);
    if (refusal)
        return refusal;
    bool joined = request.more || login->text.length > 0;
    if (joined)
        buffer_append(&login->text, text, length);
    if (login->text.failed)
        return REFUSE_TOO_LONG;
    if (request.more)
        return REFUSE_NOT;
    if (!joined)
        return handle_text(login, &request, text, length, now_us, answer, detail);
    refusal =
        handle_text(login, &request, login->text.data, login->text.length, now_us, answer, detail);
    buffer_clear(&login->text);
    return refusal;
}

static void refuse(struct iscsi_login *login, enum refusal refusal, const struct error *detail,
                   struct iscsi_login_answer *answer)
{
    buffer_clear(&login->answer);
    answer->transit = false;
    answer->nsg = 0;
    answer->status_class = refusals[refusal].status_class;
    answer->status_detail = refusals[refusal].status_detail;
    snprintf(answer->reason, sizeof answer->reason, "%s%s%.300s", refusals[refusal].reason,
             detail->text[0] ? ": " : "", detail->text);
}

enum iscsi_login_verdict iscsi_login_receive(struct iscsi_login *login, const uint8_t *bhs,
                                             const uint8_t *text, size_t length, uint64_t now_us,
                                             struct iscsi_login_answer *ret_answer)
{
    struct error detail = {0};
    struct iscsi_login_answer answer = {0};
    buffer_clear(&login->answer);
    enum refusal refusal = handle(login, bhs, text, length, now_us, &answer, &detail);
    if (refusal)
        refuse(login, refusal, &detail, &answer);
    answer.text = login->answer;
    *ret_answer = answer;
    if (refusal)
        return ISCSI_LOGIN_REFUSE;
    return login->stage == FULL_FEATURE ? ISCSI_LOGIN_COMPLETE : ISCSI_LOGIN_ANSWER;
}

struct iscsi_login *iscsi_login_new(struct iscsi_node *node, const struct sockaddr_storage *local,
                                    const struct sockaddr_storage *peer)
{
    (void)local;
    struct iscsi_login *login = calloc(1, sizeof *login);
    if (!login)
        return NULL;
    login->node = node;
    login->peer = *peer;
    iscsi_negotiation_init(&login->negotiation);
    login->result.parameters = login->negotiation.parameters;
    buffer_init(&login->text, node->limits.text_bytes);
    buffer_init(&login->answer, LOGIN_DATA_LIMIT);
    return login;
}

void iscsi_login_free(struct iscsi_login *login)
{
    if (!login)
        return;
    for (enum iscsi_key_id id = 0; id < KEY_COUNT; id++)
        free(login->values[id]);
    buffer_done(&login->text);
    buffer_done(&login->answer);
    OPENSSL_cleanse(login, sizeof *login);
    free(login);
}

const struct iscsi_login_result *iscsi_login_result(const struct iscsi_login *login)
{
    return &login->result;
}

bool iscsi_login_has_proven(const struct iscsi_login *login)
{
    return login->chap.mutual;
}

const char *iscsi_login_initiator_name(const struct iscsi_login *login)
{
    return login->result.initiator;
}

const char *iscsi_login_target_name(const struct iscsi_login *login)
{
    return login->target_name;
}

const uint8_t *iscsi_login_challenge(const struct iscsi_login *login, size_t *ret_length)
{
    if (login->chap.state != CHAP_CHALLENGED)
        return NULL;
    *ret_length = login->chap.challenge_bytes;
    return login->chap.challenge;
}
