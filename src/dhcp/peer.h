/*
 * peer.h - how two netboot-targets on one wire know each other: both DISCOVER and OFFER carry this
 * vendor class, and the OFFER the sender's MAC in option 43.
 */
#pragma once

#define DHCP_PEER_CLASS  "netboot-target"
#define DHCP_PEER_43_MAC 1u /* sub-option of 43 */
