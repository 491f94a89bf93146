/* Recall's brute force: each row of this rank's share against each target. */
#include "truth/recall.h"

#include "base/alive.h"
#include "dataset/distance.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 512,           /* rows whose distances to all queries are computed at once */
    SELECTIVITY_ROWS = 64, /* a rank, a filter is tried on */
};

/* ---- one row and one target ---- */

bool mh_reading_promises(const struct mh_reading *reading)
{
    return reading->consistency == MH_STRONG || reading->consistency == MH_BOUNDED;
}

/* Session and eventually promise nothing of others' rows; those of a while ago are expected all the same, for
 * recall, and their absence is no violation. */
static struct mh_look look_of(const struct mh_reading *reading)
{
    return (struct mh_look){reading->sent_ns, reading->done_ns, reading->worker,
                            mh_reading_promises(reading) ? reading->consistency : MH_BOUNDED};
}

/* What it may have seen, by its own level. */
static struct mh_look own_look(const struct mh_reading *reading)
{
    return (struct mh_look){reading->sent_ns, reading->done_ns, reading->worker, reading->consistency};
}

static bool is_in_place(const struct mh_hits *hits, const struct mh_reading *reading, int64_t id)
{
    const struct mh_worker *writer = reading->places > 0 ? mh_plan_writer_of(hits->plan, id) : NULL;
    return reading->places == 0 || (writer && mh_reading_looks_in(reading, writer->partition));
}

/* Well inside the range: at its edges single precision decides. */
static bool is_in_range(int metric, const struct mh_reading *reading, double distance, double error)
{
    const double outward = metric == MH_METRIC_L2 ? distance + error : distance - error,
                 inward = metric == MH_METRIC_L2 ? distance - error : distance + error;
    if (isnan(reading->radius))
        return true;
    return mh_is_nearer(metric, outward, reading->radius) &&
           (isnan(reading->range_filter) || !mh_is_nearer(metric, inward, reading->range_filter));
}

static bool qualifies(struct mh_compare *compare, const struct mh_target *target, int64_t id, int64_t version)
{
    const struct mh_hits *hits = compare->hits;
    const struct mh_reading *reading = &target->sample->reading;
    const struct mh_look look = look_of(reading);
    if (!is_in_place(hits, reading, id))
        return false;
    const struct mh_standing standing = mh_history_standing(hits->history, &hits->doubt, &look, id);
    return standing.kind == MH_STANDS_SURELY && standing.lowest == version &&
           mh_filter_read(&compare->filter, target->sample->text) &&
           mh_filter_holds(&compare->filter, id, version);
}

/* ---- the nearest: a heap with the farthest on top ---- */

static bool farther(int metric, const struct mh_near *a, const struct mh_near *b)
{
    return mh_is_nearer(metric, (double)b->distance, (double)a->distance);
}

static void swap(struct mh_near *a, struct mh_near *b)
{
    const struct mh_near held = *a;
    *a = *b;
    *b = held;
}

static void sink(struct mh_target *target, int metric)
{
    for (int64_t at = 0;;) {
        int64_t top = at;
        for (int64_t child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < target->count && farther(metric, &target->nearest[child], &target->nearest[top]))
                top = child;
        if (top == at)
            return;
        swap(&target->nearest[at], &target->nearest[top]);
        at = top;
    }
}

