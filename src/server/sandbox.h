/*
 * sandbox.h - what the daemon gives up for good before it listens: its user where there is a better
 * one, capabilities, system calls and files that it will not need. Under its unit systemd has done
 * most of it; by hand this does it alone. Best effort: what the machine does not offer is said in
 * the log, and disks are served all the same.
 *
 *   sandbox_user.c          from root to the user netboot-target
 *   sandbox_capabilities.c  those that no configured interface or disk needs
 *   sandbox_files.c         Landlock
 *   sandbox_calls.c         system calls
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/config.h>
#include <netboot-target/server.h>
#include <netboot-target/util/error.h>

#define SANDBOX_USER "netboot-target"

struct sandbox {
    uint64_t needed; /* capabilities, bit by number; others were given up */
    bool has_files;  /* Landlock holds */
};

/* Before the first thread is started: each of these rights belongs to a thread. May start the
 * program anew, with fewer capabilities. */
void sandbox_enter(struct sandbox *sandbox, const struct server_options *options,
                   const struct config *config);
/* Says what a new configuration needs and only a restart brings back. */
void sandbox_reload(const struct sandbox *sandbox, const struct config *config);

/* ── its parts ───────────────────────────────────────────────────────────────────────────────── */

/* Root becomes that user where everything configured stays within its reach, else says why not. It
 * keeps its capabilities as permitted ones. Returns whether it did. */
bool sandbox_change_user(const struct server_options *options, const struct config *config);

/* Those that this configuration may need, bit by number, whoever runs it. */
uint64_t sandbox_needed_capabilities(const struct config *config);
/* Keeps no others. Returns them. */
uint64_t sandbox_drop_capabilities(const struct server_options *options,
                                   const struct config *config);

/* With no_new_privs set. 0, -EOPNOTSUPP: the kernel has no Landlock. */
int sandbox_give_up_files(const struct server_options *options, const struct config *config);
int sandbox_filter_system_calls(void);

/* Calls `visit` for every disk of a LUN or client that is named by a path: "%m" may be in it. */
void sandbox_each_path(const struct config *config, void (*visit)(void *context, const char *path),
                       void *context);
/* "/dev/…": its node is the system's. */
bool sandbox_is_node(const char *path);
