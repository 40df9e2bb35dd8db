/* holders.c - see holders.h */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "holders.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#define KIN_LIMIT 256u

/* What is asked about, with the devices that share its bytes: a disk and its partitions, or a
 * partition and its disk. */
struct subject {
    const struct system_root *root;
    const char *path;
    const struct stat *stat;
    enum holder_interest interest;
    unsigned kin_count;
    struct sysfs_device *kin;
};

static bool wants_writers(const struct subject *subject)
{
    return subject->interest == HOLDERS_OF_READ_ONLY ||
           subject->interest == HOLDERS_CLAIMING_WRITERS;
}

/* What loop devices and processes hold, the kernel lets others claim. */
static bool wants_claims_only(const struct subject *subject)
{
    return subject->interest == HOLDERS_CLAIMING || subject->interest == HOLDERS_CLAIMING_WRITERS;
}

static void cleanup_closedir(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* ── kin ─────────────────────────────────────────────────────────────────────────────────────── */

static bool add_kin(const struct sysfs_device *device, void *context)
{
    struct subject *subject = context;
    if (subject->kin_count == KIN_LIMIT)
        return true;
    subject->kin[subject->kin_count++] = *device;
    return false;
}

static int gather_kin(struct subject *subject)
{
    struct sysfs_device device;
    struct sysfs_device disk;
    subject->kin = calloc(KIN_LIMIT, sizeof *subject->kin);
    if (!subject->kin)
        return -ENOMEM;
    if (!S_ISBLK(subject->stat->st_mode) ||
        sysfs_find(subject->root, subject->stat->st_rdev, &device) < 0)
        return 0;
    add_kin(&device, subject);
    if (!device.partition)
        sysfs_each_partition(&device, add_kin, subject);
    else if (!sysfs_find_disk(&device, &disk))
        add_kin(&disk, subject);
    return 0;
}

static const struct sysfs_device *find_kin(const struct subject *subject, dev_t device)
{
    for (unsigned i = 0; i < subject->kin_count; i++) {
        if (subject->kin[i].device == device)
            return &subject->kin[i];
    }
    return NULL;
}

/* Does this path lead to the subject? `ret_name` is what a person calls the part that it is. */
static bool leads_to_subject(const struct subject *subject, const char *path, char *ret_name,
                             size_t size)
{
    struct statx found;
    /* What it is does not change, so a server that does not answer need not be asked. */
    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &found) < 0)
        return false;
    if (S_ISBLK(found.stx_mode)) {
        const struct sysfs_device *kin =
            find_kin(subject, makedev(found.stx_rdev_major, found.stx_rdev_minor));
        if (kin)
            snprintf(ret_name, size, "%s/%s", subject->root->dev, kin->name);
        return kin != NULL;
    }
    snprintf(ret_name, size, "%s", subject->path);
    return S_ISREG(subject->stat->st_mode) && found.stx_ino == subject->stat->st_ino &&
           makedev(found.stx_dev_major, found.stx_dev_minor) == subject->stat->st_dev;
}

/* ── mounts and swap ─────────────────────────────────────────────────────────────────────────── */

/* The kernel writes blanks and backslashes of paths as \040 (fs/seq_file.c). */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (*from == '\\' && strspn(from + 1, "01234567") >= 3) {
            const char code[] = {from[1], from[2], from[3], '\0'};
            *to = (char)strtoul(code, NULL, 8);
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = 0;
}

struct mount {
    dev_t device;
    char *point, *source;
    bool read_only; /* the filesystem, not just this view of it */
};

/* proc(5): 36 35 98:0 /root /point options [fields…] - type source super-options */
static bool parse_mount(char *line, struct mount *ret_mount)
{
    struct mount mount = {0};
    char *separator = strstr(line, " - ");
    char *rest = line;
    char *fields[5];
    if (!separator)
        return false;
    *separator = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
        fields[i] = strsep(&rest, " ");
    char *tail = separator + 3;
    strsep(&tail, " ");
    mount.source = strsep(&tail, " ");
    const char *options = strsep(&tail, " \n");
    if (!fields[4] || !options || sysfs_parse_device(fields[2], &mount.device) < 0)
        return false;
    mount.point = fields[4];
    mount.read_only = !strcmp(options, "ro") || !strncmp(options, "ro,", 3);
    unescape(mount.point);
    unescape(mount.source);
    *ret_mount = mount;
    return true;
}

static bool mount_is_of(const struct subject *subject, const struct mount *mount, char *name,
                        size_t size)
{
    const struct sysfs_device *kin = find_kin(subject, mount->device);
    if (kin) {
        snprintf(name, size, "%s/%s", subject->root->dev, kin->name);
        return true;
    }
    /* btrfs and the like have device numbers of their own; only the source tells. */
    return !major(mount->device) && mount->source[0] == '/' &&
           leads_to_subject(subject, mount->source, name, size);
}

