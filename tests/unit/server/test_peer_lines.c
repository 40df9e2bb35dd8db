/* test_peer_lines.c - a peer that causes many lines hides its own, not those of others */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/peer_lines.h"

static void test_one_liar_hides_nobody(void **state)
{
    (void)state;
    struct peer_lines lines = {0};
    unsigned allowed = 0;
    for (unsigned i = 0; i < 1000; i++)
        allowed += peer_lines_allow(&lines, i % 2 ? "192.0.2.7:1" : "192.0.2.7:2", 1000);
    assert_int_equal(allowed, PEER_LINES_BURST);
    assert_true(peer_lines_allow(&lines, "192.0.2.8:1", 1000));
    assert_true(peer_lines_allow(&lines, "[2001:db8::7]:1", 1000));
    assert_false(peer_lines_allow(&lines, "192.0.2.7:3", 1000 + PEER_LINES_INTERVAL_MS - 1));
    assert_true(peer_lines_allow(&lines, "192.0.2.7:3", 1000 + PEER_LINES_INTERVAL_MS));
}

static void test_tells_what_was_left_out(void **state)
{
    (void)state;
    struct peer_lines lines = {0};
    struct peer_lines_left_out left_out;
    assert_false(peer_lines_any_left_out(&lines));
    for (unsigned i = 0; i < PEER_LINES_BURST + 7; i++)
        peer_lines_allow(&lines, "192.0.2.7:1", 1000);
    assert_true(peer_lines_any_left_out(&lines));
    assert_false(peer_lines_next_left_out(&lines, 1000 + PEER_LINES_TELL_MS - 1, &left_out));
    assert_true(peer_lines_next_left_out(&lines, 1000 + PEER_LINES_TELL_MS, &left_out));
    assert_string_equal(left_out.host, "192.0.2.7");
    assert_int_equal(left_out.lines, 7);
    assert_false(peer_lines_any_left_out(&lines));
    assert_false(peer_lines_next_left_out(&lines, 1000 + PEER_LINES_TELL_MS, &left_out));
}

/* Many addresses: the table stays small, all of them together are limited, and no line is left out
 * without being counted. */
static void test_many_liars_are_bounded(void **state)
{
    (void)state;
    struct peer_lines lines = {0};
    struct peer_lines_left_out left_out;
    unsigned allowed = 0, told = 0;
    for (unsigned i = 0; i < 2000; i++) {
        char peer[32];
        snprintf(peer, sizeof peer, "10.0.%u.%u:1", i / 250, i % 250);
        allowed += peer_lines_allow(&lines, peer, 1000);
    }
    assert_int_equal(allowed, PEER_LINES_ALL_BURST);
    while (peer_lines_next_left_out(&lines, 1000 + PEER_LINES_TELL_MS, &left_out))
        told += left_out.lines;
    assert_int_equal(allowed + told, 2000);
    assert_string_equal(left_out.host, "various");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_liar_hides_nobody),
        cmocka_unit_test(test_tells_what_was_left_out),
        cmocka_unit_test(test_many_liars_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
