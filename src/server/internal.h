/*
 * internal.h - what the files of the edge share: the loop and everything that hangs on it.
 *
 *   server.c        start, signals, reload, shutdown order, watchdog
 *   iscsi_server.c  portals: what listens and accepts
 *   iscsi_client.c  connections: sockets ↔ iscsi_connection; iscsi_output.c what leaves them
 *   iscsi_events.c  what the node tells, for the log and the journal
 *   login_delay.c   who failed to log in too often waits
 *   targets.c       config → targets; what a reload changes
 *   luns.c          devices of LUNs, opened and closed on workers
 *   lun_return.c    a disk that is gone, and comes back; absent_device.c stands in for it
 *   client_targets.c  targets of clients with images of their own
 *   owners.c        who owns a target, kept over restarts and taken away by a person
 *   invitations.c   who may log in because it fetched a boot script lately
 *   identity.c      who a LUN is: configured, stored, derived or generated
 *   state.c         the state directory: records that survive the process; state_files.c its files
 *   listen.c        listening sockets; address.c what is printed and compared of addresses
 *   peer_lines.c    log lines that peers can cause, limited for each of them
 *   loop_memory.c   what libev may need where there is no memory left
 *   http_server.c   libmicrohttpd in the loop; http_connection.c one request
 *   discovery.c     when a disk is searched for what it can boot; discovery_helper.c the process
 *                   that does it, discovery_blobs.c the kernels it found
 *   dhcp_server.c   the boot interfaces; dhcp_interface.c, dhcp_ports.c, dhcp_events.c one of them
 *   dhcp_fallback.c the address that an interface without one takes
 *   net_interfaces.c  network interfaces as the kernel tells of them; net_packet.c frames
 *   tftp_server.c   boot files by TFTP
 *   boot_http.c     boot files and scripts by HTTP
 *   boot_access.c   the menu's password, and keys for those who proved it
 *   setup_http.c    setup scripts by HTTP
 *   boot_menu.c     the menu: what can be chosen, what was
 *   boot_kernels.c  kernels on their way to clients
 *   boot_source.c   what each client boots
 *   boot_files.c    the loaders, kept in memory
 *   boot_journal.c  the journal: who did what, in the log and in the status
 *   secrets.c       passwords: configured, derived, generated and kept
 *   inhibitor.c     keeps this machine awake while others run from its disks
 *   sandbox.c       what the daemon gives up before it listens: user, capabilities, files, calls
 *   pauses.c        pauses of what scsi/ does in the background
 *   doctor.c        --doctor; doctor_ports.c and doctor_firewall.c what it looks at
 *   status_actions.c  what a person may do through the status listener
 *   status_source.c gathers the report that status/ prints; status_machines.c the part on booting
 */
#pragma once
#include <ev.h>
#include <netinet/in.h>

#include "sandbox.h"
#include "state.h"

#include <netboot-target/block.h>
#include <netboot-target/config.h>
#include <netboot-target/iscsi.h>
#include <netboot-target/scsi.h>
#include <netboot-target/server.h>

struct server;

/* ── targets and LUNs ────────────────────────────────────────────────────────────────────────── */

enum lun_state {
    LUN_WAITING, /* its device is not there yet, or just being opened */
    LUN_OPEN,
    LUN_REFUSED, /* held by someone else, or its identity is taken: `error` says by whom */
    LUN_CLOSING,
};

/* What the state directory says of a LUN's identity. */
struct kept_identity {
    bool valid;
    bool has_hardware;
    uint8_t bytes[16];
    uint8_t hardware[16]; /* of the disk it was given to */
};

struct served_lun {
    struct served_target *target;
    const struct config_lun *config; /* of target->config */
    char *image; /* a client's own, instead of the configured device; NULL: none */
    unsigned number;
    enum lun_state state;
    struct error error; /* why it is not open */
    struct block_location location;
    struct block_device *device; /* LUN_OPEN */
    struct scsi_lu *lu;          /* LUN_OPEN */
    struct block_identity derived;
    struct kept_identity kept;
    uint8_t identity[16];
    bool identified;         /* this is what its disk says now */
    char identity_text[192]; /* "GPT disk GUID …", "kept in …" */
    uint64_t first_try_us;
    bool reported;
    bool is_absent;  /* LUN_OPEN, and `device` stands in for one that is gone */
    bool is_suspect; /* what was written to it may not have got there before it was gone */
    struct open_attempt *attempt;  /* a worker is at it */
    struct discovered *discovered; /* LUN_OPEN: what can be booted from it, see discovery.c */
};

/* A client with images of its own is known by its MAC as 52-54-00-ab-cd-ef, else by the UUID or
 * serial number that `clients` names it by. Its target is called TARGET.KEY. */
