#include "measure/trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS = 32,        /* means that a series is cut down to: what oscillates faster is averaged out */
    FEWEST = 12,        /* of them that a trend is told from */
    FEWEST_OF_LIFE = 5, /* a life with fewer is left out */
    FEWEST_OF_SIDE = 4, /* of a step */
    LAGS = 8,           /* looked at for autocorrelation: a quarter of the blocks */
    ROOM = 2 * BLOCKS
};
#define WARM_UP 0.25 /* of each life is not judged */
#define SIGNIFICANT                                                                                          \
    1.645 /* standard errors that an autocorrelation must have to count: Hamed and Rao's 10 % */
#define PLAIN_STEP   4.0  /* times what the blocks scatter about the two levels */
#define LEAST_SPAN_S 10.0 /* what is shorter is still beginning, and an hour is far away */
#define ROUNDING     1e-9
#define MOST_MEMORY  0.95
#define HOUR_S       3600.0

struct block {
    double second, value;
    int segment; /* life, and which side of a step */
};

/* ---- from points to blocks ---- */

static int64_t end_of_life(const struct mh_trend_point *points, int64_t count, int64_t at)
{
    const int32_t life = points[at].life;
    while (at < count && points[at].life == life)
        at++;
    return at;
}

/* Leaves out gaps and the warm-up of each life; returns how many are left. */
static int64_t keep_warm(const struct mh_trend_point *points, int64_t count, struct mh_trend_point *kept)
{
    int64_t used = 0;
    for (int64_t at = 0; at < count;) {
        const int64_t end = end_of_life(points, count, at);
        const double from = points[at].second + WARM_UP * (points[end - 1].second - points[at].second);
        for (; at < end; at++)
            if (isfinite(points[at].value) && points[at].second >= from)
                kept[used++] = points[at];
    }
    return used;
}

static double span_of(const struct mh_trend_point *points, int64_t count)
{
    double span = 0;
    for (int64_t at = 0; at < count;) {
        const int64_t end = end_of_life(points, count, at);
        span += points[end - 1].second - points[at].second;
        at = end;
    }
    return span;
}

/* Means over equal times; each point alone where there are few. A life's last block makes one more than
 * BLOCKS, and those that stay have FEWEST_OF_LIFE: ROOM is never reached. */
static int make_blocks(const struct mh_trend_point *points, int64_t count, double span, struct block *blocks)
{
    const double length = count > BLOCKS ? span / BLOCKS : 0;
    int used = 0, life = 0;
    for (int64_t at = 0; at < count && span > 0; life++) {
        const int64_t end = end_of_life(points, count, at);
        const int first = used;
        const double from = points[at].second;
        while (at < end) {
            const double place = length > 0 ? floor((points[at].second - from) / length) : 0;
            double seconds = 0, values = 0;
            int64_t n = 0;
            do {
                seconds += points[at].second;
                values += points[at].value;
                n++;
                at++;
            } while (at < end && length > 0 && floor((points[at].second - from) / length) <= place);
            blocks[used++] = (struct block){seconds / (double)n, values / (double)n, life};
        }
        if (used - first < FEWEST_OF_LIFE)
            used = first;
    }
    return used;
}

/* ---- a step ---- */

static double squares_about_mean(const struct block *blocks, int count)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++)
        sum += blocks[i].value;
    for (int i = 0; i < count; i++)
        squares += (blocks[i].value - sum / count) * (blocks[i].value - sum / count);
    return squares;
}

static double squares_about_line(const struct block *blocks, int count)
{
    double t = 0, v = 0, tt = 0, tv = 0, vv = 0;
    for (int i = 0; i < count; i++) {
        t += blocks[i].second / count;
        v += blocks[i].value / count;
    }
    for (int i = 0; i < count; i++) {
        const double x = blocks[i].second - t, y = blocks[i].value - v;
        tt += x * x;
        tv += x * y;
        vv += y * y;
    }
    return tt > 0 ? vv - tv * tv / tt : vv;
}

/* Where two levels tell more of these blocks than a line does: the first of the second level; 0: nowhere. */
static int find_step(const struct block *blocks, int count)
{
    int best = 0;
    double least = squares_about_line(blocks, count);
    for (int at = FEWEST_OF_SIDE; at + FEWEST_OF_SIDE <= count; at++) {
        const double squares = squares_about_mean(blocks, at) + squares_about_mean(blocks + at, count - at);
        if (squares < least) {
            least = squares;
            best = at;
        }
    }
    return best;
}

static double mean_of(const struct block *blocks, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += blocks[i].value / count;
    return sum;
}

