/* sense.h - sense data, SPC-4 §4.5: what went wrong and where, in either format. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sense_key {
    SENSE_NO_SENSE = 0x0,
    SENSE_NOT_READY = 0x2,
    SENSE_MEDIUM_ERROR = 0x3,
    SENSE_HARDWARE_ERROR = 0x4,
    SENSE_ILLEGAL_REQUEST = 0x5,
    SENSE_UNIT_ATTENTION = 0x6,
    SENSE_DATA_PROTECT = 0x7,
    SENSE_ABORTED_COMMAND = 0xb,
    SENSE_MISCOMPARE = 0xe,
};

/* ASC in the high byte, ASCQ in the low one; SPC-4 annex D. */
enum {
    ASC_NONE = 0x0000,
    ASC_MANUAL_INTERVENTION_REQUIRED = 0x0403,
    ASC_SANITIZE_IN_PROGRESS = 0x041b,
    ASC_WRITE_ERROR = 0x0c00,
    ASC_INVALID_FIELD_IN_INFORMATION_UNIT = 0x0e03,
    ASC_UNRECOVERED_READ_ERROR = 0x1100,
    ASC_PARAMETER_LIST_LENGTH_ERROR = 0x1a00,
    ASC_MISCOMPARE = 0x1d00,
    ASC_INVALID_OPCODE = 0x2000,
    ASC_LBA_OUT_OF_RANGE = 0x2100,
    ASC_INVALID_FIELD_IN_CDB = 0x2400,
    ASC_LOGICAL_UNIT_NOT_SUPPORTED = 0x2500,
    ASC_INVALID_FIELD_IN_PARAMETER_LIST = 0x2600,
    ASC_INVALID_RELEASE = 0x2604,
    ASC_WRITE_PROTECTED = 0x2700,
    ASC_SOFTWARE_WRITE_PROTECTED = 0x2702,
    ASC_SPACE_ALLOCATION_FAILED = 0x2707,
    ASC_SANITIZE_FAILED = 0x3103,
    ASC_SAVING_NOT_SUPPORTED = 0x3900,
    ASC_MEDIUM_NOT_PRESENT = 0x3a00,
    ASC_INTERNAL_TARGET_FAILURE = 0x4400,
    ASC_REMOVAL_PREVENTED = 0x5302,
    ASC_INSUFFICIENT_REGISTRATION_RESOURCES = 0x5504,
};

#define SENSE_WHOLE_BYTE 8u /* a field pointer without bit pointer */

struct sense {
    enum sense_key key;
    uint16_t asc_ascq;
    bool has_information;
    uint64_t information; /* an LBA, or a byte offset */
    bool has_specific;
    uint8_t specific[3]; /* with SKSV */
};

/* The sense-key-specific field pointer, SPC-4 table 35. */
void sense_point_at(struct sense *sense, bool in_cdb, unsigned byte, unsigned bit);
/* The progress indication, SPC-4 table 37: n of 65536. */
void sense_set_progress(struct sense *sense, uint16_t progress);
/* Writes it and returns its length. `to` has SCSI_SENSE_BYTES. */
unsigned sense_write(const struct sense *sense, bool descriptor_format, uint8_t *to);
