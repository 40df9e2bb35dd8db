/* sandbox_user.c - see sandbox.h */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox.h"

#include <netboot-target/util/array.h>
#include <netboot-target/util/cleanup.h>
#include <netboot-target/util/log.h>

#define DISK_GROUP "disk"

/* ── is everything within its reach? ─────────────────────────────────────────────────────────────
 * Asked while it is the effective user.
 */

static int try(const char *path, int mode, struct error *why)
{
    if (!faccessat(AT_FDCWD, path, mode, AT_EACCESS))
        return 0;
    return error_set(why, -errno, SANDBOX_USER " may not use %s: %s", path, strerror(errno));
}

struct search {
    struct error why; /* "": nothing found */
};

static void try_disk(void *context, const char *device)
{
    struct search *search = context;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", device);
    char *pattern = strstr(path, "%m");
    if (pattern) {
        *pattern = '\0';
        *(strrchr(path, '/') + 1) = '\0';
    }
    /* Of one that is not there, its group decides when it comes. */
    if (!search->why.text[0] && try(path, pattern ? X_OK : R_OK | W_OK, &search->why) == -ENOENT &&
        sandbox_is_node(path))
        search->why.text[0] = '\0';
}

static bool has_group(const char *name)
{
    const struct group *group = getgrnam(name);
    gid_t groups[64];
    int count = getgroups(ARRAY_SIZE(groups), groups);
    for (int i = 0; group && i < count; i++)
        if (groups[i] == group->gr_gid)
            return true;
    return false;
}

static int try_disks(const struct config *config, struct error *why)
{
    struct search search = {0};
    sandbox_each_path(config, try_disk, &search);
    if (search.why.text[0])
        return error_set(why, -EACCES, "%s", search.why.text);
    if (!has_group(DISK_GROUP))
        return error_set(why, -EACCES, SANDBOX_USER " is not in the group " DISK_GROUP);
    return 0;
}

/* A reload reads it again, with all its secrets. */
static int try_config(const struct server_options *options, struct error *why)
{
    struct config_errors errors = {0};
    const struct config_options from = {.credentials_directory = getenv("CREDENTIALS_DIRECTORY")};
    if (!options->config_path)
        return 0;
    struct config *config = config_load(options->config_path, &from, &errors);
    int result = config ? 0 : -EACCES;
    if (!config)
        error_set(why, result, SANDBOX_USER " could not read the configuration again: %s",
                  errors.count ? errors.items[0].text : "");
    config_unref(config);
    config_errors_done(&errors);
    return result;
}

/* A record of root's would be lost, and with it the identity of a disk. */
static int try_state(const char *directory, struct error *why)
{
    const struct dirent *entry;
    char path[PATH_MAX];
    int result = try(directory, R_OK | W_OK | X_OK, why);
    DIR *listing = result ? NULL : opendir(directory);
    while (!result && listing && (entry = readdir(listing))) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (strcmp(entry->d_name, "..") != 0)
            result = try(path, R_OK | W_OK, why);
    }
    if (listing)
        closedir(listing);
    return result;
}

static int try_files(const struct server_options *options, const struct config *config,
                     struct error *why)
{
    int result = try_config(options, why);
    if (!result)
        result = try_disks(config, why);
    if (!result && !access(config->boot.directory, F_OK))
        result = try(config->boot.directory, R_OK | X_OK, why);
    if (!result && config->boot.custom_directory)
        result = try(config->boot.custom_directory, R_OK | X_OK, why);
    return result;
}

/* ── changing ────────────────────────────────────────────────────────────────────────────────── */

struct root {
    gid_t group, groups[NGROUPS_MAX];
    int group_count;
};

static int become(const struct passwd *user, struct root *ret_old, struct error *why)
{
    ret_old->group = getegid();
    ret_old->group_count = getgroups(ARRAY_SIZE(ret_old->groups), ret_old->groups);
    if (ret_old->group_count < 0 || initgroups(user->pw_name, user->pw_gid) ||
        setegid(user->pw_gid) || seteuid(user->pw_uid))
        return error_set(why, -errno, "the user cannot be changed: %s", strerror(errno));
    return 0;
}

/* To what it was. Nothing works without. */
static void become_root(const struct root *old)
{
    if (seteuid(0) || setegid(old->group) ||
        setgroups((size_t)max_of(old->group_count, 0), old->groups))
        abort();
}

/* As a service's StateDirectory= is made. */
static void make_state(const char *directory, const struct passwd *user)
{
    if (!mkdir(directory, 0700) && chown(directory, user->pw_uid, user->pw_gid))
        log_warning("%s cannot be given to %s: %s", directory, user->pw_name, strerror(errno));
}

static int check(const struct server_options *options, const struct config *config,
                 const struct passwd *user, struct root *old, struct error *why)
{
    int result = become(user, old, why);
    if (!result)
        result = try_files(options, config, why);
    if (seteuid(0))
        abort();
    if (result)
        return result;
    make_state(config->state_directory, user);
    if (seteuid(user->pw_uid))
        return error_set(why, -errno, "the user cannot be changed: %s", strerror(errno));
    return try_state(config->state_directory, why);
}

bool sandbox_change_user(const struct server_options *options, const struct config *config)
{
    struct error why;
    if (geteuid() != 0)
        return false;
    const struct passwd *user = getpwnam(SANDBOX_USER);
    if (!user) {
        log_notice("running as root: there is no user " SANDBOX_USER ", which the package makes");
        return false;
    }
    _cleanup_free_ struct root *old = calloc(1, sizeof *old);
    if (!old)
        return false;
    int result = check(options, config, user, old, &why);
    become_root(old);
    if (result) {
        log_notice("running as root: %s", why.text);
        return false;
    }
    if (initgroups(user->pw_name, user->pw_gid) || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid)) {
        log_error("the user cannot be changed: %s", strerror(errno));
        exit(EXIT_FAILURE);
    }
    prctl(PR_SET_DUMPABLE, 0); /* a change of user may set it */
    log_notice("running as the user " SANDBOX_USER);
    return true;
}