/* A step that a person would see: others are in any noise, and only make the interval wider. */
static void note_step(const struct block *blocks, int count, int at, double resolution, struct mh_trend *out)
{
    const double height = mean_of(blocks + at, count - at) - mean_of(blocks, at);
    const double squares = squares_about_mean(blocks, at) + squares_about_mean(blocks + at, count - at);
    const double nothing = fmax(resolution, ROUNDING * fabs(blocks[0].value));
    if (fabs(height) <= nothing || fabs(height) <= PLAIN_STEP * sqrt(squares / count) ||
        fabs(height) <= fabs(out->step))
        return;
    out->step = height;
    out->step_s = blocks[at].second;
}

/* Parts each life at its largest step, if it has one; how many have. */
static int part_at_steps(struct block *blocks, int count, double resolution, struct mh_trend *out)
{
    int steps = 0;
    for (int at = 0; at < count;) {
        int end = at;
        while (end < count && blocks[end].segment == blocks[at].segment)
            end++;
        const int step = find_step(blocks + at, end - at);
        if (step > 0)
            note_step(blocks + at, end - at, step, resolution, out);
        for (int i = at; i < end; i++)
            blocks[i].segment = 2 * blocks[i].segment + (step > 0 && i >= at + step);
        steps += step > 0;
        at = end;
    }
    return steps;
}

/* ---- slope and interval ---- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const double *sorted, int64_t count)
{
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* Of all pairs within a segment, sorted. */
static int64_t pair_slopes(const struct block *blocks, int count, double *slopes)
{
    int64_t used = 0;
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count && blocks[k].segment == blocks[i].segment; k++)
            slopes[used++] = (blocks[k].value - blocks[i].value) / (blocks[k].second - blocks[i].second);
    if (used > 0)
        qsort(slopes, (size_t)used, sizeof *slopes, by_size);
    return used;
}

/* Of Kendall's S, were the blocks independent: the segments' sum. */
static double variance_of_s(const struct block *blocks, int count)
{
    double variance = 0;
    for (int at = 0; at < count;) {
        int end = at;
        while (end < count && blocks[end].segment == blocks[at].segment)
            end++;
        const double n = end - at;
        variance += n * (n - 1) * (2 * n + 5) / 18;
        at = end;
    }
    return variance;
}

/* What is left of the blocks without slope and levels, as ranks about their mean. */
static void ranks_of_rest(const struct block *blocks, int count, double slope, double *ranks)
{
    double rest[ROOM], sorted[ROOM];
    for (int at = 0; at < count;) {
        int end = at;
        for (; end < count && blocks[end].segment == blocks[at].segment; end++)
            sorted[end - at] = rest[end] = blocks[end].value - slope * blocks[end].second;
        qsort(sorted, (size_t)(end - at), sizeof *sorted, by_size);
        const double level = middle(sorted, end - at);
        for (; at < end; at++)
            rest[at] -= level;
    }
    for (int i = 0; i < count; i++) {
        ranks[i] = -(count - 1) / 2.0;
        for (int k = 0; k < count; k++)
            ranks[i] += k == i ? 0 : rest[k] < rest[i] ? 1 : rest[k] == rest[i] ? 0.5 : 0;
    }
}

static double autocorrelation(const struct block *blocks, int count, const double *ranks, int lag)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        squares += ranks[i] * ranks[i];
        if (i + lag < count && blocks[i].segment == blocks[i + lag].segment)
            sum += ranks[i] * ranks[i + lag];
    }
    return squares > 0 ? sum / squares : 0;
}

/* How many times larger the variance is: Hamed and Rao's n / n*. */
static double correction_of_lags(const struct block *blocks, int count, double slope)
{
    double ranks[ROOM], sum = 0;
    const double n = count;
    ranks_of_rest(blocks, count, slope, ranks);
    for (int lag = 1; lag <= LAGS && lag < count / 2; lag++) {
        const double r = autocorrelation(blocks, count, ranks, lag);
        if (fabs(r) > SIGNIFICANT / sqrt(n))
            sum += (n - lag) * (n - lag - 1) * (n - lag - 2) * r;
    }
    return 1 + 2 * sum / (n * (n - 1) * (n - 2));
}

/* The same for a process that remembers one block, with its memory put right: that of a short series is
 * underestimated by (1 + 4 r) / n (Kendall; Marriott and Pope, both Biometrika 41, 1954). Without it one of
 * ten slow wanderings would be a trend. */
static double correction_of_short(const struct block *blocks, int count, double slope)
{
    double ranks[ROOM];
    const double n = count;
    ranks_of_rest(blocks, count, slope, ranks);
    const double seen = autocorrelation(blocks, count, ranks, 1);
    const double r = fmin((n * seen + 1) / (n - 4), MOST_MEMORY);
    if (seen < SIGNIFICANT / sqrt(n))
        return 1;
    return (1 + r) / (1 - r) - 2 * r * (1 - pow(r, n)) / (n * (1 - r) * (1 - r));
}

