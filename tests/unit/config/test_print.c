/*
 * test_print.c - what is told about the keys is what the schema says. With NBT_UPDATE set it
 * writes conf/netboot.conf and the list of keys in docs/man/netboot.conf.5 instead of comparing.
 */
#include <limits.h>
#include <stdlib.h>

#include "helper.h"

#include "config/internal.h"

#define BEGIN_MARK ".\\\" The following is printed by config_print_man()"
#define END_MARK   ".\\\" End of what config_print_man() prints."

static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);
    print(file);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* A file of the source tree, which this file is in. */
static const char *tree_path(const char *name)
{
    static char path[PATH_MAX];
    const char *here = strstr(__FILE__, "tests/unit/");
    assert_non_null(here);
    snprintf(path, sizeof path, "%.*s%s", (int)(here - __FILE__), __FILE__, name);
    return path;
}

static char *read_tree(const char *name)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(tree_path(name), "r");
    assert_non_null(file);
    assert_true(getdelim(&text, &size, '\0', file) > 0);
    fclose(file);
    return text;
}

static void write_tree(const char *name, const char *one, size_t one_length, const char *two,
                       const char *three)
{
    FILE *file = fopen(tree_path(name), "w");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)one_length, one, two, three);
    assert_int_equal(fclose(file), 0);
}

static void example_is_in_the_tree(void **state)
{
    char *wanted = printed(config_print_example);
    (void)state;
    if (getenv("NBT_UPDATE"))
        write_tree("conf/netboot.conf", "", 0, wanted, "");
    char *found = read_tree("conf/netboot.conf");
    assert_string_equal(found, wanted);
    free(found);
    free(wanted);
}

static void manual_is_in_the_tree(void **state)
{
    char *wanted = printed(config_print_man);
    char *found = read_tree("docs/man/netboot.conf.5");
    (void)state;
    const char *begin = strstr(found, BEGIN_MARK);
    assert_non_null(begin);
    begin = strchr(begin, '\n') + 1;
    const char *end = strstr(found, END_MARK);
    assert_non_null(end);
    if (getenv("NBT_UPDATE"))
        write_tree("docs/man/netboot.conf.5", found, (size_t)(begin - found), wanted, end);
    else
        assert_true((size_t)(end - begin) == strlen(wanted) &&
                    memcmp(begin, wanted, strlen(wanted)) == 0);
    free(found);
    free(wanted);
}

/* Removes the '#' of every line that is a setting; prose is "# " and a word. */
static void uncomment(char *text)
{
    char *to = text;
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n") + 1;
        bool is_setting = line[0] == '#' && !(line[1] == ' ' && line[2] != ' ') && line[1] != '\n';
        memmove(to, line + is_setting, length - is_setting);
        to += length - is_setting;
        line += length;
    }
    *to = '\0';
}

static void example_is_valid_as_it_stands(void **state)
{
    struct config_errors errors = {0};
    char *text = printed(config_print_example);
    (void)state;
    struct config *config = parse(text, &errors);
    assert_non_null(config);
    assert_int_equal(errors.count, 1); /* it serves no disk */
    config_unref(config);
    config_errors_done(&errors);
    free(text);
}

static void example_is_valid_without_its_comment_signs(void **state)
{
    char *text = printed(config_print_example);
    (void)state;
    uncomment(text);
    struct config *config = parse_good(text, 0);
    assert_int_equal(config->targets.count, 1);
    assert_int_equal(config->interfaces.count, 1);
    assert_int_equal(config->clients.count, 1);
    assert_int_equal(config->menu.items.count, 1);
    /* What has a default shows it. */
    struct config *plain = parse_good("targets = ({" DISK "})", 0);
    static const char *const keys[] = {"portals",   "discovery-auth",  "io", "limits",
                                       "log-level", "state-directory", NULL};
    for (const char *const *key = keys; *key; key++)
        assert_true(config_same(config, plain, *key));
    config_unref(plain);
    config_unref(config);
    free(text);
}

static void check_told(const struct section *section, const char *path, const char *help,
                       const char *manual)
{
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        char name[200], line[256];
        snprintf(name, sizeof name, "%s%s%s", path, *path ? "." : "", key->name);
        snprintf(line, sizeof line, "\n%s %s", name, key->section ? "= " : "(");
        assert_non_null(strstr(help, line));
        snprintf(line, sizeof line, "\n.%s %s\n", key->section ? "Ss" : "It Cm", name);
        assert_non_null(strstr(manual, line));
        if (key->section)
            check_told(key->section, name, help, manual);
    }
}

static void every_key_is_told(void **state)
{
    char *text = printed(config_print_help), *manual = printed(config_print_man);
    char *help = NULL;
    (void)state;
    assert_true(asprintf(&help, "\n%s", text) > 0);
    check_told(&config_schema, "", help, manual);
    free(help);
    free(text);
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_is_in_the_tree),
        cmocka_unit_test(manual_is_in_the_tree),
        cmocka_unit_test(example_is_valid_as_it_stands),
        cmocka_unit_test(example_is_valid_without_its_comment_signs),
        cmocka_unit_test(every_key_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
