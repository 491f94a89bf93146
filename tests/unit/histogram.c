#include "measure/histogram.h"
#include "base/clock.h"
#include "base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_NS MH_HISTOGRAM_MAX_NS

static struct mh_histogram fresh(void)
{
    struct mh_histogram h;
    assert_int_equal(mh_histogram_init(&h), 0);
    return h;
}

static void every_bucket_is_narrow_and_holds_its_edges(void **state)
{
    (void)state;
    struct mh_histogram h = fresh();
    const int64_t length = mh_histogram_length();
    assert_int_equal(mh_histogram_low_edge(0), 0);
    for (int64_t i = 0; i < length; i++) {
        const int64_t low = mh_histogram_low_edge(i), next = mh_histogram_low_edge(i + 1);
        assert_true(next > low);
        assert_true((double)(next - 1 - low) <= 0.001 * (double)low);
        mh_histogram_record(&h, low);
        if (next - 1 <= MAX_NS)
            mh_histogram_record(&h, next - 1);
        assert_int_equal(h.counts[i], i < length - 1 ? 2 : 1);
    }
    assert_true(mh_histogram_low_edge(length - 1) <= MAX_NS && mh_histogram_low_edge(length) > MAX_NS);
    assert_int_equal(h.clamped, 0);
    mh_histogram_free(&h);
}

static void values_below_two_microseconds_are_exact(void **state)
{
    (void)state;
    for (int64_t i = 0; i <= 2048; i++)
        assert_int_equal(mh_histogram_low_edge(i), i);
    assert_int_equal(mh_histogram_low_edge(2049), 2050);
}

static int64_t draw_uniform(struct mh_random *r)
{
    return (int64_t)mh_random_below(r, 50 * MH_MS);
}

static int64_t draw_exponential(struct mh_random *r)
{
    return (int64_t)(-log(1 - mh_random_unit(r)) * 3e6);
}

static int64_t draw_log_uniform(struct mh_random *r)
{
    return (int64_t)exp(mh_random_unit(r) * log((double)MAX_NS));
}

static int64_t draw_two_humps(struct mh_random *r)
{
    return mh_random_below(r, 10) ? 100000 + (int64_t)mh_random_below(r, 5000) : 7 * MH_S + draw_uniform(r);
}

static int64_t draw_constant(struct mh_random *r)
{
    (void)r;
    return 123456789;
}

static int64_t (*const distributions[])(struct mh_random *) = {
    draw_uniform, draw_exponential, draw_log_uniform, draw_two_humps, draw_constant};
#define DISTRIBUTIONS (sizeof distributions / sizeof *distributions)

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The highest value that shares a bucket with `value`, found without the code under test. */
static int64_t highest_equivalent(int64_t value)
{
    int64_t width = 1;
    while (value / width >= 2048)
        width *= 2;
    return (value / width + 1) * width - 1;
}

static int64_t expected_quantile(const int64_t *sorted, size_t count, double quantile)
{
    size_t n = 1;
    while (n < count && (double)n / (double)count < quantile)
        n++;
    const int64_t highest = highest_equivalent(sorted[n - 1]);
    return highest < sorted[count - 1] ? highest : sorted[count - 1];
}

static void check_quantiles(const int64_t *sorted, size_t count)
{
    struct mh_histogram h = fresh();
    for (size_t i = 0; i < count; i++)
        mh_histogram_record(&h, sorted[i]);
    for (int i = 0; i <= 1000; i++)
        assert_int_equal(mh_histogram_quantile(&h, i / 1000.0), expected_quantile(sorted, count, i / 1000.0));
    assert_int_equal(mh_histogram_quantile(&h, 0.9999), expected_quantile(sorted, count, 0.9999));
    assert_int_equal(mh_histogram_quantile(&h, 1), sorted[count - 1]);
    assert_int_equal(h.min_ns, sorted[0]);
    assert_int_equal(h.max_ns, sorted[count - 1]);
    mh_histogram_free(&h);
}

static void quantiles_equal_those_of_a_sorted_array(void **state)
{
    (void)state;
    const size_t counts[] = {1, 2, 3, 10, 100, 997, 1000};
    int64_t values[1000];
    for (size_t d = 0; d < DISTRIBUTIONS; d++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            struct mh_random random = {.seed = 42, .stream = 100 * d + c};
            for (size_t i = 0; i < counts[c]; i++)
                values[i] = distributions[d](&random);
            qsort(values, counts[c], sizeof *values, by_value);
            check_quantiles(values, counts[c]);
        }
    }
}

static void every_percent_of_a_hundred_is_its_own(void **state)
{
    (void)state;
    struct mh_histogram h = fresh();
    for (int i = 1; i <= 100; i++)
        mh_histogram_record(&h, i);
    for (int i = 1; i <= 100; i++)
        assert_int_equal(mh_histogram_quantile(&h, i / 100.0), i);
    mh_histogram_free(&h);
}

