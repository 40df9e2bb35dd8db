/* workers.c - see workers.h */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include <netboot-target/util/workers.h>

#define BATCH_LIMIT  64
#define IDLE_SECONDS 2 /* then a thread that is not one of those kept ends */

struct job_queue {
    struct workers *workers;
    struct job *first;
    struct job **last;
    unsigned waiting;
    unsigned running;
    unsigned threads;
    struct job_queue *next; /* in the list of queues with work a thread may begin */
    bool listed;
};

struct thread {
    struct workers *workers;
    pthread_t id;
    struct thread *prev, *next;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job_queue *ready;
    struct job_queue **ready_last;
    struct job *finished;
    struct job **finished_last;
    struct thread *threads;
    unsigned limit; /* what all queues may have together */
    unsigned kept;
    unsigned started;
    unsigned starting; /* of those started, how many have not looked for work yet */
    unsigned idle;
    unsigned signalled; /* of the idle ones, how many are being woken */
    bool unkicked;      /* of the loop's thread: jobs were submitted since the last kick */
    bool ending;
    int descriptor;
};

static void list_if_ready(struct job_queue *queue)
{
    struct workers *workers = queue->workers;
    if (queue->listed || !queue->first || queue->running >= queue->threads)
        return;
    queue->listed = true;
    queue->next = NULL;
    *workers->ready_last = queue;
    workers->ready_last = &queue->next;
}

/* Called with the lock held and a queue ready: its first job, or with one thread all that
 * BATCH_LIMIT allows, linked. NULL: cancelled meanwhile. */
static struct job *begin_next_jobs(struct workers *workers)
{
    struct job_queue *queue = workers->ready;
    workers->ready = queue->next;
    if (!workers->ready)
        workers->ready_last = &workers->ready;
    queue->listed = false;

    struct job *batch = queue->first;
    if (!batch)
        return NULL;
    unsigned limit = queue->threads == 1 ? BATCH_LIMIT : 1;
    struct job *last = batch;
    queue->waiting--;
    for (unsigned taken = 1; taken < limit && last->next; taken++) {
        last = last->next;
        queue->waiting--;
    }
    queue->first = last->next;
    if (!queue->first)
        queue->last = &queue->first;
    last->next = NULL;
    queue->running++;
    list_if_ready(queue);
    return batch;
}

/* True: the loop has to be told. */
static bool finish_jobs(struct workers *workers, struct job *batch)
{
    struct job_queue *queue = batch->queue;
    bool is_first = !workers->finished;
    struct job *last = batch;
    while (last->next)
        last = last->next;
    *workers->finished_last = batch;
    workers->finished_last = &last->next;
    queue->running--;
    list_if_ready(queue);
    return is_first;
}

/* Whoever is woken takes the lock at once: it must be free by then, or the two wake each other
 * once more. */
static void tell_loop(struct workers *workers)
{
    pthread_mutex_unlock(&workers->lock);
    (void)!write(workers->descriptor, &(uint64_t){1}, sizeof(uint64_t));
    pthread_mutex_lock(&workers->lock);
}

/* False: it was not needed for long. A surplus thread alone sets an alarm, which costs something in
 * every wait. */
static bool wait_for_work(struct workers *workers)
{
    struct timespec until;
    int r = 0;
    bool surplus = workers->idle++ >= workers->kept;
    if (surplus) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += IDLE_SECONDS;
        r = pthread_cond_timedwait(&workers->work, &workers->lock, &until);
    } else {
        pthread_cond_wait(&workers->work, &workers->lock);
    }
    workers->idle--;
    bool woken = workers->signalled;
    if (woken)
        workers->signalled--;
    return woken || r != ETIMEDOUT || workers->ready || workers->ending;
}

/* With the lock held: nobody will join it. */
static void retire(struct thread *thread)
{
    struct workers *workers = thread->workers;
    DL_DELETE(workers->threads, thread);
    workers->started--;
    pthread_detach(thread->id);
    free(thread);
}

