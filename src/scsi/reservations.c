/*
 * reservations.c - who may do what: persistent reservations (SPC-4 §5.13) and those of RESERVE(6)
 * and RESERVE(10) (SPC-2 §5.5.1), which a logical unit never has at the same time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/util/escape.h>

#include "internal.h"

bool reservations_type_is_all(enum reservation_type type)
{
    return type == RESERVATION_WRITE_EXCLUSIVE_ALL || type == RESERVATION_EXCLUSIVE_ACCESS_ALL;
}

bool reservations_type_is_registrants(enum reservation_type type)
{
    return type == RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS ||
           type == RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS || reservations_type_is_all(type);
}

static bool is_exclusive_access(enum reservation_type type)
{
    return type == RESERVATION_EXCLUSIVE_ACCESS ||
           type == RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS ||
           type == RESERVATION_EXCLUSIVE_ACCESS_ALL;
}

bool reservations_holds(const struct reservations *reservations,
                        const struct registration *registration)
{
    if (!registration || reservations->type == RESERVATION_NONE)
        return false;
    return reservations_type_is_all(reservations->type) || reservations->holder == registration;
}

void reservations_update(struct scsi_lu *lu)
{
    struct reservations *reservations = &lu->reservations;
    reservations->active = reservations->type != RESERVATION_NONE || reservations->legacy_holder;
}

/* ── conflicts ───────────────────────────────────────────────────────────────────────────────── */

static bool conflicts_with_legacy(const struct command *command)
{
    const struct itl *holder = command->itl->lu->reservations.legacy_holder;
    if (command->opcode->flags & OPCODE_DESPITE_LEGACY)
        return false;
    return holder != command->itl;
}

bool reservations_conflict(const struct command *command)
{
    const struct reservations *reservations = &command->itl->lu->reservations;
    const struct registration *registration = command->itl->registration;
    const uint8_t *cdb = command->task.cdb;
    if (reservations->legacy_holder)
        return conflicts_with_legacy(command);
    if (registration && (reservations_holds(reservations, registration) ||
                         reservations_type_is_registrants(reservations->type)))
        return false;
    switch (command->opcode->rule) {
    case RULE_READS:
        return is_exclusive_access(reservations->type);
    case RULE_WRITES:
        return true;
    case RULE_START: /* START set, POWER CONDITION 0: SBC-3 table 13 */
        return (cdb[4] & 0xf1) != 0x01;
    case RULE_PREVENT:
        return (cdb[4] & 0x03) != 0;
    default:
        return false;
    }
}

/* ── registrations ───────────────────────────────────────────────────────────────────────────── */

struct registration *reservations_find(const struct scsi_lu *lu, const char *initiator_port)
{
    struct registration *registration;
    DL_FOREACH (lu->reservations.registrations, registration) {
        if (strcmp(registration->initiator_port, initiator_port) == 0)
            return registration;
    }
    return NULL;
}

static void attach_all(struct scsi_lu *lu)
{
    struct itl *itl;
    DL_FOREACH (lu->itls, itl)
        itl->registration = reservations_find(lu, itl->nexus->initiator_port);
}

struct registration *reservations_add(struct scsi_lu *lu, const char *initiator_port, uint64_t key)
{
    struct reservations *reservations = &lu->reservations;
    if (reservations->count == SCSI_REGISTRATION_LIMIT)
        return NULL;
    struct registration *registration = calloc(1, sizeof(*registration));
    if (!registration)
        return NULL;
    snprintf(registration->initiator_port, sizeof(registration->initiator_port), "%s",
             initiator_port);
    registration->key = key;
    DL_APPEND(reservations->registrations, registration);
    reservations->count++;
    attach_all(lu);
    return registration;
}

void reservations_release(struct scsi_lu *lu)
{
    lu->reservations.type = RESERVATION_NONE;
    lu->reservations.holder = NULL;
    reservations_update(lu);
}

/* A reservation of one holder goes with its registration; one of all registrants with the last. */
void reservations_remove(struct scsi_lu *lu, struct registration *registration)
{
    struct reservations *reservations = &lu->reservations;
    bool was_holder = reservations->holder == registration;
    DL_DELETE(reservations->registrations, registration);
    reservations->count--;
    free(registration);
    attach_all(lu);
    if (was_holder || reservations->count == 0)
        reservations_release(lu);
}

