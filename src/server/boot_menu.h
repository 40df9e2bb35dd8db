/* boot_menu.h - what can be chosen, and what each client chose last; see boot_asking.h. */
#pragma once
#include "internal.h"

int boot_menu_start(struct server *server, struct error *error);
/* Reads what was chosen before, as soon as that is known. */
void boot_menu_restore(struct server *server);
void boot_menu_free(struct server *server);
