/*
 * reservations_store.c - what survives power loss (APTPL, SPC-4 §5.13.5), as one record:
 *   "NBTPR001" | type 1 | holder 2 | count 2 | count × { key 8 | length 2 | initiator port }
 * `holder` is an index, or FFFFh. A record without registrations says that nothing is kept.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

static const char magic[8] = {'N', 'B', 'T', 'P', 'R', '0', '0', '1'};

#define HEADER_BYTES       13
#define REGISTRATION_BYTES 10 /* and the name */
#define NO_HOLDER          0xffff
#define RECORD_LIMIT \
    (HEADER_BYTES + SCSI_REGISTRATION_LIMIT * (REGISTRATION_BYTES + SCSI_NAME_BYTES))

static uint16_t holder_index(const struct reservations *reservations)
{
    const struct registration *registration;
    uint16_t index = 0;
    DL_FOREACH (reservations->registrations, registration) {
        if (registration == reservations->holder)
            return index;
        index++;
    }
    return NO_HOLDER;
}

static void write_record(const struct reservations *reservations, struct buffer *to)
{
    const struct registration *registration;
    buffer_append(to, magic, sizeof(magic));
    if (!reservations->persist_through_power_loss) {
        buffer_put_u8(to, RESERVATION_NONE);
        buffer_put_be16(to, NO_HOLDER);
        buffer_put_be16(to, 0);
        return;
    }
    buffer_put_u8(to, (uint8_t)reservations->type);
    buffer_put_be16(to, holder_index(reservations));
    buffer_put_be16(to, (uint16_t)reservations->count);
    DL_FOREACH (reservations->registrations, registration) {
        buffer_put_be64(to, registration->key);
        buffer_put_be16(to, (uint16_t)strlen(registration->initiator_port));
        buffer_append_string(to, registration->initiator_port);
    }
}

bool reservations_save(struct scsi_lu *lu, store_done done, void *context)
{
    struct reservations *reservations = &lu->reservations;
    struct store *store = lu->environment->store;
    if (!store || (!reservations->persist_through_power_loss && !reservations->stored))
        return false;
    struct buffer record;
    buffer_init(&record, RECORD_LIMIT);
    write_record(reservations, &record);
    reservations->stored = reservations->persist_through_power_loss && reservations->count > 0;
    if (record.failed)
        done(context, -ENOMEM);
    else
        store->put(store, lu->options.store_name, record.data, record.length, done, context);
    buffer_done(&record);
    return true;
}

/* ── restoring ───────────────────────────────────────────────────────────────────────────────── */

static bool type_is_known(uint8_t type)
{
    return type == RESERVATION_NONE || type == RESERVATION_WRITE_EXCLUSIVE ||
           type == RESERVATION_EXCLUSIVE_ACCESS || reservations_type_is_registrants(type);
}

static int read_registrations(struct scsi_lu *lu, const uint8_t *at, const uint8_t *end,
                              unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char name[SCSI_NAME_BYTES] = {0};
        if (end - at < REGISTRATION_BYTES)
            return -EINVAL;
        uint64_t key = load_be64(at);
        size_t length = load_be16(at + 8);
        at += REGISTRATION_BYTES;
        if (length == 0 || length >= sizeof(name) || (size_t)(end - at) < length)
            return -EINVAL;
        memcpy(name, at, length);
        at += length;
        if (strlen(name) != length || key == 0 || reservations_find(lu, name))
            return -EINVAL;
        if (!reservations_add(lu, name, key))
            return -ENOMEM;
    }
    return at == end ? 0 : -EINVAL;
}

static struct registration *registration_at(const struct reservations *reservations, unsigned index)
{
    struct registration *registration = reservations->registrations;
    while (index-- > 0)
        registration = registration->next;
    return registration;
}

int scsi_lu_restore_reservations(struct scsi_lu *lu, const void *record, size_t length)
{
    struct reservations *reservations = &lu->reservations;
    const uint8_t *bytes = record;
    if (length < HEADER_BYTES || memcmp(bytes, magic, sizeof(magic)) != 0 ||
        !type_is_known(bytes[8]))
        return -EINVAL;
    enum reservation_type type = bytes[8];
    unsigned holder = load_be16(bytes + 9), count = load_be16(bytes + 11);
    bool needs_holder = type != RESERVATION_NONE && !reservations_type_is_all(type);
    if (count > SCSI_REGISTRATION_LIMIT || (type != RESERVATION_NONE && count == 0) ||
        needs_holder != (holder < count))
        return -EINVAL;
    int result = read_registrations(lu, bytes + HEADER_BYTES, bytes + length, count);
    if (result < 0) {
        reservations_done(reservations);
        *reservations = (struct reservations){0};
        return result;
    }
    reservations->type = type;
    reservations->holder = needs_holder ? registration_at(reservations, holder) : NULL;
    reservations->persist_through_power_loss = count > 0;
    reservations->stored = count > 0;
    reservations_update(lu);
    return 0;
}
