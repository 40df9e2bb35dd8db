/* client.c - recognising who asks, see dhcp/client.h */
#include <errno.h>
#include <string.h>

#include <netboot-target/dhcp/client.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "options.h"
#include "peer.h"

/* ── architecture ────────────────────────────────────────────────────────────────────────────── */

static bool firmware_is_http(enum dhcp_firmware firmware)
{
    return firmware == DHCP_FIRMWARE_UEFI_HTTP || firmware == DHCP_FIRMWARE_BIOS_HTTP;
}

/* Option 93 is a list (RFC 4578 §2.1): the first code that we know and that fits the class, else
 * the first one we know, else the first. */
static uint16_t choose_architecture(const uint8_t *list, size_t length, bool wants_http)
{
    bool found = false;
    uint16_t known = 0;
    for (size_t i = 0; i + 2 <= length; i += 2) {
        uint16_t code = load_be16(list + i);
        const struct dhcp_architecture *row = dhcp_architecture_find(code);
        if (!row)
            continue;
        if (firmware_is_http(row->firmware) == wants_http)
            return code;
        if (!found)
            known = code;
        found = true;
    }
    return found ? known : load_be16(list);
}

/* "PXEClient:Arch:00007:UNDI:003000" (PXE 2.1 §2.2.3): five decimal digits. */
static bool architecture_of_class(const uint8_t *class, size_t length, uint16_t *ret_code)
{
    static const char word[] = ":Arch:";
    const uint8_t *at = memmem(class, length, word, sizeof word - 1);
    if (!at)
        return false;
    at += sizeof word - 1;
    if ((size_t)(class + length - at) < 5)
        return false;
    uint32_t code = 0;
    for (int i = 0; i < 5; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        code = code * 10 + (uint32_t)(at[i] - '0');
    }
    if (code > UINT16_MAX)
        return false;
    *ret_code = (uint16_t)code;
    return true;
}

static void recognise_architecture(const struct dhcp_message *message, struct dhcp_client *client)
{
    size_t length;
    const uint8_t *list = dhcp_message_option(message, DHCP_OPTION_ARCHITECTURE, &length);
    if (list) {
        client->architecture_code =
            choose_architecture(list, length, client->class == DHCP_CLIENT_HTTP);
        client->has_architecture = true;
    } else {
        const uint8_t *class = dhcp_message_option(message, DHCP_OPTION_VENDOR_CLASS, &length);
        client->has_architecture =
            class && architecture_of_class(class, length, &client->architecture_code);
    }
    if (client->has_architecture)
        client->architecture = dhcp_architecture_find(client->architecture_code);
}

/* ── iPXE ────────────────────────────────────────────────────────────────────────────────────── */

static const struct {
    uint8_t suboption;
    enum dhcp_ipxe_feature feature;
} features[] = {
    {0x11, DHCP_IPXE_ISCSI  },
    {0x13, DHCP_IPXE_HTTP   },
    {0x14, DHCP_IPXE_HTTPS  },
    {0x18, DHCP_IPXE_BZIMAGE},
    {0x24, DHCP_IPXE_EFI    },
    {0x27, DHCP_IPXE_MENU   },
};

/* iPXE numbers its features from here to there in option 175 (its features.h). */
#define FIRST_FEATURE 0x10u
#define LAST_FEATURE  0x4fu

static uint32_t feature_of(uint8_t suboption)
{
    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        if (features[i].suboption == suboption)
            return features[i].feature;
    }
    return 0;
}

/* Each feature is a sub-option that holds its version; 0 is none. */
static void recognise_features(const struct dhcp_message *message, struct dhcp_client *client)
{
    size_t length, value_length;
    const uint8_t *list = dhcp_message_option(message, DHCP_OPTION_IPXE, &length);
    for (uint8_t code = FIRST_FEATURE; list && code <= LAST_FEATURE; code++) {
        bool wellformed;
        const uint8_t *value = dhcp_suboption_find(list, length, code, &value_length, &wellformed);
        if (!wellformed)
            return;
        client->has_features |= value != NULL;
        if (value && value_length && value[0])
            client->features |= feature_of(code);
    }
}

