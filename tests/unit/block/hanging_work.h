/* hanging_work.h - work on a disk that hangs until it is let go. */
#pragma once
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "block/probes.h"

#include <netboot-target/util/array.h>

struct hanging_work {
    struct probe_work work;
    sem_t *hold; /* NULL: it does not hang */
    sem_t *freed;
    unsigned runs;
};

static inline void hanging_run(struct probe_work *work)
{
    struct hanging_work *hanging = container_of(work, struct hanging_work, work);
    hanging->runs++;
    if (hanging->hold)
        sem_wait(hanging->hold);
}

static inline void hanging_free(struct probe_work *work)
{
    struct hanging_work *hanging = container_of(work, struct hanging_work, work);
    sem_t *freed = hanging->freed;
    free(hanging);
    sem_post(freed);
}

static inline struct hanging_work *hanging_new(sem_t *hold, sem_t *freed)
{
    struct hanging_work *hanging = calloc(1, sizeof *hanging);
    assert_non_null(hanging);
    *hanging = (struct hanging_work){
        .work = {.run = hanging_run, .free = hanging_free},
          .hold = hold, .freed = freed
    };
    return hanging;
}

/* Until the disk counts as one that answers. */
static inline void wait_for_disk(struct probes *probes, dev_t disk)
{
    struct hanging_work *probe = hanging_new(NULL, NULL);
    for (unsigned turns = 0; probes_run(probes, disk, &probe->work) && turns < 1000; turns++)
        usleep(10000);
    assert_int_equal(probe->runs, 1);
    free(probe);
}
