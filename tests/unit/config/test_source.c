/* test_source.c - includes merged into one text, and integers that libconfig would wrap. */
#include "helper.h"

#include "files.h"

#include "config/internal.h"

#define HEAD "targets = ({" DISK "})\n"

static void lines_keep_their_files(void **state)
{
    struct sources sources = {0};
    struct config_errors fatal = {0}, later = {0};
    struct source_errors errors = {&fatal, &later};
    unsigned line;
    write_file(*state, "b", "b1\nb2", 0644);
    write_file(*state, "a", "a1\n@include \"b\"\na3\n", 0644);
    const char *path = write_file(*state, "main", "m1\n  @include \"a\" m2\nm3", 0644);
    assert_int_equal(sources_load(&sources, path, &errors), 0);
    static const struct {
        const char *text, *file;
        unsigned line;
    } wanted[] = {
        {"m1", "/main", 1},
        {"a1", "/a",    1},
        {"b1", "/b",    1},
        {"b2", "/b",    2},
        {"a3", "/a",    3},
        {"m2", "/main", 2},
        {"m3", "/main", 3}
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        unsigned merged = 1;
        const char *found = strstr(sources.text, wanted[i].text);
        assert_non_null(found);
        for (const char *p = sources.text; p < found; p++)
            merged += *p == '\n';
        const struct source *source = sources_find(&sources, merged, &line);
        assert_non_null(strstr(source->path, wanted[i].file));
        assert_int_equal(line, wanted[i].line);
    }
    sources_done(&sources);
}

static void below_the_folder_of_the_file(void **state)
{
    struct folder *folder = *state;
    assert_int_equal(mkdir(path_in(folder, "d"), 0700), 0);
    write_file(folder, "d/one", "@include \"two\"\n", 0644);
    write_file(folder, "d/two", "log-level = \"debug\"\n", 0644);
    const char *path = write_file(folder, "c", HEAD "@include \"d/one\"\n", 0644);
    assert_int_equal(chdir("/"), 0);
    struct config *config = load_good(path, NULL);
    assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
    config_unref(config);
}

static void errors_name_the_included_file(void **state)
{
    struct folder *folder = *state;
    write_file(folder, "part", "\nlog-level = \"loud\"\n", 0644);
    const char *path = write_file(folder, "c", HEAD "@include \"part\"\n", 0644);
    expect_load_error(path, NULL, "/part:2: log-level: \"loud\" is none of");
    write_file(folder, "part", "\n\nlog-level = = 1\n", 0644);
    expect_load_error(path, NULL, "/part:3: syntax error");
    write_file(folder, "part", "\n", 0644);
    write_file(folder, "c", HEAD "@include \"part\"\nlog-level = \"loud\"", 0644);
    expect_load_error(path_in(folder, "c"), NULL, "/c:3: log-level: ");
}

static void what_cannot_be_included(void **state)
{
    struct folder *folder = *state;
    const char *path = write_file(folder, "c", HEAD "\n@include \"none\"\n", 0644);
    expect_load_error(path, NULL, "/c:3: @include \"none\": cannot open it: No such file");
    write_file(folder, "c", HEAD "@include \"/dev/zero\"\n", 0644);
    expect_load_error(path_in(folder, "c"), NULL, "/c:2: @include \"/dev/zero\": it is no regular");
    write_file(folder, "c", HEAD "@include \".\"\n", 0644);
    expect_load_error(path_in(folder, "c"), NULL, "it is no regular file");
    write_file(folder, "c", HEAD "@include part\n", 0644);
    expect_load_error(path_in(folder, "c"), NULL, "/c:2: @include takes a quoted path");
    write_file(folder, "c", HEAD "@include \"c\"\n", 0644);
    expect_load_error(path_in(folder, "c"), NULL, "files include each other more than 10 deep");
    expect_error(HEAD "@include \"/etc/passwd\"", "test.conf:2: @include \"/etc/passwd\": nothing");
}

static void too_much(void **state)
{
    struct folder *folder = *state;
    char *text = calloc(1, (1 << 20) + 2);
    memset(text, '\n', (1 << 20) + 1);
    expect_load_error(write_file(folder, "c", text, 0644), NULL, "it is larger than 1 MiB");
    text[700000] = '\0';
    write_file(folder, "half", text, 0644);
    const char *path = write_file(folder, "c", "@include \"half\"\n@include \"half\"\n", 0644);
    expect_load_error(path, NULL, "all files together are larger than 1 MiB");
    free(text);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 70; i++)
        fputs("@include \"empty\"\n", file);
    fclose(file);
    write_file(folder, "empty", "", 0644);
    expect_load_error(path_in(folder, "c"), NULL, "/c:64: @include \"empty\": more than 64 files");
}

static void no_text(void **state)
{
    struct config_errors errors = {0};
    (void)state;
    assert_null(config_parse("a\0b", 3, "test.conf", NULL, NULL, &errors));
    assert_string_equal(errors.items[0].text, "test.conf: it holds a NUL byte and is no text");
    config_errors_done(&errors);
    expect_load_error("/nonexistent/c", NULL, "/nonexistent/c: cannot open it: No such file");
    expect_load_error("/tmp", NULL, "/tmp: it is no regular file");
}

/* libconfig itself would read 1, -1 and 0 here. */
static void integers_beyond_32_bits(void **state)
{
    (void)state;
    static const char *const numbers[] = {"4294967297", "2147483648",  "-2147483649",
                                          "0xffffffff", "0x100000000", "99999999999999999999999",
                                          NULL};
    for (const char *const *number = numbers; *number; number++) {
        char text[256], wanted[128];
        struct config_errors errors = {0};
        snprintf(text, sizeof text, HEAD "\nlimits = { queue-depth = %s }", *number);
        snprintf(wanted, sizeof wanted, "test.conf:3: %s is beyond 32 bits", *number);
        assert_null(parse(text, &errors));
        assert_true(strncmp(errors.items[0].text, wanted, strlen(wanted)) == 0);
        config_errors_done(&errors);
    }
    expect_error(HEAD "io = { memory = 8589934592 }",
                 "test.conf:2: 8589934592 is beyond 32 bits; a size is written quoted");
}

static void what_only_looks_like_one(void **state)
{
    (void)state;
    config_unref(parse_good(HEAD "# 99999999999\n// 99999999999\n/* 99999999999\n*/\n"
                                 "menu = { user = \"99999999999 \\\" 99999999999\" }\n"
                                 "io = { memory = 8589934592L }",
                            0));
    struct config_errors errors = {0};
    assert_null(parse(HEAD "a99999999999 = 1; b = 99999999999.5", &errors));
    assert_int_equal(errors.count, 2); /* two unknown keys, no number */
    config_errors_done(&errors);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_keep_their_files),
        TEST(below_the_folder_of_the_file),
        TEST(errors_name_the_included_file),
        TEST(what_cannot_be_included),
        TEST(too_much),
        TEST(no_text),
        TEST(integers_beyond_32_bits),
        TEST(what_only_looks_like_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
