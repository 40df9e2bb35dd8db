/*
 * command.c - a SCSI command from its PDU to its task: credit, immediate data, R2T, Data-Out.
 *
 * Credit comes before buffers: a connection holds at most `credit_bytes` of data buffers, and a
 * command that finds none waits in line. Its immediate data is already on the way, so that goes
 * into a reserve outside the credit; an R2T goes out only when its burst has a buffer. A PDU that
 * waits for memory therefore never blocks the Data-Out behind it on the same socket.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#include "connection.h"

static void command_give_buffer(struct iscsi_command *command)
{
    if (!command->buffer)
        return;
    if (command->buffer_from_reserve)
        reserve_give(command->connection, command->buffer, command->buffer_bytes);
    else
        credit_give(command->connection, command->buffer, command->buffer_bytes);
    command->buffer = NULL;
    command->buffer_bytes = 0;
}

void command_wait_for_credit(struct iscsi_command *command)
{
    command->state = COMMAND_WAITING_CREDIT;
    DL_APPEND2(command->connection->waiting, command, wait_prev, wait_next);
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

static void command_done(struct scsi_task *task);
static void command_abort(struct scsi_task *task, bool answer);

static const struct scsi_task_callbacks task_callbacks = {
    .done = command_done,
    .fetched = command_fetched,
    .abort = command_abort,
};

static struct iscsi_command *command_new(struct iscsi_connection *connection)
{
    struct iscsi_session *session = connection->session;
    struct iscsi_command *command = calloc(1, sizeof *command);
    if (!command)
        return NULL;
    command->task = scsi_task_new(session->nexus);
    if (!command->task) {
        free(command);
        return NULL;
    }
    command->connection = connection;
    command->received_us = connection->now_us;
    command->ttt = RESERVED_TAG;
    DL_APPEND(session->commands, command);
    session->outstanding++;
    return command;
}

/* The rest of a payload that is arriving for it is swallowed. */
static void stop_arriving(struct iscsi_command *command)
{
    struct framing *in = &command->connection->in;
    if (in->command != command)
        return;
    in->command = NULL;
    in->handler = NULL;
    in->destination = NULL;
}

/* Unlinks it from wherever it waits; its memory may be on the wire no more. */
static void command_unlink(struct iscsi_command *command)
{
    struct iscsi_connection *connection = command->connection;
    if (command->state == COMMAND_WAITING_CREDIT)
        DL_DELETE2(connection->waiting, command, wait_prev, wait_next);
    if (command->state == COMMAND_ANSWERING)
        connection_unqueue(connection, &command->answer);
    if (command->r2t_queued)
        connection_unqueue(connection, &command->r2t);
    command->r2t_queued = false;
    stop_arriving(command);
}

void command_settle(struct iscsi_command *command)
{
    if (!command->settled)
        command->connection->session->outstanding--;
    command->settled = true;
}

/* Last step: the task leaves the task set. With it may go the nexus, session and connection. */
void command_finish(struct iscsi_command *command)
{
    struct iscsi_session *session = command->connection->session;
    struct scsi_task *task = command->task;
    stop_arriving(command);
    command_give_buffer(command);
    fetch_buffer_unref(command->connection, command->fetched);
    command_settle(command);
    DL_DELETE(session->commands, command);
    free(command);
    scsi_task_finish(task);
}

static struct iscsi_command *find_aborted(struct iscsi_session *session)
{
    struct iscsi_command *command;
    DL_FOREACH (session->commands, command)
        if (command->task->aborted && command->answer_abort)
            return command;
    return NULL;
}

void command_drop_aborted(struct iscsi_session *session)
{
    struct iscsi_command *command;
    while ((command = find_aborted(session))) {
        command->answer_abort = false; /* if the disk is at it, it finishes when that has ended */
        if (command->state != COMMAND_ANSWERING)
            continue;
        command_unlink(command);
        command_finish(command);
    }
}

static void command_abort(struct scsi_task *task, bool answer)
{
    struct iscsi_command *command = task->transport;
    command->answer_abort = answer && command->connection->phase != PHASE_CLOSED;
    if (command->state == COMMAND_EXECUTING || command->state == COMMAND_FETCHING)
        return;                           /* done or fetched comes */
    connection_wake(command->connection); /* others may have waited for its credit */
    command_unlink(command);
    if (command->answer_abort)
        command_answer(command);
    else
        command_finish(command);
}

