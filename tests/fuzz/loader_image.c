/* loader_image.c - any bytes as a kernel, a unified image, boot code and a filesystem's head. */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_span(const struct loader_span *span, size_t size)
{
    if (span->bytes && (span->offset > size || span->bytes > size - span->offset))
        abort();
}

struct log {
    struct byte_source source;
    const uint8_t *data;
};

static int read_log(const struct byte_source *source, uint64_t offset, void *to, size_t length)
{
    const struct log *log = container_of(source, struct log, source);
    if (offset > source->size || length > source->size - offset)
        abort();
    memcpy(to, log->data + offset, length);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loader_uki uki;
    struct loader_entry entry;
    struct loader_filesystem filesystem;
    struct error why;
    unsigned machines;
    bool is_clean;
    loader_kernel_check(data, size, &machines, &why);
    if (!loader_uki_read(&uki, data, size, &why)) {
        const struct loader_span *const spans[] = {&uki.kernel,       &uki.initrd, &uki.microcode,
                                                   &uki.command_line, &uki.uname,  &uki.os_release};
        for (size_t i = 0; i < ARRAY_SIZE(spans); i++)
            check_span(spans[i], size);
        if (!loader_uki_entry(&entry, "fuzz.efi", &uki, data, &why))
            loader_entry_done(&entry);
    }
    loader_filesystem_read(&filesystem, data, size);
    const struct log log = {
        .source = {.size = size, .read = read_log},
          .data = data
    };
    loader_xfs_log_is_clean(&log.source, &is_clean);
    if (size >= 512)
        loader_boot_code(data, &is_clean);
    return 0;
}
