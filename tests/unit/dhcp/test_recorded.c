/*
 * test_recorded.c - what real clients sent (recorded/NAME.txt, made by ./record) and what is made
 * by hand, each in every role, over the link and over a relay. The answers stand in answers.txt, to
 * be read; with NBT_UPDATE set it is written instead of compared. What must hold for all of them is
 * checked here.
 */
#include <dirent.h>
#include <limits.h>

#include <netboot-target/util/cleanup.h>

#include "dhcp/fixture.h"

/* The network on which they were recorded. */
#define PROXY_ADDRESS 0xc0a84d01u /* 192.168.77.1: ours, beside a DHCP server */
#define ROUTER_ADDRESS \
    0xc0a84dfeu /* 192.168.77.254: that server; in its place we are the one they chose */
#define GATEWAY        0xc0a84d02u /* 192.168.77.2: a relay on the link */
#define CLIENT_ADDRESS 0xc0a84d32u
#define MESSAGES_LIMIT 8u
#define OPTIONS_AT     240u

static const uint8_t RECORDED_MAC[6] = {0x52, 0x54, 0x00, 0x77, 0x00, 0x09};

/* ── the packets ─────────────────────────────────────────────────────────────────────────────── */

struct recorded {
    char name[64];
    struct dhcp_arrival arrival;
    uint8_t data[DHCP_PACKET_BYTES_LIMIT];
    size_t length;
};

static const char *tree_path(const char *name)
{
    static char path[2 * PATH_MAX];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s/%s", (int)(slash - __FILE__), __FILE__, name);
    return path;
}

static uint32_t address_of(const char *text)
{
    unsigned a, b, c, d;
    assert_int_equal(sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d), 4);
    return a << 24 | b << 16 | c << 8 | d;
}

static void read_head(struct recorded *message, const char *line, const char *client)
{
    char kind[16], from[32], to[32];
    unsigned from_port, to_port;
    assert_int_equal(
        sscanf(line, "%15s from %31[^:]:%u to %31[^:]:%u", kind, from, &from_port, to, &to_port),
        5);
    *message = (struct recorded){
        .arrival = {.port = to_port == 67 ? DHCP_PORT_SERVER : DHCP_PORT_BOOT_SERVER,
                    .source_address = address_of(from),
                    .source_port = (uint16_t)from_port,
                    .local_address = address_of(to) == BROADCAST ? 0 : address_of(to)}
    };
    snprintf(message->name, sizeof message->name, "%.40s %.8s%s", client, kind,
             to_port == 67 ? "" : " 4011");
}

static void read_bytes(struct recorded *message, const char *line)
{
    unsigned byte;
    for (; sscanf(line, "%2x", &byte) == 1; line += 2) {
        assert_true(message->length < sizeof message->data);
        message->data[message->length++] = (uint8_t)byte;
    }
}

/* "# who", then for each message an empty line, how it came, and its bytes. */
static unsigned read_recorded(const char *file, struct recorded messages[MESSAGES_LIMIT])
{
    char line[256], client[64], path[PATH_MAX];
    unsigned count = 0;
    snprintf(path, sizeof path, "recorded/%s", file);
    snprintf(client, sizeof client, "%.*s", (int)strcspn(file, "."), file);
    _cleanup_fclose_ FILE *in = fopen(tree_path(path), "re");
    assert_non_null(in);
    for (bool begins = false; fgets(line, sizeof line, in);) {
        if (line[0] == '#')
            continue;
        if (line[0] == '\n') {
            begins = true;
        } else if (begins) {
            assert_true(count < MESSAGES_LIMIT);
            read_head(&messages[count++], line, client);
            begins = false;
        } else {
            assert_true(count > 0);
            read_bytes(&messages[count - 1], line);
        }
    }
    return count;
}

/* ── one answer, as a line ───────────────────────────────────────────────────────────────────── */

enum standing { AS_PROXY, AS_NAMED, AS_SERVER, STANDINGS };
static const char *const standing_names[] = {"proxy", "named", "server"};

