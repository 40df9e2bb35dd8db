/* variables.c - GRUB's environment: grubenv, and what a grub.cfg sets. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/loader.h>

#include "text.h"

#define VARIABLES_LIMIT 256u
#define NAME_BYTES      64u

struct variable {
    struct variable *prev, *next;
    char name[NAME_BYTES];
    char *value;
};

struct loader_variables {
    struct variable *list;
    unsigned count;
};

static bool is_name_byte(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!is_first && c >= '0' && c <= '9');
}

/* How many bytes at `text` are a variable's name. */
static size_t name_length(const char *text, size_t limit)
{
    size_t length = 0;
    while (length < limit && is_name_byte(text[length], length == 0))
        length++;
    return length;
}

struct loader_variables *loader_variables_new(void)
{
    return calloc(1, sizeof(struct loader_variables));
}

void loader_variables_free(struct loader_variables *variables)
{
    struct variable *variable, *next;
    if (!variables)
        return;
    DL_FOREACH_SAFE (variables->list, variable, next) {
        free(variable->value);
        free(variable);
    }
    free(variables);
}

static struct variable *find(const struct loader_variables *variables, struct text name)
{
    struct variable *variable;
    DL_FOREACH (variables->list, variable)
        if (text_is(name, variable->name))
            return variable;
    return NULL;
}

static void set(struct loader_variables *variables, struct text name, const char *value)
{
    struct variable *variable = find(variables, name);
    if (!variable) {
        if (variables->count == VARIABLES_LIMIT || name.length >= NAME_BYTES)
            return;
        variable = calloc(1, sizeof *variable);
        if (!variable)
            return;
        memcpy(variable->name, name.at, name.length);
        DL_APPEND(variables->list, variable);
        variables->count++;
    }
    free(variable->value);
    variable->value = strdup(value);
}

bool loader_variables_read_environment(struct loader_variables *variables, const char *text,
                                       size_t length)
{
    struct text rest = {.at = text, .length = length}, line;
    char value[LOADER_VALUE_BYTES];
    if (!text_begins(rest, "# GRUB Environment Block\n"))
        return false;
    while (text_next_line(&rest, &line)) {
        size_t name = name_length(line.at, line.length);
        if (!name || name == line.length || line.at[name] != '=')
            continue;
        size_t used = 0;
        for (size_t i = name + 1; i < line.length && used + 1 < sizeof value; i++) {
            if (line.at[i] == '\\' && i + 1 < line.length) /* grub-editenv escapes \ and newlines */
                i++;
            value[used++] = line.at[i];
        }
        value[used] = '\0';
        set(variables, (struct text){.at = line.at, .length = name}, value);
    }
    return true;
}

void loader_variables_read_grub_cfg(struct loader_variables *variables, const char *text,
                                    size_t length)
{
    struct text rest = {.at = text, .length = length}, line, word;
    char value[LOADER_VALUE_BYTES];
    while (text_next_line(&rest, &line)) {
        if (!text_next_word(&line, &word) || !text_is(word, "set"))
            continue;
        line = text_trimmed(line);
        size_t name = name_length(line.at, line.length);
        if (!name || name == line.length || line.at[name] != '=')
            continue;
        struct text rhs = {.at = line.at + name + 1, .length = line.length - name - 1};
        text_unquote(rhs, value, sizeof value);
        set(variables, (struct text){.at = line.at, .length = name}, value);
    }
}

const char *loader_variables_get(const struct loader_variables *variables, const char *name)
{
    const struct variable *variable =
        find(variables, (struct text){.at = name, .length = strlen(name)});
    return variable && variable->value ? variable->value : "";
}

bool loader_lacks(const char *text, const char *name, const struct loader_variables *variables)
{
    if (*loader_variables_get(variables, name))
        return false;
    for (const char *at = text; (at = strchr(at, '$')); at++) {
        const char *start = at + 1 + (at[1] == '{');
        if (name_length(start, strlen(start)) == strlen(name) &&
            !strncmp(start, name, strlen(name)))
            return true;
    }
    return false;
}

void loader_expand(struct buffer *out, const char *text, const struct loader_variables *variables)
{
    for (const char *at = text; *at;) {
        bool in_braces = at[0] == '$' && at[1] == '{';
        const char *start = at + (in_braces ? 2 : 1);
        size_t length = at[0] == '$' ? name_length(start, strlen(start)) : 0;
        if (!length || (in_braces && start[length] != '}')) {
            buffer_put_u8(out, (uint8_t)*at++);
            continue;
        }
        const struct variable *variable =
            find(variables, (struct text){.at = start, .length = length});
        if (variable && variable->value) /* once: what a value holds is not filled in again */
            buffer_append_string(out, variable->value);
        at = start + length + in_braces;
    }
}
