/*
 * floor_target - the floor of a comparison: the least that a target in user space can do for warm
 * READ (16) and WRITE (16), spoken well enough for iscsi_load. It checks nothing, queues nothing
 * and blocks on the disk, so that nothing real can be cheaper with the same system calls. usage:
 * floor_target PORT DEVICE CONNECTIONS It accepts CONNECTIONS connections, serves them until the
 * first one ends, and begins again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "netboot-target/util/array.h"
#include "netboot-target/util/bytes.h"
#include "wire.h"

#define BLOCK_BYTES      512u
#define SENDFILE_BYTES   32768u /* below: copied, all answers of one receive in one writev */
#define INPUT_BYTES      (4u << 20)
#define OUTPUT_BYTES     (4u << 20)
#define OUTPUT_PIECES    1000
#define WINDOW           512
#define MOST_CONNECTIONS 64

struct connection {
    int socket;
    uint32_t status_sn;
    bool header_digest;
    bool data_digest;
    size_t input_length;
    uint8_t *input;
};

static int device;
static uint64_t device_blocks;

/* The answers of one receive, sent by one writev. */
static uint8_t output[OUTPUT_BYTES];
static size_t output_length;
static struct iovec pieces[OUTPUT_PIECES];
static int piece_count;

static void die(const char *what)
{
    fprintf(stderr, "floor_target: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_pieces(int socket, int flags)
{
    struct iovec *piece = pieces;
    while (piece_count) {
        struct msghdr message = {.msg_iov = piece, .msg_iovlen = (size_t)piece_count};
        ssize_t sent = sendmsg(socket, &message, flags);
        if (sent <= 0)
            die("send");
        for (; piece_count && (size_t)sent >= piece->iov_len; piece++, piece_count--)
            sent -= (ssize_t)piece->iov_len;
        if (piece_count) {
            piece->iov_base = (uint8_t *)piece->iov_base + sent;
            piece->iov_len -= (size_t)sent;
        }
    }
    output_length = 0;
}

/* Room in the output, sent together with what stands before it. */
static uint8_t *put(size_t length)
{
    uint8_t *place = output + output_length;
    struct iovec *last = piece_count ? &pieces[piece_count - 1] : NULL;
    if (last && (uint8_t *)last->iov_base + last->iov_len == place)
        last->iov_len += length;
    else
        pieces[piece_count++] = (struct iovec){place, length};
    output_length += length;
    return place;
}

static void put_data_digest(const struct connection *connection, const uint8_t *data, size_t length)
{
    if (connection->data_digest)
        store_le32(put(DIGEST_BYTES), crc_end(crc_add(crc_begin(), data, length)));
}

static void make_room(const struct connection *connection, size_t length)
{
    if (output_length + length + 2 * BHS_BYTES > OUTPUT_BYTES || piece_count >= OUTPUT_PIECES - 4)
        send_pieces(connection->socket, 0);
}

/* Header of an answer to `request`; end_header() must follow when it is complete. */
static uint8_t *begin_header(struct connection *connection, enum opcode opcode, uint8_t flags,
                             const uint8_t *request, size_t length)
{
    make_room(connection, length);
    uint8_t *header = put(BHS_BYTES);
    memset(header, 0, BHS_BYTES);
    header[0] = (uint8_t)opcode;
    header[1] = flags;
    store_be24(header + 5, (uint32_t)length);
    memcpy(header + 16, request + 16, 4);
    store_be32(header + 20, NO_TAG);
    store_be32(header + 24, connection->status_sn++);
    store_be32(header + 28, load_be32(request + 24) + 1);
    store_be32(header + 32, load_be32(request + 24) + WINDOW);
    return header;
}

static void end_header(const struct connection *connection, const uint8_t *header)
{
    if (connection->header_digest)
        store_le32(put(DIGEST_BYTES), crc_end(crc_add(crc_begin(), header, BHS_BYTES)));
}

static void put_text(const char *key, const char *value, size_t *length)
{
    size_t bytes = strlen(key) + strlen(value) + 2;
    snprintf((char *)output + output_length, bytes, "%s=%s", key, value);
    put(bytes);
    *length += bytes;
}

static const char *agree(const char *text, size_t length, const char *key, bool *ret_chosen)
{
    const char *value = text_value(text, length, key);
    *ret_chosen = value && !strcmp(value, "CRC32C");
    return *ret_chosen ? "CRC32C" : "None";
}

/* Agrees to everything. */
static void answer_login(struct connection *connection, const uint8_t *request, size_t data_bytes)
{
    const char *text = (const char *)request + BHS_BYTES;
    bool operational = (request[1] >> 2 & 3) == STAGE_OPERATIONAL;
    bool header_digest = false, data_digest = false;
    size_t length = 0;
    uint8_t *header = begin_header(connection, OP_LOGIN_RESPONSE, request[1], request, 0);
    memcpy(header + 8, request + 8, 6);
    store_be16(header + 14, 1);
    store_be32(header + 20, 0);
    if (operational) {
        put_text("HeaderDigest", agree(text, data_bytes, "HeaderDigest", &header_digest), &length);
        put_text("DataDigest", agree(text, data_bytes, "DataDigest", &data_digest), &length);
        put_text("InitialR2T", "No", &length);
        put_text("ImmediateData", "Yes", &length);
        put_text("MaxRecvDataSegmentLength", "262144", &length);
        put_text("MaxBurstLength", "1048576", &length);
        put_text("FirstBurstLength", "262144", &length);
    } else {
        put_text("AuthMethod", "None", &length);
        put_text("TargetPortalGroupTag", "1", &length);
    }
    store_be24(header + 5, (uint32_t)length);
    memset(put(-length & 3), 0, -length & 3);
    send_pieces(connection->socket, 0);
    connection->header_digest = header_digest;
    connection->data_digest = data_digest;
}

static void answer_capacity(struct connection *connection, const uint8_t *request)
{
    const uint8_t flags = FLAG_FINAL | FLAG_STATUS;
    end_header(connection, begin_header(connection, OP_DATA_IN, flags, request, 32));
    uint8_t *data = put(32);
    memset(data, 0, 32);
    store_be64(data, device_blocks - 1);
    store_be32(data + 8, BLOCK_BYTES);
    put_data_digest(connection, data, 32);
}

static void answer_read(struct connection *connection, const uint8_t *request)
{
    off_t offset = (off_t)(load_be64(request + 34) * BLOCK_BYTES);
    size_t length = load_be32(request + 42) * (size_t)BLOCK_BYTES;
    const uint8_t flags = FLAG_FINAL | FLAG_STATUS;
    end_header(connection, begin_header(connection, OP_DATA_IN, flags, request, length));
    if (length < SENDFILE_BYTES || connection->data_digest) {
        uint8_t *data = put(length);
        if (pread(device, data, length, offset) != (ssize_t)length)
            die("read");
        put_data_digest(connection, data, length);
        return;
    }
    send_pieces(connection->socket, MSG_MORE);
    while (length) {
        ssize_t sent = sendfile(connection->socket, device, &offset, length);
        if (sent <= 0)
            die("sendfile");
        length -= (size_t)sent;
    }
}

/* All data is immediate: the first burst is large enough for every job. */
static void answer_write(struct connection *connection, const uint8_t *request, size_t data_bytes)
{
    off_t offset = (off_t)(load_be64(request + 34) * BLOCK_BYTES);
    const uint8_t *data = request + BHS_BYTES + (connection->header_digest ? DIGEST_BYTES : 0);
    if (connection->data_digest &&
        crc_end(crc_add(crc_begin(), data, data_bytes)) != load_le32(data + data_bytes))
        die("wrong data digest");
    if (pwrite(device, data, data_bytes, offset) != (ssize_t)data_bytes)
        die("write");
    end_header(connection, begin_header(connection, OP_SCSI_RESPONSE, FLAG_FINAL, request, 0));
}

static void answer(struct connection *connection, const uint8_t *request, size_t data_bytes)
{
    uint8_t opcode = request[0] & 0x3f;
    if (connection->header_digest &&
        crc_end(crc_add(crc_begin(), request, BHS_BYTES)) != load_le32(request + BHS_BYTES))
        die("wrong header digest");
    if (opcode == OP_LOGIN)
        answer_login(connection, request, data_bytes);
    else if (opcode == OP_SCSI_COMMAND && request[32] == READ_16)
        answer_read(connection, request);
    else if (opcode == OP_SCSI_COMMAND && request[32] == WRITE_16)
        answer_write(connection, request, data_bytes);
    else if (opcode == OP_SCSI_COMMAND && request[32] == SERVICE_ACTION_IN_16)
        answer_capacity(connection, request);
    else
        fprintf(stderr, "floor_target: opcode %02x is not spoken here\n", opcode);
}

/* One receive; false when the connection ended. */
static bool serve(struct connection *connection)
{
    ssize_t received = recv(connection->socket, connection->input + connection->input_length,
                            INPUT_BYTES - connection->input_length, 0);
    if (received <= 0)
        return false;
    connection->input_length += (size_t)received;
    size_t at = 0;
    while (connection->input_length - at >= BHS_BYTES) {
        const uint8_t *request = connection->input + at;
        size_t data_bytes = load_be24(request + 5);
        size_t total = BHS_BYTES + (connection->header_digest ? DIGEST_BYTES : 0) +
                       round_up(data_bytes, 4u) +
                       (data_bytes && connection->data_digest ? DIGEST_BYTES : 0);
        if (connection->input_length - at < total)
            break;
        answer(connection, request, data_bytes);
        at += total;
    }
    send_pieces(connection->socket, 0);
    connection->input_length -= at;
    memmove(connection->input, connection->input + at, connection->input_length);
    return true;
}

static int listen_on(uint16_t port)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64))
        die("listen");
    return listener;
}

