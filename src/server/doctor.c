/* doctor.c - see doctor.h */
#include <linux/landlock.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "doctor.h"

#include "boot_files.h"
#include "net_interfaces.h"

#include <netboot-target/block.h>
#include <netboot-target/boot.h>
#include <netboot-target/config.h>
#include <netboot-target/util/amount.h>
#include <netboot-target/util/array.h>

void doctor_tell(struct doctor *doctor, enum finding kind, const char *what, const char *format,
                 ...)
{
    static const char *words[] = {
        [FINDING_FINE] = "ok", [FINDING_WARNING] = "warning", [FINDING_PROBLEM] = "PROBLEM"};
    va_list arguments;
    doctor->counts[kind]++;
    fprintf(doctor->to, "%-8s %-16s ", words[kind], what);
    va_start(arguments, format);
    vfprintf(doctor->to, format, arguments);
    va_end(arguments);
    fputc('\n', doctor->to);
}

/* ── interfaces ──────────────────────────────────────────────────────────────────────────────── */

static bool can_be_default(const struct net_interface *interface)
{
    return interface->is_ethernet && !interface->is_wireless && !interface->is_virtual &&
           !interface->is_bridge_port && !interface->is_tunnel;
}

static void look_at_interface(struct doctor *doctor, const struct net_interface *interface,
                              enum config_dhcp_role role)
{
    const struct net_manager *manager = role == CONFIG_DHCP_AUTO && !interface->address_count
                                            ? net_interface_manager(interface)
                                            : NULL;
    if (role != CONFIG_DHCP_OFF && doctor->dhcp_interface_count < DOCTOR_INTERFACES_LIMIT)
        doctor->dhcp_interfaces[doctor->dhcp_interface_count++] = interface->index;
    if (!interface->is_up)
        doctor_tell(doctor, FINDING_PROBLEM, interface->name,
                    "it is switched off: ip link set %s up", interface->name);
    else if (!interface->has_carrier)
        doctor_tell(doctor, FINDING_WARNING, interface->name,
                    "no link: is the cable in, and the other end switched on?");
    else if (manager)
        doctor_tell(doctor, FINDING_WARNING, interface->name,
                    "%s would take an address of ours away: %s", manager->name, manager->cure);
    else
        doctor_tell(doctor, FINDING_FINE, interface->name, "link is up, %u IPv4 address%s",
                    interface->address_count, interface->address_count == 1 ? "" : "es");
}

static const struct net_interface *find_interface(const struct net_interface *all, const char *name)
{
    while (all && strcmp(all->name, name) != 0)
        all = all->next;
    return all;
}

static void look_at_configured(struct doctor *doctor, const struct net_interface *all)
{
    for (unsigned i = 0; i < doctor->config->interfaces.count; i++) {
        const struct config_interface *config = &doctor->config->interfaces.items[i];
        const struct net_interface *interface = find_interface(all, config->name);
        if (interface)
            look_at_interface(doctor, interface, config->dhcp);
        else
            doctor_tell(doctor, FINDING_PROBLEM, config->name,
                        "%s:%u names it, and this machine has no such interface: ip link lists "
                        "them",
                        config->place.file, config->place.line);
    }
}

static void look_at_any(struct doctor *doctor, const struct net_interface *all)
{
    bool found = false;
    for (; all; all = all->next) {
        if (!can_be_default(all))
            continue;
        look_at_interface(doctor, all, doctor->config->any_interface.dhcp);
        found = true;
    }
    if (!found)
        doctor_tell(
            doctor, FINDING_PROBLEM, "network",
            "this machine has no wired network card that could be taken by itself: name the "
            "interface in `interfaces`");
}

static void ignore_change(void *context)
{
    (void)context;
}

static void check_interfaces(struct doctor *doctor)
{
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct net_watcher *watcher;
    struct error error;
    if (loop && net_watcher_new(loop, ignore_change, NULL, &watcher, &error) == 0) {
        net_watcher_refresh(watcher);
        const struct net_interface *all = net_watcher_interfaces(watcher);
        if (doctor->config->interfaces.count)
            look_at_configured(doctor, all);
        else
            look_at_any(doctor, all);
        net_watcher_free(watcher);
    } else {
        doctor_tell(doctor, FINDING_PROBLEM, "network", "%s", loop ? error.text : "out of memory");
    }
    if (loop)
        ev_loop_destroy(loop);
}

/* ── boot files ──────────────────────────────────────────────────────────────────────────────── */

