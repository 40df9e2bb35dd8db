#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "netboot-target/util/array.h"
#include "netboot-target/util/bytes.h"

static uint8_t input[1 << 20]; /* one thread: all sessions receive into it */

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("iscsi_load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint8_t *client_begin(struct client *client, enum opcode opcode)
{
    if (client->out_pdus == CLIENT_BATCH)
        client_flush(client);
    uint8_t *header = client->out_headers[client->out_pdus++];
    memset(header, 0, BHS_BYTES);
    header[0] = (uint8_t)opcode;
    store_be16(header + 8, client->lun); /* below 256: peripheral device addressing */
    return header;
}

static void add_piece(struct client *client, const void *data, size_t length)
{
    client->out[client->out_pieces++] = (struct iovec){(void *)(uintptr_t)data, length};
}

void client_end(struct client *client, uint8_t *header, const uint8_t *data, size_t length)
{
    store_be24(header + 5, (uint32_t)length);
    store_be32(header + 28, client->expected_status_sn);
    if (client->header_digest)
        store_le32(header + BHS_BYTES, crc_end(crc_add(crc_begin(), header, BHS_BYTES)));
    add_piece(client, header, BHS_BYTES + (client->header_digest ? DIGEST_BYTES : 0));
    if (length == 0)
        return;
    add_piece(client, data, length);
    if (client->data_digest) {
        uint8_t *digest = client->out_digests[client->out_pdus - 1];
        store_le32(digest, crc_end(crc_add(crc_begin(), data, length)));
        add_piece(client, digest, DIGEST_BYTES);
    }
}

void client_flush(struct client *client)
{
    struct iovec *piece = client->out;
    while (client->out_pieces) {
        ssize_t sent = writev(client->socket, piece, client->out_pieces);
        if (sent <= 0)
            fail("send: %s", strerror(errno));
        while (client->out_pieces && (size_t)sent >= piece->iov_len) {
            sent -= (ssize_t)piece->iov_len;
            piece++;
            client->out_pieces--;
        }
        if (client->out_pieces) {
            piece->iov_base = (uint8_t *)piece->iov_base + sent;
            piece->iov_len -= (size_t)sent;
        }
    }
    client->out_pdus = 0;
}

void client_send_data(struct client *client, uint32_t task_tag, uint32_t transfer_tag,
                      const uint8_t *data, size_t offset, size_t length)
{
    for (uint32_t data_sn = 0; length; data_sn++) {
        size_t bytes = min_of(length, client->segment_bytes);
        uint8_t *header = client_begin(client, OP_DATA_OUT);
        header[1] = bytes == length ? FLAG_FINAL : 0;
        store_be32(header + 16, task_tag);
        store_be32(header + 20, transfer_tag);
        store_be32(header + 36, data_sn);
        store_be32(header + 40, (uint32_t)offset);
        client_end(client, header, data + offset, bytes);
        offset += bytes;
        length -= bytes;
    }
}

static size_t take_part(uint8_t *to, size_t to_bytes, size_t *have, const uint8_t *from,
                        size_t bytes)
{
    size_t part = min_of(bytes, to_bytes - *have);
    memcpy(to + *have, from, part);
    *have += part;
    return part;
}

static void enter(struct client *client, int phase)
{
    client->phase = phase;
    client->phase_bytes = 0;
}

static size_t at_header(struct client *client, const uint8_t *from, size_t bytes)
{
    size_t want = BHS_BYTES + (client->header_digest ? DIGEST_BYTES : 0);
    size_t part = take_part(client->header, want, &client->phase_bytes, from, bytes);
    if (client->phase_bytes < want)
        return part;
    if (client->header_digest && crc_end(crc_add(crc_begin(), client->header, BHS_BYTES)) !=
                                     load_le32(client->header + BHS_BYTES))
        fail("wrong header digest");
    client->data_bytes = round_up((size_t)load_be24(client->header + 5), 4u);
    client->crc = crc_begin();
    enter(client, AT_DATA);
    return part;
}

static size_t at_data(struct client *client, const uint8_t *from, size_t bytes)
{
    size_t part = min_of(bytes, client->data_bytes - client->phase_bytes);
    if (client->phase_bytes < sizeof client->start) {
        size_t have = client->phase_bytes;
        take_part(client->start, sizeof client->start, &have, from, part);
    }
    if (client->data_digest)
        client->crc = crc_add(client->crc, from, part);
    client->phase_bytes += part;
    if (client->phase_bytes == client->data_bytes)
        enter(client, AT_DIGEST);
    return part;
}

static size_t at_digest(struct client *client, const uint8_t *from, size_t bytes, bool *ret_whole)
{
    size_t want = client->data_digest && client->data_bytes ? DIGEST_BYTES : 0;
    size_t part = take_part(client->digest, want, &client->phase_bytes, from, bytes);
    if (client->phase_bytes < want)
        return part;
    if (want && crc_end(client->crc) != load_le32(client->digest))
        fail("wrong data digest");
    enter(client, AT_HEADER);
    *ret_whole = true;
    return part;
}

/* One step into the arriving PDU; says how many bytes it took. */
static size_t step(struct client *client, const uint8_t *from, size_t bytes, bool *ret_whole)
{
    switch (client->phase) {
    case AT_HEADER:
        return at_header(client, from, bytes);
    case AT_DATA:
        return at_data(client, from, bytes);
    case AT_DIGEST:
        break;
    }
    return at_digest(client, from, bytes, ret_whole);
}

void client_receive(struct client *client, client_handler *handler, void *context)
{
    ssize_t received = recv(client->socket, input, sizeof input, 0);
    if (received <= 0)
        fail("the target closed the connection: %s", received ? strerror(errno) : "end of stream");
    const uint8_t *from = input, *end = input + received;
    /* An empty phase takes no bytes, so it is also stepped through when none are left. */
    while (from < end || client->phase != AT_HEADER) {
        bool whole = false;
        int phase = client->phase;
        size_t taken = step(client, from, (size_t)(end - from), &whole);
        from += taken;
        if (whole)
            handler(client, client->header, context);
        else if (!taken && phase == (int)client->phase)
            break;
    }
}

static void answer_nop(struct client *client, const uint8_t *header)
{
    if (load_be32(header + 20) == NO_TAG)
        return;
    uint8_t *answer = client_begin(client, OP_NOP_OUT);
    answer[0] |= FLAG_IMMEDIATE;
    answer[1] = FLAG_FINAL;
    memcpy(answer + 8, header + 8, 8);
    store_be32(answer + 16, NO_TAG);
    memcpy(answer + 20, header + 20, 4);
    store_be32(answer + 24, client->command_sn);
    client_end(client, answer, NULL, 0);
    client_flush(client);
}

void client_note(struct client *client, const uint8_t *header)
{
    uint8_t opcode = header[0] & 0x3f;
    client->max_command_sn = load_be32(header + 32);
    if (opcode == OP_SCSI_RESPONSE || opcode == OP_LOGIN_RESPONSE ||
        (opcode == OP_DATA_IN && header[1] & FLAG_STATUS))
        client->expected_status_sn = load_be32(header + 24) + 1;
    else if (opcode == OP_NOP_IN)
        answer_nop(client, header);
    else if (opcode != OP_DATA_IN && opcode != OP_R2T)
        fail("unexpected opcode %02x", opcode);
}

static int open_connection(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *address;
    int error = getaddrinfo(host, port, &hints, &address);
    if (error)
        fail("%s: %s", host, gai_strerror(error));
    int one = 1, descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || connect(descriptor, address->ai_addr, address->ai_addrlen))
        fail("connect to %s port %s: %s", host, port, strerror(errno));
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    freeaddrinfo(address);
    return descriptor;
}

