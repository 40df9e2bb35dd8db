/*
 * script.c - iPXE scripts, see boot.h. Newer iPXE knows more commands; these use what the one of
 * 2019 has. A command that may fail is followed by "||", without which it ends the script.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/array.h>

#include "pages.h"
#include "words.h"

#define HOOK_TRIES      5u
#define HOOK_PAUSE_S    5u
#define REST_MS         60000u /* after a failure, before all begins anew */
#define MENU_REST_MS    30000u /* before the menu comes back */
#define LOADER_LIMIT    32u
#define ENTRY_REST_S    10u
#define ISCSI_FLAT_LUNS 0x4000u /* SAM-5 §4.7.7.4 */

/* ── pieces ──────────────────────────────────────────────────────────────────────────────────── */

static void put(struct buffer *out, const char *lines)
{
    buffer_append_string(out, lines);
}

void boot_put_site(struct buffer *out, const struct boot_server *server)
{
    boot_put_host(out, server->host);
    if (server->port != 80)
        buffer_format(out, ":%u", server->port);
}

/* Who the client is; iPXE fills it in. */
void boot_put_query(struct buffer *out, const char *path)
{
    buffer_format(out,
                  "%s?mac=${netX/mac:hexhyp}&uuid=${uuid}&serial=${serial:uristring}"
                  "&on=${platform}-${buildarch}",
                  path);
}

void boot_script_url(struct buffer *out, const struct boot_server *server, const char *path,
                     const char *more)
{
    put(out, "http://");
    boot_put_site(out, server);
    boot_put_query(out, path);
    if (more)
        put(out, more);
}

void boot_url(struct buffer *out, const struct boot_server *server)
{
    boot_script_url(out, server, "/boot.ipxe", NULL);
}

void boot_put_menu_url(struct buffer *out, const struct boot_server *server, const char *path,
                       const char *key)
{
    boot_script_url(out, server, path, NULL);
    if (key)
        buffer_format(out, "&key=%s", key);
}

void boot_put_no_answer(struct buffer *out, const struct boot_server *server)
{
    put(out, "echo\necho The boot server does not answer: ");
    boot_put_host(out, server->host);
    buffer_format(
        out,
        "\n"
        "echo Check: is it on, is the cable in, is its TCP port %u open in its firewall?\n",
        server->port);
}

/* Where a page leads in the end. */
struct way_on {
    const struct boot_server *server;
    bool menu;       /* else the beginning */
    const char *key; /* for the menu */
};

/* The end of a page: waits, with a shell for whoever presses a key, and asks the server anew.
 * Label :rest. */
static void put_rest(struct buffer *out, const struct way_on *way, unsigned pause_ms)
{
    buffer_format(out,
                  ":rest\n"
                  "prompt --timeout %u Press a key for the iPXE shell; %s in %u seconds. "
                  "&& shell ||\n"
                  ":again\n"
                  "chain --replace ",
                  pause_ms, way->menu ? "back to the menu" : "next try", pause_ms / 1000);
    boot_put_menu_url(out, way->server, way->menu ? "/menu.ipxe" : "/boot.ipxe",
                      way->menu ? way->key : NULL);
    put(out, " ||\n");
    boot_put_no_answer(out, way->server);
    put(out, "goto rest\n");
}

/* ── the entry ───────────────────────────────────────────────────────────────────────────────── */

void boot_script_entry(struct buffer *out, const struct boot_server *server)
{
    put(out, "#!ipxe\n"
             ":entry\n"
             "isset ${netX/ip} || dhcp || goto no_address\n"
             "chain --replace ");
    boot_url(out, server);
    put(out, " ||\n"
             "echo\n"
             "echo The boot server did not send its script: ");
    boot_put_host(out, server->host);
    buffer_format(out,
                  "\n"
                  "echo Check: is its TCP port %u open in its firewall?\n"
                  "goto rest\n"
                  ":no_address\n"
                  "echo\n"
                  "echo No DHCP server gave this machine an address.\n"
                  "echo Check: the cable, and the DHCP server of this network.\n"
                  ":rest\n"
                  "prompt --timeout %u Press a key for the iPXE shell; next try in %u seconds. "
                  "&& shell ||\n"
                  "goto entry\n",
                  server->port, ENTRY_REST_S * 1000, ENTRY_REST_S);
}

