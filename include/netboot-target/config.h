/*
 * config.h - the configuration: a libconfig file becomes one immutable, refcounted `struct config`
 * of typed fields and host values. Every key stands in one table (src/config/schema.c) with its
 * default, so that no field is ever "not set" unless its comment says so. A reload builds a new
 * one, compares and swaps.
 *
 * Strings belong to the config; hold a reference as long as you use anything inside. References
 * are counted without locks: ref and unref on one thread.
 */
#pragma once
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

/* ---------------------------------------------------------------- values */

#define CONFIG_LIST(type) \
    struct {              \
        type *items;      \
        unsigned count;   \
    }

/* An integer that is left to the device or to the standard's default. */
#define CONFIG_UNSET           UINT32_MAX
#define CONFIG_ADDRESSES_LIMIT 256  /* of one target's list */
#define CONFIG_POOL_LIMIT      1024 /* addresses of one interface's pool */

#define SECRET_MAX_BYTES 255

/* A password or CHAP secret: never printed, wiped when its config goes. length 0: not set. */
struct secret {
    uint8_t length;
    char text[SECRET_MAX_BYTES + 1]; /* a NUL stands behind it */
};

/* Where a group stands in the file, for messages. file NULL: not from a file. */
struct config_place {
    const char *file;
    unsigned line;
};

/*
 * One address to listen on. "*:3260" becomes two of them, 0.0.0.0 and [::], both `wildcard`: one of
 * the two may fail where the host lacks that family. "*%eth0:80" or "[fe80::1%eth0]:80" also names
 * the interface to bind to (and, for link-local ones, the scope to fill in).
 */
struct config_endpoint {
    struct sockaddr_storage address; /* sockaddr_in or sockaddr_in6 with port; scope id 0 */
    bool wildcard;
    char interface[IF_NAMESIZE]; /* "": any */
};

/* "192.0.2.0/24", "2001:db8::1" (= /128). Host bits are kept for an interface address. */
struct config_network {
    sa_family_t family; /* AF_UNSPEC: not set */
    uint8_t prefix;
    union {
        struct in_addr ipv4;
        struct in6_addr ipv6;
    };
};

/* "192.0.2.10-192.0.2.20", both ends included. first.s_addr 0: not set. */
struct config_pool {
    struct in_addr first;
    struct in_addr last;
};

struct config_mac {
    bool set;
    uint8_t bytes[6];
};

/* The bytes in the order in which they are written. */
struct config_uuid {
    bool set;
    uint8_t bytes[16];
};

/* A binary designator (NAA or EUI-64 based). length 0: derived from the disk. */
struct config_designator {
    uint8_t length;
    uint8_t bytes[16];
};

/* ---------------------------------------------------------------- words */

enum config_dhcp_role { CONFIG_DHCP_AUTO, CONFIG_DHCP_PROXY, CONFIG_DHCP_SERVER, CONFIG_DHCP_OFF };
enum config_auth_mode { CONFIG_AUTH_NONE, CONFIG_AUTH_CHAP, CONFIG_AUTH_MUTUAL };
/* The values are those of CHAP_A (RFC 7143 §12.1.3 and the IANA PPP registry). */
enum config_chap_algorithm {
    CONFIG_CHAP_MD5 = 5,
    CONFIG_CHAP_SHA1 = 6,
    CONFIG_CHAP_SHA256 = 7,
    CONFIG_CHAP_SHA3_256 = 8
};
/* none: CRC32C refused. allow: taken where the initiator wants nothing else. prefer: taken where
 * the initiator offers it. require: a login without it fails. */
enum config_digests {
    CONFIG_DIGESTS_NONE,
    CONFIG_DIGESTS_ALLOW,
    CONFIG_DIGESTS_PREFER,
    CONFIG_DIGESTS_REQUIRE
};
enum config_others { CONFIG_OTHERS_REFUSE, CONFIG_OTHERS_READ_ONLY };
/* Which words a kernel line gets; auto: as the initramfs is found to be. */
enum config_initramfs {
    CONFIG_INITRAMFS_AUTO,
    CONFIG_INITRAMFS_DRACUT,
    CONFIG_INITRAMFS_TOOLS,
    CONFIG_INITRAMFS_MKINITCPIO
};
enum config_write_mode { CONFIG_WRITE_AUTO, CONFIG_WRITE_DIRECT, CONFIG_WRITE_BUFFERED };
enum config_io_engine { CONFIG_ENGINE_AUTO, CONFIG_ENGINE_URING, CONFIG_ENGINE_THREADS };
/* How a PXE firmware is answered: with option 43 (boot file at once), without it (4011). */
enum config_pxe_style { CONFIG_PXE_AUTO, CONFIG_PXE_DIRECT, CONFIG_PXE_BOOT_SERVER };
enum config_chainload {
    CONFIG_CHAINLOAD_MISSING_FEATURES,
    CONFIG_CHAINLOAD_ALWAYS,
    CONFIG_CHAINLOAD_NEVER
};

