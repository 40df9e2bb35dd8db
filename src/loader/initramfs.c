/*
 * initramfs.c - who made an initramfs, and can it find an iSCSI disk? It is a row of cpio archives,
 * each compressed or not (Linux Documentation: driver-api/early-userspace/buffer-format.rst). The
 * first ones are often microcode, which must not be compressed; libarchive would stop behind them.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

enum {
    CPIO_HEADER_BYTES = 110,
    CPIO_FILE_BYTES = 54, /* eight hexadecimal digits each */
    CPIO_NAME_BYTES = 94,
    CPIO_ALIGNMENT = 4,
};

#define ARCHIVE_LIMIT   (4ull << 30) /* unpacked: an initramfs has to fit into memory */
#define FILES_LIMIT     200000u
#define NAME_LIMIT      4096u
#define ARCHIVE_TRAILER "TRAILER!!!"

/* What is found by the names of files. */
struct look {
    struct loader_initramfs *found;
    bool by[BOOT_INITRAMFS_COUNT];
    bool iscsistart, iscsid, iscsiadm, dracut_script, tools_script;
};

static void look_at_name(struct look *look, const char *name)
{
    static const struct {
        const char *name; /* a / at the end: everything in this folder */
        enum boot_initramfs generator;
    } generators[] = {
        {"usr/lib/dracut/",       BOOT_INITRAMFS_DRACUT    },
        {"lib/dracut/",           BOOT_INITRAMFS_DRACUT    },
        {"usr/lib/dracut-lib.sh", BOOT_INITRAMFS_DRACUT    },
        {"lib/dracut-lib.sh",     BOOT_INITRAMFS_DRACUT    },
        {"scripts/functions",     BOOT_INITRAMFS_TOOLS     },
        {"conf/initramfs.conf",   BOOT_INITRAMFS_TOOLS     },
        {"buildconfig",           BOOT_INITRAMFS_MKINITCPIO},
        {"init_functions",        BOOT_INITRAMFS_MKINITCPIO},
    };
    static const char *const sealed[] = {"squash-root.img", "squash/root.img", "squashfs-root.img",
                                         "erofs-root.img"};
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    for (size_t i = 0; i < ARRAY_SIZE(generators); i++) {
        size_t length = strlen(generators[i].name);
        bool is_folder = generators[i].name[length - 1] == '/';
        if (is_folder ? !strncmp(name, generators[i].name, length)
                      : !strcmp(name, generators[i].name))
            look->by[generators[i].generator] = true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(sealed); i++)
        look->found->is_sealed |= !strcmp(name, sealed[i]);
    look->iscsistart |= !strcmp(last, "iscsistart");
    look->iscsid |= !strcmp(last, "iscsid");
    look->iscsiadm |= !strcmp(last, "iscsiadm");
    look->dracut_script |= !strcmp(last, "iscsiroot");
    look->tools_script |= !strcmp(name, "scripts/local-top/iscsi");
    look->found->files++;
}

static void take_name(struct look *look, const char *name)
{
    while (!strncmp(name, "./", 2))
        name += 2;
    look_at_name(look, name + strspn(name, "/"));
}

static void conclude(struct look *look)
{
    struct loader_initramfs *found = look->found;
    bool has_programs = look->iscsistart || (look->iscsid && look->iscsiadm);
    for (unsigned i = BOOT_INITRAMFS_UNKNOWN + 1; i < BOOT_INITRAMFS_COUNT; i++) {
        if (!look->by[i])
            continue;
        found->generator = (enum boot_initramfs)i;
        break;
    }
    found->has_iscsi = has_programs;
    if (found->generator == BOOT_INITRAMFS_DRACUT)
        found->has_iscsi &= look->dracut_script;
    if (found->generator == BOOT_INITRAMFS_TOOLS)
        found->has_iscsi &= look->tools_script;
}

/* ---------------------------------------------------------------- not compressed */

