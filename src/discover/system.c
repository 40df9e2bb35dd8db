/* system.c - root filesystems: what they are called, and how their kernels find them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "scan.h"

#include <netboot-target/util/array.h>

/* ── finding them ────────────────────────────────────────────────────────────────────────────── */

static void read_title(struct scan *scan, struct system *system, const char *etc)
{
    char path[LOADER_PATH_BYTES];
    _cleanup_file_ struct grub_file file = GRUB_FILE_NONE;
    if (scan_join(path, etc, "os-release") && scan_read_text(scan, system->volume, path, &file))
        loader_shell_value((const char *)file.data, file.bytes, "PRETTY_NAME", system->title);
}

static void try_system(struct scan *scan, const struct volume *volume, const char *prefix)
{
    char etc[LOADER_PATH_BYTES], path[LOADER_PATH_BYTES], options[LOADER_PATH_BYTES];
    _cleanup_file_ struct grub_file fstab = GRUB_FILE_NONE;
    if (scan->system_count == SYSTEMS_LIMIT || !scan_join(etc, prefix, "etc") ||
        !scan_join(path, etc, "fstab") || !scan_read_text(scan, volume, path, &fstab))
        return;
    struct system *system = &scan->systems[scan->system_count++];
    system->volume = volume;
    snprintf(system->prefix, sizeof system->prefix, "%s", prefix);
    loader_fstab_find((const char *)fstab.data, fstab.bytes, "/boot", system->boot_device, options);
    loader_fstab_find((const char *)fstab.data, fstab.bytes, "/", system->root_device, options);
    read_title(scan, system, etc);
}

void scan_systems(struct scan *scan)
{
    for (unsigned i = 0; i < scan->volume_count; i++) {
        const struct volume *volume = &scan->volumes[i];
        if (!volume->is_known || volume->filesystem.kind == LOADER_FILESYSTEM_FAT)
            continue;
        try_system(scan, volume, "");
        if (volume->filesystem.kind != LOADER_FILESYSTEM_BTRFS)
            continue;
        const struct grub_folder *top = scan_list(scan, volume, "/");
        for (unsigned j = 0; j < top->count; j++) {
            char prefix[LOADER_PATH_BYTES];
            if (top->names[j].is_folder && scan_join(prefix, "", top->names[j].name))
                try_system(scan, volume, prefix);
        }
    }
}

const struct system *scan_system_of(const struct scan *scan, const struct volume *volume,
                                    const char *folder)
{
    const struct system *best = NULL;
    for (unsigned i = 0; i < scan->system_count; i++) {
        const struct system *system = &scan->systems[i];
        size_t length = strlen(system->prefix);
        if (system->volume == volume && !strncmp(folder, system->prefix, length) &&
            (!best || length > strlen(best->prefix)))
            best = system; /* its own /boot is below it */
    }
    for (unsigned i = 0; !best && i < scan->system_count; i++)
        if (scan_volume_is(volume, scan->systems[i].boot_device))
            best = &scan->systems[i];
    return best || scan->system_count != 1 ? best : &scan->systems[0];
}

/* ── command lines ───────────────────────────────────────────────────────────────────────────── */

/* "lvm/vg-root" is /dev/mapper/vg-root, which any initramfs with LVM makes. */
static bool put_root(struct buffer *out, const struct system *system)
{
    static const char *const lasting[] = {
        "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/mapper/"};
    const char *device = system->root_device;
    for (size_t i = 0; i < ARRAY_SIZE(lasting); i++) {
        if (strncmp(device, lasting[i], strlen(lasting[i])) != 0)
            continue;
        const char *quote = strpbrk(device, " \t\n") ? "\"" : "";
        buffer_format(out, "root=%s%s%s ro", quote, device, quote);
        return true;
    }
    if (!strncmp(system->volume->device, "lvm/", 4))
        buffer_format(out, "root=/dev/mapper/%s ro", system->volume->device + 4);
    else if (system->volume->filesystem.uuid[0])
        buffer_format(out, "root=UUID=%s ro", system->volume->filesystem.uuid);
    else
        return false;
    return true;
}

static bool put_kernel_cmdline(struct scan *scan, const struct system *system, struct buffer *out)
{
    char path[LOADER_PATH_BYTES];
    _cleanup_file_ struct grub_file file = GRUB_FILE_NONE;
    if (!scan_join(path, system->prefix, "etc/kernel/cmdline") ||
        !scan_read_text(scan, system->volume, path, &file))
        return false;
    loader_cmdline_file(out, (const char *)file.data, file.bytes);
    return out->length > 0;
}

static void put_default_grub(struct scan *scan, const struct system *system, struct buffer *out)
{
    static const char *const names[] = {"GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"};
    char path[LOADER_PATH_BYTES], value[LOADER_VALUE_BYTES];
    _cleanup_file_ struct grub_file file = GRUB_FILE_NONE;
    if (!scan_join(path, system->prefix, "etc/default/grub") ||
        !scan_read_text(scan, system->volume, path, &file))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (loader_shell_value((const char *)file.data, file.bytes, names[i], value) && *value)
            buffer_format(out, " %s", value);
}

bool scan_system_command_line(struct scan *scan, const struct system *system, struct buffer *out)
{
    if (put_kernel_cmdline(scan, system, out))
        return true;
    if (!put_root(out, system))
        return false;
    if (system->prefix[0])
        buffer_format(out, " rootflags=subvol=%s", system->prefix + 1);
    put_default_grub(scan, system, out);
    return true;
}

static bool has_system(const struct scan *scan, const struct volume *volume)
{
    for (unsigned i = 0; i < scan->system_count; i++)
        if (scan->systems[i].volume == volume)
            return true;
    return false;
}

/* The volume of that number (0: the whole disk) if it can be meant: there is a system on it, and
 * the kernel is not on that of another one; its machine may have another disk with partitions. */
static const struct volume *root_of(const struct scan *scan, const struct volume *of_kernel,
                                    unsigned partition)
{
    for (unsigned i = 0; i < scan->volume_count; i++) {
        const struct volume *volume = &scan->volumes[i];
        bool is_it = partition ? volume->number == partition : !strcmp(volume->device, "loop0");
        if (is_it && volume->filesystem.uuid[0] && has_system(scan, volume) &&
            (volume == of_kernel || !has_system(scan, of_kernel)))
            return volume;
    }
    return NULL;
}

char *scan_options(struct scan *scan, const struct candidate *candidate)
{
    const char *options = candidate->entry.options ? candidate->entry.options : "";
    struct loader_root_node node;
    char *changed;
    bool is_configured = scan->options->cmdline && !strcmp(options, scan->options->cmdline);
    if (is_configured || !loader_find_root_node(&node, options))
        return strdup(options);
    const struct volume *root = root_of(scan, candidate->volume, node.partition);
    if (!root) {
        scan_note(
            scan,
            "a kernel line says %.*s, which is another name in another machine, and its "
            "system was not found there: use root=UUID=... in the boot loader's configuration",
            (int)node.length, options + node.offset);
        return strdup(options);
    }
    int length = asprintf(&changed, "%.*sroot=UUID=%s%s", (int)node.offset, options,
                          root->filesystem.uuid, options + node.offset + node.length);
    return length < 0 ? NULL : changed;
}
