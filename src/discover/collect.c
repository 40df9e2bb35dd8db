/*
 * collect.c - from candidates to the catalog: in the order of the menu their files are read,
 * checked and sent, as long as there is memory for them.
 */
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "scan.h"

#include <netboot-target/boot/choices.h>
#include <netboot-target/util/array.h>

/* A file of the catalog, and where it came from, so that nobody reads it twice. */
struct origin {
    const struct volume *volume;
    char path[LOADER_PATH_BYTES];
    char part; /* of a unified image: 'k', 'i', 'm'; '\0': all of it */
};

struct collection {
    struct scan *scan;
    struct boot_catalog *catalog;
    struct origin origins[BOOT_CATALOG_FILES_LIMIT];
    uint64_t used_bytes;
    struct error *error;
};

/* One file while it is checked. */
struct part {
    struct origin origin;
    struct grub_file file;
    int index; /* in the catalog already; -1: not yet */
    uint64_t bytes;
};

struct parts {
    struct part items[1 + BOOT_ENTRY_INITRDS_LIMIT]; /* the kernel first */
    unsigned count;
    struct loader_initramfs initramfs;
    unsigned machines;
    bool is_whole; /* all of it could be started */
};

static void parts_done(struct parts *parts)
{
    for (unsigned i = 0; i < parts->count; i++)
        grub_file_done(&parts->items[i].file);
}

/* ── texts ───────────────────────────────────────────────────────────────────────────────────── */

/* Printable, bounded, UTF-8: what is not, becomes "?". */
static void clean_text(char *to, size_t size, const char *from)
{
    size_t used = 0;
    while (*from && used + 5 < size) {
        char sequence[5] = "";
        size_t length = 1;
        for (; length <= 4; length++) {
            memcpy(sequence, from, strnlen(from, length));
            sequence[strnlen(from, length)] = '\0';
            if (boot_catalog_text_is_clean(sequence, 4))
                break;
        }
        if (length > 4) {
            to[used++] = '?';
            from++;
            continue;
        }
        memcpy(to + used, sequence, strlen(sequence));
        used += strlen(sequence);
        from += strlen(sequence);
    }
    to[used] = '\0';
}

static char *clean_copy(const char *from)
{
    char text[ERROR_TEXT_BYTES];
    clean_text(text, sizeof text, from);
    return strdup(text);
}

static void digest(const void *bytes, size_t length, uint8_t to[static 32])
{
    unsigned written;
    EVP_Digest(bytes, length, to, &written, EVP_sha256(), NULL);
}

/* [a-z0-9._-]; what is too long ends in a number made of all of it. */
static void make_id(char to[BOOT_ENTRY_ID_BYTES], const char *from)
{
    uint8_t sum[32];
    size_t used = 0;
    for (const char *at = from; *at && used + 1 < BOOT_ENTRY_ID_BYTES; at++) {
        char c = (char)tolower((unsigned char)*at);
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                        ((c == '.' || c == '-') && used);
        to[used++] = is_plain ? c : '-';
    }
    if (used && to[0] == '-')
        to[0] = '_';
    if (!used)
        to[used++] = '_';
    to[used] = '\0';
    if (strlen(from) < BOOT_ENTRY_ID_BYTES)
        return;
    digest(from, strlen(from), sum);
    snprintf(to + BOOT_ENTRY_ID_BYTES - 10, 10, "-%02x%02x%02x%02x", sum[0], sum[1], sum[2],
             sum[3]);
}

static char *make_file_name(const struct boot_catalog *catalog, const struct origin *origin)
{
    static const struct {
        char part;
        const char *ending;
    } endings[] = {
        {'\0', ""       },
        {'k',  ".linux" },
        {'i',  ".initrd"},
        {'m',  ".ucode" },
    };
    char name[96];
    const char *slash = strrchr(origin->path, '/');
    const char *ending = "";
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
        if (endings[i].part == origin->part)
            ending = endings[i].ending;
    snprintf(name, sizeof name, "%.80s%s", slash ? slash + 1 : origin->path, ending);
    if (!*name)
        snprintf(name, sizeof name, "_");
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !(strchr("._-", *c) && c > name))
            *c = '_';
    return boot_catalog_make_name(catalog, name);
}

/* ── files ───────────────────────────────────────────────────────────────────────────────────── */

static bool has_data(const struct boot_catalog_file *file)
{
    return file->is_sent || file->is_kept;
}

