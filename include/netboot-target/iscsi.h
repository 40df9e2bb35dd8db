/*
 * iscsi.h - the iSCSI target, RFC 7143 (with RFC 3720 initiators in mind), as a state machine that
 * takes bytes and gives bytes. Knows SCSI tasks; knows no sockets, no clock, no descriptors.
 *
 *   iscsi_node ─┬─ iscsi_target ── struct scsi_target
 *               └─ iscsi_connection (one per TCP connection) ── session (MaxConnections = 1)
 *
 * The owner of the sockets (server/) does, per connection:
 *   - reads into {iscsi_connection_bulk(), its own scratch buffer} and hands both to
 *     iscsi_connection_received();
 *   - after all reads of a loop turn, and whenever `output_ready` was called, pulls with
 *     iscsi_connection_next_output() until it returns false or the socket is full;
 *   - calls iscsi_connection_close() when the socket is gone or `close` was called.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <netboot-target/scsi.h>
#include <netboot-target/util/error.h>
#include <netboot-target/util/random.h>

#define ISCSI_NAME_BYTES      224 /* 223 and a NUL: RFC 7143 §4.2.7.1 */
#define ISCSI_SECRET_BYTES    256
#define ISCSI_CHAP_NAME_BYTES 256 /* 255 and a NUL: a text-value of RFC 7143 §6.1 */
#define ISCSI_ISID_BYTES      6
#define ISCSI_PORT            3260
#define ISCSI_PORTAL_GROUP    1 /* open-iscsi's firmware login assumes 1 */

struct iscsi_node;
struct iscsi_target;
struct iscsi_connection;

/* ── limits: all in one place ────────────────────────────────────────────────────────────────── */

struct iscsi_limits {
    unsigned connections; /* in all */
    unsigned connections_per_source;
    unsigned logins_in_progress; /* connections that are not through their login yet */
    unsigned logins_per_source;
    uint64_t login_deadline_ms;      /* from accept to full feature phase */
    size_t text_bytes;               /* of one text exchange, continued PDUs included */
    unsigned sessions_per_initiator; /* on one target, or for discovery */
    unsigned command_window;         /* MaxCmdSN − ExpCmdSN + 1 when idle */
    unsigned commands_per_session;   /* beyond: TASK SET FULL */
    size_t credit_bytes;             /* data buffers per connection */
    size_t immediate_reserve_bytes;  /* immediate data of commands that wait for credit */
    uint64_t write_stall_ms;         /* a peer that sends nothing of a write's data is cut off */
};
extern const struct iscsi_limits iscsi_default_limits;

/* ── targets ─────────────────────────────────────────────────────────────────────────────────── */

enum iscsi_chap_algorithm { /* RFC 7143 §12.1.3 and the IANA registry */
                            ISCSI_CHAP_MD5 = 5,
                            ISCSI_CHAP_SHA1 = 6,
                            ISCSI_CHAP_SHA256 = 7,
                            ISCSI_CHAP_SHA3_256 = 8,
};

enum iscsi_auth_mode { ISCSI_AUTH_NONE, ISCSI_AUTH_CHAP, ISCSI_AUTH_MUTUAL };

struct iscsi_credentials {
    char name[ISCSI_CHAP_NAME_BYTES];
    char secret[ISCSI_SECRET_BYTES];
};

struct iscsi_auth {
    enum iscsi_auth_mode mode;
    const struct iscsi_credentials *initiators; /* any of these may log in */
    unsigned initiator_count;
    struct iscsi_credentials target; /* what we prove to be, in mutual mode */
    unsigned algorithms;             /* bits 1 << ISCSI_CHAP_…; 0: all */
};

enum iscsi_digest_policy {
    ISCSI_DIGEST_PREFER_NONE, /* CRC32C only where the initiator lists nothing else */
    ISCSI_DIGEST_PREFER_CRC32C,
    ISCSI_DIGEST_REQUIRE_CRC32C,
    ISCSI_DIGEST_REFUSE_CRC32C, /* None only */
};

