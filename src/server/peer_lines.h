/* peer_lines.h - how many lines of the log each peer may cause, so that one that lies all day
 * neither fills the log nor hides what the others cause. Pure. */
#pragma once
#include <netboot-target/util/log.h>

#define PEER_LINES_PEERS       64 /* remembered; a further one takes the place of the longest silent */
#define PEER_LINES_HOST_BYTES  64
#define PEER_LINES_BURST       50 /* of one peer at once, then … */
#define PEER_LINES_INTERVAL_MS 1000
#define PEER_LINES_ALL_BURST   500 /* of all peers together */
#define PEER_LINES_ALL_MS      50
#define PEER_LINES_TELL_MS     10000 /* what was left out is told this often */

struct peer_lines_row {
    char host[PEER_LINES_HOST_BYTES]; /* "": free */
    struct log_limit limit;
    uint64_t last_ms;
    uint32_t left_out; /* since it was told … */
    uint64_t since_ms; /* … the first of them */
};

struct peer_lines {
    struct peer_lines_row rows[PEER_LINES_PEERS];
    struct peer_lines_row forgotten; /* of peers whose row another one has taken */
    struct log_limit all;
};

struct peer_lines_left_out {
    char host[PEER_LINES_HOST_BYTES];
    uint32_t lines;
};

/* `peer`: "192.0.2.7:51234", "[2001:db8::1]:51234"; the port does not matter. */
bool peer_lines_allow(struct peer_lines *lines, const char *peer, uint64_t now_ms);
/* The next peer whose left-out lines are to be told now; they count as told. False: none. */
bool peer_lines_next_left_out(struct peer_lines *lines, uint64_t now_ms,
                              struct peer_lines_left_out *ret_left_out);
/* Something is left to tell, now or later. */
bool peer_lines_any_left_out(const struct peer_lines *lines);
