/*
 * status.h - what the daemon is doing, as plain structs, and three ways to write it down: JSON for
 * programs, the Prometheus text format for monitoring, a page for a person. Pure: whoever gathers
 * the report owns every string and array in it. docs/status.md names every field.
 *
 * Strings may come from the wire or from disks: each writer makes them safe for its format. NULL
 * strings are not allowed; "" means there is none.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/util/buffer.h>

#define STATUS_OUTPUT_BYTES_LIMIT (32u << 20)
#define STATUS_LATENCY_BUCKETS    24 /* bucket n: below 2^n µs, the last one: anything longer */

enum status_operation {
    STATUS_READ,
    STATUS_WRITE,
    STATUS_FLUSH,
    STATUS_DISCARD,
    STATUS_WRITE_ZEROES,
    STATUS_PREFETCH,
    STATUS_OPERATION_COUNT,
};

struct status_operations {
    uint64_t count, bytes, errors;
};

/* Something that can be booted from a disk. */
struct status_boot_entry {
    const char *id, *title;
    const char *kind;    /* "linux", "loader", "mbr" */
    const char *source;  /* where on the disk it was found */
    const char *problem; /* why it is not offered; "": it is */
    uint64_t
        seen_unix_seconds; /* by which look: an earlier one, when its filesystem is dirty now */
};

/* What was found on a disk for the boot menu. */
struct status_boot {
    bool busy;                     /* it is being looked at */
    bool stale;                    /* a filesystem with kernels was not unmounted */
    uint64_t scanned_unix_seconds; /* 0: not yet */
    const char *problem;           /* why the latest look found nothing out */
    const struct status_boot_entry *entries;
    unsigned entry_count;
    const char *const *notes; /* what could not be read, and why */
    unsigned note_count;
};

struct status_lun {
    unsigned number;
    bool open; /* there is a device: the first three states */
    bool read_only;
    const char *state;    /* "open", "write-fault", "gone"; "waiting", "refused", "closing" */
    const char *problem;  /* why it is not open */
    const char *device;   /* the path of the device, or what was configured while it is not open */
    const char *identity; /* 32 hexadecimal digits, or "" while not known */
    const char *identity_source;

    /* only of one that has a device */
    const char *write_mode; /* "direct", "buffered", "read-only", "memory" */
    const char *serial;
    const char *reservation; /* "WRITE EXCLUSIVE by iqn.…" */
    uint64_t size_bytes;
    uint32_t logical_block_bytes, physical_block_bytes;
    uint64_t in_flight;
    struct status_operations operations[STATUS_OPERATION_COUNT];
    struct status_boot boot;
};

struct status_target {
    const char *name, *iqn;
    const char *auth;                  /* "none", "chap", "mutual" */
    const char *secrets_path;          /* where generated secrets lie */
    const char *owner;                 /* the initiator that owns the writable LUNs */
    uint64_t owner_since_unix_seconds; /* 0: nobody owns it */
    uint64_t hold_ends_unix_seconds; /* the owner is lost and waited for until then; 0: it is not */
    bool ready;                      /* it takes logins */
    bool shared;
    const struct status_lun *luns;
    unsigned lun_count;
};

struct status_session {
    const char *initiator, *target, *peer, *local;
    const char *isid; /* 12 hexadecimal digits */
    uint16_t tsih;    /* no two sessions have the same */
    bool discovery;
    bool read_only;   /* a view of what another initiator owns */
    const char *auth; /* "none", "CHAP", "mutual CHAP" */
    bool header_digest, data_digest, initial_r2t, immediate_data;
    uint32_t max_send_bytes, max_receive_bytes, max_burst_bytes, first_burst_bytes;
    uint64_t age_ms, idle_ms;
    uint64_t commands, reads, writes, read_bytes, written_bytes, zero_copy_bytes, errors;
    unsigned outstanding;
    uint64_t latency[STATUS_LATENCY_BUCKETS];
};

/* One of the interfaces on which machines boot. */
struct status_interface {
    const char *name;
    const char *address; /* the one of ours that machines reach */
    const char *role;    /* "off", "proxy", "server" */
    const char *reason;  /* why it has that role, a clause */
    const char *problem; /* what keeps it from doing its part, a sentence */
    bool carrier;
};

/* One step of a machine's boot. Times are milliseconds ago. */
struct status_step {
    const char *name;   /* "dhcp-discover" … */
    const char *words;  /* "its firmware asked for a boot file" */
    const char *detail; /* what exactly: a file, an address */
    uint64_t first_ms, last_ms;
    unsigned count; /* repetitions included */
    uint64_t bytes, duration_ms;
};

#define STATUS_CAUSES_LIMIT 3

/* A machine that boots or has booted from here. */
struct status_client {
    const char *mac, *uuid, *address, *initiator, *interface;
    const char *state;    /* "booting", "waiting", "stopped", "running", "ended" */
    const char *step;     /* the last one */
    const char *sentence; /* its story in words, causes included */
    const char *causes[STATUS_CAUSES_LIMIT];
    unsigned cause_count;
    uint64_t first_seen_ms, last_seen_ms, step_ms; /* ago */
    unsigned boots;
    const struct status_step *steps; /* the oldest first; none in the short form */
    unsigned step_count;
};

struct status_report {
    const char *version;
    uint64_t uptime_seconds;
    uint64_t started_unix_seconds;
    bool serving;       /* new logins and offers */
    bool draining;      /* shutting down */
    const char *engine; /* "io_uring", "threads" */
    const char *const *portals;
    unsigned portal_count;
    unsigned connections; /* sessions, logins in progress and those that drain */
    const struct status_target *targets;
    unsigned target_count;
    const struct status_session *sessions;
    unsigned session_count;
    const struct status_interface *interfaces;
    unsigned interface_count;
    const struct status_client *clients; /* the latest heard first */
    unsigned client_count;
};

/* Each appends to `to`, which is `failed` afterwards when it was too much. */
void status_write_json(const struct status_report *report, struct buffer *to);
/* The clients alone, as JSON, with every step that is kept. */
void status_write_clients(const struct status_report *report, struct buffer *to);
void status_write_metrics(const struct status_report *report, struct buffer *to);
void status_write_page(const struct status_report *report, struct buffer *to);

#define STATUS_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
/* The page needs nothing from elsewhere and no script: whatever a hostile name tried, it may not.
 */
#define STATUS_PAGE_SECURITY_POLICY                                                        \
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; " \
    "frame-ancestors 'none'"
