/*
 * sanitize.c - SANITIZE, SBC-3 §4.11 and §5.24: overwrite and block erase. An operation belongs to
 * the logical unit: resets, aborts and lost nexuses do not stop it. One request is under way at a
 * time, with a pause behind it, so that whoever else uses the hardware keeps a share.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define CDB_AUSE     0x20
#define CDB_IMMED    0x80
#define INVERT       0x80
#define COUNT_MASK   0x1f
#define HEADER_BYTES 4
#define STEP_BYTES   (1u << 20)
#define PAUSE_MS     16 /* behind each step of an overwrite: at most 64 MiB/s */

struct sanitize {
    struct scsi_lu *lu; /* NULL: it has been freed, and this frees itself with its last request */
    struct pool *pool;
    struct command *watcher; /* an IMMED=0 command that wants to hear of the end */
    struct block_request request;
    enum block_operation operation;
    void *pattern; /* of the overwrite, step_bytes of it */
    size_t step_bytes;
    unsigned passes, pass;
    bool inverts;
    bool unrestricted_exit; /* AUSE */
    bool flushing, failed;
    uint64_t total_bytes, done_bytes; /* of this pass */
    bool erases;                      /* BLOCK ERASE, by whatever the disk can do */
};

bool sanitize_running(const struct scsi_lu *lu)
{
    return lu->sanitize && !lu->sanitize->failed;
}

bool sanitize_failed(const struct scsi_lu *lu)
{
    return lu->sanitize && lu->sanitize->failed;
}

uint16_t sanitize_progress(const struct scsi_lu *lu)
{
    const struct sanitize *sanitize = lu->sanitize;
    double all = (double)sanitize->total_bytes * sanitize->passes;
    double done = (double)sanitize->total_bytes * sanitize->pass + (double)sanitize->done_bytes;
    return (uint16_t)min_of(done / all * 65536.0, 65535.0);
}

static void operation_free(struct sanitize *sanitize)
{
    pool_give(sanitize->pool, sanitize->pattern, sanitize->step_bytes);
    free(sanitize);
}

void sanitize_done(struct scsi_lu *lu)
{
    if (sanitize_running(lu))
        lu->sanitize->lu = NULL;
    else if (lu->sanitize)
        operation_free(lu->sanitize);
    lu->sanitize = NULL;
}

bool sanitize_detach(struct command *command)
{
    struct sanitize *sanitize = command->itl->lu->sanitize;
    if (!sanitize || sanitize->watcher != command)
        return false;
    sanitize->watcher = NULL;
    command->state = COMMAND_ENDED;
    return true;
}

/* ── the operation ───────────────────────────────────────────────────────────────────────────── */

