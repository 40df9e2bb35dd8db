/*
 * opcodes.h - the one table of commands: a row dispatches, rejects reserved bits and prints REPORT
 * SUPPORTED OPERATION CODES.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/scsi.h>

struct command;

enum opcode_flag {
    OPCODE_ANY_LUN = 1 << 0,           /* answered by an absent logical unit too */
    OPCODE_DESPITE_ATTENTION = 1 << 1, /* does not report a pending unit attention, SAM-5 §5.14 */
    OPCODE_DESPITE_SANITIZE = 1 << 2,  /* SBC-3 §4.11.2 */
    OPCODE_MEDIUM = 1 << 3,            /* needs the medium */
    OPCODE_WRITES = 1 << 4,            /* refused when write protected */
    OPCODE_RANGE = 1 << 5,             /* LBA and number of blocks are checked */
    OPCODE_TRANSFER = 1 << 6,          /* that number is bound by MAXIMUM TRANSFER LENGTH */
    OPCODE_EXCLUSIVE = 1 << 7,         /* no other writer in its range meanwhile */
    OPCODE_WHOLE_MEDIUM = 1 << 8,      /* its range is all of it */
    OPCODE_RESERVES = 1 << 9,          /* PERSISTENT RESERVE OUT: one after the other */
    OPCODE_NEEDS_DISCARD = 1 << 10,    /* there only when the device discards */
    OPCODE_NEEDS_SANITIZE = 1 << 11,   /* there only when allowed */
    OPCODE_SERVICE_ACTION = 1 << 12,
    OPCODE_DESPITE_LEGACY = 1 << 13, /* allowed beside a foreign RESERVE(6) */
    OPCODE_PLAIN = 1 << 14, /* READ, WRITE and kin: cut to whole blocks when too little data came */
    OPCODE_INTERFERES = 1 << 15, /* changes what other initiators find: not through a view */
};

/* What a reservation allows, SPC-4 tables 66-67, SBC-3 table 13. */
enum reservation_rule {
    RULE_ALWAYS,  /* allowed to everybody */
    RULE_READS,   /* in conflict with exclusive access */
    RULE_WRITES,  /* in conflict with every type */
    RULE_START,   /* START STOP UNIT: allowed when it starts */
    RULE_PREVENT, /* PREVENT ALLOW MEDIUM REMOVAL: allowed when it allows */
};

/* Where LBA and number of blocks stand. */
enum address_form { ADDRESS_NONE, ADDRESS_6, ADDRESS_10, ADDRESS_12, ADDRESS_16 };

struct scsi_opcode {
    const char *name;
    /* Called when every check has passed; with data-out, when it has been gathered. */
    enum scsi_verdict (*execute)(struct command *command);
    /* Data-out in bytes, once range and bits are valid; NULL: none. False: status has been set. */
    bool (*data_out)(struct command *command, uint64_t *ret_bytes);
    /* Reads parameters that decide about its range, before it takes its turn; may be NULL. */
    bool (*prepare)(struct command *command);
    uint32_t flags;
    uint8_t cdb_bytes;
    uint8_t rule;             /* enum reservation_rule */
    uint8_t address;          /* enum address_form */
    uint16_t timeout_seconds; /* RECOMMENDED COMMAND TIMEOUT */
    /* CDB usage data: which bits are looked at. Its first byte is the opcode, the service action
     * stands in the second. Bytes behind the CDB are all ones. */
    uint8_t usage[SCSI_CDB_BYTES];
    /* Instead of all that: the service actions of this opcode. */
    const struct scsi_opcode *service_actions;
    unsigned service_action_count;
};

/* By opcode; a row without name is not supported. */
extern const struct scsi_opcode scsi_opcodes[256];

/* NULL: there is no such command. Does not look at what a logical unit has switched off. */
const struct scsi_opcode *scsi_opcode_find(uint8_t opcode, uint16_t service_action);
bool scsi_opcode_available(const struct scsi_opcode *opcode, const struct scsi_lu *lu);

/* Handlers, by file. */
#define HANDLER(name)  enum scsi_verdict name(struct command *command)
#define DATA_OUT(name) bool name(struct command *command, uint64_t *ret_bytes)

HANDLER(inquiry_execute);
HANDLER(mode_sense_6_execute);
HANDLER(mode_sense_10_execute);
HANDLER(mode_select_execute);
DATA_OUT(mode_select_data_out);
HANDLER(log_sense_execute);
HANDLER(report_luns_execute);
HANDLER(report_opcodes_execute);
HANDLER(report_management_execute);
HANDLER(read_capacity_10_execute);
HANDLER(read_capacity_16_execute);
HANDLER(read_defect_data_10_execute);
HANDLER(read_defect_data_12_execute);
HANDLER(read_execute);
HANDLER(write_execute);
DATA_OUT(write_data_out);
HANDLER(write_and_verify_execute);
DATA_OUT(write_and_verify_data_out);
HANDLER(verify_execute);
DATA_OUT(verify_data_out);
HANDLER(compare_and_write_execute);
DATA_OUT(compare_and_write_data_out);
HANDLER(orwrite_execute);
HANDLER(write_same_execute);
DATA_OUT(write_same_data_out);
HANDLER(unmap_execute);
DATA_OUT(unmap_data_out);
bool unmap_prepare(struct command *command);
HANDLER(get_lba_status_execute);
HANDLER(synchronize_cache_execute);
HANDLER(pre_fetch_execute);
HANDLER(test_unit_ready_execute);
HANDLER(request_sense_execute);
HANDLER(start_stop_unit_execute);
HANDLER(prevent_allow_execute);
HANDLER(reserve_execute);
HANDLER(release_execute);
HANDLER(persistent_reserve_in_execute);
HANDLER(persistent_reserve_out_execute);
DATA_OUT(persistent_reserve_out_data_out);
HANDLER(sanitize_overwrite_execute);
DATA_OUT(sanitize_overwrite_data_out);
HANDLER(sanitize_block_erase_execute);
HANDLER(sanitize_exit_failure_mode_execute);
DATA_OUT(sanitize_no_data_out);

#undef HANDLER
#undef DATA_OUT
