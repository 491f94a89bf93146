#include "mock/search.h"

#include "base/random.h"
#include "job/job.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

int mh_search_check(const struct mh_search *search, struct mh_error *err)
{
    const bool both = search->has_radius && search->has_range_filter;
    if (search->topk < 1 || search->topk > MH_SEARCH_WINDOW)
        return mh_fail(err, "topk [%" PRId64 "] is invalid, should be in range [1, %d]", search->topk,
                       MH_SEARCH_WINDOW);
    if (search->offset < 0 || search->offset > MH_SEARCH_WINDOW - search->topk)
        return mh_fail(err, "offset [%" PRId64 "] is invalid, offset + topk should be in range [1, %d]",
                       search->offset, MH_SEARCH_WINDOW);
    if (both && search->metric == MH_METRIC_L2 && !(search->range_filter < search->radius))
        return mh_fail(err, "range_filter(%g) must be less than radius(%g)", search->range_filter,
                       search->radius);
    if (both && search->metric != MH_METRIC_L2 && !(search->range_filter > search->radius))
        return mh_fail(err, "range_filter(%g) must be greater than radius(%g)", search->range_filter,
                       search->radius);
    return 0;
}

static double product(const float *a, const float *b, int64_t dim)
{
    double sum = 0;
    for (int64_t i = 0; i < dim; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

float mh_search_score(int metric, const float *a, const float *b, int64_t dim)
{
    if (metric == MH_METRIC_IP)
        return (float)product(a, b, dim);
    if (metric == MH_METRIC_COSINE) {
        const double norms = sqrt(product(a, a, dim)) * sqrt(product(b, b, dim));
        return norms > 0 ? (float)(product(a, b, dim) / norms) : 0;
    }
    double sum = 0;
    for (int64_t i = 0; i < dim; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return (float)sum;
}

/* Without radius Milvus does not look at range_filter. */
static bool in_range(const struct mh_search *search, float score)
{
    if (isnan(score))
        return false;
    if (!search->has_radius)
        return true;
    if (search->metric == MH_METRIC_L2)
        return score < search->radius && (!search->has_range_filter || score >= search->range_filter);
    return score > search->radius && (!search->has_range_filter || score <= search->range_filter);
}

/* ---- the nearest so far: a heap with the farthest on top ---- */

struct heap {
    const struct mh_search *search;
    const struct mh_search_rows *rows;
    struct mh_hit *hits;
    int64_t count, room;
};

static bool nearer(const struct heap *heap, const struct mh_hit *a, const struct mh_hit *b)
{
    if (a->score != b->score)
        return heap->search->metric == MH_METRIC_L2 ? a->score < b->score : a->score > b->score;
    const int64_t key_a = heap->rows->keys[a->row], key_b = heap->rows->keys[b->row];
    return key_a != key_b ? key_a < key_b : a->row < b->row;
}

static void swap(struct mh_hit *a, struct mh_hit *b)
{
    const struct mh_hit kept = *a;
    *a = *b;
    *b = kept;
}

static void sink(struct heap *heap)
{
    struct mh_hit *hits = heap->hits;
    for (int64_t at = 0, below; (below = 2 * at + 1) < heap->count; at = below) {
        if (below + 1 < heap->count && nearer(heap, &hits[below], &hits[below + 1]))
            below++;
        if (!nearer(heap, &hits[at], &hits[below]))
            return;
        swap(&hits[at], &hits[below]);
    }
}

static void offer(struct heap *heap, struct mh_hit hit)
{
    if (heap->count == heap->room) {
        if (nearer(heap, &hit, &heap->hits[0])) {
            heap->hits[0] = hit;
            sink(heap);
        }
        return;
    }
    int64_t at = heap->count++;
    heap->hits[at] = hit;
    for (int64_t above; at > 0 && nearer(heap, &heap->hits[above = (at - 1) / 2], &heap->hits[at]);
         at = above)
        swap(&heap->hits[above], &heap->hits[at]);
}

/* Leaves the hits nearest first; the heap is none any more. */
static void sort(struct heap *heap)
{
    const int64_t all = heap->count;
    while (heap->count > 1) {
        swap(&heap->hits[0], &heap->hits[--heap->count]);
        sink(heap);
    }
    heap->count = all;
}

/* ---- further copies of a key ---- */

struct seen { /* open addressing, never full; 0: free, else position in the hits + 1 */
    int64_t *places;
    size_t room;
};

static bool is_repeated(struct seen *seen, const struct heap *heap, int64_t at)
{
    const int64_t key = heap->rows->keys[heap->hits[at].row];
    size_t place = mh_random(0, 0, (uint64_t)key) & (seen->room - 1);
    for (; seen->places[place]; place = (place + 1) & (seen->room - 1))
        if (heap->rows->keys[heap->hits[seen->places[place] - 1].row] == key)
            return true;
    seen->places[place] = at + 1;
    return false;
}

static int64_t take(const struct heap *heap, struct mh_hit *hits)
{
    struct seen seen = {.room = 1};
    while (seen.room <= (size_t)heap->count)
        seen.room *= 2;
    seen.places = calloc(seen.room, sizeof *seen.places);
    if (!seen.places)
        return -1;
    int64_t distinct = 0, taken = 0;
    for (int64_t i = 0; i < heap->count; i++)
        if (!is_repeated(&seen, heap, i) && distinct++ >= heap->search->offset)
            hits[taken++] = heap->hits[i];
    free(seen.places);
    return taken;
}

int64_t mh_search(const struct mh_search *search, const struct mh_search_rows *rows, const float *query,
                  struct mh_hit *hits)
{
    struct heap heap = {.search = search, .rows = rows, .room = search->topk + search->offset};
    if (heap.room > rows->count)
        heap.room = rows->count > 0 ? rows->count : 1;
    heap.hits = malloc((size_t)heap.room * sizeof *heap.hits);
    if (!heap.hits)
        return -1;
    for (int64_t row = 0; row < rows->count; row++) {
        if (!rows->takes(rows->context, row))
            continue;
        struct mh_hit hit = {.row = row};
        hit.score = mh_search_score(search->metric, query, rows->vectors + row * search->dim, search->dim);
        if (in_range(search, hit.score))
            offer(&heap, hit);
    }
    sort(&heap);
    const int64_t taken = take(&heap, hits);
    free(heap.hits);
    return taken;
}
