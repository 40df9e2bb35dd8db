/*
 * output.c - pulling: PDUs are built only when the socket can take them, so that numbers are fresh
 * and memory is bounded by one slab for the whole loop.
 */
#include <string.h>

#include <netboot-target/util/array.h>

#include "connection.h"

/* Header and digest, padding and digest. */
#define PDU_OVERHEAD (BHS_BYTES + DIGEST_BYTES + 3 + DIGEST_BYTES)

bool output_has_room(const struct iscsi_output *output, uint32_t data_bytes)
{
    if (output->segment_count + 3 > ISCSI_OUTPUT_SEGMENTS)
        return false;
    if (output->bytes && output->bytes + data_bytes > ISCSI_OUTPUT_BYTES)
        return false;
    return output->slab_used + PDU_OVERHEAD <= ISCSI_SLAB_BYTES;
}

uint8_t *output_reserve_pdu(struct iscsi_connection *connection, struct iscsi_output *output,
                            uint32_t data_bytes)
{
    (void)connection;
    if (!output_has_room(output, data_bytes) ||
        output->slab_used + PDU_OVERHEAD + data_bytes > ISCSI_SLAB_BYTES)
        return NULL;
    return output->slab + output->slab_used;
}

/* What stands behind one another in the slab leaves as one segment. */
static void add_slab(struct iscsi_output *output, size_t length)
{
    const uint8_t *base = output->slab + output->slab_used;
    output->slab_used += length;
    output->bytes += length;
    struct iscsi_segment *last =
        output->segment_count ? &output->segments[output->segment_count - 1] : NULL;
    if (last && last->kind == ISCSI_SEGMENT_MEMORY && last->base + last->length == base) {
        last->length += length;
        return;
    }
    output->segments[output->segment_count++] =
        (struct iscsi_segment){.kind = ISCSI_SEGMENT_MEMORY, .base = base, .length = length};
}

static size_t add_header_digest(const struct iscsi_connection *connection, uint8_t *bhs)
{
    if (!connection->header_digest)
        return BHS_BYTES;
    crc32c_store(crc32c_add(crc32c_begin(), bhs, BHS_BYTES), bhs + BHS_BYTES);
    return BHS_BYTES + DIGEST_BYTES;
}

/* Writes padding and digest at `to`, which is where the data ends; returns their length. */
static size_t add_trailer(const struct iscsi_connection *connection, uint8_t *to, uint32_t crc,
                          uint32_t data_bytes)
{
    size_t padding = (4 - data_bytes % 4) % 4;
    memset(to, 0, padding);
    if (!connection->data_digest || !data_bytes)
        return padding;
    crc32c_store(crc32c_add(crc, to, padding), to + padding);
    return padding + DIGEST_BYTES;
}

void output_commit_pdu(struct iscsi_connection *connection, struct iscsi_output *output,
                       uint8_t *bhs, uint32_t data_bytes)
{
    size_t length = add_header_digest(connection, bhs);
    uint8_t *data = bhs + length;
    uint32_t crc = crc32c_begin();
    if (connection->data_digest)
        crc = crc32c_add(crc, data, data_bytes);
    length += data_bytes;
    length += add_trailer(connection, data + data_bytes, crc, data_bytes);
    add_slab(output, length);
}

void output_commit_header(struct iscsi_connection *connection, struct iscsi_output *output,
                          uint8_t *bhs, const struct iscsi_segment *payload)
{
    add_slab(output, add_header_digest(connection, bhs));
    output->segments[output->segment_count++] = *payload;
    output->bytes += payload->length;
    uint32_t crc = crc32c_begin();
    if (connection->data_digest) /* only buffers: device ranges are copied when digests are on */
        crc = crc32c_add(crc, payload->base, payload->length);
    size_t trailer =
        add_trailer(connection, output->slab + output->slab_used, crc, (uint32_t)payload->length);
    if (trailer)
        add_slab(output, trailer);
}

/* False: there is no room for all. */
static bool emit_answers(struct iscsi_connection *connection, struct iscsi_output *output)
{
    while (connection->answers) {
        struct iscsi_answer *answer = connection->answers;
        if (answer->emit(connection, answer, output) == EMIT_FULL)
            return false;
    }
    return true;
}

/* A command waits for credit, and none is out that could come back. */
static bool nobody_will_wake(const struct iscsi_connection *connection)
{
    return connection->waiting && !connection->credit_used;
}

/* Nothing is acknowledged to an owner that a restart would not know. */
static bool waits_for_record(const struct iscsi_connection *connection)
{
    const struct iscsi_session *session = connection->session;
    return session && session->login.target && session->login.target->keeping;
}

bool iscsi_connection_next_output(struct iscsi_connection *connection, struct iscsi_output *output,
                                  uint64_t now_us)
{
    connection->now_us = now_us;
    output->slab_used = 0;
    output->segment_count = 0;
    output->bytes = 0;
    if (waits_for_record(connection))
        return false;
    connection->in_call = true;
    do
        command_serve_waiting(connection);
    while (emit_answers(connection, output) && nobody_will_wake(connection));
    connection->in_call = false;
    return output->bytes > 0;
}

void iscsi_segment_release(struct iscsi_connection *connection, const struct iscsi_segment *segment)
{
    if (segment->kind == ISCSI_SEGMENT_BUFFER)
        fetch_buffer_unref(connection, segment->release);
}
