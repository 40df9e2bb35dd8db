/* transport_id.c - iSCSI TransportIDs, SPC-4 §7.6.4.6: how persistent reservations name ports. */
#include <string.h>

#include "internal.h"

#define FORMAT_PROTOCOL  0xcf /* TPID FORMAT and PROTOCOL IDENTIFIER */
#define DEVICE_NAME      0x05 /* format 00b, iSCSI: the name alone, all its ports */
#define PORT_NAME        0x45 /* format 01b: the name, ",i,0x" and the ISID */
#define HEADER_BYTES     4
#define NAME_BYTES_LEAST 20
#define PORT_SEPARATOR   ",i,0x"

void transport_id_write(struct buffer *to, const char *initiator_port)
{
    size_t length = strlen(initiator_port);
    size_t padded = max_of(round_up(length + 1, (size_t)4), (size_t)NAME_BYTES_LEAST);
    bool is_port = strstr(initiator_port, PORT_SEPARATOR) != NULL;
    buffer_put_u8(to, is_port ? PORT_NAME : DEVICE_NAME);
    buffer_put_u8(to, 0);
    buffer_put_be16(to, (uint16_t)padded);
    buffer_append(to, initiator_port, length);
    buffer_put_zeros(to, padded - length);
}

/* iSCSI names are compared in lower case (RFC 3722), and so are the digits of an ISID:
 * registrations are found by the port's name as our sessions have it. */
static void copy_lower(char *to, const char *from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] | 0x20 : from[i]);
    to[length] = '\0';
}

size_t transport_id_read(const uint8_t *from, size_t length, char ret_name[static SCSI_NAME_BYTES],
                         bool *ret_is_port)
{
    if (length < HEADER_BYTES)
        return 0;
    uint8_t format = from[0] & FORMAT_PROTOCOL;
    size_t name_bytes = load_be16(from + 2);
    if ((format != DEVICE_NAME && format != PORT_NAME) || name_bytes < NAME_BYTES_LEAST ||
        name_bytes % 4 != 0 || name_bytes > length - HEADER_BYTES)
        return 0;
    const char *name = (const char *)from + HEADER_BYTES;
    size_t name_length = strnlen(name, name_bytes);
    if (name_length == 0 || name_length == name_bytes || name_length >= SCSI_NAME_BYTES)
        return 0;
    char normal[SCSI_NAME_BYTES];
    copy_lower(normal, name, name_length);
    bool is_port = strstr(normal, PORT_SEPARATOR) != NULL;
    if (is_port != (format == PORT_NAME))
        return 0;
    memcpy(ret_name, normal, name_length + 1);
    *ret_is_port = is_port;
    return HEADER_BYTES + name_bytes;
}
