/* Task management over iSCSI: functions, their answers, and when these come. */
#include "iscsi/connection_fixture.h"

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        uint8_t function;
        unsigned lun;
        uint8_t response;
    } cases[] = {
        {0,   0,  5}, /* no function */
        {1,   0,  1}, /* no such task */
        {1,   9,  2}, /* no such LUN */
        {2,   0,  0},
        {2,   9,  2},
        {3,   0,  5}, /* CLEAR ACA */
        {4,   1,  0},
        {5,   0,  0},
        {5,   77, 2},
        {6,   0,  0},
        {8,   0,  4}, /* TASK REASSIGN: ErrorRecoveryLevel is 0 */
        {9,   0,  0}, /* QUERY TASK: no */
        {10,  0,  0},
        {11,  0,  0},
        {13,  0,  5},
        {126, 0,  5},
        {127, 0,  5},
    };
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "HeaderDigest=CRC32C\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t itt = send_management(peer, cases[i].function, cases[i].lun, 4711);
        expect_management(peer, itt, cases[i].response);
    }
    world_free(world);
}

/* QUERY TASK, QUERY TASK SET and QUERY ASYNCHRONOUS EVENT: 7 is "succeeded", RFC 7144 §5.1. */
static void test_queries(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint32_t writing = send_write(peer, 0, 8, NULL, 0);
    struct pdu r2t = expect_r2t(peer, writing, 0, 0, 4096);
    expect_management(peer, send_management(peer, 9, 0, writing), 7);
    expect_management(peer, send_management(peer, 9, 0, writing + 1), 0);
    expect_management(peer, send_management(peer, 10, 0, 0), 7);
    expect_management(peer, send_management(peer, 10, 1, 0), 0);
    expect_management(peer, send_management(peer, 12, 0, 0), 0);
    expect_management(peer, send_management(peer, 12, 1, 0), 7); /* LUN 1's first attention */
    send_data_out(peer, writing, pdu_ttt(&r2t), 0, 0, pattern(1), 4096, true);
    world_dispatch(world);
    expect_good(peer, writing);
    expect_management(peer, send_management(peer, 9, 0, writing), 0);
    world_free(world);
}

/* A function that is not immediate takes a number, and its turn. */
static void test_numbers(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint8_t bhs[BHS_BYTES] = {OP_TASK_MANAGEMENT, BHS_FINAL | 2};
    uint32_t itt = number_request(peer, bhs);
    send_pdu(peer, bhs, NULL, 0);
    expect_management(peer, itt, 0);
    peer->cmd_sn += 3;
    number_request(peer, bhs);
    send_pdu(peer, bhs, NULL, 0);
    expect_nothing(peer);
    peer->cmd_sn -= 4;
    itt = number_request(peer, bhs);
    send_pdu(peer, bhs, NULL, 0);
    expect_management(peer, itt, 0);
    world_free(world);
}

/* Answered only when the disk has let go, and nothing of the task comes behind it. */
static void test_abort_waits_for_the_disk(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    uint32_t first = send_write(peer, 0, 8, pattern(1), 4096);
    uint32_t second = send_write(peer, 8, 8, pattern(2), 4096);
    uint32_t abort = send_management(peer, 1, 0, first);
    uint32_t twice = send_management(peer, 1, 0, first); /* waits as well */
    uint32_t ping = send_nop(peer, true, NULL, 0);
    assert_int_equal(load_be32(expect_pdu(peer, OP_NOP_IN).bhs + BHS_ITT), ping);
    unhang(world);
    struct pdu pdu;
    unsigned answers = 0;
    while (next_pdu(peer, &pdu)) {
        uint32_t itt = load_be32(pdu.bhs + BHS_ITT);
        assert_true(itt == abort || itt == twice || itt == second);
        assert_int_equal(pdu.bhs[2], 0); /* function complete, or command completed at target */
        answers++;
    }
    assert_int_equal(answers, 3);
    abort = send_management(peer, 1, 0, first);
    expect_management(peer, abort, 1); /* it is none any more */
    world_free(world);
}

