/*
 * boot.h - what a client boots, and the iPXE script that makes it. Pure: a request and the rules go
 * in, a decision and a script come out. Whoever calls it knows sockets, targets and secrets.
 *
 *   firmware ── loader ── entry script ── GET boot_url() ── boot_decide() ─┬─ boot_script_start()
 *                                                                          └─ boot_script_stop()
 *
 * iPXE scripts know no quoting. What comes from a client, a disk or the configuration is written
 * either as a typed setting with percent signs (secrets: any byte passes unharmed), or as a name of
 * checked characters, or as text for the screen with everything replaced that could be a command.
 * The scripts run on iPXE 1.0.0+git-20190125 and later.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/error.h>

#define BOOT_MAC_BYTES          6u
#define BOOT_UUID_BYTES         16u
#define BOOT_SERIAL_BYTES       65u          /* 64 and a NUL */
#define BOOT_INITIATOR_BYTES    224u         /* RFC 7143 §4.2.7.1, and a NUL */
#define BOOT_URL_BYTES_LIMIT    254u         /* one DHCP option with its NUL */
#define BOOT_SCRIPT_BYTES_LIMIT (256u << 10) /* no script gets longer */

/* ── who asks ────────────────────────────────────────────────────────────────────────────────── */

/* As the request said; nothing of it is proven. */
struct boot_client {
    bool has_mac;
    bool has_uuid;
    uint8_t mac[BOOT_MAC_BYTES];
    uint8_t uuid[BOOT_UUID_BYTES];  /* in the order in which it is written */
    char serial[BOOT_SERIAL_BYTES]; /* "": none; raw, to be filtered or escaped before printing */
    unsigned machine;               /* an enum boot_machine bit of catalog.h; 0: not told */
};

/* Reads the decoded values of the query: "52-54-00-ab-cd-ef" (or with colons), a UUID, a serial
 * number. NULL: not given. What cannot be read counts as not given. */
void boot_client_read(struct boot_client *ret_client, const char *mac, const char *uuid,
                      const char *serial);
/* "efi-x86_64": iPXE's ${platform} and ${buildarch}. An unknown word counts as not told. */
void boot_client_read_machine(struct boot_client *client, const char *text);

/* ── what it gets ────────────────────────────────────────────────────────────────────────────── */

/* A row of `clients`. All that is given must match. */
struct boot_rule {
    bool has_mac;
    bool has_uuid;
    uint8_t mac[BOOT_MAC_BYTES];
    uint8_t uuid[BOOT_UUID_BYTES]; /* either byte order of a client's first three fields fits */
    const char *serial;            /* NULL: any; blanks around it do not count */
    const char *target;            /* NULL: the first */
    bool has_lun;                  /* false: the target's first */
    unsigned lun;
    const char *initiator; /* a name pattern, see boot_initiator_name(); NULL: the default */
    bool own_image;        /* a device of its own instead of the target's */
    bool open;             /* boots unattended */
    bool menu;             /* asks before it boots */
};

/* True when the client has everything the rule names it by: MAC, UUID, serial number. A rule that
 * names nobody matches nobody. */
bool boot_rule_matches(const struct boot_rule *rule, const struct boot_client *client);

struct boot_lun {
    unsigned number;
    bool read_only;
    bool per_client; /* its device's name holds the client's MAC */
};

struct boot_target {
    const char *name;
    bool ready;                  /* takes logins */
    bool open;                   /* for any machine that asks */
    bool needs_secret;           /* CHAP: the script would hold the secret */
    const struct boot_lun *luns; /* in the order of the configuration */
    unsigned lun_count;
};

struct boot_policy {
    bool serving; /* false: switched off, nobody new is booted */
    const struct boot_rule *rules;
    unsigned rule_count;
    const struct boot_target *targets;
    unsigned target_count;
};

enum boot_verdict {
    BOOT_START,  /* boot_script_start() */
    BOOT_REFUSE, /* it may not; a page says what would change that */
    BOOT_WAIT,   /* not yet; it asks again by itself */
    BOOT_FAIL,   /* cannot, for a reason on our side */
};

