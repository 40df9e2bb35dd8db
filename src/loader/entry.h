/* entry.h - what the readers of boot loader files share in filling an entry. */
#pragma once
#include <stdbool.h>

#include <netboot-target/loader.h>

#include "text.h"

/* Copies the path. False: there are BOOT_ENTRY_INITRDS_LIMIT of them already, or out of memory. */
bool loader_entry_add_initrd(struct loader_entry *entry, struct text path);
