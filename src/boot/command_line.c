/*
 * command_line.c - the words with which an initramfs finds its disk over the network, in the place
 * of those that would keep it from it.
 *
 * dracut           dracut.cmdline(7): rd.iscsi.firmware, rd.iscsi.ibft, rd.neednet. No netroot=: a
 *                  released dracut takes the word behind it for the name of a server.
 * initramfs-tools  open-iscsi's script: iscsi_auto. No ip= and no ifname=: it would wait minutes
 *                  for an interface of that name. BOOTIF names the NIC to its own DHCP client.
 * mkinitcpio       the hook that setup/linux.sh installs needs no word: it takes the iBFT where
 *                  there is one. It gets those of initramfs-tools, for other hooks.
 *
 * In words instead of by the iBFT (`netroot`): dracut takes the initiator's name from
 * rd.iscsi.initiator, open-iscsi's script all of it from iscsi_…=; without the name the system
 * would come as somebody else than iPXE did, and the disk has an owner.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <netboot-target/boot/catalog.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/escape.h>

/* Words of the disk's own line that break a boot over the network. A "." or "=" at the end stands
 * for everything that begins so; other rows are whole words or names of "name=value". */
static const char *const breaking[] = {
    "BOOT_IMAGE",
    "initrd",
    "resume",
    "resume_offset",
    "noresume",
    "hibernate",
    "BOOTIF",
    "netroot",
    "ip",
    "ifname",
    "nameserver",
    "bootdev",
    "rd.neednet",
    "rd.iscsi.",
    "rd.bootif",
    "rd.live.",
    "iscsi_auto",
    "iscsi_initiator",
    "iscsi_target_name",
    "iscsi_target_ip",
    "iscsi_target_port",
    "iscsi_target_group",
    "iscsi_username",
    "iscsi_password",
    "iscsi_in_username",
    "iscsi_in_password",
};

static const char *const quieting[] = {"quiet", "splash", "rhgb"};

/* The disk is on the network: a machine that sleeps or hibernates loses it. */
static const char *const always[] = {
    "noresume",
    "systemd.mask=sleep.target",
    "systemd.mask=suspend.target",
    "systemd.mask=hibernate.target",
    "systemd.mask=hybrid-sleep.target",
    "systemd.mask=suspend-then-hibernate.target",
};

#define VALUE_BYTES 512u /* of one word of ours */

struct word {
    const char *text;
    size_t length;
};

/* The next word of a kernel command line; blanks inside of "…" belong to it. False: none is left.
 */
static bool next_word(const char **line, struct word *ret_word)
{
    const char *at = *line + strspn(*line, " \t\n\r");
    bool is_quoted = false;
    size_t length = 0;
    for (; at[length] && (is_quoted || !strchr(" \t\n\r", at[length])); length++)
        is_quoted ^= at[length] == '"';
    *line = at + length;
    *ret_word = (struct word){.text = at, .length = length};
    return length > 0;
}

static bool word_is(const struct word *word, const char *text)
{
    return word->length == strlen(text) && !memcmp(word->text, text, word->length);
}

/* "name" takes name and name=… , "name=value" that word, "name." all that begins so. */
static bool word_matches(const struct word *word, const char *pattern)
{
    size_t length = strlen(pattern);
    if (!length || word->length < length || memcmp(word->text, pattern, length) != 0)
        return false;
    return word->length == length || word->text[length] == '=' || pattern[length - 1] == '.';
}

static bool word_is_any_of(const struct word *word, const char *const *patterns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (word_matches(word, patterns[i]))
            return true;
    return false;
}

/*
 * What iPXE would not pass on as it is: it fills in ${…}, ends a command at a word that is ; || or
 * &&, begins a comment with a #, joins lines at a \. Its scripts are ASCII.
 */
static const char *why_not_in_script(const struct word *word)
{
    for (size_t i = 0; i < word->length; i++) {
        if ((word->text[i] < ' ' && word->text[i] != '\t') || word->text[i] > '~')
            return "a byte that is no printable ASCII";
        if (word->text[i] == '$' && i + 1 < word->length && word->text[i + 1] == '{')
            return "${, which iPXE would fill in";
        if (word->text[i] == '\\' && (i + 1 == word->length || word->text[i + 1] == ' '))
            return "a \\ at the end of a word";
    }
    struct word part;
    struct word rest = *word;
    while (rest.length) { /* iPXE splits what is quoted too */
        size_t length = 0;
        while (length < rest.length && !strchr(" \t", rest.text[length]))
            length++;
        part = (struct word){.text = rest.text, .length = length};
        if (word_is(&part, ";") || word_is(&part, "||") || word_is(&part, "&&") ||
            (part.length && part.text[0] == '#'))
            return "a word that ends a command of iPXE";
        length += length < rest.length;
        rest.text += length;
        rest.length -= length;
    }
    return NULL;
}

