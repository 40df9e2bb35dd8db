/*
 * command_line.c - the words with which an initramfs finds its disk over the network, in the place
 * of those that would keep it from it.
 *
 * dracut           dracut.cmdline(7): rd.iscsi.firmware, rd.iscsi.ibft, rd.neednet. No netroot=: a
 *                  released dracut takes the word behind it for the name of a server.
 * initramfs-tools  open-iscsi's script: iscsi_auto. No ip= and no ifname=: it would wait minutes
 * for an interface of that name. BOOTIF names the NIC to its own DHCP client. mkinitcpio       the
 * hook that setup/linux.sh installs listens to iscsi_auto as well.
 */
#include <errno.h>
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

static int put_dracut(struct line *line, const char *mac)
{
    static const char *const ibft[] = {"rd.iscsi.firmware=1", "rd.iscsi.ibft=1", "rd.neednet=1"};
    if (!line->rules->netroot)
        return put_all(line, ibft, ARRAY_SIZE(ibft));
    char netroot[512], interface[64], colons[18];
    put_mac(colons, mac);
    snprintf(netroot, sizeof netroot, "netroot=%s", line->rules->netroot);
    snprintf(interface, sizeof interface, "ifname=bootnet:%s", colons);
    const char *const words[] = {netroot, "rd.neednet=1", interface, "ip=bootnet:dhcp"};
    return put_all(line, words, ARRAY_SIZE(words));
}

static int put_tools(struct line *line, const char *mac)
{
    char interface[64];
    snprintf(interface, sizeof interface, "BOOTIF=01-%s", mac);
    const char *const words[] = {"iscsi_auto", interface};
    return put_all(line, words, ARRAY_SIZE(words));
}

/* What an unknown one does not know it ignores. */
static int put_unknown(struct line *line, const char *mac)
{
    int result = put_dracut(line, mac);
    return result ? result : put_own(line, "iscsi_auto");
}

static int put_line(struct line *line, const struct boot_entry *entry, const char *mac)
{
    static int (*const generators[BOOT_INITRAMFS_COUNT])(struct line * line, const char *mac) = {
        [BOOT_INITRAMFS_UNKNOWN] = put_unknown,
        [BOOT_INITRAMFS_DRACUT] = put_dracut,
        [BOOT_INITRAMFS_TOOLS] = put_tools,
        [BOOT_INITRAMFS_MKINITCPIO] = put_tools,
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
