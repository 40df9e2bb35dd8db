/* cache.c - SYNCHRONIZE CACHE (SBC-3 §5.33-5.34) and PRE-FETCH (§5.8). */
#include "internal.h"

/* The whole device is flushed, whatever the range. IMMED changes nothing: an early GOOD would be a
 * promise nobody could take back when the flush fails. */
enum scsi_verdict synchronize_cache_execute(struct command *command)
{
    if (command_has_no_writes(command))
        return command_good(command);
    return command_submit(command, BLOCK_FLUSH, 0, 0, NULL, command_end_good);
}

/* Advice; GOOD says that room for all of it has not been promised. No blocks: to the end. */
enum scsi_verdict pre_fetch_execute(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    uint64_t to_the_end = lu->device->geometry.blocks - command->first_block;
    uint64_t blocks = command->blocks ? command->blocks : to_the_end;
    uint64_t limit = SCSI_STEP_BYTES / lu_block_bytes(lu);
    return command_submit(command, BLOCK_PREFETCH, command->first_block, min_of(blocks, limit),
                          NULL, command_end_good);
}
