/* test_catalog_complete.c - what stays of the look before, and what is judged over both */
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"
#include <netboot-target/boot/catalog.h>

#define BLOBS 8
#define MANY  (1u << 20)

static unsigned alive; /* blobs */

static void release(struct boot_blob *blob)
{
    alive--;
    free(blob);
}

/* A look: `files` have 100 bytes each, `entries` are JSON. */
static struct boot_catalog *look(unsigned files, const char *entries, const char *dirty)
{
    static const uint8_t bytes[100];
    struct boot_blob *blobs[BLOBS];
    struct buffer index;
    struct error why = {""};
    buffer_init(&index, BOOT_INDEX_BYTES_LIMIT);
    buffer_append_string(&index, "{\"files\":[");
    for (unsigned i = 0; i < files; i++) {
        blobs[i] = calloc(1, sizeof *blobs[i]);
        *blobs[i] =
            (struct boot_blob){.data = bytes, .bytes = 100, .references = 1, .release = release};
        alive++;
        buffer_format(&index, "%s{\"name\":\"file%u\",\"bytes\":100,\"sent\":true,\"sha256\":\"",
                      i ? "," : "", i);
        for (unsigned digit = 0; digit < 64; digit++)
            buffer_append_string(&index, "0");
        buffer_append_string(&index, "\"}");
    }
    buffer_format(&index, "],\"entries\":[%s],\"notes\":[],\"dirty-volumes\":[%s],\"dirty\":false}",
                  entries, dirty);
    const struct boot_deliveries deliveries = {.blobs = blobs, .blob_count = files};
    struct boot_catalog *catalog = boot_catalog_read(index.data, index.length, &deliveries, &why);
    assert_string_equal(why.text, "");
    for (unsigned i = 0; i < files; i++)
        boot_blob_unref(blobs[i]);
    buffer_done(&index);
    return catalog;
}

#define LINUX(id, volume, file, kernel, initrd, iscsi)                                        \
    "{\"kind\":\"linux\",\"id\":\"" id "\",\"title\":\"T\",\"source\":\"/" file " on " volume \
    "\",\"volume\":\"" volume "\",\"machines\":3,\"kernel\":" kernel ",\"initrds\":[" initrd  \
    "],\"options\":\"ro\",\"initramfs\":\"dracut\",\"iscsi\":" iscsi "}"
#define GRUB                                                                     \
    "{\"kind\":\"mbr\",\"id\":\"disk\",\"title\":\"GRUB\",\"source\":\"first\"," \
    "\"machines\":1,\"starts-linux\":true}"
#define SHIM                                                                               \
    "{\"kind\":\"loader\",\"id\":\"shim\",\"title\":\"shim\",\"source\":\"/shim on esp\"," \
    "\"volume\":\"esp\",\"machines\":2,\"loader\":\"\\\\shim.efi\",\"starts-linux\":true}"

static void expect_ids(const struct boot_catalog *catalog, const char *expected)
{
    char ids[1024] = "";
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        size_t used = strlen(ids);
        snprintf(ids + used, sizeof ids - used, "%s%s%s", used ? " " : "", catalog->entries[i].id,
                 catalog->entries[i].seen_unix_seconds ? "*" : "");
    }
    assert_string_equal(ids, expected);
}

/* Of two filesystems one is dirty: the other one's kernels are those of today. */
static void test_each_filesystem_for_itself(void **state)
{
    (void)state;
    struct boot_catalog *before =
        look(6,
             LINUX("new", "b", "new", "0", "1", "true") "," LINUX(
                 "a1", "a", "1", "2", "3", "true") "," LINUX("old", "b", "old", "4", "5",
                                                             "true") "," SHIM,
             "");
    before->scanned_unix_seconds = 1000;
    assert_int_equal(boot_catalog_complete(before, NULL, MANY), 0);
    struct boot_catalog *now = look(4,
                                    LINUX("a2", "a", "2", "0", "1", "true") "," LINUX(
                                        "a1", "a", "1", "2", "3", "true") "," SHIM,
                                    "\"b\"");
    now->scanned_unix_seconds = 2000;
    assert_int_equal(boot_catalog_complete(now, before, MANY), 2);
    assert_true(now->stale);
    expect_ids(now, "new* a2 a1 old* shim");
    const struct boot_entry *kept = boot_catalog_find(now, "old");
    assert_int_equal(kept->seen_unix_seconds, 1000);
    assert_ptr_equal(now->files[kept->kernel].blob, before->files[4].blob);
    assert_ptr_equal(now->files[kept->initrds[0]].blob, before->files[5].blob);
    for (unsigned i = 0; i < now->file_count; i++)
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(now->files[i].name, now->files[j].name);
    boot_catalog_free(before);

    struct boot_catalog *later = look(0, SHIM, "\"b\",\"a\"");
    assert_int_equal(boot_catalog_complete(later, now, MANY), 4);
    expect_ids(later, "new* a2* a1* old* shim");
    assert_int_equal(boot_catalog_find(later, "old")->seen_unix_seconds, 1000);
    assert_int_equal(boot_catalog_find(later, "a2")->seen_unix_seconds, 2000);
    boot_catalog_free(now);

    struct boot_catalog *clean = look(2, LINUX("b", "b", "x", "0", "1", "true"), "");
    assert_int_equal(boot_catalog_complete(clean, later, MANY), 0);
    expect_ids(clean, "b");
    assert_false(clean->stale);
    boot_catalog_free(later);
    assert_int_equal(alive, 2);
    boot_catalog_free(clean);
    assert_int_equal(alive, 0);
}

