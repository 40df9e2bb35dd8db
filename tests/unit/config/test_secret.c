/* test_secret.c - where secrets may come from, and what is refused. */
#include "helper.h"

#include "files.h"

#include "config/internal.h"

#define WITH(line) "targets = ({\n" DISK "\n auth = {\n" line "\n} })"

static void in_a_private_file(void **state)
{
    const char *path = write_file(*state, "c", WITH("secret = \"twelve-chars\""), 0600);
    struct config *config = load_good(path, NULL);
    const struct secret *secret = &config->targets.items[0].auth.secret;
    assert_string_equal(secret->text, "twelve-chars");
    assert_int_equal(secret->length, 12);
    config_unref(config);
}

static void in_a_file_open_to_others(void **state)
{
    const char *path = write_file(*state, "c", WITH("secret = \"twelve-chars\""), 0640);
    char wanted[400];
    snprintf(wanted, sizeof wanted,
             "%s:4: targets.auth.secret: %s holds secrets and is open to "
             "others: run chmod 600 %s",
             path, path, path);
    expect_load_error(path, NULL, wanted);
    chmod(path, 0604);
    expect_load_error(path, NULL, wanted);
    chmod(path, 0620);
    expect_load_error(path, NULL, wanted);
    chmod(path, 0400);
    config_unref(load_good(path, NULL));
}

static void of_another_owner(void **state)
{
    const char *path = write_file(*state, "c", WITH("secret = \"twelve-chars\""), 0600);
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(path, 12345, 0), 0);
    expect_load_error(path, NULL, "belongs to user 12345: run chown root ");
}

/* A file without secrets may be read by everyone. */
static void no_secret_no_guard(void **state)
{
    config_unref(load_good(write_file(*state, "c", WITH("mode = \"mutual\""), 0644), NULL));
}

/* The included file is judged, not the one that includes it. */
static void in_an_included_file(void **state)
{
    write_file(*state, "secrets", "secret = \"twelve-chars\"", 0644);
    const char *path = write_file(*state, "c", WITH("@include \"secrets\""), 0600);
    expect_load_error(path, NULL, "/secrets:1: targets.auth.secret: ");
    write_file(*state, "secrets", "secret = \"twelve-chars\"", 0600);
    chmod(path, 0644);
    config_unref(load_good(path, NULL));
}

static void write_reference(struct folder *folder, const char *key, const char *value)
{
    char text[1024];
    snprintf(text, sizeof text, WITH("%s = \"%s\""), key, value);
    write_file(folder, "c", text, 0644);
}

static void in_a_file_of_its_own(void **state)
{
    const char *secret = write_file(*state, "s", "from-the-file\r\n", 0600);
    write_reference(*state, "secret-file", secret);
    struct config *config = load_good(path_in(*state, "c"), NULL);
    assert_string_equal(config->targets.items[0].auth.secret.text, "from-the-file");
    config_unref(config);
    chmod(path_in(*state, "s"), 0644);
    expect_load_error(path_in(*state, "c"), NULL, "is open to others: run ch");
    write_file(*state, "s", "short\n", 0600);
    expect_load_error(path_in(*state, "c"), NULL, "the secret has 5 characters; it takes from 12");
    write_file(*state, "s", "two lines are\nnot one\n", 0600);
    expect_load_error(path_in(*state, "c"), NULL, "the secret holds a control character");
    write_file(*state, "s", "", 0600);
    expect_load_error(path_in(*state, "c"), NULL, "the secret has 0 characters");
    assert_int_equal(unlink(path_in(*state, "s")), 0);
    expect_load_error(path_in(*state, "c"), NULL, "No such file");
}

static void the_longest_one(void **state)
{
    char longest[258];
    memset(longest, 'x', sizeof longest);
    longest[255] = '\n';
    longest[256] = '\0';
    const char *secret = write_file(*state, "s", longest, 0600);
    write_reference(*state, "secret-file", secret);
    struct config *config = load_good(path_in(*state, "c"), NULL);
    assert_int_equal(config->targets.items[0].auth.secret.length, 255);
    config_unref(config);
    longest[255] = 'x';
    write_file(*state, "s", longest, 0600);
    expect_load_error(path_in(*state, "c"), NULL, "the secret has 256 characters");
    longest[256] = 'x';
    longest[257] = '\0';
    write_file(*state, "s", longest, 0600);
    expect_load_error(path_in(*state, "c"), NULL, "characters; it takes from 12 to 255");
}

static void neither_links_nor_pipes(void **state)
{
    const char *target = write_file(*state, "s", "from-the-file\n", 0600);
    const char *link = path_in(*state, "link");
    assert_int_equal(symlink(target, link), 0);
    write_reference(*state, "secret-file", link);
    expect_load_error(path_in(*state, "c"), NULL, "/link is a symbolic link; name the file itself");
    const char *pipe = path_in(*state, "pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    write_reference(*state, "secret-file", pipe);
    expect_load_error(path_in(*state, "c"), NULL, "/pipe holds secrets and is no regular file");
    write_reference(*state, "secret-file", "relative");
    expect_load_error(path_in(*state, "c"), NULL, "\"relative\" is no absolute path");
}

static void from_systemd(void **state)
{
    struct folder *folder = *state;
    struct config_options options = {.credentials_directory = folder->path};
    write_file(folder, "laptop", "from-systemd-1\n", 0440);
    write_reference(folder, "secret-credential", "laptop");
    struct config *config = load_good(path_in(folder, "c"), &options);
    assert_string_equal(config->targets.items[0].auth.secret.text, "from-systemd-1");
    config_unref(config);
    expect_load_error(path_in(folder, "c"), NULL, "add LoadCredential=laptop:FILE to the unit");
    write_reference(folder, "secret-credential", "missing");
    expect_load_error(path_in(folder, "c"), &options, "No such file");
    write_reference(folder, "secret-credential", "../laptop");
    expect_load_error(path_in(folder, "c"), &options, "is no name of a systemd credential");
}

static void given_twice(void **state)
{
    const char *secret = write_file(*state, "s", "from-the-file\n", 0600);
    char text[512];
    snprintf(text, sizeof text, WITH("secret = \"twelve-chars\"\n secret-file = \"%s\""), secret);
    const char *path = write_file(*state, "c", text, 0600);
    expect_load_error(path, NULL, ":5: targets.auth.secret-file: the secret is given in two ways");
}

static void never_printed(void **state)
{
    (void)state;
    struct config_errors errors = {0};
    assert_null(parse(WITH("secret = \"hush-hush\"; target-secret = \"hush-hush\""), &errors));
    for (unsigned i = 0; i < errors.count; i++)
        assert_null(strstr(errors.items[i].text, "hush"));
    assert_int_equal(errors.count, 2);
    config_errors_done(&errors);
}

static void wiped(void **state)
{
    struct secret secret = {.length = 4, .text = "hush"};
    struct secret empty = {0};
    (void)state;
    value_secret.done(&secret);
    assert_memory_equal(&secret, &empty, sizeof secret);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_a_private_file),   TEST(in_a_file_open_to_others),
        TEST(of_another_owner),    TEST(no_secret_no_guard),
        TEST(in_an_included_file), TEST(in_a_file_of_its_own),
        TEST(the_longest_one),     TEST(neither_links_nor_pipes),
        TEST(from_systemd),        TEST(given_twice),
        TEST(never_printed),       TEST(wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
