/*
 * catalog_index.c - a catalog as JSON and back: how the helper that reads disks hands over what it
 * found. What is read was made from a foreign disk by a process that may have been taken over by
 * it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>

#define NOTE_BYTES_LIMIT   ((size_t)ERROR_TEXT_BYTES)
#define SOURCE_BYTES_LIMIT 512u
#define VOLUME_BYTES_LIMIT 255u
#define LOADER_BYTES_LIMIT 255u
#define NAME_BYTES_LIMIT   128u

static const char *const kinds[] = {
    [BOOT_ENTRY_LINUX] = "linux", [BOOT_ENTRY_LOADER] = "loader", [BOOT_ENTRY_MBR] = "mbr"};
static const char *const generators[BOOT_INITRAMFS_COUNT] = {
    [BOOT_INITRAMFS_UNKNOWN] = "unknown",
    [BOOT_INITRAMFS_DRACUT] = "dracut",
    [BOOT_INITRAMFS_TOOLS] = "initramfs-tools",
    [BOOT_INITRAMFS_MKINITCPIO] = "mkinitcpio",
};

static void json_unref(json_t *const *json)
{
    json_decref(*json);
}
#define _cleanup_json_ _cleanup_(json_unref)

/* ── writing ─────────────────────────────────────────────────────────────────────────────────── */

/* jansson's *_new functions take the value over even when they fail; a NULL value, out of memory,
 * makes them fail. */
static void add(json_t *object, const char *name, json_t *value, bool *failed)
{
    *failed |= json_object_set_new(object, name, value) != 0;
}

static void add_text(json_t *object, const char *name, const char *value, bool *failed)
{
    if (value)
        add(object, name, json_string(value), failed);
}

static void add_texts(json_t *object, const char *name, char *const *values, unsigned count,
                      bool *failed)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        *failed |= json_array_append_new(list, json_string(values[i])) != 0;
    add(object, name, list, failed);
}

static void hex_of(const uint8_t bytes[32], char to[static 65])
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < 32; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
    to[64] = '\0';
}

static json_t *file_json(const struct boot_catalog_file *file, bool *failed)
{
    char sha256[65];
    json_t *to = json_object();
    hex_of(file->sha256, sha256);
    add_text(to, "name", file->name, failed);
    add(to, "bytes", json_integer((json_int_t)file->bytes), failed);
    add_text(to, "sha256", sha256, failed);
    add(to, "sent", json_boolean(file->is_sent), failed);
    add(to, "kept", json_boolean(file->is_kept), failed);
    return to;
}

static json_t *entry_json(const struct boot_entry *entry, bool *failed)
{
    json_t *to = json_object(), *initrds = json_array();
    add_text(to, "kind", kinds[entry->kind], failed);
    add_text(to, "id", entry->id, failed);
    add_text(to, "title", entry->title, failed);
    add_text(to, "source", entry->source, failed);
    add_text(to, "volume", entry->volume, failed);
    add(to, "machines", json_integer(entry->machines), failed);
    add_text(to, "problem", entry->problem, failed);
    add_text(to, "loader", entry->loader, failed);
    if (entry->is_on_demand)
        add(to, "on-demand", json_true(), failed);
    if (entry->starts_linux)
        add(to, "starts-linux", json_true(), failed);
    for (unsigned i = 0; i < entry->initrd_count; i++)
        *failed |= json_array_append_new(initrds, json_integer(entry->initrds[i])) != 0;
    add(to, "initrds", initrds, failed);
    if (entry->kind != BOOT_ENTRY_LINUX)
        return to;
    add(to, "kernel", json_integer(entry->kernel), failed);
    add_text(to, "options", entry->options, failed);
    add_text(to, "initramfs", generators[entry->initramfs], failed);
    add(to, "iscsi", json_boolean(entry->has_iscsi), failed);
    return to;
}

static int append(const char *bytes, size_t length, void *to)
{
    buffer_append(to, bytes, length);
    return ((struct buffer *)to)->failed ? -1 : 0;
}

