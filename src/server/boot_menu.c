/*
 * boot_menu.c - see boot_menu.h. A choice is a word ("disk", "entry:ID", "item:NAME"): the menu
 * shows it, the request for it brings it back, the state directory keeps it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "boot_asking.h"
#include "boot_kernels.h"
#include "boot_menu.h"
#include "discovery.h"

#include <netboot-target/boot/choices.h>
#include <netboot-target/http.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/hex.h>
#include <netboot-target/util/log.h>

#define CHOICES_RECORD "menu-choices"
#define ENTRIES_LIMIT  (BOOT_CATALOG_ENTRIES_LIMIT + 65u)
#define TEXT_BYTES     160u
#define LOADERS_LIMIT  16u /* that are tried one after another */

struct boot_menu_state {
    struct boot_choices *choices;
    bool is_restored;         /* the record was read: a newer one may take its place */
    bool is_saving, is_stale; /* a record is on its way; it is not the newest any more */
};

/* ── what was chosen last ────────────────────────────────────────────────────────────────────── */

static void save_choices(struct server *server);

static void on_saved(void *context, int result)
{
    (void)result; /* told by the state directory */
    struct server *server = context;
    if (!server->boot_menu)
        return;
    server->boot_menu->is_saving = false;
    if (server->boot_menu->is_stale)
        save_choices(server);
}

/* One record at a time, so that clients cannot pile them up. */
static void save_choices(struct server *server)
{
    struct boot_menu_state *menu = server->boot_menu;
    struct buffer text;
    menu->is_stale = menu->is_saving;
    if (menu->is_saving || !menu->is_restored)
        return;
    buffer_init(&text, BOOT_CHOICES_LIMIT * (BOOT_CLIENT_KEY_BYTES + BOOT_CHOICE_BYTES));
    boot_choices_write(&text, menu->choices);
    if (!text.failed) {
        struct store *store = state_store(server->state);
        menu->is_saving = true;
        store->put(store, CHOICES_RECORD, text.data, text.length, on_saved, server);
    }
    buffer_done(&text);
}

/* What the menu had preset is no choice of a person, its time-out takes it as well: remembered, it
 * would keep the kernel of today for ever. */
static void remember(const struct asking *asking, const char *choice)
{
    char key[BOOT_CLIENT_KEY_BYTES], preset[BOOT_CHOICE_BYTES];
    struct boot_choices *choices = asking->server->boot_menu->choices;
    boot_client_key(&asking->answer->client, key);
    const char *last = boot_choices_get(choices, key);
    bool is_preset =
        http_query_value(asking->question->query, "preset", preset, sizeof preset) == 0 &&
        strcmp(preset, choice) == 0;
    if (is_preset && !(last && strcmp(last, choice) == 0))
        return;
    if (boot_choices_set(choices, key, choice))
        save_choices(asking->server);
}

/* ── what there is ───────────────────────────────────────────────────────────────────────────── */

static struct served_lun *find_lun(const struct asking *asking)
{
    for (unsigned i = 0; asking->target && i < asking->target->lun_count; i++)
        if (asking->target->luns[i].number == asking->decision.lun)
            return &asking->target->luns[i];
    return NULL;
}

/* NULL: nothing is known of this disk. */
static const struct boot_catalog *catalog_of(const struct asking *asking)
{
    const struct served_lun *lun = find_lun(asking);
    return lun ? discovery_catalog(lun) : NULL;
}

static const struct config_menu_item *find_item(const struct asking *asking, const char *name)
{
    const struct config_menu *menu = &asking->server->config->menu;
    for (unsigned i = 0; i < menu->items.count; i++)
        if (strcmp(menu->items.items[i].name, name) == 0)
            return &menu->items.items[i];
    return NULL;
}

static const char *behind(const char *choice, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(choice, prefix, length) == 0 ? choice + length : NULL;
}

/* What this client chose last, else what everybody gets. */
static const char *wanted_choice(const struct asking *asking)
{
    const struct server *server = asking->server;
    char key[BOOT_CLIENT_KEY_BYTES];
    boot_client_key(&asking->answer->client, key);
    const char *last = boot_choices_get(server->boot_menu->choices, key);
    const char *item = last ? behind(last, "item:") : NULL;
    return last && (!item || find_item(asking, item)) ? last : server->config->menu.choice;
}

