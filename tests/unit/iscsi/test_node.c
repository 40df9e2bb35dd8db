/* The node: limits, deadlines, targets that come and go, draining. */
#include "iscsi/connection_fixture.h"

/* ── limits ──────────────────────────────────────────────────────────────────────────────────── */

static void test_too_many_connections(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.connections = 3;
    struct world *world = world_new(&options);
    struct peer *first = peer_new(world, "");
    peer_new(world, "");
    peer_open(world);
    assert_null(peer_open_from(world, "192.0.2.9")->connection);
    assert_int_equal(world->events[ISCSI_EVENT_LOGIN_REFUSED], 1);
    assert_non_null(strstr(world->reason, "limits.connections"));
    peer_close(first, "gone");
    assert_non_null(peer_open_from(world, "192.0.2.9")->connection);
    world_free(world);
}

/* One that is closed counts until the disk has let go of its I/O. */
static void test_draining_connections_count(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.connections = 1;
    struct world *world = world_new(&options);
    struct peer *first = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(first, 0, 8, pattern(1), 4096);
    peer_close(first, "gone");
    assert_null(peer_open_from(world, "192.0.2.9")->connection);
    unhang(world);
    assert_non_null(peer_open_from(world, "192.0.2.9")->connection);
    world_free(world);
}

static void test_too_many_logins_in_progress(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.logins_in_progress = 2;
    struct world *world = world_new(&options);
    for (unsigned i = 0; i < 3; i++) /* those that are through do not count */
        peer_new(world, "");
    struct peer *silent = peer_open(world);
    struct peer *slow = peer_open(world);
    assert_non_null(
        peer_open_from(world, "192.0.2.9")->connection); /* who says nothing makes way */
    assert_non_null(strstr(world->reason, "(limits.logins)"));
    assert_null(silent->connection);
    peer_log_in(slow, "");
    world_free(world);
}

static void test_named_logins_do_not_make_way(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.logins_in_progress = 2;
    struct world *world = world_new(&options);
    struct peer *peers[] = {peer_open(world), peer_open(world)};
    for (unsigned i = 0; i < ARRAY_SIZE(peers); i++) /* the operational stage goes on */
        send_login(peers[i], 1 << 2,
                   "InitiatorName=iqn.2026-11.local.test:slow\nTargetName=" TARGET);
    assert_null(peer_open_from(world, "192.0.2.9")->connection);
    assert_non_null(strstr(world->reason, "(limits.logins)"));
    assert_non_null(peers[0]->connection);
    world_free(world);
}

/* The bound of one address is another matter for the others. */
static void test_too_many_logins_from_one_address(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.connections_per_source = 100;
    options.limits.logins_per_source = 2;
    struct world *world = world_new(&options);
    peer_new(world, "");
    peer_open(world);
    peer_open(world);
    assert_null(peer_open_from(world, "192.0.2.7")->connection);
    assert_non_null(peer_open_from(world, "192.0.2.8")->connection);
    world_free(world);
}

static void test_too_many_connections_from_one_address(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.connections_per_source = 2;
    struct world *world = world_new(&options);
    peer_new(world, "");
    peer_new(world, "");
    assert_null(peer_open_from(world, "192.0.2.7")->connection);
    assert_non_null(strstr(world->reason, "limits.connections-per-source"));
    assert_non_null(peer_open_from(world, "192.0.2.8")->connection);
    options.limits.connections_per_source = 3;
    iscsi_node_set_limits(world->node, &options.limits);
    peer_new(world, "");
    world_free(world);
}

/* Addresses are told as they were reached: [IPv6], and IPv4 also where it comes mapped. */
static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address, *text;
    } cases[] = {
        {"2001:db8::7",      "[2001:db8::7]:3260"},
        {"::ffff:192.0.2.7", "192.0.2.7:3260"    },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world *world = world_default();
        struct sockaddr_storage address = {.ss_family = AF_INET6};
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
        in6->sin6_port = htons(ISCSI_PORT);
        assert_int_equal(inet_pton(AF_INET6, cases[i].address, &in6->sin6_addr), 1);
        struct peer *peer = peer_open(world);
        peer_close(peer, "another one");
        peer->connection =
            iscsi_connection_new(world->node, &address, &address, peer, world->now_us);
        assert_string_equal(peer->connection->peer_text, cases[i].text);
        peer_log_in(peer, "");
        send_text(peer, BHS_FINAL, RESERVED_TAG, "SendTargets=All\n");
        char expected[80];
        snprintf(expected, sizeof expected, "%s,1", cases[i].text);
        struct pdu pdu = expect_pdu(peer, OP_TEXT_RESPONSE);
        assert_string_equal(text_value(&pdu, "TargetAddress"), expected);
        world_free(world);
    }
}

/* ── deadlines ───────────────────────────────────────────────────────────────────────────────── */

