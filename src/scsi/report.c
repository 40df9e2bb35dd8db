/* report.c - REPORT LUNS, and what REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS
 * print from the opcode table. SPC-4 §6.33, §6.35, §6.36. */
#include "internal.h"

/* ── REPORT LUNS ─────────────────────────────────────────────────────────────────────────────── */

enum select_report { SELECT_NORMAL = 0x00, SELECT_WELL_KNOWN = 0x01, SELECT_ALL = 0x02 };

static void clear_luns_changed(struct scsi_nexus *nexus)
{
    for (unsigned lun = 0; lun < SCSI_LUN_LIMIT; lun++) {
        if (nexus->itls[lun])
            nexus->itls[lun]->unit_attentions &= ~(1u << ATTENTION_REPORTED_LUNS_CHANGED);
    }
}

enum scsi_verdict report_luns_execute(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    struct scsi_nexus *nexus = command->task.nexus;
    struct buffer *to = command_response(command);
    if (cdb[2] > SELECT_ALL)
        return command_invalid_cdb(command, 2, 7);
    buffer_put_zeros(to, 8);
    for (unsigned lun = 0; cdb[2] != SELECT_WELL_KNOWN && lun < SCSI_LUN_LIMIT; lun++) {
        if (!nexus->itls[lun])
            continue;
        buffer_put_be16(to, (uint16_t)lun); /* peripheral device addressing, SAM-5 §4.7.7.2 */
        buffer_put_zeros(to, 6);
    }
    if (!to->failed)
        store_be32(to->data, (uint32_t)(to->length - 8));
    clear_luns_changed(nexus);
    return command_respond(command, load_be32(cdb + 6));
}

/* ── REPORT SUPPORTED OPERATION CODES ────────────────────────────────────────────────────────── */

#define CDB_RCTD      0x80
#define SERVACTV      0x01
#define CTDP          0x02
#define CTDP_ONE      0x80
#define TIMEOUT_BYTES 12

enum support { NOT_SUPPORTED = 1, SUPPORTED = 3 };

static void put_timeouts(struct buffer *to, const struct scsi_opcode *opcode)
{
    buffer_put_be16(to, TIMEOUT_BYTES - 2);
    buffer_put_be16(to, 0);
    buffer_put_be32(to, 0); /* NOMINAL COMMAND PROCESSING TIMEOUT: not indicated */
    buffer_put_be32(to, opcode->timeout_seconds);
}

static void put_descriptor(struct buffer *to, const struct scsi_opcode *opcode, bool timeouts)
{
    bool has_action = opcode->flags & OPCODE_SERVICE_ACTION;
    buffer_put_u8(to, opcode->usage[0]);
    buffer_put_u8(to, 0);
    buffer_put_be16(to, has_action ? opcode->usage[1] & 0x1f : 0);
    buffer_put_u8(to, 0);
    buffer_put_u8(to, (uint8_t)((has_action ? SERVACTV : 0) | (timeouts ? CTDP : 0)));
    buffer_put_be16(to, opcode->cdb_bytes);
    if (timeouts)
        put_timeouts(to, opcode);
}

static void put_all(struct buffer *to, const struct scsi_lu *lu, bool timeouts)
{
    buffer_put_be32(to, 0);
    for (unsigned code = 0; code < 256; code++) {
        const struct scsi_opcode *row = &scsi_opcodes[code];
        const struct scsi_opcode *first = row->service_actions ? row->service_actions : row;
        unsigned count = row->service_actions ? row->service_action_count : 1;
        for (unsigned i = 0; row->name && i < count; i++) {
            if (scsi_opcode_available(&first[i], lu))
                put_descriptor(to, &first[i], timeouts);
        }
    }
    if (!to->failed)
        store_be32(to->data, (uint32_t)(to->length - 4));
}

static void put_one(struct buffer *to, const struct scsi_opcode *opcode, bool timeouts)
{
    bool described = opcode && timeouts;
    buffer_put_u8(to, 0);
    buffer_put_u8(to, (uint8_t)((described ? CTDP_ONE : 0) | (opcode ? SUPPORTED : NOT_SUPPORTED)));
    buffer_put_be16(to, opcode ? opcode->cdb_bytes : 0);
    if (opcode)
        buffer_append(to, opcode->usage, opcode->cdb_bytes);
    if (described)
        put_timeouts(to, opcode);
}

enum reporting_options { REPORT_ALL, REPORT_OPCODE, REPORT_SERVICE_ACTION, REPORT_EITHER };

enum scsi_verdict report_opcodes_execute(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    const struct scsi_lu *lu = command->itl->lu;
    struct buffer *to = command_response(command);
    unsigned options = cdb[2] & 0x07;
    bool timeouts = cdb[2] & CDB_RCTD;
    bool has_actions = scsi_opcodes[cdb[3]].service_actions != NULL;
    bool known = scsi_opcodes[cdb[3]].name != NULL;
    const struct scsi_opcode *opcode = scsi_opcode_find(cdb[3], load_be16(cdb + 4));
    if (opcode && !scsi_opcode_available(opcode, lu))
        opcode = NULL;
    if (options > REPORT_EITHER || (options == REPORT_OPCODE && has_actions) ||
        (options == REPORT_SERVICE_ACTION && known && !has_actions))
        return command_invalid_cdb(command, 2, 2);
    if (options == REPORT_EITHER && !has_actions && load_be16(cdb + 4) != 0)
        opcode = NULL; /* SPC-4 table 239: 011b with an action the opcode cannot have */
    if (options == REPORT_ALL)
        put_all(to, lu, timeouts);
    else
        put_one(to, opcode, timeouts);
    return command_respond(command, load_be32(cdb + 6));
}

/* ── REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS ──────────────────────────────────────────────── */

#define CDB_REPD 0x80

enum scsi_verdict report_management_execute(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    bool extended = cdb[2] & CDB_REPD;
    struct buffer *to = command_response(command);
    /* ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, QUERY TASK, TARGET RESET */
    buffer_put_u8(to, 0x80 | 0x40 | 0x10 | 0x08 | 0x04 | 0x02);
    /* QUERY ASYNCHRONOUS EVENT, QUERY TASK SET, I_T NEXUS RESET */
    buffer_put_u8(to, 0x04 | 0x02 | 0x01);
    buffer_put_u8(to, 0);
    buffer_put_u8(to, extended ? 12 : 0);
    if (extended)
        buffer_put_zeros(to, 12); /* time-outs: not indicated */
    return command_respond(command, load_be32(cdb + 6));
}