/* What it starts unless somebody chooses: what is wanted, where it is still there. */
static void usual_choice(const struct asking *asking, const struct boot_catalog *catalog,
                         char ret_choice[BOOT_CHOICE_BYTES])
{
    unsigned machine = asking->answer->client.machine;
    const char *wanted = wanted_choice(asking), *usual = asking->server->config->menu.choice;
    boot_choice_default(wanted, catalog, machine, ret_choice);
    if (wanted != usual && strcmp(ret_choice, wanted) != 0)
        boot_choice_default(usual, catalog, machine, ret_choice);
}

/* ── starting ────────────────────────────────────────────────────────────────────────────────── */

static int put_way_back(struct asking *asking, const char *text)
{
    asking->answer->kind = BOOT_ANSWER_PASS;
    boot_script_to_menu(asking->out, &asking->where, text, asking_key(asking));
    return 0;
}

static int put_command_line(const struct asking *asking, const struct boot_entry *entry,
                            struct buffer *line, struct error *error)
{
    const struct config_kernels *kernels = &asking->target->config->kernels;
    char mac[HEX_MAC_BYTES], initiator[BOOT_INITIATOR_BYTES];
    if (!asking->answer->client.has_mac)
        return error_set(error, -EINVAL, "The machine did not tell its MAC.");
    int result = boot_asking_initiator(asking, initiator, error);
    if (result)
        return result;
    const struct boot_command_line_rules rules = {
        .append = kernels->cmdline_append,
        .remove = (const char *const *)kernels->cmdline_remove.items,
        .remove_count = kernels->cmdline_remove.count,
        .keep_quiet = kernels->keep_quiet,
        .netroot = kernels->netroot,
        .initiator = initiator};
    hex_mac(mac, asking->answer->client.mac, '-');
    return boot_command_line(line, entry, mac, &rules, error);
}

static int put_kernel(struct asking *asking, const struct boot_catalog *catalog,
                      const struct boot_entry *entry, struct error *error)
{
    char line[BOOT_COMMAND_LINE_BYTES + 1], path[BOOT_KERNEL_PATH_BYTES];
    char initrds[BOOT_ENTRY_INITRDS_LIMIT][BOOT_KERNEL_PATH_BYTES];
    const char *initrd_paths[BOOT_ENTRY_INITRDS_LIMIT];
    struct buffer command_line;
    buffer_init_fixed(&command_line, line, sizeof line);
    int result = put_command_line(asking, entry, &command_line, error);
    if (result)
        return result;
    boot_kernels_name(asking->server, &catalog->files[entry->kernel], path);
    for (unsigned i = 0; i < entry->initrd_count; i++) {
        boot_kernels_name(asking->server, &catalog->files[entry->initrds[i]], initrds[i]);
        initrd_paths[i] = initrds[i];
    }
    const struct boot_kernel kernel = {.path = path,
                                       .initrd_paths = initrd_paths,
                                       .initrd_count = entry->initrd_count,
                                       .command_line = buffer_string(&command_line)};
    struct boot_start start = {.kernel = &kernel};
    result = boot_asking_put_start(asking, &start, entry->title);
    return result ? error_set(error, result, "The log of the server says why.") : 0;
}

/* In the catalog's order. Returns how many. */
static unsigned list_loaders(const struct asking *asking, const struct boot_catalog *catalog,
                             bool with_problems, const char *loaders[LOADERS_LIMIT])
{
    unsigned count = 0;
    for (unsigned i = 0; catalog && i < catalog->entry_count && count < LOADERS_LIMIT; i++) {
        const struct boot_entry *entry = &catalog->entries[i];
        if (entry->kind == BOOT_ENTRY_LOADER && (with_problems || !entry->problem) &&
            boot_entry_starts_disk(entry, asking->answer->client.machine) &&
            boot_entry_is_whole(catalog, entry))
            loaders[count++] = entry->loader;
    }
    return count;
}

/* The loaders that are known to be there; those with a problem only when there is no better one and
 * somebody insists. None: the usual ones. */
static int put_disk(struct asking *asking, const struct boot_catalog *catalog)
{
    const char *loaders[LOADERS_LIMIT];
    unsigned count = list_loaders(asking, catalog, false, loaders);
    if (!count)
        count = list_loaders(asking, catalog, true, loaders);
    struct boot_start start = {.loaders = loaders, .loader_count = count};
    return boot_asking_put_start(asking, &start, NULL);
}

