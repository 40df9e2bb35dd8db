/* test_identity.c - 128 bits that stay the same on every start and machine */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "block/identity.h"
#include "block/loop_disk.h"

#include <netboot-target/util/array.h>

#define MIB (1u << 20)

/* The fixed function (identity.h), checked from outside: printf %s LINE | sha256sum | cut -c1-32 */
#define GPT_GUID "6f1c2a3b-0d4e-4f5a-8b6c-7d8e9f0a1b2c"

static struct block_identity identify(const char *path, uint64_t offset_bytes,
                                      uint64_t length_bytes)
{
    struct block_location location = {.offset_bytes = offset_bytes, .length_bytes = length_bytes};
    struct block_identity identity;
    struct error error = {""};
    snprintf(location.path, sizeof location.path, "%s", path);
    if (block_identify(&location, &identity, &error) < 0)
        fail_msg("%s", error.text);
    return identity;
}

/* As sha256sum(1) computes it. */
static void assert_is_hash_of(const struct block_identity *identity, const char *line)
{
    char expected[33] = "";
    char actual[33];
    FILE *sum = popen(formatted("printf %%s '%s' | sha256sum", line), "r");
    assert_non_null(sum);
    assert_int_equal(fread(expected, 1, 32, sum), 32);
    pclose(sum);
    for (size_t i = 0; i < sizeof identity->bytes; i++)
        snprintf(actual + 2 * i, 3, "%02x", identity->bytes[i]);
    assert_string_equal(actual, expected);
}

static void assert_same(const struct block_identity *one, const struct block_identity *other)
{
    assert_int_equal(one->source, other->source);
    assert_memory_equal(one->bytes, other->bytes, sizeof one->bytes);
}

static void test_gpt(void **state)
{
    (void)state;
    struct loop_disk disk;
    loop_disk_make_file(&disk, 16 * MIB);
    run(formatted("printf 'label: gpt\\nlabel-id: %s\\nstart=2048,size=8192\\n' | sfdisk -q %s",
                  GPT_GUID, disk.file));
    loop_disk_attach(&disk, 512, false);

    struct block_identity whole = identify(disk.path, 0, 0);
    assert_int_equal(whole.source, BLOCK_IDENTITY_TABLE);
    assert_string_equal(whole.description, "gpt " GPT_GUID);
    assert_is_hash_of(&whole, "gpt " GPT_GUID);
    struct block_identity range = identify(disk.path, 1 * MIB, 4 * MIB);
    assert_is_hash_of(&range, "gpt " GPT_GUID " 1048576");

    /* The image of the disk is the disk; a partition is the same with and without its node. */
    struct block_identity other = identify(disk.file, 0, 0);
    assert_same(&whole, &other);
    other = identify(disk.file, 1 * MIB, 4 * MIB);
    assert_same(&range, &other);
    loop_disk_add_partition(&disk, 1, 1 * MIB, 4 * MIB);
    other = identify(formatted("%sp1", disk.path), 0, 0);
    assert_same(&range, &other);
    loop_disk_delete_partition(&disk, 1);
    loop_disk_remove(&disk);
}

static void test_mbr(void **state)
{
    (void)state;
    struct loop_disk disk;
    loop_disk_make_file(&disk, 4 * MIB);
    run(formatted("printf 'label: dos\\nlabel-id: 0xDEADBEEF\\nstart=2048\\n' | sfdisk -q %s",
                  disk.file));
    struct block_identity identity = identify(disk.file, 0, 0);
    assert_int_equal(identity.source, BLOCK_IDENTITY_TABLE);
    assert_is_hash_of(&identity, "dos deadbeef");

    /* A signature of zeros names nobody. */
    run(formatted("dd if=/dev/zero of=%s bs=1 seek=440 count=4 conv=notrunc status=none",
                  disk.file));
    identity = identify(disk.file, 0, 0);
    assert_int_equal(identity.source, BLOCK_IDENTITY_NONE);
    loop_disk_remove(&disk);
}

