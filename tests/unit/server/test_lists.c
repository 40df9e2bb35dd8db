/* test_lists.c - lists that are kept, of clients' targets and of guests: written whole, or later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/internal.h"

#define MAC_A "52-54-00-00-00-0a"
#define MAC_B "52-54-00-00-00-0b"
#define IQN   "iqn.2026-01.example:each"
#define GUEST "iqn.2026-01.example:guest"

struct world {
    char directory[40];
    struct server server;
    struct config config;
    struct config_target target_config;
    struct config_lun lun_config;
    struct served_target target;
    struct served_lun lun;
};

static void ignore_change(void *context)
{
    (void)context;
}

static uint64_t now_us(void *context)
{
    return server_now_us(context);
}

static void ignore_event(void *context, const struct iscsi_event *event)
{
    (void)context;
    (void)event;
}

/* The target of machine B, that was there before a restart. */
static void fill(struct world *world)
{
    static char name[] = "each", device[] = "/dev/zvol/tank/%m";
    struct config_target *config = &world->target_config;
    struct served_target *target = &world->target;
    world->lun_config.device = device;
    config->name = name;
    config->luns.items = &world->lun_config;
    config->luns.count = 1;
    config->hold_ms = config->after_script_ms = 60000;
    world->config.targets.items = config;
    world->config.targets.count = 1;
    world->server.config = &world->config;
    world->server.ready = true;
    snprintf(target->name, sizeof target->name, "each." MAC_B);
    snprintf(target->key, sizeof target->key, MAC_B);
    snprintf(target->iqn, sizeof target->iqn, IQN);
    target->server = &world->server;
    target->config = config;
    target->luns = &world->lun;
    target->lun_count = 1;
    target->is_recorded = true;
    target->prev = target;
}

static int make_world(void **state)
{
    static const struct iscsi_callbacks callbacks = {.now_us = now_us, .event = ignore_event};
    struct world *world = calloc(1, sizeof *world);
    if (!world)
        return -1;
    struct server *server = &world->server;
    fill(world);
    *state = world;
    server->loop = ev_loop_new(EVFLAG_AUTO);
    server->node =
        iscsi_node_new(&(struct iscsi_node_options){.callbacks = &callbacks, .context = server});
    snprintf(world->directory, sizeof world->directory, "/tmp/nbt-lists-XXXXXX");
    return mkdtemp(world->directory) ? 0 : -1;
}

static int free_world(void **state)
{
    struct world *world = *state;
    char command[80];
    guests_free(&world->target);
    iscsi_node_free(world->server.node);
    state_free(world->server.state);
    ev_loop_destroy(world->server.loop);
    snprintf(command, sizeof command, "rm -r %s", world->directory);
    free(world);
    return system(command);
}

static char *path_of(const struct world *world, const char *name)
{
    static char path[120];
    snprintf(path, sizeof path, "%s/%s", world->directory, name);
    return path;
}

static void write_file(const struct world *world, const char *name, const char *text)
{
    FILE *file = fopen(path_of(world, name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void expect_file(const struct world *world, const char *name, const char *text)
{
    char found[200] = "";
    FILE *file = fopen(path_of(world, name), "r");
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_string_equal(found, text);
}

static void settle(struct world *world)
{
    while (state_is_busy(world->server.state))
        ev_run(world->server.loop, EVRUN_ONCE);
}

static void start(struct world *world)
{
    struct server *server = &world->server;
    server->state = state_new(world->directory, server->loop, ignore_change, NULL);
    settle(world);
    client_targets_tick(server);
    settle(world); /* what cannot be read is looked at again */
    server->targets = &world->target;
}

/* A name may be missing in the configuration until the next reload. */
static void test_who_is_not_configured_for_now_stays_on_the_list(void **state)
{
    struct world *world = *state;
    write_file(world, "client-targets", "gone " MAC_A "\nno line of ours\n");
    start(world);
    client_targets_note(&world->server);
    settle(world);
    expect_file(world, "client-targets", "each " MAC_B "\ngone " MAC_A "\n");
}

static void test_a_list_that_is_read_late_gets_who_came_before(void **state)
{
    struct world *world = *state;
    assert_int_equal(mkdir(path_of(world, "client-targets"), 0700), 0);
    start(world);
    client_targets_note(&world->server);
    assert_int_equal(rmdir(path_of(world, "client-targets")), 0);
    write_file(world, "client-targets", "gone " MAC_A "\n");
    for (unsigned i = 0; i < 2; i++) {
        client_targets_tick(&world->server);
        settle(world);
    }
    expect_file(world, "client-targets", "each " MAC_B "\ngone " MAC_A "\n");
}

/* As without room: a directory is in the way. */
static void test_a_list_that_cannot_be_written_is_written_later(void **state)
{
    struct world *world = *state;
    start(world);
    assert_int_equal(mkdir(path_of(world, ".client-targets.new"), 0700), 0);
    client_targets_note(&world->server);
    settle(world);
    assert_int_equal(rmdir(path_of(world, ".client-targets.new")), 0);
    client_targets_tick(&world->server);
    settle(world);
    expect_file(world, "client-targets", "each " MAC_B "\n");
}

static void test_guests_that_cannot_be_written_are_written_later(void **state)
{
    struct world *world = *state;
    const struct iscsi_event login = {.initiator = GUEST, .target = IQN, .tsih = 1};
    struct server *server = &world->server;
    struct served_target *target = &world->target;
    char *obstacle = strdup(path_of(world, ".guests-each." MAC_B ".new"));
    start(world);
    target->iscsi = (struct iscsi_target *)target; /* it is there; nobody looks into it */
    assert_int_equal(mkdir(obstacle, 0700), 0);
    invitations_note_event(server, &login);
    settle(world);
    assert_true(guests_keep_again(target));
    settle(world);
    assert_int_equal(rmdir(obstacle), 0);
    assert_true(guests_keep_again(target));
    settle(world);
    assert_false(guests_keep_again(target));
    expect_file(world, "guests-each." MAC_B, GUEST "\n");
    free(obstacle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_is_not_configured_for_now_stays_on_the_list,
                                        make_world, free_world),
        cmocka_unit_test_setup_teardown(test_a_list_that_is_read_late_gets_who_came_before,
                                        make_world, free_world),
        cmocka_unit_test_setup_teardown(test_a_list_that_cannot_be_written_is_written_later,
                                        make_world, free_world),
        cmocka_unit_test_setup_teardown(test_guests_that_cannot_be_written_are_written_later,
                                        make_world, free_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
