/*
 * loader.h - what boot loaders read on a disk: loader entries, GRUB's files, unified kernel images,
 * kernels, initramfs images, superblocks, boot code. Pure: bytes go in, facts come out.
 *
 * Everything here is from a foreign disk and may be made to do harm. Only the helper that reads
 * disks is linked with this room, the daemon is not.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/byte_source.h>
#include <netboot-target/util/error.h>

#define LOADER_TEXT_BYTES_LIMIT (1u << 20) /* of one configuration file */
#define LOADER_PATH_BYTES       512u
#define LOADER_VALUE_BYTES      4096u /* one value of a configuration file, with its NUL */

/* ── GRUB's variables ────────────────────────────────────────────────────────────────────────── */

/* The values of GRUB's environment. Those that were never set are empty. */
struct loader_variables;

struct loader_variables *loader_variables_new(void); /* NULL: out of memory */
void loader_variables_free(struct loader_variables *variables);
/* grubenv: "# GRUB Environment Block", lines of NAME=VALUE, filled up with #. Later ones count.
 * False: it is no such file. */
bool loader_variables_read_environment(struct loader_variables *variables, const char *text,
                                       size_t length);
/* `set NAME="VALUE"` of a grub.cfg, without asking whether GRUB would get there. */
void loader_variables_read_grub_cfg(struct loader_variables *variables, const char *text,
                                    size_t length);
const char *loader_variables_get(const struct loader_variables *variables, const char *name);
/* `text` asks for a variable that is empty. */
bool loader_lacks(const char *text, const char *name, const struct loader_variables *variables);
/* Appends `text` with $NAME and ${NAME} filled in. */
void loader_expand(struct buffer *out, const char *text, const struct loader_variables *variables);

/* ── entries ─────────────────────────────────────────────────────────────────────────────────── */

/* One thing that a boot loader would offer. Strings that are not given are NULL. */
struct loader_entry {
    char *id;    /* the file's name without its suffix and boot counter */
    char *title; /* any bytes but NUL */
    char *version;
    char *machine_id;
    char *sort_key;
    char *kernel;                            /* path, as the file has it */
    char *initrds[BOOT_ENTRY_INITRDS_LIMIT]; /* paths */
    unsigned initrd_count;
    char *options;      /* all lines of them, variables filled in */
    char *efi;          /* path of a program instead of a kernel */
    bool lacks_options; /* they were to come from $kernelopts, which nothing sets */
    int tries_left;     /* boot counting; -1: this entry is not counted */
};

/* Boot Loader Specification, type 1. `file_name`: "debian-6.1.conf", "fedora+2-1.conf". -EINVAL: no
 * entry that could be booted, or one that is too long to be taken whole; -ENOMEM. */
int loader_entry_parse(struct loader_entry *ret_entry, const char *file_name, const char *text,
                       size_t length, const struct loader_variables *variables);
void loader_entry_done(struct loader_entry *entry);
/* A file's name without ".conf" or ".efi" and without "+LEFT-DONE". NULL: it has not this suffix.
 */
char *loader_entry_id(const char *file_name, const char *suffix, int *ret_tries_left);
/* It starts this program itself, in its form that serves the machine's own disk. */
bool loader_entry_is_ours(const struct loader_entry *entry);

/* Which version is newer, as the UAPI version format specification has it: <0, 0, >0. */
int loader_version_compare(const char *one, const char *two);
/* The order of a menu (Boot Loader Specification, "Sorting"): <0: `one` comes first. */
int loader_entry_compare(const struct loader_entry *one, const struct loader_entry *two);

/* The first menu entry of a grub.cfg that starts a kernel of this name (its last path component)
 * and is no recovery and not ours. False: there is none, or out of memory, or it has more
 * initrds than could be loaded. */
bool loader_grub_cfg_find(struct loader_entry *ret_entry, const char *text, size_t length,
                          const char *kernel_name, const struct loader_variables *variables);

/* ── kernels without entries ─────────────────────────────────────────────────────────────────── */

/* "vmlinuz-6.1.0-13-amd64" → "6.1.0-13-amd64". NULL: it is not called like a kernel. */
const char *loader_kernel_version(const char *file_name);
/* The initrds of this kernel among the files of its folder, in the order in which they are loaded:
 * microcode first. Returns how many; they point into `names`. */
unsigned loader_find_initrds(const char *kernel_version, const char *const *names, size_t count,
                             const char *ret_initrds[BOOT_ENTRY_INITRDS_LIMIT]);

/* ── small files ─────────────────────────────────────────────────────────────────────────────── */

