/*
 * causes.c - why a boot may have stopped, most likely first. The first rows that fit count; one
 * that is certain stands alone. {words} in a sentence are filled in from what is known of the
 * client.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "internal.h"

#define AT(step) (1u << (step))
_Static_assert(JOURNAL_STEP_COUNT <= 32, "a step is a bit of struct cause.steps");

#define EVERYWHERE (~0u)
#define FIRMWARE   (AT(JOURNAL_OFFER) | AT(JOURNAL_ADDRESS))
#define IPXE       (AT(JOURNAL_IPXE_DISCOVER) | AT(JOURNAL_IPXE_OFFER))
#define REFUSED    (AT(JOURNAL_LOGIN_REFUSED) | AT(JOURNAL_OS_LOGIN_REFUSED))

/* ── conditions ──────────────────────────────────────────────────────────────────────────────── */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_uefi(const struct story *story)
{
    return story->firmware == JOURNAL_FIRMWARE_UEFI ||
           story->firmware == JOURNAL_FIRMWARE_UEFI_HTTP;
}

static bool link_is_down(const struct story *story)
{
    return story->link_down;
}

static bool lacks_boot_file(const struct story *story)
{
    return story->unanswered == JOURNAL_UNANSWERED_NO_BOOT_FILE;
}

static bool serves_nobody(const struct story *story)
{
    return story->unanswered == JOURNAL_UNANSWERED_NOT_SERVING;
}

static bool lacks_http(const struct story *story)
{
    return story->unanswered == JOURNAL_UNANSWERED_NO_HTTP;
}

static bool lacks_its_address(const struct story *story)
{
    return story->unanswered == JOURNAL_UNANSWERED_ADDRESS_HELD;
}

static bool is_too_early(const struct story *story)
{
    return story->unanswered == JOURNAL_UNANSWERED_NOT_YET;
}

static bool lacks_our_address(const struct story *story)
{
    return story->unanswered == JOURNAL_UNANSWERED_NO_ADDRESS;
}

static bool heard_another(const struct story *story)
{
    return story->foreign[0];
}

static bool asks_us_again(const struct story *story)
{
    return story->count >= 2 && !story->gives_address;
}

static bool gives_address(const struct story *story)
{
    return story->gives_address;
}

/* Its choice among the servers is a broadcast: who took an address was heard to. */
static bool lacks_an_address(const struct story *story)
{
    return !story->gives_address && !story->offered_address && !story->took_address;
}

static bool chose_another(const struct story *story)
{
    return story->server[0];
}

static bool chose_nobody(const struct story *story)
{
    return !story->server[0];
}

static bool goes_to_4011(const struct story *story)
{
    return story->via_boot_server;
}

static bool goes_to_69(const struct story *story)
{
    return !story->via_boot_server && story->firmware != JOURNAL_FIRMWARE_UEFI_HTTP;
}

static bool goes_to_http(const struct story *story)
{
    return story->firmware == JOURNAL_FIRMWARE_UEFI_HTTP;
}

/* Its firmware asked us, yet the iPXE that runs now did not come from us. */
static bool was_served_by_another(const struct story *story)
{
    return story->asked_by_firmware && !story->file_sent;
}

static bool file_was_lost(const struct story *story)
{
    return story->file_end == JOURNAL_FILE_LOST;
}

static bool file_was_aborted(const struct story *story)
{
    return story->file_end == JOURNAL_FILE_ABORTED;
}

static bool file_is_unreadable(const struct story *story)
{
    return story->file_end == JOURNAL_FILE_BROKEN;
}

static bool bios_got_efi(const struct story *story)
{
    return story->firmware == JOURNAL_FIRMWARE_BIOS && ends_with(story->file, ".efi");
}

static bool uefi_got_bios(const struct story *story)
{
    return is_uefi(story) && !ends_with(story->file, ".efi");
}

/* What a distribution signs is called shim….efi; iPXE as Debian builds it is not signed. */
static bool file_is_unsigned(const struct story *story)
{
    return is_uefi(story) && strncmp(base_name(story->file), "shim", 4) != 0;
}

