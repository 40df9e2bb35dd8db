/* boot_catalog.c - any bytes as the index of a disk. What is accepted is written and read again. */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot/catalog.h>

#include "leaving.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void release(struct boot_blob *blob)
{
    (void)blob;
    abort(); /* we hold it */
}

static struct boot_blob *find(void *context, const uint8_t sha256[32], uint64_t bytes)
{
    struct boot_blob *known = context;
    return sha256[0] == 0x11 && bytes == known->bytes ? known : NULL;
}

static void use(const struct boot_catalog *catalog)
{
    static const struct boot_command_line_rules rules;
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        const struct boot_entry *entry = &catalog->entries[i];
        struct buffer line;
        struct error why;
        if (boot_catalog_find(catalog, entry->id) != entry)
            abort();
        buffer_init(&line, 2 * BOOT_COMMAND_LINE_BYTES);
        if (entry->kind == BOOT_ENTRY_LINUX &&
            !boot_command_line(&line, entry, "52-54-00-ab-cd-ef", &rules, &why) &&
            line.length >= BOOT_COMMAND_LINE_BYTES)
            abort();
        for (unsigned j = 0; !entry->problem && j < entry->initrd_count; j++)
            if (!catalog->files[entry->initrds[j]].data)
                abort();
        buffer_done(&line);
    }
}

static void read_again(struct boot_catalog *catalog, const struct boot_deliveries *deliveries)
{
    struct buffer index;
    struct error why;
    unsigned taken = 0;
    for (unsigned i = 0; i < catalog->file_count; i++) {
        struct boot_catalog_file *file = &catalog->files[i];
        file->is_sent = taken < deliveries->blob_count && file->blob == deliveries->blobs[taken];
        file->is_kept = file->blob && !file->is_sent;
        taken += file->is_sent;
    }
    buffer_init(&index, BOOT_INDEX_BYTES_LIMIT);
    boot_catalog_write(&index, catalog);
    check_leaving(index.data, index.length);
    struct boot_catalog *again =
        index.failed ? NULL : boot_catalog_read(index.data, index.length, deliveries, &why);
    if (!index.failed && (!again || again->entry_count != catalog->entry_count))
        abort();
    boot_catalog_unref(again);
    buffer_done(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t bytes[100];
    struct boot_blob known = {.data = bytes, .bytes = 70, .references = 1, .release = release};
    struct boot_blob sent = {.data = bytes, .bytes = 100, .references = 1, .release = release};
    struct boot_blob *const blobs[] = {&sent};
    struct error why;
    for (unsigned count = 0; count < 2; count++) {
        const struct boot_deliveries deliveries = {
            .blobs = blobs, .blob_count = count, .find = find, .context = &known};
        struct boot_catalog *catalog = boot_catalog_read(data, size, &deliveries, &why);
        if (!catalog)
            continue;
        use(catalog);
        read_again(catalog, &deliveries);
        boot_catalog_unref(catalog);
    }
    if (known.references != 1 || sent.references != 1)
        abort();
    return 0;
}