enum boot_reason {
    BOOT_REASON_NONE,
    BOOT_REASON_NOT_LISTED,  /* no rule, and its disk is not for everybody */
    BOOT_REASON_PASSWORD,    /* not `open`, and the request proved no password */
    BOOT_REASON_NO_MAC,      /* its disk is named by its MAC, and it told none */
    BOOT_REASON_NO_NAME,     /* its initiator name has MAC or UUID in it, and it told none */
    BOOT_REASON_NO_TARGET,   /* there is no target at all, or not the one its rule names */
    BOOT_REASON_NO_LUN,      /* the target has no such LUN */
    BOOT_REASON_NOT_READY,   /* the target's disks are not all open yet */
    BOOT_REASON_NOT_SERVING, /* switched off */
};

/* Pointers are into the policy. */
struct boot_decision {
    enum boot_verdict verdict;
    enum boot_reason reason;
    const struct boot_rule *rule;     /* NULL: not listed */
    const struct boot_target *target; /* NULL: none found */
    unsigned lun;                     /* BOOT_START */
    bool own_image; /* BOOT_START: the LUN's device is the client's own. Whether that one is ready
                     * the caller finds out; boot_decision_wait() if not. */
    bool menu;      /* BOOT_START: ask first */
};

/*
 * A writable disk and the secrets for it only go to clients of a rule with `open`, to anybody from
 * an `open` target, and to whoever proved the menu's password (`authenticated`). A target with
 * nothing but read-only LUNs and no CHAP is for everybody; an image of a client's own (`own_image`)
 * is for that client's rule alone. A client without a rule gets the first target that is for it;
 * the first rule that matches counts.
 */
void boot_decide(const struct boot_policy *policy, const struct boot_client *client,
                 bool authenticated, struct boot_decision *ret_decision);
/* The same for another target or LUN that the client asks for by name: it needs the password unless
 * that target is for everybody, or the client's rule opens it. `lun` NULL: the target's first. */
void boot_decide_other(const struct boot_policy *policy, const struct boot_client *client,
                       const char *target, const unsigned *lun, bool authenticated,
                       struct boot_decision *ret_decision);
/* Turns a start into "not ready yet", for an image of the client's own. */
void boot_decision_wait(struct boot_decision *decision);
/* A clause for logs and the journal: "it is not listed in clients". */
const char *boot_reason_text(enum boot_reason reason);

#define BOOT_INITIATOR_PATTERN "iqn.2010-04.org.ipxe:%m"
/* Replaces "%m" by the client's MAC as 52-54-00-ab-cd-ef, without a MAC by its UUID. NULL: the
 * default pattern. -ENAMETOOLONG; -EINVAL: it has neither. */
int boot_initiator_name(const char *pattern, const struct boot_client *client,
                        char ret_name[BOOT_INITIATOR_BYTES]);

/* ── scripts ─────────────────────────────────────────────────────────────────────────────────── */

/* Where this client reaches our boot HTTP listener. */
struct boot_server {
    const char *host; /* "192.168.200.1" or "fd00::1": an address, so that no name server counts */
    uint16_t port;
    const char *config_path; /* shown on refusal; NULL: started without a file */
};

/* What iPXE is to fetch: "http://192.168.200.1/boot.ipxe?mac=${netX/mac:hexhyp}&uuid=…", for DHCP's
 * boot file name. iPXE fills it in. */
void boot_url(struct buffer *out, const struct boot_server *server);

/* The same for any other script of ours: `path` "/menu.ipxe", `more` "&choice=disk" or NULL. */
void boot_script_url(struct buffer *out, const struct boot_server *server, const char *path,
                     const char *more);

/* autoexec.ipxe, and the answer to a request without a query: gets an address if there is none yet,
 * then goes to boot_url(). */
void boot_script_entry(struct buffer *out, const struct boot_server *server);

/* A kernel that iPXE loads by HTTP instead of starting a loader from the disk. */
struct boot_kernel {
    const char *path; /* of its URL: "/kernel/0123…/vmlinuz", of letters, digits, "/._-" */
    const char *const *initrd_paths;
    unsigned initrd_count;
    const char *command_line; /* from boot_command_line() */
};

struct boot_start {
    const struct boot_client *client;
    const char *target_name;    /* for the screen */
    const char *portal_address; /* as the client reaches it */
    uint16_t portal_port;
    const char *iqn;
    unsigned lun;
    const char *initiator;                     /* from boot_initiator_name() */
    const char *user, *secret;                 /* CHAP; NULL: none */
    const char *reverse_user, *reverse_secret; /* mutual CHAP; NULL: none */
    bool mask_gateway;                         /* the portal is on the client's link */
    const char *const *loaders; /* files to try on UEFI, in order; none: the well-known ones */
    unsigned loader_count;
    bool only_these;                  /* else the firmware's own default is tried after them */
    const struct boot_kernel *kernel; /* NULL: what the disk starts by itself */
    const char *const *lines;         /* iPXE's commands for the hooked disk instead of both */
    unsigned line_count;
    bool menu;       /* back to the menu when it fails */
    const char *key; /* for the menu; NULL: nobody has logged in */
};

