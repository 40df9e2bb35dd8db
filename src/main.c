/* main.c - the command line and the exit codes: 0 done, 1 failed, 2 wrong usage. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <netboot-target/config.h>
#include <netboot-target/server.h>
#include <netboot-target/util/cleanup.h>

#define DEFAULT_CONFIG "/etc/netboot.conf"

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "netboot-target - boot a machine's disk on any other machine over a cable\n"
    "\n"
    "  netboot-target [-c FILE] [-t] [--log-level LEVEL]\n"
    "  netboot-target --export DEVICE ... [--open] [-t] [--log-level LEVEL]\n"
    "  netboot-target --doctor [-c FILE | --export DEVICE ...]\n"
    "\n"
    "  -c, --config FILE   what to serve (default " DEFAULT_CONFIG ")\n"
    "  -t, --test          check the configuration and end\n"
    "      --doctor        look at this machine: what would stop a boot?\n"
    "      --export DEVICE serve this disk without a configuration file; repeatable\n"
    "      --open          let every machine use and boot it, without a secret\n"
    "      --log-level LEVEL  error, warning, notice, info or debug\n"
    "      --help          this text; --help=config lists every key of the file\n"
    "      --version       the version\n";

struct command_line {
    struct server_options server;
    char **devices; /* what server.export_devices points to */
    bool test;
    bool doctor;
    bool help;
    bool help_config;
    bool version;
};

static int complain(const char *text, const char *about)
{
    fprintf(stderr, "netboot-target: %s%s%s; see netboot-target --help\n", text, about ? " " : "",
            about ? about : "");
    return EXIT_USAGE;
}

static int take_option(struct command_line *line, int option)
{
    struct server_options *server = &line->server;
    switch (option) {
    case 'c':
        server->config_path = optarg;
        return 0;
    case 't':
        line->test = true;
        return 0;
    case 'd':
        line->doctor = true;
        return 0;
    case 'e':
        line->devices[server->export_count++] = optarg;
        return 0;
    case 'o':
        server->open = true;
        return 0;
    case 'l':
        server->log_level_set = true;
        return config_parse_log_level(optarg, &server->log_level)
                   ? complain("there is no log level", optarg)
                   : 0;
    case 'h':
        line->help = !optarg;
        line->help_config = optarg && strcmp(optarg, "config") == 0;
        return optarg && !line->help_config ? complain("there is no help about", optarg) : 0;
    case 'v':
        line->version = true;
        return 0;
    default: /* getopt has named it */
        return EXIT_USAGE;
    }
}

static int parse_command_line(int count, char **arguments, struct command_line *line)
{
    /* clang-format off */
    static const struct option options[] = {
        {"config",    required_argument, NULL, 'c'},
        {"test",      no_argument,       NULL, 't'},
        {"doctor",    no_argument,       NULL, 'd'},
        {"export",    required_argument, NULL, 'e'},
        {"open",      no_argument,       NULL, 'o'},
        {"log-level", required_argument, NULL, 'l'},
        {"help",      optional_argument, NULL, 'h'},
        {"version",   no_argument,       NULL, 'v'},
        {0},
    };
    /* clang-format on */
    int option;
    while ((option = getopt_long(count, arguments, "c:th", options, NULL)) != -1) {
        int result = take_option(line, option);
        if (result != 0)
            return result;
    }
    if (optind < count)
        return complain("there is no use for the argument", arguments[optind]);
    if (line->server.export_count && line->server.config_path)
        return complain("--export takes the place of a configuration file", NULL);
    if (line->server.open && !line->server.export_count)
        return complain("--open goes with --export", NULL);
    if (!line->server.export_count && !line->server.config_path)
        line->server.config_path = DEFAULT_CONFIG;
    return 0;
}

/* Nobody has written the default file yet. */
static bool lacks_config(const struct server_options *server)
{
    return server->config_path && strcmp(server->config_path, DEFAULT_CONFIG) == 0 &&
           access(DEFAULT_CONFIG, F_OK) != 0 && errno == ENOENT;
}

static int ask_for_config(void)
{
    fputs("netboot-target: there is no " DEFAULT_CONFIG " yet: write one (netboot.conf(5)), name "
          "another with -c, or serve a disk at once with --export\n",
          stderr);
    return EXIT_FAILURE;
}

/* NULL: it has errors. They are printed. */
static struct config *load_config(const struct server_options *server)
{
    struct config_errors errors = {0};
    struct config_options options = {.credentials_directory = getenv("CREDENTIALS_DIRECTORY")};
    struct config *config =
        server->export_count
            ? config_export(server->export_devices, server->export_count, server->open, &errors)
            : config_load(server->config_path, &options, &errors);
    config_errors_print(&errors, stderr);
    config_errors_done(&errors);
    return config;
}

static int test_config(const struct server_options *server)
{
    struct config *config = load_config(server);
    if (!config)
        return EXIT_FAILURE;
    printf("%s: ok\n", server->export_count ? "--export" : server->config_path);
    config_unref(config);
    return EXIT_SUCCESS;
}

/* A machine is looked at before anything is written down for it, too. */
static struct config *config_of_patient(const struct server_options *server)
{
    struct config_errors errors = {0};
    if (!lacks_config(server))
        return load_config(server);
    puts("there is no " DEFAULT_CONFIG " yet: only this machine is looked at\n");
    struct config *config = config_export(NULL, 0, false, &errors);
    config_errors_done(&errors);
    return config;
}

static int consult_doctor(const struct server_options *server)
{
    struct config *config = config_of_patient(server);
    if (!config)
        return EXIT_FAILURE;
    int result = server_doctor(config, stdout);
    config_unref(config);
    return result;
}

static int run(const struct command_line *line)
{
    if (line->help)
        fputs(usage, stdout);
    else if (line->help_config)
        config_print_help(stdout);
    else if (line->version)
        puts("netboot-target " NBT_VERSION);
    else if (line->doctor)
        return consult_doctor(&line->server);
    else if (lacks_config(&line->server))
        return ask_for_config();
    else if (line->test)
        return test_config(&line->server);
    else
        return server_run(&line->server);
    return EXIT_SUCCESS;
}

int main(int count, char **arguments)
{
    /* Secrets are in memory: no core dump, and no debugger of the same user. A core limit would not
     * stop a kernel that hands dumps to a program. */
    prctl(PR_SET_DUMPABLE, 0);
    _cleanup_free_ char **devices = calloc((size_t)count + 1, sizeof *devices);
    struct command_line line = {
        .server = {.export_devices = devices, .arguments = arguments},
          .devices = devices
    };
    if (!devices)
        return EXIT_FAILURE;
    int result = parse_command_line(count, arguments, &line);
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not know cleanup attributes
    return result ? result : run(&line);
}
