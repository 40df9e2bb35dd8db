/* status_machines.h - gathers what the status tells of boot interfaces and of machines. */
#pragma once
#include <netboot-target/status.h>

#include "internal.h"

struct machines;

/* NULL: out of memory. Strings are borrowed from the journal: write them down at once. */
struct machines *machines_gather(struct server *server, bool with_steps);
void machines_free(struct machines *machines);
/* Points the report at them. */
void machines_report(const struct machines *machines, struct status_report *report);
