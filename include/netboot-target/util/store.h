/*
 * store.h - small named records that must survive the process (identities, reservations, owners,
 * secrets), as an interface: pure rooms ask, server/ keeps them in the state directory.
 */
#pragma once
#include <stddef.h>

/* Called on the loop when the record is on stable storage (result 0) or could not be (-errno). */
typedef void (*store_done)(void *context, int result);

struct store {
    /* Replaces record `name` ([A-Za-z0-9._-]{1,128}) atomically and durably. `data` is copied. */
    void (*put)(struct store *store, const char *name, const void *data, size_t length,
                store_done done, void *context);
};
