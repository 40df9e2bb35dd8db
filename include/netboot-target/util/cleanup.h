/*
 * cleanup.h - every cleanup attribute this project allows, on one page.
 *   _cleanup_(thing_freep) struct thing *thing = thing_new();
 */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/* Defines TYPE_freep for a pointer type whose destructor accepts NULL. */
#define DEFINE_CLEANUP(type, function)          \
    static inline void function##p(type *thing) \
    {                                           \
        function(*thing);                       \
    }

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close(const int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

static inline void cleanup_fclose(FILE **file)
{
    if (*file)
        fclose(*file);
}

#define _cleanup_free_   _cleanup_(cleanup_free)
#define _cleanup_close_  _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)

/* Hands a resource on: reads the variable and leaves `empty` behind, so its cleanup does nothing.
 */
#define take(variable, empty)                          \
    ({                                                 \
        __typeof__(variable) taken_value = (variable); \
        (variable) = (empty);                          \
        taken_value;                                   \
    })
#define take_pointer(variable)    take(variable, NULL)
#define take_descriptor(variable) take(variable, -1)
