/*
 * roster.h - what is remembered of each client for a while: when it booted, what it loaded, which
 * address it was heard to use. Bounded; the one unseen for longest makes room, cards that anybody
 * could have made up before those that are known.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/dhcp.h>

#define DHCP_ROSTER_RECORDS 256u

struct dhcp_record {
    bool used;
    struct dhcp_client client; /* as of its last message */
    uint64_t seen_ms;
    bool known;       /* the configuration names it, or it went on: a file, a script, an address */
    uint32_t address; /* it uses this one, as far as its DHCP messages tell; 0: not known */

    bool booted; /* sent a DISCOVER as PXE or iPXE client */
    uint64_t discovered_ms;

    bool staged; /* an iPXE was told what to load */
    enum dhcp_boot_stage stage;
    uint64_t staged_ms;

    unsigned loads; /* of the same file in a row, without a sign that it went on */
    uint64_t loaded_ms;
    char file[DHCP_BOOT_TEXT_BYTES_LIMIT + 1];

    uint32_t millitokens; /* of its rate limit */
    uint64_t tokens_ms;
};

struct dhcp_roster {
    struct dhcp_record records[DHCP_ROSTER_RECORDS];
};

/* NULL: not known. */
struct dhcp_record *dhcp_roster_find(struct dhcp_roster *roster, const uint8_t mac[DHCP_MAC_BYTES]);
/* Finds or begins a record. */
struct dhcp_record *dhcp_roster_get(struct dhcp_roster *roster, const uint8_t mac[DHCP_MAC_BYTES],
                                    uint64_t now_ms);

/* What a client of this class shall load now. The same on ports 67 and 4011: a decision stands for
 * as long as one boot asks. */
enum dhcp_boot_stage dhcp_record_choose_stage(struct dhcp_record *record,
                                              enum dhcp_chainload chainload, bool on_boot_server,
                                              uint64_t now_ms);
/* True at the load that makes it a loop. */
bool dhcp_record_loaded(struct dhcp_record *record, const char *file, uint64_t now_ms);
/* Three loads in a row; over when the client rests for five minutes. */
bool dhcp_record_is_looping(const struct dhcp_record *record, uint64_t now_ms);
/* Takes a token of the client's own limit. False: none left. */
bool dhcp_record_may_ask(struct dhcp_record *record, uint64_t now_ms);
