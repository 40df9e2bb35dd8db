/*
 * opcodes.c - the table of commands, by operation code. Usage masks: SPC-4 §6.35 and the CDB
 * layouts of SPC-4 clause 6 and SBC-3 clause 5. RDPROTECT, WRPROTECT and VRPROTECT are not in them,
 * because there is no protection information; neither is NACA, because there is no ACA. FUA_NV is,
 * because initiators of SBC-2 times set it and ignoring it is right: there is no non-volatile
 * cache.
 */
#include "opcodes.h"

#include "internal.h"

/* clang-format off */
#define USAGE_6(...)  {__VA_ARGS__, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
#define USAGE_10(...) {__VA_ARGS__, 255, 255, 255, 255, 255, 255}
#define USAGE_12(...) {__VA_ARGS__, 255, 255, 255, 255}
#define USAGE_16(...) {__VA_ARGS__}
#define FF2 255, 255
#define FF3 255, 255, 255
#define FF4 255, 255, 255, 255
#define FF8 FF4, FF4
#define GROUP 0x1f
#define DPO_FUA 0x1a /* DPO, FUA, FUA_NV */
#define DPO_BYTCHK 0x16

#define SECONDS_QUICK  30
#define SECONDS_MEDIUM 60
#define SECONDS_LONG   600

#define FLAGS_ANYTIME (OPCODE_DESPITE_ATTENTION | OPCODE_DESPITE_SANITIZE | OPCODE_ANY_LUN | OPCODE_DESPITE_LEGACY)
#define FLAGS_READ    (OPCODE_MEDIUM | OPCODE_RANGE | OPCODE_TRANSFER | OPCODE_PLAIN)
#define FLAGS_WRITE   (FLAGS_READ | OPCODE_WRITES)
#define FLAGS_ATOMIC  (OPCODE_MEDIUM | OPCODE_RANGE | OPCODE_TRANSFER | OPCODE_WRITES | OPCODE_EXCLUSIVE)
#define FLAGS_SANITIZE \
    (OPCODE_SERVICE_ACTION | OPCODE_MEDIUM | OPCODE_WRITES | OPCODE_WHOLE_MEDIUM | OPCODE_EXCLUSIVE | OPCODE_NEEDS_SANITIZE)

static const struct scsi_opcode persistent_reserve_in[] = {
#define PR_IN(action, title)                                                                        \
    {.name = "PERSISTENT RESERVE IN/" title, .execute = persistent_reserve_in_execute,              \
     .flags = OPCODE_SERVICE_ACTION | OPCODE_DESPITE_SANITIZE, .cdb_bytes = 10, .rule = RULE_ALWAYS, \
     .timeout_seconds = SECONDS_QUICK,                                                              \
     .usage = USAGE_10(0x5e, action, 0, 0, 0, 0, 0, FF2, 0)}
    PR_IN(0, "READ KEYS"),
    PR_IN(1, "READ RESERVATION"),
    PR_IN(2, "REPORT CAPABILITIES"),
    PR_IN(3, "READ FULL STATUS"),
};

static const struct scsi_opcode persistent_reserve_out[] = {
#define PR_OUT(action, title)                                                                       \
    {.name = "PERSISTENT RESERVE OUT/" title, .execute = persistent_reserve_out_execute,            \
     .data_out = persistent_reserve_out_data_out,                                                   \
     .flags = OPCODE_SERVICE_ACTION | OPCODE_RESERVES | OPCODE_DESPITE_SANITIZE | OPCODE_INTERFERES, \
     .cdb_bytes = 10, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_MEDIUM,                       \
     .usage = USAGE_10(0x5f, action, 255, 0, 0, FF4, 0)}
    PR_OUT(0, "REGISTER"),
    PR_OUT(1, "RESERVE"),
    PR_OUT(2, "RELEASE"),
    PR_OUT(3, "CLEAR"),
    PR_OUT(4, "PREEMPT"),
    PR_OUT(5, "PREEMPT AND ABORT"),
    PR_OUT(6, "REGISTER AND IGNORE EXISTING KEY"),
    PR_OUT(7, "REGISTER AND MOVE"),
};

