/* test_catalog.c - the catalog as JSON and back, and what is refused on the way */
#include <stdlib.h>

#include "fixture.h"
#include <netboot-target/boot/catalog.h>

#define SHA(digit) \
    digit digit digit digit digit digit digit digit digit digit digit digit digit digit digit digit
#define ZEROS SHA("0000")
#define ONES  SHA("1111")

static unsigned released;

static void release(struct boot_blob *blob)
{
    (void)blob;
    released++;
}

struct shelf {
    struct boot_blob kernel, initrd, known;
    struct boot_blob *sent[2];
    struct boot_deliveries deliveries;
};

static struct boot_blob *find(void *context, const uint8_t sha256[32], uint64_t bytes)
{
    struct shelf *shelf = context;
    return bytes == shelf->known.bytes && sha256[0] == 0x11 ? &shelf->known : NULL;
}

static void shelf_init(struct shelf *shelf)
{
    static const uint8_t bytes[100];
    released = 0;
    *shelf = (struct shelf){
        .kernel = {.data = bytes, .bytes = 100, .references = 1, .release = release},
        .initrd = {.data = bytes, .bytes = 50,  .references = 1, .release = release},
        .known = {.data = bytes, .bytes = 70,  .references = 1, .release = release},
    };
    shelf->sent[0] = &shelf->kernel;
    shelf->sent[1] = &shelf->initrd;
    shelf->deliveries = (struct boot_deliveries){
        .blobs = shelf->sent, .blob_count = 2, .find = find, .context = shelf};
}

static struct boot_catalog *read_text(struct shelf *shelf, const char *text, struct error *why)
{
    return boot_catalog_read(text, strlen(text), &shelf->deliveries, why);
}

#define FILES                                                                      \
    "\"files\":["                                                                  \
    "{\"name\":\"vmlinuz\",\"bytes\":100,\"sha256\":\"" ZEROS "\",\"sent\":true}," \
    "{\"name\":\"initrd\",\"bytes\":50,\"sha256\":\"" ZEROS "\",\"sent\":true},"   \
    "{\"name\":\"old\",\"bytes\":70,\"sha256\":\"" ONES "\",\"kept\":true},"       \
    "{\"name\":\"large\",\"bytes\":1000000,\"sha256\":\"" ZEROS "\"}]"
#define LINUX(id, kernel, initrds)                                                           \
    "{\"kind\":\"linux\",\"id\":\"" id "\",\"title\":\"T\",\"source\":\"s\",\"machines\":3," \
    "\"kernel\":" kernel ",\"initrds\":" initrds ",\"options\":\"ro\","                      \
    "\"initramfs\":\"dracut\",\"iscsi\":true}"
#define INDEX(entries) "{\"entries\":[" entries "]," FILES ",\"notes\":[\"n\"],\"dirty\":false}"

static void test_what_is_written_is_read(void **state)
{
    struct shelf shelf;
    struct error why;
    struct buffer index;
    (void)state;
    shelf_init(&shelf);
    struct boot_catalog *catalog =
        read_text(&shelf, INDEX(LINUX("a", "0", "[1,2]") "," LINUX("b", "3", "[1]")), &why);
    assert_non_null(catalog);
    assert_int_equal(catalog->file_count, 4);
    assert_ptr_equal(catalog->files[0].data, shelf.kernel.data);
    assert_ptr_equal(catalog->files[2].blob, &shelf.known);
    assert_null(catalog->files[3].data);
    assert_null(catalog->entries[0].problem);
    assert_non_null(catalog->entries[1].problem); /* its kernel was too large */
    assert_int_equal(catalog->entries[0].initrds[1], 2);
    assert_int_equal(shelf.known.references, 2);
    for (unsigned i = 0; i < catalog->file_count; i++)
        catalog->files[i].is_sent = i < 2;
    buffer_init(&index, BOOT_INDEX_BYTES_LIMIT);
    boot_catalog_write(&index, catalog);
    assert_false(index.failed);
    struct boot_catalog *again =
        boot_catalog_read(index.data, index.length, &shelf.deliveries, &why);
    assert_non_null(again);
    assert_string_equal(boot_catalog_find(again, "b")->problem, catalog->entries[1].problem);
    assert_string_equal(again->entries[0].options, "ro");
    assert_int_equal(again->entries[0].initramfs, BOOT_INITRAMFS_DRACUT);
    assert_string_equal(again->notes[0], "n");
    assert_null(boot_catalog_find(again, "c"));
    assert_null(boot_catalog_find(NULL, "a"));
    buffer_done(&index);
    boot_catalog_free(again);
    boot_catalog_free(catalog);
    assert_int_equal(released, 0);
    boot_blob_unref(&shelf.kernel);
    boot_blob_unref(NULL);
    assert_int_equal(released, 1);
}

