/* test_architectures.c - the registry table, row by row */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netboot-target/dhcp/client.h>

static void test_table(void **state)
{
    (void)state;
    const struct dhcp_architecture *row;
    unsigned count = 0;
    for (; (row = dhcp_architecture_at(count)); count++) {
        assert_int_equal(row->code, count); /* found by index: no gap, no disorder */
        assert_ptr_equal(dhcp_architecture_find(row->code), row);
        assert_true(row->name && *row->name);
        const struct dhcp_architecture *alike = dhcp_architecture_find(row->alike);
        assert_non_null(alike);
        assert_int_equal(alike->alike, alike->code);
        assert_int_equal(alike->firmware, row->firmware);
        bool says_http = strstr(row->name, "HTTP") && !strstr(row->name, "U-Boot");
        bool is_http =
            row->firmware == DHCP_FIRMWARE_UEFI_HTTP || row->firmware == DHCP_FIRMWARE_BIOS_HTTP;
        assert_int_equal(says_http, is_http);
    }
    assert_int_equal(count, 0x2a);
    assert_null(dhcp_architecture_find(0x2a));
    assert_null(dhcp_architecture_find(0xffff));
    assert_int_equal(dhcp_architecture_find(9)->alike, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
