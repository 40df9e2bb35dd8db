/*
 * catalog.h - what can be booted from one disk: found by the helper process, offered by the
 * menu. Pure data, and the two ways it is made: in the helper from the disk's bytes, in the daemon
 * from what the helper wrote. A catalog is immutable once it is complete; files are shared.
 *
 *   disk ── netboot-target-discover ── index ── boot_catalog_read ── _complete ── menu
 *
 * Everything in it comes from a foreign disk. Strings are bounded, valid UTF-8 without control
 * characters; nothing else is promised, so whoever prints one into a script filters it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/error.h>

#define BOOT_CATALOG_ENTRIES_LIMIT 128u
#define BOOT_CATALOG_FILES_LIMIT   256u
#define BOOT_CATALOG_NOTES_LIMIT   64u
#define BOOT_CATALOG_VOLUMES_LIMIT 64u
#define BOOT_ENTRY_INITRDS_LIMIT   8u
#define BOOT_ENTRY_ID_BYTES        65u   /* [a-z0-9._-]{1,64} and a NUL */
#define BOOT_ENTRY_TITLE_BYTES     129u  /* 128 and a NUL */
#define BOOT_ENTRY_OPTIONS_BYTES   8192u /* of the disk; what is offered is checked again */
#define BOOT_COMMAND_LINE_BYTES    2048u /* COMMAND_LINE_SIZE of x86, with its NUL */

enum boot_entry_kind {
    BOOT_ENTRY_LINUX,  /* kernel and initrds by HTTP, root on iSCSI */
    BOOT_ENTRY_LOADER, /* a UEFI program on the disk, started with sanboot --filename */
    BOOT_ENTRY_MBR,    /* boot code in the first sector, for BIOS clients */
};

/* Who made an initramfs: each finds the disk by other words. */
enum boot_initramfs {
    BOOT_INITRAMFS_UNKNOWN,
    BOOT_INITRAMFS_DRACUT,
    BOOT_INITRAMFS_TOOLS, /* Debian's and Ubuntu's initramfs-tools */
    BOOT_INITRAMFS_MKINITCPIO,
    BOOT_INITRAMFS_COUNT
};

/* Which clients can start it. */
enum boot_machine {
    BOOT_MACHINE_BIOS = 1 << 0,
    BOOT_MACHINE_X64 = 1 << 1,
    BOOT_MACHINE_IA32 = 1 << 2,
    BOOT_MACHINE_ARM64 = 1 << 3,
    BOOT_MACHINE_RISCV64 = 1 << 4,
};

/* The bytes of a kernel or initrd in memory. Catalogs share them: a rescan that finds the same file
 * takes the same blob. */
struct boot_blob {
    const uint8_t *data;
    uint64_t bytes;
    uint8_t sha256[32];                      /* as its catalog says, unchecked */
    unsigned references;                     /* on the loop's thread only */
    void (*release)(struct boot_blob *blob); /* the last one went: frees data and blob */
};
struct boot_blob *boot_blob_ref(struct boot_blob *blob);
void boot_blob_unref(struct boot_blob *blob); /* NULL is accepted */

/* A kernel or initrd as the client loads it: whole, size and header checked. */
struct boot_catalog_file {
    char *name; /* [A-Za-z0-9._-], no two in a catalog are alike: for URLs and `initrd=` */
    uint64_t bytes;
    const uint8_t *data; /* of the blob; NULL: listed only, it did not fit in memory */
    uint8_t sha256[32];
    struct boot_blob *blob;
    bool is_sent; /* only while it is written: the bytes go with the index */
    bool is_kept; /* the reader has them already */
};

struct boot_entry {
    enum boot_entry_kind kind;
    char id[BOOT_ENTRY_ID_BYTES]; /* the same after a rescan and a restart */
    char title[BOOT_ENTRY_TITLE_BYTES];
    char *source;      /* where it was found: "/loader/entries/debian.conf on partition 2" */
    char *volume;      /* which filesystem that is on; NULL: on none */
    unsigned machines; /* enum boot_machine bits */
    bool starts_linux; /* a loader or boot code that starts nothing else, as far as one can tell */
    uint64_t seen_unix_seconds; /* of this earlier look, for its filesystem is dirty now; 0: of the
                                 * newest */
    /* BOOT_ENTRY_LINUX */
    unsigned kernel; /* index into files */
    unsigned initrds[BOOT_ENTRY_INITRDS_LIMIT];
    unsigned initrd_count;
    char *options; /* the command line of the disk, variables expanded, its root for any machine */
    enum boot_initramfs initramfs;
    bool has_iscsi; /* its initramfs can find an iSCSI disk */
    /* BOOT_ENTRY_LOADER */
    char *loader;      /* "\\EFI\\debian\\shimx64.efi" */
    bool is_on_demand; /* a program that an entry names, such as a shell or a memory test: only
                        * whoever chooses it starts it */
    /* Why it is shown but not offered ("the initramfs holds no iSCSI: run setup/linux.sh").
     * NULL: it is offered. */
    char *problem;
};

