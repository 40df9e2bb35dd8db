/*
 * internal.h - what the files of the room share.
 *
 *   steps.c    the table of steps: words, what comes next, how long that may take
 *   causes.c   the table of likely causes: when, and the sentence
 *   clients.c  who is who: MAC, address, initiator name
 *   journal.c  recording, and noticing who has stopped
 *   report.c   the story in words
 */
#pragma once
#include <netboot-target/journal.h>
#include <netboot-target/util/buffer.h>
#include <netboot-target/util/log.h>

#define LINES_LIMIT 64u

/* ── steps ───────────────────────────────────────────────────────────────────────────────────── */

struct step_row {
    const char *name;
    const char *words;        /* what happened */
    const char *next;         /* what should come then; NULL: nothing in particular */
    uint32_t wait_ms;         /* how long that may take; 0: as long as it likes */
    enum journal_state state; /* as long as it is not late; JOURNAL_STOPPED: it stops here */
};
extern const struct step_row journal_steps[JOURNAL_STEP_COUNT];

/* ── clients ─────────────────────────────────────────────────────────────────────────────────── */

/* How far one boot has come, and what it showed on its way. */
struct story {
    enum journal_step step;     /* the last one */
    enum journal_step furthest; /* of this boot */
    uint64_t first_ms, last_ms; /* of the last step in this boot */
    unsigned count;
    char detail[JOURNAL_DETAIL_BYTES]; /* of the last step, escaped */
    uint64_t bytes, duration_ms;

    enum journal_firmware firmware;
    char architecture[64];
    char file[64];                       /* the boot file asked for last */
    char foreign[JOURNAL_ADDRESS_BYTES]; /* another PXE server that answers, "" */
    char server[JOURNAL_ADDRESS_BYTES];  /* another DHCP server, that it chose, "" */
    bool asked_by_firmware;              /* a DISCOVER that was not iPXE's */
    bool file_sent;
    enum journal_unanswered unanswered;
    bool via_boot_server;
    bool gives_address;   /* we do */
    bool offered_address; /* another server does */
    bool took_address;
    bool mutual_chap;
    bool link_down;
    enum journal_file_end file_end;
    uint8_t status_class, status_detail;

    uint64_t read_bytes, last_command_ms; /* of firmware's sessions */
    bool session_ended;
    bool stop_noticed; /* since the last step */
};

struct entry {
    enum journal_step step;
    unsigned boot; /* which of the client's boots */
    unsigned count;
    uint64_t first_ms, last_ms;
    uint64_t bytes, duration_ms;
    char detail[JOURNAL_DETAIL_BYTES];
};

struct journal_client {
    struct journal_client *prev, *next; /* journal->clients, the latest heard first */
    bool has_mac, has_uuid;
    uint8_t mac[JOURNAL_MAC_BYTES];
    uint8_t uuid[JOURNAL_UUID_BYTES];
    char address[JOURNAL_ADDRESS_BYTES];
    char initiator[JOURNAL_INITIATOR_BYTES]; /* escaped */
    char interface[JOURNAL_INTERFACE_BYTES];
    uint64_t first_seen_ms, last_seen_ms;
    unsigned boots;         /* begun */
    unsigned boots_stopped; /* those that came no further than `stopped` */
    struct story now;
    struct story stopped; /* where it got stuck; step JOURNAL_NONE: it is not */
    uint64_t stopped_ms;
    struct log_limit line_limit;
    unsigned entry_limit, entry_count, entry_first;
    struct entry entries[]; /* a ring */
};

struct journal {
    struct journal_client *clients;
    unsigned client_count, client_limit, event_limit;
    struct journal_line lines[LINES_LIMIT]; /* a ring */
    unsigned line_first, line_count, lines_dropped;
};

/* The client of an event, made when it is new; moved to the front. NULL: out of memory, or nothing
 * tells who it is. */
struct journal_client *client_get(struct journal *journal, const struct journal_identity *who,
                                  uint64_t now_ms);
void client_free(struct journal *journal, struct journal_client *client);
/* Entry `index` of the ring, 0 is the oldest. */
struct entry *client_entry(const struct journal_client *client, unsigned index);
/* A new one in the ring, in the oldest one's place when it is full. */
struct entry *client_add_entry(struct journal_client *client);

/* Printable ASCII stays, everything else becomes \xNN; cut at `size`. NULL is "". */
void copy_text(char *to, size_t size, const char *from);

/* ── what it means ───────────────────────────────────────────────────────────────────────────── */

/* Where the client stands, and when that turns into "stopped"; 0: never. */
enum journal_state story_state(const struct story *story);
uint64_t story_deadline_ms(const struct story *story);

/* Up to JOURNAL_CAUSES_LIMIT sentences. Returns how many. */
unsigned causes_of(const struct journal_client *client, const struct story *story,
                   char ret_causes[JOURNAL_CAUSES_LIMIT][JOURNAL_CAUSE_BYTES]);

/* "it loaded its boot file (snponly.efi, 173792 bytes in 120 ms)" */
void write_step(struct buffer *out, enum journal_step step, const char *detail, uint64_t bytes,
                uint64_t duration_ms);
/* "client=52:54:00:ab:cd:ef address=192.0.2.7 initiator=…" */
void write_identity(struct buffer *out, const struct journal_client *client);
/* Ends a text that may have been too long for its place. */
void end_text(struct buffer *out);