static const struct scsi_opcode sanitize[] = {
    {.name = "SANITIZE/OVERWRITE", .execute = sanitize_overwrite_execute,
     .data_out = sanitize_overwrite_data_out, .flags = FLAGS_SANITIZE, .cdb_bytes = 10,
     .rule = RULE_WRITES, .timeout_seconds = SECONDS_LONG,
     .usage = USAGE_10(0x48, 0xa1, 0, 0, 0, 0, 0, FF2, 0)},
    {.name = "SANITIZE/BLOCK ERASE", .execute = sanitize_block_erase_execute,
     .data_out = sanitize_no_data_out, .flags = FLAGS_SANITIZE | OPCODE_NEEDS_DISCARD, .cdb_bytes = 10,
     .rule = RULE_WRITES, .timeout_seconds = SECONDS_LONG,
     .usage = USAGE_10(0x48, 0xa2, 0, 0, 0, 0, 0, FF2, 0)},
    {.name = "SANITIZE/EXIT FAILURE MODE", .execute = sanitize_exit_failure_mode_execute,
     .data_out = sanitize_no_data_out,
     .flags = OPCODE_SERVICE_ACTION | OPCODE_NEEDS_SANITIZE | OPCODE_DESPITE_SANITIZE | OPCODE_INTERFERES,
     .cdb_bytes = 10, .rule = RULE_WRITES, .timeout_seconds = SECONDS_QUICK,
     .usage = USAGE_10(0x48, 0x9f, 0, 0, 0, 0, 0, FF2, 0)},
};

static const struct scsi_opcode service_action_in[] = {
    {.name = "READ CAPACITY(16)", .execute = read_capacity_16_execute,
     .flags = OPCODE_SERVICE_ACTION | OPCODE_MEDIUM | OPCODE_DESPITE_SANITIZE, .cdb_bytes = 16,
     .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
     .usage = USAGE_16(0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, FF4, 0, 0)},
    {.name = "GET LBA STATUS", .execute = get_lba_status_execute,
     .flags = OPCODE_SERVICE_ACTION | OPCODE_MEDIUM, .cdb_bytes = 16, .rule = RULE_READS,
     .timeout_seconds = SECONDS_QUICK, .usage = USAGE_16(0x9e, 0x12, FF8, FF4, 0, 0)},
};

static const struct scsi_opcode maintenance_in[] = {
    {.name = "REPORT SUPPORTED OPERATION CODES", .execute = report_opcodes_execute,
     .flags = OPCODE_SERVICE_ACTION | OPCODE_DESPITE_SANITIZE, .cdb_bytes = 12, .rule = RULE_READS,
     .timeout_seconds = SECONDS_QUICK, .usage = USAGE_12(0xa3, 0x0c, 0x87, FF3, FF4, 0, 0)},
    {.name = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", .execute = report_management_execute,
     .flags = OPCODE_SERVICE_ACTION | OPCODE_DESPITE_SANITIZE, .cdb_bytes = 12, .rule = RULE_READS,
     .timeout_seconds = SECONDS_QUICK, .usage = USAGE_12(0xa3, 0x0d, 0x80, 0, 0, 0, FF4, 0, 0)},
};

#define SERVICE_ACTIONS(title, rows) \
    {.name = (title), .service_actions = (rows), .service_action_count = ARRAY_SIZE(rows)}

