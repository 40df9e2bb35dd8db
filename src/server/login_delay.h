/* login_delay.h - an address that failed to log in too often lately has to wait before each further
 * try, so that secrets cannot be guessed at speed (limits.failed-logins-per-minute). Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define LOGIN_DELAY_SOURCES 256 /* remembered; a further one takes the place of the oldest */
#define LOGIN_DELAY_MS      3000

struct login_failures {
    char host[64]; /* "" : free */
    unsigned count;
    uint64_t since_ms; /* the first of them */
};

struct login_delay {
    struct login_failures sources[LOGIN_DELAY_SOURCES];
};

/* `peer`: "192.0.2.7:51234", "[2001:db8::1]:51234"; the port does not matter. Returns how often it
 * has failed within a minute. */
unsigned login_delay_note_failure(struct login_delay *delay, const char *peer, uint64_t now_ms);
/* Whether `peer` has failed at least `limit` times within a minute. */
bool login_delay_applies(const struct login_delay *delay, const char *peer, unsigned limit,
                         uint64_t now_ms);
