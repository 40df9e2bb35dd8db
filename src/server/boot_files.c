/* boot_files.c - see boot_files.h */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "boot_files.h"

#include <netboot-target/block.h>
#include <netboot-target/boot.h>
#include <netboot-target/tftp.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/escape.h>
#include <netboot-target/util/log.h>
#include <netboot-target/util/read.h>

#define FILE_BYTES_LIMIT  (128u << 20) /* a kernel with its initrd in one file */
#define TOTAL_BYTES_LIMIT (512u << 20)
#define FILES_LIMIT       1024
#define DEPTH_LIMIT       8

struct named_file {
    struct named_file *prev, *next;
    struct boot_file *file;
};

/* One reading of the folders: made on a worker, then taken over by the loop. */
struct reading {
    struct job job;
    struct server *server;
    struct config *config; /* a reference; counted on the loop alone */
    struct named_file *files;
    unsigned count;
    uint64_t bytes;
    bool is_out_of_room;
    bool is_again; /* not the first one */
};

struct boot_files {
    struct job_queue *queue;
    struct named_file *files;
    struct config *config; /* what `files` were read for */
};

/* ── files ───────────────────────────────────────────────────────────────────────────────────── */

static int read_memory(const struct byte_source *source, uint64_t offset, void *to, size_t length)
{
    const struct boot_file *file = container_of(source, struct boot_file, source);
    memcpy(to, file->data + offset, length);
    return 0;
}

struct boot_file *boot_file_new(const char *name, uint8_t *data, uint64_t bytes)
{
    struct boot_file *file = calloc(1, sizeof *file);
    char *copy = strdup(name);
    if (!file || !copy) {
        free(file);
        free(copy);
        free(data);
        return NULL;
    }
    *file = (struct boot_file){
        .source = {.size = bytes, .read = read_memory},
        .references = 1,
        .name = copy,
        .data = data
    };
    return file;
}

void boot_file_ref(struct boot_file *file)
{
    file->references++;
}

void boot_file_unref(struct boot_file *file)
{
    if (!file || --file->references)
        return;
    free(file->name);
    free(file->data);
    free(file);
}

static struct boot_file *find(struct named_file *files, const char *name)
{
    struct named_file *named;
    DL_FOREACH (files, named)
        if (strcmp(named->file->name, name) == 0)
            return named->file;
    return NULL;
}

static void forget(struct named_file **files)
{
    struct named_file *named, *next;
    DL_FOREACH_SAFE (*files, named, next) {
        DL_DELETE(*files, named);
        boot_file_unref(named->file);
        free(named);
    }
}

/* ── reading, on a worker ────────────────────────────────────────────────────────────────────── */

/* Where the file of a descriptor is. */
static int path_of(int descriptor, char *to, size_t size)
{
    char link[sizeof "/proc/self/fd/2147483647"];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, to, size - 1);
    if (length < 0)
        return -errno;
    to[length] = '\0';
    return 0;
}

/* Finds the file without opening it, looks where it is, and opens that very file. */
static int open_found(int folder, const char *name, uint64_t flags)
{
    char root[PATH_MAX], path[PATH_MAX], link[sizeof "/proc/self/fd/2147483647"];
    _cleanup_close_ int found = openat(folder, name, O_PATH | O_CLOEXEC);
    if (found < 0 || path_of(folder, root, sizeof root) || path_of(found, path, sizeof path))
        return -1;
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", found);
    return open(link, (int)flags);
}

/* Never outside `folder`, whatever symbolic links say. RestrictSUIDSGID= of our unit leaves openat2
 * out (ENOSYS), since a system-call filter cannot see what it creates. */
