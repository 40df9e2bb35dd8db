/* test_transfer.c - transfers step by step, and whole ones over a bad network */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/tftp.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

/* ── a source whose every byte tells where it belongs ────────────────────────────────────────── */

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761u >> 13 ^ offset);
}

static int read_pattern(const struct byte_source *source, uint64_t offset, void *to, size_t length)
{
    uint8_t *bytes = to;
    assert_true(offset <= source->size && length <= source->size - offset);
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(offset + i);
    return 0;
}

static int read_failing(const struct byte_source *source, uint64_t offset, void *to, size_t length)
{
    (void)source, (void)to;
    if (offset + length > 1024)
        return -EIO;
    memset(to, 'x', length);
    return 0;
}

static const struct tftp_limits no_limits = {0};

/* ── step by step ────────────────────────────────────────────────────────────────────────────── */

struct fixture {
    struct byte_source source;
    struct tftp_transfer *transfer;
    struct buffer out;
    uint64_t now_ms;
};

static void begin(struct fixture *fixture, uint64_t size, const struct tftp_request *request,
                  const struct tftp_limits *limits)
{
    fixture->source = (struct byte_source){size, read_pattern};
    fixture->now_ms = 1000000;
    buffer_init(&fixture->out, TFTP_PACKET_BYTES_LIMIT);
    fixture->transfer = tftp_transfer_new(request, &fixture->source, limits, fixture->now_ms);
    assert_non_null(fixture->transfer);
}

static void finish(struct fixture *fixture)
{
    tftp_transfer_free(fixture->transfer);
    buffer_done(&fixture->out);
}

static bool pull(struct fixture *fixture)
{
    buffer_clear(&fixture->out);
    return tftp_transfer_next_packet(fixture->transfer, &fixture->out);
}

static void expect_data(struct fixture *fixture, uint16_t block, size_t length)
{
    assert_true(pull(fixture));
    assert_int_equal(fixture->out.length, 4 + length);
    assert_int_equal(load_be16(fixture->out.data), 3);
    assert_int_equal(load_be16(fixture->out.data + 2), block);
}

static void expect_nothing(struct fixture *fixture)
{
    assert_false(pull(fixture));
    assert_int_equal(fixture->out.length, 0);
}

/* `text` with a bar for each NUL. */
static void expect_oack(struct fixture *fixture, const char *text)
{
    assert_true(pull(fixture));
    size_t length = strlen(text);
    assert_int_equal(fixture->out.length, 2 + length);
    assert_memory_equal(fixture->out.data, "\0\6", 2);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(fixture->out.data[2 + i], text[i] == '|' ? 0 : text[i]);
}

static enum tftp_verdict ack(struct fixture *fixture, uint16_t block)
{
    uint8_t packet[4] = {0, 4};
    store_be16(packet + 2, block);
    return tftp_transfer_receive(fixture->transfer, packet, sizeof packet, fixture->now_ms);
}

static enum tftp_verdict expire(struct fixture *fixture)
{
    fixture->now_ms = tftp_transfer_deadline_ms(fixture->transfer);
    return tftp_transfer_expire(fixture->transfer, fixture->now_ms);
}

static void test_no_options(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1024, &(struct tftp_request){.name = "f"}, &no_limits);
    expect_data(&f, 1, 512);
    expect_nothing(&f);
    assert_int_equal(ack(&f, 1), TFTP_CONTINUE);
    expect_data(&f, 2, 512);
    assert_int_equal(ack(&f, 2), TFTP_CONTINUE);
    expect_data(&f, 3, 0); /* a multiple of the block size ends with an empty block */
    f.now_ms += 42;
    assert_int_equal(ack(&f, 3), TFTP_ENDED);
    expect_nothing(&f);
    const struct tftp_report *report = tftp_transfer_report(f.transfer);
    assert_int_equal(report->end, TFTP_END_COMPLETED);
    assert_int_equal(report->bytes, 1024);
    assert_int_equal(report->duration_ms, 42);
    assert_int_equal(report->retransmissions, 0);
    finish(&f);
}

static void test_empty_file(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0, &(struct tftp_request){.name = "f"}, &no_limits);
    expect_data(&f, 1, 0);
    assert_int_equal(ack(&f, 1), TFTP_ENDED);
    assert_int_equal(tftp_transfer_report(f.transfer)->end, TFTP_END_COMPLETED);
    finish(&f);
}

