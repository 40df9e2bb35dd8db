/*
 * boot_files.h - the loaders that firmware gets, kept in memory: read at start and at a reload, so
 * that no transfer waits for a disk. A transfer holds a reference to its file.
 */
#pragma once
#include <stdbool.h>

#include "internal.h"

#include <netboot-target/boot.h>
#include <netboot-target/util/byte_source.h>

struct boot_file {
    struct byte_source source;
    unsigned references;
    char *name; /* as clients ask for it: below the folder, without a leading slash */
    uint8_t *data;
};

void boot_file_ref(struct boot_file *file);
void boot_file_unref(struct boot_file *file);
/* A file that is made, not read. Takes `data` (malloc'd) over, also on failure. NULL: out of
 * memory. One reference. */
struct boot_file *boot_file_new(const char *name, uint8_t *data, uint64_t bytes);

struct boot_files;

/* Reads what the config names, and everything in its custom directory; on a worker but for the
 * first time. What is missing is told when reading has ended. */
int boot_files_start(struct server *server, struct error *error);
void boot_files_reload(struct server *server, struct config *config);
void boot_files_free(struct server *server);
/* NULL: there is none of this name. Borrowed: take a reference to keep it over the loop's turn. */
struct boot_file *boot_files_find(const struct server *server, const char *name);
/* The file of boot.files that this architecture loads. */
const char *boot_files_name(const struct config *config,
                            const struct boot_architecture *architecture);
/* Where a missing file was looked for. */
const char *boot_files_folder(const struct server *server);
