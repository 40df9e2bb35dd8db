/* status_source.h - what the status listener answers. */
#pragma once
#include <netboot-target/http.h>

#include "internal.h"

/* GET /, /status, /clients, /metrics; POST /serving, /luns/TARGET/N/rearm. `context` of the routes:
 * the server. */
extern const struct http_route status_routes[];
extern const unsigned status_route_count;