static void test_oack_holds_what_was_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 70000, &(struct tftp_request){.wants_tsize = true}, &no_limits);
    expect_oack(&f, "tsize|70000|");
    finish(&f);
    begin(&f, 70000, &(struct tftp_request){.blksize_bytes = 1024}, &no_limits);
    expect_oack(&f, "blksize|1024|");
    finish(&f);
    begin(&f, 5, &(struct tftp_request){.timeout_s = 3, .windowsize_blocks = 2}, &no_limits);
    expect_oack(&f, "timeout|3|windowsize|2|");
    finish(&f);
    begin(&f, (1ull << 40) + 1, &(struct tftp_request){.wants_tsize = true}, &no_limits);
    expect_oack(&f, "tsize|1099511627777|");
    finish(&f);
}

static void test_caps_lower_and_never_raise(void **state)
{
    (void)state;
    struct fixture f;
    const struct tftp_request large = {.blksize_bytes = 65464, .windowsize_blocks = 65535};
    begin(&f, 70000, &large, &no_limits);
    expect_oack(&f, "blksize|1468|windowsize|16|");
    finish(&f);
    begin(&f, 70000, &large, &(struct tftp_limits){1024, 1000});
    expect_oack(&f, "blksize|1024|windowsize|64|");
    assert_int_equal(ack(&f, 0), TFTP_CONTINUE);
    expect_data(&f, 1, 1024);
    finish(&f);
    begin(&f, 70000, &(struct tftp_request){.blksize_bytes = 8, .windowsize_blocks = 1},
          &(struct tftp_limits){1024, 16});
    expect_oack(&f, "blksize|8|windowsize|1|");
    finish(&f);
}

/* What edk2 does first: tsize, then error 8. */
static void test_size_probe(void **state)
{
    (void)state;
    static const char abort_edk2[] = "\0\5\0\10User aborted the transfer";
    static const char abort_rom[] = "\0\5\0\0TFTP Aborted";
    const struct tftp_request request = {
        .blksize_bytes = 1468, .windowsize_blocks = 4, .wants_tsize = true};
    struct fixture f;
    begin(&f, 173792, &request, &no_limits);
    expect_oack(&f, "tsize|173792|blksize|1468|windowsize|4|");
    assert_int_equal(
        tftp_transfer_receive(f.transfer, (const uint8_t *)abort_edk2, sizeof abort_edk2, f.now_ms),
        TFTP_ENDED);
    const struct tftp_report *report = tftp_transfer_report(f.transfer);
    assert_int_equal(report->end, TFTP_END_SIZE_PROBE);
    assert_int_equal(report->error_code, 8);
    assert_int_equal(report->bytes, 0);
    assert_string_equal(report->error_text, "User aborted the transfer");
    expect_nothing(&f);
    finish(&f);

    begin(&f, 100, &(struct tftp_request){.wants_tsize = true}, &no_limits);
    assert_true(pull(&f));
    tftp_transfer_receive(f.transfer, (const uint8_t *)abort_rom, sizeof abort_rom, f.now_ms);
    assert_int_equal(tftp_transfer_report(f.transfer)->end, TFTP_END_SIZE_PROBE);
    finish(&f);
}

static void test_abort_in_the_middle(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 5000, &(struct tftp_request){.wants_tsize = true}, &no_limits);
    assert_true(pull(&f));
    assert_int_equal(ack(&f, 0), TFTP_CONTINUE);
    expect_data(&f, 1, 512);
    assert_int_equal(ack(&f, 1), TFTP_CONTINUE);
    uint8_t packet[200] = {0, 5, 0, 3};
    memset(packet + 4, 'e', sizeof packet - 4); /* a text without an end */
    assert_int_equal(tftp_transfer_receive(f.transfer, packet, sizeof packet, f.now_ms),
                     TFTP_ENDED);
    const struct tftp_report *report = tftp_transfer_report(f.transfer);
    assert_int_equal(report->end, TFTP_END_ABORTED);
    assert_int_equal(report->error_code, 3);
    assert_int_equal(strlen(report->error_text), TFTP_TEXT_BYTES_LIMIT);
    assert_int_equal(report->bytes, 512);
    assert_int_equal(ack(&f, 2), TFTP_ENDED);
    expect_nothing(&f);
    finish(&f);
}

