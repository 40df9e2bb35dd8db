/* boot_kernels.c - see boot_kernels.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "boot_kernels.h"

#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/random.h>

#define KEY_BYTES    16u /* 128 bits that nobody can guess */
#define FILES_LIMIT  256u
#define FILE_LIFE_MS 600000u

/* A file that a script was sent with the URL of. It stays what it is through a rescan. */
struct named_file {
    struct boot_blob *blob;
    char key[BOOT_KERNEL_KEY_BYTES];
    uint64_t until_ms;
};

struct boot_kernels {
    struct named_file files[FILES_LIMIT];
    unsigned file_count;
    ev_timer expiry; /* lets go of them */
};

static uint64_t now_ms(const struct server *server)
{
    return server_now_us(server) / 1000;
}

static void drop_file(struct boot_kernels *kernels, unsigned index)
{
    boot_blob_unref(kernels->files[index].blob);
    kernels->files[index] = kernels->files[--kernels->file_count];
}

static void drop_expired(struct server *server)
{
    struct boot_kernels *kernels = server->boot_kernels;
    for (unsigned i = kernels->file_count; i-- > 0;)
        if (kernels->files[i].until_ms <= now_ms(server))
            drop_file(kernels, i);
}

static void on_expiry(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct server *server = watcher->data;
    drop_expired(server);
    if (!server->boot_kernels->file_count)
        ev_timer_stop(loop, watcher);
}

/* The same kernel on many disks is in memory once, compared byte by byte (discovery_blobs.h), and
 * has one URL. Its digest would not do: that is the word of whoever read the other disk. */
static struct named_file *find_blob(struct boot_kernels *kernels, const struct boot_blob *blob)
{
    for (unsigned i = 0; i < kernels->file_count; i++)
        if (kernels->files[i].blob->data == blob->data &&
            kernels->files[i].blob->bytes == blob->bytes)
            return &kernels->files[i];
    return NULL;
}

static struct named_file *add_file(struct server *server, struct boot_blob *blob)
{
    struct boot_kernels *kernels = server->boot_kernels;
    uint8_t key[KEY_BYTES];
    unsigned oldest = 0;
    for (unsigned i = 1; i < kernels->file_count; i++)
        if (kernels->files[i].until_ms < kernels->files[oldest].until_ms)
            oldest = i;
    if (kernels->file_count == FILES_LIMIT)
        drop_file(kernels, oldest);
    struct named_file *file = &kernels->files[kernels->file_count++];
    file->blob = boot_blob_ref(blob);
    system_random.fill(&system_random, key, sizeof key);
    hex_text(file->key, key, sizeof key);
    return file;
}

void boot_kernels_name(struct server *server, const struct boot_catalog_file *file,
                       char ret_path[BOOT_KERNEL_PATH_BYTES])
{
    struct named_file *named = find_blob(server->boot_kernels, file->blob);
    if (!named)
        named = add_file(server, file->blob);
    named->until_ms = now_ms(server) + FILE_LIFE_MS;
    ev_timer_again(server->loop, &server->boot_kernels->expiry);
    snprintf(ret_path, BOOT_KERNEL_PATH_BYTES, "/kernel/%s/%s", named->key, file->name);
}

struct boot_blob *boot_kernels_find(struct server *server, const char *key)
{
    struct boot_kernels *kernels = server->boot_kernels;
    if (!kernels || strlen(key) != BOOT_KERNEL_KEY_BYTES - 1)
        return NULL;
    drop_expired(server);
    for (unsigned i = 0; i < kernels->file_count; i++)
        if (CRYPTO_memcmp(kernels->files[i].key, key, BOOT_KERNEL_KEY_BYTES) == 0)
            return boot_blob_ref(kernels->files[i].blob);
    return NULL;
}

int boot_kernels_start(struct server *server, struct error *error)
{
    struct boot_kernels *kernels = calloc(1, sizeof *kernels);
    if (!kernels)
        return error_set(error, -ENOMEM, "out of memory");
    ev_init(&kernels->expiry, on_expiry);
    kernels->expiry.repeat = FILE_LIFE_MS / 1e3;
    kernels->expiry.data = server;
    server->boot_kernels = kernels;
    return 0;
}

void boot_kernels_free(struct server *server)
{
    struct boot_kernels *kernels = take_pointer(server->boot_kernels);
    if (!kernels)
        return;
    ev_timer_stop(server->loop, &kernels->expiry);
    while (kernels->file_count)
        drop_file(kernels, kernels->file_count - 1);
    free(kernels);
}