static bool read_hex(const uint8_t *digits, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t c = digits[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)c - '0'
                         : c >= 'a' && c <= 'f' ? (unsigned)c - 'a' + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)c - 'A' + 10
                                                : 16;
        if (digit == 16)
            return false;
        number = number << 4 | digit;
    }
    *ret_number = number;
    return true;
}

static bool is_cpio(const uint8_t *bytes, size_t length)
{
    return length >= 6 && (!memcmp(bytes, "070701", 6) || !memcmp(bytes, "070702", 6));
}

/* One archive at `offset`; moves it behind its end. False: it is not whole. */
static bool read_cpio(struct look *look, const uint8_t *bytes, size_t length, size_t *offset)
{
    while (length - *offset >= CPIO_HEADER_BYTES && look->found->files < FILES_LIMIT) {
        const uint8_t *header = bytes + *offset;
        uint64_t file_bytes, name_bytes;
        if (!is_cpio(header, length - *offset) ||
            !read_hex(header + CPIO_FILE_BYTES, &file_bytes) ||
            !read_hex(header + CPIO_NAME_BYTES, &name_bytes) || name_bytes < 1 ||
            name_bytes > NAME_LIMIT)
            return false;
        uint64_t data = round_up(*offset + CPIO_HEADER_BYTES + name_bytes, CPIO_ALIGNMENT);
        uint64_t end = round_up(data + file_bytes, CPIO_ALIGNMENT);
        const char *name = (const char *)header + CPIO_HEADER_BYTES;
        if (data > length || memchr(name, '\0', name_bytes) == NULL)
            return false;
        if (!strcmp(name, ARCHIVE_TRAILER)) {
            *offset = min_of((size_t)end, length);
            return true;
        }
        if (end > length)
            return false;
        take_name(look, name);
        *offset = end;
    }
    return false;
}

/* ---------------------------------------------------------------- compressed */

static void archive_close(struct archive **archive)
{
    archive_read_free(*archive);
}

static struct archive *open_archive(const uint8_t *bytes, size_t length)
{
    struct archive *archive = archive_read_new();
    if (!archive)
        return NULL;
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_lzma(archive);
    archive_read_support_filter_lz4(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_format_cpio(archive);
    if (archive_read_open_memory(archive, bytes, length) == ARCHIVE_OK)
        return archive;
    archive_read_free(archive);
    return NULL;
}

/* Up to its end: what stands behind a compressed archive is not looked at. */
static bool read_compressed(struct look *look, const uint8_t *bytes, size_t length)
{
    _cleanup_(archive_close) struct archive *archive = open_archive(bytes, length);
    struct archive_entry *entry;
    int result = ARCHIVE_FATAL;
    uint64_t before = look->found->files;
    while (archive && look->found->files < FILES_LIMIT &&
           (uint64_t)archive_filter_bytes(archive, 0) < ARCHIVE_LIMIT) {
        result = archive_read_next_header(archive, &entry);
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
            break;
        const char *name = archive_entry_pathname(entry);
        if (name)
            take_name(look, name);
    }
    return result == ARCHIVE_EOF && look->found->files > before;
}

int loader_initramfs_read(struct loader_initramfs *ret_initramfs, const uint8_t *bytes,
                          size_t length, struct error *error)
{
    struct loader_initramfs found = {0};
    struct look look = {.found = &found};
    size_t offset = 0;
    bool is_whole = true, is_compressed = false;
    while (is_whole && !is_compressed) {
        while (offset < length && !bytes[offset])
            offset++;
        if (offset == length)
            break;
        is_compressed = !is_cpio(bytes + offset, length - offset);
        is_whole = is_compressed ? read_compressed(&look, bytes + offset, length - offset)
                                 : read_cpio(&look, bytes, length, &offset);
    }
    if (!is_whole || !found.files)
        return error_set(error, -EINVAL,
                         found.files ? "its archive ends in the middle, or is damaged"
                                     : "it is no initramfs, or compressed in an unknown way");
    conclude(&look);
    *ret_initramfs = found;
    return 0;
}