void boot_catalog_write(struct buffer *out, const struct boot_catalog *catalog)
{
    bool failed = false;
    _cleanup_json_ json_t *to = json_object();
    json_t *entries = json_array(), *files = json_array();
    for (unsigned i = 0; i < catalog->entry_count; i++)
        failed |= json_array_append_new(entries, entry_json(&catalog->entries[i], &failed)) != 0;
    for (unsigned i = 0; i < catalog->file_count; i++)
        failed |= json_array_append_new(files, file_json(&catalog->files[i], &failed)) != 0;
    add(to, "entries", entries, &failed);
    add(to, "files", files, &failed);
    add_texts(to, "notes", catalog->notes, catalog->note_count, &failed);
    add_texts(to, "dirty-volumes", catalog->dirty, catalog->dirty_count, &failed);
    add(to, "dirty", json_boolean(catalog->stale), &failed);
    if (failed || json_dump_callback(to, append, out, JSON_COMPACT))
        out->failed = true;
}

/* ── reading ─────────────────────────────────────────────────────────────────────────────────── */

struct reading {
    struct boot_catalog *catalog;
    const struct boot_deliveries *deliveries;
    unsigned taken; /* blobs */
    struct error *error;
};

static int refuse(const struct reading *reading, const char *what)
{
    return error_set(reading->error, -EPROTO, "the index of the disk is wrong: %s", what);
}

/* NULL where the member is missing, or no clean string of at most `limit` bytes. */
static const char *text_of(const json_t *object, const char *name, size_t limit)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && boot_catalog_text_is_clean(text, limit) ? text : NULL;
}

/* A copy in `ret_text`; NULL where the member is missing. */
static int copy_text(const struct reading *reading, const json_t *object, const char *name,
                     size_t limit, char **ret_text)
{
    if (!json_object_get(object, name))
        return 0;
    const char *text = text_of(object, name, limit);
    if (!text)
        return refuse(reading, "a text that is too long or not clean");
    *ret_text = strdup(text);
    return *ret_text ? 0 : error_set(reading->error, -ENOMEM, "out of memory");
}

static bool number_of(const json_t *value, uint64_t limit, uint64_t *ret_number)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > limit)
        return false;
    *ret_number = (uint64_t)number;
    return true;
}

static bool word_of(const json_t *object, const char *name, const char *const *words,
                    unsigned count, unsigned *ret_value)
{
    const char *word = json_string_value(json_object_get(object, name));
    for (unsigned i = 0; word && i < count; i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        *ret_value = i;
        return true;
    }
    return false;
}

