/*
 * data_in.c - answering a command: Data-In and SCSI Response, RFC 7143 §11.4 and §11.7. Copy,
 * device range or engine is decided only when the answer is pulled.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#include "connection.h"

static enum emit_verdict emit_command(struct iscsi_connection *connection,
                                      struct iscsi_answer *answer, struct iscsi_output *output);

void command_answer(struct iscsi_command *command)
{
    struct scsi_task *task = command->task;
    if (!command->sent_bytes && command->read && task->status == SCSI_STATUS_GOOD)
        command->data_in_bytes =
            (uint32_t)min_of(task->data_in_bytes, (uint64_t)command->expected_bytes);
    if (task->status != SCSI_STATUS_GOOD)
        command->data_in_bytes = command->sent_bytes; /* an error ends the data */
    command->state = COMMAND_ANSWERING;
    command->answer.emit = emit_command;
    command->answer.drop = NULL; /* the nexus's end takes care of it */
    connection_queue(command->connection, &command->answer);
}

/* ── residuals, RFC 7143 §11.4.5.1 ───────────────────────────────────────────────────────────── */

struct residual {
    uint8_t flags;
    uint32_t count;
};

static struct residual command_residual(const struct iscsi_command *command)
{
    const struct scsi_task *task = command->task;
    uint64_t moved;
    if (command->write) /* what the CDB asks for counts, also where the command failed */
        moved = task->data_out_wanted_bytes;
    else
        moved = task->status == SCSI_STATUS_GOOD ? task->data_in_bytes : command->sent_bytes;
    uint64_t expected = command->read || command->write ? command->expected_bytes : 0;
    if (moved < expected)
        return (struct residual){DATA_IN_UNDERFLOW, (uint32_t)(expected - moved)};
    if (moved > expected)
        return (struct residual){DATA_IN_OVERFLOW,
                                 (uint32_t)min_of(moved - expected, (uint64_t)UINT32_MAX)};
    return (struct residual){0, 0};
}

/* ── counting ────────────────────────────────────────────────────────────────────────────────── */

static void note_answer(struct iscsi_command *command)
{
    struct iscsi_session *session = command->connection->session;
    bool is_first = !session->reads && !session->writes;
    session_note_latency(session, command->connection->now_us - command->received_us);
    if (command->task->status != SCSI_STATUS_GOOD)
        session->errors++;
    if (command->task->data_source == SCSI_DATA_DEVICE) {
        session->reads++;
        session->read_bytes += command->sent_bytes;
    } else if (command->received_bytes) {
        session->writes++;
        session->written_bytes += command->received_bytes;
    }
    if (is_first && (session->reads || session->writes))
        connection_event(command->connection, ISCSI_EVENT_FIRST_COMMAND, "");
}

/* ── SCSI Response ───────────────────────────────────────────────────────────────────────────── */

static enum emit_verdict emit_scsi_response(struct iscsi_connection *connection,
                                            struct iscsi_command *command,
                                            struct iscsi_output *output)
{
    struct scsi_task *task = command->task;
    uint32_t data_bytes = task->sense_bytes ? 2 + task->sense_bytes : 0;
    uint8_t *bhs = output_reserve_pdu(connection, output, data_bytes);
    if (!bhs)
        return EMIT_FULL;
    struct residual residual = command_residual(command);
    command_settle(command);
    memset(bhs, 0, BHS_BYTES);
    bhs[0] = OP_SCSI_RESPONSE;
    bhs[1] = (uint8_t)(BHS_FINAL | residual.flags);
    bhs[3] = task->status;
    store_be24(bhs + BHS_DATA_LENGTH, data_bytes);
    store_be32(bhs + BHS_ITT, command->itt);
    response_stamp(connection, bhs, true);
    store_be32(bhs + 36, command->read ? command->data_in_sn : command->r2t_sn); /* ExpDataSN */
    store_be32(bhs + 44, residual.count);
    if (data_bytes) {
        uint8_t *data = bhs + BHS_BYTES + (connection->header_digest ? DIGEST_BYTES : 0);
        store_be16(data, (uint16_t)task->sense_bytes);
        memcpy(data + 2, task->sense, task->sense_bytes);
    }
    output_commit_pdu(connection, output, bhs, data_bytes);
    return EMIT_DONE;
}

/* ── fetching through the engine ─────────────────────────────────────────────────────────────── */

/* A buffer of the credit for the next stretch. */
bool command_take_fetch_buffer(struct iscsi_command *command)
{
    size_t length = min_of(command->data_in_bytes - command->sent_bytes, FETCH_BYTES);
    struct fetch_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return false;
    buffer->data = credit_take(command->connection, length);
    if (!buffer->data) {
        free(buffer);
        return false;
    }
    buffer->bytes = length;
    buffer->references = 1;
    command->fetched = buffer;
    command->fetched_from = command->sent_bytes;
    command->fetched_end = command->sent_bytes + (uint32_t)length;
    return true;
}

