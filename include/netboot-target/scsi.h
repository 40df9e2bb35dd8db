/*
 * scsi.h - the SCSI device server: SAM-5 task management, SPC-4 and SBC-3 commands of direct-access
 * block devices. Knows block devices; knows no transport and no sockets.
 *
 *   scsi_target ─┬─ scsi_lu (LUN n) ── struct block_device
 *                └─ scsi_nexus (one per session) ── scsi_task (one per command)
 *
 * All of it lives on one loop thread. Callbacks never run inside the call that asks for them,
 * unless this header says so. But a call may let *other* tasks go on: scsi_task_finish(),
 * scsi_manage() and scsi_nexus_end() may call `done` of tasks that waited for their turn.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <netboot-target/util/error.h>
#include <netboot-target/util/pool.h>
#include <netboot-target/util/store.h>

struct block_device;
struct scsi_target;
struct scsi_lu;
struct scsi_nexus;

/* A wake-up in the future, as an interface: this room has no clock. */
struct scsi_delay {
    /* Calls `done` once, on the loop, `delay_ms` from now. */
    void (*after)(struct scsi_delay *delay, unsigned delay_ms, void (*done)(void *context),
                  void *context);
};

/* What the device server borrows from its surroundings; outlives every target. */
struct scsi_environment {
    struct pool *pool;        /* scratch buffers: VERIFY, WRITE SAME, ORWRITE, … */
    struct store *store;      /* reservations with APTPL; NULL: PTPL_C is reported as 0 */
    struct scsi_delay *delay; /* paces a SANITIZE overwrite, so that the disk's other users get
                                 their share; NULL: as fast as the disk goes */
};

/* ── logical units ───────────────────────────────────────────────────────────────────────────── */

#define SCSI_TRANSFER_LIMIT_BYTES                                               \
    (1u << 20)             /* MAXIMUM TRANSFER LENGTH of VPD page B0h, as bytes \
                            */
#define SCSI_LUN_LIMIT 256 /* LUNs 0…255: peripheral device addressing, SAM-5 §4.7 */

struct scsi_lu_options {
    char vendor[9]; /* INQUIRY strings; ASCII, padded by us */
    char product[17];
    char revision[5];
    char serial[65];        /* VPD 80h */
    uint8_t naa[16];        /* VPD 83h NAA designator */
    unsigned naa_bytes;     /* 8 or 16; 0: none */
    uint8_t eui[16];        /* VPD 83h EUI-64 designator */
    unsigned eui_bytes;     /* 8, 12 or 16; 0: none */
    uint16_t rotation_rate; /* VPD B1h: 1 = solid state, 0 = not reported, else rpm */
    bool read_only;         /* WP; also when the device is */
    bool allow_sanitize;
    bool write_through;  /* WCE = 0: what is acknowledged is on stable storage */
    char store_name[96]; /* of the reservation record; stable across restarts */
};

/* The LU uses `device` until scsi_lu_free(); it does not own it. */
struct scsi_lu *scsi_lu_new(const struct scsi_environment *environment, struct block_device *device,
                            const struct scsi_lu_options *options);
void scsi_lu_free(struct scsi_lu *lu); /* no nexus knows it any more */

/* The device it uses now; the caller of scsi_lu_new() owns it. */
struct block_device *scsi_lu_device(struct scsi_lu *lu);
const struct scsi_lu_options *scsi_lu_get_options(const struct scsi_lu *lu);
/* Call after block geometry or health changed: unit attentions CAPACITY DATA HAS CHANGED, … */
void scsi_lu_device_changed(struct scsi_lu *lu);
/* No command and no operation of it uses its device. */
bool scsi_lu_is_idle(const struct scsi_lu *lu);
/* Only while it is idle: goes on with `device`, which has the same block size: the stand-in of a
 * disk that is gone, or the same disk, come back; that is a unit attention. */
void scsi_lu_replace_device(struct scsi_lu *lu, struct block_device *device);
/* What the store kept for options.store_name; -EINVAL when it is not ours. Before the first nexus.
 */
int scsi_lu_restore_reservations(struct scsi_lu *lu, const void *record, size_t length);

/* For the status page: one line such as "WRITE EXCLUSIVE by iqn.…" or "" when there is none. */
void scsi_lu_describe_reservation(const struct scsi_lu *lu, char *to, size_t size);

/* ── targets and nexuses ─────────────────────────────────────────────────────────────────────── */

