/* node.h - what the files of this room share about nodes, targets and sessions. */
#pragma once
#include <netboot-target/iscsi.h>

#include <netboot-target/util/buffer.h>

struct iscsi_session;
struct iscsi_login_result;

struct iscsi_target {
    struct iscsi_target *prev, *next;
    struct scsi_target *scsi;
    /* a deep copy of the options, made by target.c */
    char name[ISCSI_NAME_BYTES];
    char alias[256];
    struct iscsi_auth auth;
    char **initiators;
    unsigned initiator_count;
    char **addresses;
    unsigned address_count;
    bool shared;
    bool others_may_read;
    bool invited_only;
    bool initial_r2t;
    uint64_t ping_ms;
    uint64_t hold_ms;
    enum iscsi_digest_policy header_digest, data_digest;

    bool ready;
    bool removing;
    void (*removed)(void *context);
    void *removed_context;
    unsigned sessions;

    /* owner.c */
    char owner[ISCSI_NAME_BYTES]; /* "": nobody */
    unsigned owner_sessions;      /* those that drain included */
    uint64_t owner_since_us;      /* modulo 2^64: perhaps before the clock began */
    uint64_t owner_lost_us;       /* when its last session ended */
    unsigned keeping;             /* records of the owner on their way to stable storage */
    bool releasing;               /* `owner` is being made to go, in favour of `next_owner` */
    char next_owner[ISCSI_NAME_BYTES];
};

struct iscsi_node {
    const struct iscsi_callbacks *callbacks;
    void *context;
    struct iscsi_limits limits;
    struct pool *pool;
    struct random_source *random;
    struct iscsi_auth discovery_auth;
    size_t zero_copy_min_bytes;
    enum iscsi_welcome welcome;
    bool incomplete; /* unknown target names are answered 03/01 */

    struct iscsi_target *targets;
    struct iscsi_connection *connections; /* those with a socket */
    struct iscsi_session *sessions;
    unsigned connection_count; /* draining ones included */
    unsigned session_count;
    unsigned logins_in_progress;
    uint64_t no_room_before_us; /* nobody had a buffer to give up */
};

/* target.c */
struct iscsi_target *iscsi_node_find_target(struct iscsi_node *node, const char *name);
/* Name and address lists: may this initiator reach the target? */
bool iscsi_target_admits(const struct iscsi_target *target, const char *initiator,
                         const struct sockaddr_storage *peer);
bool iscsi_target_is_writable(const struct iscsi_target *target);
/* Tells who removed it when nothing uses it any more. */
void iscsi_target_finish_removal(struct iscsi_target *target);

/* owner.c: a writable target that is not shared has one owner */
enum iscsi_claim {
    CLAIM_WRITE,   /* `initiator` is the owner, may become it, or nobody has to be */
    CLAIM_VIEW,    /* it may look, but not write */
    CLAIM_REFUSED, /* somebody else has it */
    CLAIM_LATER,   /* somebody else is just leaving */
};
/* The owner, with sessions or awaited after it has lost them. */
bool owner_is_here(const struct iscsi_target *target, const char *initiator, uint64_t now_us);
enum iscsi_claim owner_judge(const struct iscsi_target *target, const char *initiator,
                             uint64_t now_us);
/* "owned for 60 s and logged in, iqn.…" */
void owner_describe(const struct iscsi_target *target, uint64_t now_us, struct error *ret_text);
void owner_session_begins(struct iscsi_session *session);
void owner_session_ended(struct iscsi_session *session);

/* node.c */
uint64_t node_now_us(const struct iscsi_node *node);
/* Sessions of this initiator on this target; those for discovery count by themselves. */
unsigned iscsi_node_sessions_like(const struct iscsi_node *node,
                                  const struct iscsi_login_result *login);
/* Ends the oldest of them from this address: iPXE leaves one behind at every boot, since the OS
 * that takes over never closes it. False: there is none. */
bool iscsi_node_end_oldest_like(struct iscsi_node *node, const struct iscsi_login_result *login,
                                const struct sockaddr_storage *peer);

/* CHAP: other connections' outstanding challenges, to refuse a reflected one (chap.c). */
bool iscsi_node_has_challenge(const struct iscsi_node *node, const uint8_t *challenge,
                              size_t length);
