/* test_workers.c - jobs run on threads, and their ends come home to one. */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <netboot-target/util/array.h>
#include <netboot-target/util/workers.h>

#define JOBS 1000

struct counted {
    struct job job;
    unsigned index;
    unsigned ran, ended;
    unsigned *ended_total;
    unsigned end_order;
};

static void run(struct job *job)
{
    container_of(job, struct counted, job)->ran++;
}

static void done(struct job *job)
{
    struct counted *counted = container_of(job, struct counted, job);
    counted->ended++;
    counted->end_order = (*counted->ended_total)++;
}

static void wait_for(struct workers *workers, const unsigned *total, unsigned wanted)
{
    struct pollfd readable = {.fd = workers_descriptor(workers), .events = POLLIN};
    for (int turns = 0; *total < wanted && turns < 10000; turns++) {
        assert_true(poll(&readable, 1, 10000) == 1);
        workers_dispatch(workers);
    }
    assert_int_equal(*total, wanted);
}

static void run_all(unsigned threads, bool in_order)
{
    struct workers *workers = workers_new(8);
    struct job_queue *queue = job_queue_new(workers, threads);
    static struct counted jobs[JOBS];
    unsigned total = 0;
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted){
            .job = {.run = run, .done = done},
              .index = i, .ended_total = &total
        };
        job_queue_submit(queue, &jobs[i].job);
        if (i % 7 == 0)
            workers_kick(workers);
    }
    workers_kick(workers);
    wait_for(workers, &total, JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].ran, 1);
        assert_int_equal(jobs[i].ended, 1);
        if (in_order)
            assert_int_equal(jobs[i].end_order, i);
    }
    job_queue_free(queue);
    workers_free(workers);
}

static void every_job_ends_once(void **state)
{
    (void)state;
    run_all(4, false);
}

static void one_thread_keeps_the_order(void **state)
{
    (void)state;
    run_all(1, true);
}

static void a_cancelled_job_does_not_run(void **state)
{
    (void)state;
    struct workers *workers = workers_new(2);
    struct job_queue *queue = job_queue_new(workers, 1);
    unsigned total = 0;
    struct counted jobs[3];
    for (unsigned i = 0; i < ARRAY_SIZE(jobs); i++) {
        jobs[i] = (struct counted){
            .job = {.run = run, .done = done},
              .ended_total = &total
        };
        job_queue_submit(queue, &jobs[i].job);
    }
    assert_int_equal(job_queue_waiting(queue), 3);
    assert_true(job_queue_cancel(queue, &jobs[1].job));
    assert_false(job_queue_cancel(queue, &jobs[1].job));
    workers_kick(workers);
    wait_for(workers, &total, 2);
    assert_int_equal(jobs[1].ran, 0);
    assert_int_equal(jobs[1].ended, 0);
    job_queue_free(queue);
    workers_free(workers);
}

struct blocked {
    struct job job;
    int pipe[2];
    unsigned *total;
};

static void wait_for_byte(struct job *job)
{
    char byte;
    assert_int_equal(read(container_of(job, struct blocked, job)->pipe[0], &byte, 1), 1);
}

static void count(struct job *job)
{
    (*container_of(job, struct blocked, job)->total)++;
}

static struct job_queue *block_queue(struct workers *workers, unsigned threads,
                                     struct blocked blocked[], unsigned count_, unsigned *total)
{
    struct job_queue *queue = job_queue_new(workers, threads);
    for (unsigned i = 0; i < count_; i++) {
        blocked[i] = (struct blocked){
            .job = {.run = wait_for_byte, .done = count},
              .total = total
        };
        assert_int_equal(pipe(blocked[i].pipe), 0);
        job_queue_submit(queue, &blocked[i].job);
    }
    workers_kick(workers);
    return queue;
}

static void unblock(struct blocked blocked[], unsigned count_)
{
    for (unsigned i = 0; i < count_; i++)
        assert_int_equal(write(blocked[i].pipe[1], "x", 1), 1);
}

static void close_pipes(struct blocked blocked[], unsigned count_)
{
    for (unsigned i = 0; i < count_; i++) {
        close(blocked[i].pipe[0]);
        close(blocked[i].pipe[1]);
    }
}

