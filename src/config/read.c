/* read.c - from libconfig's tree to our structs, row by row of the schema. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

#define PATH_BYTES 200

/* One key of one group while it is read. */
struct reading {
    struct reader *reader;
    const struct key *key;
    const char *path; /* "targets.luns.wait" */
};

/* ---------------------------------------------------------------- problems with their place */

static struct config_place place_of(const struct reader *reader, const config_setting_t *setting)
{
    unsigned line;
    unsigned merged_line = (unsigned)config_setting_source_line(setting);
    const struct source *source = sources_find(reader->sources, merged_line, &line);
    for (unsigned i = 0; i < reader->config->private->files.count; i++) {
        const char *file = reader->config->private->files.items[i];
        if (strcmp(file, source->path) == 0)
            return (struct config_place){.file = file, .line = line};
    }
    return (struct config_place){0};
}

static void report_at(struct reader *reader, const config_setting_t *setting, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));

static void report_at(struct reader *reader, const config_setting_t *setting, const char *format,
                      ...)
{
    struct error sentence;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence.text, sizeof sentence.text, format, arguments);
    va_end(arguments);
    struct config_place place = place_of(reader, setting);
    errors_add(reader->errors, false, place.file, place.line, "%s", sentence.text);
}

static int compare_objects(const void *one, const void *two)
{
    uintptr_t a = (uintptr_t)((const struct read_object *)one)->object;
    uintptr_t b = (uintptr_t)((const struct read_object *)two)->object;
    return (a > b) - (a < b);
}

void reader_sort_objects(struct reader *reader)
{
    if (reader->objects.count)
        qsort(reader->objects.items, reader->objects.count, sizeof *reader->objects.items,
              compare_objects);
}

static const config_setting_t *setting_of(const struct reader *reader, const void *object)
{
    struct read_object wanted = {.object = object};
    if (!reader->objects.count)
        return NULL;
    const struct read_object *found = bsearch(&wanted, reader->objects.items, reader->objects.count,
                                              sizeof wanted, compare_objects);
    return found ? found->setting : NULL;
}

bool reader_has(const struct reader *reader, const void *object, const char *key)
{
    const config_setting_t *setting = setting_of(reader, object);
    return setting && config_setting_get_member(setting, key);
}

void reader_report(struct reader *reader, bool warning, const void *object, const char *key,
                   const char *format, ...)
{
    struct error sentence;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence.text, sizeof sentence.text, format, arguments);
    va_end(arguments);
    const config_setting_t *setting = setting_of(reader, object);
    const config_setting_t *member = setting ? config_setting_get_member(setting, key) : NULL;
    struct config_place place = {0};
    if (setting)
        place = place_of(reader, member ? member : setting);
    errors_add(reader->errors, warning, place.file, place.line, "%s", sentence.text);
}

static void remember(struct reader *reader, const void *object, const config_setting_t *setting)
{
    struct read_object *grown =
        realloc(reader->objects.items, (reader->objects.count + 1) * sizeof *grown);
    if (!grown) {
        report_at(reader, setting, "out of memory");
        return;
    }
    reader->objects.items = grown;
    grown[reader->objects.count++] = (struct read_object){.object = object, .setting = setting};
}

static void report_unknown(struct reader *reader, const struct section *section,
                           const config_setting_t *setting, const char *path)
{
    const char *names[64];
    const char *name = config_setting_name(setting);
    unsigned count = min_of(section->count, (unsigned)ARRAY_SIZE(names));
    for (unsigned i = 0; i < count; i++)
        names[i] = section->keys[i].name;
    const char *nearest = nearest_word(name, names, count);
    const char *within = *path ? " in " : "";
    if (nearest)
        report_at(reader, setting, "there is no key \"%s\"%s%s; did you mean \"%s\"?",
                  escaped(name), within, path, nearest);
    else
        report_at(reader, setting,
                  "there is no key \"%s\"%s%s; netboot-target --help=config lists them all",
                  escaped(name), within, path);
}