struct line {
    struct buffer *out;
    size_t start;
    const struct boot_command_line_rules *rules;
    struct error *error;
};

static int put_word(struct line *line, const struct word *word)
{
    const char *why = why_not_in_script(word);
    if (why) {
        char text[200];
        escape_text(text, sizeof text, word->text, word->length);
        return error_set(line->error, -EINVAL,
                         "the kernel's command line cannot stand in a script: %s holds %s", text,
                         why);
    }
    if (line->out->length > line->start)
        buffer_append_string(line->out, " ");
    buffer_append(line->out, word->text, word->length);
    return 0;
}

static bool is_removed(const struct line *line, const struct word *word)
{
    const struct boot_command_line_rules *rules = line->rules;
    return word_is_any_of(word, rules->remove, rules->remove_count);
}

static int put_own(struct line *line, const char *text)
{
    struct word word = {.text = text, .length = strlen(text)};
    return is_removed(line, &word) ? 0 : put_word(line, &word);
}

/* The disk's own words without those that break or that nobody wants; up to "--", behind which are
 * words for init. */
static int put_options(struct line *line, const char **options)
{
    struct word word;
    int result = 0;
    while (!result && next_word(options, &word) && !word_is(&word, "--")) {
        if (word_is_any_of(&word, breaking, ARRAY_SIZE(breaking)) ||
            word_is_any_of(&word, always, ARRAY_SIZE(always)) || is_removed(line, &word) ||
            (!line->rules->keep_quiet && word_is_any_of(&word, quieting, ARRAY_SIZE(quieting))))
            continue;
        result = put_word(line, &word);
    }
    return result;
}

static int put_all(struct line *line, const char *const *words, size_t count)
{
    int result = 0;
    for (size_t i = 0; !result && i < count; i++)
        result = put_own(line, words[i]);
    return result;
}

/* Hyphens to colons, as dracut writes it. */
static void put_mac(char to[static 18], const char *mac)
{
    size_t i = 0;
    for (; i < 17 && mac[i]; i++)
        to[i] = mac[i] == '-' ? ':' : mac[i];
    to[i] = '\0';
}

/* "NAME=VALUE"; nothing where there is no value. */
static int put_value(struct line *line, const char *name, const char *value, size_t length)
{
    char word[VALUE_BYTES];
    if (!length)
        return 0;
    if ((size_t)snprintf(word, sizeof word, "%s=%.*s", name, (int)length, value) >= sizeof word)
        return error_set(line->error, -E2BIG, "%s of the kernel's command line is too long", name);
    return put_own(line, word);
}

static int put_initiator(struct line *line, const char *name)
{
    const char *initiator = line->rules->initiator;
    return initiator ? put_value(line, name, initiator, strlen(initiator)) : 0;
}

static int put_dracut(struct line *line, const char *mac)
{
    static const char *const ibft[] = {"rd.iscsi.firmware=1", "rd.iscsi.ibft=1", "rd.neednet=1"};
    const char *netroot = line->rules->netroot;
    if (!netroot)
        return put_all(line, ibft, ARRAY_SIZE(ibft));
    char interface[64], colons[18];
    put_mac(colons, mac);
    snprintf(interface, sizeof interface, "ifname=bootnet:%s", colons);
    const char *const words[] = {"rd.neednet=1", interface, "ip=bootnet:dhcp"};
    int result = put_value(line, "netroot", netroot, strlen(netroot));
    if (!result)
        result = put_initiator(line, "rd.iscsi.initiator");
    return result ? result : put_all(line, words, ARRAY_SIZE(words));
}

/* dracut.cmdline(7): iscsi:[USER:SECRET[:USER:SECRET]@]SERVER:PROTOCOL:PORT:LUN:TARGET, an IPv6
 * address in brackets. */
struct netroot {
    struct word credentials[4]; /* ours, then the target's */
    struct word server, protocol, port, lun;
    const char *target;
};

/* The part up to a colon, and behind it. False: there is no colon. */
static bool next_part(const char **at, struct word *ret_part)
{
    const char *start = *at;
    const char *end = strchr(*start == '[' ? start + strcspn(start, "]") : start, ':');
    if (!end)
        return false;
    *ret_part = (struct word){.text = start, .length = (size_t)(end - start)};
    if (*start == '[' && ret_part->length > 2) /* and without brackets */
        *ret_part = (struct word){.text = start + 1, .length = ret_part->length - 2};
    *at = end + 1;
    return true;
}