static void test_login_deadline(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.login_deadline_ms = 2000;
    struct world *world = world_new(&options);
    assert_int_equal(iscsi_node_tick(world->node, world->now_us), 0);
    struct peer *silent = peer_open(world);
    world->now_us += 500000;
    struct peer *half = peer_open(world);
    send_login(half, TRANSIT(0, 1), "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\n");
    expect_pdu(half, OP_LOGIN_RESPONSE);
    struct peer *through = peer_new(world, "");
    assert_int_equal(iscsi_node_tick(world->node, START_US + 1999999), START_US + 2000000);
    assert_non_null(silent->connection);
    assert_int_equal(iscsi_node_tick(world->node, START_US + 2000000), START_US + 2500000);
    assert_null(silent->connection);
    assert_non_null(half->connection);
    assert_int_equal(iscsi_node_tick(world->node, START_US + 2500000), 0);
    assert_null(half->connection);
    assert_non_null(strstr(world->reason, "login took longer than 2000 ms"));
    assert_int_equal(iscsi_node_tick(world->node, START_US + 3600000000), 0);
    assert_non_null(through->connection);
    world_free(world);
}

/* ── targets ─────────────────────────────────────────────────────────────────────────────────── */

static void expect_login_status(struct world *world, unsigned status)
{
    struct peer *peer = peer_open(world);
    send_whole_login(peer, "");
    struct pdu pdu = expect_pdu(peer, OP_LOGIN_RESPONSE);
    assert_int_equal(load_be16(pdu.bhs + 36), status);
    peer_close(peer, "enough");
}

static void test_target_that_is_not_ready(void **state)
{
    (void)state;
    struct world *world = world_default();
    iscsi_target_set_ready(world->target, false);
    expect_login_status(world, 0x0301);
    iscsi_target_set_ready(world->target, true);
    expect_login_status(world, 0);
    iscsi_node_set_welcome(world->node, ISCSI_WELCOME_NOBODY);
    expect_login_status(world, 0x0301);
    iscsi_node_set_welcome(world->node, ISCSI_WELCOME_ALL);
    expect_login_status(world, 0);
    world_free(world);
}

static void test_names_are_unique(void **state)
{
    (void)state;
    struct world *world = world_default();
    assert_int_equal(iscsi_node_add_target(world->node, world->target), -EEXIST);
    world_free(world);
}

/* Removed: its sessions close, the last I/O ends, then `removed` is called, once. */
static void test_removing_a_target(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *busy = peer_new(world, ""), *idle = peer_new(world, "");
    struct peer *half = peer_open(world);
    send_login(half, TRANSIT(0, 1), "InitiatorName=" INITIATOR "\nTargetName=" TARGET "\n");
    expect_pdu(half, OP_LOGIN_RESPONSE);
    hang(world, BLOCK_WRITE);
    send_write(busy, 0, 8, pattern(1), 4096);
    bool removed = false;
    iscsi_node_remove_target(world->node, world->target, note_removed, &removed);
    assert_false(removed);
    assert_null(busy->connection);
    assert_null(idle->connection);
    assert_non_null(half->connection);
    send_login(half, TRANSIT(1, 3), "");
    struct pdu pdu = expect_pdu(half, OP_LOGIN_RESPONSE);
    assert_int_not_equal(load_be16(pdu.bhs + 36), 0);
    unhang(world);
    assert_true(removed);
    world->target->removing = false;
    assert_int_equal(iscsi_node_add_target(world->node, world->target), 0);
    world_free(world);
}

/* ── sessions of one initiator ───────────────────────────────────────────────────────────────── */

/* iPXE leaves one behind at every boot, with a fresh ISID: the oldest from the same address goes.
 */
static void test_the_oldest_session_makes_room(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.sessions_per_initiator = 2;
    struct world *world = world_new(&options);
    struct peer *first = peer_new(world, ""), *second = peer_new(world, "");
    struct peer *third = peer_new(world, "");
    assert_null(first->connection);
    assert_non_null(second->connection);
    assert_non_null(third->connection);
    struct peer *elsewhere = peer_open_from(world, "192.0.2.99");
    send_whole_login(elsewhere, "");
    struct pdu pdu = expect_pdu(elsewhere, OP_LOGIN_RESPONSE);
    assert_int_equal(load_be16(pdu.bhs + 36), 0x0302);
    assert_non_null(second->connection);
    struct peer *same = peer_open(world); /* reinstating is not one more */
    memcpy(same->isid, second->isid, sizeof same->isid);
    peer_log_in(same, "");
    assert_null(second->connection);
    assert_non_null(third->connection);
    world_free(world);
}

/* Neither a disk on another target nor a question for the list of targets costs a session. */
static void test_each_target_counts_its_own_sessions(void **state)
{
    (void)state;
    struct world_options options = world_defaults();
    options.limits.sessions_per_initiator = 1;
    struct world *world = world_new(&options);
    const struct iscsi_target_options other = {.name = OTHER_TARGET, .initial_r2t = true};
    struct iscsi_target *target = iscsi_target_new(&other, world->scsi, &(struct error){0});
    assert_non_null(target);
    iscsi_target_set_ready(target, true);
    assert_int_equal(iscsi_node_add_target(world->node, target), 0);
    struct peer *root = peer_new(world, "");
    struct peer *second = peer_open(world);
    send_login(second, TRANSIT(1, 3), "InitiatorName=" INITIATOR "\nTargetName=" OTHER_TARGET "\n");
    expect_logged_in(second);
    struct peer *discovery[2];
    for (unsigned i = 0; i < 2; i++) {
        discovery[i] = peer_open(world);
        send_login(discovery[i], TRANSIT(1, 3),
                   "InitiatorName=" INITIATOR "\nSessionType=Discovery\n");
        expect_logged_in(discovery[i]);
    }
    assert_non_null(root->connection);
    assert_non_null(second->connection);
    assert_null(discovery[0]->connection); /* these are counted, too */
    assert_non_null(discovery[1]->connection);
    bool removed = false;
    iscsi_node_remove_target(world->node, target, note_removed, &removed);
    assert_true(removed);
    iscsi_target_free(target);
    world_free(world);
}

