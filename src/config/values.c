/* values.c - any struct of the schema, handled by its table: freed and compared. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* A CONFIG_LIST is a typed pointer and a count; read through copies, so that no type is punned. */
struct list_shape {
    void *items;
    unsigned count;
};

struct any_list list_get(const void *value)
{
    struct list_shape shape;
    memcpy(&shape, value, sizeof shape);
    return (struct any_list){.items = shape.items, .count = shape.count};
}

void list_set(void *value, struct any_list list)
{
    struct list_shape shape = {.items = list.items, .count = list.count};
    memcpy(value, &shape, sizeof shape);
}

size_t key_element_size(const struct key *key)
{
    return key->section ? key->section->size : key->type->size;
}

static void element_done(const struct key *key, void *value)
{
    if (key->section)
        section_done(key->section, value);
    else if (key->type->done)
        key->type->done(value);
}

void section_done(const struct section *section, void *object)
{
    for (unsigned i = 0; i < section->count; i++) {
        const struct key *key = &section->keys[i];
        char *value = (char *)object + key->offset;
        if (!key->list) {
            element_done(key, value);
            continue;
        }
        struct any_list list = list_get(value);
        for (unsigned j = 0; j < list.count; j++)
            element_done(key, list.items + j * key_element_size(key));
        free(list.items);
        list_set(value, (struct any_list){NULL, 0});
    }
}

static bool element_same(const struct key *key, const void *one, const void *two)
{
    if (key->section)
        return section_same(key->section, one, two);
    if (key->type->same)
        return key->type->same(one, two);
    return memcmp(one, two, key->type->size) == 0;
}

bool key_same(const struct key *key, const void *one, const void *two)
{
    const char *a = (const char *)one + key->offset;
    const char *b = (const char *)two + key->offset;
    if (!key->list)
        return element_same(key, a, b);
    struct any_list first = list_get(a), second = list_get(b);
    if (first.count != second.count)
        return false;
    size_t size = key_element_size(key);
    for (unsigned i = 0; i < first.count; i++)
        if (!element_same(key, first.items + i * size, second.items + i * size))
            return false;
    return true;
}

bool section_same(const struct section *section, const void *one, const void *two)
{
    for (unsigned i = 0; i < section->count; i++)
        if (!key_same(&section->keys[i], one, two))
            return false;
    return true;
}

bool section_same_for_sessions(const struct section *section, const void *one, const void *two)
{
    for (unsigned i = 0; i < section->count; i++)
        if (!section->keys[i].live && !key_same(&section->keys[i], one, two))
            return false;
    return true;
}
