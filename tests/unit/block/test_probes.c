/* test_probes.c - a disk that hangs is waited for once, and nobody else waits with it */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "block/hanging_work.h"

#define PATIENCE_MS      1000u  /* what does not hang ends within it on a busy machine, too */
#define LONG_PATIENCE_MS 10000u /* where nothing hangs */

static sem_t hold;
static sem_t freed;

static int set_up(void **state)
{
    *state = probes_new(PATIENCE_MS);
    sem_init(&hold, 0, 0);
    sem_init(&freed, 0, 0);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    probes_free(*state);
    sem_destroy(&hold);
    sem_destroy(&freed);
    return 0;
}

static void test_work_that_ends(void **state)
{
    (void)state;
    struct probes *probes = probes_new(LONG_PATIENCE_MS);
    struct hanging_work *work = hanging_new(NULL, &freed);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(probes_run(probes, 1, &work->work), 0);
        assert_int_equal(work->runs, i);
    }
    free(work);
    probes_free(probes);
}

static void test_hanging_disk_is_waited_for_once(void **state)
{
    struct probes *probes = *state;
    assert_int_equal(probes_run(probes, 1, &hanging_new(&hold, &freed)->work), -ETIMEDOUT);
    struct hanging_work *next = hanging_new(NULL, &freed);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(probes_run(probes, 1, &next->work), -EBUSY);
    assert_int_equal(next->runs, 0);
    assert_int_equal(probes_run(probes, 2, &next->work), 0); /* another disk */
    free(next);
    sem_post(&hold);
    sem_wait(&freed);
    wait_for_disk(probes, 1);
}

static void *run_it(void *context)
{
    struct hanging_work *work = context;
    return (void *)(intptr_t)probes_run(work->work.probes, 1, &work->work);
}

/* One that is only being looked at has its turn to end. */
static void test_searchers_take_turns(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    struct probes *probes = probes_new(LONG_PATIENCE_MS);
    pthread_t threads[COUNT];
    struct hanging_work *works[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        works[i] = hanging_new(&hold, &freed);
        works[i]->work.probes = probes;
        assert_int_equal(pthread_create(&threads[i], NULL, run_it, works[i]), 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        usleep(10000);
        sem_post(&hold);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
        assert_int_equal(works[i]->runs, 1);
        free(works[i]);
    }
    probes_free(probes);
}

static void test_owner_goes_while_a_disk_hangs(void **state)
{
    (void)state;
    struct probes *probes = probes_new(PATIENCE_MS);
    assert_int_equal(probes_run(probes, 1, &hanging_new(&hold, &freed)->work), -ETIMEDOUT);
    probes_free(probes);
    sem_post(&hold);
    sem_wait(&freed);
    probes_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_work_that_ends),
        cmocka_unit_test_setup_teardown(test_hanging_disk_is_waited_for_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_searchers_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_owner_goes_while_a_disk_hangs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
