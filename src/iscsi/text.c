/* text.c - see text.h */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "text.h"
#include <netboot-target/util/escape.h>

#define DECIMAL_DIGITS "0123456789"
#define HEX_DIGITS     DECIMAL_DIGITS "abcdefABCDEF"
#define LETTERS        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define BASE64_DIGITS  LETTERS DECIMAL_DIGITS "+/"
#define KEY_CHARACTERS LETTERS DECIMAL_DIGITS ".-+@_#" /* '#' begins the X# extensions */

/* ── reading ─────────────────────────────────────────────────────────────────────────────────── */

void iscsi_text_reader_init(struct iscsi_text_reader *reader, const uint8_t *text, size_t length)
{
    *reader = (struct iscsi_text_reader){.next = text, .left = length};
}

static void skip_padding(struct iscsi_text_reader *reader)
{
    while (reader->left > 0 && *reader->next == '\0') {
        reader->next++;
        reader->left--;
    }
}

static int take_key(const char *text, struct iscsi_text_pair *ret_pair, struct error *error)
{
    struct escaped shown;
    size_t length = strspn(text, KEY_CHARACTERS);
    if (length == 0 || text[length] != '=')
        return error_set(error, -EPROTO, "\"%s\" is no key=value pair",
                         escape_text(shown.text, 80, text, strlen(text)));
    if (length >= TEXT_KEY_BYTES)
        return error_set(error, -EPROTO, "a key of %zu characters is longer than %d", length,
                         TEXT_KEY_BYTES - 1);
    memcpy(ret_pair->key, text, length);
    ret_pair->key[length] = '\0';
    ret_pair->value = text + length + 1;
    ret_pair->value_length = strlen(ret_pair->value);
    if (ret_pair->value_length > TEXT_LARGE_VALUE_LIMIT)
        return error_set(error, -EPROTO, "the value of %s is longer than %d bytes", ret_pair->key,
                         TEXT_LARGE_VALUE_LIMIT);
    return 0;
}

int iscsi_text_read(struct iscsi_text_reader *reader, struct iscsi_text_pair *ret_pair,
                    struct error *error)
{
    skip_padding(reader);
    if (reader->left == 0)
        return 0;
    const uint8_t *end = memchr(reader->next, '\0', reader->left);
    if (!end)
        return error_set(error, -EPROTO, "the last key=value pair is not ended by a NUL");
    if (++reader->pairs > TEXT_PAIRS_LIMIT)
        return error_set(error, -EPROTO, "there are more than %d key=value pairs",
                         TEXT_PAIRS_LIMIT);
    struct iscsi_text_pair pair;
    int result = take_key((const char *)reader->next, &pair, error);
    if (result < 0)
        return result;
    reader->left -= (size_t)(end + 1 - reader->next);
    reader->next = end + 1;
    *ret_pair = pair;
    return 1;
}

/* ── writing ─────────────────────────────────────────────────────────────────────────────────── */

void iscsi_text_put(struct buffer *buffer, const char *key, const char *value)
{
    size_t size = strlen(key) + 1 + strlen(value) + 1;
    uint8_t *place = buffer_reserve(buffer, size);
    if (place)
        snprintf((char *)place, size, "%s=%s", key, value);
}

void iscsi_text_put_number(struct buffer *buffer, const char *key, uint32_t value)
{
    char text[11];
    snprintf(text, sizeof text, "%u", value);
    iscsi_text_put(buffer, key, text);
}

void iscsi_text_put_hex(struct buffer *buffer, const char *key, const uint8_t *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    buffer_append_string(buffer, key);
    buffer_append_string(buffer, "=0x");
    for (size_t i = 0; i < length; i++) {
        buffer_put_u8(buffer, (uint8_t)digits[data[i] >> 4]);
        buffer_put_u8(buffer, (uint8_t)digits[data[i] & 0x0f]);
    }
    buffer_put_u8(buffer, '\0');
}

/* ── values ──────────────────────────────────────────────────────────────────────────────────── */

bool iscsi_text_is_answer(const char *value)
{
    return strcmp(value, TEXT_NOT_UNDERSTOOD) == 0 || strcmp(value, TEXT_IRRELEVANT) == 0 ||
           strcmp(value, TEXT_REJECT) == 0;
}

static bool has_base_prefix(const char *value, char letter)
{
    return value[0] == '0' && (value[1] | 0x20) == letter;
}

static unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return (unsigned)((c | 0x20) - 'a' + 10);
}

/* Both constants of §6.1: a decimal one has no leading zeros. */
int iscsi_text_number(const char *value, uint32_t *ret_number)
{
    bool hex = has_base_prefix(value, 'x');
    const char *digits = hex ? value + 2 : value;
    size_t length = strlen(digits);
    if (length == 0 || strspn(digits, hex ? HEX_DIGITS : DECIMAL_DIGITS) != length)
        return -EINVAL;
    if (!hex && digits[0] == '0' && length > 1)
        return -EINVAL;
    uint64_t number = 0;
    for (; *digits; digits++) {
        number = number * (hex ? 16 : 10) + hex_digit(*digits);
        if (number > UINT32_MAX)
            return -ERANGE;
    }
    *ret_number = (uint32_t)number;
    return 0;
}

int iscsi_text_boolean(const char *value, bool *ret_boolean)
{
    bool yes = strcmp(value, "Yes") == 0;
    if (!yes && strcmp(value, "No") != 0)
        return -EINVAL;
    *ret_boolean = yes;
    return 0;
}

static int read_hex(const char *digits, uint8_t *to, size_t size, size_t *ret_length)
{
    size_t length = strlen(digits);
    if (length == 0 || length % 2 != 0 || strspn(digits, HEX_DIGITS) != length)
        return -EINVAL;
    if (length / 2 > size)
        return -ERANGE;
    for (size_t i = 0; i < length / 2; i++)
        to[i] = (uint8_t)(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
    *ret_length = length / 2;
    return 0;
}

/* RFC 4648 §4, with its padding. */
static int read_base64(const char *digits, uint8_t *to, size_t size, size_t *ret_length)
{
    size_t length = strlen(digits), used = strspn(digits, BASE64_DIGITS);
    size_t padding = strspn(digits + used, "=");
    if (length == 0 || length % 4 != 0 || used + padding != length || padding > 2)
        return -EINVAL;
    uint8_t decoded[TEXT_LARGE_VALUE_LIMIT / 4 * 3];
    if (length / 4 * 3 > sizeof decoded || length / 4 * 3 - padding > size)
        return -ERANGE;
    if (EVP_DecodeBlock(decoded, (const unsigned char *)digits, (int)length) < 0)
        return -EINVAL;
    *ret_length = length / 4 * 3 - padding;
    memcpy(to, decoded, *ret_length);
    return 0;
}

int iscsi_text_binary(const char *value, uint8_t *to, size_t size, size_t *ret_length)
{
    if (has_base_prefix(value, 'x'))
        return read_hex(value + 2, to, size, ret_length);
    if (has_base_prefix(value, 'b'))
        return read_base64(value + 2, to, size, ret_length);
    return -EINVAL;
}

bool iscsi_text_list_next(const char **list, char *item, size_t size)
{
    if (!*list)
        return false;
    size_t length = strcspn(*list, ",");
    item[0] = '\0';
    if (length < size) {
        memcpy(item, *list, length);
        item[length] = '\0';
    }
    *list = (*list)[length] == ',' ? *list + length + 1 : NULL;
    return true;
}
