/* test_secrets.c - secrets that are derived: always the same, and none from another */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/secrets.h"

#include <netboot-target/util/array.h>

static struct secret secret_of(const char *text)
{
    struct secret secret = {.length = (uint8_t)strlen(text)};
    memcpy(secret.text, text, secret.length);
    return secret;
}

static const char key_text[] = "00112233445566778899aabbccddeeff";

/* As `printf %s PURPOSE | openssl dgst -sha256 -hmac KEY` has it, six bits of each byte. */
static void test_derives_the_same_everywhere(void **state)
{
    (void)state;
    const struct secret key = secret_of(key_text);
    char secret[SECRETS_GENERATED_BYTES];
    assert_int_equal(secrets_derive(&key, "menu-password", secret), 0);
    assert_string_equal(secret, "1FgeGed1ivCjWVz6");
}

static void test_derived_ones_are_plain_and_differ(void **state)
{
    (void)state;
    static const char *const purposes[] = {"initiator secrets-a", "target secrets-a",
                                           "initiator secrets-b", "menu-password"};
    const struct secret key = secret_of(key_text), other = secret_of(key_text + 1);
    char secrets[5][SECRETS_GENERATED_BYTES];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(secrets_derive(&key, purposes[i], secrets[i]), 0);
    assert_int_equal(secrets_derive(&other, purposes[3], secrets[4]), 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(strlen(secrets[i]), 16);
        for (const char *c = secrets[i]; *c; c++)
            assert_true(isalnum((unsigned char)*c) || *c == '.' || *c == '_');
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(secrets[i], secrets[j]);
    }
}

/* A key takes the place of the state directory: nothing is read or written (state is NULL). */
static void test_key_fills_what_is_not_configured(void **state)
{
    (void)state;
    const struct secret key = secret_of(key_text);
    struct config_auth auth = {
        .mode = CONFIG_AUTH_MUTUAL, .user = (char[]){"laptop"}, .target_user = (char[]){"disk"}};
    struct chap_secrets a, b;
    struct error error;
    auth.secret = secret_of("configured-one");
    assert_int_equal(secrets_prepare(&a, NULL, "secrets-laptop", &auth, &key, &error), 0);
    assert_string_equal(a.initiator.name, "laptop");
    assert_string_equal(a.initiator.secret, "configured-one");
    assert_string_equal(a.target.name, "disk");
    assert_int_equal(strlen(a.target.secret), 16);
    assert_string_equal(a.path, "");
    auth.secret.length = 0;
    assert_int_equal(secrets_prepare(&b, NULL, "secrets-laptop", &auth, &key, &error), 0);
    assert_string_equal(b.target.secret, a.target.secret);
    assert_string_not_equal(b.initiator.secret, b.target.secret);
}

static void on_changed(void *context)
{
    (void)context;
}

/* Asks until the state directory has answered. */
static int prepare_as(struct ev_loop *loop, struct state *kept, struct chap_secrets *secrets,
                      const struct config_auth *auth, struct error *error)
{
    const struct secret no_key = {0};
    int result;
    while ((result = secrets_prepare(secrets, kept, "secrets-a", auth, &no_key, error)) ==
               -EAGAIN ||
           result == -EINPROGRESS)
        ev_run(loop, EVRUN_ONCE);
    return result;
}

static int prepare(struct ev_loop *loop, struct state *kept, struct chap_secrets *secrets,
                   struct error *error)
{
    const struct config_auth auth = {
        .mode = CONFIG_AUTH_MUTUAL, .user = (char[]){"laptop"}, .target_user = (char[]){"disk"}};
    return prepare_as(loop, kept, secrets, &auth, error);
}

