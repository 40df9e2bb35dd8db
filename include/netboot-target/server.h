/*
 * server.h - the edge: one loop, its sockets, disks and signals, until it is told to stop.
 */
#pragma once
#include <stdbool.h>
#include <stdio.h>

#include <netboot-target/config.h>
#include <netboot-target/util/log.h>

struct server_options {
    const char *config_path; /* NULL: export_devices */
    char *const *export_devices;
    unsigned export_count;
    bool open; /* with export_devices: no authentication */
    enum log_level log_level;
    bool log_level_set;     /* overrides the config */
    char *const *arguments; /* of the program, as it was started */
};

/* Runs until SIGTERM or SIGINT. Returns the exit status: 0 after an orderly shutdown, 1 when it
 * could not start (the log says why). */
int server_run(const struct server_options *options);

/* Looks at this machine and says in words what would stop a boot. Returns the exit status: 0 when
 * nothing would. */
int server_doctor(const struct config *config, FILE *to);