static bool read_credentials(struct netroot *to, const char *text, const char *end)
{
    for (size_t i = 0; i < ARRAY_SIZE(to->credentials); i++) {
        size_t length = 0;
        while (text + length < end && text[length] != ':')
            length++;
        to->credentials[i] = (struct word){.text = text, .length = length};
        text += length;
        if (text == end)
            return i == 1 || i == 3;
        text++;
    }
    return false;
}

static bool read_netroot(struct netroot *to, const char *text)
{
    static const char scheme[] = "iscsi:";
    *to = (struct netroot){0};
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *at = text + sizeof scheme - 1;
    const char *credentials_end = strrchr(at, '@');
    if (credentials_end && credentials_end > at && !read_credentials(to, at, credentials_end))
        return false;
    at = credentials_end ? credentials_end + 1 : at;
    bool is_all = next_part(&at, &to->server) && next_part(&at, &to->protocol) &&
                  next_part(&at, &to->port) && next_part(&at, &to->lun);
    to->target = at;
    return is_all && to->server.length && strspn(at, ":") == 0 && strlen(at) > 4;
}

/* open-iscsi's script for initramfs-tools (local-top/iscsi). */
static int put_target(struct line *line)
{
    static const char *const credentials[] = {"iscsi_username", "iscsi_password",
                                              "iscsi_in_username", "iscsi_in_password"};
    struct netroot netroot;
    if (!read_netroot(&netroot, line->rules->netroot))
        return error_set(line->error, -EINVAL,
                         "kernels.netroot cannot be told to this initramfs: it is not "
                         "iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET");
    int result = put_initiator(line, "iscsi_initiator");
    if (!result)
        result = put_value(line, "iscsi_target_name", netroot.target, strlen(netroot.target));
    if (!result)
        result = put_value(line, "iscsi_target_ip", netroot.server.text, netroot.server.length);
    if (!result)
        result = put_value(line, "iscsi_target_port", netroot.port.text, netroot.port.length);
    for (size_t i = 0; !result && i < ARRAY_SIZE(credentials); i++)
        result = put_value(line, credentials[i], netroot.credentials[i].text,
                           netroot.credentials[i].length);
    return result;
}

static int put_tools(struct line *line, const char *mac)
{
    char interface[64];
    snprintf(interface, sizeof interface, "BOOTIF=01-%s", mac);
    int result = line->rules->netroot ? put_target(line) : put_own(line, "iscsi_auto");
    return result ? result : put_own(line, interface);
}

static int put_mkinitcpio(struct line *line, const char *mac)
{
    if (line->rules->netroot)
        return error_set(
            line->error, -EINVAL,
            "kernels.netroot cannot be told to this initramfs: mkinitcpio's hook finds "
            "the disk by the iBFT alone");
    return put_tools(line, mac);
}

/* What an unknown one does not know it ignores. */
static int put_unknown(struct line *line, const char *mac)
{
    int result = put_dracut(line, mac);
    if (result)
        return result;
    return line->rules->netroot ? put_target(line) : put_own(line, "iscsi_auto");
}

static int put_line(struct line *line, const struct boot_entry *entry, const char *mac)
{
    static int (*const generators[BOOT_INITRAMFS_COUNT])(struct line * line, const char *mac) = {
        [BOOT_INITRAMFS_UNKNOWN] = put_unknown,
        [BOOT_INITRAMFS_DRACUT] = put_dracut,
        [BOOT_INITRAMFS_TOOLS] = put_tools,
        [BOOT_INITRAMFS_MKINITCPIO] = put_mkinitcpio,
    };
    const char *options = entry->options;
    const char *more = line->rules->append ? line->rules->append : "";
    struct word word;
    int result = put_options(line, &options);
    if (!result)
        result = generators[entry->initramfs](line, mac);
    if (!result)
        result = put_all(line, always, ARRAY_SIZE(always));
    while (!result && next_word(&more, &word))
        result = put_word(line, &word);
    bool is_first = true;
    while (!result && next_word(&options, &word)) {
        if (is_first)
            buffer_append_string(line->out, " --");
        is_first = false;
        result = put_word(line, &word);
    }
    return result;
}

int boot_command_line(struct buffer *out, const struct boot_entry *entry, const char *mac,
                      const struct boot_command_line_rules *rules, struct error *error)
{
    struct line line = {.out = out, .start = out->length, .rules = rules, .error = error};
    int result = put_line(&line, entry, mac);
    size_t length = out->length - line.start;
    if (!result && (out->failed || length >= BOOT_COMMAND_LINE_BYTES))
        result = error_set(error, -E2BIG,
                           "the kernel's command line has %zu bytes and a kernel takes %u: shorten "
                           "the disk's own, or take words away by cmdline-remove",
                           length, BOOT_COMMAND_LINE_BYTES - 1);
    if (result)
        out->length = line.start;
    return result;
}
