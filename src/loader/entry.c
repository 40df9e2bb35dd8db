/* entry.c - type 1 entries of the Boot Loader Specification (UAPI.1), and GRUB's way with them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#include "entry.h"

void loader_entry_done(struct loader_entry *entry)
{
    char *const strings[] = {entry->id,       entry->title,  entry->version, entry->machine_id,
                             entry->sort_key, entry->kernel, entry->options, entry->efi};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    for (unsigned i = 0; i < entry->initrd_count; i++)
        free(entry->initrds[i]);
    *entry = (struct loader_entry){0};
}

bool loader_entry_add_initrd(struct loader_entry *entry, struct text path)
{
    char *copy = entry->initrd_count < BOOT_ENTRY_INITRDS_LIMIT ? text_copy(path) : NULL;
    if (!copy)
        return false;
    entry->initrds[entry->initrd_count++] = copy;
    return true;
}

/* "+LEFT" or "+LEFT-DONE" at the end of a name; returns where it begins, or its end. */
static size_t counter_start(const char *name, size_t length, int *ret_tries_left)
{
    size_t plus = length;
    while (plus && name[plus - 1] != '+')
        plus--;
    size_t digits = plus ? strspn(name + plus, "0123456789") : 0;
    if (!digits || digits > 6)
        return length;
    size_t end = plus + digits;
    if (name[end] == '-' && end < length)
        end += 1 + strspn(name + end + 1, "0123456789");
    if (end != length)
        return length;
    *ret_tries_left = (int)strtol(name + plus, NULL, 10);
    return plus - 1;
}

char *loader_entry_id(const char *file_name, const char *suffix, int *ret_tries_left)
{
    size_t length = strlen(file_name), tail = strlen(suffix);
    if (length <= tail || strcasecmp(file_name + length - tail, suffix) != 0)
        return NULL;
    *ret_tries_left = -1;
    return strndup(file_name, counter_start(file_name, length - tail, ret_tries_left));
}

/* ---------------------------------------------------------------- lines */

struct parsing {
    struct loader_entry *entry;
    const struct loader_variables *variables;
    struct buffer options;
    bool is_incomplete; /* a value that is too long, or no memory: half of it would not boot */
};

/* GRUB fills in variables everywhere, systemd-boot nowhere; a $ of another meaning is rare. */
static char *expanded(struct parsing *parsing, struct text value)
{
    struct buffer out;
    _cleanup_free_ char *plain = text_copy(value);
    buffer_init(&out, BOOT_ENTRY_OPTIONS_BYTES);
    if (plain)
        loader_expand(&out, plain, parsing->variables);
    const char *text = plain ? buffer_string(&out) : NULL;
    char *copy = text ? strdup(text) : NULL;
    buffer_done(&out);
    parsing->is_incomplete |= !copy;
    return copy;
}

static void replace(char **field, char *value)
{
    free(*field);
    *field = value;
}

/* One line may name several, and there may be several lines. */
static void add_initrds(struct parsing *parsing, struct text value)
{
    struct loader_entry *entry = parsing->entry;
    _cleanup_free_ char *all = expanded(parsing, value);
    struct text rest = {.at = all, .length = all ? strlen(all) : 0}, word;
    while (all && text_next_word(&rest, &word))
        parsing->is_incomplete |= !loader_entry_add_initrd(entry, word);
}

static void add_options(struct parsing *parsing, struct text value)
{
    _cleanup_free_ char *plain = text_copy(value);
    char *all = expanded(parsing, value);
    if (plain && loader_lacks(plain, "kernelopts", parsing->variables))
        parsing->entry->lacks_options = true;
    if (!all)
        return;
    if (parsing->options.length)
        buffer_append_string(&parsing->options, " ");
    buffer_append_string(&parsing->options, all);
    free(all);
}

static void take_line(struct parsing *parsing, struct text line)
{
    struct loader_entry *entry = parsing->entry;
    const struct {
        const char *key;
        char **field;
    } fields[] = {
        {"title",      &entry->title     },
        {"version",    &entry->version   },
        {"machine-id", &entry->machine_id},
        {"sort-key",   &entry->sort_key  },
        {"linux",      &entry->kernel    },
        {"efi",        &entry->efi       },
    };
    struct text key;
    if (!text_next_word(&line, &key) || key.at[0] == '#')
        return;
    struct text value = text_trimmed(line);
    if (!value.length)
        return;
    if (text_is(key, "initrd"))
        add_initrds(parsing, value);
    else if (text_is(key, "options"))
        add_options(parsing, value);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (text_is(key, fields[i].key))
            replace(fields[i].field, expanded(parsing, value));
}

