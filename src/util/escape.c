/* escape.c - see escape.h */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <netboot-target/util/escape.h>

static bool is_plain(uint8_t byte)
{
    return byte > 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

char *escape_text(char *to, size_t size, const void *from, size_t length)
{
    const uint8_t *bytes = from;
    size_t used = 0;
    if (!size)
        return to;
    for (size_t i = 0; i < length; i++) {
        size_t wanted = is_plain(bytes[i]) ? 1 : 4;
        size_t kept = i + 1 < length ? 4 : 1; /* room for the cut mark and the NUL */
        if (used + wanted + kept > size) {
            if (used + 4 <= size)
                used += (size_t)snprintf(to + used, size - used, "...");
            break;
        }
        if (wanted == 1)
            to[used++] = (char)bytes[i];
        else
            used += (size_t)snprintf(to + used, size - used, "\\x%02x", bytes[i]);
    }
    to[used] = '\0';
    return to;
}

const char *escape_string(struct escaped *to, const char *string)
{
    if (!string)
        string = "-";
    return escape_text(to->text, sizeof to->text, string, strlen(string));
}