/* What is kept already is not written again: it would be a new file. */
static void test_generated_ones_are_written_once(void **state)
{
    (void)state;
    char directory[] = "/tmp/nbt-secrets-XXXXXX", path[80];
    struct chap_secrets first, second;
    struct stat before, after;
    struct error error;
    assert_non_null(mkdtemp(directory));
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct state *kept = state_new(directory, loop, on_changed, NULL);
    assert_int_equal(prepare(loop, kept, &first, &error), 0);
    snprintf(path, sizeof path, "%s/secrets-a", directory);
    assert_string_equal(first.path, path);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(prepare(loop, kept, &second, &error), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_string_equal(first.initiator.secret, second.initiator.secret);
    assert_string_equal(first.target.secret, second.target.secret);
    assert_string_equal(second.path, path);
    state_free(kept);
    ev_loop_destroy(loop);
    unlink(path);
    rmdir(directory);
}

/* A name may be of several words, and of all the characters that the configuration takes. */
static void test_names_with_blanks_and_long_ones(void **state)
{
    (void)state;
    char directory[] = "/tmp/nbt-secrets-XXXXXX", path[80], long_name[256] = "";
    struct chap_secrets first, again, renamed;
    struct menu_password password, password_again;
    struct error error;
    const struct secret no_key = {0};
    const struct config_menu menu = {.user = (char[]){"boot admin"}};
    struct config_auth auth = {
        .mode = CONFIG_AUTH_MUTUAL, .user = (char[]){"my old laptop"}, .target_user = long_name};
    memset(long_name, 'n', sizeof long_name - 1);
    assert_non_null(mkdtemp(directory));
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct state *kept = state_new(directory, loop, on_changed, NULL);
    assert_int_equal(prepare_as(loop, kept, &first, &auth, &error), 0);
    assert_int_equal(strlen(first.initiator.secret), 16);
    assert_int_equal(strlen(first.target.secret), 16);
    assert_string_equal(first.target.name, long_name);
    assert_int_equal(prepare_as(loop, kept, &again, &auth, &error), 0);
    assert_string_equal(again.initiator.secret, first.initiator.secret);
    assert_string_equal(again.target.secret, first.target.secret);
    char *names[] = {(char[]){"another laptop"}, (char[]){"my"}, (char[]){"my old"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        auth.user = names[i];
        assert_int_equal(prepare_as(loop, kept, &renamed, &auth, &error), 0);
        assert_string_equal(renamed.initiator.secret, first.initiator.secret);
    }
    int result;
    while ((result = secrets_prepare_password(&password, kept, &menu, &no_key, &error)) ==
           -EINPROGRESS)
        ev_run(loop, EVRUN_ONCE);
    assert_int_equal(result, 0);
    assert_int_equal(strlen(password.text), 16);
    assert_int_equal(secrets_prepare_password(&password_again, kept, &menu, &no_key, &error), 0);
    assert_string_equal(password_again.text, password.text);
    state_free(kept);
    ev_loop_destroy(loop);
    snprintf(path, sizeof path, "rm -r %s", directory);
    assert_int_equal(system(path), 0);
}

static void put_file(const char *directory, const char *name, const char *text)
{
    char path[80];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void expect_file(const char *directory, const char *name, const char *text)
{
    char path[80], found[200] = "";
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(found, 1, sizeof found - 1, file), strlen(text));
    assert_int_equal(fclose(file), 0);
    assert_string_equal(found, text);
}

/* Clients have the secrets that were there: new ones must not take their place. */
static void test_what_is_damaged_is_not_replaced(void **state)
{
    (void)state;
    static const char *const records[] = {
        "",
        "initiator laptop AAAAbbbbCCCCdddd\n",
        "initiator laptop AAAAbbbbCCCCdddd\ntarget disk EEEEffff",
        "initiator laptop AAAAbbbbCCCCdddd\ntarget disk \n",
        "initiator laptop \ntarget disk EEEEffffGGGGhhhh\n",
        "target disk EEEEffffGGGGhhhh\ninitiator laptop AAAAbbbbCCCCdddd\n",
        "\x01\x02\x03\n",
    };
    static const char *const passwords[] = {"", "me", "me ", "me \n", "me AAAAbbbb", "\x01\n"};
    const struct config_menu menu = {.user = (char[]){"me"}};
    const struct secret no_key = {0};
    char directory[] = "/tmp/nbt-secrets-XXXXXX", command[80];
    struct chap_secrets secrets;
    struct menu_password password;
    struct error error;
    int result;
    assert_non_null(mkdtemp(directory));
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        const char *other = passwords[i % ARRAY_SIZE(passwords)];
        put_file(directory, "secrets-a", records[i]);
        put_file(directory, "menu-password", other);
        struct state *kept = state_new(directory, loop, on_changed, NULL);
        assert_int_equal(prepare(loop, kept, &secrets, &error), -EBADMSG);
        assert_non_null(strstr(error.text, "secrets-a makes no sense"));
        result = secrets_prepare_password(&password, kept, &menu, &no_key, &error);
        assert_int_equal(result, -EBADMSG);
        assert_string_equal(password.text, "");
        state_free(kept);
        expect_file(directory, "secrets-a", records[i]);
        expect_file(directory, "menu-password", other);
    }
    ev_loop_destroy(loop);
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

static void test_menu_password(void **state)
{
    (void)state;
    const struct secret key = secret_of(key_text);
    struct config_menu menu = {.user = (char[]){"me"}};
    struct menu_password password;
    struct error error;
    assert_int_equal(secrets_prepare_password(&password, NULL, &menu, &key, &error), 0);
    assert_string_equal(password.text, "1FgeGed1ivCjWVz6");
    menu.password = secret_of("correct horse");
    assert_int_equal(secrets_prepare_password(&password, NULL, &menu, &key, &error), 0);
    assert_string_equal(password.text, "correct horse");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derives_the_same_everywhere),
        cmocka_unit_test(test_derived_ones_are_plain_and_differ),
        cmocka_unit_test(test_key_fills_what_is_not_configured),
        cmocka_unit_test(test_generated_ones_are_written_once),
        cmocka_unit_test(test_names_with_blanks_and_long_ones),
        cmocka_unit_test(test_what_is_damaged_is_not_replaced),
        cmocka_unit_test(test_menu_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
