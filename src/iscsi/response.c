/* response.c - ready PDUs that wait to be pulled. */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "connection.h"

void response_stamp(struct iscsi_connection *connection, uint8_t *bhs, bool advances_stat_sn)
{
    store_be32(bhs + BHS_STAT_SN, connection->stat_sn);
    if (advances_stat_sn)
        connection->stat_sn++;
    struct iscsi_session *session = connection->session;
    if (!session || bhs_opcode(bhs) == OP_LOGIN_RESPONSE)
        return; /* login answers carry what their builder put there */
    sequence_update_window(session);
    store_be32(bhs + BHS_EXP_CMD_SN, session->exp_cmd_sn);
    store_be32(bhs + BHS_MAX_CMD_SN, session->max_cmd_sn);
}

static enum emit_verdict emit_response(struct iscsi_connection *connection,
                                       struct iscsi_answer *answer, struct iscsi_output *output)
{
    struct iscsi_response *response = container_of(answer, struct iscsi_response, answer);
    uint8_t *bhs = output_reserve_pdu(connection, output, response->data_bytes);
    if (!bhs)
        return EMIT_FULL;
    memcpy(bhs, response->bhs, BHS_BYTES);
    store_be24(bhs + BHS_DATA_LENGTH, response->data_bytes);
    response_stamp(connection, bhs, response->advances_stat_sn);
    uint8_t *data = bhs + BHS_BYTES + (connection->header_digest ? DIGEST_BYTES : 0);
    memcpy(data, response->data, response->data_bytes);
    output_commit_pdu(connection, output, bhs, response->data_bytes);
    if (response->ends_login) { /* RFC 7143 §6.3.3: digests from the next PDU on */
        connection->header_digest = connection->session->login.parameters.header_digest;
        connection->data_digest = connection->session->login.parameters.data_digest;
    }
    connection_unqueue(connection, answer);
    connection->responses_bytes -= sizeof *response + response->data_bytes;
    free(response);
    return EMIT_DONE;
}

static void drop_response(struct iscsi_answer *answer)
{
    free(container_of(answer, struct iscsi_response, answer));
}

struct iscsi_response *response_new(uint8_t opcode, uint32_t itt, const void *data,
                                    uint32_t data_bytes)
{
    struct iscsi_response *response = calloc(1, sizeof *response + data_bytes);
    if (!response)
        return NULL;
    response->answer.emit = emit_response;
    response->answer.drop = drop_response;
    response->bhs[0] = opcode;
    response->bhs[1] = BHS_FINAL;
    store_be32(response->bhs + BHS_ITT, itt);
    response->advances_stat_sn = true;
    response->data_bytes = data_bytes;
    if (data_bytes)
        memcpy(response->data, data, data_bytes);
    return response;
}

void response_send(struct iscsi_connection *connection, struct iscsi_response *response)
{
    connection->responses_bytes += sizeof *response + response->data_bytes;
    connection_queue(connection, &response->answer);
}

int response_reject(struct iscsi_connection *connection, uint8_t reason)
{
    struct iscsi_response *reject =
        response_new(OP_REJECT, RESERVED_TAG, connection->in.header, BHS_BYTES);
    if (!reject)
        return connection_fail(connection, "out of memory");
    reject->bhs[2] = reason;
    response_send(connection, reject);
    return 0;
}
