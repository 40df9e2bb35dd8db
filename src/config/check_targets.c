/* check_targets.c - targets, their LUNs, and the disks behind them. */
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

static void check_lun(struct reader *reader, const struct config_target *target,
                      const struct config_lun *lun)
{
    bool has_device = reader_has(reader, lun, "device");
    bool has_disk = reader_has(reader, lun, "disk-with");
    if (has_device && has_disk)
        reader_report(reader, false, lun, "disk-with",
                      "target %s: a LUN has a device or disk-with, not both",
                      escaped(target->name));
    else if (!has_device && !has_disk && lun->place.file)
        reader_report(reader, false, lun, "device",
                      "target %s: the LUN has no disk: add device = \"/dev/disk/by-id/…\"",
                      escaped(target->name));
    if (lun->number > LUN_MAXIMUM)
        reader_report(reader, false, lun, "lun", "target %s: LUN %u is beyond %u",
                      escaped(target->name), lun->number, (unsigned)LUN_MAXIMUM);
}

/* A key that another one leaves without any effect. */
static void check_effect(struct reader *reader, const struct config_target *target)
{
    if (target->shared && reader_has(reader, target, "others"))
        reader_report(reader, true, target, "others",
                      "target %s: others has no effect: shared lets everyone write",
                      escaped(target->name));
    for (unsigned i = 0; i < target->luns.count; i++) {
        const struct config_lun *lun = &target->luns.items[i];
        if (lun->read_only && lun->sanitize)
            reader_report(reader, true, lun, "sanitize",
                          "target %s: sanitize has no effect: LUN %u is read-only",
                          escaped(target->name), lun->number);
        if (lun->read_only && lun->write != CONFIG_WRITE_AUTO)
            reader_report(reader, true, lun, "write",
                          "target %s: write has no effect: LUN %u is read-only",
                          escaped(target->name), lun->number);
    }
}

static void check_luns(struct reader *reader, const struct config_target *target)
{
    struct claims numbers = {0};
    if (!target->luns.count && !target->place.file)
        return; /* it was no group */
    if (!target->luns.count && !reader_has(reader, target, "luns"))
        reader_report(reader, false, target, "luns",
                      "target %s has no disk: add luns = ( { device = \"/dev/disk/by-id/…\" } )",
                      escaped(target->name));
    else if (!target->luns.count)
        reader_report(reader, false, target, "luns", "target %s has an empty list of luns",
                      escaped(target->name));
    for (unsigned i = 0; i < target->luns.count; i++) {
        const struct config_lun *lun = &target->luns.items[i];
        check_lun(reader, target, lun);
        claim_bytes(&numbers, &lun->number, sizeof lun->number, lun, "lun");
    }
    claims_check(&numbers, reader, "the LUN number", "each LUN of a target has its own");
}

/* "52-54-00-ab-cd-ef", as it is in names. */
static bool is_mac(const char *text)
{
    for (unsigned i = 0; i < 6; i++, text += 3)
        if (strspn(text, "0123456789abcdef") != 2 || text[2] != (i < 5 ? '-' : '\0'))
            return false;
    return true;
}

/* What a target is called whose devices are named by their client's MAC, of that client. */
static void check_name(struct reader *reader, const struct config_target *target)
{
    const struct config *config = reader->config;
    const char *dot = target->name ? strrchr(target->name, '.') : NULL;
    if (!dot || !is_mac(dot + 1))
        return;
    for (unsigned i = 0; i < config->targets.count; i++) {
        const struct config_target *other = &config->targets.items[i];
        bool is_before = other->name && strlen(other->name) == (size_t)(dot - target->name) &&
                         !strncmp(target->name, other->name, (size_t)(dot - target->name));
        bool per_client = false;
        for (unsigned j = 0; is_before && j < other->luns.count; j++)
            per_client |= config_lun_per_client(&other->luns.items[j]);
        if (per_client)
            reader_report(reader, false, target, "name",
                          "target %s: the image of a client on target %s is called so; choose "
                          "another name",
                          escaped(target->name), escaped(other->name));
    }
}

/* Names and disks are one writer's: found here, long before two sessions meet on them. */
static void check_disks(struct reader *reader)
{
    struct claims devices = {0}, serials = {0}, designators = {0};
    const struct config *config = reader->config;
    for (unsigned i = 0; i < config->targets.count; i++) {
        const struct config_target *target = &config->targets.items[i];
        for (unsigned j = 0; j < target->luns.count; j++) {
            const struct config_lun *lun = &target->luns.items[j];
            claim_text(&devices, lun->device, lun, "device");
            claim_text(&devices, lun->disk_with, lun, "disk-with");
            claim_text(&serials, lun->serial, lun, "serial");
            if (lun->naa.length)
                claim_bytes(&designators, lun->naa.bytes, lun->naa.length, lun, "naa");
            if (lun->eui.length)
                claim_bytes(&designators, lun->eui.bytes, lun->eui.length, lun, "eui");
        }
    }
    for (unsigned i = 0; i < config->clients.count; i++) {
        const struct config_client *client = &config->clients.items[i];
        if (client->device && !strstr(client->device, "%m"))
            claim_text(&devices, client->device, client, "device");
    }
    claims_check(&devices, reader, "the disk", "let one LUN serve it to all who need it");
    claims_check(&serials, reader, "the serial", "initiators would take two disks for one");
    claims_check(&designators, reader, "the designator", "initiators would take two disks for one");
}

/* What the helper would not find is found here. */
static void check_kernels(struct reader *reader, const struct config_target *target)
{
    static const char *const tags[] = {"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="};
    const char *partition = target->kernels.partition;
    bool is_known = !partition || strspn(partition, "0123456789") == strlen(partition);
    for (size_t i = 0; !is_known && i < ARRAY_SIZE(tags); i++)
        is_known = !strncmp(partition, tags[i], strlen(tags[i])) && partition[strlen(tags[i])];
    if (!is_known)
        reader_report(reader, false, &target->kernels, "partition",
                      "target %s: kernels.partition is UUID=…, LABEL=…, PARTUUID=…, PARTLABEL=… or "
                      "a number, not %s",
                      escaped(target->name), escaped(partition));
}

void check_targets(struct reader *reader)
{
    struct claims names = {0}, iqns = {0};
    const struct config *config = reader->config;
    if (!config->targets.count && !reader_has(reader, config, "targets"))
        reader_report(reader, true, config, "targets",
                      "no disk is served: add targets = ( { luns = ( { device = "
                      "\"/dev/disk/by-id/…\" } ) } )");
    for (unsigned i = 0; i < config->targets.count; i++) {
        const struct config_target *target = &config->targets.items[i];
        claim_text(&names, target->name, target, "name");
        claim_text(&iqns, target->iqn, target, "iqn");
        check_name(reader, target);
        check_luns(reader, target);
        check_effect(reader, target);
        check_kernels(reader, target);
    }
    claims_check(&names, reader, "the target name", "each target has its own");
    claims_check(&iqns, reader, "the iSCSI name", "each target has its own");
    check_disks(reader);
}
