/* test_read.c - files are read whole, through pipes that give a little at a time */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <netboot-target/util/read.h>

static void *write_slowly(void *context)
{
    const int *descriptor = context;
    for (const char *c = "abcdef"; *c; c++) {
        assert_int_equal(write(*descriptor, c, 1), 1);
        usleep(1000);
    }
    close(*descriptor);
    return NULL;
}

/* Pieces of one byte, then the end. */
static pthread_t open_slow(int ends[2])
{
    pthread_t writer;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, &ends[1]), 0);
    return writer;
}

static void test_up_to(void **state)
{
    (void)state;
    static const struct {
        size_t size, length;
    } rows[] = {
        {4,  4},
        {6,  6},
        {10, 6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[10] = "";
        int ends[2];
        size_t length = 0;
        pthread_t writer = open_slow(ends);
        assert_int_equal(read_up_to(ends[0], text, rows[i].size, &length), 0);
        assert_int_equal(length, rows[i].length);
        assert_memory_equal(text, "abcdef", length);
        pthread_join(writer, NULL);
        close(ends[0]);
    }
}

static void test_exactly(void **state)
{
    (void)state;
    char text[10];
    int ends[2];
    pthread_t writer = open_slow(ends);
    assert_int_equal(read_exactly(ends[0], text, 5), 0);
    assert_memory_equal(text, "abcde", 5);
    assert_int_equal(read_exactly(ends[0], text, 2), -EIO);
    assert_int_equal(read_exactly(ends[0], text, 0), 0);
    pthread_join(writer, NULL);
    close(ends[0]);
}

static void test_errors(void **state)
{
    (void)state;
    char text[4];
    size_t length = 77;
    assert_int_equal(read_up_to(-1, text, sizeof text, &length), -EBADF);
    assert_int_equal(length, 77);
    assert_int_equal(read_exactly(-1, text, sizeof text), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_up_to),
        cmocka_unit_test(test_exactly),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
