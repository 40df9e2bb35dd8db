/* choices.c - see choices.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot/choices.h>

#include "words.h"

/* ── who chose what ──────────────────────────────────────────────────────────────────────────── */

struct row {
    char key[BOOT_CLIENT_KEY_BYTES];
    char choice[BOOT_CHOICE_BYTES];
};

struct boot_choices {
    unsigned count;
    struct row rows[BOOT_CHOICES_LIMIT]; /* the last one to choose first */
};

void boot_client_key(const struct boot_client *client, char ret_key[BOOT_CLIENT_KEY_BYTES])
{
    const uint8_t *bytes = client->has_mac ? client->mac : client->uuid;
    unsigned count = client->has_mac ? BOOT_MAC_BYTES : client->has_uuid ? BOOT_UUID_BYTES : 0;
    struct buffer out;
    buffer_init_fixed(&out, ret_key, BOOT_CLIENT_KEY_BYTES);
    for (unsigned i = 0; i < count; i++)
        buffer_format(&out, "%s%02x", i && client->has_mac ? "-" : "", bytes[i]);
    (void)buffer_string(&out);
}

static int find(const struct boot_choices *choices, const char *key)
{
    for (unsigned i = 0; i < choices->count; i++) {
        if (strcmp(choices->rows[i].key, key) == 0)
            return (int)i;
    }
    return -1;
}

const char *boot_choices_get(const struct boot_choices *choices, const char *key)
{
    int at = find(choices, key);
    return at < 0 ? NULL : choices->rows[at].choice;
}

static bool is_key(const char *key)
{
    return *key && strlen(key) < BOOT_CLIENT_KEY_BYTES &&
           key[strspn(key, "0123456789abcdef-")] == '\0';
}

bool boot_choices_set(struct boot_choices *choices, const char *key, const char *choice)
{
    struct row row;
    if (!is_key(key) || !boot_choice_is_valid(choice))
        return false;
    int at = find(choices, key);
    if (at == 0 && strcmp(choices->rows[0].choice, choice) == 0)
        return false;
    if (at < 0 && choices->count < BOOT_CHOICES_LIMIT)
        choices->count++;
    unsigned before = at < 0 ? choices->count - 1 : (unsigned)at;
    memmove(choices->rows + 1, choices->rows, before * sizeof row);
    snprintf(row.key, sizeof row.key, "%s", key);
    snprintf(row.choice, sizeof row.choice, "%s", choice);
    choices->rows[0] = row;
    return true;
}

/* From the last line to the first, so that the order stays. */
static void read_lines(struct boot_choices *choices, char *text)
{
    char *end = text;
    for (unsigned i = 0; i < BOOT_CHOICES_LIMIT && *end; i++)
        end += strcspn(end, "\n") + (strchr(end, '\n') != NULL);
    *end = '\0';
    for (char *line; *text; *line = '\0') {
        char *newline = strrchr(text, '\n');
        line = newline ? newline : text;
        char *key = newline ? newline + 1 : text;
        char *blank = strchr(key, ' ');
        if (blank) {
            *blank = '\0';
            (void)boot_choices_set(choices, key, blank + 1);
        }
    }
}

struct boot_choices *boot_choices_new(const char *text)
{
    struct boot_choices *choices = calloc(1, sizeof *choices);
    char *copy = strdup(text ? text : "");
    if (choices && copy)
        read_lines(choices, copy);
    if (!copy) { /* without what is kept it would take its place */
        free(choices);
        choices = NULL;
    }
    free(copy);
    return choices;
}

void boot_choices_free(struct boot_choices *choices)
{
    free(choices);
}

void boot_choices_write(struct buffer *out, const struct boot_choices *choices)
{
    for (unsigned i = 0; i < choices->count; i++)
        buffer_format(out, "%s %s\n", choices->rows[i].key, choices->rows[i].choice);
}

/* ── what a catalog offers ───────────────────────────────────────────────────────────────────── */

bool boot_entry_fits(const struct boot_entry *entry, unsigned machine)
{
    return !machine || entry->machines & machine;
}

bool boot_entry_starts_disk(const struct boot_entry *entry, unsigned machine)
{
    return entry->kind != BOOT_ENTRY_LINUX && !entry->is_on_demand &&
           boot_entry_fits(entry, machine);
}

bool boot_loader_is_nameable(const char *path)
{
    return boot_word_is_path(path);
}

bool boot_entry_is_whole(const struct boot_catalog *catalog, const struct boot_entry *entry)
{
    if (entry->kind == BOOT_ENTRY_LOADER)
        return entry->loader && boot_loader_is_nameable(entry->loader);
    if (entry->kind != BOOT_ENTRY_LINUX)
        return true;
    bool whole = entry->kernel < catalog->file_count && catalog->files[entry->kernel].data;
    for (unsigned i = 0; i < entry->initrd_count; i++)
        whole = whole && entry->initrds[i] < catalog->file_count &&
                catalog->files[entry->initrds[i]].data;
    return whole;
}

static const struct boot_entry *first_kernel(const struct boot_catalog *catalog, unsigned machine)
{
    for (unsigned i = 0; catalog && i < catalog->entry_count; i++) {
        const struct boot_entry *entry = &catalog->entries[i];
        if (entry->kind == BOOT_ENTRY_LINUX && boot_entry_fits(entry, machine) && !entry->problem)
            return entry;
    }
    return NULL;
}

/* A loader is there, and each one is known not to work. */
static bool disk_is_unprepared(const struct boot_catalog *catalog, unsigned machine)
{
    bool has_loader = false, has_good = false;
    for (unsigned i = 0; catalog && i < catalog->entry_count; i++) {
        if (!boot_entry_starts_disk(&catalog->entries[i], machine))
            continue;
        has_loader = true;
        has_good |= !catalog->entries[i].problem;
    }
    return has_loader && !has_good;
}

static bool is_good(const char *choice, const struct boot_catalog *catalog, unsigned machine)
{
    static const char prefix[] = "entry:";
    if (strncmp(choice, prefix, sizeof prefix - 1) != 0)
        return strncmp(choice, "item:", 5) == 0;
    const struct boot_entry *entry = boot_catalog_find(catalog, choice + sizeof prefix - 1);
    return entry && boot_entry_fits(entry, machine) && !entry->problem;
}

void boot_choice_default(const char *wanted, const struct boot_catalog *catalog, unsigned machine,
                         char ret_choice[BOOT_CHOICE_BYTES])
{
    const struct boot_entry *kernel = first_kernel(catalog, machine);
    if (boot_choice_is_valid(wanted) && is_good(wanted, catalog, machine)) {
        snprintf(ret_choice, BOOT_CHOICE_BYTES, "%s", wanted);
        return;
    }
    bool takes_kernel =
        kernel && (strcmp(wanted, "kernel") == 0 || disk_is_unprepared(catalog, machine));
    if (takes_kernel)
        snprintf(ret_choice, BOOT_CHOICE_BYTES, "entry:%s", kernel->id);
    else
        snprintf(ret_choice, BOOT_CHOICE_BYTES, "disk");
}
