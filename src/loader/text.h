/* text.h - lines and words of configuration files, which have no NUL at their end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct text {
    const char *at;
    size_t length;
};

/* The next line without its end. False: there is none. */
bool text_next_line(struct text *rest, struct text *ret_line);
/* The next word, blanks apart. False: there is none. */
bool text_next_word(struct text *rest, struct text *ret_word);
/* Without blanks at both ends. */
struct text text_trimmed(struct text text);
bool text_is(struct text text, const char *string);
bool text_begins(struct text text, const char *string);
/* A copy with a NUL; NULL bytes inside end it. NULL: out of memory. */
char *text_copy(struct text text);
/* A word of a shell or of grub.cfg with its quotes taken off, into `to`; what does not fit is cut.
 * A $ stays as it is. Returns what stands behind the word. */
struct text text_unquote(struct text text, char *to, size_t size);
