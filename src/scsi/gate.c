/*
 * gate.c - everything that is checked before a command is carried out, in one place and in the
 * order in which the standards let conditions be reported (SAM-5 §5.3.3, SPC-4 §5.13):
 *   the logical unit and the opcode exist → reset unit attentions → RESERVATION CONFLICT → other
 *   unit attentions → bits of the CDB → medium → range → transfer length → write protection.
 */
#include <string.h>

#include "internal.h"

#define SERVICE_ACTION_BITS 0x1f

bool gate_find_opcode(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    const struct scsi_opcode *row = &scsi_opcodes[cdb[0]];
    if (row->service_actions)
        row = scsi_opcode_find(cdb[0], cdb[1] & SERVICE_ACTION_BITS);
    command->opcode = row && row->name ? row : NULL;
    if (command->itl && command->opcode && !scsi_opcode_available(row, command->itl->lu))
        command->opcode = NULL;
    return command->opcode != NULL;
}

static bool check_attention(struct command *command, uint32_t among)
{
    uint16_t asc_ascq;
    if (!unit_attention_take(command->itl, among, &asc_ascq))
        return true;
    command_check(command, SENSE_UNIT_ATTENTION, asc_ascq);
    return false;
}

/* An unknown service action of a known opcode is a field of the CDB (SPC-4 §4.3.4.2). */
static void refuse_opcode(struct command *command)
{
    const struct scsi_opcode *group = &scsi_opcodes[command->task.cdb[0]];
    if (!check_attention(command, UINT32_MAX))
        return;
    for (unsigned i = 0; i < group->service_action_count; i++) {
        if (scsi_opcode_available(&group->service_actions[i], command->itl->lu)) {
            command_invalid_cdb(command, 1, 4);
            return;
        }
    }
    command_check(command, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
}

static bool check_reservation(struct command *command)
{
    if (!command->itl->lu->reservations.active || !reservations_conflict(command))
        return true;
    command_status(command, SCSI_STATUS_RESERVATION_CONFLICT);
    return false;
}

/* The first bit that is set and not looked at; its place is the field pointer. */
static bool check_usage(struct command *command)
{
    const uint8_t *cdb = command->task.cdb, *usage = command->opcode->usage;
    uint64_t low, high, usage_low, usage_high;
    memcpy(&low, cdb, 8);
    memcpy(&high, cdb + 8, 8);
    memcpy(&usage_low, usage, 8);
    memcpy(&usage_high, usage + 8, 8);
    if (((low & ~usage_low) | (high & ~usage_high)) == 0)
        return true;
    unsigned byte = 1;
    while ((cdb[byte] & ~usage[byte] & 0xff) == 0)
        byte++;
    unsigned bad = cdb[byte] & ~usage[byte] & 0xffu;
    command_invalid_cdb(command, byte, 31u - (unsigned)__builtin_clz(bad));
    return false;
}

static bool check_medium(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    uint32_t flags = command->opcode->flags;
    if (lu->sanitize && !(flags & OPCODE_DESPITE_SANITIZE)) {
        struct sense sense = {.key = SENSE_NOT_READY, .asc_ascq = ASC_SANITIZE_IN_PROGRESS};
        if (sanitize_running(lu)) {
            sense_set_progress(&sense, sanitize_progress(lu));
            command_check_sense(command, &sense);
            return false;
        }
        if (!(flags & OPCODE_NEEDS_SANITIZE)) { /* SBC-3 §4.11.3: only another one helps */
            command_check(command, SENSE_MEDIUM_ERROR, ASC_SANITIZE_FAILED);
            return false;
        }
    }
    /* A disk that is gone answers as one without medium: path checkers read that as "not ready"
     * and turn to another path, where HARDWARE ERROR would fail the I/O on all of them. */
    if ((flags & OPCODE_MEDIUM) && lu->device->health == BLOCK_GONE) {
        command_check(command, SENSE_NOT_READY, ASC_MEDIUM_NOT_PRESENT);
        return false;
    }
    return true;
}

void gate_decode_range(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    switch (command->opcode->address) {
    case ADDRESS_6:
        command->first_block = load_be24(cdb + 1) & 0x1fffff;
        command->blocks = cdb[4] ? cdb[4] : 256; /* SBC-3 §5.8 */
        break;
    case ADDRESS_10:
        command->first_block = load_be32(cdb + 2);
        command->blocks = load_be16(cdb + 7);
        break;
    case ADDRESS_12:
        command->first_block = load_be32(cdb + 2);
        command->blocks = load_be32(cdb + 6);
        break;
    case ADDRESS_16:
        command->first_block = load_be64(cdb + 2);
        command->blocks = load_be32(cdb + 10);
        break;
    default:
        break;
    }
}

static unsigned length_field(const struct scsi_opcode *opcode)
{
    static const uint8_t fields[] = {
        [ADDRESS_6] = 4, [ADDRESS_10] = 7, [ADDRESS_12] = 6, [ADDRESS_16] = 10};
    return fields[opcode->address];
}

static bool check_range(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    uint64_t capacity = lu->device->geometry.blocks;
    uint32_t flags = command->opcode->flags;
    if (!(flags & OPCODE_RANGE))
        return true;
    if (command->first_block >= capacity || command->blocks > capacity - command->first_block) {
        command_check(command, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        return false;
    }
    if ((flags & OPCODE_TRANSFER) && lu_bytes(lu, command->blocks) > SCSI_TRANSFER_LIMIT_BYTES) {
        command_invalid_cdb(command, length_field(command->opcode), 7);
        return false;
    }
    return true;
}

static bool check_write_protection(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    uint32_t flags = command->opcode->flags;
    if (command->itl->nexus->read_only && flags & (OPCODE_WRITES | OPCODE_INTERFERES)) {
        command_check(command, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
        return false;
    }
    if (!(flags & OPCODE_WRITES) || !lu_write_protected(lu))
        return true;
    command_check(command, SENSE_DATA_PROTECT,
                  lu->read_only ? ASC_WRITE_PROTECTED : ASC_SOFTWARE_WRITE_PROTECTED);
    return false;
}

bool gate_admit(struct command *command)
{
    if (!command->opcode) {
        refuse_opcode(command);
        return false;
    }
    bool attends =
        command->itl->unit_attentions && !(command->opcode->flags & OPCODE_DESPITE_ATTENTION);
    if (attends && !check_attention(command, ATTENTION_RESET_CLASS))
        return false;
    if (!check_reservation(command))
        return false;
    if (attends && !check_attention(command, ~ATTENTION_RESET_CLASS))
        return false;
    if (!check_usage(command) || !check_medium(command))
        return false;
    gate_decode_range(command);
    return check_range(command) && check_write_protection(command);
}

bool gate_readmit(struct command *command)
{
    return check_reservation(command) && check_medium(command) && check_range(command) &&
           check_write_protection(command);
}
