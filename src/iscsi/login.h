/*
 * login.h - the login phase, RFC 7143 §6 and §11.12–11.13, and text negotiation. Pure: consumes
 * login requests, gives login answers and at its end the negotiated parameters. It writes no
 * sequence numbers and no header: connection.c does. One per connection; freed when the login has
 * ended.
 */
#pragma once
#include "node.h"

#include <netboot-target/util/buffer.h>

/* What was negotiated, RFC 7143 §13; filled with the defaults of the RFC at first. */
struct iscsi_parameters {
    bool header_digest;
    bool data_digest;
    bool initial_r2t;
    bool immediate_data;
    uint32_t
        max_send_bytes; /* the initiator's MaxRecvDataSegmentLength, at most ISCSI_OUTPUT_BYTES */
    uint32_t max_receive_bytes; /* ours, as declared */
    uint32_t max_burst_bytes;
    uint32_t first_burst_bytes;
    uint32_t time_to_wait_seconds;
    uint32_t time_to_retain_seconds;
};

/* What connection.c needs to make a session of it; valid after ISCSI_LOGIN_COMPLETE. */
struct iscsi_login_result {
    bool discovery;
    struct iscsi_target *target; /* NULL in discovery */
    char initiator[ISCSI_NAME_BYTES];
    char alias[256]; /* InitiatorAlias or "" */
    uint8_t isid[ISCSI_ISID_BYTES];
    uint16_t cid;
    bool view;                 /* somebody else owns it: it may be read */
    enum iscsi_auth_mode auth; /* what was really done */
    struct iscsi_parameters parameters;
};

enum iscsi_login_verdict {
    ISCSI_LOGIN_ANSWER,   /* send the answer, expect the next request */
    ISCSI_LOGIN_COMPLETE, /* send the answer; full feature phase begins with it */
    ISCSI_LOGIN_REFUSE,   /* send the answer, then close; `reason` says why */
};

struct iscsi_login_answer {
    bool transit; /* T */
    bool more;    /* C */
    uint8_t csg, nsg;
    uint8_t status_class, status_detail;
    struct buffer
        text; /* key=value NUL …; ≤ LOGIN_DATA_LIMIT; owned by the login until its next call */
    char reason[400]; /* for the event; safe to print */
};

struct iscsi_login;

/* `local` and `peer`: for ACLs; text forms for SendTargets and events are connection.c's. */
struct iscsi_login *iscsi_login_new(struct iscsi_node *node, const struct sockaddr_storage *local,
                                    const struct sockaddr_storage *peer);
void iscsi_login_free(struct iscsi_login *login); /* wipes secrets */

/* One Login Request PDU. Checks everything about it but CmdSN and digests: version, CID, ISID and
 * TSIH the same in every request, stages, T and C, key syntax, duplicate keys, limits. It looks the
 * target up (02/03), its readiness and the node's welcome (03/01), names and addresses allowed
 * (02/02), an invitation where one is needed (02/02), ownership (02/02 with a reason that names the
 * owner; 03/01 while it leaves), TSIH ≠ 0 (02/0a: we hold one
 * connection per session), session limits (03/02). */
enum iscsi_login_verdict iscsi_login_receive(struct iscsi_login *login, const uint8_t *bhs,
                                             const uint8_t *text, size_t length, uint64_t now_us,
                                             struct iscsi_login_answer *ret_answer);
const struct iscsi_login_result *iscsi_login_result(const struct iscsi_login *login);
/* The challenge we sent and have not had answered; NULL: none. */
const uint8_t *iscsi_login_challenge(const struct iscsi_login *login, size_t *ret_length);
/* We have proven who we are (mutual CHAP). */
bool iscsi_login_has_proven(const struct iscsi_login *login);
/* What is known so far, for events: "" when not yet. */
const char *iscsi_login_initiator_name(const struct iscsi_login *login);
const char *iscsi_login_target_name(const struct iscsi_login *login);

/* ── text requests in full feature phase, §11.10 ─────────────────────────────────────────────── */

enum iscsi_text_verdict {
    ISCSI_TEXT_ANSWER, /* `reply` holds key=value pairs, perhaps more than one PDU can carry */
    ISCSI_TEXT_REJECT, /* Reject, reason 0x04 protocol error or 0x09 invalid PDU field */
};

/* A whole text request (continued PDUs joined by the caller). SendTargets=All in discovery
 * sessions; also
 * "" or the own name in normal ones; MaxRecvDataSegmentLength may be declared anew; any other key
 * is answered NotUnderstood or Reject. `portal`: "192.0.2.1:3260" or "[2001:db8::1]:3260", exactly
 * the address the client reached. */
enum iscsi_text_verdict iscsi_text_receive(struct iscsi_node *node,
                                           struct iscsi_login_result *session,
                                           const struct sockaddr_storage *peer, const char *portal,
                                           const uint8_t *text, size_t length,
                                           struct buffer *reply);
