/* control.c - TEST UNIT READY, REQUEST SENSE, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL. */
#include "internal.h"

/* The gate has asked already. */
enum scsi_verdict test_unit_ready_execute(struct command *command)
{
    return command_good(command);
}

/* ── REQUEST SENSE, SPC-4 §6.39 ──────────────────────────────────────────────────────────────── */

#define CDB_DESC 0x01

static struct sense pending_sense(struct command *command)
{
    struct sense sense = {.key = SENSE_NO_SENSE, .asc_ascq = ASC_NONE};
    if (!command->itl) {
        sense.key = SENSE_ILLEGAL_REQUEST;
        sense.asc_ascq = ASC_LOGICAL_UNIT_NOT_SUPPORTED;
    } else if (unit_attention_take(command->itl, UINT32_MAX, &sense.asc_ascq)) {
        sense.key = SENSE_UNIT_ATTENTION;
    } else if (sanitize_running(command->itl->lu)) {
        sense.key = SENSE_NOT_READY;
        sense.asc_ascq = ASC_SANITIZE_IN_PROGRESS;
        sense_set_progress(&sense, sanitize_progress(command->itl->lu));
    } else if (sanitize_failed(command->itl->lu)) {
        sense.key = SENSE_MEDIUM_ERROR;
        sense.asc_ascq = ASC_SANITIZE_FAILED;
    }
    return sense;
}

enum scsi_verdict request_sense_execute(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    struct sense sense = pending_sense(command);
    uint8_t bytes[SCSI_SENSE_BYTES];
    struct buffer *to = command_response(command);
    buffer_append(to, bytes, sense_write(&sense, cdb[1] & CDB_DESC, bytes));
    return command_respond(command, cdb[4]);
}

/* ── START STOP UNIT, SBC-3 §5.25 ────────────────────────────────────────────────────────────── */

#define START           0x01
#define LOEJ            0x02
#define NO_FLUSH        0x04
#define POWER_CONDITION 0xf0

static bool removal_is_prevented(const struct scsi_lu *lu)
{
    const struct itl *itl;
    DL_FOREACH (lu->itls, itl) {
        if (itl->prevents_removal)
            return true;
    }
    return false;
}

/* There is no motor: a stopped disk is flushed and stays ready, because the firmware that boots
 * from it next may not know how to start it. */
static enum scsi_verdict start_or_stop(struct command *command, bool start, bool flush)
{
    struct scsi_lu *lu = command->itl->lu;
    if (start && lu->stopped)
        lu->start_stop_cycles++;
    lu->stopped = !start;
    if (start || !flush || lu->read_only)
        return command_good(command);
    return command_submit(command, BLOCK_FLUSH, 0, 0, NULL, command_end_good);
}

enum scsi_verdict start_stop_unit_execute(struct command *command)
{
    uint8_t what = command->task.cdb[4];
    if (what & POWER_CONDITION) /* START and LOEJ are ignored */
        return command_good(command);
    if (!(what & LOEJ))
        return start_or_stop(command, what & START, !(what & NO_FLUSH));
    if (removal_is_prevented(command->itl->lu))
        return command_check(command, SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
    return command_invalid_cdb(command, 4, 1); /* the medium cannot be removed */
}

/* ── PREVENT ALLOW MEDIUM REMOVAL, SBC-3 §5.13 ───────────────────────────────────────────────── */

#define PREVENT 0x01

enum scsi_verdict prevent_allow_execute(struct command *command)
{
    if (command->task.cdb[4] & ~PREVENT) /* 10b and 11b are obsolete */
        return command_invalid_cdb(command, 4, 1);
    command->itl->prevents_removal = command->task.cdb[4] & PREVENT;
    return command_good(command);
}
