/*
 * filesystem.c - superblocks: which filesystem, its UUID, and was it unmounted? Linux
 * Documentation: filesystems/ext4/super.rst; XFS Algorithms & Data Structures; btrfs On-disk
 * Format; Microsoft's FAT specification, and fs/fat/inode.c for the dirty bit.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>
#include <netboot-target/util/hex.h>

enum {
    EXT_OFFSET = 1024,
    EXT_MAGIC = 56,
    EXT_STATE = 58,
    EXT_COMPATIBLE = 92,
    EXT_INCOMPATIBLE = 96,
    EXT_UUID = 104,
    EXT_LABEL = 120,
    EXT_END = 1024 + 264,
    EXT_VALID = 1,
    EXT_HAS_JOURNAL = 4,
    EXT_NEEDS_RECOVERY = 4,
    XFS_BLOCK_BYTES = 4,
    XFS_UUID = 32,
    XFS_LOG_START = 48,
    XFS_GROUP_BLOCKS = 84,
    XFS_LOG_BLOCKS = 96,
    XFS_LABEL = 108,
    XFS_GROUP_BLOCKS_LOG2 = 124,
    XFS_END = 264,
    BTRFS_OFFSET = 65536,
    BTRFS_UUID = 32,
    BTRFS_MAGIC = 64,
    BTRFS_LOG_ROOT = 96,
    BTRFS_LABEL = 299,
    BTRFS_END = 65536 + 1024,
    FAT_SECTOR_BYTES = 11,
    FAT_RESERVED_SECTORS = 14,
    FAT_CLUSTER_SECTORS = 13,
    ISO_OFFSET = 32768,
    ISO_LABEL = 40,
};

/* Padded with NULs or blanks. */
static void copy_label(const uint8_t *from, size_t length, char to[static 64])
{
    length = min_of(strnlen((const char *)from, length), (size_t)63);
    while (length && from[length - 1] == ' ')
        length--;
    memcpy(to, from, length);
    to[length] = '\0';
}

static bool read_ext(struct loader_filesystem *to, const uint8_t *head, size_t length)
{
    const uint8_t *super = head + EXT_OFFSET;
    if (length < EXT_END || load_le16(super + EXT_MAGIC) != 0xef53)
        return false;
    to->kind = LOADER_FILESYSTEM_EXT;
    to->has_journal = load_le32(super + EXT_COMPATIBLE) & EXT_HAS_JOURNAL;
    to->is_dirty = (load_le32(super + EXT_INCOMPATIBLE) & EXT_NEEDS_RECOVERY) ||
                   !(load_le16(super + EXT_STATE) & EXT_VALID);
    hex_uuid(to->uuid, super + EXT_UUID);
    copy_label(super + EXT_LABEL, 16, to->label);
    return true;
}

static bool read_xfs(struct loader_filesystem *to, const uint8_t *head, size_t length)
{
    if (length < XFS_END || memcmp(head, "XFSB", 4) != 0)
        return false;
    uint64_t block_bytes = load_be32(head + XFS_BLOCK_BYTES);
    uint64_t start = load_be64(head + XFS_LOG_START);
    unsigned shift = head[XFS_GROUP_BLOCKS_LOG2];
    to->kind = LOADER_FILESYSTEM_XFS;
    to->has_journal = true;
    hex_uuid(to->uuid, head + XFS_UUID);
    copy_label(head + XFS_LABEL, 12, to->label);
    if (!start || shift >= 64 || block_bytes < 512 || block_bytes > 65536) {
        to->is_dirty = true; /* its log is elsewhere */
        return true;
    }
    uint64_t group = start >> shift, block = start & ((1ull << shift) - 1);
    to->log.offset = (group * load_be32(head + XFS_GROUP_BLOCKS) + block) * block_bytes;
    to->log.bytes = load_be32(head + XFS_LOG_BLOCKS) * block_bytes;
    return true;
}

static bool read_btrfs(struct loader_filesystem *to, const uint8_t *head, size_t length)
{
    static const uint8_t none[8];
    const uint8_t *super = head + BTRFS_OFFSET;
    if (length < BTRFS_END || memcmp(super + BTRFS_MAGIC, "_BHRfS_M", 8) != 0)
        return false;
    to->kind = LOADER_FILESYSTEM_BTRFS;
    to->has_journal = true;
    to->is_dirty = memcmp(super + BTRFS_LOG_ROOT, none, sizeof none) != 0;
    hex_uuid(to->uuid, super + BTRFS_UUID);
    copy_label(super + BTRFS_LABEL, 256, to->label);
    return true;
}

/* Windows notes in the second entry of the table that it has a volume in use. */
static bool fat_is_in_use(const uint8_t *head, size_t length, unsigned entry_bytes)
{
    size_t table =
        (size_t)load_le16(head + FAT_RESERVED_SECTORS) * load_le16(head + FAT_SECTOR_BYTES);
    if (!table || table + 8 > length)
        return false;
    return entry_bytes == 4 ? !(head[table + 7] & 0x08) : !(head[table + 3] & 0x80);
}

static bool read_fat(struct loader_filesystem *to, const uint8_t *head, size_t length)
{
    static const struct {
        unsigned type; /* where its name stands */
        const char *name;
        unsigned state, serial, label;
        unsigned entry_bytes; /* 0: the table says nothing of use */
    } rows[] = {
        {82, "FAT32   ", 65, 67, 71, 4},
        {54, "FAT16   ", 37, 39, 43, 2},
        {54, "FAT12   ", 37, 39, 43, 0},
    };
    if (length < 512 || head[510] != 0x55 || head[511] != 0xaa || !head[FAT_CLUSTER_SECTORS])
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (memcmp(head + rows[i].type, rows[i].name, 8) != 0)
            continue;
        uint32_t serial = load_le32(head + rows[i].serial);
        to->kind = LOADER_FILESYSTEM_FAT;
        to->is_dirty = head[rows[i].state] & 1;
        if (rows[i].entry_bytes)
            to->is_dirty |= fat_is_in_use(head, length, rows[i].entry_bytes);
        snprintf(to->uuid, sizeof to->uuid, "%04X-%04X", serial >> 16, serial & 0xffff);
        copy_label(head + rows[i].label, 11, to->label);
        return true;
    }
    return false;
}

static bool read_iso(struct loader_filesystem *to, const uint8_t *head, size_t length)
{
    if (length < ISO_OFFSET + 2048 || memcmp(head + ISO_OFFSET + 1, "CD001", 5) != 0)
        return false;
    to->kind = LOADER_FILESYSTEM_ISO9660;
    copy_label(head + ISO_OFFSET + ISO_LABEL, 32, to->label);
    return true;
}

void loader_filesystem_read(struct loader_filesystem *ret_filesystem, const uint8_t *head,
                            size_t length)
{
    static bool (*const readers[])(struct loader_filesystem *, const uint8_t *,
                                   size_t) = {read_ext, read_xfs, read_btrfs, read_iso, read_fat};
    struct loader_filesystem found = {0};
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
        if (readers[i](&found, head, length))
            break;
    *ret_filesystem = found;
}

const char *loader_filesystem_name(enum loader_filesystem_kind kind)
{
    static const char *const names[] = {
        [LOADER_FILESYSTEM_UNKNOWN] = "unknown", [LOADER_FILESYSTEM_EXT] = "ext4",
        [LOADER_FILESYSTEM_XFS] = "XFS",         [LOADER_FILESYSTEM_BTRFS] = "Btrfs",
        [LOADER_FILESYSTEM_FAT] = "FAT",         [LOADER_FILESYSTEM_ISO9660] = "ISO 9660"};
    return names[kind];
}