/* The one with its data, if there are several. */
static int find_origin(const struct collection *to, const struct origin *origin)
{
    int found = -1;
    for (unsigned i = 0; i < to->catalog->file_count; i++)
        if (to->origins[i].volume == origin->volume && to->origins[i].part == origin->part &&
            !strcmp(to->origins[i].path, origin->path) &&
            (found < 0 || has_data(&to->catalog->files[i])))
            found = (int)i;
    return found;
}

static bool is_known(const struct discover_options *options, const struct boot_catalog_file *file)
{
    for (unsigned i = 0; i < options->known_count; i++)
        if (options->known[i].bytes == file->bytes &&
            !memcmp(options->known[i].sha256, file->sha256, sizeof file->sha256))
            return true;
    return false;
}

/* Adds it to the catalog, and sends it if the daemon has not got it. */
static int deliver(struct collection *to, struct part *part, bool with_data)
{
    struct boot_catalog *catalog = to->catalog;
    if (part->index >= 0)
        return 0;
    struct boot_catalog_file *file = &catalog->files[catalog->file_count];
    file->name = make_file_name(catalog, &part->origin);
    if (!file->name)
        return error_set(to->error, -ENOMEM, "out of memory");
    file->bytes = part->bytes;
    to->origins[catalog->file_count] = part->origin;
    part->index = (int)catalog->file_count++;
    if (!with_data)
        return 0;
    digest(part->file.data, part->file.bytes, file->sha256);
    to->used_bytes += part->bytes;
    file->is_kept = is_known(to->scan->options, file);
    file->is_sent = !file->is_kept;
    int result = file->is_sent ? send_file(to->scan->options->socket, 'F', &part->file) : 0;
    return result ? error_set(to->error, result, "a file cannot be sent: %s", strerror(-result))
                  : 0;
}

static struct part *add_part(struct parts *parts, const struct candidate *candidate,
                             const char *path, char kind)
{
    struct part *part = &parts->items[parts->count++];
    *part = (struct part){.file = GRUB_FILE_NONE, .index = -1};
    part->origin.volume = candidate->volume;
    part->origin.part = kind;
    snprintf(part->origin.path, sizeof part->origin.path, "%s", path);
    return part;
}

/* A whole file, as long as its folder says it is. */
static bool read_part(struct collection *to, struct candidate *candidate, struct part *part)
{
    struct error error;
    if (grub_read(&to->scan->grub, candidate->volume->device, part->origin.path, part->bytes + 1,
                  &part->file, &error))
        scan_set_problem(candidate, "%.100s cannot be read: %.120s", part->origin.path, error.text);
    else if (part->file.bytes != part->bytes)
        scan_set_problem(candidate, "%zu of the %llu bytes of %.100s can be read", part->file.bytes,
                         (unsigned long long)part->bytes, part->origin.path);
    return !candidate->problem[0];
}

/* Sections of a unified image become files of their own. */
static bool read_uki(struct collection *to, struct candidate *candidate, struct parts *parts)
{
    _cleanup_file_ struct grub_file file = GRUB_FILE_NONE;
    struct loader_uki uki;
    struct error error;
    if (grub_read(&to->scan->grub, candidate->volume->device, candidate->kernel, UINT64_MAX, &file,
                  &error) ||
        !file.bytes || loader_uki_read(&uki, file.data, file.bytes, &error)) {
        scan_set_problem(candidate, "%.150s cannot be read", candidate->kernel);
        return false;
    }
    const struct {
        char part;
        struct loader_span span;
    } spans[] = {
        {'k', uki.kernel   },
        {'m', uki.microcode},
        {'i', uki.initrd   },
    };
    for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
        if (!spans[i].span.bytes)
            continue;
        struct part *part = add_part(parts, candidate, candidate->kernel, spans[i].part);
        part->bytes = spans[i].span.bytes;
        if (grub_file_make(&part->file, file.data + spans[i].span.offset, part->bytes))
            scan_set_problem(candidate, "there is no memory for it");
    }
    return !candidate->problem[0];
}

/* Their sizes are known from their folders, so that nothing is read in vain. */
static bool list_parts(struct collection *to, struct candidate *candidate, struct parts *parts)
{
    add_part(parts, candidate, candidate->kernel, '\0');
    for (unsigned i = 0; i < candidate->initrd_count; i++)
        add_part(parts, candidate, candidate->initrds[i], '\0');
    for (unsigned i = 0; i < parts->count; i++) {
        struct part *part = &parts->items[i];
        const struct grub_name *name = scan_find(to->scan, candidate->volume, part->origin.path);
        if (!name || name->is_folder || name->bytes == GRUB_SIZE_UNKNOWN || !name->bytes)
            scan_set_problem(candidate, "%.150s has no content", part->origin.path);
        else
            part->bytes = name->bytes;
    }
    return !candidate->problem[0];
}

