/* pages.h - pieces of pages that script.c and menu.c share. */
#pragma once
#include <netboot-target/boot.h>

/* The URL of a script of ours, with the key of who has logged in (NULL: nobody). */
void boot_put_menu_url(struct buffer *out, const struct boot_server *server, const char *path,
                       const char *key);
/* Host and port of our URLs. */
void boot_put_site(struct buffer *out, const struct boot_server *server);
/* A path with the query that says who the client is; iPXE fills it in. */
void boot_put_query(struct buffer *out, const char *path);
/* "The boot server does not answer: …" and what to check. */
void boot_put_no_answer(struct buffer *out, const struct boot_server *server);
/* What the administrator can do so that this machine boots. */
void boot_put_advice(struct buffer *out, const struct boot_server *server,
                     const struct boot_client *client, enum boot_reason reason);
