/* array.h - small arithmetic everybody needs. */
#pragma once
#include <stddef.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define min_of(a, b)                   \
    ({                                 \
        __auto_type min_a = (a);       \
        __auto_type min_b = (b);       \
        min_a < min_b ? min_a : min_b; \
    })

#define max_of(a, b)                   \
    ({                                 \
        __auto_type max_a = (a);       \
        __auto_type max_b = (b);       \
        max_a > max_b ? max_a : max_b; \
    })

/* `alignment` is a power of two. */
#define round_up(value, alignment) \
    (((value) + ((alignment)-1)) & ~((__typeof__(value))(alignment)-1))
#define round_down(value, alignment) ((value) & ~((__typeof__(value))(alignment)-1))
