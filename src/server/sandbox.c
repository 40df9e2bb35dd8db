/* sandbox.c - see sandbox.h */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

/* ── entering ────────────────────────────────────────────────────────────────────────────────── */

/* Its unit, or something like it, has set a filter and no_new_privs. What that lets through is the
 * business of whoever wrote it: a drop-in may open a folder, and a reload use it. */
static bool is_contained(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
}

/* Who holds a disk is seen in /proc, and Landlock hides every other process there. A user of its
 * own sees no others in any case; to everybody else that view is worth more: it keeps two machines
 * from writing to one image. */
static bool give_up_files(const struct server_options *options, const struct config *config)
{
    int result = sandbox_give_up_files(options, config);
    if (result == -EOPNOTSUPP)
        log_notice("the kernel has no Landlock: files are not given up");
    else if (result)
        log_warning("files cannot be given up by Landlock: %s", strerror(-result));
    return !result;
}

static void filter_system_calls(void)
{
    int result = sandbox_filter_system_calls();
    if (result)
        log_warning("system calls cannot be filtered: %s", strerror(-result));
}

void sandbox_enter(struct sandbox *sandbox, const struct server_options *options,
                   const struct config *config)
{
    bool is_new = !is_contained();
    bool has_own_user = is_new && sandbox_change_user(options, config);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        log_warning("no_new_privs cannot be set: %s", strerror(errno));
    if (has_own_user)
        sandbox->has_files = give_up_files(options, config);
    sandbox->needed = sandbox_drop_capabilities(options, config);
    if (is_new)
        filter_system_calls();
}

/* ── what is configured ──────────────────────────────────────────────────────────────────────── */

bool sandbox_is_node(const char *path)
{
    return strncmp(path, "/dev/", strlen("/dev/")) == 0;
}

void sandbox_each_path(const struct config *config, void (*visit)(void *context, const char *path),
                       void *context)
{
    for (unsigned i = 0; i < config->targets.count; i++) {
        const struct config_target *target = &config->targets.items[i];
        for (unsigned j = 0; j < target->luns.count; j++)
            if (target->luns.items[j].device && target->luns.items[j].device[0] == '/')
                visit(context, target->luns.items[j].device);
    }
    for (unsigned i = 0; i < config->clients.count; i++)
        if (config->clients.items[i].device)
            visit(context, config->clients.items[i].device);
}

/* ── a new configuration ─────────────────────────────────────────────────────────────────────── */

static void warn_of_image(void *context, const char *path)
{
    struct stat status;
    (void)context;
    if (sandbox_is_node(path) || stat(path, &status) || !S_ISREG(status.st_mode))
        return;
    _cleanup_close_ int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0 && errno == EACCES)
        log_warning("%s is in a folder that was given up at the start: restart to serve it", path);
}

void sandbox_reload(const struct sandbox *sandbox, const struct config *config)
{
    static const struct {
        unsigned number;
        const char *text;
    } capabilities[] = {
        {CAP_NET_ADMIN,    "CAP_NET_ADMIN, for an interface with dhcp = \"auto\" or \"server\""},
        {CAP_NET_RAW,      "CAP_NET_RAW, to send and hear frames"                              },
        {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE, for files that are not root's"                   },
    };
    uint64_t missing = sandbox_needed_capabilities(config) & ~sandbox->needed;
    for (unsigned i = 0; i < ARRAY_SIZE(capabilities); i++)
        if (missing & 1ull << capabilities[i].number)
            log_warning("the new configuration needs %s; it was given up at the start, when "
                        "nothing needed it: restart to have it",
                        capabilities[i].text);
    if (sandbox->has_files)
        sandbox_each_path(config, warn_of_image, NULL);
}
