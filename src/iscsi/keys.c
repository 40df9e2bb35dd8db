/* keys.c - see keys.h. One row per key; the comment names its clause in RFC 7143. */
#include <string.h>

#include "keys.h"
#include "login.h"
#include "text.h"

#define FIELD(member) offsetof(struct iscsi_parameters, member)
#define NO_FIELD      .field = KEY_NO_FIELD

#define SEGMENT_MIN_BYTES 512u
#define SEGMENT_MAX_BYTES 0xffffffu

#define OUR_SEGMENT_BYTES     (256u << 10)
#define OUR_BURST_BYTES       (256u << 10)
#define OUR_FIRST_BURST_BYTES (64u << 10)
#define OUR_PROTOCOL_LEVEL    2 /* RFC 7144: QUERY TASK and its like */

/* One connection keeps every response in order by itself, which is all that ResponseFence asks. */
static const char *const task_reporting[] = {"RFC3720", "ResponseFence", NULL};

/* clang-format off */
const struct iscsi_key iscsi_keys[KEY_COUNT] = {
    [KEY_INITIATOR_NAME] = /* §13.5 */
        {"InitiatorName", KEY_IDENTITY, STAGE_LOGIN, NO_FIELD},
    [KEY_INITIATOR_ALIAS] = /* §13.7 */
        {"InitiatorAlias", KEY_IDENTITY, STAGE_ANY, NO_FIELD},
    [KEY_SESSION_TYPE] = /* §13.21 */
        {"SessionType", KEY_IDENTITY, STAGE_LOGIN, NO_FIELD},
    [KEY_TARGET_NAME] = /* §13.4 */
        {"TargetName", KEY_IDENTITY, STAGE_LOGIN, NO_FIELD},
    [KEY_TARGET_ALIAS] = /* §13.6 */
        {"TargetAlias", KEY_REJECTED, STAGE_ANY, NO_FIELD, .target_only = true},
    [KEY_TARGET_ADDRESS] = /* §13.8 */
        {"TargetAddress", KEY_REJECTED, STAGE_ANY, NO_FIELD, .target_only = true},
    [KEY_TARGET_PORTAL_GROUP_TAG] = /* §13.9 */
        {"TargetPortalGroupTag", KEY_REJECTED, STAGE_ANY, NO_FIELD, .target_only = true},
    [KEY_AUTH_METHOD] = /* §12.1 */
        {"AuthMethod", KEY_SECURITY, STAGE_SECURITY, NO_FIELD},
    [KEY_CHAP_A] = /* §12.1.3 */
        {"CHAP_A", KEY_SECURITY, STAGE_SECURITY, NO_FIELD},
    [KEY_CHAP_I] = /* §12.1.3 */
        {"CHAP_I", KEY_SECURITY, STAGE_SECURITY, NO_FIELD},
    [KEY_CHAP_C] = /* §12.1.3 */
        {"CHAP_C", KEY_SECURITY, STAGE_SECURITY, NO_FIELD, .value_limit = TEXT_LARGE_VALUE_LIMIT},
    [KEY_CHAP_N] = /* §12.1.3 */
        {"CHAP_N", KEY_SECURITY, STAGE_SECURITY, NO_FIELD},
    [KEY_CHAP_R] = /* §12.1.3 */
        {"CHAP_R", KEY_SECURITY, STAGE_SECURITY, NO_FIELD, .value_limit = TEXT_LARGE_VALUE_LIMIT},
    [KEY_HEADER_DIGEST] = /* §13.1 */
        {"HeaderDigest", KEY_DIGEST, STAGE_OPERATIONAL, .field = FIELD(header_digest)},
    [KEY_DATA_DIGEST] = /* §13.1 */
        {"DataDigest", KEY_DIGEST, STAGE_OPERATIONAL, .field = FIELD(data_digest)},
    [KEY_MAX_CONNECTIONS] = /* §13.2 */
        {"MaxConnections", KEY_MINIMUM, STAGE_OPERATIONAL, NO_FIELD, .irrelevant_in_discovery = true,
         .minimum = 1, .maximum = 65535, .initial = 1, .ours = 1},
    [KEY_INITIAL_R2T] = /* §13.10; ours: the target's option */
        {"InitialR2T", KEY_OR, STAGE_OPERATIONAL, .irrelevant_in_discovery = true,
         .initial = true, .ours = true, .field = FIELD(initial_r2t)},
    [KEY_IMMEDIATE_DATA] = /* §13.11 */
        {"ImmediateData", KEY_AND, STAGE_OPERATIONAL, .irrelevant_in_discovery = true,
         .initial = true, .ours = true, .field = FIELD(immediate_data)},
    [KEY_MAX_RECEIVE_DATA_SEGMENT_LENGTH] = /* §13.12 */
        {"MaxRecvDataSegmentLength", KEY_DECLARED_NUMBER, STAGE_OPERATIONAL | STAGE_FULL_FEATURE,
         .minimum = SEGMENT_MIN_BYTES, .maximum = SEGMENT_MAX_BYTES, .initial = 8192,
         .ours = OUR_SEGMENT_BYTES, .field = FIELD(max_send_bytes)},
    [KEY_MAX_BURST_LENGTH] = /* §13.13 */
        {"MaxBurstLength", KEY_MINIMUM, STAGE_OPERATIONAL, .irrelevant_in_discovery = true,
         .minimum = SEGMENT_MIN_BYTES, .maximum = SEGMENT_MAX_BYTES, .initial = 262144,
         .ours = OUR_BURST_BYTES, .field = FIELD(max_burst_bytes)},
    [KEY_FIRST_BURST_LENGTH] = /* §13.14 */
        {"FirstBurstLength", KEY_MINIMUM, STAGE_OPERATIONAL, .irrelevant_in_discovery = true,
         .minimum = SEGMENT_MIN_BYTES, .maximum = SEGMENT_MAX_BYTES, .initial = 65536,
         .ours = OUR_FIRST_BURST_BYTES, .field = FIELD(first_burst_bytes)},
    [KEY_DEFAULT_TIME_TO_WAIT] = /* §13.15 */
        {"DefaultTime2Wait", KEY_MAXIMUM, STAGE_OPERATIONAL, .maximum = 3600, .initial = 2,
         .ours = 2, .field = FIELD(time_to_wait_seconds)},
    [KEY_DEFAULT_TIME_TO_RETAIN] = /* §13.16 */
        {"DefaultTime2Retain", KEY_MINIMUM, STAGE_OPERATIONAL, .maximum = 3600, .initial = 20,
         .ours = 0, .field = FIELD(time_to_retain_seconds)},
    [KEY_MAX_OUTSTANDING_R2T] = /* §13.17 */
        {"MaxOutstandingR2T", KEY_MINIMUM, STAGE_OPERATIONAL, NO_FIELD,
         .irrelevant_in_discovery = true, .minimum = 1, .maximum = 65535, .initial = 1, .ours = 1},
    [KEY_DATA_PDU_IN_ORDER] = /* §13.18 */
        {"DataPDUInOrder", KEY_OR, STAGE_OPERATIONAL, NO_FIELD, .irrelevant_in_discovery = true,
         .initial = true, .ours = true},
    [KEY_DATA_SEQUENCE_IN_ORDER] = /* §13.19 */
        {"DataSequenceInOrder", KEY_OR, STAGE_OPERATIONAL, NO_FIELD, .irrelevant_in_discovery = true,
         .initial = true, .ours = true},
    [KEY_ERROR_RECOVERY_LEVEL] = /* §13.20 */
        {"ErrorRecoveryLevel", KEY_MINIMUM, STAGE_OPERATIONAL, NO_FIELD, .maximum = 2},
    [KEY_TASK_REPORTING] = /* §13.23 */
        {"TaskReporting", KEY_LIST, STAGE_OPERATIONAL, NO_FIELD, .irrelevant_in_discovery = true,
         .values = task_reporting},
    [KEY_PROTOCOL_LEVEL] = /* §13.24 */
        {"iSCSIProtocolLevel", KEY_MINIMUM, STAGE_OPERATIONAL, NO_FIELD,
         .irrelevant_in_discovery = true, .maximum = 31, .initial = 1, .ours = OUR_PROTOCOL_LEVEL},
    [KEY_NODE_ARCHITECTURE] = /* §13.26 */
        {"X#NodeArchitecture", KEY_DECLARED, STAGE_LOGIN, NO_FIELD},
    /* §13.25: obsolete, but never "NotUnderstood". The markers may be answered No, which every
     * initiator takes; their intervals must be rejected. */
    [KEY_IF_MARKER] = {"IFMarker", KEY_AND, STAGE_OPERATIONAL, NO_FIELD},
    [KEY_OF_MARKER] = {"OFMarker", KEY_AND, STAGE_OPERATIONAL, NO_FIELD},
    [KEY_IF_MARK_INTERVAL] = {"IFMarkInt", KEY_REJECTED, STAGE_OPERATIONAL, NO_FIELD},
    [KEY_OF_MARK_INTERVAL] = {"OFMarkInt", KEY_REJECTED, STAGE_OPERATIONAL, NO_FIELD},
    [KEY_SEND_TARGETS] = /* §13.3 and appendix C */
        {"SendTargets", KEY_DISCOVERY, STAGE_FULL_FEATURE, NO_FIELD},
};
/* clang-format on */

enum iscsi_key_id iscsi_key_find(const char *name)
{
    enum iscsi_key_id id = 0;
    while (id < KEY_COUNT && strcmp(iscsi_keys[id].name, name) != 0)
        id++;
    return id;
}

bool iscsi_key_is_boolean(const struct iscsi_key *key)
{
    return key->function == KEY_OR || key->function == KEY_AND || key->function == KEY_DIGEST;
}