static int put_entry(struct asking *asking, const struct boot_catalog *catalog,
                     const struct boot_entry *entry)
{
    struct error error;
    if (!boot_entry_is_whole(catalog, entry))
        return put_way_back(asking, entry->problem);
    if (entry->kind == BOOT_ENTRY_LINUX) {
        int result = put_kernel(asking, catalog, entry, &error);
        if (result)
            log_warning("%s cannot be started: %s", entry->id, error.text);
        return result == -ENOMEM ? result : result ? put_way_back(asking, error.text) : 0;
    }
    const char *loader = entry->loader;
    struct boot_start start = {
        .loaders = &loader, .loader_count = loader ? 1 : 0, .only_these = loader};
    return boot_asking_put_start(asking, &start, entry->title);
}

static int put_choice(struct asking *asking, const char *choice);

static int put_item(struct asking *asking, const struct config_menu_item *item)
{
    const char *const *lines = (const char *const *)item->script.items;
    const char *key = asking_key(asking);
    char choice[BOOT_CHOICE_BYTES];
    if (!item->target) {
        asking->answer->kind = BOOT_ANSWER_PASS;
        snprintf(asking->answer->words, sizeof asking->answer->words, "%s", item->title);
        boot_script_lines(asking->out, &asking->where, item->title, lines, item->script.count, key);
        return 0;
    }
    boot_asking_decide_other(asking, item->target, item->lun == CONFIG_UNSET ? NULL : &item->lun);
    if (asking->decision.verdict != BOOT_START)
        return boot_asking_put_refusal(asking);
    struct boot_start start = {.lines = lines, .line_count = item->script.count};
    if (item->script.count)
        return boot_asking_put_start(asking, &start, item->title);
    boot_choice_default("disk", catalog_of(asking), asking->answer->client.machine, choice);
    return put_choice(asking, choice);
}

static int put_choice(struct asking *asking, const char *choice)
{
    const struct boot_catalog *catalog = catalog_of(asking);
    const char *id = behind(choice, "entry:"), *name = behind(choice, "item:");
    const struct boot_entry *entry = id ? boot_catalog_find(catalog, id) : NULL;
    const struct config_menu_item *item = name ? find_item(asking, name) : NULL;
    if (strcmp(choice, "disk") == 0)
        return put_disk(asking, catalog);
    if (entry)
        return put_entry(asking, catalog, entry);
    if (item)
        return put_item(asking, item);
    return put_way_back(asking, "This is not there any more.");
}

/* ── the menu ────────────────────────────────────────────────────────────────────────────────── */

/* What a menu is made of. */
struct listing {
    const struct asking *asking;
    const struct boot_catalog *catalog;
    struct boot_menu_entry *entries;
    unsigned count;
};

static struct boot_menu_entry *add(struct listing *listing, enum boot_menu_group group,
                                   const char *prefix, const char *name)
{
    struct boot_menu_entry *entry = &listing->entries[listing->count++];
    *entry = (struct boot_menu_entry){.group = group};
    snprintf(entry->choice, sizeof entry->choice, "%s%s", prefix, name);
    return entry;
}

static void write_time(char to[static BOOT_MENU_TIME_BYTES], uint64_t unix_seconds)
{
    struct tm when;
    time_t seconds = (time_t)unix_seconds;
    to[0] = '\0';
    if (localtime_r(&seconds, &when))
        strftime(to, BOOT_MENU_TIME_BYTES, "%Y-%m-%d %H:%M", &when);
}

static void list_catalog(struct listing *listing, enum boot_menu_group group)
{
    unsigned machine = listing->asking->answer->client.machine;
    for (unsigned i = 0; listing->catalog && i < listing->catalog->entry_count; i++) {
        const struct boot_entry *from = &listing->catalog->entries[i];
        bool is_kernel = from->kind == BOOT_ENTRY_LINUX;
        if (is_kernel != (group == BOOT_MENU_KERNELS) || !boot_entry_fits(from, machine))
            continue;
        struct boot_menu_entry *entry = add(listing, group, "entry:", from->id);
        entry->title = from->title;
        entry->problem = from->problem;
        entry->can_try = boot_entry_is_whole(listing->catalog, from);
        if (from->seen_unix_seconds)
            write_time(entry->seen, from->seen_unix_seconds);
    }
}

/* Why the disk does not start by itself: no loader of it does. NULL: one might, or none is known.
 */
