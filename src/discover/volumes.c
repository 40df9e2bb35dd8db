/* volumes.c - partitions and volumes of a disk, their filesystems, and were they unmounted? */
#include <blkid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "scan.h"

#include <netboot-target/util/array.h>

/* ── what the partition table says ───────────────────────────────────────────────────────────── */

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static unsigned number_of(const char *device)
{
    const char *comma = strrchr(device, ',');
    const char *digits = comma ? strpbrk(comma, "0123456789") : NULL;
    return digits ? (unsigned)strtoul(digits, NULL, 10) : 0;
}

static void name_volume(struct volume *volume)
{
    char device[sizeof volume->device]; /* a compiler cannot see that device and words are two */
    volume->number = number_of(volume->device);
    copy(device, sizeof device, volume->device);
    if (volume->number)
        snprintf(volume->words, sizeof volume->words, "partition %u", volume->number);
    else if (!strncmp(device, "loop0", 5))
        copy(volume->words, sizeof volume->words, "the disk without partitions");
    else
        snprintf(volume->words, sizeof volume->words, "volume %.*s", 140, device);
}

static bool has_volumes_within(const struct scan *scan)
{
    for (unsigned i = 0; i < scan->volume_count; i++)
        if (strncmp(scan->volumes[i].device, "loop0", 5) != 0)
            return true;
    return false;
}

/* What is in a partition or volume that none of GRUB's drivers reads: only kinds in which a kernel
 * may be. */