/* Those that are in the catalog are paid for. */
static bool fits(struct collection *to, struct candidate *candidate, struct parts *parts)
{
    uint64_t needed = 0, left = to->scan->options->memory_bytes - to->used_bytes;
    for (unsigned i = 0; i < parts->count; i++) {
        struct part *part = &parts->items[i];
        part->index = find_origin(to, &part->origin);
        if (part->index < 0 || !has_data(&to->catalog->files[part->index]))
            needed += part->bytes;
    }
    if (needed > left)
        scan_set_problem(
            candidate,
            "its files of %llu MiB are too large for what is left of discovery.memory, "
            "%llu MiB",
            (unsigned long long)(needed >> 20), (unsigned long long)(left >> 20));
    return needed <= left;
}

/* ── checks ──────────────────────────────────────────────────────────────────────────────────── */

static void check_kernel(struct candidate *candidate, struct parts *parts)
{
    const struct part *kernel = &parts->items[0];
    struct error error;
    if (loader_kernel_check(kernel->file.data, kernel->file.bytes, &parts->machines, &error))
        scan_set_problem(candidate, "its kernel %.100s is not offered: %.120s", kernel->origin.path,
                         error.text);
}

static void check_initrds(struct candidate *candidate, struct parts *parts)
{
    for (unsigned i = 1; i < parts->count; i++) {
        const struct part *part = &parts->items[i];
        struct loader_initramfs one = {0};
        struct error error;
        if (loader_initramfs_read(&one, part->file.data, part->file.bytes, &error)) {
            scan_set_problem(candidate, "its initrd %.100s is not offered: %.120s",
                             part->origin.path, error.text);
            return;
        }
        if (parts->initramfs.generator == BOOT_INITRAMFS_UNKNOWN)
            parts->initramfs.generator = one.generator;
        parts->initramfs.has_iscsi |= one.has_iscsi;
        parts->initramfs.is_sealed |= one.is_sealed;
    }
    parts->is_whole = parts->count > 1;
    if (!parts->is_whole)
        scan_set_problem(candidate, "it has no initramfs");
    else if (!parts->initramfs.has_iscsi && parts->initramfs.is_sealed)
        scan_set_problem(candidate, "its initramfs cannot be looked into");
    else if (!parts->initramfs.has_iscsi)
        scan_set_problem(candidate,
                         "its initramfs holds no iSCSI: run setup/linux.sh in its system");
}

/* Reads and checks all of them; what is wrong becomes the candidate's problem. One that is whole
 * and not prepared is sent all the same, for somebody who knows better. */
static void check_linux(struct collection *to, struct candidate *candidate, struct parts *parts)
{
    bool is_there =
        candidate->is_uki ? read_uki(to, candidate, parts) : list_parts(to, candidate, parts);
    if (!is_there || !fits(to, candidate, parts))
        return;
    for (unsigned i = 0; !candidate->is_uki && i < parts->count; i++)
        if (!read_part(to, candidate, &parts->items[i]))
            return;
    check_kernel(candidate, parts);
    if (!candidate->problem[0])
        check_initrds(candidate, parts);
}

/* ── entries ─────────────────────────────────────────────────────────────────────────────────── */

/* A kernel gets the words that the disk has for it, or it is not offered. */
static int fill_options(struct collection *to, struct candidate *candidate,
                        struct boot_entry *entry)
{
    entry->options = scan_options(to->scan, candidate);
    if (!entry->options)
        return error_set(to->error, -ENOMEM, "out of memory");
    for (char *c = entry->options; (c = strpbrk(c, "\t\n\r"));)
        *c = ' ';
    if (!boot_catalog_text_is_clean(entry->options, BOOT_ENTRY_OPTIONS_BYTES - 1)) {
        scan_set_problem(candidate, "its command line is no plain text, or longer than %u bytes",
                         BOOT_ENTRY_OPTIONS_BYTES - 1);
        *entry->options = '\0';
    }
    return 0;
}

