/*
 * pdu.h - the basic header segment, RFC 7143 §11.2. Every PDU starts with 48 bytes; fields are read
 * and written in place with util/bytes.h at these offsets.
 */
#pragma once
#include <stdint.h>

#include <netboot-target/util/bytes.h>

#define BHS_BYTES        48
#define DIGEST_BYTES     4
#define RESERVED_TAG     0xffffffffu
#define LOGIN_DATA_LIMIT 8192u /* MaxRecvDataSegmentLength before it is negotiated, §13.12 */

enum iscsi_opcode {
    OP_NOP_OUT = 0x00,
    OP_SCSI_COMMAND = 0x01,
    OP_TASK_MANAGEMENT = 0x02,
    OP_LOGIN_REQUEST = 0x03,
    OP_TEXT_REQUEST = 0x04,
    OP_DATA_OUT = 0x05,
    OP_LOGOUT_REQUEST = 0x06,
    OP_SNACK = 0x10,
    OP_NOP_IN = 0x20,
    OP_SCSI_RESPONSE = 0x21,
    OP_TASK_MANAGEMENT_RESPONSE = 0x22,
    OP_LOGIN_RESPONSE = 0x23,
    OP_TEXT_RESPONSE = 0x24,
    OP_DATA_IN = 0x25,
    OP_LOGOUT_RESPONSE = 0x26,
    OP_R2T = 0x31,
    OP_ASYNC = 0x32,
    OP_REJECT = 0x3f,
};

/* Byte 0 and 1 */
#define BHS_IMMEDIATE     0x40
#define BHS_OPCODE_MASK   0x3f
#define BHS_FINAL         0x80
#define BHS_CONTINUE      0x40 /* login and text */
#define BHS_READ          0x40 /* SCSI command */
#define BHS_WRITE         0x20
#define BHS_ATTRIBUTE     0x07
#define DATA_IN_STATUS    0x01
#define DATA_IN_UNDERFLOW 0x02
#define DATA_IN_OVERFLOW  0x04

/* Offsets common to most PDUs */
#define BHS_AHS_LENGTH  4
#define BHS_DATA_LENGTH 5
#define BHS_LUN         8
#define BHS_ITT         16
#define BHS_TTT         20
#define BHS_CMD_SN      24 /* requests */
#define BHS_EXP_STAT_SN 28
#define BHS_STAT_SN     24 /* responses */
#define BHS_EXP_CMD_SN  28
#define BHS_MAX_CMD_SN  32

static inline uint8_t bhs_opcode(const uint8_t *bhs)
{
    return bhs[0] & BHS_OPCODE_MASK;
}

static inline uint32_t bhs_data_length(const uint8_t *bhs)
{
    return load_be24(bhs + BHS_DATA_LENGTH);
}
