/* Drifts of series whose slope is known. Rates are over many seeds, the same in each run. */
#include "measure/trend.h"

#include "base/random.h"
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEEDS = 400, SAMPLES = 600 };
#define SPAN_H   (SAMPLES / 3600.0)
#define JUDGED_H (0.75 * SPAN_H) /* behind the warm-up */

struct series {
    struct mh_trend_point points[SAMPLES];
    struct mh_random random;
    double before; /* of noise that depends on its past */
};

static double gauss(struct mh_random *random)
{
    const double u = 1 - mh_random_unit(random), v = mh_random_unit(random);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static struct series *noise(uint64_t seed, double past)
{
    static struct series series;
    series.random = (struct mh_random){.seed = seed};
    series.before = gauss(&series.random);
    for (int i = 0; i < SAMPLES; i++) {
        series.points[i] = (struct mh_trend_point){i, 100 + series.before, 1};
        series.before = past * series.before + sqrt(1 - past * past) * gauss(&series.random);
    }
    return &series;
}

static void add_slope(struct series *series, double over_span)
{
    for (int i = 0; i < SAMPLES; i++)
        series->points[i].value += over_span * i / SAMPLES;
}

static void add_step(struct series *series, double at, double height)
{
    for (int i = (int)(at * SAMPLES); i < SAMPLES; i++)
        series->points[i].value += height;
}

/* As a garbage collector's: up to `height`, `times` times in the span, then down at once. */
static void add_saw(struct series *series, double times, double phase, double height)
{
    for (int i = 0; i < SAMPLES; i++)
        series->points[i].value += height * fmod(phase + times * i / SAMPLES, 1);
}

static struct mh_trend trend_of(const struct series *series)
{
    const struct mh_trend_options options = {.alpha = 0.01};
    struct mh_trend trend;
    assert_int_equal(mh_trend_of(series->points, SAMPLES, &options, &trend), 0);
    return trend;
}

static bool rises(const struct mh_trend *trend)
{
    return trend->state == MH_TREND_KNOWN && trend->low_per_hour > 0;
}

static bool falls(const struct mh_trend *trend)
{
    return trend->state == MH_TREND_KNOWN && trend->high_per_hour < 0;
}

struct rates {
    double rising, falling, few, covered; /* share of the seeds; covered: the slope is in the interval */
};

typedef void shape(struct series *series, double parameter);

static struct rates rates_of(const char *what, double past, shape *put, double parameter,
                             double slope_over_span)
{
    struct rates rates = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct series *series = noise(seed, past);
        add_slope(series, slope_over_span);
        if (put)
            put(series, parameter);
        const struct mh_trend trend = trend_of(series);
        const double slope = slope_over_span / SPAN_H;
        rates.rising += rises(&trend);
        rates.falling += falls(&trend);
        rates.few += (trend.state == MH_TREND_FEW);
        rates.covered += (trend.low_per_hour <= slope && slope <= trend.high_per_hour);
    }
    rates.rising /= SEEDS;
    rates.falling /= SEEDS;
    rates.few /= SEEDS;
    rates.covered /= SEEDS;
    printf("%-34s past %.2f parameter %6.3g slope %5.3g: rising %.4f falling %.4f few %.4f covered %.4f\n",
           what, past, parameter, slope_over_span, rates.rising, rates.falling, rates.few, rates.covered);
    return rates;
}

/* ---- shapes ---- */

static void saw(struct series *series, double times)
{
    add_saw(series, times, mh_random_unit(&series->random), 10);
}

static void step(struct series *series, double at)
{
    add_step(series, at, 20);
}

/* A cache: fast at first. */
static void fill(struct series *series, double tau)
{
    for (int i = 0; i < SAMPLES; i++)
        series->points[i].value += 20 * (1 - exp(-i / (tau * SAMPLES)));
}

