/* claim.c - see claim.h */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "claim.h"
#include "holders.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

struct claim {
    struct claims *claims;
    struct claimed_disk *disk;
    uint64_t first_byte;
    uint64_t end_byte;
    bool writes;
    struct claim *prev, *next;
};

struct claimed_disk {
    struct stat identity;
    int descriptor; /* carries the kernel's claim and the lock; -1: not yet */
    bool exclusive;
    bool changing; /* somebody is at it, without the lock of the claims */
    struct claim *parts;
    struct claimed_disk *prev, *next;
};

/* One attempt to open. */
struct opening {
    const struct system_root *root;
    const char *path;
    const struct block_open_options *options;
    struct stat status;
    struct error *error;
};

void claims_init(struct claims *claims)
{
    pthread_mutex_init(&claims->lock, NULL);
    pthread_cond_init(&claims->changed, NULL);
}

void claims_done(struct claims *claims)
{
    pthread_mutex_destroy(&claims->lock);
    pthread_cond_destroy(&claims->changed);
}

static bool is_same(const struct stat *one, const struct stat *other)
{
    return one->st_rdev == other->st_rdev && one->st_dev == other->st_dev &&
           one->st_ino == other->st_ino;
}

/* Of a block device any node will do. */
static bool is_same_disk(const struct stat *one, const struct stat *other)
{
    return S_ISBLK(one->st_mode) ? S_ISBLK(other->st_mode) && one->st_rdev == other->st_rdev
                                 : is_same(one, other);
}

/* ── other users ─────────────────────────────────────────────────────────────────────────────── */

static int inspect(struct opening *opening)
{
    if (stat(opening->path, &opening->status) < 0)
        return error_set(opening->error, -errno, "%s cannot be opened: %s", opening->path,
                         strerror(errno));
    if (!S_ISBLK(opening->status.st_mode) && !S_ISREG(opening->status.st_mode))
        return error_set(opening->error, -ENOTBLK,
                         "%s is neither a block device nor a regular file", opening->path);
    return 0;
}

static int tell_claimed(const struct opening *opening, const struct error *holder)
{
    return error_set(opening->error, -EBUSY, "%s is claimed by another user: %s", opening->path,
                     holder->text);
}

/* The kernel has refused, so force does not matter; who is it? */
static int name_claim(const struct opening *opening)
{
    struct error holder;
    if (!holders_find(opening->root, opening->path, &opening->status, HOLDERS_ANY_OPENER, &holder))
        error_set(&holder, 0,
                  "its holder cannot be seen from here; it may be a process of another user");
    return tell_claimed(opening, &holder);
}

/* Readers of both sides get along, so a read-only LUN claims nothing: a writer that did is to be
 * looked for. */
static int check_claiming_writers(const struct opening *opening)
{
    struct error holder;
    if (!opening->options->read_only || !S_ISBLK(opening->status.st_mode) ||
        !holders_find(opening->root, opening->path, &opening->status, HOLDERS_CLAIMING_WRITERS,
                      &holder))
        return 0;
    return tell_claimed(opening, &holder);
}

/* Under a claim of the kernel's, force changes nothing: nobody should be told to try it. */
static bool force_helps(const struct opening *opening)
{
    struct error holder;
    return !holders_find(opening->root, opening->path, &opening->status,
                         opening->options->read_only ? HOLDERS_CLAIMING_WRITERS : HOLDERS_CLAIMING,
                         &holder);
}

/* `ret_overridden`: the holder that `force` lets pass, else empty. */
static int check_names(const struct opening *opening, struct error *ret_overridden)
{
    struct error holder = {""};
    bool held = holders_find(
        opening->root, opening->path, &opening->status,
        opening->options->read_only ? HOLDERS_OF_READ_ONLY : HOLDERS_OF_WRITABLE, &holder);
    if (held && !opening->options->force)
        return error_set(opening->error, -EBUSY,
                         "%s is in use and will not be exported: %s; end that use first%s",
                         opening->path, holder.text,
                         force_helps(opening) ? ", or set force = true if it does no harm" : "");
    *ret_overridden = holder;
    return check_claiming_writers(opening);
}

