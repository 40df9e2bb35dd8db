/* test_schema.c - walks the table of keys: what every row must have. */
#include <netinet/tcp.h>
#include <unistd.h>

#include "helper.h"

#include "config/internal.h"

static void check_row(const struct key *key)
{
    assert_non_null(key->help);
    assert_int_equal(key->help[strlen(key->help) - 1], '.');
    assert_true((key->type != NULL) != (key->section != NULL));
    if (key->section)
        return;
    assert_true((key->fallback != NULL) != (key->unset != NULL));
    assert_true(key->fallback != NULL || key->example != NULL);
    assert_true((key->type == &value_word) == (key->words != NULL));
    assert_true(!key->type->print_bound || key->minimum <= key->maximum);
    assert_true(!key->type->print_bound || key->maximum > 0);
}

/* Every default and example is a value of its own key. */
static void check_text(const struct key *key, const char *text)
{
    char value[4096] = {0};
    struct error why = {"?"};
    struct value_input input = {.key = key, .text = text};
    bool is_file = key->type == &value_secret_file || key->type == &value_secret_credential;
    if (is_file)
        return; /* there is no such file here */
    int result = key->type->parse(&input, value, &why);
    if (result != 0)
        fprintf(stderr, "%s = %s: %s\n", key->name, text, why.text);
    assert_int_equal(result, 0);
    if (key->type->done)
        key->type->done(value);
}

static void check_texts(const struct key *key, const char *texts)
{
    char copy[512];
    if (!texts || !key->list) {
        if (texts)
            check_text(key, texts);
        return;
    }
    snprintf(copy, sizeof copy, "%s", texts);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        check_text(key, word);
}

static unsigned walk(const struct section *section)
{
    unsigned rows = 0;
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        check_row(key);
        rows++;
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(section->keys[j].name, key->name);
        assert_true(key->offset >= sizeof(struct config_place));
        assert_true(key->offset + (key->list ? sizeof(void *) : key_element_size(key)) <=
                    section->size);
        if (key->section) {
            rows += walk(key->section);
        } else {
            check_texts(key, key->fallback);
            check_texts(key, key->example);
        }
    }
    return rows;
}

static void every_row_is_complete(void **state)
{
    (void)state;
    assert_true(walk(&config_schema) > 120);
}

/* No two keys of a group share a field, but the three ways to give one secret. */
static void fields_do_not_overlap(const struct section *section)
{
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *a = &section->keys[i];
        if (a->section)
            fields_do_not_overlap(a->section);
        for (unsigned j = 0; j < i; j++) {
            const struct key *b = &section->keys[j];
            bool both_secret = a->type && b->type && a->type->size == sizeof(struct secret) &&
                               b->type->size == a->type->size;
            if (a->offset == b->offset)
                assert_true(both_secret);
        }
    }
}

static void every_row_has_its_field(void **state)
{
    (void)state;
    fields_do_not_overlap(&config_schema);
}

/* tcp(7): the kernel refuses what is beyond its own limit, and probes after two hours. */
static void the_kernel_takes_every_keepalive(void **state)
{
    (void)state;
    const struct section *limits = section_find(&config_schema, "limits")->section;
    int longest_s = (int)(section_find(limits, "keepalive")->maximum / 1000);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(
        setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &longest_s, sizeof longest_s), 0);
    close(descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(every_row_has_its_field),
        cmocka_unit_test(the_kernel_takes_every_keepalive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
