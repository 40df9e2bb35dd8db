/*
 * grub_cfg.c - which line a grub.cfg starts a kernel with. It is a program; only the shape in which
 * grub-mkconfig writes it is understood: menuentry 'TITLE' … {, linux PATH WORDS…, initrd PATHS….
 */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#include "entry.h"

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Words of a command with quotes taken off and variables filled in, a blank between them. Around
 * one that has blanks GRUB puts quotes (grub-core/lib/cmdline.c), or the kernel would take it for
 * several. */
static char *command_words(struct text line, const struct loader_variables *variables)
{
    char word[LOADER_VALUE_BYTES];
    struct buffer out;
    buffer_init(&out, 2 * LOADER_VALUE_BYTES);
    for (line = text_trimmed(line); line.length; line = text_trimmed(line)) {
        if (strchr("#;", line.at[0])) /* or a NUL */
            break;
        line = text_unquote(line, word, sizeof word);
        const char *quote = strchr(word, ' ') ? "\"" : "";
        if (out.length)
            buffer_append_string(&out, " ");
        buffer_append_string(&out, quote);
        loader_expand(&out, word, variables);
        buffer_append_string(&out, quote);
    }
    const char *text = buffer_string(&out);
    char *copy = text ? strdup(text) : NULL;
    buffer_done(&out);
    return copy;
}

/* "linux", "linuxefi", "linux16"; likewise for initrd */
static bool is_command(struct text word, const char *name)
{
    static const char *const endings[] = {"", "efi", "16"};
    size_t length = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
        if (text_begins(word, name) &&
            text_is((struct text){.at = word.at + length, .length = word.length - length},
                    endings[i]))
            return true;
    return false;
}

static bool is_recovery(const char *options)
{
    struct text rest = {.at = options, .length = strlen(options)}, word;
    while (text_next_word(&rest, &word))
        if (text_is(word, "single") || text_is(word, "recovery") || text_is(word, "rescue"))
            return true;
    return false;
}

static void take_linux(struct loader_entry *entry, struct text line, const char *kernel_name,
                       const struct loader_variables *variables)
{
    char *words = command_words(line, variables);
    if (!words)
        return;
    char *blank = strchr(words, ' ');
    const char *options = blank ? blank + 1 : "";
    if (blank)
        *blank = '\0';
    if (!strcmp(last_component(words), kernel_name) && !is_recovery(options)) {
        free(entry->options);
        entry->kernel = strdup(words);
        entry->options = strdup(options);
    }
    free(words);
}

/* False: not all of them fit. */
static bool take_initrds(struct loader_entry *entry, struct text line,
                         const struct loader_variables *variables)
{
    _cleanup_free_ char *words = command_words(line, variables);
    if (!words)
        return false;
    struct text rest = {.at = words, .length = strlen(words)}, word;
    while (text_next_word(&rest, &word))
        if (!loader_entry_add_initrd(entry, word))
            return false;
    return true;
}

bool loader_grub_cfg_find(struct loader_entry *ret_entry, const char *text, size_t length,
                          const char *kernel_name, const struct loader_variables *variables)
{
    struct text rest = {.at = text, .length = length}, line, word;
    char title[LOADER_VALUE_BYTES] = "";
    struct loader_entry entry = {0};
    bool is_whole = true;
    while (text_next_line(&rest, &line)) {
        if (!text_next_word(&line, &word))
            continue;
        bool begins_entry = text_is(word, "menuentry");
        if (entry.kernel && (begins_entry || text_begins(word, "}"))) {
            if (!loader_entry_is_ours(&entry))
                break;
            loader_entry_done(&entry);
            is_whole = true;
        }
        if (begins_entry)
            text_unquote(text_trimmed(line), title, sizeof title);
        else if (!entry.kernel && is_command(word, "linux"))
            take_linux(&entry, line, kernel_name, variables);
        else if (entry.kernel && is_command(word, "initrd"))
            is_whole &= take_initrds(&entry, line, variables);
    }
    if (!is_whole || !entry.kernel || !entry.options || loader_entry_is_ours(&entry)) {
        loader_entry_done(&entry);
        return false;
    }
    if (*title)
        entry.title = strdup(title);
    entry.tries_left = -1;
    *ret_entry = entry;
    return true;
}
