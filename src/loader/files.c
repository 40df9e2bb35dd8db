/* files.c - os-release(5), /etc/default/grub, fstab(5), /etc/kernel/cmdline. */
#include <stdio.h>
#include <string.h>

#include <netboot-target/loader.h>

#include "text.h"

bool loader_shell_value(const char *text, size_t length, const char *name,
                        char ret_value[LOADER_VALUE_BYTES])
{
    struct text rest = {.at = text, .length = length}, line;
    size_t name_length = strlen(name);
    bool found = false;
    while (text_next_line(&rest, &line)) {
        line = text_trimmed(line);
        if (!text_begins(line, name) || line.length == name_length || line.at[name_length] != '=')
            continue;
        struct text value = {.at = line.at + name_length + 1,
                             .length = line.length - name_length - 1};
        text_unquote(value, ret_value, LOADER_VALUE_BYTES);
        found = true;
    }
    return found;
}

static bool is_octal(const char *digits)
{
    return digits[0] >= '0' && digits[0] <= '3' && digits[1] >= '0' && digits[1] <= '7' &&
           digits[2] >= '0' && digits[2] <= '7';
}

/* fstab(5): a blank is written as \040, and quotes may stand around a label. What is too long
 * counts as nothing. */
static void copy_field(struct text field, char to[LOADER_PATH_BYTES])
{
    size_t used = 0;
    for (size_t i = 0; i < field.length; i++) {
        char c = field.at[i];
        if (c == '"' || c == '\'')
            continue;
        if (used + 1 == LOADER_PATH_BYTES) {
            used = 0;
            break;
        }
        if (c == '\\' && field.length - i > 3 && is_octal(field.at + i + 1)) {
            c = (char)((field.at[i + 1] - '0') << 6 | (field.at[i + 2] - '0') << 3 |
                       (field.at[i + 3] - '0'));
            i += 3;
        }
        to[used++] = c;
    }
    to[used] = '\0';
}

bool loader_fstab_find(const char *text, size_t length, const char *directory,
                       char ret_device[LOADER_PATH_BYTES], char ret_options[LOADER_PATH_BYTES])
{
    struct text rest = {.at = text, .length = length}, line;
    while (text_next_line(&rest, &line)) {
        struct text device, where, type, options = {0};
        if (!text_next_word(&line, &device) || device.at[0] == '#' ||
            !text_next_word(&line, &where) || !text_is(where, directory))
            continue;
        if (text_next_word(&line, &type))
            text_next_word(&line, &options);
        copy_field(device, ret_device);
        copy_field(options, ret_options);
        return true;
    }
    return false;
}

void loader_cmdline_file(struct buffer *out, const char *text, size_t length)
{
    struct text rest = {.at = text, .length = length}, line, word;
    size_t start = out->length;
    while (text_next_line(&rest, &line)) {
        if (text_begins(text_trimmed(line), "#"))
            continue;
        while (text_next_word(&line, &word)) {
            if (out->length > start)
                buffer_append_string(out, " ");
            buffer_append(out, word.at, word.length);
        }
    }
}
