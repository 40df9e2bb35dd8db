/* login_delay.c - see login_delay.h */
#include <string.h>

#include "address.h"
#include "login_delay.h"

#define WINDOW_MS 60000

static bool is_of(const struct login_failures *source, const char *peer, uint64_t now_ms)
{
    size_t length = address_host_length(peer);
    return now_ms - source->since_ms < WINDOW_MS && strlen(source->host) == length &&
           !memcmp(source->host, peer, length);
}

static struct login_failures *start(struct login_delay *delay, const char *peer, uint64_t now_ms)
{
    struct login_failures *oldest = &delay->sources[0];
    for (unsigned i = 1; i < LOGIN_DELAY_SOURCES && oldest->host[0]; i++)
        if (!delay->sources[i].host[0] || delay->sources[i].since_ms < oldest->since_ms)
            oldest = &delay->sources[i];
    *oldest = (struct login_failures){.since_ms = now_ms};
    memcpy(oldest->host, peer, address_host_length(peer));
    return oldest;
}

unsigned login_delay_note_failure(struct login_delay *delay, const char *peer, uint64_t now_ms)
{
    size_t length = address_host_length(peer);
    if (!length || length >= sizeof delay->sources[0].host)
        return 0;
    for (unsigned i = 0; i < LOGIN_DELAY_SOURCES; i++)
        if (is_of(&delay->sources[i], peer, now_ms))
            return ++delay->sources[i].count;
    return start(delay, peer, now_ms)->count = 1;
}

bool login_delay_applies(const struct login_delay *delay, const char *peer, unsigned limit,
                         uint64_t now_ms)
{
    for (unsigned i = 0; i < LOGIN_DELAY_SOURCES; i++)
        if (is_of(&delay->sources[i], peer, now_ms))
            return delay->sources[i].count >= limit;
    return false;
}
