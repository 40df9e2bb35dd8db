/*
 * fake_calls.h - the system calls that move bytes, standing in front of libc's: they count, make
 * short transfers, fail where told and wait at a gate. Everything else reaches the kernel.
 */
#pragma once
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct fake_call {
    atomic_uint calls;
    atomic_int error;       /* what it fails with, if not 0 */
    atomic_ullong bad_byte; /* only where the range holds it; 0: everywhere */
    atomic_int only_flags;  /* only with this flag; 0: with any */
    atomic_uint largest_vectors;
    atomic_uint short_bytes;    /* transfers no more than this; 0: all */
    atomic_bool interrupt_next; /* one EINTR */
    atomic_bool gated;
    atomic_uint at_gate;
    atomic_uint tickets; /* so many may pass the closed gate */
};

/* A page of an earlier write that the kernel could not write back: each open file is told once, by
 * the next call that looks. */
static struct {
    atomic_int error;
    atomic_bool told_to_writes; /* as NFS does */
    atomic_ullong told;         /* bits: the descriptors that know */
} fake_lost_page;

static inline void lose_a_page(int error, bool told_to_writes)
{
    fake_lost_page.told = 0;
    fake_lost_page.told_to_writes = told_to_writes;
    fake_lost_page.error = error;
}

static bool is_told_of_lost_page(int descriptor)
{
    uint64_t bit = 1ull << descriptor;
    if (!fake_lost_page.error || atomic_fetch_or(&fake_lost_page.told, bit) & bit)
        return false;
    errno = fake_lost_page.error;
    return true;
}

static struct fake_call fake_read, fake_write, fake_sync, fake_write_back, fake_zero;
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;

static inline void fakes_reset(void)
{
    struct fake_call *const all[] = {&fake_read, &fake_write, &fake_sync, &fake_write_back,
                                     &fake_zero};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        memset(all[i], 0, sizeof *all[i]);
    lose_a_page(0, false);
}

static inline void gate_close(struct fake_call *fake)
{
    fake->gated = true;
}

static inline void gate_open(struct fake_call *fake)
{
    pthread_mutex_lock(&gate_lock);
    fake->gated = false;
    pthread_cond_broadcast(&gate_moved);
    pthread_mutex_unlock(&gate_lock);
}

static inline void gate_await(struct fake_call *fake, unsigned count)
{
    pthread_mutex_lock(&gate_lock);
    while (fake->at_gate < count)
        pthread_cond_wait(&gate_moved, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
}

/* Lets one of those at the gate through, and waits for the `calls`-th to arrive. */
static inline void gate_let_one_through(struct fake_call *fake, unsigned calls)
{
    pthread_mutex_lock(&gate_lock);
    fake->tickets = 1;
    pthread_cond_broadcast(&gate_moved);
    while (fake->calls < calls)
        pthread_cond_wait(&gate_moved, &gate_lock);
    pthread_mutex_unlock(&gate_lock);
}

static void gate_pass(struct fake_call *fake)
{
    pthread_mutex_lock(&gate_lock);
    fake->at_gate++;
    pthread_cond_broadcast(&gate_moved);
    while (fake->gated && !fake->tickets)
        pthread_cond_wait(&gate_moved, &gate_lock);
    if (fake->tickets)
        fake->tickets--;
    fake->at_gate--;
    pthread_mutex_unlock(&gate_lock);
}

/* True: it fails, and errno says how. */
static bool fake_fails(struct fake_call *fake, uint64_t first, uint64_t length, int flags)
{
    fake->calls++;
    gate_pass(fake);
    if (atomic_exchange(&fake->interrupt_next, false)) {
        errno = EINTR;
        return true;
    }
    uint64_t bad = fake->bad_byte;
    if (!fake->error || (bad && (bad < first || bad - first >= length)) ||
        (fake->only_flags && !(flags & fake->only_flags)))
        return false;
    errno = fake->error;
    return true;
}

static uint64_t vectors_length(const struct iovec *vectors, int count)
{
    uint64_t length = 0;
    for (int i = 0; i < count; i++)
        length += vectors[i].iov_len;
    return length;
}

/* The vectors to use, and how many: those given, or one cut short. */
static const struct iovec *cut(const struct fake_call *fake, struct iovec *shorter,
                               const struct iovec *vectors, int *count)
{
    if (!fake->short_bytes || vectors->iov_len <= fake->short_bytes)
        return vectors;
    *shorter = (struct iovec){.iov_base = vectors->iov_base, .iov_len = fake->short_bytes};
    *count = 1;
    return shorter;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t preadv2(int descriptor, const struct iovec *vectors, int count, off_t offset, int flags)
{
    struct iovec shorter;
    if (fake_fails(&fake_read, (uint64_t)offset, vectors_length(vectors, count), flags))
        return -1;
    vectors = cut(&fake_read, &shorter, vectors, &count);
    return REAL(preadv2)(descriptor, vectors, count, offset, flags);
}

ssize_t pwritev2(int descriptor, const struct iovec *vectors, int count, off_t offset, int flags)
{
    struct iovec shorter;
    if ((unsigned)count > fake_write.largest_vectors)
        fake_write.largest_vectors = (unsigned)count;
    if (fake_fails(&fake_write, (uint64_t)offset, vectors_length(vectors, count), flags))
        return -1;
    if ((flags & RWF_DSYNC || fake_lost_page.told_to_writes) && is_told_of_lost_page(descriptor))
        return -1;
    vectors = cut(&fake_write, &shorter, vectors, &count);
    return REAL(pwritev2)(descriptor, vectors, count, offset, flags);
}

int fdatasync(int descriptor)
{
    return fake_fails(&fake_sync, 0, 1, 0) || is_told_of_lost_page(descriptor)
               ? -1
               : REAL(fdatasync)(descriptor);
}

int sync_file_range(int descriptor, off_t offset, off_t length, unsigned flags)
{
    return fake_fails(&fake_write_back, 0, 1, 0)
               ? -1
               : REAL(sync_file_range)(descriptor, offset, length, flags);
}

int fallocate(int descriptor, int mode, off_t offset, off_t length)
{
    return fake_fails(&fake_zero, (uint64_t)offset, (uint64_t)length, mode)
               ? -1
               : REAL(fallocate)(descriptor, mode, offset, length);
}
