/* http_server.h - what other files of the edge hang into the HTTP server. */
#pragma once
#include <netboot-target/http.h>

#include "internal.h"

/* `routes` stays the caller's and must live as long as the server. The boot listener opens its
 * ports with its first route. */
void http_server_add_routes(struct server *server, struct http_routes *routes);
/* The port of the boot listener at this address of ours, 0: it is not open there. */
uint16_t http_server_boot_port(const struct server *server, const char *local);