/* ---------------------------------------------------------------- groups */
/* Each group begins with its place. */

struct config_auth {
    struct config_place place;
    enum config_auth_mode mode;
    char *user;                  /* CHAP_N the initiator sends; never NULL */
    struct secret secret;        /* length 0 with mode chap or mutual: generate once and keep */
    char *target_user;           /* CHAP_N we send; never NULL */
    struct secret target_secret; /* length 0 with mode mutual: generate once and keep */
    CONFIG_LIST(enum config_chap_algorithm) algorithms; /* accepted ones */
};

struct config_lun {
    struct config_place place;
    uint32_t number;
    char *device;    /* path, or UUID= LABEL= PARTUUID= PARTLABEL=; "%m": see config_lun_per_client.
                      * Exactly one of device and disk_with is set, the other is NULL. */
    char *disk_with; /* UUID= …: the whole disk that holds it */
    bool read_only;
    enum config_write_mode write;
    uint64_t wait_ms; /* for a device that appears late */
    bool force;       /* overrides naming checks, never a kernel claim */
    bool discard;
    bool sanitize;
    bool write_cache; /* WCE at start */
    char *vendor;     /* at most 8 printable characters */
    char *product;    /* 16 */
    char *revision;   /* 4 */
    char *serial;     /* NULL: derived from the disk */
    struct config_designator naa;
    struct config_designator eui;
    uint32_t rotation_rate; /* SBC-3 §6.5.3; CONFIG_UNSET: the device's */
};

/* What is looked for on a target's disks, and how its kernels are started. */
struct config_kernels {
    struct config_place place;
    bool discover;
    char *partition;      /* UUID=, LABEL=, PARTUUID=, PARTLABEL= or a number; NULL: all of them */
    char *path;           /* the folder of the kernels in it; NULL: the usual ones */
    char *cmdline;        /* for kernels without a loader entry; NULL: as the disk has it */
    char *cmdline_append; /* NULL: nothing */
    CONFIG_LIST(char *) cmdline_remove;
    bool keep_quiet;
    char *netroot; /* NULL: by iBFT */
    enum config_initramfs initramfs;
};

struct config_target {
    struct config_place place;
    char *name;  /* unique, [A-Za-z0-9._-]{1,64} */
    char *iqn;   /* lower case; NULL: derived from the first disk */
    char *alias; /* NULL: none */
    uint32_t first_lun;
    CONFIG_LIST(struct config_lun) luns; /* at least one, in the order written */
    struct config_auth auth;
    CONFIG_LIST(char *) initiators; /* name patterns with * and ?, lower case; empty: everyone */
    CONFIG_LIST(struct config_network) addresses; /* empty: everyone */
    bool shared;                                  /* several initiators may write at once */
    enum config_others others; /* not shared: what those get who do not own the disk */
    uint64_t hold_ms; /* how long the disk stays its owner's after the last session is lost */
    uint64_t after_script_ms; /* first logins only so soon after a boot script; 0: at any time */
    bool open;                /* any machine that asks is booted from it, secrets in its script */
    enum config_digests digests;
    bool initial_r2t; /* no data of a write before it has been asked for */
    uint64_t ping_ms; /* 0: idle sessions are left alone */
    struct config_kernels kernels;
};

struct config_interface {
    struct config_place place;
    char *name;
    enum config_dhcp_role dhcp;
    struct config_network fallback_address; /* IPv4 */
    struct config_pool pool;                /* not set: every other host of the network served */
    struct in_addr router;                  /* 0: none */
    CONFIG_LIST(struct in_addr) dns;
    uint64_t probe_ms;         /* how long auto looks for another server after carrier */
    bool router_advertisement; /* answer a booting client's router solicitation (lifetime 0) */
};

