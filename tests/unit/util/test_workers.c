/* test_workers.c - jobs run on threads, and their ends come home to one. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

/* One slow disk must not take the threads of the others. */
static void a_blocked_queue_leaves_others_alone(void **state)
{
    (void)state;
    struct workers *workers = workers_new(4);
    struct job_queue *slow = job_queue_new(workers, 2);
    struct job_queue *fast = job_queue_new(workers, 2);
    unsigned total = 0;
    struct blocked blocked[4];
    for (unsigned i = 0; i < ARRAY_SIZE(blocked); i++) {
        blocked[i] = (struct blocked){
            .job = {.run = wait_for_byte, .done = count},
              .total = &total
        };
        assert_int_equal(pipe(blocked[i].pipe), 0);
        job_queue_submit(slow, &blocked[i].job);
    }
    workers_kick(workers);
    unsigned fast_total = 0;
    struct counted quick = {
        .job = {.run = run, .done = done},
          .ended_total = &fast_total
    };
    job_queue_submit(fast, &quick.job);
    workers_kick(workers);
    wait_for(workers, &fast_total, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(blocked); i++)
        assert_int_equal(write(blocked[i].pipe[1], "x", 1), 1);
    wait_for(workers, &total, ARRAY_SIZE(blocked));
    for (unsigned i = 0; i < ARRAY_SIZE(blocked); i++) {
        close(blocked[i].pipe[0]);
        close(blocked[i].pipe[1]);
    }
    job_queue_free(slow);
    job_queue_free(fast);
    workers_free(workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_ends_once),
        cmocka_unit_test(one_thread_keeps_the_order),
        cmocka_unit_test(a_cancelled_job_does_not_run),
        cmocka_unit_test(a_blocked_queue_leaves_others_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
