/*
 * initramfs.c - who made an initramfs, and can it find an iSCSI disk? It is a row of cpio archives,
 * each compressed or not (Linux Documentation: driver-api/early-userspace/buffer-format.rst). The
 * first ones are often microcode, which must not be compressed. libarchive unpacks; the archives
 * are walked here, since it would stop behind the first of them.
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

/* ---------------------------------------------------------------- bytes, packed or not */

/* The image from some place on, as it is or unpacked. */
struct stream {
    const uint8_t *bytes; /* not packed */
    size_t left;
    struct archive *archive; /* NULL: not packed */
    uint64_t used;
};

/* The next `length` bytes; `to` NULL: they are left out. False: they are not all there. */
static bool stream_take(struct stream *stream, void *to, uint64_t length)
{
    static uint8_t scratch[65536];
    stream->used += length;
    if (stream->used > ARCHIVE_LIMIT)
        return false;
    if (!stream->archive) {
        if (length > stream->left)
            return false;
        if (to)
            memcpy(to, stream->bytes, length);
        stream->bytes += length;
        stream->left -= length;
        return true;
    }
    while (length) {
        size_t piece = to ? length : min_of(length, (uint64_t)sizeof scratch);
        ssize_t got = archive_read_data(stream->archive, to ? to : scratch, piece);
        if (got <= 0)
            return false;
        to = to ? (uint8_t *)to + got : NULL;
        length -= (uint64_t)got;
    }
    return true;
}

/* ---------------------------------------------------------------- cpio */

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

static uint64_t padding(uint64_t length)
{
    return round_up(length, (uint64_t)CPIO_ALIGNMENT) - length;
}

/* One archive up to its trailer, inclusive. False: it is not whole. */
static bool read_cpio(struct look *look, struct stream *stream)
{
    while (look->found->files < FILES_LIMIT) {
        uint8_t header[CPIO_HEADER_BYTES];
        char name[NAME_LIMIT];
        uint64_t file_bytes, name_bytes;
        if (!stream_take(stream, header, sizeof header) || !is_cpio(header, sizeof header) ||
            !read_hex(header + CPIO_FILE_BYTES, &file_bytes) ||
            !read_hex(header + CPIO_NAME_BYTES, &name_bytes) || name_bytes < 1 ||
            name_bytes > sizeof name || !stream_take(stream, name, name_bytes) ||
            name[name_bytes - 1])
            return false;
        if (!strcmp(name, ARCHIVE_TRAILER))
            return true;
        if (!stream_take(stream, NULL, padding(sizeof header + name_bytes)) ||
            !stream_take(stream, NULL, file_bytes + padding(file_bytes)))
            return false;
        take_name(look, name);
    }
    return false;
}

/* ---------------------------------------------------------------- unpacking */

static void archive_close(struct archive **archive)
{
    archive_read_free(*archive);
}

static struct archive *open_packed(const uint8_t *bytes, size_t length)
{
    struct archive_entry *entry;
    struct archive *archive = archive_read_new();
    if (!archive)
        return NULL;
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_lzma(archive);
    archive_read_support_filter_lz4(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_format_raw(archive);
    if (archive_read_open_memory(archive, bytes, length) == ARCHIVE_OK &&
        archive_read_next_header(archive, &entry) == ARCHIVE_OK &&
        archive_filter_count(archive) > 1) /* one of them is the memory itself */
        return archive;
    archive_read_free(archive);
    return NULL;
}

/* What stands behind a packed archive is not looked at: where it ends is not told. */
static bool read_packed(struct look *look, const uint8_t *bytes, size_t length)
{
    _cleanup_(archive_close) struct archive *archive = open_packed(bytes, length);
    struct stream stream = {.archive = archive};
    return archive && read_cpio(look, &stream);
}

int loader_initramfs_read(struct loader_initramfs *ret_initramfs, const uint8_t *bytes,
                          size_t length, struct error *error)
{
    struct loader_initramfs found = {0};
    struct look look = {.found = &found};
    struct stream stream = {.bytes = bytes, .left = length};
    bool is_whole = true, is_packed = false;
    while (is_whole && !is_packed) {
        while (stream.left && !*stream.bytes) { /* between archives */
            stream.bytes++;
            stream.left--;
        }
        if (!stream.left)
            break;
        is_packed = !is_cpio(stream.bytes, stream.left);
        is_whole =
            is_packed ? read_packed(&look, stream.bytes, stream.left) : read_cpio(&look, &stream);
    }
    if (!is_whole || !found.files)
        return error_set(error, -EINVAL,
                         found.files ? "its archive ends in the middle, or is damaged"
                                     : "it is no initramfs, or compressed in an unknown way");
    conclude(&look);
    *ret_initramfs = found;
    return 0;
}
