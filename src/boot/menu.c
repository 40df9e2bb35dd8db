/*
 * menu.c - the pages on which a person chooses, and proves who they are; see boot.h. A choice goes
 * back to the server, which answers with a script for it: the menu itself holds no secret.
 */
#include <inttypes.h>
#include <string.h>

#include <netboot-target/util/array.h>

#include "pages.h"
#include "words.h"

static void put(struct buffer *out, const char *lines)
{
    buffer_append_string(out, lines);
}

bool boot_choice_is_valid(const char *choice)
{
    return strlen(choice) < BOOT_CHOICE_BYTES && boot_word_is_name(choice);
}

/* ── logging in ──────────────────────────────────────────────────────────────────────────────── */

/* iPXE sends user and password only after a challenge, and shows neither. A server that refuses
 * them and one that is gone look the same to a script. */
static void put_login(struct buffer *out, const struct boot_server *server, const char *back)
{
    buffer_format(out,
                  ":login\n"
                  "login || goto %s\n"
                  "echo\n"
                  "echo Logging in ...\n"
                  "chain --replace http://${username:uristring}:${password:uristring}@",
                  back);
    boot_put_site(out, server);
    boot_put_query(out, "/login.ipxe");
    buffer_format(
        out,
        " ||\n"
        "clear username ||\n"
        "clear password ||\n"
        "echo\n"
        "echo Wrong user or password, or too many wrong ones: then wait a minute. Or the server\n"
        "echo does not answer any more.\n"
        "echo On the server, the log names the file that holds them.\n"
        "prompt --timeout 30000 Press a key to try again. && goto login ||\n"
        "goto %s\n",
        back);
}

/* UEFI's boot manager goes on to the next device only after a failure; after a success it shows its
 * own menu (UEFI 2.10 §3.1.1). A BIOS is told nothing. */
static void put_leave(struct buffer *out)
{
    put(out, ":leave\n"
             "iseq ${platform} efi || exit 0\n"
             "exit 1\n");
}

/* For who does not want to log in after all. */
static void put_ways(struct buffer *out)
{
    put(out, ":ways\n"
             "menu netboot-target\n"
             "item --key l -- login Log in (l)\n"
             "item --key a -- again Ask the server again (a)\n"
             "item --key s -- shell iPXE shell (s)\n"
             "item --key x -- leave Leave, to this machine's next boot device (x)\n"
             "choose way || goto ways\n"
             "goto ${way}\n"
             ":shell\n"
             "shell ||\n"
             "goto ways\n");
    put_leave(out);
}

void boot_script_login(struct buffer *out, const struct boot_server *server,
                       const struct boot_client *client, const struct boot_decision *decision)
{
    put(out, "#!ipxe\n");
    if (decision->rule)
        put(out, "goto login\n");
    put(out, ":page\n"
             "echo\n"
             "echo netboot-target does not boot this machine:\necho ");
    put(out, boot_reason_text(decision->reason));
    put(out, ".\n");
    boot_put_advice(out, server, client, decision->reason);
    put(out, "prompt --timeout 30000 Press a key to log in for the menu; next try in 30 seconds. "
             "&& goto ways ||\n"
             ":again\n"
             "chain --replace ");
    boot_url(out, server);
    put(out, " ||\n");
    boot_put_no_answer(out, server);
    put(out, "sleep 10 ||\ngoto page\n");
    put_login(out, server, "ways");
    put_ways(out);
}

/* ── the menu ────────────────────────────────────────────────────────────────────────────────── */

static const struct tool {
    char key;
    const char *label, *text;
} tools[] = {
    {'r', "reload", "Reload: look at the disk again (r)"           },
    {'h', "help",   "Help (h)"                                     },
    {'s', "shell",  "iPXE shell (s)"                               },
    {'c', "config", "iPXE configuration (c)"                       },
    {'b', "reboot", "Reboot (b)"                                   },
    {'x', "leave",  "Leave, to this machine's next boot device (x)"},
};

static const char *const headings[] = {
    [BOOT_MENU_KERNELS] = "Linux, kernel by HTTP",
    [BOOT_MENU_LOADERS] = "Boot from the disk",
    [BOOT_MENU_ITEMS] = "Others",
};

static void put_title(struct buffer *out, const struct boot_menu_entry *entry)
{
    boot_put_text(out, entry->title);
    if (entry->seen[0]) {
        put(out, ", as it was on ");
        boot_put_text(out, entry->seen);
    }
    if (entry->problem) {
        put(out, " (");
        boot_put_text(out, entry->problem);
        put(out, ")");
    }
}

static void put_items(struct buffer *out, const struct boot_menu *menu)
{
    for (unsigned i = 0; i < menu->entry_count; i++) {
        const struct boot_menu_entry *entry = &menu->entries[i];
        if (!i || entry->group != entry[-1].group)
            buffer_format(out, "item --gap -- %s\n", headings[entry->group]);
        buffer_format(out, "item -- e%u ", i);
        put_title(out, entry);
        put(out, "\n");
    }
    put(out, "item --gap -- Tools\n");
    if (!menu->key)
        put(out, "item --key l -- login Log in (l)\n");
    for (unsigned i = 0; i < ARRAY_SIZE(tools); i++)
        buffer_format(out, "item --key %c -- %s %s\n", tools[i].key, tools[i].label, tools[i].text);
}

