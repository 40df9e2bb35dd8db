/*
 * http_connection.h - the two halves of the HTTP server: http_server.c accepts and runs
 * libmicrohttpd, http_connection.c has what becomes of a connection and its requests.
 */
#pragma once
#include <microhttpd.h>

#include "address.h"
#include "http_server.h"
#include "listen.h"

#include <netboot-target/util/log.h>

struct http_port;

struct http_connection {
    struct http_connection *prev, *next;
    struct http_server *http;
    enum http_listener kind;
    int socket;
    struct sockaddr_storage peer;
    char peer_text[ADDRESS_TEXT_BYTES];
    char peer_host[INET6_ADDRSTRLEN], local_host[INET6_ADDRSTRLEN];
    uint16_t local_port;
    ev_timer deadline; /* for the header and body, then for taking the answer */
    struct http_request request;
    struct http_match match;
    struct http_refusal refusal;
    struct buffer body;
    bool begun, refused;
    bool asks;    /* a request's header has come, its answer has not left */
    bool leaving; /* the socket is shut down; libmicrohttpd has yet to notice */
    /* of the answer that is leaving; see struct http_response */
    void (*sent)(void *context, enum http_sent sent);
    void *sent_context;
    bool sends_end; /* the answer has the last byte of what was asked for */
};

struct http_server {
    struct server *server;
    struct config *config; /* its own reference: limits, addresses, host names */
    struct MHD_Daemon *daemon;
    struct listeners listeners;
    struct http_port *ports;
    struct http_connection *connections;
    unsigned connection_count;        /* of those that are not leaving */
    struct http_connection *arriving; /* while libmicrohttpd takes it over */
    struct http_routes *routes;
    struct http_routes status_routes;
    ev_io readable;
    ev_timer timeout;
    struct log_limit refusal_limit;
};

/* A connection in the server's list, its deadline running. NULL: out of memory. */
struct http_connection *http_connection_new(struct http_server *http, enum http_listener kind,
                                            int socket, const struct sockaddr_storage *peer);
void http_connection_free(struct http_connection *connection);
/* Ends the one that has been without a complete request for longest. False: there is none. */
bool http_connection_end_idle(struct http_server *http);
/* Our own limits and decisions about requests in libmicrohttpd. NULL: it does not start. */
struct MHD_Daemon *http_connection_start_daemon(struct http_server *http);
