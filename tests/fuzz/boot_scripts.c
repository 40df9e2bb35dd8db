/*
 * boot_scripts.c - who boots what, and every script there is, with names, secrets and titles out of
 * the input: its first four bytes are switches, each line after them is one string. Whatever a
 * string holds, a script keeps its lines, and nobody gets a disk that is not for them.
 */
#include <stdlib.h>
#include <string.h>

#include <netboot-target/boot.h>
#include <netboot-target/boot/setup.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/bytes.h>

#include "leaving.h"

#define STRINGS      16u
#define PLAIN        "a"
#define SWITCH_BYTES 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct boot_server server = {"192.0.2.1", 80, "/etc/netboot.conf"};

struct input {
    uint32_t switches;
    unsigned used; /* of the switches */
    const char *strings[STRINGS];
};

static bool flip(struct input *input)
{
    return input->switches >> (input->used++ & 31) & 1;
}

static const char *maybe(struct input *input, unsigned index)
{
    return flip(input) ? input->strings[index] : NULL;
}

/* ── decisions ───────────────────────────────────────────────────────────────────────────────── */

static bool is_for_everybody(const struct boot_target *target)
{
    for (unsigned i = 0; i < target->lun_count; i++)
        if (!target->luns[i].read_only)
            return false;
    return !target->needs_secret;
}

static void check_start(const struct boot_decision *decision, bool authenticated)
{
    if (decision->verdict != BOOT_START)
        return;
    if (!decision->target ||
        !(authenticated || decision->target->open || is_for_everybody(decision->target) ||
          (decision->rule && decision->rule->open)))
        abort();
}

static void decide(struct input input, const struct boot_client *client,
                   struct boot_decision *ret_decision)
{
    static struct boot_lun luns[4];
    static struct boot_target targets[2];
    static struct boot_rule rules[2];
    for (unsigned i = 0; i < ARRAY_SIZE(luns); i++)
        luns[i] = (struct boot_lun){i, flip(&input), flip(&input)};
    for (unsigned i = 0; i < ARRAY_SIZE(targets); i++)
        targets[i] = (struct boot_target){.name = input.strings[i],
                                          .ready = flip(&input),
                                          .open = flip(&input),
                                          .needs_secret = flip(&input),
                                          .luns = luns + 2 * i,
                                          .lun_count = 2};
    for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
        rules[i] = (struct boot_rule){.has_mac = flip(&input),
                                      .serial = input.strings[5],
                                      .target = maybe(&input, 2 + i),
                                      .open = flip(&input),
                                      .menu = flip(&input),
                                      .own_image = flip(&input)};
        memcpy(rules[i].mac, client->mac, sizeof rules[i].mac);
    }
    const struct boot_policy policy = {.serving = flip(&input) || flip(&input),
                                       .rules = rules,
                                       .rule_count = flip(&input) ? 2 : 0,
                                       .targets = targets,
                                       .target_count = flip(&input) || flip(&input) ? 2 : 0};
    bool authenticated = flip(&input);
    unsigned lun = flip(&input);
    boot_decide_other(&policy, client, input.strings[4], flip(&input) ? &lun : NULL, authenticated,
                      ret_decision);
    check_start(ret_decision, authenticated);
    boot_decide(&policy, client, authenticated, ret_decision);
    check_start(ret_decision, authenticated);
    if (!boot_reason_text(ret_decision->reason))
        abort();
}

/* ── scripts ─────────────────────────────────────────────────────────────────────────────────── */

struct scripts {
    struct buffer out;
    bool refused; /* a name cannot stand in a script */
};

