/* state_files.c - see state_files.h */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state_files.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/read.h>

#define RECORD_LIMIT_BYTES (1 << 20)

int state_files_open(const char *directory, int *ret_descriptor, int *ret_reason)
{
    int made = mkdir(directory, 0700) ? errno : 0;
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return errno == ENOENT && made ? -made : -errno;
    *ret_reason = faccessat(descriptor, ".", W_OK, AT_EACCESS) ? errno : 0;
    *ret_descriptor = descriptor;
    return 0;
}

static bool is_name(const char *name)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(name);
    return name[0] != '.' && length < STATE_NAME_BYTES && strspn(name, plain) == length;
}

/* A directory's place is shared by copies of its descriptor, so that is opened anew. */
static DIR *open_walk(int directory)
{
    int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *walk = own < 0 ? NULL : fdopendir(own);
    if (!walk && own >= 0)
        close(own);
    return walk;
}

int state_files_walk(int directory, int (*found)(void *context, const char *name), void *context)
{
    DIR *walk = open_walk(directory);
    if (!walk)
        return errno ? -errno : -EIO;
    const struct dirent *entry;
    int result = 0;
    while (errno = 0, !result && (entry = readdir(walk))) {
        if (is_name(entry->d_name))
            result = found(context, entry->d_name);
    }
    if (!result)
        result = -errno;
    closedir(walk);
    return result;
}

int state_files_read(int directory, const char *name, char **ret_data, size_t *ret_length)
{
    _cleanup_close_ int descriptor =
        openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status))
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    if (status.st_size > RECORD_LIMIT_BYTES)
        return -EFBIG;
    size_t length = (size_t)status.st_size;
    char *data = calloc(1, length + 1);
    int result = data ? read_exactly(descriptor, data, length) : -ENOMEM;
    if (result) {
        free(data);
        return result;
    }
    *ret_data = data;
    *ret_length = length;
    return 0;
}

static int write_all(int descriptor, const void *data, size_t length)
{
    const uint8_t *from = data;
    while (length) {
        ssize_t written = write(descriptor, from, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        from += written;
        length -= (size_t)written;
    }
    return 0;
}

int state_files_write(int directory, const char *name, const void *data, size_t length)
{
    char temporary[STATE_NAME_BYTES + 8];
    snprintf(temporary, sizeof temporary, ".%s.new", name);
    _cleanup_close_ int descriptor =
        openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0)
        return -errno;
    int result = write_all(descriptor, data, length);
    if (!result &&
        (fsync(descriptor) || renameat(directory, temporary, directory, name) || fsync(directory)))
        result = -errno;
    return result;
}