/* Appends the script that hooks the disk (one LUN, so that the iBFT names one target) and boots it.
 * It holds the secrets. 0, or -EINVAL: a name in `start` cannot stand in a script; nothing is
 * appended and `error` says which. */
int boot_script_start(struct buffer *out, const struct boot_server *server,
                      const struct boot_start *start, struct error *error);

/* Appends a script of the administrator's lines alone: no disk is hooked, a failure leads back to
 * the menu. */
void boot_script_lines(struct buffer *out, const struct boot_server *server, const char *title,
                       const char *const *lines, unsigned line_count, const char *key);

/* Appends the page that asks for the menu's user and password, for BOOT_REASON_PASSWORD and
 * BOOT_REASON_NOT_LISTED. */
void boot_script_login(struct buffer *out, const struct boot_server *server,
                       const struct boot_client *client, const struct boot_decision *decision);

/* Appends the page for any other verdict: says why and what to do, then asks again by itself.
 * `detail`: a clause of the caller's ("the disk of LUN 0 is not there yet"), NULL: none. */
void boot_script_stop(struct buffer *out, const struct boot_server *server,
                      const struct boot_client *client, const struct boot_decision *decision,
                      const char *detail);

/* ── the menu ────────────────────────────────────────────────────────────────────────────────── */

#define BOOT_CHOICE_BYTES 80u /* [A-Za-z0-9._:-]{1,79} and a NUL */

/* Choices are words: "disk", "entry:ID" of a catalog, "item:NAME" of the configuration. */
bool boot_choice_is_valid(const char *choice);

enum boot_menu_group { BOOT_MENU_KERNELS, BOOT_MENU_LOADERS, BOOT_MENU_ITEMS };

#define BOOT_MENU_TIME_BYTES 24u

struct boot_menu_entry {
    enum boot_menu_group group; /* those of one group stand together */
    char choice[BOOT_CHOICE_BYTES];
    const char *title;   /* raw, see boot_put_text() */
    const char *problem; /* a sentence or clause, raw: why it does not work; NULL: it does */
    bool can_try;        /* although there is a problem */
    char seen[BOOT_MENU_TIME_BYTES]; /* when, if its filesystem was not unmounted since; or "" */
};

struct boot_menu {
    const char *target_name;
    unsigned lun;
    const struct boot_menu_entry *entries;
    unsigned entry_count;
    const char *selected; /* a choice; the time-out counts only when this entry is offered */
    uint64_t timeout_ms;  /* 0: waits for ever */
    const char *key;      /* goes into URLs; NULL: nobody has logged in */
    const char *note;     /* about the list, raw; NULL: none */
};

/* Appends the menu. What is chosen comes back as GET /entry.ipxe?…&choice=CHOICE&key=KEY. */
void boot_script_menu(struct buffer *out, const struct boot_server *server,
                      const struct boot_menu *menu);
/* Appends a page that goes on to the menu, after `text` (raw; NULL: none). */
void boot_script_to_menu(struct buffer *out, const struct boot_server *server, const char *text,
                         const char *key);

/* ── boot files ──────────────────────────────────────────────────────────────────────────────── */

/* Which boot file a client architecture loads (IANA "Processor Architecture Types"; for codes with
 * several names pass the one they are alike to). Firmware that boots by HTTP loads the same file as
 * the one that boots by TFTP. */
struct boot_architecture {
    uint16_t code;
    uint16_t http_code;  /* 0: none */
    const char *key;     /* in boot.files of the configuration */
    const char *name;    /* "UEFI on 64-bit x86" */
    const char *package; /* of Debian, that holds the default file; NULL: none does */
};

/* NULL: no boot file serves this architecture. */
const struct boot_architecture *boot_architecture_find(uint16_t code);
/* Row `index`, NULL behind the end. */
const struct boot_architecture *boot_architecture_at(unsigned index);
/* "snponly.efi is missing in /usr/lib/ipxe, so …: install the package ipxe, or …" */
void boot_missing_file_text(struct error *ret_text, const struct boot_architecture *architecture,
                            const char *file, const char *folder);
