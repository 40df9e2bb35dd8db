/* node.h - what the files of this room share about nodes, targets and sessions. */
#pragma once
#include <netboot-target/iscsi.h>

#include <netboot-target/util/buffer.h>

struct iscsi_session;

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
    bool initial_r2t;
    uint64_t hold_ms;
    enum iscsi_digest_policy header_digest, data_digest;

    bool ready;
    bool removing;
    void (*removed)(void *context);
    void *removed_context;
    char owner[ISCSI_NAME_BYTES];
    uint64_t owner_since_us; /* when its last session ended; 0 while it has one */
    unsigned sessions;
};

struct iscsi_node {
    const struct iscsi_callbacks *callbacks;
    void *context;
    struct iscsi_limits limits;
    struct pool *pool;
    struct random_source *random;
    struct iscsi_auth discovery_auth;
    size_t zero_copy_min_bytes;
    bool draining;   /* new logins are answered 03/01 */
    bool incomplete; /* and so are unknown target names */

    struct iscsi_target *targets;
    struct iscsi_connection *connections; /* those with a socket */
    struct iscsi_session *sessions;
    unsigned connection_count; /* draining ones included */
    unsigned session_count;
    unsigned logins_in_progress;
};

/* target.c */
struct iscsi_target *iscsi_node_find_target(struct iscsi_node *node, const char *name);
/* Name and address lists: may this initiator reach the target? */
bool iscsi_target_admits(const struct iscsi_target *target, const char *initiator,
                         const struct sockaddr_storage *peer);
/* One owner for a writable target that is not shared: true when `initiator` is it or may become it.
 * The hold time runs from the end of its last session. */
bool iscsi_target_may_own(const struct iscsi_target *target, const char *initiator,
                          uint64_t now_us);
bool iscsi_target_is_writable(const struct iscsi_target *target);

/* node.c */
unsigned iscsi_node_sessions_of(const struct iscsi_node *node, const char *initiator);
/* Ends the initiator's oldest session from this address: iPXE leaves one behind at every boot,
 * since the OS that takes over never closes it. False: it has none. */
bool iscsi_node_end_oldest(struct iscsi_node *node, const char *initiator,
                           const struct sockaddr_storage *peer);

/* CHAP: other connections' outstanding challenges, to refuse a reflected one (chap.c). */
bool iscsi_node_has_challenge(const struct iscsi_node *node, const uint8_t *challenge,
                              size_t length);
