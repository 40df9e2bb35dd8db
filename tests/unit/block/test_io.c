/* test_io.c - which engine reads use, on kernels and under filters that are not here */
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "block/requests.h"

#include <netboot-target/util/array.h>

/* Stands in front of liburing's. */
static int queue_init_result;
static unsigned refused_flags;

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    if (queue_init_result)
        return queue_init_result;
    if (flags & refused_flags)
        return -EINVAL;
    return ((__typeof__(&io_uring_queue_init))dlsym(RTLD_NEXT, "io_uring_queue_init"))(entries,
                                                                                       ring, flags);
}

static const struct {
    const char *kernel;
    int queue_init_result;
    unsigned refused_flags;
    const char *engine;
} rows[] = {
    {"of today",                            0,       0,                                                       "io_uring"},
    {"of 2022",                             0,       IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, "io_uring"},
    {"that cannot restrict a ring",         0,       IORING_SETUP_R_DISABLED,                                 "threads" },
    {"without io_uring",                    -ENOSYS, 0,                                                       "threads" },
    {"with io_uring_disabled, or a filter", -EPERM,  0,                                                       "threads" },
    {"short of locked memory",              -ENOMEM, 0,                                                       "threads" },
};

static void test_engine_of_a_kernel(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct block_io_options options = {.engine = BLOCK_ENGINE_AUTO};
        struct block_io *io = NULL;
        struct error error = {""};
        print_message("  a kernel %s\n", rows[i].kernel);
        queue_init_result = rows[i].queue_init_result;
        refused_flags = rows[i].refused_flags;
        assert_int_equal(block_io_new(&options, &io, &error), 0);
        assert_string_equal(block_io_engine_name(io), rows[i].engine);
        block_io_free(io);

        io = NULL;
        options.engine = BLOCK_ENGINE_URING;
        int r = block_io_new(&options, &io, &error);
        bool usable = !strcmp(rows[i].engine, "io_uring");
        assert_int_equal(r == 0, usable);
        assert_int_equal(io != NULL, usable);
        if (!usable)
            assert_non_null(strstr(error.text, "io_uring cannot be used here"));
        block_io_free(io);
    }
}

struct counted {
    struct job job;
    unsigned done;
};

static void run_nothing(struct job *job)
{
    (void)job;
}

static void count_done(struct job *job)
{
    ((struct counted *)job)->done++;
}

/* The loop's other waiting work goes the same way. */
static void test_other_jobs(void **state)
{
    (void)state;
    queue_init_result = 0;
    refused_flags = 0;
    struct block_io *io = make_io(BLOCK_ENGINE_AUTO);
    struct job_queue *queue = job_queue_new(block_io_workers(io), 1);
    struct counted counted = {
        .job = {.run = run_nothing, .done = count_done}
    };
    job_queue_submit(queue, &counted.job);
    block_io_kick(io);
    int descriptors[2];
    block_io_descriptors(io, descriptors);
    struct pollfd polled = {.fd = descriptors[0], .events = POLLIN};
    assert_int_equal(poll(&polled, 1, REQUEST_TIMEOUT_MS), 1);
    assert_int_equal(block_io_dispatch(io), 1);
    assert_int_equal(counted.done, 1);
    job_queue_free(queue);
    block_io_free(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_of_a_kernel),
        cmocka_unit_test(test_other_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
