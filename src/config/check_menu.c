/* check_menu.c - the boot menu: what its items and its default name */
#include <string.h>

#include "internal.h"
#include <netboot-target/util/escape.h>

static void check_disk(struct reader *reader, const struct config_menu_item *item)
{
    const struct config_target *target = config_find_target(reader->config, item->target);
    if (!target) {
        reader_report(reader, false, item, "target",
                      "menu item %s: there is no target %s; targets have the names given in "
                      "targets",
                      escaped(item->name), escaped(item->target));
        return;
    }
    for (unsigned i = 0; i < target->luns.count; i++)
        if (item->lun == CONFIG_UNSET || target->luns.items[i].number == item->lun)
            return;
    if (target->luns.count)
        reader_report(reader, false, item, "lun", "menu item %s: target %s has no LUN %u",
                      escaped(item->name), escaped(item->target), item->lun);
}

static void check_item(struct reader *reader, const struct config_menu_item *item)
{
    if (item->target)
        check_disk(reader, item);
    else if (item->lun != CONFIG_UNSET)
        reader_report(reader, false, item, "lun", "menu item %s: a LUN of which target?",
                      escaped(item->name));
    else if (!item->script.count && item->place.file)
        reader_report(reader, false, item, "target",
                      "menu item %s: it needs a target, or a script of iPXE's commands",
                      escaped(item->name));
}

void check_menu(struct reader *reader)
{
    static const char prefix[] = "item:";
    const struct config_menu *menu = &reader->config->menu;
    struct claims names = {0};
    bool is_item = menu->choice && strncmp(menu->choice, prefix, sizeof prefix - 1) == 0;
    bool found = !is_item;
    for (unsigned i = 0; i < menu->items.count; i++) {
        const struct config_menu_item *item = &menu->items.items[i];
        check_item(reader, item);
        claim_text(&names, item->name, item, "name");
        found |= is_item && item->name && !strcmp(item->name, menu->choice + sizeof prefix - 1);
    }
    if (!found)
        reader_report(reader, false, menu, "default", "the default %s is none of menu.items",
                      escaped(menu->choice));
    claims_check(&names, reader, "the menu item", "each has its own name");
}