static bool file_has_own_drivers(const struct story *story)
{
    return strcmp(base_name(story->file), "ipxe.efi") == 0;
}

static bool is_status_0201(const struct story *story)
{
    return story->status_class == 2 && story->status_detail == 1;
}

static bool is_status_0202(const struct story *story)
{
    return story->status_class == 2 && story->status_detail == 2;
}

static bool is_status_0203(const struct story *story)
{
    return story->status_class == 2 && story->status_detail == 3;
}

static bool is_status_03(const struct story *story)
{
    return story->status_class == 3;
}

static bool was_mutual(const struct story *story)
{
    return story->mutual_chap;
}

/* A kernel with its initramfs is larger, a boot loader with its menu smaller. */
static bool read_little(const struct story *story)
{
    return story->read_bytes < 4u << 20;
}

static bool read_a_kernel(const struct story *story)
{
    return !read_little(story);
}

/* ── the table ───────────────────────────────────────────────────────────────────────────────── */

// clang-format off
static const struct cause {
    unsigned steps;
    bool is_certain;
    bool (*condition)(const struct story *story); /* NULL: always */
    const char *sentence;
} causes[] = {
    {EVERYWHERE, true, link_is_down,
     "The link of {interface} is down: the cable is out, or the machine or the switch at its other "
     "end is off."},

    /* DHCP with firmware */
    {AT(JOURNAL_UNANSWERED), true, lacks_boot_file,
     "There is no boot file for its architecture ({architecture}): name one in boot.files, or put "
     "it into boot.custom-directory."},
    {AT(JOURNAL_UNANSWERED), true, serves_nobody,
     "Serving is switched off: switch it on again by POST /serving on the status listener, with the "
     "word on (docs/status.md)."},
    {AT(JOURNAL_UNANSWERED), true, lacks_http,
     "It loads by HTTP, and no HTTP port for booting is open at our address there: see "
     "boot.http-listen, and the log for why a port could not be opened."},
    {AT(JOURNAL_UNANSWERED), true, lacks_its_address,
     "The address that clients has for it is taken: {detail}. Take it away from that machine, or "
     "give this one another address."},
    {AT(JOURNAL_UNANSWERED), true, is_too_early,
     "This server was not ready yet ({detail}) and the machine has given up: start it once more."},
    {AT(JOURNAL_UNANSWERED), true, lacks_our_address,
     "{interface} of this server has no IPv4 address, so nobody is answered there: give it one, by "
     "hand or from the DHCP server of its network."},
    {AT(JOURNAL_UNANSWERED), true, NULL,
     "Not answered: {detail}."},
    {AT(JOURNAL_DISCOVER) | AT(JOURNAL_IPXE_DISCOVER), false, NULL,
     "Our answer was held back; the log says why."},
    {FIRMWARE | AT(JOURNAL_BOOT_SERVER), false, heard_another,
     "Another PXE server, {foreign}, answers on this network and won: switch it off for this "
     "machine."},
    {AT(JOURNAL_OFFER), false, lacks_an_address,
     "No DHCP server gave it an address, and beside others we give none: look after the network's "
     "DHCP server, or write an address for this machine into its line of clients."},
    {AT(JOURNAL_OFFER), false, gives_address,
     "Our answers do not get there: a filter between, or a switch port that blocks for 30 s after "
     "each link-up (spanning tree)."},
    {AT(JOURNAL_OFFER), false, asks_us_again,
     "Its firmware only takes a boot file from the answer that holds its address: give it an "
     "address in clients."},
    {AT(JOURNAL_ADDRESS), false, goes_to_4011,
     "UDP port 4011 of this server is filtered, so the firmware's next question never came: open "
     "it in the firewall."},
    {AT(JOURNAL_ADDRESS), false, goes_to_69,
     "UDP port 69 (TFTP) of this server is filtered: open it in the firewall."},
    {AT(JOURNAL_ADDRESS), false, goes_to_http,
     "The TCP port of the boot HTTP server is filtered, or the firmware refuses plain http: open "
     "the port, or boot it by PXE."},
    {FIRMWARE, false, chose_another,
     "Another PXE server won, or the DHCP server {server} names a boot file itself: look for "
     "options 66 and 67 there."},
    {FIRMWARE, false, chose_nobody,
     "Another PXE server, or a DHCP server that names a boot file itself, won: look for options 66 "
     "and 67 there."},

    /* the boot file */
    {AT(JOURNAL_BOOT_SERVER), false, NULL,
     "UDP port 69 (TFTP) of this server is filtered: open it in the firewall."},
    {AT(JOURNAL_BOOT_SERVER), false, NULL,
     "Its firmware wants the other form of the answer: set pxe-style in its line of clients."},
    {AT(JOURNAL_FILE_MISSING), true, NULL,
     "{file} is not among the boot files: correct what names it (boot.files, boot-file in clients, "
     "option 67 of another DHCP server, a script), or install what has it (ipxe)."},
    {AT(JOURNAL_FILE_FAILED), true, file_is_unreadable,
     "{file} could not be read on this server: look at its disk."},
    {AT(JOURNAL_FILE_FAILED), false, file_was_aborted,
     "Its firmware did not want the rest of {file}: too large for it, or the wrong kind of file."},
    {AT(JOURNAL_FILE_REQUEST) | AT(JOURNAL_FILE_FAILED), false, file_was_lost,
     "The connection was lost in the middle of {file}: the cable, the switch port, or the machine "
     "was switched off."},
    {AT(JOURNAL_FILE_REQUEST) | AT(JOURNAL_FILE_FAILED), false, file_was_lost,
     "Large packets do not get through to it: set limits.tftp-block to 1024 or 512."},
    {AT(JOURNAL_FILE), true, bios_got_efi,
     "{file} is for UEFI, but this machine starts by BIOS ({architecture}): correct boot.files.bios "
     "or its boot-file in clients."},
    {AT(JOURNAL_FILE), true, uefi_got_bios,
     "{file} is no UEFI program, but this machine starts by UEFI ({architecture}): correct "
     "boot.files or its boot-file in clients."},
    {AT(JOURNAL_FILE), false, file_is_unsigned,
     "Secure Boot is on: the firmware refuses {file}, which is not signed. Switch Secure Boot off, "
     "or serve a signed chain from boot.custom-directory."},
    {AT(JOURNAL_FILE), false, file_has_own_drivers,
     "ipxe.efi hangs in its own network drivers on some machines: give this one snponly.efi."},
    {AT(JOURNAL_FILE), false, NULL,
     "{file} is built for another processor or firmware than {architecture}."},
    {AT(JOURNAL_FILE), false, NULL,
     "iPXE runs, but its packets do not get here: it has no driver for the network card, or the "
     "switch port blocks for 30 s after each link-up (spanning tree)."},
    {AT(JOURNAL_LOOP), false, NULL,
     "{file} is no iPXE that asks for our script, or a DHCP server of this network names that file "
     "to iPXE as well: see option 67 there."},
    {AT(JOURNAL_LOOP), false, NULL,
     "{file} was built without iSCSI, HTTP or menus: use a full build, or chainload = \"never\"."},

    /* iPXE and its script */
    {IPXE, false, was_served_by_another,
     "Another PXE server won: the iPXE that runs did not come from here, and has its own script."},
    {IPXE, false, heard_another,
     "Another PXE server, {foreign}, names iPXE another script: switch it off for this machine."},
    {AT(JOURNAL_IPXE_OFFER), false, lacks_an_address,
     "No DHCP server gave iPXE an address, and beside others we give none: look after the "
     "network's DHCP server, or write an address for this machine into its line of clients."},
    {AT(JOURNAL_IPXE_OFFER), false, NULL,
     "The TCP port of the boot HTTP server is filtered: open it in the firewall (boot.http-listen, "
     "80 by default)."},
    {AT(JOURNAL_IPXE_OFFER), false, chose_another,
     "Another PXE server won, or the DHCP server {server} names iPXE a boot file itself: look for "
     "options 66 and 67 there."},
    {AT(JOURNAL_SCRIPT_REFUSED), true, NULL,
     "It may not boot: {detail}. Its MAC for the list clients: {mac}."},
    {AT(JOURNAL_SCRIPT_WAIT), true, NULL,
     "Its disk is not ready: {detail}. See the target's LUNs in the status."},

    {AT(JOURNAL_SCRIPT_PASSWORD), true, NULL,
     "The user or password is wrong ({detail}). The log of the start names the file that holds "
     "them, unless they are configured (menu). After many wrong ones a minute's wait helps."},
    {AT(JOURNAL_SCRIPT_CHOICE), false, NULL,
     "Someone at the machine stopped it, or it was switched off: its screen tells."},

    /* iSCSI */
    {AT(JOURNAL_SCRIPT), false, NULL,
     "The TCP port of the iSCSI portal (3260) is filtered: open it in the firewall."},
    {AT(JOURNAL_SCRIPT), false, NULL,
     "The portal's address cannot be reached from the client's network: see portals, and the "
     "router between."},
    {AT(JOURNAL_SCRIPT), false, NULL,
     "Someone at the machine stopped it, or it was switched off: its screen tells."},
    {AT(JOURNAL_OS_LOGIN_REFUSED), true, is_status_0201,
     "CHAP failed: {initiator} sent another name or secret than the target's, or none ({detail}). "
     "Prepare the system once more by the server's setup script (docs/os), which writes them."},
    {REFUSED, true, is_status_0201,
     "CHAP failed: {initiator} sent another name or secret than the target's, or none ({detail}). "
     "Ours are in the configuration, or in the file that the status names with the target."},
    {REFUSED, true, is_status_0202,
     "{initiator} may not use this target: {detail}."},
    {REFUSED, true, is_status_0203,
     "{initiator} asked for a target that is not served here: {detail}."},
    {REFUSED, true, is_status_03,
     "The target takes no logins for now: {detail}."},
    {REFUSED, true, NULL,
     "Refused: {detail}."},
    {AT(JOURNAL_LOGIN_BROKEN), false, was_mutual,
     "It did not accept our CHAP answer: the target-secret that it holds is another than ours, "
     "which is in the configuration, or in the file that the status names with the target."},
    {AT(JOURNAL_LOGIN_BROKEN) | AT(JOURNAL_LOGIN) | AT(JOURNAL_OS_LOGIN), false, NULL,
     "The connection was lost: the cable, the switch port, or the machine was switched off."},
    {AT(JOURNAL_LOGIN) | AT(JOURNAL_OS_LOGIN), false, NULL,
     "The LUN that it looks for is not there: see its line in clients and the target's luns."},
    {AT(JOURNAL_LOGIN), false, NULL,
     "Nothing on the disk could be started by this firmware: its screen tells."},

    /* the operating system */
    {AT(JOURNAL_KERNEL_FAILED), false, NULL,
     "The machine has too little memory for its kernel and initrd."},
    {AT(JOURNAL_KERNEL_FAILED), false, NULL,
     "The connection was lost: the cable, the switch port, or the machine was switched off."},
    {AT(JOURNAL_KERNEL), false, NULL,
     "The initramfs did not find its disk over iSCSI: prepare the system by the server's "
     "setup/linux.sh."},
    {AT(JOURNAL_KERNEL), false, NULL,
     "The initramfs has no driver for its network card, or got no address by DHCP."},
    {AT(JOURNAL_KERNEL), false, NULL,
     "The kernel did not start: Secure Boot is on, or it is for another processor. The machine's "
     "screen tells."},
    {AT(JOURNAL_LAST_COMMAND), false, read_a_kernel,
     "The initramfs has no iSCSI: with initramfs-tools it takes open-iscsi, "
     "/etc/iscsi/iscsi.initramfs and iscsi_auto on the kernel's command line; with dracut its "
     "module iscsi and rd.iscsi.firmware=1."},
    {AT(JOURNAL_LAST_COMMAND), false, read_a_kernel,
     "The system has no driver for its network card that early (Windows: its start type is not "
     "boot), or got no address by DHCP."},
    {AT(JOURNAL_LAST_COMMAND), false, read_little,
     "The boot loader did not get to a kernel ({read} were read): it waits at its menu, or failed. "
     "The machine's screen tells."},
    {AT(JOURNAL_LAST_COMMAND), false, NULL,
     "The machine was switched off, or lost its link."},
};
// clang-format on

