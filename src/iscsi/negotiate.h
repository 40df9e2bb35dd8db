/*
 * negotiate.h - operational parameters: offers of the initiator, the table's rules, our wishes, one
 * answer. Works on one row of the key table at a time.
 */
#pragma once
#include "keys.h"
#include "login.h"

struct iscsi_negotiation {
    struct iscsi_parameters parameters;
    enum iscsi_digest_policy header_digest, data_digest;
    bool initial_r2t; /* our wish */
    bool discovery;
    bool declared; /* our own MaxRecvDataSegmentLength has been sent */
};

/* The defaults of the RFC, and no wishes of a target's. */
void iscsi_negotiation_init(struct iscsi_negotiation *negotiation);
/* What this target wants; NULL: a discovery session. Before the first key. */
void iscsi_negotiation_for(struct iscsi_negotiation *negotiation,
                           const struct iscsi_target *target);

/* One offer; its answer, if it has one, goes to `answer`. A value that the key cannot take is
 * answered Reject and changes nothing. Rows with other owners (identity, security, discovery) do
 * not come here. */
void iscsi_negotiate(struct iscsi_negotiation *negotiation, enum iscsi_key_id id, const char *value,
                     struct buffer *answer);

/* What we declare by ourselves, once, in the first operational answer. */
void iscsi_negotiation_declare(struct iscsi_negotiation *negotiation, struct buffer *answer);

/* True when the target insists on digests that the initiator did not agree to. */
bool iscsi_negotiation_lacks_digest(const struct iscsi_negotiation *negotiation);
