/* words.c - see words.h */
#include <string.h>

#include "words.h"

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_made_of(const char *word, const char *signs)
{
    size_t length = strlen(word);
    if (!length || length >= BOOT_INITIATOR_BYTES || *word == '-')
        return false;
    for (const char *c = word; *c; c++) {
        if (!is_alphanumeric(*c) && !strchr(signs, *c))
            return false;
    }
    return true;
}

bool boot_word_is_name(const char *word)
{
    return is_made_of(word, ".:_-");
}

bool boot_word_is_path(const char *word)
{
    return is_made_of(word, ".:_-\\/") && word[strlen(word) - 1] != '\\';
}

bool boot_word_is_url_path(const char *path)
{
    for (const char *c = path; *c; c++) {
        if (!is_alphanumeric(*c) && !strchr("/._-~", *c))
            return false;
    }
    return *path == '/';
}

void boot_put_setting(struct buffer *out, const char *setting, const char *value)
{
    buffer_format(out, "set %s:uristring ", setting);
    for (const char *c = value; *c; c++) {
        if (is_alphanumeric(*c))
            buffer_put_u8(out, (uint8_t)*c);
        else
            buffer_format(out, "%%%02X", (uint8_t)*c);
    }
    buffer_append_string(out, "\n");
}

void boot_put_text(struct buffer *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        bool is_harmless = *c >= ' ' && *c <= '~' && !strchr("$#&|;\\", *c);
        buffer_put_u8(out, is_harmless ? (uint8_t)*c : '?');
    }
}

void boot_put_mac(struct buffer *out, const struct boot_client *client)
{
    for (unsigned i = 0; client->has_mac && i < BOOT_MAC_BYTES; i++)
        buffer_format(out, "%s%02x", i ? ":" : "", client->mac[i]);
    if (!client->has_mac)
        buffer_append_string(out, "${netX/mac}");
}

void boot_put_host(struct buffer *out, const char *host)
{
    buffer_format(out, strchr(host, ':') ? "[%s]" : "%s", host);
}
