/* Does a figure drift? The slope of a series over time, with an interval that holds for noise of any shape,
 * for noise that depends on its past, for gaps, restarts and a step.
 *
 * Slope: the median of the slopes of all pairs (Theil 1950; P. K. Sen, "Estimates of the regression
 * coefficient based on Kendall's tau", J. Am. Stat. Assoc. 63, 1968), pairs of the same life alone (as the
 * regional Kendall test does: D. R. Helsel and L. M. Frans, Environ. Sci. Technol. 40, 2006). Interval:
 * Sen's, from the variance of Kendall's S, which is multiplied as K. H. Hamed and A. R. Rao say ("A modified
 * Mann-Kendall trend test for autocorrelated data", J. Hydrol. 204, 1998). That holds the slope with 1 -
 * alpha; a step, a later half and an end that tell otherwise only make it wider. docs/drift.md has the whole
 * of it.
 */
#ifndef MH_MEASURE_TREND_H
#define MH_MEASURE_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mh_trend_point {
    double second;
    double value; /* NaN: a gap */
    int32_t life; /* of what is observed: another one after each restart */
};

struct mh_trend_options {
    double resolution; /* what the figure moves by without meaning anything, in its own unit */
    double alpha;      /* the true slope lies outside of [low, high] with at most this probability */
    bool by_events;    /* points come with what happens: where there are none, nothing did */
};

enum mh_trend_state {
    MH_TREND_FEW,  /* too few samples, or as good as few: each says what the one before said */
    MH_TREND_KNOWN /* slope, low and high are set */
};

struct mh_trend {
    enum mh_trend_state state;
    int64_t samples;   /* that were judged: without gaps, warm-ups, and lives with fewer than 5 */
    double span_s;     /* that they cover, of all their lives */
    double observed_s; /* that these lives were looked at, warm-ups included and gaps not */
    double median;     /* of the samples */
    double slope_per_hour, low_per_hour, high_per_hour;
    double step;   /* a plain one that the series has: without it the interval's other end; 0: none */
    double step_s; /* when */
    int lives;     /* with samples that were judged; of more than 128 the longest */
};

/* Points in order of time. -1: no memory. */
int mh_trend_of(const struct mh_trend_point *points, int64_t count, const struct mh_trend_options *options,
                struct mh_trend *out);

#endif