/* Ours: Debian's file for what it has one for. */
static enum dhcp_silence name_file(struct dhcp_boot_source *source,
                                   const struct dhcp_client *client, enum dhcp_boot_stage stage,
                                   uint32_t own_address,
                                   char ret_text[DHCP_BOOT_TEXT_BYTES_LIMIT + 1])
{
    unsigned alike = client->architecture ? client->architecture->alike : 0xffff;
    bool is_bios = alike == 0x00, is_x64 = alike == 0x07 || alike == 0x10;
    (void)source;
    if (stage != DHCP_BOOT_SCRIPT && client->has_architecture && !is_bios && !is_x64)
        return DHCP_SILENCE_NO_BOOT_FILE;
    const char *file = stage == DHCP_BOOT_SCRIPT ? "boot.ipxe"
                       : is_x64                  ? "snponly.efi"
                                                 : "undionly.kpxe";
    if (stage == DHCP_BOOT_LOADER)
        snprintf(ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1, "%s", file);
    else
        snprintf(ret_text, DHCP_BOOT_TEXT_BYTES_LIMIT + 1, "http://%u/%s", own_address & 255, file);
    return DHCP_SILENCE_NONE;
}

static void write_address(FILE *out, uint32_t address)
{
    fprintf(out, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
            address & 255);
}

static void write_options(FILE *out, const struct dhcp_message *reply)
{
    static const struct {
        enum dhcp_option_code code;
        bool is_text;
    } shown[] = {
        {DHCP_OPTION_VENDOR_CLASS,    true },
        {DHCP_OPTION_VENDOR_SPECIFIC, false},
        {DHCP_OPTION_IPXE,            false},
        {DHCP_OPTION_RELAY_AGENT,     true }
    };
    size_t length;
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
        const uint8_t *value = dhcp_message_option(reply, shown[i].code, &length);
        if (!value)
            continue;
        fprintf(out, " %u=", (unsigned)shown[i].code);
        for (size_t at = 0; at < length; at++)
            fprintf(out, shown[i].is_text && value[at] > ' ' ? "%c" : "%02x", value[at]);
    }
    if (dhcp_message_option(reply, DHCP_OPTION_MACHINE_ID, NULL))
        fprintf(out, " 97");
}

static void write_answer(FILE *out, const struct fixture *fixture)
{
    if (!fixture->answered) {
        fprintf(out, "- %s\n",
                fixture->count_of[DHCP_EVENT_FOREIGN_SERVER] ? "it chose another server"
                : fixture->event.type == DHCP_EVENT_SILENT
                    ? dhcp_silence_text(fixture->event.silence)
                    : "nothing");
        return;
    }
    const struct dhcp_message *reply = &fixture->reply;
    size_t length;
    const uint8_t *long_name = dhcp_message_option(reply, DHCP_OPTION_BOOT_FILE, &length);
    const char *boot = reply->boot_file[0] ? reply->boot_file : (const char *)long_name;
    fprintf(out, "%s to ", dhcp_message_type_name(reply->type));
    write_address(out, fixture->output.to_address);
    fprintf(out, ":%u", fixture->output.to_port);
    if (reply->your_address) {
        fprintf(out, " gives ");
        write_address(out, reply->your_address);
    }
    if (boot)
        fprintf(out, " boot %s", boot);
    write_options(out, reply);
    fprintf(out, "\n");
}

/* ── what holds for every answer ─────────────────────────────────────────────────────────────── */

static void check_answer(const struct fixture *fixture, const struct recorded *message,
                         enum standing standing)
{
    const struct dhcp_message *reply = &fixture->reply;
    struct dhcp_message request;
    size_t length, echoed;
    if (!fixture->answered)
        return;
    assert_int_equal(dhcp_message_parse(message->data, message->length, &request), 0);
    assert_int_equal(reply->xid, request.xid);
    assert_memory_equal(reply->hardware_address, request.hardware_address, 16);
    assert_int_equal(reply->relay_address, request.relay_address);
    assert_int_not_equal(dhcp_message_option_u32(reply, DHCP_OPTION_SERVER_ID), 0);
    assert_null(dhcp_message_option(reply, DHCP_OPTION_OVERLOAD, NULL));
    if (reply->type != DHCP_NAK)
        assert_int_not_equal(reply->server_address, 0); /* iPXE loops without */
    if (standing == AS_PROXY) {
        assert_int_equal(reply->your_address, 0);
        assert_null(dhcp_message_option(reply, DHCP_OPTION_LEASE_TIME, NULL));
        assert_null(dhcp_message_option(reply, DHCP_OPTION_SUBNET_MASK, NULL));
        assert_null(dhcp_message_option(reply, DHCP_OPTION_ROUTER, NULL));
        assert_true(reply->type != DHCP_NAK);
        /* else firmware drops all proxies with it */
        assert_non_null(dhcp_message_option(reply, DHCP_OPTION_VENDOR_CLASS, NULL));
    }
    const uint8_t *id = dhcp_message_option(&request, DHCP_OPTION_MACHINE_ID, &length);
    const uint8_t *echo = dhcp_message_option(reply, DHCP_OPTION_MACHINE_ID, &echoed);
    if (echo) {
        assert_non_null(id);
        assert_int_equal(echoed, length);
        assert_memory_equal(echo, id, length);
    }
    if (request.relay_address && fixture->arrival.port == DHCP_PORT_SERVER) {
        assert_int_equal(fixture->output.to_address, request.relay_address);
        assert_int_equal(fixture->output.to_port, DHCP_PORT_SERVER);
    }
    /* the client takes no more */
    const uint8_t *most = dhcp_message_option(&request, DHCP_OPTION_MAXIMUM_SIZE, NULL);
    size_t most_bytes = most && load_be16(most) > 576 ? load_be16(most) : 576;
    assert_true(fixture->output.length + 28 <= most_bytes);
}