/* ── booting ─────────────────────────────────────────────────────────────────────────────────── */

/* Where installations put their loader, with the architecture's suffix filled in by iPXE. The
 * systems' own come before the removable-media path, which on some of them rewrites the machine's
 * boot entries. */
static const char *const known_loaders[] = {
    "\\EFI\\Microsoft\\Boot\\bootmgfw.efi",
    "\\EFI\\debian\\shim${efi}.efi",
    "\\EFI\\ubuntu\\shim${efi}.efi",
    "\\EFI\\fedora\\shim${efi}.efi",
    "\\EFI\\redhat\\shim${efi}.efi",
    "\\EFI\\centos\\shim${efi}.efi",
    "\\EFI\\rocky\\shim${efi}.efi",
    "\\EFI\\almalinux\\shim${efi}.efi",
    "\\EFI\\opensuse\\shim.efi",
    "\\EFI\\debian\\grub${efi}.efi",
    "\\EFI\\ubuntu\\grub${efi}.efi",
    "\\EFI\\arch\\grub${efi}.efi",
    "\\EFI\\systemd\\systemd-boot${efi}.efi",
    "\\EFI\\freebsd\\loader.efi",
};

/* iPXE's ${buildarch} and the suffix of loader names (UEFI 2.10 §3.5.1.1); x64 is the default. */
static const struct {
    const char *build, *suffix;
} suffixes[] = {
    {"i386",    "ia32"       },
    {"arm32",   "arm"        },
    {"arm64",   "aa64"       },
    {"riscv64", "riscv64"    },
    {"loong64", "loongarch64"},
};

/* RFC 4173 §5; the LUN is hexadecimal, and from 256 on in the flat form. */
static void put_uri(struct buffer *out, const struct boot_start *start)
{
    unsigned lun = start->lun < 256 ? start->lun : (start->lun | ISCSI_FLAT_LUNS);
    put(out, "iscsi:");
    boot_put_host(out, start->portal_address);
    buffer_format(out, "::%u:%x:%s", start->portal_port, lun, start->iqn);
}

static void put_disk_name(struct buffer *out, const struct boot_start *start)
{
    boot_put_text(out, start->target_name);
    buffer_format(out, " LUN %u at ", start->lun);
    boot_put_host(out, start->portal_address);
    buffer_format(out, " port %u", start->portal_port);
}

/* Absent ones are cleared: an earlier round may have set them, and half a pair is refused. */
static void put_credential(struct buffer *out, const char *setting, const char *value)
{
    if (value)
        boot_put_setting(out, setting, value);
    else
        buffer_format(out, "clear %s ||\n", setting);
}

/* All that the iBFT shows is set before the disk is hooked: it is written then. */
static void put_settings(struct buffer *out, const struct boot_start *start)
{
    buffer_format(out, "set initiator-iqn %s\n", start->initiator);
    put_credential(out, "username", start->user);
    put_credential(out, "password", start->secret);
    put_credential(out, "reverse-username", start->reverse_user);
    put_credential(out, "reverse-password", start->reverse_secret);
    /* Windows sends even on-link traffic to the gateway that the iBFT names. */
    if (start->mask_gateway)
        put(out, "set netX/gateway 0.0.0.0 ||\n");
}

