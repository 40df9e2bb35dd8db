/*
 * landlock.h - giving up files, and the network, for good (landlock(7)): what no rule allows is
 * refused from then on to this thread and to what it starts. Best with no_new_privs set: else it
 * takes CAP_SYS_ADMIN.
 */
#pragma once
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>

/* Rights of newer kernels than a header may know; those that the running one does not know are left
 * out of rules, and everybody has them. */
#define LANDLOCK_REFER    (1ull << 13) /* LANDLOCK_ACCESS_FS_REFER */
#define LANDLOCK_TRUNCATE (1ull << 14) /* LANDLOCK_ACCESS_FS_TRUNCATE */
#define LANDLOCK_IOCTL    (1ull << 15) /* LANDLOCK_ACCESS_FS_IOCTL_DEV */

#define LANDLOCK_EXECUTE LANDLOCK_ACCESS_FS_EXECUTE
#define LANDLOCK_READ    LANDLOCK_ACCESS_FS_READ_FILE
#define LANDLOCK_WRITE   LANDLOCK_ACCESS_FS_WRITE_FILE
#define LANDLOCK_LIST    LANDLOCK_ACCESS_FS_READ_DIR
/* Making, replacing and removing files and folders. */
#define LANDLOCK_CHANGE                                                                           \
    (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_REFER | LANDLOCK_TRUNCATE)

struct landlock {
    int descriptor; /* -1: there is none */
    uint64_t files; /* rights the kernel knows */
};

/* Rules without anything allowed. `network`: TCP and what reaches other processes are given up,
 * too. -EOPNOTSUPP: the kernel has no Landlock; *ret_landlock may be given to landlock_done(). */
int landlock_init(struct landlock *ret_landlock, bool network);
/* `path`, and what is beneath it. A path that is not there is no error: nothing is allowed. */
int landlock_allow(const struct landlock *landlock, const char *path, uint64_t rights);
/* From here on. */
int landlock_enter(const struct landlock *landlock);
void landlock_done(struct landlock *landlock);
