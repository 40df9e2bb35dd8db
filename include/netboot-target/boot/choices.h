/*
 * choices.h - what each client started last, as one small text. Pure: whoever calls it keeps the
 * text. Bounded: the one who chose longest ago makes room for a new one.
 */
#pragma once
#include <stdbool.h>

#include <netboot-target/boot.h>
#include <netboot-target/boot/catalog.h>

#define BOOT_CHOICES_LIMIT    1024u
#define BOOT_CLIENT_KEY_BYTES 40u

/* Its MAC as 52-54-00-ab-cd-ef, else its UUID; "" when it told neither. */
void boot_client_key(const struct boot_client *client, char ret_key[BOOT_CLIENT_KEY_BYTES]);

struct boot_choices;

/* From a text of before; lines that cannot be read are left out. NULL: out of memory. */
struct boot_choices *boot_choices_new(const char *text);
void boot_choices_free(struct boot_choices *choices);
/* NULL: none is known. */
const char *boot_choices_get(const struct boot_choices *choices, const char *key);
/* Returns whether the text has changed. A key of "" and a choice that is none are not kept. */
bool boot_choices_set(struct boot_choices *choices, const char *key, const char *choice);
/* Appends the text: "KEY CHOICE" lines, the last one to choose first. */
void boot_choices_write(struct buffer *out, const struct boot_choices *choices);

/* ── what a catalog offers ───────────────────────────────────────────────────────────────────── */

/* Whether this machine (an enum boot_machine bit, 0: not known) can start it. */
bool boot_entry_fits(const struct boot_entry *entry, unsigned machine);
/* What this machine's firmware might start of the disk by itself: a loader or boot code. */
bool boot_entry_starts_disk(const struct boot_entry *entry, unsigned machine);
/* A loader's path that a script can name: of letters, digits and . : _ - / \ */
bool boot_loader_is_nameable(const char *path);
/* Its files are in memory, or a script can name it, so that a person may insist in spite of its
 * problem. */
bool boot_entry_is_whole(const struct boot_catalog *catalog, const struct boot_entry *entry);

/*
 * The choice that an unattended boot takes, by `menu.default`: "disk", "kernel" or a choice. What
 * is not there, or has a problem, gives way: a disk that is not prepared to a kernel that is, a
 * kernel to the disk. `catalog` NULL: nothing is known of the disk.
 */
void boot_choice_default(const char *wanted, const struct boot_catalog *catalog, unsigned machine,
                         char ret_choice[BOOT_CHOICE_BYTES]);
