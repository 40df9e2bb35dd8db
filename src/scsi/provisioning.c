/* provisioning.c - UNMAP (SBC-3 §5.28) and GET LBA STATUS (§5.5). */
#include "internal.h"

/* ── UNMAP ───────────────────────────────────────────────────────────────────────────────────── */

#define HEADER_BYTES     8
#define DESCRIPTOR_BYTES 16

bool unmap_data_out(struct command *command, uint64_t *ret_bytes)
{
    *ret_bytes = load_be16(command->task.cdb + 7);
    if (*ret_bytes <= HEADER_BYTES + SCSI_UNMAP_DESCRIPTORS * DESCRIPTOR_BYTES)
        return true;
    command_parameter_length_error(command);
    return false;
}

static unsigned descriptor_count(const struct command *command)
{
    return load_be16(command->task.data_out + 2) / DESCRIPTOR_BYTES;
}

static const uint8_t *descriptor(const struct command *command, unsigned i)
{
    return command->task.data_out + HEADER_BYTES + (size_t)i * DESCRIPTOR_BYTES;
}

/* The command's range is the smallest one that covers all of them. */
static bool check_descriptors(struct command *command)
{
    uint64_t capacity = command->itl->lu->device->geometry.blocks;
    uint64_t total = 0, first = UINT64_MAX, end = 0;
    for (unsigned i = 0; i < descriptor_count(command); i++) {
        uint64_t lba = load_be64(descriptor(command, i));
        uint32_t blocks = load_be32(descriptor(command, i) + 8);
        if (lba > capacity || blocks > capacity - lba) {
            command_check(command, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
            return false;
        }
        if (blocks == 0)
            continue;
        total += blocks;
        first = min_of(first, lba);
        end = max_of(end, lba + blocks);
    }
    if (total > SCSI_UNMAP_LIMIT_BLOCKS) {
        command_invalid_parameter(command, HEADER_BYTES + 8, SENSE_WHOLE_BYTE);
        return false;
    }
    command->first_block = total ? first : 0;
    command->blocks = total ? end - first : 0;
    return true;
}

bool unmap_prepare(struct command *command)
{
    const struct scsi_task *task = &command->task;
    command->first_block = command->blocks = 0;
    if (task->data_out_wanted_bytes == 0) /* no parameter list is no error */
        return true;
    if (task->data_out_bytes < HEADER_BYTES ||
        load_be16(task->data_out + 2) > task->data_out_bytes - HEADER_BYTES) {
        command_parameter_length_error(command);
        return false;
    }
    return check_descriptors(command);
}

static void unmap_step_done(struct command *command);

/* `step` is the descriptor at work, `done_blocks` what is done of it. */
static enum scsi_verdict unmap_step(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    unsigned count = command->task.data_out_wanted_bytes ? descriptor_count(command) : 0;
    while (command->step < count) {
        uint64_t lba = load_be64(descriptor(command, command->step));
        uint64_t blocks = load_be32(descriptor(command, command->step) + 8);
        uint64_t limit =
            min_of((uint64_t)SCSI_STEP_BYTES, lu->device->geometry.discard_limit_bytes);
        if (command->done_blocks < blocks) {
            command->step_blocks = min_of(blocks - command->done_blocks,
                                          max_of(limit / lu_block_bytes(lu), (uint64_t)1));
            return command_submit(command, BLOCK_DISCARD, lba + command->done_blocks,
                                  command->step_blocks, NULL, unmap_step_done);
        }
        command->step++;
        command->done_blocks = 0;
    }
    return command_good(command);
}

static void unmap_step_done(struct command *command)
{
    command->done_blocks += command->step_blocks;
    if (unmap_step(command) == SCSI_DONE)
        command_end(command);
}

enum scsi_verdict unmap_execute(struct command *command)
{
    return unmap_step(command);
}

/* ── GET LBA STATUS ──────────────────────────────────────────────────────────────────────────── */

enum provisioning { MAPPED_OR_UNKNOWN = 0, DEALLOCATED = 1 };

/* The disk does not tell what it has mapped, so one descriptor covers the rest of it: unknown, or
 * deallocated where a block erase has just been over everything. */
enum scsi_verdict get_lba_status_execute(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    const uint8_t *cdb = command->task.cdb;
    struct buffer *to = command_response(command);
    uint64_t lba = load_be64(cdb + 2), capacity = lu->device->geometry.blocks;
    if (lba >= capacity)
        return command_check(command, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    buffer_put_be32(to, 20); /* PARAMETER DATA LENGTH */
    buffer_put_be32(to, 0);
    buffer_put_be64(to, lba);
    buffer_put_be32(to, (uint32_t)min_of(capacity - lba, (uint64_t)UINT32_MAX));
    buffer_put_u8(to, lu->deallocated ? DEALLOCATED : MAPPED_OR_UNKNOWN);
    buffer_put_zeros(to, 3);
    return command_respond(command, load_be32(cdb + 10));
}
