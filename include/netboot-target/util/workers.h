/*
 * workers.h - threads for whatever may wait: disks, fsync, name look-ups, state files.
 * A job runs on some worker; its `done` runs later on the thread that calls workers_dispatch(), the
 * loop, which is woken through workers_descriptor(). No lock is held while a job runs.
 */
#pragma once
#include <stdbool.h>

struct workers;

struct job {
    void (*run)(struct job *job);  /* on a worker */
    void (*done)(struct job *job); /* on the loop, never inside workers_submit() */
    /* private to workers.c */
    struct job *next;
    struct job_queue *queue;
};

/* A queue has its own bound of threads, and there are always so many for it, whatever hangs in
 * other queues. Jobs of one queue start in order; with a bound of 1 they also end in order, and the
 * one thread takes and finishes many at once: right for short jobs, which the wake-ups would cost
 * more than the work. */
struct job_queue;

/* Threads are started as needed. Those beyond `kept` end when nothing has needed them for a while.
 */
struct workers *workers_new(unsigned kept);
/* Waits for running jobs; jobs not yet dispatched are dropped without `done`. */
void workers_free(struct workers *workers);

/* `threads`: how many of its jobs run at once, at most. NULL: out of memory. */
struct job_queue *job_queue_new(struct workers *workers, unsigned threads);
void job_queue_free(struct job_queue *queue); /* must be idle */
/* Another bound from the next workers_kick() on. Jobs that run already go on. */
void job_queue_set_threads(struct job_queue *queue, unsigned threads);

/* The job begins after the next workers_kick(). */
void job_queue_submit(struct job_queue *queue, struct job *job);

/* Wakes the threads that what was submitted since needs; once per loop turn, before sleeping. Where
 * none can be started, the next call tries again. */
void workers_kick(struct workers *workers);

/* Takes a job that no worker has begun out of its queue. True: it will not run, nor `done`. */
bool job_queue_cancel(struct job_queue *queue, struct job *job);

/* Jobs of this queue not yet begun. */
unsigned job_queue_waiting(const struct job_queue *queue);

/* An eventfd, readable when finished jobs wait for dispatch. */
int workers_descriptor(const struct workers *workers);
/* Runs `done` of every finished job. Returns how many. */
unsigned workers_dispatch(struct workers *workers);