/* Started again half-way: what it holds is lost, and it begins elsewhere. */
static void restart(struct series *series, double lower_by)
{
    for (int i = SAMPLES / 2; i < SAMPLES; i++)
        series->points[i] = (struct mh_trend_point){i, series->points[i].value - lower_by, 2};
}

static void begin_anew(struct series *series, int at, int32_t life)
{
    const double lower_by = 100 * mh_random_unit(&series->random);
    for (int i = at; i < SAMPLES; i++) {
        series->points[i].value -= lower_by;
        series->points[i].life = life;
    }
}

/* Each loses, or brings, something else. */
static void equal_lives(struct series *series, double lives)
{
    for (int life = 1; life < (int)lives; life++)
        begin_anew(series, life * SAMPLES / (int)lives, 1 + life);
}

/* One of half the time, and others of 12 samples and more. */
static void uneven_lives(struct series *series, double unused)
{
    static const double at[] = {0.1, 0.12, 0.14, 0.64, 0.66, 0.7, 0.78, 0.86, 0.98};
    (void)unused;
    for (size_t i = 0; i < COUNT(at); i++)
        begin_anew(series, (int)(at[i] * SAMPLES), 2 + (int32_t)i);
}

/* Samples are missing at random, and all of a tenth of the time. */
static void gaps(struct series *series, double share)
{
    for (int i = 0; i < SAMPLES; i++)
        if (mh_random_unit(&series->random) < share || (i > SAMPLES / 2 && i < SAMPLES / 2 + SAMPLES / 10))
            series->points[i].value = NAN;
}

/* ---- no drift ---- */

/* An interval of 99 %, two-sided: half a percent of false alarms, and what 400 seeds allow beside it. */
static void noise_is_no_drift(void **state)
{
    static const double pasts[] = {0, 0.5, 0.9, 0.95, 0.98, 0.99};
    (void)state;
    for (size_t i = 0; i < COUNT(pasts); i++) {
        const struct rates rates = rates_of("noise", pasts[i], NULL, 0, 0);
        assert_true(rates.rising <= 0.015 && rates.falling <= 0.015 && rates.few == 0);
    }
}

/* As slow as the span is long. Uncorrected, more than a fifth of these are a trend. */
static void wandering_noise_is_seldom_taken_for_drift(void **state)
{
    (void)state;
    const struct rates rates = rates_of("wandering", 0.999, NULL, 0, 0);
    assert_true(rates.rising <= 0.05 && rates.falling <= 0.05);
}

static void a_garbage_collector_is_no_drift(void **state)
{
    static const double times[] = {2, 2.5, 3, 4, 7, 20, 100};
    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        const struct rates rates = rates_of("saw", 0, saw, times[i], 0);
        assert_true(rates.rising == 0 && rates.falling == 0);
    }
}

static void a_step_is_no_drift(void **state)
{
    static const double at[] = {0.1, 0.3, 0.5, 0.7, 0.9, 0.95};
    (void)state;
    for (size_t i = 0; i < COUNT(at); i++) {
        const struct rates rates = rates_of("step", 0, step, at[i], 0);
        assert_true(rates.rising <= 0.015 && rates.falling <= 0.015);
    }
    struct series *series = noise(1, 0);
    add_step(series, 0.6, 20);
    const struct mh_trend trend = trend_of(series);
    assert_true(fabs(trend.step - 20) < 2 && fabs(trend.step_s - 0.6 * SAMPLES) < SAMPLES / 20.0);
}

static void a_cache_that_has_filled_is_no_drift(void **state)
{
    static const double tau[] = {0.02, 0.05};
    (void)state;
    for (size_t i = 0; i < COUNT(tau); i++)
        assert_true(rates_of("fill", 0, fill, tau[i], 0).rising <= 0.015);
}

static void a_restart_is_no_drift(void **state)
{
    (void)state;
    for (int height = -20; height <= 20; height += 40) {
        const struct rates rates = rates_of("restart", 0, restart, height, 0);
        assert_true(rates.rising <= 0.015 && rates.falling <= 0.015);
    }
}

