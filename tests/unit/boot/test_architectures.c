/* test_architectures.c - the table of loaders */
#include "fixture.h"

static void test_codes_are_found_by_both_ways(void **state)
{
    (void)state;
    for (unsigned i = 0; boot_architecture_at(i); i++) {
        const struct boot_architecture *row = boot_architecture_at(i);
        assert_ptr_equal(boot_architecture_find(row->code), row);
        assert_ptr_equal(boot_architecture_find(row->http_code), row);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(boot_architecture_at(j)->key, row->key);
    }
    assert_string_equal(boot_architecture_find(0)->key, "bios");
    assert_string_equal(boot_architecture_find(0x10)->key, "efi-x64");
    assert_string_equal(boot_architecture_find(0x13)->key, "efi-arm64");
    assert_null(boot_architecture_find(0x29));
    assert_null(boot_architecture_find(0xffff));
}

static void test_a_missing_file_names_its_cure(void **state)
{
    struct error text;
    (void)state;
    boot_missing_file_text(&text, boot_architecture_find(7), "snponly.efi", "/usr/lib/ipxe");
    assert_has(text.text, "/usr/lib/ipxe/snponly.efi is missing");
    assert_has(text.text, "apt install ipxe");
    assert_has(text.text, "boot.files.efi-x64");
    boot_missing_file_text(&text, boot_architecture_find(0x0b), "arm64/snponly.efi", "/srv");
    assert_has(text.text, "boot.custom-directory");
    assert_lacks(text.text, "apt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_are_found_by_both_ways),
        cmocka_unit_test(test_a_missing_file_names_its_cure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
