/* Distances between vectors, as Milvus scores them. */
#ifndef MH_DATASET_DISTANCE_H
#define MH_DATASET_DISTANCE_H

#include <stdint.h>

/* metric: MH_METRIC_L2: the squared Euclidean distance, smaller is nearer. IP: the inner product; COSINE: it,
 * divided by both lengths (0 where one is 0): larger is nearer. Sums in float, in 16 lanes: its relative
 * error is about dim / 16 * 6e-8 at worst. */
float mh_distance(int metric, const float *a, const float *b, int64_t dim);

#endif