static void test_duplicate_ack_sends_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 5000, &(struct tftp_request){.blksize_bytes = 512}, &no_limits);
    assert_true(pull(&f));
    assert_int_equal(ack(&f, 0), TFTP_CONTINUE);
    expect_data(&f, 1, 512);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ack(&f, 0), TFTP_IGNORED);
    expect_nothing(&f);
    assert_int_equal(ack(&f, 1), TFTP_CONTINUE);
    expect_data(&f, 2, 512);
    assert_int_equal(ack(&f, 1), TFTP_IGNORED);
    assert_int_equal(ack(&f, 0), TFTP_IGNORED);
    expect_nothing(&f);
    finish(&f);
}

static void test_nonsense_is_ignored(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 5000, &(struct tftp_request){.blksize_bytes = 512, .windowsize_blocks = 4},
          &no_limits);
    assert_true(pull(&f));
    assert_int_equal(ack(&f, 1), TFTP_IGNORED); /* the OACK is answered by ACK 0 alone */
    assert_int_equal(ack(&f, 0), TFTP_CONTINUE);
    expect_data(&f, 1, 512);
    expect_data(&f, 2, 512);
    assert_int_equal(ack(&f, 3), TFTP_IGNORED); /* in the window, but not yet sent */
    assert_int_equal(ack(&f, 65535), TFTP_IGNORED);
    static const uint8_t data[] = {0, 3, 0, 1, 'x'}, short_packet[] = {0, 4, 0};
    assert_int_equal(tftp_transfer_receive(f.transfer, data, sizeof data, f.now_ms), TFTP_IGNORED);
    assert_int_equal(tftp_transfer_receive(f.transfer, short_packet, sizeof short_packet, f.now_ms),
                     TFTP_IGNORED);
    assert_int_equal(tftp_transfer_receive(f.transfer, data, 0, f.now_ms), TFTP_IGNORED);
    assert_int_equal(tftp_transfer_report(f.transfer)->end, TFTP_END_NONE);
    finish(&f);
}

/* RFC 7440 §4: what follows the acknowledged block goes out again, as a whole window. */
static void test_window(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 5000, &(struct tftp_request){.windowsize_blocks = 4}, &no_limits);
    assert_true(pull(&f));
    expect_nothing(&f); /* no burst before the client has answered */
    assert_int_equal(ack(&f, 0), TFTP_CONTINUE);
    for (uint16_t block = 1; block <= 4; block++)
        expect_data(&f, block, 512);
    expect_nothing(&f);
    assert_int_equal(ack(&f, 2), TFTP_CONTINUE); /* 3 was lost */
    for (uint16_t block = 3; block <= 6; block++)
        expect_data(&f, block, 512);
    expect_nothing(&f);
    assert_int_equal(ack(&f, 6), TFTP_CONTINUE);
    for (uint16_t block = 7; block <= 9; block++)
        expect_data(&f, block, 512);
    expect_data(&f, 10, 5000 - 9 * 512);
    expect_nothing(&f);
    assert_int_equal(ack(&f, 10), TFTP_ENDED);
    assert_int_equal(tftp_transfer_report(f.transfer)->bytes, 5000);
    assert_int_equal(tftp_transfer_report(f.transfer)->retransmissions, 2);
    finish(&f);
}

/* Where packets overtake each other, each can bring an acknowledgement of too little. */
static void test_goes_back_once_at_a_time(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 50000, &(struct tftp_request){.windowsize_blocks = 8}, &no_limits);
    assert_true(pull(&f));
    ack(&f, 0);
    for (uint16_t block = 1; block <= 8; block++)
        expect_data(&f, block, 512);
    assert_int_equal(ack(&f, 2), TFTP_CONTINUE);
    for (uint16_t block = 3; block <= 10; block++)
        expect_data(&f, block, 512);
    assert_int_equal(ack(&f, 3), TFTP_CONTINUE); /* the window moves, nothing is sent again */
    expect_data(&f, 11, 512);
    expect_nothing(&f);
    assert_int_equal(tftp_transfer_deadline_ms(f.transfer) - f.now_ms, 10);
    assert_int_equal(expire(&f), TFTP_CONTINUE); /* but soon, if nothing else comes */
    expect_data(&f, 4, 512);
    finish(&f);
}