static void put_start(struct scripts *scripts, struct input input, const struct boot_client *client)
{
    const char *const *strings = input.strings;
    const struct boot_kernel kernel = {.path = "/kernel/0/vmlinuz",
                                       .initrd_paths = (const char *const[]){"/kernel/1/initrd"},
                                       .initrd_count = flip(&input),
                                       .command_line = strings[13]};
    const struct boot_start start = {.client = client,
                                     .target_name = strings[0],
                                     .portal_address = "192.0.2.1",
                                     .portal_port = 3260,
                                     .iqn = strings[6],
                                     .initiator = strings[7],
                                     .user = maybe(&input, 8),
                                     .secret = strings[9],
                                     .reverse_user = maybe(&input, 10),
                                     .reverse_secret = strings[11],
                                     .mask_gateway = flip(&input),
                                     .loaders = &strings[12],
                                     .loader_count = flip(&input),
                                     .only_these = flip(&input),
                                     .kernel = flip(&input) ? &kernel : NULL,
                                     .lines = (const char *const[]){"echo x"},
                                     .line_count = flip(&input),
                                     .menu = flip(&input),
                                     .key = flip(&input) ? "0123abcd" : NULL};
    struct error error;
    if (boot_script_start(&scripts->out, &server, &start, &error))
        scripts->refused = true;
}

static void put_setup(struct scripts *scripts, struct input input)
{
    const struct boot_setup setup = {.version = "1.0",
                                     .server = "192.0.2.1",
                                     .port = 3260,
                                     .iqn = input.strings[6],
                                     .initiator = maybe(&input, 7),
                                     .user = maybe(&input, 8),
                                     .secret = maybe(&input, 9),
                                     .target_user = maybe(&input, 10),
                                     .target_secret = maybe(&input, 11)};
    struct error error;
    for (unsigned i = 0; boot_setup_name(i); i++)
        if (boot_setup_script(&scripts->out, boot_setup_name(i), &setup, &error))
            scripts->refused = true;
}

static void put_all(struct scripts *scripts, const struct input *input,
                    const struct boot_client *client, const struct boot_decision *decision)
{
    struct buffer *out = &scripts->out;
    buffer_init(out, 1 << 20);
    boot_url(out, &server);
    boot_script_entry(out, &server);
    boot_script_login(out, &server, client, decision);
    boot_script_stop(out, &server, client, decision, input->strings[14]);
    boot_script_lines(out, &server, input->strings[15], (const char *const[]){"echo x"}, 1, NULL);
    boot_script_to_menu(out, &server, input->strings[14], NULL);
    put_start(scripts, *input, client);
    put_setup(scripts, *input);
}

static unsigned count_lines(const struct buffer *out)
{
    unsigned lines = 0;
    check_leaving(out->data, out->length);
    for (size_t i = 0; i < out->length; i++)
        lines += out->data[i] == '\n';
    return lines;
}

static void compare(const struct input *input, const struct boot_client *client)
{
    struct input plain = {.switches = input->switches};
    struct scripts given = {0}, expected = {0};
    struct boot_decision decision;
    for (unsigned i = 0; i < STRINGS; i++)
        plain.strings[i] = PLAIN;
    plain.strings[6] = "iqn.2026-11.local.x:y";
    decide(*input, client, &decision);
    put_all(&given, input, client, &decision);
    put_all(&expected, &plain, client, &decision);
    if (!given.refused && !expected.refused && !given.out.failed &&
        count_lines(&given.out) != count_lines(&expected.out))
        abort();
    buffer_done(&given.out);
    buffer_done(&expected.out);
}

static void look_up_architectures(uint16_t code)
{
    const struct boot_architecture *architecture = boot_architecture_find(code);
    struct error text;
    if (architecture)
        boot_missing_file_text(&text, architecture, "x.efi", "/usr/lib/ipxe");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {0};
    if (size < SWITCH_BYTES)
        return 0;
    input.switches = load_be32(data);
    char *text = calloc(1, size - SWITCH_BYTES + 1), *rest = text;
    if (!text)
        return 0;
    memcpy(text, data + SWITCH_BYTES, size - SWITCH_BYTES);
    for (unsigned i = 0; i < STRINGS; i++) {
        input.strings[i] = rest ? strsep(&rest, "\n") : "";
        if (!*input.strings[i])
            input.strings[i] = PLAIN;
    }
    struct boot_client client;
    char initiator[BOOT_INITIATOR_BYTES];
    boot_client_read(&client, input.strings[3], input.strings[4], input.strings[5]);
    boot_client_read_machine(&client, input.strings[2]);
    if (!boot_initiator_name(input.strings[7], &client, initiator) &&
        strlen(initiator) >= sizeof initiator)
        abort();
    look_up_architectures((uint16_t)input.switches);
    compare(&input, &client);
    free(text);
    return 0;
}