/* What may be tried or not, said before it is. */
static void put_entries(struct buffer *out, const struct boot_menu *menu)
{
    for (unsigned i = 0; i < menu->entry_count; i++) {
        const struct boot_menu_entry *entry = &menu->entries[i];
        buffer_format(out, ":e%u\nset choice %s\n", i, entry->choice);
        if (!entry->problem) {
            put(out, "goto take\n");
            continue;
        }
        put(out, "echo\necho -- "); /* whatever it begins with */
        boot_put_text(out, entry->title);
        put(out, ":\necho -- ");
        boot_put_text(out, entry->problem);
        put(out, "\n");
        if (entry->can_try)
            put(out, "prompt --key t --timeout 30000 Press t to try it all the same; back to the "
                     "menu in 30 seconds. && goto take ||\n");
        else
            put(out, "prompt --timeout 30000 Press a key for the menu. ||\n");
        put(out, "goto menu\n");
    }
}

static void put_take(struct buffer *out, const struct boot_server *server,
                     const struct boot_menu *menu)
{
    put(out, ":take\nchain --replace ");
    boot_put_menu_url(out, server, "/entry.ipxe", menu->key);
    if (menu->selected) /* nobody needs to have chosen that one: a time-out takes it too */
        buffer_format(out, "&preset=%s", menu->selected);
    put(out, "&choice=${choice} ||\n");
    boot_put_no_answer(out, server);
    put(out, "prompt --timeout 30000 Press a key for the menu. ||\n"
             "goto menu\n");
}

static void put_reload(struct buffer *out, const struct boot_server *server,
                       const struct boot_menu *menu)
{
    put(out, ":reload\n");
    if (!menu->key) {
        put(out, "goto login\n");
        return;
    }
    put(out, "chain --replace ");
    boot_put_menu_url(out, server, "/reload.ipxe", menu->key);
    put(out, " ||\n");
    boot_put_no_answer(out, server);
    put(out, "prompt --timeout 30000 Press a key for the menu. ||\n"
             "goto menu\n");
}

static void put_tools(struct buffer *out, const struct boot_server *server)
{
    put(out, ":help\n"
             "echo\n"
             "echo Arrow keys and Enter choose. Any key ends the time-out; so does Esc.\n"
             "echo\n"
             "echo Linux, kernel by HTTP: the server has read the kernels on the disk. It sends\n"
             "echo one with its initrd, and adds the words by which that finds the disk here.\n"
             "echo Boot from the disk: its own loader starts, with what is written there.\n"
             "echo not prepared: that system cannot find its disk over iSCSI yet. Start it where\n"
             "echo its disk is built in, and run our setup script there, as root:\n"
             "echo http://");
    boot_put_site(out, server);
    put(out,
        "/setup/linux.sh (or windows.ps1, freebsd.sh)\n"
        "echo What you choose instead of the default is remembered, and is the default from\n"
        "echo then on.\n"
        "echo as it was on ...: that system was not shut down since. Boot it and shut it down\n"
        "echo to see what is new.\n"
        "echo Reload: after a new kernel was installed. Not while the disk is in use.\n"
        "echo iPXE shell: exit or Ctrl-D leads back here.\n"
        "prompt Press a key for the menu. ||\n"
        "goto menu\n"
        ":shell\n"
        "shell ||\n"
        "goto menu\n"
        ":config\n"
        "config ||\n"
        "goto menu\n"
        ":reboot\n"
        "reboot ||\n"
        "prompt --timeout 30000 This iPXE cannot reboot; switch it off and on. Press a key. ||\n"
        "goto menu\n");
    put_leave(out);
}

static int find_selected(const struct boot_menu *menu)
{
    for (unsigned i = 0; menu->selected && i < menu->entry_count; i++) {
        if (strcmp(menu->entries[i].choice, menu->selected) == 0 && !menu->entries[i].problem)
            return (int)i;
    }
    return -1;
}

void boot_script_menu(struct buffer *out, const struct boot_server *server,
                      const struct boot_menu *menu)
{
    int selected = find_selected(menu);
    buffer_format(out, "#!ipxe\nset wait %" PRIu64 "\n:menu\nmenu netboot-target: ",
                  selected < 0 ? 0 : menu->timeout_ms);
    boot_put_text(out, menu->target_name);
    buffer_format(out, " LUN %u", menu->lun);
    if (menu->note) {
        put(out, ", ");
        boot_put_text(out, menu->note);
    }
    put(out, "\n");
    put_items(out, menu);
    put(out, "choose --timeout ${wait} ");
    if (selected >= 0)
        buffer_format(out, "--default e%d ", selected);
    put(out, "choice && set wait 0 || goto stay\n"
             "goto ${choice}\n"
             ":stay\n"
             "set wait 0\n"
             "goto menu\n");
    put_entries(out, menu);
    put_take(out, server, menu);
    put_reload(out, server, menu);
    if (!menu->key)
        put_login(out, server, "menu");
    put_tools(out, server);
}

void boot_script_to_menu(struct buffer *out, const struct boot_server *server, const char *text,
                         const char *key)
{
    put(out, "#!ipxe\n");
    if (text) {
        put(out, "echo\necho -- ");
        boot_put_text(out, text);
        put(out, "\nprompt --timeout 5000 Press a key for the menu. ||\n");
    }
    put(out, ":again\nchain --replace ");
    boot_put_menu_url(out, server, "/menu.ipxe", key);
    put(out, "&fresh=1 ||\n");
    boot_put_no_answer(out, server);
    put(out, "sleep 10 ||\ngoto again\n");
}
