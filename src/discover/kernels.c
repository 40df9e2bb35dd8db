/* kernels.c - what a boot loader would offer of each volume: entries, unified images, kernels. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "scan.h"

#include <netboot-target/util/array.h>

#define UKI_BYTES_LIMIT (1ull << 30)
#define SNAPSHOTS_ASKED 8u /* of one folder, before they count for none with a kernel */

/* A folder in which kernels are looked for. */
struct place {
    struct scan *scan;
    const struct volume *volume;
    const char *prefix; /* of the root filesystem: "", or a subvolume "/@" */
    char folder[LOADER_PATH_BYTES];
    const struct system *system; /* NULL: none */
};

/* ── paths ───────────────────────────────────────────────────────────────────────────────────── */

/*
 * Where a path of an entry is on its volume. They begin at the top of the filesystem (UAPI.1),
 * which GRUB's entries of a subvolume do as well; others begin at the root directory or at /boot,
 * or at the root of a subvolume that lies deeper, in whose /boot we are.
 */
static bool resolve(const struct place *place, const char *path, char to[LOADER_PATH_BYTES])
{
    const char *const tops[] = {"", place->prefix, place->folder};
    const char *device_end = path[0] == '(' ? strchr(path, ')') : NULL;
    if (device_end) /* "($root)/vmlinuz": GRUB's device is this one */
        path = device_end + 1;
    path += strspn(path, "/");
    if (strstr(path, "/../") || !strncmp(path, "../", 3))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
        const struct grub_name *name;
        if (!scan_join(to, tops[i], path))
            continue;
        name = scan_find(place->scan, place->volume, to);
        if (name && !name->is_folder)
            return true;
    }
    const char *slash = strrchr(path, '/');
    const struct grub_name *name = NULL;
    if (slash && !strncmp(path, "boot/", 5) && scan_join(to, place->folder, slash + 1))
        name = scan_find(place->scan, place->volume, to);
    return name && !name->is_folder;
}

static void resolve_files(const struct place *place, struct candidate *candidate)
{
    const struct loader_entry *entry = &candidate->entry;
    if (!resolve(place, entry->kernel, candidate->kernel))
        scan_set_problem(candidate, "its kernel %.150s is not there", entry->kernel);
    for (unsigned i = 0; i < entry->initrd_count; i++) {
        if (resolve(place, entry->initrds[i], candidate->initrds[candidate->initrd_count]))
            candidate->initrd_count++;
        else
            scan_set_problem(candidate, "its initrd %.150s is not there", entry->initrds[i]);
    }
}

/* ── type 1 entries ──────────────────────────────────────────────────────────────────────────── */

/* What grub.cfg and grubenv of one folder set. `uuid`: only where grub.cfg names this filesystem;
 * NULL: always. */
static void read_grub_folder(struct scan *scan, const struct volume *volume, const char *folder,
                             const char *uuid, struct loader_variables *variables)
{
    char path[LOADER_PATH_BYTES];
    _cleanup_file_ struct grub_file config = GRUB_FILE_NONE;
    _cleanup_file_ struct grub_file environment = GRUB_FILE_NONE;
    if (scan_join(path, folder, "grub.cfg"))
        scan_read_text(scan, volume, path, &config);
    if (uuid && (!*uuid || !config.data || !memmem(config.data, config.bytes, uuid, strlen(uuid))))
        return;
    if (config.data)
        loader_variables_read_grub_cfg(variables, (const char *)config.data, config.bytes);
    if (scan_join(path, folder, "grubenv") && scan_read_text(scan, volume, path, &environment))
        loader_variables_read_environment(variables, (const char *)environment.data,
                                          environment.bytes);
}

/* Enterprise Linux 8 on UEFI keeps GRUB's files beside its loader; /boot only links to them. */
static void read_efi_folders(const struct place *place, struct loader_variables *variables)
{
    struct scan *scan = place->scan;
    for (unsigned i = 0; i < scan->volume_count; i++) {
        const struct volume *volume = &scan->volumes[i];
        if (!volume->is_known || volume->filesystem.kind != LOADER_FILESYSTEM_FAT)
            continue;
        const struct grub_folder *names = scan_list(scan, volume, "/EFI");
        for (unsigned j = 0; j < names->count; j++) {
            char folder[LOADER_PATH_BYTES];
            if (names->names[j].is_folder && scan_join(folder, "/EFI", names->names[j].name))
                read_grub_folder(scan, volume, folder, place->volume->filesystem.uuid, variables);
        }
    }
}