static bool has_file(const struct config_boot *boot, const char *name)
{
    const char *const folders[] = {boot->custom_directory, boot->directory};
    for (unsigned i = 0; i < ARRAY_SIZE(folders); i++) {
        char path[4096];
        if (!folders[i])
            continue;
        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

static void check_boot_files(struct doctor *doctor)
{
    const struct config_boot *boot = &doctor->config->boot;
    const struct boot_architecture *architecture;
    struct error text;
    unsigned missing = 0;
    for (unsigned i = 0; (architecture = boot_architecture_at(i)); i++) {
        const char *name = boot_files_name(doctor->config, architecture);
        if (!architecture->package || has_file(boot, name))
            continue;
        boot_missing_file_text(&text, architecture, name, boot->directory);
        doctor_tell(doctor, FINDING_PROBLEM, "boot files", "%s", text.text);
        missing++;
    }
    if (!missing)
        doctor_tell(doctor, FINDING_FINE, "boot files", "iPXE is there");
}

/* ── disks ───────────────────────────────────────────────────────────────────────────────────── */

static void check_lun(struct doctor *doctor, struct block_io *io,
                      const struct config_target *target, const struct config_lun *lun)
{
    /* An open for writing alone would already tell the machine's device manager. */
    const struct block_open_options options = {
        .read_only = lun->read_only, .look_only = true, .force = lun->force};
    struct block_location location;
    struct block_device *device;
    struct error error;
    char what[96];
    snprintf(what, sizeof what, "%s LUN %u", target->name, lun->number);
    const char *specification = lun->device ? lun->device : lun->disk_with;
    if (config_lun_per_client(lun))
        doctor_tell(doctor, FINDING_FINE, what, "%s: looked for when its client comes",
                    specification);
    else if (block_find(io, specification, !lun->device, &location, &error) ||
             block_open(io, &location, &options, &device, &error))
        doctor_tell(doctor, strstr(error.text, "(netboot-target)") ? FINDING_FINE : FINDING_PROBLEM,
                    what, "%s", error.text);
    else {
        struct amount size;
        doctor_tell(
            doctor, FINDING_FINE, what, "%s, %s, nobody else has it", device->path,
            amount_bytes(&size, device->geometry.blocks * device->geometry.logical_block_bytes));
        block_device_close(device);
    }
}

static void check_disks(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    struct block_io *io;
    struct error error;
    if (block_io_new(&(struct block_io_options){.engine = BLOCK_ENGINE_THREADS}, &io, &error)) {
        doctor_tell(doctor, FINDING_PROBLEM, "disks", "%s", error.text);
        return;
    }
    for (unsigned i = 0; i < config->targets.count; i++)
        for (unsigned j = 0; j < config->targets.items[i].luns.count; j++)
            check_lun(doctor, io, &config->targets.items[i],
                      &config->targets.items[i].luns.items[j]);
    if (!config->targets.count)
        doctor_tell(doctor, FINDING_PROBLEM, "disks", "the configuration has no target");
    block_io_free(io);
}

/* ── the kernel ──────────────────────────────────────────────────────────────────────────────── */

static void check_kernel(struct doctor *doctor)
{
    struct block_io *io;
    struct error error;
    if (block_io_new(&(struct block_io_options){.engine = BLOCK_ENGINE_URING}, &io, &error) == 0) {
        doctor_tell(doctor, FINDING_FINE, "io_uring", "may be used");
        block_io_free(io);
    } else {
        doctor_tell(doctor, FINDING_WARNING, "io_uring",
                    "%s Reads that are not in the cache go through threads, which costs more.",
                    error.text);
    }
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0)
        doctor_tell(doctor, FINDING_FINE, "Landlock", "may be used");
    else
        doctor_tell(doctor, FINDING_WARNING, "Landlock",
                    "this kernel does not offer it, so kernels on the disks are not looked for; "
                    "boot it with lsm=…,landlock");
}

static void check_state(struct doctor *doctor)
{
    const char *directory = doctor->config->state_directory;
    struct statvfs filesystem;
    if (access(directory, F_OK))
        doctor_tell(doctor, FINDING_FINE, "state", "%s will be made at the first start", directory);
    else if (statvfs(directory, &filesystem) || filesystem.f_flag & ST_RDONLY)
        doctor_tell(doctor, FINDING_PROBLEM, "state",
                    "%s cannot be written to, so secrets and identities would change with every "
                    "start",
                    directory);
    else if (!filesystem.f_bavail || (filesystem.f_files && !filesystem.f_favail))
        doctor_tell(
            doctor, FINDING_PROBLEM, "state",
            "the file system of %s is full: what is new cannot be kept, so that no new disk "
            "is served and no new owner let in; make room",
            directory);
    else
        doctor_tell(doctor, FINDING_FINE, "state", "%s", directory);
}

/* ── all of it ───────────────────────────────────────────────────────────────────────────────── */

int server_doctor(const struct config *config, FILE *to)
{
    static void (*const checks[])(struct doctor *) = {
        check_interfaces, doctor_check_ports, doctor_check_firewall, check_boot_files,
        check_disks,      check_state,        check_kernel};
    struct doctor doctor = {.config = config, .to = to};
    for (unsigned i = 0; i < ARRAY_SIZE(checks); i++)
        checks[i](&doctor);
    unsigned problems = doctor.counts[FINDING_PROBLEM];
    unsigned warnings = doctor.counts[FINDING_WARNING];
    fprintf(to, "\n%u problem%s, %u warning%s\n", problems, problems == 1 ? "" : "s", warnings,
            warnings == 1 ? "" : "s");
    return problems ? 1 : 0;
}