static bool is_made_of(const char *text, const char *signs)
{
    return *text && *text != '.' && strspn(text, signs) == strlen(text);
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static int digit_of(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool read_sha256(const char *text, uint8_t to[static 32])
{
    if (!text || strlen(text) != 64)
        return false;
    for (unsigned i = 0; i < 32; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The bytes of a file: sent along, or known from before. */
static int take_blob(struct reading *reading, const json_t *from, struct boot_catalog_file *file)
{
    const struct boot_deliveries *deliveries = reading->deliveries;
    struct boot_blob *blob = NULL;
    if (json_is_true(json_object_get(from, "sent"))) {
        if (reading->taken == deliveries->blob_count)
            return refuse(reading, "a file that was not sent");
        blob = deliveries->blobs[reading->taken++];
        if (blob->bytes != file->bytes)
            return refuse(reading, "a file of another size than was sent");
        memcpy(blob->sha256, file->sha256, sizeof blob->sha256);
    } else if (json_is_true(json_object_get(from, "kept")) && deliveries->find) {
        blob = deliveries->find(deliveries->context, file->sha256, file->bytes);
    }
    file->blob = boot_blob_ref(blob);
    file->data = blob ? blob->data : NULL;
    return 0;
}

static int read_file(struct reading *reading, const json_t *from, struct boot_catalog_file *file)
{
    const char *name = text_of(from, "name", NAME_BYTES_LIMIT);
    if (!name || !is_made_of(name, LOWER UPPER DIGITS "._-"))
        return refuse(reading, "the name of a file");
    for (const struct boot_catalog_file *other = reading->catalog->files; other < file; other++)
        if (other->name && !strcmp(other->name, name))
            return refuse(reading, "two files of one name");
    file->name = strdup(name);
    if (!file->name)
        return error_set(reading->error, -ENOMEM, "out of memory");
    if (!number_of(json_object_get(from, "bytes"), INT64_MAX, &file->bytes))
        return refuse(reading, "the size of a file");
    if (!read_sha256(json_string_value(json_object_get(from, "sha256")), file->sha256))
        return refuse(reading, "the digest of a file");
    return take_blob(reading, from, file);
}

static int read_initrds(struct reading *reading, const json_t *list, struct boot_entry *entry)
{
    if (json_array_size(list) > BOOT_ENTRY_INITRDS_LIMIT)
        return refuse(reading, "too many initrds");
    for (size_t i = 0; i < json_array_size(list); i++) {
        uint64_t file;
        if (!number_of(json_array_get(list, i), UINT32_MAX, &file) ||
            file >= reading->catalog->file_count)
            return refuse(reading, "an initrd that is no file");
        entry->initrds[entry->initrd_count++] = (unsigned)file;
    }
    return 0;
}

static int read_linux(struct reading *reading, const json_t *from, struct boot_entry *entry)
{
    uint64_t kernel;
    unsigned generator;
    if (!number_of(json_object_get(from, "kernel"), UINT32_MAX, &kernel) ||
        kernel >= reading->catalog->file_count)
        return refuse(reading, "a kernel that is no file");
    if (!word_of(from, "initramfs", generators, BOOT_INITRAMFS_COUNT, &generator))
        return refuse(reading, "an initramfs of an unknown kind");
    entry->kernel = (unsigned)kernel;
    entry->initramfs = (enum boot_initramfs)generator;
    entry->has_iscsi = json_is_true(json_object_get(from, "iscsi"));
    int result = copy_text(reading, from, "options", BOOT_ENTRY_OPTIONS_BYTES - 1, &entry->options);
    if (!result && !entry->options)
        return refuse(reading, "a kernel without options");
    return result ? result : read_initrds(reading, json_object_get(from, "initrds"), entry);
}

static int read_names(struct reading *reading, const json_t *from, struct boot_entry *entry)
{
    const char *id = text_of(from, "id", BOOT_ENTRY_ID_BYTES - 1);
    const char *title = text_of(from, "title", BOOT_ENTRY_TITLE_BYTES - 1);
    if (!id || !is_made_of(id, LOWER DIGITS "._-") || boot_catalog_find(reading->catalog, id))
        return refuse(reading, "the name of an entry");
    if (!title || !*title)
        return refuse(reading, "the title of an entry");
    memcpy(entry->id, id, strlen(id) + 1);
    memcpy(entry->title, title, strlen(title) + 1);
    return 0;
}

/* The kernels and loaders that are offered have all they need; those with a problem need not. */
static int check_entry(struct reading *reading, struct boot_entry *entry)
{
    const struct boot_catalog_file *files = reading->catalog->files;
    if (entry->kind == BOOT_ENTRY_LOADER && !entry->loader)
        return refuse(reading, "a loader without a name");
    if (entry->kind != BOOT_ENTRY_LINUX || entry->problem)
        return 0;
    bool is_whole = files[entry->kernel].data && entry->initrd_count;
    for (unsigned i = 0; i < entry->initrd_count; i++)
        is_whole &= files[entry->initrds[i]].data != NULL;
    if (is_whole)
        return 0;
    entry->problem = strdup("its files are not in memory");
    return entry->problem ? 0 : error_set(reading->error, -ENOMEM, "out of memory");
}

static int read_entry(struct reading *reading, const json_t *from, struct boot_entry *entry)
{
    unsigned kind;
    uint64_t machines;
    if (!word_of(from, "kind", kinds, ARRAY_SIZE(kinds), &kind))
        return refuse(reading, "an entry of an unknown kind");
    entry->kind = (enum boot_entry_kind)kind;
    if (!number_of(json_object_get(from, "machines"), 0xffff, &machines))
        return refuse(reading, "the machines of an entry");
    entry->machines = (unsigned)machines;
    int result = read_names(reading, from, entry);
    if (!result)
        result = copy_text(reading, from, "source", SOURCE_BYTES_LIMIT, &entry->source);
    if (!result)
        result = copy_text(reading, from, "volume", VOLUME_BYTES_LIMIT, &entry->volume);
    if (!result)
        result = copy_text(reading, from, "problem", NOTE_BYTES_LIMIT, &entry->problem);
    if (!result)
        result = copy_text(reading, from, "loader", LOADER_BYTES_LIMIT, &entry->loader);
    entry->is_on_demand = json_is_true(json_object_get(from, "on-demand"));
    entry->starts_linux = json_is_true(json_object_get(from, "starts-linux"));
    if (!result && entry->kind == BOOT_ENTRY_LINUX)
        result = read_linux(reading, from, entry);
    return result ? result : check_entry(reading, entry);
}

/* Into an array with room for all of them. */
static int read_texts(const struct reading *reading, const json_t *list, size_t limit, char **texts,
                      unsigned *ret_count)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !boot_catalog_text_is_clean(text, limit))
            return refuse(reading, "a note, or the name of a volume");
        texts[i] = strdup(text);
        if (!texts[i])
            return error_set(reading->error, -ENOMEM, "out of memory");
        *ret_count = (unsigned)i + 1;
    }
    return 0;
}

static int read_lists(struct reading *reading, const json_t *root)
{
    struct boot_catalog *catalog = reading->catalog;
    const json_t *entries = json_object_get(root, "entries");
    const json_t *files = json_object_get(root, "files");
    const json_t *notes = json_object_get(root, "notes");
    const json_t *dirty = json_object_get(root, "dirty-volumes");
    if (json_array_size(entries) > BOOT_CATALOG_ENTRIES_LIMIT ||
        json_array_size(files) > BOOT_CATALOG_FILES_LIMIT ||
        json_array_size(notes) > BOOT_CATALOG_NOTES_LIMIT ||
        json_array_size(dirty) > BOOT_CATALOG_VOLUMES_LIMIT)
        return refuse(reading, "too much of something");
    catalog->entries = calloc(json_array_size(entries) + 1, sizeof *catalog->entries);
    catalog->files = calloc(json_array_size(files) + 1, sizeof *catalog->files);
    catalog->notes = calloc(json_array_size(notes) + 1, sizeof *catalog->notes);
    catalog->dirty = calloc(json_array_size(dirty) + 1, sizeof *catalog->dirty);
    if (!catalog->entries || !catalog->files || !catalog->notes || !catalog->dirty)
        return error_set(reading->error, -ENOMEM, "out of memory");
    int result = 0;
    for (size_t i = 0; !result && i < json_array_size(files); i++)
        result =
            read_file(reading, json_array_get(files, i), &catalog->files[catalog->file_count++]);
    if (!result && reading->taken != reading->deliveries->blob_count)
        result = refuse(reading, "more files were sent than it has");
    for (size_t i = 0; !result && i < json_array_size(entries); i++) {
        result = read_entry(reading, json_array_get(entries, i),
                            &catalog->entries[catalog->entry_count]);
        catalog->entry_count++;
    }
    if (!result)
        result = read_texts(reading, notes, NOTE_BYTES_LIMIT, catalog->notes, &catalog->note_count);
    if (!result)
        result =
            read_texts(reading, dirty, VOLUME_BYTES_LIMIT, catalog->dirty, &catalog->dirty_count);
    return result;
}

struct boot_catalog *boot_catalog_read(const void *index, size_t length,
                                       const struct boot_deliveries *deliveries,
                                       struct error *error)
{
    struct reading reading = {.deliveries = deliveries, .error = error};
    json_error_t why;
    if (length > BOOT_INDEX_BYTES_LIMIT) {
        refuse(&reading, "it is too long");
        return NULL;
    }
    _cleanup_json_ json_t *root = json_loadb(index, length, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(root)) {
        refuse(&reading, "it is no JSON object");
        return NULL;
    }
    reading.catalog = calloc(1, sizeof *reading.catalog);
    if (!reading.catalog) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    reading.catalog->stale = json_is_true(json_object_get(root, "dirty"));
    if (read_lists(&reading, root)) {
        boot_catalog_free(reading.catalog);
        return NULL;
    }
    return reading.catalog;
}