static void command_done(struct scsi_task *task)
{
    struct iscsi_command *command = task->transport;
    connection_wake(command->connection);
    command_give_buffer(command);
    if (task->aborted && !command->answer_abort)
        command_finish(command);
    else
        command_answer(command);
}

static void command_run(struct iscsi_command *command)
{
    struct scsi_task *task = command->task;
    task->data_out = command->buffer;
    task->data_out_bytes = command->received_bytes;
    command->state = COMMAND_EXECUTING;
    if (scsi_task_execute(task) != SCSI_DONE)
        return;
    command_give_buffer(command);
    command_answer(command);
}

/* RFC 7143 §11.4.7.2 and SPC-4 */
#define SENSE_ILLEGAL_REQUEST                 0x05
#define SENSE_ABORTED_COMMAND                 0x0b
#define ASC_DATA_PHASE_ERROR                  0x4b00
#define ASC_INVALID_FIELD_IN_INFORMATION_UNIT 0x0e03

/* ── gathering data-out ──────────────────────────────────────────────────────────────────────── */

/* The deadline for it begins, if none runs yet; it begins anew with each sequence that is complete,
 * and ends with the last one. */
static void data_is_owed(struct iscsi_connection *connection)
{
    if (!connection->data_out_us)
        connection->data_out_us = connection->now_us;
}

static enum emit_verdict emit_r2t(struct iscsi_connection *connection, struct iscsi_answer *answer,
                                  struct iscsi_output *output)
{
    struct iscsi_command *command = container_of(answer, struct iscsi_command, r2t);
    uint8_t *bhs = output_reserve_pdu(connection, output, 0);
    if (!bhs)
        return EMIT_FULL;
    memset(bhs, 0, BHS_BYTES);
    bhs[0] = OP_R2T;
    bhs[1] = BHS_FINAL;
    memcpy(bhs + BHS_LUN, command->task->lun, sizeof command->task->lun);
    store_be32(bhs + BHS_ITT, command->itt);
    store_be32(bhs + BHS_TTT, command->ttt);
    response_stamp(connection, bhs, false);
    store_be32(bhs + 36, command->r2t_sn++);
    store_be32(bhs + 40, command->received_bytes);
    store_be32(bhs + 44, command->r2t_end_bytes - command->received_bytes);
    output_commit_pdu(connection, output, bhs, 0);
    command->r2t_queued = false;
    connection_unqueue(connection, answer);
    data_is_owed(connection);
    return EMIT_DONE;
}

static void command_ask_for_data(struct iscsi_command *command)
{
    struct iscsi_session *session = command->connection->session;
    uint32_t left = command->gather_bytes - command->received_bytes;
    uint32_t burst = min_of(left, session->login.parameters.max_burst_bytes);
    command->state = COMMAND_GATHERING;
    command->r2t_active = true;
    command->r2t_end_bytes = command->received_bytes + burst;
    command->next_data_sn = 0;
    command->ttt = session_take_ttt(session);
    command->waits_since_us = command->connection->now_us;
    command->r2t.emit = emit_r2t;
    command->r2t_queued = true;
    connection_queue(command->connection, &command->r2t);
}

/* What has arrived so far is complete; what next? */
static void command_go_on(struct iscsi_command *command)
{
    if (command->received_bytes == command->gather_bytes)
        command_run(command);
    else if (command->buffer && !command->buffer_from_reserve)
        command_ask_for_data(command);
    else
        command_wait_for_credit(command);
}

static void command_fail(struct iscsi_command *command, enum scsi_status status)
{
    command->task->status = (uint8_t)status;
    command->task->data_out_wanted_bytes = 0;
    command_answer(command);
}

