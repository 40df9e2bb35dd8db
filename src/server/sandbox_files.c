/* sandbox_files.c - see sandbox.h */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discovery_helper.h"
#include "sandbox.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/landlock.h>

#define READ     (LANDLOCK_READ | LANDLOCK_LIST)
#define PROGRAMS (READ | LANDLOCK_EXECUTE)
#define DISKS    (READ | LANDLOCK_WRITE | LANDLOCK_IOCTL)
#define STATE    (READ | LANDLOCK_WRITE | LANDLOCK_CHANGE)

struct rules {
    struct landlock landlock;
    int result; /* the first error */
};

static void allow(struct rules *rules, const char *path, uint64_t rights)
{
    int result = landlock_allow(&rules->landlock, path, rights);
    if (!rules->result)
        rules->result = result;
}

static void allow_folder_of(struct rules *rules, const char *path, uint64_t rights)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[1] = '\0';
    allow(rules, slash ? folder : ".", rights);
}

/* Where a link leads to. */
static void allow_real_folder_of(struct rules *rules, const char *path, uint64_t rights)
{
    char real[PATH_MAX];
    if (realpath(path, real))
        allow_folder_of(rules, real, rights);
}

static void allow_beside(struct rules *rules, const char *path, uint64_t rights)
{
    allow_folder_of(rules, path, rights);
    allow_real_folder_of(rules, path, rights);
}

/* ── what it needs ───────────────────────────────────────────────────────────────────────────── */

static void allow_system(struct rules *rules)
{
    static const struct {
        const char *path;
        uint64_t rights;
    } system[] = {
        {"/",                  LANDLOCK_LIST}, /* names, not what is in the files */
        {"/usr",               PROGRAMS     },
        {"/lib",               PROGRAMS     },
        {"/lib64",             PROGRAMS     },
        {"/bin",               PROGRAMS     },
        {"/sbin",              PROGRAMS     },
        {"/etc/ld.so.cache",   READ         },
        {"/etc/localtime",     READ         },
        {"/etc/machine-id",    READ         },
        {"/etc/nsswitch.conf", READ         },
        {"/etc/ssl",           READ         },
        {"/proc",              READ         },
        {"/sys",               READ         },
        {"/run",               READ         }, /* who manages an interface; credentials */
        {"/dev",               DISKS        }, /* they come late, and under other names */
    };
    for (size_t i = 0; i < ARRAY_SIZE(system); i++)
        allow(rules, system[i].path, system[i].rights);
}

/* With "%m": up to the first folder that has it in its name. */
static void cut_at_pattern(char *path)
{
    char *pattern = strstr(path, "%m");
    if (!pattern)
        return;
    *pattern = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        slash[1] = '\0';
}

/* What is not there yet may appear with a file system of its own, for which no rule can be made. */
static void allow_disk(void *context, const char *device)
{
    struct rules *rules = context;
    struct stat status;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", device);
    cut_at_pattern(path);
    if (stat(path, &status))
        allow(rules, sandbox_is_node(path) ? "/dev" : "/", DISKS);
    else if (S_ISDIR(status.st_mode))
        allow(rules, path, DISKS);
    else
        allow_beside(rules, path, DISKS);
}

static void allow_configured(struct rules *rules, const struct server_options *options,
                             const struct config *config)
{
    char helper[PATH_MAX];
    mkdir(config->state_directory, 0700); /* a rule needs what it is about */
    allow(rules, config->state_directory, STATE);
    allow(rules, config->boot.directory, READ);
    if (config->boot.custom_directory)
        allow(rules, config->boot.custom_directory, READ);
    if (options->config_path) {
        allow_beside(rules, options->config_path, READ);
        allow(rules, "/etc/netboot.d", READ);
    }
    discovery_helper_find(helper);
    allow(rules, helper, PROGRAMS);
    allow_real_folder_of(rules, "/proc/self/exe", PROGRAMS);
    sandbox_each_path(config, allow_disk, rules);
}

/* ── can the configuration be read again? ────────────────────────────────────────────────────── */

struct rehearsal {
    const struct landlock *landlock;
    const struct server_options *options;
    bool is_good;
};

static void *rehearse(void *context)
{
    struct rehearsal *rehearsal = context;
    struct config_errors errors = {0};
    const struct config_options options = {.credentials_directory =
                                               getenv("CREDENTIALS_DIRECTORY")};
    if (landlock_enter(rehearsal->landlock))
        return NULL;
    struct config *config = config_load(rehearsal->options->config_path, &options, &errors);
    rehearsal->is_good = config != NULL;
    config_unref(config);
    config_errors_done(&errors);
    return NULL;
}

/* Files with secrets, and included ones, may be anywhere. Landlock binds a thread: one that tries
 * it takes the rules along when it ends. */
static bool can_reload(const struct landlock *landlock, const struct server_options *options)
{
    struct rehearsal rehearsal = {.landlock = landlock, .options = options};
    pthread_t thread;
    if (!options->config_path)
        return true;
    if (pthread_create(&thread, NULL, rehearse, &rehearsal))
        return false;
    pthread_join(thread, NULL);
    return rehearsal.is_good;
}

int sandbox_give_up_files(const struct server_options *options, const struct config *config)
{
    struct rules rules = {0};
    rules.result = landlock_init(&rules.landlock, false);
    if (!rules.result) {
        allow_system(&rules);
        allow_configured(&rules, options, config);
    }
    if (!rules.result && !can_reload(&rules.landlock, options))
        allow(&rules, "/", READ);
    if (!rules.result)
        rules.result = landlock_enter(&rules.landlock);
    landlock_done(&rules.landlock);
    return rules.result;
}
