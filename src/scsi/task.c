/* task.c - the way of a command: start, execute, steps through the disk, end, finish. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ── status and sense ────────────────────────────────────────────────────────────────────────── */

static void drop_data_in(struct scsi_task *task)
{
    task->data_source = SCSI_DATA_NONE;
    task->data_in_bytes = 0;
    task->parameter_data = NULL;
}

enum scsi_verdict command_good(struct command *command)
{
    command->task.status = SCSI_STATUS_GOOD;
    return SCSI_DONE;
}

enum scsi_verdict command_status(struct command *command, enum scsi_status status)
{
    drop_data_in(&command->task);
    command->task.status = (uint8_t)status;
    command->task.sense_bytes = 0;
    return SCSI_DONE;
}

enum scsi_verdict command_check_sense(struct command *command, const struct sense *sense)
{
    struct scsi_task *task = &command->task;
    bool descriptor_format = command->itl && command->itl->lu->mode.descriptor_sense;
    drop_data_in(task);
    task->status = SCSI_STATUS_CHECK_CONDITION;
    task->sense_bytes = sense_write(sense, descriptor_format, task->sense);
    return SCSI_DONE;
}

enum scsi_verdict command_check(struct command *command, uint8_t key, uint16_t asc_ascq)
{
    struct sense sense = {.key = key, .asc_ascq = asc_ascq};
    return command_check_sense(command, &sense);
}

static enum scsi_verdict command_invalid(struct command *command, uint16_t asc_ascq, bool in_cdb,
                                         unsigned byte, unsigned bit)
{
    struct sense sense = {.key = SENSE_ILLEGAL_REQUEST, .asc_ascq = asc_ascq};
    sense_point_at(&sense, in_cdb, byte, bit);
    return command_check_sense(command, &sense);
}

enum scsi_verdict command_invalid_cdb(struct command *command, unsigned byte, unsigned bit)
{
    return command_invalid(command, ASC_INVALID_FIELD_IN_CDB, true, byte, bit);
}

enum scsi_verdict command_invalid_parameter(struct command *command, unsigned byte, unsigned bit)
{
    return command_invalid(command, ASC_INVALID_FIELD_IN_PARAMETER_LIST, false, byte, bit);
}

