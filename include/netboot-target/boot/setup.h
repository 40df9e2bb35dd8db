/*
 * setup.h - scripts that prepare the system on a disk to boot over iSCSI. They are files of their
 * own (src/boot/setup/), built into the program; here their placeholders get values.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/error.h>

#define BOOT_SETUP_BYTES_LIMIT (128u << 10) /* no script gets longer */

/* What a script is told. Strings may be NULL: none. */
struct boot_setup {
    const char *version; /* of this program */
    const char *server;  /* our address as the reader of the script reaches it */
    uint16_t port;       /* of iSCSI there */
    const char *iqn;
    unsigned lun;
    const char *initiator;                   /* a name pattern, see boot_initiator_name() */
    const char *user, *secret;               /* CHAP */
    const char *target_user, *target_secret; /* mutual CHAP */
};

/* "linux.sh", "windows.ps1", "freebsd.sh"; NULL behind the end. */
const char *boot_setup_name(unsigned index);

/*
 * Appends the script `name` with every value quoted for its language. It holds the secrets.
 * 0; -ENOENT: no such script; -EINVAL: a value cannot stand in this script, and `error` says which.
 * Nothing is appended on failure.
 */
int boot_setup_script(struct buffer *out, const char *name, const struct boot_setup *setup,
                      struct error *error);