static void wait_for_waiting(const struct job_queue *queue, unsigned expected)
{
    for (unsigned turns = 0; job_queue_waiting(queue) > expected && turns < 1000; turns++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(job_queue_waiting(queue), expected);
}

/* However many disks hang, and with however few threads kept, the next one has its own. */
static void blocked_queues_leave_others_alone(void **state)
{
    (void)state;
    enum { SLOW = 6, EACH = 4 };
    struct workers *workers = workers_new(2);
    struct job_queue *slow[SLOW];
    struct blocked blocked[SLOW][EACH];
    unsigned total = 0;
    for (unsigned i = 0; i < SLOW; i++)
        slow[i] = block_queue(workers, 2, blocked[i], EACH, &total);
    struct job_queue *fast = job_queue_new(workers, 2);
    unsigned fast_total = 0;
    struct counted quick = {
        .job = {.run = run, .done = done},
          .ended_total = &fast_total
    };
    job_queue_submit(fast, &quick.job);
    workers_kick(workers);
    wait_for(workers, &fast_total, 1);
    for (unsigned i = 0; i < SLOW; i++)
        wait_for_waiting(slow[i], EACH - 2); /* and no queue more than its own */
    for (unsigned i = 0; i < SLOW; i++)
        unblock(blocked[i], EACH);
    wait_for(workers, &total, SLOW * EACH);
    for (unsigned i = 0; i < SLOW; i++) {
        close_pipes(blocked[i], EACH);
        job_queue_free(slow[i]);
    }
    job_queue_free(fast);
    workers_free(workers);
}

/* A disk opens although those before it have every thread of their queue. */
static void queue_gets_more_threads(void **state)
{
    (void)state;
    enum { MANY = 5 };
    struct workers *workers = workers_new(1);
    struct blocked blocked[MANY];
    unsigned total = 0;
    struct job_queue *queue = block_queue(workers, 2, blocked, MANY, &total);
    wait_for_waiting(queue, MANY - 2);
    job_queue_set_threads(queue, MANY - 1);
    workers_kick(workers);
    wait_for_waiting(queue, 1);
    job_queue_set_threads(queue, 1); /* fewer than run */
    workers_kick(workers);
    unblock(blocked, MANY);
    wait_for(workers, &total, MANY);
    close_pipes(blocked, MANY);
    job_queue_free(queue);
    workers_free(workers);
}

static void set_stack_bytes(size_t bytes)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, bytes), 0);
    assert_int_equal(pthread_setattr_default_np(&attributes), 0);
    pthread_attr_destroy(&attributes);
}

/* Its job is not forgotten. */
static void thread_that_cannot_start_is_tried_again(void **state)
{
    (void)state;
    struct workers *workers = workers_new(1);
    struct job_queue *queue = job_queue_new(workers, 1);
    unsigned total = 0;
    struct counted quick = {
        .job = {.run = run, .done = done},
          .ended_total = &total
    };
    job_queue_submit(queue, &quick.job);
    set_stack_bytes((size_t)1 << 46); /* there is no such room */
    workers_kick(workers);
    set_stack_bytes((size_t)8 << 20);
    assert_int_equal(job_queue_waiting(queue), 1);
    workers_kick(workers);
    wait_for(workers, &total, 1);
    job_queue_free(queue);
    workers_free(workers);
}

static unsigned count_threads(void)
{
    DIR *listing = opendir("/proc/self/task");
    unsigned threads = 0;
    const struct dirent *entry;
    assert_non_null(listing);
    while ((entry = readdir(listing)))
        threads += entry->d_name[0] != '.';
    closedir(listing);
    return threads;
}

static void surplus_threads_end(void **state)
{
    (void)state;
    enum { KEPT = 2, MANY = 6 };
    unsigned before = count_threads(); /* a sanitizer has its own */
    struct workers *workers = workers_new(KEPT);
    struct blocked blocked[MANY];
    unsigned total = 0;
    for (unsigned round = 1; round <= 2; round++) {
        struct job_queue *queue = block_queue(workers, MANY, blocked, MANY, &total);
        wait_for_waiting(queue, 0);
        assert_int_equal(count_threads(), before + MANY);
        unblock(blocked, MANY);
        wait_for(workers, &total, round * MANY);
        for (unsigned turns = 0; count_threads() > before + KEPT && turns < 1000; turns++)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        assert_int_equal(count_threads(), before + KEPT);
        close_pipes(blocked, MANY);
        job_queue_free(queue);
    }
    workers_free(workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_ends_once),
        cmocka_unit_test(one_thread_keeps_the_order),
        cmocka_unit_test(a_cancelled_job_does_not_run),
        cmocka_unit_test(blocked_queues_leave_others_alone),
        cmocka_unit_test(queue_gets_more_threads),
        cmocka_unit_test(thread_that_cannot_start_is_tried_again),
        cmocka_unit_test(surplus_threads_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
