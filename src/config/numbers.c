/* numbers.c - truth values, integers, durations, sizes and words of a set. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/escape.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {
    {"ms", 1       },
    {"s",  1000    },
    {"m",  60000   },
    {"h",  3600000 },
    {"d",  86400000}
};
static const struct unit sizes[] = {
    {"",  1                },
    {"K", 1u << 10         },
    {"M", 1u << 20         },
    {"G", 1u << 30         },
    {"T", (uint64_t)1 << 40}
};

/* Digits only: strtoull alone takes blanks and a minus sign. At most 15 of them, so that no unit
 * overflows 64 bits. */
static int parse_digits(const char *text, uint64_t *ret_number, const char **ret_rest)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 15)
        return -EINVAL;
    *ret_number = strtoull(text, NULL, 10);
    *ret_rest = text + digits;
    return 0;
}

static int check_range(const struct value_input *input, uint64_t value, struct error *why)
{
    const struct key *key = input->key;
    if (value >= key->minimum && value <= key->maximum)
        return 0;
    char minimum[32], maximum[32];
    key->type->print_bound(key->minimum, minimum, sizeof minimum);
    key->type->print_bound(key->maximum, maximum, sizeof maximum);
    return error_set(why, -ERANGE, "%s is out of range: it is from %s to %s", escaped(input->text),
                     minimum, maximum);
}

static int parse_with_unit(const struct value_input *input, const struct unit *units, size_t count,
                           void *to, struct error *why)
{
    uint64_t number;
    const char *rest;
    if (parse_digits(input->text, &number, &rest) == 0) {
        for (size_t i = 0; i < count; i++) {
            if (strcmp(rest, units[i].name) != 0 && !(number == 0 && !*rest))
                continue;
            if (number > UINT64_MAX / units[i].factor)
                break;
            number *= units[i].factor;
            int result = check_range(input, number, why);
            if (result == 0)
                memcpy(to, &number, sizeof number);
            return result;
        }
    }
    return error_set(why, -EINVAL, "\"%s\" is no %s", escaped(input->text), input->key->type->noun);
}

static void print_with_unit(const struct unit *units, size_t count, uint64_t value, char *to,
                            size_t size)
{
    size_t i = count - 1;
    while (i > 0 && (value % units[i].factor || value == 0))
        i--;
    snprintf(to, size, "%" PRIu64 "%s", value / units[i].factor, value ? units[i].name : "");
}

static int parse_duration(const struct value_input *input, void *to, struct error *why)
{
    return parse_with_unit(input, durations, ARRAY_SIZE(durations), to, why);
}

static void print_duration(uint64_t bound, char *to, size_t size)
{
    print_with_unit(durations, ARRAY_SIZE(durations), bound, to, size);
}

static int parse_size(const struct value_input *input, void *to, struct error *why)
{
    return parse_with_unit(input, sizes, ARRAY_SIZE(sizes), to, why);
}

static void print_size(uint64_t bound, char *to, size_t size)
{
    print_with_unit(sizes, ARRAY_SIZE(sizes), bound, to, size);
}

static int parse_integer(const struct value_input *input, void *to, struct error *why)
{
    uint64_t number;
    const char *rest;
    if (parse_digits(input->text, &number, &rest) != 0 || *rest)
        return error_set(why, -EINVAL, "\"%s\" is no %s", escaped(input->text),
                         input->key->type->noun);
    int result = check_range(input, number, why);
    if (result != 0)
        return result;
    uint32_t value = (uint32_t)number;
    memcpy(to, &value, sizeof value);
    return 0;
}

static void print_integer(uint64_t bound, char *to, size_t size)
{
    snprintf(to, size, "%" PRIu64, bound);
}

static void reset_integer(void *value)
{
    static const uint32_t unset = CONFIG_UNSET;
    memcpy(value, &unset, sizeof unset);
}

static int parse_bool(const struct value_input *input, void *to, struct error *why)
{
    bool value = strcmp(input->text, "true") == 0;
    if (!value && strcmp(input->text, "false") != 0)
        return error_set(why, -EINVAL, "\"%s\" is no %s", escaped(input->text),
                         input->key->type->noun);
    *(bool *)to = value;
    return 0;
}

static int refuse_word(const struct value_input *input, struct error *why)
{
    char set[200];
    struct buffer words;
    buffer_init_fixed(&words, set, sizeof set);
    for (const struct word *word = input->key->words; word->word; word++)
        buffer_format(&words, "%s\"%s\"", word == input->key->words ? "" : ", ", word->word);
    return error_set(why, -EINVAL, "\"%s\" is none of %s", escaped(input->text),
                     buffer_string(&words));
}

static int parse_word(const struct value_input *input, void *to, struct error *why)
{
    for (const struct word *word = input->key->words; word->word; word++) {
        if (strcmp(word->word, input->text) == 0) {
            memcpy(to, &word->value, sizeof word->value);
            return 0;
        }
    }
    return refuse_word(input, why);
}

_Static_assert(sizeof(enum config_dhcp_role) == sizeof(unsigned), "words are stored as unsigned");

const struct value_type value_bool = {
    .kind = "true or false",
    .noun = "truth value: true or false, without quotes",
    .size = sizeof(bool),
    .written_as = WRITTEN_BOOL,
    .parse = parse_bool,
};

const struct value_type value_integer = {
    .kind = "number",
    .noun = "whole number",
    .size = sizeof(uint32_t),
    .written_as = WRITTEN_INTEGER,
    .parse = parse_integer,
    .print_bound = print_integer,
};

const struct value_type value_optional_integer = {
    .kind = "number",
    .noun = "whole number",
    .size = sizeof(uint32_t),
    .written_as = WRITTEN_INTEGER,
    .parse = parse_integer,
    .reset = reset_integer,
    .print_bound = print_integer,
};

const struct value_type value_duration = {
    .kind = "duration",
    .noun = "quoted duration such as \"500ms\", \"30s\", \"2m\", \"1h\" or \"1d\"",
    .size = sizeof(uint64_t),
    .written_as = WRITTEN_STRING,
    .parse = parse_duration,
    .print_bound = print_duration,
};

const struct value_type value_size = {
    .kind = "size",
    .noun = "size: a number of bytes, or quoted with a unit as \"64K\", \"2M\" or \"1G\"",
    .size = sizeof(uint64_t),
    .written_as = WRITTEN_STRING | WRITTEN_INTEGER,
    .parse = parse_size,
    .print_bound = print_size,
};

const struct value_type value_word = {
    .kind = "word",
    .noun = "quoted word",
    .size = sizeof(unsigned),
    .written_as = WRITTEN_STRING,
    .parse = parse_word,
};
