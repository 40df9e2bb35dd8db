/*
 * boot_journal.h - the journal in the loop: what DHCP, TFTP, HTTP and iSCSI have to tell becomes
 * its events, and its lines go to the log.
 */
#pragma once
#include <netboot-target/dhcp.h>
#include <netboot-target/journal.h>

#include "boot_source.h"

int boot_journal_start(struct server *server, struct error *error);
void boot_journal_reload(struct server *server, const struct config *config);
void boot_journal_free(struct server *server);
/* For reading; up to date. NULL: there is none. */
const struct journal *boot_journal_get(const struct server *server);

/* ── DHCP ────────────────────────────────────────────────────────────────────────────────────── */

/* `off`: why nobody is answered there when the event is DHCP_SILENCE_OFF; unanswered and detail. */
void boot_journal_dhcp(struct server *server, const char *interface, const struct dhcp_event *event,
                       const struct journal_event *off);
/* What another server was heard to answer a client. */
struct foreign_answer {
    const uint8_t *mac; /* of the client, DHCP_MAC_BYTES */
    uint32_t server;    /* address */
    bool gives_address, names_boot_file;
};
void boot_journal_foreign_answer(struct server *server, const char *interface,
                                 const struct foreign_answer *answer);
void boot_journal_link(struct server *server, const char *interface, bool is_up);

/* ── boot files and scripts ──────────────────────────────────────────────────────────────────── */

/* One boot file on its way to one client. */
struct boot_transfer {
    const char *name;
    char peer[INET6_ADDRSTRLEN]; /* the client's address */
    uint64_t bytes;              /* of the file; at the end, what has arrived */
    uint64_t started_ms;
};

void boot_journal_file_begins(struct server *server, const struct boot_transfer *transfer);
void boot_journal_file_sent(struct server *server, const struct boot_transfer *transfer);
/* `problem`: a clause, for a person. */
void boot_journal_file_failed(struct server *server, const struct boot_transfer *transfer,
                              enum journal_file_end end, const char *problem);
/* `name`: as it came from the client at `peer`. */
void boot_journal_file_missing(struct server *server, const char *peer, const char *name);
/* A kernel or initrd, the same way. */
void boot_journal_kernel_sent(struct server *server, const struct boot_transfer *transfer);
void boot_journal_kernel_failed(struct server *server, const struct boot_transfer *transfer,
                                const char *problem);
/* A wrong user or password for the menu, the `tries`th within a minute. `client`: who the request
 * says it is. */
void boot_journal_wrong_password(struct server *server, const char *peer,
                                 const struct boot_client *client, unsigned tries);
void boot_journal_script(struct server *server, const struct boot_reach *reach,
                         const struct boot_answer *answer);

/* ── iSCSI ───────────────────────────────────────────────────────────────────────────────────── */

void boot_journal_iscsi(struct server *server, const struct iscsi_event *event);
