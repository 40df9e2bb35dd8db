/* check.c - the checks that look at several keys at once, and what they share. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

/* ---------------------------------------------------------------- what follows from other keys */

static struct config_endpoint any_address(const struct config_endpoint *star, sa_family_t family)
{
    struct config_endpoint endpoint = *star;
    in_port_t port = ((const struct sockaddr_in *)&star->address)->sin_port;
    memset(&endpoint.address, 0, sizeof endpoint.address);
    endpoint.address.ss_family = family;
    if (family == AF_INET)
        ((struct sockaddr_in *)&endpoint.address)->sin_port = port;
    else
        ((struct sockaddr_in6 *)&endpoint.address)->sin6_port = port;
    return endpoint;
}

/* "*" stands for 0.0.0.0 and [::]; zeroed memory is any address in both families. */
static int expand_wildcards(void *list)
{
    struct any_list before = list_get(list);
    const struct config_endpoint *from = (const void *)before.items;
    struct config_endpoint *endpoints = calloc(2 * (size_t)before.count + 1, sizeof *endpoints);
    unsigned count = 0;
    if (!endpoints)
        return -ENOMEM;
    for (unsigned i = 0; i < before.count; i++) {
        if (!from[i].wildcard) {
            endpoints[count++] = from[i];
            continue;
        }
        endpoints[count++] = any_address(&from[i], AF_INET);
        endpoints[count++] = any_address(&from[i], AF_INET6);
    }
    free(before.items);
    list_set(list, (struct any_list){.items = (char *)endpoints, .count = count});
    return 0;
}

static void number_luns(struct config_target *target)
{
    uint32_t next = target->first_lun;
    for (unsigned i = 0; i < target->luns.count; i++) {
        struct config_lun *lun = &target->luns.items[i];
        if (lun->number == CONFIG_UNSET)
            lun->number = next;
        next = lun->number + 1;
    }
}

static int name_target(struct config_target *target, unsigned position)
{
    if (!target->name && asprintf(&target->name, "target-%u", position) < 0) {
        target->name = NULL;
        return -ENOMEM;
    }
    if (!target->auth.user)
        target->auth.user = strdup(target->name);
    return target->auth.user ? 0 : -ENOMEM;
}

static int name_item(struct config_menu_item *item, unsigned position)
{
    if (!item->name && asprintf(&item->name, "item-%u", position) < 0) {
        item->name = NULL;
        return -ENOMEM;
    }
    if (!item->title)
        item->title = strdup(item->name);
    return item->title ? 0 : -ENOMEM;
}

int config_complete(struct config *config)
{
    int result = expand_wildcards(&config->portals);
    if (result == 0)
        result = expand_wildcards(&config->boot.http_listen);
    if (result == 0)
        result = expand_wildcards(&config->boot.tftp_listen);
    if (result == 0)
        result = expand_wildcards(&config->status.listen);
    for (unsigned i = 0; result == 0 && i < config->targets.count; i++) {
        number_luns(&config->targets.items[i]);
        result = name_target(&config->targets.items[i], i + 1);
    }
    for (unsigned i = 0; result == 0 && i < config->menu.items.count; i++)
        result = name_item(&config->menu.items.items[i], i + 1);
    return result;
}

/* ---------------------------------------------------------------- what may stand only once */

void claim_bytes(struct claims *claims, const void *bytes, size_t length, const void *object,
                 const char *key)
{
    if (claims->list.count == claims->capacity) {
        unsigned capacity = claims->capacity ? claims->capacity * 2 : 16;
        struct claim *grown = realloc(claims->list.items, capacity * sizeof *grown);
        if (!grown) {
            claims->failed = true;
            return;
        }
        claims->list.items = grown;
        claims->capacity = capacity;
    }
    claims->list.items[claims->list.count++] =
        (struct claim){.bytes = bytes, .length = length, .object = object, .key = key};
}

void claim_text(struct claims *claims, const char *text, const void *object, const char *key)
{
    if (!text || !*text)
        return;
    unsigned before = claims->list.count;
    claim_bytes(claims, text, strlen(text), object, key);
    if (claims->list.count > before)
        claims->list.items[before].text = text;
}

static int compare_bytes(const struct claim *a, const struct claim *b)
{
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return memcmp(a->bytes, b->bytes, a->length);
}

/* Equal ones stay in the order of the file, as far as one file goes. */
static int compare_claims(const void *one, const void *two)
{
    const struct claim *a = one, *b = two;
    const struct config_place *first = a->object, *second = b->object;
    int order = compare_bytes(a, b);
    if (order == 0)
        order = (first->line > second->line) - (first->line < second->line);
    return order ? order : (a->object > b->object) - (a->object < b->object);
}

void claims_check(struct claims *claims, struct reader *reader, const char *what,
                  const char *advice)
{
    if (claims->failed)
        errors_add(reader->errors, false, NULL, 0, "out of memory");
    if (claims->list.count)
        qsort(claims->list.items, claims->list.count, sizeof *claims->list.items, compare_claims);
    const struct claim *first = claims->list.items;
    for (unsigned i = 1; i < claims->list.count; i++) {
        const struct claim *claim = &claims->list.items[i];
        if (compare_bytes(first, claim) != 0) {
            first = claim;
            continue;
        }
        const struct config_place *place = first->object;
        char where[64] = "";
        if (place->line)
            snprintf(where, sizeof where, ", first in the group of line %u", place->line);
        reader_report(reader, false, claim->object, claim->key, "%s %s%sis given twice%s; %s", what,
                      claim->text ? escaped(claim->text) : "", claim->text ? " " : "", where,
                      advice);
    }
    free(claims->list.items);
    *claims = (struct claims){0};
}

/* ---------------------------------------------------------------- all of them */

void config_check(struct reader *reader)
{
    static void (*const checks[])(struct reader *) = {
        check_targets, check_auth, check_interfaces, check_clients, check_menu, check_listen,
    };
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
        checks[i](reader);
}