/* Until the client has answered, a forged request costs its victim two packets, not more. */
static void test_unheard_client_gets_two_packets(void **state)
{
    (void)state;
    static const struct tftp_request requests[] = {
        {.name = "f"    },
        { .blksize_bytes = 1400, .windowsize_blocks = 64, .timeout_s = 1}
    };
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        struct fixture f;
        begin(&f, 100000, &requests[i], &no_limits);
        unsigned packets = 0;
        while (pull(&f))
            packets++;
        while (expire(&f) != TFTP_ENDED) {
            while (pull(&f))
                packets++;
        }
        assert_int_equal(packets, 2);
        assert_int_equal(tftp_transfer_report(f.transfer)->end, TFTP_END_TIMED_OUT);
        assert_int_equal(tftp_transfer_report(f.transfer)->bytes, 0);
        finish(&f);
    }
}

static void test_back_off(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 100000, &(struct tftp_request){.name = "f"}, &no_limits);
    expect_data(&f, 1, 512);
    f.now_ms += 100;
    assert_int_equal(ack(&f, 1), TFTP_CONTINUE); /* 100 ms there and back */
    expect_data(&f, 2, 512);
    static const uint64_t waits[] = {400, 800, 1600, 3200, 6400, 8000};
    for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
        assert_int_equal(tftp_transfer_deadline_ms(f.transfer) - f.now_ms, waits[i]);
        assert_int_equal(tftp_transfer_expire(f.transfer, f.now_ms + waits[i] - 1), TFTP_IGNORED);
        expect_nothing(&f);
        assert_int_equal(expire(&f), TFTP_CONTINUE);
        expect_data(&f, 2, 512);
        expect_nothing(&f);
    }
    assert_int_equal(expire(&f), TFTP_ENDED);
    expect_nothing(&f);
    const struct tftp_report *report = tftp_transfer_report(f.transfer);
    assert_int_equal(report->end, TFTP_END_TIMED_OUT);
    assert_int_equal(report->bytes, 512);
    assert_int_equal(report->retransmissions, 6);
    finish(&f);
}

static void test_agreed_timeout_is_kept(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 100000, &(struct tftp_request){.timeout_s = 5}, &no_limits);
    assert_true(pull(&f));
    assert_int_equal(tftp_transfer_deadline_ms(f.transfer) - f.now_ms, 5000);
    assert_int_equal(ack(&f, 0), TFTP_CONTINUE);
    assert_int_equal(tftp_transfer_deadline_ms(f.transfer) - f.now_ms, 5000);
    finish(&f);
}

/* Old ROMs leave after the last block without a word. */
static void test_missing_last_ack_is_no_failure(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 600, &(struct tftp_request){.name = "f"}, &no_limits);
    expect_data(&f, 1, 512);
    assert_int_equal(ack(&f, 1), TFTP_CONTINUE);
    expect_data(&f, 2, 88);
    while (expire(&f) != TFTP_ENDED)
        expect_data(&f, 2, 88);
    assert_int_equal(tftp_transfer_report(f.transfer)->end, TFTP_END_COMPLETED);
    assert_int_equal(tftp_transfer_report(f.transfer)->bytes, 600);
    finish(&f);
}

static void test_source_that_fails(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 5000, &(struct tftp_request){.name = "f"}, &no_limits);
    f.source.read = read_failing;
    expect_data(&f, 1, 512);
    ack(&f, 1);
    expect_data(&f, 2, 512);
    ack(&f, 2);
    assert_true(pull(&f));
    assert_memory_equal(f.out.data, "\0\5\0\0", 4); /* an error in place of the data */
    assert_int_equal(f.out.data[f.out.length - 1], 0);
    expect_nothing(&f);
    assert_int_equal(tftp_transfer_deadline_ms(f.transfer), 0);
    assert_int_equal(tftp_transfer_expire(f.transfer, f.now_ms), TFTP_ENDED);
    assert_int_equal(tftp_transfer_report(f.transfer)->end, TFTP_END_SOURCE_FAILED);
    assert_int_equal(tftp_transfer_report(f.transfer)->bytes, 1024);
    finish(&f);
}

/* ── a client at the other end of a bad network ──────────────────────────────────────────────── */

struct packet {
    uint64_t arrives_ms;
    uint64_t order;
    size_t length;
    uint8_t data[1500];
};

struct network {
    uint32_t random;
    unsigned loss_percent;
    unsigned duplicate_percent;
    unsigned jitter_ms; /* more than the spacing of packets: they overtake each other */
    uint64_t sent;
    struct packet *queue[2]; /* to the client, to the server */
    size_t queued[2];
};

enum direction { TO_CLIENT, TO_SERVER };

