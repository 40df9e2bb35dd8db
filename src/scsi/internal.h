/*
 * internal.h - what the files of this room share.
 *
 * A command is a scsi_task with what only the device server knows of it. Its life:
 *
 *   IDLE → start ─┬→ GATHERING (WANTS_DATA) → execute ─┐
 *                 └────────────────────────────────────┼→ WAITING (its turn) → RUNNING → ENDED
 *                                                      └→ ENDED (at once)         → finish
 *
 * A handler answers SCSI_DONE, or submits a block request with the function to go on with and
 * answers SCSI_PENDING; the last step calls command_end().
 */
#pragma once
#include <utlist.h>

#include <netboot-target/block.h>
#include <netboot-target/scsi.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/bytes.h>

#include "opcodes.h"
#include "sense.h"
#include "unit_attention.h"

#define SCSI_NAME_BYTES         256  /* iSCSI name (223) with ",i,0x" and 12 hex digits, and more */
#define SCSI_REGISTRATION_LIMIT 256  /* persistent reservation registrants of one LU */
#define SCSI_PARAMETER_LIMIT    8192 /* data-out of commands that carry parameters, not blocks */
#define SCSI_RESPONSE_LIMIT     (256u << 10) /* data-in built in memory: READ FULL STATUS */
#define SCSI_SPARE_COMMANDS     128          /* kept by a target for reuse */
#define SCSI_COMPARE_LIMIT      255          /* blocks of COMPARE AND WRITE: its field has 8 bits */
#define SCSI_UNMAP_DESCRIPTORS  256
#define SCSI_UNMAP_LIMIT_BLOCKS (1u << 20)
#define SCSI_WRITE_SAME_BYTES   (16u << 20) /* bounds how long one command may take */
#define SCSI_STEP_BYTES         (32u << 20) /* of one zeroing or discarding request */
#define SCSI_RELATIVE_PORT      1           /* one target port per target */

/* ── reservations: SPC-4 §5.13, SPC-2 §5.5.1 ─────────────────────────────────────────────────── */

/* PERSISTENT RESERVE types, SPC-4 table 71 */
enum reservation_type {
    RESERVATION_NONE = 0,
    RESERVATION_WRITE_EXCLUSIVE = 1,
    RESERVATION_EXCLUSIVE_ACCESS = 3,
    RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS = 5,
    RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
    RESERVATION_WRITE_EXCLUSIVE_ALL = 7,
    RESERVATION_EXCLUSIVE_ACCESS_ALL = 8,
};

/* An I_T nexus that registered a key. It outlives the nexus; a nexus of the same initiator port
 * finds it again. */
struct registration {
    char initiator_port[SCSI_NAME_BYTES];
    uint64_t key;
    struct registration *prev, *next;
};

struct reservations {
    struct registration *registrations;
    unsigned count;
    uint32_t generation;             /* PRGENERATION */
    enum reservation_type type;      /* RESERVATION_NONE: nobody holds one */
    struct registration *holder;     /* NULL with the all-registrants types */
    struct itl *legacy_holder;       /* of a RESERVE(6) or RESERVE(10) */
    bool active;                     /* any reservation of either kind: the gate's quick question */
    bool persist_through_power_loss; /* APTPL of the latest registration */
    bool stored;                     /* the store holds a record with registrations */
};

/* ── I_T_L nexuses, nexuses, targets, logical units ──────────────────────────────────────────── */

/* What a logical unit keeps for one nexus. */
struct itl {
    struct scsi_nexus *nexus;
    struct scsi_lu *lu;
    unsigned lun;
    uint32_t unit_attentions; /* bits: 1 << enum unit_attention */
    struct registration *registration;
    bool prevents_removal;
    unsigned ordered_count;  /* ORDERED tasks in this task set */
    unsigned head_count;     /* HEAD OF QUEUE tasks in this task set */
    struct itl *prev, *next; /* of the LU */
};

struct scsi_nexus {
    struct scsi_target *target;
    char initiator_port[SCSI_NAME_BYTES];
    uint16_t target_portal_group;
    bool read_only; /* a view: lu_write_protected() does not tell of it */
    bool ending;
    unsigned tasks_out; /* handed out by scsi_task_new() */
    void (*ended)(void *context);
    void *ended_context;
    struct command *commands; /* in some task set; order of arrival */
    struct scsi_management *managements;
    struct scsi_nexus *prev, *next;
    struct itl *itls[SCSI_LUN_LIMIT];
};

struct scsi_target {
    char name[SCSI_NAME_BYTES];
    struct scsi_lu *lus[SCSI_LUN_LIMIT];
    struct scsi_nexus *nexuses;
    struct command *spare; /* singly linked through lu_next */
    unsigned spare_count;
};

struct mode_parameters {
    bool descriptor_sense;       /* D_SENSE */
    bool task_aborted_status;    /* TAS */
    bool software_write_protect; /* SWP */
    bool write_through;          /* WCE is 0; not changeable */
};

struct sanitize;

