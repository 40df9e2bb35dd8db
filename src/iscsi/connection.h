/*
 * connection.h - what the files of the full feature phase share: connection, session, command,
 * answer.
 *
 * Ownership: the node lists connections and sessions; a connection owns its login, its session, its
 * answers; a session owns its commands. A closed connection lives on until scsi_nexus_end() says
 * that the disk has let go of everything.
 */
#pragma once
#include "login.h"
#include "pdu.h"

#define AHS_LIMIT_BYTES       (255u * 4)
#define PEER_TEXT_BYTES       64
#define BULK_MIN_BYTES        (16u << 10) /* from here a payload is received straight into its place */
#define FETCH_BYTES           (256u << 10)
#define COPY_FETCHED_BYTES    (16u << 10) /* up to here a fetched buffer is copied, for batching */
#define RESPONSES_LIMIT_BYTES (4u << 20)  /* queued for a peer that does not read */

struct iscsi_connection;
struct iscsi_command;

/* ── answers: what waits to be pulled ────────────────────────────────────────────────────────── */

enum emit_verdict {
    EMIT_DONE, /* all of it is committed; the answer has unlinked (and perhaps freed) itself */
    EMIT_FULL, /* no room: pull again */
    EMIT_WAIT, /* it has unlinked itself and comes back when its data is there */
};

/* A PDU, or a run of them, in the order in which they were queued. Numbers are stamped when
 * emitted. */
struct iscsi_answer {
    struct iscsi_answer *prev, *next;
    enum emit_verdict (*emit)(struct iscsi_connection *connection, struct iscsi_answer *answer,
                              struct iscsi_output *output);
    void (*drop)(struct iscsi_answer *answer); /* the connection is closed; NULL: nothing to free */
};

/* A ready PDU: NOP-In, Login, Text, Logout, Task Management and SCSI Responses, Reject, Async. */
struct iscsi_response {
    struct iscsi_answer answer;
    uint8_t bhs[BHS_BYTES];
    bool advances_stat_sn;
    bool ends_login; /* digests are sent from the next PDU on */
    uint32_t data_bytes;
    uint8_t data[];
};

/* ── commands ────────────────────────────────────────────────────────────────────────────────── */

enum command_state {
    COMMAND_GATHERING,      /* its data-out is arriving */
    COMMAND_WAITING_CREDIT, /* in connection->waiting */
    COMMAND_EXECUTING,      /* in the device server */
    COMMAND_FETCHING,       /* the engine reads for it */
    COMMAND_ANSWERING,      /* in connection->answers */
};

/* What the engine read for a command. Segments on their way to the socket hold it as well, so that
 * an abort cannot take it from under them. */
struct fetch_buffer {
    uint8_t *data; /* of the credit */
    size_t bytes;
    unsigned references;
};

struct iscsi_command {
    struct iscsi_command *prev, *next;           /* session->commands */
    struct iscsi_command *wait_prev, *wait_next; /* connection->waiting */
    struct iscsi_answer answer;                  /* its data-in and response */
    struct iscsi_answer r2t;
    bool r2t_queued;
    struct iscsi_connection *connection;
    struct scsi_task *task;
    enum command_state state;
    uint32_t itt;
    uint32_t expected_bytes; /* Expected Data Transfer Length */
    bool read, write;
    bool settled;      /* its status is committed: it takes no room in the window any more */
    bool answer_abort; /* TASK ABORTED is to be sent (TAS) */
    uint64_t received_us;

    /* data-out */
    uint8_t *buffer;
    size_t buffer_bytes;
    bool buffer_from_reserve;
    uint32_t gather_bytes;    /* what will arrive: min(wanted, expected) */
    uint32_t immediate_bytes; /* came with the command; what is beyond gather_bytes is not used */
    uint32_t received_bytes;
    uint32_t unsolicited_bytes; /* arrives up to here without R2T */
    bool r2t_active;
    uint32_t ttt, r2t_sn, r2t_end_bytes;
    uint32_t next_data_sn;
    uint64_t waits_since_us; /* for its data-out, or for its data-in to be taken */

    /* data-in */
    uint32_t data_in_bytes; /* what will be sent: min(there is, expected) */
    uint32_t sent_bytes, burst_bytes, data_in_sn;
    bool status_sent;
    struct fetch_buffer *fetched;
    uint32_t fetched_from, fetched_end;
};

/* ── sessions ────────────────────────────────────────────────────────────────────────────────── */

struct iscsi_session {
    struct iscsi_session *prev, *next; /* node->sessions */
    struct iscsi_connection *connection;
    bool ends_at_final; /* isboot: one F per command */
    bool makes_way;     /* it was ended, for a login that waits for its drain, or by a person */
    bool drains;        /* its connection is closed */
    struct iscsi_login_result login;
    struct scsi_nexus *nexus; /* NULL in discovery */
    uint16_t tsih;
    uint32_t exp_cmd_sn, max_cmd_sn;
    struct iscsi_command *commands;
    unsigned outstanding;
    uint32_t next_ttt;
    bool counted_as_owner;
    bool asked_to_log_out; /* by us: it will be back */
    bool logged_out;       /* gave its disks up on purpose: nobody has to wait for the hold time */