int loader_entry_parse(struct loader_entry *ret_entry, const char *file_name, const char *text,
                       size_t length, const struct loader_variables *variables)
{
    int result = -EINVAL;
    struct loader_entry entry = {0};
    struct parsing parsing = {.entry = &entry, .variables = variables};
    struct text rest = {.at = text, .length = length}, line;
    entry.id = loader_entry_id(file_name, ".conf", &entry.tries_left);
    if (!entry.id)
        return -EINVAL;
    buffer_init(&parsing.options, BOOT_ENTRY_OPTIONS_BYTES);
    while (text_next_line(&rest, &line))
        take_line(&parsing, line);
    const char *options = buffer_string(&parsing.options);
    if (options && !parsing.is_incomplete && (entry.kernel || entry.efi)) {
        entry.options = strdup(options);
        result = entry.options ? 0 : -ENOMEM;
    }
    buffer_done(&parsing.options);
    if (result)
        loader_entry_done(&entry);
    else
        *ret_entry = entry;
    return result;
}

/* ---------------------------------------------------------------- our own */

static bool has_word(const char *line, const char *word)
{
    struct text rest = {.at = line, .length = strlen(line)}, one;
    while (text_next_word(&rest, &one))
        if (text_is(one, word))
            return true;
    return false;
}

bool loader_entry_is_ours(const struct loader_entry *entry)
{
    static const char *const words[] = {"rd.systemd.unit=netboot-target.target",
                                        "systemd.unit=netboot-target.target", "boot=netboot_target",
                                        "boot=netboot-target"};
    for (size_t i = 0; entry->options && i < ARRAY_SIZE(words); i++)
        if (has_word(entry->options, words[i]))
            return true;
    for (unsigned i = 0; i < entry->initrd_count; i++)
        if (strstr(entry->initrds[i], "netboot-target"))
            return true;
    return entry->id && strstr(entry->id, "netboot-target");
}

/* ---------------------------------------------------------------- order */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *skip_separators(const char *at)
{
    while (*at && !is_digit(*at) && !is_letter(*at) && !strchr("~-^.", *at))
        at++;
    return at;
}

static int sign_of(long difference)
{
    return (difference > 0) - (difference < 0);
}

/* Both begin with digits, or only one does and is the newer one. */
static int compare_numbers(const char **one, const char **two)
{
    size_t a = strspn(*one, "0123456789"), b = strspn(*two, "0123456789");
    if (!a || !b)
        return (a > 0) - (b > 0);
    size_t zeros_a = strspn(*one, "0"), zeros_b = strspn(*two, "0");
    int result = sign_of((long)(a - zeros_a) - (long)(b - zeros_b));
    if (!result)
        result = memcmp(*one + zeros_a, *two + zeros_b, a - zeros_a);
    *one += a;
    *two += b;
    return result;
}

static int compare_letters(const char **one, const char **two)
{
    size_t a = 0, b = 0;
    while (is_letter((*one)[a]))
        a++;
    while (is_letter((*two)[b]))
        b++;
    int result = memcmp(*one, *two, min_of(a, b));
    if (!result)
        result = sign_of((long)a - (long)b);
    *one += a;
    *two += b;
    return result;
}

/* A sign that only one of both has makes that one the older. True: `ret_result` is the answer. */
static bool compare_sign(char sign, const char **one, const char **two, int *ret_result)
{
    if (**one != sign && **two != sign)
        return false;
    *ret_result = (**one != sign) - (**two != sign);
    if (*ret_result)
        return true;
    ++*one;
    ++*two;
    return false;
}

/* UAPI.10, "Algorithm". */
int loader_version_compare(const char *one, const char *two)
{
    int result;
    for (;;) {
        one = skip_separators(one);
        two = skip_separators(two);
        if (compare_sign('~', &one, &two, &result))
            return result;
        if (!*one || !*two)
            return (*one != '\0') - (*two != '\0');
        if (compare_sign('-', &one, &two, &result) || compare_sign('^', &one, &two, &result) ||
            compare_sign('.', &one, &two, &result))
            return result;
        if (is_digit(*one) || is_digit(*two))
            result = compare_numbers(&one, &two);
        else
            result = compare_letters(&one, &two);
        if (result)
            return sign_of(result);
    }
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

int loader_entry_compare(const struct loader_entry *one, const struct loader_entry *two)
{
    int result = (one->tries_left == 0) - (two->tries_left == 0);
    if (!result)
        result = (one->sort_key == NULL) - (two->sort_key == NULL);
    if (!result && one->sort_key) {
        result = sign_of(strcmp(one->sort_key, two->sort_key));
        if (!result)
            result = sign_of(strcmp(or_empty(one->machine_id), or_empty(two->machine_id)));
    }
    if (!result)
        result = loader_version_compare(or_empty(two->version), or_empty(one->version));
    return result ? result : loader_version_compare(or_empty(two->id), or_empty(one->id));
}