/* As `process` ("self", "123") sees it. */
static bool find_mount_seen_by(const struct subject *subject, const char *process,
                               struct error *holder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s/mountinfo", subject->root->proc, process);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) {
        struct mount mount;
        char name[PATH_MAX];
        if (!parse_mount(line, &mount) || !mount_is_of(subject, &mount, name, sizeof name))
            continue;
        if (mount.read_only && wants_writers(subject))
            continue;
        error_set(holder, 0, "%s is mounted on %s", name, mount.point);
        return true;
    }
    return false;
}

static bool find_mount(const struct subject *subject, struct error *holder)
{
    return find_mount_seen_by(subject, "self", holder);
}

static bool find_swap(const struct subject *subject, struct error *holder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/swaps", subject->root->proc);
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    while (file && getline(&line, &size, file) > 0) {
        char name[PATH_MAX];
        char *rest = line;
        char *area = strsep(&rest, " \t");
        unescape(area);
        if (area[0] != '/' || !leads_to_subject(subject, area, name, sizeof name))
            continue;
        error_set(holder, 0, "%s is in use as swap", name);
        return true;
    }
    return false;
}

/* ── what is stacked upon it ─────────────────────────────────────────────────────────────────── */

static const struct {
    const char *uuid_prefix;
    const char *kind;
} mapper_kinds[] = {
    {"LVM-",   "the LVM volume"          },
    {"CRYPT-", "the encrypted volume"    },
    {"mpath-", "the multipath disk"      },
    {"",       "the device-mapper volume"},
};

/* "the LVM volume vg0-root (dm-0)" */
static void describe_stacked(const struct system_root *root, const char *name, char *to,
                             size_t size)
{
    char directory[PATH_MAX];
    char text[256];
    char uuid[256] = "";
    snprintf(directory, sizeof directory, "%s/block/%s", root->sys, name);
    if (sysfs_read(directory, "md/level", text, sizeof text) >= 0) {
        snprintf(to, size, "the RAID array %s (%s)", name, text);
        return;
    }
    if (sysfs_read(directory, "dm/name", text, sizeof text) < 0) {
        snprintf(to, size, "the device %s", name);
        return;
    }
    sysfs_read(directory, "dm/uuid", uuid, sizeof uuid);
    unsigned kind = 0;
    while (strncmp(uuid, mapper_kinds[kind].uuid_prefix, strlen(mapper_kinds[kind].uuid_prefix)) !=
           0)
        kind++;
    snprintf(to, size, "%s %s (%s)", mapper_kinds[kind].kind, text, name);
}

static bool writes(const struct system_root *root, const char *name)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s/block/%s", root->sys, name);
    return !sysfs_read_number(directory, "ro", 0);
}

static bool find_stacked_on(const struct subject *subject, const struct sysfs_device *kin,
                            struct error *holder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/holders", kin->directory);
    _cleanup_(cleanup_closedir) DIR *listing = opendir(path);
    const struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        char stacked[600];
        if (entry->d_name[0] == '.' ||
            (wants_writers(subject) && !writes(subject->root, entry->d_name)))
            continue;
        describe_stacked(subject->root, entry->d_name, stacked, sizeof stacked);
        error_set(holder, 0, "%s/%s is part of %s", subject->root->dev, kin->name, stacked);
        return true;
    }
    return false;
}

static bool find_stacked(const struct subject *subject, struct error *holder)
{
    for (unsigned i = 0; i < subject->kin_count; i++) {
        if (find_stacked_on(subject, &subject->kin[i], holder))
            return true;
    }
    return false;
}

struct loop_search {
    const struct subject *subject;
    struct error *holder;
};

static bool is_backed_by_subject(const struct sysfs_device *disk, void *context)
{
    const struct loop_search *search = context;
    char backing[PATH_MAX];
    char name[PATH_MAX];
    if (sysfs_read(disk->directory, "loop/backing_file", backing, sizeof backing) <= 0 ||
        !leads_to_subject(search->subject, backing, name, sizeof name))
        return false;
    if (wants_writers(search->subject) && !writes(search->subject->root, disk->name))
        return false;
    error_set(search->holder, 0, "%s is the backing of the loop device %s/%s", name,
              search->subject->root->dev, disk->name);
    return true;
}

static bool find_loop(const struct subject *subject, struct error *holder)
{
    struct loop_search search = {.subject = subject, .holder = holder};
    return !wants_claims_only(subject) &&
           sysfs_each_disk(subject->root, is_backed_by_subject, &search);
}

/* ── processes ───────────────────────────────────────────────────────────────────────────────── */