void reservations_attach(struct itl *itl)
{
    itl->registration = reservations_find(itl->lu, itl->nexus->initiator_port);
}

void reservations_nexus_lost(struct itl *itl)
{
    struct scsi_lu *lu = itl->lu;
    itl->registration = NULL;
    itl->prevents_removal = false;
    if (lu->reservations.legacy_holder == itl)
        lu->reservations.legacy_holder = NULL;
    reservations_update(lu);
}

void reservations_done(struct reservations *reservations)
{
    struct registration *registration, *next;
    DL_FOREACH_SAFE (reservations->registrations, registration, next) {
        DL_DELETE(reservations->registrations, registration);
        free(registration);
    }
}

/* ── RESERVE(6), RESERVE(10), RELEASE(6), RELEASE(10) ────────────────────────────────────────── */

/* SPC-4 §5.13.3 (CRH): who holds the persistent reservation, or shares it, may RESERVE and RELEASE
 * to no effect; where keys are registered, all others are in conflict (SPC-2 §5.5.1). */
static bool handled_by_registration(struct command *command, enum scsi_verdict *ret_verdict)
{
    const struct reservations *reservations = &command->itl->lu->reservations;
    if (reservations->count == 0)
        return false;
    const struct registration *registration = command->itl->registration;
    bool exempt = registration && (reservations_holds(reservations, registration) ||
                                   reservations_type_is_registrants(reservations->type));
    *ret_verdict =
        exempt ? command_good(command) : command_status(command, SCSI_STATUS_RESERVATION_CONFLICT);
    return true;
}

enum scsi_verdict reserve_execute(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    enum scsi_verdict verdict;
    if (handled_by_registration(command, &verdict))
        return verdict;
    if (lu->reservations.legacy_holder && lu->reservations.legacy_holder != command->itl)
        return command_status(command, SCSI_STATUS_RESERVATION_CONFLICT);
    lu->reservations.legacy_holder = command->itl;
    reservations_update(lu);
    return command_good(command);
}

/* Of who does not hold it: GOOD, nothing changes (SPC-2 §7.17). */
enum scsi_verdict release_execute(struct command *command)
{
    struct scsi_lu *lu = command->itl->lu;
    enum scsi_verdict verdict;
    if (handled_by_registration(command, &verdict))
        return verdict;
    if (lu->reservations.legacy_holder == command->itl)
        lu->reservations.legacy_holder = NULL;
    reservations_update(lu);
    return command_good(command);
}

/* ── for people ──────────────────────────────────────────────────────────────────────────────── */

void scsi_lu_describe_reservation(const struct scsi_lu *lu, char *to, size_t size)
{
    static const char *const names[] = {
        [RESERVATION_WRITE_EXCLUSIVE] = "WRITE EXCLUSIVE",
        [RESERVATION_EXCLUSIVE_ACCESS] = "EXCLUSIVE ACCESS",
        [RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS] = "WRITE EXCLUSIVE, REGISTRANTS ONLY",
        [RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS] = "EXCLUSIVE ACCESS, REGISTRANTS ONLY",
        [RESERVATION_WRITE_EXCLUSIVE_ALL] = "WRITE EXCLUSIVE, ALL REGISTRANTS",
        [RESERVATION_EXCLUSIVE_ACCESS_ALL] = "EXCLUSIVE ACCESS, ALL REGISTRANTS",
    };
    const struct reservations *reservations = &lu->reservations;
    if (reservations->legacy_holder)
        snprintf(to, size, "RESERVE by %s",
                 escaped(reservations->legacy_holder->nexus->initiator_port));
    else if (reservations->type == RESERVATION_NONE)
        snprintf(to, size, "%s", "");
    else if (reservations->holder)
        snprintf(to, size, "%s by %s", names[reservations->type],
                 escaped(reservations->holder->initiator_port));
    else
        snprintf(to, size, "%s (%u registered)", names[reservations->type], reservations->count);
}