/* ---------------------------------------------------------------- single values */

/* A scalar of the tree as text. Returns false where the type is not written like that. */
static bool scalar_text(const struct value_type *type, const config_setting_t *setting,
                        char number[static 32], const char **ret_text)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_STRING:
        *ret_text = config_setting_get_string(setting);
        return type->written_as & WRITTEN_STRING;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(number, 32, "%lld", config_setting_get_int64(setting));
        *ret_text = number;
        return type->written_as & WRITTEN_INTEGER;
    case CONFIG_TYPE_BOOL:
        *ret_text = config_setting_get_bool(setting) ? "true" : "false";
        return type->written_as & WRITTEN_BOOL;
    default:
        return false;
    }
}

/* A secret in the file itself: the file must be private, and the tree's copy is wiped. */
static void guard_secret(struct reading *reading, const config_setting_t *setting)
{
    unsigned line;
    struct error why;
    const struct source *source = sources_find(
        reading->reader->sources, (unsigned)config_setting_source_line(setting), &line);
    if (!source->is_private && source_check_private(source->path, &source->status, &why) != 0)
        report_at(reading->reader, setting, "%s: %s", reading->path, why.text);
    char *text = (char *)config_setting_get_string(setting);
    explicit_bzero(text, strlen(text));
}

/* What was told already, by the pass over the text. */
static bool is_wrapped(const struct reading *reading, const config_setting_t *setting)
{
    return config_setting_type(setting) == CONFIG_TYPE_INT &&
           sources_wrapped(reading->reader->sources, (unsigned)config_setting_source_line(setting));
}

static void read_scalar(struct reading *reading, const config_setting_t *setting, void *to)
{
    if (is_wrapped(reading, setting))
        return;
    const struct key *key = reading->key;
    struct error why = {"out of memory"};
    char number[32];
    const char *text;
    if (!scalar_text(key->type, setting, number, &text)) {
        report_at(reading->reader, setting, "%s: the value is no %s", reading->path,
                  key->type->noun);
        return;
    }
    struct value_input input = {.key = key, .text = text, .options = reading->reader->options};
    if (key->type->parse(&input, to, &why) != 0)
        report_at(reading->reader, setting, "%s: %s", reading->path, why.text);
    if (key->type == &value_secret)
        guard_secret(reading, setting);
}

/* Defaults are ours: a unit test walks them, so that none fails here. */
static void read_default(struct reading *reading, const char *text, void *to)
{
    struct error why = {"out of memory"};
    struct value_input input = {
        .key = reading->key, .text = text, .options = reading->reader->options};
    if (reading->key->type->parse(&input, to, &why) != 0)
        errors_add(reading->reader->errors, false, NULL, 0, "%s: default: %s", reading->path,
                   why.text);
}

/* ---------------------------------------------------------------- lists */

static void *list_allocate(struct reading *reading, void *value, unsigned count)
{
    void *items = calloc(count, key_element_size(reading->key));
    if (!items)
        errors_add(reading->reader->errors, false, NULL, 0, "%s: out of memory", reading->path);
    else
        list_set(value, (struct any_list){.items = items, .count = count});
    return items;
}

static void read_default_list(struct reading *reading, void *value)
{
    _cleanup_free_ char *copy = strdup(reading->key->fallback);
    unsigned count = 1;
    for (const char *p = reading->key->fallback; *p; p++)
        count += *p == ' ';
    char *to = copy ? list_allocate(reading, value, count) : NULL;
    char *rest = copy;
    for (char *word = strsep(&rest, " "); to && word; word = strsep(&rest, " ")) {
        read_default(reading, word, to);
        to += reading->key->type->size;
    }
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not know cleanup attributes
}

static bool list_fits(struct reading *reading, const config_setting_t *setting, unsigned count)
{
    unsigned limit = reading->key->limit ? reading->key->limit : LIST_LIMIT;
    if (count > limit)
        report_at(reading->reader, setting, "%s: %u of them; at most %u are possible",
                  reading->path, count, limit);
    return count <= limit;
}