#define CLIENT_KEY_BYTES  40
#define TARGET_NAME_BYTES 112

/* What CHAP proves with: configured or generated. */
struct chap_secrets {
    struct iscsi_credentials initiator, target;
    char path[512]; /* where generated ones lie, or "" */
};

struct served_target {
    struct served_target *prev, *next;
    struct server *server;
    struct config *owner; /* the reference that keeps `config` alive */
    const struct config_target *config;
    char name[TARGET_NAME_BYTES]; /* in the log, the status and the state directory */
    char key[CLIENT_KEY_BYTES];   /* of the client whose images these are; "": everybody's */
    bool is_recorded;             /* it was there when we ended: its image is waited for */
    uint8_t salt[16];             /* makes identities of copied images differ: of that client */
    char iqn[ISCSI_NAME_BYTES];
    struct chap_secrets secrets;
    struct scsi_target *scsi; /* once every LUN is open */
    struct iscsi_target *iscsi;
    bool owner_unkept;    /* it could not be written who that is now */
    struct error problem; /* why there is none although every LUN is open, or nobody is let in */
    struct guest *guests; /* invitations.c */
    bool guests_stale;    /* what is kept of them may not be the newest */
    unsigned lun_count;
    struct served_lun *luns;
    bool removing;
    ev_timer drained; /* its LUs are freed in a turn of the loop of their own */
};

/* ── the server ──────────────────────────────────────────────────────────────────────────────── */

struct iscsi_server;
struct http_server;
struct dhcp_server;
struct tftp_server;
struct boot_http;
struct setup_http;
struct boot_access;
struct boot_menu_state;
struct boot_kernels;
struct boot_source;
struct boot_files;
struct boot_journal;
struct discovery;
struct invitations;

struct server {
    struct ev_loop *loop;
    struct config *config;
    const struct server_options *options;
    struct sandbox sandbox;
    uint64_t started_us; /* monotonic */
    uint64_t started_unix_seconds;
    struct block_io *io;
    struct pool *pool;
    struct scsi_delay scsi_delay;
    struct scsi_environment scsi_environment;
    struct state *state;
    struct iscsi_node *node;
    struct served_target *targets;
    struct job_queue *opening; /* devices being found and claimed */
    unsigned opening_count;    /* tries under way, also for targets that are gone */
    unsigned opening_threads;
    uint64_t opening_ended_us; /* when a try ended, or a thread was added, last */
    struct open_attempt *held; /* those that wait for the others: luns.c */
    struct chap_secrets discovery_secrets;
    struct iscsi_server *iscsi;
    struct http_server *http;
    struct boot_files *boot_files;
    struct boot_source *boot_source;
    struct boot_http *boot_http;
    struct setup_http *setup_http;
    struct boot_access *boot_access;
    struct boot_menu_state *boot_menu;
    struct boot_kernels *boot_kernels;
    struct boot_journal *boot_journal;
    struct discovery *discovery;     /* NULL: out of memory */
    struct invitations *invitations; /* NULL: nobody has fetched a script yet */
    struct dhcp_server *dhcp;        /* NULL: no machine is booted from here */
    struct tftp_server *tftp;
    bool clients_known; /* whose images were served when we ended */
    bool clients_stale; /* what is kept may not be whose images are served now */
    struct error clients_problem;
    struct error discovery_problem;
    bool discovery_waits; /* for its secrets: nobody is let in meanwhile */
    bool draining;
    bool ready;   /* a target was served */
    bool closing; /* no connection is left: disks are flushed */
    uint64_t drain_started_us;
    bool serving; /* POST /serving off: no offers, no new logins */
    bool stuck;   /* a disk does not answer: nothing of it can be freed */
    int exit_code;

    ev_io io_watchers[2];
    ev_prepare io_kick;
    ev_timer housekeeping; /* retries, device observation; runs only while there is a reason */
    ev_timer watchdog;
    ev_timer drain;
    ev_signal hangup, terminate, interrupt;
};

/* Paces what scsi/ does in the background. */
struct scsi_delay *server_pauses(struct server *server);
/* Monotonic microseconds. */
uint64_t server_now_us(const struct server *server);
/* Makes the housekeeping timer run within a second. */
void server_want_housekeeping(struct server *server);
/* A disk was let go: who waits for it may try at once. */
void server_disk_is_free(struct server *server);
/* A target became ready, or is gone. */
void server_targets_changed(struct server *server);
/* POST /serving: new logins and offers on or off; running sessions stay. */
void server_set_serving(struct server *server, bool serving);

/* ── targets.c ───────────────────────────────────────────────────────────────────────────────── */