static void receive_exactly(int descriptor, void *to, size_t length)
{
    if (length && recv(descriptor, to, length, MSG_WAITALL) != (ssize_t)length)
        fail("the target closed the connection during login");
}

static size_t login_text(char *text, size_t size, const struct client_options *options, int stage)
{
    int length =
        stage == STAGE_SECURITY
            ? snprintf(text, size,
                       "InitiatorName=%s%cTargetName=%s%cSessionType=Normal%cAuthMethod=None%c",
                       options->initiator, 0, options->target, 0, 0, 0)
            : snprintf(text, size,
                       "HeaderDigest=%s%cDataDigest=%s%cInitialR2T=No%cImmediateData=Yes%c"
                       "MaxRecvDataSegmentLength=262144%cMaxBurstLength=1048576%c"
                       "FirstBurstLength=262144%cDefaultTime2Wait=2%cDefaultTime2Retain=0%c"
                       "MaxOutstandingR2T=1%cErrorRecoveryLevel=0%cMaxConnections=1%c"
                       "DataPDUInOrder=Yes%cDataSequenceInOrder=Yes%c",
                       options->header_digest ? "CRC32C" : "None", 0,
                       options->data_digest ? "CRC32C" : "None", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                       0);
    if (length < 0 || (size_t)length >= size)
        fail("the names are too long");
    return (size_t)length;
}

static void note_number(const char *text, size_t length, const char *key, size_t *value)
{
    const char *found = text_value(text, length, key);
    if (found)
        *value = strtoul(found, NULL, 0);
}

static void note_yes(const char *text, size_t length, const char *key, bool *value)
{
    const char *found = text_value(text, length, key);
    if (found)
        *value = found[0] == 'Y';
}

