/*
 * xfs_log.c - was an XFS filesystem unmounted? Its superblock does not say; the last record of its
 * log does (XFS Algorithms & Data Structures, "Journaling Log"). The log is a ring of 512-byte
 * blocks, each of which begins with the number of the round in which it was written.
 */
#include <errno.h>
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

enum {
    BLOCK_BYTES = 512,
    RECORD_MAGIC_AT = 0,
    RECORD_CYCLE = 4,
    RECORD_VERSION = 8,
    RECORD_LENGTH = 12,
    RECORD_OPERATIONS = 40,
    RECORD_SIZE = 320, /* of the buffer it was made in: one block of header for each 32 KiB */
    OPERATION_FLAGS = 9,
    UNMOUNT = 0x20,
    VERSION_2 = 2,
    HEADER_COVERS_BYTES = 32768,
    SEARCH_BLOCKS = 64, /* read at a time */
};

#define RECORD_MAGIC       0xfeedbabeu
#define RECORD_BLOCK_LIMIT 1024u /* 256 KiB of data and its headers, with room */

struct log {
    const struct byte_source *source;
    uint64_t blocks;
};

static int read_blocks(const struct log *log, uint64_t block, void *to, size_t count)
{
    return log->source->read(log->source, block * BLOCK_BYTES, to, count * BLOCK_BYTES);
}

static bool is_record(const uint8_t *block)
{
    return load_be32(block + RECORD_MAGIC_AT) == RECORD_MAGIC;
}

static int read_cycle(const struct log *log, uint64_t at, uint32_t *ret_cycle)
{
    uint8_t block[BLOCK_BYTES];
    int result = read_blocks(log, at, block, 1);
    if (!result)
        *ret_cycle = load_be32(is_record(block) ? block + RECORD_CYCLE : block);
    return result;
}

/* Where the next record would go: the first block that is not of the newest round. */
static int find_head(const struct log *log, uint64_t *ret_head)
{
    uint32_t newest, cycle;
    uint64_t low = 0, high = log->blocks; /* low is of it, high is not */
    int result = read_cycle(log, 0, &newest);
    while (!result && high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        result = read_cycle(log, middle, &cycle);
        if (!result && cycle == newest)
            low = middle;
        else
            high = middle;
    }
    if (!result)
        *ret_head = high;
    return result;
}

/* The last record before `head`. -EINVAL: there is none near. */
static int find_record(const struct log *log, uint64_t head, uint64_t *ret_record)
{
    uint8_t blocks[SEARCH_BLOCKS * BLOCK_BYTES];
    uint64_t end = head;
    while (end && head - end < RECORD_BLOCK_LIMIT) {
        uint64_t count = min_of(end, (uint64_t)SEARCH_BLOCKS);
        int result = read_blocks(log, end - count, blocks, count);
        if (result)
            return result;
        for (uint64_t i = count; i--;) {
            if (!is_record(blocks + i * BLOCK_BYTES))
                continue;
            *ret_record = end - count + i;
            return 0;
        }
        end -= count;
    }
    return -EINVAL;
}

int loader_xfs_log_is_clean(const struct byte_source *source, bool *ret_clean)
{
    const struct log log = {.source = source, .blocks = source->size / BLOCK_BYTES};
    uint64_t head, record;
    uint8_t block[BLOCK_BYTES];
    if (log.blocks < 4)
        return -EINVAL;
    int result = find_head(&log, &head);
    if (!result)
        result = find_record(&log, head, &record);
    if (!result)
        result = read_blocks(&log, record, block, 1);
    if (result)
        return result;
    uint32_t size = load_be32(block + RECORD_SIZE);
    uint64_t headers = 1;
    if ((load_be32(block + RECORD_VERSION) & VERSION_2) && size > HEADER_COVERS_BYTES)
        headers = ((uint64_t)size + HEADER_COVERS_BYTES - 1) / HEADER_COVERS_BYTES;
    uint64_t data = ((uint64_t)load_be32(block + RECORD_LENGTH) + BLOCK_BYTES - 1) / BLOCK_BYTES;
    bool is_last = record + headers + data == head;
    bool is_alone = load_be32(block + RECORD_OPERATIONS) == 1;
    if (!is_last || !is_alone || record + headers >= log.blocks) {
        *ret_clean = false;
        return 0;
    }
    result = read_blocks(&log, record + headers, block, 1);
    if (!result)
        *ret_clean = block[OPERATION_FLAGS] & UNMOUNT;
    return result;
}