/* NAME=VALUE of os-release(5) or /etc/default/grub, its quotes taken off. The last one counts.
 * False: it is not there. */
bool loader_shell_value(const char *text, size_t length, const char *name,
                        char ret_value[LOADER_VALUE_BYTES]);
/* What fstab(5) mounts at `directory`, and how. False: nothing. */
bool loader_fstab_find(const char *text, size_t length, const char *directory,
                       char ret_device[LOADER_PATH_BYTES], char ret_options[LOADER_PATH_BYTES]);
/* The words of /etc/kernel/cmdline in one line; comments are left out. */
void loader_cmdline_file(struct buffer *out, const char *text, size_t length);

/* root=/dev/nvme0n1p2: a name that another machine gives to another disk. */
struct loader_root_node {
    size_t offset, length; /* of that word in its line */
    unsigned partition;    /* the number of it; 0: the disk itself */
};

/* Of several root= a kernel takes the last. False: that is no such name, or there is none. */
bool loader_find_root_node(struct loader_root_node *ret_node, const char *options);

/* ── images ──────────────────────────────────────────────────────────────────────────────────── */

struct loader_span {
    uint64_t offset, bytes; /* bytes 0: not there */
};

/* A unified kernel image (type 2), or any other PE program. */
struct loader_uki {
    unsigned machines; /* enum boot_machine: of its UEFI; 0: unknown */
    struct loader_span kernel, initrd, microcode, command_line, os_release, uname;
};

/* -EINVAL: it is no PE program, or not all of it is there. */
int loader_uki_read(struct loader_uki *ret_uki, const uint8_t *bytes, size_t length,
                    struct error *error);
/* Title, version and sort key out of its sections. -EINVAL: it holds no kernel. */
int loader_uki_entry(struct loader_entry *ret_entry, const char *file_name,
                     const struct loader_uki *uki, const uint8_t *bytes, struct error *error);

/* Is it a kernel, is all of it there, and which clients can start it? -EINVAL. */
int loader_kernel_check(const uint8_t *bytes, size_t length, unsigned *ret_machines,
                        struct error *error);

struct loader_initramfs {
    enum boot_initramfs generator;
    bool has_iscsi;
    bool is_sealed; /* its tree is in a filesystem image that cannot be looked into */
    uint64_t files;
};

/* Looks through all archives of which it is made. -EINVAL: it is none, or not whole. */
int loader_initramfs_read(struct loader_initramfs *ret_initramfs, const uint8_t *bytes,
                          size_t length, struct error *error);

/* ── disks ───────────────────────────────────────────────────────────────────────────────────── */

#define LOADER_HEAD_BYTES (68u << 10) /* of a filesystem: up to btrfs's superblock */

enum loader_filesystem_kind {
    LOADER_FILESYSTEM_UNKNOWN,
    LOADER_FILESYSTEM_EXT,
    LOADER_FILESYSTEM_XFS,
    LOADER_FILESYSTEM_BTRFS,
    LOADER_FILESYSTEM_FAT,
    LOADER_FILESYSTEM_ISO9660,
};

struct loader_filesystem {
    enum loader_filesystem_kind kind;
    char uuid[37]; /* as it stands in root=UUID=; "": none */
    char label[64];
    bool is_dirty;          /* it was not unmounted; of XFS its log tells */
    bool has_journal;       /* which GRUB's drivers do not replay */
    struct loader_span log; /* XFS */
};

/* "ext4", "XFS" … */
const char *loader_filesystem_name(enum loader_filesystem_kind kind);
/* From its first LOADER_HEAD_BYTES, or fewer. Kind unknown: none of these. */
void loader_filesystem_read(struct loader_filesystem *ret_filesystem, const uint8_t *head,
                            size_t length);
/* Does an XFS log end with an unmount record? -EINVAL: it is no log; else what `source` answers. */
int loader_xfs_log_is_clean(const struct byte_source *source, bool *ret_clean);

/* "GRUB", "Windows", …: whose boot code is in the first sector (512 bytes). NULL: none. */
const char *loader_boot_code(const uint8_t sector[512], bool *ret_starts_linux);

/* A program on an EFI system partition that firmware would start. */
struct loader_program {
    const char *folder; /* below \EFI, in lower case; "*": any */
    const char *file;   /* in lower case */
    const char *title;  /* "%s" is the folder */
    unsigned machines;
    bool starts_linux; /* and nothing else, as far as one can tell */
};
/* NULL: none that a menu offers. `folder` and `file` as the partition has them. */
const struct loader_program *loader_program_find(const char *folder, const char *file);
/* Of two in one folder the one with the lower rank is offered. */
unsigned loader_program_rank(const struct loader_program *program);
