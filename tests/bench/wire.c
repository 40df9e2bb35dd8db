#include "wire.h"

#include <string.h>

const char *text_value(const char *text, size_t length, const char *key)
{
    size_t key_length = strlen(key);
    for (const char *end = text + length; text < end;
         text += strnlen(text, (size_t)(end - text)) + 1) {
        if ((size_t)(end - text) > key_length && !memcmp(text, key, key_length) &&
            text[key_length] == '=')
            return text + key_length + 1;
    }
    return NULL;
}