/* The whole buffer out of the credit; what stands in the reserve moves over. */
static bool command_take_whole_buffer(struct iscsi_command *command)
{
    uint32_t bytes = max_of(command->gather_bytes, command->immediate_bytes);
    uint8_t *buffer = credit_take(command->connection, bytes);
    if (!buffer)
        return false;
    if (command->received_bytes)
        memcpy(buffer, command->buffer, command->received_bytes);
    command_give_buffer(command);
    command->buffer = buffer;
    command->buffer_bytes = bytes;
    command->buffer_from_reserve = false;
    return true;
}

/* Its buffer goes to somebody who has none. */
void command_make_way(struct iscsi_command *command)
{
    if (command->state == COMMAND_ANSWERING) { /* what was read is read again when its turn comes */
        fetch_buffer_unref(command->connection, take_pointer(command->fetched));
        return;
    }
    command_unlink(command);
    command_give_buffer(command);
    command_fail(command, SCSI_STATUS_BUSY); /* and what comes of its data is swallowed */
}

/* Nobody would wake a command that waits while its connection holds nothing: the memory of the
 * whole node is gone, and the initiator is asked to come again. */
static void command_refuse_waiting(struct iscsi_command *command)
{
    DL_DELETE2(command->connection->waiting, command, wait_prev, wait_next);
    command_fail(command, SCSI_STATUS_BUSY);
}

void command_serve_waiting(struct iscsi_connection *connection)
{
    while (connection->waiting) {
        struct iscsi_command *command = connection->waiting;
        bool reads = command->task->data_source == SCSI_DATA_DEVICE;
        if (reads ? command_take_fetch_buffer(command) : command_take_whole_buffer(command)) {
            DL_DELETE2(connection->waiting, command, wait_prev, wait_next);
            if (reads)
                command_start_fetch(command);
            else
                command_go_on(command);
        } else if (connection->credit_used) {
            return;
        } else {
            command_refuse_waiting(command);
        }
    }
}

/* Finds room for what arrives with and right behind the command PDU. */
static bool command_place_unsolicited(struct iscsi_command *command, uint32_t unsolicited_bytes)
{
    struct iscsi_connection *connection = command->connection;
    if (!connection->waiting && command_take_whole_buffer(command))
        return true;
    if (!unsolicited_bytes)
        return true; /* an R2T waits for its turn */
    command->buffer = reserve_take(connection, unsolicited_bytes);
    command->buffer_bytes = unsolicited_bytes;
    command->buffer_from_reserve = true;
    return command->buffer != NULL;
}

static int command_gather(struct iscsi_command *command)
{
    struct iscsi_connection *connection = command->connection;
    const struct iscsi_parameters *parameters = &connection->session->login.parameters;
    const uint8_t *bhs = connection->in.header;
    uint32_t immediate = bhs_data_length(bhs);
    bool final = bhs[1] & BHS_FINAL;
    if (!final && parameters->initial_r2t)
        return connection_fail(connection,
                               "unsolicited Data-Out announced in spite of InitialR2T=Yes");

    command->gather_bytes =
        min_of(command->task->data_out_wanted_bytes, command->task->data_out_expected_bytes);
    command->immediate_bytes = immediate;
    if (!command->gather_bytes)
        return 0; /* whatever arrives is swallowed */
    uint32_t unsolicited = immediate;
    if (!final) {
        unsolicited = min_of(parameters->first_burst_bytes, command->expected_bytes);
        if (unsolicited > command->gather_bytes) { /* more is coming than the command takes */
            scsi_task_check_condition(command->task, SENSE_ILLEGAL_REQUEST,
                                      ASC_INVALID_FIELD_IN_INFORMATION_UNIT);
            command_answer(command);
            return 0;
        }
        command->unsolicited_bytes = unsolicited;
    }
    if (!command_place_unsolicited(command, unsolicited)) {
        command_fail(command, SCSI_STATUS_TASK_SET_FULL);
        return 0;
    }
    command->waits_since_us = connection->now_us;
    data_is_owed(connection);
    if (immediate)
        connection->in.destination = command->buffer;
    return 0;
}

/* ── the SCSI Command PDU, RFC 7143 §11.3 ────────────────────────────────────────────────────── */

