/* capacity.c - READ CAPACITY (SBC-3 §5.15-5.16) and READ DEFECT DATA (§5.17-5.18). */
#include "internal.h"

enum scsi_verdict read_capacity_10_execute(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    struct buffer *to = command_response(command);
    uint64_t last = lu->device->geometry.blocks - 1;
    buffer_put_be32(to, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
    buffer_put_be32(to, lu_block_bytes(lu));
    return command_respond(command, to->length);
}

#define READ_CAPACITY_16_BYTES 32
#define LBPME                  0x8000

static unsigned physical_exponent(const struct block_geometry *geometry)
{
    uint32_t ratio = geometry->physical_block_bytes / geometry->logical_block_bytes;
    return ratio > 1 ? (unsigned)__builtin_ctz(ratio) : 0;
}

enum scsi_verdict read_capacity_16_execute(struct command *command)
{
    const struct block_geometry *geometry = &command->itl->lu->device->geometry;
    struct buffer *to = command_response(command);
    unsigned lowest_aligned = geometry->alignment_offset_bytes / geometry->logical_block_bytes;
    if (geometry->discard_granularity_bytes)
        lowest_aligned |=
            LBPME; /* LBPRZ 0: WRITE SAME with UNMAP and data that is not zero writes it */
    buffer_put_be64(to, geometry->blocks - 1);
    buffer_put_be32(to, geometry->logical_block_bytes);
    buffer_put_u8(to, 0); /* no protection information */
    buffer_put_u8(to, (uint8_t)min_of(physical_exponent(geometry), 15u));
    buffer_put_be16(to, (uint16_t)lowest_aligned);
    buffer_put_zeros(to, READ_CAPACITY_16_BYTES - to->length);
    return command_respond(command, load_be32(command->task.cdb + 10));
}

/* Both lists are empty: whatever is below us hides its defects. The header says which lists and
 * which format were asked for. */
enum scsi_verdict read_defect_data_10_execute(struct command *command)
{
    struct buffer *to = command_response(command);
    buffer_put_u8(to, 0);
    buffer_put_u8(to, command->task.cdb[2]);
    buffer_put_be16(to, 0);
    return command_respond(command, load_be16(command->task.cdb + 7));
}

enum scsi_verdict read_defect_data_12_execute(struct command *command)
{
    struct buffer *to = command_response(command);
    buffer_put_u8(to, 0);
    buffer_put_u8(to, command->task.cdb[1]);
    buffer_put_be16(to, 0); /* GENERATION CODE: not supported */
    buffer_put_be32(to, 0);
    return command_respond(command, load_be32(command->task.cdb + 6));
}
