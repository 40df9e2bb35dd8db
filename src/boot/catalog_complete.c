/* catalog_complete.c - what one look at a disk does not tell by itself: what stays of the look
 * before, and which loaders cannot have found a prepared system. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot/catalog.h>
#include <netboot-target/boot/choices.h>
#include <netboot-target/util/array.h>

/* ── what stays ──────────────────────────────────────────────────────────────────────────────── */

/* Entries on their way from the look before. */
struct keeping {
    struct boot_catalog *to;
    const struct boot_catalog *from;
    int files[BOOT_CATALOG_FILES_LIMIT]; /* where a file of `from` is now; -1: not yet */
};

static bool is_dirty(const struct boot_catalog *catalog, const struct boot_entry *entry)
{
    for (unsigned i = 0; entry->volume && i < catalog->dirty_count; i++)
        if (!strcmp(catalog->dirty[i], entry->volume))
            return true;
    return false;
}

static bool has_room(const struct keeping *keeping, const struct boot_entry *entry)
{
    return keeping->to->entry_count < BOOT_CATALOG_ENTRIES_LIMIT &&
           keeping->to->file_count + 1 + entry->initrd_count <= BOOT_CATALOG_FILES_LIMIT;
}

static int take_file(struct keeping *keeping, unsigned number, unsigned *ret_number)
{
    struct boot_catalog *to = keeping->to;
    const struct boot_catalog_file *from = &keeping->from->files[number];
    if (keeping->files[number] < 0) {
        char *name = boot_catalog_make_name(to, from->name);
        if (!name)
            return -ENOMEM;
        struct boot_catalog_file *file = &to->files[to->file_count];
        *file = *from;
        file->name = name;
        boot_blob_ref(file->blob);
        keeping->files[number] = (int)to->file_count++;
    }
    *ret_number = (unsigned)keeping->files[number];
    return 0;
}

static int copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return from && !*to ? -ENOMEM : 0;
}

static int copy_texts(struct boot_entry *to, const struct boot_entry *from)
{
    const struct {
        char **to;
        const char *from;
    } texts[] = {
        {&to->source,  from->source },
        {&to->volume,  from->volume },
        {&to->options, from->options},
        {&to->loader,  from->loader },
        {&to->problem, from->problem},
    };
    int result = 0;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        result |= copy_text(texts[i].to, texts[i].from);
    return result ? -ENOMEM : 0;
}

/* What a client chose last time has to be the same thing now: the kept one keeps its id. */
static void claim_id(struct boot_catalog *catalog, const char *id)
{
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        char other[BOOT_ENTRY_ID_BYTES];
        if (strcmp(catalog->entries[i].id, id) != 0)
            continue;
        memcpy(other, id, strlen(id) + 1);
        boot_catalog_make_id_unique(catalog, other);
        memcpy(catalog->entries[i].id, other, sizeof other);
        return;
    }
}

/* `place`: an index in entries, which has room. */
static int keep(struct keeping *keeping, const struct boot_entry *from, unsigned place)
{
    struct boot_catalog *to = keeping->to;
    struct boot_entry *entry = &to->entries[place];
    claim_id(to, from->id);
    memmove(entry + 1, entry, (to->entry_count - place) * sizeof *entry);
    to->entry_count++;
    *entry = *from;
    if (!entry->seen_unix_seconds)
        entry->seen_unix_seconds = keeping->from->scanned_unix_seconds;
    int result = copy_texts(entry, from);
    if (entry->kind == BOOT_ENTRY_LINUX && !result)
        result = take_file(keeping, from->kernel, &entry->kernel);
    for (unsigned i = 0; !result && i < from->initrd_count; i++)
        result = take_file(keeping, from->initrds[i], &entry->initrds[i]);
    return result;
}

/* -1: it is not there. */
static int find_same(const struct boot_catalog *catalog, const struct boot_entry *entry)
{
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        const struct boot_entry *other = &catalog->entries[i];
        if (other->kind == entry->kind && other->source && entry->source &&
            !strcmp(other->source, entry->source))
            return (int)i;
    }
    return -1;
}

/* Entries of one kind stand together, in the order of the kinds. */
static unsigned count_up_to(const struct boot_catalog *catalog, enum boot_entry_kind kind)
{
    unsigned count = 0;
    while (count < catalog->entry_count && catalog->entries[count].kind <= kind)
        count++;
    return count;
}