static int check_immediate_data(struct iscsi_connection *connection)
{
    const struct iscsi_parameters *parameters = &connection->session->login.parameters;
    const uint8_t *bhs = connection->in.header;
    uint32_t immediate = bhs_data_length(bhs);
    if (!immediate)
        return 0;
    if (!(bhs[1] & BHS_WRITE))
        return connection_fail(connection, "immediate data with a command that does not write");
    if (!parameters->immediate_data)
        return connection_fail(connection, "immediate data in spite of ImmediateData=No");
    if (immediate > parameters->first_burst_bytes)
        return connection_fail(connection, "immediate data of %u bytes, FirstBurstLength is %u",
                               immediate, parameters->first_burst_bytes);
    if (immediate > load_be32(bhs + 20))
        return connection_fail(connection,
                               "immediate data of %u bytes, the command expects to send %u",
                               immediate, load_be32(bhs + 20));
    return 0;
}

/* A status without a task: there is no room for one. */
static int refuse_command(struct iscsi_connection *connection, enum scsi_status status)
{
    const uint8_t *bhs = connection->in.header;
    connection->in.handler = NULL;
    struct iscsi_response *response =
        response_new(OP_SCSI_RESPONSE, load_be32(bhs + BHS_ITT), NULL, 0);
    if (!response)
        return connection_fail(connection, "out of memory");
    response->bhs[1] = BHS_FINAL | (load_be32(bhs + 20) ? DATA_IN_UNDERFLOW : 0);
    response->bhs[3] = (uint8_t)status;
    store_be32(response->bhs + 44, load_be32(bhs + 20));
    response_send(connection, response);
    return 0;
}

static void fill_task(struct iscsi_command *command, const uint8_t *bhs)
{
    struct scsi_task *task = command->task;
    command->itt = load_be32(bhs + BHS_ITT);
    command->read = bhs[1] & BHS_READ;
    command->write = bhs[1] & BHS_WRITE;
    command->expected_bytes = load_be32(bhs + 20);
    task->callbacks = &task_callbacks;
    task->transport = command;
    memcpy(task->lun, bhs + BHS_LUN, sizeof task->lun);
    task->tag = command->itt;
    task->attribute = (enum scsi_attribute)min_of(bhs[1] & BHS_ATTRIBUTE, (int)SCSI_ACA);
    memcpy(task->cdb, bhs + 32, SCSI_CDB_BYTES);
    task->data_out_expected_bytes = command->write ? command->expected_bytes : 0;
    task->data_in_expected_bytes = command->read ? command->expected_bytes : 0;
}

static void note_command(struct iscsi_session *session)
{
    session->last_command_us = session->connection->now_us;
    session->command_count++;
}

int command_begin(struct iscsi_connection *connection)
{
    struct iscsi_session *session = connection->session;
    const uint8_t *bhs = connection->in.header;
    if (sequence_check(session, bhs) == SEQUENCE_IGNORE) {
        connection->in.handler = NULL;
        return 0;
    }
    int result = check_immediate_data(connection);
    if (result)
        return result;
    if ((bhs[1] & BHS_READ) && (bhs[1] & BHS_WRITE))
        return connection_fail(connection, "bidirectional command; none is supported");
    note_command(session);
    if (session->outstanding >= connection->node->limits.commands_per_session)
        return refuse_command(connection, SCSI_STATUS_TASK_SET_FULL);
    struct iscsi_command *command = command_new(connection);
    if (!command)
        return refuse_command(connection, SCSI_STATUS_BUSY);
    fill_task(command, bhs);
    connection->in.command = command;
    command->state = COMMAND_EXECUTING;
    switch (scsi_task_start(command->task)) {
    case SCSI_WANTS_DATA:
        command->state = COMMAND_GATHERING;
        return command_gather(command);
    case SCSI_DONE:
        connection->in.command = NULL;
        connection->in.handler = NULL;
        command_answer(command);
        return 0;
    case SCSI_PENDING:
        connection->in.command = NULL;
        connection->in.handler = NULL;
        return 0;
    }
    return 0;
}

int command_complete(struct iscsi_connection *connection)
{
    struct iscsi_command *command = connection->in.command;
    if (!command || command->state != COMMAND_GATHERING)
        return 0; /* aborted or refused while its data arrived */
    command->received_bytes = min_of(bhs_data_length(connection->in.header), command->gather_bytes);
    if (command->received_bytes)
        connection->data_out_us = connection->now_us;
    if (!command->unsolicited_bytes)
        command_go_on(command);
    /* else unsolicited Data-Out follows, until one has F */
    return 0;
}