#define QUEUE_PACKETS 512

static uint32_t roll(struct network *network, uint32_t sides)
{
    network->random = network->random * 1664525u + 1013904223u;
    return (network->random >> 8) % sides;
}

static void network_send(struct network *network, enum direction direction, const void *data,
                         size_t length, uint64_t now_ms)
{
    unsigned copies = roll(network, 100) < network->duplicate_percent ? 2 : 1;
    if (roll(network, 100) < network->loss_percent)
        return;
    while (copies--) {
        assert_true(network->queued[direction] < QUEUE_PACKETS && length <= 1500);
        struct packet *packet = &network->queue[direction][network->queued[direction]++];
        packet->arrives_ms = now_ms + 1 + roll(network, network->jitter_ms + 1);
        packet->order = network->sent++;
        packet->length = length;
        memcpy(packet->data, data, length);
    }
}

static struct packet *network_first(struct network *network, enum direction direction)
{
    struct packet *first = NULL;
    for (size_t i = 0; i < network->queued[direction]; i++) {
        struct packet *packet = &network->queue[direction][i];
        if (!first || packet->arrives_ms < first->arrives_ms ||
            (packet->arrives_ms == first->arrives_ms && packet->order < first->order))
            first = packet;
    }
    return first;
}

static bool network_receive(struct network *network, enum direction direction, uint64_t now_ms,
                            struct packet *ret_packet)
{
    struct packet *first = network_first(network, direction);
    if (!first || first->arrives_ms > now_ms)
        return false;
    *ret_packet = *first;
    *first = network->queue[direction][--network->queued[direction]];
    return true;
}

/* A client as RFC 1350 and 7440 describe it. */
struct client {
    uint64_t expected; /* the next block */
    uint64_t received_bytes;
    uint32_t blksize;
    uint32_t window;
    uint32_t in_window;
    uint64_t gap_reported; /* a gap is told once per block */
    uint64_t silent_since_ms;
    bool started;
    bool finished;
    bool damaged;
};

static void client_ack(struct client *client, struct network *network, uint64_t now_ms)
{
    uint8_t packet[4] = {0, 4};
    store_be16(packet + 2, (uint16_t)(client->expected - 1));
    client->in_window = 0;
    client->silent_since_ms = now_ms;
    network_send(network, TO_SERVER, packet, sizeof packet, now_ms);
}

static void client_take(struct client *client, const struct packet *packet)
{
    uint32_t length = (uint32_t)packet->length - 4;
    for (uint32_t i = 0; i < length; i++)
        client->damaged |= packet->data[4 + i] != pattern(client->received_bytes + i);
    client->received_bytes += length;
    client->expected++;
    client->in_window++;
    client->finished = length < client->blksize;
}

static void client_receive(struct client *client, const struct packet *packet,
                           struct network *network, uint64_t now_ms)
{
    uint16_t opcode = load_be16(packet->data);
    client->damaged |= opcode != 3 && opcode != 6;
    if (opcode == 6) {
        if (client->expected == 1)
            client_ack(client, network, now_ms);
        return;
    }
    int16_t ahead = (int16_t)(load_be16(packet->data + 2) - (uint16_t)client->expected);
    if (client->finished || ahead < 0) {
        client_ack(client, network, now_ms); /* its acknowledgement may have been lost */
    } else if (ahead > 0) {
        if (client->gap_reported != client->expected)
            client_ack(client, network, now_ms);
        client->gap_reported = client->expected;
    } else {
        client_take(client, packet);
        if (client->finished || client->in_window == client->window)
            client_ack(client, network, now_ms);
    }
}

/* Runs until the server's transfer ends; returns its report. */
static struct tftp_report run(struct network *network, struct client *client,
                              const struct tftp_request *request, uint64_t size)
{
    struct byte_source source = {size, read_pattern};
    uint64_t now_ms = 5000;
    struct tftp_transfer *transfer =
        tftp_transfer_new(request, &source, &(struct tftp_limits){1468, 64}, now_ms);
    struct buffer out;
    buffer_init(&out, 1500);
    enum tftp_verdict verdict = TFTP_CONTINUE;
    uint64_t end_ms = now_ms + 3600000;
    while (verdict != TFTP_ENDED && now_ms < end_ms) {
        struct packet packet;
        for (; tftp_transfer_next_packet(transfer, &out); buffer_clear(&out))
            network_send(network, TO_CLIENT, out.data, out.length, now_ms);
        while (network_receive(network, TO_CLIENT, now_ms, &packet))
            client_receive(client, &packet, network, now_ms);
        if (now_ms - client->silent_since_ms >= 3000)
            client_ack(client, network, now_ms);
        while (verdict != TFTP_ENDED && network_receive(network, TO_SERVER, now_ms, &packet))
            verdict = tftp_transfer_receive(transfer, packet.data, packet.length, now_ms);
        if (verdict != TFTP_ENDED && now_ms >= tftp_transfer_deadline_ms(transfer))
            verdict = tftp_transfer_expire(transfer, now_ms);
        now_ms++;
    }
    buffer_done(&out);
    struct tftp_report report = *tftp_transfer_report(transfer);
    tftp_transfer_free(transfer);
    return report;
}

