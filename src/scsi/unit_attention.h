/*
 * unit_attention.h - unit attention conditions, SAM-5 §5.14. Each nexus keeps a set of them per
 * logical unit; the most important one is reported first.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct itl;
struct scsi_lu;

/* In order of precedence, SPC-4 table 45; resets come before the rest. */
enum unit_attention {
    ATTENTION_POWER_ON,          /* 29h/00h: also every new nexus */
    ATTENTION_RESET,             /* 29h/03h BUS DEVICE RESET FUNCTION OCCURRED */
    ATTENTION_NEXUS_LOSS,        /* 29h/07h */
    ATTENTION_RESET_CLASS_COUNT, /* those before this precede RESERVATION CONFLICT */
    ATTENTION_RESERVATIONS_PREEMPTED = ATTENTION_RESET_CLASS_COUNT, /* 2Ah/03h */
    ATTENTION_RESERVATIONS_RELEASED,                                /* 2Ah/04h */
    ATTENTION_REGISTRATIONS_PREEMPTED,                              /* 2Ah/05h */
    ATTENTION_MEDIUM_CHANGED,          /* 28h/00h: not ready to ready change */
    ATTENTION_MODE_PARAMETERS_CHANGED, /* 2Ah/01h */
    ATTENTION_CAPACITY_CHANGED,        /* 2Ah/09h */
    ATTENTION_INQUIRY_DATA_CHANGED,    /* 3Fh/03h */
    ATTENTION_REPORTED_LUNS_CHANGED,   /* 3Fh/0Eh */
    ATTENTION_COUNT,
};

#define ATTENTION_RESET_CLASS ((1u << ATTENTION_RESET_CLASS_COUNT) - 1)

void unit_attention_raise(struct itl *itl, enum unit_attention attention);
/* For every nexus of the LU but `except`, which may be NULL. */
void unit_attention_raise_all(struct scsi_lu *lu, const struct itl *except,
                              enum unit_attention attention);
/* Takes the most important one of `among` out; false: there is none. */
bool unit_attention_take(struct itl *itl, uint32_t among, uint16_t *ret_asc_ascq);