static void note_keys(struct client *client, const struct client_options *options, const char *text,
                      size_t length)
{
    const char *header_digest = text_value(text, length, "HeaderDigest");
    const char *data_digest = text_value(text, length, "DataDigest");
    if (options->header_digest && header_digest && strcmp(header_digest, "CRC32C"))
        fail("the target refused the header digest");
    if (options->data_digest && data_digest && strcmp(data_digest, "CRC32C"))
        fail("the target refused the data digest");
    note_number(text, length, "MaxRecvDataSegmentLength", &client->segment_bytes);
    note_number(text, length, "FirstBurstLength", &client->first_burst_bytes);
    note_yes(text, length, "InitialR2T", &client->initial_r2t);
    note_yes(text, length, "ImmediateData", &client->immediate_data);
}

static void send_login(struct client *client, const struct client_options *options, int stage,
                       uint32_t number)
{
    static const int next[] = {
        [STAGE_SECURITY] = STAGE_OPERATIONAL, [STAGE_OPERATIONAL] = STAGE_FULL_FEATURE};
    char text[2048] = {0};
    size_t length = login_text(text, sizeof text, options, stage);
    uint8_t *header = client_begin(client, OP_LOGIN);
    header[0] |= FLAG_IMMEDIATE;
    header[1] = (uint8_t)(FLAG_FINAL | stage << 2 | next[stage]);
    store_be64(header + 8, 0);
    /* ISID of the random kind, RFC 7143 §11.12.5: a second generator must not take over our
     * sessions. TSIH 0: a new session. */
    header[8] = 0x80;
    store_be24(header + 9, (uint32_t)getpid());
    store_be16(header + 12, (uint16_t)number);
    store_be32(header + 24, client->command_sn);
    client_end(client, header, (uint8_t *)text, round_up(length, 4u));
    store_be24(header + 5, (uint32_t)length); /* the padding does not count */
    client_flush(client);
}

void client_login(struct client *client, const struct client_options *options, uint32_t number)
{
    *client = (struct client){.lun = options->lun,
                              .command_sn = 1,
                              .segment_bytes = 8192,
                              .first_burst_bytes = 65536,
                              .initial_r2t = true,
                              .immediate_data = true};
    client->socket = open_connection(options->host, options->port);
    for (int round = 0, stage = STAGE_SECURITY; round < 6; round++) {
        uint8_t header[BHS_BYTES];
        char text[8192];
        send_login(client, options, stage, number);
        receive_exactly(client->socket, header, sizeof header);
        size_t length = load_be24(header + 5);
        if ((header[0] & 0x3f) != OP_LOGIN_RESPONSE || length >= sizeof text - 4)
            fail("not a login response");
        receive_exactly(client->socket, text, round_up(length, 4u));
        text[length] = 0;
        if (header[36])
            fail("login refused with status %02x%02x", header[36], header[37]);
        client_note(client, header);
        note_keys(client, options, text, length);
        if (header[1] & FLAG_FINAL)
            stage = header[1] & 3;
        if (stage == STAGE_FULL_FEATURE) {
            client->header_digest = options->header_digest;
            client->data_digest = options->data_digest;
            return;
        }
    }
    fail("the login did not end");
}

struct capacity_answer {
    bool done;
    bool good;
};

static void on_capacity(struct client *client, const uint8_t *header, void *context)
{
    struct capacity_answer *answer = context;
    bool data_in = (header[0] & 0x3f) == OP_DATA_IN;
    client_note(client, header);
    if (data_in) {
        client->blocks = load_be64(client->start) + 1;
        client->block_bytes = load_be32(client->start + 8);
    }
    if (data_in ? header[1] & FLAG_STATUS : (header[0] & 0x3f) == OP_SCSI_RESPONSE)
        *answer = (struct capacity_answer){.done = true, .good = header[3] == 0};
}

/* The first answers may be unit attentions. */
void client_read_capacity(struct client *client)
{
    for (int tries = 0; tries < 6; tries++) {
        struct capacity_answer answer = {0};
        uint8_t *header = client_begin(client, OP_SCSI_COMMAND);
        header[1] = FLAG_FINAL | FLAG_READ | TASK_SIMPLE;
        store_be32(header + 20, sizeof client->start);
        store_be32(header + 24, client->command_sn++);
        header[32] = SERVICE_ACTION_IN_16;
        header[33] = READ_CAPACITY_16;
        store_be32(header + 42, sizeof client->start);
        client_end(client, header, NULL, 0);
        client_flush(client);
        while (!answer.done)
            client_receive(client, on_capacity, &answer);
        if (answer.good && client->blocks && client->block_bytes)
            return;
    }
    fail("LUN %u tells no capacity", client->lun);
}