/* A run of READs that each begin where the last one ended. */
#define READ_STREAMS 4
struct read_stream {
    uint64_t next_bytes;  /* where the next READ of the run would begin */
    uint64_t ahead_bytes; /* up to here everything has been asked for */
    uint32_t window_bytes;
    unsigned reads;
    uint64_t used; /* on lu->stream_clock: the least lately used one gives way */
};

struct scsi_lu {
    const struct scsi_environment *environment;
    struct block_device *device;
    struct scsi_lu_options options;
    uint64_t blocks; /* as last told to the initiators */
    bool read_only;
    struct mode_parameters mode;
    struct itl *itls;
    struct reservations reservations;
    bool storing_reservations; /* a PERSISTENT RESERVE OUT waits for the store */

    struct command *commands; /* the task sets of all nexuses, in order of arrival */
    struct command *waiting;  /* those whose turn has not come, first come first served */
    struct command *writers;  /* RUNNING ones that change the medium */
    unsigned exclusive_count; /* WAITING or RUNNING commands that want their range for themselves */
    unsigned held;            /* while not 0, nobody's turn comes */

    struct sanitize *sanitize; /* running, or failed and not yet excused */
    bool deallocated;          /* a block erase went over the whole medium; no write since */
    uint32_t start_stop_cycles;
    bool stopped;

    struct read_stream streams[READ_STREAMS];
    uint64_t stream_clock;
};

/* read_ahead.c: a READ of this range has been asked for */
void read_ahead_note(struct scsi_lu *lu, uint64_t offset_bytes, uint64_t length_bytes);

/* ── commands ────────────────────────────────────────────────────────────────────────────────── */

enum command_state {
    COMMAND_IDLE,
    COMMAND_GATHERING,
    COMMAND_WAITING,
    COMMAND_RUNNING,
    COMMAND_ENDED,
};

struct command {
    struct scsi_task task; /* first: the transport's view */
    const struct scsi_opcode *opcode;
    struct itl *itl; /* NULL: no such LUN */
    enum command_state state;
    bool announced; /* its `abort` was called */
    bool fetching;
    bool started;     /* in the lists of nexus and LU */
    bool holds_range; /* among the writers */
    uint64_t first_block;
    uint64_t blocks;
    uint64_t done_blocks; /* of a command that works in steps */
    uint64_t step_blocks;
    unsigned step;
    void *scratch; /* from the pool */
    size_t scratch_bytes;
    void *fetch_to; /* where part of the scratch goes */
    size_t fetch_skip, fetch_bytes;
    void (*next_step)(struct command *command);
    const struct command *preempted_by; /* the PREEMPT AND ABORT that waits for our end */
    struct buffer response;             /* data-in built here */
    struct block_request request;
    struct command *nexus_prev, *nexus_next;
    struct command *lu_prev, *lu_next;
    struct command *wait_prev, *wait_next; /* waiting, or writers */
};

static inline struct command *command_of(struct scsi_task *task)
{
    return (struct command *)task;
}

static inline uint32_t lu_block_bytes(const struct scsi_lu *lu)
{
    return lu->device->geometry.logical_block_bytes;
}

static inline uint64_t lu_bytes(const struct scsi_lu *lu, uint64_t blocks)
{
    return blocks * lu_block_bytes(lu);
}

/* MAXIMUM COMPARE AND WRITE LENGTH: both halves of its data fit one buffer. */
static inline uint32_t compare_limit_blocks(const struct scsi_lu *lu)
{
    uint32_t fits = SCSI_TRANSFER_LIMIT_BYTES / 2 / lu_block_bytes(lu);
    return min_of(fits, (uint32_t)SCSI_COMPARE_LIMIT);
}

static inline bool lu_write_protected(const struct scsi_lu *lu)
{
    return lu->read_only || lu->mode.software_write_protect;
}

/* Nothing that the initiator of this command has written can be unflushed. */
static inline bool command_has_no_writes(const struct command *command)
{
    return command->itl->lu->read_only || command->itl->nexus->read_only;
}

/* task.c - the way of a command. Handlers `return` these. */
enum scsi_verdict command_good(struct command *command);
enum scsi_verdict command_status(struct command *command, enum scsi_status status);
enum scsi_verdict command_check(struct command *command, uint8_t key, uint16_t asc_ascq);
enum scsi_verdict command_check_sense(struct command *command, const struct sense *sense);
/* INVALID FIELD IN CDB or IN PARAMETER LIST with the field pointer. `bit`: the field's highest, or
 * SENSE_WHOLE_BYTE. */
enum scsi_verdict command_invalid_cdb(struct command *command, unsigned byte, unsigned bit);
enum scsi_verdict command_invalid_parameter(struct command *command, unsigned byte, unsigned bit);
enum scsi_verdict command_parameter_length_error(struct command *command);
/* Data-in from command->response, cut to the allocation length: the only place that cuts. */
enum scsi_verdict command_respond(struct command *command, uint64_t allocation_bytes);
struct buffer *command_response(struct command *command); /* empty and ready to be written */
/* Takes scratch memory; false: BUSY has been set. */
bool command_take_scratch(struct command *command, size_t bytes);
/* Submits a request; `next` goes on when it went well, an error ends the command. */
enum scsi_verdict command_submit(struct command *command, enum block_operation operation,
                                 uint64_t first_block, uint64_t blocks, void *buffer,
                                 void (*next)(struct command *command));
