/* fixture.h - a server, a listed client, and what they begin with */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/boot.h>
#include <netboot-target/util/array.h>

#define MAC  "52-54-00-ab-cd-ef"
#define UUID "00112233-4455-6677-8899-aabbccddeeff"

static const struct boot_server server = {"192.168.200.1", 80, "/etc/netboot.conf"};

static inline struct boot_client client_of(const char *mac, const char *uuid, const char *serial)
{
    struct boot_client client;
    boot_client_read(&client, mac, uuid, serial);
    return client;
}

/* Writes into memory of the caller's, as a string. */
struct script {
    struct buffer buffer;
    char text[BOOT_SCRIPT_BYTES_LIMIT + 1];
};

static inline struct buffer *script_begin(struct script *script)
{
    buffer_init_fixed(&script->buffer, script->text, sizeof script->text);
    return &script->buffer;
}

static inline const char *script_end(struct script *script)
{
    const char *text = buffer_string(&script->buffer);
    assert_non_null(text);
    return text;
}

static inline void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing in:\n%s", part, text);
}

static inline void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" must not be in:\n%s", part, text);
}
