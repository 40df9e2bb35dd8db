/* mode_sense.c - MODE SENSE(6) and (10), SPC-4 §6.13-6.14. */
#include <string.h>

#include "internal.h"
#include "mode_pages.h"

enum page_control { PAGE_CURRENT, PAGE_CHANGEABLE, PAGE_DEFAULT, PAGE_SAVED };

static void put_page(struct buffer *to, const struct mode_page *page, const struct scsi_lu *lu,
                     enum page_control control)
{
    struct mode_parameters defaults = lu_default_mode(lu);
    uint8_t bytes[MODE_PAGE_BYTES_LIMIT] = {0};
    if (control == PAGE_CHANGEABLE)
        mode_page_changeable(page, bytes);
    else
        page->write(control == PAGE_DEFAULT ? &defaults : &lu->mode, bytes);
    bytes[0] = page->code;
    bytes[1] = (uint8_t)(page->bytes - 2);
    buffer_append(to, bytes, page->bytes);
}

/* False: there is no such page. */
static bool put_pages(struct buffer *to, const struct scsi_lu *lu, const uint8_t *cdb)
{
    uint8_t code = cdb[2] & 0x3f;
    bool found = false;
    if (cdb[3] != 0 && cdb[3] != MODE_ALL_SUBPAGES)
        return false;
    for (size_t i = 0; i < mode_page_count; i++) {
        if (code != MODE_ALL_PAGES && code != mode_pages[i].code)
            continue;
        put_page(to, &mode_pages[i], lu, (enum page_control)(cdb[2] >> 6));
        found = true;
    }
    return found;
}

#define CDB_DBD   0x08
#define CDB_LLBAA 0x10

enum scsi_verdict mode_sense_6_execute(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    const uint8_t *cdb = command->task.cdb;
    struct buffer *to = command_response(command);
    uint8_t descriptor[16];
    size_t descriptor_bytes = cdb[1] & CDB_DBD ? 0 : mode_block_descriptor(lu, false, descriptor);
    if (cdb[2] >> 6 == PAGE_SAVED)
        return command_check(command, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
    buffer_put_be16(to, 0); /* length below; MEDIUM TYPE */
    buffer_put_u8(to, mode_device_specific(lu, command->itl->nexus->read_only));
    buffer_put_u8(to, (uint8_t)descriptor_bytes);
    buffer_append(to, descriptor, descriptor_bytes);
    if (!put_pages(to, lu, cdb))
        return command_invalid_cdb(command, 2, 5);
    if (!to->failed)
        to->data[0] = (uint8_t)(to->length - 1);
    return command_respond(command, cdb[4]);
}

enum scsi_verdict mode_sense_10_execute(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    const uint8_t *cdb = command->task.cdb;
    bool long_lba = cdb[1] & CDB_LLBAA;
    struct buffer *to = command_response(command);
    uint8_t descriptor[16];
    size_t descriptor_bytes =
        cdb[1] & CDB_DBD ? 0 : mode_block_descriptor(lu, long_lba, descriptor);
    if (cdb[2] >> 6 == PAGE_SAVED)
        return command_check(command, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
    buffer_put_be16(to, 0);
    buffer_put_u8(to, 0);
    buffer_put_u8(to, mode_device_specific(lu, command->itl->nexus->read_only));
    buffer_put_be16(to, descriptor_bytes == 16 ? 0x0100 : 0); /* LONGLBA */
    buffer_put_be16(to, (uint16_t)descriptor_bytes);
    buffer_append(to, descriptor, descriptor_bytes);
    if (!put_pages(to, lu, cdb))
        return command_invalid_cdb(command, 2, 5);
    if (!to->failed)
        store_be16(to->data, (uint16_t)(to->length - 2));
    return command_respond(command, load_be16(cdb + 7));
}
