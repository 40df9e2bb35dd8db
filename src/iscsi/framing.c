/*
 * framing.c - bytes to PDUs: header, additional header segments, payload, padding, digests. One
 * place computes a PDU's layout and checks it before any payload byte is taken.
 */
#include <errno.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "connection.h"

static int unexpected(struct iscsi_connection *connection)
{
    return connection_fail(connection, "unexpected PDU with opcode 0x%02x",
                           bhs_opcode(connection->in.header));
}

static const struct iscsi_pdu_handler handlers[] = {
    {OP_NOP_OUT,         "NOP-Out",         false, true,  true,  true,  request_begin,    nop_out_complete },
    {OP_SCSI_COMMAND,    "SCSI Command",    false, true,  false, true,  command_begin,    command_complete },
    {OP_TASK_MANAGEMENT, "Task Management", false, true,  false, false, management_begin,
     management_complete                                                                                   },
    {OP_LOGIN_REQUEST,   "Login",           true,  false, false, true,  request_begin,    login_complete   },
    {OP_TEXT_REQUEST,    "Text",            false, true,  true,  true,  request_begin,    text_complete    },
    {OP_DATA_OUT,        "Data-Out",        false, true,  false, true,  data_out_begin,   data_out_complete},
    {OP_LOGOUT_REQUEST,  "Logout",          false, true,  true,  false, request_begin,    logout_complete  },
};

static const struct iscsi_pdu_handler *find_handler(const struct iscsi_connection *connection)
{
    uint8_t opcode = bhs_opcode(connection->in.header);
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        const struct iscsi_pdu_handler *handler = &handlers[i];
        if (handler->opcode != opcode)
            continue;
        if (connection->phase == PHASE_LOGIN)
            return handler->in_login ? handler : NULL;
        if (connection->session->login.discovery)
            return handler->in_discovery ? handler : NULL;
        return handler->in_full_feature ? handler : NULL;
    }
    return NULL;
}

static void expect_header(struct framing *in)
{
    in->stage = STAGE_HEADER;
    in->header_have = 0;
    in->header_want = BHS_BYTES;
    in->handler = NULL;
    in->destination = NULL;
    in->command = NULL;
}

static uint32_t data_limit(const struct iscsi_connection *connection)
{
    if (connection->phase == PHASE_LOGIN)
        return LOGIN_DATA_LIMIT;
    return connection->session->login.parameters.max_receive_bytes;
}

/* After the basic header: how long is all of it? Nothing but a login may come before login. */
static int lay_out_header(struct iscsi_connection *connection)
{
    struct framing *in = &connection->in;
    uint8_t ahs_words = in->header[BHS_AHS_LENGTH];
    uint32_t data_bytes = bhs_data_length(in->header);
    if (connection->phase == PHASE_LOGIN && bhs_opcode(in->header) != OP_LOGIN_REQUEST)
        return connection_fail(connection, "PDU with opcode 0x%02x before login",
                               bhs_opcode(in->header));
    if (connection->phase == PHASE_LOGIN && ahs_words)
        return connection_fail(connection, "login request with additional header segments");
    if (data_bytes > data_limit(connection))
        return connection_fail(connection, "data segment of %u bytes, %u are allowed", data_bytes,
                               data_limit(connection));
    in->header_want += ahs_words * 4u;
    if (connection->in.header_digest)
        in->header_want += DIGEST_BYTES;
    return 0;
}

static bool header_digest_is_right(const struct iscsi_connection *connection)
{
    const struct framing *in = &connection->in;
    if (!connection->in.header_digest)
        return true;
    size_t covered = in->header_want - DIGEST_BYTES;
    uint8_t digest[DIGEST_BYTES];
    crc32c_store(crc32c_add(crc32c_begin(), in->header, covered), digest);
    return !memcmp(digest, in->header + covered, DIGEST_BYTES);
}

static int finish_pdu(struct iscsi_connection *connection)
{
    struct framing *in = &connection->in;
    int result = in->handler ? in->handler->complete(connection) : 0;
    expect_header(in);
    return result;
}

static int begin_payload(struct iscsi_connection *connection)
{
    struct framing *in = &connection->in;
    uint32_t data_bytes = bhs_data_length(in->header);
    in->payload_left = data_bytes;
    in->payload_crc = crc32c_begin();
    in->trailer_have = 0;
    in->trailer_want = (4 - data_bytes % 4) % 4;
    if (data_bytes && connection->in.data_digest)
        in->trailer_want += DIGEST_BYTES;
    in->stage = STAGE_PAYLOAD;
    return data_bytes ? 0 : finish_pdu(connection);
}