struct iscsi_target_options {
    const char *name;  /* iqn.…, eui.…, naa.… in normal form (lower case) */
    const char *alias; /* TargetAlias; may be NULL */
    struct iscsi_auth auth;
    const char *const *initiators; /* allowed names, shell wildcards; none: all */
    unsigned initiator_count;
    const char *const *addresses; /* allowed sources "192.0.2.0/24"; none: all */
    unsigned address_count;
    bool shared;          /* several initiators may write its LUNs */
    bool others_may_read; /* not shared: others than the owner get a read-only view */
    uint64_t hold_ms;     /* how long a lost owner keeps a target that is not shared */
    bool invited_only;    /* logins have to pass the callback is_invited() */
    enum iscsi_digest_policy header_digest, data_digest;
    bool initial_r2t; /* Yes: no unsolicited Data-Out */
    uint64_t ping_ms; /* after which an idle session is asked for a sign of life; 0: never */
};

/* Copies the options; `scsi` stays the caller's. */
struct iscsi_target *iscsi_target_new(const struct iscsi_target_options *options,
                                      struct scsi_target *scsi, struct error *error);
void iscsi_target_free(struct iscsi_target *target); /* no session left */
/* Until every LUN is open, and while draining: logins are answered 03/01 (service unavailable,
 * retry), never 02/xx, at which initiators give up. Targets begin not ready. */
void iscsi_target_set_ready(struct iscsi_target *target, bool ready);

/* The initiator that owns the writable LUNs: the first to log in, until it logs out, or until it
 * has been lost for the hold time and another one comes. */
struct iscsi_owner {
    const char *initiator; /* "": nobody */
    unsigned sessions;     /* of its; those that drain included */
    uint64_t owned_us;
    uint64_t lost_us;      /* how long ago it lost its last session; 0 while it has one */
    uint64_t hold_left_us; /* how long it is still waited for; 0 while it has one */
};
void iscsi_target_get_owner(const struct iscsi_target *target, uint64_t now_us,
                            struct iscsi_owner *ret_owner);
/* Its name; "": nobody. */
const char *iscsi_target_owner(const struct iscsi_target *target);
/* From the store, before the first login: as if it had just been lost. */
void iscsi_target_set_owner(struct iscsi_target *target, const char *initiator, uint64_t owned_us,
                            uint64_t now_us);
/* What the callback keep_owner() asked for is on stable storage, or never will be. */
void iscsi_target_owner_kept(struct iscsi_node *node, struct iscsi_target *target);
/* A person takes the target from its owner: its sessions end, and when their last I/O has landed
 * the target is free, or held for the initiator `next` ("": for nobody). -ENOENT: nobody owns it;
 * -EINVAL: `next` is no name. */
int iscsi_target_release_owner(struct iscsi_node *node, struct iscsi_target *target,
                               const char *next);

/* ── what happens, for the journal, the log and the status ───────────────────────────────────── */

enum iscsi_event_kind {
    ISCSI_EVENT_LOGIN,         /* full feature phase reached */
    ISCSI_EVENT_LOGIN_REFUSED, /* reason says why, status_class/detail what was answered */
    ISCSI_EVENT_LOGIN_BROKEN,  /* the initiator left in the middle of its login */
    ISCSI_EVENT_SESSION_ENDED, /* reason: logout, connection lost, reinstated, protocol error … */
    ISCSI_EVENT_FIRST_COMMAND, /* the first SCSI medium access of a session */
    ISCSI_EVENT_PROTOCOL_ERROR, /* the peer's fault; costs its connection, or one command */
    ISCSI_EVENT_DISCOVERY,      /* SendTargets answered in a discovery session */
    ISCSI_EVENT_OWNER_CHANGED,  /* a target that is not shared has a new owner, or none */
};

struct iscsi_event {
    enum iscsi_event_kind kind;
    const char *peer;      /* "192.0.2.7:51234" */
    const char *initiator; /* raw wire bytes, escape before printing; "" before it is known */
    const char *target;    /* "" in discovery */
    const uint8_t *isid;   /* ISCSI_ISID_BYTES */
    uint16_t tsih;
    uint8_t status_class, status_detail;
    bool mutual_chap;   /* LOGIN_BROKEN: we had just proven who we are */
    bool logged_out;    /* SESSION_ENDED: by its own will, for good */
    const char *reason; /* a sentence, safe to print */
};

