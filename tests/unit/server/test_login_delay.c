/* test_login_delay.c - who has to wait before the next login, and how long that is remembered */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/login_delay.h"

static void test_counts_by_address(void **state)
{
    (void)state;
    struct login_delay delay = {0};
    assert_false(login_delay_applies(&delay, "192.0.2.7:1", 1, 100));
    for (unsigned i = 1; i <= 3; i++) {
        char peer[32];
        snprintf(peer, sizeof peer, "192.0.2.7:%u", 1000 + i);
        assert_int_equal(login_delay_note_failure(&delay, peer, 100 + i), i);
    }
    assert_true(login_delay_applies(&delay, "192.0.2.7:9", 3, 200));
    assert_false(login_delay_applies(&delay, "192.0.2.7:9", 4, 200));
    assert_false(login_delay_applies(&delay, "192.0.2.70:9", 1, 200));
    assert_false(login_delay_applies(&delay, "192.0.2:9", 1, 200));
    assert_int_equal(login_delay_note_failure(&delay, "[2001:db8::1]:1000", 200), 1);
    assert_true(login_delay_applies(&delay, "[2001:db8::1]:7", 1, 200));
    assert_false(login_delay_applies(&delay, "[2001:db8::2]:7", 1, 200));
}

static void test_forgets_after_a_minute(void **state)
{
    (void)state;
    struct login_delay delay = {0};
    login_delay_note_failure(&delay, "192.0.2.7:1", 1000);
    login_delay_note_failure(&delay, "192.0.2.7:1", 50000);
    assert_true(login_delay_applies(&delay, "192.0.2.7:1", 2, 60999));
    assert_false(login_delay_applies(&delay, "192.0.2.7:1", 1, 61000));
    assert_int_equal(login_delay_note_failure(&delay, "192.0.2.7:1", 61000), 1);
}

static void test_bounded(void **state)
{
    (void)state;
    struct login_delay delay = {0};
    char peer[32];
    for (unsigned i = 0; i <= LOGIN_DELAY_SOURCES; i++) {
        snprintf(peer, sizeof peer, "10.0.%u.%u:1", i / 256, i % 256);
        login_delay_note_failure(&delay, peer, 1000 + i);
    }
    assert_true(login_delay_applies(&delay, peer, 1, 2000));
    assert_true(login_delay_applies(&delay, "10.0.0.1:1", 1, 2000));
    assert_false(login_delay_applies(&delay, "10.0.0.0:1", 1, 2000)); /* the oldest made room */
    char long_peer[200];
    memset(long_peer, 'a', sizeof long_peer - 1);
    long_peer[sizeof long_peer - 1] = '\0';
    assert_int_equal(login_delay_note_failure(&delay, long_peer, 2000), 0);
    assert_int_equal(login_delay_note_failure(&delay, "", 2000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_by_address),
        cmocka_unit_test(test_forgets_after_a_minute),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
