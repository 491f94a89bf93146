#include "measure/trend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCKS = 32,        /* means that a series is cut down to: what oscillates faster is averaged out */
    FEWEST = 12,        /* of them that a trend is told from */
    FEWEST_OF_LIFE = 5, /* a life with fewer is left out; one that has as many samples has as many blocks */
    MOST_LIVES = 128,   /* of more, the longest */
    MANY_LIVES = 4,     /* tell by themselves how Kendall's S varies */
    FEWEST_OF_SIDE = 4, /* of a step */
    LATE = 8,           /* the last of so many parts is looked at by itself */
    LAGS = 8,           /* looked at for autocorrelation: a quarter of the blocks */
    SHORT_LIFE = 8,     /* blocks: of a shorter one the bias of autocorrelation cannot be undone */
    MUCH_LONGER = 4,    /* than samples usually are apart: a gap */
    ROOM = BLOCKS + 2 * FEWEST_OF_LIFE * MOST_LIVES
};
#define WARM_UP 0.25 /* of each life is not judged */
#define SIGNIFICANT                                                                                          \
    1.645 /* standard errors that an autocorrelation must have to count: Hamed and Rao's 10 % */
#define PLAIN_STEP   4.0  /* times what the blocks scatter about the two levels */
#define LEAST_SPAN_S 10.0 /* what is shorter is still beginning, and an hour is far away */
#define ROUNDING     1e-9
#define MOST_MEMORY  0.95
#define MOST_PIECES  (1 << 30)
#define HOUR_S       3600.0

struct block {
    double second, value;
    int life, segment; /* segment: life, and which side of a step */
    int64_t samples;
};

struct life {
    int64_t begin, end; /* its samples, without gaps and warm-up */
    double span_s;      /* that they cover */
    double observed_s;  /* with the warm-up, but no gap */
};

/* What a judgement works with; for `count` points. */
struct room {
    struct mh_trend_point *kept;
    struct life *lives;
    double *numbers;
};

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(const double *sorted, int64_t count)
{
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* ---- from points to lives ---- */

static int64_t end_of_life(const struct mh_trend_point *points, int64_t count, int64_t at)
{
    const int32_t life = points[at].life;
    while (at < count && points[at].life == life)
        at++;
    return at;
}

/* What samples of one life cover. When they are missing for much longer than they are apart nobody looked,
 * but where they come with events nothing happened. */
static double observed_time(const struct mh_trend_point *points, int64_t count, bool by_events,
                            double *distances)
{
    double last = NAN, most = INFINITY, sum = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(points[i].value))
            continue;
        if (!isnan(last))
            distances[used++] = points[i].second - last;
        last = points[i].second;
    }
    if (used > 0 && !by_events) {
        qsort(distances, (size_t)used, sizeof *distances, by_size);
        most = MUCH_LONGER * middle(distances, used);
    }
    for (int64_t i = 0; i < used; i++)
        sum += distances[i] <= most ? distances[i] : 0;
    return sum;
}

/* Leaves out gaps and the warm-up, and what is too short without them. */
static int64_t find_lives(const struct mh_trend_point *points, int64_t count, bool by_events,
                          const struct room *room)
{
    int64_t lives = 0, used = 0;
    for (int64_t at = 0, end; at < count; at = end) {
        end = end_of_life(points, count, at);
        const double from = points[at].second + WARM_UP * (points[end - 1].second - points[at].second);
        struct life life = {.begin = used};
        for (int64_t i = at; i < end; i++)
            if (isfinite(points[i].value) && points[i].second >= from)
                room->kept[used++] = points[i];
        life.end = used;
        life.span_s = used > life.begin ? room->kept[used - 1].second - room->kept[life.begin].second : 0;
        life.observed_s = observed_time(points + at, end - at, by_events, room->numbers);
        if (life.end - life.begin >= FEWEST_OF_LIFE && life.span_s > 0)
            room->lives[lives++] = life;
        else
            used = life.begin;
    }
    return lives;
}

