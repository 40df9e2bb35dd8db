/*
 * identity.c - who a LUN is. In this order: configured, kept since its first export, written on the
 * disk (GPT GUID, MBR id), the hardware's WWN or serial number, else random and kept. Initiators
 * take a disk whose identity changes for another disk, so it must be the same on every start and
 * every machine.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "internal.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/random.h>

#define IDENTITY_BYTES 16
#define IDENTITY_HEX   (2 * IDENTITY_BYTES + 1)
#define NAA_LOCAL      0x3 /* SPC-5 §7.7.6.6.4: locally assigned */

static void to_hex(char *hex, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

static bool from_hex(uint8_t bytes[IDENTITY_BYTES], const char *hex)
{
    for (unsigned i = 0; i < IDENTITY_BYTES; i++) {
        unsigned value;
        if (sscanf(hex + 2 * i, "%2x", &value) != 1)
            return false;
        bytes[i] = (uint8_t)value;
    }
    return true;
}

static const char *specification(const struct served_lun *lun)
{
    return lun->config->device ? lun->config->device : lun->config->disk_with;
}

static void record_name(const struct served_lun *lun, char *to, size_t size)
{
    snprintf(to, size, "identity-%s-%u", lun->target->config->name, lun->number);
}

/* A record is "HEX DEVICE"; one about another device than the configured one does not count. */
static bool load_kept(struct served_lun *lun)
{
    char name[128];
    record_name(lun, name, sizeof name);
    size_t length;
    _cleanup_free_ char *record = state_load(lun->target->server->state, name, &length);
    if (!record || length < IDENTITY_HEX || record[IDENTITY_HEX - 1] != ' ')
        return false;
    const char *device = record + IDENTITY_HEX;
    if (strncmp(device, specification(lun), strlen(specification(lun))) != 0 ||
        device[strlen(specification(lun))] != '\n')
        return false;
    if (!from_hex(lun->identity, record))
        return false;
    snprintf(lun->identity_text, sizeof lun->identity_text, "kept since its first export");
    return true;
}

static void keep(const struct served_lun *lun)
{
    char name[128];
    char hex[IDENTITY_HEX];
    record_name(lun, name, sizeof name);
    to_hex(hex, lun->identity, IDENTITY_BYTES);
    char record[4400];
    int length = snprintf(record, sizeof record, "%s %s\n", hex, specification(lun));
    struct store *store = state_store(lun->target->server->state);
    store->put(store, name, record, (size_t)length, NULL, NULL);
}

static const struct served_lun *find_twin(const struct served_lun *lun)
{
    const struct served_target *target;
    DL_FOREACH (lun->target->server->targets, target) {
        for (unsigned i = 0; i < target->lun_count; i++) {
            const struct served_lun *other = &target->luns[i];
            if (other != lun && other->state == LUN_OPEN && !target->removing &&
                !memcmp(other->identity, lun->identity, IDENTITY_BYTES))
                return other;
        }
    }
    return NULL;
}

/* A copy of another disk that the configuration gives names of its own. */
static bool is_told_apart(const struct served_lun *lun)
{
    return lun->config->serial && lun->config->naa.length;
}

int identity_resolve(struct served_lun *lun, struct error *error)
{
    bool kept = load_kept(lun);
    if (!kept) {
        if (lun->derived.source != BLOCK_IDENTITY_NONE) {
            memcpy(lun->identity, lun->derived.bytes, IDENTITY_BYTES);
            snprintf(lun->identity_text, sizeof lun->identity_text, "%s", lun->derived.description);
        } else {
            system_random.fill(&system_random, lun->identity, IDENTITY_BYTES);
            snprintf(lun->identity_text, sizeof lun->identity_text,
                     "generated, since nothing on the disk names it");
        }
    }
    const struct served_lun *twin = find_twin(lun);
    if (!twin || is_told_apart(lun)) {
        if (!kept)
            keep(lun);
        return 0;
    }
    return error_set(
        error, -EEXIST,
        "%s has the same identity as %s (LUN %u of target %s), as if it were a copy: give it a new "
        "disk GUID (sgdisk -G), or set serial and naa of this LUN (and iqn of its target) in the "
        "configuration",
        specification(lun), specification(twin), twin->number, twin->target->config->name);
}

void identity_fill_options(const struct served_lun *lun, struct scsi_lu_options *options)
{
    const struct config_lun *config = lun->config;
    char hex[IDENTITY_HEX];
    to_hex(hex, lun->identity, IDENTITY_BYTES);
    snprintf(options->vendor, sizeof options->vendor, "%s", config->vendor);
    snprintf(options->product, sizeof options->product, "%s", config->product);
    snprintf(options->revision, sizeof options->revision, "%s", config->revision);
    snprintf(options->serial, sizeof options->serial, "%s", config->serial ? config->serial : hex);
    if (config->naa.length) {
        memcpy(options->naa, config->naa.bytes, config->naa.length);
        options->naa_bytes = config->naa.length;
    } else {
        memcpy(options->naa, lun->identity, 8);
        options->naa[0] = (uint8_t)(NAA_LOCAL << 4 | (lun->identity[0] & 0x0f));
        options->naa_bytes = 8;
    }
    if (config->eui.length) {
        memcpy(options->eui, config->eui.bytes, config->eui.length);
        options->eui_bytes = config->eui.length;
    }
    if (is_told_apart(lun))
        to_hex(hex, config->naa.bytes, config->naa.length);
    snprintf(options->store_name, sizeof options->store_name, "reservations-%s", hex);
}

/* Derived from the first disk, so that it is the same on every machine the disk is put into. */
void identity_make_iqn(const struct served_target *target, char iqn[ISCSI_NAME_BYTES])
{
    if (target->config->iqn) {
        snprintf(iqn, ISCSI_NAME_BYTES, "%s", target->config->iqn);
        return;
    }
    char hex[IDENTITY_HEX];
    to_hex(hex, target->luns[0].identity, IDENTITY_BYTES);
    snprintf(iqn, ISCSI_NAME_BYTES, "%s:%s", target->owner->iqn_authority, hex);
}
