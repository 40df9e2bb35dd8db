/*
 * tftp.h - TFTP as a boot server speaks it: read requests only, octet mode (RFC 1350, 2347, 2348,
 * 2349, 7440). Pure: the caller owns sockets, clock and files.
 *
 * The caller's part: it receives read requests on port 69, answers each from a port of its own
 * (RFC 1350 §4), hands the transfer what comes from the client's address and port, and sends an
 * error 5 to anybody else who writes to that port. A read request repeated from the same address
 * and port belongs to the transfer that already runs and is dropped.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/byte_source.h>

#define TFTP_NAME_BYTES_LIMIT    255u
#define TFTP_TEXT_BYTES_LIMIT    127u
#define TFTP_BLKSIZE_DEFAULT     512u   /* RFC 1350 §2 */
#define TFTP_BLKSIZE_LIMIT       65464u /* RFC 2348 */
#define TFTP_PACKET_BYTES_LIMIT  (TFTP_BLKSIZE_LIMIT + 4u)
#define TFTP_WINDOWSIZE_LIMIT    64u /* what we grant; RFC 7440 allows 65535 */
#define TFTP_REQUEST_BYTES_LIMIT 1024u

/* RFC 1350 §5, RFC 2347. */
enum tftp_error_code {
    TFTP_ERROR_UNDEFINED = 0,
    TFTP_ERROR_NOT_FOUND = 1,
    TFTP_ERROR_ACCESS = 2,
    TFTP_ERROR_ILLEGAL = 4,
    TFTP_ERROR_UNKNOWN_TRANSFER = 5,
    TFTP_ERROR_OPTION = 8,
};

/* ── requests ────────────────────────────────────────────────────────────────────────────────── */

/* 0 stands for "not asked for" in the numeric options. */
struct tftp_request {
    char name[TFTP_NAME_BYTES_LIMIT + 1]; /* without leading slashes, never "..", "\" or controls */
    uint32_t blksize_bytes;
    uint32_t windowsize_blocks;
    uint32_t timeout_s;
    bool wants_tsize;
};

/* What the client is told instead of its file. `text` is a constant. */
struct tftp_refusal {
    enum tftp_error_code code;
    const char *text;
};

/*
 * Reads a packet that came to the request port.
 * 0: `ret_request` is filled. -EPROTO: answer with `ret_refusal` (tftp_error_write).
 * -EBADMSG: no request at all; say nothing (an error is never answered with an error).
 * An option with a value out of its range is left out of the request, as if it had not been asked
 * for (RFC 2347: the server leaves it out of its acknowledgement).
 */
int tftp_request_parse(const uint8_t *packet, size_t length, struct tftp_request *ret_request,
                       struct tftp_refusal *ret_refusal);

/* Appends an ERROR packet. */
void tftp_error_write(struct buffer *out, enum tftp_error_code code, const char *text);

/* ── transfers ───────────────────────────────────────────────────────────────────────────────── */

struct tftp_limits {
    uint32_t blksize_bytes;     /* at most; 0: 1468, the largest that fits an Ethernet frame */
    uint32_t windowsize_blocks; /* at most; 0: 16 */
};

enum tftp_end {
    TFTP_END_NONE,          /* still running */
    TFTP_END_COMPLETED,     /* the client has everything */
    TFTP_END_SIZE_PROBE,    /* asked for the size and left: what UEFI firmware does first; normal */
    TFTP_END_ABORTED,       /* the client sent an error */
    TFTP_END_TIMED_OUT,     /* the client fell silent */
    TFTP_END_SOURCE_FAILED, /* the source could not be read */
};

struct tftp_report {
    enum tftp_end end;
    uint64_t bytes; /* acknowledged by the client */
    uint64_t duration_ms;
    uint32_t retransmissions;                   /* packets sent again */
    uint16_t error_code;                        /* of an ABORTED or SIZE_PROBE end */
    char error_text[TFTP_TEXT_BYTES_LIMIT + 1]; /* the client's words: escape before printing */
};

enum tftp_verdict {
    TFTP_IGNORED,  /* nothing changed: a duplicate, or not a packet of this transfer */
    TFTP_CONTINUE, /* pull packets with tftp_transfer_next_packet() */
    TFTP_ENDED,    /* pull a last packet if there is one, read the report, free */
};

struct tftp_transfer;

/* Begins at once: the first packet (OACK, or DATA 1 when no option was asked for) waits to be
 * pulled. `source` is borrowed until tftp_transfer_free(). NULL: out of memory. */
struct tftp_transfer *tftp_transfer_new(const struct tftp_request *request,
                                        const struct byte_source *source,
                                        const struct tftp_limits *limits, uint64_t now_ms);
/* A packet that came to the port of this transfer: ACK or ERROR, all else is ignored. */
enum tftp_verdict tftp_transfer_receive(struct tftp_transfer *transfer, const uint8_t *packet,
                                        size_t length, uint64_t now_ms);
/* To be called at the deadline. Before it, nothing happens: TFTP_IGNORED. */
enum tftp_verdict tftp_transfer_expire(struct tftp_transfer *transfer, uint64_t now_ms);
/* Appends the next packet. False: nothing to send now; `out` is as it was. */
bool tftp_transfer_next_packet(struct tftp_transfer *transfer, struct buffer *out);
/* When tftp_transfer_expire() has something to do. 0 when ended, also by a source that failed while
 * a packet was pulled: expire() then says so. */
uint64_t tftp_transfer_deadline_ms(const struct tftp_transfer *transfer);
/* Whether the client has acknowledged anything: until then its address may be a lie. */
bool tftp_transfer_is_heard(const struct tftp_transfer *transfer);
const struct tftp_report *tftp_transfer_report(const struct tftp_transfer *transfer);
void tftp_transfer_free(struct tftp_transfer *transfer);

/* "completed", "timed-out" …: one word, for logs. */
const char *tftp_end_name(enum tftp_end end);