struct iscsi_callbacks {
    void (*event)(void *context, const struct iscsi_event *event);
    /* Something can be pulled again; never called inside iscsi_connection_received(). `owner` is
     * what iscsi_connection_new() was given. */
    void (*output_ready)(void *context, void *owner);
    /* The connection is over (peer error, logout answered, reinstated, deadline): flush nothing
     * more, close the socket, call iscsi_connection_close() before returning. Never called inside
     * another call for this connection; iscsi_connection_received() returns an error instead. */
    void (*close)(void *context, void *owner);
    /* Monotonic, for what happens on its own. */
    uint64_t (*now_us)(void *context);
    /* The target has another owner, or none. Keep it durably, then call iscsi_target_owner_kept(),
     * at once or later: until then its sessions hear nothing. NULL: owners are not kept. */
    void (*keep_owner)(void *context, struct iscsi_target *target);
    /* May this initiator log in to a target of invited ones? NULL: it may not. */
    bool (*is_invited)(void *context, const struct iscsi_target *target, const char *initiator,
                       const struct sockaddr_storage *peer);
};

/* ── the node: all targets and sessions behind the portals ───────────────────────────────────── */

struct iscsi_node_options {
    const struct iscsi_callbacks *callbacks;
    void *context;
    const struct iscsi_limits *limits;
    struct pool *pool;
    struct random_source *random;
    struct iscsi_auth discovery_auth; /* mode none by default: firmware's discovery sends none */
    size_t zero_copy_min_bytes; /* from here a warm read is sent from the device; 0: default */
};

/* Copies the limits (NULL: the defaults); all else stays the caller's and must last. NULL: out of
 * memory. */
struct iscsi_node *iscsi_node_new(const struct iscsi_node_options *options);
void iscsi_node_free(struct iscsi_node *node); /* no connection left */
void iscsi_node_set_limits(struct iscsi_node *node, const struct iscsi_limits *limits);
/* For logins from now on. The credentials stay the caller's and must last. */
void iscsi_node_set_discovery_auth(struct iscsi_node *node, const struct iscsi_auth *auth);
int iscsi_node_add_target(struct iscsi_node *node, struct iscsi_target *target); /* -EEXIST */
/* While targets are still to come (their disks are not open yet) an unknown name is answered 03/01,
 * retry, instead of 02/03, at which initiators give up. */
void iscsi_node_set_incomplete(struct iscsi_node *node, bool incomplete);
/* Whose logins are taken; all others are answered 03/01. Sessions stay. */
enum iscsi_welcome {
    ISCSI_WELCOME_ALL,
    ISCSI_WELCOME_BACK, /* who has sessions on the target, or is its owner and awaited: a running
                         * system whose connection broke, or whose iscsid makes its session anew */
    ISCSI_WELCOME_NOBODY,
};
void iscsi_node_set_welcome(struct iscsi_node *node, enum iscsi_welcome welcome);
/* Closes the target's sessions; calls `removed` when the last one has drained. The target may be
 * freed then. May call `removed` at once. */
void iscsi_node_remove_target(struct iscsi_node *node, struct iscsi_target *target,
                              void (*removed)(void *context), void *context);
/* Cuts off what missed its deadline, pings what is idle. Returns when to call again; 0: not before
 * a connection is new or has a deadline. */
uint64_t iscsi_node_tick(struct iscsi_node *node, uint64_t now_us);
/* The pool is empty: whoever holds most of it and only waits for its peer gives something back.
 * False: nobody does. Not from inside a call for a connection that holds any. */
bool iscsi_node_make_room(struct iscsi_node *node);
/* Shutdown: refuses new logins with 03/01, asks sessions to log out (Async event 1) but those of
 * firmware initiators (iPXE, isboot), which would abort on it. */
void iscsi_node_drain(struct iscsi_node *node);
/* Some session has been asked to log out and may still do so. */
bool iscsi_node_waits_for_logout(const struct iscsi_node *node);
/* Closes every connection; each drains and frees itself. */
void iscsi_node_close_all(struct iscsi_node *node);
/* Ends the session with this TSIH as if its connection were lost. False: there is none. */
bool iscsi_node_drop_session(struct iscsi_node *node, uint16_t tsih, const char *reason);
unsigned iscsi_node_connection_count(const struct iscsi_node *node); /* draining ones included */
unsigned iscsi_node_session_count(const struct iscsi_node *node);

#define ISCSI_LATENCY_BUCKETS 24 /* bucket n: below 2^n µs */