struct boot_catalog {
    struct boot_entry *entries; /* in the order of the menu: newest first */
    unsigned entry_count;
    struct boot_catalog_file *files;
    unsigned file_count;
    char **notes; /* sentences for the journal: what could not be read, in which partition, why */
    unsigned note_count;
    char **dirty; /* volumes that were not unmounted, and have a journal: nothing here is new of
                   * them */
    unsigned dirty_count;
    bool stale; /* there are kernels on one of these, or there were */
    uint64_t scanned_unix_seconds;
};

void boot_catalog_free(struct boot_catalog *catalog); /* NULL is accepted */
DEFINE_CLEANUP(struct boot_catalog *, boot_catalog_free)
/* NULL: there is no entry of this id. A NULL catalog has none. */
const struct boot_entry *boot_catalog_find(const struct boot_catalog *catalog, const char *id);
/* Changes `id` where another entry has it. */
void boot_catalog_make_id_unique(const struct boot_catalog *catalog, char id[BOOT_ENTRY_ID_BYTES]);
/* A copy of a file's name, changed where another file has it. NULL: out of memory. */
char *boot_catalog_make_name(const struct boot_catalog *catalog, const char *name);
/* True for text without control characters that is valid UTF-8 and at most `limit` bytes long. */
bool boot_catalog_text_is_clean(const char *text, size_t limit);

/* ── the index: a catalog as JSON ────────────────────────────────────────────────────────────── */

#define BOOT_INDEX_BYTES_LIMIT (1u << 20)

/* Appends it; `out` is `failed` when it was too much. */
void boot_catalog_write(struct buffer *out, const struct boot_catalog *catalog);

/* What came with an index. */
struct boot_deliveries {
    struct boot_blob *const *blobs; /* of the files that are sent, in their order */
    unsigned blob_count;
    /* A blob that is known already; it is borrowed, or NULL. */
    struct boot_blob *(*find)(void *context, const uint8_t sha256[32], uint64_t bytes);
    void *context;
};

/*
 * Reads what the helper wrote, and trusts nothing of it: every number is in its range, every string
 * clean, every file that is sent has a blob of its size. Takes references to the blobs it uses.
 * NULL: `error` says what is wrong. The catalog has one reference.
 */
struct boot_catalog *boot_catalog_read(const void *index, size_t length,
                                       const struct boot_deliveries *deliveries,
                                       struct error *error);

/* ── the look before ─────────────────────────────────────────────────────────────────────────── */

/*
 * Makes one look, which nobody else refers to yet, complete: what `before` (NULL: nothing) has of
 * volumes that are dirty now comes over, as far as there is room for it; of what is too much for
 * `memory_bytes` in all the oldest is listed only. Loaders that start Linux are not offered when no
 * initramfs that was looked into holds iSCSI. Returns how many entries came over; -ENOMEM: it
 * cannot be used.
 */
int boot_catalog_complete(struct boot_catalog *catalog, const struct boot_catalog *before,
                          uint64_t memory_bytes);

/* ── the command line ────────────────────────────────────────────────────────────────────────── */

struct boot_command_line_rules {
    const char *append;        /* `cmdline-append`; NULL: nothing */
    const char *const *remove; /* `cmdline-remove`: words, "name" also takes name=… away */
    unsigned remove_count;
    bool keep_quiet;
    const char *netroot;   /* explicit mode, dracut's "iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET"
                            * instead of the iBFT; NULL: iBFT */
    const char *initiator; /* with netroot: the name that owns the disk; NULL: the system's own */
};

/*
 * The words with which this entry's initramfs finds the disk, behind the disk's own options without
 * those that break (resume=, BOOT_IMAGE, initrd= …), sleep and hibernation masked.
 * `mac`: "52-54-00-ab-cd-ef" of the client, for BOOTIF. 0; -E2BIG: longer than a kernel takes;
 * -EINVAL: holds what cannot stand in a script, or this initramfs cannot be told by words; `error`
 * says which.
 */
int boot_command_line(struct buffer *out, const struct boot_entry *entry, const char *mac,
                      const struct boot_command_line_rules *rules, struct error *error);
