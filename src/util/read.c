/* read.c - see read.h */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include <netboot-target/util/read.h>

int read_up_to(int descriptor, void *to, size_t size, size_t *ret_length)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = read(descriptor, (uint8_t *)to + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}

int read_exactly(int descriptor, void *to, size_t size)
{
    size_t length = 0;
    int result = read_up_to(descriptor, to, size, &length);
    if (result)
        return result;
    return length == size ? 0 : -EIO;
}
