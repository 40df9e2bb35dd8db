/* landlock.c - see landlock.h */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/landlock.h>

#define ALL_FILES  ((1ull << 16) - 1)
#define ALL_TCP    3ull
#define ALL_SCOPES 3ull
#define OF_A_FILE \
    (LANDLOCK_EXECUTE | LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_TRUNCATE | LANDLOCK_IOCTL)

/* As the kernel has it now; a header may be older. */
struct ruleset {
    uint64_t files, network, scopes;
};

/* What each version of the interface knows. */
static const struct {
    struct ruleset rights;
    size_t bytes;
} versions[] = {
    {{(1ull << 13) - 1, 0, 0},         8 }, /* 1: Linux 5.13 */
    {{(1ull << 14) - 1, 0, 0},         8 }, /* 2: 5.19 */
    {{(1ull << 15) - 1, 0, 0},         8 }, /* 3: 6.2 */
    {{(1ull << 15) - 1, ALL_TCP, 0},   16}, /* 4: 6.7 */
    {{ALL_FILES, ALL_TCP, 0},          16}, /* 5: 6.10 */
    {{ALL_FILES, ALL_TCP, ALL_SCOPES}, 24}, /* 6: 6.12 */
};

int landlock_init(struct landlock *ret_landlock, bool network)
{
    *ret_landlock = (struct landlock){.descriptor = -1};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version <= 0)
        return -EOPNOTSUPP;
    size_t known = (size_t)min_of(version, (long)ARRAY_SIZE(versions)) - 1;
    struct ruleset rights = versions[known].rights;
    if (!network)
        rights.network = rights.scopes = 0;
    long descriptor = syscall(SYS_landlock_create_ruleset, &rights, versions[known].bytes, 0);
    if (descriptor < 0)
        return -errno;
    *ret_landlock = (struct landlock){.descriptor = (int)descriptor, .files = rights.files};
    return 0;
}

int landlock_allow(const struct landlock *landlock, const char *path, uint64_t rights)
{
    struct stat status;
    _cleanup_close_ int descriptor = open(path, O_PATH | O_CLOEXEC);
    if (descriptor < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(descriptor, &status))
        return -errno;
    uint64_t fit = S_ISDIR(status.st_mode) ? landlock->files : landlock->files & OF_A_FILE;
    const struct landlock_path_beneath_attr rule = {.allowed_access = rights & fit,
                                                    .parent_fd = descriptor};
    if (!rule.allowed_access)
        return 0;
    return syscall(SYS_landlock_add_rule, landlock->descriptor, LANDLOCK_RULE_PATH_BENEATH, &rule,
                   0) < 0
               ? -errno
               : 0;
}

int landlock_enter(const struct landlock *landlock)
{
    return syscall(SYS_landlock_restrict_self, landlock->descriptor, 0) < 0 ? -errno : 0;
}

void landlock_done(struct landlock *landlock)
{
    if (landlock->descriptor >= 0)
        close(take_descriptor(landlock->descriptor));
}
