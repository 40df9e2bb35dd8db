/* compare_and_write.c - COMPARE AND WRITE (SBC-3 §5.2) and ORWRITE(16) (§5.8): reading, deciding
 * and writing with no other writer in the range. */
#include <string.h>

#include "internal.h"

#define CDB_FUA 0x08

static enum scsi_verdict read_range(struct command *command, void (*next)(struct command *command))
{
    size_t bytes = (size_t)lu_bytes(command->itl->lu, command->blocks);
    if (command->blocks == 0)
        return command_good(command);
    if (!command_take_scratch(command, bytes))
        return SCSI_DONE;
    return command_submit(command, BLOCK_READ, command->first_block, command->blocks,
                          command->scratch, next);
}

static void write_range(struct command *command)
{
    command->itl->lu->deallocated = false;
    command->request.fua = (command->task.cdb[1] & CDB_FUA) || command->itl->lu->mode.write_through;
    command_submit(command, BLOCK_WRITE, command->first_block, command->blocks, command->scratch,
                   command_end_good);
}

/* ── COMPARE AND WRITE ───────────────────────────────────────────────────────────────────────── */

bool compare_and_write_data_out(struct command *command, uint64_t *ret_bytes)
{
    const struct scsi_lu *lu = command->itl->lu;
    if (command->blocks > compare_limit_blocks(lu)) {
        command_invalid_cdb(command, 13, 7);
        return false;
    }
    *ret_bytes = 2 * lu_bytes(lu, command->blocks);
    if (command->task.data_out_expected_bytes != *ret_bytes) { /* half a compare is none */
        command_invalid_cdb(command, 13, 7);
        return false;
    }
    return true;
}

static void compare_read(struct command *command)
{
    const uint8_t *found = command->scratch, *expected = command->task.data_out;
    size_t bytes = (size_t)lu_bytes(command->itl->lu, command->blocks);
    size_t at = 0;
    if (memcmp(found, expected, bytes) == 0) {
        memcpy(command->scratch, expected + bytes, bytes); /* where the disk wants it: aligned */
        write_range(command);
        return;
    }
    while (found[at] == expected[at])
        at++;
    struct sense sense = {.key = SENSE_MISCOMPARE,
                          .asc_ascq = ASC_MISCOMPARE,
                          .has_information = true,
                          .information = at};
    command_check_sense(command, &sense);
    command_end(command);
}

enum scsi_verdict compare_and_write_execute(struct command *command)
{
    return read_range(command, compare_read);
}

/* ── ORWRITE ─────────────────────────────────────────────────────────────────────────────────── */

static void or_read(struct command *command)
{
    uint64_t *to = command->scratch;
    const uint64_t *from = (const void *)command->task.data_out;
    size_t words = (size_t)lu_bytes(command->itl->lu, command->blocks) / sizeof(*to);
    for (size_t i = 0; i < words; i++)
        to[i] |= from[i];
    write_range(command);
}

enum scsi_verdict orwrite_execute(struct command *command)
{
    return read_range(command, or_read);
}
