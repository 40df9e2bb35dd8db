/* root.c - the root= of a kernel line that names its disk as only its own machine does. */
#include <string.h>

#include <netboot-target/loader.h>
#include <netboot-target/util/array.h>

#include "text.h"

#define NUMBER_DIGITS 4u /* of a partition's number */

/* Digits up to the end; none of them: 0. False: it is no number. */
static bool read_number(struct text digits, unsigned *ret_number)
{
    unsigned number = 0;
    if (digits.length > NUMBER_DIGITS)
        return false;
    for (size_t i = 0; i < digits.length; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return false;
        number = number * 10 + (unsigned)(digits.at[i] - '0');
    }
    *ret_number = number;
    return true;
}

static struct text without(struct text text, size_t length)
{
    return (struct text){.at = text.at + length, .length = text.length - length};
}

static size_t count_of(struct text text, const char *set)
{
    size_t length = 0;
    while (length < text.length && text.at[length] && strchr(set, text.at[length]))
        length++;
    return length;
}

/* "sda2" */
static bool read_lettered(struct text name, unsigned *ret_number)
{
    size_t letters = count_of(name, "abcdefghijklmnopqrstuvwxyz");
    return letters > 0 && read_number(without(name, letters), ret_number);
}

/* "nvme0n1p2", "mmcblk0p2" */
static bool read_numbered(struct text name, unsigned *ret_number)
{
    size_t disk = count_of(name, "0123456789n");
    name = without(name, disk);
    if (!disk || (name.length && name.at[0] != 'p') || name.length == 1)
        return false;
    return read_number(name.length ? without(name, 1) : name, ret_number);
}

static bool read_node(struct text word, unsigned *ret_number)
{
    static const struct {
        const char *start;
        bool (*read)(struct text name, unsigned *ret_number);
    } kinds[] = {
        {"root=/dev/sd",     read_lettered},
        {"root=/dev/hd",     read_lettered},
        {"root=/dev/vd",     read_lettered},
        {"root=/dev/xvd",    read_lettered},
        {"root=/dev/nvme",   read_numbered},
        {"root=/dev/mmcblk", read_numbered},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (text_begins(word, kinds[i].start))
            return kinds[i].read(without(word, strlen(kinds[i].start)), ret_number);
    return false;
}

bool loader_find_root_node(struct loader_root_node *ret_node, const char *options)
{
    struct text rest = {.at = options, .length = strlen(options)}, word;
    bool found = false;
    while (text_next_word(&rest, &word)) {
        if (!text_begins(word, "root="))
            continue;
        *ret_node =
            (struct loader_root_node){.offset = (size_t)(word.at - options), .length = word.length};
        found = read_node(word, &ret_node->partition);
    }
    return found;
}