static const char *disk_problem(const struct listing *listing)
{
    unsigned machine = listing->asking->answer->client.machine;
    const char *problem = NULL;
    for (unsigned i = 0; listing->catalog && i < listing->catalog->entry_count; i++) {
        const struct boot_entry *entry = &listing->catalog->entries[i];
        if (!boot_entry_starts_disk(entry, machine))
            continue;
        if (!entry->problem)
            return NULL;
        problem = problem ? problem : entry->problem;
    }
    return problem;
}

static void list_disk(struct listing *listing)
{
    list_catalog(listing, BOOT_MENU_KERNELS);
    struct boot_menu_entry *disk = add(listing, BOOT_MENU_LOADERS, "disk", "");
    disk->title = "Whatever the disk starts by itself";
    disk->problem = disk_problem(listing);
    disk->can_try = true;
    list_catalog(listing, BOOT_MENU_LOADERS);
}

/* Another disk for somebody who did not prove the password. */
static const char *item_problem(const struct asking *asking, const struct config_menu_item *item)
{
    struct asking other = *asking;
    if (!item->target)
        return NULL;
    boot_asking_decide_other(&other, item->target, item->lun == CONFIG_UNSET ? NULL : &item->lun);
    return other.decision.verdict == BOOT_START ? NULL : boot_reason_text(other.decision.reason);
}

static void list_items(struct listing *listing)
{
    const struct config_menu *menu = &listing->asking->server->config->menu;
    for (unsigned i = 0; i < menu->items.count; i++) {
        const struct config_menu_item *item = &menu->items.items[i];
        struct boot_menu_entry *entry = add(listing, BOOT_MENU_ITEMS, "item:", item->name);
        entry->title = item->title;
        entry->problem = item_problem(listing->asking, item);
    }
}

/* About the list: what a person could stumble over. */
static const char *note_of(const struct asking *asking, const struct boot_catalog *catalog,
                           char text[TEXT_BYTES])
{
    const struct served_lun *lun = find_lun(asking);
    char time[BOOT_MENU_TIME_BYTES];
    if (asking->decision.verdict != BOOT_START)
        return "its disk is not ready";
    if (!catalog)
        return lun && *discovery_problem(lun) ? "its kernels are not known" : NULL;
    if (!*discovery_problem(lun))
        return catalog->stale ? "a filesystem was not unmounted" : NULL;
    write_time(time, catalog->scanned_unix_seconds);
    snprintf(text, TEXT_BYTES, "as it was on %s", time);
    return text;
}

static int put_menu(struct asking *asking)
{
    bool has_disk = asking->decision.verdict == BOOT_START;
    struct listing listing = {.asking = asking, .catalog = has_disk ? catalog_of(asking) : NULL};
    char selected[BOOT_CHOICE_BYTES], note[TEXT_BYTES];
    _cleanup_free_ struct boot_menu_entry *entries = calloc(ENTRIES_LIMIT, sizeof *entries);
    if (!entries)
        return -ENOMEM;
    listing.entries = entries;
    if (has_disk)
        list_disk(&listing);
    list_items(&listing);
    usual_choice(asking, listing.catalog, selected);
    const struct boot_menu menu = {
        .target_name = asking->decision.target->name,
        .lun = asking->decision.lun,
        .entries = entries,
        .entry_count = listing.count,
        .selected = selected,
        .timeout_ms = asking->server->config->menu.timeout_ms,
        .key = asking_key(asking),
        .note = note_of(asking, listing.catalog, note),
    };
    boot_script_menu(asking->out, &asking->where, &menu);
    asking->answer->kind = BOOT_ANSWER_MENU;
    snprintf(asking->answer->words, sizeof asking->answer->words, "target %s LUN %u",
             menu.target_name, menu.lun);
    return 0;
}

/* ── pages ───────────────────────────────────────────────────────────────────────────────────── */

/* The first look at the disk is under way, or the one that was just asked for. */
static bool must_wait(const struct asking *asking)
{
    const struct served_lun *lun = find_lun(asking);
    char fresh[8];
    bool wants_newest =
        http_query_value(asking->question->query, "fresh", fresh, sizeof fresh) == 0;
    return lun && discovery_is_busy(asking->server, lun) &&
           (wants_newest || !discovery_catalog(lun));
}