    uint64_t started_us, last_command_us;
    uint64_t command_count, reads, writes, read_bytes, written_bytes, errors, zero_copy_bytes;
    uint64_t latency[ISCSI_LATENCY_BUCKETS];
};

/* ── connections ─────────────────────────────────────────────────────────────────────────────── */

enum connection_phase {
    PHASE_LOGIN,
    PHASE_REINSTATING, /* the last login answer waits for old sessions' drain */
    PHASE_FULL_FEATURE,
    PHASE_ENDING, /* flush what is queued, then close; input is swallowed */
    PHASE_CLOSED, /* no socket any more */
};

enum framing_stage { STAGE_HEADER, STAGE_PAYLOAD, STAGE_TRAILER };

struct iscsi_pdu_handler;

struct framing {
    enum framing_stage stage;
    bool header_digest, data_digest; /* on what arrives */
    uint8_t header[BHS_BYTES + AHS_LIMIT_BYTES + DIGEST_BYTES];
    size_t header_have, header_want;
    const struct iscsi_pdu_handler *handler; /* NULL: swallow this PDU */
    uint8_t *destination;                    /* NULL: swallow the payload */
    uint32_t payload_left;
    uint32_t payload_crc;
    uint8_t trailer[3 + DIGEST_BYTES]; /* padding and data digest */
    unsigned trailer_have, trailer_want;
    struct iscsi_command *command; /* whose payload is arriving */
};

struct iscsi_connection {
    struct iscsi_connection *prev, *next; /* node->connections */
    struct iscsi_node *node;
    void *owner;
    struct sockaddr_storage local, peer;
    char local_text[PEER_TEXT_BYTES], peer_text[PEER_TEXT_BYTES];
    uint64_t started_us, now_us;
    uint64_t heard_us, pinged_us;
    uint64_t data_out_us; /* since when data-out is owed, or last came; 0: none is */
    enum connection_phase phase;
    bool failed;  /* connection_fail() was called */
    bool in_call; /* inside a call of the owner's: no output_ready() */
    bool counted_login;

    struct iscsi_login *login;
    struct iscsi_response *last_login_response; /* PHASE_REINSTATING */
    struct iscsi_session *session;
    bool header_digest, data_digest; /* on what is sent */
    uint32_t stat_sn;

    struct framing in;
    struct buffer text;       /* of a login or text request, continued PDUs joined */
    struct buffer text_reply; /* what of a text answer has not been sent */
    size_t text_reply_sent;
    uint32_t text_ttt;

    struct iscsi_answer *answers;
    size_t responses_bytes;        /* of answers that wait to be read or to be given */
    struct iscsi_command *waiting; /* for credit, first come first served */
    size_t credit_used, reserve_used;
    struct iscsi_management *managements;
};

