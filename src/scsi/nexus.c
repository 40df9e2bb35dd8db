/* nexus.c - I_T nexuses: how a session's LUNs are found, and how it ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

/* Peripheral device addressing with bus 0 and flat space addressing, SAM-5 §4.7.6-7. */
static unsigned decode_lun(const uint8_t lun[static 8])
{
    unsigned method = lun[0] >> 6;
    unsigned number = method == 1 ? load_be16(lun) & 0x3fffu : lun[1];
    if (method > 1 || (method == 0 && lun[0] != 0))
        return SCSI_LUN_LIMIT;
    for (unsigned i = 2; i < 8; i++) {
        if (lun[i])
            return SCSI_LUN_LIMIT;
    }
    return number;
}

struct itl *nexus_find_itl(const struct scsi_nexus *nexus, const uint8_t lun[static 8])
{
    unsigned number = decode_lun(lun);
    return number < SCSI_LUN_LIMIT ? nexus->itls[number] : NULL;
}

int nexus_add_itl(struct scsi_nexus *nexus, unsigned lun, struct scsi_lu *lu)
{
    struct itl *itl = calloc(1, sizeof(*itl));
    if (!itl)
        return -ENOMEM;
    itl->nexus = nexus;
    itl->lu = lu;
    itl->lun = lun;
    nexus->itls[lun] = itl;
    DL_APPEND(lu->itls, itl);
    unit_attention_raise(itl, ATTENTION_POWER_ON);
    reservations_attach(itl);
    return 0;
}

void nexus_drop_itl(struct scsi_nexus *nexus, unsigned lun)
{
    struct itl *itl = nexus->itls[lun];
    if (!itl)
        return;
    reservations_nexus_lost(itl);
    DL_DELETE(itl->lu->itls, itl);
    nexus->itls[lun] = NULL;
    free(itl);
}

static void drop_itls(struct scsi_nexus *nexus)
{
    for (unsigned lun = 0; lun < SCSI_LUN_LIMIT; lun++)
        nexus_drop_itl(nexus, lun);
}

struct scsi_nexus *scsi_nexus_new(struct scsi_target *target, const char *initiator_port,
                                  uint16_t target_portal_group)
{
    struct scsi_nexus *nexus = calloc(1, sizeof(*nexus));
    if (!nexus)
        return NULL;
    nexus->target = target;
    nexus->target_portal_group = target_portal_group;
    snprintf(nexus->initiator_port, sizeof(nexus->initiator_port), "%s", initiator_port);
    for (unsigned lun = 0; lun < SCSI_LUN_LIMIT; lun++) {
        if (target->lus[lun] && nexus_add_itl(nexus, lun, target->lus[lun])) {
            drop_itls(nexus);
            free(nexus);
            return NULL;
        }
    }
    DL_APPEND(target->nexuses, nexus);
    return nexus;
}

void scsi_nexus_set_read_only(struct scsi_nexus *nexus)
{
    nexus->read_only = true;
}

static void end_if_quiet(struct scsi_nexus *nexus)
{
    if (!nexus->ending || nexus->tasks_out > 0)
        return;
    void (*ended)(void *) = nexus->ended;
    void *context = nexus->ended_context;
    management_forget_all(nexus);
    drop_itls(nexus);
    DL_DELETE(nexus->target->nexuses, nexus);
    free(nexus);
    if (ended)
        ended(context);
}

void nexus_task_returned(struct scsi_nexus *nexus)
{
    nexus->tasks_out--;
    end_if_quiet(nexus);
}

static bool is_of_nexus(const struct command *command, const void *argument)
{
    return command->task.nexus == argument;
}

/* Answers about absent logical units are in no task set. */
static struct command *next_without_lu(struct scsi_nexus *nexus)
{
    struct command *command;
    DL_FOREACH2 (nexus->commands, command, nexus_next) {
        if (!command->itl && !command->announced)
            return command;
    }
    return NULL;
}

void scsi_nexus_end(struct scsi_nexus *nexus, void (*ended)(void *context), void *context)
{
    nexus->ended = ended;
    nexus->ended_context = context;
    nexus->tasks_out++; /* holds it until every task has heard of it */
    for (unsigned lun = 0; lun < SCSI_LUN_LIMIT; lun++) {
        if (nexus->itls[lun])
            management_abort(nexus->itls[lun]->lu, nexus, is_of_nexus, nexus);
    }
    struct command *command;
    while ((command = next_without_lu(nexus)))
        management_abort_command(command, nexus);
    nexus->ending = true;
    nexus_task_returned(nexus);
}
