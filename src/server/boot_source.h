/*
 * boot_source.h - what clients boot: the configuration and what is served, put together for the
 * boot room's decisions. DHCP asks for names and URLs, TFTP and HTTP for scripts.
 */
#pragma once
#include <netboot-target/boot.h>
#include <netboot-target/dhcp.h>

#include "internal.h"

/* Where a client stands: texts without ports. */
struct boot_reach {
    const char *peer;   /* its address */
    const char *local;  /* the address of ours that it reached */
    uint16_t http_port; /* of ours; 0: the one that the boot listener has at that address */
};

enum boot_answer_kind {
    BOOT_ANSWER_ENTRY, /* the script that asks again and says who the client is */
    BOOT_ANSWER_START,
    BOOT_ANSWER_MENU,  /* the same, after a choice */
    BOOT_ANSWER_STOP,  /* a page that says why not */
    BOOT_ANSWER_WAIT,  /* a page that says why not yet */
    BOOT_ANSWER_LATER, /* the disk is only late: iPXE can wait for it by itself */
};

struct boot_answer {
    enum boot_answer_kind kind;
    struct boot_client client;
    char words[384];                      /* what was decided, for the log and the journal */
    char initiator[BOOT_INITIATOR_BYTES]; /* what it will call itself; "" when it does not boot */
};

/* Valid until the server ends. */
struct dhcp_boot_source *boot_source_dhcp(struct server *server);
void boot_source_free(struct server *server);

/* Says on which interfaces machines boot, which ones may, and what to do there. */
void boot_source_announce(const struct server *server);
/* True when what is asked at the address `local` of ours may be answered there: on a boot
 * interface, the loopback, or where boot.http-listen or boot.tftp-listen names that very address.
 * A listener on every address would else give scripts, which hold secrets, to other networks. */
bool boot_source_admits(const struct server *server, const char *local);

/* Appends the entry script. -EADDRNOTAVAIL: we have no HTTP listener at that address. */
int boot_source_entry(struct server *server, const struct boot_reach *reach, struct buffer *out);
/* Appends the script for a client whose query is `query` ("mac=…&uuid=…&serial=…"). */
int boot_source_script(struct server *server, const struct boot_reach *reach, const char *query,
                       struct buffer *out, struct boot_answer *ret_answer);
/* Names under which the entry script is asked for: autoexec.ipxe in any folder. */
bool boot_source_is_entry(const char *name);
