/*
 * boot_kernels.h - kernels and initrds on their way to clients. A script names each by a URL that
 * nobody can guess and that is good for some minutes; until then the file stays what it is,
 * whatever a rescan finds. At most 256 of them, the one that was named longest ago makes room: they
 * may be more than discovery.memory holds. Machines with the same kernel share one.
 */
#pragma once
#include "internal.h"

#include <netboot-target/boot/catalog.h>

#define BOOT_KERNEL_KEY_BYTES  33u /* hexadecimal and a NUL */
#define BOOT_KERNEL_PATH_BYTES (sizeof "/kernel//" + BOOT_KERNEL_KEY_BYTES + 256u)

int boot_kernels_start(struct server *server, struct error *error);
/* Before discovery_free(): it made the files. */
void boot_kernels_free(struct server *server);

/* The path of a file's URL. Every script that names it makes it last longer. */
void boot_kernels_name(struct server *server, const struct boot_catalog_file *file,
                       char ret_path[BOOT_KERNEL_PATH_BYTES]);
/* By the key in its URL. A reference for the caller; NULL: there is none. */
struct boot_blob *boot_kernels_find(struct server *server, const char *key);
