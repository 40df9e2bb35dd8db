/* vpd.c - vital product data pages, SPC-4 §7.8 and SBC-3 §6.6. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* ── 80h unit serial number, 83h device identification ───────────────────────────────────────── */

static void write_serial_number(const struct command *command, struct buffer *to)
{
    buffer_append_string(to, command->itl->lu->options.serial);
}

enum code_set { CODE_BINARY = 1, CODE_ASCII = 2, CODE_UTF8 = 3 };
enum association { OF_LOGICAL_UNIT = 0x00, OF_TARGET_PORT = 0x10, OF_TARGET_DEVICE = 0x20 };
enum designator_type {
    DESIGNATOR_T10_VENDOR_ID = 1,
    DESIGNATOR_EUI_64 = 2,
    DESIGNATOR_NAA = 3,
    DESIGNATOR_RELATIVE_PORT = 4,
    DESIGNATOR_PORT_GROUP = 5,
    DESIGNATOR_NAME_STRING = 8,
};

#define NAME_STRING_BYTES 252 /* the most a designator of a multiple of four bytes can hold */

#define PROTOCOL_ISCSI 0x50 /* PROTOCOL IDENTIFIER 5h in the high bits */
#define PIV            0x80

static void put_designator(struct buffer *to, enum code_set code_set, enum association association,
                           enum designator_type type, const void *bytes, size_t length)
{
    bool of_port = association != OF_LOGICAL_UNIT;
    buffer_put_u8(to, (uint8_t)((of_port ? PROTOCOL_ISCSI : 0) | code_set));
    buffer_put_u8(to, (uint8_t)((of_port ? PIV : 0) | association | type));
    buffer_put_u8(to, 0);
    buffer_put_u8(to, (uint8_t)length);
    buffer_append(to, bytes, length);
}

static void put_vendor_id(struct buffer *to, const struct scsi_lu_options *options)
{
    char text[8 + sizeof(options->serial)];
    int length = snprintf(text, sizeof(text), "%-8.8s%s", options->vendor, options->serial);
    put_designator(to, CODE_ASCII, OF_LOGICAL_UNIT, DESIGNATOR_T10_VENDOR_ID, text, (size_t)length);
}

/* SCSI name string designators end with a NUL and are padded to a multiple of four (§7.8.6.11). */
static void put_name_string(struct buffer *to, enum association association, const char *name)
{
    char text[SCSI_NAME_BYTES] = {0};
    memcpy(text, name, strnlen(name, NAME_STRING_BYTES - 1));
    put_designator(to, CODE_UTF8, association, DESIGNATOR_NAME_STRING, text,
                   round_up(strlen(text) + 1, (size_t)4));
}

static void put_port_number(struct buffer *to, enum designator_type type, uint16_t number)
{
    uint8_t bytes[4] = {0};
    store_be16(bytes + 2, number);
    put_designator(to, CODE_BINARY, OF_TARGET_PORT, type, bytes, sizeof(bytes));
}

static void write_identification(const struct command *command, struct buffer *to)
{
    const struct scsi_lu_options *options = &command->itl->lu->options;
    const struct scsi_nexus *nexus = command->itl->nexus;
    char port[SCSI_NAME_BYTES + 16];
    if (options->naa_bytes)
        put_designator(to, CODE_BINARY, OF_LOGICAL_UNIT, DESIGNATOR_NAA, options->naa,
                       options->naa_bytes);
    if (options->eui_bytes)
        put_designator(to, CODE_BINARY, OF_LOGICAL_UNIT, DESIGNATOR_EUI_64, options->eui,
                       options->eui_bytes);
    put_vendor_id(to, options);
    put_port_number(to, DESIGNATOR_RELATIVE_PORT, SCSI_RELATIVE_PORT);
    put_port_number(to, DESIGNATOR_PORT_GROUP, nexus->target_portal_group);
    /* RFC 7143 §4.2.7: SCSI target port name */
    snprintf(port, sizeof(port), "%s,t,0x%04x", nexus->target->name, nexus->target_portal_group);
    put_name_string(to, OF_TARGET_PORT, port);
    put_name_string(to, OF_TARGET_DEVICE, nexus->target->name);
}

/* ── 86h extended INQUIRY data ───────────────────────────────────────────────────────────────── */

#define SIMPSUP_ORDSUP_HEADSUP 0x07
#define V_SUP                  0x01 /* there is a volatile cache */
#define LUICLR                 0x01 /* only the nexus that asked has its unit attention cleared */

static void write_extended_inquiry(const struct command *command, struct buffer *to)
{
    buffer_put_u8(to, 0); /* no protection information */
    buffer_put_u8(to, SIMPSUP_ORDSUP_HEADSUP);
    buffer_put_u8(to, command->itl->lu->mode.write_through ? 0 : V_SUP);
    buffer_put_u8(to, LUICLR);
    buffer_put_zeros(to, 0x3c - 4);
}

