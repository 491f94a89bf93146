/* Nearest rows to a vector, exactly: every row is looked at. */
#ifndef MH_MOCK_SEARCH_H
#define MH_MOCK_SEARCH_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { MH_SEARCH_WINDOW = 16384 }; /* offset + topk */

struct mh_search {
    int metric; /* enum mh_metric: L2 (squared, smaller is nearer), IP or COSINE (larger is nearer) */
    int64_t dim, topk, offset;
    bool has_radius, has_range_filter;
    double radius, range_filter; /* L2: range_filter <= score < radius; else radius < score <= range_filter */
};

struct mh_search_rows {
    int64_t count;
    const float *vectors; /* of row i: vectors + i * dim */
    const int64_t *keys;
    bool (*takes)(const void *context, int64_t row); /* is it visible, and does the filter hold? */
    const void *context;
};

struct mh_hit {
    int64_t row;
    float score;
};

/* 0, or -1 where topk, offset or the range are none that Milvus takes. */
int mh_search_check(const struct mh_search *search, struct mh_error *err);

float mh_search_score(int metric, const float *a, const float *b, int64_t dim);

/* Fills hits[0 .. topk - 1], nearest first (equals by key, then by row), and returns how many there are. As
 * in Milvus 2.3 further copies of a key are dropped after the nearest topk + offset rows are chosen, so that
 * they can make a short result. Returns -1 when there is no memory. */
int64_t mh_search(const struct mh_search *search, const struct mh_search_rows *rows, const float *query,
                  struct mh_hit *hits);

#endif