/* ── the disk as a whole ─────────────────────────────────────────────────────────────────────── */

static int open_same(const struct opening *opening, int flags, int *ret_descriptor)
{
    struct stat opened;
    bool reads = opening->options->read_only || opening->options->look_only;
    if (opening->options->look_only && !opening->options->read_only && access(opening->path, W_OK))
        return error_set(opening->error, -errno, "%s cannot be opened for writing: %s",
                         opening->path, strerror(errno));
    _cleanup_close_ int descriptor =
        open(opening->path, (reads ? O_RDONLY : O_RDWR) | flags | O_CLOEXEC);
    if (descriptor < 0 && errno == EBUSY)
        return name_claim(opening);
    if (descriptor < 0)
        return error_set(opening->error, -errno, "%s cannot be opened%s: %s", opening->path,
                         reads ? "" : " for writing", strerror(errno));
    if (fstat(descriptor, &opened) < 0 || !is_same(&opened, &opening->status))
        return error_set(opening->error, -EAGAIN, "%s became another device while it was opened",
                         opening->path);
    *ret_descriptor = take_descriptor(descriptor);
    return 0;
}

static int change_lock(int descriptor, short type)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    return fcntl(descriptor, F_OFD_SETLK, &whole) ? -errno : 0;
}

/* What cannot be written cannot be locked for writing: but it can be asked whether it could be. */
static int ask_lock(int descriptor)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(descriptor, F_OFD_GETLK, &whole))
        return -errno;
    return whole.l_type == F_UNLCK ? 0 : -EAGAIN;
}

/* `before`: our own lock of a disk read until now, which would be in the way; or -1. */
static int lock(const struct opening *opening, int descriptor, int before)
{
    const struct block_open_options *options = opening->options;
    int r;
    if (before >= 0)
        (void)change_lock(before, F_UNLCK);
    if (options->look_only && !options->read_only)
        r = ask_lock(descriptor);
    else
        r = change_lock(descriptor, options->read_only ? F_RDLCK : F_WRLCK);
    if (r < 0 && before >= 0)
        (void)change_lock(before, F_RDLCK);
    if (r == -EAGAIN || r == -EACCES)
        return name_claim(opening);
    if (!r || options->force)
        return 0;
    return error_set(opening->error, r,
                     "%s cannot be locked against other users (%s); set force = true if nobody "
                     "else uses it",
                     opening->path, strerror(-r));
}

/* The first part, or one that wants more than those before: asks everybody. May wait for the disk.
 */
static int take_disk(struct claimed_disk *disk, const struct opening *opening)
{
    struct error overridden = {""};
    bool writes = !opening->options->read_only;
    int r = check_names(opening, &overridden);
    if (r < 0)
        return r;
    if (writes || disk->descriptor < 0) {
        _cleanup_close_ int descriptor = -1;
        int exclusive = writes && S_ISBLK(opening->status.st_mode) ? O_EXCL : 0;
        r = open_same(opening, exclusive, &descriptor);
        if (!r)
            r = lock(opening, descriptor, disk->descriptor);
        if (r < 0)
            return r;
        if (disk->descriptor >= 0)
            close(disk->descriptor);
        disk->descriptor = take_descriptor(descriptor);
        disk->exclusive = writes;
    }
    if (*overridden.text)
        log_warning("exporting a disk that is in use, because force is set: %s; device=%s",
                    overridden.text, opening->path);
    return 0;
}

/* ── its parts ───────────────────────────────────────────────────────────────────────────────── */

/* With the lock held, as everything below. Waits while somebody else takes that disk. */
static struct claimed_disk *find_disk(struct claims *claims, const struct stat *identity)
{
    struct claimed_disk *disk;
    for (;;) {
        DL_FOREACH (claims->disks, disk) {
            if (is_same_disk(&disk->identity, identity))
                break;
        }
        if (!disk || !disk->changing)
            return disk;
        pthread_cond_wait(&claims->changed, &claims->lock);
    }
}

