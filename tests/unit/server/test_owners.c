/* test_owners.c - owners whose records cannot be written: nobody is told, and nobody is forgotten
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/internal.h"

#include <netboot-target/util/array.h>

#define IQN          "iqn.2026-01.example:"
#define WRITES_LIMIT 8

/* A state directory of which the test says when, and whether, a record is written. */
static struct {
    store_done done[WRITES_LIMIT];
    void *context[WRITES_LIMIT];
    char latest[64];
    unsigned begun, ended;
} writes;

static void begin_write(struct store *store, const char *name, const void *data, size_t length,
                        store_done done, void *context)
{
    (void)store;
    assert_string_equal(name, "owner-a");
    assert_in_range(writes.begun, 0, WRITES_LIMIT - 1);
    snprintf(writes.latest, sizeof writes.latest, "%.*s", (int)length, (const char *)data);
    writes.done[writes.begun] = done;
    writes.context[writes.begun++] = context;
}

static void end_write(int result)
{
    unsigned number = writes.ended++;
    writes.done[number](writes.context[number], result);
}

static void ignore_change(void *context)
{
    (void)context;
}

static void ignore_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
}

static uint64_t now_us(void *context)
{
    return server_now_us(context);
}

struct world {
    struct server server;
    struct served_target target;
    unsigned removed;
};

static void count_removal(void *context)
{
    struct world *world = context;
    world->removed++;
}

static int make_world(void **state)
{
    static const struct iscsi_callbacks callbacks = {.now_us = now_us, .keep_owner = owner_keep};
    static struct world world;
    struct server *server = &world.server;
    struct served_target *target = &world.target;
    struct error error;
    memset(&writes, 0, sizeof writes);
    world = (struct world){
        .target = {.server = server, .name = "a"}
    };
    server->loop = ev_loop_new(EVFLAG_AUTO);
    ev_init(&server->housekeeping, ignore_tick);
    server->state = state_new("/dev/null/none", server->loop, ignore_change, NULL);
    state_store(server->state)->put = begin_write;
    server->node =
        iscsi_node_new(&(struct iscsi_node_options){.callbacks = &callbacks, .context = server});
    target->scsi = scsi_target_new(IQN "a");
    target->iscsi =
        iscsi_target_new(&(struct iscsi_target_options){.name = IQN "a"}, target->scsi, &error);
    target->prev = target;
    server->targets = target;
    *state = &world;
    iscsi_target_set_owner(target->iscsi, IQN "first", 0, 0);
    return iscsi_node_add_target(server->node, target->iscsi);
}

static void give_to(struct world *world, const char *owner)
{
    assert_int_equal(iscsi_target_release_owner(world->server.node, world->target.iscsi, owner), 0);
}

static void begin_removal(struct world *world)
{
    iscsi_node_remove_target(world->server.node, world->target.iscsi, count_removal, world);
}

static int free_world(void **state)
{
    struct world *world = *state;
    struct server *server = &world->server;
    iscsi_target_free(world->target.iscsi);
    scsi_target_free(world->target.scsi);
    iscsi_node_free(server->node);
    ev_timer_stop(server->loop, &server->housekeeping);
    state_free(server->state);
    ev_loop_destroy(server->loop);
    return 0;
}

static void test_one_write_stands_for_all_that_failed(void **state)
{
    static const char *const owners[] = {IQN "b", IQN "c", IQN "d"};
    struct world *world = *state;
    struct served_target *target = &world->target;
    for (size_t i = 0; i < ARRAY_SIZE(owners); i++)
        give_to(world, owners[i]);
    for (size_t i = 0; i < ARRAY_SIZE(owners); i++)
        end_write(-ENOSPC);
    assert_true(target->owner_unkept);
    assert_non_null(strstr(target->problem.text, strerror(ENOSPC)));
    assert_true(owner_keep_again(target));
    assert_int_equal(writes.begun, ARRAY_SIZE(owners) + 1);
    assert_memory_equal(writes.latest, IQN "d ", strlen(IQN "d "));
    end_write(0);
    assert_string_equal(target->problem.text, "");
    assert_false(owner_keep_again(target));
    begin_removal(world);
    assert_int_equal(world->removed, 1); /* nothing is waited for any more */
}

