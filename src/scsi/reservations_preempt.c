/* reservations_preempt.c - PREEMPT and PREEMPT AND ABORT, SPC-4 §5.13.11. */
#include <stdlib.h>

#include "reservations_out.h"

/* ── who is preempted ────────────────────────────────────────────────────────────────────────── */

/* With an all-registrants reservation, key 0 means everybody else (§5.13.11.4). */
static bool preempts_all(const struct reservations *reservations, const struct reserve_out *out)
{
    return reservations_type_is_all(reservations->type) && out->action_key == 0;
}

static bool is_target(const struct reservations *reservations, const struct reserve_out *out,
                      const struct registration *registration)
{
    return preempts_all(reservations, out) || registration->key == out->action_key;
}

static bool any_target(const struct reservations *reservations, const struct reserve_out *out)
{
    const struct registration *registration;
    DL_FOREACH (reservations->registrations, registration) {
        if (is_target(reservations, out, registration))
            return true;
    }
    return false;
}

static bool preempts_reservation(const struct reservations *reservations,
                                 const struct reserve_out *out)
{
    if (reservations->type == RESERVATION_NONE)
        return false;
    return preempts_all(reservations, out) ||
           (reservations->holder && reservations->holder->key == out->action_key);
}

/* ── aborting their tasks ────────────────────────────────────────────────────────────────────── */

struct abortion {
    const struct command *by;
    const struct registration *of;
};

static bool is_preempted(const struct command *command, const void *argument)
{
    const struct abortion *abortion = argument;
    return command != abortion->by && command->itl->registration == abortion->of;
}

static void abort_tasks_of(struct command *command, const struct registration *registration)
{
    struct scsi_lu *lu = command->itl->lu;
    const struct abortion abortion = {.by = command, .of = registration};
    struct command *other;
    DL_FOREACH2 (lu->commands, other, lu_next) {
        if (is_preempted(other, &abortion))
            other->preempted_by = command;
    }
    management_abort(lu, command->task.nexus, is_preempted, &abortion);
}

static bool waits_for_any(const struct command *command)
{
    const struct command *other;
    DL_FOREACH2 (command->itl->lu->commands, other, lu_next) {
        if (other->preempted_by == command)
            return true;
    }
    return false;
}

static struct command *next_drained(struct scsi_lu *lu)
{
    struct command *command;
    DL_FOREACH2 (lu->commands, command, lu_next) {
        if (command->state == COMMAND_RUNNING && (command->opcode->flags & OPCODE_RESERVES) &&
            (command->step & OUT_WAITS_DRAIN) && !(command->step & OUT_WAITS_STARTING) &&
            !waits_for_any(command))
            return command;
    }
    return NULL;
}

void preempt_check(struct scsi_lu *lu)
{
    struct command *command;
    while ((command = next_drained(lu)))
        persistent_reserve_out_came(command, OUT_WAITS_DRAIN);
}

/* ── carrying out ────────────────────────────────────────────────────────────────────────────── */

static struct registration *next_target(const struct command *command,
                                        const struct reserve_out *out)
{
    const struct reservations *reservations = &command->itl->lu->reservations;
    struct registration *registration;
    DL_FOREACH (reservations->registrations, registration) {
        if (registration != command->itl->registration &&
            is_target(reservations, out, registration))
            return registration;
    }
    return NULL;
}

static void take_over(struct command *command, const struct reserve_out *out,
                      enum reservation_type old_type)
{
    struct scsi_lu *lu = command->itl->lu;
    struct reservations *reservations = &lu->reservations;
    reservations->type = out->type;
    reservations->holder = reservations_type_is_all(out->type) ? NULL : command->itl->registration;
    reservations_update(lu);
    if (old_type != out->type && reservations_type_is_registrants(old_type))
        reserve_out_tell_all(command, ATTENTION_RESERVATIONS_RELEASED);
}

bool reserve_out_preempt(struct command *command, const struct reserve_out *out)
{
    struct scsi_lu *lu = command->itl->lu;
    struct reservations *reservations = &lu->reservations;
    enum reservation_type old_type = reservations->type;
    bool takes_over = preempts_reservation(reservations, out);
    struct registration *target;
    if (out->action_key == 0 && !takes_over) {
        command_invalid_parameter(command, 8, SENSE_WHOLE_BYTE);
        return false;
    }
    if (!any_target(reservations, out))
        return reserve_out_conflict(command);
    while ((target = next_target(command, out))) {
        reserve_out_tell(command, target, ATTENTION_REGISTRATIONS_PREEMPTED);
        if (out->action == OUT_PREEMPT_AND_ABORT)
            abort_tasks_of(command, target);
        /* Removing the holder gives the reservation up; it is taken over below. */
        reservations_remove(lu, target);
    }
    if (takes_over)
        take_over(command, out, old_type);
    if (waits_for_any(command))
        command->step |= OUT_WAITS_DRAIN;
    reservations->generation++;
    return true;
}
