/*
 * discovery.h - what can be booted from the disks we serve. A helper process of little rights reads
 * each disk while nobody has it in use; this file starts it, bounds it and keeps what it found.
 *
 * A disk is looked at when its LUN has opened, after the last session on it has ended, and when
 * somebody asks. Never while a session has it: the result is then the last one.
 */
#pragma once
#include "internal.h"

#include <netboot-target/boot/catalog.h>

int discovery_start(struct server *server);
/* The new configuration is in force. */
void discovery_reload(struct server *server);
void discovery_free(struct server *server);

/* Why there is no newer result, a clause; "": it is the newest. */
const char *discovery_problem(const struct served_lun *lun);
/* The newest result, NULL: none yet. Take a reference to keep it over a turn of the loop. */
struct boot_catalog *discovery_catalog(const struct served_lun *lun);
/* True while a helper reads this disk, or will in a moment. */
bool discovery_is_busy(const struct server *server, const struct served_lun *lun);

/* POST /rescan and the menu's Reload. 0: under way; -EBUSY: a session has the disk; -EAGAIN: looked
 * at a moment ago; -EOPNOTSUPP: discovery is off, `error` says why. */
int discovery_rescan(struct server *server, struct served_lun *lun, struct error *error);

/* The edge tells: the LUN is open; a session on its target began or ended; it is going away. */
void discovery_lun_opened(struct served_lun *lun);
void discovery_sessions_changed(struct served_target *target);
void discovery_lun_closing(struct served_lun *lun);
/* Sees to discovery_sessions_changed(). */
void discovery_iscsi_event(struct server *server, const struct iscsi_event *event);