/* Each goes behind what stood before it. Returns how many. */
static int keep_entries(struct keeping *keeping)
{
    unsigned place = 0;
    int kept = 0;
    for (unsigned i = 0; i < keeping->from->entry_count; i++) {
        const struct boot_entry *entry = &keeping->from->entries[i];
        if (is_dirty(keeping->to, entry) && has_room(keeping, entry)) {
            int result = keep(keeping, entry, min_of(place, count_up_to(keeping->to, entry->kind)));
            if (result)
                return result;
            kept++;
        }
        int same = find_same(keeping->to, entry);
        if (same >= 0)
            place = (unsigned)same + 1;
    }
    return kept;
}

static int keep_what_is_dirty(struct boot_catalog *catalog, const struct boot_catalog *before)
{
    struct keeping keeping = {.to = catalog, .from = before};
    struct boot_entry *entries = reallocarray(
        catalog->entries, catalog->entry_count + before->entry_count + 1, sizeof *entries);
    if (!entries)
        return -ENOMEM;
    catalog->entries = entries;
    struct boot_catalog_file *files =
        reallocarray(catalog->files, catalog->file_count + before->file_count + 1, sizeof *files);
    if (!files)
        return -ENOMEM;
    catalog->files = files;
    for (unsigned i = 0; i < ARRAY_SIZE(keeping.files); i++)
        keeping.files[i] = -1;
    return keep_entries(&keeping);
}

/* ── memory ──────────────────────────────────────────────────────────────────────────────────── */

struct counting {
    struct boot_catalog *catalog;
    bool counted[BOOT_CATALOG_FILES_LIMIT];
    uint64_t left_bytes;
};

/* Files of the same bytes share them. */
static bool is_counted(const struct counting *counting, unsigned number)
{
    const struct boot_catalog_file *files = counting->catalog->files;
    for (unsigned i = 0; i < counting->catalog->file_count; i++)
        if (counting->counted[i] && files[i].blob == files[number].blob)
            return true;
    return !files[number].blob;
}

static bool fits(const struct counting *counting, const struct boot_entry *entry)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i <= entry->initrd_count; i++) {
        unsigned number = i ? entry->initrds[i - 1] : entry->kernel;
        if (!is_counted(counting, number))
            bytes += counting->catalog->files[number].blob->bytes;
    }
    return bytes <= counting->left_bytes;
}

static void count(struct counting *counting, const struct boot_entry *entry)
{
    for (unsigned i = 0; i <= entry->initrd_count; i++) {
        unsigned number = i ? entry->initrds[i - 1] : entry->kernel;
        if (!is_counted(counting, number))
            counting->left_bytes -=
                min_of(counting->left_bytes, counting->catalog->files[number].blob->bytes);
        counting->counted[number] = true;
    }
}

/* Newest first. */
static int bound(struct boot_catalog *catalog, uint64_t memory_bytes)
{
    struct counting counting = {.catalog = catalog, .left_bytes = memory_bytes};
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        struct boot_entry *entry = &catalog->entries[i];
        if (entry->kind != BOOT_ENTRY_LINUX)
            continue;
        if (fits(&counting, entry))
            count(&counting, entry);
        else if (!entry->problem &&
                 copy_text(&entry->problem,
                           "its files are too large for what is left of discovery.memory"))
            return -ENOMEM;
    }
    for (unsigned i = 0; i < catalog->file_count; i++) {
        struct boot_catalog_file *file = &catalog->files[i];
        if (counting.counted[i])
            continue;
        boot_blob_unref(file->blob);
        file->blob = NULL;
        file->data = NULL;
    }
    return 0;
}

/* ── loaders ─────────────────────────────────────────────────────────────────────────────────── */

/* Nobody can change from outside what a loader of the disk tells its kernel. */
static int judge_loaders(struct boot_catalog *catalog)
{
    bool any_kernel = false, any_prepared = false;
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        const struct boot_entry *entry = &catalog->entries[i];
        if (entry->kind != BOOT_ENTRY_LINUX)
            continue;
        any_kernel |= boot_entry_is_whole(catalog, entry);
        any_prepared |= entry->has_iscsi;
    }
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        struct boot_entry *entry = &catalog->entries[i];
        if (entry->starts_linux && any_kernel && !any_prepared && !entry->problem &&
            copy_text(&entry->problem,
                      "no initramfs on the disk holds iSCSI: run setup/linux.sh in its system"))
            return -ENOMEM;
    }
    return 0;
}

int boot_catalog_complete(struct boot_catalog *catalog, const struct boot_catalog *before,
                          uint64_t memory_bytes)
{
    int result = 0;
    int kept = before && catalog->dirty_count ? keep_what_is_dirty(catalog, before) : 0;
    if (kept > 0) {
        catalog->stale = true;
        result = bound(catalog, memory_bytes);
    }
    if (!result)
        result = judge_loaders(catalog);
    return result ? result : kept;
}
