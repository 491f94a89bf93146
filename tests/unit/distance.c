#include "dataset/distance.h"

#include "job/job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool fits(int metric, const float a[2], const float b[2], double score)
{
    return mh_score_fits(metric, a, b, 2, score);
}

static void test_a_score_is_the_distance(void **state)
{
    const float a[] = {1, 2}, b[] = {3, -1};
    (void)state;
    assert_true(fits(MH_METRIC_L2, a, b, 13) && !fits(MH_METRIC_L2, a, b, 13.01));
    assert_true(fits(MH_METRIC_IP, a, b, 1) && !fits(MH_METRIC_IP, a, b, 1.01));
    assert_true(fits(MH_METRIC_COSINE, a, b, 1 / sqrt(50)) && !fits(MH_METRIC_COSINE, a, b, 0.2));
    for (int metric = MH_METRIC_L2; metric <= MH_METRIC_COSINE; metric++)
        assert_true(!fits(metric, a, b, (double)NAN) && !fits(metric, a, b, (double)INFINITY));
}

/* By expansion and in other orders of summing, servers come to other values where ours is no number, and to
 * none where it is. */
static void test_any_score_fits_beyond_single_precision(void **state)
{
    const float huge[] = {1e25F, 1e25F}, across[] = {1e25F, -1e25F}, small[] = {1, 2}, zero[] = {0, 0};
    const double scores[] = {0, 1, (double)INFINITY, -(double)INFINITY, (double)NAN};
    (void)state;
    assert_true(isnan(mh_distance(MH_METRIC_IP, huge, across, 2)));
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        for (int metric = MH_METRIC_L2; metric <= MH_METRIC_COSINE; metric++)
            assert_true(fits(metric, huge, across, scores[i]) && fits(metric, small, huge, scores[i]));
        assert_true(fits(MH_METRIC_COSINE, small, zero, scores[i]));
    }
    assert_true(fits(MH_METRIC_L2, small, zero, 5) && !fits(MH_METRIC_L2, small, zero, (double)NAN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_score_is_the_distance),
        cmocka_unit_test(test_any_score_fits_beyond_single_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