/* ── B0h block limits ────────────────────────────────────────────────────────────────────────── */

static uint32_t in_blocks(const struct scsi_lu *lu, uint64_t bytes)
{
    return (uint32_t)min_of(bytes / lu_block_bytes(lu), (uint64_t)UINT32_MAX);
}

static void put_unmap_limits(const struct scsi_lu *lu, struct buffer *to)
{
    const struct block_geometry *geometry = &lu->device->geometry;
    if (!geometry->discard_granularity_bytes) {
        buffer_put_zeros(to, 16);
        return;
    }
    buffer_put_be32(to, SCSI_UNMAP_LIMIT_BLOCKS);
    buffer_put_be32(to, SCSI_UNMAP_DESCRIPTORS);
    buffer_put_be32(to, max_of(in_blocks(lu, geometry->discard_granularity_bytes), 1u));
    buffer_put_be32(to, 0); /* UGAVALID 0: alignment is not known */
}

static void write_block_limits(const struct command *command, struct buffer *to)
{
    const struct scsi_lu *lu = command->itl->lu;
    const struct block_geometry *geometry = &lu->device->geometry;
    buffer_put_u8(to, 0); /* WSNZ 0: WRITE SAME of no blocks goes to the end */
    buffer_put_u8(to, (uint8_t)compare_limit_blocks(lu));
    buffer_put_be16(to, (uint16_t)min_of(in_blocks(lu, geometry->minimum_io_bytes), 0xffffu));
    buffer_put_be32(to, in_blocks(lu, SCSI_TRANSFER_LIMIT_BYTES));
    buffer_put_be32(to, in_blocks(lu, geometry->optimal_io_bytes));
    buffer_put_be32(to, 0); /* MAXIMUM PREFETCH LENGTH: no limit */
    put_unmap_limits(lu, to);
    buffer_put_be64(to, in_blocks(lu, SCSI_WRITE_SAME_BYTES));
    buffer_put_zeros(to, 20); /* no atomic writes */
}

/* ── B1h block device characteristics, B2h logical block provisioning ────────────────────────── */

#define WABEREQ_READS_SUCCEED 0x40 /* 01b: after a block erase reads give what a new disk gives */

static void write_characteristics(const struct command *command, struct buffer *to)
{
    const struct scsi_lu *lu = command->itl->lu;
    const struct scsi_opcode *erase = scsi_opcode_find(0x48, 2);
    buffer_put_be16(to, lu->options.rotation_rate);
    buffer_put_u8(to, 0); /* PRODUCT TYPE: not indicated */
    buffer_put_u8(to, scsi_opcode_available(erase, lu) ? WABEREQ_READS_SUCCEED : 0);
    buffer_put_zeros(to, 0x3c - 4);
}

#define LBPU_LBPWS_LBPWS10 0xe0
#define PROVISIONING_THIN  0x02

static void write_provisioning(const struct command *command, struct buffer *to)
{
    (void)command;
    buffer_put_u8(to, 0);                  /* no threshold */
    buffer_put_u8(to, LBPU_LBPWS_LBPWS10); /* LBPRZ 0, as in READ CAPACITY(16) */
    buffer_put_u8(to, PROVISIONING_THIN);
    buffer_put_u8(to, 0);
}

/* ── the table ───────────────────────────────────────────────────────────────────────────────── */

static void write_supported_pages(const struct command *command, struct buffer *to);

static const struct vpd_page {
    uint8_t code;
    bool needs_discard;
    void (*write)(const struct command *command, struct buffer *to);
} pages[] = {
  /* in ascending order, as page 00h lists them */
    {0x00, false, write_supported_pages },
    {0x80, false, write_serial_number   },
    {0x83, false, write_identification  },
    {0x86, false, write_extended_inquiry},
    {0xb0, false, write_block_limits    },
    {0xb1, false, write_characteristics },
    {0xb2, true,  write_provisioning    },
};

static bool is_there(const struct vpd_page *page, const struct scsi_lu *lu)
{
    return !page->needs_discard || lu->device->geometry.discard_granularity_bytes;
}

static void write_supported_pages(const struct command *command, struct buffer *to)
{
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        if (is_there(&pages[i], command->itl->lu))
            buffer_put_u8(to, pages[i].code);
    }
}

bool vpd_page_write(const struct command *command, uint8_t code, struct buffer *to)
{
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        if (pages[i].code != code || !is_there(&pages[i], command->itl->lu))
            continue;
        buffer_put_u8(to, 0); /* connected direct-access block device */
        buffer_put_u8(to, code);
        uint8_t *length = buffer_reserve(to, 2);
        size_t header = to->length;
        pages[i].write(command, to);
        if (length)
            store_be16(to->data + header - 2, (uint16_t)(to->length - header));
        return true;
    }
    return false;
}
