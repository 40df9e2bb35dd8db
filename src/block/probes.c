/* probes.c - see probes.h */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "probes.h"

struct probes {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    unsigned patience_ms;
    unsigned users; /* the owner and each thread */
    struct probe_work *running;
};

struct probes *probes_new(unsigned patience_ms)
{
    pthread_condattr_t attributes;
    struct probes *probes = calloc(1, sizeof *probes);
    if (!probes)
        return NULL;
    probes->patience_ms = patience_ms;
    probes->users = 1;
    pthread_mutex_init(&probes->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&probes->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    return probes;
}

/* With the lock held, which ends with it. */
static void leave(struct probes *probes)
{
    bool last = !--probes->users;
    pthread_mutex_unlock(&probes->lock);
    if (!last)
        return;
    pthread_cond_destroy(&probes->ended);
    pthread_mutex_destroy(&probes->lock);
    free(probes);
}

void probes_free(struct probes *probes)
{
    if (!probes)
        return;
    pthread_mutex_lock(&probes->lock);
    leave(probes);
}

static unsigned long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

/* With the lock held. False: it is too late. */
static bool wait_until(struct probes *probes, unsigned long long deadline_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                                   .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    return now_ms() < deadline_ms &&
           pthread_cond_timedwait(&probes->ended, &probes->lock, &until) != ETIMEDOUT;
}

static void *probe(void *context)
{
    struct probe_work *work = context;
    struct probes *probes = work->probes;
    work->run(work);
    pthread_mutex_lock(&probes->lock);
    DL_DELETE(probes->running, work);
    work->done = true;
    pthread_cond_broadcast(&probes->ended);
    if (work->abandoned)
        work->free(work);
    leave(probes);
    return NULL;
}

/* With the lock held. Signals belong to the loop. */
static int start(struct probes *probes, struct probe_work *work)
{
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&thread, NULL, probe, work);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r < 0)
        return r;
    pthread_detach(thread);
    probes->users++;
    DL_APPEND(probes->running, work);
    return 0;
}

static const struct probe_work *find_running(const struct probes *probes, dev_t disk)
{
    const struct probe_work *work;
    DL_FOREACH (probes->running, work) {
        if (work->disk == disk)
            return work;
    }
    return NULL;
}

/* With the lock held. */
static int run(struct probes *probes, struct probe_work *work)
{
    const struct probe_work *earlier;
    while ((earlier = find_running(probes, work->disk))) {
        if (!wait_until(probes, earlier->deadline_ms) && find_running(probes, work->disk))
            return -EBUSY;
    }
    work->deadline_ms = now_ms() + probes->patience_ms;
    int r = start(probes, work);
    while (!r && !work->done) {
        if (wait_until(probes, work->deadline_ms) || work->done)
            continue;
        work->abandoned = true;
        r = -ETIMEDOUT;
    }
    return r;
}

int probes_run(struct probes *probes, dev_t disk, struct probe_work *work)
{
    work->probes = probes;
    work->disk = disk;
    work->done = false;
    work->abandoned = false;
    pthread_mutex_lock(&probes->lock);
    int r = run(probes, work);
    pthread_mutex_unlock(&probes->lock);
    return r;
}
