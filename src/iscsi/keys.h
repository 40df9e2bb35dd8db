/*
 * keys.h - every key that an initiator may send, RFC 7143 §12 and §13, as one table: who may send
 * it when, what values it takes, what we want, and how the result is found.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which keys are negotiated and answered: MaxBurstLength comes before
 * FirstBurstLength, whose result it bounds. */
enum iscsi_key_id {
    KEY_INITIATOR_NAME,
    KEY_INITIATOR_ALIAS,
    KEY_SESSION_TYPE,
    KEY_TARGET_NAME,
    KEY_TARGET_ALIAS,
    KEY_TARGET_ADDRESS,
    KEY_TARGET_PORTAL_GROUP_TAG,
    KEY_AUTH_METHOD,
    KEY_CHAP_A,
    KEY_CHAP_I,
    KEY_CHAP_C,
    KEY_CHAP_N,
    KEY_CHAP_R,
    KEY_HEADER_DIGEST,
    KEY_DATA_DIGEST,
    KEY_MAX_CONNECTIONS,
    KEY_INITIAL_R2T,
    KEY_IMMEDIATE_DATA,
    KEY_MAX_RECEIVE_DATA_SEGMENT_LENGTH,
    KEY_MAX_BURST_LENGTH,
    KEY_FIRST_BURST_LENGTH,
    KEY_DEFAULT_TIME_TO_WAIT,
    KEY_DEFAULT_TIME_TO_RETAIN,
    KEY_MAX_OUTSTANDING_R2T,
    KEY_DATA_PDU_IN_ORDER,
    KEY_DATA_SEQUENCE_IN_ORDER,
    KEY_ERROR_RECOVERY_LEVEL,
    KEY_TASK_REPORTING,
    KEY_PROTOCOL_LEVEL,
    KEY_NODE_ARCHITECTURE,
    KEY_IF_MARKER,
    KEY_OF_MARKER,
    KEY_IF_MARK_INTERVAL,
    KEY_OF_MARK_INTERVAL,
    KEY_SEND_TARGETS,
    KEY_COUNT,
};

/* How an offer is answered. */
enum iscsi_key_function {
    KEY_IDENTITY,        /* declared by the initiator, used by login.c */
    KEY_SECURITY,        /* authentication: login.c and chap.c */
    KEY_DISCOVERY,       /* discovery.c */
    KEY_DECLARED,        /* taken note of, not answered */
    KEY_DECLARED_NUMBER, /* each side declares its own */
    KEY_OR,
    KEY_AND,
    KEY_MINIMUM,
    KEY_MAXIMUM,
    KEY_DIGEST, /* a list; which item, the target's policy says */
    KEY_LIST,   /* the first item of the list that we know */
    KEY_REJECTED,
    KEY_FUNCTION_COUNT,
};

/* When an initiator may send it. */
#define STAGE_SECURITY     0x01
#define STAGE_OPERATIONAL  0x02
#define STAGE_FULL_FEATURE 0x04
#define STAGE_LOGIN        (STAGE_SECURITY | STAGE_OPERATIONAL)
#define STAGE_ANY          (STAGE_LOGIN | STAGE_FULL_FEATURE)

#define KEY_NO_FIELD SIZE_MAX

struct iscsi_key {
    const char *name;
    enum iscsi_key_function function;
    uint8_t stages;
    bool target_only; /* ours to send: from an initiator it is rejected */
    bool irrelevant_in_discovery;
    uint16_t value_limit; /* bytes; 0: TEXT_VALUE_LIMIT */
    uint32_t minimum, maximum;
    uint32_t initial; /* before it is negotiated */
    uint32_t ours;
    size_t field;              /* in struct iscsi_parameters: bool or uint32_t; or KEY_NO_FIELD */
    const char *const *values; /* KEY_LIST: those we know, NULL at the end */
};

extern const struct iscsi_key iscsi_keys[KEY_COUNT];

/* KEY_COUNT when there is no such key. */
enum iscsi_key_id iscsi_key_find(const char *name);
/* The function's field type. */
bool iscsi_key_is_boolean(const struct iscsi_key *key);
