/* options.c - see options.h. Lengths by RFC 2132, 3004, 3046, 4578. */
#include <netboot-target/dhcp/message.h>
#include <netboot-target/util/array.h>

#include "options.h"

/* An option may come in pieces (RFC 3396), so that a maximum can be beyond 255. */
#define ANY_LENGTH 1024

static const struct dhcp_option_row rows[] = {
    {DHCP_OPTION_SUBNET_MASK,       4,  4,          1, "subnet-mask"      },
    {DHCP_OPTION_ROUTER,            4,  252,        4, "router"           },
    {DHCP_OPTION_DNS,               4,  252,        4, "dns"              },
    {DHCP_OPTION_HOST_NAME,         1,  255,        1, "host-name"        },
    {DHCP_OPTION_BROADCAST_ADDRESS, 4,  4,          1, "broadcast-address"},
    {DHCP_OPTION_VENDOR_SPECIFIC,   0,  ANY_LENGTH, 1, "vendor-specific"  },
    {DHCP_OPTION_REQUESTED_ADDRESS, 4,  4,          1, "requested-address"},
    {DHCP_OPTION_LEASE_TIME,        4,  4,          1, "lease-time"       },
    {DHCP_OPTION_OVERLOAD,          1,  1,          1, "overload"         },
    {DHCP_OPTION_MESSAGE_TYPE,      1,  1,          1, "message-type"     },
    {DHCP_OPTION_SERVER_ID,         4,  4,          1, "server-id"        },
    {DHCP_OPTION_PARAMETER_LIST,    1,  255,        1, "parameter-list"   },
    {DHCP_OPTION_MESSAGE,           1,  255,        1, "message"          },
    {DHCP_OPTION_MAXIMUM_SIZE,      2,  2,          1, "maximum-size"     },
    {DHCP_OPTION_VENDOR_CLASS,      1,  255,        1, "vendor-class"     },
    {DHCP_OPTION_CLIENT_ID,         2,  255,        1, "client-id"        },
    {DHCP_OPTION_TFTP_SERVER,       1,  255,        1, "tftp-server"      },
    {DHCP_OPTION_BOOT_FILE,         1,  255,        1, "boot-file"        },
    {DHCP_OPTION_USER_CLASS,        1,  ANY_LENGTH, 1, "user-class"       },
    {DHCP_OPTION_RELAY_AGENT,       2,  ANY_LENGTH, 1, "relay-agent"      },
    {DHCP_OPTION_ARCHITECTURE,      2,  254,        2, "architecture"     },
    {DHCP_OPTION_NETWORK_INTERFACE, 3,  3,          1, "network-interface"},
    {DHCP_OPTION_MACHINE_ID,        17, 17,         1, "machine-id"       },
    {DHCP_OPTION_IPXE,              0,  ANY_LENGTH, 1, "ipxe"             },
};

const struct dhcp_option_row *dhcp_option_find(uint8_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].code == code)
            return &rows[i];
    }
    return NULL;
}

const struct dhcp_option_row *dhcp_option_at(unsigned index)
{
    return index < ARRAY_SIZE(rows) ? &rows[index] : NULL;
}

const uint8_t *dhcp_suboption_find(const uint8_t *data, size_t length, uint8_t code,
                                   size_t *ret_length, bool *ret_wellformed)
{
    const uint8_t *found = NULL;
    size_t at = 0;
    while (at < length && data[at] != DHCP_OPTION_END) {
        if (data[at] == DHCP_OPTION_PAD) {
            at++;
            continue;
        }
        if (length - at < 2 || data[at + 1] > length - at - 2)
            break;
        if (data[at] == code && !found) {
            found = data + at + 2;
            *ret_length = data[at + 1];
        }
        at += 2u + data[at + 1];
    }
    if (ret_wellformed)
        *ret_wellformed = at >= length || data[at] == DHCP_OPTION_END;
    return found;
}