/* connection.c */
/* Reports a protocol error and ends the connection: returns -EPROTO for the caller to pass on. */
int connection_fail(struct iscsi_connection *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void connection_event(struct iscsi_connection *connection, enum iscsi_event_kind kind,
                      const char *reason);
/* Whether its peer has this address, whatever the port. */
bool connection_is_from(const struct iscsi_connection *connection,
                        const struct sockaddr_storage *peer);
void connection_queue(struct iscsi_connection *connection, struct iscsi_answer *answer);
void connection_unqueue(struct iscsi_connection *connection, struct iscsi_answer *answer);
/* Output became available outside a call of the owner's. */
void connection_wake(struct iscsi_connection *connection);
/* The session's last I/O is done. */
void connection_drained(struct iscsi_connection *connection);

/* response.c */
/* A response to the PDU being handled: opcode, ITT and F are set. NULL: no memory; the connection
 * has to end. */
struct iscsi_response *response_new(uint8_t opcode, uint32_t itt, const void *data,
                                    uint32_t data_bytes);
void response_send(struct iscsi_connection *connection, struct iscsi_response *response);
/* Reject of the PDU being handled, RFC 7143 §11.17. */
int response_reject(struct iscsi_connection *connection, uint8_t reason);
/* Stamps StatSN, ExpCmdSN and MaxCmdSN into a header that is being committed. */
void response_stamp(struct iscsi_connection *connection, uint8_t *bhs, bool advances_stat_sn);

/* output.c */
/* Room for a header and `data_bytes` behind it in the slab, digests and padding included; NULL:
 * full. */
uint8_t *output_reserve_pdu(struct iscsi_connection *connection, struct iscsi_output *output,
                            uint32_t data_bytes);
/* Commits header and data that stand in the slab at output_reserve_pdu()'s place. */
void output_commit_pdu(struct iscsi_connection *connection, struct iscsi_output *output,
                       uint8_t *bhs, uint32_t data_bytes);
/* Commits a header from the slab and a payload that is elsewhere. */
void output_commit_header(struct iscsi_connection *connection, struct iscsi_output *output,
                          uint8_t *bhs, const struct iscsi_segment *payload);
bool output_has_room(const struct iscsi_output *output, uint32_t data_bytes);

/* session.c */
struct iscsi_session *session_new(struct iscsi_connection *connection,
                                  const struct iscsi_login_result *login);
/* Some session ends when this login succeeds: its own (RFC 7143 §6.3.5), or that of its firmware.
 */
bool session_some_makes_way(const struct iscsi_node *node, const struct iscsi_login_result *login);
/* Ends them. Their connections may be closed and they may drain inside this call. */
void session_make_way(struct iscsi_node *node, const struct iscsi_login_result *login);
/* Some I/O of the same initiator's on this target, of a session that has ended, is still to land.
 */
bool session_some_drains(const struct iscsi_node *node, const struct iscsi_login_result *login);
/* Closes its connection, as if it were lost; the session may be gone after this call. */
void session_drop(struct iscsi_session *session, const char *reason);
/* Ends the session's nexus and, when all is drained, the connection. */
void session_end(struct iscsi_session *session);
void session_note_latency(struct iscsi_session *session, uint64_t microseconds);
/* Has logged out, and not because we asked it to: such a one will be back as soon as we are. */
bool session_gave_up(const struct iscsi_session *session);
bool session_is_firmware(const struct iscsi_session *session);
/* A target transfer tag that no other PDU of ours has just now. */
uint32_t session_take_ttt(struct iscsi_session *session);

/* command.c */
int command_begin(struct iscsi_connection *connection);
int command_complete(struct iscsi_connection *connection);
int data_out_begin(struct iscsi_connection *connection);
int data_out_complete(struct iscsi_connection *connection);
/* Serves those who wait for credit; to be called when some may have come back. */
void command_serve_waiting(struct iscsi_connection *connection);
void command_finish(struct iscsi_command *command);
/* To be called before its status is stamped: the window opens by one. */
void command_settle(struct iscsi_command *command);
/* Of a connection that is being closed: those that task management has aborted hear nothing of the
 * nexus's end. */
void command_drop_aborted(struct iscsi_session *session);
void command_wait_for_credit(struct iscsi_command *command);
/* It waits for its peer, and others need its buffer. */
void command_make_way(struct iscsi_command *command);

/* credit.c: memory that counts against the connection; NULL: not now */
void *credit_take(struct iscsi_connection *connection, size_t bytes);
void credit_give(struct iscsi_connection *connection, void *buffer, size_t bytes);
/* For immediate data, which is already on its way. */
void *reserve_take(struct iscsi_connection *connection, size_t bytes);
void reserve_give(struct iscsi_connection *connection, void *buffer, size_t bytes);

/* data_in.c */
void command_answer(struct iscsi_command *command);
bool command_take_fetch_buffer(struct iscsi_command *command);
void fetch_buffer_unref(struct iscsi_connection *connection, struct fetch_buffer *buffer);
void command_start_fetch(struct iscsi_command *command);
void command_fetched(struct scsi_task *task);

/* management.c */
int management_begin(struct iscsi_connection *connection);
int management_complete(struct iscsi_connection *connection);
void management_drop_all(struct iscsi_connection *connection);

/* requests.c: login, text, NOP, logout */
int request_begin(struct iscsi_connection *connection);
int login_complete(struct iscsi_connection *connection);
int text_complete(struct iscsi_connection *connection);
int nop_out_complete(struct iscsi_connection *connection);
int logout_complete(struct iscsi_connection *connection);
/* Lets those logins go on that waited for sessions which have drained now. */
void login_continue_waiting(struct iscsi_node *node);

/* sequence.c */
/* CmdSN of the request at hand, RFC 7143 §4.2.2.1. */
enum sequence_verdict { SEQUENCE_TAKE, SEQUENCE_IGNORE };
enum sequence_verdict sequence_check(struct iscsi_session *session, const uint8_t *bhs);
void sequence_update_window(struct iscsi_session *session);

/* framing.c */
int framing_receive(struct iscsi_connection *connection, const uint8_t *data, size_t length);
int framing_receive_bulk(struct iscsi_connection *connection, size_t length);

/* Which PDU goes where; framing.c walks it. */
struct iscsi_pdu_handler {
    uint8_t opcode;
    const char *name;
    bool in_login, in_full_feature, in_discovery;
    bool takes_data;
    /* The header is complete: choose in.destination. 0 or connection_fail(). */
    int (*begin)(struct iscsi_connection *connection);
    /* The payload is complete. */
    int (*complete)(struct iscsi_connection *connection);
};

/* crc32c.c */
uint32_t crc32c_begin(void);
uint32_t crc32c_add(uint32_t crc, const void *data, size_t length);
/* The digest as it stands on the wire: little-endian, RFC 7143 §13.1 and RFC 3385. */
void crc32c_store(uint32_t crc, uint8_t digest[DIGEST_BYTES]);