/* ── one message in every role ───────────────────────────────────────────────────────────────── */

static struct dhcp_settings settings_as(enum standing standing)
{
    static const struct dhcp_named_client named = {
        .has_mac = true, .mac = {0x52, 0x54, 0, 0x77, 0, 9},
             .address = CLIENT_ADDRESS
    };
    struct dhcp_settings settings = {
        .role = standing == AS_SERVER ? DHCP_ROLE_SERVER : DHCP_ROLE_PROXY,
        .own_address = standing == AS_PROXY ? PROXY_ADDRESS : ROUTER_ADDRESS,
        .netmask = NETMASK,
        .clients = standing == AS_NAMED ? &named : NULL,
        .client_count = standing == AS_NAMED,
    };
    memcpy(settings.own_mac, OWN_MAC, sizeof OWN_MAC);
    return settings;
}

/* As a relay hands it on: its address in the header, option 82 at the end (RFC 3046 §2.1). */
static void relay(struct recorded *message)
{
    static const uint8_t agent[] = {DHCP_OPTION_RELAY_AGENT, 6, 1, 4, 'e', 't', 'h', '7',
                                    DHCP_OPTION_END};
    store_be32(message->data + 24, GATEWAY);
    message->arrival = (struct dhcp_arrival){.port = DHCP_PORT_SERVER,
                                             .source_address = GATEWAY,
                                             .source_port = 67,
                                             .local_address = PROXY_ADDRESS};
    if (message->length > OPTIONS_AT && message->data[message->length - 1] == DHCP_OPTION_END)
        message->length--;
    assert_true(message->length + sizeof agent <= sizeof message->data);
    memcpy(message->data + message->length, agent, sizeof agent);
    message->length += sizeof agent;
}

static void ask(FILE *out, const struct recorded *message, enum standing standing, bool relayed)
{
    struct fixture fixture;
    struct dhcp_settings settings = settings_as(standing);
    fixture_begin_with(&fixture, &settings);
    fixture.source.describe = name_file;
    fixture.arrival = message->arrival;
    if (fixture.arrival.local_address)
        fixture.arrival.local_address = settings.own_address;
    dhcp_service_receive(fixture.service, message->data, message->length, &fixture.arrival,
                         fixture.now_ms);
    fixture_pull(&fixture);
    if (!fixture.answered && fixture.count_of[DHCP_EVENT_PROBE]) {
        dhcp_service_probed(fixture.service, fixture.probe_address, NULL, fixture.now_ms + 300);
        fixture_pull(&fixture);
    }
    check_answer(&fixture, message, standing);
    fprintf(out, "%-28s %-6s %-5s  ", message->name, standing_names[standing],
            relayed ? "relay" : "link");
    write_answer(out, &fixture);
    fixture_end(&fixture);
}

static void ask_everywhere(FILE *out, const struct recorded *message)
{
    for (enum standing standing = AS_PROXY; standing < STANDINGS; standing++) {
        ask(out, message, standing, false);
        if (message->arrival.port == DHCP_PORT_BOOT_SERVER)
            continue; /* is asked directly */
        struct recorded relayed = *message;
        relay(&relayed);
        ask(out, &relayed, standing, true);
    }
    fprintf(out, "\n");
}

/* ── the table ───────────────────────────────────────────────────────────────────────────────── */

static int is_text_file(const struct dirent *entry)
{
    return strstr(entry->d_name, ".txt") != NULL;
}