static int open_beneath(int folder, const char *name, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int descriptor = (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
    return descriptor < 0 && errno == ENOSYS ? open_found(folder, name, how.flags) : descriptor;
}

static uint8_t *read_whole(int descriptor, size_t bytes)
{
    uint8_t *data = malloc(bytes ? bytes : 1);
    if (data && !read_exactly(descriptor, data, bytes))
        return data;
    free(data); /* it shrank, or its disk fails */
    return NULL;
}

static void keep(struct reading *reading, const char *name, uint8_t *data, uint64_t bytes)
{
    struct boot_file *file = boot_file_new(name, data, bytes);
    struct named_file *named = file ? calloc(1, sizeof *named) : NULL;
    if (!named) {
        boot_file_unref(file);
        return;
    }
    named->file = file;
    DL_APPEND(reading->files, named);
    reading->count++;
    reading->bytes += bytes;
}

/* Closes the descriptor. */
static void read_open(struct reading *reading, const char *name, int opened)
{
    struct stat status;
    _cleanup_close_ int descriptor = opened;
    if (descriptor < 0 || fstat(descriptor, &status) || !S_ISREG(status.st_mode))
        return;
    uint64_t bytes = (uint64_t)status.st_size;
    if (bytes > FILE_BYTES_LIMIT || reading->bytes + bytes > TOTAL_BYTES_LIMIT ||
        reading->count == FILES_LIMIT) {
        reading->is_out_of_room = true;
        return;
    }
    uint8_t *data = read_whole(descriptor, (size_t)bytes);
    if (data)
        keep(reading, name, data, bytes);
}

/* The first folder that has a name wins. */
static bool is_wanted(const struct reading *reading, const char *name)
{
    return strlen(name) <= TFTP_NAME_BYTES_LIMIT && !find(reading->files, name);
}

static void read_file(struct reading *reading, int folder, const char *name)
{
    if (is_wanted(reading, name))
        read_open(reading, name, open_beneath(folder, name, O_RDONLY));
}

/* A file that the configuration names may be a link out of its folder, as Debian's ipxe.efi is one
 * into /boot: whoever wrote the name may read the file. */
static void read_configured(struct reading *reading, int folder, const char *name)
{
    if (is_wanted(reading, name) && *name != '/' && !strstr(name, ".."))
        read_open(reading, name,
                  openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

static void read_folder(struct reading *reading, int root, const char *path, unsigned depth)
{
    int descriptor = open_beneath(root, *path ? path : ".", O_RDONLY | O_DIRECTORY);
    DIR *folder = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (!folder) {
        if (descriptor >= 0)
            close(descriptor);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) && !reading->is_out_of_room) {
        char name[TFTP_NAME_BYTES_LIMIT + 1];
        struct stat status;
        int length = snprintf(name, sizeof name, "%s%s%s", path, *path ? "/" : "", entry->d_name);
        if (entry->d_name[0] == '.' || length >= (int)sizeof name ||
            fstatat(descriptor, entry->d_name, &status, 0))
            continue;
        if (S_ISDIR(status.st_mode) && depth < DEPTH_LIMIT)
            read_folder(reading, root, name, depth + 1);
        else
            read_file(reading, root, name);
    }
    closedir(folder);
}

const char *boot_files_name(const struct config *config,
                            const struct boot_architecture *architecture)
{
    const struct config_boot_files *files = &config->boot.files;
    const struct {
        const char *key, *file;
    } rows[] = {
        {"bios",            files->bios           },
        {"efi-ia32",        files->efi_ia32       },
        {"efi-x64",         files->efi_x64        },
        {"efi-arm32",       files->efi_arm32      },
        {"efi-arm64",       files->efi_arm64      },
        {"efi-riscv64",     files->efi_riscv64    },
        {"efi-loongarch64", files->efi_loongarch64},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i].key, architecture->key) == 0)
            return rows[i].file;
    return NULL;
}

static void read_named(struct reading *reading, int folder)
{
    const struct config *config = reading->config;
    const struct boot_architecture *architecture;
    for (unsigned i = 0; (architecture = boot_architecture_at(i)); i++)
        read_configured(reading, folder, boot_files_name(config, architecture));
    for (unsigned i = 0; i < config->clients.count; i++)
        if (config->clients.items[i].boot_file)
            read_configured(reading, folder, config->clients.items[i].boot_file);
}