void fetch_buffer_unref(struct iscsi_connection *connection, struct fetch_buffer *buffer)
{
    if (!buffer || --buffer->references)
        return;
    credit_give(connection, buffer->data, buffer->bytes);
    free(buffer);
}

void command_start_fetch(struct iscsi_command *command)
{
    command->state = COMMAND_FETCHING;
    scsi_task_fetch(command->task, command->fetched->data, command->fetched_from,
                    command->fetched->bytes);
}

/* The answer turned out to be cold: the engine reads its next stretch, and it queues again then. */
static void command_fetch(struct iscsi_command *command)
{
    struct iscsi_connection *connection = command->connection;
    connection_unqueue(connection, &command->answer);
    if (!connection->waiting && command_take_fetch_buffer(command))
        command_start_fetch(command);
    else
        command_wait_for_credit(command);
}

void command_fetched(struct scsi_task *task)
{
    struct iscsi_command *command = task->transport;
    struct iscsi_connection *connection = command->connection;
    connection_wake(connection);
    command->waits_since_us = node_now_us(connection->node);
    if (task->fetch_result < 0 || task->aborted)
        fetch_buffer_unref(connection, take_pointer(command->fetched));
    if (task->aborted && !command->answer_abort)
        command_finish(command);
    else
        command_answer(command);
}

/* ── Data-In ─────────────────────────────────────────────────────────────────────────────────── */

/* How much the next PDU carries. */
static uint32_t next_chunk(const struct iscsi_command *command)
{
    const struct iscsi_parameters *parameters = &command->connection->session->login.parameters;
    uint32_t chunk = command->data_in_bytes - command->sent_bytes;
    chunk = min_of(chunk, parameters->max_send_bytes);
    chunk = min_of(chunk, parameters->max_burst_bytes - command->burst_bytes);
    if (command->fetched)
        chunk = min_of(chunk, command->fetched_end - command->sent_bytes);
    return chunk;
}

/* GOOD rides on the last Data-In, but for residuals: iPXE takes S for complete success. isboot up
 * to 0.2.14 forgets a command at its first F, so that it gets no more than one, and S with it. */
static bool carries_status(const struct iscsi_command *command, uint32_t chunk,
                           const struct residual *residual)
{
    return command->sent_bytes + chunk == command->data_in_bytes &&
           command->task->status == SCSI_STATUS_GOOD &&
           (!residual->flags || command->connection->session->ends_at_final);
}

static void build_data_in(struct iscsi_command *command, uint8_t *bhs, uint32_t chunk)
{
    const struct iscsi_session *session = command->connection->session;
    const struct residual residual = command_residual(command);
    bool status = carries_status(command, chunk, &residual);
    bool last = command->sent_bytes + chunk == command->data_in_bytes;
    command->burst_bytes += chunk;
    bool burst_ends = command->burst_bytes == session->login.parameters.max_burst_bytes;
    if (burst_ends)
        command->burst_bytes = 0;
    bool final = last || (burst_ends && !session->ends_at_final);
    memset(bhs, 0, BHS_BYTES);
    bhs[0] = OP_DATA_IN;
    bhs[1] = (uint8_t)((final ? BHS_FINAL : 0) | (status ? DATA_IN_STATUS | residual.flags : 0));
    store_be24(bhs + BHS_DATA_LENGTH, chunk);
    store_be32(bhs + BHS_ITT, command->itt);
    store_be32(bhs + BHS_TTT, RESERVED_TAG);
    if (status)
        command_settle(command);
    response_stamp(command->connection, bhs, status);
    store_be32(bhs + 36, command->data_in_sn++);
    store_be32(bhs + 40, command->sent_bytes);
    store_be32(bhs + 44, status ? residual.count : 0);
    command->sent_bytes += chunk;
    command->status_sent = status;
}

static uint8_t *data_place(const struct iscsi_connection *connection, uint8_t *bhs)
{
    return bhs + BHS_BYTES + (connection->header_digest ? DIGEST_BYTES : 0);
}

static enum emit_verdict emit_copied(struct iscsi_command *command, const uint8_t *from,
                                     uint32_t chunk, struct iscsi_output *output)
{
    struct iscsi_connection *connection = command->connection;
    uint8_t *bhs = output_reserve_pdu(connection, output, chunk);
    if (!bhs)
        return EMIT_FULL;
    memcpy(data_place(connection, bhs), from, chunk);
    build_data_in(command, bhs, chunk);
    output_commit_pdu(connection, output, bhs, chunk);
    return EMIT_DONE;
}

