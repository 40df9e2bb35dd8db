/*
 * transfer.c - one read transfer (RFC 1350, 2347-2349, 7440).
 *
 * Blocks are counted in 64 bits and cut to 16 on the wire, where the number after 65535 is 0.
 * A duplicate acknowledgement never makes us send (RFC 1123 §4.2.3.1, the sorcerer's apprentice);
 * only a new one and the clock do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/tftp.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "codec.h"

#define BLKSIZE_CAP_DEFAULT 1468u /* 1500 - 20 (IP) - 8 (UDP) - 4 (TFTP) */
#define WINDOW_CAP_DEFAULT  16u

#define FIRST_TIMEOUT_MS   1000u
#define MINIMUM_TIMEOUT_MS 250u
#define MAXIMUM_TIMEOUT_MS 8000u
#define GO_BACK_MS         10u
#define TRIES              6u
/* Until the client has answered once, its address may be forged: what we send twice to a victim is
 * all an attacker gets for a request. */
#define TRIES_UNHEARD 1u

struct tftp_transfer {
    const struct byte_source *source;
    struct tftp_request granted; /* the options as acknowledged; 0 and false: left out */
    uint32_t blksize_bytes;
    uint32_t window_blocks;
    uint64_t last_block; /* the short one that ends the file, perhaps empty */

    bool offering;         /* an OACK is out, or waits to be pulled, and ACK 0 has not come */
    bool oack_is_due;      /* waits to be pulled */
    uint64_t acked_block;  /* this and all before it have arrived */
    uint64_t next_block;   /* to be sent next, if not beyond the window */
    uint64_t window_end;   /* last block that may be sent now */
    uint64_t highest_sent; /* an acknowledgement beyond it is nonsense */
    uint64_t recovery_end; /* what was sent up to here is being sent again */
    uint64_t went_back_ms;

    bool heard; /* the client has acknowledged something: its address is real */
    unsigned tries;
    uint32_t timeout_ms;
    uint32_t round_trip_ms; /* smoothed; 0: not measured */
    uint64_t started_ms;
    uint64_t sent_ms; /* when what is unacknowledged was sent first */
    uint64_t deadline_ms;
    struct tftp_report report;
};

const char *tftp_end_name(enum tftp_end end)
{
    static const char *const names[] = {
        [TFTP_END_NONE] = "running",          [TFTP_END_COMPLETED] = "completed",
        [TFTP_END_SIZE_PROBE] = "size-probe", [TFTP_END_ABORTED] = "aborted-by-client",
        [TFTP_END_TIMED_OUT] = "timed-out",   [TFTP_END_SOURCE_FAILED] = "source-failed",
    };
    return names[end];
}

/* ── what is granted ─────────────────────────────────────────────────────────────────────────── */

/* RFC 2348 and 7440 let the server lower a value, never raise it. */
static uint32_t lowered(uint32_t asked, uint32_t cap, uint32_t limit)
{
    uint32_t highest = min_of(cap, limit);
    return min_of(asked, highest);
}

static void grant_options(struct tftp_transfer *transfer, const struct tftp_request *request,
                          const struct tftp_limits *limits)
{
    uint32_t blksize_cap = limits->blksize_bytes ? limits->blksize_bytes : BLKSIZE_CAP_DEFAULT;
    uint32_t window_cap =
        limits->windowsize_blocks ? limits->windowsize_blocks : WINDOW_CAP_DEFAULT;
    struct tftp_request *granted = &transfer->granted;
    granted->blksize_bytes = lowered(request->blksize_bytes, blksize_cap, TFTP_BLKSIZE_LIMIT);
    granted->windowsize_blocks =
        lowered(request->windowsize_blocks, window_cap, TFTP_WINDOWSIZE_LIMIT);
    granted->timeout_s = request->timeout_s;
    granted->wants_tsize = request->wants_tsize;

    transfer->blksize_bytes =
        granted->blksize_bytes ? granted->blksize_bytes : TFTP_BLKSIZE_DEFAULT;
    transfer->window_blocks = granted->windowsize_blocks ? granted->windowsize_blocks : 1;
    transfer->timeout_ms = granted->timeout_s ? granted->timeout_s * 1000 : FIRST_TIMEOUT_MS;
    transfer->offering = granted->blksize_bytes || granted->windowsize_blocks ||
                         granted->timeout_s || granted->wants_tsize;
}

static void put_option(struct buffer *out, const char *name, uint64_t value)
{
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)value);
    buffer_append(out, name, strlen(name) + 1);
    buffer_append(out, number, strlen(number) + 1);
}

/* Only what was asked for (RFC 2347): firmware takes anything else for an error. */
static void write_oack(const struct tftp_transfer *transfer, struct buffer *out)
{
    const struct tftp_request *granted = &transfer->granted;
    buffer_put_be16(out, TFTP_OACK);
    if (granted->wants_tsize)
        put_option(out, "tsize", transfer->source->size);
    if (granted->blksize_bytes)
        put_option(out, "blksize", granted->blksize_bytes);
    if (granted->timeout_s)
        put_option(out, "timeout", granted->timeout_s);
    if (granted->windowsize_blocks)
        put_option(out, "windowsize", granted->windowsize_blocks);
}

