/* test_options.c - the option table, and options inside options */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netboot-target/dhcp/message.h>

#include "dhcp/options.h"

static void test_table(void **state)
{
    (void)state;
    const struct dhcp_option_row *row;
    uint8_t before = 0;
    for (unsigned i = 0; (row = dhcp_option_at(i)); i++) {
        assert_true(row->code > before && row->code < 255); /* sorted, unique */
        before = row->code;
        assert_true(row->minimum_bytes <= row->maximum_bytes);
        assert_true(row->multiple_bytes >= 1);
        assert_int_equal(row->minimum_bytes % row->multiple_bytes, 0);
        assert_int_equal(row->maximum_bytes % row->multiple_bytes, 0);
        assert_non_null(row->name);
        assert_ptr_equal(dhcp_option_find(row->code), row);
    }
    assert_null(dhcp_option_find(0));
    assert_null(dhcp_option_find(255));
    assert_null(dhcp_option_find(13)); /* the size of the file: firmware would not ask for it */
}

static void test_suboptions(void **state)
{
    (void)state;
    static const uint8_t good[] = {0, 6, 1, 8, 0, 71, 4, 1, 2, 3, 4, 9, 0, 255, 71, 200};
    size_t length;
    bool wellformed = false;
    const uint8_t *value = dhcp_suboption_find(good, sizeof good, 71, &length, &wellformed);
    assert_ptr_equal(value, good + 7);
    assert_int_equal(length, 4);
    assert_true(wellformed);
    assert_non_null(dhcp_suboption_find(good, sizeof good, 9, &length, NULL));
    assert_int_equal(length, 0);
    assert_null(dhcp_suboption_find(good, sizeof good, 8, &length, NULL));
    assert_null(dhcp_suboption_find(good, 0, 8, &length, &wellformed));
    assert_true(wellformed);
    static const uint8_t cut[] = {6, 1, 8, 71, 5, 1, 2, 3, 4}, code_only[] = {6, 1, 8, 71};
    assert_null(dhcp_suboption_find(cut, sizeof cut, 71, &length, &wellformed));
    assert_false(wellformed);
    assert_null(dhcp_suboption_find(code_only, sizeof code_only, 71, &length, &wellformed));
    assert_false(wellformed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_suboptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
