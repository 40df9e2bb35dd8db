/* sequence.c - command numbering and the command window, RFC 7143 §4.2.2.1. */
#include <netboot-target/util/array.h>

#include "connection.h"

/* Serial number arithmetic, RFC 1982. */
static bool sn_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* The window shrinks with what is outstanding, but a number once promised is never taken back:
 * initiators ignore a smaller MaxCmdSN. */
void sequence_update_window(struct iscsi_session *session)
{
    unsigned window = session->connection->node->limits.command_window;
    unsigned free = window - min_of(window, session->outstanding);
    uint32_t max = session->exp_cmd_sn + free - 1;
    if (sn_after(max, session->max_cmd_sn))
        session->max_cmd_sn = max;
}

/* One TCP connection delivers in order, so the only number to expect is the next one. It is taken
 * even past MaxCmdSN, which isboot ignores; whatever else is outside is silently ignored. */
enum sequence_verdict sequence_check(struct iscsi_session *session, const uint8_t *bhs)
{
    if (bhs[0] & BHS_IMMEDIATE)
        return SEQUENCE_TAKE;
    if (load_be32(bhs + BHS_CMD_SN) != session->exp_cmd_sn)
        return SEQUENCE_IGNORE;
    session->exp_cmd_sn++;
    return SEQUENCE_TAKE;
}