/* GRUB's variables: what its grub.cfg sets, then what its environment says. */
static struct loader_variables *read_variables(const struct place *place)
{
    static const char *const folders[] = {"grub2", "grub"};
    struct loader_variables *variables = loader_variables_new();
    if (variables)
        read_efi_folders(place, variables);
    for (size_t i = 0; variables && i < ARRAY_SIZE(folders); i++) {
        char folder[LOADER_PATH_BYTES];
        if (scan_join(folder, place->folder, folders[i]))
            read_grub_folder(place->scan, place->volume, folder, NULL, variables);
    }
    return variables;
}

static void add_program(const struct place *place, struct candidate *candidate)
{
    char path[LOADER_PATH_BYTES];
    candidate->kind = BOOT_ENTRY_LOADER;
    candidate->is_on_demand = true;
    if (place->volume->filesystem.kind != LOADER_FILESYSTEM_FAT)
        scan_set_problem(candidate, "its program is not on a FAT filesystem");
    else if (!resolve(place, candidate->entry.efi, path))
        scan_set_problem(candidate, "its program %.150s is not there", candidate->entry.efi);
    else
        snprintf(candidate->kernel, sizeof candidate->kernel, "%s", path);
}

/* Takes the entry over. NULL: it is our own one, or one too many. */
static struct candidate *add_entry(const struct place *place, struct loader_entry *entry,
                                   const char *path)
{
    struct candidate *candidate =
        loader_entry_is_ours(entry)
            ? NULL
            : scan_add_candidate(place->scan, BOOT_ENTRY_LINUX, place->volume);
    if (!candidate) {
        loader_entry_done(entry);
        return NULL;
    }
    candidate->entry = *entry;
    snprintf(candidate->source, sizeof candidate->source, "%s", path);
    return candidate;
}

static void take_entry(const struct place *place, const char *folder, const char *name,
                       const struct loader_variables *variables)
{
    char path[LOADER_PATH_BYTES];
    struct loader_entry entry;
    _cleanup_file_ struct grub_file file = GRUB_FILE_NONE;
    if (!scan_join(path, folder, name) ||
        !scan_read_text(place->scan, place->volume, path, &file) ||
        loader_entry_parse(&entry, name, (const char *)file.data, file.bytes, variables))
        return;
    struct candidate *candidate = add_entry(place, &entry, path);
    if (!candidate)
        return;
    if (!entry.kernel)
        add_program(place, candidate);
    else
        resolve_files(place, candidate);
    if (entry.lacks_options)
        scan_set_problem(candidate, "its options are in GRUB's variable kernelopts, which nothing "
                                    "on the disk sets: run grub2-mkconfig in its system");
}

static void take_entries(const struct place *place)
{
    char folder[LOADER_PATH_BYTES];
    if (!scan_join(folder, place->folder, "loader/entries"))
        return;
    const struct grub_folder *names = scan_list(place->scan, place->volume, folder);
    if (!names->count)
        return;
    struct loader_variables *variables = read_variables(place);
    for (unsigned i = 0; variables && i < names->count; i++)
        if (!names->names[i].is_folder)
            take_entry(place, folder, names->names[i].name, variables);
    loader_variables_free(variables);
}

/* ── unified kernel images ───────────────────────────────────────────────────────────────────── */

static void take_uki(const struct place *place, const char *folder, const char *name)
{
    char path[LOADER_PATH_BYTES];
    struct loader_uki uki;
    struct loader_entry entry;
    struct error error;
    _cleanup_file_ struct grub_file file = GRUB_FILE_NONE;
    int tries;
    char *id = loader_entry_id(name, ".efi", &tries);
    free(id);
    if (!id || !scan_join(path, folder, name))
        return;
    int result =
        grub_read(&place->scan->grub, place->volume->device, path, UKI_BYTES_LIMIT, &file, &error);
    if (!result && !file.bytes)
        result = error_set(&error, -EINVAL, "it is empty");
    if (!result)
        result = loader_uki_read(&uki, file.data, file.bytes, &error);
    if (!result)
        result = loader_uki_entry(&entry, name, &uki, file.data, &error);
    if (result) {
        scan_note(place->scan, "%.200s on %s: %s", path, place->volume->words, error.text);
        return;
    }
    struct candidate *candidate = add_entry(place, &entry, path);
    if (!candidate)
        return;
    candidate->is_uki = true;
    snprintf(candidate->kernel, sizeof candidate->kernel, "%s", path);
}

static void take_ukis(const struct place *place)
{
    static const char *const folders[] = {"EFI/Linux", "efi/linux", "EFI/linux"};
    const struct grub_folder *last = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        char folder[LOADER_PATH_BYTES];
        if (!scan_join(folder, place->folder, folders[i]))
            continue;
        const struct grub_folder *names = scan_list(place->scan, place->volume, folder);
        if (last && last->count) /* FAT does not care for the case: this is the same folder */
            break;
        last = names;
        for (unsigned j = 0; j < names->count; j++)
            if (!names->names[j].is_folder)
                take_uki(place, folder, names->names[j].name);
    }
}