/* `name`: the target's iSCSI name, for the target device and port designators of VPD page 83h. */
struct scsi_target *scsi_target_new(const char *name);
void scsi_target_free(struct scsi_target *target); /* no nexus left; LUs stay their owner's */
/* -EEXIST, -ERANGE. LUs are added and removed before any nexus, or with REPORTED LUNS DATA HAS
 * CHANGED to those that are there. */
int scsi_target_add_lu(struct scsi_target *target, unsigned lun, struct scsi_lu *lu);
struct scsi_lu *scsi_target_lu(const struct scsi_target *target, unsigned lun);

/* An I_T nexus. `initiator_port`: "iqn.…,i,0x00023d000001" (RFC 7143 §4.2.7: SCSI initiator port
 * name), the identity that persistent reservations are kept for. */
struct scsi_nexus *scsi_nexus_new(struct scsi_target *target, const char *initiator_port,
                                  uint16_t target_portal_group);
/* A view of what others write, before its first task: nothing it sends changes the medium or what
 * other nexuses find. */
void scsi_nexus_set_read_only(struct scsi_nexus *nexus);
/* I_T nexus loss: aborts its tasks (their `abort` is called), waits for those the disk still works
 * on, gives up what a nexus holds (SPC-2 reservation, PREVENT), frees it, then calls `ended`.
 * `ended` may run inside this call when nothing is to be waited for. It also waits for tasks that
 * were taken but not started: the transport finishes those itself. Its task management functions
 * are forgotten without an answer. */
void scsi_nexus_end(struct scsi_nexus *nexus, void (*ended)(void *context), void *context);

/* ── tasks ───────────────────────────────────────────────────────────────────────────────────── */

enum scsi_attribute { SCSI_UNTAGGED, SCSI_SIMPLE, SCSI_ORDERED, SCSI_HEAD_OF_QUEUE, SCSI_ACA };

enum scsi_status {
    SCSI_STATUS_GOOD = 0x00,
    SCSI_STATUS_CHECK_CONDITION = 0x02,
    SCSI_STATUS_CONDITION_MET = 0x04,
    SCSI_STATUS_BUSY = 0x08,
    SCSI_STATUS_RESERVATION_CONFLICT = 0x18,
    SCSI_STATUS_TASK_SET_FULL = 0x28,
    SCSI_STATUS_TASK_ABORTED = 0x40,
};

#define SCSI_CDB_BYTES   16
#define SCSI_SENSE_BYTES 64

enum scsi_data_source {
    SCSI_DATA_NONE,
    SCSI_DATA_MEMORY, /* task->parameter_data */
    SCSI_DATA_DEVICE, /* the device: read with scsi_task_read_cached(), _fetch(), or sent from it */
};

enum scsi_verdict {
    SCSI_DONE,       /* status, sense and data-in are final */
    SCSI_PENDING,    /* `done` will be called */
    SCSI_WANTS_DATA, /* gather data_out_wanted_bytes, then scsi_task_execute() */
};

struct scsi_task;

struct scsi_task_callbacks {
    /* A PENDING task is DONE now. Its buffers are the transport's again. */
    void (*done)(struct scsi_task *task);
    /* A fetch ended: task->fetch_result. */
    void (*fetched)(struct scsi_task *task);
    /* Task management or nexus loss has aborted it (task->aborted is set). The transport drops what
     * has not been committed to the wire and calls scsi_task_finish() as soon as neither execute
     * nor fetch is under way: at once, in this call, if neither is; else from done or fetched,
     * which still come. When `answer` is set (control mode page TAS) status TASK ABORTED is to be
     * sent before finishing. */
    void (*abort)(struct scsi_task *task, bool answer);
};

struct scsi_task {
    /* by the transport, before scsi_task_start() */
    struct scsi_nexus *nexus;
    const struct scsi_task_callbacks *callbacks;
    void *transport; /* whatever the transport wants back */
    uint8_t lun[8];  /* as on the wire, SAM-5 §4.7 */
    uint64_t tag;
    enum scsi_attribute attribute;
    uint8_t cdb[SCSI_CDB_BYTES];
    uint32_t data_out_expected_bytes; /* what the initiator says it will send */
    uint32_t data_in_expected_bytes;  /* what the initiator says it can take */

    /* by the transport, before scsi_task_execute() after SCSI_WANTS_DATA */
    uint8_t *data_out;       /* aligned to POOL_ALIGNMENT; its own until done */
    uint32_t data_out_bytes; /* how many bytes are there: min(wanted, expected) */