int targets_start(struct server *server, struct error *error);
/* Carries out what changed between the running and the new config; takes over neither. */
void targets_reload(struct server *server, struct config *config);
/* Tries what waits, looks at open devices. Returns whether it wants to be called again soon. */
bool targets_tick(struct server *server);
/* True when every LUN that is configured is open. */
bool targets_all_open(const struct server *server);
bool targets_any_open(const struct server *server);
/* True when nothing can ever be served: every LUN is refused. */
bool targets_hopeless(const struct server *server);
/* Images of one client in the place of a target's disks. */
struct client_images {
    const char *key;
    uint8_t salt[16];
    bool has_mac;
    uint8_t mac[6];     /* what "%m" stands for */
    const char *device; /* of `clients`: one LUN, `lun`; NULL: those of the target with "%m" */
    unsigned lun;
};
/* A device with the client's MAC for "%m"; to be freed. NULL: out of memory. */
char *client_image_path(const char *pattern, const struct client_images *images);
/* Begins to open a target, or a client's form of it. NULL: out of memory. */
struct served_target *targets_add(struct server *server, struct config *config,
                                  const struct config_target *target_config,
                                  const struct client_images *images);
void target_remove(struct served_target *target);
/* Ends every target; server_targets_changed() is called as each is gone. */
void targets_flush_and_close(struct server *server);
/* NULL: none that is served has this iSCSI name. */
struct served_target *targets_find_iqn(const struct server *server, const char *iqn);
/* NULL: none of those that are served is this one. */
struct served_target *targets_find_iscsi(const struct server *server,
                                         const struct iscsi_target *iscsi);
/* NULL: there is none of this name. */
struct served_target *targets_find(const struct server *server, const char *name);
struct served_lun *targets_find_lun(struct server *server, const char *name, unsigned number);

#define OPENING_THREADS 4 /* more only for disks that do not answer */

/* Puts it together once every LUN is open; asked again, it tries again. */
void target_assemble(struct served_target *target);
/* Why it is not served, for the log and the status; housekeeping will try again. */
void target_note_problem(struct served_target *target, const struct error *error);
/* A LUN's device is closed; the last one to close frees a target that is being removed. */
void target_lun_closed(struct served_target *target);

/* ── luns.c ──────────────────────────────────────────────────────────────────────────────────── */

/* Looks for its device and opens it, on a worker; target_assemble() is called when it is there. */
void lun_try(struct served_lun *lun);
void luns_tick(struct server *server);
/* Looks at an open one; one whose device is gone is let go, and looked for. True: it is gone. */
bool lun_observe(struct served_lun *lun);
/* Nobody waits any more for the try that is under way. */
void lun_give_up(struct served_lun *lun);
/* Flushes and closes the device of a LUN without sessions; then target_lun_closed(). */
void lun_close(struct served_lun *lun);
const char *lun_state_word(const struct served_lun *lun); /* for status: "open", "waiting", … */
/* The path or tag of its device. */
const char *lun_specification(const struct served_lun *lun);

/* ── client_targets.c ────────────────────────────────────────────────────────────────────────── */

/* What the target of a client that `clients` names by its serial number is called by: another for
 * each. */
void client_key_of_serial(const char *serial, char to[CLIENT_KEY_BYTES]);
/* What the target of the image that a row of `clients` names is called by: the row's MAC, else its
 * UUID, else its serial number. */
void client_key_of_row(const struct config_client *client, char to[CLIENT_KEY_BYTES]);
/* Opens those that are known: written down in `clients`, or there when we ended, as soon as that is
 * known. */
void client_targets_start(struct server *server);
/* The target of this client's own images, begun if it is not there yet. `client`: its row of
 * `clients`, NULL: none. `mac`: six bytes, NULL: it told none. NULL: there cannot be one. */
struct served_target *client_targets_get(struct server *server,
                                         const struct config_target *target_config,
                                         const struct config_client *client, const uint8_t *mac);
/* Before targets_reload(): ends those that the new configuration does not have any more. After it:
 * client_targets_start(). */
void client_targets_reload(struct server *server, const struct config *config);
/* Ends those whose image did not come. */
void client_targets_tick(struct server *server);
/* Keeps the list of those that are served, and of those that were and whose image, or target, may
 * come yet; what fails is tried again by client_targets_tick(). */
void client_targets_note(struct server *server);

/* ── owners.c ────────────────────────────────────────────────────────────────────────────────── */

/* What the store knows of a target that begins to be served. -errno: it must not be served without
 * that. */
int owner_restore(struct served_target *target, struct error *error);
/* struct iscsi_callbacks.keep_owner; context: the server. */
void owner_keep(void *context, struct iscsi_target *iscsi);
/* Tries what could not be kept once more. False: there is nothing. */
bool owner_keep_again(struct served_target *target);
/* The target goes away, and waits for no record. */
void owner_give_up(struct served_target *target);
/* When its owner became that, in seconds since 1970. */
uint64_t owner_since_unix_seconds(const struct iscsi_owner *owner);