/* ── kernels without entries ─────────────────────────────────────────────────────────────────── */

static bool has_entry(const struct place *place, const char *kernel)
{
    for (unsigned i = 0; i < place->scan->candidate_count; i++) {
        const struct candidate *candidate = &place->scan->candidates[i];
        if (candidate->volume == place->volume && !strcmp(candidate->kernel, kernel))
            return true;
    }
    return false;
}

/* The line of GRUB's menu for this kernel. */
static bool take_grub_entry(const struct place *place, const char *kernel_name,
                            struct loader_entry *ret_entry)
{
    static const char *const files[] = {"grub/grub.cfg", "grub2/grub.cfg"};
    bool found = false;
    struct loader_variables *variables = read_variables(place);
    for (size_t i = 0; variables && !found && i < ARRAY_SIZE(files); i++) {
        char path[LOADER_PATH_BYTES];
        _cleanup_file_ struct grub_file file = GRUB_FILE_NONE;
        if (scan_join(path, place->folder, files[i]) &&
            scan_read_text(place->scan, place->volume, path, &file))
            found = loader_grub_cfg_find(ret_entry, (const char *)file.data, file.bytes,
                                         kernel_name, variables);
    }
    loader_variables_free(variables);
    return found;
}

static char *make_options(const struct place *place)
{
    struct buffer options;
    char *copy = NULL;
    buffer_init(&options, LOADER_VALUE_BYTES);
    if (place->scan->options->cmdline)
        buffer_append_string(&options, place->scan->options->cmdline);
    else if (place->system)
        scan_system_command_line(place->scan, place->system, &options);
    const char *text = buffer_string(&options);
    if (text && *text)
        copy = strdup(text);
    buffer_done(&options);
    return copy;
}

static char *make_title(const struct place *place, const char *version)
{
    char *title;
    bool has_name = place->system && place->system->title[0];
    if (asprintf(&title, "%.100s%sLinux %.100s", has_name ? place->system->title : "",
                 has_name ? ", " : "", version) < 0)
        return NULL;
    return title;
}

/* The files of its folder that go with it. */
static void pair_initrds(const struct place *place, const struct grub_folder *folder,
                         const char *version, struct loader_entry *entry)
{
    const char *initrds[BOOT_ENTRY_INITRDS_LIMIT];
    const char **names = calloc(folder->count, sizeof *names);
    if (!names)
        return;
    for (unsigned i = 0; i < folder->count; i++)
        names[i] = folder->names[i].name;
    unsigned count = loader_find_initrds(version, names, folder->count, initrds);
    for (unsigned i = 0; i < count; i++) {
        char path[LOADER_PATH_BYTES];
        if (scan_join(path, place->folder, initrds[i]) &&
            (entry->initrds[entry->initrd_count] = strdup(path)))
            entry->initrd_count++;
    }
    free(names);
}

static void take_kernel(const struct place *place, const struct grub_folder *folder,
                        const char *name)
{
    char path[LOADER_PATH_BYTES];
    struct loader_entry entry = {.tries_left = -1};
    const char *version = loader_kernel_version(name);
    if (!version || !scan_join(path, place->folder, name) || has_entry(place, path))
        return;
    if (place->scan->options->cmdline || !take_grub_entry(place, name, &entry))
        entry.options = make_options(place);
    if (!entry.initrd_count)
        pair_initrds(place, folder, version, &entry);
    free(entry.kernel);
    free(entry.title);
    entry.kernel = strdup(path);
    entry.id = strdup(name);
    entry.version = strdup(version);
    entry.title = make_title(place, version);
    struct candidate *candidate = add_entry(place, &entry, path);
    if (!candidate)
        return;
    if (entry.kernel)
        resolve_files(place, candidate);
    if (!entry.options)
        scan_set_problem(candidate,
                         "nothing on the disk tells its command line: set kernels.cmdline");
    if (!entry.initrd_count)
        scan_set_problem(candidate, "it has no initramfs");
}

/* Debian has vmlinuz in the root directory too, a link; those are not called like a version. */
static void take_kernels(const struct place *place)
{
    const struct grub_folder *folder = scan_list(place->scan, place->volume, place->folder);
    for (unsigned i = 0; i < folder->count; i++)
        if (!folder->names[i].is_folder)
            take_kernel(place, folder, folder->names[i].name);
}

/* ── places ──────────────────────────────────────────────────────────────────────────────────── */

