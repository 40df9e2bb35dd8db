/* helper.h - texts in, configs or sentences out. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/config.h>

/* A target with one LUN, for texts that need one. */
#define DISK "luns = ( { device = \"/dev/sda\" } )"

static inline struct config *parse(const char *text, struct config_errors *errors)
{
    return config_parse(text, strlen(text), "test.conf", NULL, NULL, errors);
}

/* Parses what must be without error; `warnings` of them may come. */
static inline struct config *parse_good(const char *text, unsigned warnings)
{
    struct config_errors errors = {0};
    struct config *config = parse(text, &errors);
    if (!config || errors.count != warnings)
        config_errors_print(&errors, stderr);
    assert_non_null(config);
    assert_int_equal(errors.count, warnings);
    config_errors_done(&errors);
    return config;
}

/* Parses what must have exactly one problem, and that sentence must begin like this. */
static inline void expect_problem(const char *text, const char *sentence, bool warning)
{
    struct config_errors errors = {0};
    struct config *config = parse(text, &errors);
    bool found = errors.count == 1 && errors.items[0].warning == warning &&
                 strncmp(errors.items[0].text, sentence, strlen(sentence)) == 0;
    if (!found) {
        fprintf(stderr, "wanted: %s\nfound, for %s\n", sentence, text);
        config_errors_print(&errors, stderr);
    }
    assert_true(found);
    assert_true(warning == (config != NULL));
    config_unref(config);
    config_errors_done(&errors);
}

static inline void expect_error(const char *text, const char *sentence)
{
    expect_problem(text, sentence, false);
}
