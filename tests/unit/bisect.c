/* The search for the highest rate that holds, against servers of known capacity. */
#include "check.h"

#include "plan/bisect.h"

#include "base/random.h"

#include <math.h>

enum { MOST_TRIES = 60 };

struct found {
    double rate; /* 0: none */
    int tries, confirmations;
};

/* noise: at rates within so large a share of the capacity, chance decides. lie_at: that try is told wrong. */
static struct found search(double from, double to, double capacity, double noise, int lie_at,
                           struct mh_random *random)
{
    struct mh_bisect bisect;
    struct found found = {0};
    mh_bisect_begin(&bisect, from, to);
    while (!mh_bisect_is_over(&bisect)) {
        assert_true(found.tries < MOST_TRIES);
        assert_true(bisect.rate >= from && bisect.rate <= to);
        found.confirmations += bisect.phase == MH_BISECT_CONFIRM;
        bool held = bisect.rate <= capacity;
        if (fabs(bisect.rate / capacity - 1) < noise)
            held = mh_random_unit(random) < 0.5;
        if (found.tries++ == lie_at)
            held = !held;
        mh_bisect_take(&bisect, held);
    }
    found.rate = bisect.phase == MH_BISECT_FOUND ? bisect.rate : 0;
    return found;
}

static void capacities_are_found_to_the_precision(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 1};
    for (double capacity = 50; capacity < 5000; capacity *= 1.037) {
        const struct found found = search(50, 5000, capacity, 0, -1, &random);
        assert_true(found.rate <= capacity && found.rate * (1 + MH_BISECT_PRECISION) >= capacity);
        assert_true(found.tries <= 7 + 5 + 2); /* doublings, halvings of a factor 2, doubt and confirmation */
        assert_int_equal(found.confirmations, 1);
    }
}

static void more_than_to_is_not_tried(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 1};
    const struct found found = search(50, 333, 1e9, 0, -1, &random);
    assert_true(found.rate == 333);
    assert_int_equal(found.tries, 5); /* 50, 100, 200, 333, and 333 confirmed */
    assert_true(search(50, 50, 1e9, 0, -1, &random).rate == 50);
}

static void from_must_fail_twice(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 1};
    const struct found found = search(50, 5000, 10, 0, -1, &random);
    assert_true(found.rate == 0);
    assert_int_equal(found.tries, 2);
    assert_true(search(50, 5000, 800, 0, 0, &random).rate > 760); /* once was an accident */
}

/* One try that fails by accident, wherever it is, costs tries, not the result; one that holds by accident is
 * found out by the confirmation, at the price of a notch. */
static void one_wrong_outcome_is_borne(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 1};
    for (double capacity = 60; capacity < 4000; capacity *= 1.21)
        for (int lie_at = 0; lie_at < 14; lie_at++) {
            const struct found found = search(50, 5000, capacity, 0, lie_at, &random);
            assert_true(found.rate <= capacity);
            /* a bisection can go wrong by a half of what it had left */
            assert_true(found.rate >= capacity / 2 / (1 + MH_BISECT_PRECISION));
        }
}

static void an_accident_while_growing_costs_no_rate(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 1};
    for (double capacity = 900; capacity < 4000; capacity *= 1.09)
        for (int lie_at = 0; lie_at < 5; lie_at++) /* 50 .. 800 */
            assert_true(search(50, 5000, capacity, 0, lie_at, &random).rate * 1.0501 >= capacity);
}

static void noise_about_the_capacity_moves_the_result_by_no_more_than_itself(void **state)
{
    (void)state;
    struct mh_random random = {.seed = 11};
    for (int i = 0; i < 2000; i++) {
        const struct found found = search(50, 5000, 700, 0.1, -1, &random);
        assert_true(found.rate <= 700 * 1.1);
        assert_true(found.rate >= 700 * 0.9 / (1 + MH_BISECT_PRECISION) / (1 + MH_BISECT_PRECISION));
    }
}

static void haste_confirms_what_held(void **state)
{
    (void)state;
    struct mh_bisect bisect;
    mh_bisect_begin(&bisect, 50, 5000);
    assert_false(mh_bisect_hurry(&bisect)); /* nothing has held */
    mh_bisect_begin(&bisect, 50, 5000);
    mh_bisect_take(&bisect, true);
    mh_bisect_take(&bisect, true);
    assert_true(bisect.rate == 200);
    assert_true(mh_bisect_hurry(&bisect));
    assert_true(bisect.rate == 100 && bisect.phase == MH_BISECT_CONFIRM);
    mh_bisect_take(&bisect, false);
    assert_true(mh_bisect_hurry(&bisect));
    assert_true(bisect.rate < 100); /* not what has just failed */
    mh_bisect_take(&bisect, true);
    assert_int_equal(bisect.phase, MH_BISECT_FOUND);
}

static void confirmation_goes_down_by_notches(void **state)
{
    (void)state;
    struct mh_bisect bisect;
    mh_bisect_begin(&bisect, 100, 110);
    mh_bisect_take(&bisect, true);
    mh_bisect_take(&bisect, true);
    assert_true(bisect.phase == MH_BISECT_CONFIRM && bisect.rate == 110);
    mh_bisect_take(&bisect, false);
    assert_true(fabs(bisect.rate - 110 / 1.05) < 1e-9);
    mh_bisect_take(&bisect, false);
    assert_true(bisect.rate == 100);
    mh_bisect_take(&bisect, false);
    assert_int_equal(bisect.phase, MH_BISECT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacities_are_found_to_the_precision),
        cmocka_unit_test(more_than_to_is_not_tried),
        cmocka_unit_test(from_must_fail_twice),
        cmocka_unit_test(one_wrong_outcome_is_borne),
        cmocka_unit_test(an_accident_while_growing_costs_no_rate),
        cmocka_unit_test(noise_about_the_capacity_moves_the_result_by_no_more_than_itself),
        cmocka_unit_test(haste_confirms_what_held),
        cmocka_unit_test(confirmation_goes_down_by_notches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
