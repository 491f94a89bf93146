#include "dataset/distance.h"

#include "job/job.h"

#include <math.h>

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
