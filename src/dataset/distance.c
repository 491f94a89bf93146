#include "dataset/distance.h"

#include "job/job.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 }; /* sums side by side, which the compiler turns into vector registers */

static float sum_of(const float lanes[LANES])
{
    float sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}

static float product(const float *a, const float *b, int64_t dim)
{
    float lanes[LANES] = {0};
    int64_t at = 0;
    for (; at + LANES <= dim; at += LANES)
        for (int i = 0; i < LANES; i++)
            lanes[i] += a[at + i] * b[at + i];
    for (; at < dim; at++)
        lanes[at % LANES] += a[at] * b[at];
    return sum_of(lanes);
}

static float squared_distance(const float *a, const float *b, int64_t dim)
{
    float lanes[LANES] = {0};
    int64_t at = 0;
    for (; at + LANES <= dim; at += LANES)
        for (int i = 0; i < LANES; i++)
            lanes[i] += (a[at + i] - b[at + i]) * (a[at + i] - b[at + i]);
    for (; at < dim; at++)
        lanes[at % LANES] += (a[at] - b[at]) * (a[at] - b[at]);
    return sum_of(lanes);
}

float mh_distance(int metric, const float *a, const float *b, int64_t dim)
{
    if (metric == MH_METRIC_L2)
        return squared_distance(a, b, dim);
    const float dot = product(a, b, dim);
    if (metric == MH_METRIC_IP)
        return dot;
    const float lengths = sqrtf(product(a, a, dim)) * sqrtf(product(b, b, dim));
    return lengths > 0 ? dot / lengths : 0;
}

bool mh_index_is_quantised(const char *type)
{
    static const char *const faithful[] = {"FLAT", "IVF_FLAT", "HNSW"};
    for (size_t i = 0; i < sizeof faithful / sizeof faithful[0]; i++)
        if (strcmp(type, faithful[i]) == 0)
            return false;
    return true;
}

bool mh_is_nearer(int metric, double a, double b)
{
    return metric == MH_METRIC_L2 ? a < b : a > b;
}

bool mh_is_clearly_nearer(int metric, double a, double b, double by)
{
    return mh_is_nearer(metric, metric == MH_METRIC_L2 ? a + by : a - by, b);
}

static double squared_length(const float *row, int64_t dim)
{
    return (double)mh_distance(MH_METRIC_IP, row, row, dim);
}

/* Whose squared length single precision can hold: else it has no direction that a server must agree about. */
static bool has_direction(const float *row, int64_t dim)
{
    const double length = squared_length(row, dim);
    return length > 1e-30 && length < 1e30;
}

double mh_score_error(int metric, const float *query, const float *row, int64_t dim)
{
    const double relative = 1e-5; /* of single precision, 100 units in the last place */
    if (metric == MH_METRIC_COSINE)
        return has_direction(query, dim) && has_direction(row, dim) ? 10 * relative : MH_ANY_COSINE;
    return relative * (squared_length(query, dim) + squared_length(row, dim)) + 1e-30;
}

bool mh_has_score(int metric, double distance, double error)
{
    return metric == MH_METRIC_COSINE ? error < MH_ANY_COSINE : isfinite(distance) && isfinite(error);
}

bool mh_score_fits(int metric, const float *query, const float *row, int64_t dim, double score)
{
    const double distance = (double)mh_distance(metric, query, row, dim),
                 error = mh_score_error(metric, query, row, dim);
    return !mh_has_score(metric, distance, error) || fabs(distance - score) <= error;
}
