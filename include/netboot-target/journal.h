/*
 * journal.h - the story of each client's boot, and what it means when it stops. Pure: events and
 * the time go in, sentences come out. Steps stand in one table (src/journal/steps.c), likely causes
 * in another (src/journal/causes.c).
 *
 * A client is known by its MAC, and joined with the address, UUID and initiator name that its
 * events tell. One that shows neither MAC nor a known address (a fixed initiator) is a client by
 * its address. All is bounded: clients, events of each, lines that wait.
 *
 * The caller's part: journal_record() for each event, journal_expire() at the deadline, and after
 * both it pulls journal_next_line() until false and logs the lines.
 *
 * Addresses are text, as sockets print them. Texts of events may hold wire bytes; the journal
 * escapes them.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_MAC_BYTES       6u
#define JOURNAL_UUID_BYTES      16u
#define JOURNAL_ADDRESS_BYTES   46u  /* INET6_ADDRSTRLEN */
#define JOURNAL_INITIATOR_BYTES 224u /* RFC 7143 §4.2.7.1 and a NUL */
#define JOURNAL_INTERFACE_BYTES 16u  /* IFNAMSIZ */
#define JOURNAL_DETAIL_BYTES    200u
#define JOURNAL_LINE_BYTES      640u
#define JOURNAL_SENTENCE_BYTES  1024u
#define JOURNAL_CAUSE_BYTES     320u
#define JOURNAL_CAUSES_LIMIT    3u

/* ── events ──────────────────────────────────────────────────────────────────────────────────── */

/* In the order of a boot: a later one is further on. */
enum journal_step {
    JOURNAL_NONE,
    JOURNAL_DISCOVER,         /* firmware asks by DHCP for a boot file; detail: its architecture */
    JOURNAL_UNANSWERED,       /* we name no boot file; unanswered; detail: why, a clause */
    JOURNAL_OFFER,            /* we answered; detail: the boot file or URL named */
    JOURNAL_ADDRESS,          /* it has taken its address, ours or another server's */
    JOURNAL_BOOT_SERVER,      /* it asked port 4011, and we named the file; detail: the file */
    JOURNAL_FILE_REQUEST,     /* it asks for a boot file by TFTP or HTTP; detail: name */
    JOURNAL_FILE_MISSING,     /* it asks for one that we do not have; detail: name */
    JOURNAL_FILE_FAILED,      /* file_end; detail: name; bytes */
    JOURNAL_FILE,             /* it has all of it; detail: name; bytes, duration_ms */
    JOURNAL_IPXE_DISCOVER,    /* iPXE asks by DHCP */
    JOURNAL_IPXE_OFFER,       /* we named its script; detail: URL */
    JOURNAL_LOOP,             /* it loads the same file again and again; detail: name */
    JOURNAL_SCRIPT_REFUSED,   /* it may not boot; detail: why, a clause */
    JOURNAL_SCRIPT_WAIT,      /* its disk is not ready, it asks again; detail: why, a clause */
    JOURNAL_SCRIPT_LOGIN,     /* it was asked for the menu's password */
    JOURNAL_SCRIPT_PASSWORD,  /* a wrong one was given; detail: how often */
    JOURNAL_SCRIPT_MENU,      /* it has the menu; detail: target and LUN */
    JOURNAL_SCRIPT_CHOICE,    /* something was chosen there; detail: what */
    JOURNAL_SCRIPT,           /* it has the script that boots; detail: target and LUN */
    JOURNAL_LOGIN_REFUSED,    /* status_class, status_detail; detail: why, a clause */
    JOURNAL_LOGIN_BROKEN,     /* it left in the middle of the login; mutual_chap; detail: why */
    JOURNAL_LOGIN,            /* iPXE has logged in; detail: target */
    JOURNAL_READ,             /* the first SCSI command that reads or writes the disk */
    JOURNAL_KERNEL_FAILED,    /* detail: name, why; bytes */
    JOURNAL_KERNEL,           /* it has a kernel or initrd by HTTP; detail: name; bytes,
                               * duration_ms */
    JOURNAL_LAST_COMMAND,     /* iPXE's last SCSI command; the journal notes it by itself */
    JOURNAL_OS_LOGIN_REFUSED, /* like LOGIN_REFUSED, of the operating system's initiator */
    JOURNAL_OS_LOGIN,         /* the operating system, or its initramfs, has logged in */
    JOURNAL_OS_READ,          /* its first read or write: it runs */
    JOURNAL_OS_ENDED,         /* its session is over; detail: why */
    JOURNAL_STEP_COUNT
};