static int put_later(struct asking *asking)
{
    int result = put_way_back(asking, NULL);
    asking->answer->kind = BOOT_ANSWER_LATER;
    snprintf(asking->answer->words, sizeof asking->answer->words,
             "its disk is being looked through for kernels");
    return result;
}

static int answer_menu(struct asking *asking)
{
    const struct boot_decision *decision = &asking->decision;
    bool has_others =
        asking->server->config->menu.items.count && decision->reason == BOOT_REASON_NOT_READY;
    if (!decision->target || (decision->verdict != BOOT_START && !has_others))
        return boot_asking_put_refusal(asking);
    return must_wait(asking) ? put_later(asking) : put_menu(asking);
}

static int answer_boot(struct asking *asking)
{
    char choice[BOOT_CHOICE_BYTES];
    if (asking->decision.verdict != BOOT_START)
        return boot_asking_put_refusal(asking);
    if (asking->decision.menu)
        return answer_menu(asking);
    if (must_wait(asking) && strcmp(wanted_choice(asking), "disk") != 0)
        return put_later(asking);
    usual_choice(asking, catalog_of(asking), choice);
    return put_choice(asking, choice);
}

static int answer_reload(struct asking *asking)
{
    struct served_lun *lun = find_lun(asking);
    struct error error = {0};
    if (!asking->authenticated || asking->decision.verdict != BOOT_START || !lun)
        return boot_asking_put_refusal(asking);
    int result = discovery_rescan(asking->server, lun, &error);
    return put_way_back(asking, result == -EBUSY    ? "The disk is in use; it is not looked at now."
                                : result == -EAGAIN ? "The disk was looked at a moment ago."
                                : result && *error.text ? error.text
                                                        : NULL);
}

static int answer_choice(struct asking *asking)
{
    struct boot_answer *answer = asking->answer;
    char choice[BOOT_CHOICE_BYTES];
    if (http_query_value(asking->question->query, "choice", choice, sizeof choice) ||
        !boot_choice_is_valid(choice))
        return put_way_back(asking, "Nothing was chosen.");
    bool is_without_disk =
        behind(choice, "item:") && asking->decision.reason == BOOT_REASON_NOT_READY;
    if (asking->decision.verdict != BOOT_START && !is_without_disk)
        return boot_asking_put_refusal(asking);
    int result = put_choice(asking, choice);
    bool is_taken = answer->kind == BOOT_ANSWER_START ||
                    (answer->kind == BOOT_ANSWER_PASS && *answer->words); /* an item's lines */
    if (result || !is_taken)
        return result;
    remember(asking, choice);
    snprintf(answer->choice, sizeof answer->choice, "%s", choice);
    return 0;
}

int boot_menu_answer(struct asking *asking)
{
    static int (*const pages[])(struct asking * asking) = {
        [BOOT_PAGE_BOOT] = answer_boot,
        [BOOT_PAGE_MENU] = answer_menu,
        [BOOT_PAGE_RELOAD] = answer_reload,
        [BOOT_PAGE_CHOICE] = answer_choice,
    };
    return asking->server->boot_menu && asking->server->boot_kernels
               ? pages[asking->question->page](asking)
               : -ENOMEM;
}

/* ── life ────────────────────────────────────────────────────────────────────────────────────── */

int boot_menu_start(struct server *server, struct error *error)
{
    struct boot_menu_state *menu = calloc(1, sizeof *menu);
    if (menu)
        menu->choices = boot_choices_new(NULL);
    if (!menu || !menu->choices) {
        free(menu);
        return error_set(error, -ENOMEM, "out of memory");
    }
    server->boot_menu = menu;
    boot_menu_restore(server);
    return 0;
}

void boot_menu_restore(struct server *server)
{
    struct boot_menu_state *menu = server->boot_menu;
    const char *kept = NULL;
    size_t length;
    if (!menu || menu->is_restored)
        return;
    int result = state_load(server->state, CHOICES_RECORD, &kept, &length, NULL);
    if (result && result != -ENOENT)
        return;
    struct boot_choices *choices = boot_choices_new(kept);
    if (!choices)
        return;
    boot_choices_free(menu->choices);
    menu->choices = choices;
    menu->is_restored = true;
}

void boot_menu_free(struct server *server)
{
    struct boot_menu_state *menu = take_pointer(server->boot_menu);
    if (!menu)
        return;
    boot_choices_free(menu->choices);
    free(menu);
}
