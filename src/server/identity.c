/*
 * identity.c - who a LUN is. In this order: configured, kept since its first export, written on the
 * disk (GPT GUID, MBR id), the hardware's WWN or serial number, else random and kept. Initiators
 * take a disk whose identity changes for another disk, so it must be the same on every start and
 * every machine.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include <openssl/sha.h>

#include "internal.h"

#include <netboot-target/util/hex.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/random.h>

#define IDENTITY_BYTES 16
#define IDENTITY_HEX   (2 * IDENTITY_BYTES + 1)
#define NAA_LOCAL      0x3 /* SPC-5 §7.7.6.6.4: locally assigned */

static bool from_hex(uint8_t bytes[IDENTITY_BYTES], const char *hex)
{
    for (unsigned i = 0; i < IDENTITY_BYTES; i++) {
        const char *at = hex + 2 * i;
        if (strspn(at, "0123456789abcdef") < 2)
            return false;
        const char digits[] = {at[0], at[1], '\0'};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static void record_name(const struct served_lun *lun, char *to, size_t size)
{
    snprintf(to, size, "identity-%s-%u", lun->target->name, lun->number);
}

/* A record is "HEX DEVICE", and in a second line the hardware's identity if that is known; one
 * about another device than the configured one does not count. */
int identity_load(struct served_lun *lun, struct error *error)
{
    char name[TARGET_NAME_BYTES + 24];
    record_name(lun, name, sizeof name);
    const char *record;
    size_t length;
    struct state *state = lun->target->server->state;
    struct kept_identity kept = {0};
    int result = state_load(state, name, &record, &length, error);
    if (result)
        return result == -ENOENT ? 0 : result;
    if (length <= IDENTITY_HEX || record[IDENTITY_HEX - 1] != ' ' || record[length - 1] != '\n' ||
        !from_hex(kept.bytes, record))
        return state_reject(state, name, error);
    const char *device = record + IDENTITY_HEX;
    size_t device_length = strlen(lun_specification(lun));
    if (strncmp(device, lun_specification(lun), device_length) != 0 ||
        device[device_length] != '\n')
        return 0;
    kept.valid = true;
    kept.has_hardware = from_hex(kept.hardware, device + device_length + 1);
    lun->kept = kept;
    return 0;
}

int identity_keep(const struct served_lun *lun, struct error *error)
{
    const struct kept_identity *kept = &lun->kept;
    char name[TARGET_NAME_BYTES + 24];
    char hex[IDENTITY_HEX];
    char hardware[IDENTITY_HEX] = "";
    record_name(lun, name, sizeof name);
    hex_text(hex, kept->bytes, IDENTITY_BYTES);
    if (kept->has_hardware)
        hex_text(hardware, kept->hardware, IDENTITY_BYTES);
    char record[4400];
    int length =
        snprintf(record, sizeof record, "%s %s\n%s\n", hex, lun_specification(lun), hardware);
    int result = state_keep(lun->target->server->state, name, record, (size_t)length);
    if (!result || result == -EINPROGRESS || lun->derived.source != BLOCK_IDENTITY_NONE)
        return result == -EINPROGRESS ? result : 0;
    return error_set(error, result,
                     "nothing on %s names it, and the identity it was given cannot be kept: %s; "
                     "make room in the state directory, or give it a disk GUID (sgdisk -G)",
                     lun_specification(lun), strerror(-result));
}

static void take_identity(struct served_lun *lun)
{
    struct kept_identity *kept = &lun->kept;
    kept->valid = true;
    kept->has_hardware = lun->derived.has_hardware;
    memcpy(kept->bytes, lun->identity, IDENTITY_BYTES);
    memcpy(kept->hardware, lun->derived.hardware, IDENTITY_BYTES);
}

/* A kernel name such as /dev/sda may be another disk today. */
static void forget_kept_of_other_disk(struct served_lun *lun)
{
    struct kept_identity *kept = &lun->kept;
    if (!kept->valid || !kept->has_hardware || !lun->derived.has_hardware ||
        !memcmp(kept->hardware, lun->derived.hardware, IDENTITY_BYTES))
        return;
    log_warning("target %s, LUN %u: %s is another disk than at its first export, so it gets an "
                "identity of its own; name disks by /dev/disk/by-id/… to be sure of them",
                lun->target->name, lun->number, lun_specification(lun));
    kept->valid = false;
}

static void choose(struct served_lun *lun)
{
    size_t size = sizeof lun->identity_text;
    if (lun->kept.valid) {
        memcpy(lun->identity, lun->kept.bytes, IDENTITY_BYTES);
        snprintf(lun->identity_text, size, "kept since its first export");
    } else if (lun->derived.source != BLOCK_IDENTITY_NONE) {
        /* Images of clients are copies of one another. */
        for (unsigned i = 0; i < IDENTITY_BYTES; i++)
            lun->identity[i] = lun->derived.bytes[i] ^ lun->target->salt[i];
        snprintf(lun->identity_text, size, "%s%s", lun->derived.description,
                 lun->target->key[0] ? " and the client" : "");
    } else {
        system_random.fill(&system_random, lun->identity, IDENTITY_BYTES);
        snprintf(lun->identity_text, size, "generated, since nothing on the disk names it");
    }
}

/* A copy of another disk that the configuration gives names of its own. */
static bool is_told_apart(const struct served_lun *lun)
{
    return lun->config->serial && lun->config->naa.length && !lun->target->key[0];
}

/* A LUN that had this identity before keeps it, whichever of the two disks is opened first. Of two
 * that are both new nobody can say which one is the copy: neither gets it. */
static bool has_identity_of(const struct served_lun *other, const struct served_lun *lun)
{
    if (is_told_apart(other))
        return false;
    if (other->state == LUN_OPEN || (other->identified && !lun->kept.valid))
        return !memcmp(other->identity, lun->identity, IDENTITY_BYTES);
    return other->kept.valid && !memcmp(other->kept.bytes, lun->identity, IDENTITY_BYTES);
}

static const struct served_lun *find_twin(const struct served_lun *lun)
{
    const struct served_target *target;
    DL_FOREACH (lun->target->server->targets, target) {
        for (unsigned i = 0; i < target->lun_count && !target->removing; i++) {
            const struct served_lun *other = &target->luns[i];
            if (other != lun && has_identity_of(other, lun))
                return other;
        }
    }
    return NULL;
}

void identity_find(struct served_lun *lun)
{
    forget_kept_of_other_disk(lun);
    choose(lun);
    lun->identified = true;
}

int identity_resolve(struct served_lun *lun, struct error *error)
{
    const struct served_lun *twin = is_told_apart(lun) ? NULL : find_twin(lun);
    if (twin)
        return error_set(
            error, -EEXIST,
            "%s has the same identity as %s (LUN %u of target %s), as if it were a copy: give it a "
            "new disk GUID (sgdisk -G), or set serial and naa of this LUN (and iqn of its target) "
            "in the configuration",
            lun_specification(lun), lun_specification(twin), twin->number, twin->target->name);
    if (!lun->kept.valid)
        take_identity(lun);
    return 0;
}

/* What tells images of clients apart may be in the last bytes of their identities alone: a digest
 * of all of them, or initiators that see several would take them for paths to one disk. */
static void derive_naa(const struct served_lun *lun, uint8_t naa[8])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(lun->identity, IDENTITY_BYTES, digest);
    memcpy(naa, lun->target->key[0] ? digest : lun->identity, 8);
    naa[0] = (uint8_t)(NAA_LOCAL << 4 | (naa[0] & 0x0f));
}

void identity_fill_options(const struct served_lun *lun, struct scsi_lu_options *options)
{
    const struct config_lun *config = lun->config;
    char hex[IDENTITY_HEX];
    hex_text(hex, lun->identity, IDENTITY_BYTES);
    snprintf(options->vendor, sizeof options->vendor, "%s", config->vendor);
    snprintf(options->product, sizeof options->product, "%s", config->product);
    snprintf(options->revision, sizeof options->revision, "%s", config->revision);
    /* What is written down for a target cannot hold for each of its clients. */
    bool is_named = !lun->target->key[0];
    snprintf(options->serial, sizeof options->serial, "%s",
             config->serial && is_named ? config->serial : hex);
    if (config->naa.length && is_named) {
        memcpy(options->naa, config->naa.bytes, config->naa.length);
        options->naa_bytes = config->naa.length;
    } else {
        derive_naa(lun, options->naa);
        options->naa_bytes = 8;
    }
    if (config->eui.length && is_named) {
        memcpy(options->eui, config->eui.bytes, config->eui.length);
        options->eui_bytes = config->eui.length;
    }
    if (is_told_apart(lun))
        hex_text(hex, config->naa.bytes, config->naa.length);
    snprintf(options->store_name, sizeof options->store_name, "reservations-%s", hex);
}

/* The configured name, of a client's target with the client's key in the letters of such names
 * (RFC 3722). */
static int extend_iqn(const struct served_target *target, char iqn[ISCSI_NAME_BYTES],
                      struct error *error)
{
    char name[ISCSI_NAME_BYTES];
    int length = snprintf(name, sizeof name, "%s%s%s", target->config->iqn,
                          target->key[0] ? "." : "", target->key);
    if (length >= (int)sizeof name)
        return error_set(error, -ENAMETOOLONG,
                         "its name would be %s.%s, which has %d characters; a name has at most %d: "
                         "give the target a shorter iqn",
                         target->config->iqn, target->key, length, ISCSI_NAME_BYTES - 1);
    for (char *c = name + strlen(target->config->iqn); *c; c++)
        *c = (char)(*c == '_' ? '-' : tolower((unsigned char)*c));
    memcpy(iqn, name, sizeof name);
    return 0;
}

/* Derived from the first disk, so that it is the same on every machine the disk is put into. */
int identity_make_iqn(const struct served_target *target, char iqn[ISCSI_NAME_BYTES],
                      struct error *error)
{
    if (target->config->iqn)
        return extend_iqn(target, iqn, error);
    char hex[IDENTITY_HEX];
    hex_text(hex, target->luns[0].identity, IDENTITY_BYTES);
    snprintf(iqn, ISCSI_NAME_BYTES, "%s:%s", target->owner->iqn_authority, hex);
    return 0;
}