static int fill_linux(struct collection *to, struct candidate *candidate, struct boot_entry *entry)
{
    struct parts parts = {0};
    int result = fill_options(to, candidate, entry);
    if (!candidate->problem[0])
        check_linux(to, candidate, &parts);
    if (!parts.count)
        add_part(&parts, candidate, candidate->kernel, '\0');
    for (unsigned i = 0; !result && i < parts.count; i++) {
        struct part *part = &parts.items[i];
        int known = find_origin(to, &part->origin);
        bool is_there = known >= 0 && has_data(&to->catalog->files[known]);
        part->index = is_there || !parts.is_whole ? known : -1;
        result = deliver(to, part, parts.is_whole);
        if (i == 0)
            entry->kernel = (unsigned)part->index;
        else
            entry->initrds[entry->initrd_count++] = (unsigned)part->index;
    }
    entry->machines = parts.machines;
    entry->initramfs = to->scan->options->initramfs != BOOT_INITRAMFS_UNKNOWN
                           ? to->scan->options->initramfs
                           : parts.initramfs.generator;
    entry->has_iscsi = parts.initramfs.has_iscsi;
    parts_done(&parts);
    return result;
}

static void fill_loader(struct candidate *candidate, struct boot_entry *entry)
{
    char path[LOADER_PATH_BYTES];
    clean_text(path, sizeof path, candidate->kernel);
    for (char *c = path; *c; c++)
        if (*c == '/')
            *c = '\\';
    if (*path && !boot_loader_is_nameable(path))
        scan_set_problem(candidate,
                         "its path %.150s is too long, or has a sign that iPXE cannot "
                         "pass on",
                         path);
    entry->loader = strdup(boot_loader_is_nameable(path) ? path : "");
    entry->is_on_demand = candidate->is_on_demand;
    entry->machines = candidate->machines ? candidate->machines
                                          : (unsigned)(BOOT_MACHINE_X64 | BOOT_MACHINE_IA32 |
                                                       BOOT_MACHINE_ARM64 | BOOT_MACHINE_RISCV64);
}

/* UAPI.1: entries of one title are told apart by their version, then by their name. */
static bool title_is_shared(const struct scan *scan, const struct candidate *candidate)
{
    for (unsigned i = 0; i < scan->candidate_count; i++) {
        const struct candidate *other = &scan->candidates[i];
        if (other != candidate && other->entry.title && candidate->entry.title &&
            !strcmp(other->entry.title, candidate->entry.title))
            return true;
    }
    return false;
}

static void make_title(const struct scan *scan, const struct candidate *candidate,
                       char to[BOOT_ENTRY_TITLE_BYTES])
{
    const struct loader_entry *entry = &candidate->entry;
    char title[2 * BOOT_ENTRY_TITLE_BYTES];
    const char *more = entry->version ? entry->version : entry->id;
    const char *name = entry->title && entry->title[0] ? entry->title : entry->id;
    bool with_more = title_is_shared(scan, candidate) && !strstr(name, more);
    snprintf(title, sizeof title, with_more ? "%.80s (%.40s)" : "%.120s", name, more);
    clean_text(to, BOOT_ENTRY_TITLE_BYTES, title);
    if (!*to)
        snprintf(to, BOOT_ENTRY_TITLE_BYTES, "?");
}

/* The same at each look, as long as it is the same filesystem. */
static char *volume_key(const struct volume *volume)
{
    char key[GRUB_DEVICE_BYTES + sizeof volume->filesystem.uuid + 1];
    snprintf(key, sizeof key, "%s %s", volume->device, volume->filesystem.uuid);
    return clean_copy(key);
}

static int add_entry(struct collection *to, struct candidate *candidate)
{
    struct boot_catalog *catalog = to->catalog;
    struct boot_entry *entry = &catalog->entries[catalog->entry_count];
    char source[LOADER_PATH_BYTES + GRUB_DEVICE_BYTES + 8];
    int result = 0;
    if (!candidate->entry.id)
        return error_set(to->error, -ENOMEM, "out of memory");
    entry->kind = candidate->kind;
    entry->machines = candidate->machines;
    make_id(entry->id, candidate->entry.id);
    boot_catalog_make_id_unique(catalog, entry->id);
    make_title(to->scan, candidate, entry->title);
    snprintf(source, sizeof source, candidate->volume ? "%.300s on %.150s" : "%.300s%s",
             candidate->source, candidate->volume ? candidate->volume->words : "");
    entry->source = clean_copy(source);
    entry->volume = candidate->volume ? volume_key(candidate->volume) : NULL;
    entry->starts_linux = candidate->starts_linux;
    if (candidate->kind == BOOT_ENTRY_LINUX)
        result = fill_linux(to, candidate, entry);
    else if (candidate->kind == BOOT_ENTRY_LOADER)
        fill_loader(candidate, entry);
    if (candidate->problem[0])
        entry->problem = clean_copy(candidate->problem);
    catalog->entry_count++;
    bool is_all = entry->source && (entry->volume || !candidate->volume) &&
                  (entry->loader || candidate->kind != BOOT_ENTRY_LOADER) &&
                  (entry->problem || !candidate->problem[0]);
    return result || is_all ? result : error_set(to->error, -ENOMEM, "out of memory");
}