void mh_recall_take_near(struct mh_target *target, int metric, struct mh_near near)
{
    if (target->count == mh_target_depth(target)) {
        if (!farther(metric, &target->nearest[0], &near))
            return;
        target->nearest[0] = near;
        sink(target, metric);
        return;
    }
    int64_t at = target->count++;
    target->nearest[at] = near;
    for (; at > 0 && farther(metric, &target->nearest[at], &target->nearest[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&target->nearest[at], &target->nearest[(at - 1) / 2]);
}

/* ---- blocks of rows ---- */

struct block {
    int64_t ids[BLOCK];
    uint16_t versions[BLOCK];
    double lengths[BLOCK];
    int count;
    float *rows;     /* BLOCK x dim */
    float *products; /* search_count x BLOCK */
};

/* From the product of query and row: close enough to leave most rows out. */
static double rough_distance(int metric, double product, double query_length, double row_length)
{
    if (metric == MH_METRIC_L2)
        return query_length + row_length - 2 * product;
    if (metric == MH_METRIC_IP)
        return product;
    const double lengths = sqrt(query_length * row_length);
    return lengths > 0 ? product / lengths : 0;
}

/* May the server have taken this row for one of those that the offset leaves out, nearer than the first hit?
 * Rows that are farther than all those that must be known need not be looked at: so many are nearer then. */
static void count_before(struct mh_compare *compare, struct mh_target *target, int64_t id, int64_t version,
                         double distance, double error)
{
    const struct mh_hits *hits = compare->hits;
    const struct mh_sampled *sample = target->sample;
    const struct mh_look look = own_look(&sample->reading);
    if (sample->first.id == id || !is_in_place(hits, &sample->reading, id) ||
        mh_is_clearly_nearer(hits->metric, (double)sample->first.score, distance, error + MH_SCORE_TIE))
        return;
    const struct mh_standing standing = mh_history_standing(hits->history, &hits->doubt, &look, id);
    const bool exists = standing.kind == MH_STANDS_SURELY || standing.kind == MH_STANDS_PERHAPS;
    if (exists && standing.lowest <= version && version <= standing.highest &&
        mh_filter_read(&compare->filter, sample->text) && mh_filter_holds(&compare->filter, id, version))
        target->tally.before++;
}

static void consider(struct mh_compare *compare, struct mh_target *target, int64_t id, int64_t version,
                     double product, double length)
{
    const struct mh_hits *hits = compare->hits;
    const int metric = hits->metric;
    const double rough = rough_distance(metric, product, target->length, length),
                 slack = metric == MH_METRIC_COSINE ? 1e-3 : 1e-4 * (target->length + length);
    if (target->count == mh_target_depth(target) &&
        mh_is_nearer(metric, (double)target->nearest[0].distance,
                     metric == MH_METRIC_L2 ? rough - slack : rough + slack))
        return;
    const float *row = mh_content_vector(hits->content, id, version);
    const float distance = mh_distance(metric, target->query, row, mh_hits_dim(hits));
    const double error = mh_score_error(metric, target->query, row, mh_hits_dim(hits));
    if (target->sample->reading.offset > 0)
        count_before(compare, target, id, version, (double)distance, error);
    if (!mh_has_score(metric, (double)distance, error))
        return; /* nobody's neighbour for certain */
    if (is_in_range(metric, &target->sample->reading, (double)distance, error) &&
        qualifies(compare, target, id, version))
        mh_recall_take_near(target, metric, (struct mh_near){target->tally.sample, distance, id});
}

static void compare_block(struct mh_compare *compare, struct block *block)
{
    const int dim = (int)mh_hits_dim(compare->hits), searches = (int)compare->search_count;
    if (block->count == 0)
        return;
    mh_alive();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, searches, block->count, dim, 1, compare->queries,
                dim, block->rows, dim, 0, block->products, BLOCK);
    for (int s = 0; s < searches; s++) /* one target after the other: its filter is read once */
        for (int i = 0; i < block->count; i++)
            consider(compare, &compare->targets[compare->searches[s]], block->ids[i], block->versions[i],
                     (double)block->products[(size_t)s * BLOCK + (size_t)i], block->lengths[i]);
    block->count = 0;
}

static void put_row(struct mh_compare *compare, struct block *block, int64_t id, uint16_t version)
{
    const int64_t dim = mh_hits_dim(compare->hits);
    const float *row = mh_content_vector(compare->hits->content, id, version);
    memcpy(block->rows + (int64_t)block->count * dim, row, (size_t)dim * sizeof *row);
    block->lengths[block->count] = (double)mh_distance(MH_METRIC_IP, row, row, dim);
    block->ids[block->count] = id;
    block->versions[block->count++] = version;
    if (block->count == BLOCK)
        compare_block(compare, block);
}

static int find_nearest(struct mh_compare *compare)
{
    const struct mh_history *history = compare->hits->history;
    const size_t dim = (size_t)mh_hits_dim(compare->hits);
    struct block *block = compare->search_count > 0 ? calloc(1, sizeof *block) : NULL;
    if (compare->search_count == 0)
        return 0;
    if (!block)
        return -1;
    block->rows = malloc(BLOCK * dim * sizeof(float));
    block->products = malloc(((size_t)compare->search_count * BLOCK + 1) * sizeof(float));
    const bool room = block->rows && block->products;
    for (int64_t w = 0; room && w < history->insert_count; w++)
        for (int32_t i = 0; i < history->inserts[w].count; i++)
            put_row(compare, block, history->inserts[w].first + i, 0);
    for (int64_t c = 0; room && c < history->change_count; c++)
        if (history->changes[c].kind == MH_OP_UPSERT)
            put_row(compare, block, history->changes[c].first, history->changes[c].version);
    if (room)
        compare_block(compare, block);
    free(block->rows);
    free(block->products);
    free(block);
    return room ? 0 : -1;
}

/* ---- queries: how many rows must be there, how many may ---- */

bool mh_reading_is_full(const struct mh_reading *reading)
{
    return reading->limit > 0 && reading->rows >= reading->limit;
}

static void count_row(struct mh_compare *compare, struct mh_target *target, int64_t id)
{
    const struct mh_hits *hits = compare->hits;
    const struct mh_reading *reading = &target->sample->reading;
    const struct mh_look look = own_look(reading);
    const struct mh_standing standing = mh_history_standing(hits->history, &hits->doubt, &look, id);
    if (standing.kind == MH_STANDS_NOWHERE || standing.kind == MH_STANDS_GONE)
        return;
    bool holds = false;
    if (reading->page && mh_reading_is_full(reading) && id > reading->highest)
        return; /* it was not its turn */
    for (int32_t version = standing.lowest; version <= standing.highest && !holds; version++)
        holds = mh_filter_holds(&compare->filter, id, version);
    target->tally.possible += holds;
    target->tally.certain += holds && standing.kind == MH_STANDS_SURELY;
}

static void count_rows(struct mh_compare *compare, struct mh_target *target)
{
    const struct mh_history *history = compare->hits->history;
    mh_filter_read(&compare->filter, target->sample->text);
    for (int64_t w = 0; w < history->insert_count; w++) {
        const struct mh_write *insert = &history->inserts[w];
        mh_alive();
        if (is_in_place(compare->hits, &target->sample->reading,
                        insert->first)) /* a write has one partition */
            for (int32_t i = 0; i < insert->count; i++)
                count_row(compare, target, insert->first + i);
    }
}

static void try_filter(struct mh_compare *compare, struct mh_target *target)
{
    const struct mh_history *history = compare->hits->history;
    const int64_t step = history->insert_count / SELECTIVITY_ROWS + 1;
    mh_filter_read(&compare->filter, target->sample->text);
    for (int64_t w = 0; w < history->insert_count; w += step)
        for (int32_t i = 0; i < 16 && i < history->inserts[w].count; i++) {
            target->tally.tried++;
            target->tally.held += mh_filter_holds(&compare->filter, history->inserts[w].first + i, 0);
        }
}

int mh_recall_look(struct mh_compare *compare)
{
    for (int64_t t = 0; t < compare->target_count; t++)
        if (compare->targets[t].query)
            try_filter(compare, &compare->targets[t]);
        else
            count_rows(compare, &compare->targets[t]);
    return find_nearest(compare);
}