enum scsi_verdict command_parameter_length_error(struct command *command)
{
    return command_check(command, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
}

void scsi_task_check_condition(struct scsi_task *task, uint8_t key, uint16_t asc_ascq)
{
    command_check(command_of(task), key, asc_ascq);
}

/* What an errno of the disk means to an initiator. */
void command_set_error(struct command *command, int result, enum block_operation operation,
                       uint64_t error_block)
{
    struct sense sense = {.key = SENSE_MEDIUM_ERROR, .asc_ascq = ASC_WRITE_ERROR};
    if (operation == BLOCK_READ || operation == BLOCK_PREFETCH) {
        sense.asc_ascq = ASC_UNRECOVERED_READ_ERROR;
        sense.has_information = true;
        sense.information = error_block;
    }
    switch (result) {
    case -ENXIO: /* it has shrunk */
        sense = (struct sense){.key = SENSE_ILLEGAL_REQUEST, .asc_ascq = ASC_LBA_OUT_OF_RANGE};
        break;
    case -ENODEV:
    case -ENOMEDIUM:
        sense = (struct sense){.key = SENSE_NOT_READY, .asc_ascq = ASC_MEDIUM_NOT_PRESENT};
        break;
    case -ENOSPC: /* a sparse file's filesystem is full: initiators pause instead of failing */
    case -EDQUOT:
        sense = (struct sense){.key = SENSE_DATA_PROTECT, .asc_ascq = ASC_SPACE_ALLOCATION_FAILED};
        break;
    case -EROFS:
    case -EPERM:
        sense = (struct sense){.key = SENSE_DATA_PROTECT, .asc_ascq = ASC_WRITE_PROTECTED};
        break;
    case -ENOMEM:
    case -EAGAIN:
        command_status(command, SCSI_STATUS_BUSY);
        return;
    default:
        break;
    }
    command_check_sense(command, &sense);
}

/* ── data-in built in memory ─────────────────────────────────────────────────────────────────── */

struct buffer *command_response(struct command *command)
{
    buffer_done(&command->response);
    buffer_init(&command->response, SCSI_RESPONSE_LIMIT);
    return &command->response;
}

enum scsi_verdict command_respond(struct command *command, uint64_t allocation_bytes)
{
    struct scsi_task *task = &command->task;
    if (command->response.failed)
        return command_status(command, SCSI_STATUS_BUSY);
    task->data_in_bytes = min_of((uint64_t)command->response.length, allocation_bytes);
    task->parameter_data = command->response.data;
    task->data_source = task->data_in_bytes ? SCSI_DATA_MEMORY : SCSI_DATA_NONE;
    return command_good(command);
}

/* ── the disk's part ─────────────────────────────────────────────────────────────────────────── */

bool command_take_scratch(struct command *command, size_t bytes)
{
    struct pool *pool = command->itl->lu->environment->pool;
    command->scratch = pool_take(pool, bytes);
    command->scratch_bytes = bytes;
    if (!command->scratch)
        command_status(command, SCSI_STATUS_BUSY);
    return command->scratch != NULL;
}

static void give_scratch(struct command *command)
{
    if (command->scratch)
        pool_give(command->itl->lu->environment->pool, command->scratch, command->scratch_bytes);
    command->scratch = NULL;
}

static void request_done(struct block_request *request)
{
    struct command *command = request->context;
    if (request->result == -EOPNOTSUPP && request->operation == BLOCK_DISCARD) {
        /* The disk has changed its mind about discarding; zeros read the same. */
        request->operation = BLOCK_WRITE_ZEROES;
        block_submit(command->itl->lu->device, request);
    } else if (command->task.aborted) {
        command_end(command);
    } else if (request->result < 0) {
        command_set_error(command, request->result, request->operation,
                          request->error_offset_bytes / lu_block_bytes(command->itl->lu));
        command_end(command);
    } else {
        command->next_step(command);
    }
}

enum scsi_verdict command_submit(struct command *command, enum block_operation operation,
                                 uint64_t first_block, uint64_t blocks, void *buffer,
                                 void (*next)(struct command *command))
{
    struct scsi_lu *lu = command->itl->lu;
    struct block_request *request = &command->request;
    command->next_step = next;
    request->operation = operation;
    request->offset_bytes = lu_bytes(lu, first_block);
    request->length_bytes = lu_bytes(lu, blocks);
    request->buffer = buffer;
    request->done = request_done;
    request->context = command;
    request->result = 0;
    request->error_offset_bytes = request->offset_bytes;
    block_submit(lu->device, request);
    return SCSI_PENDING;
}

void command_end(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    command->state = COMMAND_ENDED;
    give_scratch(command);
    task_set_release_range(command);
    command->task.callbacks->done(&command->task);
    if (lu->waiting)
        task_set_advance(lu);
}

void command_end_good(struct command *command)
{
    command_good(command);
    command_end(command);
}

/* ── start and execute ───────────────────────────────────────────────────────────────────────── */

struct scsi_task *scsi_task_new(struct scsi_nexus *nexus)
{
    struct scsi_target *target = nexus->target;
    struct command *command = target->spare;
    if (command) {
        target->spare = command->lu_next;
        target->spare_count--;
        memset(command, 0, sizeof(*command));
    } else {
        command = calloc(1, sizeof(*command));
        if (!command)
            return NULL;
    }
    command->task.nexus = nexus;
    nexus->tasks_out++;
    return &command->task;
}

static enum scsi_verdict ended(struct command *command)
{
    command->state = COMMAND_ENDED;
    return SCSI_DONE;
}

/* INQUIRY, REPORT LUNS and REQUEST SENSE have something to say there (SPC-4 §4.5.1, §6.6.1). */
static enum scsi_verdict start_without_lu(struct command *command)
{
    if (!gate_find_opcode(command) || !(command->opcode->flags & OPCODE_ANY_LUN))
        command_check(command, SENSE_ILLEGAL_REQUEST, ASC_LOGICAL_UNIT_NOT_SUPPORTED);
    else
        command->opcode->execute(command);
    return ended(command);
}

enum scsi_verdict command_run(struct command *command)
{
    command->state = COMMAND_RUNNING;
    enum scsi_verdict verdict = command->opcode->execute(command);
    if (verdict == SCSI_DONE) {
        command->state = COMMAND_ENDED;
        give_scratch(command);
        task_set_release_range(command);
    }
    return verdict;
}

enum scsi_verdict scsi_task_start(struct scsi_task *task)
{
    struct command *command = command_of(task);
    command->itl = nexus_find_itl(task->nexus, task->lun);
    task->lu = command->itl ? command->itl->lu : NULL;
    task_set_enter(command);
    if (!command->itl)
        return start_without_lu(command);
    gate_find_opcode(command);
    if (!gate_admit(command))
        return ended(command);
    if (command->opcode->data_out) {
        uint64_t wanted = 0;
        if (!command->opcode->data_out(command, &wanted))
            return ended(command);
        task->data_out_wanted_bytes = (uint32_t)wanted;
        if (wanted > 0) {
            command->state = COMMAND_GATHERING;
            return SCSI_WANTS_DATA;
        }
    }
    if (command->opcode->prepare && !command->opcode->prepare(command))
        return ended(command);
    return task_set_dispatch(command);
}

/* What to do with less data than the CDB asks for. READ and kin work on the whole blocks that came
 * and report a residual (RFC 7143 §11.4.5.1); half a block, or half a parameter list, is an error.
 */
static bool accept_data_out(struct command *command)
{
    struct scsi_task *task = &command->task;
    if (task->data_out_bytes >= task->data_out_wanted_bytes)
        return true;
    uint32_t block_bytes = lu_block_bytes(command->itl->lu);
    if (!(command->opcode->flags & OPCODE_RANGE)) {
        command_parameter_length_error(command);
    } else if (!(command->opcode->flags & OPCODE_PLAIN) || task->data_out_bytes % block_bytes) {
        command_check(command, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_INFORMATION_UNIT);
    } else {
        command->blocks = task->data_out_bytes / block_bytes;
        return true;
    }
    return false;
}

enum scsi_verdict scsi_task_execute(struct scsi_task *task)
{
    struct command *command = command_of(task);
    /* Data took its time to come: a reservation or a smaller disk may have come before it. */
    if (!gate_readmit(command) || !accept_data_out(command))
        return ended(command);
    if (command->opcode->prepare && !command->opcode->prepare(command))
        return ended(command);
    return task_set_dispatch(command);
}

void scsi_task_finish(struct scsi_task *task)
{
    struct command *command = command_of(task);
    struct scsi_nexus *nexus = task->nexus;
    struct scsi_target *target = nexus->target;
    struct scsi_lu *lu = task->lu;
    bool aborted = task->aborted;
    if (command->started)
        task_set_leave(command);
    buffer_done(&command->response);
    if (target->spare_count < SCSI_SPARE_COMMANDS) {
        command->lu_next = target->spare;
        target->spare = command;
        target->spare_count++;
    } else {
        free(command);
    }
    if (lu) {
        if (aborted) {
            management_check(lu);
            preempt_check(lu);
        }
        if (lu->waiting)
            task_set_advance(lu);
    }
    nexus_task_returned(nexus);
}

/* ── data-in from the device ─────────────────────────────────────────────────────────────────── */

ssize_t scsi_task_read_cached(struct scsi_task *task, void *buffer, uint64_t offset, size_t length)
{
    return block_read_cached(task->lu->device, buffer, task->device_offset_bytes + offset, length);
}

bool scsi_task_is_resident(struct scsi_task *task, uint64_t offset, uint64_t length)
{
    return block_residency(task->lu->device, task->device_offset_bytes + offset, length) ==
           BLOCK_RESIDENT;
}

static void fetch_done(struct block_request *request)
{
    struct command *command = request->context;
    struct scsi_task *task = &command->task;
    command->fetching = false;
    task->fetch_result = 0;
    if (command->scratch && request->result == 0)
        memcpy(command->fetch_to, (uint8_t *)command->scratch + command->fetch_skip,
               command->fetch_bytes);
    give_scratch(command);
    if (request->result < 0 && !task->aborted) {
        uint64_t data_in_bytes = task->data_in_bytes; /* some of it may be under way already */
        command_set_error(command, request->result, BLOCK_READ,
                          request->error_offset_bytes / lu_block_bytes(task->lu));
        task->data_source = SCSI_DATA_DEVICE;
        task->data_in_bytes = data_in_bytes;
    }
    if (request->result < 0)
        task->fetch_result = -EIO;
    task->callbacks->fetched(task);
}

static void no_scratch(struct block_request *request)
{
    request->result = -ENOMEM;
    fetch_done(request);
}

/* Half a block, for an initiator that takes less than it asks for: by way of scratch memory. */
static void fetch_parts(struct command *command, void *buffer, uint64_t skip, size_t length)
{
    struct block_request *request = &command->request;
    command->fetch_to = buffer;
    command->fetch_skip = (size_t)skip;
    command->fetch_bytes = length;
    request->buffer = NULL;
    if (request->length_bytes <= POOL_BUFFER_LIMIT)
        request->buffer = pool_take(command->itl->lu->environment->pool, request->length_bytes);
    command->scratch = request->buffer;
    command->scratch_bytes = request->length_bytes;
    if (!request->buffer) { /* the answer comes later all the same */
        request->operation = BLOCK_PREFETCH;
        request->done = no_scratch;
    }
}

void scsi_task_fetch(struct scsi_task *task, void *buffer, uint64_t offset, size_t length)
{
    struct command *command = command_of(task);
    uint64_t block_bytes = lu_block_bytes(task->lu);
    uint64_t from = task->device_offset_bytes + offset;
    uint64_t start = round_down(from, block_bytes), end = round_up(from + length, block_bytes);
    command->fetching = true;
    command->request = (struct block_request){
        .operation = BLOCK_READ,
        .offset_bytes = start,
        .length_bytes = end - start,
        .buffer = buffer,
        .done = fetch_done,
        .context = command,
        .error_offset_bytes = from,
    };
    if (end - start != length)
        fetch_parts(command, buffer, from - start, length);
    block_submit(task->lu->device, &command->request);
}