/* A client's last choice is an id. */
static void test_the_kept_one_keeps_its_id(void **state)
{
    (void)state;
    struct boot_catalog *before = look(
        2, LINUX("k", "b", "k", "0", "1", "true") "," LINUX("k-2", "a", "k", "0", "1", "true"), "");
    struct boot_catalog *now = look(2, LINUX("k", "a", "k", "0", "1", "true"), "\"b\"");
    before->scanned_unix_seconds = 1;
    assert_int_equal(boot_catalog_complete(now, before, MANY), 1);
    expect_ids(now, "k* k-2");
    assert_string_equal(now->entries[1].volume, "a");
    boot_catalog_free(before);
    boot_catalog_free(now);
    assert_int_equal(alive, 0);
}

static void test_memory_is_for_the_newest(void **state)
{
    (void)state;
    struct boot_catalog *before = look(2, LINUX("b", "b", "x", "0", "1", "true"), "");
    struct boot_catalog *now =
        look(3, LINUX("a1", "a", "1", "0", "1", "true") "," LINUX("a2", "a", "2", "0", "2", "true"),
             "\"b\"");
    before->scanned_unix_seconds = 1;
    assert_int_equal(boot_catalog_complete(now, before, 450), 1);
    expect_ids(now, "b* a1 a2");
    assert_null(now->entries[0].problem);
    assert_null(now->entries[1].problem);
    assert_non_null(strstr(now->entries[2].problem, "discovery.memory"));
    assert_non_null(now->files[now->entries[2].kernel].data); /* a1 has it too */
    assert_null(now->files[now->entries[2].initrds[0]].data);
    boot_catalog_free(before);
    assert_int_equal(alive, 4);
    boot_catalog_free(now);
    assert_int_equal(alive, 0);
}

static void test_no_more_than_a_menu_shows(void **state)
{
    struct buffer entries;
    (void)state;
    buffer_init(&entries, BOOT_INDEX_BYTES_LIMIT);
    for (unsigned i = 0; i < BOOT_CATALOG_ENTRIES_LIMIT - 1; i++)
        buffer_format(&entries,
                      "%s{\"kind\":\"linux\",\"id\":\"e%u\",\"title\":\"T\",\"source\":\"%u\","
                      "\"volume\":\"b\",\"machines\":1,\"kernel\":0,\"initrds\":[1],"
                      "\"options\":\"\",\"initramfs\":\"dracut\",\"iscsi\":true}",
                      i ? "," : "", i, i);
    struct boot_catalog *before = look(2, buffer_string(&entries), "");
    struct boot_catalog *now =
        look(2, LINUX("a1", "a", "1", "0", "1", "true") "," SHIM "," GRUB, "\"b\"");
    before->scanned_unix_seconds = 1;
    assert_int_equal(boot_catalog_complete(now, before, MANY), BOOT_CATALOG_ENTRIES_LIMIT - 3);
    assert_int_equal(now->entry_count, BOOT_CATALOG_ENTRIES_LIMIT);
    assert_non_null(boot_catalog_find(now, "disk"));
    assert_null(boot_catalog_find(now, "e126"));
    buffer_done(&entries);
    boot_catalog_free(before);
    boot_catalog_free(now);
}

/* What a loader starts is known by all kernels, whenever they were seen. */
static void test_loaders_are_judged_over_all(void **state)
{
    static const struct {
        const char *before, *now;
        bool is_offered;
    } rows[] = {
        {"",        "",       true},
        {    "",        LINUX("a",   "a",          "1",                     "0", "1", "false"), false},
        {        "",        LINUX("a",   "a",          "1",                     "0", "1", "true"), true},
        {          LINUX("b", "b",         "1",          "0",                     "1", "true"), LINUX("a", "a", "1", "0", "1", "false"), true},
        {  LINUX("b",        "b",                "1",                    "0",                                       "1", "false"), "", false},
        {LINUX("b","c","1","0","1", "false"), "", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char entries[1024];
        snprintf(entries, sizeof entries, "%s%s%s", rows[i].now, *rows[i].now ? "," : "",
                 SHIM "," GRUB);
        struct boot_catalog *before = look(2, rows[i].before, "");
        struct boot_catalog *now = look(2, entries, "\"b\"");
        assert_in_range(boot_catalog_complete(now, before, MANY), 0, 1);
        assert_int_equal(!boot_catalog_find(now, "shim")->problem, rows[i].is_offered);
        assert_int_equal(!boot_catalog_find(now, "disk")->problem, rows[i].is_offered);
        boot_catalog_free(before);
        boot_catalog_free(now);
    }
    assert_int_equal(alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_filesystem_for_itself),
        cmocka_unit_test(test_the_kept_one_keeps_its_id),
        cmocka_unit_test(test_memory_is_for_the_newest),
        cmocka_unit_test(test_no_more_than_a_menu_shows),
        cmocka_unit_test(test_loaders_are_judged_over_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
