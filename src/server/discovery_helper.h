/*
 * discovery_helper.h - one run of netboot-target-discover: the process, what it sends, its end.
 *
 * The helper sends packets over a socket: 'F' with a kernel or initrd and 'I' with the index of
 * them all, each a sealed memory file (memfd_create(2)) that is mapped here as it is, or 'E' with a
 * sentence why there is nothing.
 */
#pragma once
#include "discovery_blobs.h"
#include "internal.h"
#include <limits.h>

struct discovery_helper;

/* All runs, also of those that were stopped and still have to end. */
struct discovery_helpers {
    struct ev_loop *loop;
    struct discovery_blobs blobs;
    struct discovery_helper *list;
};

struct discovery_request {
    const char *device;
    uint64_t disk; /* a number of its own each time that it is opened */
    const struct config_kernels *kernels;
    uint64_t memory_bytes; /* for the files it sends */
    uint64_t time_ms;
    bool without_landlock;
};

/* `catalog` is NULL when there is none, and `error` says why. The callee takes the reference over.
 * The helper is gone after this call. */
typedef void (*discovery_done)(void *context, struct boot_catalog *catalog,
                               const struct error *error);

/* The program it runs. */
void discovery_helper_find(char path[static PATH_MAX]);
/* NULL: it cannot be started, `error` says why. */
struct discovery_helper *discovery_helper_start(struct discovery_helpers *helpers,
                                                const struct discovery_request *request,
                                                discovery_done done, void *context,
                                                struct error *error);
/* Kills it; `done` is not called. It goes by itself: a process that waits for a disk may take its
 * time. */
void discovery_helper_stop(struct discovery_helper *helper);
/* Kills them all and waits for none. */
void discovery_helpers_done(struct discovery_helpers *helpers);
