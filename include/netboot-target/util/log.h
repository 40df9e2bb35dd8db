/*
 * log.h - one line per event, key=value at its tail, journald levels on stderr ("<6>…") when it is
 * a journal, plain text else. The only global state of the project is the level.
 * Wire bytes are escaped by the caller (escape.h); secrets are never formatted.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/* The least important level that is written; LOG_LEVEL_INFO at first. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* One line without its newline, cut at 2 KiB. */
void log_message(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_message(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                 \
    do {                                               \
        if (log_get_level() >= LOG_LEVEL_DEBUG)        \
            log_message(LOG_LEVEL_DEBUG, __VA_ARGS__); \
    } while (0)

/* A token bucket for lines that a peer can cause: `burst` lines at once, one more each
 * `interval_ms`. Says how many were held back, on the next line that passes. */
struct log_limit {
    uint64_t last_ms;
    uint32_t tokens;
    uint32_t suppressed;
    bool started;
};
bool log_limit_allows(struct log_limit *limit, uint32_t burst, uint64_t interval_ms,
                      uint64_t now_ms, uint32_t *ret_suppressed);
