/*
 * hex.h - bytes as lower-case hexadecimal digits, in the forms that machines and disks are called
 * by. Each writes a NUL and returns `to`.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define HEX_TEXT_BYTES(length) (2 * (length) + 1)
#define HEX_MAC_BYTES          18
#define HEX_UUID_BYTES         37

/* "0a1b…"; `to` has room for HEX_TEXT_BYTES(length). */
char *hex_text(char *to, const uint8_t *bytes, size_t length);
/* "52-54-00-ab-cd-ef" */
char *hex_mac(char to[HEX_MAC_BYTES], const uint8_t mac[6], char separator);
/* RFC 9562 §4, the bytes in the order in which they are written. */
char *hex_uuid(char to[HEX_UUID_BYTES], const uint8_t uuid[16]);
