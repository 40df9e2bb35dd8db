/* random.h - unpredictable bytes as an argument, so that protocol code stays pure and testable. */
#pragma once
#include <stddef.h>

struct random_source {
    void (*fill)(struct random_source *source, void *to, size_t length);
};

/* getrandom(2); aborts when the kernel cannot give any, which cannot happen after boot. */
extern struct random_source system_random;