struct config_client {
    struct config_place place;
    struct config_mac mac; /* at least one of mac, uuid, serial is set */
    struct config_uuid uuid;
    char *serial;           /* NULL: any */
    char *target;           /* name of a target in this config; NULL: the first */
    uint32_t lun;           /* CONFIG_UNSET: the target's first */
    struct in_addr address; /* 0: none; else a full DHCP answer even in the proxy role */
    char *device;           /* its own image, "%m" is its MAC; NULL: the target's LUN */
    char *initiator;        /* its initiator name, "%m" is its MAC; NULL: made from the MAC */
    bool menu;              /* show the menu instead of booting at once */
    bool open; /* the script holds the CHAP secrets; false: the menu's password first */
    enum config_pxe_style pxe_style;
    char *boot_file; /* NULL: by architecture */
};

/* What the menu offers beside the client's own disk: another one, lines of an iPXE script, or lines
 * for a disk that is hooked first. */
struct config_menu_item {
    struct config_place place;
    char *name;   /* unique; never NULL */
    char *title;  /* never NULL */
    char *target; /* name of a target in this config; NULL: no disk */
    uint32_t lun; /* CONFIG_UNSET: the target's first */
    CONFIG_LIST(char *) script;
};

struct config_menu {
    struct config_place place;
    char *user;
    struct secret password; /* length 0: generate once and keep */
    bool basic;             /* take Basic too, which sends the password in clear */
    uint64_t timeout_ms;    /* 0: wait for ever */
    char *choice; /* the default: "disk", "kernel", "entry:ID" or "item:NAME"; never NULL */
    CONFIG_LIST(struct config_menu_item) items;
};

/* One boot file per client architecture (IANA "Processor Architecture Types"). */
struct config_boot_files {
    struct config_place place;
    char *bios;
    char *efi_ia32;
    char *efi_x64;
    char *efi_arm32;
    char *efi_arm64;
    char *efi_riscv64;
    char *efi_loongarch64;
};

struct config_boot {
    struct config_place place;
    CONFIG_LIST(struct config_endpoint) http_listen;
    CONFIG_LIST(struct config_endpoint) tftp_listen;
    char *directory;        /* the loaders of Debian's ipxe package */
    char *custom_directory; /* the user's own builds, looked in first; NULL: none */
    struct config_boot_files files;
    enum config_chainload chainload;
};

/* How disks are searched for what they can boot. */
struct config_discovery {
    struct config_place place;
    uint64_t memory_bytes; /* kernels and initrds of all disks together */
    uint64_t time_ms;      /* one disk may take */
    bool without_landlock;
};

struct config_status {
    struct config_place place;
    CONFIG_LIST(struct config_endpoint) listen;
    CONFIG_LIST(char *) hosts; /* further names a browser may use for it */
};

struct config_io {
    struct config_place place;
    enum config_io_engine engine;
    uint32_t workers;
    uint32_t workers_per_lun;
    uint64_t memory_bytes; /* buffers of all connections together */
};

struct config_limits {
    struct config_place place;
    uint32_t connections;
    uint32_t connections_per_source;
    uint32_t logins; /* connections that are not through their login yet */
    uint32_t logins_per_source;
    uint32_t failed_logins_per_minute; /* of one source; more are delayed */
    uint64_t login_deadline_ms;
    uint32_t sessions_per_initiator; /* on one target, or for discovery */
    uint32_t queue_depth;            /* commands of one session */
    uint64_t memory_per_connection_bytes;
    uint64_t text_bytes; /* of one text or login exchange */
    uint64_t send_stall_ms;
    uint64_t write_stall_ms;
    uint64_t
        keepalive_ms;  /* a silent connection is probed after this time, closed after twice it */
    uint64_t drain_ms; /* what SIGTERM gives running commands */
    uint32_t http_connections;
    uint32_t http_connections_per_source;
    uint64_t http_header_ms;
    uint64_t http_body_bytes;
    uint32_t tftp_transfers;
    uint32_t tftp_transfers_per_source;
    uint32_t tftp_block_bytes;
    uint32_t tftp_window_blocks;
    uint32_t dhcp_replies_per_second;
    uint32_t journal_clients;
    uint32_t journal_events_per_client;
};

