/*
 * main_discover.c - netboot-target-discover: started by netboot-target for each look at a disk, and
 * by nobody else. It answers on descriptor 3 (src/server/discovery_helper.h).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netboot-target/discover.h>
#include <netboot-target/util/array.h>

#define SOCKET 3

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "netboot-target-discover - finds what can be booted from a disk, for netboot-target alone\n"
    "\n"
    "  netboot-target-discover [OPTION ...] DISK 3<>SOCKET\n"
    "\n"
    "  --memory=BYTES --time=MS   limits\n"
    "  --partition=TAG --path=FOLDER --cmdline=WORDS --initramfs=KIND   kernels of the target\n"
    "  --known=SHA256:BYTES       a file that need not be sent; repeatable\n"
    "  --without-landlock         go on where the kernel has none\n";

struct arguments {
    struct discover_options options;
    struct discover_known known[BOOT_CATALOG_FILES_LIMIT];
};

static bool take_known(struct arguments *arguments, const char *text)
{
    struct discover_options *options = &arguments->options;
    if (options->known_count == ARRAY_SIZE(arguments->known) || strlen(text) < 66 ||
        text[64] != ':')
        return false;
    struct discover_known *known = &arguments->known[options->known_count++];
    for (unsigned i = 0; i < sizeof known->sha256; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1]};
        known->sha256[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    known->bytes = strtoull(text + 65, NULL, 10);
    return true;
}

static bool take_initramfs(struct discover_options *options, const char *word)
{
    static const char *const words[BOOT_INITRAMFS_COUNT] = {
        [BOOT_INITRAMFS_UNKNOWN] = "auto",
        [BOOT_INITRAMFS_DRACUT] = "dracut",
        [BOOT_INITRAMFS_TOOLS] = "initramfs-tools",
        [BOOT_INITRAMFS_MKINITCPIO] = "mkinitcpio",
    };
    for (unsigned i = 0; i < BOOT_INITRAMFS_COUNT; i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        options->initramfs = (enum boot_initramfs)i;
        return true;
    }
    return false;
}

static bool take_option(struct arguments *arguments, int option)
{
    struct discover_options *options = &arguments->options;
    switch (option) {
    case 'm':
        options->memory_bytes = strtoull(optarg, NULL, 10);
        return true;
    case 't':
        options->time_ms = strtoull(optarg, NULL, 10);
        return true;
    case 'p':
        options->partition = optarg;
        return true;
    case 'f':
        options->path = optarg;
        return true;
    case 'c':
        options->cmdline = optarg;
        return true;
    case 'i':
        return take_initramfs(options, optarg);
    case 'k':
        return take_known(arguments, optarg);
    case 'w':
        options->without_landlock = true;
        return true;
    default:
        return false;
    }
}

static bool parse(int count, char **words, struct arguments *arguments)
{
    static const struct option options[] = {
        {"memory",           required_argument, NULL, 'm'},
        {"time",             required_argument, NULL, 't'},
        {"partition",        required_argument, NULL, 'p'},
        {"path",             required_argument, NULL, 'f'},
        {"cmdline",          required_argument, NULL, 'c'},
        {"initramfs",        required_argument, NULL, 'i'},
        {"known",            required_argument, NULL, 'k'},
        {"without-landlock", no_argument,       NULL, 'w'},
        {NULL,               0,                 NULL, 0  },
    };
    int option;
    while ((option = getopt_long(count, words, "", options, NULL)) != -1)
        if (!take_option(arguments, option))
            return false;
    arguments->options.disk = words[optind];
    return optind + 1 == count && words[optind][0] == '/';
}

static void tell(const struct error *error)
{
    char packet[1 + ERROR_TEXT_BYTES];
    int length = snprintf(packet, sizeof packet, "E%s", error->text);
    if (send(SOCKET, packet, (size_t)length, MSG_NOSIGNAL) < 0)
        fprintf(stderr, "netboot-target-discover: %s\n", error->text);
}

int main(int count, char **words)
{
    static struct arguments arguments = {
        .options = {.socket = SOCKET, .memory_bytes = 512u << 20, .time_ms = 60000}
    };
    struct error error;
    arguments.options.known = arguments.known;
    if (!parse(count, words, &arguments)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    close_range(SOCKET + 1, ~0u, 0); /* whatever the daemon has open is not for a disk's bytes */
    int result = discover_confine(&arguments.options, &error);
    if (!result)
        result = discover_run(&arguments.options, &error);
    if (result)
        tell(&error);
    _exit(result ? EXIT_FAILURE : EXIT_SUCCESS);
}