/* Ends a command that was PENDING: status and sense are set. */
void command_end(struct command *command);
void command_end_good(struct command *command);
/* Status and sense for an -errno of the disk. */
void command_set_error(struct command *command, int result, enum block_operation operation,
                       uint64_t error_block);
/* Has its turn come: runs the handler. */
enum scsi_verdict command_run(struct command *command);

/* gate.c - every check before a command is carried out, in SPC's order. False: status is set. */
bool gate_find_opcode(struct command *command);
bool gate_admit(struct command *command);
bool gate_readmit(struct command *command); /* what may have changed while it waited */
void gate_decode_range(struct command *command);

/* task_set.c */
void task_set_enter(struct command *command);
void task_set_leave(struct command *command);
/* Its turn: runs it; else WAITING. */
enum scsi_verdict task_set_dispatch(struct command *command);
void task_set_release_range(struct command *command);
void task_set_unwait(struct command *command);
void task_set_advance(struct scsi_lu *lu);
/* Between these nothing starts: aborting one task must not set off the next to be aborted. */
void task_set_hold(struct scsi_lu *lu);
void task_set_resume(struct scsi_lu *lu);

/* nexus.c */
struct itl *nexus_find_itl(const struct scsi_nexus *nexus, const uint8_t lun[static 8]);
int nexus_add_itl(struct scsi_nexus *nexus, unsigned lun, struct scsi_lu *lu);
void nexus_drop_itl(struct scsi_nexus *nexus, unsigned lun);
void nexus_task_returned(struct scsi_nexus *nexus); /* may free it */

/* management.c */
/* Aborts the commands that `concerns` says so; `issuer` does not get TASK ABORTED. */
void management_abort(struct scsi_lu *lu, const struct scsi_nexus *issuer,
                      bool (*concerns)(const struct command *command, const void *argument),
                      const void *argument);
void management_abort_command(struct command *command, const struct scsi_nexus *issuer);
void management_check(struct scsi_lu *lu); /* an aborted command has finished */
void management_forget_all(struct scsi_nexus *nexus);

/* lu.c */
struct mode_parameters lu_default_mode(const struct scsi_lu *lu);
void lu_reset(struct scsi_lu *lu); /* what a logical unit reset clears, SAM-5 §6.3.3 */
void lu_update_from_device(struct scsi_lu *lu);

/* reservations.c */
bool reservations_conflict(const struct command *command);
void reservations_attach(struct itl *itl); /* a nexus of a registered port came back */
void reservations_nexus_lost(struct itl *itl);
void reservations_done(struct reservations *reservations);
struct registration *reservations_find(const struct scsi_lu *lu, const char *initiator_port);
struct registration *reservations_add(struct scsi_lu *lu, const char *initiator_port, uint64_t key);
void reservations_remove(struct scsi_lu *lu, struct registration *registration);
bool reservations_type_is_all(enum reservation_type type);
bool reservations_type_is_registrants(enum reservation_type type); /* …_REGISTRANTS or …_ALL */
bool reservations_holds(const struct reservations *reservations,
                        const struct registration *registration);
void reservations_update(struct scsi_lu *lu);
void reservations_release(struct scsi_lu *lu);

/* reservations_store.c: false when there is nothing to be kept, and so nothing to wait for */
bool reservations_save(struct scsi_lu *lu, store_done done, void *context);
/* reservations_preempt.c: a command that PREEMPT AND ABORT waits for may have finished. */
void preempt_check(struct scsi_lu *lu);
/* reservations_out.c: one of the things a PERSISTENT RESERVE OUT waited for has come. */
void persistent_reserve_out_came(struct command *command, unsigned what);

/* transport_id.c: iSCSI TransportID, SPC-4 §7.6.4.6 */
void transport_id_write(struct buffer *to, const char *initiator_port);
/* The bytes it takes, or 0 when it is not one. ret_is_port: it names a port, not all ports of an
 * initiator device (TPID FORMAT). */
size_t transport_id_read(const uint8_t *from, size_t length, char ret_name[static SCSI_NAME_BYTES],
                         bool *ret_is_port);

/* sanitize.c */
bool sanitize_running(const struct scsi_lu *lu);
bool sanitize_failed(const struct scsi_lu *lu);
uint16_t sanitize_progress(const struct scsi_lu *lu); /* of 65536 */
/* True: the task only watched a sanitize operation, which goes on without it. */
bool sanitize_detach(struct command *command);
void sanitize_done(struct scsi_lu *lu);

/* vpd.c: false when there is no such page */
bool vpd_page_write(const struct command *command, uint8_t page, struct buffer *to);
