/* boot_catalog.c - any bytes as the index of a disk. What is accepted is written and read again. */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/array.h>

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

/* The kernel's words under several rules; a title may be any netroot. */
static void write_lines(const struct boot_entry *entry)
{
    static const char *const removed[] = {"splash", "console"};
    const struct boot_command_line_rules rules[] = {
        {0                   },
        {.append = "panic=10", .remove = removed, .remove_count = 2, .keep_quiet = true},
        {.netroot = "iscsi:user:secret:in:other@[2001:db8::1]::3260:1:iqn.2026-11.local:disk",
         .initiator = "iqn.2026-11.local:me"},
        {.netroot = entry->title                   },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
        struct buffer line;
        struct error why;
        buffer_init(&line, 2 * BOOT_COMMAND_LINE_BYTES);
        if (!boot_command_line(&line, entry, "52-54-00-ab-cd-ef", &rules[i], &why) &&
            line.length >= BOOT_COMMAND_LINE_BYTES)
            abort();
        buffer_done(&line);
    }
}

static void use(const struct boot_catalog *catalog)
{
    for (unsigned i = 0; i < catalog->entry_count; i++) {
        const struct boot_entry *entry = &catalog->entries[i];
        if (boot_catalog_find(catalog, entry->id) != entry)
            abort();
        if (entry->kind == BOOT_ENTRY_LINUX)
            write_lines(entry);
        for (unsigned j = 0; !entry->problem && j < entry->initrd_count; j++)
            if (!catalog->files[entry->initrds[j]].data)
                abort();
    }
}

/* A later look at the same disk, which has become dirty; as far as it can be written. */
static void use_both(const struct boot_catalog *before, struct boot_catalog *now)
{
    if (boot_catalog_complete(now, before, 150) < 0)
        abort();
    use(now);
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
    if (again)
        use_both(catalog, again);
    boot_catalog_free(again);
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
        boot_catalog_free(catalog);
    }
    if (known.references != 1 || sent.references != 1)
        abort();
    return 0;
}
