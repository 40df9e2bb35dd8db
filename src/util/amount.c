/* amount.c - bytes and seconds as a person says them */
#include <inttypes.h>
#include <stdio.h>

#include <netboot-target/util/amount.h>

const char *amount_bytes(struct amount *to, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(to->text, sizeof to->text, "%" PRIu64 " B", bytes);
        return to->text;
    }
    while (bytes >> 10 >= 1024) {
        bytes >>= 10;
        unit++;
    }
    uint64_t tenths = (bytes & 1023) * 10 / 1024;
    snprintf(to->text, sizeof to->text, "%" PRIu64 ".%" PRIu64 " %s", bytes >> 10, tenths,
             units[unit]);
    return to->text;
}

const char *amount_duration(struct amount *to, uint64_t seconds)
{
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {
        {86400, "d"  },
        {3600,  "h"  },
        {60,    "min"},
        {1,     "s"  }
    };
    size_t unit = 0;
    while (unit < 3 && seconds < units[unit].seconds)
        unit++;
    uint64_t rest = seconds % units[unit].seconds;
    int used = snprintf(to->text, sizeof to->text, "%" PRIu64 " %s", seconds / units[unit].seconds,
                        units[unit].name);
    if (unit < 3 && rest / units[unit + 1].seconds)
        snprintf(to->text + used, sizeof to->text - (size_t)used, " %" PRIu64 " %s",
                 rest / units[unit + 1].seconds, units[unit + 1].name);
    return to->text;
}