/* ── Data-Out, RFC 7143 §11.7 ────────────────────────────────────────────────────────────────── */

static struct iscsi_command *find_gathering(struct iscsi_session *session, uint32_t itt)
{
    struct iscsi_command *command;
    DL_FOREACH (session->commands, command)
        if (command->itt == itt && command->state == COMMAND_GATHERING)
            return command;
    return NULL;
}

/* How far this sequence of Data-Out PDUs may go; 0: none is expected. */
static uint32_t sequence_end(const struct iscsi_command *command, uint32_t ttt)
{
    if (ttt == RESERVED_TAG)
        return command->unsolicited_bytes;
    if (command->r2t_active && !command->r2t_queued && ttt == command->ttt)
        return command->r2t_end_bytes;
    return 0;
}

static int check_data_out(struct iscsi_connection *connection, const struct iscsi_command *command)
{
    const uint8_t *bhs = connection->in.header;
    uint32_t ttt = load_be32(bhs + BHS_TTT);
    uint32_t offset = load_be32(bhs + 40);
    uint32_t length = bhs_data_length(bhs);
    uint32_t end = sequence_end(command, ttt);
    if (!end)
        return connection_fail(connection, "Data-Out with transfer tag 0x%08x, which is not open",
                               ttt);
    if (offset != command->received_bytes)
        return connection_fail(connection, "Data-Out at offset %u, %u is next", offset,
                               command->received_bytes);
    if (length > end - offset)
        return connection_fail(connection, "Data-Out of %u bytes where %u are left", length,
                               end - offset);
    return 0;
}

/* A PDU is missing or doubled. That costs the command, since whoever retries it sends it whole; the
 * rest of its Data-Out is swallowed. (libiscsi's suite holds a target to staying connected here.)
 */
static void fail_out_of_sequence(struct iscsi_command *command, uint32_t data_sn)
{
    char reason[96];
    snprintf(reason, sizeof reason, "Data-Out with DataSN %u where %u is next, the command fails",
             data_sn, command->next_data_sn);
    connection_event(command->connection, ISCSI_EVENT_PROTOCOL_ERROR, reason);
    scsi_task_check_condition(command->task, SENSE_ABORTED_COMMAND, ASC_DATA_PHASE_ERROR);
    command_answer(command);
}

int data_out_begin(struct iscsi_connection *connection)
{
    struct framing *in = &connection->in;
    struct iscsi_command *command =
        find_gathering(connection->session, load_be32(in->header + BHS_ITT));
    if (!command) {
        in->handler = NULL; /* of a task that was aborted or refused: swallowed */
        return 0;
    }
    int result = check_data_out(connection, command);
    if (result)
        return result;
    uint32_t data_sn = load_be32(in->header + 36);
    if (data_sn != command->next_data_sn) {
        fail_out_of_sequence(command, data_sn);
        in->handler = NULL;
        return 0;
    }
    in->command = command;
    in->destination = command->buffer + command->received_bytes;
    return 0;
}

int data_out_complete(struct iscsi_connection *connection)
{
    struct iscsi_command *command = connection->in.command;
    const uint8_t *bhs = connection->in.header;
    if (!command)
        return 0;
    command->received_bytes += bhs_data_length(bhs);
    command->next_data_sn++;
    uint32_t end = sequence_end(command, load_be32(bhs + BHS_TTT));
    if (!(bhs[1] & BHS_FINAL)) {
        if (command->received_bytes < end)
            return 0;
        return connection_fail(connection, "Data-Out sequence ends without F");
    }
    if (command->r2t_active && command->received_bytes != end)
        return connection_fail(connection, "Data-Out sequence ends at %u, %u were asked for",
                               command->received_bytes, end);
    command->r2t_active = false;
    command->unsolicited_bytes = 0;
    connection->data_out_us = connection->now_us;
    connection->in.command = NULL;
    command_go_on(command);
    return 0;
}