/* ── the course of a transfer ────────────────────────────────────────────────────────────────── */

/* Waits for an acknowledgement of what is sent from now on. */
static void arm(struct tftp_transfer *transfer, uint64_t now_ms)
{
    uint64_t wait = (uint64_t)transfer->timeout_ms << transfer->tries;
    uint64_t longest = max_of(MAXIMUM_TIMEOUT_MS, transfer->timeout_ms);
    transfer->deadline_ms = now_ms + min_of(wait, longest);
}

/* Sends again what follows the last acknowledged block. */
static void go_back(struct tftp_transfer *transfer, uint64_t now_ms)
{
    transfer->next_block = transfer->acked_block + 1;
    transfer->recovery_end = transfer->highest_sent;
    transfer->went_back_ms = now_ms;
}

/*
 * A client that acknowledges less than was sent has lost something, and what follows goes out again
 * (RFC 7440 §4). But only when the last such round is through, or has had its time: where packets
 * overtake each other every one can bring such an acknowledgement, and each would cost a window.
 */
static uint64_t may_go_back_ms(const struct tftp_transfer *transfer)
{
    if (transfer->acked_block >= transfer->recovery_end)
        return 0;
    return transfer->went_back_ms + GO_BACK_MS + 2 * transfer->round_trip_ms;
}

static void open_window(struct tftp_transfer *transfer, uint64_t now_ms)
{
    bool lost = transfer->acked_block < transfer->highest_sent;
    transfer->tries = 0;
    transfer->sent_ms = now_ms;
    arm(transfer, now_ms);
    if (lost && now_ms >= may_go_back_ms(transfer))
        go_back(transfer, now_ms);
    else if (lost)
        transfer->deadline_ms = min_of(transfer->deadline_ms, may_go_back_ms(transfer));
    transfer->next_block = max_of(transfer->next_block, transfer->acked_block + 1);
    transfer->window_end =
        min_of(transfer->acked_block + transfer->window_blocks, transfer->last_block);
}

struct tftp_transfer *tftp_transfer_new(const struct tftp_request *request,
                                        const struct byte_source *source,
                                        const struct tftp_limits *limits, uint64_t now_ms)
{
    struct tftp_transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return NULL;
    transfer->source = source;
    transfer->started_ms = now_ms;
    grant_options(transfer, request, limits);
    transfer->last_block = source->size / transfer->blksize_bytes + 1;
    if (transfer->offering) {
        transfer->oack_is_due = true;
        transfer->next_block = 1; /* behind window_end, which is 0: nothing until ACK 0 */
        transfer->sent_ms = now_ms;
        arm(transfer, now_ms);
    } else {
        open_window(transfer, now_ms);
    }
    return transfer;
}

void tftp_transfer_free(struct tftp_transfer *transfer)
{
    free(transfer);
}

static enum tftp_verdict end_transfer(struct tftp_transfer *transfer, enum tftp_end end,
                                      uint64_t now_ms)
{
    transfer->report.end = end;
    transfer->report.duration_ms = now_ms - transfer->started_ms;
    transfer->report.bytes =
        min_of(transfer->acked_block * transfer->blksize_bytes, transfer->source->size);
    transfer->deadline_ms = 0;
    transfer->oack_is_due = false;
    transfer->window_end = 0;
    return TFTP_ENDED;
}

/* RFC 6298's idea in whole milliseconds. A round trip that saw a retransmission says nothing. */
static void measure_round_trip(struct tftp_transfer *transfer, uint64_t now_ms)
{
    if (transfer->tries || transfer->granted.timeout_s)
        return;
    uint32_t sample = (uint32_t)min_of(now_ms - transfer->sent_ms, MAXIMUM_TIMEOUT_MS);
    transfer->round_trip_ms =
        transfer->round_trip_ms ? (7 * transfer->round_trip_ms + sample) / 8 : sample;
    uint32_t wait = 4 * transfer->round_trip_ms;
    transfer->timeout_ms = max_of(MINIMUM_TIMEOUT_MS, min_of(wait, FIRST_TIMEOUT_MS));
}

static enum tftp_verdict receive_ack(struct tftp_transfer *transfer, uint16_t number,
                                     uint64_t now_ms)
{
    if (transfer->offering) {
        if (number != 0)
            return TFTP_IGNORED;
        transfer->offering = false;
    } else {
        /* How far in front of the last one, modulo 2^16: 0 is a duplicate. */
        uint16_t ahead = (uint16_t)(number - (uint16_t)transfer->acked_block);
        if (!ahead || ahead > transfer->highest_sent - transfer->acked_block)
            return TFTP_IGNORED;
        transfer->acked_block += ahead;
    }
    transfer->heard = true;
    measure_round_trip(transfer, now_ms);
    if (transfer->acked_block == transfer->last_block)
        return end_transfer(transfer, TFTP_END_COMPLETED, now_ms);
    open_window(transfer, now_ms);
    return TFTP_CONTINUE;
}

