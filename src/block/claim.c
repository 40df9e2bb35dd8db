/* claim.c - see claim.h */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claim.h"
#include "holders.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

static int inspect(const char *path, struct stat *ret_stat, struct error *error)
{
    if (stat(path, ret_stat) < 0)
        return error_set(error, -errno, "%s cannot be opened: %s", path, strerror(errno));
    if (!S_ISBLK(ret_stat->st_mode) && !S_ISREG(ret_stat->st_mode))
        return error_set(error, -ENOTBLK, "%s is neither a block device nor a regular file", path);
    return 0;
}

/* `ret_overridden`: the holder that `force` lets pass, else empty. */
static int check_names(const struct system_root *root, const char *path, const struct stat *stat,
                       const struct block_open_options *options, struct error *ret_overridden,
                       struct error *error)
{
    struct error holder = {""};
    bool held = holders_find(
        root, path, stat, options->read_only ? HOLDERS_OF_READ_ONLY : HOLDERS_OF_WRITABLE, &holder);
    if (held && !options->force)
        return error_set(error, -EBUSY,
                         "%s is in use and will not be exported: %s; end that use first, or set "
                         "force = true if it does no harm",
                         path, holder.text);
    *ret_overridden = holder;
    return 0;
}

/* The kernel has refused, so force does not matter; who is it? */
static int name_claim(const struct system_root *root, const char *path, const struct stat *stat,
                      struct error *error)
{
    struct error holder;
    if (!holders_find(root, path, stat, HOLDERS_ANY_OPENER, &holder))
        error_set(&holder, 0,
                  "its holder cannot be seen from here; it may be a process of another user");
    return error_set(error, -EBUSY, "%s is claimed by another user: %s", path, holder.text);
}

static int lock(const struct system_root *root, const char *path, const struct stat *stat,
                int descriptor, const struct block_open_options *options, struct error *error)
{
    struct flock whole = {.l_type = options->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (!fcntl(descriptor, F_OFD_SETLK, &whole))
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return name_claim(root, path, stat, error);
    if (options->force)
        return 0;
    return error_set(error, -errno,
                     "%s cannot be locked against other users (%s); set force = true if nobody "
                     "else uses it",
                     path, strerror(errno));
}

int claim_open(const struct system_root *root, const char *path,
               const struct block_open_options *options, int *ret_descriptor, struct error *error)
{
    struct stat before;
    struct stat opened;
    struct error overridden = {""};
    int r = inspect(path, &before, error);
    if (!r)
        r = check_names(root, path, &before, options, &overridden, error);
    if (r < 0)
        return r;

    int exclusive = S_ISBLK(before.st_mode) && !options->read_only ? O_EXCL : 0;
    _cleanup_close_ int descriptor =
        open(path, (options->read_only ? O_RDONLY : O_RDWR) | exclusive | O_CLOEXEC);
    if (descriptor < 0 && errno == EBUSY)
        return name_claim(root, path, &before, error);
    if (descriptor < 0)
        return error_set(error, -errno, "%s cannot be opened%s: %s", path,
                         options->read_only ? "" : " for writing", strerror(errno));
    if (fstat(descriptor, &opened) < 0 || opened.st_rdev != before.st_rdev ||
        opened.st_dev != before.st_dev || opened.st_ino != before.st_ino)
        return error_set(error, -EAGAIN, "%s became another device while it was opened", path);
    r = lock(root, path, &before, descriptor, options, error);
    if (r < 0)
        return r;
    if (*overridden.text)
        log_warning("exporting a disk that is in use, because force is set: %s; device=%s",
                    overridden.text, path);
    *ret_descriptor = take_descriptor(descriptor);
    return 0;
}
