/* wire.h - where the fields of a DHCP message lie, RFC 2131 §2 */
#pragma once

enum {
    WIRE_OP = 0,
    WIRE_HTYPE = 1,
    WIRE_HLEN = 2,
    WIRE_HOPS = 3,
    WIRE_XID = 4,
    WIRE_SECS = 8,
    WIRE_FLAGS = 10,
    WIRE_CIADDR = 12,
    WIRE_YIADDR = 16,
    WIRE_SIADDR = 20,
    WIRE_GIADDR = 24,
    WIRE_CHADDR = 28,
    WIRE_SNAME = 44,
    WIRE_SNAME_BYTES = 64,
    WIRE_FILE = 108,
    WIRE_FILE_BYTES = 128,
    WIRE_COOKIE = 236,
    WIRE_OPTIONS = 240,
};

#define WIRE_MAGIC 0x63825363u /* RFC 2131 §3 */

#define WIRE_REQUEST        1u /* op */
#define WIRE_REPLY          2u
#define WIRE_HTYPE_ETHERNET 1u
