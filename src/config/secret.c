/* secret.c - secrets: written in the file, in a file of their own, or given by systemd. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/escape.h>
#include <netboot-target/util/read.h>

/* Takes one line of text. Nothing of it may reach a message. */
static int secret_set(struct secret *secret, const struct key *key, const char *text, size_t length,
                      struct error *why)
{
    if (secret->length)
        return error_set(why, -EINVAL, "the secret is given in two ways; keep one of them");
    if (length < key->minimum || length > key->maximum || length > SECRET_MAX_BYTES)
        return error_set(why, -EINVAL, "the secret has %zu characters; it takes from %u to %u",
                         length, (unsigned)key->minimum, (unsigned)key->maximum);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return error_set(why, -EINVAL, "the secret holds a control character");
    memcpy(secret->text, text, length);
    secret->length = (uint8_t)length;
    return 0;
}

static int parse_secret(const struct value_input *input, void *to, struct error *why)
{
    return secret_set(to, input->key, input->text, strlen(input->text), why);
}

/* How long the line is without what an editor leaves at its end. */
static size_t line_length(const char *text, size_t length)
{
    if (length && text[length - 1] == '\n')
        length--;
    if (length && text[length - 1] == '\r')
        length--;
    return length;
}

static int read_secret(int descriptor, const char *path, const struct key *key, struct secret *to,
                       struct error *why)
{
    char text[SECRET_MAX_BYTES + 3]; /* one too many, with its line end */
    size_t length = 0;
    int result = read_up_to(descriptor, text, sizeof text, &length);
    if (result < 0)
        error_set(why, result, "cannot read %s: %s", escaped(path), strerror(-result));
    else
        result = secret_set(to, key, text, line_length(text, length), why);
    explicit_bzero(text, sizeof text);
    return result;
}

/* O_NONBLOCK: a FIFO in the place of the file must not stop the daemon. */
static int open_secret(const char *path, struct stat *ret_status, struct error *why)
{
    int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0 && errno == ELOOP)
        return error_set(why, -ELOOP, "%s is a symbolic link; name the file itself", escaped(path));
    if (descriptor < 0 && errno == EACCES)
        return error_set(why, -EACCES,
                         "cannot open %s: %s; let it belong to the user the daemon runs as",
                         escaped(path), strerror(EACCES));
    if (descriptor < 0)
        return error_set(why, -errno, "cannot open %s: %s", escaped(path), strerror(errno));
    if (fstat(descriptor, ret_status) == 0)
        return descriptor;
    int result = -errno;
    close(descriptor);
    return error_set(why, result, "cannot look at %s: %s", escaped(path), strerror(-result));
}

static int parse_secret_file(const struct value_input *input, void *to, struct error *why)
{
    if (input->text[0] != '/')
        return error_set(why, -EINVAL, "\"%s\" is no %s", escaped(input->text),
                         input->key->type->noun);
    struct stat status = {0};
    _cleanup_close_ int descriptor = open_secret(input->text, &status, why);
    if (descriptor < 0)
        return descriptor;
    int result = source_check_private(input->text, &status, why);
    return result ? result : read_secret(descriptor, input->text, input->key, to, why);
}

/* systemd guards the directory and lets our user in by an ACL, which shows as group bits: the
 * mode is not judged here. */
static int parse_secret_credential(const struct value_input *input, void *to, struct error *why)
{
    const char *directory = input->options ? input->options->credentials_directory : NULL;
    if (!*input->text || input->text[0] == '.' || strchr(input->text, '/'))
        return error_set(why, -EINVAL, "\"%s\" is no %s", escaped(input->text),
                         input->key->type->noun);
    if (!directory)
        return error_set(why, -ENOENT,
                         "credential %s: systemd gave none; add LoadCredential=%s:FILE to the unit",
                         escaped(input->text), escaped(input->text));
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", directory, input->text) >= (int)sizeof path)
        return error_set(why, -ENAMETOOLONG, "the name of credential %s is too long",
                         escaped(input->text));
    struct stat status = {0};
    _cleanup_close_ int descriptor = open_secret(path, &status, why);
    if (descriptor < 0)
        return descriptor;
    if (!S_ISREG(status.st_mode))
        return error_set(why, -EINVAL, "%s is no regular file", escaped(path));
    return read_secret(descriptor, path, input->key, to, why);
}

static void done_secret(void *value)
{
    explicit_bzero(value, sizeof(struct secret));
}

static bool same_secret(const void *one, const void *two)
{
    const struct secret *a = one, *b = two;
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

#define SECRET_TYPE(identifier, word, function, words) \
    const struct value_type identifier = {             \
        .kind = (word),                                \
        .noun = (words),                               \
        .size = sizeof(struct secret),                 \
        .written_as = WRITTEN_STRING,                  \
        .parse = (function),                           \
        .done = done_secret,                           \
        .same = same_secret,                           \
    }

SECRET_TYPE(value_secret, "secret", parse_secret, "quoted secret");
SECRET_TYPE(value_secret_file, "path", parse_secret_file,
            "absolute path such as \"/etc/netboot.d/secret\"");
SECRET_TYPE(value_secret_credential, "name", parse_secret_credential,
            "name of a systemd credential such as \"laptop-secret\"");