static double correction(const struct block *blocks, int count, double slope)
{
    return fmax(1, fmax(correction_of_lags(blocks, count, slope), correction_of_short(blocks, count, slope)));
}

/* Standard deviations within which a normal value lies but for a probability of alpha. */
static double deviations(double alpha)
{
    double low = 0, high = 40;
    for (int i = 0; i < 60; i++) {
        const double at = (low + high) / 2;
        if (erfc(at / M_SQRT2) > alpha)
            low = at;
        else
            high = at;
    }
    return high;
}

struct slope {
    double slope, low, high;
};

/* Where the blocks are as good as very few, the interval is that of all slopes that were seen. */
static struct slope find_slope(const struct block *blocks, int count, double alpha, double *slopes)
{
    const int64_t pairs = pair_slopes(blocks, count, slopes);
    const double middle_slope = middle(slopes, pairs);
    const double variance = variance_of_s(blocks, count) * correction(blocks, count, middle_slope);
    const double below = floor(((double)pairs - deviations(alpha) * sqrt(variance)) / 2) - 1;
    const int64_t low = below > 0 ? (int64_t)below : 0;
    return (struct slope){middle_slope, slopes[low], slopes[pairs - 1 - low]};
}

/* ---- all of it ---- */

static double median_of(const struct block *blocks, int count)
{
    double values[ROOM];
    for (int i = 0; i < count; i++)
        values[i] = blocks[i].value;
    qsort(values, (size_t)count, sizeof *values, by_size);
    return middle(values, count);
}

static void widen(struct slope *slope, const struct slope *other)
{
    slope->low = fmin(slope->low, other->low);
    slope->high = fmax(slope->high, other->high);
}

/* What slows down, or speeds up, so that the later half contradicts the whole, has no one slope: the interval
 * then reaches to what it does of late. */
static void add_later_half(const struct block *blocks, int count, double alpha, double *slopes,
                           struct slope *whole)
{
    if (count < 2 * FEWEST)
        return;
    const struct slope late = find_slope(blocks + count / 2, count - count / 2, alpha, slopes);
    if (late.low > whole->slope || late.high < whole->slope)
        widen(whole, &late);
}

/* A step may be the whole of a rise (a cache that fills) or a part of it: without it the slope is one end of
 * what is possible, with it the other. */
static void add_steps(struct block *blocks, int count, const struct mh_trend_options *options, double *slopes,
                      struct slope *whole, struct mh_trend *out)
{
    if (part_at_steps(blocks, count, options->resolution, out) == 0)
        return;
    const struct slope parted = find_slope(blocks, count, options->alpha, slopes);
    widen(whole, &parted);
}

static void judge(struct block *blocks, int count, const struct mh_trend_options *options, double *slopes,
                  struct mh_trend *out)
{
    const double blur = options->resolution / out->span_s;
    struct slope whole = find_slope(blocks, count, options->alpha, slopes);
    add_later_half(blocks, count, options->alpha, slopes, &whole);
    add_steps(blocks, count, options, slopes, &whole, out);
    out->state = MH_TREND_KNOWN;
    out->slope_per_hour = HOUR_S * whole.slope;
    out->low_per_hour = HOUR_S * (whole.low - blur);
    out->high_per_hour = HOUR_S * (whole.high + blur);
}

static int count_lives(const struct block *blocks, int count)
{
    int lives = count > 0;
    for (int i = 1; i < count; i++)
        lives += blocks[i].segment != blocks[i - 1].segment;
    return lives;
}

int mh_trend_of(const struct mh_trend_point *points, int64_t count, const struct mh_trend_options *options,
                struct mh_trend *out)
{
    struct block blocks[ROOM];
    *out = (struct mh_trend){.state = MH_TREND_FEW};
    struct mh_trend_point *kept = malloc(((size_t)count + 1) * sizeof *kept);
    double *slopes = malloc((size_t)ROOM * ROOM / 2 * sizeof *slopes);
    if (kept && slopes) {
        out->samples = keep_warm(points, count, kept);
        out->span_s = span_of(kept, out->samples);
        const int used = make_blocks(kept, out->samples, out->span_s, blocks);
        out->lives = count_lives(blocks, used);
        if (used > 0)
            out->median = median_of(blocks, used);
        if (used >= FEWEST && out->span_s >= LEAST_SPAN_S)
            judge(blocks, used, options, slopes, out);
    }
    const int rc = kept && slopes ? 0 : -1;
    free(kept);
    free(slopes);
    return rc;
}
