/* mode_select.c - MODE SELECT(6) and (10), SPC-4 §6.11-6.12. Only what MODE SENSE reports as
 * changeable may differ from what is there; the list takes effect as a whole or not at all. */
#include <string.h>

#include "internal.h"
#include "mode_pages.h"

#define CDB_PF    0x10
#define LONGLBA   0x01
#define SUBPAGE   0x40
#define PAGE_CODE 0x3f

static bool is_6(const struct command *command)
{
    return command->opcode->cdb_bytes == 6;
}

bool mode_select_data_out(struct command *command, uint64_t *ret_bytes)
{
    const uint8_t *cdb = command->task.cdb;
    *ret_bytes = is_6(command) ? cdb[4] : load_be16(cdb + 7);
    if (!(cdb[1] & CDB_PF)) {
        command_invalid_cdb(command, 1, 4);
        return false;
    }
    if (*ret_bytes > SCSI_PARAMETER_LIMIT) {
        command_parameter_length_error(command);
        return false;
    }
    return true;
}

/* Resizing or reformatting is not what a block descriptor can do here: it may repeat what is there,
 * or say 0 blocks for "as it is" (SBC-3 §6.5.2). */
static bool check_block_descriptor(struct command *command, unsigned at, size_t length,
                                   bool long_lba)
{
    const uint8_t *given = command->task.data_out + at;
    uint8_t ours[16];
    if (length == 0)
        return true;
    if (length != mode_block_descriptor(command->itl->lu, long_lba, ours)) {
        command_invalid_parameter(command, at, SENSE_WHOLE_BYTE);
        return false;
    }
    size_t blocks_bytes = long_lba ? 8 : 4;
    bool same_blocks = memcmp(given, ours, blocks_bytes) == 0;
    bool no_blocks = memcmp(given, (const uint8_t[8]){0}, blocks_bytes) == 0;
    if (!same_blocks && !no_blocks) {
        command_invalid_parameter(command, at, SENSE_WHOLE_BYTE);
        return false;
    }
    if (memcmp(given + blocks_bytes, ours + blocks_bytes, length - blocks_bytes) != 0) {
        command_invalid_parameter(command, at + (unsigned)blocks_bytes, SENSE_WHOLE_BYTE);
        return false;
    }
    return true;
}

static const struct mode_page *find_page(uint8_t code)
{
    for (size_t i = 0; i < mode_page_count; i++) {
        if (mode_pages[i].code == code)
            return &mode_pages[i];
    }
    return NULL;
}

/* Takes in one page; 0: status has been set, else its length. */
static size_t take_page(struct command *command, unsigned at, struct mode_parameters *mode)
{
    const uint8_t *given = command->task.data_out + at;
    size_t left = command->task.data_out_bytes - at;
    const struct mode_page *page = find_page(given[0] & PAGE_CODE);
    uint8_t ours[MODE_PAGE_BYTES_LIMIT] = {0}, changeable[MODE_PAGE_BYTES_LIMIT] = {0};
    if (left < 2) {
        command_parameter_length_error(command);
        return 0;
    }
    if (!page || (given[0] & SUBPAGE)) {
        command_invalid_parameter(command, at, 5);
        return 0;
    }
    if (given[1] != page->bytes - 2) {
        command_invalid_parameter(command, at + 1, SENSE_WHOLE_BYTE);
        return 0;
    }
    if (left < page->bytes) {
        command_parameter_length_error(command);
        return 0;
    }
    page->write(mode, ours);
    mode_page_changeable(page, changeable);
    for (unsigned i = 2; i < page->bytes; i++) {
        unsigned wrong = (given[i] ^ ours[i]) & ~changeable[i] & 0xffu;
        if (wrong) {
            command_invalid_parameter(command, at + i, 31u - (unsigned)__builtin_clz(wrong));
            return 0;
        }
    }
    if (page->read)
        page->read(given, mode);
    return page->bytes;
}

static enum scsi_verdict take_list(struct command *command, unsigned header_bytes,
                                   size_t descriptor_bytes, bool long_lba)
{
    struct scsi_lu *lu = command->itl->lu;
    struct mode_parameters mode = lu->mode;
    if (descriptor_bytes > command->task.data_out_bytes - header_bytes)
        return command_parameter_length_error(command);
    if (!check_block_descriptor(command, header_bytes, descriptor_bytes, long_lba))
        return SCSI_DONE;
    size_t at = header_bytes + descriptor_bytes;
    while (at < command->task.data_out_bytes) {
        size_t taken = take_page(command, (unsigned)at, &mode);
        if (taken == 0)
            return SCSI_DONE;
        at += taken;
    }
    if (memcmp(&mode, &lu->mode, sizeof(mode)) != 0)
        unit_attention_raise_all(lu, command->itl, ATTENTION_MODE_PARAMETERS_CHANGED);
    lu->mode = mode;
    return command_good(command);
}

enum scsi_verdict mode_select_execute(struct command *command)
{
    const uint8_t *list = command->task.data_out;
    unsigned header_bytes = is_6(command) ? 4 : 8;
    if (command->task.data_out_wanted_bytes == 0)
        return command_good(command);
    if (command->task.data_out_bytes < header_bytes)
        return command_parameter_length_error(command);
    if (is_6(command))
        return take_list(command, header_bytes, list[3], false);
    return take_list(command, header_bytes, load_be16(list + 6), list[4] & LONGLBA);
}
