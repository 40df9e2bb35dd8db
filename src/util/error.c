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