static void many_restarts_are_no_drift(void **state)
{
    static const double pasts[] = {0, 0.9, 0.98}, lives[] = {2, 3, 5, 14};
    (void)state;
    for (size_t i = 0; i < COUNT(pasts); i++) {
        for (size_t k = 0; k < COUNT(lives); k++) {
            const struct rates rates = rates_of("lives", pasts[i], equal_lives, lives[k], 0);
            assert_true(rates.rising <= 0.015 && rates.falling <= 0.015 && rates.few == 0);
        }
        const struct rates rates = rates_of("uneven lives", pasts[i], uneven_lives, 0, 0);
        assert_true(rates.rising <= 0.015 && rates.falling <= 0.015 && rates.few == 0);
    }
    const struct rates rates = rates_of("lives", 0, equal_lives, 60, 0);
    assert_true(rates.rising <= 0.015 && rates.falling <= 0.015 && rates.few == 0);
}

static void a_constant_does_not_drift(void **state)
{
    (void)state;
    struct series *series = noise(1, 0);
    for (int i = 0; i < SAMPLES; i++)
        series->points[i].value = 7;
    const struct mh_trend trend = trend_of(series);
    assert_true(trend.state == MH_TREND_KNOWN && trend.median == 7);
    assert_true(trend.slope_per_hour == 0 && trend.low_per_hour == 0 && trend.high_per_hour == 0);
}

/* ---- drift ---- */

static void a_leak_is_found(void **state)
{
    static const double pasts[] = {0, 0.5};
    (void)state;
    for (size_t i = 0; i < COUNT(pasts); i++) {
        const struct rates rates = rates_of("leak", pasts[i], NULL, 0, 5);
        assert_true(rates.rising == 1 && rates.covered >= 0.98);
        assert_true(rates_of("shrinking", pasts[i], NULL, 0, -5).falling == 1);
    }
}

/* As large as the noise is wide: found in many runs, and its interval is right in nearly all. */
static void a_slope_inside_the_noise(void **state)
{
    (void)state;
    const struct rates rates = rates_of("slope in noise", 0, NULL, 0, 1);
    assert_true(rates.rising > 0.3 && rates.falling == 0 && rates.covered >= 0.98);
    assert_true(rates_of("slope in wandering", 0.95, NULL, 0, 1).covered >= 0.98);
}

static void a_leak_below_a_garbage_collector_is_found(void **state)
{
    static const double times[] = {7, 10, 20, 100};
    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        const struct rates rates = rates_of("leak on saw", 0, saw, times[i], 20);
        assert_true(rates.rising == 1 && rates.covered >= 0.98);
    }
    assert_true(rates_of("leak on slow saw", 0, saw, 3, 20).covered == 1); /* seldom found, never denied */
}

static void a_leak_through_a_restart_is_found(void **state)
{
    (void)state;
    const struct rates rates = rates_of("leak, restart", 0, restart, 10, 20);
    assert_true(rates.rising == 1 && rates.covered >= 0.98);
    struct series *series = noise(1, 0);
    add_slope(series, 20);
    restart(series, 10);
    assert_int_equal(trend_of(series).lives, 2);
}

static void a_leak_through_many_restarts_is_found(void **state)
{
    static const double lives[] = {3, 5, 14};
    (void)state;
    for (size_t i = 0; i < COUNT(lives); i++) {
        const struct rates rates = rates_of("leak, lives", 0, equal_lives, lives[i], 40);
        assert_true(rates.rising >= 0.98 && rates.covered >= 0.98);
    }
    const struct rates rates = rates_of("leak, uneven lives", 0, uneven_lives, 0, 40);
    assert_true(rates.rising == 1 && rates.covered >= 0.98);
}

/* ---- what begins late ---- */

/* From `begin` of the span on, by `height` until its end. */
static void add_late(struct series *series, double begin, double height)
{
    for (int i = (int)(begin * SAMPLES); i < SAMPLES; i++)
        series->points[i].value += height * (i - begin * SAMPLES) / (SAMPLES * (1 - begin));
}

