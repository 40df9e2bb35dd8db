/* loader_initramfs.c - any bytes as an initramfs. */
#include <netboot-target/loader.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loader_initramfs found;
    struct error why;
    loader_initramfs_read(&found, data, size, &why);
    return 0;
}
