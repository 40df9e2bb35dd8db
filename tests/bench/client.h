/*
 * client.h - one iSCSI session with one connection, as lean as it can be, so that a comparison
 * never measures the client. A failure ends the program with a sentence: it is an instrument.
 */
#pragma once
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "wire.h"

#define CLIENT_BATCH 256 /* PDUs gathered for one writev */

struct client_options {
    const char *host;
    const char *port;
    const char *target;
    const char *initiator;
    uint16_t lun;
    bool header_digest;
    bool data_digest;
};

struct client {
    int socket;
    uint16_t lun;
    uint32_t command_sn; /* of the next command */
    uint32_t expected_status_sn;
    uint32_t max_command_sn;

    /* negotiated */
    size_t segment_bytes; /* what the target takes in one PDU */
    size_t first_burst_bytes;
    bool initial_r2t;
    bool immediate_data;
    bool header_digest;
    bool data_digest;

    /* the medium */
    uint64_t blocks;
    uint32_t block_bytes;

    /* the PDU that is arriving; `start` keeps the first bytes of its data */
    enum { AT_HEADER, AT_DATA, AT_DIGEST } phase;
    uint8_t header[BHS_BYTES + DIGEST_BYTES];
    uint8_t digest[DIGEST_BYTES];
    uint8_t start[32];
    size_t phase_bytes; /* how much of the current phase is here */
    size_t data_bytes;  /* with padding */
    uint32_t crc;

    /* PDUs that wait for client_flush() */
    uint8_t out_headers[CLIENT_BATCH][BHS_BYTES + DIGEST_BYTES];
    uint8_t out_digests[CLIENT_BATCH][DIGEST_BYTES];
    struct iovec out[3 * CLIENT_BATCH];
    unsigned out_pdus;
    int out_pieces;
};

/* Called once per whole PDU; its data went away but for client->start. */
typedef void client_handler(struct client *client, const uint8_t *header, void *context);

void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
uint64_t now_ns(void);

/* Connects and logs in; `number` makes the ISID, so that one initiator has many sessions. */
void client_login(struct client *client, const struct client_options *options, uint32_t number);
/* READ CAPACITY (16); clears unit attentions on the way. */
void client_read_capacity(struct client *client);

/* Room for one more PDU: a zeroed header of `opcode` for this LUN. */
uint8_t *client_begin(struct client *client, enum opcode opcode);
/* Ends the PDU begun; `data` stays the caller's and unchanged until client_flush(). */
void client_end(struct client *client, uint8_t *header, const uint8_t *data, size_t length);
void client_flush(struct client *client);

/* Sends `length` bytes of `data` from `offset` on as Data-Out PDUs. */
void client_send_data(struct client *client, uint32_t task_tag, uint32_t transfer_tag,
                      const uint8_t *data, size_t offset, size_t length);

/* One recv() and everything that came with it. */
void client_receive(struct client *client, client_handler *handler, void *context);
/* What every PDU carries: window and status numbers; answers a NOP-In. */
void client_note(struct client *client, const uint8_t *header);
