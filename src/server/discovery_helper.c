/* discovery_helper.c - see discovery_helper.h */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "discovery_helper.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define PROGRAM           "netboot-target-discover"
#define SOCKET_DESCRIPTOR 3 /* in the helper */
#define ARGUMENTS_LIMIT   (40 + 2 * BOOT_CATALOG_FILES_LIMIT)
#define GRACE_MS          2000 /* beyond its own limit of time */

/* As many fit where one is expected: control messages are padded. */
#define MESSAGE_DESCRIPTORS ((CMSG_SPACE(sizeof(int)) - CMSG_LEN(0)) / sizeof(int))

struct discovery_helper {
    struct discovery_helper *prev, *next;
    struct discovery_helpers *all;
    discovery_done done; /* NULL: it was stopped */
    void *context;
    pid_t process;
    int pidfd, socket;
    uint64_t disk;
    ev_io ended, packets;
    ev_timer deadline;
    uint64_t memory_left; /* what it may still send */
    struct boot_blob *files[BOOT_CATALOG_FILES_LIMIT];
    unsigned file_count;
    struct boot_blob *index;
    struct error error; /* why its result counts for nothing; "" */
};

/* ── starting ────────────────────────────────────────────────────────────────────────────────── */

/* In a build tree it lies beside the daemon; installed, below the same prefix. */
void discovery_helper_find(char path[static PATH_MAX])
{
    static const char *const folders[] = {"", "../" NBT_LIBEXEC_DIR "/"};
    const char *chosen = getenv("NETBOOT_TARGET_DISCOVER");
    char own[PATH_MAX - 256];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    own[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(own, '/');
    if (slash)
        slash[1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, PATH_MAX, "%s%s%s", own, folders[i], PROGRAM);
        if (!access(path, X_OK))
            break;
    }
    if (chosen)
        snprintf(path, PATH_MAX, "%s", chosen);
}

struct arguments {
    char *items[ARGUMENTS_LIMIT];
    unsigned count;
    bool failed;
};