/* How the client's firmware starts boot files. */
enum journal_firmware {
    JOURNAL_FIRMWARE_UNKNOWN,
    JOURNAL_FIRMWARE_BIOS,
    JOURNAL_FIRMWARE_UEFI,
    JOURNAL_FIRMWARE_UEFI_HTTP,
};

/* Why we name it no boot file, where there is more to say than the clause. */
enum journal_unanswered {
    JOURNAL_UNANSWERED_OTHER,
    JOURNAL_UNANSWERED_NO_BOOT_FILE, /* nothing to load for its architecture */
    JOURNAL_UNANSWERED_NOT_SERVING,  /* serving is switched off */
    JOURNAL_UNANSWERED_NO_HTTP,      /* no port for its script, or for UEFI HTTP boot */
    JOURNAL_UNANSWERED_ADDRESS_HELD, /* detail: which address, and who has it */
    JOURNAL_UNANSWERED_NOT_YET,      /* our role is not found yet; detail: what we do meanwhile */
    JOURNAL_UNANSWERED_NO_ADDRESS,   /* we have none there */
};

/* Why a transfer failed. */
enum journal_file_end {
    JOURNAL_FILE_LOST,    /* the client fell silent */
    JOURNAL_FILE_ABORTED, /* the client did not want the rest */
    JOURNAL_FILE_BROKEN,  /* the file could not be read */
};

/* Who an event is about: whatever is known. At least one of MAC, address, initiator. */
struct journal_identity {
    const uint8_t *mac;    /* JOURNAL_MAC_BYTES; NULL: not known */
    const uint8_t *uuid;   /* JOURNAL_UUID_BYTES in the order in which it is written; NULL */
    const char *address;   /* without port; NULL or "" */
    const char *initiator; /* iSCSI name, raw; NULL or "" */
    const char *interface; /* the one of ours that it came over; NULL or "" */
};

/* 0 and NULL: not known, or of no meaning for the step. */
struct journal_event {
    enum journal_step step;
    const char *detail;
    enum journal_firmware firmware;      /* DISCOVER */
    enum journal_unanswered unanswered;  /* UNANSWERED */
    bool via_boot_server;                /* OFFER: the client is to ask port 4011 next */
    bool gives_address;                  /* …OFFER: it holds the client's address, too */
    const char *server;                  /* ADDRESS: the other server that it chose */
    bool mutual_chap;                    /* LOGIN_BROKEN: we had just proven who we are */
    enum journal_file_end file_end;      /* FILE_FAILED */
    uint8_t status_class, status_detail; /* …LOGIN_REFUSED: RFC 7143 §11.13.5 */
    uint64_t bytes;
    uint64_t duration_ms;
};

/* ── the journal ─────────────────────────────────────────────────────────────────────────────── */

struct journal;
struct journal_client;

/* NULL: out of memory. Both limits at least 1. The quietest client makes room for a new one: of
 * those that only asked by DHCP, then of those that run no system. */
struct journal *journal_new(unsigned client_limit, unsigned event_limit);
void journal_free(struct journal *journal);
/* Other limits after a reload: clients beyond the new one go at once, the quietest first; the
 * number of events counts for clients that come from now on. */
void journal_set_limits(struct journal *journal, unsigned client_limit, unsigned event_limit);

/* Something happened. A client that is not known yet is remembered from here on; when one that had
 * got further asks DHCP anew, its story starts over. */
void journal_record(struct journal *journal, const struct journal_identity *who,
                    const struct journal_event *event, uint64_t now_ms);

/* Whose session a login is: iPXE's ISIDs carry the number of its makers (RFC 7143 §11.12.5). */
bool journal_isid_is_firmware(const uint8_t isid[6]);

