/*
 * policy.c - the decision table (client class × firmware × message × way in × standing → answer).
 * The first row that fits counts. Why each form is as it is:
 *
 * - A proxy offer carries 60 = "PXEClient", without which firmware takes it for nothing, and a boot
 *   file. BIOS gets 43 {6=8}, "use this file, don't ask around" (PXE 2.1 §2.2.1). UEFI gets no 43:
 *   its client then asks port 4011, the form that most firmware accepts.
 * - A full answer carries no 60 "PXEClient": with it, firmware would ask port 4011 once more. Only
 *   UEFI HTTP boot insists on its class.
 * - iPXE takes the file of the offer at once when siaddr is set, and asks nobody else.
 * - As a proxy we leave REQUEST and INFORM on port 67 to the server they are meant for.
 */
#include <netboot-target/util/array.h>

#include "policy.h"

#define BIT(value) (1u << (value))

#define OTHER BIT(DHCP_CLIENT_OTHER)
#define PXE   BIT(DHCP_CLIENT_PXE)
#define HTTP  BIT(DHCP_CLIENT_HTTP)
#define IPXE  BIT(DHCP_CLIENT_IPXE)
#define ALL   (OTHER | PXE | HTTP | IPXE)

#define BIOS (BIT(DHCP_FIRMWARE_BIOS) | BIT(DHCP_FIRMWARE_BIOS_HTTP))
#define ANY  (~0u)

#define DISCOVER BIT(DHCP_DISCOVER)
#define REQUEST  BIT(DHCP_REQUEST)
#define INFORM   BIT(DHCP_INFORM)

#define LINK    BIT(DHCP_WAY_LINK)
#define RELAYED BIT(DHCP_WAY_RELAYED)
#define BOOT    BIT(DHCP_WAY_BOOT_SERVER)

#define OFF    BIT(DHCP_STANDING_OFF)
#define PROXY  BIT(DHCP_STANDING_PROXY)
#define NAMED  BIT(DHCP_STANDING_NAMED)
#define SERVER BIT(DHCP_STANDING_SERVER)

// clang-format off
#define SILENT(why) {.kind = DHCP_ANSWER_NONE, .silence = (why)}

static const struct row {
    unsigned classes;
    unsigned firmwares;
    unsigned types;
    unsigned ways;
    unsigned standings;
    struct dhcp_answer_form form;
} rows[] = {
    {ANY,        ANY,   ANY,               ANY,            OFF,
     SILENT(DHCP_SILENCE_OFF)},

    /* port 4011: whoever boots and asks for its file */
    {PXE | IPXE, ANY,   REQUEST | INFORM,  BOOT,           PROXY | NAMED | SERVER,
     {.kind = DHCP_ANSWER_BOOT_ACK, .vendor_class = "PXEClient"}},
    {ANY,        ANY,   ANY,               BOOT,           ANY,
     SILENT(DHCP_SILENCE_NOT_FOR_PORT)},

    /* port 67 beside another server */
    {OTHER,      ANY,   ANY,               ANY,            PROXY,
     SILENT(DHCP_SILENCE_NO_BOOT_CLIENT)},
    {PXE,        BIOS,  DISCOVER,          LINK | RELAYED, PROXY,
     {.kind = DHCP_ANSWER_PROXY_OFFER, .vendor_class = "PXEClient", .direct = true}},
    {PXE,        ~BIOS, DISCOVER,          LINK | RELAYED, PROXY,
     {.kind = DHCP_ANSWER_PROXY_OFFER, .vendor_class = "PXEClient"}},
    {IPXE,       ANY,   DISCOVER,          LINK | RELAYED, PROXY,
     {.kind = DHCP_ANSWER_PROXY_OFFER, .vendor_class = "PXEClient"}},
    {HTTP,       ANY,   DISCOVER,          LINK | RELAYED, PROXY,
     {.kind = DHCP_ANSWER_PROXY_OFFER, .vendor_class = "HTTPClient"}},

    /* port 67 where we give addresses */
    {HTTP,       ANY,   DISCOVER | REQUEST, LINK | RELAYED, NAMED | SERVER,
     {.kind = DHCP_ANSWER_FULL, .vendor_class = "HTTPClient"}},
    {ALL,        ANY,   DISCOVER | REQUEST, LINK | RELAYED, NAMED | SERVER,
     {.kind = DHCP_ANSWER_FULL}},
    {ALL,        ANY,   INFORM,            LINK | RELAYED, SERVER,
     {.kind = DHCP_ANSWER_FULL}},
};
// clang-format on

const struct dhcp_answer_form *dhcp_policy_find(const struct dhcp_policy_case *wanted)
{
    static const struct dhcp_answer_form silence = SILENT(DHCP_SILENCE_NOT_FOR_PORT);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *row = &rows[i];
        if (row->classes & BIT(wanted->class) && row->firmwares & BIT(wanted->firmware) &&
            row->types & BIT(wanted->type) && row->ways & BIT(wanted->way) &&
            row->standings & BIT(wanted->standing))
            return &row->form;
    }
    return &silence;
}

enum dhcp_boot_stage dhcp_policy_stage(enum dhcp_client_class class)
{
    static const enum dhcp_boot_stage stages[] = {
        [DHCP_CLIENT_OTHER] = DHCP_BOOT_NONE,      [DHCP_CLIENT_PXE] = DHCP_BOOT_LOADER,
        [DHCP_CLIENT_HTTP] = DHCP_BOOT_LOADER_URL, [DHCP_CLIENT_IPXE] = DHCP_BOOT_SCRIPT,
        [DHCP_CLIENT_PEER] = DHCP_BOOT_NONE,
    };
    return stages[class];
}