static int by_length(const void *a, const void *b)
{
    const struct life *x = a, *y = b;
    return x->span_s < y->span_s ? 1 : x->span_s > y->span_s ? -1 : x->begin < y->begin ? -1 : 1;
}

static int by_time(const void *a, const void *b)
{
    const struct life *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int keep_longest(struct life *lives, int64_t count)
{
    const int64_t kept = count < MOST_LIVES ? count : MOST_LIVES;
    if (count > kept) {
        qsort(lives, (size_t)count, sizeof *lives, by_length);
        qsort(lives, (size_t)kept, sizeof *lives, by_time);
    }
    return (int)kept;
}

/* ---- from lives to blocks ---- */

/* Means over `pieces` equal times. The last sample may be one more block; where blocks are few, as of a short
 * life, that would add as much noise as any. */
static int cut(const struct mh_trend_point *points, int64_t count, int pieces, bool last_alone, int life,
               struct block *blocks)
{
    const double most = last_alone ? pieces : pieces - 1;
    const double from = points[0].second, length = (points[count - 1].second - from) / pieces;
    double last = 0;
    int used = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        const double place = fmin(floor((points[i].second - from) / length), most);
        if (used == 0 || place > last) {
            blocks[used++] = (struct block){.life = life, .segment = life};
            n = 0;
        }
        last = place;
        n++;
        blocks[used - 1].samples = n;
        blocks[used - 1].second += (points[i].second - blocks[used - 1].second) / (double)n;
        blocks[used - 1].value += (points[i].value - blocks[used - 1].value) / (double)n;
    }
    return used;
}

/* Its share of all blocks, or each sample alone where they are few; more of them where gaps leave fewer than
 * a life must have: halves of so few are not many, and ROOM is never reached. */
static int blocks_of_life(const struct mh_trend_point *kept, const struct life *life, double all_s,
                          int number, struct block *blocks)
{
    const int64_t count = life->end - life->begin;
    const bool is_only = life->span_s >= all_s;
    int pieces = (int)fmax(FEWEST_OF_LIFE, round(BLOCKS * life->span_s / all_s)), used = 0;
    if (count <= pieces)
        for (; used < count; used++)
            blocks[used] = (struct block){kept[life->begin + used].second, kept[life->begin + used].value,
                                          number, number, 1};
    for (; used < FEWEST_OF_LIFE && pieces < MOST_PIECES; pieces *= 2)
        used = cut(kept + life->begin, count, pieces, is_only, number, blocks);
    return used >= FEWEST_OF_LIFE ? used : 0;
}