/* What a firmware session (iPXE's) has done so far. To be told every second or so while there is
 * one, and when it ends; costs no event. With no command for a while, or `ended`, the journal notes
 * JOURNAL_LAST_COMMAND by itself. */
void journal_session_progress(struct journal *journal, const struct journal_identity *who,
                              uint64_t read_bytes, uint64_t last_command_ms, bool ended,
                              uint64_t now_ms);

/* An interface of ours lost or got its carrier: known for every client that came over it. */
void journal_link_changed(struct journal *journal, const char *interface, bool up, uint64_t now_ms);

/* Another DHCP server was heard to give this client an address, or to offer one. */
void journal_foreign_address(struct journal *journal, const struct journal_identity *who,
                             uint64_t now_ms);
/* Another PXE server was heard to answer this client; address: its. */
void journal_foreign_server(struct journal *journal, const struct journal_identity *who,
                            const char *address, uint64_t now_ms);

/* Notices who has stopped. Call at the deadline; 0: nothing to wait for. */
void journal_expire(struct journal *journal, uint64_t now_ms);
uint64_t journal_deadline_ms(const struct journal *journal);

/* ── lines for the log ───────────────────────────────────────────────────────────────────────── */

struct journal_line {
    bool is_trouble; /* a boot has stopped: worth a warning; else info */
    char text[JOURNAL_LINE_BYTES];
};

/* Each step once; a repeated one (a retransmitted DISCOVER) only counts. False: none left. */
bool journal_next_line(struct journal *journal, struct journal_line *ret_line);

/* ── reading it ──────────────────────────────────────────────────────────────────────────────── */

enum journal_state {
    JOURNAL_BOOTING, /* the next step is not late yet */
    JOURNAL_WAITING, /* for a person: at the menu, or for its disk to become ready */
    JOURNAL_STOPPED, /* what should have come did not. Stays so through further tries until one of
                      * them gets further. */
    JOURNAL_RUNNING, /* its operating system uses the disk */
    JOURNAL_ENDED,   /* its operating system has gone */
};

struct journal_report {
    const uint8_t *mac;    /* NULL: not known */
    const uint8_t *uuid;   /* NULL: not known */
    const char *address;   /* "" when not known; so are the next ones */
    const char *initiator; /* escaped */
    const char *interface;
    enum journal_state state;
    const char *state_name; /* "booting", "waiting", "stopped", "running", "ended" */
    enum journal_step step; /* the last one */
    const char *step_name;  /* "tftp-file" … */
    uint64_t first_seen_ms, last_seen_ms, step_ms; /* as now_ms was */
    unsigned boots;                                /* how often its firmware started over */
    unsigned event_count;
    char sentence[JOURNAL_SENTENCE_BYTES]; /* the whole story in words, causes included */
    unsigned cause_count;                  /* of STOPPED */
    char causes[JOURNAL_CAUSES_LIMIT][JOURNAL_CAUSE_BYTES];
};

/* An event as it is kept. */
struct journal_entry {
    enum journal_step step;
    const char *step_name;
    const char *words;  /* "the firmware asks for a boot file" */
    const char *detail; /* escaped; "" when there is none */
    uint64_t first_ms, last_ms;
    unsigned count; /* repetitions included */
    uint64_t bytes, duration_ms;
};

/* The clients, the latest heard first: begin with index 0, NULL behind the last. Valid until the
 * next call that takes `now_ms` and is not journal_client_report(). */
const struct journal_client *journal_client_at(const struct journal *journal, unsigned index);
unsigned journal_client_count(const struct journal *journal);
void journal_client_report(const struct journal_client *client, uint64_t now_ms,
                           struct journal_report *ret_report);
/* Index 0 is the oldest kept. False: behind the last. Strings live as long as the client. */
bool journal_client_entry(const struct journal_client *client, unsigned index,
                          struct journal_entry *ret_entry);

/* Finds a client whose MAC is not known to the caller: by address, by initiator name. NULL. */
const struct journal_client *journal_find(const struct journal *journal,
                                          const struct journal_identity *who);

/* One word, as logs and the status have it. */
const char *journal_step_name(enum journal_step step);
