/* negotiate.c - see negotiate.h */
#include <string.h>

#include "negotiate.h"
#include "text.h"
#include <netboot-target/util/array.h>

struct offer {
    struct iscsi_negotiation *negotiation;
    enum iscsi_key_id id;
    const struct iscsi_key *key;
    const char *value;
    struct buffer *answer;
};

/* ── fields ──────────────────────────────────────────────────────────────────────────────────── */

static void set_number(struct iscsi_parameters *parameters, const struct iscsi_key *key,
                       uint32_t number)
{
    if (key->field != KEY_NO_FIELD)
        memcpy((char *)parameters + key->field, &number, sizeof number);
}

static void set_boolean(struct iscsi_parameters *parameters, const struct iscsi_key *key,
                        bool boolean)
{
    if (key->field != KEY_NO_FIELD)
        memcpy((char *)parameters + key->field, &boolean, sizeof boolean);
}

void iscsi_negotiation_init(struct iscsi_negotiation *negotiation)
{
    *negotiation = (struct iscsi_negotiation){.initial_r2t = true};
    for (enum iscsi_key_id id = 0; id < KEY_COUNT; id++) {
        const struct iscsi_key *key = &iscsi_keys[id];
        if (iscsi_key_is_boolean(key))
            set_boolean(&negotiation->parameters, key, key->initial);
        else
            set_number(&negotiation->parameters, key, key->initial);
    }
    negotiation->parameters.max_receive_bytes =
        iscsi_keys[KEY_MAX_RECEIVE_DATA_SEGMENT_LENGTH].initial;
}

void iscsi_negotiation_for(struct iscsi_negotiation *negotiation, const struct iscsi_target *target)
{
    negotiation->discovery = !target;
    if (!target)
        return;
    negotiation->header_digest = target->header_digest;
    negotiation->data_digest = target->data_digest;
    negotiation->initial_r2t = target->initial_r2t;
}

/* ── result functions, RFC 7143 §6.2 and §13 ─────────────────────────────────────────────────── */

static void reject(const struct offer *offer)
{
    iscsi_text_put(offer->answer, offer->key->name, TEXT_REJECT);
}

static bool read_number(const struct offer *offer, uint32_t *ret_number)
{
    uint32_t number;
    if (iscsi_text_number(offer->value, &number) < 0 || number < offer->key->minimum ||
        number > offer->key->maximum)
        return false;
    *ret_number = number;
    return true;
}

static void answer_number(const struct offer *offer, uint32_t number)
{
    set_number(&offer->negotiation->parameters, offer->key, number);
    iscsi_text_put_number(offer->answer, offer->key->name, number);
}

/* FirstBurstLength must not exceed MaxBurstLength (§13.14), which the table's order has settled
 * before. */
static void negotiate_minimum(const struct offer *offer)
{
    uint32_t number;
    if (!read_number(offer, &number)) {
        reject(offer);
        return;
    }
    number = min_of(number, offer->key->ours);
    if (offer->id == KEY_FIRST_BURST_LENGTH)
        number = min_of(number, offer->negotiation->parameters.max_burst_bytes);
    answer_number(offer, number);
}

static void negotiate_maximum(const struct offer *offer)
{
    uint32_t number;
    if (read_number(offer, &number))
        answer_number(offer, max_of(number, offer->key->ours));
    else
        reject(offer);
}

static bool our_wish(const struct offer *offer)
{
    return offer->id == KEY_INITIAL_R2T ? offer->negotiation->initial_r2t : offer->key->ours;
}

static void negotiate_boolean(const struct offer *offer)
{
    bool theirs;
    if (iscsi_text_boolean(offer->value, &theirs) < 0) {
        reject(offer);
        return;
    }
    bool ours = our_wish(offer);
    bool result = offer->key->function == KEY_OR ? theirs || ours : theirs && ours;
    set_boolean(&offer->negotiation->parameters, offer->key, result);
    iscsi_text_put(offer->answer, offer->key->name, result ? "Yes" : "No");
}

