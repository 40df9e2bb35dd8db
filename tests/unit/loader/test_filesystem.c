/* test_filesystem.c - superblocks and logs; protocol/test_discovery_faults.py has real ones */
#include <errno.h>

#include "fixture.h"

static uint8_t head[LOADER_HEAD_BYTES];
static struct loader_filesystem found;

static void read_head(void)
{
    loader_filesystem_read(&found, head, sizeof head);
}

static void test_ext4(void **state)
{
    uint8_t *super = head + 1024;
    (void)state;
    memset(head, 0, sizeof head);
    super[56] = 0x53;
    super[57] = 0xef;
    super[58] = 1;
    super[92] = 4;
    for (unsigned i = 0; i < 16; i++)
        super[104 + i] = (uint8_t)(0x10 + i);
    memcpy(super + 120, "sixteen letters!x", 16);
    read_head();
    assert_int_equal(found.kind, LOADER_FILESYSTEM_EXT);
    assert_string_equal(found.uuid, "10111213-1415-1617-1819-1a1b1c1d1e1f");
    assert_string_equal(found.label, "sixteen letters!");
    assert_true(found.has_journal && !found.is_dirty);
    super[96] = 4; /* its journal needs recovery */
    read_head();
    assert_true(found.is_dirty);
    super[96] = super[92] = 0;
    super[58] = 0; /* ext2: mounted */
    read_head();
    assert_true(found.is_dirty && !found.has_journal);
}

static void test_btrfs(void **state)
{
    memset(head, 0, sizeof head);
    (void)state;
    memcpy(head + 65536 + 64, "_BHRfS_M", 8);
    strcpy((char *)head + 65536 + 299, "fedora");
    read_head();
    assert_int_equal(found.kind, LOADER_FILESYSTEM_BTRFS);
    assert_string_equal(found.label, "fedora");
    assert_false(found.is_dirty);
    head[65536 + 96 + 3] = 1; /* a log tree */
    read_head();
    assert_true(found.is_dirty);
    loader_filesystem_read(&found, head, 65536);
    assert_int_equal(found.kind, LOADER_FILESYSTEM_UNKNOWN);
}

static void test_fat(void **state)
{
    memset(head, 0, sizeof head);
    (void)state;
    memcpy(head + 82, "FAT32   ", 8);
    memcpy(head + 71, "EFI        ", 11);
    head[510] = 0x55;
    head[511] = 0xaa;
    head[12] = 2; /* bytes of a sector: 512 */
    head[13] = 1;
    head[14] = 32; /* reserved sectors */
    store_le32(head + 67, 0x1234abcd);
    head[32 * 512 + 7] = 0x0f;
    read_head();
    assert_int_equal(found.kind, LOADER_FILESYSTEM_FAT);
    assert_string_equal(found.uuid, "1234-ABCD");
    assert_string_equal(found.label, "EFI");
    assert_false(found.is_dirty || found.has_journal);
    head[65] = 1; /* Linux */
    read_head();
    assert_true(found.is_dirty);
    head[65] = 0;
    head[32 * 512 + 7] = 0x07; /* Windows */
    read_head();
    assert_true(found.is_dirty);
    head[13] = 0; /* no such FAT */
    read_head();
    assert_int_equal(found.kind, LOADER_FILESYSTEM_UNKNOWN);
}

static void test_any_length(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof head; length += 509) {
        uint8_t *exact = malloc(length ? length : 1);
        memset(exact, 0xff, length);
        loader_filesystem_read(&found, exact, length);
        assert_int_equal(found.kind, LOADER_FILESYSTEM_UNKNOWN);
        free(exact);
    }
}

/* ---------------------------------------------------------------- XFS */

enum { LOG_BLOCKS = 1024 };

struct ring {
    struct byte_source source;
    uint8_t blocks[LOG_BLOCKS][512];
    unsigned reads;
};

static int read_ring(const struct byte_source *source, uint64_t offset, void *to, size_t length)
{
    struct ring *ring = (struct ring *)container_of(source, struct ring, source);
    assert_true(offset + length <= sizeof ring->blocks);
    memcpy(to, (uint8_t *)ring->blocks + offset, length);
    ring->reads++;
    return 0;
}

/* A log in round `cycle`, written up to `head_block`; its last record has `data` blocks. */
static void ring_init(struct ring *ring, uint32_t cycle, unsigned head_block, unsigned data,
                      bool unmounted)
{
    memset(ring, 0, sizeof *ring);
    ring->source = (struct byte_source){.size = sizeof ring->blocks, .read = read_ring};
    for (unsigned i = 0; i < LOG_BLOCKS; i++)
        store_be32(ring->blocks[i], i < head_block ? cycle : cycle - 1);
    uint8_t *record = ring->blocks[head_block - data - 1];
    store_be32(record, 0xfeedbabe);
    store_be32(record + 4, cycle);
    store_be32(record + 8, 2);
    store_be32(record + 12, data * 512);
    store_be32(record + 40, unmounted ? 1 : 5);
    store_be32(record + 320, 32768);
    record[512 + 9] = unmounted ? 0x20 : 0x01;
}

static void test_xfs_log(void **state)
{
    static const struct {
        uint32_t cycle;
        unsigned head_block, data;
        bool unmounted;
    } rows[] = {
        {1, 2,          1,   true },
        {7, 500,        1,   true },
        {7, 500,        1,   false},
        {7, 900,        500, false},
        {7, LOG_BLOCKS, 1,   true },
        {7, LOG_BLOCKS, 64,  false},
    };
    struct ring *ring = malloc(sizeof *ring);
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool is_clean = !rows[i].unmounted;
        ring_init(ring, rows[i].cycle, rows[i].head_block, rows[i].data, rows[i].unmounted);
        assert_int_equal(loader_xfs_log_is_clean(&ring->source, &is_clean), 0);
        assert_int_equal(is_clean, rows[i].unmounted);
        assert_true(ring->reads < 40); /* it may be 2 GiB long */
    }
    bool is_clean = true; /* something was written behind the unmount record */
    ring_init(ring, 7, 500, 1, true);
    store_be32(ring->blocks[500], 7);
    assert_int_equal(loader_xfs_log_is_clean(&ring->source, &is_clean), 0);
    assert_false(is_clean);
    memset(ring->blocks, 0, sizeof ring->blocks);
    assert_int_equal(loader_xfs_log_is_clean(&ring->source, &is_clean), -EINVAL);
    ring->source.size = 512;
    assert_int_equal(loader_xfs_log_is_clean(&ring->source, &is_clean), -EINVAL);
    free(ring);
}

static void test_xfs(void **state)
{
    memset(head, 0, sizeof head);
    (void)state;
    memcpy(head, "XFSB", 4);
    store_be32(head + 4, 4096);
    store_be64(head + 48, (2ull << 16) + 5);
    store_be32(head + 84, 60000);
    store_be32(head + 96, 2560);
    head[124] = 16;
    memcpy(head + 108, "root", 4);
    read_head();
    assert_int_equal(found.kind, LOADER_FILESYSTEM_XFS);
    assert_string_equal(found.label, "root");
    assert_true(found.log.offset == (2ull * 60000 + 5) * 4096);
    assert_true(found.log.bytes == 2560ull * 4096);
    assert_false(found.is_dirty); /* its log will tell */
    head[124] = 64;
    read_head();
    assert_true(found.is_dirty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ext4),    cmocka_unit_test(test_btrfs),
        cmocka_unit_test(test_fat),     cmocka_unit_test(test_any_length),
        cmocka_unit_test(test_xfs_log), cmocka_unit_test(test_xfs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
