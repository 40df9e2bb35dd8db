/* test_steps.c - the table of steps */
#include "fixture.h"

#include "journal/internal.h"

static void test_every_step_is_told(void **state)
{
    (void)state;
    for (int i = JOURNAL_NONE; i < JOURNAL_STEP_COUNT; i++) {
        const struct step_row *row = &journal_steps[i];
        assert_non_null(row->name);
        assert_non_null(row->words);
        assert_string_equal(journal_step_name((enum journal_step)i), row->name);
        for (int j = JOURNAL_NONE; j < i; j++)
            assert_string_not_equal(journal_steps[j].name, row->name);
    }
}

/* Whatever is late or stops must be able to say what should have come. */
static void test_who_can_be_late_waits_for_something(void **state)
{
    (void)state;
    for (int i = JOURNAL_NONE; i < JOURNAL_STEP_COUNT; i++) {
        const struct step_row *row = &journal_steps[i];
        if (row->wait_ms || row->state == JOURNAL_STOPPED || row->state == JOURNAL_BOOTING)
            assert_non_null(row->next);
        if (row->state == JOURNAL_STOPPED)
            assert_int_equal(row->wait_ms, 0);
    }
}

static void test_deadlines(void **state)
{
    struct story story = {
        .step = JOURNAL_OFFER, .furthest = JOURNAL_OFFER, .first_ms = 1000, .last_ms = 9000};
    (void)state;
    story.count = 2;
    assert_int_equal(story_deadline_ms(&story), 29000);
    story.count = 3; /* it repeats itself: the first time counts */
    assert_int_equal(story_deadline_ms(&story), 21000);
    story.step = JOURNAL_OS_READ;
    assert_int_equal(story_deadline_ms(&story), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_step_is_told),
        cmocka_unit_test(test_who_can_be_late_waits_for_something),
        cmocka_unit_test(test_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
