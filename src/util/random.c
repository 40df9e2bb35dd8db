/* random.c - see random.h */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#include <netboot-target/util/random.h>

static void fill_from_kernel(struct random_source *source, void *to, size_t length)
{
    (void)source;
    uint8_t *place = to;
    while (length) {
        ssize_t got = getrandom(place, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort(); /* a predictable challenge would be worse than no service */
        place += got;
        length -= (size_t)got;
    }
}

struct random_source system_random = {.fill = fill_from_kernel};