static void *work(void *context)
{
    struct thread *thread = context;
    struct workers *workers = thread->workers;
    pthread_mutex_lock(&workers->lock);
    workers->starting--;
    while (!workers->ending) {
        if (!workers->ready) {
            if (wait_for_work(workers))
                continue;
            retire(thread);
            break;
        }
        struct job *batch = begin_next_jobs(workers);
        if (!batch)
            continue;
        pthread_mutex_unlock(&workers->lock);
        for (struct job *job = batch; job; job = job->next)
            job->run(job);
        pthread_mutex_lock(&workers->lock);
        if (finish_jobs(workers, batch))
            tell_loop(workers);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct workers *workers_new(unsigned kept)
{
    struct workers *workers = calloc(1, sizeof *workers);
    if (!workers)
        return NULL;
    workers->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (workers->descriptor < 0) {
        free(workers);
        return NULL;
    }
    workers->kept = kept;
    workers->ready_last = &workers->ready;
    workers->finished_last = &workers->finished;
    pthread_mutex_init(&workers->lock, NULL);
    init_condition(&workers->work);
    return workers;
}

void workers_free(struct workers *workers)
{
    struct thread *thread;
    struct thread *next;
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->ending = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    DL_FOREACH_SAFE (workers->threads, thread, next) {
        pthread_join(thread->id, NULL);
        free(thread);
    }
    pthread_mutex_destroy(&workers->lock);
    pthread_cond_destroy(&workers->work);
    close(workers->descriptor);
    free(workers);
}

/* Also on a worker: a device opens there. */
static void change_limit(struct workers *workers, unsigned more, unsigned less)
{
    pthread_mutex_lock(&workers->lock);
    workers->limit += more - less;
    pthread_mutex_unlock(&workers->lock);
}

struct job_queue *job_queue_new(struct workers *workers, unsigned threads)
{
    struct job_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    queue->workers = workers;
    queue->threads = threads;
    queue->last = &queue->first;
    change_limit(workers, threads, 0);
    return queue;
}

void job_queue_free(struct job_queue *queue)
{
    if (queue)
        change_limit(queue->workers, 0, queue->threads);
    free(queue);
}

void job_queue_set_threads(struct job_queue *queue, unsigned threads)
{
    struct workers *workers = queue->workers;
    pthread_mutex_lock(&workers->lock);
    workers->limit += threads - queue->threads;
    queue->threads = threads;
    list_if_ready(queue);
    workers->unkicked = true;
    pthread_mutex_unlock(&workers->lock);
}

/* Signals belong to the loop. False: there is no memory, or there are too many threads. */
static bool start_thread(struct workers *workers)
{
    sigset_t all;
    sigset_t before;
    struct thread *thread = calloc(1, sizeof *thread);
    if (!thread)
        return false;
    thread->workers = workers;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = !pthread_create(&thread->id, NULL, work, thread);
    if (started) {
        DL_APPEND(workers->threads, thread);
        workers->started++;
        workers->starting++;
    } else {
        free(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void job_queue_submit(struct job_queue *queue, struct job *job)
{
    struct workers *workers = queue->workers;
    pthread_mutex_lock(&workers->lock);
    job->queue = queue;
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
    queue->waiting++;
    list_if_ready(queue);
    workers->unkicked = true;
    pthread_mutex_unlock(&workers->lock);
}

/* How many more threads the waiting jobs of this queue keep busy. */
static unsigned threads_wanted(const struct job_queue *queue)
{
    unsigned free = queue->threads > queue->running ? queue->threads - queue->running : 0;
    return queue->waiting < free ? queue->waiting : free;
}

void workers_kick(struct workers *workers)
{
    if (!workers->unkicked) /* set and read by the loop's thread alone */
        return;
    workers->unkicked = false;
    pthread_mutex_lock(&workers->lock);
    unsigned wanted = 0;
    for (const struct job_queue *queue = workers->ready; queue; queue = queue->next)
        wanted += threads_wanted(queue);
    unsigned coming = workers->signalled + workers->starting;
    unsigned woken = 0;
    for (; coming < wanted && workers->signalled < workers->idle; coming++, woken++)
        workers->signalled++;
    for (; coming < wanted && workers->started < workers->limit; coming++) {
        workers->unkicked = !start_thread(workers);
        if (workers->unkicked) /* the next kick tries again */
            break;
    }
    pthread_mutex_unlock(&workers->lock);
    for (; woken; woken--) /* the lock is free for them */
        pthread_cond_signal(&workers->work);
}

bool job_queue_cancel(struct job_queue *queue, struct job *job)
{
    struct workers *workers = queue->workers;
    bool found = false;
    pthread_mutex_lock(&workers->lock);
    for (struct job **link = &queue->first; *link; link = &(*link)->next) {
        if (*link != job)
            continue;
        *link = job->next;
        if (!*link)
            queue->last = link;
        queue->waiting--;
        found = true;
        break;
    }
    pthread_mutex_unlock(&workers->lock);
    return found;
}

unsigned job_queue_waiting(const struct job_queue *queue)
{
    pthread_mutex_lock(&queue->workers->lock);
    unsigned waiting = queue->waiting;
    pthread_mutex_unlock(&queue->workers->lock);
    return waiting;
}

int workers_descriptor(const struct workers *workers)
{
    return workers->descriptor;
}

unsigned workers_dispatch(struct workers *workers)
{
    uint64_t count;
    (void)!read(workers->descriptor, &count, sizeof count);
    pthread_mutex_lock(&workers->lock);
    struct job *job = workers->finished;
    workers->finished = NULL;
    workers->finished_last = &workers->finished;
    pthread_mutex_unlock(&workers->lock);
    unsigned dispatched = 0;
    while (job) {
        struct job *next = job->next;
        job->done(job);
        job = next;
        dispatched++;
    }
    return dispatched;
}
