/* discover.c - one look at one disk, from its partitions to the index that the daemon gets. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "scan.h"

#include <netboot-target/util/array.h>

#define LISTINGS_LIMIT 512u

/* ── what the steps share ────────────────────────────────────────────────────────────────────── */

void scan_note(struct scan *scan, const char *format, ...)
{
    va_list values;
    char *note;
    va_start(values, format);
    int length = vasprintf(&note, format, values);
    va_end(values);
    if (length < 0)
        return;
    bool is_new = scan->note_count < BOOT_CATALOG_NOTES_LIMIT;
    for (unsigned i = 0; is_new && i < scan->note_count; i++)
        is_new = strcmp(scan->notes[i], note) != 0;
    if (is_new)
        scan->notes[scan->note_count++] = note;
    else
        free(note);
}

struct candidate *scan_add_candidate(struct scan *scan, enum boot_entry_kind kind,
                                     const struct volume *volume)
{
    if (scan->candidate_count == CANDIDATES_LIMIT)
        return NULL;
    struct candidate *candidate = &scan->candidates[scan->candidate_count++];
    *candidate = (struct candidate){.kind = kind, .volume = volume};
    return candidate;
}

void scan_set_problem(struct candidate *candidate, const char *format, ...)
{
    struct error reason;
    va_list values;
    va_start(values, format);
    vsnprintf(reason.text, sizeof reason.text, format, values);
    va_end(values);
    if (!candidate->problem[0])
        snprintf(candidate->problem, sizeof candidate->problem, "%.*s",
                 (int)sizeof candidate->problem - 1, reason.text);
}

bool scan_join(char to[LOADER_PATH_BYTES], const char *folder, const char *name)
{
    size_t length = strlen(folder);
    while (length && folder[length - 1] == '/')
        length--;
    name += strspn(name, "/");
    int written = snprintf(to, LOADER_PATH_BYTES, "%.*s/%s", (int)length, folder, name);
    return written > 0 && (size_t)written < LOADER_PATH_BYTES;
}

const struct grub_folder *scan_list(struct scan *scan, const struct volume *volume,
                                    const char *path)
{
    static const struct grub_folder nothing;
    struct listing *listing;
    struct error error;
    if (!*path)
        path = "/";
    DL_FOREACH (scan->listings, listing)
        if (listing->volume == volume && !strcmp(listing->path, path))
            return &listing->folder;
    if (scan->listing_count == LISTINGS_LIMIT || strlen(path) >= sizeof listing->path)
        return &nothing;
    listing = calloc(1, sizeof *listing);
    if (!listing)
        return &nothing;
    listing->volume = volume;
    memcpy(listing->path, path, strlen(path) + 1);
    if (grub_list(&scan->grub, volume->device, path, &listing->folder, &error))
        scan_note(scan, "%.200s on %s cannot be listed: %s", path, volume->words, error.text);
    DL_APPEND(scan->listings, listing);
    scan->listing_count++;
    return &listing->folder;
}

const struct grub_name *scan_find(struct scan *scan, const struct volume *volume, const char *path)
{
    char folder[LOADER_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (!slash || strlen(path) >= sizeof folder)
        return NULL;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    /* FAT does not care for the case of letters */
    bool any_case = volume->filesystem.kind == LOADER_FILESYSTEM_FAT;
    const struct grub_folder *names = scan_list(scan, volume, folder);
    for (unsigned i = 0; i < names->count; i++)
        if (any_case ? !strcasecmp(names->names[i].name, slash + 1)
                     : !strcmp(names->names[i].name, slash + 1))
            return &names->names[i];
    return NULL;
}

bool scan_read_text(struct scan *scan, const struct volume *volume, const char *path,
                    struct grub_file *ret_file)
{
    struct error error;
    const struct grub_name *name = scan_find(scan, volume, path);
    if (!name || name->is_folder)
        return false;
    if (name->bytes != GRUB_SIZE_UNKNOWN && name->bytes > LOADER_TEXT_BYTES_LIMIT) {
        scan_note(scan, "%.200s on %s is too long to be read", path, volume->words);
        return false;
    }
    if (grub_read(&scan->grub, volume->device, path, LOADER_TEXT_BYTES_LIMIT, ret_file, &error)) {
        scan_note(scan, "%.200s on %s cannot be read: %s", path, volume->words, error.text);
        return false;
    }
    return ret_file->bytes > 0;
}

/* ── the whole of it ─────────────────────────────────────────────────────────────────────────── */

static uint64_t deadline_ms(uint64_t time_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + time_ms;
}

static struct scan *scan_new(const struct discover_options *options, struct error *error)
{
    struct scan *scan = calloc(1, sizeof *scan);
    struct candidate *candidates = calloc(CANDIDATES_LIMIT, sizeof *candidates);
    if (!scan || !candidates) {
        free(scan);
        free(candidates);
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    scan->options = options;
    scan->candidates = candidates;
    scan->grub = (struct grub){.disk = options->disk,
                               .deadline_ms = deadline_ms(options->time_ms),
                               .file_limit_bytes = options->memory_bytes + (8u << 20)};
    scan->disk = open(options->disk, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (scan->disk < 0)
        error_set(error, -errno, "%.300s cannot be opened: %s", options->disk, strerror(errno));
    return scan;
}

static void scan_free(struct scan *scan)
{
    struct listing *listing, *next;
    DL_FOREACH_SAFE (scan->listings, listing, next) {
        grub_folder_done(&listing->folder);
        free(listing);
    }
    for (unsigned i = 0; i < scan->candidate_count; i++)
        loader_entry_done(&scan->candidates[i].entry);
    for (unsigned i = 0; i < scan->note_count; i++)
        free(scan->notes[i]);
    if (scan->disk >= 0)
        close(scan->disk);
    free(scan->candidates);
    free(scan);
}

static int send_index(const struct discover_options *options, const struct boot_catalog *catalog,
                      struct error *error)
{
    struct buffer index;
    struct grub_file file = GRUB_FILE_NONE;
    buffer_init(&index, BOOT_INDEX_BYTES_LIMIT);
    boot_catalog_write(&index, catalog);
    int result = index.failed ? -E2BIG : grub_file_make(&file, index.data, index.length);
    if (!result)
        result = send_file(options->socket, 'I', &file);
    grub_file_done(&file);
    buffer_done(&index);
    return result ? error_set(error, result, "the index cannot be sent: %s", strerror(-result)) : 0;
}

int discover_run(const struct discover_options *options, struct error *error)
{
    struct scan *scan = scan_new(options, error);
    if (!scan)
        return -ENOMEM;
    int result = scan->disk < 0 ? -EIO : scan_volumes(scan, error);
    if (!result) {
        scan_systems(scan);
        scan_kernels(scan);
        scan_programs(scan);
        struct boot_catalog *catalog = scan_collect(scan, error);
        result = catalog ? send_index(options, catalog, error) : -EIO;
        boot_catalog_free(catalog);
    }
    scan_free(scan);
    return result;
}