static void put_hook(struct buffer *out, const struct boot_start *start)
{
    put(out, "set tries:int32 0\n"
             ":hook\n"
             "sanhook --drive 0x80 ");
    put_uri(out, start);
    buffer_format(out,
                  " && goto hooked ||\n"
                  "inc tries\n"
                  "iseq ${tries} %u && goto unreachable ||\n"
                  "echo The disk did not answer, once more in %u seconds.\n"
                  "sleep %u ||\n"
                  "goto hook\n",
                  HOOK_TRIES, HOOK_PAUSE_S, HOOK_PAUSE_S);
}

static void put_loaders(struct buffer *out, const struct boot_start *start)
{
    const char *const *loaders = start->loader_count ? start->loaders : known_loaders;
    unsigned count = start->loader_count ? start->loader_count : ARRAY_SIZE(known_loaders);
    put(out, ":efi\nset efi x64\n");
    for (unsigned i = 0; i < ARRAY_SIZE(suffixes); i++)
        buffer_format(out, "iseq ${buildarch} %s && set efi %s ||\n", suffixes[i].build,
                      suffixes[i].suffix);
    for (unsigned i = 0; i < count; i++)
        buffer_format(out, "sanboot --drive 0x80 --keep --filename %s ||\n", loaders[i]);
    if (!start->only_these)
        put(out, "sanboot --drive 0x80 --keep ||\n");
}

static void put_sanboot(struct buffer *out, const struct boot_start *start)
{
    put(out, "iseq ${platform} efi && goto efi ||\n"
             "sanboot --drive 0x80 --keep ||\n"
             "goto unbootable\n");
    put_loaders(out, start);
}

static bool names_initrds(const struct boot_start *start)
{
    return start->client->machine != BOOT_MACHINE_BIOS;
}

/* UEFI's Linux finds an initrd by its image's name (newer iPXE hands them over itself); of other
 * images there must be none, because a BIOS' Linux gets them all. */
static void put_kernel(struct buffer *out, const struct boot_server *server,
                       const struct boot_start *start)
{
    const struct boot_kernel *kernel = start->kernel;
    put(out, "imgfree ||\nkernel --name kernel http://");
    boot_put_site(out, server);
    put(out, kernel->path);
    for (unsigned i = 0; i < kernel->initrd_count && names_initrds(start); i++)
        buffer_format(out, " initrd=initrd%u", i);
    buffer_format(out, " %s || goto unloaded\n", kernel->command_line);
    for (unsigned i = 0; i < kernel->initrd_count; i++) {
        buffer_format(out, "initrd --name initrd%u http://", i);
        boot_put_site(out, server);
        buffer_format(out, "%s || goto unloaded\n", kernel->initrd_paths[i]);
    }
    put(out, "boot ||\n"
             "goto unbootable\n"
             ":unloaded\n"
             "sanunhook --drive 0x80 ||\n"
             "imgfree ||\n"
             "echo\n"
             "echo The kernel or its initrd could not be loaded.\n"
             "echo Check: does this machine have enough memory for them?\n"
             "echo Check: the log of the server.\n"
             "goto rest\n");
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* A command that fails would end the script, and iPXE with it. */
static void put_lines(struct buffer *out, const char *const *lines, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bool can_fail = lines[i][0] && lines[i][0] != ':' && lines[i][0] != '#' &&
                        !ends_with(lines[i], "||") && !ends_with(lines[i], "\\");
        buffer_format(out, "%s%s\n", lines[i], can_fail ? " || goto unbootable" : "");
    }
}

static void put_boot(struct buffer *out, const struct boot_server *server,
                     const struct boot_start *start)
{
    put(out, ":hooked\n");
    if (start->line_count) {
        put_lines(out, start->lines, start->line_count);
        put(out, "goto unbootable\n");
    } else if (start->kernel) {
        put_kernel(out, server, start);
    } else {
        put_sanboot(out, start);
    }
}

