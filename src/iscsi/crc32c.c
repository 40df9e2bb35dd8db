/* crc32c.c - header and data digests. ISA-L chooses the fastest code for the CPU at run time. */
#include <isa-l/crc.h>

#include "connection.h"

uint32_t crc32c_begin(void)
{
    return 0xffffffffu;
}

uint32_t crc32c_add(uint32_t crc, const void *data, size_t length)
{
    /* ISA-L takes an int; no caller has more than a PDU. */
    return crc32_iscsi((unsigned char *)data, (int)length, crc);
}

void crc32c_store(uint32_t crc, uint8_t digest[DIGEST_BYTES])
{
    store_le32(digest, ~crc);
}
