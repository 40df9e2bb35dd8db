/* peer_lines.c - see peer_lines.h */
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "peer_lines.h"

#include <netboot-target/util/array.h>

static void leave_out(struct peer_lines_row *row, uint32_t lines, uint64_t now_ms)
{
    if (!row->left_out)
        row->since_ms = now_ms;
    row->left_out += lines;
}

/* Another peer takes the row; what it has not told yet is told of nobody in particular. */
static void forget(struct peer_lines *lines, const struct peer_lines_row *row, uint64_t now_ms)
{
    if (row->left_out)
        leave_out(&lines->forgotten, row->left_out, now_ms);
}

static struct peer_lines_row *row_of(struct peer_lines *lines, const char *peer, uint64_t now_ms)
{
    char host[PEER_LINES_HOST_BYTES];
    struct peer_lines_row *oldest = &lines->rows[0];
    snprintf(host, sizeof host, "%.*s", (int)address_host_length(peer), peer);
    for (unsigned i = 0; i < PEER_LINES_PEERS; i++) {
        struct peer_lines_row *row = &lines->rows[i];
        if (strcmp(row->host, host) == 0)
            return row;
        if (oldest->host[0] && (!row->host[0] || row->last_ms < oldest->last_ms))
            oldest = row;
    }
    forget(lines, oldest, now_ms);
    *oldest = (struct peer_lines_row){.last_ms = now_ms};
    memcpy(oldest->host, host, sizeof host);
    return oldest;
}

bool peer_lines_allow(struct peer_lines *lines, const char *peer, uint64_t now_ms)
{
    struct peer_lines_row *row = row_of(lines, peer, now_ms);
    uint32_t suppressed;
    row->last_ms = now_ms;
    bool allowed =
        log_limit_allows(&row->limit, PEER_LINES_BURST, PEER_LINES_INTERVAL_MS, now_ms,
                         &suppressed) &&
        log_limit_allows(&lines->all, PEER_LINES_ALL_BURST, PEER_LINES_ALL_MS, now_ms, &suppressed);
    if (!allowed)
        leave_out(row, 1, now_ms);
    return allowed;
}

static bool tell(struct peer_lines_row *row, const char *host, uint64_t now_ms,
                 struct peer_lines_left_out *ret_left_out)
{
    if (!row->left_out || now_ms - row->since_ms < PEER_LINES_TELL_MS)
        return false;
    snprintf(ret_left_out->host, sizeof ret_left_out->host, "%s", host);
    ret_left_out->lines = row->left_out;
    row->left_out = 0;
    return true;
}

bool peer_lines_next_left_out(struct peer_lines *lines, uint64_t now_ms,
                              struct peer_lines_left_out *ret_left_out)
{
    for (unsigned i = 0; i < PEER_LINES_PEERS; i++)
        if (tell(&lines->rows[i], lines->rows[i].host, now_ms, ret_left_out))
            return true;
    return tell(&lines->forgotten, "various", now_ms, ret_left_out);
}

bool peer_lines_any_left_out(const struct peer_lines *lines)
{
    for (unsigned i = 0; i < PEER_LINES_PEERS; i++)
        if (lines->rows[i].left_out)
            return true;
    return lines->forgotten.left_out;
}