/* Looks at the text first: to stat() whatever others have open may wait for a dead server. */
static bool descriptor_is_of(const struct subject *subject, const char *path)
{
    char target[PATH_MAX];
    char name[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0)
        return false;
    target[length] = 0;
    size_t prefix = strlen(subject->root->dev);
    bool likely = S_ISBLK(subject->stat->st_mode)
                      ? !strncmp(target, subject->root->dev, prefix) && target[prefix] == '/'
                      : !strcmp(target, subject->path);
    return likely && leads_to_subject(subject, path, name, sizeof name);
}

/* fdinfo says "flags:" with the octal flags of open(2). */
static bool may_write(const char *process, const char *descriptor)
{
    char name[NAME_MAX + 16];
    char text[512];
    snprintf(name, sizeof name, "fdinfo/%s", descriptor);
    if (sysfs_read(process, name, text, sizeof text) < 0)
        return false;
    const char *at = strstr(text, "flags:");
    return at && (strtoul(at + strlen("flags:"), NULL, 8) & O_ACCMODE) != O_RDONLY;
}

static bool process_holds(const struct subject *subject, const char *process)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/fd", process);
    _cleanup_(cleanup_closedir) DIR *listing = opendir(path);
    const struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        char descriptor[PATH_MAX];
        if ((size_t)snprintf(descriptor, sizeof descriptor, "%s/%s", path, entry->d_name) >=
                sizeof descriptor ||
            !descriptor_is_of(subject, descriptor))
            continue;
        if (subject->interest == HOLDERS_ANY_OPENER || may_write(process, entry->d_name))
            return true;
    }
    return false;
}

/* Calls `found` with the directory name of each process, until it returns true. */
static bool each_process(const struct subject *subject,
                         bool (*found)(const struct subject *subject, const char *process,
                                       struct error *holder),
                         struct error *holder)
{
    _cleanup_(cleanup_closedir) DIR *listing = opendir(subject->root->proc);
    const struct dirent *entry;
    while (listing && (entry = readdir(listing))) {
        if (isdigit((unsigned char)entry->d_name[0]) && found(subject, entry->d_name, holder))
            return true;
    }
    return false;
}

/* "process 123 (dd)" */
static void describe_process(const struct subject *subject, const char *process, char *to,
                             size_t size)
{
    char directory[PATH_MAX];
    char name[64] = "?";
    snprintf(directory, sizeof directory, "%s/%s", subject->root->proc, process);
    sysfs_read(directory, "comm", name, sizeof name);
    snprintf(to, size, "process %s (%s)", process, name);
}

/* Of other users' processes only root sees the descriptors. */
static bool is_user(const struct subject *subject, const char *process, struct error *holder)
{
    char directory[PATH_MAX / 2];
    char description[128];
    if ((size_t)snprintf(directory, sizeof directory, "%s/%s", subject->root->proc, process) >=
            sizeof directory ||
        !process_holds(subject, directory))
        return false;
    describe_process(subject, process, description, sizeof description);
    error_set(holder, 0, "%s has %s open%s", description, subject->path,
              subject->interest == HOLDERS_ANY_OPENER ? "" : " for writing");
    return true;
}

static bool find_process(const struct subject *subject, struct error *holder)
{
    return !wants_claims_only(subject) && each_process(subject, is_user, holder);
}

static bool sees_mount(const struct subject *subject, const char *process, struct error *holder)
{
    char description[128];
    if (!find_mount_seen_by(subject, process, holder))
        return false;
    describe_process(subject, process, description, sizeof description);
    size_t length = strlen(holder->text);
    snprintf(holder->text + length, sizeof holder->text - length, " as %s sees it", description);
    return true;
}

/* A container's mount does not show among ours. */
static bool find_foreign_mount(const struct subject *subject, struct error *holder)
{
    bool wanted =
        subject->interest == HOLDERS_ANY_OPENER || subject->interest == HOLDERS_CLAIMING_WRITERS;
    return wanted && each_process(subject, sees_mount, holder);
}

/* ────────────────────────────────────────────────────────────────────────────────────────────── */

bool holders_find(const struct system_root *root, const char *path, const struct stat *stat,
                  enum holder_interest interest, struct error *holder)
{
    static bool (*const checks[])(const struct subject *subject, struct error *holder) = {
        find_mount, find_swap, find_stacked, find_loop, find_foreign_mount, find_process,
    };
    struct subject subject = {.root = root, .path = path, .stat = stat, .interest = interest};
    bool held = gather_kin(&subject) < 0;
    if (held)
        error_set(holder, 0, "%s cannot be checked: out of memory", path);
    for (unsigned i = 0; !held && i < ARRAY_SIZE(checks); i++)
        held = checks[i](&subject, holder);
    free(subject.kin);
    return held;
}