static void test_nothing(void **state)
{
    (void)state;
    struct loop_disk disk;
    struct block_location location = {.path = "/dev/netboot-none"};
    struct block_identity identity;
    struct error error = {""};
    loop_disk_make(&disk, 4 * MIB);
    identity = identify(disk.path, 0, 0);
    assert_int_equal(identity.source, BLOCK_IDENTITY_NONE);
    identity = identify(disk.file, 0, 0);
    assert_int_equal(identity.source, BLOCK_IDENTITY_NONE);
    loop_disk_remove(&disk);
    assert_int_equal(block_identify(&location, &identity, &error), -ENOENT);
    assert_non_null(strstr(error.text, "/dev/netboot-none"));
}

/* ── hardware, as /sys shows it: a loop device is given the attributes of other disks ────────── */

static void put(const char *directory, const char *path, const void *content, size_t length)
{
    run(formatted("mkdir -p $(dirname %s/%s)", directory, path));
    FILE *file = fopen(formatted("%s/%s", directory, path), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, length, file), length);
    fclose(file);
}

static const struct {
    const char *attribute;
    const char *content;
    size_t length;      /* 0: a string */
    const char *hashed; /* NULL: nothing names it */
} serials[] = {
    {"wwid",            "eui.0025385b71b00a1c\n",    0,  "serial eui.0025385b71b00a1c"  },
    {"device/wwid",     "naa.5000c500a1b2c3d4\n",    0,  "serial naa.5000c500a1b2c3d4"  },
    {"device/wwid",     "t10.ATA     Disk  AB12 \n", 0,  "serial t10.ATA     Disk  AB12"},
    {"device/vpd_pg80", "\0\x80\0\x08   AB123",      12, "serial AB123"                 },
    {"device/vpd_pg80", "\0\x80\0\0",                4,  NULL                           },
    {"serial",          "vd-0001",                   0,  "serial vd-0001"               },
    {"device/serial",   "0x12345678\n",              0,  "serial 0x12345678"            },
    {"device/serial",   "0000\n",                    0,  NULL                           },
    {"dm/uuid",         "LVM-AbC\n",                 0,  "serial LVM-AbC"               },
    {"none",            "x",                         0,  NULL                           },
};

static void test_serials(void **state)
{
    (void)state;
    struct loop_disk disk;
    struct stat status;
    struct error error = {""};
    loop_disk_make(&disk, 4 * MIB);
    assert_int_equal(stat(disk.path, &status), 0);
    for (size_t i = 0; i < ARRAY_SIZE(serials); i++) {
        char directory[] = "/tmp/netboot-machine-XXXXXX";
        assert_non_null(mkdtemp(directory));
        char number[16];
        snprintf(number, sizeof number, "%u:%u", major(status.st_rdev), minor(status.st_rdev));
        const char *device = formatted("dev/block/%s", number);
        put(directory, formatted("%s/dev", device), number, strlen(number));
        put(directory, formatted("%s/%s", device, serials[i].attribute), serials[i].content,
            serials[i].length ? serials[i].length : strlen(serials[i].content));
        struct system_root root = {.sys = directory, .proc = "/proc", .dev = "/dev"};
        struct block_location location = {0};
        struct block_identity identity;
        snprintf(location.path, sizeof location.path, "%s", disk.path);
        assert_int_equal(identity_read(&root, &location, &identity, &error), 0);
        assert_int_equal(identity.source,
                         serials[i].hashed ? BLOCK_IDENTITY_SERIAL : BLOCK_IDENTITY_NONE);
        if (serials[i].hashed)
            assert_is_hash_of(&identity, serials[i].hashed);
        assert_int_equal(identity.has_hardware, serials[i].hashed != NULL);
        if (identity.has_hardware)
            assert_memory_equal(identity.hardware, identity.bytes, sizeof identity.bytes);
        run(formatted("rm -r %s", directory));
    }
    loop_disk_remove(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt),
        cmocka_unit_test(test_mbr),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_serials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