/* For the status page. Strings live until the next call into the node. */
struct iscsi_session_info {
    const char *initiator, *target, *peer, *local;
    const uint8_t *isid;
    uint16_t tsih;
    bool discovery;
    bool read_only; /* a view of what somebody else owns */
    bool header_digest, data_digest, initial_r2t, immediate_data;
    uint32_t max_send_bytes, max_receive_bytes, max_burst_bytes, first_burst_bytes;
    const char *auth; /* "none", "CHAP", "mutual CHAP" */
    uint64_t started_us, last_command_us;
    uint64_t commands, reads, writes, read_bytes, written_bytes, errors;
    uint64_t zero_copy_bytes; /* of read_bytes, those no CPU copied here */
    unsigned outstanding;
    uint64_t latency[ISCSI_LATENCY_BUCKETS]; /* from command received to response committed */
};
void iscsi_node_for_each_session(struct iscsi_node *node,
                                 void (*visit)(void *context,
                                               const struct iscsi_session_info *info),
                                 void *context);

/* ── connections ─────────────────────────────────────────────────────────────────────────────── */

/* NULL when a limit is reached (an event tells) or memory is exhausted: close the socket. */
struct iscsi_connection *iscsi_connection_new(struct iscsi_node *node,
                                              const struct sockaddr_storage *local,
                                              const struct sockaddr_storage *peer, void *owner,
                                              uint64_t now_us);

/* Where the rest of a large payload (of 16 KiB or more) belongs, so that the socket is read
 * straight into place; iov_len 0 otherwise. Valid until the next call for this connection. */
struct iovec iscsi_connection_bulk(struct iscsi_connection *connection);

/* `bulk_bytes` arrived in the bulk place, then `length` bytes in `data`, in this order on the wire.
 * 0, or -EPROTO: the connection is over (an event told why); pull what output there still is once,
 * then close. */
int iscsi_connection_received(struct iscsi_connection *connection, size_t bulk_bytes,
                              const void *data, size_t length, uint64_t now_us);

/* It owes us data, so iscsi_node_tick() has to be called. */
bool iscsi_connection_has_deadline(const struct iscsi_connection *connection);

enum iscsi_segment_kind {
    ISCSI_SEGMENT_MEMORY, /* in the slab: gone with the next next_output(), so copy what is unsent
                           */
    ISCSI_SEGMENT_BUFFER, /* in a buffer that stays until iscsi_segment_release() */
    ISCSI_SEGMENT_DEVICE, /* a range of the LU's device: block_send() after asking residency */
};

struct iscsi_segment {
    enum iscsi_segment_kind kind;
    const uint8_t *base;   /* MEMORY, BUFFER */
    struct scsi_lu *lu;    /* DEVICE */
    uint64_t offset_bytes; /* DEVICE */
    size_t length;
    void *release; /* BUFFER: for iscsi_segment_release() */
};

#define ISCSI_OUTPUT_BYTES    (256u << 10) /* committed at most by one next_output() */
#define ISCSI_OUTPUT_SEGMENTS 64
#define ISCSI_SLAB_BYTES      (ISCSI_OUTPUT_BYTES + (64u << 10))

struct iscsi_output {
    uint8_t *slab; /* ISCSI_SLAB_BYTES of the caller's; one per loop */
    size_t slab_used;
    struct iscsi_segment segments[ISCSI_OUTPUT_SEGMENTS];
    unsigned segment_count;
    size_t bytes;
};

/* Commits PDUs to the wire: fills `output` (its slab set by the caller, the rest reset here) and
 * returns true when there is anything. What is committed must leave whole and in order, or the
 * connection be reset. */
bool iscsi_connection_next_output(struct iscsi_connection *connection, struct iscsi_output *output,
                                  uint64_t now_us);
/* A BUFFER segment has left (or never will). */
void iscsi_segment_release(struct iscsi_connection *connection,
                           const struct iscsi_segment *segment);
/* True when the connection is to be closed once everything committed has left (after logout or a
 * refused login). */
bool iscsi_connection_ends(const struct iscsi_connection *connection);

/* True when what arrived is to be acknowledged without delay: part of a PDU has come and the rest
 * may wait for that, or the initiator is firmware, which does one thing at a time. */
bool iscsi_connection_is_waited_for(const struct iscsi_connection *connection);

/* The socket is closed. The connection waits by itself for its last I/O and frees itself; do not
 * use it afterwards. `reason` for the event, e.g. "connection reset by peer". */
void iscsi_connection_close(struct iscsi_connection *connection, const char *reason);
