/*
 * confine.c - what a process can still do that reads a foreign disk: read that disk, run programs
 * of the system, answer. Landlock (landlock(7)) for files, seccomp(2) for the network and for what
 * only attackers need, limits for time and memory.
 */
#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <netboot-target/discover.h>
#include <netboot-target/util/array.h>
#include <netboot-target/util/landlock.h>

#define ADDRESS_SPACE_MORE (768ull << 20) /* programs, libraries, unpacking */
#define FILE_MORE          (16ull << 20)
#define DESCRIPTORS        64
#define SECONDS_MORE       5

/* ── limits ──────────────────────────────────────────────────────────────────────────────────── */

/* A sanitizer maps terabytes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LIMITS_ADDRESS_SPACE false
#else
#define LIMITS_ADDRESS_SPACE true
#endif

static int limit(int resource, uint64_t value, struct error *error)
{
    struct rlimit old;
    getrlimit((__rlimit_resource_t)resource, &old);
    rlim_t most = min_of((rlim_t)value, old.rlim_max);
    const struct rlimit new = {.rlim_cur = most, .rlim_max = most};
    if (!setrlimit((__rlimit_resource_t)resource, &new))
        return 0;
    return error_set(error, -errno, "the helper's limits cannot be set: %s", strerror(errno));
}

static int set_limits(const struct discover_options *options, struct error *error)
{
    int result = limit(RLIMIT_CPU, options->time_ms / 1000 + SECONDS_MORE, error);
    if (!result && LIMITS_ADDRESS_SPACE)
        result = limit(RLIMIT_AS, 2 * options->memory_bytes + ADDRESS_SPACE_MORE, error);
    if (!result)
        result = limit(RLIMIT_FSIZE, options->memory_bytes + FILE_MORE, error);
    if (!result)
        result = limit(RLIMIT_NOFILE, DESCRIPTORS, error);
    return result ? result : limit(RLIMIT_CORE, 0, error);
}

/* ── capabilities ────────────────────────────────────────────────────────────────────────────── */

/* What is worth nothing without a socket. */
#define NETWORK_CAPABILITIES (1u << CAP_NET_BIND_SERVICE | 1u << CAP_NET_RAW | 1u << CAP_NET_ADMIN)

/* The daemon's ambient ones come along. A daemon of root's keeps reading what root may read. A
 * service's own filter may refuse capset(2): children have none in any case. */
static int drop_capabilities(struct error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct old[2] = {0}, new[2] = {0};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &header, old) < 0)
        return error_set(error, -errno, "capabilities cannot be asked: %s", strerror(errno));
    new[0].permitted = new[0].effective = old[0].permitted &(1u << CAP_DAC_READ_SEARCH);
    if (!syscall(SYS_capset, &header, new))
        return 0;
    if (!(old[0].permitted & ~NETWORK_CAPABILITIES) && !old[1].permitted)
        return 0;
    return error_set(error, -errno, "capabilities cannot be dropped: %s", strerror(errno));
}

/* ── Landlock ────────────────────────────────────────────────────────────────────────────────── */

#define PROGRAMS (LANDLOCK_EXECUTE | LANDLOCK_READ | LANDLOCK_LIST)

static int allow_files(const struct landlock *landlock, const char *disk)
{
    static const struct {
        const char *path;
        uint64_t rights;
    } system[] = {
  /* Names of files, not what is in them: GRUB looks into / to know its host. */
        {"/",                LANDLOCK_LIST                 },
        {"/usr",             PROGRAMS                      },
        {"/lib",             PROGRAMS                      },
        {"/lib64",           PROGRAMS                      },
        {"/bin",             PROGRAMS                      },
        {"/etc/ld.so.cache", LANDLOCK_READ                 },
        {"/dev/null",        LANDLOCK_READ | LANDLOCK_WRITE},
    };
    int result = 0;
    for (size_t i = 0; !result && i < ARRAY_SIZE(system); i++)
        result = landlock_allow(landlock, system[i].path, system[i].rights);
    return result ? result : landlock_allow(landlock, disk, LANDLOCK_READ | LANDLOCK_IOCTL);
}

static int give_up_files(const struct discover_options *options, struct error *error)
{
    struct landlock landlock;
    int result = landlock_init(&landlock, true);
    if (result == -EOPNOTSUPP && options->without_landlock)
        return 0;
    if (result == -EOPNOTSUPP)
        return error_set(
            error, result,
            "the kernel has no Landlock (%s), which keeps a process that reads a foreign "
            "disk from every other file; discovery.without-landlock = true does without",
            strerror(errno));
    if (!result)
        result = allow_files(&landlock, options->disk);
    if (!result)
        result = landlock_enter(&landlock);
    landlock_done(&landlock);
    return result ? error_set(error, result, "Landlock cannot be set up: %s", strerror(-result))
                  : 0;
}

/* ── system calls ────────────────────────────────────────────────────────────────────────────── */

static const int refused[] = {
    /* no network, not even on this machine; the packets go over a socket that is there */
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    /* no other process */
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    SCMP_SYS(kill),
    SCMP_SYS(tkill),
    SCMP_SYS(tgkill),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(process_madvise),
    SCMP_SYS(migrate_pages),
    SCMP_SYS(move_pages),
    SCMP_SYS(setpriority),
    SCMP_SYS(ioprio_set),
    SCMP_SYS(sched_setattr),
    SCMP_SYS(sched_setparam),
    SCMP_SYS(sched_setscheduler),
    SCMP_SYS(sched_setaffinity),
    /* no way out of the group of processes that the daemon ends */
    SCMP_SYS(setpgid),
    SCMP_SYS(setsid),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    /* no change of files that Landlock does not stop */
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchown),
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(setxattr),
    SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr),
    SCMP_SYS(removexattr),
    SCMP_SYS(lremovexattr),
    SCMP_SYS(fremovexattr),
    SCMP_SYS(utime),
    SCMP_SYS(utimes),
    SCMP_SYS(futimesat),
    SCMP_SYS(utimensat),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    /* no parts of the kernel that nothing here needs */
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(reboot),
    SCMP_SYS(shmget),
    SCMP_SYS(msgget),
    SCMP_SYS(semget),
    SCMP_SYS(mq_open),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(fanotify_init),
};

static int filter_system_calls(struct error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = filter ? 0 : -ENOMEM;
    for (size_t i = 0; !result && i < ARRAY_SIZE(refused); i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    if (!result) /* 0: its own limits */
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
                                  SCMP_A0(SCMP_CMP_NE, 0, 0));
    if (!result)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result
               ? error_set(error, result, "system calls cannot be filtered: %s", strerror(-result))
               : 0;
}

int discover_confine(const struct discover_options *options, struct error *error)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return error_set(error, -errno, "no_new_privs cannot be set: %s", strerror(errno));
    int result = set_limits(options, error);
    if (!result)
        result = drop_capabilities(error);
    if (!result)
        result = give_up_files(options, error);
    return result ? result : filter_system_calls(error);
}
