/* text.c - see text.h */
#include <string.h>

#include "text.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

bool text_next_line(struct text *rest, struct text *ret_line)
{
    if (!rest->length)
        return false;
    const char *end = memchr(rest->at, '\n', rest->length);
    size_t length = end ? (size_t)(end - rest->at) : rest->length;
    *ret_line = (struct text){.at = rest->at, .length = length};
    size_t used = length + (end != NULL);
    rest->at += used;
    rest->length -= used;
    return true;
}

bool text_next_word(struct text *rest, struct text *ret_word)
{
    *rest = text_trimmed(*rest);
    size_t length = 0;
    while (length < rest->length && !is_blank(rest->at[length]))
        length++;
    *ret_word = (struct text){.at = rest->at, .length = length};
    rest->at += length;
    rest->length -= length;
    return length > 0;
}

struct text text_trimmed(struct text text)
{
    while (text.length && is_blank(text.at[0])) {
        text.at++;
        text.length--;
    }
    while (text.length && is_blank(text.at[text.length - 1]))
        text.length--;
    return text;
}

bool text_is(struct text text, const char *string)
{
    return text.length == strlen(string) && !memcmp(text.at, string, text.length);
}

bool text_begins(struct text text, const char *string)
{
    size_t length = strlen(string);
    return text.length >= length && !memcmp(text.at, string, length);
}

char *text_copy(struct text text)
{
    return strndup(text.at, text.length);
}

struct text text_unquote(struct text text, char *to, size_t size)
{
    size_t length = 0, i = 0;
    char quote = '\0';
    for (; i < text.length; i++) {
        char c = text.at[i];
        if (!quote && (is_blank(c) || c == ';' || c == '\0'))
            break;
        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? '\0' : c;
            continue;
        }
        if (c == '\\' && quote != '\'' && i + 1 < text.length)
            c = text.at[++i];
        if (length + 1 < size)
            to[length++] = c;
    }
    to[length] = '\0';
    return i ? (struct text){.at = text.at + i, .length = text.length - i} : text;
}
