/* programs.c - boot loaders that start a system from the disk itself: programs on an EFI system
 * partition, boot code in the first sector. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "scan.h"

#include <netboot-target/util/array.h>

#define MACHINES 8 /* bits of enum boot_machine, with room */

struct best {
    const struct loader_program *program;
    const char *file;
};

static void add(struct scan *scan, const struct volume *volume, const char *path,
                const char *folder, const struct loader_program *program)
{
    struct candidate *candidate = scan_add_candidate(scan, BOOT_ENTRY_LOADER, volume);
    struct buffer title;
    if (!candidate)
        return;
    candidate->machines = program->machines;
    candidate->rank = loader_program_rank(program);
    candidate->starts_linux = program->starts_linux;
    snprintf(candidate->kernel, sizeof candidate->kernel, "%s", path);
    snprintf(candidate->source, sizeof candidate->source, "%s", path);
    buffer_init(&title, LOADER_VALUE_BYTES);
    size_t cut = strcspn(program->title, "%");
    buffer_append(&title, program->title, cut);
    if (program->title[cut])
        buffer_format(&title, "%s%s", folder, program->title + cut + 2);
    const char *text = buffer_string(&title);
    candidate->entry.title = text ? strdup(text) : NULL;
    candidate->entry.tries_left = -1;
    if (asprintf(&candidate->entry.id, "loader-%s-%s", folder, strrchr(path, '/') + 1) < 0)
        candidate->entry.id = NULL;
    buffer_done(&title);
}

/* The best program of a folder for each kind of machine. `name`: as rows of programs have it. */
static void look_in(struct scan *scan, const struct volume *volume, const char *folder,
                    const char *name)
{
    struct best best[MACHINES] = {0};
    const struct grub_folder *files = scan_list(scan, volume, folder);
    for (unsigned i = 0; i < files->count; i++) {
        const struct loader_program *program =
            files->names[i].is_folder ? NULL : loader_program_find(name, files->names[i].name);
        for (unsigned bit = 0; program && bit < MACHINES; bit++)
            if ((program->machines >> bit & 1) &&
                (!best[bit].program ||
                 loader_program_rank(program) < loader_program_rank(best[bit].program)))
                best[bit] = (struct best){program, files->names[i].name};
    }
    for (unsigned bit = 0; bit < MACHINES; bit++) {
        char path[LOADER_PATH_BYTES];
        bool is_told = !best[bit].program;
        for (unsigned before = 0; before < bit; before++)
            is_told |= best[before].program == best[bit].program;
        if (!is_told && scan_join(path, folder, best[bit].file))
            add(scan, volume, path, name, best[bit].program);
    }
}

static void look_at_partition(struct scan *scan, const struct volume *volume)
{
    const struct grub_folder *folders = scan_list(scan, volume, "/EFI");
    char path[LOADER_PATH_BYTES], boot[LOADER_PATH_BYTES];
    for (unsigned i = 0; i < folders->count; i++) {
        const char *name = folders->names[i].name;
        if (!folders->names[i].is_folder || !strcasecmp(name, "netboot-target") ||
            !scan_join(path, "/EFI", name))
            continue;
        if (!strcasecmp(name, "microsoft")) {
            if (scan_join(boot, path, "Boot"))
                look_in(scan, volume, boot, "microsoft/boot");
            continue;
        }
        look_in(scan, volume, path, name);
    }
}

/* Boot code in front of a partition table, or of an ISO image for hard disks. */
static void look_at_boot_code(struct scan *scan)
{
    uint8_t sector[512];
    if (!scan->is_partitioned || pread(scan->disk, sector, sizeof sector, 0) != sizeof sector)
        return;
    bool starts_linux;
    const char *name = loader_boot_code(sector, &starts_linux);
    struct candidate *candidate = name ? scan_add_candidate(scan, BOOT_ENTRY_MBR, NULL) : NULL;
    if (!candidate)
        return;
    candidate->machines = BOOT_MACHINE_BIOS;
    candidate->starts_linux = starts_linux;
    candidate->entry.title = strdup(name);
    candidate->entry.id = strdup("disk");
    candidate->entry.tries_left = -1;
    snprintf(candidate->source, sizeof candidate->source, "the first sector");
}

void scan_programs(struct scan *scan)
{
    for (unsigned i = 0; i < scan->volume_count; i++)
        if (scan->volumes[i].is_known && scan->volumes[i].filesystem.kind == LOADER_FILESYSTEM_FAT)
            look_at_partition(scan, &scan->volumes[i]);
    look_at_boot_code(scan);
}
