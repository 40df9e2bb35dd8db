/*
 * words.h - how values get into an iPXE script. A line is split at blanks before ${…} is filled in,
 * nothing can be quoted, and what a value holds is filled in again. So:
 *
 *   names  are of letters, digits and a few signs, and are refused otherwise;
 *   values go as a setting of type uristring, where every other byte is a %XX;
 *   text   for the screen loses what could end a command or begin ${…}.
 */
#pragma once
#include <netboot-target/boot.h>

/* An iSCSI name, an address: [A-Za-z0-9.:_-], 1 to 223. */
bool boot_word_is_name(const char *word);
/* A file on the EFI system partition: a name, or with \ and / inside it; no \ at the end, where it
 * would join lines. */
bool boot_word_is_path(const char *word);

/* The path of a URL of ours: letters, digits and / . _ - ~ */
bool boot_word_is_url_path(const char *path);

/* "set username:uristring p%24ss\n" */
void boot_put_setting(struct buffer *out, const char *setting, const char *value);
/* Text of others: $ # & | ; \ and all that is not printable ASCII becomes "?". */
void boot_put_text(struct buffer *out, const char *text);
/* The client's MAC as "52:54:00:ab:cd:ef"; where it told none, what makes iPXE fill it in. */
void boot_put_mac(struct buffer *out, const struct boot_client *client);
/* Host of a URL or an iSCSI URI: IPv6 in brackets. */
void boot_put_host(struct buffer *out, const char *host);
