/* Distances between vectors, as Milvus scores them. */
#ifndef MH_DATASET_DISTANCE_H
#define MH_DATASET_DISTANCE_H

#include <stdbool.h>
#include <stdint.h>

/* metric: MH_METRIC_L2: the squared Euclidean distance, smaller is nearer. IP: the inner product; COSINE: it,
 * divided by both lengths (0 where one is 0): larger is nearer. Sums in float, in 16 lanes: its relative
 * error is about dim / 16 * 6e-8 at worst. */
float mh_distance(int metric, const float *a, const float *b, int64_t dim);

/* Does an index of this type keep vectors as they are (FLAT, IVF_FLAT, HNSW), so that scores are distances?
 */
bool mh_index_is_quantised(const char *type);

/* By how much a score may differ from our distance: single precision, and the expanded form |q|^2 - 2qx +
 * |x|^2 that servers use for batches, err by a few units in the last place of the lengths involved. */
#define MH_ANY_COSINE 2.0 /* error of the cosine of a vector without a direction: any score is as good */
double mh_score_error(int metric, const float *query, const float *row, int64_t dim);

/* Given our distance and its error: is there one that a server must agree about? Not where single precision
 * cannot hold it or what it is computed from, nor by COSINE where a vector has no direction: 2.3.5 leaves
 * such rows out of FLAT's hits. */
bool mh_has_score(int metric, double distance, double error);

/* Is it their distance, as far as that error allows? Of those without a score, any is. */
bool mh_score_fits(int metric, const float *query, const float *row, int64_t dim, double score);

/* Scores this close are one to Milvus, which orders them by key: on 2.3.5 hits were out of order by up to
 * 1.7e-8 where distances were tiny, by nothing elsewhere. */
#define MH_SCORE_TIE 1e-7

bool mh_is_nearer(int metric, double a, double b); /* a than b */
bool mh_is_clearly_nearer(int metric, double a, double b, double by);

#endif
