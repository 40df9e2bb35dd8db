/* read_write.c - READ and WRITE in all their lengths, SBC-3 §5.8-5.11, §5.29-5.32. */
#include "internal.h"

#define CDB_FUA 0x08

static bool wants_unit_access(const struct command *command)
{
    return command->opcode->address != ADDRESS_6 && (command->task.cdb[1] & CDB_FUA);
}

static enum scsi_verdict answer_from_device(struct command *command)
{
    struct scsi_task *task = &command->task;
    struct scsi_lu *lu = command->itl->lu;
    task->device_offset_bytes = lu_bytes(lu, command->first_block);
    task->data_in_bytes = lu_bytes(lu, command->blocks);
    task->data_source = task->data_in_bytes ? SCSI_DATA_DEVICE : SCSI_DATA_NONE;
    if (task->data_in_bytes)
        read_ahead_note(lu, task->device_offset_bytes, task->data_in_bytes);
    return command_good(command);
}

static void read_flushed(struct command *command)
{
    answer_from_device(command);
    command_end(command);
}

/* With FUA what is in a volatile cache is written to the medium before it is read (SBC-3 §4.15). */
enum scsi_verdict read_execute(struct command *command)
{
    if (wants_unit_access(command) && !command_has_no_writes(command))
        return command_submit(command, BLOCK_FLUSH, 0, 0, NULL, read_flushed);
    return answer_from_device(command);
}

bool write_data_out(struct command *command, uint64_t *ret_bytes)
{
    *ret_bytes = lu_bytes(command->itl->lu, command->blocks);
    return true;
}

enum scsi_verdict write_execute(struct command *command)
{
    if (command->blocks == 0)
        return command_good(command);
    command->itl->lu->deallocated = false;
    command->request.fua = wants_unit_access(command) || command->itl->lu->mode.write_through;
    return command_submit(command, BLOCK_WRITE, command->first_block, command->blocks,
                          command->task.data_out, command_end_good);
}
