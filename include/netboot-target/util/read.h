/* read.h - reading files, whatever read(2) is interrupted by. */
#pragma once
#include <stddef.h>

/* Reads until `size` bytes are there or the end. 0, or -errno. */
int read_up_to(int descriptor, void *to, size_t size, size_t *ret_length);
/* The same; -EIO when there are fewer. */
int read_exactly(int descriptor, void *to, size_t size);
