/*
 * source.c - the files a configuration is written in, made one text. libconfig is not left to read
 * them: it wraps integers beyond 32 bits without a word, looks for a relative @include in the
 * current directory, and opens whatever is named there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/escape.h>
#include <netboot-target/util/read.h>

#define TEXT_LIMIT_BYTES (1u << 20)
#define SERVICE_USER     "netboot-target"
#define FILE_LIMIT       64
#define DEPTH_LIMIT      10

/* One pass over one file. */
struct scan {
    struct sources *sources;
    struct source_errors *errors;
    const char *text;
    const char *at;
    const char *copied; /* everything before it is in the whole text */
    const char *folder; /* NULL: nothing can be included */
    unsigned source;
    unsigned line;
    unsigned depth;
};

/* Who the unit runs the daemon as. Its file may be root's, and its group's to read: so it cannot
 * write what says what it serves. */
static bool find_service_account(uid_t *ret_user, gid_t *ret_group)
{
    const struct passwd *account = getpwnam(SERVICE_USER);
    if (!account)
        return false;
    *ret_user = account->pw_uid;
    *ret_group = account->pw_gid;
    return true;
}

/* `cure` alone would close the file to the service as well, where there is one. */
static int refuse_open(const char *path, const char *problem, const char *cure, bool for_service,
                       struct error *why)
{
    if (for_service)
        return error_set(why, -EPERM,
                         "%s holds secrets and %s: run chown root:" SERVICE_USER
                         " %s && chmod 640 %s",
                         escaped(path), problem, escaped(path), escaped(path));
    return error_set(why, -EPERM, "%s holds secrets and %s: run %s %s", escaped(path), problem,
                     cure, escaped(path));
}

int source_check_private(const char *path, const struct stat *status, struct error *why)
{
    uid_t service_user = geteuid();
    gid_t service_group = (gid_t)-1; /* nobody's */
    bool has_service = find_service_account(&service_user, &service_group);
    if (!S_ISREG(status->st_mode))
        return error_set(why, -EINVAL, "%s holds secrets and is no regular file", escaped(path));
    if (status->st_uid != 0 && status->st_uid != geteuid() && status->st_uid != service_user) {
        char problem[64];
        snprintf(problem, sizeof problem, "belongs to user %u", (unsigned)status->st_uid);
        return refuse_open(path, problem, "chown root", has_service, why);
    }
    if (status->st_mode & (status->st_gid == service_group ? 037 : 077))
        return refuse_open(path, "is open to others", "chmod 600",
                           has_service && status->st_uid == 0, why);
    return 0;
}

static void wipe_and_free(char *text, size_t length)
{
    if (text)
        explicit_bzero(text, length);
    free(text);
}

