/*
 * sandbox_calls.c - the system calls that are left: what our unit's SystemCallFilter= lets through,
 * without what neither the daemon nor its helper has a use for; and what its RestrictNamespaces=,
 * RestrictAddressFamilies=, MemoryDenyWriteExecute= and LockPersonality= refuse of them.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "sandbox.h"

#include <netboot-target/util/array.h>

#define CACHESTAT 451 /* on every architecture; libseccomp may be older than it (Linux 6.5) */

/* In alphabetical order. */
static const int allowed[] = {SCMP_SYS(accept),
                              SCMP_SYS(accept4),
                              SCMP_SYS(access),
                              SCMP_SYS(alarm),
                              SCMP_SYS(arch_prctl),
                              SCMP_SYS(bind),
                              SCMP_SYS(brk),
                              SCMP_SYS(capget),
                              SCMP_SYS(capset),
                              SCMP_SYS(chdir),
                              SCMP_SYS(chmod),
                              SCMP_SYS(clock_getres),
                              SCMP_SYS(clock_gettime),
                              SCMP_SYS(clock_nanosleep),
                              SCMP_SYS(close),
                              SCMP_SYS(close_range),
                              SCMP_SYS(connect),
                              SCMP_SYS(copy_file_range),
                              SCMP_SYS(creat),
                              SCMP_SYS(dup),
                              SCMP_SYS(dup2),
                              SCMP_SYS(dup3),
                              SCMP_SYS(epoll_create),
                              SCMP_SYS(epoll_create1),
                              SCMP_SYS(epoll_ctl),
                              SCMP_SYS(epoll_pwait),
                              SCMP_SYS(epoll_pwait2),
                              SCMP_SYS(epoll_wait),
                              SCMP_SYS(eventfd),
                              SCMP_SYS(eventfd2),
                              SCMP_SYS(execve),
                              SCMP_SYS(exit),
                              SCMP_SYS(exit_group),
                              SCMP_SYS(faccessat),
                              SCMP_SYS(faccessat2),
                              SCMP_SYS(fadvise64),
                              SCMP_SYS(fallocate),
                              SCMP_SYS(fchdir),
                              SCMP_SYS(fchmod),
                              SCMP_SYS(fchmodat),
                              SCMP_SYS(fcntl),
                              SCMP_SYS(fdatasync),
                              SCMP_SYS(fgetxattr),
                              SCMP_SYS(flock),
                              SCMP_SYS(fork),
                              SCMP_SYS(fstat),
                              SCMP_SYS(fstatfs),
                              SCMP_SYS(fsync),
                              SCMP_SYS(ftruncate),
                              SCMP_SYS(futex),
                              SCMP_SYS(futex_waitv),
                              SCMP_SYS(get_mempolicy),
                              SCMP_SYS(get_robust_list),
                              SCMP_SYS(getcpu),
                              SCMP_SYS(getcwd),
                              SCMP_SYS(getdents),
                              SCMP_SYS(getdents64),
                              SCMP_SYS(getegid),
                              SCMP_SYS(geteuid),
                              SCMP_SYS(getgid),
                              SCMP_SYS(getgroups),
                              SCMP_SYS(getitimer),
                              SCMP_SYS(getpeername),
                              SCMP_SYS(getpgid),
                              SCMP_SYS(getpgrp),
                              SCMP_SYS(getpid),
                              SCMP_SYS(getppid),
                              SCMP_SYS(getpriority),
                              SCMP_SYS(getrandom),
                              SCMP_SYS(getresgid),
                              SCMP_SYS(getresuid),
                              SCMP_SYS(getrlimit),
                              SCMP_SYS(getrusage),
                              SCMP_SYS(getsid),
                              SCMP_SYS(getsockname),
                              SCMP_SYS(getsockopt),
                              SCMP_SYS(gettid),
                              SCMP_SYS(gettimeofday),
                              SCMP_SYS(getuid),
                              SCMP_SYS(getxattr),
                              SCMP_SYS(io_uring_enter),
                              SCMP_SYS(io_uring_register),
                              SCMP_SYS(io_uring_setup),
                              SCMP_SYS(ioctl),
                              SCMP_SYS(kill),
                              SCMP_SYS(landlock_add_rule),
                              SCMP_SYS(landlock_create_ruleset),
                              SCMP_SYS(landlock_restrict_self),
                              SCMP_SYS(lgetxattr),
                              SCMP_SYS(link),
                              SCMP_SYS(linkat),
                              SCMP_SYS(listen),
                              SCMP_SYS(lseek),
                              SCMP_SYS(lstat),
                              SCMP_SYS(madvise),
                              SCMP_SYS(membarrier),
                              SCMP_SYS(memfd_create),
                              SCMP_SYS(mincore),
                              SCMP_SYS(mkdir),
                              SCMP_SYS(mkdirat),
                              SCMP_SYS(mlock),
                              SCMP_SYS(mremap),
                              SCMP_SYS(msync),
                              SCMP_SYS(munlock),
                              SCMP_SYS(munmap),
                              SCMP_SYS(nanosleep),
                              SCMP_SYS(newfstatat),
                              SCMP_SYS(open),
                              SCMP_SYS(openat),
                              SCMP_SYS(openat2),
                              SCMP_SYS(pause),
                              SCMP_SYS(pidfd_open),
                              SCMP_SYS(pidfd_send_signal),
                              SCMP_SYS(pipe),
                              SCMP_SYS(pipe2),
                              SCMP_SYS(poll),
                              SCMP_SYS(ppoll),
                              SCMP_SYS(prctl),
                              SCMP_SYS(pread64),
                              SCMP_SYS(preadv),
                              SCMP_SYS(preadv2),
                              SCMP_SYS(pselect6),
                              SCMP_SYS(pwrite64),
                              SCMP_SYS(pwritev),
                              SCMP_SYS(pwritev2),
                              SCMP_SYS(read),
                              SCMP_SYS(readahead),
                              SCMP_SYS(readlink),
                              SCMP_SYS(readlinkat),
                              SCMP_SYS(readv),
                              SCMP_SYS(recvfrom),
                              SCMP_SYS(recvmmsg),
                              SCMP_SYS(recvmsg),
                              SCMP_SYS(rename),
                              SCMP_SYS(renameat),
                              SCMP_SYS(renameat2),
                              SCMP_SYS(restart_syscall),
                              SCMP_SYS(rmdir),
                              SCMP_SYS(rseq),
                              SCMP_SYS(rt_sigaction),
                              SCMP_SYS(rt_sigpending),
                              SCMP_SYS(rt_sigprocmask),
                              SCMP_SYS(rt_sigqueueinfo),
                              SCMP_SYS(rt_sigreturn),
                              SCMP_SYS(rt_sigsuspend),
                              SCMP_SYS(rt_sigtimedwait),
                              SCMP_SYS(rt_tgsigqueueinfo),
                              SCMP_SYS(sched_get_priority_max),
                              SCMP_SYS(sched_get_priority_min),
                              SCMP_SYS(sched_getaffinity),
                              SCMP_SYS(sched_getparam),
                              SCMP_SYS(sched_getscheduler),
                              SCMP_SYS(sched_yield),
                              SCMP_SYS(seccomp),
                              SCMP_SYS(select),
                              SCMP_SYS(sendfile),
                              SCMP_SYS(sendmmsg),
                              SCMP_SYS(sendmsg),
                              SCMP_SYS(sendto),
                              SCMP_SYS(set_robust_list),
                              SCMP_SYS(set_tid_address),
                              SCMP_SYS(setitimer),
                              SCMP_SYS(setpgid),
                              SCMP_SYS(setsid),
                              SCMP_SYS(setsockopt),
                              SCMP_SYS(shutdown),
                              SCMP_SYS(sigaltstack),
                              SCMP_SYS(signalfd),
                              SCMP_SYS(signalfd4),
                              SCMP_SYS(splice),
                              SCMP_SYS(stat),
                              SCMP_SYS(statfs),
                              SCMP_SYS(statx),
                              SCMP_SYS(symlink),
                              SCMP_SYS(symlinkat),
                              SCMP_SYS(sync),
                              SCMP_SYS(sync_file_range),
                              SCMP_SYS(syncfs),
                              SCMP_SYS(sysinfo),
                              SCMP_SYS(tee),
                              SCMP_SYS(tgkill),
                              SCMP_SYS(time),
                              SCMP_SYS(timer_create),
                              SCMP_SYS(timer_delete),
                              SCMP_SYS(timer_getoverrun),
                              SCMP_SYS(timer_gettime),
                              SCMP_SYS(timer_settime),
                              SCMP_SYS(timerfd_create),
                              SCMP_SYS(timerfd_gettime),
                              SCMP_SYS(timerfd_settime),
                              SCMP_SYS(times),
                              SCMP_SYS(tkill),
                              SCMP_SYS(truncate),
                              SCMP_SYS(umask),
                              SCMP_SYS(uname),
                              SCMP_SYS(unlink),
                              SCMP_SYS(unlinkat),
                              SCMP_SYS(utimensat),
                              SCMP_SYS(vfork),
                              SCMP_SYS(wait4),
                              SCMP_SYS(waitid),
                              SCMP_SYS(write),
                              SCMP_SYS(writev)};