static int finish_header(struct iscsi_connection *connection)
{
    struct framing *in = &connection->in;
    if (!header_digest_is_right(connection))
        return connection_fail(connection, "wrong header digest");
    in->handler = find_handler(connection);
    if (!in->handler)
        return unexpected(connection);
    if (bhs_data_length(in->header) && !in->handler->takes_data)
        return connection_fail(connection, "%s with a data segment", in->handler->name);
    int result = in->handler->begin(connection);
    return result ? result : begin_payload(connection);
}

static int receive_header(struct iscsi_connection *connection, const uint8_t *data, size_t length,
                          size_t *used)
{
    struct framing *in = &connection->in;
    *used = min_of(length, in->header_want - in->header_have);
    memcpy(in->header + in->header_have, data, *used);
    in->header_have += *used;
    if (in->header_have < in->header_want)
        return 0;
    if (in->header_have == BHS_BYTES) {
        int result = lay_out_header(connection);
        if (result || in->header_have < in->header_want)
            return result;
    }
    return finish_header(connection);
}

static int end_of_payload(struct iscsi_connection *connection)
{
    connection->in.stage = STAGE_TRAILER;
    return connection->in.trailer_want ? 0 : finish_pdu(connection);
}

static int take_payload(struct iscsi_connection *connection, const uint8_t *from, size_t length)
{
    struct framing *in = &connection->in;
    if (connection->in.data_digest)
        in->payload_crc = crc32c_add(in->payload_crc, from, length);
    if (in->destination)
        in->destination += length;
    in->payload_left -= (uint32_t)length;
    return in->payload_left ? 0 : end_of_payload(connection);
}

static int receive_payload(struct iscsi_connection *connection, const uint8_t *data, size_t length,
                           size_t *used)
{
    struct framing *in = &connection->in;
    *used = min_of(length, (size_t)in->payload_left);
    if (in->destination)
        memcpy(in->destination, data, *used);
    return take_payload(connection, data, *used);
}

static int receive_trailer(struct iscsi_connection *connection, const uint8_t *data, size_t length,
                           size_t *used)
{
    struct framing *in = &connection->in;
    *used = min_of(length, (size_t)(in->trailer_want - in->trailer_have));
    memcpy(in->trailer + in->trailer_have, data, *used);
    in->trailer_have += (unsigned)*used;
    if (in->trailer_have < in->trailer_want)
        return 0;
    if (connection->in.data_digest) {
        unsigned padding = in->trailer_want - DIGEST_BYTES;
        uint8_t digest[DIGEST_BYTES];
        crc32c_store(crc32c_add(in->payload_crc, in->trailer, padding), digest);
        if (memcmp(digest, in->trailer + padding, DIGEST_BYTES) != 0)
            return connection_fail(connection, "wrong data digest");
    }
    return finish_pdu(connection);
}

int framing_receive(struct iscsi_connection *connection, const uint8_t *data, size_t length)
{
    static int (*const stages[])(struct iscsi_connection *, const uint8_t *, size_t, size_t *) = {
        [STAGE_HEADER] = receive_header,
        [STAGE_PAYLOAD] = receive_payload,
        [STAGE_TRAILER] = receive_trailer,
    };
    struct framing *in = &connection->in;
    if (!in->header_want)
        expect_header(in);
    while (length) {
        if (connection->phase == PHASE_ENDING)
            return 0;
        if (connection->phase == PHASE_REINSTATING)
            return connection_fail(connection, "data before the login was answered");
        size_t used = 0;
        int result = stages[in->stage](connection, data, length, &used);
        if (result)
            return result;
        data += used;
        length -= used;
    }
    return 0;
}

int framing_receive_bulk(struct iscsi_connection *connection, size_t length)
{
    struct framing *in = &connection->in;
    if (in->stage != STAGE_PAYLOAD || length > in->payload_left)
        return -EINVAL;
    return take_payload(connection, in->destination, length);
}

struct iovec iscsi_connection_bulk(struct iscsi_connection *connection)
{
    struct framing *in = &connection->in;
    if (in->stage != STAGE_PAYLOAD || !in->destination ||
        bhs_data_length(in->header) < BULK_MIN_BYTES)
        return (struct iovec){0};
    return (struct iovec){.iov_base = in->destination, .iov_len = in->payload_left};
}

bool iscsi_connection_is_waited_for(const struct iscsi_connection *connection)
{
    bool mid_pdu = connection->in.stage != STAGE_HEADER || connection->in.header_have;
    return mid_pdu || (connection->session && session_is_firmware(connection->session));
}