/* ── filling in ──────────────────────────────────────────────────────────────────────────────── */

struct place {
    const struct journal_client *client;
    const struct story *story;
    struct buffer *out;
};

static void put_or(const struct place *place, const char *text, const char *otherwise)
{
    buffer_append_string(place->out, text[0] ? text : otherwise);
}

static void put_architecture(const struct place *place)
{
    put_or(place, place->story->architecture, "unknown");
}

static void put_detail(const struct place *place)
{
    put_or(place, place->story->detail, "no reason is known");
}

static void put_file(const struct place *place)
{
    put_or(place, place->story->file, "the boot file");
}

static void put_foreign(const struct place *place)
{
    put_or(place, place->story->foreign, "unknown");
}

static void put_initiator(const struct place *place)
{
    put_or(place, place->client->initiator, "the initiator");
}

static void put_interface(const struct place *place)
{
    put_or(place, place->client->interface, "the interface");
}

static void put_mac(const struct place *place)
{
    const uint8_t *mac = place->client->mac;
    if (!place->client->has_mac)
        buffer_append_string(place->out, "unknown");
    for (unsigned i = 0; place->client->has_mac && i < JOURNAL_MAC_BYTES; i++)
        buffer_format(place->out, "%s%02x", i ? ":" : "", mac[i]);
}