static void merging_equals_recording_into_one(void **state)
{
    (void)state;
    struct mh_histogram parts[3] = {fresh(), fresh(), fresh()}, all = fresh();
    struct mh_random random = {.seed = 7};
    for (int i = 0; i < 20000; i++) {
        const int64_t value = distributions[(size_t)i % DISTRIBUTIONS](&random) * (i % 7 ? 1 : 1000);
        mh_histogram_record(&parts[i % 2], value); /* the third stays empty */
        mh_histogram_record(&all, value);
    }
    mh_histogram_add(&parts[2], &parts[1]);
    mh_histogram_add(&parts[0], &parts[2]);
    assert_int_equal(parts[0].count, 20000);
    assert_true(all.clamped > 0);
    assert_int_equal(parts[0].clamped, all.clamped);
    assert_int_equal(parts[0].min_ns, all.min_ns);
    assert_int_equal(parts[0].max_ns, all.max_ns);
    assert_true(parts[0].sum_ns == all.sum_ns);
    assert_memory_equal(parts[0].counts, all.counts, (size_t)mh_histogram_length() * sizeof *all.counts);
    for (int i = 0; i < 3; i++)
        mh_histogram_free(&parts[i]);
    mh_histogram_free(&all);
}

static void adding_an_empty_one_changes_nothing(void **state)
{
    (void)state;
    struct mh_histogram h = fresh(), empty = fresh();
    mh_histogram_record(&h, 5000);
    mh_histogram_add(&h, &empty);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.min_ns, 5000);
    assert_int_equal(h.max_ns, 5000);
    mh_histogram_free(&h);
    mh_histogram_free(&empty);
}

static void values_out_of_range_are_clamped(void **state)
{
    (void)state;
    struct mh_histogram h = fresh();
    mh_histogram_record(&h, -1);
    mh_histogram_record(&h, INT64_MIN);
    assert_int_equal(h.counts[0], 2);
    assert_int_equal(h.min_ns, 0);
    assert_int_equal(h.max_ns, 0);
    assert_int_equal(h.clamped, 0);
    mh_histogram_record(&h, MAX_NS);
    assert_int_equal(h.clamped, 0);
    mh_histogram_record(&h, MAX_NS + 1);
    mh_histogram_record(&h, INT64_MAX);
    assert_int_equal(h.clamped, 2);
    assert_int_equal(h.count, 5);
    assert_int_equal(h.counts[mh_histogram_length() - 1], 3);
    assert_int_equal(h.max_ns, MAX_NS);
    assert_true(h.sum_ns == 3.0 * MAX_NS);
    assert_int_equal(mh_histogram_quantile(&h, 1), MAX_NS);
    mh_histogram_free(&h);
}

static void an_empty_one_has_no_quantiles(void **state)
{
    (void)state;
    struct mh_histogram h = fresh();
    assert_int_equal(mh_histogram_quantile(&h, 0.5), 0);
    assert_int_equal(h.min_ns, INT64_MAX);
    assert_int_equal(h.max_ns, 0);
    mh_histogram_free(&h);
    mh_histogram_free(&h); /* twice is allowed */
}

static void odd_quantiles_are_clamped(void **state)
{
    (void)state;
    struct mh_histogram h = fresh();
    mh_histogram_record(&h, 10);
    mh_histogram_record(&h, 20);
    assert_int_equal(mh_histogram_quantile(&h, -3), 10);
    assert_int_equal(mh_histogram_quantile(&h, NAN), 10);
    assert_int_equal(mh_histogram_quantile(&h, 7), 20);
    mh_histogram_free(&h);
}

static void measure_record(void **state)
{
    (void)state;
    enum { VALUES = 4096, ROUNDS = 1000 };
    struct mh_histogram h = fresh();
    struct mh_random random = {.seed = 1};
    int64_t values[VALUES];
    for (int i = 0; i < VALUES; i++)
        values[i] = draw_exponential(&random);
    const int64_t begin_ns = mh_now_ns();
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < VALUES; i++)
            mh_histogram_record(&h, values[i]);
    printf("record: %.2f ns\n", (double)(mh_now_ns() - begin_ns) / ((double)VALUES * ROUNDS));
    assert_int_equal(h.count, VALUES * ROUNDS);
    mh_histogram_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bucket_is_narrow_and_holds_its_edges),
        cmocka_unit_test(values_below_two_microseconds_are_exact),
        cmocka_unit_test(quantiles_equal_those_of_a_sorted_array),
        cmocka_unit_test(every_percent_of_a_hundred_is_its_own),
        cmocka_unit_test(merging_equals_recording_into_one),
        cmocka_unit_test(adding_an_empty_one_changes_nothing),
        cmocka_unit_test(values_out_of_range_are_clamped),
        cmocka_unit_test(an_empty_one_has_no_quantiles),
        cmocka_unit_test(odd_quantiles_are_clamped),
        cmocka_unit_test(measure_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