/* Says what of the lives is judged, too; returns how many blocks. */
static int make_blocks(const struct room *room, int lives, struct block *blocks, struct mh_trend *out,
                       double *longest_s)
{
    double all_s = 0;
    int used = 0;
    for (int i = 0; i < lives; i++)
        all_s += room->lives[i].span_s;
    for (int i = 0; i < lives; i++) {
        const struct life *life = &room->lives[i];
        const int more = blocks_of_life(room->kept, life, all_s, i, blocks + used);
        if (more == 0)
            continue;
        used += more;
        out->lives++;
        out->samples += life->end - life->begin;
        out->span_s += life->span_s;
        out->observed_s += life->observed_s;
        *longest_s = fmax(*longest_s, life->span_s);
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

static int end_of_block_life(const struct block *blocks, int count, int at)
{
    const int life = blocks[at].life;
    while (at < count && blocks[at].life == life)
        at++;
    return at;
}

/* How many blocks a block's life has, on average. */
static double length_of_lives(const struct block *blocks, int count)
{
    double squares = 0;
    for (int at = 0, end; at < count; at = end) {
        end = end_of_block_life(blocks, count, at);
        squares += (double)(end - at) * (end - at);
    }
    return squares / count;
}

/* The same for a process that remembers one block, with its memory put right: that of a short series, of n
 * blocks, is underestimated by (1 + 4 r) / n (Kendall; Marriott and Pope, both Biometrika 41, 1954). Without
 * it one of ten slow wanderings would be a trend. */
static double correction_of_short(const struct block *blocks, int count, double slope)
{
    double ranks[ROOM];
    const double n = fmax(length_of_lives(blocks, count), SHORT_LIFE);
    ranks_of_rest(blocks, count, slope, ranks);
    const double seen = autocorrelation(blocks, count, ranks, 1);
    const double r = fmin((n * seen + 1) / (n - 4), MOST_MEMORY);
    if (seen + 1 / n - 1.0 / count < SIGNIFICANT / sqrt(count) || r < 0)
        return 1;
    return (1 + r) / (1 - r) - 2 * r * (1 - pow(r, n)) / (n * (1 - r) * (1 - r));
}

static double correction(const struct block *blocks, int count, double slope)
{
    return fmax(1, fmax(correction_of_lags(blocks, count, slope), correction_of_short(blocks, count, slope)));
}

/* How probably Student's t is farther from 0 (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
static double outside_of_student(double t, int freedom)
{
    const bool odd = freedom % 2;
    const double angle = atan(t / sqrt(freedom)), square = cos(angle) * cos(angle);
    double term = odd ? cos(angle) : 1, sum = 0;
    for (int i = odd ? 3 : 2; i <= freedom; i += 2) {
        sum += term;
        term *= square * (i - 1) / i;
    }
    return 1 - (odd ? M_2_PI * (angle + sin(angle) * sum) : sin(angle) * sum);
}

/* Standard deviations within which a value lies but for a probability of alpha: a normal one, or, with
 * degrees of freedom, one whose deviation is estimated. */
static double deviations(double alpha, int freedom)
{
    double low = 0, high = 10000;
    for (int i = 0; i < 80; i++) {
        const double at = (low + high) / 2;
        if ((freedom > 0 ? outside_of_student(at, freedom) : erfc(at / M_SQRT2)) > alpha)
            low = at;
        else
            high = at;
    }
    return high;
}

static double s_about(const struct block *blocks, int count, double slope)
{
    double s = 0;
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count && blocks[k].segment == blocks[i].segment; k++) {
            const double over =
                blocks[k].value - blocks[i].value - slope * (blocks[k].second - blocks[i].second);
            s += (over > 0) - (over < 0);
        }
    return s;
}

/* Of lives too short to show what they remember, many show by their differences how S varies, for one life
 * knows nothing of another. Uneven ones count as fewer. 0: they are few. */
static double variance_among_lives(const struct block *blocks, int count, double slope, double alpha)
{
    double squares = 0, weights = 0, weights_squared = 0;
    for (int at = 0, end; at < count; at = end) {
        end = end_of_block_life(blocks, count, at);
        const double s = s_about(blocks + at, end - at, slope), weight = variance_of_s(blocks + at, end - at);
        squares += s * s;
        weights += weight;
        weights_squared += weight * weight;
    }
    const double lives = weights * weights / weights_squared;
    if (lives < MANY_LIVES - 0.5)
        return 0;
    const double wider = deviations(alpha, (int)round(lives) - 1) / deviations(alpha, 0);
    return squares * lives / (lives - 1) * wider * wider;
}

struct slope {
    double slope, low, high;
};

/* Where the blocks are as good as very few, the interval is that of all slopes that were seen. */
static struct slope find_slope(const struct block *blocks, int count, double alpha, double *slopes)
{
    const int64_t pairs = pair_slopes(blocks, count, slopes);
    const double middle_slope = middle(slopes, pairs);
    const double variance = fmax(variance_of_s(blocks, count) * correction(blocks, count, middle_slope),
                                 variance_among_lives(blocks, count, middle_slope, alpha));
    const double below = floor(((double)pairs - deviations(alpha, 0) * sqrt(variance)) / 2) - 1;
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

/* What each block stands above the middle of its life, or with sign -1 below it. */
static void find_heights(const struct block *blocks, int count, double sign, double *heights)
{
    for (int at = 0, end; at < count; at = end) {
        end = end_of_block_life(blocks, count, at);
        const double level = median_of(blocks + at, end - at);
        for (int i = at; i < end; i++)
            heights[i] = sign * (blocks[i].value - level);
    }
}

/* How high the last blocks are, two to `most` of them, where they stand clear of all before them, but for a
 * quarter of them: the most that is found. 0: nowhere. */
static double late_height(const double *heights, int count, int most)
{
    double found = 0;
    for (int late = 2; late <= most; late++) {
        double before = -INFINITY, sum = 0;
        int clear = 0;
        for (int i = 0; i < count - late; i++)
            before = fmax(before, heights[i]);
        for (int i = count - late; i < count; i++) {
            sum += heights[i];
            clear += heights[i] > before;
        }
        if (clear >= late - late / 4)
            found = fmax(found, sum / late);
    }
    return found;
}

/* What begins in the last eighth moves few pairs, and neither whole nor half. Where the end stands clear of
 * all before it, the interval reaches to what that rise, or fall, is over the time that is judged. */
static void add_late_end(const struct block *blocks, int count, double span_s, struct slope *whole)
{
    double heights[ROOM] = {0};
    if (blocks[count - 1].samples <= blocks[count - 2].samples / 2) /* the last sample, alone */
        count--;
    int last = count - 1; /* of the last life the first block */
    while (last > 0 && blocks[last - 1].life == blocks[count - 1].life)
        last--;
    const int most = count - last < count / LATE ? count - last : count / LATE;
    for (int sign = -1; sign <= 1; sign += 2) {
        find_heights(blocks, count, sign, heights);
        const double height = late_height(heights, count, most);
        if (height > 0 && sign > 0)
            whole->high = fmax(whole->high, height / span_s);
        else if (height > 0)
            whole->low = fmin(whole->low, -height / span_s);
    }
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

/* Pairs stand within one life. */
static int64_t count_pairs(const struct block *blocks, int count)
{
    int64_t pairs = 0;
    for (int at = 0, end; at < count; at = end) {
        end = end_of_block_life(blocks, count, at);
        pairs += (int64_t)(end - at) * (end - at - 1) / 2;
    }
    return pairs;
}

/* The longest life tells most of a slope: what means nothing over it is the least that means nothing. */
static int judge(struct block *blocks, int count, const struct mh_trend_options *options, double longest_s,
                 struct mh_trend *out)
{
    const double blur = options->resolution / longest_s;
    double *slopes = malloc((size_t)count_pairs(blocks, count) * sizeof *slopes);
    if (!slopes)
        return -1;
    struct slope whole = find_slope(blocks, count, options->alpha, slopes);
    add_later_half(blocks, count, options->alpha, slopes, &whole);
    add_late_end(blocks, count, out->span_s, &whole);
    add_steps(blocks, count, options, slopes, &whole, out);
    out->state = MH_TREND_KNOWN;
    out->slope_per_hour = HOUR_S * whole.slope;
    out->low_per_hour = HOUR_S * (whole.low - blur);
    out->high_per_hour = HOUR_S * (whole.high + blur);
    free(slopes);
    return 0;
}

static int judge_points(const struct mh_trend_point *points, int64_t count,
                        const struct mh_trend_options *options, const struct room *room, struct mh_trend *out)
{
    struct block blocks[ROOM];
    double longest_s = 0;
    const int lives = keep_longest(room->lives, find_lives(points, count, options->by_events, room));
    const int used = make_blocks(room, lives, blocks, out, &longest_s);
    if (used > 0)
        out->median = median_of(blocks, used);
    if (used < FEWEST || out->span_s < LEAST_SPAN_S)
        return 0;
    return judge(blocks, used, options, longest_s, out);
}

int mh_trend_of(const struct mh_trend_point *points, int64_t count, const struct mh_trend_options *options,
                struct mh_trend *out)
{
    const size_t most = (size_t)count + 1;
    const struct room room = {malloc(most * sizeof *room.kept), malloc(most * sizeof *room.lives),
                              malloc(most * sizeof *room.numbers)};
    *out = (struct mh_trend){.state = MH_TREND_FEW};
    const int rc =
        room.kept && room.lives && room.numbers ? judge_points(points, count, options, &room, out) : -1;
    free(room.kept);
    free(room.lives);
    free(room.numbers);
    return rc;
}
