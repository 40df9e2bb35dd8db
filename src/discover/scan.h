/*
 * scan.h - what the files of discover/ share: one look at one disk.
 *
 *   volumes.c   partitions and volumes, their filesystems, are they clean
 *   kernels.c   loader entries, unified images, kernels without entries → candidates
 *   system.c    root filesystems: who they are, which command line they want
 *   programs.c  loaders on EFI system partitions, boot code → candidates
 *   collect.c   candidates → catalog: files are read, checked, sent
 *   send.c      packets to the daemon
 */
#pragma once
#include <netboot-target/discover.h>
#include <netboot-target/loader.h>
#include <netboot-target/util/buffer.h>

#include "grub.h"

#define VOLUMES_LIMIT    BOOT_CATALOG_VOLUMES_LIMIT
#define CANDIDATES_LIMIT 256u
#define SYSTEMS_LIMIT    16u

struct volume {
    char device[GRUB_DEVICE_BYTES]; /* as GRUB calls it */
    char words[GRUB_DEVICE_BYTES];  /* for a person: "partition 2" */
    unsigned number;                /* of the partition; 0: none */
    char part_uuid[40], part_label[128];
    struct loader_filesystem filesystem;
    bool is_known;  /* GRUB's drivers read it */
    bool is_chosen; /* kernels.partition lets it be looked into */
};

/* Something that a menu might show. */
struct candidate {
    enum boot_entry_kind kind;
    struct loader_entry entry;
    const struct volume *volume;
    char source[LOADER_PATH_BYTES]; /* the file it was found in */
    char kernel[LOADER_PATH_BYTES]; /* paths on the volume that are there */
    char initrds[BOOT_ENTRY_INITRDS_LIMIT][LOADER_PATH_BYTES];
    unsigned initrd_count;
    bool is_uki;       /* `kernel` is the image that holds it all */
    unsigned machines; /* of a program */
    unsigned rank;     /* among programs */
    bool is_on_demand; /* a program that an entry names; behind all others */
    bool starts_linux; /* a program, or boot code */
    char problem[256]; /* "": none */
};

/* A root filesystem: where os-release and fstab are. */
struct system {
    const struct volume *volume;
    char prefix[LOADER_PATH_BYTES];      /* "", or the subvolume: "/@" */
    char title[LOADER_VALUE_BYTES];      /* PRETTY_NAME; "" */
    char boot_device[LOADER_PATH_BYTES]; /* what its fstab mounts at /boot; "" */
    char root_device[LOADER_PATH_BYTES]; /* at / */
};

/* A folder that was listed once. */
struct listing {
    struct listing *prev, *next;
    const struct volume *volume;
    char path[LOADER_PATH_BYTES];
    struct grub_folder folder;
};

struct scan {
    const struct discover_options *options;
    struct grub grub;
    int disk;
    struct volume volumes[VOLUMES_LIMIT];
    unsigned volume_count;
    bool is_partitioned;
    struct system systems[SYSTEMS_LIMIT];
    unsigned system_count;
    struct candidate *candidates;
    unsigned candidate_count;
    struct listing *listings;
    unsigned listing_count;
    char *notes[BOOT_CATALOG_NOTES_LIMIT];
    unsigned note_count;
    bool is_dirty; /* a filesystem with kernels was not unmounted */
};

/* One sentence for the journal, once; those beyond the limit are dropped. */
void scan_note(struct scan *scan, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* NULL: the limit is reached. */
struct candidate *scan_add_candidate(struct scan *scan, enum boot_entry_kind kind,
                                     const struct volume *volume);
/* Why it is not offered; the first reason stays. */
void scan_set_problem(struct candidate *candidate, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What is in a folder; empty when there is none. It stays until the end. */
const struct grub_folder *scan_list(struct scan *scan, const struct volume *volume,
                                    const char *path);
/* NULL: there is no such file. */
const struct grub_name *scan_find(struct scan *scan, const struct volume *volume, const char *path);
/* A small file. False: it is not there, or cannot be read. */
bool scan_read_text(struct scan *scan, const struct volume *volume, const char *path,
                    struct grub_file *ret_file);
/* "FOLDER/NAME" into `to`. False: it is too long. */
bool scan_join(char to[LOADER_PATH_BYTES], const char *folder, const char *name);

int scan_volumes(struct scan *scan, struct error *error);
/* By "UUID=…", "LABEL=…", "PARTUUID=…" or "PARTLABEL=…". */
bool scan_volume_is(const struct volume *volume, const char *tag);
/* GRUB's drivers read what was before its journal. */
bool scan_volume_is_unread(const struct volume *volume);
void scan_systems(struct scan *scan);
/* The system whose /boot this is. NULL: none. */
const struct system *scan_system_of(const struct scan *scan, const struct volume *volume,
                                    const char *folder);
/* Appends the command line of a kernel that has none of its own. False: nothing tells it. */
bool scan_system_command_line(struct scan *scan, const struct system *system, struct buffer *out);
/* The candidate's own words, with a root= that another machine finds, too. NULL: out of memory. */
char *scan_options(struct scan *scan, const struct candidate *candidate);
void scan_kernels(struct scan *scan);
void scan_programs(struct scan *scan);

/* Reads and sends the files of all candidates. NULL: out of memory, or the daemon is gone. */
struct boot_catalog *scan_collect(struct scan *scan, struct error *error);

/* A sealed memory file, as packet 'F' or 'I'. */
int send_file(int socket, char kind, const struct grub_file *file);
