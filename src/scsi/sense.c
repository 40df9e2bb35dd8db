/* sense.c - sense data in fixed (SPC-4 §4.5.3) and descriptor format (§4.5.2). */
#include "sense.h"

#include <string.h>

#include <netboot-target/util/bytes.h>

#define SENSE_KEY_SPECIFIC_VALID 0x80
#define FIXED_BYTES              18

void sense_point_at(struct sense *sense, bool in_cdb, unsigned byte, unsigned bit)
{
    sense->has_specific = true;
    sense->specific[0] = (uint8_t)(SENSE_KEY_SPECIFIC_VALID | (in_cdb ? 0x40 : 0) |
                                   (bit < SENSE_WHOLE_BYTE ? 0x08 | bit : 0));
    store_be16(sense->specific + 1, (uint16_t)byte);
}

void sense_set_progress(struct sense *sense, uint16_t progress)
{
    sense->has_specific = true;
    sense->specific[0] = SENSE_KEY_SPECIFIC_VALID;
    store_be16(sense->specific + 1, progress);
}

static unsigned write_fixed(const struct sense *sense, uint8_t *to)
{
    memset(to, 0, FIXED_BYTES);
    to[0] = 0x70;
    to[2] = (uint8_t)sense->key;
    if (sense->has_information && sense->information <= UINT32_MAX) {
        to[0] |= 0x80; /* VALID */
        store_be32(to + 3, (uint32_t)sense->information);
    }
    to[7] = FIXED_BYTES - 8;
    store_be16(to + 12, sense->asc_ascq);
    if (sense->has_specific)
        memcpy(to + 15, sense->specific, sizeof(sense->specific));
    return FIXED_BYTES;
}

static unsigned write_descriptors(const struct sense *sense, uint8_t *to)
{
    memset(to, 0, 8);
    to[0] = 0x72;
    to[1] = (uint8_t)sense->key;
    store_be16(to + 2, sense->asc_ascq);
    unsigned length = 8;
    if (sense->has_information) { /* §4.5.2.2 */
        uint8_t *descriptor = to + length;
        memset(descriptor, 0, 12);
        descriptor[1] = 10;
        descriptor[2] = 0x80; /* VALID */
        store_be64(descriptor + 4, sense->information);
        length += 12;
    }
    if (sense->has_specific) { /* §4.5.2.4 */
        uint8_t *descriptor = to + length;
        memset(descriptor, 0, 8);
        descriptor[0] = 0x02;
        descriptor[1] = 6;
        memcpy(descriptor + 4, sense->specific, sizeof(sense->specific));
        length += 8;
    }
    to[7] = (uint8_t)(length - 8);
    return length;
}

unsigned sense_write(const struct sense *sense, bool descriptor_format, uint8_t *to)
{
    return descriptor_format ? write_descriptors(sense, to) : write_fixed(sense, to);
}
