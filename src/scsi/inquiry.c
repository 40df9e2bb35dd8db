/* inquiry.c - INQUIRY, SPC-4 §6.6: standard data; vital product data is vpd.c. */
#include <string.h>

#include "internal.h"

#define CDB_EVPD              0x01
#define STANDARD_BYTES        96
#define QUALIFIER_ABSENT_LUN  0x7f /* peripheral qualifier 011b, device type 1Fh */
#define VERSION_SPC_4         0x06
#define RESPONSE_FORMAT_HISUP 0x12
#define CMDQUE                0x02

/* SPC-4 table 145 */
static const uint16_t version_descriptors[] = {
    0x00a0, /* SAM-5 */
    0x0960, /* iSCSI */
    0x0460, /* SPC-4 */
    0x04c0, /* SBC-3 */
};

/* Left-aligned ASCII, padded with spaces; what is not printable is no ASCII data (SPC-4 §4.3.1). */
static void put_ascii(struct buffer *to, const char *text, size_t width)
{
    size_t length = strnlen(text, width);
    for (size_t i = 0; i < width; i++) {
        char c = i < length ? text[i] : ' ';
        buffer_put_u8(to, (uint8_t)(c >= 0x20 && c <= 0x7e ? c : '?'));
    }
}

static void write_standard(const struct command *command, struct buffer *to)
{
    static const struct scsi_lu_options nobody = {
        .vendor = "NETBOOT", .product = "no logical unit", .revision = "0"};
    const struct scsi_lu_options *options = command->itl ? &command->itl->lu->options : &nobody;
    buffer_put_u8(to, command->itl ? 0x00 : QUALIFIER_ABSENT_LUN);
    buffer_put_u8(to, 0); /* not removable */
    buffer_put_u8(to, VERSION_SPC_4);
    buffer_put_u8(to, RESPONSE_FORMAT_HISUP);
    buffer_put_u8(to, STANDARD_BYTES - 5);
    buffer_put_be16(to, 0); /* SCCS, ACC, TPGS, 3PC, PROTECT, ENCSERV, MULTIP: none */
    buffer_put_u8(to, CMDQUE);
    put_ascii(to, options->vendor, 8);
    put_ascii(to, options->product, 16);
    put_ascii(to, options->revision, 4);
    buffer_put_zeros(to, 58 - 36);
    for (size_t i = 0; i < ARRAY_SIZE(version_descriptors); i++)
        buffer_put_be16(to, version_descriptors[i]);
    buffer_put_zeros(to, STANDARD_BYTES - 58 - 2 * ARRAY_SIZE(version_descriptors));
}

enum scsi_verdict inquiry_execute(struct command *command)
{
    const uint8_t *cdb = command->task.cdb;
    struct buffer *to = command_response(command);
    if (!(cdb[1] & CDB_EVPD)) {
        if (cdb[2] != 0)
            return command_invalid_cdb(command, 2, 7);
        write_standard(command, to);
    } else if (!command->itl || !vpd_page_write(command, cdb[2], to)) {
        return command_invalid_cdb(command, 2, 7);
    }
    return command_respond(command, load_be16(cdb + 3));
}
