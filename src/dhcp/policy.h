/* policy.h - the one decision table: who gets which form of answer */
#pragma once
#include <stdbool.h>

#include <netboot-target/dhcp.h>

/* The way in. */
enum dhcp_way {
    DHCP_WAY_LINK,        /* port 67, from the link itself */
    DHCP_WAY_RELAYED,     /* port 67, through a relay agent */
    DHCP_WAY_BOOT_SERVER, /* port 4011 */
};

/* What we are to this client: the role of the interface, and what the configuration says. */
enum dhcp_standing {
    DHCP_STANDING_OFF,
    DHCP_STANDING_PROXY,
    DHCP_STANDING_NAMED, /* proxy, but this client has an address of its own written down */
    DHCP_STANDING_SERVER,
};

struct dhcp_policy_case {
    enum dhcp_client_class class;
    enum dhcp_firmware firmware;
    enum dhcp_message_type type;
    enum dhcp_way way;
    enum dhcp_standing standing;
};

enum dhcp_answer_kind {
    DHCP_ANSWER_NONE,
    DHCP_ANSWER_PROXY_OFFER, /* a boot file, no address */
    DHCP_ANSWER_BOOT_ACK,    /* the same on port 4011 */
    DHCP_ANSWER_FULL,        /* address and boot file: OFFER, ACK or NAK */
};

struct dhcp_answer_form {
    enum dhcp_answer_kind kind;
    enum dhcp_silence silence; /* of NONE */
    const char *vendor_class;  /* option 60 of the answer; NULL: none */
    bool direct;               /* 43 {6=8} unless the configuration says otherwise */
};

/* Always a form: what no row names is answered with silence. */
const struct dhcp_answer_form *dhcp_policy_find(const struct dhcp_policy_case *wanted);

/* What a client of this class loads, before chainloading is considered. */
enum dhcp_boot_stage dhcp_policy_stage(enum dhcp_client_class class);