static void put_read(const struct place *place)
{
    buffer_format(place->out, "%" PRIu64 " KiB", place->story->read_bytes >> 10);
}

static void put_server(const struct place *place)
{
    put_or(place, place->story->server, "unknown");
}

static const struct {
    const char *word;
    void (*put)(const struct place *place);
} words[] = {
    {"{architecture}", put_architecture},
    {"{detail}",       put_detail      },
    {"{file}",         put_file        },
    {"{foreign}",      put_foreign     },
    {"{initiator}",    put_initiator   },
    {"{interface}",    put_interface   },
    {"{mac}",          put_mac         },
    {"{read}",         put_read        },
    {"{server}",       put_server      },
};

/* What a word is filled with is not looked at again. */
static void fill_in(const struct place *place, const char *sentence)
{
    while (*sentence) {
        size_t plain = strcspn(sentence, "{");
        buffer_append(place->out, sentence, plain);
        sentence += plain;
        for (size_t i = 0; *sentence && i < ARRAY_SIZE(words); i++) {
            size_t length = strlen(words[i].word);
            if (strncmp(sentence, words[i].word, length) != 0)
                continue;
            words[i].put(place);
            sentence += length;
            break;
        }
    }
}

unsigned causes_of(const struct journal_client *client, const struct story *story,
                   char ret_causes[JOURNAL_CAUSES_LIMIT][JOURNAL_CAUSE_BYTES])
{
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(causes) && count < JOURNAL_CAUSES_LIMIT; i++) {
        const struct cause *cause = &causes[i];
        if (!(cause->steps & AT(story->step)) || (cause->condition && !cause->condition(story)))
            continue;
        struct buffer out;
        buffer_init_fixed(&out, ret_causes[count], JOURNAL_CAUSE_BYTES);
        const struct place place = {client, story, &out};
        fill_in(&place, cause->sentence);
        end_text(&out);
        count++;
        if (cause->is_certain)
            break;
    }
    return count;
}
