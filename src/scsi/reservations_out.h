/* reservations_out.h - the service actions of PERSISTENT RESERVE OUT, SPC-4 §6.16. */
#pragma once
#include "internal.h"

enum reserve_out_action {
    OUT_REGISTER,
    OUT_RESERVE,
    OUT_RELEASE,
    OUT_CLEAR,
    OUT_PREEMPT,
    OUT_PREEMPT_AND_ABORT,
    OUT_REGISTER_AND_IGNORE,
    OUT_REGISTER_AND_MOVE,
};

/* What a PERSISTENT RESERVE OUT waits for, in command->step. */
enum { OUT_WAITS_STARTING = 1, OUT_WAITS_STORE = 2, OUT_WAITS_DRAIN = 4 };

/* The parameter list in host form, §6.16.3. */
struct reserve_out {
    enum reserve_out_action action;
    enum reservation_type type; /* of the CDB */
    uint64_t key;               /* RESERVATION KEY */
    uint64_t action_key;        /* SERVICE ACTION RESERVATION KEY */
    bool specifies_ports;       /* SPEC_I_PT */
    bool persists;              /* APTPL */
    bool unregisters;           /* UNREG of REGISTER AND MOVE */
    uint16_t target_port;       /* of REGISTER AND MOVE */
    const uint8_t *transport_ids;
    size_t transport_ids_bytes;
};

/* Each returns true when it is done and the new state is to be kept; else status has been set. */
bool reserve_out_register(struct command *command, const struct reserve_out *out);
bool reserve_out_move(struct command *command, const struct reserve_out *out);
bool reserve_out_preempt(struct command *command, const struct reserve_out *out);

bool reserve_out_conflict(struct command *command); /* sets RESERVATION CONFLICT; false */
/* To every nexus of `registration` but the command's own. */
void reserve_out_tell(struct command *command, const struct registration *registration,
                      enum unit_attention attention);
/* To every other registered nexus. */
void reserve_out_tell_all(struct command *command, enum unit_attention attention);