static unsigned write_recorded(FILE *out)
{
    struct dirent **entries;
    unsigned clients = 0;
    char folder[2 * PATH_MAX];
    snprintf(folder, sizeof folder, "%s", tree_path("recorded"));
    int count = scandir(folder, &entries, is_text_file, alphasort);
    for (int i = 0; i < count; i++) {
        struct recorded messages[MESSAGES_LIMIT];
        unsigned found = read_recorded(entries[i]->d_name, messages);
        assert_true(found > 0);
        for (unsigned at = 0; at < found; at++) {
            assert_memory_equal(messages[at].data + 28, RECORDED_MAC, sizeof RECORDED_MAC);
            ask_everywhere(out, &messages[at]);
        }
        clients++;
        free(entries[i]);
    }
    free(entries);
    return clients;
}

static void make_message(struct recorded *to, struct packet *packet, const char *name)
{
    packet_end(packet);
    *to = (struct recorded){
        .arrival = {.port = DHCP_PORT_SERVER, .source_port = 68},
          .length = packet->buffer.length
    };
    memcpy(to->data, packet->data, packet->buffer.length);
    memcpy(to->data + 28, RECORDED_MAC, sizeof RECORDED_MAC);
    snprintf(to->name, sizeof to->name, "%s", name);
}

/* Every code of the registry and one behind it, as PXE and as HTTP firmware says it. */
static void write_architectures(FILE *out)
{
    static const char *const words[] = {"PXEClient", "HTTPClient"};
    for (uint16_t code = 0; !code || dhcp_architecture_find(code - 1); code++) {
        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
            struct packet packet;
            struct recorded message;
            char name[64];
            packet_edk2(&packet, DHCP_DISCOVER, words[i], code);
            snprintf(name, sizeof name, "architecture %02x %s", code, words[i]);
            make_message(&message, &packet, name);
            ask(out, &message, AS_PROXY, false);
        }
    }
    fprintf(out, "\n");
}

/* ── clients made by hand ────────────────────────────────────────────────────────────────────── */

static void no_machine_id(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, DHCP_FLAG_BROADCAST);
    packet_architecture(packet, 7);
    packet_class(packet, "PXEClient", 7, "003000");
}

static void no_architecture(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, DHCP_FLAG_BROADCAST);
    packet_machine_id(packet);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
}

static void architecture_in_class_only(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, DHCP_FLAG_BROADCAST);
    packet_class(packet, "PXEClient", 7, "003000");
}

static void list_of_architectures(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_option(packet, DHCP_OPTION_ARCHITECTURE, "\xff\xff\0\7\0\0", 6);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
}

static void odd_architecture(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_option(packet, DHCP_OPTION_ARCHITECTURE, "\7", 1);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
}

static void short_machine_id(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_architecture(packet, 0);
    packet_option(packet, DHCP_OPTION_MACHINE_ID, "\0\1\2\3", 4);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
}

static void machine_id_of_zeros(struct packet *packet)
{
    static const uint8_t zeros[17];
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_architecture(packet, 7);
    packet_option(packet, DHCP_OPTION_MACHINE_ID, zeros, sizeof zeros);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
}

static void class_cut_short(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_architecture(packet, 0);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClien");
}

static void class_in_pieces(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXECl");
    packet_architecture(packet, 7);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "ient:Arch:00007");
}

/* RFC 2132 §9.3: the options go on in the fields file and sname. */
static void overload(struct packet *packet)
{
    static const char file[] = "\x3c\x09PXEClient\xff";
    static const uint8_t sname[] = {DHCP_OPTION_ARCHITECTURE, 2, 0, 7, DHCP_OPTION_END};
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_option(packet, DHCP_OPTION_OVERLOAD, "\3", 1);
    memcpy(packet->data + 108, file, sizeof file - 1);
    memcpy(packet->data + 44, sname, sizeof sname);
}

static void overload_that_overruns(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_option(packet, DHCP_OPTION_OVERLOAD, "\1", 1);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
    memset(packet->data + 108, 0xfe, 128);
}

static void option_that_overruns(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
    buffer_append(&packet->buffer, "\x5d\x40\0", 3);
}

static void takes_576_only(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_option(packet, DHCP_OPTION_MAXIMUM_SIZE, "\0\1", 2);
    packet_architecture(packet, 0);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "PXEClient");
}

static void old_bios_rom(struct packet *packet)
{
    packet_bios_rom(packet, DHCP_DISCOVER);
}

