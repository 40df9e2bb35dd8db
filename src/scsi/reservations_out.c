/* reservations_out.c - PERSISTENT RESERVE OUT: its parameter list, RESERVE, RELEASE and CLEAR, and
 * when it may answer. */
#include "reservations_out.h"

#include <string.h>

#define BASIC_BYTES 24

bool persistent_reserve_out_data_out(struct command *command, uint64_t *ret_bytes)
{
    *ret_bytes = load_be32(command->task.cdb + 5);
    if (*ret_bytes >= BASIC_BYTES && *ret_bytes <= SCSI_PARAMETER_LIMIT)
        return true;
    command_parameter_length_error(command);
    return false;
}

/* ── the parameter list ──────────────────────────────────────────────────────────────────────── */

#define SPEC_I_PT 0x08
#define APTPL     0x01
#define UNREG     0x02

static void parse_move(const uint8_t *list, size_t length, struct reserve_out *out)
{
    out->unregisters = list[17] & UNREG;
    out->persists = list[17] & APTPL;
    out->target_port = load_be16(list + 18);
    out->transport_ids = list + BASIC_BYTES;
    out->transport_ids_bytes = min_of((size_t)load_be32(list + 20), length - BASIC_BYTES);
}

static bool parse_basic(struct command *command, const uint8_t *list, size_t length,
                        struct reserve_out *out)
{
    out->specifies_ports = list[20] & SPEC_I_PT;
    out->persists = list[20] & APTPL;
    if (!out->specifies_ports) {
        if (length == BASIC_BYTES)
            return true;
        command_parameter_length_error(command);
        return false;
    }
    if (out->action != OUT_REGISTER) {
        command_invalid_parameter(command, 20, 3);
        return false;
    }
    if (length < BASIC_BYTES + 4 || load_be32(list + BASIC_BYTES) != length - BASIC_BYTES - 4) {
        command_parameter_length_error(command);
        return false;
    }
    out->transport_ids = list + BASIC_BYTES + 4;
    out->transport_ids_bytes = length - BASIC_BYTES - 4;
    return true;
}

static bool parse(struct command *command, struct reserve_out *out)
{
    const struct scsi_task *task = &command->task;
    const uint8_t *list = task->data_out;
    *out = (struct reserve_out){
        .action = (enum reserve_out_action)(task->cdb[1] & 0x1f),
        .type = (enum reservation_type)(task->cdb[2] & 0x0f),
        .key = load_be64(list),
        .action_key = load_be64(list + 8),
    };
    if (out->action == OUT_REGISTER_AND_MOVE)
        parse_move(list, task->data_out_bytes, out);
    else if (!parse_basic(command, list, task->data_out_bytes, out))
        return false;
    bool registers = out->action == OUT_REGISTER || out->action == OUT_REGISTER_AND_IGNORE ||
                     out->action == OUT_REGISTER_AND_MOVE;
    if (!registers)
        out->persists = false; /* ignored: the latest registration counts */
    if (out->persists && !command->itl->lu->environment->store) {
        command_invalid_parameter(command, out->action == OUT_REGISTER_AND_MOVE ? 17 : 20, 0);
        return false;
    }
    return true;
}

static bool type_is_valid(const struct reserve_out *out)
{
    return out->type == RESERVATION_WRITE_EXCLUSIVE || out->type == RESERVATION_EXCLUSIVE_ACCESS ||
           reservations_type_is_registrants(out->type);
}

/* SCOPE and TYPE mean something only where a reservation is made or given up. */
static bool check_scope_and_type(struct command *command, const struct reserve_out *out)
{
    switch (out->action) {
    case OUT_RESERVE:
    case OUT_RELEASE:
    case OUT_PREEMPT:
    case OUT_PREEMPT_AND_ABORT:
        break;
    default:
        return true;
    }
    if (command->task.cdb[2] >> 4 == 0 && type_is_valid(out))
        return true;
    command_invalid_cdb(command, 2, command->task.cdb[2] >> 4 ? 7 : 3);
    return false;
}

/* ── small things the service actions share ──────────────────────────────────────────────────── */

bool reserve_out_conflict(struct command *command)
{
    command_status(command, SCSI_STATUS_RESERVATION_CONFLICT);
    return false;
}

void reserve_out_tell(struct command *command, const struct registration *registration,
                      enum unit_attention attention)
{
    struct itl *itl;
    DL_FOREACH (command->itl->lu->itls, itl) {
        if (itl != command->itl && itl->registration == registration)
            unit_attention_raise(itl, attention);
    }
}

