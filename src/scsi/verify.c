/* verify.c - VERIFY (SBC-3 §5.34-5.37) and WRITE AND VERIFY (§5.40-5.42): reads back in steps and
 * compares as BYTCHK says. */
#include <string.h>

#include "internal.h"

enum byte_check {
    CHECK_MEDIUM = 0, /* it can be read */
    CHECK_DATA = 1,   /* it equals the data-out, block by block */
    CHECK_RESERVED = 2,
    CHECK_ONE_BLOCK = 3, /* each block equals the one block of data-out */
};

static enum byte_check byte_check(const struct command *command)
{
    return (enum byte_check)(command->task.cdb[1] >> 1 & 0x03);
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t length)
{
    size_t i = 0;
    while (i < length && a[i] == b[i])
        i++;
    return i;
}

/* Sets MISCOMPARE with the offset of the first byte that differs; true: they are equal. */
static bool compare_step(struct command *command, size_t step_bytes)
{
    const uint8_t *expected = command->task.data_out, *found = command->scratch;
    uint32_t block_bytes = lu_block_bytes(command->itl->lu);
    uint64_t offset = command->done_blocks * block_bytes;
    size_t unit = byte_check(command) == CHECK_ONE_BLOCK ? block_bytes : step_bytes;
    if (byte_check(command) == CHECK_MEDIUM)
        return true;
    if (byte_check(command) == CHECK_DATA)
        expected += offset;
    for (size_t at = 0; at < step_bytes; at += unit) {
        if (memcmp(found + at, expected, unit) == 0)
            continue;
        struct sense sense = {
            .key = SENSE_MISCOMPARE,
            .asc_ascq = ASC_MISCOMPARE,
            .has_information = true,
            .information = offset + at + first_difference(found + at, expected, unit),
        };
        command_check_sense(command, &sense);
        return false;
    }
    return true;
}

static uint64_t step_blocks(const struct command *command)
{
    uint64_t fits = command->scratch_bytes / lu_block_bytes(command->itl->lu);
    return min_of(command->blocks - command->done_blocks, fits);
}

static void verify_step_done(struct command *command);

static enum scsi_verdict verify_step(struct command *command)
{
    command->request.past_cache = true; /* it is the medium that is verified */
    return command_submit(command, BLOCK_READ, command->first_block + command->done_blocks,
                          step_blocks(command), command->scratch, verify_step_done);
}

static void verify_step_done(struct command *command)
{
    uint64_t blocks = step_blocks(command);
    if (!compare_step(command, (size_t)lu_bytes(command->itl->lu, blocks))) {
        command_end(command);
        return;
    }
    command->done_blocks += blocks;
    if (command->done_blocks == command->blocks)
        command_end_good(command);
    else
        verify_step(command);
}

#define STEP_BYTES (256u << 10)

static bool take_step_buffer(struct command *command)
{
    uint64_t bytes = lu_bytes(command->itl->lu, command->blocks);
    return command_take_scratch(command, (size_t)min_of(bytes, (uint64_t)STEP_BYTES));
}

bool verify_data_out(struct command *command, uint64_t *ret_bytes)
{
    const struct scsi_lu *lu = command->itl->lu;
    switch (byte_check(command)) {
    case CHECK_DATA:
        *ret_bytes = lu_bytes(lu, command->blocks);
        if (*ret_bytes <= SCSI_TRANSFER_LIMIT_BYTES)
            return true;
        break;
    case CHECK_ONE_BLOCK:
        *ret_bytes = command->blocks ? lu_block_bytes(lu) : 0;
        return true;
    case CHECK_MEDIUM:
        *ret_bytes = 0;
        return true;
    case CHECK_RESERVED:
        break;
    }
    command_invalid_cdb(command, 1, 2);
    return false;
}

enum scsi_verdict verify_execute(struct command *command)
{
    if (command->blocks == 0)
        return command_good(command);
    if (!take_step_buffer(command))
        return SCSI_DONE;
    return verify_step(command);
}

/* ── WRITE AND VERIFY ────────────────────────────────────────────────────────────────────────── */

static void verify_written(struct command *command)
{
    if (!take_step_buffer(command))
        command_end(command);
    else
        verify_step(command);
}

bool write_and_verify_data_out(struct command *command, uint64_t *ret_bytes)
{
    *ret_bytes = lu_bytes(command->itl->lu, command->blocks);
    if (byte_check(command) <= CHECK_DATA)
        return true;
    command_invalid_cdb(command, 1, 2); /* the other values are reserved here */
    return false;
}

enum scsi_verdict write_and_verify_execute(struct command *command)
{
    if (command->blocks == 0)
        return command_good(command);
    command->itl->lu->deallocated = false;
    command->request.fua = true; /* for what is read back is on the medium */
    return command_submit(command, BLOCK_WRITE, command->first_block, command->blocks,
                          command->task.data_out, verify_written);
}
