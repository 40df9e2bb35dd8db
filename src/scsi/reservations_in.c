/* reservations_in.c - PERSISTENT RESERVE IN, SPC-4 §6.15. */
#include "internal.h"

static void write_keys(const struct scsi_lu *lu, struct buffer *to)
{
    const struct registration *registration;
    DL_FOREACH (lu->reservations.registrations, registration)
        buffer_put_be64(to, registration->key);
}

static void write_reservation(const struct scsi_lu *lu, struct buffer *to)
{
    const struct reservations *reservations = &lu->reservations;
    if (reservations->type == RESERVATION_NONE)
        return;
    buffer_put_be64(to, reservations->holder ? reservations->holder->key : 0);
    buffer_put_zeros(to, 5);
    buffer_put_u8(to, (uint8_t)reservations->type); /* LU_SCOPE is 0 */
    buffer_put_zeros(to, 2);
}

static void write_full_status(const struct scsi_lu *lu, struct buffer *to)
{
    const struct reservations *reservations = &lu->reservations;
    const struct registration *registration;
    DL_FOREACH (reservations->registrations, registration) {
        bool holds = reservations_holds(reservations, registration);
        buffer_put_be64(to, registration->key);
        buffer_put_zeros(to, 4);
        buffer_put_u8(to, holds ? 0x01 : 0); /* R_HOLDER */
        buffer_put_u8(to, holds ? (uint8_t)reservations->type : 0);
        buffer_put_zeros(to, 4);
        buffer_put_be16(to, SCSI_RELATIVE_PORT);
        size_t length_at = to->length;
        buffer_put_be32(to, 0);
        transport_id_write(to, registration->initiator_port);
        if (!to->failed)
            store_be32(to->data + length_at, (uint32_t)(to->length - length_at - 4));
    }
}

#define CRH_SIP_C_ATP_C 0x1c
#define PTPL_C          0x01
#define TMV             0x80
#define PTPL_A          0x01
#define TYPES           0xea01 /* WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX; EX_AC_AR */

static void write_capabilities(const struct scsi_lu *lu, struct buffer *to)
{
    bool active = lu->reservations.persist_through_power_loss;
    buffer_put_be16(to, 8);
    buffer_put_u8(to, CRH_SIP_C_ATP_C | (lu->environment->store ? PTPL_C : 0));
    buffer_put_u8(to, (uint8_t)(TMV | (active ? PTPL_A : 0)));
    buffer_put_be16(to, TYPES);
    buffer_put_be16(to, 0);
}

/* By service action. All but the capabilities begin with PRGENERATION and the length of the rest,
 * which does not depend on the allocation length. */
static const struct {
    void (*write)(const struct scsi_lu *lu, struct buffer *to);
    bool has_header;
} actions[] = {
    {write_keys,         true },
    {write_reservation,  true },
    {write_capabilities, false},
    {write_full_status,  true },
};

enum scsi_verdict persistent_reserve_in_execute(struct command *command)
{
    const struct scsi_lu *lu = command->itl->lu;
    const uint8_t *cdb = command->task.cdb;
    unsigned action = cdb[1] & 0x1f;
    struct buffer *to = command_response(command);
    if (actions[action].has_header) {
        buffer_put_be32(to, lu->reservations.generation);
        buffer_put_be32(to, 0);
    }
    actions[action].write(lu, to);
    if (actions[action].has_header && !to->failed)
        store_be32(to->data + 4, (uint32_t)(to->length - 8));
    return command_respond(command, load_be16(cdb + 7));
}