/* Does the interval reach to at least a third of what it is over the time that is judged? */
static bool reaches(const struct mh_trend *trend, double height)
{
    const double least = height / 3 / (trend->span_s / 3600);
    return height > 0 ? trend->high_per_hour >= least : trend->low_per_hour <= least;
}

/* A leak that has begun must not be denied because it was not always there; nor is a server accused of it. */
static void what_begins_late_is_neither_denied_nor_told(void **state)
{
    static const double begins[] = {0.8, 0.85, 0.9, 0.92, 0.94, 0.95};
    (void)state;
    for (size_t i = 0; i < COUNT(begins); i++)
        for (int sign = -1; sign <= 1; sign += 2)
            for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
                struct series *series = noise(seed, 0);
                add_late(series, begins[i], sign * 10);
                const struct mh_trend trend = trend_of(series);
                if (!reaches(&trend, sign * 10) || rises(&trend) || falls(&trend))
                    fail_msg("%g %d %g %g", begins[i], sign, trend.low_per_hour * .75 * SPAN_H,
                             trend.high_per_hour * .75 * SPAN_H);
            }
}

static void what_begins_in_the_last_life_is_not_denied(void **state)
{
    static const double lives[] = {2, 3, 5};
    (void)state;
    for (size_t i = 0; i < COUNT(lives); i++)
        for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
            struct series *series = noise(seed, 0);
            equal_lives(series, lives[i]);
            add_late(series, 0.94, 30);
            const struct mh_trend trend = trend_of(series);
            assert_true(reaches(&trend, 10) && !rises(&trend) && !falls(&trend));
        }
}

/* Nor are clean series doubted: what their end does by chance is small beside what the interval allows. */
static void the_end_of_noise_is_no_reason_to_doubt(void **state)
{
    static const struct {
        double past, most_over_span;
        shape *put;
        double parameter;
    } cases[] = {{0, 3, NULL, 0}, {0.5, 4.5, NULL, 0}, {0.8, 9, NULL, 0}, {0, 12, saw, 20}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int doubted = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct series *series = noise(seed, cases[i].past);
            if (cases[i].put)
                cases[i].put(series, cases[i].parameter);
            doubted += trend_of(series).high_per_hour >= cases[i].most_over_span / JUDGED_H;
        }
        assert_int_equal(doubted, 0);
    }
}

static void one_block_at_the_end_says_nothing(void **state)
{
    (void)state;
    struct series *series = noise(1, 0);
    add_late(series, 0.98, 100);
    assert_true(trend_of(series).high_per_hour < 3 / JUDGED_H);
}

/* ---- what is judged ---- */

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-6;
}

/* A life that has 5 samples behind its warm-up counts, however many lives there are and whatever the others.
 */
static void each_life_with_samples_is_judged(void **state)
{
    (void)state;
    struct series *series = noise(1, 0);
    equal_lives(series, 14);
    struct mh_trend trend = trend_of(series);
    assert_true(trend.state == MH_TREND_KNOWN && trend.lives == 14);
    assert_true(trend.samples == 12 * 32 + 2 * 31 && is_near(trend.span_s, 12 * 31 + 2 * 30));
    assert_true(is_near(trend.observed_s, SAMPLES - 14));

    series = noise(1, 0);
    for (int i = 200; i < SAMPLES; i++)
        series->points[i].life = 2 + i / 10;
    trend = trend_of(series);
    assert_true(trend.lives == 41 && trend.samples == 150 + 40 * 7);

    for (int i = 300; i < SAMPLES; i++)
        series->points[i].life = 2 + i / 3;
    for (int i = 0; i < 300; i++)
        series->points[i].life = 1;
    trend = trend_of(series);
    assert_true(trend.lives == 1 && trend.samples == 225 && is_near(trend.span_s, 224) &&
                is_near(trend.observed_s, 299));
}

