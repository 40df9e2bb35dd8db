/* requests.c - login, text, NOP and logout requests: what comes with a small data segment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>

#include "connection.h"

/* An idle session keeps no text. */
static void forget_text(struct buffer *text)
{
    size_t limit = text->limit;
    buffer_done(text);
    buffer_init(text, limit);
}

/* A text request with the reserved tag begins anew, whatever was left unfinished: RFC 7143
 * §11.10.4.
 */
static bool begins_exchange(const uint8_t *bhs)
{
    return bhs_opcode(bhs) == OP_TEXT_REQUEST && load_be32(bhs + BHS_TTT) == RESERVED_TAG;
}

/* Their data is collected in connection->text. */
int request_begin(struct iscsi_connection *connection)
{
    struct framing *in = &connection->in;
    uint32_t length = bhs_data_length(in->header);
    if (connection->session && sequence_check(connection->session, in->header) == SEQUENCE_IGNORE) {
        in->handler = NULL;
        return 0;
    }
    if (begins_exchange(in->header))
        forget_text(&connection->text);
    if (!length)
        return 0;
    in->destination = buffer_reserve(&connection->text, length);
    if (!in->destination)
        return connection_fail(connection, "more than %zu bytes of text in one exchange",
                               connection->node->limits.text_bytes);
    return 0;
}

/* ── login, RFC 7143 §11.12 and §11.13 ───────────────────────────────────────────────────────── */

static struct iscsi_response *login_response(struct iscsi_connection *connection,
                                             const uint8_t *bhs,
                                             const struct iscsi_login_answer *answer)
{
    struct iscsi_response *response =
        response_new(OP_LOGIN_RESPONSE, load_be32(bhs + BHS_ITT), answer->text.data,
                     (uint32_t)answer->text.length);
    if (!response)
        return NULL;
    uint32_t cmd_sn = load_be32(bhs + BHS_CMD_SN);
    response->bhs[1] =
        (uint8_t)((answer->transit ? BHS_FINAL : 0) | (answer->more ? BHS_CONTINUE : 0) |
                  answer->csg << 2 | (answer->transit ? answer->nsg : 0));
    memcpy(response->bhs + 8, bhs + 8, ISCSI_ISID_BYTES + 2); /* ISID and TSIH */
    store_be32(response->bhs + BHS_EXP_CMD_SN, cmd_sn);
    store_be32(response->bhs + BHS_MAX_CMD_SN,
               cmd_sn + connection->node->limits.command_window - 1);
    response->bhs[36] = answer->status_class;
    response->bhs[37] = answer->status_detail;
    return response;
}

static int enter_full_feature(struct iscsi_connection *connection, struct iscsi_response *last)
{
    const struct iscsi_login_result *login = iscsi_login_result(connection->login);
    struct iscsi_session *session = session_new(connection, login);
    if (!session) {
        free(last);
        return connection_fail(connection, "out of memory");
    }
    store_be16(last->bhs + 14, session->tsih);
    session->exp_cmd_sn = load_be32(last->bhs + BHS_EXP_CMD_SN);
    session->max_cmd_sn = load_be32(last->bhs + BHS_MAX_CMD_SN);
    iscsi_login_free(connection->login);
    connection->login = NULL;
    connection->node->logins_in_progress--;
    connection->counted_login = false;
    connection->phase = PHASE_FULL_FEATURE;
    connection->text.limit = session->login.parameters.max_receive_bytes; /* ping data */
    /* Whatever comes behind the last login request carries digests, even if its sender did not wait
     * for the answer; none of it has been looked at yet. */
    connection->in.header_digest = session->login.parameters.header_digest;
    connection->in.data_digest = session->login.parameters.data_digest;
    last->ends_login = true;
    response_send(connection, last);
    connection_event(connection, ISCSI_EVENT_LOGIN, "");
    return 0;
}

static void refuse_login(struct iscsi_connection *connection,
                         const struct iscsi_login_answer *answer)
{
    connection->phase = PHASE_ENDING;
    const struct iscsi_event event = {
        .kind = ISCSI_EVENT_LOGIN_REFUSED,
        .peer = connection->peer_text,
        .initiator = iscsi_login_initiator_name(connection->login),
        .target = iscsi_login_target_name(connection->login),
        .isid = connection->in.header + 8,
        .status_class = answer->status_class,
        .status_detail = answer->status_detail,
        .reason = answer->reason,
    };
    connection->node->callbacks->event(connection->node->context, &event);
}

static bool has_same_identity(const struct iscsi_login_result *a,
                              const struct iscsi_login_result *b)
{
    return a->target == b->target && !memcmp(a->isid, b->isid, ISCSI_ISID_BYTES) &&
           !strcmp(a->initiator, b->initiator);
}

