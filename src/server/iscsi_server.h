/* iscsi_server.h - what iscsi_server.c (portals) and iscsi_client.c (connections) share. */
#pragma once
#include "internal.h"
#include "listen.h"
#include "login_delay.h"

#include <netboot-target/util/log.h>

struct client;

struct portal {
    struct portal *prev, *next;
    struct iscsi_server *server;
    struct listener listener;
};

struct iscsi_server {
    struct server *server;
    struct portal *portals;
    struct client *clients, *dirty;
    uint8_t *scratch, *slab;
    ev_prepare pump;
    ev_idle again;      /* runs when connections are dirty right before the loop would sleep */
    ev_timer deadlines; /* runs only while a login or a blocked socket has one */
    ev_timer accept_again;
    struct log_limit event_limit;
    struct login_delay login_delay;
    int spare; /* given up for a moment to refuse a connection when descriptors run out */
};

/* Takes over an accepted socket. */
void client_new(struct iscsi_server *iscsi, int descriptor, const struct sockaddr_storage *peer);
/* Starts and stops the watchers that pump connections. */
int clients_start(struct iscsi_server *iscsi);
void clients_stop(struct iscsi_server *iscsi);
