/*
 * amount.h - bytes and seconds as a person says them, cut to what matters. Each returns `to->text`.
 */
#pragma once

#include <stdint.h>

struct amount {
    char text[32];
};

/* "1.5 GiB", "512 B" */
const char *amount_bytes(struct amount *to, uint64_t bytes);
/* "3 d 4 h", "12 s" */
const char *amount_duration(struct amount *to, uint64_t seconds);
