/* grub.c - see grub.h */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "grub.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

#define PROGRAM          "/usr/bin/grub-fstest"
#define QUESTION_MS      30000u /* none takes longer; a damaged filesystem may be a circle */
#define GRACE_MS         1000u  /* for a process to end after its alarm */
#define WORDS_BYTES      4096u  /* of GRUB, when it fails */
#define LIST_BYTES_LIMIT (1u << 20)
#define EXIT_NOT_RUN     126

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ── memory files ────────────────────────────────────────────────────────────────────────────── */

void grub_file_done(struct grub_file *file)
{
    if (file->data)
        munmap((void *)file->data, file->bytes);
    if (file->descriptor >= 0)
        close(file->descriptor);
    *file = GRUB_FILE_NONE;
}

static int memory_file(void)
{
    int descriptor = memfd_create("disk", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (descriptor < 0 && errno == EINVAL) /* Linux 6.2 and before */
        descriptor = memfd_create("disk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return descriptor;
}

/* Private, so that the file can still be sealed (fcntl(2), F_SEAL_WRITE). */
static int map(struct grub_file *file)
{
    struct stat status;
    if (fstat(file->descriptor, &status) < 0)
        return -errno;
    if (!status.st_size)
        return 0;
    void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file->descriptor, 0);
    if (data == MAP_FAILED)
        return -errno;
    file->data = data;
    file->bytes = (size_t)status.st_size;
    return 0;
}

int grub_file_make(struct grub_file *ret_file, const void *bytes, size_t length)
{
    _cleanup_file_ struct grub_file file = {.descriptor = memory_file()};
    if (file.descriptor < 0)
        return -errno;
    for (size_t done = 0; done < length;) {
        ssize_t written = write(file.descriptor, (const uint8_t *)bytes + done, length - done);
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        done += (size_t)written;
    }
    int result = map(&file);
    if (!result)
        *ret_file = take(file, GRUB_FILE_NONE);
    return result;
}

/* ── one question ────────────────────────────────────────────────────────────────────────────── */

struct question {
    const struct grub *grub;
    const char *const *words; /* of the command, NULL at the end */
    uint64_t limit_bytes;
    int answer; /* a memory file */
};

/* In the child. Signals to other processes are refused here (confine.c), so it brings its end
 * along: an alarm stays through execve(2). */
_Noreturn static void become_grub(const struct question *question, int complaints, uint64_t time_ms)
{
    static char locale[] = "LC_ALL=C.UTF-8"; /* names come as they are */
    char *environment[] = {locale, NULL};
    char *arguments[8] = {(char *)"grub-fstest", (char *)question->grub->disk, (char *)"--"};
    for (unsigned i = 0; question->words[i] && i + 4 < ARRAY_SIZE(arguments); i++)
        arguments[3 + i] = (char *)question->words[i];
    const struct itimerval alarm = {
        .it_value = {.tv_sec = (time_t)(time_ms / 1000),
                     .tv_usec = (suseconds_t)(time_ms % 1000 * 1000)}
    };
    /* what it writes is bounded, whatever the disk says of the size */
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = min_of((rlim_t)question->limit_bytes, limit.rlim_max);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 &&
        dup2(question->answer, STDOUT_FILENO) >= 0 && dup2(complaints, STDERR_FILENO) >= 0 &&
        !setrlimit(RLIMIT_FSIZE, &limit) && !setitimer(ITIMER_REAL, &alarm, NULL))
        execve(PROGRAM, arguments, environment);
    _exit(EXIT_NOT_RUN);
}