static void run_and_compare(struct network network, const struct tftp_request *request,
                            uint64_t size)
{
    for (int d = 0; d < 2; d++)
        network.queue[d] = calloc(QUEUE_PACKETS, sizeof *network.queue[d]);
    struct client client = {.expected = 1,
                            .blksize = request->blksize_bytes ? request->blksize_bytes : 512,
                            .window = request->windowsize_blocks ? request->windowsize_blocks : 1,
                            .silent_since_ms = 5000};
    struct tftp_report report = run(&network, &client, request, size);
    for (int d = 0; d < 2; d++)
        free(network.queue[d]);
    assert_int_equal(report.end, TFTP_END_COMPLETED);
    assert_int_equal(report.bytes, size);
    assert_true(client.finished);
    assert_false(client.damaged);
    assert_int_equal(client.received_bytes, size);
    if (client.window == 1 && !network.loss_percent && !network.jitter_ms)
        assert_int_equal(report.retransmissions, 0); /* duplicates alone double nothing */
    uint64_t blocks = size / client.blksize + 1;
    if (client.window <= 4 || (!network.loss_percent && !network.jitter_ms))
        assert_true(report.retransmissions <= 4 * blocks); /* trouble does not feed itself */
}

// clang-format off
static const struct tftp_request requests[] = {
    {.name = "plain"},
    {.name = "ipxe", .blksize_bytes = 1432, .wants_tsize = true},
    {.name = "edk2", .blksize_bytes = 1468, .windowsize_blocks = 4},
    {.name = "wide", .blksize_bytes = 512, .windowsize_blocks = 64},
};
// clang-format on

static void test_bad_networks(void **state)
{
    (void)state;
    // clang-format off
    static const struct network networks[] = {
        {.random = 1},
        {.random = 2, .loss_percent = 10},
        {.random = 3, .duplicate_percent = 50},
        {.random = 4, .jitter_ms = 5},
        {.random = 5, .loss_percent = 5, .duplicate_percent = 10, .jitter_ms = 20},
    };
    // clang-format on
    static const uint64_t sizes[] = {0, 1, 511, 512, 1468, 173792};
    for (size_t n = 0; n < ARRAY_SIZE(networks); n++) {
        for (size_t r = 0; r < ARRAY_SIZE(requests); r++) {
            for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
                run_and_compare(networks[n], &requests[r], sizes[s]);
        }
    }
}

/* Behind block 65535 comes 0; edk2, iPXE and every other client count on it. */
static void test_roll_over(void **state)
{
    (void)state;
    const struct tftp_request small_blocks = {.blksize_bytes = 8, .windowsize_blocks = 64};
    run_and_compare((struct network){.random = 7}, &small_blocks, 8 * 140000 + 3);
    run_and_compare((struct network){.random = 8, .loss_percent = 1, .jitter_ms = 2}, &small_blocks,
                    8 * 66000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_options),
        cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_oack_holds_what_was_asked_for),
        cmocka_unit_test(test_caps_lower_and_never_raise),
        cmocka_unit_test(test_size_probe),
        cmocka_unit_test(test_abort_in_the_middle),
        cmocka_unit_test(test_duplicate_ack_sends_nothing),
        cmocka_unit_test(test_nonsense_is_ignored),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_goes_back_once_at_a_time),
        cmocka_unit_test(test_unheard_client_gets_two_packets),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_agreed_timeout_is_kept),
        cmocka_unit_test(test_missing_last_ack_is_no_failure),
        cmocka_unit_test(test_source_that_fails),
        cmocka_unit_test(test_bad_networks),
        cmocka_unit_test(test_roll_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
