/*
 * error.h - an error a person reads: one complete sentence that says what, where (file:line,
 * client, field), why, and what to do. Machines act on negative errno values instead.
 */
#pragma once

#define ERROR_TEXT_BYTES 768

struct error {
    char text[ERROR_TEXT_BYTES];
};

/* Writes the sentence (cut at ERROR_TEXT_BYTES) and returns `code`, so that a caller can write
 * `return error_set(error, -EINVAL, …)`. `error` may be NULL. */
int error_set(struct error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