static void ipxe_without_user_class(struct packet *packet)
{
    packet_bios_rom(packet, DHCP_DISCOVER);
    packet_option(packet, DHCP_OPTION_IPXE, IPXE_FULL, sizeof IPXE_FULL);
}

static void ipxe_without_175(struct packet *packet)
{
    packet_bios_rom(packet, DHCP_DISCOVER);
    packet_option(packet, DHCP_OPTION_USER_CLASS, "\4iPXE", 5);
}

static void ipxe_without_iscsi(struct packet *packet)
{
    packet_ipxe_with(packet, DHCP_DISCOVER, 0, IPXE_POOR, sizeof IPXE_POOR);
}

static void ipxe_with_broken_175(struct packet *packet)
{
    packet_ipxe_with(packet, DHCP_DISCOVER, 0, "\x11\x09\1", 3);
}

static void informs(struct packet *packet)
{
    packet_ipconfig(packet, DHCP_INFORM);
    store_be32(packet->data + 12, CLIENT_ADDRESS);
}

static void firmware_informs(struct packet *packet)
{
    packet_ovmf(packet, DHCP_INFORM);
    store_be32(packet->data + 12, CLIENT_ADDRESS);
}

static void bootp(struct packet *packet)
{
    packet_begin(packet, DHCP_BOOTP, 0);
}

static void another_class(struct packet *packet)
{
    packet_begin(packet, DHCP_DISCOVER, 0);
    packet_string(packet, DHCP_OPTION_VENDOR_CLASS, "MSFT 5.0");
}

static const struct {
    const char *name;
    void (*make)(struct packet *packet);
} quirks[] = {
    {"no 97",                   no_machine_id             },
    {"no 93",                   no_architecture           },
    {"93 in 60 alone",          architecture_in_class_only},
    {"93 a list",               list_of_architectures     },
    {"93 of one byte",          odd_architecture          },
    {"97 of four bytes",        short_machine_id          },
    {"97 of zeros",             machine_id_of_zeros       },
    {"60 cut short",            class_cut_short           },
    {"60 in pieces",            class_in_pieces           },
    {"52, all in the header",   overload                  },
    {"52 that overruns",        overload_that_overruns    },
    {"93 that overruns",        option_that_overruns      },
    {"57 of one byte's worth",  takes_576_only            },
    {"old BIOS ROM",            old_bios_rom              },
    {"iPXE by 175 alone",       ipxe_without_user_class   },
    {"iPXE by 77 alone",        ipxe_without_175          },
    {"iPXE without iSCSI",      ipxe_without_iscsi        },
    {"iPXE, 175 broken",        ipxe_with_broken_175      },
    {"a system informs itself", informs                   },
    {"firmware informs itself", firmware_informs          },
    {"BOOTP",                   bootp                     },
    {"Windows",                 another_class             },
};

static void write_quirks(FILE *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(quirks); i++) {
        struct packet packet;
        struct recorded message;
        quirks[i].make(&packet);
        make_message(&message, &packet, quirks[i].name);
        ask_everywhere(out, &message);
    }
}

static const char HEAD[] =
    "# What each message is answered: client and message, what we are (a proxy beside the server "
    "that\n"
    "# it chose; the same where `clients` names it with an address; that server), how it came.\n"
    "# After \"gives\" an address, after \"boot\" a file, then options. Written by test_recorded.c "
    "with\n"
    "# NBT_UPDATE set.\n\n";

static void test_answers(void **state)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    (void)state;
    fputs(HEAD, out);
    unsigned clients = write_recorded(out);
    write_quirks(out);
    write_architectures(out);
    assert_int_equal(fclose(out), 0);
    assert_true(clients >= 13);
    if (getenv("NBT_UPDATE")) {
        _cleanup_fclose_ FILE *to = fopen(tree_path("answers.txt"), "we");
        assert_non_null(to);
        fputs(text, to);
    }
    _cleanup_fclose_ FILE *in = fopen(tree_path("answers.txt"), "re");
    assert_non_null(in);
    char wanted[512];
    unsigned number = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        number++;
        if (!fgets(wanted, sizeof wanted, in))
            fail_msg("answers.txt ends before line %u", number);
        if (strncmp(line, wanted, strlen(wanted)) != 0)
            fail_msg("answers.txt:%u: expected %sfound    %.*s", number, wanted,
                     (int)strcspn(line, "\n"), line);
    }
    assert_null(fgets(wanted, sizeof wanted, in));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
