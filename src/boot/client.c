/* client.c - who asks, see boot.h. The query was made by the client: nothing of it is trusted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <netboot-target/boot.h>
#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/hex.h>

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* Pairs of digits with one of `separators` between them where `is_separated` says so, and nothing
 * behind. */
static bool read_bytes(const char *text, uint8_t *to, unsigned count, const char *separators,
                       bool (*is_separated)(unsigned index))
{
    for (unsigned i = 0; i < count; i++) {
        if (i && is_separated(i) && (!*text || !strchr(separators, *text++)))
            return false;
        int high = digit_value(text[0]);
        int low = high < 0 ? -1 : digit_value(text[1]);
        if (low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return !*text;
}

static bool everywhere(unsigned index)
{
    (void)index;
    return true;
}

/* RFC 9562 §4: 8-4-4-4-12 digits. */
static bool as_in_uuid(unsigned index)
{
    return index == 4 || index == 6 || index == 8 || index == 10;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

/* A group address is no machine's, and zeros are what firmware without an identity sends. */
void boot_client_read(struct boot_client *ret_client, const char *mac, const char *uuid,
                      const char *serial)
{
    struct boot_client client = {0};
    uint8_t bytes[BOOT_UUID_BYTES];
    if (mac && read_bytes(mac, bytes, BOOT_MAC_BYTES, ":-", everywhere) && !(bytes[0] & 1) &&
        !is_zero(bytes, BOOT_MAC_BYTES)) {
        memcpy(client.mac, bytes, BOOT_MAC_BYTES);
        client.has_mac = true;
    }
    if (uuid && read_bytes(uuid, bytes, BOOT_UUID_BYTES, "-", as_in_uuid) &&
        !is_zero(bytes, BOOT_UUID_BYTES)) {
        memcpy(client.uuid, bytes, BOOT_UUID_BYTES);
        client.has_uuid = true;
    }
    if (serial && strlen(serial) < sizeof client.serial)
        memcpy(client.serial, serial, strlen(serial) + 1);
    *ret_client = client;
}

void boot_client_read_machine(struct boot_client *client, const char *text)
{
    static const struct {
        const char *text;
        enum boot_machine machine;
    } machines[] = {
        {"pcbios-i386",   BOOT_MACHINE_BIOS   },
        {"pcbios-x86_64", BOOT_MACHINE_BIOS   },
        {"efi-i386",      BOOT_MACHINE_IA32   },
        {"efi-x86_64",    BOOT_MACHINE_X64    },
        {"efi-arm64",     BOOT_MACHINE_ARM64  },
        {"efi-riscv64",   BOOT_MACHINE_RISCV64},
    };
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
        if (strcmp(machines[i].text, text) == 0)
            client->machine = machines[i].machine;
    }
}

/* ── initiator names ─────────────────────────────────────────────────────────────────────────── */

static void write_identity(const struct boot_client *client, struct buffer *out)
{
    char text[HEX_UUID_BYTES];
    buffer_append_string(out, client->has_mac ? hex_mac(text, client->mac, '-')
                                              : hex_uuid(text, client->uuid));
}

int boot_initiator_name(const char *pattern, const struct boot_client *client,
                        char ret_name[BOOT_INITIATOR_BYTES])
{
    char name[BOOT_INITIATOR_BYTES];
    struct buffer out;
    buffer_init_fixed(&out, name, sizeof name);
    if (!pattern)
        pattern = BOOT_INITIATOR_PATTERN;
    if (strstr(pattern, "%m") && !client->has_mac && !client->has_uuid)
        return -EINVAL;
    for (const char *mark; (mark = strstr(pattern, "%m")); pattern = mark + 2) {
        buffer_append(&out, pattern, (size_t)(mark - pattern));
        write_identity(client, &out);
    }
    buffer_append_string(&out, pattern);
    if (!buffer_string(&out))
        return -ENAMETOOLONG;
    memcpy(ret_name, name, out.length + 1);
    return 0;
}
