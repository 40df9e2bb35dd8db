/* test_keys.c - walks the key table: no row may be wrong in itself. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/keys.h"
#include "iscsi/login.h"
#include "iscsi/text.h"
#include <netboot-target/util/array.h>

static bool is_number(const struct iscsi_key *key)
{
    return key->function == KEY_MINIMUM || key->function == KEY_MAXIMUM ||
           key->function == KEY_DECLARED_NUMBER;
}

static void test_rows_are_found_by_name(void **state)
{
    (void)state;
    for (enum iscsi_key_id id = 0; id < KEY_COUNT; id++) {
        const char *name = iscsi_keys[id].name;
        assert_non_null(name);
        assert_true(strlen(name) > 0 && strlen(name) < TEXT_KEY_BYTES);
        assert_int_equal(iscsi_key_find(name), id); /* so no name stands there twice */
    }
}

static void test_other_names_are_not(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",      "initiatorname",     "InitiatorNam", "SendTargetsPlease", "sENDtARGETS",
        "CHAP_", "X-org.example.key", "AuthMethod "};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        assert_int_equal(iscsi_key_find(names[i]), KEY_COUNT);
}

static void test_rows_are_sound(void **state)
{
    (void)state;
    for (enum iscsi_key_id id = 0; id < KEY_COUNT; id++) {
        const struct iscsi_key *key = &iscsi_keys[id];
        assert_true(key->function < KEY_FUNCTION_COUNT);
        assert_true(key->stages != 0 && !(key->stages & ~STAGE_ANY));
        assert_int_equal(key->values != NULL, key->function == KEY_LIST);
        assert_int_equal(key->target_only && key->function != KEY_REJECTED, 0);
        if (key->function == KEY_SECURITY)
            assert_int_equal(key->stages, STAGE_SECURITY);
        if (is_number(key)) {
            assert_true(key->minimum <= key->maximum);
            assert_true(key->initial >= key->minimum && key->initial <= key->maximum);
            assert_true(key->ours >= key->minimum && key->ours <= key->maximum);
        }
        if (iscsi_key_is_boolean(key))
            assert_true(key->initial <= 1 && key->ours <= 1);
        if (key->field != KEY_NO_FIELD)
            assert_true(is_number(key) || iscsi_key_is_boolean(key));
    }
}

static void test_fields_are_distinct_and_inside(void **state)
{
    (void)state;
    bool used[sizeof(struct iscsi_parameters)] = {false};
    for (enum iscsi_key_id id = 0; id < KEY_COUNT; id++) {
        const struct iscsi_key *key = &iscsi_keys[id];
        size_t size = iscsi_key_is_boolean(key) ? sizeof(bool) : sizeof(uint32_t);
        if (key->field == KEY_NO_FIELD)
            continue;
        assert_true(key->field + size <= sizeof used);
        for (size_t i = 0; i < size; i++) {
            assert_false(used[key->field + i]);
            used[key->field + i] = true;
        }
    }
}

static void test_max_burst_is_settled_before_first_burst(void **state)
{
    (void)state;
    assert_true(KEY_MAX_BURST_LENGTH < KEY_FIRST_BURST_LENGTH);
}

/* RFC 7143 §13: what it says of each key, written down a second time. */
static void test_defaults_and_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum iscsi_key_function function;
        uint32_t minimum, maximum, initial;
        bool irrelevant_in_discovery;
    } rows[] = {
        {"MaxConnections",           KEY_MINIMUM,         1,   65535,    1,      true },
        {"InitialR2T",               KEY_OR,              0,   0,        1,      true },
        {"ImmediateData",            KEY_AND,             0,   0,        1,      true },
        {"MaxRecvDataSegmentLength", KEY_DECLARED_NUMBER, 512, 16777215, 8192,   false},
        {"MaxBurstLength",           KEY_MINIMUM,         512, 16777215, 262144, true },
        {"FirstBurstLength",         KEY_MINIMUM,         512, 16777215, 65536,  true },
        {"DefaultTime2Wait",         KEY_MAXIMUM,         0,   3600,     2,      false},
        {"DefaultTime2Retain",       KEY_MINIMUM,         0,   3600,     20,     false},
        {"MaxOutstandingR2T",        KEY_MINIMUM,         1,   65535,    1,      true },
        {"DataPDUInOrder",           KEY_OR,              0,   0,        1,      true },
        {"DataSequenceInOrder",      KEY_OR,              0,   0,        1,      true },
        {"ErrorRecoveryLevel",       KEY_MINIMUM,         0,   2,        0,      false},
        {"iSCSIProtocolLevel",       KEY_MINIMUM,         0,   31,       1,      true },
        {"HeaderDigest",             KEY_DIGEST,          0,   0,        0,      false},
        {"DataDigest",               KEY_DIGEST,          0,   0,        0,      false},
        {"TaskReporting",            KEY_LIST,            0,   0,        0,      true },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        enum iscsi_key_id id = iscsi_key_find(rows[i].name);
        assert_true(id < KEY_COUNT);
        const struct iscsi_key *key = &iscsi_keys[id];
        assert_int_equal(key->function, rows[i].function);
        assert_int_equal(key->minimum, rows[i].minimum);
        assert_int_equal(key->maximum, rows[i].maximum);
        assert_int_equal(key->initial, rows[i].initial);
        assert_int_equal(key->irrelevant_in_discovery, rows[i].irrelevant_in_discovery);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_found_by_name),
        cmocka_unit_test(test_other_names_are_not),
        cmocka_unit_test(test_rows_are_sound),
        cmocka_unit_test(test_fields_are_distinct_and_inside),
        cmocka_unit_test(test_max_burst_is_settled_before_first_burst),
        cmocka_unit_test(test_defaults_and_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