void reserve_out_tell_all(struct command *command, enum unit_attention attention)
{
    struct itl *itl;
    DL_FOREACH (command->itl->lu->itls, itl) {
        if (itl != command->itl && itl->registration)
            unit_attention_raise(itl, attention);
    }
}

/* ── RESERVE, RELEASE, CLEAR: §5.13.9-12 ─────────────────────────────────────────────────────── */

static bool do_reserve(struct command *command, const struct reserve_out *out)
{
    struct scsi_lu *lu = command->itl->lu;
    struct reservations *reservations = &lu->reservations;
    if (reservations->type == RESERVATION_NONE) {
        reservations->type = out->type;
        reservations->holder =
            reservations_type_is_all(out->type) ? NULL : command->itl->registration;
        reservations_update(lu);
        return true;
    }
    if (reservations->type == out->type &&
        reservations_holds(reservations, command->itl->registration))
        return true;
    return reserve_out_conflict(command);
}

static bool do_release(struct command *command, const struct reserve_out *out)
{
    struct scsi_lu *lu = command->itl->lu;
    struct reservations *reservations = &lu->reservations;
    if (!reservations_holds(reservations, command->itl->registration))
        return true;
    if (reservations->type != out->type) {
        command_check(command, SENSE_ILLEGAL_REQUEST, ASC_INVALID_RELEASE);
        return false;
    }
    if (reservations_type_is_registrants(reservations->type))
        reserve_out_tell_all(command, ATTENTION_RESERVATIONS_RELEASED);
    reservations_release(lu);
    return true;
}

static bool do_clear(struct command *command, const struct reserve_out *out)
{
    struct scsi_lu *lu = command->itl->lu;
    (void)out;
    reserve_out_tell_all(command, ATTENTION_RESERVATIONS_PREEMPTED);
    while (lu->reservations.registrations)
        reservations_remove(lu, lu->reservations.registrations);
    lu->reservations.generation++;
    return true;
}

static const struct {
    bool (*carry_out)(struct command *command, const struct reserve_out *out);
    bool needs_key; /* the nexus is registered with RESERVATION KEY */
} actions[] = {
    [OUT_REGISTER] = {reserve_out_register, false},
    [OUT_RESERVE] = {do_reserve,           true },
    [OUT_RELEASE] = {do_release,           true },
    [OUT_CLEAR] = {do_clear,             true },
    [OUT_PREEMPT] = {reserve_out_preempt,  true },
    [OUT_PREEMPT_AND_ABORT] = {reserve_out_preempt,  true },
    [OUT_REGISTER_AND_IGNORE] = {reserve_out_register, false},
    [OUT_REGISTER_AND_MOVE] = {reserve_out_move,     true },
};

/* ── the answer ──────────────────────────────────────────────────────────────────────────────── */

void persistent_reserve_out_came(struct command *command, unsigned what)
{
    command->step &= ~what;
    if (command->step == 0)
        command_end(command);
}

static void record_kept(void *context, int result)
{
    struct command *command = context;
    struct scsi_lu *lu = command->itl->lu;
    lu->storing_reservations = false;
    if (result < 0)
        lu->reservations.stored = true; /* what was there before may be there yet */
    if (result < 0 && !command->task.aborted)
        command_check(command, SENSE_HARDWARE_ERROR, ASC_INTERNAL_TARGET_FAILURE);
    persistent_reserve_out_came(command, OUT_WAITS_STORE);
}

/* It answers when the store has the record and, for PREEMPT AND ABORT, the aborted have ended. */
static enum scsi_verdict keep_and_answer(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    command->step |= OUT_WAITS_STORE;
    lu->storing_reservations = true;
    if (!reservations_save(lu, record_kept, command)) {
        lu->storing_reservations = false;
        command->step &= ~(unsigned)OUT_WAITS_STORE;
    }
    command->step &= ~(unsigned)OUT_WAITS_STARTING;
    return command->step ? SCSI_PENDING : SCSI_DONE;
}

enum scsi_verdict persistent_reserve_out_execute(struct command *command)
{
    struct itl *itl = command->itl;
    struct reserve_out out;
    if (itl->lu->reservations.legacy_holder)
        return command_status(command, SCSI_STATUS_RESERVATION_CONFLICT);
    if (!parse(command, &out) || !check_scope_and_type(command, &out))
        return SCSI_DONE;
    if (actions[out.action].needs_key && (!itl->registration || itl->registration->key != out.key))
        return command_status(command, SCSI_STATUS_RESERVATION_CONFLICT);
    command->step = OUT_WAITS_STARTING;
    command_good(command);
    if (!actions[out.action].carry_out(command, &out))
        return SCSI_DONE;
    return keep_and_answer(command);
}
