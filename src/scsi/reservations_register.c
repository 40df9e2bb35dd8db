/* reservations_register.c - REGISTER, REGISTER AND IGNORE EXISTING KEY (SPC-4 §5.13.7) and REGISTER
 * AND MOVE (§5.13.8). */
#include <string.h>

#include "reservations_out.h"

static bool no_resources(struct command *command)
{
    command_check(command, SENSE_ILLEGAL_REQUEST, ASC_INSUFFICIENT_REGISTRATION_RESOURCES);
    return false;
}

/* ── SPEC_I_PT ───────────────────────────────────────────────────────────────────────────────── */

/* The port, or any port of the device, that a TransportID names. */
static bool is_named(const char *initiator_port, const char *name, bool is_port)
{
    size_t length = strlen(name);
    if (is_port)
        return strcmp(initiator_port, name) == 0;
    return strncmp(initiator_port, name, length) == 0 &&
           (initiator_port[length] == ',' || initiator_port[length] == '\0');
}

static bool add_unless_there(struct scsi_lu *lu, const char *initiator_port, uint64_t key)
{
    return reservations_find(lu, initiator_port) || reservations_add(lu, initiator_port, key);
}

static bool register_named(struct scsi_lu *lu, const char *name, bool is_port, uint64_t key)
{
    const struct itl *itl;
    if (is_port)
        return add_unless_there(lu, name, key);
    DL_FOREACH (lu->itls, itl) {
        if (is_named(itl->nexus->initiator_port, name, false) &&
            !add_unless_there(lu, itl->nexus->initiator_port, key))
            return false;
    }
    return true;
}

/* How many TransportIDs there are; 0: the list is not one. */
static unsigned count_ports(const struct reserve_out *out)
{
    char name[SCSI_NAME_BYTES];
    bool is_port;
    unsigned count = 0;
    for (size_t at = 0; at < out->transport_ids_bytes; count++) {
        size_t taken = transport_id_read(out->transport_ids + at, out->transport_ids_bytes - at,
                                         name, &is_port);
        if (taken == 0)
            return 0;
        at += taken;
    }
    return count;
}

/* Takes back what an incomplete list has registered: the newest ones. */
static void drop_newest(struct scsi_lu *lu, unsigned count_before)
{
    while (lu->reservations.count > count_before)
        reservations_remove(lu, lu->reservations.registrations->prev);
}

static bool register_ports(struct command *command, const struct reserve_out *out)
{
    struct scsi_lu *lu = command->itl->lu;
    unsigned count_before = lu->reservations.count;
    char name[SCSI_NAME_BYTES];
    bool is_port, fits = true;
    for (size_t at = 0; fits && at < out->transport_ids_bytes;) {
        at += transport_id_read(out->transport_ids + at, out->transport_ids_bytes - at, name,
                                &is_port);
        fits = register_named(lu, name, is_port, out->action_key);
    }
    fits = fits && add_unless_there(lu, command->itl->nexus->initiator_port, out->action_key);
    if (fits)
        return true;
    drop_newest(lu, count_before);
    return no_resources(command);
}

/* ── REGISTER ────────────────────────────────────────────────────────────────────────────────── */

static void unregister(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    struct registration *registration = command->itl->registration;
    enum reservation_type type = lu->reservations.type;
    if (lu->reservations.holder == registration && reservations_type_is_registrants(type))
        reserve_out_tell_all(command, ATTENTION_RESERVATIONS_RELEASED);
    reservations_remove(lu, registration);
}

static bool register_new(struct command *command, const struct reserve_out *out)
{
    if (out->action_key == 0)
        return true;
    if (!out->specifies_ports)
        return reservations_add(command->itl->lu, command->itl->nexus->initiator_port,
                                out->action_key) ||
               no_resources(command);
    return register_ports(command, out);
}

bool reserve_out_register(struct command *command, const struct reserve_out *out)
{
    struct scsi_lu *lu = command->itl->lu;
    struct registration *registration = command->itl->registration;
    uint64_t current = registration ? registration->key : 0;
    if (out->action == OUT_REGISTER && out->key != current)
        return reserve_out_conflict(command);
    if (out->specifies_ports && (registration || count_ports(out) == 0)) {
        command_invalid_parameter(command, registration ? 20 : 28, SENSE_WHOLE_BYTE);
        return false;
    }
    if (!registration) {
        if (!register_new(command, out))
            return false;
    } else if (out->action_key == 0) {
        unregister(command);
    } else {
        registration->key = out->action_key;
    }
    lu->reservations.generation++;
    lu->reservations.persist_through_power_loss = out->persists;
    return true;
}

/* ── REGISTER AND MOVE ───────────────────────────────────────────────────────────────────────── */

static bool check_move(struct command *command, const struct reserve_out *out,
                       char ret_port[static SCSI_NAME_BYTES])
{
    const struct scsi_lu *lu = command->itl->lu;
    bool is_port = false;
    if (lu->reservations.holder != command->itl->registration)
        return reserve_out_conflict(command); /* nobody holds one, all do, or another does */
    if (out->action_key == 0) {
        command_invalid_parameter(command, 8, SENSE_WHOLE_BYTE);
    } else if (out->target_port != SCSI_RELATIVE_PORT) {
        command_invalid_parameter(command, 18, SENSE_WHOLE_BYTE);
    } else if (!transport_id_read(out->transport_ids, out->transport_ids_bytes, ret_port,
                                  &is_port) ||
               !is_port || strcmp(ret_port, command->itl->nexus->initiator_port) == 0) {
        command_invalid_parameter(command, 24, SENSE_WHOLE_BYTE);
    } else {
        return true;
    }
    return false;
}

bool reserve_out_move(struct command *command, const struct reserve_out *out)
{
    struct scsi_lu *lu = command->itl->lu;
    struct reservations *reservations = &lu->reservations;
    char port[SCSI_NAME_BYTES];
    if (!check_move(command, out, port))
        return false;
    struct registration *heir = reservations_find(lu, port);
    if (!heir)
        heir = reservations_add(lu, port, out->action_key);
    if (!heir)
        return no_resources(command);
    heir->key = out->action_key;
    reservations->holder = heir;
    if (out->unregisters)
        reservations_remove(lu, command->itl->registration);
    reservations->generation++;
    reservations->persist_through_power_loss = out->persists;
    return true;
}