/* ── the end ─────────────────────────────────────────────────────────────────────────────────── */

static const uint8_t ipxe_isid[] = {0x40, 0x00, 0x27, 0x23, 0x12, 0x34};
static const uint8_t isboot_isid[] = {0x80, 0x49, 0x53, 0x42, 0x00, 0x01};

static void test_drain(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *linux_peer = peer_new(world, "");
    const uint8_t *firmware[] = {ipxe_isid, isboot_isid};
    struct peer *quiet[2];
    for (unsigned i = 0; i < 2; i++) {
        quiet[i] = peer_open(world);
        memcpy(quiet[i]->isid, firmware[i], ISCSI_ISID_BYTES);
        assert_false(iscsi_connection_is_waited_for(quiet[i]->connection));
        peer_log_in(quiet[i], "");
        assert_true(iscsi_connection_is_waited_for(quiet[i]->connection));
    }
    struct peer *half = peer_open(world);
    assert_true(iscsi_node_waits_for_logout(world->node));
    linux_peer->woken = false;
    iscsi_node_drain(world->node);
    assert_true(linux_peer->woken);
    struct pdu pdu = expect_pdu(linux_peer, OP_ASYNC);
    assert_int_equal(load_be32(pdu.bhs + BHS_ITT), RESERVED_TAG);
    assert_int_equal(pdu.bhs[36], 1);
    assert_int_equal(load_be16(pdu.bhs + 42), 3);
    expect_nothing(quiet[0]);
    expect_nothing(quiet[1]);
    uint32_t itt = send_read(linux_peer, 0, 1); /* it still may */
    expect_data_in(linux_peer, itt, 0, BLOCK);
    send_whole_login(half, "");
    pdu = expect_pdu(half, OP_LOGIN_RESPONSE);
    assert_int_equal(load_be16(pdu.bhs + 36), 0x0301);
    send_logout(linux_peer, 0, 0);
    expect_pdu(linux_peer, OP_LOGOUT_RESPONSE);
    assert_false(iscsi_node_waits_for_logout(world->node));
    iscsi_node_close_all(world->node);
    assert_int_equal(iscsi_node_connection_count(world->node), 0);
    world_free(world);
}

/* A peer that reads nothing cannot hold the end up, nor break it. */
static void test_drain_with_a_peer_that_does_not_read(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    while (peer->connection->responses_bytes + sizeof(struct iscsi_response) <=
           RESPONSES_LIMIT_BYTES)
        send_nop(peer, true, NULL, 0);
    assert_non_null(peer->connection);
    iscsi_node_drain(world->node);
    iscsi_node_close_all(world->node);
    assert_null(peer->connection);
    world_free(world);
}

/* Everything in every phase at once, with I/O under way and a login that waits for it. */
static void test_close_all(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *busy = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(busy, 0, 8, pattern(1), 4096);
    struct peer *waiting = peer_open(world);
    memcpy(waiting->isid, busy->isid, sizeof waiting->isid);
    send_whole_login(waiting, "");
    peer_open(world);
    struct peer *idle = peer_open(world); /* of another initiator: nothing drains for it */
    snprintf(idle->initiator, sizeof idle->initiator, "iqn.1993-08.org.debian:01:idle");
    peer_log_in(idle, "");
    struct peer *after = peer_open(world); /* reinstates at once, while all is being closed */
    memcpy(after->isid, idle->isid, sizeof after->isid);
    iscsi_node_drain(world->node);
    iscsi_node_close_all(world->node);
    for (unsigned i = 0; i < world->peer_count; i++)
        assert_null(world->peers[i].connection);
    assert_int_equal(iscsi_node_connection_count(world->node), 1); /* the disk still writes */
    unhang(world);
    assert_int_equal(iscsi_node_connection_count(world->node), 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_draining_connections_count),
        cmocka_unit_test(test_too_many_logins_in_progress),
        cmocka_unit_test(test_named_logins_do_not_make_way),
        cmocka_unit_test(test_too_many_logins_from_one_address),
        cmocka_unit_test(test_too_many_connections_from_one_address),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_login_deadline),
        cmocka_unit_test(test_target_that_is_not_ready),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_removing_a_target),
        cmocka_unit_test(test_the_oldest_session_makes_room),
        cmocka_unit_test(test_each_target_counts_its_own_sessions),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_with_a_peer_that_does_not_read),
        cmocka_unit_test(test_close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