/* Each of many waits for its own. */
static void test_many_functions_wait(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    uint32_t writes[10], aborts[10];
    hang(world, BLOCK_WRITE);
    for (unsigned i = 0; i < 10; i++)
        writes[i] = send_write(peer, i * 8, 8, pattern(1), 4096);
    for (unsigned i = 0; i < 10; i++)
        aborts[i] = send_management(peer, 1, 0, writes[i]);
    uint32_t reset = send_management(peer, 5, 0, 0);
    expect_nothing(peer);
    unhang(world);
    for (unsigned i = 0; i < 10; i++)
        expect_management(peer, aborts[i], 0);
    expect_management(peer, reset, 0);
    expect_nothing(peer);
    world_free(world);
}

/* They wait on a disk that hangs; a peer must not heap them up for ever. */
static void test_waiting_functions_are_bounded(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(peer, 0, 8, pattern(1), 4096);
    for (unsigned i = 0; i < 100000 && peer->connection; i++)
        send_management(peer, 2, 0, 0);
    expect_closed(peer, "does not read");
    unhang(world);
    world_free(world);
}

/* The answer that is one too many comes when the disk is done, not while the peer asks. */
static void test_answer_to_a_peer_that_does_not_read(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(peer, 0, 8, pattern(1), 4096);
    send_management(peer, 2, 0, 0);
    while (peer->connection->responses_bytes < RESPONSES_LIMIT_BYTES - 10000)
        send_nop(peer, true, pattern(1), 4096);
    while (peer->connection->responses_bytes + sizeof(struct iscsi_response) <=
           RESPONSES_LIMIT_BYTES)
        send_nop(peer, true, NULL, 0);
    assert_non_null(peer->connection);
    unhang(world);
    assert_non_null(peer->connection);
    struct pdu pdu;
    do
        assert_true(next_pdu(peer, &pdu));
    while (bhs_opcode(pdu.bhs) == OP_NOP_IN);
    assert_int_equal(bhs_opcode(pdu.bhs), OP_TASK_MANAGEMENT_RESPONSE);
    assert_int_equal(peer->connection->responses_bytes, 0);
    world_free(world);
}

/* A connection that closes takes its functions along; the disk's answer finds nobody. */
static void test_function_of_a_closed_connection(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, ""), *other = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(peer, 0, 8, pattern(1), 4096);
    send_management(peer, 2, 0, 0);
    uint32_t reset = send_management(other, 5, 0, 0);
    expect_nothing(other);
    peer_close(peer, "gone");
    expect_nothing(other);
    unhang(world);
    expect_management(other, reset, 0);
    world_free(world);
}

/* TARGET COLD RESET: answered, then every session of the target ends; warm reset ends none. */
static void test_cold_reset_ends_all_sessions(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, ""), *other = peer_new(world, "");
    struct peer *discovery = peer_open(world);
    send_login(discovery, TRANSIT(1, 3), "InitiatorName=" INITIATOR "\nSessionType=Discovery\n");
    expect_logged_in(discovery);
    expect_management(peer, send_management(peer, 6, 0, 0), 0);
    assert_non_null(other->connection);
    other->woken = false;
    uint32_t reset = send_management(peer, 7, 0, 0);
    expect_management(peer, reset, 0);
    assert_null(peer->connection);
    assert_true(other->woken);
    expect_closed(other, "cold reset");
    assert_int_equal(world->events[ISCSI_EVENT_SESSION_ENDED], 2);
    assert_non_null(discovery->connection);
    world_free(world);
}

/* It waits for the disk, and for sessions that are closing anyway. */
static void test_cold_reset_of_a_busy_target(void **state)
{
    (void)state;
    struct world *world = world_default();
    struct peer *peer = peer_new(world, ""), *other = peer_new(world, "");
    hang(world, BLOCK_WRITE);
    send_write(peer, 0, 8, pattern(1), 4096);
    send_write(other, 8, 8, pattern(1), 4096);
    uint32_t reset = send_management(peer, 7, 0, 0);
    expect_nothing(peer);
    peer_close(other, "gone");
    unhang(world);
    expect_management(peer, reset, 0);
    assert_null(peer->connection);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_abort_waits_for_the_disk),
        cmocka_unit_test(test_many_functions_wait),
        cmocka_unit_test(test_waiting_functions_are_bounded),
        cmocka_unit_test(test_answer_to_a_peer_that_does_not_read),
        cmocka_unit_test(test_function_of_a_closed_connection),
        cmocka_unit_test(test_cold_reset_ends_all_sessions),
        cmocka_unit_test(test_cold_reset_of_a_busy_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