/* Firmware asks for the size first and stops with error 8 (edk2) or 0 (older ROMs). */
static bool is_size_probe(const struct tftp_transfer *transfer, uint16_t code)
{
    return transfer->offering && transfer->granted.wants_tsize &&
           (code == TFTP_ERROR_OPTION || code == TFTP_ERROR_UNDEFINED);
}

static enum tftp_verdict receive_error(struct tftp_transfer *transfer, const uint8_t *packet,
                                       size_t length, uint64_t now_ms)
{
    struct tftp_report *report = &transfer->report;
    report->error_code = load_be16(packet + 2);
    size_t text_length = min_of(length - 4, sizeof report->error_text - 1);
    memcpy(report->error_text, packet + 4, strnlen((const char *)packet + 4, text_length));
    enum tftp_end end =
        is_size_probe(transfer, report->error_code) ? TFTP_END_SIZE_PROBE : TFTP_END_ABORTED;
    return end_transfer(transfer, end, now_ms);
}

enum tftp_verdict tftp_transfer_receive(struct tftp_transfer *transfer, const uint8_t *packet,
                                        size_t length, uint64_t now_ms)
{
    if (transfer->report.end != TFTP_END_NONE)
        return TFTP_ENDED;
    if (length < 4)
        return TFTP_IGNORED;
    switch (load_be16(packet)) {
    case TFTP_ACK:
        return receive_ack(transfer, load_be16(packet + 2), now_ms);
    case TFTP_ERROR:
        return receive_error(transfer, packet, length, now_ms);
    default:
        return TFTP_IGNORED; /* not worth ending a transfer that may be sound */
    }
}

/* Some clients never acknowledge the last block; without it, nothing was lost. */
static enum tftp_end end_of_silence(const struct tftp_transfer *transfer)
{
    bool only_the_last = transfer->heard && transfer->highest_sent == transfer->last_block &&
                         transfer->acked_block + 1 == transfer->last_block && !transfer->offering &&
                         transfer->acked_block > 0;
    return only_the_last ? TFTP_END_COMPLETED : TFTP_END_TIMED_OUT;
}

enum tftp_verdict tftp_transfer_expire(struct tftp_transfer *transfer, uint64_t now_ms)
{
    if (transfer->report.end != TFTP_END_NONE)
        return TFTP_ENDED;
    if (now_ms < transfer->deadline_ms)
        return TFTP_IGNORED;
    if (transfer->tries == (transfer->heard ? TRIES : TRIES_UNHEARD)) {
        enum tftp_end end = end_of_silence(transfer);
        if (end == TFTP_END_COMPLETED)
            transfer->acked_block = transfer->last_block;
        return end_transfer(transfer, end, now_ms);
    }
    transfer->tries++;
    transfer->oack_is_due = transfer->offering;
    go_back(transfer, now_ms);
    transfer->report.retransmissions += transfer->offering;
    arm(transfer, now_ms);
    return TFTP_CONTINUE;
}

bool tftp_transfer_is_heard(const struct tftp_transfer *transfer)
{
    return transfer->heard;
}

uint64_t tftp_transfer_deadline_ms(const struct tftp_transfer *transfer)
{
    return transfer->deadline_ms;
}

const struct tftp_report *tftp_transfer_report(const struct tftp_transfer *transfer)
{
    return &transfer->report;
}

/* ── output ──────────────────────────────────────────────────────────────────────────────────── */

static bool write_data(struct tftp_transfer *transfer, struct buffer *out)
{
    uint64_t block = transfer->next_block;
    uint64_t offset = (block - 1) * transfer->blksize_bytes;
    uint64_t left = transfer->source->size - offset;
    size_t length = (size_t)min_of(left, (uint64_t)transfer->blksize_bytes);
    size_t start = out->length;
    uint8_t *packet = buffer_reserve(out, 4 + length);
    if (!packet)
        return false;
    store_be16(packet, TFTP_DATA);
    store_be16(packet + 2, (uint16_t)block);
    if (length && transfer->source->read(transfer->source, offset, packet + 4, length) < 0) {
        out->length = start;
        tftp_error_write(out, TFTP_ERROR_UNDEFINED, "The file cannot be read");
        end_transfer(transfer, TFTP_END_SOURCE_FAILED, transfer->sent_ms);
        return !out->failed;
    }
    transfer->report.retransmissions += block <= transfer->highest_sent;
    transfer->highest_sent = max_of(transfer->highest_sent, block);
    transfer->next_block = block + 1;
    return true;
}

bool tftp_transfer_next_packet(struct tftp_transfer *transfer, struct buffer *out)
{
    if (transfer->oack_is_due) {
        transfer->oack_is_due = false;
        write_oack(transfer, out);
        return !out->failed;
    }
    return transfer->next_block <= transfer->window_end && write_data(transfer, out);
}
