/* boot.c - text of others in the menu: whatever a disk calls its systems, the script keeps its
 * lines and gets no setting to fill in. The same bytes as a record of remembered choices. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot/choices.h>

#include "leaving.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct boot_server server = {"192.0.2.1", 80, "/etc/netboot.conf"};

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;
    while ((text = strstr(text, part))) {
        found++;
        text += strlen(part);
    }
    return found;
}

static char *menu_of(const char *title, const char *problem)
{
    const struct boot_menu_entry entry = {.group = BOOT_MENU_KERNELS,
                                          .choice = "entry:a",
                                          .title = title,
                                          .problem = problem,
                                          .can_try = true};
    const struct boot_menu menu = {.target_name = title,
                                   .entries = &entry,
                                   .entry_count = 1,
                                   .selected = "entry:a",
                                   .note = problem};
    struct buffer out;
    buffer_init(&out, BOOT_SCRIPT_BYTES_LIMIT);
    boot_script_menu(&out, &server, &menu);
    check_leaving(out.data, out.length);
    if (!buffer_string(&out))
        buffer_clear(&out);
    return (char *)out.data;
}

static void write_menu(const char *text)
{
    static char *plain;
    if (!plain)
        plain = menu_of("a", "b");
    char *script = menu_of(text, text);
    if (!script || !plain)
        abort();
    if (*script &&
        (count(script, "\n") != count(plain, "\n") || count(script, "${") != count(plain, "${") ||
         count(script, "||") != count(plain, "||") || count(script, "&&") != count(plain, "&&")))
        abort();
    free(script);
}

static void remember(const char *text)
{
    struct boot_choices *choices = boot_choices_new(text), *again;
    struct buffer first, second;
    if (!choices)
        return;
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    (void)boot_choices_set(choices, "52-54-00-ab-cd-ef", text);
    boot_choices_write(&first, choices);
    again = buffer_string(&first) ? boot_choices_new((char *)first.data) : NULL;
    if (!again)
        abort();
    boot_choices_write(&second, again);
    if (!buffer_string(&second) || strcmp((char *)first.data, (char *)second.data) != 0)
        abort();
    buffer_done(&first);
    buffer_done(&second);
    boot_choices_free(choices);
    boot_choices_free(again);
}

static void ask(const char *text)
{
    struct boot_client client;
    char key[BOOT_CLIENT_KEY_BYTES];
    boot_client_read(&client, text, text, text);
    boot_client_read_machine(&client, text);
    boot_client_key(&client, key);
    if (strlen(key) != (client.has_mac ? 17u : client.has_uuid ? 32u : 0u))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    write_menu(text);
    remember(text);
    ask(text);
    free(text);
    return 0;
}
