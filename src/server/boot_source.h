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
    BOOT_ANSWER_MENU,
    BOOT_ANSWER_LOGIN, /* a page that asks for the password */
    BOOT_ANSWER_PASS,  /* a page that goes on to another one of ours */
    BOOT_ANSWER_STOP,  /* a page that says why not */
    BOOT_ANSWER_WAIT,  /* a page that says why not yet */
    BOOT_ANSWER_LATER, /* the disk is only late: iPXE can wait for it by itself */
};

struct boot_answer {
    enum boot_answer_kind kind;
    struct boot_client client;
    char choice[BOOT_CHOICE_BYTES];       /* START: what was chosen in the menu, else "" */
    char words[512];                      /* what was decided, for the log and the journal */
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
/* Which page is asked for. */
enum boot_page {
    BOOT_PAGE_BOOT,   /* what an unattended machine does */
    BOOT_PAGE_MENU,   /* the menu */
    BOOT_PAGE_RELOAD, /* to look at the disk again, then the menu */
    BOOT_PAGE_CHOICE, /* what was chosen there */
};

struct boot_question {
    enum boot_page page;
    const char *query;  /* "mac=…&uuid=…&serial=…" and what the page takes besides */
    bool authenticated; /* this very request proved the password */
};

/* Who a query says the client is. */
void boot_source_client(const char *query, struct boot_client *ret_client);
/* Appends the script for a client. */
int boot_source_script(struct server *server, const struct boot_reach *reach,
                       const struct boot_question *question, struct buffer *out,
                       struct boot_answer *ret_answer);
/* Names under which the entry script is asked for: autoexec.ipxe in any folder. */
bool boot_source_is_entry(const char *name);
