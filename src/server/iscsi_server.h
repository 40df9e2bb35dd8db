/* iscsi_server.h - what iscsi_server.c (portals), iscsi_client.c (connections) and iscsi_events.c
 * share. */
#pragma once
#include "internal.h"
#include "listen.h"
#include "login_delay.h"
#include "peer_lines.h"

#include <netboot-target/util/log.h>

struct client;

struct portal {
    struct portal *prev, *next;
    struct iscsi_server *server;
    struct listener listener;
};

struct iscsi_server {
    struct server *server;
    struct listeners listeners;
    struct portal *portals;
    struct client *clients, *dirty;
    unsigned dirty_count;
    uint8_t *scratch, *slab;
    ev_prepare pump;
    ev_idle again;           /* runs when connections are dirty right before the loop would sleep */
    ev_timer deadlines;      /* runs only while a login or a blocked socket has one */
    struct peer_lines lines; /* how many each peer has caused */
    struct login_delay login_delay;
};

/* Takes over an accepted socket. */
void client_new(struct iscsi_server *iscsi, int descriptor, const struct sockaddr_storage *peer);
/* Starts and stops the watchers that pump connections. */
int clients_start(struct iscsi_server *iscsi);
void clients_stop(struct iscsi_server *iscsi);
/* A deadline has been set: on_deadlines() runs every second until there is none. */
void clients_want_deadlines(struct iscsi_server *iscsi);
/* Tells of lines that were left out since the last time. True: there will be more to tell. */
bool iscsi_events_tell_left_out(struct iscsi_server *iscsi);
