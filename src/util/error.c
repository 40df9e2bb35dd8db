/* error.c - see error.h */
#include <stdarg.h>
#include <stdio.h>

#include <netboot-target/util/error.h>

int error_set(struct error *error, int code, const char *format, ...)
{
    if (!error)
        return code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}

void error_prefix(struct error *error, const char *format, ...)
{
    if (!error)
        return;
    char prefix[ERROR_TEXT_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    struct error whole;
    snprintf(whole.text, sizeof whole.text, "%s: %.*s", prefix,
             (int)(sizeof whole.text - sizeof prefix - 3), error->text);
    *error = whole;
}