/* ── invitations.c ───────────────────────────────────────────────────────────────────────────── */

/* -errno: nobody knows who they were. */
int invitations_restore(struct served_target *target, struct error *error);
/* The initiator called `initiator` was told at `host` ("192.0.2.7") how to reach its disk. */
void invitations_note_script(struct server *server, const char *host, const char *initiator);
/* Remembers who has logged in; forgets who has logged out. */
void invitations_note_event(struct server *server, const struct iscsi_event *event);
/* struct iscsi_callbacks.is_invited; context: the server. */
bool invitations_admit(void *context, const struct iscsi_target *iscsi, const char *initiator,
                       const struct sockaddr_storage *peer);
/* Tries what could not be kept once more. False: there is nothing. */
bool guests_keep_again(struct served_target *target);
void guests_free(struct served_target *target);
void invitations_free(struct server *server);

/* ── identity.c ──────────────────────────────────────────────────────────────────────────────── */

/* Fills lun->kept, before the LUN is opened. -errno: nobody knows who it was. */
int identity_load(struct served_lun *lun, struct error *error);
/* Fills lun->identity and identity_text, once the device has told what it knows. */
void identity_find(struct served_lun *lun);
/* Settles it. -EEXIST with the cure when another LUN has the same one. */
int identity_resolve(struct served_lun *lun, struct error *error);
/* Keeps it. 0; -EINPROGRESS: ask again; -errno: it cannot be kept, and nothing else tells it. */
int identity_keep(const struct served_lun *lun, struct error *error);
void identity_fill_options(const struct served_lun *lun, struct scsi_lu_options *options);
/* -ENAMETOOLONG: there is no room for the client's key behind the configured name. */
int identity_make_iqn(const struct served_target *target, char iqn[ISCSI_NAME_BYTES],
                      struct error *error);

/* ── iscsi_server.c ──────────────────────────────────────────────────────────────────────────── */

extern const struct iscsi_callbacks iscsi_server_callbacks; /* context: the server */
int iscsi_server_start(struct server *server, struct error *error);
/* Listens where the config says now; connections of portals that went away stay. */
void iscsi_server_reload(struct server *server, const struct config *config);
void iscsi_server_stop_accepting(struct server *server);
void iscsi_server_free(struct server *server);
/* "0.0.0.0:3260", …; for the status. Returns how many. */
unsigned iscsi_server_portals(const struct server *server, char (*to)[64], unsigned limit);
/* Where a client that reached us at the address `local` finds iSCSI: the port, and the address in
 * `to`, which is `local` unless nothing listens there. */
uint16_t iscsi_server_portal_at(const struct server *server, const char *local,
                                char to[INET6_ADDRSTRLEN]);

/* ── http_server.c, status_source.c ──────────────────────────────────────────────────────────── */

int http_server_start(struct server *server, struct error *error);
void http_server_reload(struct server *server, struct config *config);
void http_server_free(struct server *server);

/* ── dhcp_server.c ───────────────────────────────────────────────────────────────────────────── */

/* What goes wrong here is told in the log; disks are served all the same. */
int dhcp_server_start(struct server *server, struct error *error);
void dhcp_server_reload(struct server *server, struct config *config);
/* Ends answering; an orderly shutdown begins. */
void dhcp_server_stop(struct server *server);
void dhcp_server_free(struct server *server);
/* Whose address this is, from DHCP or the neighbour table. */
bool dhcp_server_client_mac(const struct server *server, uint32_t address, uint8_t ret_mac[6]);
/* It is an address of a boot interface. */
bool dhcp_server_has_address(const struct server *server, uint32_t address);
/* "eth0 or eth1": where machines can be connected. False: nowhere. */
bool dhcp_server_describe(const struct server *server, char *to, size_t size);
/* Both addresses are of one network of ours. */
bool dhcp_server_is_on_link(const struct server *server, uint32_t own, uint32_t other);
/* A client has all of a boot file; it has got further than that. */
void dhcp_server_loader_sent(struct server *server, const uint8_t mac[6], const char *file);
void dhcp_server_client_progressed(struct server *server, const uint8_t mac[6]);

/* ── tftp_server.c, boot_http.c ──────────────────────────────────────────────────────────────── */

int tftp_server_start(struct server *server, struct error *error);
void tftp_server_reload(struct server *server, struct config *config);
void tftp_server_free(struct server *server);
int boot_http_start(struct server *server, struct error *error);
void boot_http_free(struct server *server);
int setup_http_start(struct server *server, struct error *error);
void setup_http_free(struct server *server);
