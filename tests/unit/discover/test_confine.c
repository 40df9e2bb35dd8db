/* test_confine.c - what a process can still do that reads a foreign disk */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <netboot-target/discover.h>
#include <netboot-target/util/array.h>

static char disk[] = "/tmp/netboot-target-disk-XXXXXX";
static char other[] = "/tmp/netboot-target-other-XXXXXX";

/* 0, or the errno with which it failed. Each runs in a confined child. */
static int result_of(long result)
{
    return result < 0 ? errno : 0;
}

static int read_disk(void)
{
    char byte;
    int descriptor = open(disk, O_RDONLY);
    return result_of(descriptor < 0 ? -1 : read(descriptor, &byte, 1));
}

static int write_disk(void)
{
    return result_of(open(disk, O_RDWR));
}

static int read_other(void)
{
    return result_of(open(other, O_RDONLY));
}

static int make_file(void)
{
    return result_of(open("/tmp/netboot-target-new", O_WRONLY | O_CREAT, 0600));
}

static int remove_other(void)
{
    return result_of(unlink(other));
}

static int read_passwd(void)
{
    return result_of(open("/etc/passwd", O_RDONLY));
}

static int read_environment(void)
{
    return result_of(open("/proc/1/environ", O_RDONLY));
}

static int open_network(void)
{
    return result_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int open_local(void)
{
    return result_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int trace_parent(void)
{
    return result_of(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int signal_parent(void)
{
    return result_of(kill(getppid(), 0));
}

static int signal_group(void)
{
    return result_of(kill(0, 0));
}

static int limit_parent(void)
{
    struct rlimit limit;
    return result_of(prlimit(getppid(), RLIMIT_FSIZE, NULL, &limit));
}

static int limit_itself(void)
{
    struct rlimit limit;
    return result_of(prlimit(0, RLIMIT_FSIZE, NULL, &limit));
}

static int leave_group(void)
{
    return result_of(setsid());
}

static int change_mode(void)
{
    return result_of(chmod(disk, 0666));
}

static int make_memory_file(void)
{
    return result_of(memfd_create("x", MFD_ALLOW_SEALING));
}

static int write_much(void)
{
    static char block[1 << 20];
    int descriptor = memfd_create("x", 0);
    signal(SIGXFSZ, SIG_IGN);
    for (unsigned i = 0; i < 64; i++)
        if (write(descriptor, block, sizeof block) < 0)
            return errno;
    return 0;
}

static int run_program(void)
{
    pid_t child = vfork();
    if (!child) {
        execl("/usr/bin/true", "true", NULL);
        _exit(1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status;
}

/* Children cannot do more. */
static int run_cat(void)
{
    pid_t child = vfork();
    if (!child) {
        close(STDERR_FILENO);
        execl("/usr/bin/cat", "cat", other, NULL);
        _exit(100);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static int confined(int (*action)(void))
{
    int status = 0;
    pid_t child = fork();
    if (!child) {
        const struct discover_options options = {
            .disk = disk, .memory_bytes = 1 << 20, .time_ms = 10000};
        struct error why = {""};
        int result = discover_confine(&options, &why);
        if (result)
            fprintf(stderr, "%s\n", why.text);
        _exit(result ? 200 : action());
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_what_is_allowed(void **state)
{
    static const struct {
        int (*action)(void);
        int result;
    } rows[] = {
        {read_disk,        0     },
        {write_disk,       EACCES},
        {read_other,       EACCES},
        {make_file,        EACCES},
        {remove_other,     EACCES},
        {read_passwd,      EACCES},
        {read_environment, EACCES},
        {open_network,     EPERM },
        {open_local,       EPERM },
        {trace_parent,     EPERM },
        {signal_parent,    EPERM },
        {signal_group,     EPERM },
        {limit_parent,     EPERM },
        {limit_itself,     0     },
        {leave_group,      EPERM },
        {change_mode,      EPERM },
        {make_memory_file, 0     },
        {write_much,       EFBIG },
        {run_program,      0     },
        {run_cat,          1     },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int result = confined(rows[i].action);
        if (result != rows[i].result)
            print_error("row %zu: %d (%s)\n", i, result, strerror(result));
        assert_int_equal(result, rows[i].result);
    }
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(read_other() | read_passwd() | open_local() | change_mode(), 0); /* we may */
}

/* As on a kernel that was built without it. */
static int confine_without_landlock(bool is_accepted)
{
    const struct discover_options options = {
        .disk = disk, .memory_bytes = 1 << 20, .time_ms = 10000, .without_landlock = is_accepted};
    struct error why = {""};
    int status = 0;
    pid_t child = fork();
    if (!child) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset),
                             0) ||
            seccomp_load(filter))
            _exit(200);
        int result = discover_confine(&options, &why);
        if (!result)
            _exit(read_other() || open_local() != EPERM || signal_parent() != EPERM ? 201 : 0);
        _exit(strstr(why.text, "without-landlock") ? -result : 202);
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_a_kernel_without_landlock(void **state)
{
    (void)state;
    assert_int_equal(confine_without_landlock(false), EOPNOTSUPP);
    assert_int_equal(confine_without_landlock(true), 0);
}

static int begin(void **state)
{
    (void)state;
    int one = mkstemp(disk), two = mkstemp(other);
    bool written = write(one, "disk", 4) == 4 && write(two, "other", 5) == 5;
    close(one);
    close(two);
    return written ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    return unlink(disk) | unlink(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_allowed),
                                       cmocka_unit_test(test_a_kernel_without_landlock)};
    return cmocka_run_group_tests(tests, begin, end);
}
