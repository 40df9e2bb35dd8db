/* reply.h - building one answer, and where it is sent */
#pragma once
#include <netboot-target/dhcp.h>
#include <netboot-target/util/buffer.h>

struct dhcp_reply {
    enum dhcp_message_type type;
    uint32_t own_address;
    uint32_t your_address;    /* 0: none is given (proxy, INFORM) */
    bool full;                /* network settings, and a lease when your_address is given */
    const char *vendor_class; /* option 60; NULL: none */
    bool direct;              /* 43 {6=8} */
    bool via_boot_server;     /* on port 4011: a boot server item that was asked for is echoed */
    const char *boot;         /* file name or URL; empty: none */
    bool to_ipxe;
    const uint8_t *peer_mac; /* 43 {1=MAC}: an answer to another netboot-target */
    const char *message;     /* option 56; NULL: none */
};

/* Appends the reply to `request`, padded. It fails the buffer when it cannot fit what the client
 * takes (option 57). */
void dhcp_reply_write(struct buffer *out, const struct dhcp_message *request,
                      const struct dhcp_reply *reply, const struct dhcp_settings *settings);

/* Fills all of `output` but data and length. */
void dhcp_reply_address(struct dhcp_output *output, const struct dhcp_message *request,
                        const struct dhcp_reply *reply, const struct dhcp_arrival *arrival,
                        const struct dhcp_settings *settings);

static inline bool dhcp_is_on_link(const struct dhcp_settings *settings, uint32_t address)
{
    return address && !((address ^ settings->own_address) & settings->netmask);
}
