/* errors.c - the list of what is wrong, and the guess at what was meant. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>

#define PROBLEM_LIMIT 100
#define WORD_LIMIT    64

static void errors_keep(struct config_errors *errors, struct config_problem problem)
{
    if (errors->count == errors->capacity) {
        unsigned capacity = errors->capacity ? errors->capacity * 2 : 8;
        struct config_problem *grown = realloc(errors->items, capacity * sizeof *grown);
        if (!grown) {
            errors->suppressed++;
            free(problem.text);
            return;
        }
        errors->items = grown;
        errors->capacity = capacity;
    }
    errors->items[errors->count++] = problem;
}

void errors_add(struct config_errors *errors, bool warning, const char *file, unsigned line,
                const char *format, ...)
{
    if (!warning)
        errors->errors++;
    if (errors->count >= PROBLEM_LIMIT) {
        errors->suppressed++;
        return;
    }
    struct error sentence, where = {""};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence.text, sizeof sentence.text, format, arguments);
    va_end(arguments);
    if (file && line)
        error_set(&where, 0, "%s:%u: ", file, line);
    else if (file)
        error_set(&where, 0, "%s: ", file);
    char *text = NULL;
    if (asprintf(&text, "%s%s", where.text, sentence.text) < 0)
        errors->suppressed++;
    else
        errors_keep(errors, (struct config_problem){.text = text, .warning = warning});
}

void config_errors_done(struct config_errors *errors)
{
    for (unsigned i = 0; i < errors->count; i++)
        free(errors->items[i].text);
    free(errors->items);
    *errors = (struct config_errors){0};
}

void config_errors_print(const struct config_errors *errors, FILE *to)
{
    for (unsigned i = 0; i < errors->count; i++)
        fprintf(to, "%s%s\n", errors->items[i].text, errors->items[i].warning ? " (warning)" : "");
    if (errors->suppressed)
        fprintf(to, "and %u more\n", errors->suppressed);
}

/* Levenshtein's distance, two rows at a time. */
static size_t edit_distance(const char *one, size_t one_length, const char *two, size_t two_length)
{
    size_t rows[2][WORD_LIMIT + 1];
    for (size_t j = 0; j <= two_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= one_length; i++) {
        size_t *above = rows[(i - 1) % 2], *row = rows[i % 2];
        row[0] = i;
        for (size_t j = 1; j <= two_length; j++) {
            size_t changed = above[j - 1] + (one[i - 1] != two[j - 1]);
            size_t longer = min_of(above[j], row[j - 1]) + 1;
            row[j] = min_of(changed, longer);
        }
    }
    return rows[one_length % 2][two_length];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t count)
{
    size_t length = strlen(word);
    if (length > WORD_LIMIT)
        return NULL;
    const char *nearest = NULL;
    size_t best = length / 2 + 1; /* further away it is a guess, not a misprint */
    for (size_t i = 0; i < count; i++) {
        size_t candidate_length = strlen(candidates[i]);
        if (candidate_length > WORD_LIMIT)
            continue;
        size_t distance = edit_distance(word, length, candidates[i], candidate_length);
        if (distance <= best && (!nearest || distance < best)) {
            nearest = candidates[i];
            best = distance;
        }
    }
    return nearest;
}