/* Allowed where (argument & mask) is the value. */
static const struct {
    int call;
    unsigned argument;
    uint64_t mask, value;
} conditions[] = {
    {SCMP_SYS(socket),     0, UINT64_MAX, AF_UNIX   },
    {SCMP_SYS(socket),     0, UINT64_MAX, AF_INET   },
    {SCMP_SYS(socket),     0, UINT64_MAX, AF_INET6  },
    {SCMP_SYS(socket),     0, UINT64_MAX, AF_NETLINK},
    {SCMP_SYS(socket),     0, UINT64_MAX, AF_PACKET },
    {SCMP_SYS(socketpair), 0, UINT64_MAX, AF_UNIX   },
 /* no memory that is written and run */
    {SCMP_SYS(mmap),       2, PROT_EXEC,  0         },
    {SCMP_SYS(mmap),       2, PROT_WRITE, 0         },
    {SCMP_SYS(mprotect),   2, PROT_EXEC,  0         },
 /* processes and threads, no namespaces */
    {SCMP_SYS(clone),      0,
     CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
         CLONE_NEWNET | CLONE_NEWTIME,
     0                                              },
 /* its own limits */
    {SCMP_SYS(prlimit64),  0, UINT64_MAX, 0         },
};

/* What LeakSanitizer needs to look at the other threads when the process ends. */
static const int sanitizer[] = {SCMP_SYS(ptrace)};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static int allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int result = 0;
    for (size_t i = 0; !result && i < count; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
    return result;
}

static int allow_conditions(scmp_filter_ctx filter)
{
    int result = 0;
    for (size_t i = 0; !result && i < ARRAY_SIZE(conditions); i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, conditions[i].call, 1,
                                  SCMP_CMP64(conditions[i].argument, SCMP_CMP_MASKED_EQ,
                                             conditions[i].mask, conditions[i].value));
    return result;
}

int sandbox_filter_system_calls(void)
{
    static const int newer[] = {CACHESTAT};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return -ENOMEM;
    /* a binary tree: older kernels ask it at every call */
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!result)
        result = allow(filter, allowed, ARRAY_SIZE(allowed));
    if (!result)
        result = allow(filter, newer, ARRAY_SIZE(newer));
    if (!result && SANITIZED)
        result = allow(filter, sanitizer, ARRAY_SIZE(sanitizer));
    if (!result)
        result = allow_conditions(filter);
    /* Its flags lie in memory, where no filter sees them; the C library then takes clone. */
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!result)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result;
}