/* The later one may be there while that of the one before was not yet tried again. */
static void test_a_later_write_leaves_one_that_failed_to_be_tried_again(void **state)
{
    struct world *world = *state;
    struct served_target *target = &world->target;
    give_to(world, IQN "b");
    give_to(world, "");
    end_write(-EIO);
    end_write(0);
    assert_non_null(strstr(target->problem.text, strerror(EIO)));
    assert_true(owner_keep_again(target));
    assert_string_equal(writes.latest, "");
    end_write(-EIO);
    assert_true(owner_keep_again(target));
    end_write(0);
    assert_string_equal(target->problem.text, "");
    begin_removal(world);
    assert_int_equal(world->removed, 1);
}

static void test_a_removal_waits_for_writes_and_for_no_room(void **state)
{
    struct world *world = *state;
    struct served_target *target = &world->target;
    give_to(world, IQN "b");
    give_to(world, IQN "c");
    end_write(-ENOSPC);
    target->removing = true;
    begin_removal(world);
    owner_give_up(target);
    assert_int_equal(world->removed, 0);
    end_write(-ENOSPC);
    assert_int_equal(world->removed, 1);
    owner_give_up(target);
    assert_int_equal(world->removed, 1);
}

/* The loop has nothing else to do, but the daemon that ends still has connections. */
static void test_nobody_is_let_in_while_the_daemon_ends(void **state)
{
    struct world *world = *state;
    struct served_target *target = &world->target;
    world->server.draining = true;
    give_to(world, IQN "b");
    end_write(-ENOSPC);
    assert_true(target->owner_unkept);
    target->removing = true;
    begin_removal(world);
    assert_int_equal(world->removed, 0);
    owner_give_up(target);
    assert_int_equal(world->removed, 1);
}

static int restore(struct world *world, struct error *error)
{
    struct state *kept = world->server.state;
    int result;
    while ((result = owner_restore(&world->target, error)) == -EAGAIN || result == -EINPROGRESS)
        while (state_is_busy(kept))
            ev_run(world->server.loop, EVRUN_ONCE);
    return result;
}

/* What a reload finds in memory is not yet what a crash would find: a directory is in the way. */
static void test_an_owner_that_was_not_written_is_not_restored(void **state)
{
    struct world *world = *state;
    char directory[] = "/tmp/nbt-owners-XXXXXX", obstacle[80], path[80];
    struct error error;
    assert_non_null(mkdtemp(directory));
    snprintf(obstacle, sizeof obstacle, "%s/.owner-a.new", directory);
    snprintf(path, sizeof path, "%s/owner-a", directory);
    assert_int_equal(mkdir(obstacle, 0700), 0);
    state_free(world->server.state);
    world->server.state = state_new(directory, world->server.loop, ignore_change, NULL);
    assert_int_equal(restore(world, &error), 0);
    give_to(world, IQN "b");
    while (state_is_busy(world->server.state))
        ev_run(world->server.loop, EVRUN_ONCE);
    assert_int_equal(restore(world, &error), -EISDIR);
    assert_non_null(strstr(error.text, "nobody is let in until it can"));
    assert_int_equal(rmdir(obstacle), 0);
    (void)restore(world, &error); /* the try that was begun with it */
    assert_int_equal(restore(world, &error), 0);
    assert_string_equal(iscsi_target_owner(world->target.iscsi), IQN "b");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_write_stands_for_all_that_failed, make_world,
                                        free_world),
        cmocka_unit_test_setup_teardown(test_a_later_write_leaves_one_that_failed_to_be_tried_again,
                                        make_world, free_world),
        cmocka_unit_test_setup_teardown(test_a_removal_waits_for_writes_and_for_no_room, make_world,
                                        free_world),
        cmocka_unit_test_setup_teardown(test_nobody_is_let_in_while_the_daemon_ends, make_world,
                                        free_world),
        cmocka_unit_test_setup_teardown(test_an_owner_that_was_not_written_is_not_restored,
                                        make_world, free_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