const struct scsi_opcode scsi_opcodes[256] = {
    [0x00] = {.name = "TEST UNIT READY", .execute = test_unit_ready_execute, .flags = OPCODE_MEDIUM,
              .cdb_bytes = 6, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_6(0x00, 0, 0, 0, 0, 0)},
    [0x03] = {.name = "REQUEST SENSE", .execute = request_sense_execute, .flags = FLAGS_ANYTIME,
              .cdb_bytes = 6, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_6(0x03, 0x01, 0, 0, 255, 0)},
    [0x08] = {.name = "READ(6)", .execute = read_execute, .flags = FLAGS_READ, .cdb_bytes = 6,
              .rule = RULE_READS, .address = ADDRESS_6, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_6(0x08, 0x1f, FF2, 255, 0)},
    [0x0a] = {.name = "WRITE(6)", .execute = write_execute, .data_out = write_data_out,
              .flags = FLAGS_WRITE, .cdb_bytes = 6, .rule = RULE_WRITES, .address = ADDRESS_6,
              .timeout_seconds = SECONDS_MEDIUM, .usage = USAGE_6(0x0a, 0x1f, FF2, 255, 0)},
    [0x12] = {.name = "INQUIRY", .execute = inquiry_execute, .flags = FLAGS_ANYTIME, .cdb_bytes = 6,
              .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_6(0x12, 0x01, 255, FF2, 0)},
    [0x15] = {.name = "MODE SELECT(6)", .execute = mode_select_execute,
              .data_out = mode_select_data_out, .flags = OPCODE_INTERFERES, .cdb_bytes = 6, .rule = RULE_WRITES,
              .timeout_seconds = SECONDS_QUICK, .usage = USAGE_6(0x15, 0x10, 0, 0, 255, 0)},
    [0x16] = {.name = "RESERVE(6)", .execute = reserve_execute,
              .flags = OPCODE_DESPITE_LEGACY | OPCODE_INTERFERES,
              .cdb_bytes = 6, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_6(0x16, 0, 0, 0, 0, 0)},
    [0x17] = {.name = "RELEASE(6)", .execute = release_execute, .flags = OPCODE_DESPITE_LEGACY,
              .cdb_bytes = 6, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_6(0x17, 0, 0, 0, 0, 0)},
    [0x1a] = {.name = "MODE SENSE(6)", .execute = mode_sense_6_execute,
              .flags = OPCODE_DESPITE_SANITIZE, .cdb_bytes = 6, .rule = RULE_READS,
              .timeout_seconds = SECONDS_QUICK, .usage = USAGE_6(0x1a, 0x08, FF3, 0)},
    [0x1b] = {.name = "START STOP UNIT", .execute = start_stop_unit_execute,
              .flags = OPCODE_MEDIUM | OPCODE_INTERFERES,
              .cdb_bytes = 6, .rule = RULE_START, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_6(0x1b, 0x01, 0, 0x0f, 0xf7, 0)},
    [0x1e] = {.name = "PREVENT ALLOW MEDIUM REMOVAL", .execute = prevent_allow_execute,
              .flags = OPCODE_INTERFERES, .cdb_bytes = 6, .rule = RULE_PREVENT, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_6(0x1e, 0, 0, 0, 0x03, 0)},
    [0x25] = {.name = "READ CAPACITY(10)", .execute = read_capacity_10_execute,
              .flags = OPCODE_MEDIUM | OPCODE_DESPITE_SANITIZE, .cdb_bytes = 10, .rule = RULE_ALWAYS,
              .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_10(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
    [0x28] = {.name = "READ(10)", .execute = read_execute, .flags = FLAGS_READ, .cdb_bytes = 10,
              .rule = RULE_READS, .address = ADDRESS_10, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_10(0x28, DPO_FUA, FF4, GROUP, FF2, 0)},
    [0x2a] = {.name = "WRITE(10)", .execute = write_execute, .data_out = write_data_out,
              .flags = FLAGS_WRITE, .cdb_bytes = 10, .rule = RULE_WRITES, .address = ADDRESS_10,
              .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_10(0x2a, DPO_FUA, FF4, GROUP, FF2, 0)},
    [0x2e] = {.name = "WRITE AND VERIFY(10)", .execute = write_and_verify_execute,
              .data_out = write_and_verify_data_out, .flags = FLAGS_WRITE, .cdb_bytes = 10, .rule = RULE_WRITES,
              .address = ADDRESS_10, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_10(0x2e, DPO_BYTCHK, FF4, GROUP, FF2, 0)},
    [0x2f] = {.name = "VERIFY(10)", .execute = verify_execute, .data_out = verify_data_out,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE, .cdb_bytes = 10, .rule = RULE_READS,
              .address = ADDRESS_10, .timeout_seconds = SECONDS_LONG,
              .usage = USAGE_10(0x2f, DPO_BYTCHK, FF4, GROUP, FF2, 0)},
    [0x34] = {.name = "PRE-FETCH(10)", .execute = pre_fetch_execute,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE, .cdb_bytes = 10, .rule = RULE_READS,
              .address = ADDRESS_10, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_10(0x34, 0x02, FF4, GROUP, FF2, 0)},
    [0x35] = {.name = "SYNCHRONIZE CACHE(10)", .execute = synchronize_cache_execute,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE, .cdb_bytes = 10, .rule = RULE_WRITES,
              .address = ADDRESS_10, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_10(0x35, 0x06, FF4, GROUP, FF2, 0)},
    [0x37] = {.name = "READ DEFECT DATA(10)", .execute = read_defect_data_10_execute,
              .flags = OPCODE_MEDIUM, .cdb_bytes = 10, .rule = RULE_READS,
              .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_10(0x37, 0, 0x1f, 0, 0, 0, 0, FF2, 0)},
    [0x41] = {.name = "WRITE SAME(10)", .execute = write_same_execute,
              .data_out = write_same_data_out,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE | OPCODE_WRITES | OPCODE_EXCLUSIVE,
              .cdb_bytes = 10, .rule = RULE_WRITES, .address = ADDRESS_10,
              .timeout_seconds = SECONDS_LONG, .usage = USAGE_10(0x41, 0x18, FF4, GROUP, FF2, 0)},
    [0x42] = {.name = "UNMAP", .execute = unmap_execute, .data_out = unmap_data_out,
              .prepare = unmap_prepare,
              .flags = OPCODE_MEDIUM | OPCODE_WRITES | OPCODE_EXCLUSIVE | OPCODE_NEEDS_DISCARD,
              .cdb_bytes = 10, .rule = RULE_WRITES, .timeout_seconds = SECONDS_LONG,
              .usage = USAGE_10(0x42, 0, 0, 0, 0, 0, GROUP, FF2, 0)},
    [0x48] = SERVICE_ACTIONS("SANITIZE", sanitize),
    [0x4d] = {.name = "LOG SENSE", .execute = log_sense_execute, .flags = OPCODE_DESPITE_SANITIZE,
              .cdb_bytes = 10, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_10(0x4d, 0, FF2, 0, FF2, FF2, 0)},
    [0x55] = {.name = "MODE SELECT(10)", .execute = mode_select_execute,
              .data_out = mode_select_data_out, .flags = OPCODE_INTERFERES, .cdb_bytes = 10, .rule = RULE_WRITES,
              .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_10(0x55, 0x10, 0, 0, 0, 0, 0, FF2, 0)},
    [0x56] = {.name = "RESERVE(10)", .execute = reserve_execute,
              .flags = OPCODE_DESPITE_LEGACY | OPCODE_INTERFERES,
              .cdb_bytes = 10, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_10(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
    [0x57] = {.name = "RELEASE(10)", .execute = release_execute, .flags = OPCODE_DESPITE_LEGACY,
              .cdb_bytes = 10, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_10(0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
    [0x5a] = {.name = "MODE SENSE(10)", .execute = mode_sense_10_execute,
              .flags = OPCODE_DESPITE_SANITIZE, .cdb_bytes = 10, .rule = RULE_READS,
              .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_10(0x5a, 0x18, FF2, 0, 0, 0, FF2, 0)},
    [0x5e] = SERVICE_ACTIONS("PERSISTENT RESERVE IN", persistent_reserve_in),
    [0x5f] = SERVICE_ACTIONS("PERSISTENT RESERVE OUT", persistent_reserve_out),
    [0x88] = {.name = "READ(16)", .execute = read_execute, .flags = FLAGS_READ, .cdb_bytes = 16,
              .rule = RULE_READS, .address = ADDRESS_16, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_16(0x88, DPO_FUA, FF8, FF4, GROUP, 0)},
    [0x89] = {.name = "COMPARE AND WRITE", .execute = compare_and_write_execute,
              .data_out = compare_and_write_data_out, .flags = FLAGS_ATOMIC, .cdb_bytes = 16,
              .rule = RULE_WRITES, .address = ADDRESS_16, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_16(0x89, DPO_FUA, FF8, 0, 0, 0, 255, GROUP, 0)},
    [0x8a] = {.name = "WRITE(16)", .execute = write_execute, .data_out = write_data_out,
              .flags = FLAGS_WRITE, .cdb_bytes = 16, .rule = RULE_WRITES, .address = ADDRESS_16,
              .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_16(0x8a, DPO_FUA, FF8, FF4, GROUP, 0)},
    [0x8b] = {.name = "ORWRITE(16)", .execute = orwrite_execute, .data_out = write_data_out,
              .flags = FLAGS_ATOMIC | OPCODE_PLAIN, .cdb_bytes = 16, .rule = RULE_WRITES,
              .address = ADDRESS_16, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_16(0x8b, DPO_FUA, FF8, FF4, GROUP, 0)},
    [0x8e] = {.name = "WRITE AND VERIFY(16)", .execute = write_and_verify_execute,
              .data_out = write_and_verify_data_out, .flags = FLAGS_WRITE, .cdb_bytes = 16, .rule = RULE_WRITES,
              .address = ADDRESS_16, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_16(0x8e, DPO_BYTCHK, FF8, FF4, GROUP, 0)},
    [0x8f] = {.name = "VERIFY(16)", .execute = verify_execute, .data_out = verify_data_out,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE, .cdb_bytes = 16, .rule = RULE_READS,
              .address = ADDRESS_16, .timeout_seconds = SECONDS_LONG,
              .usage = USAGE_16(0x8f, DPO_BYTCHK, FF8, FF4, GROUP, 0)},
    [0x90] = {.name = "PRE-FETCH(16)", .execute = pre_fetch_execute,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE, .cdb_bytes = 16, .rule = RULE_READS,
              .address = ADDRESS_16, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_16(0x90, 0x02, FF8, FF4, GROUP, 0)},
    [0x91] = {.name = "SYNCHRONIZE CACHE(16)", .execute = synchronize_cache_execute,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE, .cdb_bytes = 16, .rule = RULE_WRITES,
              .address = ADDRESS_16, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_16(0x91, 0x06, FF8, FF4, GROUP, 0)},
    [0x93] = {.name = "WRITE SAME(16)", .execute = write_same_execute,
              .data_out = write_same_data_out,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE | OPCODE_WRITES | OPCODE_EXCLUSIVE,
              .cdb_bytes = 16, .rule = RULE_WRITES, .address = ADDRESS_16,
              .timeout_seconds = SECONDS_LONG, .usage = USAGE_16(0x93, 0x19, FF8, FF4, GROUP, 0)},
    [0x9e] = SERVICE_ACTIONS("SERVICE ACTION IN(16)", service_action_in),
    [0xa0] = {.name = "REPORT LUNS", .execute = report_luns_execute, .flags = FLAGS_ANYTIME,
              .cdb_bytes = 12, .rule = RULE_ALWAYS, .timeout_seconds = SECONDS_QUICK,
              .usage = USAGE_12(0xa0, 0, 255, 0, 0, 0, FF4, 0, 0)},
    [0xa3] = SERVICE_ACTIONS("MAINTENANCE IN", maintenance_in),
    [0xa8] = {.name = "READ(12)", .execute = read_execute, .flags = FLAGS_READ, .cdb_bytes = 12,
              .rule = RULE_READS, .address = ADDRESS_12, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_12(0xa8, DPO_FUA, FF4, FF4, GROUP, 0)},
    [0xaa] = {.name = "WRITE(12)", .execute = write_execute, .data_out = write_data_out,
              .flags = FLAGS_WRITE, .cdb_bytes = 12, .rule = RULE_WRITES, .address = ADDRESS_12,
              .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_12(0xaa, DPO_FUA, FF4, FF4, GROUP, 0)},
    [0xae] = {.name = "WRITE AND VERIFY(12)", .execute = write_and_verify_execute,
              .data_out = write_and_verify_data_out, .flags = FLAGS_WRITE, .cdb_bytes = 12, .rule = RULE_WRITES,
              .address = ADDRESS_12, .timeout_seconds = SECONDS_MEDIUM,
              .usage = USAGE_12(0xae, DPO_BYTCHK, FF4, FF4, GROUP, 0)},
    [0xaf] = {.name = "VERIFY(12)", .execute = verify_execute, .data_out = verify_data_out,
              .flags = OPCODE_MEDIUM | OPCODE_RANGE, .cdb_bytes = 12, .rule = RULE_READS,
              .address = ADDRESS_12, .timeout_seconds = SECONDS_LONG,
              .usage = USAGE_12(0xaf, DPO_BYTCHK, FF4, FF4, GROUP, 0)},
    [0xb7] = {.name = "READ DEFECT DATA(12)", .execute = read_defect_data_12_execute,
              .flags = OPCODE_MEDIUM, .cdb_bytes = 12, .rule = RULE_READS,
              .timeout_seconds = SECONDS_QUICK, .usage = USAGE_12(0xb7, 0x1f, FF4, FF4, 0, 0)},
};
/* clang-format on */

#define SERVICE_ACTION_BITS 0x1f

const struct scsi_opcode *scsi_opcode_find(uint8_t opcode, uint16_t service_action)
{
    const struct scsi_opcode *row = &scsi_opcodes[opcode];
    if (!row->service_actions)
        return row->name ? row : NULL;
    for (unsigned i = 0; i < row->service_action_count; i++) {
        if ((row->service_actions[i].usage[1] & SERVICE_ACTION_BITS) == service_action)
            return &row->service_actions[i];
    }
    return NULL;
}

bool scsi_opcode_available(const struct scsi_opcode *opcode, const struct scsi_lu *lu)
{
    const struct block_geometry *geometry = &lu->device->geometry;
    if ((opcode->flags & OPCODE_NEEDS_DISCARD) && !geometry->discard_granularity_bytes)
        return false;
    return !(opcode->flags & OPCODE_NEEDS_SANITIZE) || lu->options.allow_sanitize;
}

#define SIXTEEN(high)                                                                           \
    "opcode 0x" high "0", "opcode 0x" high "1", "opcode 0x" high "2", "opcode 0x" high "3",     \
        "opcode 0x" high "4", "opcode 0x" high "5", "opcode 0x" high "6", "opcode 0x" high "7", \
        "opcode 0x" high "8", "opcode 0x" high "9", "opcode 0x" high "a", "opcode 0x" high "b", \
        "opcode 0x" high "c", "opcode 0x" high "d", "opcode 0x" high "e", "opcode 0x" high "f"

const char *scsi_opcode_name(const uint8_t cdb[SCSI_CDB_BYTES])
{
    static const char *const unknown_names[256] = {
        SIXTEEN("0"), SIXTEEN("1"), SIXTEEN("2"), SIXTEEN("3"), SIXTEEN("4"), SIXTEEN("5"),
        SIXTEEN("6"), SIXTEEN("7"), SIXTEEN("8"), SIXTEEN("9"), SIXTEEN("a"), SIXTEEN("b"),
        SIXTEEN("c"), SIXTEEN("d"), SIXTEEN("e"), SIXTEEN("f"),
    };
    const struct scsi_opcode *row = scsi_opcode_find(cdb[0], cdb[1] & SERVICE_ACTION_BITS);
    if (row)
        return row->name;
    return scsi_opcodes[cdb[0]].name ? scsi_opcodes[cdb[0]].name : unknown_names[cdb[0]];
}