struct config {
    struct config_place place;
    CONFIG_LIST(struct config_interface) interfaces; /* empty: every wired physical one, auto */
    struct config_interface any_interface;           /* what holds for those; name NULL */
    CONFIG_LIST(struct config_endpoint) portals;
    CONFIG_LIST(struct config_target) targets;
    CONFIG_LIST(struct config_client) clients;
    struct config_auth discovery_auth;
    struct secret secret_key; /* secrets are derived from it; length 0: generated and kept */
    struct config_menu menu;
    struct config_boot boot;
    struct config_discovery discovery;
    struct config_status status;
    struct config_io io;
    struct config_limits limits;
    char *iqn_authority; /* what derived IQNs begin with */
    char *state_directory;
    enum log_level log_level;

    struct config_private *private; /* references, file names */
};

/* ---------------------------------------------------------------- loading */

struct config_problem {
    char *text; /* "FILE:LINE: a complete sentence" */
    bool warning;
};

/* Everything found in one load. Zero-initialise; config_errors_done() empties it. */
struct config_errors {
    struct config_problem *items;
    unsigned count;
    unsigned capacity;
    unsigned errors;     /* how many of them are no warnings */
    unsigned suppressed; /* beyond the first hundred */
};
void config_errors_done(struct config_errors *errors);
/* One line each; warnings say so. */
void config_errors_print(const struct config_errors *errors, FILE *to);

struct config_options {
    const char *credentials_directory; /* $CREDENTIALS_DIRECTORY; NULL: there is none */
};

/*
 * Reads and checks a file. A syntax error is reported alone, else all errors together.
 * Returns NULL when there is an error. A config may come with warnings in `ret_errors`.
 * It reads secret files too, so what a secret was is known only by loading again.
 */
struct config *config_load(const char *path, const struct config_options *options,
                           struct config_errors *ret_errors);

/* The same from text; `name` stands for the file in messages. Secrets inside are accepted as if
 * the file were private. `folder`: where a relative @include is looked for. */
struct config *config_parse(const char *text, size_t length, const char *name, const char *folder,
                            const struct config_options *options, struct config_errors *ret_errors);

/* The form without a file: one target per device, named after it. `open`: no CHAP, anyone boots. */
struct config *config_export(char *const *devices, unsigned count, bool open,
                             struct config_errors *ret_errors);

/* Another owner of it; each calls config_unref(). */
struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* NULL is accepted; the last one wipes the secrets */
DEFINE_CLEANUP(struct config *, config_unref)

/* True when `device` holds "%m": each client has an image of its own, opened when it comes. */
bool config_lun_per_client(const struct config_lun *lun);
/* "error", "warning", "notice", "info" or "debug"; -EINVAL otherwise. */
int config_parse_log_level(const char *word, enum log_level *ret_level);

/* NULL: there is none of this name. */
const struct config_target *config_find_target(const struct config *config, const char *name);
/* What a row of `clients` boots: the first target where it names none. NULL: there is none. */
const struct config_target *config_client_target(const struct config *config,
                                                 const struct config_client *client);

/* ---------------------------------------------------------------- comparing, for a reload */

enum config_change {
    CONFIG_UNCHANGED, /* its sessions stay; `kernels` may be another */
    CONFIG_CHANGED,
    CONFIG_ADDED,  /* old is NULL */
    CONFIG_REMOVED /* new is NULL */
};

struct config_target_change {
    enum config_change change;
    const struct config_target *old;
    const struct config_target *new;
};

struct config_diff {
    CONFIG_LIST(struct config_target_change) targets; /* old order, then the added ones */
};

/* By content, places aside; targets are matched by name. -ENOMEM. The configs must outlive it. */
int config_diff(const struct config *old, const struct config *new, struct config_diff *ret_diff);
void config_diff_done(struct config_diff *diff);

/* Whether one top-level key ("portals", "interfaces", "limits" …) has the same content in both.
 * False for a name that is no key. */
bool config_same(const struct config *a, const struct config *b, const char *key);

/* ---------------------------------------------------------------- telling about the keys */

void config_print_help(FILE *to);    /* --help=config */
void config_print_man(FILE *to);     /* the list of keys in netboot.conf(5), mdoc */
void config_print_example(FILE *to); /* conf/netboot.conf */