/* Of several logins of one identity the newest counts. */
static void overtake(struct iscsi_node *node, const struct iscsi_login_result *login)
{
    struct iscsi_connection *other;
    struct iscsi_connection *next;
    DL_FOREACH_SAFE (node->connections, other, next)
        if (other->phase == PHASE_REINSTATING &&
            has_same_identity(iscsi_login_result(other->login), login))
            connection_fail(other, "a newer login reinstates the same session");
}

/* RFC 7143 §6.3.5: the old session ends first, and with it all its I/O, lest a write of the old
 * one lands after one of the new. The same holds for a session that was lost, whatever its ISID. */
static int complete_login(struct iscsi_connection *connection, struct iscsi_response *last)
{
    struct iscsi_node *node = connection->node;
    const struct iscsi_login_result *login = iscsi_login_result(connection->login);
    overtake(node, login);
    session_make_way(node, login);
    if (!session_some_drains(node, login))
        return enter_full_feature(connection, last);
    connection->phase = PHASE_REINSTATING;
    connection->last_login_response = last;
    return 0;
}

/* Meanwhile a person may have given the target to somebody else: the initiator comes again and is
 * told. */
static int end_waiting(struct iscsi_connection *connection)
{
    const struct iscsi_login_result *login = iscsi_login_result(connection->login);
    struct iscsi_response *last = connection->last_login_response;
    enum iscsi_claim claim =
        owner_judge(login->target, login->initiator, node_now_us(connection->node));
    if (claim != (login->view ? CLAIM_VIEW : CLAIM_WRITE))
        return connection_fail(connection, "the target has changed hands during the login");
    connection->last_login_response = NULL;
    return enter_full_feature(connection, last);
}

static struct iscsi_connection *next_to_continue(struct iscsi_node *node)
{
    struct iscsi_connection *connection;
    DL_FOREACH (node->connections, connection)
        if (connection->phase == PHASE_REINSTATING &&
            !session_some_drains(node, iscsi_login_result(connection->login)))
            return connection;
    return NULL;
}

void login_continue_waiting(struct iscsi_node *node)
{
    struct iscsi_connection *connection;
    while ((connection = next_to_continue(node)))
        if (!end_waiting(connection))
            connection_wake(connection);
}

int login_complete(struct iscsi_connection *connection)
{
    uint8_t bhs[BHS_BYTES];
    memcpy(bhs, connection->in.header, sizeof bhs);
    struct iscsi_login_answer answer = {0};
    enum iscsi_login_verdict verdict =
        iscsi_login_receive(connection->login, bhs, connection->text.data, connection->text.length,
                            connection->now_us, &answer);
    forget_text(&connection->text);
    struct iscsi_response *response = login_response(connection, bhs, &answer);
    if (!response)
        return connection_fail(connection, "out of memory");
    switch (verdict) {
    case ISCSI_LOGIN_COMPLETE:
        return complete_login(connection, response);
    case ISCSI_LOGIN_REFUSE:
        refuse_login(connection, &answer);
        break;
    case ISCSI_LOGIN_ANSWER:
        break;
    }
    response_send(connection, response);
    return 0;
}

/* ── text, RFC 7143 §11.10 and §11.11 ────────────────────────────────────────────────────────── */

enum { REJECT_PROTOCOL_ERROR = 0x04, REJECT_INVALID_FIELD = 0x09 }; /* §11.17.1 */

/* One PDU of the answer; the initiator asks for the next one with our transfer tag. */
static int send_text_reply(struct iscsi_connection *connection)
{
    const uint8_t *bhs = connection->in.header;
    struct buffer *reply = &connection->text_reply;
    size_t left = reply->length - connection->text_reply_sent;
    uint32_t chunk =
        (uint32_t)min_of(left, (size_t)connection->session->login.parameters.max_send_bytes);
    bool more = chunk < left;
    struct iscsi_response *response =
        response_new(OP_TEXT_RESPONSE, load_be32(bhs + BHS_ITT),
                     chunk ? reply->data + connection->text_reply_sent : NULL, chunk);
    if (!response)
        return connection_fail(connection, "out of memory");
    connection->text_reply_sent += chunk;
    response->bhs[1] = more ? BHS_CONTINUE : BHS_FINAL;
    memcpy(response->bhs + BHS_LUN, bhs + BHS_LUN, 8);
    store_be32(response->bhs + BHS_TTT, more ? connection->text_ttt : RESERVED_TAG);
    response_send(connection, response);
    if (!more)
        forget_text(reply);
    return 0;
}

