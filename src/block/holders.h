/*
 * holders.h - who else uses a disk, by name: mounts, swap, md, dm and LVM, loop devices, processes.
 * The kernel's own claim (O_EXCL) is what protects; these checks see what it does not (a file in
 * use, a writer without a claim) and give the refusal a name. Private to this room.
 */
#pragma once
#include <sys/stat.h>

#include "sysfs.h"

#include <netboot-target/util/error.h>

enum holder_interest {
    HOLDERS_OF_WRITABLE,      /* whoever uses it */
    HOLDERS_OF_READ_ONLY,     /* only who may write to it */
    HOLDERS_CLAIMING_WRITERS, /* who may write to it under a claim of the kernel's; all namespaces
                               */
    HOLDERS_CLAIMING,         /* whoever uses it under a claim of the kernel's */
    HOLDERS_ANY_OPENER,       /* also mounts of other namespaces, and who merely has it open */
};

/* `path` is for messages; `stat` is that of a block device or a regular file. True: it is held, and
 * `holder` says by whom, as in "/dev/sdb2 is mounted on /home". */
bool holders_find(const struct system_root *root, const char *path, const struct stat *stat,
                  enum holder_interest interest, struct error *holder);
