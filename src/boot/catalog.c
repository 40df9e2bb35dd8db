/* catalog.c - what can be booted from one disk: its end, look-up, names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot/catalog.h>

struct boot_blob *boot_blob_ref(struct boot_blob *blob)
{
    if (blob)
        blob->references++;
    return blob;
}

void boot_blob_unref(struct boot_blob *blob)
{
    if (blob && --blob->references == 0)
        blob->release(blob);
}

void boot_catalog_free(struct boot_catalog *catalog)
{
    if (!catalog)
        return;
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        struct boot_entry *entry = &catalog->entries[i];
        free(entry->source);
        free(entry->volume);
        free(entry->options);
        free(entry->loader);
        free(entry->problem);
    }
    for (unsigned i = 0; i < catalog->file_count; i++) {
        boot_blob_unref(catalog->files[i].blob);
        free(catalog->files[i].name);
    }
    for (unsigned i = 0; i < catalog->note_count; i++)
        free(catalog->notes[i]);
    for (unsigned i = 0; i < catalog->dirty_count; i++)
        free(catalog->dirty[i]);
    free(catalog->entries);
    free(catalog->files);
    free(catalog->notes);
    free(catalog->dirty);
    free(catalog);
}

const struct boot_entry *boot_catalog_find(const struct boot_catalog *catalog, const char *id)
{
    for (unsigned i = 0; catalog && i < catalog->entry_count; i++)
        if (!strcmp(catalog->entries[i].id, id))
            return &catalog->entries[i];
    return NULL;
}

void boot_catalog_make_id_unique(const struct boot_catalog *catalog, char id[BOOT_ENTRY_ID_BYTES])
{
    char original[BOOT_ENTRY_ID_BYTES];
    memcpy(original, id, sizeof original);
    for (unsigned n = 2; boot_catalog_find(catalog, id); n++)
        snprintf(id, BOOT_ENTRY_ID_BYTES, "%.58s-%u", original, n);
}

static bool has_file(const struct boot_catalog *catalog, const char *name)
{
    for (unsigned i = 0; i < catalog->file_count; i++)
        if (!strcmp(catalog->files[i].name, name))
            return true;
    return false;
}

char *boot_catalog_make_name(const struct boot_catalog *catalog, const char *name)
{
    char *unique = strdup(name);
    for (unsigned n = 2; unique && has_file(catalog, unique); n++) {
        free(unique);
        if (asprintf(&unique, "%s.%u", name, n) < 0)
            return NULL;
    }
    return unique;
}

/* Length of the UTF-8 sequence at `text` (RFC 3629 §4), 0 when it is none. */
static size_t sequence_length(const uint8_t *text)
{
    static const struct {
        uint8_t first, last;            /* of the first byte */
        uint8_t second_from, second_to; /* overlong forms and surrogates are left out */
        uint8_t length;
    } rows[] = {
        {0x20, 0x7e, 0,    0,    1},
        {0xc3, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (text[0] == 0xc2) /* U+0080 to U+009F are control characters */
        return text[1] >= 0xa0 && text[1] <= 0xbf ? 2 : 0;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        if (text[0] < rows[row].first || text[0] > rows[row].last)
            continue;
        if (rows[row].length > 1 &&
            (text[1] < rows[row].second_from || text[1] > rows[row].second_to))
            return 0;
        for (size_t i = 2; i < rows[row].length; i++)
            if (text[i] < 0x80 || text[i] > 0xbf)
                return 0;
        return rows[row].length;
    }
    return 0;
}

bool boot_catalog_text_is_clean(const char *text, size_t limit)
{
    const uint8_t *at = (const uint8_t *)text;
    while (*at) {
        size_t length = sequence_length(at);
        if (!length || length > limit)
            return false;
        at += length;
        limit -= length;
    }
    return true;
}
