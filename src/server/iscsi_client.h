/*
 * iscsi_client.h - a connection's halves: iscsi_client.c has its life and its input, iscsi_output.c
 * its output.
 */
#pragma once
#include "iscsi_server.h"

struct client {
    struct client *prev, *next;             /* iscsi_server->clients */
    struct client *dirty_prev, *dirty_next; /* iscsi_server->dirty */
    struct iscsi_server *server;
    struct iscsi_connection *connection;
    int socket;
    ev_io readable, writable;
    ev_timer held; /* until then nothing is read: its address failed to log in too often */
    bool dirty;
    bool in_bulk; /* the last thing that came was a large payload */
    struct unsent *unsent;
    struct late_fetch *late_fetch;
    void *late_buffer; /* what it read; the segment that is being sent lies in it */
    size_t late_buffer_bytes;
    uint64_t blocked_since_us; /* the socket has taken nothing since; 0: it is not blocked */
};

/* Closes and frees it. */
void client_close(struct client *client, const char *reason);
/* The same for one whose answer is cut: the peer must not take it for a whole one, so it sees a
 * reset, not an end. */
void client_reset(struct client *client, const char *reason);
/* It has something to say: client_pump() is called before the loop sleeps. */
void client_mark_dirty(struct client *client);

/* Sends what there is, as far as the socket, the disk and fairness allow. It may be closed then. */
void client_pump(struct client *client);
/* To a peer that broke the protocol: what there is to say is said once, if its socket takes it. */
void client_say_last(struct client *client, const char *reason);
/* Lets go of what has not left. */
void client_drop_output(struct client *client);
