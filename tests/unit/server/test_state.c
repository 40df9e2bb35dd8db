/* test_state.c - the state directory: what is there, what is not, and what nobody knows */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/state.h"

struct place {
    char directory[40];
    struct ev_loop *loop;
    struct state *state;
    unsigned changes;
    struct error error;
};

static void on_changed(void *context)
{
    struct place *place = context;
    place->changes++;
}

static void give_up(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    abort();
}

static void settle(struct place *place)
{
    ev_timer patience;
    ev_timer_init(&patience, give_up, 20, 0);
    ev_timer_start(place->loop, &patience);
    while (state_is_busy(place->state))
        ev_run(place->loop, EVRUN_ONCE);
    ev_timer_stop(place->loop, &patience);
}

static void start(struct place *place, const char *below)
{
    char path[80];
    snprintf(path, sizeof path, "%s%s", place->directory, below);
    place->loop = ev_loop_new(EVFLAG_AUTO);
    place->state = state_new(path, place->loop, on_changed, place);
    assert_non_null(place->state);
}

static void end(struct place *place)
{
    settle(place);
    state_free(place->state);
    ev_loop_destroy(place->loop);
}

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    if (!place)
        return -1;
    snprintf(place->directory, sizeof place->directory, "/tmp/nbt-state-XXXXXX");
    *state = place;
    return mkdtemp(place->directory) ? 0 : -1;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    char command[80];
    snprintf(command, sizeof command, "rm -rf %s", place->directory);
    int result = system(command);
    free(place);
    return result;
}