static void put_failures(struct buffer *out, const struct boot_start *start)
{
    put(out, ":unbootable\n"
             "sanunhook --drive 0x80 ||\n"
             "echo\n"
             "echo The disk was reached, but nothing on it could be started:\n"
             "echo ");
    put_disk_name(out, start);
    put(out, "\n"
             "echo Check: does it hold a system for this firmware (${platform}, ${buildarch})?\n"
             "echo One installed for BIOS does not start by UEFI, nor the other way round.\n"
             "echo Check: is this the right LUN? No other one was looked at.\n"
             "goto rest\n"
             ":unreachable\n"
             "echo\n"
             "echo The disk could not be opened:\n"
             "echo ");
    put_disk_name(out, start);
    buffer_format(out,
                  "\n"
                  "echo Check: the log and the status of the server; they say why it refused.\n"
                  "echo Check: is its TCP port %u open in its firewall?\n"
                  "echo Check: does another machine use the disk? This one calls itself\n"
                  "echo %s\n",
                  start->portal_port, start->initiator);
}

static int check_kernel(const struct boot_start *start, struct error *error)
{
    const struct boot_kernel *kernel = start->kernel;
    size_t length = strlen(kernel->command_line) +
                    (names_initrds(start) ? kernel->initrd_count * sizeof " initrd=initrd0" : 0);
    bool good = boot_word_is_url_path(kernel->path);
    for (unsigned i = 0; i < kernel->initrd_count; i++)
        good = good && boot_word_is_url_path(kernel->initrd_paths[i]);
    if (!good)
        return error_set(error, -EINVAL, "A kernel's URL cannot stand in an iPXE script.");
    if (length >= BOOT_COMMAND_LINE_BYTES)
        return error_set(error, -E2BIG,
                         "The kernel's command line and the names of its initrds are longer than "
                         "the %u bytes a kernel takes: use cmdline-remove.",
                         BOOT_COMMAND_LINE_BYTES - 1);
    return 0;
}

/* Whatever is not plain here would be read as a command. */
static int check(const struct boot_start *start, struct error *error)
{
    if (!boot_word_is_name(start->portal_address))
        return error_set(error, -EINVAL, "The portal's address cannot stand in an iPXE script.");
    if (!boot_word_is_name(start->iqn))
        return error_set(error, -EINVAL,
                         "The name of target \"%s\" cannot stand in an iPXE script: only letters, "
                         "digits and . : _ - can.",
                         start->target_name);
    if (!boot_word_is_name(start->initiator))
        return error_set(error, -EINVAL,
                         "The initiator name for this client cannot stand in an iPXE script: only "
                         "letters, digits and . : _ - can.");
    if (start->loader_count > LOADER_LIMIT)
        return error_set(error, -EINVAL, "More than %u loaders to try.", LOADER_LIMIT);
    if (start->kernel) {
        int result = check_kernel(start, error);
        if (result)
            return result;
    }
    for (unsigned i = 0; i < start->loader_count; i++) {
        if (!boot_word_is_path(start->loaders[i]))
            return error_set(error, -EINVAL,
                             "Loader %u of target \"%s\" has a file name that cannot stand in an "
                             "iPXE script.",
                             i + 1, start->target_name);
    }
    bool forward = start->user && start->secret, reverse = start->reverse_user;
    if (!start->user != !start->secret || !start->reverse_user != !start->reverse_secret ||
        (reverse && !forward))
        return error_set(error, -EINVAL,
                         "CHAP for iPXE takes a name and a secret, and the target's only with the "
                         "initiator's.");
    return 0;
}

int boot_script_start(struct buffer *out, const struct boot_server *server,
                      const struct boot_start *start, struct error *error)
{
    int r = check(start, error);
    if (r < 0)
        return r;
    const struct way_on way = {server, start->menu, start->key};
    put(out, "#!ipxe\n"
             "echo\necho Booting ");
    put_disk_name(out, start);
    put(out, "\n");
    put_settings(out, start);
    put_hook(out, start);
    put_boot(out, server, start);
    put_failures(out, start);
    put_rest(out, &way, start->menu ? MENU_REST_MS : REST_MS);
    return 0;
}

