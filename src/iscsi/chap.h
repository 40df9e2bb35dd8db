/*
 * chap.h - CHAP, RFC 1994 and RFC 7143 §12.1.3, from the target's side: algorithms, challenge,
 * response, and the initiator's challenge to us. Knows the values, not the PDUs. Every refusal is
 * the same on the wire; its `error` is for our own log.
 */
#pragma once
#include "node.h"

#include <netboot-target/util/buffer.h>

#define CHAP_CHALLENGE_BYTES       32   /* ours are as long as the digest: 16 to 32 */
#define CHAP_CHALLENGE_LIMIT_BYTES 1024 /* of the initiator's, RFC 7143 §12.1.3 */

enum iscsi_chap_state {
    CHAP_IDLE,
    CHAP_AGREED,     /* AuthMethod=CHAP: waits for CHAP_A */
    CHAP_CHALLENGED, /* waits for CHAP_N and CHAP_R */
    CHAP_DONE,       /* the initiator is who it says */
};

struct iscsi_chap {
    enum iscsi_chap_state state;
    enum iscsi_chap_algorithm algorithm;
    uint8_t identifier;
    uint8_t challenge[CHAP_CHALLENGE_BYTES];
    size_t challenge_bytes;
    bool mutual; /* we have proved ourselves too */
};

/* What the initiator sent; NULL: not sent. */
struct iscsi_chap_request {
    const char *name, *response;
    const char *identifier, *challenge;
};

/* CHAP_A: takes the first algorithm of the initiator's list that `auth` allows, as §6.2.1 demands
 * of lists, and challenges. -EACCES. */
int iscsi_chap_challenge(struct iscsi_chap *chap, const struct iscsi_auth *auth,
                         struct random_source *random, const char *list, struct buffer *answer,
                         struct error *error);

/* CHAP_N and CHAP_R, and for mutual CHAP our answer to CHAP_I and CHAP_C. -EACCES: refuse the
 * login. `node` knows the challenges of other connections. */
int iscsi_chap_verify(struct iscsi_chap *chap, const struct iscsi_auth *auth,
                      const struct iscsi_node *node, const struct iscsi_chap_request *request,
                      struct buffer *answer, struct error *error);
