/* write_same.c - WRITE SAME(10) and (16), SBC-3 §5.43-5.44. */
#include <string.h>

#include "internal.h"

#define CDB_NDOB   0x01 /* WRITE SAME(16) only: a block of zeros, not sent */
#define CDB_UNMAP  0x08
#define CDB_ANCHOR 0x10
#define FILL_BYTES (256u << 10)

static bool without_data(const struct command *command)
{
    return command->opcode->cdb_bytes == 16 && (command->task.cdb[1] & CDB_NDOB);
}

static bool check_bits(struct command *command)
{
    const struct block_geometry *geometry = &command->itl->lu->device->geometry;
    uint8_t bits = command->task.cdb[1];
    if (bits & CDB_ANCHOR) { /* ANC_SUP is 0 */
        command_invalid_cdb(command, 1, 4);
        return false;
    }
    if ((bits & CDB_UNMAP) && !geometry->discard_granularity_bytes) {
        command_invalid_cdb(command, 1, 3);
        return false;
    }
    return true;
}

bool write_same_data_out(struct command *command, uint64_t *ret_bytes)
{
    const struct scsi_lu *lu = command->itl->lu;
    *ret_bytes = without_data(command) ? 0 : lu_block_bytes(lu);
    if (!check_bits(command))
        return false;
    if (command->blocks == 0) /* to the end */
        command->blocks = lu->device->geometry.blocks - command->first_block;
    if (command->blocks > SCSI_WRITE_SAME_BYTES / lu_block_bytes(lu)) {
        command_invalid_cdb(command, command->opcode->cdb_bytes == 16 ? 10 : 7, 7);
        return false;
    }
    if (*ret_bytes && command->task.data_out_expected_bytes != *ret_bytes) {
        command_check(command, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_INFORMATION_UNIT);
        return false;
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Unmapping does where unmapped blocks read as the zeros that were asked for (§4.7.3.4). */
static enum block_operation operation_for(const struct command *command)
{
    const struct block_geometry *geometry = &command->itl->lu->device->geometry;
    if (!without_data(command) && !is_zero(command->task.data_out, geometry->logical_block_bytes))
        return BLOCK_WRITE;
    if ((command->task.cdb[1] & CDB_UNMAP) && geometry->discard_zeroes)
        return BLOCK_DISCARD;
    return BLOCK_WRITE_ZEROES;
}

static uint64_t step_blocks(const struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    uint64_t limit = command->scratch ? command->scratch_bytes : SCSI_STEP_BYTES;
    if (!command->scratch && command->request.operation == BLOCK_DISCARD)
        limit = min_of(limit, lu->device->geometry.discard_limit_bytes);
    return min_of(command->blocks - command->done_blocks,
                  max_of(limit / lu_block_bytes(lu), (uint64_t)1));
}

static void step_done(struct command *command);

static enum scsi_verdict step(struct command *command, enum block_operation operation)
{
    command->request.operation = operation;
    return command_submit(command, operation, command->first_block + command->done_blocks,
                          step_blocks(command), command->scratch, step_done);
}

static void step_done(struct command *command)
{
    command->done_blocks += command->request.length_bytes / lu_block_bytes(command->itl->lu);
    if (command->done_blocks < command->blocks)
        step(command, command->request.operation);
    else if (command->itl->lu->mode.write_through)
        command_submit(command, BLOCK_FLUSH, 0, 0, NULL, command_end_good);
    else
        command_end_good(command);
}

static bool fill_scratch(struct command *command)
{
    uint32_t block_bytes = lu_block_bytes(command->itl->lu);
    uint64_t bytes = lu_bytes(command->itl->lu, command->blocks);
    if (!command_take_scratch(command, (size_t)min_of(bytes, (uint64_t)FILL_BYTES)))
        return false;
    for (size_t at = 0; at < command->scratch_bytes; at += block_bytes)
        memcpy((uint8_t *)command->scratch + at, command->task.data_out, block_bytes);
    return true;
}

enum scsi_verdict write_same_execute(struct command *command)
{
    enum block_operation operation = operation_for(command);
    command->itl->lu->deallocated = false;
    if (operation == BLOCK_WRITE && !fill_scratch(command))
        return SCSI_DONE;
    return step(command, operation);
}
