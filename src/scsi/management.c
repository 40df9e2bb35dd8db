/*
 * management.c - task management functions, SAM-5 §7. An abort is answered when the last task it
 * concerns has finished: what the disk has begun cannot be called back, and must not come after the
 * answer.
 */
#include "internal.h"

/* ── aborting ────────────────────────────────────────────────────────────────────────────────── */

void management_abort_command(struct command *command, const struct scsi_nexus *issuer)
{
    struct scsi_task *task = &command->task;
    bool answer =
        command->itl && command->itl->lu->mode.task_aborted_status && task->nexus != issuer;
    bool idle = command->state == COMMAND_WAITING;
    task->aborted = true;
    command->announced = true;
    if (idle)
        task_set_unwait(command);
    else if (command->state == COMMAND_RUNNING)
        idle = sanitize_detach(command);
    if (answer)
        command_status(command, SCSI_STATUS_TASK_ABORTED);
    task->callbacks->abort(task, answer);
    if (idle)
        task->callbacks->done(task); /* execute was under way: this is how it ends */
}

static struct command *next_to_announce(struct scsi_lu *lu)
{
    struct command *command;
    DL_FOREACH2 (lu->commands, command, lu_next) {
        if (command->task.aborted && !command->announced)
            return command;
    }
    return NULL;
}

void management_abort(struct scsi_lu *lu, const struct scsi_nexus *issuer,
                      bool (*concerns)(const struct command *command, const void *argument),
                      const void *argument)
{
    struct command *command;
    task_set_hold(lu);
    DL_FOREACH2 (lu->commands, command, lu_next) {
        if (concerns(command, argument))
            command->task.aborted = true;
    }
    /* The transport may finish tasks meanwhile, so the list is looked through afresh. */
    while ((command = next_to_announce(lu)))
        management_abort_command(command, issuer);
    task_set_resume(lu);
}

/* ── which tasks ─────────────────────────────────────────────────────────────────────────────── */

static bool is_the_task(const struct command *command, const void *argument)
{
    const struct scsi_management *management = argument;
    return command->task.nexus == management->nexus && command->task.tag == management->tag;
}

static bool is_of_the_nexus(const struct command *command, const void *argument)
{
    const struct scsi_management *management = argument;
    return command->task.nexus == management->nexus;
}

static bool is_any(const struct command *command, const void *argument)
{
    (void)command;
    (void)argument;
    return true;
}

enum scope { SCOPE_LU, SCOPE_TARGET };

/* What a function does; in the order of enum scsi_management_function. */
static const struct function {
    bool (*concerns)(const struct command *command, const void *argument);
    enum scope scope;
    bool aborts, resets, queries;
} functions[] = {
    [SCSI_ABORT_TASK] = {.concerns = is_the_task,     .aborts = true},
    [SCSI_ABORT_TASK_SET] = {.concerns = is_of_the_nexus,                           .aborts = true},
    [SCSI_CLEAR_ACA] = {0}, /* NORMACA is 0 */
    [SCSI_CLEAR_TASK_SET] = {.concerns = is_of_the_nexus,
                         .aborts = true}, /* TST 001b, SAM-5 §7.5 */
    [SCSI_LOGICAL_UNIT_RESET] = {.concerns = is_any, .aborts = true, .resets = true},
    [SCSI_TARGET_RESET] = {.concerns = is_any,
                         .scope = SCOPE_TARGET,
                         .aborts = true,
                         .resets = true},
    [SCSI_QUERY_TASK] = {.concerns = is_the_task,             .queries = true},
    [SCSI_QUERY_TASK_SET] = {.concerns = is_of_the_nexus,                           .queries = true},
    [SCSI_I_T_NEXUS_RESET] = {.concerns = is_of_the_nexus,       .scope = SCOPE_TARGET, .aborts = true},
    [SCSI_QUERY_ASYNCHRONOUS_EVENT] = {.queries = true             },
};

static bool any_left(const struct scsi_management *management, struct scsi_lu *lu, bool aborted)
{
    const struct function *function = &functions[management->function];
    const struct command *command;
    DL_FOREACH2 (lu->commands, command, lu_next) {
        if (command->task.aborted == aborted && function->concerns(command, management))
            return true;
    }
    return false;
}