static void look_in(struct scan *scan, const struct volume *volume, const char *prefix,
                    const char *folder)
{
    struct place place = {.scan = scan, .volume = volume, .prefix = prefix};
    if (!scan_join(place.folder, prefix, folder))
        return;
    if (!strcmp(place.folder, "/"))
        place.folder[0] = '\0';
    place.system = scan_system_of(scan, volume, place.folder);
    take_entries(&place);
    take_ukis(&place);
    take_kernels(&place);
}

static void look_below(struct scan *scan, const struct volume *volume, const char *prefix)
{
    const struct grub_folder *top = scan_list(scan, volume, prefix[0] ? prefix : "/");
    for (unsigned i = 0; i < top->count; i++)
        if (top->names[i].is_folder && !strcmp(top->names[i].name, "boot"))
            look_in(scan, volume, prefix, "boot");
    look_in(scan, volume, prefix, "");
}

static bool has_kernel(struct scan *scan, const struct volume *volume, const char *path)
{
    const struct grub_folder *folder = scan_list(scan, volume, path);
    for (unsigned i = 0; i < folder->count; i++)
        if (!folder->names[i].is_folder && loader_kernel_version(folder->names[i].name))
            return true;
    return false;
}

/*
 * openSUSE's root is a snapshot: the one that is the filesystem's default. GRUB's drivers do not
 * tell which that is; the newest is not, after a rollback, and the kernel of another one would find
 * a root without its modules.
 */
static void explain_snapshots(struct scan *scan, const struct volume *volume, const char *prefix)
{
    char all[LOADER_PATH_BYTES], one[LOADER_PATH_BYTES], path[LOADER_PATH_BYTES];
    unsigned asked = 0;
    if (!scan_join(all, prefix, ".snapshots"))
        return;
    const struct grub_folder *folder = scan_list(scan, volume, all);
    for (unsigned i = 0; i < folder->count && asked < SNAPSHOTS_ASKED; i++) {
        const char *name = folder->names[i].name;
        if (name[strspn(name, "0123456789")] || !scan_join(one, all, name) ||
            !scan_join(path, one, "snapshot/boot"))
            continue;
        asked++;
        if (!has_kernel(scan, volume, path))
            continue;
        scan_note(
            scan,
            "%s has its system in a snapshot: run \"btrfs subvolume get-default /\" in that "
            "system, and set kernels.path = \"%.100s/N/snapshot/boot\" with the number N that "
            "is in its answer",
            volume->words, all);
        return;
    }
}

/* Subvolumes of Btrfs are folders of its top. */
static void look_at_volume(struct scan *scan, const struct volume *volume)
{
    if (scan->options->path) {
        look_in(scan, volume, "", scan->options->path);
        return;
    }
    unsigned first = scan->candidate_count;
    look_below(scan, volume, "");
    if (volume->filesystem.kind != LOADER_FILESYSTEM_BTRFS)
        return;
    const struct grub_folder *top = scan_list(scan, volume, "/");
    for (unsigned i = 0; i < top->count; i++) {
        char prefix[LOADER_PATH_BYTES];
        if (top->names[i].is_folder && strcmp(top->names[i].name, "boot") != 0 &&
            scan_join(prefix, "", top->names[i].name))
            look_below(scan, volume, prefix);
    }
    for (unsigned i = 0; i < top->count && scan->candidate_count == first; i++) {
        char prefix[LOADER_PATH_BYTES];
        if (top->names[i].is_folder && scan_join(prefix, "", top->names[i].name))
            explain_snapshots(scan, volume, prefix);
    }
}

/* Without a journal, on FAT, what there is can be read. */
static void drop_dirty(struct scan *scan, const struct volume *volume, unsigned first)
{
    if (!volume->filesystem.is_dirty || scan->candidate_count == first)
        return;
    const char *kind = loader_filesystem_name(volume->filesystem.kind);
    if (!scan_volume_is_unread(volume)) {
        scan_note(scan, "the %s filesystem on %s was not unmounted", kind, volume->words);
        return;
    }
    scan->is_dirty = true;
    scan_note(scan,
              "the %s filesystem on %s was not unmounted, so its kernels are not read; boot "
              "from the disk once, or mount it somewhere and unmount it",
              kind, volume->words);
    while (scan->candidate_count > first)
        loader_entry_done(&scan->candidates[--scan->candidate_count].entry);
}

void scan_kernels(struct scan *scan)
{
    for (unsigned i = 0; i < scan->volume_count; i++) {
        const struct volume *volume = &scan->volumes[i];
        unsigned first = scan->candidate_count;
        if (!volume->is_known || !volume->is_chosen)
            continue;
        look_at_volume(scan, volume);
        drop_dirty(scan, volume, first);
    }
}
