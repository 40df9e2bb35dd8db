/* discovery.c - text requests of the full feature phase: SendTargets, RFC 7143 §13.3 and appendix
 * C. */
#include <string.h>

#include "login.h"
#include "negotiate.h"
#include "target.h"
#include "text.h"

struct text_request {
    struct iscsi_node *node;
    struct iscsi_login_result *session;
    const struct sockaddr_storage *peer;
    const char *portal;
    struct buffer *reply;
};

/* The portal is the very one that the initiator has reached: any other of our addresses may not be
 * reachable for it. */
static void put_target(const struct text_request *request, const struct iscsi_target *target)
{
    iscsi_text_put(request->reply, "TargetName", target->name);
    buffer_format(request->reply, "TargetAddress=%s,%d", request->portal, ISCSI_PORTAL_GROUP);
    buffer_put_u8(request->reply, '\0');
}

static bool is_visible(const struct text_request *request, const struct iscsi_target *target)
{
    return !target->removing &&
           iscsi_target_admits(target, request->session->initiator, request->peer);
}

static bool send_all(const struct text_request *request)
{
    const struct iscsi_target *target = request->node->targets;
    for (; target; target = target->next)
        if (is_visible(request, target))
            put_target(request, target);
    return true;
}

/* In a discovery session: All, or a name, which may be nobody's. */
static bool send_to_discovery(const struct text_request *request, const char *value)
{
    char normal[ISCSI_NAME_BYTES];
    if (strcmp(value, "All") == 0)
        return send_all(request);
    if (iscsi_name_normalize(value, normal) < 0 || !iscsi_name_is_valid(normal))
        return false;
    const struct iscsi_target *target = iscsi_node_find_target(request->node, normal);
    if (target && is_visible(request, target))
        put_target(request, target);
    return true;
}

/* In a normal session only its own target: by name, by nothing, and by All, as initiators ask. */
static bool send_to_session(const struct text_request *request, const char *value)
{
    const struct iscsi_target *own = request->session->target;
    if (value[0] && strcmp(value, "All") != 0 &&
        iscsi_node_find_target(request->node, value) != own)
        return false;
    put_target(request, own);
    return true;
}

static bool send_targets(const struct text_request *request, const char *value)
{
    return request->session->discovery ? send_to_discovery(request, value)
                                       : send_to_session(request, value);
}

/* What the initiator declares anew holds from here. */
static void negotiate_again(const struct text_request *request, enum iscsi_key_id id,
                            const char *value)
{
    struct iscsi_negotiation negotiation = {
        .parameters = request->session->parameters,
        .discovery = request->session->discovery,
    };
    iscsi_negotiate(&negotiation, id, value, request->reply);
    request->session->parameters = negotiation.parameters;
}

static bool take_key(const struct text_request *request, enum iscsi_key_id id, const char *value)
{
    const struct iscsi_key *key = &iscsi_keys[id];
    if (key->function == KEY_DISCOVERY)
        return send_targets(request, value);
    if (!(key->stages & STAGE_FULL_FEATURE))
        iscsi_text_put(request->reply, key->name, TEXT_REJECT);
    else if (key->function != KEY_IDENTITY)
        negotiate_again(request, id, value);
    return true;
}

/* Extensions are marked by X-, or X#, Y#, Z# and a registered name (§13.22): these may well be
 * unknown. */
static bool is_extension(const char *key)
{
    return strchr("XYZ", key[0]) && (key[1] == '-' || key[1] == '#');
}

enum iscsi_text_verdict iscsi_text_receive(struct iscsi_node *node,
                                           struct iscsi_login_result *session,
                                           const struct sockaddr_storage *peer, const char *portal,
                                           const uint8_t *text, size_t length, struct buffer *reply)
{
    const struct text_request request = {node, session, peer, portal, reply};
    struct iscsi_text_reader reader;
    struct iscsi_text_pair pair;
    unsigned understood = 0;
    int result;
    iscsi_text_reader_init(&reader, text, length);
    while ((result = iscsi_text_read(&reader, &pair, NULL)) > 0) {
        enum iscsi_key_id id = iscsi_key_find(pair.key);
        if (pair.value_length > TEXT_VALUE_LIMIT)
            return ISCSI_TEXT_REJECT;
        if (id != KEY_COUNT && !take_key(&request, id, pair.value))
            return ISCSI_TEXT_REJECT;
        if (id == KEY_COUNT && !iscsi_text_is_answer(pair.value))
            iscsi_text_put(reply, pair.key, TEXT_NOT_UNDERSTOOD);
        understood += id != KEY_COUNT || is_extension(pair.key);
    }
    /* A request of which nothing is understood is an error rather than an offer; libiscsi would
     * drop its session at the NotUnderstood, but not at a Reject. */
    if (result < 0 || reply->failed || (reader.pairs && !understood))
        return ISCSI_TEXT_REJECT;
    return ISCSI_TEXT_ANSWER;
}