/* One value may stand without brackets. What is refused counts as one, so that no check calls the
 * list empty. */
static void read_value_list(struct reading *reading, const config_setting_t *setting, void *value)
{
    bool is_list = config_setting_is_array(setting) || config_setting_is_list(setting);
    unsigned count = is_list ? (unsigned)config_setting_length(setting) : 1;
    bool fits = list_fits(reading, setting, count);
    char *items = count ? list_allocate(reading, value, fits ? count : 1) : NULL;
    if (!items || !fits)
        return;
    if (config_setting_is_group(setting))
        report_at(reading->reader, setting, "%s: the value is no list of values: [ \"…\" ]",
                  reading->path);
    else if (!is_list)
        read_scalar(reading, setting, items);
    for (unsigned i = 0; is_list && i < count; i++)
        read_scalar(reading, config_setting_get_elem(setting, i),
                    items + i * reading->key->type->size);
}

static void read_group_list(struct reading *reading, const config_setting_t *setting, void *value)
{
    const struct section *section = reading->key->section;
    unsigned count = (unsigned)config_setting_length(setting);
    if (!config_setting_is_list(setting) && !(config_setting_is_array(setting) && !count)) {
        report_at(reading->reader, setting, "%s: the value is no list of groups: ( { … }, { … } )",
                  reading->path);
        return;
    }
    if (!count || !list_fits(reading, setting, count))
        return;
    char *items = list_allocate(reading, value, count);
    for (unsigned i = 0; items && i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(setting, i);
        bool is_group = config_setting_is_group(element);
        if (!is_group)
            report_at(reading->reader, element, "%s: it holds something else than groups { … }",
                      reading->path);
        read_section(reading->reader, section, is_group ? element : NULL, items + i * section->size,
                     reading->path);
    }
}

/* ---------------------------------------------------------------- groups */

static void read_group(struct reading *reading, const config_setting_t *setting, void *value)
{
    if (setting && !config_setting_is_group(setting)) {
        report_at(reading->reader, setting, "%s: the value is no group { … }", reading->path);
        setting = NULL;
    }
    read_section(reading->reader, reading->key->section, setting, value, reading->path);
}

static void read_missing(struct reading *reading, void *value)
{
    const struct key *key = reading->key;
    if (key->list && key->fallback)
        read_default_list(reading, value);
    else if (key->fallback)
        read_default(reading, key->fallback, value);
}

static void read_value(struct reading *reading, const config_setting_t *setting, void *value)
{
    if (reading->key->type->reset)
        reading->key->type->reset(value);
    if (!setting)
        read_missing(reading, value);
    else if (reading->key->list)
        read_value_list(reading, setting, value);
    else
        read_scalar(reading, setting, value);
}

static void read_key(struct reading *reading, const config_setting_t *setting, void *value)
{
    const struct key *key = reading->key;
    if (!key->section)
        read_value(reading, setting, value);
    else if (!key->list)
        read_group(reading, setting, value);
    else if (setting)
        read_group_list(reading, setting, value);
}

void read_section(struct reader *reader, const struct section *section,
                  const config_setting_t *setting, void *object, const char *path)
{
    char child_path[PATH_BYTES];
    if (setting) {
        struct config_place place = place_of(reader, setting);
        memcpy(object, &place, sizeof place);
        remember(reader, object, setting);
    }
    for (int i = 0; setting && i < config_setting_length(setting); i++) {
        const config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);
        if (!section_find(section, config_setting_name(member)))
            report_unknown(reader, section, member, path);
    }
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        snprintf(child_path, sizeof child_path, "%s%s%s", path, *path ? "." : "", key->name);
        struct reading reading = {.reader = reader, .key = key, .path = child_path};
        read_key(&reading, setting ? config_setting_get_member(setting, key->name) : NULL,
                 (char *)object + key->offset);
    }
}