static void explain_type(struct scan *scan, const struct volume *volume, const char *type)
{
    static const struct {
        const char *type; /* of libblkid */
        const char *words;
        bool is_member; /* of a group, whose volumes tell for themselves */
    } kinds[] = {
        {"crypto_LUKS",       "is encrypted (LUKS); kernels on a /boot of its own are found",          false},
        {"LVM2_member",       "belongs to an LVM group that is not complete on this disk",             true },
        {"linux_raid_member", "belongs to a RAID that is not complete on this disk",                   true },
        {"ext4",              "has an ext4 filesystem with a feature that GRUB's drivers do not know", false},
        {"xfs",               "has an XFS filesystem with a feature that GRUB's drivers do not know",  false},
        {"btrfs",             "has a Btrfs filesystem that GRUB's drivers cannot read",                false},
        {"f2fs",              "has an F2FS filesystem that GRUB's drivers cannot read",                false},
        {"zfs_member",        "has a ZFS filesystem that GRUB's drivers cannot read",                  false},
        {"bcachefs",          "has a bcachefs filesystem, which GRUB's drivers do not know",           false},
        {"erofs",             "has an EROFS filesystem, which GRUB's drivers do not know",             false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (!strcmp(type, kinds[i].type) && !(kinds[i].is_member && has_volumes_within(scan)))
            scan_note(scan, "%s %s", volume->words, kinds[i].words);
}

/* `bytes` 0: up to the end of what `descriptor` is. */
static void explain_unreadable(struct scan *scan, const struct volume *volume, int descriptor,
                               blkid_loff_t start, blkid_loff_t bytes)
{
    const char *type;
    blkid_probe probe = blkid_new_probe();
    if (!probe)
        return;
    if (!blkid_probe_set_device(probe, descriptor, start, bytes)) {
        blkid_probe_enable_superblocks(probe, 1);
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
        if (!blkid_do_safeprobe(probe) && !blkid_probe_lookup_value(probe, "TYPE", &type, NULL))
            explain_type(scan, volume, type);
    }
    blkid_free_probe(probe);
}

static struct volume *find_number(struct scan *scan, unsigned number)
{
    for (unsigned i = 0; i < scan->volume_count; i++)
        if (scan->volumes[i].number == number)
            return &scan->volumes[i];
    return NULL;
}

static void take_partition(struct scan *scan, blkid_partition partition)
{
    struct volume *volume = find_number(scan, (unsigned)blkid_partition_get_partno(partition));
    if (!volume)
        return;
    copy(volume->part_uuid, sizeof volume->part_uuid, blkid_partition_get_uuid(partition));
    copy(volume->part_label, sizeof volume->part_label, blkid_partition_get_name(partition));
    if (!volume->is_known)
        explain_unreadable(scan, volume, scan->disk, 512 * blkid_partition_get_start(partition),
                           512 * blkid_partition_get_size(partition));
}

static void read_partition_table(struct scan *scan)
{
    blkid_probe probe = blkid_new_probe();
    if (!probe)
        return;
    if (!blkid_probe_set_device(probe, scan->disk, 0, 0)) {
        blkid_probe_enable_partitions(probe, 1);
        if (blkid_probe_get_sectorsize(probe) != 512)
            scan_note(scan,
                      "the disk has sectors of %u bytes, and GRUB's drivers find partitions "
                      "only with sectors of 512",
                      blkid_probe_get_sectorsize(probe));
        blkid_partlist list = blkid_probe_get_partitions(probe);
        int count = list ? blkid_partlist_numof_partitions(list) : 0;
        scan->is_partitioned = count > 0;
        for (int i = 0; i < count; i++)
            take_partition(scan, blkid_partlist_get_partition(list, i));
    }
    blkid_free_probe(probe);
}

/* ── filesystems ─────────────────────────────────────────────────────────────────────────────── */

/* The log of an XFS filesystem, read through GRUB like everything else: a volume of LVM has no
 * place of its own on the disk. */
struct log_source {
    struct byte_source source;
    const struct grub *grub;
    const struct volume *volume;
};

static int read_log(const struct byte_source *source, uint64_t offset, void *to, size_t length)
{
    const struct log_source *log = container_of(source, struct log_source, source);
    _cleanup_file_ struct grub_file sectors = GRUB_FILE_NONE;
    struct error error;
    uint64_t start = (log->volume->filesystem.log.offset + offset) / 512;
    int result =
        grub_read_sectors(log->grub, log->volume->device, start, length / 512, &sectors, &error);
    if (result || sectors.bytes != length)
        return result ? result : -ENODATA;
    memcpy(to, sectors.data, length);
    return 0;
}

static bool xfs_is_dirty(const struct scan *scan, const struct volume *volume)
{
    const struct log_source log = {
        .source = {.size = volume->filesystem.log.bytes, .read = read_log},
        .grub = &scan->grub,
        .volume = volume
    };
    bool is_clean = false;
    return loader_xfs_log_is_clean(&log.source, &is_clean) != 0 || !is_clean;
}

/* Its first bytes, through GRUB. -errno: `error` has GRUB's words. */
static int read_head(const struct scan *scan, const struct volume *volume,
                     struct grub_file *ret_head, struct error *error)
{
    int result = -ENODATA;
    /* a partition may be smaller */
    for (uint64_t sectors = LOADER_HEAD_BYTES / 512; result && sectors >= 4; sectors /= 4)
        result = grub_read_sectors(&scan->grub, volume->device, 0, sectors, ret_head, error);
    return result;
}

/* A volume of LVM or RAID has no place of its own on the disk. */
static void explain_volume(struct scan *scan, const struct volume *volume)
{
    struct error error;
    _cleanup_file_ struct grub_file head = GRUB_FILE_NONE;
    if (read_head(scan, volume, &head, &error))
        scan_note(scan, "%s cannot be read: %s", volume->words, error.text);
    else if (head.data)
        explain_unreadable(scan, volume, head.descriptor, 0, 0);
}

static void read_filesystem(struct scan *scan, struct volume *volume)
{
    struct error error;
    _cleanup_file_ struct grub_file head = GRUB_FILE_NONE;
    if (read_head(scan, volume, &head, &error) || !head.data)
        return;
    struct loader_filesystem *filesystem = &volume->filesystem;
    loader_filesystem_read(filesystem, head.data, head.bytes);
    if (filesystem->kind == LOADER_FILESYSTEM_XFS && !filesystem->is_dirty)
        filesystem->is_dirty = xfs_is_dirty(scan, volume);
}

bool scan_volume_is(const struct volume *volume, const char *tag)
{
    const struct {
        const char *name;
        const char *value;
    } tags[] = {
        {"UUID=",      volume->filesystem.uuid },
        {"LABEL=",     volume->filesystem.label},
        {"PARTUUID=",  volume->part_uuid       },
        {"PARTLABEL=", volume->part_label      },
    };
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
        if (!strncmp(tag, tags[i].name, strlen(tags[i].name)))
            return tags[i].value[0] && !strcasecmp(tag + strlen(tags[i].name), tags[i].value);
    return false;
}

bool scan_volume_is_unread(const struct volume *volume)
{
    return volume->is_known && volume->is_chosen && volume->filesystem.is_dirty &&
           volume->filesystem.has_journal;
}

static bool is_chosen(const struct scan *scan, const struct volume *volume)
{
    const char *wanted = scan->options->partition;
    if (!wanted)
        return true;
    return strchr(wanted, '=') ? scan_volume_is(volume, wanted)
                               : volume->number == strtoul(wanted, NULL, 10);
}

static int compare_volumes(const void *one, const void *two)
{
    const struct volume *a = one, *b = two;
    int order = (a->number > b->number) - (a->number < b->number);
    return order ? order : strcmp(a->device, b->device);
}

int scan_volumes(struct scan *scan, struct error *error)
{
    struct grub_device devices[VOLUMES_LIMIT];
    unsigned count;
    int result = grub_devices(&scan->grub, devices, VOLUMES_LIMIT, &count, error);
    if (result)
        return result;
    for (unsigned i = 0; i < count; i++) {
        struct volume *volume = &scan->volumes[scan->volume_count++];
        memcpy(volume->device, devices[i].name, sizeof volume->device);
        volume->is_known = devices[i].is_known;
        name_volume(volume);
    }
    qsort(scan->volumes, scan->volume_count, sizeof *scan->volumes, compare_volumes);
    read_partition_table(scan);
    bool any_chosen = false;
    for (unsigned i = 0; i < scan->volume_count; i++) {
        struct volume *volume = &scan->volumes[i];
        if (volume->is_known)
            read_filesystem(scan, volume);
        else if (strncmp(volume->device, "loop0", 5) != 0)
            explain_volume(scan, volume);
        if (scan->is_partitioned && !strcmp(volume->device, "loop0") &&
            volume->filesystem.kind != LOADER_FILESYSTEM_ISO9660)
            volume->is_known = false; /* what was there before the partitions */
        volume->is_chosen = is_chosen(scan, volume);
        any_chosen |= volume->is_chosen;
    }
    if (!any_chosen)
        scan_note(scan, "there is no partition %.100s, which kernels.partition names",
                  scan->options->partition);
    return 0;
}
