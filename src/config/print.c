/* print.c - the schema told to people: --help=config, netboot.conf(5), conf/netboot.conf. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/buffer.h>

#define COLUMNS     96
#define MAN_COLUMNS 79 /* mandoc -Tlint wants no longer lines */
#define PATH_BYTES  200
#define LINE_BYTES  1024

static const char example_head[] =
    "# netboot.conf - what netboot-target serves. See netboot.conf(5).\n"
    "#\n"
    "# Every key stands here with its default, or with an example where it has none. The shortest\n"
    "# useful file is one target with one disk:\n"
    "#\n"
    "# targets = ( { luns = ( { device = \"/dev/disk/by-id/ata-EXAMPLE\" } ) } )\n"
    "#\n"
    "# Durations are quoted: \"500ms\", \"30s\", \"2m\", \"1h\", \"1d\". Sizes too: \"64K\", "
    "\"2M\", \"1G\".\n"
    "# A list of groups stands between ( and ), a list of values between [ and ].\n"
    "# Check the file with: netboot-target -t -c /etc/netboot.conf\n";

/* ---------------------------------------------------------------- sentences */

/* Breaks the first `end` bytes of a text at blanks; every line begins with `prefix`. */
static void print_wrapped_part(FILE *to, size_t columns, const char *prefix, const char *text,
                               size_t end)
{
    size_t room = columns - strlen(prefix);
    const char *stop = text + end;
    while (text < stop) {
        size_t length = (size_t)(stop - text);
        if (length > room) {
            length = room;
            while (length && text[length] != ' ')
                length--;
            if (!length)
                length = strcspn(text, " ");
        }
        fprintf(to, "%s%.*s\n", prefix, (int)length, text);
        text += length;
        text += *text == ' ';
    }
}

static void print_wrapped(FILE *to, const char *prefix, const char *text)
{
    print_wrapped_part(to, COLUMNS, prefix, text, strlen(text));
}

static void describe_words(struct buffer *to, const struct key *key)
{
    for (const struct word *word = key->words; word->word; word++)
        buffer_format(to, "%s\"%s\"", word == key->words ? "" : ", ", word->word);
}

static void describe_range(struct buffer *to, const struct key *key)
{
    char minimum[32], maximum[32];
    key->type->print_bound(key->minimum, minimum, sizeof minimum);
    key->type->print_bound(key->maximum, maximum, sizeof maximum);
    buffer_format(to, " from %s to %s", minimum, maximum);
}

static bool is_quoted(const struct key *key)
{
    return key->type->written_as & WRITTEN_STRING;
}

/* One value, or a list of them apart by blanks, as it is written in the file. */
static void describe_value(struct buffer *to, const struct key *key, const char *text)
{
    const char *quote = is_quoted(key) ? "\"" : "";
    if (!key->list) {
        buffer_format(to, "%s%s%s", quote, text, quote);
        return;
    }
    const char *separator = "[ ";
    while (*text) {
        size_t length = strcspn(text, " ");
        buffer_format(to, "%s%s%.*s%s", separator, quote, (int)length, text, quote);
        text += length;
        text += *text == ' ';
        separator = ", ";
    }
    buffer_append_string(to, " ]");
}

/* "Duration from 0 to 1d, default "0"." */
static const char *describe_key(struct buffer *to, const struct key *key)
{
    buffer_clear(to);
    if (key->list)
        buffer_append_string(to, "list of: ");
    if (key->words)
        describe_words(to, key);
    else
        buffer_append_string(to, key->type->kind);
    if (key->type->print_bound)
        describe_range(to, key);
    buffer_append_string(to, "; default: ");
    if (key->fallback)
        describe_value(to, key, key->fallback);
    else
        buffer_append_string(to, key->unset);
    return buffer_string(to);
}

/* ---------------------------------------------------------------- --help=config */

static void help_section(FILE *to, const struct section *section, const char *path)
{
    char line[LINE_BYTES], child[PATH_BYTES];
    struct buffer description;
    buffer_init_fixed(&description, line, sizeof line);
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        snprintf(child, sizeof child, "%s%s%s", path, *path ? "." : "", key->name);
        if (key->section)
            fprintf(to, "%s = %s\n", child, key->list ? "( { ... }, ... )" : "{ ... }");
        else
            fprintf(to, "%s (%s)\n", child, describe_key(&description, key));
        print_wrapped(to, "    ", key->help);
        if (key->section)
            help_section(to, key->section, child);
    }
}