void boot_script_lines(struct buffer *out, const struct boot_server *server, const char *title,
                       const char *const *lines, unsigned line_count, const char *key)
{
    const struct way_on way = {server, true, key};
    put(out, "#!ipxe\n"
             "echo\necho Starting ");
    boot_put_text(out, title);
    put(out, "\nclear username ||\nclear password ||\n");
    put_lines(out, lines, line_count);
    put(out, "goto again\n"
             ":unbootable\n"
             "echo\n"
             "echo One of its lines in menu.items failed.\n");
    put_rest(out, &way, MENU_REST_MS);
}

/* ── not booting ─────────────────────────────────────────────────────────────────────────────── */

struct page {
    struct buffer *out;
    const struct boot_server *server;
    const struct boot_client *client;
};

static void put_config_name(const struct page *page)
{
    boot_put_text(page->out, page->server->config_path);
}

/* The line to paste into the list `clients`. */
static void advise_listing(const struct page *page)
{
    if (!page->server->config_path) {
        put(page->out, "echo To boot any machine that asks: start netboot-target with --open.\n"
                       "echo To boot only this one: use a configuration file that lists it. MAC:\n"
                       "echo ");
        boot_put_mac(page->out, page->client);
        put(page->out, "\n");
        return;
    }
    put(page->out, "echo If it may, unattended: put this line into clients, and reload. In\n"
                   "echo ");
    put_config_name(page);
    put(page->out, "\necho\necho { mac = \"");
    boot_put_mac(page->out, page->client);
    put(page->out, "\", open = true }\necho\n");
}

static void advise_password(const struct page *page)
{
    put(page->out, "echo To boot it unattended: set open = true in its line of clients, in\n"
                   "echo ");
    if (page->server->config_path)
        put_config_name(page);
    put(page->out, "\n");
}

static void advise_configuration(const struct page *page)
{
    put(page->out, "echo Check: its line in clients, and the targets. MAC: ");
    boot_put_mac(page->out, page->client);
    put(page->out, "\n");
}

static void advise_patience(const struct page *page)
{
    put(page->out, "echo The status of the server says what it waits for.\n");
}

static const struct {
    void (*advise)(const struct page *page);
    unsigned pause_ms;
} pages[] = {
    [BOOT_REASON_NONE] = {advise_patience,      5000 },
    [BOOT_REASON_NOT_LISTED] = {advise_listing,       30000},
    [BOOT_REASON_PASSWORD] = {advise_password,      30000},
    [BOOT_REASON_NO_MAC] = {advise_configuration, 30000},
    [BOOT_REASON_NO_NAME] = {advise_configuration, 30000},
    [BOOT_REASON_NO_TARGET] = {advise_configuration, 30000},
    [BOOT_REASON_NO_LUN] = {advise_configuration, 30000},
    [BOOT_REASON_NOT_READY] = {advise_patience,      5000 },
    [BOOT_REASON_NOT_SERVING] = {advise_patience,      15000},
};

void boot_put_advice(struct buffer *out, const struct boot_server *server,
                     const struct boot_client *client, enum boot_reason reason)
{
    const struct page page = {out, server, client};
    pages[reason].advise(&page);
}

void boot_script_stop(struct buffer *out, const struct boot_server *server,
                      const struct boot_client *client, const struct boot_decision *decision,
                      const char *detail)
{
    const struct way_on way = {.server = server};
    put(out, "#!ipxe\n"
             "echo\n"
             "echo netboot-target does not boot this machine");
    put(out, decision->verdict == BOOT_WAIT ? " yet:\necho " : ":\necho ");
    put(out, boot_reason_text(decision->reason));
    if (detail) {
        put(out, ", ");
        boot_put_text(out, detail);
    }
    put(out, ".\n");
    boot_put_advice(out, server, client, decision->reason);
    put_rest(out, &way, pages[decision->reason].pause_ms);
}
