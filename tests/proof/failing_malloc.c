/*
 * failing_malloc.c - an allocator that fails when it is told to, for LD_PRELOAD.
 *
 * FAILING_MALLOC names a file that holds a struct plan; who runs the test maps it, too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* In the order of tests/lab/exhaustion.py. */
struct plan {
    _Atomic uint64_t count;       /* allocations so far */
    _Atomic uint64_t first, last; /* these fail; 0: none */
    _Atomic uint64_t failed;
};

/* glibc's own, under the names that stay when others are replaced */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct plan *plan;
static pid_t process; /* helpers that it starts are not meant */

__attribute__((constructor)) static void read_plan(void)
{
    const char *path = getenv("FAILING_MALLOC");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *map = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    unsetenv("FAILING_MALLOC");
    if (map == MAP_FAILED)
        return;
    process = getpid();
    plan = map;
}

/* libseccomp makes another filter when it has no memory, and says nothing. */
static int is_exempt(void *caller)
{
    Dl_info found;
    return dladdr(caller, &found) && found.dli_fname && strstr(found.dli_fname, "libseccomp");
}

static int fails(void *caller)
{
    if (!plan)
        return 0;
    uint64_t number = atomic_fetch_add(&plan->count, 1) + 1;
    if (number < atomic_load(&plan->first) || number > atomic_load(&plan->last) ||
        getpid() != process || is_exempt(caller))
        return 0;
    atomic_fetch_add(&plan->failed, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    void *block = memalign(alignment, size);
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}
