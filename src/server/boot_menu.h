/* boot_menu.h - what can be chosen, what each client chose last, and the kernels on their way. */
#pragma once
#include "internal.h"

#include <netboot-target/boot/catalog.h>

int boot_menu_start(struct server *server, struct error *error);
void boot_menu_free(struct server *server);

/* A kernel or initrd by the key of its URL: one that a script named within the last minutes. A
 * reference for the caller; NULL: there is none. */
struct boot_blob *boot_menu_find_file(struct server *server, const char *key);
