/* strings.c - text of every kind: names, paths, devices, iSCSI names. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/escape.h>

#define NAME_CHARACTERS      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define ISCSI_NAME_MAX_BYTES 223 /* RFC 7143 §4.2.7.1 */

static int refuse(const struct value_input *input, struct error *why)
{
    return error_set(why, -EINVAL, "\"%s\" is no %s", escaped(input->text), input->key->type->noun);
}

static int keep(const char *text, void *to)
{
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    memcpy(to, &copy, sizeof copy);
    return 0;
}

static bool has_control_bytes(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return true;
    return false;
}

static bool is_ascii(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            return false;
    return true;
}

static int check_length(const struct value_input *input, struct error *why)
{
    size_t length = strlen(input->text);
    if (length >= input->key->minimum && length <= input->key->maximum)
        return 0;
    return error_set(why, -ERANGE, "\"%s\" has %zu characters; it takes from %u to %u",
                     escaped(input->text), length, (unsigned)input->key->minimum,
                     (unsigned)input->key->maximum);
}

static int parse_string(const struct value_input *input, void *to, struct error *why)
{
    if (has_control_bytes(input->text))
        return refuse(input, why);
    int result = check_length(input, why);
    return result ? result : keep(input->text, to);
}

static int parse_ascii(const struct value_input *input, void *to, struct error *why)
{
    if (!is_ascii(input->text))
        return refuse(input, why);
    return parse_string(input, to, why);
}

/* It becomes part of file names and of URLs. */
static int parse_name(const struct value_input *input, void *to, struct error *why)
{
    const char *text = input->text;
    if (text[0] == '.' || text[strspn(text, NAME_CHARACTERS)])
        return refuse(input, why);
    return parse_string(input, to, why);
}

