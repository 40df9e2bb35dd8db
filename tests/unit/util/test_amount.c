/* test_amount.c - the edges between units */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netboot-target/util/amount.h>

static void test_amounts(void **state)
{
    (void)state;
    struct amount amount;
    assert_string_equal(amount_bytes(&amount, 0), "0 B");
    assert_string_equal(amount_bytes(&amount, 1023), "1023 B");
    assert_string_equal(amount_bytes(&amount, 1024), "1.0 KiB");
    assert_string_equal(amount_bytes(&amount, 1536), "1.5 KiB");
    assert_string_equal(amount_bytes(&amount, (1 << 20) - 1), "1023.9 KiB");
    assert_string_equal(amount_bytes(&amount, 1 << 20), "1.0 MiB");
    assert_string_equal(amount_bytes(&amount, UINT64_MAX), "15.9 EiB");
    assert_string_equal(amount_duration(&amount, 0), "0 s");
    assert_string_equal(amount_duration(&amount, 59), "59 s");
    assert_string_equal(amount_duration(&amount, 60), "1 min");
    assert_string_equal(amount_duration(&amount, 61), "1 min 1 s");
    assert_string_equal(amount_duration(&amount, 3600), "1 h");
    assert_string_equal(amount_duration(&amount, 90061), "1 d 1 h");
    assert_string_equal(amount_duration(&amount, UINT64_MAX), "213503982334601 d 7 h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_amounts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
