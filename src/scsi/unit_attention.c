/* unit_attention.c - raising and taking unit attentions. */
#include "internal.h"

static const uint16_t codes[ATTENTION_COUNT] = {
    [ATTENTION_POWER_ON] = 0x2900,
    [ATTENTION_RESET] = 0x2903,
    [ATTENTION_NEXUS_LOSS] = 0x2907,
    [ATTENTION_RESERVATIONS_PREEMPTED] = 0x2a03,
    [ATTENTION_RESERVATIONS_RELEASED] = 0x2a04,
    [ATTENTION_REGISTRATIONS_PREEMPTED] = 0x2a05,
    [ATTENTION_MEDIUM_CHANGED] = 0x2800,
    [ATTENTION_MODE_PARAMETERS_CHANGED] = 0x2a01,
    [ATTENTION_CAPACITY_CHANGED] = 0x2a09,
    [ATTENTION_INQUIRY_DATA_CHANGED] = 0x3f03,
    [ATTENTION_REPORTED_LUNS_CHANGED] = 0x3f0e,
};

void unit_attention_raise(struct itl *itl, enum unit_attention attention)
{
    itl->unit_attentions |= 1u << attention;
}

void unit_attention_raise_all(struct scsi_lu *lu, const struct itl *except,
                              enum unit_attention attention)
{
    struct itl *itl;
    DL_FOREACH (lu->itls, itl) {
        if (itl != except)
            unit_attention_raise(itl, attention);
    }
}

bool unit_attention_take(struct itl *itl, uint32_t among, uint16_t *ret_asc_ascq)
{
    uint32_t pending = itl->unit_attentions & among;
    if (!pending)
        return false;
    unsigned first = (unsigned)__builtin_ctz(pending);
    itl->unit_attentions &= ~(1u << first);
    *ret_asc_ascq = codes[first];
    return true;
}