/* An empty answer: "go on", to a request that continues or to one not final. */
static int ask_for_more_text(struct iscsi_connection *connection)
{
    forget_text(&connection->text_reply);
    connection->text_reply_sent = 0;
    struct iscsi_response *response =
        response_new(OP_TEXT_RESPONSE, load_be32(connection->in.header + BHS_ITT), NULL, 0);
    if (!response)
        return connection_fail(connection, "out of memory");
    response->bhs[1] = 0;
    store_be32(response->bhs + BHS_TTT, connection->text_ttt);
    response_send(connection, response);
    return 0;
}

static void report_discovery(struct iscsi_connection *connection)
{
    if (connection->session->login.discovery)
        connection_event(connection, ISCSI_EVENT_DISCOVERY, "");
}

int text_complete(struct iscsi_connection *connection)
{
    const uint8_t *bhs = connection->in.header;
    uint32_t ttt = load_be32(bhs + BHS_TTT);
    bool continues = connection->text_reply.length > connection->text_reply_sent;
    if (ttt != RESERVED_TAG && ttt != connection->text_ttt) {
        forget_text(&connection->text);
        return response_reject(connection, REJECT_PROTOCOL_ERROR);
    }
    if (ttt != RESERVED_TAG && continues && !bhs_data_length(bhs))
        return send_text_reply(connection);
    if ((bhs[1] & BHS_CONTINUE) || !(bhs[1] & BHS_FINAL))
        return ask_for_more_text(connection);
    forget_text(&connection->text_reply);
    connection->text_reply_sent = 0;
    enum iscsi_text_verdict verdict = iscsi_text_receive(
        connection->node, &connection->session->login, &connection->peer, connection->local_text,
        connection->text.data, connection->text.length, &connection->text_reply);
    forget_text(&connection->text);
    if (verdict == ISCSI_TEXT_REJECT)
        return response_reject(connection, REJECT_PROTOCOL_ERROR);
    report_discovery(connection);
    return send_text_reply(connection);
}

/* ── NOP-Out, RFC 7143 §11.18 ────────────────────────────────────────────────────────────────── */

int nop_out_complete(struct iscsi_connection *connection)
{
    const uint8_t *bhs = connection->in.header;
    struct buffer *text = &connection->text; /* a text exchange may be under way in front of it */
    uint32_t itt = load_be32(bhs + BHS_ITT);
    uint32_t length = bhs_data_length(bhs);
    size_t before = text->length - length;
    if (itt != RESERVED_TAG) { /* else it answers a ping, or only acknowledges StatSN */
        length = min_of(length, connection->session->login.parameters.max_send_bytes);
        struct iscsi_response *response =
            response_new(OP_NOP_IN, itt, length ? text->data + before : NULL, length);
        if (!response)
            return connection_fail(connection, "out of memory");
        memcpy(response->bhs + BHS_LUN, bhs + BHS_LUN, 8);
        store_be32(response->bhs + BHS_TTT, RESERVED_TAG);
        response_send(connection, response);
    }
    text->length = before;
    if (!before)
        forget_text(text);
    return 0;
}

/* ── logout, RFC 7143 §11.14 and §11.15 ──────────────────────────────────────────────────────── */

enum { /* reasons */
       LOGOUT_SESSION = 0,
       LOGOUT_CONNECTION = 1,
       LOGOUT_FOR_RECOVERY = 2,
};

enum { /* responses */
       LOGOUT_DONE = 0,
       LOGOUT_NO_SUCH_CONNECTION = 1,
       LOGOUT_NO_RECOVERY = 2,
};

static uint8_t judge_logout(const struct iscsi_connection *connection, uint8_t reason)
{
    uint16_t cid = load_be16(connection->in.header + 20);
    if (reason == LOGOUT_FOR_RECOVERY)
        return LOGOUT_NO_RECOVERY;
    if (reason == LOGOUT_CONNECTION && cid != connection->session->login.cid)
        return LOGOUT_NO_SUCH_CONNECTION;
    return LOGOUT_DONE;
}

int logout_complete(struct iscsi_connection *connection)
{
    const uint8_t *bhs = connection->in.header;
    uint8_t reason = bhs[1] & 0x7f;
    if (reason > LOGOUT_FOR_RECOVERY)
        return response_reject(connection, REJECT_INVALID_FIELD);
    struct iscsi_response *response =
        response_new(OP_LOGOUT_RESPONSE, load_be32(bhs + BHS_ITT), NULL, 0);
    if (!response)
        return connection_fail(connection, "out of memory");
    response->bhs[2] = judge_logout(connection, reason);
    response_send(connection, response);
    if (response->bhs[2] != LOGOUT_DONE)
        return 0;
    connection->phase = PHASE_ENDING;
    connection->session->logged_out = true;
    connection_event(connection, ISCSI_EVENT_SESSION_ENDED, "logout");
    return 0;
}
