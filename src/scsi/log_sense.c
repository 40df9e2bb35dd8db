/* log_sense.c - LOG SENSE, SPC-4 §6.7: the list of pages and start-stop cycles. There is no
 * temperature page, because there is no thermometer. */
#include <string.h>

#include "internal.h"

#define PAGE_CODE     0x3f
#define ALL_SUBPAGES  0xff
#define SUBPAGES_FLAG 0x40 /* SPF */

static void write_supported(const struct scsi_lu *lu, struct buffer *to);
static void write_supported_with_subpages(const struct scsi_lu *lu, struct buffer *to);

#define PARAMETER_BINARY_LIST 0x03 /* FORMAT AND LINKING 11b: not to be reset */
#define PARAMETER_ASCII_LIST  0x01

static void put_parameter(struct buffer *to, uint16_t code, uint8_t control, uint8_t length)
{
    buffer_put_be16(to, code);
    buffer_put_u8(to, control);
    buffer_put_u8(to, length);
}

/* SPC-4 §7.3.21. A virtual disk does not age: no dates, and no count of cycles to expect. */
static void write_start_stop(const struct scsi_lu *lu, struct buffer *to)
{
    put_parameter(to, 1, PARAMETER_ASCII_LIST, 6); /* DATE OF MANUFACTURE */
    buffer_append_string(to, "      ");
    put_parameter(to, 2, PARAMETER_ASCII_LIST, 6); /* ACCOUNTING DATE */
    buffer_append_string(to, "      ");
    put_parameter(to, 3, PARAMETER_BINARY_LIST, 4); /* SPECIFIED CYCLES OVER LIFETIME */
    buffer_put_be32(to, UINT32_MAX);
    put_parameter(to, 4, PARAMETER_BINARY_LIST, 4); /* ACCUMULATED CYCLES */
    buffer_put_be32(to, lu->start_stop_cycles);
}

static const struct log_page {
    uint8_t code, subpage;
    void (*write)(const struct scsi_lu *lu, struct buffer *to);
} pages[] = {
    {0x00, 0x00,         write_supported              },
    {0x00, ALL_SUBPAGES, write_supported_with_subpages},
    {0x0e, 0x00,         write_start_stop             },
};

static void write_supported(const struct scsi_lu *lu, struct buffer *to)
{
    (void)lu;
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        if (pages[i].subpage == 0)
            buffer_put_u8(to, pages[i].code);
    }
}

static void write_supported_with_subpages(const struct scsi_lu *lu, struct buffer *to)
{
    (void)lu;
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        buffer_put_u8(to, pages[i].code);
        buffer_put_u8(to, pages[i].subpage);
    }
}

enum scsi_verdict log_sense_execute(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    struct buffer *to = command_response(command);
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        if (pages[i].code != (cdb[2] & PAGE_CODE) || pages[i].subpage != cdb[3])
            continue;
        buffer_put_u8(to, (uint8_t)(pages[i].code | (pages[i].subpage ? SUBPAGES_FLAG : 0)));
        buffer_put_u8(to, pages[i].subpage);
        buffer_put_be16(to, 0);
        pages[i].write(command->itl->lu, to);
        if (!to->failed)
            store_be16(to->data + 2, (uint16_t)(to->length - 4));
        return command_respond(command, load_be16(cdb + 7));
    }
    return command_invalid_cdb(command, 2, 5);
}