static void negotiate_digest(const struct offer *offer)
{
    static const char *const names[] = {"None", "CRC32C"};
    bool offered[ARRAY_SIZE(names)] = {false};
    const char *list = offer->value;
    char item[16];
    while (iscsi_text_list_next(&list, item, sizeof item))
        for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
            offered[i] |= strcmp(item, names[i]) == 0;

    enum iscsi_digest_policy policy = offer->id == KEY_HEADER_DIGEST
                                          ? offer->negotiation->header_digest
                                          : offer->negotiation->data_digest;
    bool wanted = policy == ISCSI_DIGEST_PREFER_CRC32C || policy == ISCSI_DIGEST_REQUIRE_CRC32C;
    bool result = offered[wanted] ? wanted : !wanted;
    if (!offered[result] || (policy == ISCSI_DIGEST_REQUIRE_CRC32C && !result) ||
        (policy == ISCSI_DIGEST_REFUSE_CRC32C && result)) {
        reject(offer);
        return;
    }
    set_boolean(&offer->negotiation->parameters, offer->key, result);
    iscsi_text_put(offer->answer, offer->key->name, names[result]);
}

static bool list_has(const char *const *values, const char *item)
{
    while (*values && strcmp(*values, item) != 0)
        values++;
    return *values;
}

static void negotiate_list(const struct offer *offer)
{
    const char *list = offer->value;
    char item[32];
    while (iscsi_text_list_next(&list, item, sizeof item)) {
        if (list_has(offer->key->values, item)) {
            iscsi_text_put(offer->answer, offer->key->name, item);
            return;
        }
    }
    reject(offer);
}

static void take_declared_number(const struct offer *offer)
{
    uint32_t number;
    if (read_number(offer, &number))
        set_number(&offer->negotiation->parameters, offer->key, min_of(number, ISCSI_OUTPUT_BYTES));
    else
        reject(offer);
}

static void take_declared(const struct offer *offer)
{
    (void)offer;
}

static void (*const functions[KEY_FUNCTION_COUNT])(const struct offer *offer) = {
    [KEY_IDENTITY] = reject,
    [KEY_SECURITY] = reject,
    [KEY_DISCOVERY] = reject,
    [KEY_DECLARED] = take_declared,
    [KEY_DECLARED_NUMBER] = take_declared_number,
    [KEY_OR] = negotiate_boolean,
    [KEY_AND] = negotiate_boolean,
    [KEY_MINIMUM] = negotiate_minimum,
    [KEY_MAXIMUM] = negotiate_maximum,
    [KEY_DIGEST] = negotiate_digest,
    [KEY_LIST] = negotiate_list,
    [KEY_REJECTED] = reject,
};

void iscsi_negotiate(struct iscsi_negotiation *negotiation, enum iscsi_key_id id, const char *value,
                     struct buffer *answer)
{
    const struct iscsi_key *key = &iscsi_keys[id];
    const struct offer offer = {negotiation, id, key, value, answer};
    if (iscsi_text_is_answer(value))
        return;
    if (negotiation->discovery && key->irrelevant_in_discovery)
        iscsi_text_put(answer, key->name, TEXT_IRRELEVANT);
    else
        functions[key->function](&offer);
    /* A MaxBurstLength in a later PDU than FirstBurstLength. */
    struct iscsi_parameters *parameters = &negotiation->parameters;
    parameters->first_burst_bytes =
        min_of(parameters->first_burst_bytes, parameters->max_burst_bytes);
}

void iscsi_negotiation_declare(struct iscsi_negotiation *negotiation, struct buffer *answer)
{
    if (negotiation->declared || negotiation->discovery)
        return;
    const struct iscsi_key *key = &iscsi_keys[KEY_MAX_RECEIVE_DATA_SEGMENT_LENGTH];
    iscsi_text_put_number(answer, key->name, key->ours);
    negotiation->parameters.max_receive_bytes = key->ours;
    negotiation->declared = true;
}

bool iscsi_negotiation_lacks_digest(const struct iscsi_negotiation *negotiation)
{
    const struct iscsi_parameters *parameters = &negotiation->parameters;
    return (negotiation->header_digest == ISCSI_DIGEST_REQUIRE_CRC32C &&
            !parameters->header_digest) ||
           (negotiation->data_digest == ISCSI_DIGEST_REQUIRE_CRC32C && !parameters->data_digest);
}
