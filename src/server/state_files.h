/* state_files.h - the files of the state directory. Every function may wait for a disk: workers. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#define STATE_NAME_BYTES 129 /* util/store.h, with the NUL */

/* Makes the directory (0700) if it is missing. 0: it can be read, and perhaps written, else
 * `ret_reason` says why not. -errno: it cannot be read. */
int state_files_open(const char *directory, int *ret_descriptor, int *ret_reason);

/* Calls `found` for every name that a record can have; it returns 0, or what ends the walk. */
int state_files_walk(int directory, int (*found)(void *context, const char *name), void *context);

/* A record's content with a NUL behind it, to be wiped and freed. -ENOENT: there is none. Any
 * other -errno: nobody knows. */
int state_files_read(int directory, const char *name, char **ret_data, size_t *ret_length);

/* Replaces it: write, fsync, rename, fsync of the directory. */
int state_files_write(int directory, const char *name, const void *data, size_t length);