static void write_file(const struct place *place, const char *name, const char *text)
{
    char path[120];
    snprintf(path, sizeof path, "%s/%s", place->directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static void remove_file(const struct place *place, const char *name)
{
    char path[120];
    snprintf(path, sizeof path, "%s/%s", place->directory, name);
    assert_int_equal(remove(path), 0);
}

static int load(struct place *place, const char *name, const char **ret_data)
{
    size_t length;
    int result = state_load(place->state, name, ret_data, &length, &place->error);
    if (!result)
        assert_int_equal(strlen(*ret_data), length);
    return result;
}

static void test_nothing_is_known_before_the_first_look(void **state)
{
    struct place *place = *state;
    const char *data;
    write_file(place, "owner-a", "somebody 1");
    start(place, "");
    assert_int_equal(load(place, "owner-a", &data), -EAGAIN);
    assert_false(state_is_known(place->state));
    settle(place);
    assert_int_equal(place->changes, 1);
    assert_int_equal(load(place, "owner-a", &data), 0);
    assert_string_equal(data, "somebody 1");
    assert_int_equal(load(place, "owner-b", &data), -ENOENT);
    assert_true(state_lasts(place->state));
    end(place);
}

static void test_put_is_known_at_once_and_after_a_restart(void **state)
{
    struct place *place = *state;
    const char *data;
    start(place, "");
    settle(place);
    assert_int_equal(state_keep(place->state, "identity-a-0", "one", 3), -EINPROGRESS);
    assert_int_equal(load(place, "identity-a-0", &data), 0);
    assert_string_equal(data, "one");
    settle(place);
    assert_int_equal(place->changes, 2);
    assert_int_equal(state_keep(place->state, "identity-a-0", "one", 3), 0);
    assert_false(state_is_busy(place->state));
    end(place);
    start(place, "");
    settle(place);
    assert_int_equal(load(place, "identity-a-0", &data), 0);
    assert_string_equal(data, "one");
    end(place);
}

/* A directory where the file should be: like a bad sector, it cannot be read. */
static void test_unreadable_is_not_absent(void **state)
{
    struct place *place = *state;
    const char *data;
    char path[80];
    snprintf(path, sizeof path, "%s/owner-a", place->directory);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(place, "owner-b", "b 1");
    start(place, "");
    settle(place);
    assert_int_equal(load(place, "owner-a", &data), -EINVAL);
    assert_non_null(strstr(place->error.text, "owner-a cannot be read"));
    assert_int_equal(load(place, "owner-b", &data), 0);
    settle(place);
    assert_int_equal(place->changes, 1); /* still so: nothing to tell */
    remove_file(place, "owner-a");
    write_file(place, "owner-a", "a 1");
    assert_int_equal(load(place, "owner-a", &data), -EINVAL);
    settle(place);
    assert_int_equal(place->changes, 2);
    assert_int_equal(load(place, "owner-a", &data), 0);
    assert_string_equal(data, "a 1");
    end(place);
}

static void test_what_is_too_large_is_unreadable(void **state)
{
    struct place *place = *state;
    const char *data;
    char path[80];
    write_file(place, "owner-a", "");
    snprintf(path, sizeof path, "%s/owner-a", place->directory);
    assert_int_equal(truncate(path, (1 << 20) + 1), 0);
    start(place, "");
    settle(place);
    assert_int_equal(load(place, "owner-a", &data), -EFBIG);
    end(place);
}

static void test_rejected_until_it_is_another_file(void **state)
{
    struct place *place = *state;
    const char *data;
    write_file(place, "owner-a", "nonsense");
    start(place, "");
    settle(place);
    assert_int_equal(load(place, "owner-a", &data), 0);
    assert_int_equal(state_reject(place->state, "owner-a", &place->error), -EBADMSG);
    assert_non_null(strstr(place->error.text, "remove it"));
    assert_int_equal(load(place, "owner-a", &data), -EBADMSG);
    settle(place);
    assert_int_equal(place->changes, 1);
    remove_file(place, "owner-a");
    assert_int_equal(load(place, "owner-a", &data), -EBADMSG);
    settle(place);
    assert_int_equal(place->changes, 2);
    assert_int_equal(load(place, "owner-a", &data), -ENOENT);
    end(place);
}

static void test_what_cannot_be_kept_is_tried_again(void **state)
{
    struct place *place = *state;
    char path[80];
    start(place, "");
    settle(place);
    snprintf(path, sizeof path, "%s/.identity-a-0.new", place->directory);
    assert_int_equal(mkdir(path, 0700), 0); /* in the way */
    assert_int_equal(state_keep(place->state, "identity-a-0", "one", 3), -EINPROGRESS);
    settle(place);
    assert_int_equal(place->changes, 1);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(state_keep(place->state, "identity-a-0", "one", 3), -EISDIR);
    settle(place);
    assert_int_equal(place->changes, 2);
    assert_int_equal(state_keep(place->state, "identity-a-0", "one", 3), 0);
    end(place);
}

/* A RAM-only target has no /var. */
static void test_without_a_directory_records_last_as_long_as_the_process(void **state)
{
    struct place *place = *state;
    const char *data;
    char path[64];
    start(place, "/no/such/place");
    settle(place);
    assert_true(state_is_known(place->state));
    assert_false(state_lasts(place->state));
    assert_int_equal(load(place, "owner-a", &data), -ENOENT);
    assert_int_equal(state_keep(place->state, "owner-a", "a 1", 3), -EINPROGRESS);
    settle(place);
    assert_int_equal(state_keep(place->state, "owner-a", "a 1", 3), 0);
    assert_int_equal(load(place, "owner-a", &data), 0);
    state_path(place->state, "owner-a", path, sizeof path);
    assert_string_equal(path, "");
    end(place);
}

static void put_once(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    struct place *place = watcher->data;
    (void)events;
    ev_prepare_stop(loop, watcher);
    assert_int_equal(state_keep(place->state, "owner-a", "a 1", 3), -EINPROGRESS);
}

/* The loop may sleep for long then: nothing else may wake it. */
static void test_what_is_put_right_before_the_loop_sleeps_is_kept(void **state)
{
    struct place *place = *state;
    ev_timer patience;
    ev_prepare turn;
    start(place, "");
    settle(place);
    ev_timer_init(&patience, give_up, 20, 0);
    ev_timer_start(place->loop, &patience);
    ev_prepare_init(&turn, put_once);
    ev_set_priority(&turn, EV_MINPRI + 1);
    turn.data = place;
    ev_prepare_start(place->loop, &turn);
    ev_run(place->loop, EVRUN_ONCE);
    assert_int_equal(place->changes, 2);
    ev_timer_stop(place->loop, &patience);
    end(place);
}

static void test_more_waits_than_one(void **state)
{
    struct place *place = *state;
    start(place, "");
    settle(place);
    assert_int_equal(state_keep(place->state, "owner-a", "a 1", 3), -EINPROGRESS);
    assert_int_equal(state_keep(place->state, "owner-a", "b 2", 3), -EINPROGRESS);
    settle(place);
    assert_int_equal(state_keep(place->state, "owner-a", "b 2", 3), 0);
    end(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_known_before_the_first_look),
        TEST(test_put_is_known_at_once_and_after_a_restart),
        TEST(test_unreadable_is_not_absent),
        TEST(test_what_is_too_large_is_unreadable),
        TEST(test_rejected_until_it_is_another_file),
        TEST(test_what_cannot_be_kept_is_tried_again),
        TEST(test_without_a_directory_records_last_as_long_as_the_process),
        TEST(test_what_is_put_right_before_the_loop_sleeps_is_kept),
        TEST(test_more_waits_than_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
