/*
 * peer.h - how two netboot-targets on one wire know each other: both DISCOVER and OFFER carry this
 * vendor class, and the OFFER the sender's MAC in option 43.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define DHCP_PEER_CLASS  "netboot-target"
#define DHCP_PEER_43_MAC 1u /* sub-option of 43 */

static inline bool dhcp_peer_is_class(const void *class, size_t length)
{
    return length == sizeof DHCP_PEER_CLASS - 1 && memcmp(class, DHCP_PEER_CLASS, length) == 0;
}
