/* mode_pages.c - what the mode pages say. None of it can be saved. */
#include "mode_pages.h"

#include <string.h>

#include "internal.h"

/* ── 08h caching, SBC-3 §6.5.5 ───────────────────────────────────────────────────────────────── */

#define WCE 0x04

/* With a write cache, whatever the write mode: even a direct write may end up in the page cache, so
 * initiators must flush. Without one every write is made durable before it is answered. */
static void write_caching(const struct mode_parameters *mode, uint8_t *to)
{
    to[2] = mode->write_through ? 0 : WCE;
    store_be16(to + 4, 0xffff);  /* DISABLE PRE-FETCH TRANSFER LENGTH */
    store_be16(to + 8, 0xffff);  /* MAXIMUM PRE-FETCH */
    store_be16(to + 10, 0xffff); /* MAXIMUM PRE-FETCH CEILING */
}

/* ── 0Ah control, SPC-4 §7.5.8 ───────────────────────────────────────────────────────────────── */

#define TST_PER_NEXUS    0x20 /* byte 2 */
#define D_SENSE          0x04
#define QAM_UNRESTRICTED 0x10 /* byte 3 */
#define SWP              0x08 /* byte 4 */
#define TAS              0x40 /* byte 5 */

static void write_control(const struct mode_parameters *mode, uint8_t *to)
{
    to[2] = (uint8_t)(TST_PER_NEXUS | (mode->descriptor_sense ? D_SENSE : 0));
    to[3] = QAM_UNRESTRICTED;
    to[4] = mode->software_write_protect ? SWP : 0;
    to[5] = mode->task_aborted_status ? TAS : 0;
    store_be16(to + 8, 0xffff); /* BUSY TIMEOUT PERIOD: unlimited */
}

static void read_control(const uint8_t *from, struct mode_parameters *mode)
{
    mode->descriptor_sense = from[2] & D_SENSE;
    mode->software_write_protect = from[4] & SWP;
    mode->task_aborted_status = from[5] & TAS;
}

/* ── 1Ch informational exceptions control, SPC-4 §7.5.13 ─────────────────────────────────────── */

#define DEXCPT 0x08 /* nothing is predicted, so nothing is reported */

static void write_informational_exceptions(const struct mode_parameters *mode, uint8_t *to)
{
    (void)mode;
    to[2] = DEXCPT;
}

/* ── the table ───────────────────────────────────────────────────────────────────────────────── */

const struct mode_page mode_pages[] = {
    {.code = 0x08, .bytes = 20, .write = write_caching},
    {.code = 0x0a, .bytes = 12, .write = write_control, .read = read_control},
    {.code = 0x1c,            .bytes = 12,            .write = write_informational_exceptions           },
};
const size_t mode_page_count = ARRAY_SIZE(mode_pages);

void mode_page_changeable(const struct mode_page *page, uint8_t *to)
{
    static const struct mode_parameters none = {0};
    static const struct mode_parameters all = {
        .descriptor_sense = true, .task_aborted_status = true, .software_write_protect = true};
    uint8_t least[MODE_PAGE_BYTES_LIMIT] = {0}, most[MODE_PAGE_BYTES_LIMIT] = {0};
    page->write(&none, least);
    page->write(&all, most);
    for (unsigned i = 2; i < page->bytes; i++)
        to[i] = least[i] ^ most[i];
}

#define WP     0x80
#define DPOFUA 0x10

uint8_t mode_device_specific(const struct scsi_lu *lu, bool is_view)
{
    return (uint8_t)((is_view || lu_write_protected(lu) ? WP : 0) | DPOFUA);
}

size_t mode_block_descriptor(const struct scsi_lu *lu, bool long_lba, uint8_t to[static 16])
{
    uint64_t blocks = lu->device->geometry.blocks;
    memset(to, 0, 16);
    if (long_lba) {
        store_be64(to, blocks);
        store_be32(to + 12, lu_block_bytes(lu));
        return 16;
    }
    store_be32(to, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
    store_be24(to + 5, lu_block_bytes(lu));
    return 8;
}
