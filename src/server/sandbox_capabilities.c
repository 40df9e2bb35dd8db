/* sandbox_capabilities.c - see sandbox.h */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"

#include <netboot-target/util/log.h>

#define BIT(capability) (1ull << (capability))
/* To see in /proc who else has a disk open, whoever that is. */
#define OTHERS (BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH))

/* ── which ───────────────────────────────────────────────────────────────────────────────────── */

/* NET_ADMIN sets the fallback address, which `server` takes, too, where it has none. NET_RAW looks
 * for other servers, asks by ARP who has an address, and answers router solicitations. */
static uint64_t needed_by(const struct config_interface *interface)
{
    switch (interface->dhcp) {
    case CONFIG_DHCP_AUTO:
    case CONFIG_DHCP_SERVER:
        return BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW);
    case CONFIG_DHCP_PROXY:
        return interface->router_advertisement ? BIT(CAP_NET_RAW) : 0;
    case CONFIG_DHCP_OFF:
        break;
    }
    return 0;
}

/* A part of the path that is there is not root's. */
static bool is_foreign(const char *path)
{
    char part[PATH_MAX];
    struct stat status;
    size_t length = strlen(path);
    for (size_t i = 1; i <= length && i < sizeof part; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!stat(part, &status) && status.st_uid != 0)
            return true;
    }
    return false;
}

/* An image that is not there yet may be anybody's. */
static void look_at_disk(void *context, const char *path)
{
    bool *is_needed = context;
    struct stat status;
    if (is_foreign(path) || (!sandbox_is_node(path) && stat(path, &status)))
        *is_needed = true;
}

/* Root opens what is root's without any capability; what is somebody else's takes DAC_OVERRIDE. */
static bool has_foreign_files(const struct config *config, const char *config_path)
{
    bool result = is_foreign(config->state_directory) || (config_path && is_foreign(config_path));
    sandbox_each_path(config, look_at_disk, &result);
    return result;
}

uint64_t sandbox_needed_capabilities(const struct config *config)
{
    uint64_t needed = BIT(CAP_NET_BIND_SERVICE);
    for (unsigned i = 0; i < config->interfaces.count; i++)
        needed |= needed_by(&config->interfaces.items[i]);
    if (!config->interfaces.count)
        needed |= needed_by(&config->any_interface);
    for (unsigned i = 0; i < config->clients.count; i++)
        if (config->clients.items[i].address.s_addr) /* as a server gives it: asked for by ARP */
            needed |= BIT(CAP_NET_RAW);
    if (geteuid() != 0)
        return needed;
    if (has_foreign_files(config, config->place.file))
        needed |= BIT(CAP_DAC_OVERRIDE);
    return needed | OTHERS;
}

/* ── giving up ───────────────────────────────────────────────────────────────────────────────── */

struct capabilities {
    uint64_t effective, permitted;
};

static bool ask(struct capabilities *to)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    to->effective = (uint64_t)data[1].effective << 32 | data[0].effective;
    to->permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    return true;
}

static bool keep(uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const uint32_t low = (uint32_t)kept, high = (uint32_t)(kept >> 32);
    const struct __user_cap_data_struct data[2] = {
        {.effective = low,  .permitted = low },
        {.effective = high, .permitted = high}
    };
    return syscall(SYS_capset, &header, data) == 0;
}

/* What a program that is started could have. Without CAP_SETPCAP it stays; a change of user took
 * that out of effect. */
static void drop_bounds(const struct capabilities *old, uint64_t kept)
{
    if (old->permitted & ~old->effective & BIT(CAP_SETPCAP))
        keep(old->permitted);
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (!(kept & BIT(capability)))
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

/* Returns whether there was one of them. */
static bool lower_ambient(uint64_t unneeded)
{
    bool result = false;
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (unneeded & BIT(capability) &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1)
            result |= !prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, capability, 0, 0);
    return result;
}

/* Our unit's filter refuses capset(2), as it does all of @privileged. But a program that is started
 * by a user who is not root has just the ambient capabilities (capabilities(7)). */
static void start_anew(const struct server_options *options)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    execv(path, options->arguments);
    log_warning("capabilities cannot be dropped: %s: %s", path, strerror(errno));
}

uint64_t sandbox_drop_capabilities(const struct server_options *options,
                                   const struct config *config)
{
    struct capabilities old;
    uint64_t needed = sandbox_needed_capabilities(config);
    if (!ask(&old))
        return needed;
    uint64_t kept = old.permitted & needed;
    drop_bounds(&old, needed);
    bool had_ambient = lower_ambient(~needed);
    if ((old.permitted == kept && old.effective == kept) || keep(kept))
        return needed;
    if (errno == EPERM && had_ambient)
        start_anew(options);
    else
        log_warning("capabilities cannot be dropped: %s", strerror(errno));
    return needed;
}