    /* by the device server */
    uint32_t data_out_wanted_bytes; /* ≤ SCSI_TRANSFER_LIMIT_BYTES; 0 after CHECK CONDITION at
                                       scsi_task_start() */
    enum scsi_data_source data_source;
    uint64_t data_in_bytes;        /* all it has for the initiator, not cut to what that expects */
    const uint8_t *parameter_data; /* SCSI_DATA_MEMORY */
    struct scsi_lu *lu;            /* NULL: no such LUN */
    uint64_t device_offset_bytes;  /* SCSI_DATA_DEVICE */
    uint8_t status;                /* enum scsi_status */
    uint8_t sense[SCSI_SENSE_BYTES]; /* fixed or descriptor format as D_SENSE says */
    unsigned sense_bytes;
    bool aborted;
    int fetch_result; /* 0, or -EIO: status and sense say the rest */
};

/* A task from the nexus's free list, zeroed but for `nexus`; NULL when memory is exhausted. */
struct scsi_task *scsi_task_new(struct scsi_nexus *nexus);

/* Decodes the CDB through the opcode table, then checks in one place: LUN, unit attention,
 * reservation, usage mask, range, transfer limit, write protection, medium state. A command without
 * data-out is carried out as far as it goes: SCSI_DONE or SCSI_PENDING. From here the task is in
 * the task set until scsi_task_finish(). */
enum scsi_verdict scsi_task_start(struct scsi_task *task);

/* After SCSI_WANTS_DATA: SCSI_DONE or SCSI_PENDING. */
enum scsi_verdict scsi_task_execute(struct scsi_task *task);

/* Leaves the task set and gives the task back, when its last PDU is committed to the wire or it is
 * dropped; also a task that was never started. Not while execute or fetch is under way. */
void scsi_task_finish(struct scsi_task *task);

/* Data-in of SCSI_DATA_DEVICE tasks; `offset` counts from the start of the task's data. */
/* Bytes copied out of the page cache, at once (possibly fewer than asked); -EAGAIN: fetch it. */
ssize_t scsi_task_read_cached(struct scsi_task *task, void *buffer, uint64_t offset, size_t length);
/* True when sendfile will not wait for the disk right now. */
bool scsi_task_is_resident(struct scsi_task *task, uint64_t offset, uint64_t length);
/* Reads through the engine into the transport's buffer; one at a time per task. On an error
 * `status` and `sense` are set (MEDIUM ERROR, UNRECOVERED READ ERROR with INFORMATION) and
 * fetch_result < 0. */
void scsi_task_fetch(struct scsi_task *task, void *buffer, uint64_t offset, size_t length);

/* Sets CHECK CONDITION with this sense, e.g. for iSCSI's own conditions (RFC 7143 §11.4.7.2). */
void scsi_task_check_condition(struct scsi_task *task, uint8_t key, uint16_t asc_ascq);
/* Name of an opcode for logs and status: "READ(10)", or "opcode 0xNN". */
const char *scsi_opcode_name(const uint8_t cdb[SCSI_CDB_BYTES]);

/* ── task management, SAM-5 §7 ───────────────────────────────────────────────────────────────── */

enum scsi_management_function {
    SCSI_ABORT_TASK,
    SCSI_ABORT_TASK_SET,
    SCSI_CLEAR_ACA,
    SCSI_CLEAR_TASK_SET,
    SCSI_LOGICAL_UNIT_RESET,
    SCSI_TARGET_RESET, /* every LU of the target */
    SCSI_QUERY_TASK,
    SCSI_QUERY_TASK_SET,
    SCSI_I_T_NEXUS_RESET,
    SCSI_QUERY_ASYNCHRONOUS_EVENT,
};

enum scsi_management_response {
    SCSI_FUNCTION_COMPLETE,
    SCSI_FUNCTION_SUCCEEDED, /* QUERY: yes */
    SCSI_FUNCTION_REJECTED,
    SCSI_TASK_NOT_FOUND,
    SCSI_INCORRECT_LUN,
};

struct scsi_management {
    struct scsi_nexus *nexus;
    enum scsi_management_function function;
    uint8_t lun[8];
    uint64_t tag; /* ABORT TASK, QUERY TASK */
    /* Called once, when every task it concerns has finished; may run inside scsi_manage(). */
    void (*done)(struct scsi_management *management, enum scsi_management_response response);
    void *context;
    /* private to scsi/ */
    struct scsi_management *previous, *next;
    uint64_t epoch;
};

/* Begins the function. `management` stays the caller's and must last until `done`. */
void scsi_manage(struct scsi_management *management);
/* Forgets it without calling `done` (its connection is gone); not from inside scsi_manage(). */
void scsi_management_cancel(struct scsi_management *management);