void config_print_help(FILE *to)
{
    help_section(to, &config_schema, "");
}

/* ---------------------------------------------------------------- netboot.conf(5) */

/* mdoc wants every sentence on a line of its own. */
static void man_sentences(FILE *to, const char *text)
{
    while (*text) {
        const char *end = strstr(text, ". ");
        size_t length = end ? (size_t)(end - text) + 1 : strlen(text);
        print_wrapped_part(to, MAN_COLUMNS, "", text, length);
        text += length;
        text += *text == ' ';
    }
}

/* As text, not as the argument of a macro, which would lose its quotes. */
static void man_description(FILE *to, const char *description)
{
    char line[LINE_BYTES + 4];
    snprintf(line, sizeof line, "(%s)", description);
    print_wrapped_part(to, MAN_COLUMNS, "", line, strlen(line));
}

static void man_section(FILE *to, const struct section *section, const char *path)
{
    char line[LINE_BYTES], child[PATH_BYTES];
    struct buffer description;
    buffer_init_fixed(&description, line, sizeof line);
    fputs(".Bl -tag -width Ds\n", to);
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        if (key->section)
            continue;
        fprintf(to, ".It Cm %s%s%s\n", path, *path ? "." : "", key->name);
        man_sentences(to, key->help);
        man_description(to, describe_key(&description, key));
    }
    fputs(".El\n", to);
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        if (!key->section)
            continue;
        snprintf(child, sizeof child, "%s%s%s", path, *path ? "." : "", key->name);
        fprintf(to, ".Ss %s\n", child);
        man_sentences(to, key->help);
        fprintf(to, "%s\n", key->list ? "A list of groups." : "A group.");
        man_section(to, key->section, child);
    }
}

void config_print_man(FILE *to)
{
    man_section(to, &config_schema, "");
}

/* ---------------------------------------------------------------- conf/netboot.conf */

/* A line of the example: '#', indentation, text. Without its '#' it is a line of a real file, so
 * that comments below the first level keep one of their own. */
struct example {
    FILE *to;
    unsigned depth;
};

static void example_prose(const struct example *example, const char *text)
{
    char prefix[64];
    if (example->depth)
        snprintf(prefix, sizeof prefix, "#%*s# ", (int)(2 * example->depth), "");
    else
        snprintf(prefix, sizeof prefix, "# ");
    print_wrapped(example->to, prefix, text);
}

static void example_line(const struct example *example, const char *text)
{
    fprintf(example->to, "#%*s%s\n", (int)(2 * example->depth), "", text);
}

static void example_section(const struct example *example, const struct section *section);

static void example_group(const struct example *example, const struct key *key)
{
    struct example inside = {.to = example->to, .depth = example->depth + (key->list ? 2 : 1)};
    struct example brace = {.to = example->to, .depth = example->depth + 1};
    char line[LINE_BYTES];
    snprintf(line, sizeof line, "%s = %s", key->name, key->list ? "(" : "{");
    example_line(example, line);
    if (key->list)
        example_line(&brace, "{");
    example_section(&inside, key->section);
    if (key->list)
        example_line(&brace, "}");
    example_line(example, key->list ? ")" : "}");
}

static void example_key(const struct example *example, const struct key *key)
{
    char line[LINE_BYTES];
    struct buffer text;
    buffer_init_fixed(&text, line, sizeof line);
    describe_key(&text, key);
    struct buffer setting;
    char setting_line[LINE_BYTES];
    buffer_init_fixed(&setting, setting_line, sizeof setting_line);
    if (!key->fallback || key->words || key->type->print_bound) {
        char parenthesis[LINE_BYTES + 4];
        snprintf(parenthesis, sizeof parenthesis, "(%s)", buffer_string(&text));
        example_prose(example, parenthesis);
    }
    buffer_format(&setting, "%s%s = ", key->commented ? "#" : "", key->name);
    describe_value(&setting, key, key->fallback ? key->fallback : key->example);
    example_line(example, buffer_string(&setting));
}

static void example_section(const struct example *example, const struct section *section)
{
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        if (!example->depth)
            fputc('\n', example->to);
        example_prose(example, key->help);
        if (key->section)
            example_group(example, key);
        else
            example_key(example, key);
    }
}

void config_print_example(FILE *to)
{
    struct example example = {.to = to};
    fputs(example_head, to);
    example_section(&example, &config_schema);
}