/* From a buffer that the engine filled. */
static enum emit_verdict emit_fetched(struct iscsi_command *command, uint32_t chunk,
                                      struct iscsi_output *output)
{
    struct iscsi_connection *connection = command->connection;
    struct fetch_buffer *buffer = command->fetched;
    const uint8_t *from = buffer->data + (command->sent_bytes - command->fetched_from);
    bool last = command->sent_bytes + chunk == command->fetched_end;
    if (chunk <= COPY_FETCHED_BYTES) {
        if (emit_copied(command, from, chunk, output) == EMIT_FULL)
            return EMIT_FULL;
        if (last)
            fetch_buffer_unref(connection, take_pointer(command->fetched));
        return EMIT_DONE;
    }
    if (!output_has_room(output, chunk))
        return EMIT_FULL;
    struct iscsi_segment payload = {
        .kind = ISCSI_SEGMENT_BUFFER,
        .base = from,
        .length = chunk,
        .release = buffer,
    };
    buffer->references++;
    uint8_t *bhs = output->slab + output->slab_used;
    build_data_in(command, bhs, chunk);
    output_commit_header(connection, output, bhs, &payload);
    if (last)
        fetch_buffer_unref(connection, take_pointer(command->fetched));
    return EMIT_DONE;
}

/* No CPU copy: the pages go from the cache to the socket. */
static enum emit_verdict emit_from_device(struct iscsi_command *command, uint32_t chunk,
                                          struct iscsi_output *output)
{
    struct iscsi_connection *connection = command->connection;
    struct scsi_task *task = command->task;
    if (!output_has_room(output, chunk))
        return EMIT_FULL;
    struct iscsi_segment payload = {
        .kind = ISCSI_SEGMENT_DEVICE,
        .lu = task->lu,
        .offset_bytes = task->device_offset_bytes + command->sent_bytes,
        .length = chunk,
    };
    uint8_t *bhs = output->slab + output->slab_used;
    build_data_in(command, bhs, chunk);
    output_commit_header(connection, output, bhs, &payload);
    connection->session->zero_copy_bytes += chunk;
    return EMIT_DONE;
}

/* Copies what is in the page cache straight behind the header. */
static enum emit_verdict emit_from_cache(struct iscsi_command *command, uint32_t chunk,
                                         struct iscsi_output *output)
{
    struct iscsi_connection *connection = command->connection;
    uint8_t *bhs = output_reserve_pdu(connection, output, chunk);
    if (!bhs)
        return EMIT_FULL;
    uint8_t *data = data_place(connection, bhs);
    uint32_t have = 0;
    while (have < chunk) {
        ssize_t got = scsi_task_read_cached(command->task, data + have, command->sent_bytes + have,
                                            chunk - have);
        if (got <= 0)
            break;
        have += (uint32_t)got;
    }
    if (have < chunk) {
        command_fetch(command);
        return EMIT_WAIT;
    }
    build_data_in(command, bhs, chunk);
    output_commit_pdu(connection, output, bhs, chunk);
    return EMIT_DONE;
}

static enum emit_verdict emit_data_in(struct iscsi_command *command, struct iscsi_output *output)
{
    struct iscsi_connection *connection = command->connection;
    struct scsi_task *task = command->task;
    uint32_t chunk = next_chunk(command);
    if (command->fetched)
        return emit_fetched(command, chunk, output);
    if (task->data_source == SCSI_DATA_MEMORY)
        return emit_copied(command, task->parameter_data + command->sent_bytes, chunk, output);
    if (chunk < connection->node->zero_copy_min_bytes || connection->data_digest)
        return emit_from_cache(command, chunk, output);
    if (!output_has_room(output, chunk))
        return EMIT_FULL;
    if (scsi_task_is_resident(task, command->sent_bytes, chunk))
        return emit_from_device(command, chunk, output);
    command_fetch(command);
    return EMIT_WAIT;
}

static enum emit_verdict emit_command(struct iscsi_connection *connection,
                                      struct iscsi_answer *answer, struct iscsi_output *output)
{
    struct iscsi_command *command = container_of(answer, struct iscsi_command, answer);
    while (command->sent_bytes < command->data_in_bytes) {
        enum emit_verdict verdict = emit_data_in(command, output);
        if (verdict != EMIT_DONE)
            return verdict;
    }
    if (!command->status_sent && emit_scsi_response(connection, command, output) == EMIT_FULL)
        return EMIT_FULL;
    note_answer(command);
    connection_unqueue(connection, answer);
    command_finish(command);
    return EMIT_DONE;
}