static void of_too_many_lives_the_longest_are_judged(void **state)
{
    enum { LIVES = 300, LONG = 20, SHORT = 10 };
    const struct mh_trend_options options = {.alpha = 0.01};
    static struct mh_trend_point points[LIVES / 2 * (LONG + SHORT)];
    struct mh_trend trend;
    int count = 0;
    (void)state;
    for (int life = 0; life < LIVES; life++)
        for (int i = 0; i < (life % 2 ? LONG : SHORT); i++, count++)
            points[count] = (struct mh_trend_point){count, life + 0.5 * i, life};
    assert_int_equal(mh_trend_of(points, count, &options, &trend), 0);
    assert_true(trend.lives == 128 && trend.samples == 128 * 15 && is_near(trend.span_s, 128 * 14));
    assert_true(is_near(trend.slope_per_hour, 1800) && trend.low_per_hour > 1799);
}

/* As many as a life must have, and no more than there is room for. */
static void samples_in_bunches_make_blocks(void **state)
{
    const struct mh_trend_options options = {.alpha = 0.01};
    struct series *series = noise(1, 0);
    struct mh_trend trend;
    (void)state;
    for (int i = 0; i < SAMPLES; i++)
        series->points[i].second = i < 10 ? -1000 : i < 590 ? 1e-4 * i : 600;
    assert_int_equal(mh_trend_of(series->points, SAMPLES, &options, &trend), 0);
    assert_true(trend.lives == 1 && trend.samples == 590 && trend.state == MH_TREND_FEW);
}

static void what_was_observed_leaves_out_gaps(void **state)
{
    struct mh_trend_options options = {.alpha = 0.01};
    struct mh_trend trend;
    (void)state;
    struct series *series = noise(1, 0);
    assert_true(is_near(trend_of(series).observed_s, SAMPLES - 1));
    for (int i = 0; i < SAMPLES; i += 2)
        series->points[i].value = NAN; /* each second look alone saw it */
    assert_true(is_near(trend_of(series).observed_s, SAMPLES - 2));
    for (int i = 200; i < 400; i++)
        series->points[i].value = NAN;
    assert_true(is_near(trend_of(series).observed_s, SAMPLES - 2 - 202));
    options.by_events = true;
    assert_int_equal(mh_trend_of(series->points, SAMPLES, &options, &trend), 0);
    assert_true(is_near(trend.observed_s, SAMPLES - 2));
    assert_int_equal(mh_trend_of(series->points, 66, &options, &trend), 0);
    assert_true(is_near(trend.observed_s, 64));
}

static void a_leak_beside_a_step_is_found(void **state)
{
    (void)state;
    assert_true(rates_of("leak, step", 0, step, 0.9, 60).rising >= 0.99);
    assert_true(rates_of("leak, step", 0, step, 0.5, 20).covered >= 0.98);
}

static void gaps_do_no_harm(void **state)
{
    (void)state;
    const struct rates flat = rates_of("gaps", 0, gaps, 0.3, 0),
                       leak = rates_of("leak, gaps", 0, gaps, 0.3, 5);
    assert_true(flat.rising <= 0.015 && flat.falling <= 0.015 && leak.rising == 1 && leak.covered >= 0.98);
}

/* ---- too little to tell ---- */

static void few_samples_tell_nothing(void **state)
{
    const struct mh_trend_options options = {.alpha = 0.01};
    (void)state;
    for (int count = 0; count < 15; count++) {
        struct series *series = noise(1, 0);
        struct mh_trend trend;
        add_slope(series, 1000);
        assert_int_equal(mh_trend_of(series->points, count, &options, &trend), 0);
        assert_true(trend.state == MH_TREND_FEW && trend.samples <= count);
    }
    struct series *series = noise(1, 0);
    for (int i = 0; i < SAMPLES; i++)
        series->points[i].value = NAN;
    assert_true(trend_of(series).state == MH_TREND_FEW);
    for (int i = 0; i < SAMPLES; i++)
        series->points[i] = (struct mh_trend_point){5, i, 1}; /* all at one time */
    assert_true(trend_of(series).state == MH_TREND_FEW);
    for (int i = 0; i < SAMPLES; i++)
        series->points[i] = (struct mh_trend_point){i, i, i / 3}; /* it never lives long */
    assert_true(trend_of(series).state == MH_TREND_FEW);
}

