/* hex.c - bytes as hexadecimal digits */
#include <netboot-target/util/hex.h>

static char *put_byte(char *to, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    *to++ = digits[byte >> 4];
    *to++ = digits[byte & 15];
    return to;
}

char *hex_text(char *to, const uint8_t *bytes, size_t length)
{
    char *end = to;
    for (size_t i = 0; i < length; i++)
        end = put_byte(end, bytes[i]);
    *end = '\0';
    return to;
}

char *hex_mac(char to[HEX_MAC_BYTES], const uint8_t mac[6], char separator)
{
    char *end = to;
    for (unsigned i = 0; i < 6; i++) {
        if (i)
            *end++ = separator;
        end = put_byte(end, mac[i]);
    }
    *end = '\0';
    return to;
}

char *hex_uuid(char to[HEX_UUID_BYTES], const uint8_t uuid[16])
{
    char *end = to;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *end++ = '-';
        end = put_byte(end, uuid[i]);
    }
    *end = '\0';
    return to;
}