static void end_operation(struct sanitize *sanitize, bool failed)
{
    struct scsi_lu *lu = sanitize->lu;
    struct command *watcher = sanitize->watcher;
    bool erased = sanitize->erases;
    sanitize->watcher = NULL;
    sanitize->failed = failed;
    lu->deallocated = erased && !failed;
    if (!failed) {
        lu->sanitize = NULL;
        operation_free(sanitize);
    }
    if (!watcher)
        return;
    if (failed)
        command_check(watcher, SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
    else
        command_good(watcher);
    command_end(watcher);
}

static void submit_next(struct sanitize *sanitize);

static void invert_pattern(struct sanitize *sanitize)
{
    uint8_t *bytes = sanitize->pattern;
    for (size_t i = 0; sanitize->inverts && i < sanitize->step_bytes; i++)
        bytes[i] = (uint8_t)~bytes[i];
}

static void resume(void *context)
{
    struct sanitize *sanitize = context;
    if (sanitize->lu)
        submit_next(sanitize);
    else
        operation_free(sanitize);
}

static void pause_or_submit(struct sanitize *sanitize)
{
    struct scsi_delay *delay = sanitize->lu->environment->delay;
    if (delay && sanitize->operation == BLOCK_WRITE)
        delay->after(delay, PAUSE_MS, resume, sanitize);
    else
        submit_next(sanitize);
}

static void step_done(struct block_request *request)
{
    struct sanitize *sanitize = request->context;
    if (!sanitize->lu) {
        operation_free(sanitize);
        return;
    }
    task_set_advance(sanitize->lu); /* what waited for its range hears that it is running */
    if (request->result == -EOPNOTSUPP && request->operation == BLOCK_DISCARD) {
        sanitize->operation = BLOCK_WRITE_ZEROES; /* the disk has changed its mind */
        submit_next(sanitize);
        return;
    }
    if (request->result < 0 || sanitize->flushing) {
        end_operation(sanitize, request->result < 0);
        return;
    }
    sanitize->done_bytes += request->length_bytes;
    if (sanitize->done_bytes == sanitize->total_bytes && sanitize->pass + 1 < sanitize->passes) {
        sanitize->pass++;
        sanitize->done_bytes = 0;
        if (sanitize->operation == BLOCK_WRITE)
            invert_pattern(sanitize);
        else
            sanitize->operation = BLOCK_DISCARD;
    }
    pause_or_submit(sanitize);
}

static void submit_next(struct sanitize *sanitize)
{
    struct block_request *request = &sanitize->request;
    uint64_t left = sanitize->total_bytes - sanitize->done_bytes;
    sanitize->flushing = left == 0;
    *request = (struct block_request){
        .operation = sanitize->flushing ? BLOCK_FLUSH : sanitize->operation,
        .offset_bytes = sanitize->flushing ? 0 : sanitize->done_bytes,
        .length_bytes = min_of(left, (uint64_t)sanitize->step_bytes),
        .buffer = sanitize->flushing ? NULL : sanitize->pattern,
        .done = step_done,
        .context = sanitize,
    };
    block_submit(sanitize->lu->device, request);
}

static struct sanitize *operation_new(struct command *command, enum block_operation operation)
{
    struct scsi_lu *lu = command->itl->lu;
    struct sanitize *sanitize = calloc(1, sizeof(*sanitize));
    if (!sanitize)
        return NULL;
    sanitize->lu = lu;
    sanitize->pool = lu->environment->pool;
    sanitize->operation = operation;
    sanitize->passes = 1;
    sanitize->unrestricted_exit = command->task.cdb[1] & CDB_AUSE;
    sanitize->total_bytes = lu_bytes(lu, lu->device->geometry.blocks);
    return sanitize;
}

/* Takes the place of an operation that failed. */
static enum scsi_verdict start_operation(struct command *command, struct sanitize *sanitize)
{
    struct scsi_lu *lu = command->itl->lu;
    sanitize_done(lu);
    lu->sanitize = sanitize;
    lu->deallocated = false;
    bool immediate = command->task.cdb[1] & CDB_IMMED;
    sanitize->watcher = immediate ? NULL : command;
    task_set_release_range(command); /* from here the gate keeps everybody out */
    submit_next(sanitize);
    return immediate ? command_good(command) : SCSI_PENDING;
}

/* ── OVERWRITE ───────────────────────────────────────────────────────────────────────────────── */

bool sanitize_overwrite_data_out(struct command *command, uint64_t *ret_bytes)
{
    *ret_bytes = load_be16(command->task.cdb + 7);
    if (*ret_bytes > HEADER_BYTES && *ret_bytes <= HEADER_BYTES + lu_block_bytes(command->itl->lu))
        return true;
    command_invalid_cdb(command, 7, 7);
    return false;
}

/* Each block gets the pattern from its beginning, repeated (§5.24.2.2). */
static void fill(struct sanitize *sanitize, const uint8_t *pattern, size_t length, size_t block)
{
    uint8_t *bytes = sanitize->pattern;
    for (size_t i = 0; i < block; i++)
        bytes[i] = pattern[i % length];
    for (size_t at = block; at < sanitize->step_bytes; at += block)
        memcpy(bytes + at, bytes, block);
}

enum scsi_verdict sanitize_overwrite_execute(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    const uint8_t *list = command->task.data_out;
    unsigned passes = list[0] & COUNT_MASK;
    size_t length = load_be16(list + 2);
    if (passes == 0)
        return command_invalid_parameter(command, 0, 4);
    if (length == 0 || length > command->task.data_out_bytes - HEADER_BYTES)
        return command_invalid_parameter(command, 2, 7);
    struct sanitize *sanitize = operation_new(command, BLOCK_WRITE);
    if (!sanitize)
        return command_status(command, SCSI_STATUS_BUSY);
    sanitize->passes = passes;
    sanitize->inverts = list[0] & INVERT;
    sanitize->step_bytes = (size_t)min_of(sanitize->total_bytes, (uint64_t)STEP_BYTES);
    sanitize->pattern = pool_take(lu->environment->pool, sanitize->step_bytes);
    if (!sanitize->pattern) {
        operation_free(sanitize);
        return command_status(command, SCSI_STATUS_BUSY);
    }
    fill(sanitize, list + HEADER_BYTES, length, lu_block_bytes(lu));
    return start_operation(command, sanitize);
}

/* ── BLOCK ERASE, EXIT FAILURE MODE ──────────────────────────────────────────────────────────── */

bool sanitize_no_data_out(struct command *command, uint64_t *ret_bytes)
{
    *ret_bytes = 0;
    if (load_be16(command->task.cdb + 7) == 0)
        return true;
    command_invalid_cdb(command, 7, 7);
    return false;
}

/* Where a discarded block may still be read, it is overwritten first. */
enum scsi_verdict sanitize_block_erase_execute(struct command *command)
{
    const struct block_geometry *geometry = &command->itl->lu->device->geometry;
    struct sanitize *sanitize =
        operation_new(command, geometry->discard_zeroes ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES);
    if (!sanitize)
        return command_status(command, SCSI_STATUS_BUSY);
    sanitize->erases = true;
    sanitize->passes = geometry->discard_zeroes ? 1 : 2;
    uint64_t limit = min_of(geometry->discard_limit_bytes, (uint64_t)SCSI_STEP_BYTES);
    limit -= limit % geometry->logical_block_bytes;
    sanitize->step_bytes = (size_t)max_of(limit, (uint64_t)geometry->logical_block_bytes);
    return start_operation(command, sanitize);
}

/* Only an operation started with AUSE may be left unfinished (§4.11.3). */
enum scsi_verdict sanitize_exit_failure_mode_execute(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    if (sanitize_running(lu)) {
        struct sense sense = {.key = SENSE_NOT_READY, .asc_ascq = ASC_SANITIZE_IN_PROGRESS};
        sense_set_progress(&sense, sanitize_progress(lu));
        return command_check_sense(command, &sense);
    }
    if (sanitize_failed(lu) && !lu->sanitize->unrestricted_exit)
        return command_invalid_cdb(command, 1, 4);
    sanitize_done(lu);
    return command_good(command);
}
