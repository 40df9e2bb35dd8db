/* test_initramfs.c - archives in a row, and what their files tell */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#include "fixture.h"

static uint8_t image[1 << 20];
static size_t length;
static struct error why;

/* Appends an archive with these files, packed by a filter of libarchive. */
static void pack(int (*filter)(struct archive *archive), const char *const *names)
{
    static const char content[] = "#!/bin/sh\n";
    size_t used = 0;
    struct archive *archive = archive_write_new();
    if (filter)
        assert_int_equal(filter(archive), ARCHIVE_OK);
    else
        archive_write_add_filter_none(archive);
    archive_write_set_format_cpio_newc(archive);
    archive_write_set_bytes_per_block(archive, 1);
    assert_int_equal(
        archive_write_open_memory(archive, image + length, sizeof image - length, &used),
        ARCHIVE_OK);
    for (; *names; names++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, *names);
        archive_entry_set_size(entry, sizeof content);
        archive_entry_set_mode(entry, 0100755);
        archive_write_header(archive, entry);
        archive_write_data(archive, content, sizeof content);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
    length += used;
}

static void pad(size_t count)
{
    memset(image + length, 0, count);
    length += count;
}

static struct loader_initramfs look(void)
{
    struct loader_initramfs found = {0};
    /* nothing behind its end is looked at */
    uint8_t *exact = malloc(length);
    memcpy(exact, image, length);
    assert_int_equal(loader_initramfs_read(&found, exact, length, &why), 0);
    free(exact);
    return found;
}

static const char *const microcode[] = {"kernel/x86/microcode/GenuineIntel.bin", NULL};
static const char *const dracut[] = {"init", "usr/lib/dracut/hooks/x.sh", "usr/sbin/iscsistart",
                                     "usr/sbin/iscsiroot", NULL};
static const char *const dracut_without[] = {"init", "usr/lib/dracut/modules.txt",
                                             "usr/sbin/iscsistart", NULL};
static const char *const tools[] = {"./init", "./scripts/functions", "./scripts/local-top/iscsi",
                                    "./usr/sbin/iscsistart", NULL};
static const char *const tools_without[] = {"conf/initramfs.conf", "scripts/local-top/lvm2", NULL};
static const char *const arch[] = {"init_functions", "buildconfig", "usr/bin/iscsistart", NULL};
static const char *const other[] = {"init", "sbin/iscsid", "sbin/iscsiadm", NULL};
static const char *const squashed[] = {"init", "squash-root.img", NULL};

static void test_generators(void **state)
{
    static const struct {
        const char *const *names;
        enum boot_initramfs generator;
        bool has_iscsi, is_sealed;
    } rows[] = {
        {dracut,         BOOT_INITRAMFS_DRACUT,     true,  false},
        {dracut_without, BOOT_INITRAMFS_DRACUT,     false, false},
        {tools,          BOOT_INITRAMFS_TOOLS,      true,  false},
        {tools_without,  BOOT_INITRAMFS_TOOLS,      false, false},
        {arch,           BOOT_INITRAMFS_MKINITCPIO, true,  false},
        {other,          BOOT_INITRAMFS_UNKNOWN,    true,  false},
        {squashed,       BOOT_INITRAMFS_UNKNOWN,    false, true },
        {microcode,      BOOT_INITRAMFS_UNKNOWN,    false, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        length = 0;
        pack(NULL, rows[i].names);
        struct loader_initramfs found = look();
        assert_int_equal(found.generator, rows[i].generator);
        assert_int_equal(found.has_iscsi, rows[i].has_iscsi);
        assert_int_equal(found.is_sealed, rows[i].is_sealed);
    }
}

static void test_compressions(void **state)
{
    static int (*const filters[])(struct archive * archive) = {
        archive_write_add_filter_gzip,  archive_write_add_filter_xz,
        archive_write_add_filter_zstd,  archive_write_add_filter_lz4,
        archive_write_add_filter_bzip2, archive_write_add_filter_lzma};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        length = 0;
        pack(NULL, microcode);
        pad(512 - length % 512);
        pack(NULL, microcode); /* Debian 13 has modules in an archive of their own */
        pad(4);
        pack(filters[i], tools);
        struct loader_initramfs found = look();
        assert_int_equal(found.generator, BOOT_INITRAMFS_TOOLS);
        assert_true(found.has_iscsi);
        assert_int_equal(found.files, 6);
    }
}

static void test_what_is_not_whole(void **state)
{
    struct loader_initramfs found;
    (void)state;
    for (unsigned packed = 0; packed < 2; packed++) {
        length = 0;
        pack(NULL, microcode);
        size_t first = length;
        pack(packed ? archive_write_add_filter_gzip : NULL, dracut);
        for (size_t cut = first + 1; cut + 16 < length; cut += 11) {
            uint8_t *exact = malloc(cut);
            memcpy(exact, image, cut);
            assert_int_equal(loader_initramfs_read(&found, exact, cut, &why), -EINVAL);
            free(exact);
        }
    }
    length = 0;
    pad(1000);
    assert_int_equal(loader_initramfs_read(&found, image, length, &why), -EINVAL);
    assert_int_equal(loader_initramfs_read(&found, image, 0, &why), -EINVAL);
    memcpy(image, "\x89LZO\0\r\n\x1a\n", 9);
    assert_int_equal(loader_initramfs_read(&found, image, 1000, &why), -EINVAL);
    assert_non_null(strstr(why.text, "unknown way"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generators),
        cmocka_unit_test(test_compressions),
        cmocka_unit_test(test_what_is_not_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