/* 100 MiB that grow by 100 kB in 10 minutes, without any noise: pages, not a leak. */
static void what_is_below_the_resolution_is_not_told(void **state)
{
    const struct mh_trend_options options = {.alpha = 0.01, .resolution = 1 << 20};
    (void)state;
    struct mh_trend_point points[SAMPLES];
    struct mh_trend trend;
    for (int i = 0; i < SAMPLES; i++)
        points[i] = (struct mh_trend_point){i, 100e6 + 100e3 * i / SAMPLES, 1};
    assert_int_equal(mh_trend_of(points, SAMPLES, &options, &trend), 0);
    assert_true(trend.low_per_hour < 0 && trend.high_per_hour > 0 && trend.slope_per_hour > 0);
    for (int i = 0; i < SAMPLES; i++)
        points[i].value = 100e6 + 1e6 * i; /* 1 MB/s */
    assert_int_equal(mh_trend_of(points, SAMPLES, &options, &trend), 0);
    assert_true(trend.low_per_hour > 3.58e9 && trend.high_per_hour < 3.62e9);
}

/* Two lives, each of which grows by less than means anything. */
static void what_means_nothing_in_any_life_means_nothing(void **state)
{
    const struct mh_trend_options options = {.alpha = 0.01, .resolution = 1};
    struct mh_trend_point points[SAMPLES];
    struct mh_trend trend;
    (void)state;
    for (int i = 0; i < SAMPLES; i++)
        points[i] = (struct mh_trend_point){i, 100 + 0.9 * (i % 300) / 225, i / 300};
    assert_int_equal(mh_trend_of(points, SAMPLES, &options, &trend), 0);
    assert_true(trend.lives == 2 && trend.slope_per_hour > 0 && trend.low_per_hour < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_no_drift),
        cmocka_unit_test(wandering_noise_is_seldom_taken_for_drift),
        cmocka_unit_test(a_garbage_collector_is_no_drift),
        cmocka_unit_test(a_step_is_no_drift),
        cmocka_unit_test(a_cache_that_has_filled_is_no_drift),
        cmocka_unit_test(a_restart_is_no_drift),
        cmocka_unit_test(many_restarts_are_no_drift),
        cmocka_unit_test(a_constant_does_not_drift),
        cmocka_unit_test(a_leak_is_found),
        cmocka_unit_test(a_slope_inside_the_noise),
        cmocka_unit_test(a_leak_below_a_garbage_collector_is_found),
        cmocka_unit_test(a_leak_through_a_restart_is_found),
        cmocka_unit_test(a_leak_through_many_restarts_is_found),
        cmocka_unit_test(what_begins_late_is_neither_denied_nor_told),
        cmocka_unit_test(what_begins_in_the_last_life_is_not_denied),
        cmocka_unit_test(the_end_of_noise_is_no_reason_to_doubt),
        cmocka_unit_test(one_block_at_the_end_says_nothing),
        cmocka_unit_test(each_life_with_samples_is_judged),
        cmocka_unit_test(of_too_many_lives_the_longest_are_judged),
        cmocka_unit_test(samples_in_bunches_make_blocks),
        cmocka_unit_test(what_was_observed_leaves_out_gaps),
        cmocka_unit_test(a_leak_beside_a_step_is_found),
        cmocka_unit_test(gaps_do_no_harm),
        cmocka_unit_test(few_samples_tell_nothing),
        cmocka_unit_test(what_is_below_the_resolution_is_not_told),
        cmocka_unit_test(what_means_nothing_in_any_life_means_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