static void accept_one(int listener, int epoll, struct connection *connection)
{
    int one = 1;
    connection->socket = accept(listener, NULL, NULL);
    if (connection->socket < 0)
        die("accept");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->status_sn = 1;
    connection->input_length = 0;
    connection->header_digest = connection->data_digest = false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->socket, &event))
        die("epoll");
}

/* The client logs in one session after the other, so they are served while they come. */
static void serve_round(int listener, struct connection *connections, unsigned count)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    unsigned accepted = 0;
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        die("epoll");
    for (bool running = true; running;) {
        struct epoll_event ready[MOST_CONNECTIONS];
        if (count == 1 && accepted == 1) { /* a single connection needs no epoll */
            running = serve(connections);
            continue;
        }
        int events = epoll_wait(epoll, ready, ARRAY_SIZE(ready), -1);
        for (int i = 0; i < events && running; i++) {
            if (ready[i].data.ptr)
                running = serve(ready[i].data.ptr);
            else if (accepted < count)
                accept_one(listener, epoll, &connections[accepted++]);
        }
    }
    while (accepted)
        close(connections[--accepted].socket);
    close(epoll);
}

int main(int argument_count, char **arguments)
{
    static struct connection connections[MOST_CONNECTIONS];
    unsigned count = argument_count == 4 ? (unsigned)strtoul(arguments[3], NULL, 10) : 0;
    if (count < 1 || count > MOST_CONNECTIONS) {
        fprintf(stderr, "usage: floor_target PORT DEVICE CONNECTIONS (1 to %d)\n",
                MOST_CONNECTIONS);
        return 2;
    }
    device = open(arguments[2], O_RDWR | O_CLOEXEC);
    off_t size = device < 0 ? -1 : lseek(device, 0, SEEK_END);
    if (size <= 0)
        die(arguments[2]);
    device_blocks = (uint64_t)size / BLOCK_BYTES;
    for (unsigned i = 0; i < count; i++) {
        connections[i].input = malloc(INPUT_BYTES);
        if (!connections[i].input)
            die("memory");
    }
    int listener = listen_on((uint16_t)strtoul(arguments[1], NULL, 10));
    for (;;)
        serve_round(listener, connections, count);
}
