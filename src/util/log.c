/* log.c - see log.h */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <netboot-target/util/log.h>

static enum log_level written_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    written_level = level;
}

enum log_level log_get_level(void)
{
    return written_level;
}

/* Below systemd each line carries its syslog priority (sd-daemon(3)). */
static void write_to_stderr(enum log_level level, const char *line)
{
    static const int priorities[] = {
        [LOG_LEVEL_ERROR] = 3, [LOG_LEVEL_WARNING] = 4, [LOG_LEVEL_NOTICE] = 5,
        [LOG_LEVEL_INFO] = 6,  [LOG_LEVEL_DEBUG] = 7,
    };
    if (getenv("JOURNAL_STREAM"))
        fprintf(stderr, "<%d>%s\n", priorities[level], line);
    else
        fprintf(stderr, "%s\n", line);
}

void log_message(enum log_level level, const char *format, ...)
{
    if (level > written_level)
        return;
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    write_to_stderr(level, line);
}

bool log_limit_allows(struct log_limit *limit, uint32_t burst, uint64_t interval_ms,
                      uint64_t now_ms, uint32_t *ret_suppressed)
{
    if (!limit->started) {
        *limit = (struct log_limit){.last_ms = now_ms, .tokens = burst, .started = true};
    } else {
        uint64_t earned = (now_ms - limit->last_ms) / interval_ms;
        limit->last_ms += earned * interval_ms;
        limit->tokens = earned + limit->tokens > burst ? burst : (uint32_t)earned + limit->tokens;
    }
    if (!limit->tokens) {
        limit->suppressed++;
        return false;
    }
    limit->tokens--;
    *ret_suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
