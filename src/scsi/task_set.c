/*
 * task_set.c - whose turn it is, SAM-5 §8 with QUEUE ALGORITHM MODIFIER 1 (unrestricted
 * reordering) and a task set per nexus (TST 001b, SPC-4 §7.5.8).
 *
 * Plain reads and writes run as they come. Among the tasks of one nexus ORDERED ones wait for all
 * that came before them and hold back what comes after; HEAD OF QUEUE goes first. A task is in its
 * set until its initiator has taken the answer, so with a set for all an initiator that stops
 * reading or sending would stop the others. COMPARE AND WRITE, ORWRITE, WRITE SAME and
 * UNMAP want no other writer in their range while they run; such waits are first come, first
 * served. Reads hold no range: data on its way out of the page cache would make writers wait for
 * slow readers.
 */
#include "internal.h"

void task_set_enter(struct command *command)
{
    DL_APPEND2(command->task.nexus->commands, command, nexus_prev, nexus_next);
    command->started = true;
    if (!command->itl)
        return;
    DL_APPEND2(command->itl->lu->commands, command, lu_prev, lu_next);
    if (command->task.attribute == SCSI_ORDERED)
        command->itl->ordered_count++;
    else if (command->task.attribute == SCSI_HEAD_OF_QUEUE)
        command->itl->head_count++;
}

void task_set_leave(struct command *command)
{
    DL_DELETE2(command->task.nexus->commands, command, nexus_prev, nexus_next);
    if (!command->itl)
        return;
    DL_DELETE2(command->itl->lu->commands, command, lu_prev, lu_next);
    if (command->task.attribute == SCSI_ORDERED)
        command->itl->ordered_count--;
    else if (command->task.attribute == SCSI_HEAD_OF_QUEUE)
        command->itl->head_count--;
}

/* ── order ───────────────────────────────────────────────────────────────────────────────────── */

static bool holds_back(const struct command *earlier, const struct command *command)
{
    if (earlier->itl != command->itl)
        return false;
    return command->task.attribute == SCSI_ORDERED || earlier->task.attribute == SCSI_ORDERED ||
           earlier->task.attribute == SCSI_HEAD_OF_QUEUE;
}

static bool order_allows(const struct command *command)
{
    if (command->task.attribute == SCSI_HEAD_OF_QUEUE)
        return true;
    const struct command *other = command->task.nexus->commands; /* in order of arrival */
    for (; other != command; other = other->nexus_next) {
        if (holds_back(other, command))
            return false;
    }
    /* A HEAD OF QUEUE task goes before whatever waits, also when it came later. */
    if (command->itl->head_count == 0)
        return true;
    for (; other; other = other->nexus_next) {
        if (other->itl == command->itl && other->task.attribute == SCSI_HEAD_OF_QUEUE)
            return false;
    }
    return true;
}

/* ── ranges ──────────────────────────────────────────────────────────────────────────────────── */

static bool is_exclusive(const struct command *command)
{
    return command->opcode->flags & OPCODE_EXCLUSIVE;
}

static bool is_writer(const struct command *command)
{
    return command->opcode->flags & (OPCODE_WRITES | OPCODE_EXCLUSIVE);
}

static bool collide(const struct command *a, const struct command *b)
{
    if (!is_writer(a) || !is_writer(b) || !(is_exclusive(a) || is_exclusive(b)))
        return false;
    if ((a->opcode->flags | b->opcode->flags) & OPCODE_WHOLE_MEDIUM)
        return true;
    return a->first_block < b->first_block + b->blocks &&
           b->first_block < a->first_block + a->blocks;
}

static bool range_allows(const struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    const struct command *other;
    if ((command->opcode->flags & OPCODE_RESERVES) && lu->storing_reservations)
        return false;
    if (!is_writer(command) || (lu->exclusive_count == 0 && !is_exclusive(command)))
        return true;
    DL_FOREACH2 (lu->writers, other, wait_next) {
        if (collide(command, other))
            return false;
    }
    /* First come, first served; but one that waits for its order may be waiting for us. */
    DL_FOREACH2 (lu->waiting, other, wait_next) {
        if (other == command)
            break;
        if (collide(command, other) && order_allows(other))
            return false;
    }
    return true;
}

static bool may_run(const struct command *command)
{
    const struct itl *itl = command->itl;
    bool plain_order =
        command->task.attribute != SCSI_ORDERED && !itl->ordered_count && !itl->head_count;
    return (plain_order || order_allows(command)) && range_allows(command);
}

static enum scsi_verdict take_turn(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    if (is_writer(command)) {
        DL_APPEND2(lu->writers, command, wait_prev, wait_next);
        command->holds_range = true;
    }
    return command_run(command);
}

enum scsi_verdict task_set_dispatch(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    if (is_exclusive(command))
        lu->exclusive_count++;
    if (!lu->held && may_run(command))
        return take_turn(command);
    command->state = COMMAND_WAITING;
    DL_APPEND2(lu->waiting, command, wait_prev, wait_next);
    return SCSI_PENDING;
}

/* The command's work on the medium has ended. */
void task_set_release_range(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    if (!command->holds_range)
        return;
    DL_DELETE2(lu->writers, command, wait_prev, wait_next);
    command->holds_range = false;
    if (is_exclusive(command))
        lu->exclusive_count--;
}

void task_set_unwait(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    DL_DELETE2(lu->waiting, command, wait_prev, wait_next);
    if (is_exclusive(command))
        lu->exclusive_count--;
    command->state = COMMAND_ENDED;
}

/* ── going on ────────────────────────────────────────────────────────────────────────────────── */

static struct command *next_that_may_run(struct scsi_lu *lu)
{
    struct command *command;
    DL_FOREACH2 (lu->waiting, command, wait_next) {
        if (may_run(command))
            return command;
    }
    return NULL;
}

static void run_waiting(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    DL_DELETE2(lu->waiting, command, wait_prev, wait_next);
    if (!gate_readmit(command)) {
        if (is_exclusive(command))
            lu->exclusive_count--;
        command->state = COMMAND_ENDED;
        command->task.callbacks->done(&command->task);
    } else if (take_turn(command) == SCSI_DONE) {
        command->task.callbacks->done(&command->task);
    }
}

/* `done` may finish tasks, start new ones and come back here; one instance at a time does the
 * work. */
void task_set_advance(struct scsi_lu *lu)
{
    struct command *command;
    if (lu->held)
        return;
    lu->held++;
    while ((command = next_that_may_run(lu)))
        run_waiting(command);
    lu->held--;
}

void task_set_hold(struct scsi_lu *lu)
{
    lu->held++;
}

void task_set_resume(struct scsi_lu *lu)
{
    lu->held--;
    task_set_advance(lu);
}
