/*
 * setup.c - see boot/setup.h. A placeholder stands in a script as '@NAME@', in quotes, so that a
 * script with its placeholders is a script too; quotes and all are replaced by the quoted value.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <netboot-target/boot/setup.h>
#include <netboot-target/util/array.h>

#define WINDOWS_SECRET_MIN 12u
#define WINDOWS_SECRET_MAX 16u

/* ── languages ───────────────────────────────────────────────────────────────────────────────── */

struct language {
    const char *name;
    const char *quote; /* stands for a ' inside of '…' */
    bool ascii;        /* nothing else: PowerShell takes ‘ and ’ for quotes, too */
};

static const struct language posix_shell = {.name = "a shell script", .quote = "'\\''"};
static const struct language powershell = {
    .name = "a PowerShell script", .quote = "''", .ascii = true};

static bool is_allowed(const struct language *language, const char *value)
{
    for (const char *c = value; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte < ' ' || byte == 0x7f || (byte > 0x7f && language->ascii))
            return false;
    }
    return true;
}

static void put_quoted(struct buffer *out, const struct language *language, const char *value)
{
    buffer_append_string(out, "'");
    for (const char *c = value; *c; c++) {
        if (*c == '\'')
            buffer_append_string(out, language->quote);
        else
            buffer_put_u8(out, (uint8_t)*c);
    }
    buffer_append_string(out, "'");
}

/* ── scripts ─────────────────────────────────────────────────────────────────────────────────── */

/* Made from the files, see nbt_room_embeds() in cmake/Rooms.cmake. */
extern const unsigned char boot_setup_linux_sh[], boot_setup_windows_ps1[], boot_setup_freebsd_sh[];

static const struct script {
    const char *name;
    const unsigned char *text;
    const struct language *language;
    bool short_secrets; /* 12 to 16 characters */
} scripts[] = {
    {"linux.sh",    boot_setup_linux_sh,    &posix_shell, false},
    {"windows.ps1", boot_setup_windows_ps1, &powershell,  true },
    {"freebsd.sh",  boot_setup_freebsd_sh,  &posix_shell, false},
};

const char *boot_setup_name(unsigned index)
{
    return index < ARRAY_SIZE(scripts) ? scripts[index].name : NULL;
}

static const struct script *find_script(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(scripts); i++)
        if (strcmp(scripts[i].name, name) == 0)
            return &scripts[i];
    return NULL;
}

/* ── values ──────────────────────────────────────────────────────────────────────────────────── */

enum {
    VERSION,
    SERVER,
    PORT,
    IQN,
    LUN,
    INITIATOR,
    CHAP_USER,
    CHAP_SECRET,
    CHAP_TARGET_USER,
    CHAP_TARGET_SECRET,
    VALUE_COUNT
};

/* A placeholder and what the value is to a person; both are compared with and shown. */
static const struct {
    const char *placeholder, *words;
} values[VALUE_COUNT] = {
    [VERSION] = {"VERSION",            "the version"             },
    [SERVER] = {"SERVER",             "the server's address"    },
    [PORT] = {"PORT",               "the port"                },
    [IQN] = {"IQN",                "the target's name"       },
    [LUN] = {"LUN",                "the LUN"                 },
    [INITIATOR] = {"INITIATOR",          "the initiator's name"    },
    [CHAP_USER] = {"CHAP_USER",          "the CHAP user"           },
    [CHAP_SECRET] = {"CHAP_SECRET",        "the CHAP secret"         },
    [CHAP_TARGET_USER] = {"CHAP_TARGET_USER",   "the target's CHAP user"  },
    [CHAP_TARGET_SECRET] = {"CHAP_TARGET_SECRET", "the target's CHAP secret"},
};

static bool is_secret(unsigned value)
{
    return value == CHAP_SECRET || value == CHAP_TARGET_SECRET;
}

static const char *or_empty(const char *string)
{
    return string ? string : "";
}

/* Checks all of them, also those that this script does not use. */
static int check(const struct script *script, const char *const texts[VALUE_COUNT],
                 struct error *error)
{
    for (unsigned i = 0; i < VALUE_COUNT; i++) {
        size_t length = strlen(texts[i]);
        if (!is_allowed(script->language, texts[i]))
            return error_set(error, -EINVAL, "In %s, %s has a character that cannot stand in %s.",
                             script->name, values[i].words, script->language->name);
        if (script->short_secrets && is_secret(i) && length &&
            (length < WINDOWS_SECRET_MIN || length > WINDOWS_SECRET_MAX))
            return error_set(error, -EINVAL,
                             "In %s, %s has %zu characters, and Windows takes %u to %u: configure "
                             "another one, or leave it out to have one generated.",
                             script->name, values[i].words, length, WINDOWS_SECRET_MIN,
                             WINDOWS_SECRET_MAX);
    }
    return 0;
}

/* The value whose placeholder begins at `text`, "'@NAME@'"; VALUE_COUNT: none. */
static unsigned value_at(const char *text, size_t *ret_length)
{
    for (unsigned i = 0; i < VALUE_COUNT; i++) {
        size_t length = strlen(values[i].placeholder);
        if (strncmp(text, "'@", 2) == 0 && strncmp(text + 2, values[i].placeholder, length) == 0 &&
            strncmp(text + 2 + length, "@'", 2) == 0) {
            *ret_length = length + 4;
            return i;
        }
    }
    return VALUE_COUNT;
}

static void render(struct buffer *out, const struct script *script,
                   const char *const texts[VALUE_COUNT])
{
    for (const char *text = (const char *)script->text; *text;) {
        size_t length = strcspn(text, "'");
        buffer_append(out, text, length);
        text += length;
        unsigned value = value_at(text, &length);
        if (value != VALUE_COUNT) {
            put_quoted(out, script->language, texts[value]);
            text += length;
        } else if (*text) {
            buffer_put_u8(out, (uint8_t)*text++);
        }
    }
}

int boot_setup_script(struct buffer *out, const char *name, const struct boot_setup *setup,
                      struct error *error)
{
    const struct script *script = find_script(name);
    if (!script)
        return error_set(error, -ENOENT, "There is no setup script of this name.");
    char port[8], lun[12];
    snprintf(port, sizeof port, "%u", setup->port);
    snprintf(lun, sizeof lun, "%u", setup->lun);
    const char *const texts[VALUE_COUNT] = {
        [VERSION] = or_empty(setup->version),
        [SERVER] = or_empty(setup->server),
        [PORT] = port,
        [IQN] = or_empty(setup->iqn),
        [LUN] = lun,
        [INITIATOR] = or_empty(setup->initiator),
        [CHAP_USER] = or_empty(setup->user),
        [CHAP_SECRET] = or_empty(setup->secret),
        [CHAP_TARGET_USER] = or_empty(setup->target_user),
        [CHAP_TARGET_SECRET] = or_empty(setup->target_secret),
    };
    int result = check(script, texts, error);
    if (!result)
        render(out, script, texts);
    return result;
}
