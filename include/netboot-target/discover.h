/*
 * discover.h - the helper process that reads a disk: finds what can be booted from it and sends it
 * to the daemon. It has no right but to read this disk, and ends with its work.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/error.h>

struct discover_known {
    uint8_t sha256[32];
    uint64_t bytes;
};

struct discover_options {
    const char *disk; /* an absolute path */
    int socket;       /* where packets go, see src/server/discovery_helper.h */
    uint64_t memory_bytes;
    uint64_t time_ms;
    const char *partition;         /* NULL: all */
    const char *path;              /* NULL: the usual folders */
    const char *cmdline;           /* NULL: as the disk has it */
    enum boot_initramfs initramfs; /* unknown: look into it */
    bool without_landlock;         /* where the kernel has none */
    const struct discover_known *known;
    unsigned known_count;
};

/* Gives away every right that reading the disk does not need: for this process and its children,
 * for good. -EOPNOTSUPP: the kernel has no Landlock, and `without_landlock` is not set. */
int discover_confine(const struct discover_options *options, struct error *error);
/* Finds and sends. -errno: `error` says why there is no index. */
int discover_run(const struct discover_options *options, struct error *error);