static bool still_waits(const struct scsi_management *management)
{
    const struct scsi_nexus *nexus = management->nexus;
    if (functions[management->function].scope == SCOPE_LU) {
        const struct itl *itl = nexus_find_itl(nexus, management->lun);
        return itl && any_left(management, itl->lu, true);
    }
    for (unsigned lun = 0; lun < SCSI_LUN_LIMIT; lun++) {
        if (nexus->itls[lun] && any_left(management, nexus->itls[lun]->lu, true))
            return true;
    }
    return false;
}

/* ── carrying out ────────────────────────────────────────────────────────────────────────────── */

static void apply(struct scsi_management *management, struct itl *itl)
{
    const struct function *function = &functions[management->function];
    struct scsi_lu *lu = itl->lu;
    if (management->function == SCSI_I_T_NEXUS_RESET) {
        reservations_nexus_lost(itl);
        reservations_attach(itl);
        unit_attention_raise(itl, ATTENTION_NEXUS_LOSS);
    }
    management_abort(lu, management->nexus, function->concerns, management);
    if (function->resets) /* only now: TAS as it was set says what the aborted ones hear */
        lu_reset(lu);
}

static void respond(struct scsi_management *management, enum scsi_management_response response)
{
    if (management->epoch) {
        DL_DELETE2(management->nexus->managements, management, previous, next);
        management->epoch = 0;
    }
    management->done(management, response);
}

static void query(struct scsi_management *management, struct itl *itl)
{
    bool found = management->function != SCSI_QUERY_ASYNCHRONOUS_EVENT
                     ? any_left(management, itl->lu, false)
                     : itl->unit_attentions != 0; /* SAM-5 §7.9 */
    respond(management, found ? SCSI_FUNCTION_SUCCEEDED : SCSI_FUNCTION_COMPLETE);
}

/* `itl` NULL: on every logical unit of the target. */
static void abort_and_wait(struct scsi_management *management, struct itl *itl)
{
    struct scsi_nexus *nexus = management->nexus;
    DL_APPEND2(nexus->managements, management, previous, next);
    management->epoch = 1; /* listed, but not to be answered while it is being carried out */
    if (itl)
        apply(management, itl);
    for (unsigned lun = 0; !itl && lun < SCSI_LUN_LIMIT; lun++) {
        if (nexus->itls[lun])
            apply(management, nexus->itls[lun]);
    }
    management->epoch = 2;
    if (!still_waits(management))
        respond(management, SCSI_FUNCTION_COMPLETE);
}

void scsi_manage(struct scsi_management *management)
{
    const struct function *function = &functions[management->function];
    struct itl *itl = nexus_find_itl(management->nexus, management->lun);
    management->epoch = 0;
    if (management->nexus->read_only && function->resets)
        respond(management, SCSI_FUNCTION_REJECTED);
    else if (function->scope == SCOPE_TARGET)
        abort_and_wait(management, NULL);
    else if (!itl)
        respond(management, SCSI_INCORRECT_LUN);
    else if (function->queries)
        query(management, itl);
    else if (!function->aborts)
        respond(management, SCSI_FUNCTION_REJECTED);
    else if (management->function == SCSI_ABORT_TASK && !any_left(management, itl->lu, false) &&
             !any_left(management, itl->lu, true)) /* that one the disk may be at, too */
        respond(management, SCSI_TASK_NOT_FOUND);
    else
        abort_and_wait(management, itl);
}

void scsi_management_cancel(struct scsi_management *management)
{
    if (!management->epoch)
        return;
    DL_DELETE2(management->nexus->managements, management, previous, next);
    management->epoch = 0;
}

void management_forget_all(struct scsi_nexus *nexus)
{
    while (nexus->managements)
        scsi_management_cancel(nexus->managements);
}

static struct scsi_management *next_to_answer(struct scsi_lu *lu)
{
    const struct itl *itl;
    DL_FOREACH (lu->itls, itl) {
        struct scsi_management *management;
        DL_FOREACH2 (itl->nexus->managements, management, next) {
            if (management->epoch == 2 && !still_waits(management))
                return management;
        }
    }
    return NULL;
}

void management_check(struct scsi_lu *lu)
{
    struct scsi_management *management;
    while ((management = next_to_answer(lu)))
        respond(management, SCSI_FUNCTION_COMPLETE);
}