static void reading_run(struct job *job)
{
    struct reading *reading = container_of(job, struct reading, job);
    const struct config_boot *boot = &reading->config->boot;
    if (boot->custom_directory) {
        _cleanup_close_ int custom = open(boot->custom_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (custom >= 0)
            read_folder(reading, custom, "", 0);
    }
    _cleanup_close_ int folder = open(boot->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0)
        read_named(reading, folder);
}

/* ── taking over, on the loop ────────────────────────────────────────────────────────────────── */

/* One that a package has is worth a warning; the others are told when such a machine comes. */
static void tell_missing(const struct boot_files *files)
{
    const struct boot_architecture *architecture;
    for (unsigned i = 0; (architecture = boot_architecture_at(i)); i++) {
        const char *name = boot_files_name(files->config, architecture);
        struct error text;
        if (find(files->files, name))
            continue;
        boot_missing_file_text(&text, architecture, name, files->config->boot.directory);
        if (architecture->package)
            log_warning("%s", text.text);
        else
            log_debug("%s", text.text);
    }
    for (unsigned i = 0; i < files->config->clients.count; i++) {
        const char *name = files->config->clients.items[i].boot_file;
        if (name && !find(files->files, name))
            log_warning("the boot file %s of a client is neither in boot.custom-directory nor in "
                        "%s",
                        escaped(name), files->config->boot.directory);
    }
}

static void reading_done(struct job *job)
{
    struct reading *reading = container_of(job, struct reading, job);
    struct boot_files *files = reading->server->boot_files;
    if (reading->is_out_of_room)
        log_warning("boot.custom-directory holds more than is kept in memory (%u files, %u MiB "
                    "each, %u MiB in all); some of its files are not served",
                    FILES_LIMIT, FILE_BYTES_LIMIT >> 20, TOTAL_BYTES_LIMIT >> 20);
    forget(&files->files);
    files->files = take_pointer(reading->files);
    config_unref(files->config);
    files->config = take_pointer(reading->config);
    if (reading->is_again)
        log_notice("boot files read again: %u, %.1f MB", reading->count,
                   (double)reading->bytes / 1e6);
    tell_missing(files);
    free(reading);
}

static struct reading *reading_new(struct server *server, struct config *config)
{
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading)
        return NULL;
    reading->job.run = reading_run;
    reading->job.done = reading_done;
    reading->server = server;
    reading->config = config_ref(config);
    return reading;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

int boot_files_start(struct server *server, struct error *error)
{
    struct boot_files *files = calloc(1, sizeof *files);
    struct reading *reading = files ? reading_new(server, server->config) : NULL;
    if (reading)
        files->queue = job_queue_new(block_io_workers(server->io), 1);
    if (!reading || !files->queue) {
        if (reading)
            config_unref(reading->config);
        free(reading);
        free(files);
        return error_set(error, -ENOMEM, "out of memory");
    }
    server->boot_files = files;
    reading_run(&reading->job);
    reading_done(&reading->job);
    return 0;
}

void boot_files_reload(struct server *server, struct config *config)
{
    struct reading *reading = server->boot_files ? reading_new(server, config) : NULL;
    if (!reading) {
        log_error("reload: out of memory, the boot files stay as they are");
        return;
    }
    reading->is_again = true;
    job_queue_submit(server->boot_files->queue, &reading->job);
}

void boot_files_free(struct server *server)
{
    struct boot_files *files = take_pointer(server->boot_files);
    if (!files)
        return;
    forget(&files->files);
    job_queue_free(files->queue);
    config_unref(files->config);
    free(files);
}

struct boot_file *boot_files_find(const struct server *server, const char *name)
{
    return server->boot_files ? find(server->boot_files->files, name) : NULL;
}

const char *boot_files_folder(const struct server *server)
{
    return server->boot_files->config->boot.directory;
}