static void test_what_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{\"entries\":[]}", /* the files that were sent are not named */
        INDEX(LINUX("a", "4", "[1]")),
        INDEX(LINUX("a", "-1", "[1]")),
        INDEX(LINUX("a", "1.5", "[1]")),
        INDEX(LINUX("a", "0", "[9]")),
        INDEX(LINUX("a", "0", "[1,1,1,1,1,1,1,1,1]")),
        INDEX(LINUX("A", "0", "[1]")),
        INDEX(LINUX("", "0", "[1]")),
        INDEX(LINUX("../a", "0", "[1]")),
        INDEX(LINUX("a", "0", "[1]") "," LINUX("a", "0", "[1]")),
        INDEX("{\"kind\":\"linux\",\"id\":\"a\",\"title\":\"T\",\"machines\":1}"),
        INDEX("{\"kind\":\"other\",\"id\":\"a\",\"title\":\"T\",\"machines\":1}"),
        INDEX("{\"kind\":\"mbr\",\"id\":\"a\",\"title\":\"a\\u001b[2J\",\"machines\":1}"),
        INDEX("{\"kind\":\"mbr\",\"id\":\"a\",\"title\":\"\",\"machines\":1}"),
        INDEX("{\"kind\":\"mbr\",\"id\":\"a\",\"title\":\"T\",\"machines\":-1}"),
        INDEX("{\"kind\":\"loader\",\"id\":\"a\",\"title\":\"T\",\"machines\":1}"),
        INDEX("{\"kind\":\"mbr\",\"id\":\"a\",\"title\":\"T\",\"machines\":1,\"problem\":7}"),
        "{\"files\":[{\"name\":\"a\",\"bytes\":99,\"sha256\":\"" ZEROS "\",\"sent\":true}]}",
        "{\"files\":[{\"name\":\"a/b\",\"bytes\":9,\"sha256\":\"" ZEROS "\"}]}",
        "{\"files\":[{\"name\":\"..\",\"bytes\":9,\"sha256\":\"" ZEROS "\"}]}",
        "{\"files\":[{\"name\":\"a\",\"bytes\":-9,\"sha256\":\"" ZEROS "\"}]}",
        "{\"files\":[{\"name\":\"a\",\"bytes\":9,\"sha256\":\"00\"}]}",
        "{\"files\":[{\"name\":\"a\",\"bytes\":9,\"sha256\":\"" ZEROS "\"},"
        "{\"name\":\"a\",\"bytes\":9,\"sha256\":\"" ZEROS "\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct shelf shelf;
        struct error why = {""};
        shelf_init(&shelf);
        assert_null(read_text(&shelf, rows[i], &why));
        assert_true(why.text[0]);
        assert_int_equal(shelf.kernel.references, 1);
        assert_int_equal(shelf.known.references, 1);
    }
}

static void test_too_many(void **state)
{
    struct shelf shelf;
    struct error why;
    struct buffer index;
    (void)state;
    for (unsigned count = BOOT_CATALOG_NOTES_LIMIT; count <= BOOT_CATALOG_NOTES_LIMIT + 1;
         count++) {
        shelf_init(&shelf);
        shelf.deliveries.blob_count = 0;
        buffer_init(&index, BOOT_INDEX_BYTES_LIMIT);
        buffer_append_string(&index, "{\"notes\":[");
        for (unsigned i = 0; i < count; i++)
            buffer_append_string(&index, i ? ",\"x\"" : "\"x\"");
        buffer_append_string(&index, "]}");
        struct boot_catalog *catalog =
            boot_catalog_read(index.data, index.length, &shelf.deliveries, &why);
        assert_int_equal(catalog != NULL, count == BOOT_CATALOG_NOTES_LIMIT);
        boot_catalog_free(catalog);
        buffer_done(&index);
    }
}

static void test_clean_text(void **state)
{
    static const struct {
        const char *text;
        bool is_clean;
    } rows[] = {
        {"",                 true },
        {"abc",              true },
        {"caf\xc3\xa9",      true },
        {"\xf0\x9f\x90\xa7", true },
        {"a\nb",             false},
        {"\x7f",             false},
        {"\xc2\x9b",         false}, /* C1 control */
        {"\xc0\x80",         false}, /* overlong */
        {"\xed\xa0\x80",     false}, /* surrogate */
        {"\xf4\x90\x80\x80", false},
        {"\xe2\x82",         false},
        {"\xff",             false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(boot_catalog_text_is_clean(rows[i].text, 100), rows[i].is_clean);
    assert_true(boot_catalog_text_is_clean("abc", 3));
    assert_false(boot_catalog_text_is_clean("abcd", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_clean_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