/* Reads a whole regular file; the caller wipes and frees the text. */
static int read_file(const char *path, struct stat *ret_status, char **ret_text, size_t *ret_length,
                     struct error *why)
{
    _cleanup_close_ int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        return error_set(why, -errno, "cannot open it: %s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(why, -EINVAL, "it is no regular file");
    if (status.st_size > TEXT_LIMIT_BYTES)
        return error_set(why, -EFBIG, "it is larger than 1 MiB");
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    if (!text)
        return error_set(why, -ENOMEM, "out of memory");
    int result = read_up_to(descriptor, text, size, ret_length);
    if (result != 0) {
        wipe_and_free(text, size);
        return error_set(why, result, "cannot read it: %s", strerror(-result));
    }
    text[*ret_length] = '\0';
    *ret_status = status;
    *ret_text = text;
    return 0;
}

/* ---------------------------------------------------------------- the whole text */

static int keep_source(struct sources *sources, const char *path, const struct stat *status,
                       bool is_private)
{
    char *copy = strdup(path);
    struct source *grown =
        copy ? realloc(sources->files.items, (sources->files.count + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(copy);
        return -ENOMEM;
    }
    sources->files.items = grown;
    grown[sources->files.count++] =
        (struct source){.path = copy, .status = *status, .is_private = is_private};
    return 0;
}

/* What is appended from now on comes from here. */
static int begin_segment(struct sources *sources, unsigned source, unsigned line)
{
    struct segment *grown =
        realloc(sources->segments.items, (sources->segments.count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    sources->segments.items = grown;
    grown[sources->segments.count++] =
        (struct segment){.first_line = sources->lines + 1, .source = source, .line = line};
    return 0;
}

static int append(struct sources *sources, const char *from, size_t length, struct error *why)
{
    if (length > TEXT_LIMIT_BYTES - sources->length)
        return error_set(why, -EFBIG, "all files together are larger than 1 MiB");
    memcpy(sources->text + sources->length, from, length);
    sources->length += length;
    for (size_t i = 0; i < length; i++)
        sources->lines += from[i] == '\n';
    return 0;
}

const struct source *sources_find(const struct sources *sources, unsigned line, unsigned *ret_line)
{
    unsigned i = sources->segments.count - 1;
    while (i > 0 && sources->segments.items[i].first_line > line)
        i--;
    const struct segment *segment = &sources->segments.items[i];
    unsigned ahead = line > segment->first_line ? line - segment->first_line : 0;
    *ret_line = segment->line + ahead;
    return &sources->files.items[segment->source];
}

bool sources_wrapped(const struct sources *sources, unsigned line)
{
    for (unsigned i = 0; i < sources->wrapped.count; i++)
        if (sources->wrapped.items[i] == line)
            return true;
    return false;
}

void sources_done(struct sources *sources)
{
    wipe_and_free(sources->text, sources->length);
    for (unsigned i = 0; i < sources->files.count; i++)
        free(sources->files.items[i].path);
    free(sources->files.items);
    free(sources->segments.items);
    free(sources->wrapped.items);
    *sources = (struct sources){0};
}

/* ---------------------------------------------------------------- the pass */

static void skip_line(struct scan *scan)
{
    scan->at += strcspn(scan->at, "\n");
}

/* libconfig would leak what it has of an open text, and name the last line of all. */
static int report_open(struct scan *scan, unsigned line, const char *what)
{
    errors_add(scan->errors->fatal, false, scan->sources->files.items[scan->source].path, line,
               "the %s that begins here has no end", what);
    return -EINVAL;
}

static int skip_comment(struct scan *scan)
{
    unsigned first_line = scan->line;
    const char *end = strstr(scan->at + 2, "*/");
    if (!end)
        return report_open(scan, first_line, "comment");
    for (; scan->at < end; scan->at++)
        scan->line += *scan->at == '\n';
    scan->at += 2;
    return 0;
}

/* `at` stands on the opening quote. */
static int skip_string(struct scan *scan)
{
    unsigned first_line = scan->line;
    for (scan->at++; *scan->at && *scan->at != '"'; scan->at++) {
        if (*scan->at == '\\' && scan->at[1])
            scan->at++;
        scan->line += *scan->at == '\n';
    }
    if (!*scan->at)
        return report_open(scan, first_line, "quoted text");
    scan->at++;
    return 0;
}

/* The path of "@include", with its escapes resolved. -EINVAL: no string follows. */
static int take_include_path(struct scan *scan, char *to, size_t size)
{
    const char *p = scan->at + strlen("@include");
    size_t blanks = strspn(p, " \t");
    if (!blanks || p[blanks] != '"')
        return -EINVAL;
    size_t length = 0;
    for (p += blanks + 1; *p && *p != '"' && *p != '\n'; p++) {
        if (*p == '\\' && (p[1] == '\\' || p[1] == '"'))
            p++;
        if (length + 1 >= size)
            return -EINVAL;
        to[length++] = *p;
    }
    if (*p != '"')
        return -EINVAL;
    to[length] = '\0';
    scan->at = p + 1;
    return 0;
}

static int scan_file(struct sources *sources, const char *path, unsigned depth,
                     struct source_errors *errors, struct error *why);

/* The included text stands on lines of its own: what precedes and what follows keep theirs. */
static int splice_file(struct scan *scan, const char *directive, const char *path,
                       struct error *why)
{
    struct sources *sources = scan->sources;
    int result = append(sources, scan->copied, (size_t)(directive - scan->copied), why);
    if (result == 0)
        result = append(sources, "\n", 1, why);
    if (result == 0)
        result = scan_file(sources, path, scan->depth + 1, scan->errors, why);
    if (result == 0)
        result = append(sources, "\n", 1, why);
    if (result != 0)
        return result;
    scan->copied = scan->at;
    return begin_segment(sources, scan->source, scan->line);
}

/* A relative path stands below the folder of the file that names it. */
static int scan_include(struct scan *scan)
{
    const char *directive = scan->at;
    const char *name = scan->sources->files.items[scan->source].path;
    char path[PATH_MAX], full[2 * PATH_MAX];
    struct error why = {"out of memory"};
    int result = take_include_path(scan, path, sizeof path);
    if (result != 0) {
        errors_add(scan->errors->fatal, false, name, scan->line,
                   "@include takes a quoted path: @include \"/etc/netboot.d/clients.conf\"");
        return result;
    }
    snprintf(full, sizeof full, "%s%s%s",
             path[0] == '/' ? ""
             : scan->folder ? scan->folder
                            : "",
             path[0] == '/' || !scan->folder ? "" : "/", path);
    if (!scan->folder)
        result = error_set(&why, -EINVAL, "nothing can be included here");
    else if (scan->depth >= DEPTH_LIMIT)
        result = error_set(&why, -ELOOP, "files include each other more than %d deep", DEPTH_LIMIT);
    else if (scan->sources->files.count >= FILE_LIMIT)
        result = error_set(&why, -EINVAL, "more than %d files are included", FILE_LIMIT);
    else
        result = splice_file(scan, directive, full, &why);
    if (result != 0 && !scan->errors->fatal->errors)
        errors_add(scan->errors->fatal, false, scan->sources->files.items[scan->source].path,
                   scan->line, "@include \"%s\": %s", escaped(path), why.text);
    return result;
}

/* The line being scanned as a line of the whole text. */
static unsigned whole_line(const struct scan *scan)
{
    const struct sources *sources = scan->sources;
    const struct segment *segment = &sources->segments.items[sources->segments.count - 1];
    return segment->first_line + (scan->line - segment->line);
}

static void report_wrapped(struct scan *scan, const char *number, size_t length)
{
    struct sources *sources = scan->sources;
    unsigned *grown = realloc(sources->wrapped.items, (sources->wrapped.count + 1) * sizeof *grown);
    if (grown) {
        sources->wrapped.items = grown;
        grown[sources->wrapped.count++] = whole_line(scan);
    }
    errors_add(scan->errors->later, false, sources->files.items[scan->source].path, scan->line,
               "%.*s is beyond 32 bits; a size is written quoted, with its unit: \"8G\"",
               (int)(length > 40 ? 40 : length), number);
}

/* libconfig reads integers with atoi(): 4294967297 becomes 1. Only a trailing L makes 64 bits. */
static void scan_number(struct scan *scan)
{
    char *end;
    bool is_hex = scan->at[0] == '0' && (scan->at[1] == 'x' || scan->at[1] == 'X');
    errno = 0;
    long long value = strtoll(scan->at, &end, is_hex ? 16 : 10);
    bool overflows = errno == ERANGE;
    bool is_float = !is_hex && *end && strchr(".eE", *end);
    bool is_long = *end == 'L';
    if (!is_float && (overflows || (!is_long && (value > INT32_MAX || value < INT32_MIN))))
        report_wrapped(scan, scan->at, (size_t)(end - scan->at));
    scan->at = end;
    scan->at += strspn(scan->at, "0123456789.eEL");
}

static bool starts_number(const char *at)
{
    if (*at == '+' || *at == '-')
        at++;
    return *at >= '0' && *at <= '9';
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '*';
}

static int scan_token(struct scan *scan)
{
    if (scan->at[0] == '/' && scan->at[1] == '*')
        return skip_comment(scan);
    if (*scan->at == '"')
        return skip_string(scan);
    if (*scan->at == '#' || (scan->at[0] == '/' && scan->at[1] == '/'))
        skip_line(scan);
    else if (starts_number(scan->at))
        scan_number(scan);
    else if (is_name_byte(*scan->at))
        while (is_name_byte(*scan->at))
            scan->at++;
    else
        scan->at++;
    return 0;
}

static bool at_line_start(const struct scan *scan)
{
    const char *p = scan->at;
    while (p > scan->text && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    return p == scan->text || p[-1] == '\n';
}

/* The source of `text` is the last one kept. */
static int scan_text(struct sources *sources, const char *text, const char *folder, unsigned depth,
                     struct source_errors *errors, struct error *why)
{
    struct scan scan = {.sources = sources,
                        .errors = errors,
                        .text = text,
                        .at = text,
                        .copied = text,
                        .folder = folder,
                        .source = sources->files.count - 1,
                        .line = 1,
                        .depth = depth};
    int result = begin_segment(sources, scan.source, 1);
    while (result == 0 && *scan.at) {
        if (*scan.at == '\n') {
            scan.line++;
            scan.at++;
        } else if (strncmp(scan.at, "@include", 8) == 0 && at_line_start(&scan)) {
            result = scan_include(&scan);
        } else {
            result = scan_token(&scan);
        }
    }
    return result ? result : append(sources, scan.copied, strlen(scan.copied), why);
}

static int scan_file(struct sources *sources, const char *path, unsigned depth,
                     struct source_errors *errors, struct error *why)
{
    struct stat status;
    char *text = NULL;
    size_t length = 0;
    int result = read_file(path, &status, &text, &length, why);
    if (result != 0)
        return result;
    _cleanup_free_ char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        slash[slash == folder] = '\0';
    if (strlen(text) != length)
        result = error_set(why, -EINVAL, "it holds a NUL byte and is no text");
    else
        result = folder ? keep_source(sources, path, &status, false) : -ENOMEM;
    if (result == 0)
        result = scan_text(sources, text, slash ? folder : ".", depth, errors, why);
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not know cleanup attributes
    wipe_and_free(text, length);
    return result;
}

/* ---------------------------------------------------------------- the main file */

/* A fixed area, so that no secret is left behind by a realloc. Its pages are real once touched. */
static int sources_begin(struct sources *sources)
{
    sources->text = malloc(TEXT_LIMIT_BYTES + 1);
    return sources->text ? 0 : -ENOMEM;
}

static int sources_end(struct sources *sources, const char *name, int result,
                       const struct error *why, struct source_errors *errors)
{
    if (result == 0)
        sources->text[sources->length] = '\0';
    else if (!errors->fatal->errors)
        errors_add(errors->fatal, false, name, 0, "%s", why->text);
    return result;
}

int sources_load(struct sources *sources, const char *path, struct source_errors *errors)
{
    struct error why = {"out of memory"};
    int result = sources_begin(sources);
    if (result == 0)
        result = scan_file(sources, path, 0, errors, &why);
    return sources_end(sources, path, result, &why, errors);
}

int sources_take_text(struct sources *sources, const char *text, size_t length, const char *name,
                      const char *folder, struct source_errors *errors)
{
    static const struct stat none;
    struct error why = {"out of memory"};
    int result = sources_begin(sources);
    if (length > TEXT_LIMIT_BYTES) {
        result = error_set(&why, -EFBIG, "it is larger than 1 MiB");
        return sources_end(sources, name, result, &why, errors);
    }
    char *copy = strndup(text, length);
    if (!copy)
        result = -ENOMEM;
    else if (strlen(copy) != length)
        result = error_set(&why, -EINVAL, "it holds a NUL byte and is no text");
    if (result == 0)
        result = keep_source(sources, name, &none, true);
    if (result == 0)
        result = scan_text(sources, copy, folder, 0, errors, &why);
    wipe_and_free(copy, copy ? strlen(copy) : 0);
    return sources_end(sources, name, result, &why, errors);
}
