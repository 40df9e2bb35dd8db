/* Sense data in both formats. */
#include "scsi/sense.h"

#include "scsi/fixture.h"

static void fixed_format(void **state)
{
    (void)state;
    uint8_t to[SCSI_SENSE_BYTES];
    struct sense sense = {.key = SENSE_MEDIUM_ERROR,
                          .asc_ascq = ASC_UNRECOVERED_READ_ERROR,
                          .has_information = true,
                          .information = 0x12345678};
    sense_point_at(&sense, true, 0x102, 3);
    assert_int_equal(sense_write(&sense, false, to), 18);
    static const uint8_t expected[18] = {0xf0, 0, 0x03, 0x12, 0x34, 0x56, 0x78, 10,  0,
                                         0,    0, 0,    0x11, 0,    0,    0xcb, 0x1, 0x2};
    assert_memory_equal(to, expected, sizeof(expected));
    sense.information = 1ull << 32; /* does not fit: not VALID */
    sense_write(&sense, false, to);
    assert_int_equal(to[0], 0x70);
    assert_int_equal(load_be32(to + 3), 0);
}

static void descriptor_format(void **state)
{
    (void)state;
    uint8_t to[SCSI_SENSE_BYTES];
    struct sense sense = {.key = SENSE_MISCOMPARE,
                          .asc_ascq = ASC_MISCOMPARE,
                          .has_information = true,
                          .information = 0x123456789abull};
    assert_int_equal(sense_write(&sense, true, to), 20);
    static const uint8_t expected[20] = {0x72, 0x0e, 0x1d, 0, 0, 0,    0,    12,   0,    0x0a,
                                         0x80, 0,    0,    0, 1, 0x23, 0x45, 0x67, 0x89, 0xab};
    assert_memory_equal(to, expected, sizeof(expected));
    sense_point_at(&sense, false, 5, SENSE_WHOLE_BYTE);
    assert_int_equal(sense_write(&sense, true, to), 28);
    assert_int_equal(to[7], 20);
    assert_memory_equal(to + 20, ((uint8_t[]){2, 6, 0, 0, 0x80, 0, 5, 0}), 8);
}

static void progress(void **state)
{
    (void)state;
    uint8_t to[SCSI_SENSE_BYTES];
    struct sense sense = {.key = SENSE_NOT_READY, .asc_ascq = ASC_SANITIZE_IN_PROGRESS};
    sense_set_progress(&sense, 0x8000);
    sense_write(&sense, false, to);
    assert_memory_equal(to + 15, ((uint8_t[]){0x80, 0x80, 0}), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_format),
        cmocka_unit_test(descriptor_format),
        cmocka_unit_test(progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
