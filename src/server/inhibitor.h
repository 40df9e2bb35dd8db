/*
 * inhibitor.h - keeps this machine awake while others run from its disks: a lock of logind's on
 * sleep and on the lid switch, which logind takes back when we end, however we end. Nothing here
 * ever waits; where there is no system bus, no logind or no permission, the log says so once and
 * everything else goes on.
 */
#pragma once
#include "internal.h"

struct inhibitor;

/* Follows the number of the server's sessions from the next turn of its loop on. NULL: out of
 * memory. */
struct inhibitor *inhibitor_new(struct server *server);
void inhibitor_free(struct inhibitor *inhibitor);
