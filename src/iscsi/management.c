/* management.c - Task Management Function Request and Response, RFC 7143 §11.5 and §11.6. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <netboot-target/util/array.h>

#include "connection.h"

enum { /* §11.6.1 */
       RESPONSE_COMPLETE = 0,
       RESPONSE_NO_TASK = 1,
       RESPONSE_NO_LUN = 2,
       RESPONSE_REASSIGN_UNSUPPORTED = 4,
       RESPONSE_UNSUPPORTED = 5,
       RESPONSE_REJECTED = 255,
};

#define FUNCTION_COLD_RESET    7
#define FUNCTION_TASK_REASSIGN 8

struct iscsi_management {
    struct iscsi_management *prev, *next; /* connection->managements */
    struct scsi_management scsi;
    struct iscsi_connection *connection;
    uint32_t itt;
    uint8_t function;
};

/* Index: Function of §11.5.1. QUERY TASK and its like are protocol level 2 (RFC 7144 §4). */
static const struct {
    bool known;
    enum scsi_management_function function;
} functions[] = {
    [1] = {true, SCSI_ABORT_TASK              },
    [2] = {true, SCSI_ABORT_TASK_SET          },
    [3] = {true, SCSI_CLEAR_ACA               },
    [4] = {true, SCSI_CLEAR_TASK_SET          },
    [5] = {true, SCSI_LOGICAL_UNIT_RESET      },
    [6] = {true, SCSI_TARGET_RESET            },
    [FUNCTION_COLD_RESET] = {true, SCSI_TARGET_RESET            },
    [9] = {true, SCSI_QUERY_TASK              },
    [10] = {true, SCSI_QUERY_TASK_SET          },
    [11] = {true, SCSI_I_T_NEXUS_RESET         },
    [12] = {true, SCSI_QUERY_ASYNCHRONOUS_EVENT},
};

static const uint8_t responses[] = {
    [SCSI_FUNCTION_COMPLETE] = RESPONSE_COMPLETE, [SCSI_FUNCTION_SUCCEEDED] = 7, /* RFC 7144 §5.1 */
    [SCSI_FUNCTION_REJECTED] = RESPONSE_REJECTED, [SCSI_TASK_NOT_FOUND] = RESPONSE_NO_TASK,
    [SCSI_INCORRECT_LUN] = RESPONSE_NO_LUN,
};

static int respond(struct iscsi_connection *connection, uint32_t itt, uint8_t code)
{
    struct iscsi_response *response = response_new(OP_TASK_MANAGEMENT_RESPONSE, itt, NULL, 0);
    if (!response)
        return -ENOMEM;
    response->bhs[2] = code;
    response_send(connection, response);
    return 0;
}

/* TARGET COLD RESET ends every session of the target once its response is on the way. */
static void end_all_sessions(struct iscsi_connection *connection)
{
    struct iscsi_node *node = connection->node;
    const struct iscsi_target *target = connection->session->login.target;
    struct iscsi_session *session;
    struct iscsi_session *next;
    DL_FOREACH_SAFE (node->sessions, session, next) {
        if (session->login.target != target || session->connection->phase == PHASE_CLOSED)
            continue;
        connection_event(session->connection, ISCSI_EVENT_SESSION_ENDED, "target cold reset");
        session->connection->phase = PHASE_ENDING;
        connection_wake(session->connection);
    }
}

static void management_done(struct scsi_management *scsi, enum scsi_management_response response)
{
    struct iscsi_management *management = container_of(scsi, struct iscsi_management, scsi);
    struct iscsi_connection *connection = management->connection;
    uint8_t code = responses[response];
    if (scsi->function == SCSI_CLEAR_ACA && response == SCSI_FUNCTION_REJECTED)
        code = RESPONSE_UNSUPPORTED;
    DL_DELETE(connection->managements, management);
    connection->responses_bytes -= sizeof *management;
    int result = respond(connection, management->itt, code);
    if (management->function == FUNCTION_COLD_RESET && response == SCSI_FUNCTION_COMPLETE)
        end_all_sessions(connection);
    free(management);
    if (result)
        connection_fail(connection, "out of memory");
    else
        connection_wake(connection);
}

void management_drop_all(struct iscsi_connection *connection)
{
    struct iscsi_management *management;
    struct iscsi_management *next;
    DL_FOREACH_SAFE (connection->managements, management, next) {
        scsi_management_cancel(&management->scsi);
        DL_DELETE(connection->managements, management);
        free(management);
    }
}

int management_begin(struct iscsi_connection *connection)
{
    if (sequence_check(connection->session, connection->in.header) == SEQUENCE_IGNORE)
        connection->in.handler = NULL;
    return 0;
}

int management_complete(struct iscsi_connection *connection)
{
    const uint8_t *bhs = connection->in.header;
    uint32_t itt = load_be32(bhs + BHS_ITT);
    uint8_t function = bhs[1] & 0x7f;
    if (function == FUNCTION_TASK_REASSIGN)
        return respond(connection, itt, RESPONSE_REASSIGN_UNSUPPORTED);
    if (function >= ARRAY_SIZE(functions) || !functions[function].known)
        return respond(connection, itt, RESPONSE_UNSUPPORTED);
    struct iscsi_management *management = calloc(1, sizeof *management);
    if (!management)
        return -ENOMEM;
    management->connection = connection;
    management->itt = itt;
    management->function = function;
    management->scsi.nexus = connection->session->nexus;
    management->scsi.function = functions[function].function;
    management->scsi.tag = load_be32(bhs + 20); /* Referenced Task Tag */
    management->scsi.done = management_done;
    memcpy(management->scsi.lun, bhs + BHS_LUN, sizeof management->scsi.lun);
    DL_APPEND(connection->managements, management);
    connection->responses_bytes += sizeof *management; /* on a disk that hangs they would heap up */
    scsi_manage(&management->scsi);
    return 0;
}