/* iPXE writes the raw word; other software the same as an item with its length (RFC 3004 §4). */
static bool user_class_is_ipxe(const struct dhcp_message *message)
{
    static const char word[] = "iPXE";
    size_t length;
    const uint8_t *class = dhcp_message_option(message, DHCP_OPTION_USER_CLASS, &length);
    if (!class)
        return false;
    if (length == 4 && memcmp(class, word, 4) == 0)
        return true;
    for (size_t at = 0; at < length && class[at] < length - at; at += 1u + class[at]) {
        if (class[at] == 4 && memcmp(class + at + 1, word, 4) == 0)
            return true;
    }
    return false;
}

/* ── class ───────────────────────────────────────────────────────────────────────────────────── */

static bool class_begins_with(const struct dhcp_message *message, const char *word)
{
    size_t length, wanted = strlen(word);
    const uint8_t *class = dhcp_message_option(message, DHCP_OPTION_VENDOR_CLASS, &length);
    return class && length >= wanted && memcmp(class, word, wanted) == 0;
}

/* Some builds of iPXE send no user class (Mellanox FlexBoot), so 175 counts as well. */
static enum dhcp_client_class recognise_class(const struct dhcp_message *message)
{
    size_t length;
    const uint8_t *class = dhcp_message_option(message, DHCP_OPTION_VENDOR_CLASS, &length);
    if (class && dhcp_peer_is_class(class, length))
        return DHCP_CLIENT_PEER;
    if (dhcp_message_option(message, DHCP_OPTION_IPXE, NULL) || user_class_is_ipxe(message))
        return DHCP_CLIENT_IPXE;
    if (class_begins_with(message, "HTTPClient"))
        return DHCP_CLIENT_HTTP;
    if (class_begins_with(message, "PXEClient"))
        return DHCP_CLIENT_PXE;
    return DHCP_CLIENT_OTHER;
}

/* RFC 4578 §2.3: type 0 and a GUID. edk2 sends zeros when the machine has none. */
static void recognise_uuid(const struct dhcp_message *message, struct dhcp_client *client)
{
    static const uint8_t none[16];
    const uint8_t *id = dhcp_message_option(message, DHCP_OPTION_MACHINE_ID, NULL);
    if (!id || id[0] != 0 || memcmp(id + 1, none, sizeof none) == 0)
        return;
    memcpy(client->uuid, id + 1, sizeof client->uuid);
    client->has_uuid = true;
}

int dhcp_client_recognise(const struct dhcp_message *message, struct dhcp_client *ret_client)
{
    static const uint8_t none[DHCP_MAC_BYTES];
    if (message->hardware_length != DHCP_MAC_BYTES || message->hardware_address[0] & 1 ||
        memcmp(message->hardware_address, none, sizeof none) == 0)
        return -ENOTSUP;
    struct dhcp_client client = {.class = recognise_class(message)};
    memcpy(client.mac, message->hardware_address, sizeof client.mac);
    recognise_architecture(message, &client);
    if (client.class == DHCP_CLIENT_IPXE)
        recognise_features(message, &client);
    recognise_uuid(message, &client);
    *ret_client = client;
    return 0;
}

bool dhcp_client_lacks_features(const struct dhcp_client *client)
{
    return client->has_features && (client->features & DHCP_IPXE_NEEDED) != DHCP_IPXE_NEEDED;
}

const char *dhcp_client_class_name(enum dhcp_client_class class)
{
    static const char *const names[] = {
        [DHCP_CLIENT_OTHER] = "other", [DHCP_CLIENT_PXE] = "PXE",   [DHCP_CLIENT_HTTP] = "HTTP",
        [DHCP_CLIENT_IPXE] = "iPXE",   [DHCP_CLIENT_PEER] = "peer",
    };
    return names[class];
}