/* Waits for its end. One that does not come to it is left to the daemon, which ends us all. */
static int wait_for(pid_t process, uint64_t time_ms, struct error *error)
{
    int status = 0;
    _cleanup_close_ int descriptor = pidfd_open(process, 0);
    struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
    if (descriptor < 0)
        return error_set(error, -errno, "GRUB's driver cannot be watched: %s", strerror(errno));
    if (poll(&wanted, 1, (int)(time_ms + GRACE_MS)) != 1)
        return error_set(error, -ETIMEDOUT, "GRUB's driver did not come to an end");
    while (waitpid(process, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return error_set(error, -ETIMEDOUT, "GRUB's driver did not come to an end in time");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
        return error_set(error, -EFBIG, "it is longer than the disk says, or than is allowed");
    if (WIFSIGNALED(status))
        return error_set(error, -ENODATA, "GRUB's driver was ended by signal %d (%s)",
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == EXIT_NOT_RUN)
        return error_set(error, -ENOENT, "%s cannot be run", PROGRAM);
    return WEXITSTATUS(status) ? -ENODATA : 0;
}

/* "grub-fstest: error: unknown filesystem." → "unknown filesystem" */
static void take_words(int complaints, struct error *error)
{
    char words[WORDS_BYTES], clean[256];
    static const char mark[] = "error: ";
    ssize_t length = pread(complaints, words, sizeof words - 1, 0);
    words[length > 0 ? length : 0] = '\0';
    const char *start = strstr(words, mark);
    start = start ? start + strlen(mark) : words;
    size_t used = 0;
    for (; *start && *start != '\n' && used + 1 < sizeof clean; start++)
        clean[used++] = *start >= ' ' && *start <= '~' ? *start : '?';
    while (used && clean[used - 1] == '.')
        used--;
    clean[used] = '\0';
    error_set(error, 0, "%s", used ? clean : "GRUB's driver failed without a word");
}

static int ask(const struct question *question, struct error *error)
{
    uint64_t now = now_ms(), deadline = question->grub->deadline_ms;
    error->text[0] = '\0';
    if (now >= deadline)
        return error_set(error, -ETIMEDOUT, "there is no time left");
    _cleanup_close_ int complaints = memory_file();
    if (complaints < 0)
        return error_set(error, -errno, "no memory file: %s", strerror(errno));
    uint64_t time_ms = min_of(deadline - now, (uint64_t)QUESTION_MS);
    pid_t process = fork();
    if (process < 0)
        return error_set(error, -errno, "%s cannot be run: %s", PROGRAM, strerror(errno));
    if (!process)
        become_grub(question, complaints, time_ms);
    int result = wait_for(process, time_ms, error);
    if (result && !error->text[0])
        take_words(complaints, error);
    return result;
}

static int ask_for_file(const struct grub *grub, const char *const *words, uint64_t limit_bytes,
                        struct grub_file *ret_file, struct error *error)
{
    _cleanup_file_ struct grub_file file = {.descriptor = memory_file()};
    if (file.descriptor < 0)
        return error_set(error, -errno, "no memory file: %s", strerror(errno));
    const struct question question = {.grub = grub,
                                      .words = words,
                                      .limit_bytes = min_of(limit_bytes, grub->file_limit_bytes),
                                      .answer = file.descriptor};
    int result = ask(&question, error);
    if (!result && (result = map(&file)))
        error_set(error, result, "out of memory");
    if (!result)
        *ret_file = take(file, GRUB_FILE_NONE);
    return result;
}

/* ── files ───────────────────────────────────────────────────────────────────────────────────── */

int grub_read(const struct grub *grub, const char *device, const char *path, uint64_t limit_bytes,
              struct grub_file *ret_file, struct error *error)
{
    _cleanup_free_ char *name = NULL;
    if (asprintf(&name, "(%s)%s", device, path) < 0)
        return error_set(error, -ENOMEM, "out of memory");
    const char *const words[] = {"cat", name, NULL};
    return ask_for_file(grub, words, limit_bytes, ret_file, error);
}

int grub_read_sectors(const struct grub *grub, const char *device, uint64_t first, uint64_t count,
                      struct grub_file *ret_file, struct error *error)
{
    char name[GRUB_DEVICE_BYTES + 64];
    snprintf(name, sizeof name, "(%s)%llu+%llu", device, (unsigned long long)first,
             (unsigned long long)count);
    const char *const words[] = {"cat", name, NULL};
    return ask_for_file(grub, words, count * 512 + 1, ret_file, error);
}

/* ── folders ─────────────────────────────────────────────────────────────────────────────────── */

void grub_folder_done(struct grub_folder *folder)
{
    for (unsigned i = 0; i < folder->count; i++)
        free(folder->names[i].name);
    free(folder->names);
    *folder = (struct grub_folder){0};
}

/* Behind the size, 12 columns wide, where the name begins: " 20261121152655 vmlinuz", or without a
 * date where the filesystem has none, as for the top of a subvolume. */
static size_t name_start(const char *line, size_t length, size_t size_length)
{
    enum { SIZE_COLUMNS = 12, DATE_DIGITS = 14 };
    size_t start = max_of(size_length, (size_t)SIZE_COLUMNS);
    size_t end = start + 1 + DATE_DIGITS;
    if (end >= length || line[start] != ' ' || line[end] != ' ')
        return start;
    for (size_t i = start + 1; i < end; i++)
        if (line[i] < '0' || line[i] > '9')
            return start;
    return end + 1;
}

/* "3000000      20261121152655 vmlinuz-1", "DIR          20261121152655 grub/" */
static bool take_name(const char *line, size_t length, struct grub_name *ret_name)
{
    char text[32];
    size_t size = 0;
    while (size < length && line[size] != ' ')
        size++;
    size_t name = name_start(line, length, size);
    if (name >= length || size >= sizeof text)
        return false;
    memcpy(text, line, size);
    text[size] = '\0';
    const char *start = line + name;
    size_t rest = length - name;
    bool is_folder = !strcmp(text, "DIR");
    if (is_folder && start[rest - 1] == '/')
        rest--;
    if (!rest || memchr(start, '\0', rest) || memchr(start, '/', rest))
        return false;
    bool is_number = text[0] && strspn(text, "0123456789") == size && size < 19;
    *ret_name = (struct grub_name){
        .name = strndup(start, rest),
        .is_folder = is_folder,
        .bytes = is_number ? strtoull(text, NULL, 10) : GRUB_SIZE_UNKNOWN,
    };
    return ret_name->name;
}

static int take_names(const struct grub_file *answer, struct grub_folder *folder)
{
    const char *at = (const char *)answer->data, *end = at + answer->bytes;
    folder->names = calloc(GRUB_NAMES_LIMIT, sizeof *folder->names);
    if (!folder->names)
        return -ENOMEM;
    while (at && at < end && folder->count < GRUB_NAMES_LIMIT) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (take_name(at, length, &folder->names[folder->count]))
            folder->count++;
        at += length + 1;
    }
    return 0;
}

int grub_list(const struct grub *grub, const char *device, const char *path,
              struct grub_folder *ret_folder, struct error *error)
{
    _cleanup_file_ struct grub_file answer = GRUB_FILE_NONE;
    _cleanup_free_ char *name = NULL;
    struct grub_folder folder = {0};
    if (asprintf(&name, "(%s)%s/", device, strcmp(path, "/") ? path : "") < 0)
        return error_set(error, -ENOMEM, "out of memory");
    const char *const words[] = {"ls", "-l", name, NULL};
    int result = ask_for_file(grub, words, LIST_BYTES_LIMIT, &answer, error);
    if (!result && (result = take_names(&answer, &folder)))
        error_set(error, result, "out of memory");
    if (!result)
        *ret_folder = folder;
    return result;
}

/* ── devices ─────────────────────────────────────────────────────────────────────────────────── */

/* Only what is on this disk, and nothing that could be more than a name: labels of a disk stand in
 * the same list. */
static bool is_device_name(const char *name)
{
    static const char *const beginnings[] = {"loop0", "lvm/", "md"};
    static const char signs[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_+.-/,:";
    if (strspn(name, signs) != strlen(name))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
        if (!strncmp(name, beginnings[i], strlen(beginnings[i])))
            return true;
    return false;
}

/* "Device loop0: …", "\tPartition loop0,gpt1: Filesystem type ext* …" */
static bool take_device(char *line, struct grub_device *ret_device)
{
    static const char *const words[] = {"Device ", "Partition "};
    line += strspn(line, " \t");
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strncmp(line, words[i], strlen(words[i])) != 0)
            continue;
        char *name = line + strlen(words[i]);
        char *colon = strstr(name, ": ");
        if (!colon)
            return false;
        *colon = '\0';
        if (!is_device_name(name) || strlen(name) >= sizeof ret_device->name)
            return false;
        memcpy(ret_device->name, name, strlen(name) + 1);
        ret_device->is_known = !strncmp(colon + 2, "Filesystem type ", 16);
        return true;
    }
    return false;
}

int grub_devices(const struct grub *grub, struct grub_device *ret_devices, unsigned limit,
                 unsigned *ret_count, struct error *error)
{
    _cleanup_file_ struct grub_file answer = GRUB_FILE_NONE;
    static const char *const words[] = {"ls", "-l", NULL};
    int result = ask_for_file(grub, words, LIST_BYTES_LIMIT, &answer, error);
    if (result)
        return result;
    char *text = strndup(answer.data ? (const char *)answer.data : "", answer.bytes);
    char *rest = text;
    unsigned count = 0;
    while (rest && count < limit)
        count += take_device(strsep(&rest, "\n"), &ret_devices[count]);
    *ret_count = count;
    free(text);
    return 0;
}