static void argue(struct arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void argue(struct arguments *arguments, const char *format, ...)
{
    va_list values;
    if (arguments->count + 1 == ARGUMENTS_LIMIT)
        return;
    char **to = &arguments->items[arguments->count];
    va_start(values, format);
    int length = vasprintf(to, format, values);
    va_end(values);
    arguments->count += length >= 0;
    arguments->failed |= length < 0;
}

static void argue_option(struct arguments *arguments, const char *name, const char *value)
{
    if (value)
        argue(arguments, "--%s=%s", name, value);
}

static void argue_known(struct arguments *arguments, const struct boot_blob *blob)
{
    char sha256[65];
    for (unsigned i = 0; i < 32; i++)
        snprintf(sha256 + 2 * i, 3, "%02x", blob->sha256[i]);
    argue(arguments, "--known=%s:%llu", sha256, (unsigned long long)blob->bytes);
}

/* What need not be sent again. */
static void argue_all_known(struct arguments *arguments, const struct discovery_helper *helper)
{
    const struct mapped_blob *mapped;
    unsigned count = 0;
    DL_FOREACH (helper->all->blobs.list, mapped)
        if (mapped->disk == helper->disk && count++ < BOOT_CATALOG_FILES_LIMIT)
            argue_known(arguments, &mapped->blob);
}

static void make_arguments(struct arguments *arguments, const struct discovery_helper *helper,
                           const struct discovery_request *request)
{
    static const char *const generators[] = {[CONFIG_INITRAMFS_AUTO] = NULL,
                                             [CONFIG_INITRAMFS_DRACUT] = "dracut",
                                             [CONFIG_INITRAMFS_TOOLS] = "initramfs-tools",
                                             [CONFIG_INITRAMFS_MKINITCPIO] = "mkinitcpio"};
    const struct config_kernels *kernels = request->kernels;
    argue(arguments, PROGRAM);
    argue(arguments, "--memory=%llu", (unsigned long long)request->memory_bytes);
    argue(arguments, "--time=%llu", (unsigned long long)request->time_ms);
    argue_option(arguments, "partition", kernels->partition);
    argue_option(arguments, "path", kernels->path);
    argue_option(arguments, "cmdline", kernels->cmdline);
    argue_option(arguments, "initramfs", generators[kernels->initramfs]);
    if (request->without_landlock)
        argue(arguments, "--without-landlock");
    argue_all_known(arguments, helper);
    argue(arguments, "--");
    argue(arguments, "%s", request->device);
}

/* A group of its own, so that its children end with it; no signal of ours blocked or ignored. */
static int spawn(pid_t *ret_process, const char *program, char *const *arguments, int socket)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
    char *environment[] = {path, locale, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, socket, SOCKET_DESCRIPTOR);
    int result = posix_spawn(ret_process, program, &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -result;
}

static int start_process(struct discovery_helper *helper, const struct discovery_request *request,
                         struct error *error)
{
    int pair[2];
    char program[PATH_MAX];
    struct arguments arguments = {0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(error, -errno, "no socket for the helper: %s", strerror(errno));
    helper->socket = pair[0];
    discovery_helper_find(program);
    make_arguments(&arguments, helper, request);
    int result =
        arguments.failed ? -ENOMEM : spawn(&helper->process, program, arguments.items, pair[1]);
    for (unsigned i = 0; i < arguments.count; i++)
        free(arguments.items[i]);
    close(pair[1]);
    if (result)
        return error_set(error, result, "%s cannot be run: %s", program, strerror(-result));
    helper->pidfd = pidfd_open(helper->process, 0);
    if (helper->pidfd < 0)
        return error_set(error, -errno, "the helper cannot be watched: %s", strerror(errno));
    return 0;
}

/* ── the end ─────────────────────────────────────────────────────────────────────────────────── */

static void helper_kill(const struct discovery_helper *helper)
{
    if (helper->process > 0) /* it is in the middle of nothing that could be lost */
        kill(-helper->process, SIGKILL);
}

static void helper_free(struct discovery_helper *helper)
{
    struct ev_loop *loop = helper->all->loop;
    ev_io_stop(loop, &helper->ended);
    ev_io_stop(loop, &helper->packets);
    ev_timer_stop(loop, &helper->deadline);
    for (unsigned i = 0; i < helper->file_count; i++)
        boot_blob_unref(helper->files[i]);
    boot_blob_unref(helper->index);
    if (helper->pidfd >= 0)
        close(helper->pidfd);
    if (helper->socket >= 0)
        close(helper->socket);
    DL_DELETE(helper->all->list, helper);
    free(helper);
}

void discovery_helper_stop(struct discovery_helper *helper)
{
    helper->done = NULL;
    helper_kill(helper);
}

void discovery_helpers_done(struct discovery_helpers *helpers)
{
    struct discovery_helper *helper, *next;
    DL_FOREACH_SAFE (helpers->list, helper, next) {
        helper_kill(helper);
        helper_free(helper);
    }
}

static struct boot_blob *find_known(void *context, const uint8_t sha256[32], uint64_t bytes)
{
    const struct discovery_helper *helper = context;
    return discovery_blob_find(&helper->all->blobs, helper->disk, sha256, bytes);
}

static struct boot_catalog *read_catalog(struct discovery_helper *helper)
{
    const struct boot_deliveries deliveries = {.blobs = helper->files,
                                               .blob_count = helper->file_count,
                                               .find = find_known,
                                               .context = helper};
    if (helper->error.text[0])
        return NULL;
    if (!helper->index) {
        error_set(&helper->error, 0, "the helper ended without a result");
        return NULL;
    }
    return boot_catalog_read(helper->index->data, helper->index->bytes, &deliveries,
                             &helper->error);
}

static void finish(struct discovery_helper *helper)
{
    struct boot_catalog *catalog = helper->done ? read_catalog(helper) : NULL;
    struct error error = helper->error;
    discovery_done done = helper->done;
    void *context = helper->context;
    helper_free(helper);
    if (done)
        done(context, catalog, &error);
}

static void explain_end(struct discovery_helper *helper, const siginfo_t *info)
{
    if (helper->error.text[0] || (info->si_code == CLD_EXITED && info->si_status == 0))
        return;
    if (info->si_code == CLD_EXITED)
        error_set(&helper->error, 0, "the helper ended with exit code %d", info->si_status);
    else
        error_set(&helper->error, 0, "the helper was ended by signal %d (%s)", info->si_status,
                  strsignal(info->si_status));
}

static void read_packets(struct discovery_helper *helper);

static void on_ended(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct discovery_helper *helper = watcher->data;
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)helper->process, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
        return;
    helper_kill(helper); /* its children, while its number is still its own */
    waitpid(helper->process, NULL, 0);
    helper->process = 0;
    read_packets(helper);
    explain_end(helper, &info);
    finish(helper);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct discovery_helper *helper = watcher->data;
    error_set(&helper->error, 0, "it took longer than discovery.time allows");
    helper_kill(helper);
}

/* ── packets ─────────────────────────────────────────────────────────────────────────────────── */

struct packet {
    char bytes[1 + ERROR_TEXT_BYTES];
    ssize_t length;
    int descriptor; /* -1: none */
};

/* At most one; of more the helper was not asked for, none is kept. */
static int take_descriptors(const struct msghdr *message)
{
    const struct cmsghdr *rights = CMSG_FIRSTHDR(message);
    int descriptors[MESSAGE_DESCRIPTORS];
    if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
        return -1;
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof *descriptors;
    memcpy(descriptors, CMSG_DATA(rights), count * sizeof *descriptors);
    for (size_t i = 0; count > 1 && i < count; i++)
        close(descriptors[i]);
    return count == 1 ? descriptors[0] : -1;
}

/* False: there is no further packet now. */
static bool receive(struct discovery_helper *helper, struct packet *packet)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {.iov_base = packet->bytes, .iov_len = sizeof packet->bytes - 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    packet->length = recvmsg(helper->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    packet->descriptor = -1;
    if (packet->length <= 0)
        return false;
    packet->bytes[packet->length] = '\0';
    packet->descriptor = take_descriptors(&message);
    return true;
}

static void take_file(struct discovery_helper *helper, const struct packet *packet)
{
    if (helper->file_count == BOOT_CATALOG_FILES_LIMIT) {
        error_set(&helper->error, 0, "the helper sent too many files");
        return;
    }
    struct boot_blob *blob = discovery_blob_map(
        &helper->all->blobs, helper->disk, packet->descriptor, helper->memory_left, &helper->error);
    if (!blob)
        return;
    helper->memory_left -= blob->bytes;
    helper->files[helper->file_count++] = blob;
}

static void take_packet(struct discovery_helper *helper, const struct packet *packet)
{
    if (packet->bytes[0] == 'E') {
        char text[ERROR_TEXT_BYTES];
        snprintf(text, sizeof text, "%s", packet->bytes + 1);
        bool is_clean = boot_catalog_text_is_clean(text, sizeof text);
        error_set(&helper->error, 0, "%s", is_clean ? text : "the helper failed");
    } else if (packet->bytes[0] == 'F') {
        take_file(helper, packet);
    } else if (packet->bytes[0] == 'I' && !helper->index) {
        helper->index = discovery_blob_map(&helper->all->blobs, helper->disk, packet->descriptor,
                                           BOOT_INDEX_BYTES_LIMIT, &helper->error);
    } else {
        error_set(&helper->error, 0, "the helper sent what nobody knows");
    }
}

static void read_packets(struct discovery_helper *helper)
{
    struct packet packet = {.length = -1, .descriptor = -1};
    while (!helper->error.text[0] && receive(helper, &packet)) {
        take_packet(helper, &packet);
        if (packet.descriptor >= 0)
            close(packet.descriptor);
    }
    if (packet.length == 0 || helper->error.text[0]) /* on_ended() does the rest */
        ev_io_stop(helper->all->loop, &helper->packets);
    if (helper->error.text[0])
        helper_kill(helper);
}

static void on_packets(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    read_packets(watcher->data);
}

static void watch(struct discovery_helper *helper, uint64_t time_ms)
{
    ev_io_init(&helper->ended, on_ended, helper->pidfd, EV_READ);
    ev_io_init(&helper->packets, on_packets, helper->socket, EV_READ);
    ev_timer_init(&helper->deadline, on_deadline, (double)(time_ms + GRACE_MS) / 1e3, 0);
    helper->ended.data = helper->packets.data = helper->deadline.data = helper;
    ev_io_start(helper->all->loop, &helper->ended);
    ev_io_start(helper->all->loop, &helper->packets);
    ev_timer_start(helper->all->loop, &helper->deadline);
}

struct discovery_helper *discovery_helper_start(struct discovery_helpers *helpers,
                                                const struct discovery_request *request,
                                                discovery_done done, void *context,
                                                struct error *error)
{
    struct discovery_helper *helper = calloc(1, sizeof *helper);
    if (!helper) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    helper->all = helpers;
    helper->disk = request->disk;
    DL_APPEND(helpers->list, helper);
    helper->done = done;
    helper->context = context;
    helper->pidfd = helper->socket = -1;
    helper->memory_left = request->memory_bytes;
    ev_init(&helper->ended, on_ended);
    ev_init(&helper->packets, on_packets);
    ev_init(&helper->deadline, on_deadline);
    if (start_process(helper, request, error)) {
        helper_kill(helper);
        helper_free(helper);
        return NULL;
    }
    watch(helper, request->time_ms);
    return helper;
}
