/*
 * wire.h - the few numbers of RFC 7143 that the bench programs speak. They share no code with the
 * daemon's own codec, so that an error there cannot hide here.
 */
#pragma once
#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

#define BHS_BYTES    48u
#define DIGEST_BYTES 4u
#define NO_TAG       0xffffffffu

enum opcode {
    OP_NOP_OUT = 0x00,
    OP_SCSI_COMMAND = 0x01,
    OP_LOGIN = 0x03,
    OP_DATA_OUT = 0x05,
    OP_LOGOUT = 0x06,
    OP_NOP_IN = 0x20,
    OP_SCSI_RESPONSE = 0x21,
    OP_LOGIN_RESPONSE = 0x23,
    OP_DATA_IN = 0x25,
    OP_LOGOUT_RESPONSE = 0x26,
    OP_R2T = 0x31
};

enum flag {
    FLAG_FINAL = 0x80,
    FLAG_READ = 0x40,
    FLAG_WRITE = 0x20,
    FLAG_STATUS = 0x01, /* of a Data-In */
    FLAG_IMMEDIATE = 0x40,
    TASK_SIMPLE = 1
};

enum scsi_operation {
    READ_16 = 0x88,
    WRITE_16 = 0x8a,
    SYNCHRONIZE_CACHE_16 = 0x91,
    SERVICE_ACTION_IN_16 = 0x9e
};
#define READ_CAPACITY_16 0x10 /* service action */

/* Two stages of a login, RFC 7143 §11.12.3. */
enum login_stage { STAGE_SECURITY = 0, STAGE_OPERATIONAL = 1, STAGE_FULL_FEATURE = 3 };

/* CRC32C as RFC 7143 §13.1 wants it: start with crc_begin(), add pieces, end with crc_end(). */
static inline uint32_t crc_begin(void)
{
    return 0xffffffffu;
}

static inline uint32_t crc_add(uint32_t crc, const void *data, size_t length)
{
    return crc32_iscsi((unsigned char *)(uintptr_t)data, (int)length, crc);
}

static inline uint32_t crc_end(uint32_t crc)
{
    return ~crc;
}

/* The value of `key` in `length` bytes of "key=value\0…", or NULL. */
const char *text_value(const char *text, size_t length, const char *key);