/* linux/if.h: IFNAMSIZ with its NUL; the kernel refuses '/', ':' and blanks. */
static int parse_interface(const struct value_input *input, void *to, struct error *why)
{
    const char *text = input->text;
    size_t length = strlen(text);
    if (!length || length >= IF_NAMESIZE || !is_ascii(text) || strpbrk(text, "/:% ") ||
        strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return refuse(input, why);
    return keep(text, to);
}

static int parse_path(const struct value_input *input, void *to, struct error *why)
{
    if (input->text[0] != '/' || has_control_bytes(input->text) || strlen(input->text) >= 4096)
        return refuse(input, why);
    int result = input->key->maximum ? check_length(input, why) : 0;
    return result ? result : keep(input->text, to);
}

/* What a menu can offer. */
static int parse_choice(const struct value_input *input, void *to, struct error *why)
{
    static const char *const prefixes[] = {"entry:", "item:", NULL};
    const char *text = input->text;
    bool good = strcmp(text, "disk") == 0 || strcmp(text, "kernel") == 0;
    for (const char *const *prefix = prefixes; *prefix; prefix++) {
        size_t length = strlen(*prefix);
        good |= strncmp(text, *prefix, length) == 0 && text[length] && strlen(text) <= 70 &&
                !text[length + strspn(text + length, NAME_CHARACTERS)];
    }
    return good ? keep(text, to) : refuse(input, why);
}

/* A name below the boot directories: no way out of them. */
static int parse_boot_file(const struct value_input *input, void *to, struct error *why)
{
    const char *text = input->text;
    bool escapes = text[0] == '/' || strcmp(text, "..") == 0 || strncmp(text, "../", 3) == 0 ||
                   strstr(text, "/../");
    size_t length = strlen(text);
    if (length >= 3 && strcmp(text + length - 3, "/..") == 0)
        escapes = true;
    if (escapes || !is_ascii(text) || strchr(text, ' '))
        return refuse(input, why);
    return parse_string(input, to, why);
}

static bool is_tag(const char *text)
{
    static const char *const tags[] = {"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", NULL};
    for (const char *const *tag = tags; *tag; tag++) {
        size_t length = strlen(*tag);
        if (strncmp(text, *tag, length) == 0 && text[length])
            return !has_control_bytes(text) && strlen(text) < 256;
    }
    return false;
}

static int parse_tag(const struct value_input *input, void *to, struct error *why)
{
    return is_tag(input->text) ? keep(input->text, to) : refuse(input, why);
}

/* "%m" is the only thing a "%" can begin; everything else is kept for later needs. */
static bool has_other_placeholder(const char *text)
{
    for (const char *p = strchr(text, '%'); p; p = strchr(p + 1, '%'))
        if (p[1] != 'm')
            return true;
    return false;
}

/* One spelling per path, so that the same device is seen to be the same: "//" and "/./" go. */
static char *normal_path(const char *text)
{
    char *path = strdup(text);
    char *to = path;
    for (const char *p = path; path && *p;) {
        if (p[0] == '/' && p[1] == '/')
            p++;
        else if (p[0] == '/' && p[1] == '.' && p[2] == '/')
            p += 2;
        else
            *to++ = *p++;
    }
    if (path)
        *to = '\0';
    return path;
}

static int parse_device(const struct value_input *input, void *to, struct error *why)
{
    const char *text = input->text;
    if (is_tag(text))
        return keep(text, to);
    if (text[0] != '/' || has_control_bytes(text) || strlen(text) >= 4096)
        return refuse(input, why);
    if (has_other_placeholder(text))
        return error_set(why, -EINVAL,
                         "\"%s\": only %%m, the client's MAC, can follow a %% in a path",
                         escaped(text));
    char *path = normal_path(text);
    if (!path)
        return -ENOMEM;
    memcpy(to, &path, sizeof path);
    return 0;
}

/* Names are compared after mapping to lower case (RFC 3722 §1.1), so they are kept like that. */
static int keep_lower(const char *text, void *to)
{
    int result = keep(text, to);
    if (result != 0)
        return result;
    char *copy;
    memcpy(&copy, to, sizeof copy);
    for (char *p = copy; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return 0;
}

/* What RFC 3722 leaves of ASCII, and any UTF-8 beyond it. */
static bool has_name_characters(const char *text, const char *also)
{
    for (const char *p = text; *p; p++) {
        unsigned char byte = (unsigned char)*p;
        if (byte < 0x80 && !isalnum(byte) && !strchr("-.:", byte) && !strchr(also, byte))
            return false;
    }
    return true;
}

/* RFC 7143 §4.2.7: iqn.yyyy-mm.authority[:rest], eui.16 hex digits, naa.16 or 32 hex digits. */
static bool is_iscsi_name(const char *text)
{
    static const char date[] = "0000-00.";
    size_t length = strlen(text);
    if (length > ISCSI_NAME_MAX_BYTES || !has_name_characters(text, ""))
        return false;
    size_t hex_digits = length > 4 ? strspn(text + 4, "0123456789abcdefABCDEF") : 0;
    if (strncasecmp(text, "eui.", 4) == 0)
        return hex_digits == 16 && length == 20;
    if (strncasecmp(text, "naa.", 4) == 0)
        return hex_digits == length - 4 && (hex_digits == 16 || hex_digits == 32);
    if (strncasecmp(text, "iqn.", 4) != 0)
        return false;
    for (size_t i = 0; date[i]; i++)
        if (date[i] == '0' ? !isdigit((unsigned char)text[4 + i]) : text[4 + i] != date[i])
            return false;
    return text[4 + sizeof date - 1] != '\0' && text[4 + sizeof date - 1] != ':';
}

static int parse_iqn(const struct value_input *input, void *to, struct error *why)
{
    return is_iscsi_name(input->text) ? keep_lower(input->text, to) : refuse(input, why);
}

/* 32 hex digits and a colon come behind it. */
static int parse_iqn_prefix(const struct value_input *input, void *to, struct error *why)
{
    const char *text = input->text;
    if (!is_iscsi_name(text) || strncasecmp(text, "iqn.", 4) != 0 ||
        strlen(text) > ISCSI_NAME_MAX_BYTES - 33)
        return refuse(input, why);
    return keep_lower(text, to);
}

static int parse_pattern(const struct value_input *input, void *to, struct error *why)
{
    const char *text = input->text;
    size_t length = strlen(text);
    if (!length || length > ISCSI_NAME_MAX_BYTES || !has_name_characters(text, "*?"))
        return refuse(input, why);
    return keep_lower(text, to);
}

/* Checked as the name it becomes: "%m" stands for 17 characters such as 52-54-00-ab-cd-ef. */
static int parse_initiator(const struct value_input *input, void *to, struct error *why)
{
    static const char mac[] = "00-00-00-00-00-00";
    char name[ISCSI_NAME_MAX_BYTES + sizeof mac] = "";
    size_t length = 0;
    for (const char *p = input->text; *p; p++) {
        bool is_mac = p[0] == '%' && p[1] == 'm';
        size_t wanted = is_mac ? sizeof mac - 1 : 1;
        if (length + wanted > ISCSI_NAME_MAX_BYTES)
            return refuse(input, why);
        memcpy(name + length, is_mac ? mac : p, wanted);
        length += wanted;
        p += is_mac;
    }
    return is_iscsi_name(name) ? keep_lower(input->text, to) : refuse(input, why);
}

static void done_string(void *value)
{
    char *string;
    memcpy(&string, value, sizeof string);
    free(string);
    memset(value, 0, sizeof string);
}

static bool same_string(const void *one, const void *two)
{
    const char *a, *b;
    memcpy(&a, one, sizeof a);
    memcpy(&b, two, sizeof b);
    return a == b || (a && b && strcmp(a, b) == 0);
}

#define STRING_TYPE(identifier, word, function, words) \
    const struct value_type identifier = {             \
        .kind = (word),                                \
        .noun = (words),                               \
        .size = sizeof(char *),                        \
        .written_as = WRITTEN_STRING,                  \
        .parse = (function),                           \
        .done = done_string,                           \
        .same = same_string,                           \
    }

STRING_TYPE(value_string, "text", parse_string, "quoted text without control characters");
STRING_TYPE(value_ascii, "text", parse_ascii, "quoted text of printable ASCII");
STRING_TYPE(value_name, "name", parse_name,
            "quoted name of letters, digits, \".\", \"_\" and \"-\"");
STRING_TYPE(value_iqn, "iSCSI name", parse_iqn,
            "iSCSI name such as \"iqn.2026-11.local.example:disk\" (RFC 7143, clause 4.2.7)");
STRING_TYPE(value_iqn_prefix, "beginning of an iSCSI name", parse_iqn_prefix,
            "beginning of an iSCSI name such as \"iqn.2026-11.local.example\"");
STRING_TYPE(value_pattern, "pattern", parse_pattern,
            "pattern of iSCSI names such as \"iqn.2010-04.org.ipxe:*\"");
STRING_TYPE(value_initiator, "iSCSI name", parse_initiator,
            "iSCSI name such as \"iqn.2026-11.local.example:%m\", where %m is the client's MAC");
STRING_TYPE(value_path, "path", parse_path, "absolute path such as \"/srv/boot\"");
STRING_TYPE(value_device, "path or tag", parse_device,
            "absolute path or tag such as \"/dev/sda\", \"UUID=…\", \"LABEL=…\", \"PARTUUID=…\", "
            "\"PARTLABEL=…\"");
STRING_TYPE(value_tag, "tag", parse_tag,
            "tag such as \"UUID=…\", \"LABEL=…\", \"PARTUUID=…\", \"PARTLABEL=…\"");
STRING_TYPE(value_interface, "name", parse_interface,
            "name of a network interface such as \"eth0\"");
STRING_TYPE(value_choice, "choice", parse_choice,
            "\"disk\", \"kernel\", \"entry:ID\" or \"item:NAME\"");
STRING_TYPE(value_boot_file, "file name", parse_boot_file,
            "file name below the boot directory such as \"snponly.efi\"");