static struct claimed_disk *add_disk(struct claims *claims, const struct stat *identity)
{
    struct claimed_disk *disk = calloc(1, sizeof *disk);
    if (!disk)
        return NULL;
    disk->identity = *identity;
    disk->descriptor = -1;
    DL_APPEND(claims->disks, disk);
    return disk;
}

/* Returns the descriptor to be closed, or -1. */
static int drop_disk_without_parts(struct claims *claims, struct claimed_disk *disk)
{
    if (disk->parts)
        return -1;
    int descriptor = disk->descriptor;
    DL_DELETE(claims->disks, disk);
    free(disk);
    return descriptor;
}

/* Any number may read, one alone may write. */
static bool is_in_the_way(const struct claimed_disk *disk, const struct claim *claim)
{
    const struct claim *part;
    DL_FOREACH (disk->parts, part) {
        if ((part->writes || claim->writes) && part->first_byte < claim->end_byte &&
            claim->first_byte < part->end_byte)
            return true;
    }
    return false;
}

static int join_disk(struct claim *claim, const struct opening *opening)
{
    struct claims *claims = claim->claims;
    int r = 0;
    int unused = -1;
    pthread_mutex_lock(&claims->lock);
    struct claimed_disk *disk = find_disk(claims, &opening->status);
    if (disk && is_in_the_way(disk, claim)) {
        pthread_mutex_unlock(&claims->lock);
        return name_claim(opening);
    }
    if (!disk)
        disk = add_disk(claims, &opening->status);
    if (!disk)
        r = error_set(opening->error, -ENOMEM, "out of memory");
    if (disk && !disk->exclusive) {
        disk->changing = true;
        pthread_mutex_unlock(&claims->lock);
        r = take_disk(disk, opening);
        pthread_mutex_lock(&claims->lock);
        disk->changing = false;
        pthread_cond_broadcast(&claims->changed);
    }
    if (!r) {
        claim->disk = disk;
        DL_APPEND(disk->parts, claim);
    } else if (disk) {
        unused = drop_disk_without_parts(claims, disk);
    }
    pthread_mutex_unlock(&claims->lock);
    if (unused >= 0)
        close(unused);
    return r;
}

void claim_release(struct claim *claim)
{
    if (!claim)
        return;
    struct claims *claims = claim->claims;
    struct claimed_disk *disk = claim->disk;
    int unused = -1;
    pthread_mutex_lock(&claims->lock);
    if (disk) {
        DL_DELETE(disk->parts, claim);
        /* Whoever is changing it looks for parts when done. */
        unused = disk->changing ? -1 : drop_disk_without_parts(claims, disk);
    }
    pthread_mutex_unlock(&claims->lock);
    if (unused >= 0)
        close(unused); /* may wait for the disk */
    free(claim);
}

int claim_descriptor(const struct claim *claim)
{
    pthread_mutex_lock(&claim->claims->lock);
    int descriptor = claim->disk->descriptor;
    pthread_mutex_unlock(&claim->claims->lock);
    return descriptor;
}

int claim_open(struct claims *claims, const struct system_root *root,
               const struct block_location *location, const struct block_open_options *options,
               struct claim **ret_claim, int *ret_descriptor, struct error *error)
{
    struct opening opening = {
        .root = root, .path = location->path, .options = options, .error = error};
    int r = inspect(&opening);
    if (r < 0)
        return r;
    struct claim *claim = calloc(1, sizeof *claim);
    if (!claim)
        return error_set(error, -ENOMEM, "out of memory");
    claim->claims = claims;
    claim->writes = !options->read_only;
    claim->first_byte = location->offset_bytes;
    claim->end_byte =
        location->length_bytes ? location->offset_bytes + location->length_bytes : UINT64_MAX;
    r = join_disk(claim, &opening);
    if (!r)
        r = open_same(&opening, 0, ret_descriptor);
    if (r < 0) {
        claim_release(claim);
        return r;
    }
    *ret_claim = claim;
    return 0;
}