/* Kernels as a menu has them, then programs, then boot code. */
static int compare_candidates(const void *one, const void *two)
{
    const struct candidate *a = one, *b = two;
    int order = (a->kind > b->kind) - (a->kind < b->kind);
    if (!order && a->kind == BOOT_ENTRY_LINUX)
        order = loader_entry_compare(&a->entry, &b->entry);
    if (!order)
        order = (a->is_on_demand > b->is_on_demand) - (a->is_on_demand < b->is_on_demand);
    if (!order)
        order = (a->rank > b->rank) - (a->rank < b->rank);
    if (!order && a->volume && b->volume)
        order = (a->volume > b->volume) - (a->volume < b->volume);
    return order ? order : strcmp(a->source, b->source);
}

static int add_notes(struct collection *to)
{
    struct boot_catalog *catalog = to->catalog;
    for (unsigned i = 0; i < to->scan->note_count; i++) {
        catalog->notes[i] = clean_copy(to->scan->notes[i]);
        if (!catalog->notes[i])
            return error_set(to->error, -ENOMEM, "out of memory");
        catalog->note_count++;
    }
    return 0;
}

/* Also those in which there is no kernel now: there may have been one. */
static int add_dirty(struct collection *to)
{
    struct boot_catalog *catalog = to->catalog;
    for (unsigned i = 0; i < to->scan->volume_count; i++) {
        const struct volume *volume = &to->scan->volumes[i];
        if (!scan_volume_is_unread(volume))
            continue;
        catalog->dirty[catalog->dirty_count] = volume_key(volume);
        if (!catalog->dirty[catalog->dirty_count])
            return error_set(to->error, -ENOMEM, "out of memory");
        catalog->dirty_count++;
    }
    return 0;
}

static int collect(struct collection *to)
{
    struct scan *scan = to->scan;
    struct boot_catalog *catalog = to->catalog;
    catalog->entries = calloc(BOOT_CATALOG_ENTRIES_LIMIT, sizeof *catalog->entries);
    catalog->files = calloc(BOOT_CATALOG_FILES_LIMIT, sizeof *catalog->files);
    catalog->notes = calloc(BOOT_CATALOG_NOTES_LIMIT, sizeof *catalog->notes);
    catalog->dirty = calloc(BOOT_CATALOG_VOLUMES_LIMIT, sizeof *catalog->dirty);
    if (!catalog->entries || !catalog->files || !catalog->notes || !catalog->dirty)
        return error_set(to->error, -ENOMEM, "out of memory");
    if (scan->candidate_count)
        qsort(scan->candidates, scan->candidate_count, sizeof *scan->candidates,
              compare_candidates);
    int result = 0;
    for (unsigned i = 0; !result && i < scan->candidate_count; i++) {
        if (catalog->entry_count == BOOT_CATALOG_ENTRIES_LIMIT ||
            catalog->file_count + 1 + BOOT_ENTRY_INITRDS_LIMIT > BOOT_CATALOG_FILES_LIMIT) {
            scan_note(scan, "there are more than %u things to boot; the oldest are left out",
                      catalog->entry_count);
            break;
        }
        result = add_entry(to, &scan->candidates[i]);
    }
    catalog->stale = scan->is_dirty;
    if (!result)
        result = add_dirty(to);
    return result ? result : add_notes(to);
}

struct boot_catalog *scan_collect(struct scan *scan, struct error *error)
{
    struct collection *to = calloc(1, sizeof *to);
    struct boot_catalog *catalog = calloc(1, sizeof *catalog);
    if (!to || !catalog) {
        free(to);
        free(catalog);
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    *to = (struct collection){.scan = scan, .catalog = catalog, .error = error};
    if (collect(to)) {
        boot_catalog_free(catalog);
        catalog = NULL;
    }
    free(to);
    return catalog;
}
