/* Live truth: what a sample of searches and queries should have found, by brute force over every row that was
 * certainly there at the time. Each rank looks at the rows that it audits; the one that asked puts it
 * together. */
#include "truth/hits.h"

#include "base/alive.h"
#include "base/grow.h"
#include "comm/comm.h"
#include "dataset/distance.h"
#include "truth/slice.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 512,           /* rows whose distances to all queries are computed at once */
    MOST_TOPK = 1000,      /* searches that ask for more are not compared */
    SELECTIVITY_ROWS = 64, /* a rank, a filter is tried on */
};

struct sample {
    int32_t rank, number; /* who asked; which of all samples */
    struct mh_seen first; /* its first row, if it has any */
    struct mh_reading reading;
    char text[]; /* then its partitions: mh_reading_tail bytes */
};

/* A row that qualified, of those nearest to a sample's query. */
struct near {
    int32_t sample;
    float distance;
    int64_t id;
};

/* What a rank found in its share of the rows. */
struct tally {
    int32_t sample, spare;
    int64_t certain, possible; /* queries: rows that must, that may be in the answer */
    int64_t before;            /* searches with an offset: rows that may have been left out in front */
    int64_t tried, held;       /* rows that the filter was tried on */
};

struct target { /* a sample at work */
    const struct sample *sample;
    const float *query;
    double length;        /* squared, of the query */
    double error;         /* of its scores, for rows as long as it is */
    struct near *nearest; /* a heap, the farthest on top; topk at most */
    int64_t count;
    struct tally tally;
};

struct compare {
    struct mh_hits *hits;
    struct mh_filter filter;
    struct target *targets;
    int64_t target_count, target_room;
    float *queries;    /* of the searches among the targets, side by side */
    int64_t *searches; /* which targets they are */
    int64_t search_count;
    int64_t
        whole_ns; /* from then on the collection was the data set's train rows, each once; INT64_MAX: never */
};

/* How many of the nearest rows must be known to say what belongs in the answer. */
static int64_t depth_of(const struct target *target)
{
    return target->sample->reading.limit + target->sample->reading.offset;
}

static int64_t dim_of(const struct mh_hits *hits)
{
    return hits->content->dataset->shape.dim;
}

/* ---- choosing ---- */

static bool is_eligible(struct compare *compare, const struct mh_reading *reading)
{
    return (reading->kind != MH_OP_SEARCH || reading->limit + reading->offset <= MOST_TOPK) &&
           mh_filter_read(&compare->filter, mh_reading_text(reading));
}

static int64_t count_eligible(struct compare *compare, int kind)
{
    const struct mh_reading *reading;
    int64_t count = 0;
    for (size_t at = 0; (reading = mh_reads_next(compare->hits->reads, &at));)
        count += reading->kind == kind && is_eligible(compare, reading);
    return count;
}

/* So that the one who asked finds its rows again. */
static int put_sample(const struct mh_hits *hits, const struct mh_reading *reading, struct mh_bytes *out)
{
    const struct sample sample = {.rank = hits->rank,
                                  .first = reading->rows > 0 ? mh_reading_rows(reading)[0]
                                                             : (struct mh_seen){.id = INT64_MIN},
                                  .reading = *reading};
    const int64_t place = (int64_t)((const uint8_t *)reading - hits->reads->log.data);
    if (mh_bytes_append(out, &sample, sizeof sample) != 0 ||
        mh_bytes_append(out, mh_reading_text(reading), mh_reading_tail(reading)) != 0)
        return -1;
    return mh_bytes_append(out, &place, sizeof place);
}

/* `wanted` of those that can be compared, or all, evenly spread over the stage. */
static int choose(struct compare *compare, int kind, int64_t wanted, struct mh_bytes *out)
{
    const struct mh_hits *hits = compare->hits;
    const int64_t count = count_eligible(compare, kind), chosen = count < wanted ? count : wanted;
    const struct mh_reading *reading;
    int64_t owed = 0; /* in `count`ths of a sample */
    for (size_t at = 0; (reading = mh_reads_next(hits->reads, &at));) {
        if (reading->kind != kind || !is_eligible(compare, reading))
            continue;
        owed += chosen;
        if (owed < count)
            continue;
        owed -= count;
        if (put_sample(hits, reading, out) != 0)
            return -1;
    }
    return 0;
}

/* Of `samples` over all ranks, as many as this rank has of what can be compared. Collective. */
static int64_t share_of(struct compare *compare, int kind, int64_t samples)
{
    const int64_t mine = count_eligible(compare, kind);
    int64_t all = mine;
    mh_comm_sum_i64(compare->hits->comm, &all, 1);
    return all <= samples ? mine : (samples * mine + all - 1) / all;
}

/* ---- the targets, the same on every rank ---- */

static int make_targets(struct compare *compare, const uint8_t *all, size_t length)
{
    const struct mh_hits *hits = compare->hits;
    const struct mh_dataset *data = hits->content->dataset;
    for (size_t at = 0; at < length;) {
        const struct sample *sample = (const void *)(all + at);
        const bool search = sample->reading.kind == MH_OP_SEARCH;
        if (!mh_grow(&compare->targets, &compare->target_room, compare->target_count,
                     sizeof *compare->targets))
            return -1;
        struct target *target = &compare->targets[compare->target_count];
        *target = (struct target){.sample = sample};
        target->tally.sample = (int32_t)compare->target_count++;
        if (search) {
            target->query = data->queries + sample->reading.query * data->shape.dim;
            target->length = (double)mh_distance(MH_METRIC_IP, target->query, target->query, data->shape.dim);
            target->error = mh_score_error(hits->metric, target->query, target->query, data->shape.dim);
            target->nearest = calloc((size_t)depth_of(target) + 1, sizeof *target->nearest);
            compare->search_count++;
            if (!target->nearest)
                return -1;
        }
        at += sizeof *sample + mh_reading_tail(&sample->reading) + sizeof(int64_t);
    }
    return 0;
}

static int line_up_queries(struct compare *compare)
{
    const size_t dim = (size_t)dim_of(compare->hits), count = (size_t)compare->search_count;
    compare->queries = malloc((count * dim + 1) * sizeof *compare->queries);
    compare->searches = calloc(count + 1, sizeof *compare->searches);
    if (!compare->queries || !compare->searches)
        return -1;
    int64_t at = 0;
    for (int64_t t = 0; t < compare->target_count; t++)
        if (compare->targets[t].query) {
            memcpy(compare->queries + (size_t)at * dim, compare->targets[t].query, dim * sizeof(float));
            compare->searches[at++] = t;
        }
    return 0;
}

/* ---- one row and one target ---- */

static bool promises_rows(const struct mh_reading *reading)
{
    return reading->consistency == MH_STRONG || reading->consistency == MH_BOUNDED;
}

/* Session and eventually promise nothing of others' rows; those of a while ago are expected all the same, for
 * recall, and their absence is no violation. */
static struct mh_look look_of(const struct mh_reading *reading)
{
    return (struct mh_look){reading->sent_ns, reading->done_ns, reading->worker,
                            promises_rows(reading) ? reading->consistency : MH_BOUNDED};
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

static bool qualifies(struct compare *compare, const struct target *target, int64_t id, int64_t version)
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

static bool farther(int metric, const struct near *a, const struct near *b)
{
    return mh_is_nearer(metric, (double)b->distance, (double)a->distance);
}

static void swap(struct near *a, struct near *b)
{
    const struct near held = *a;
    *a = *b;
    *b = held;
}

static void sink(struct target *target, int metric)
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

static void take_near(struct target *target, int metric, struct near near)
{
    if (target->count == depth_of(target)) {
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
static void count_before(struct compare *compare, struct target *target, int64_t id, int64_t version,
                         double distance, double error)
{
    const struct mh_hits *hits = compare->hits;
    const struct sample *sample = target->sample;
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

static void consider(struct compare *compare, struct target *target, int64_t id, int64_t version,
                     double product, double length)
{
    const struct mh_hits *hits = compare->hits;
    const int metric = hits->metric;
    const double rough = rough_distance(metric, product, target->length, length),
                 slack = metric == MH_METRIC_COSINE ? 1e-3 : 1e-4 * (target->length + length);
    if (target->count == depth_of(target) &&
        mh_is_nearer(metric, (double)target->nearest[0].distance,
                     metric == MH_METRIC_L2 ? rough - slack : rough + slack))
        return;
    const float *row = mh_content_vector(hits->content, id, version);
    const float distance = mh_distance(metric, target->query, row, dim_of(hits));
    const double error = mh_score_error(metric, target->query, row, dim_of(hits));
    if (target->sample->reading.offset > 0)
        count_before(compare, target, id, version, (double)distance, error);
    if (metric == MH_METRIC_COSINE && error >= MH_ANY_COSINE)
        return; /* nobody's neighbour for certain */
    if (is_in_range(metric, &target->sample->reading, (double)distance, error) &&
        qualifies(compare, target, id, version))
        take_near(target, metric, (struct near){target->tally.sample, distance, id});
}

static void compare_block(struct compare *compare, struct block *block)
{
    const int dim = (int)dim_of(compare->hits), searches = (int)compare->search_count;
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

static void put_row(struct compare *compare, struct block *block, int64_t id, uint16_t version)
{
    const int64_t dim = dim_of(compare->hits);
    const float *row = mh_content_vector(compare->hits->content, id, version);
    memcpy(block->rows + (int64_t)block->count * dim, row, (size_t)dim * sizeof *row);
    block->lengths[block->count] = (double)mh_distance(MH_METRIC_IP, row, row, dim);
    block->ids[block->count] = id;
    block->versions[block->count++] = version;
    if (block->count == BLOCK)
        compare_block(compare, block);
}

static int find_nearest(struct compare *compare)
{
    const struct mh_history *history = compare->hits->history;
    const size_t dim = (size_t)dim_of(compare->hits);
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

static bool is_full(const struct mh_reading *reading)
{
    return reading->limit > 0 && reading->rows >= reading->limit;
}

static void count_row(struct compare *compare, struct target *target, int64_t id)
{
    const struct mh_hits *hits = compare->hits;
    const struct mh_reading *reading = &target->sample->reading;
    const struct mh_look look = own_look(reading);
    const struct mh_standing standing = mh_history_standing(hits->history, &hits->doubt, &look, id);
    if (standing.kind == MH_STANDS_NOWHERE || standing.kind == MH_STANDS_GONE)
        return;
    bool holds = false;
    if (reading->page && is_full(reading) && id > reading->highest)
        return; /* it was not its turn */
    for (int32_t version = standing.lowest; version <= standing.highest && !holds; version++)
        holds = mh_filter_holds(&compare->filter, id, version);
    target->tally.possible += holds;
    target->tally.certain += holds && standing.kind == MH_STANDS_SURELY;
}

static void count_rows(struct compare *compare, struct target *target)
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

static void try_filter(struct compare *compare, struct target *target)
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

static int look_through_rows(struct compare *compare)
{
    for (int64_t t = 0; t < compare->target_count; t++)
        if (compare->targets[t].query)
            try_filter(compare, &compare->targets[t]);
        else
            count_rows(compare, &compare->targets[t]);
    return find_nearest(compare);
}

/* ---- back to who asked ---- */

static int send_findings(const struct compare *compare, struct mh_bytes *to)
{
    for (int64_t t = 0; t < compare->target_count; t++) {
        const struct target *target = &compare->targets[t];
        struct tally tally = target->tally;
        tally.spare = (int32_t)target->count;
        if (mh_bytes_append(&to[target->sample->rank], &tally, sizeof tally) != 0 ||
            mh_bytes_append(&to[target->sample->rank], target->nearest,
                            (size_t)target->count * sizeof *target->nearest) != 0)
            return -1;
    }
    return 0;
}

/* Makes of the targets that this rank asked for what all ranks found. */
static void merge_findings(struct compare *compare, const struct mh_bytes *received)
{
    struct tally tally;
    struct near near;
    for (int64_t t = 0; t < compare->target_count; t++) {
        compare->targets[t].count = 0;
        compare->targets[t].tally = (struct tally){.sample = (int32_t)t};
    }
    for (size_t at = 0; at < received->length;) {
        memcpy(&tally, received->data + at, sizeof tally);
        at += sizeof tally;
        struct target *target = &compare->targets[tally.sample];
        target->tally.certain += tally.certain;
        target->tally.possible += tally.possible;
        target->tally.before += tally.before;
        target->tally.tried += tally.tried;
        target->tally.held += tally.held;
        for (int32_t i = 0; i < tally.spare; i++, at += sizeof near) {
            memcpy(&near, received->data + at, sizeof near);
            take_near(target, compare->hits->metric, near);
        }
    }
}

/* ---- the judgement ---- */

static const struct mh_reading *asked(const struct mh_hits *hits, const struct sample *sample)
{
    int64_t place;
    memcpy(&place, sample->text + mh_reading_tail(&sample->reading), sizeof place);
    return (const void *)(hits->reads->log.data + place);
}

static bool was_found(const struct mh_reading *reading, int64_t id)
{
    const struct mh_seen *rows = mh_reading_rows(reading);
    for (int32_t i = 0; i < reading->rows; i++)
        if (rows[i].id == id)
            return true;
    return false;
}

/* Within what a score and our distance count as the same: the inner product of a long one errs by its
 * length. */
static double slack_of(const struct target *target, double distance)
{
    return target->error + 1e-5 * fabs(distance) + MH_SCORE_TIE;
}

/* Within what two of our own distances count as the same: equal rows, told apart by rounding alone. */
static double rounding_of(const struct mh_hits *hits, const struct target *target, double distance)
{
    return 1e-5 * fabs(distance) + MH_SCORE_TIE + (hits->metric == MH_METRIC_L2 ? 0 : target->error);
}

/* Hits as near as the farthest true neighbour count as found, whichever rows they are: equal distances and
 * rows that were perhaps there take nobody's place wrongly. By our own distances: the scores of an index that
 * quantises are none. */
static int32_t count_found(const struct mh_hits *hits, const struct target *target,
                           const struct mh_reading *reading, double edge)
{
    const struct mh_seen *rows = mh_reading_rows(reading);
    const double slack = rounding_of(hits, target, edge);
    int32_t found = 0;
    for (int32_t i = 0; i < reading->rows; i++) {
        const int32_t version = mh_seen_version(&rows[i]);
        if (version < 0)
            continue; /* it was nothing that it may have shown */
        const double distance = (double)mh_distance(
            hits->metric, target->query, mh_content_vector(hits->content, rows[i].id, version), dim_of(hits));
        found += !mh_is_clearly_nearer(hits->metric, edge, distance, slack);
    }
    return found;
}

/* A neighbour that should have been there: nearer than the farthest hit, or the result was not full. */
static bool is_missing(const struct mh_hits *hits, const struct target *target,
                       const struct mh_reading *reading, const struct near *near)
{
    const struct mh_seen *rows = mh_reading_rows(reading);
    if (was_found(reading, near->id))
        return false;
    if (reading->rows < reading->limit)
        return true;
    const double distance = (double)near->distance;
    return mh_is_clearly_nearer(hits->metric, distance, (double)rows[reading->rows - 1].score,
                                slack_of(target, distance));
}

/* With an offset nobody can say which row is missing, only that the hits are too few or too far. */
static void judge_behind_offset(struct mh_hits *hits, const struct target *target,
                                const struct mh_reading *reading, const struct mh_recall_point *point)
{
    const double edge = (double)target->nearest[0].distance;
    const bool far =
        target->count == depth_of(target) && reading->rows == reading->limit &&
        mh_is_clearly_nearer(hits->metric, edge, (double)mh_reading_rows(reading)[reading->rows - 1].score,
                             slack_of(target, edge));
    const struct mh_violation violation = {
        .kind = MH_MISSED, .id = MH_ID_ALL, .expected_version = point->wanted, .seen_version = point->found};
    if (reading->exact && promises_rows(reading) && (far || reading->rows < point->wanted))
        mh_hits_condemn(hits, reading, &violation);
}

/* The first hit is nearer than it may be where so many rows are left out in front. */
static void judge_offset(struct mh_hits *hits, const struct target *target, const struct mh_reading *reading)
{
    const struct mh_seen *first = mh_reading_rows(reading);
    const struct mh_violation violation = {.kind = MH_SURPLUS,
                                           .id = reading->rows > 0 ? first->id : MH_ID_ALL};
    if (reading->offset > 0 && reading->rows > 0 && !hits->quantised &&
        target->tally.before < reading->offset)
        mh_hits_condemn(hits, reading, &violation);
}

static int take_missing(struct mh_hits *hits, const struct target *target, const struct mh_reading *reading,
                        struct mh_bytes *missed)
{
    for (int64_t i = 0; i < target->count; i++) {
        const struct near *near = &target->nearest[i];
        if (!is_missing(hits, target, reading, near))
            continue;
        if (reading->exact && promises_rows(reading)) {
            const struct mh_violation violation = {
                .kind = MH_MISSED, .id = near->id, .seen_version = MH_VERSION_NONE};
            mh_hits_condemn(hits, reading, &violation);
        } else if (mh_bytes_append(&missed[mh_slice_owner(hits->plan, near->id)], &near->id,
                                   sizeof near->id) != 0)
            return -1;
    }
    return 0;
}

/* ---- the data set's own neighbours, of a collection at rest ---- */

/* When row i was train row i, all were there and none had changed. Collective. */
static void find_whole(struct compare *compare)
{
    const struct mh_hits *hits = compare->hits;
    const struct mh_history *history = hits->history;
    int64_t rows = 0, worst[] = {0, 0, history->change_count}; /* largest id + 1, last acknowledgement */
    for (int64_t w = 0; w < history->insert_count; w++) {
        const struct mh_write *insert = &history->inserts[w];
        rows += insert->count;
        worst[0] = insert->first + insert->count > worst[0] ? insert->first + insert->count : worst[0];
        worst[1] = !insert->certain ? INT64_MAX : insert->done_ns > worst[1] ? insert->done_ns : worst[1];
    }
    mh_comm_sum_i64(hits->comm, &rows, 1);
    mh_comm_max_i64(hits->comm, worst, 3);
    const int64_t train = hits->content->dataset->shape.train_rows;
    compare->whole_ns = rows == train && worst[0] <= train && worst[2] == 0 ? worst[1] : INT64_MAX;
}

static bool is_listed(const struct compare *compare, const struct mh_reading *reading)
{
    const struct mh_dataset *data = compare->hits->content->dataset;
    const int64_t lag = reading->consistency == MH_STRONG ? 0 : compare->hits->doubt.bound_ns;
    return data->neighbors && compare->whole_ns < reading->sent_ns - lag && reading->places == 0 &&
           reading->offset == 0 && isnan(reading->radius) && mh_expr_is_blank(mh_reading_text(reading)) &&
           reading->limit <= data->shape.neighbors && (int)data->shape.metric == compare->hits->metric;
}

static void compare_with_list(struct mh_hits *hits, const struct target *target,
                              const struct mh_reading *reading)
{
    const struct mh_dataset *data = hits->content->dataset;
    const int64_t *listed = data->neighbors + reading->query * data->shape.neighbors;
    double edge = 0;
    for (int64_t i = 0; i < reading->limit; i++) {
        const double distance = (double)mh_distance(
            hits->metric, target->query, data->train + listed[i] * data->shape.dim, data->shape.dim);
        if (i == 0 || mh_is_nearer(hits->metric, edge, distance))
            edge = distance;
    }
    hits->figures.listed++;
    hits->figures.listed_neighbors += reading->limit;
    const int32_t found = count_found(hits, target, reading, edge);
    hits->figures.listed_found += found < reading->limit ? found : reading->limit;
}

static int judge_search(struct compare *compare, const struct target *target, struct mh_bytes *points,
                        struct mh_bytes *missed)
{
    struct mh_hits *hits = compare->hits;
    const struct mh_reading *reading = asked(hits, target->sample);
    struct mh_recall_point point;
    memset(&point, 0, sizeof point);
    hits->figures.searches_compared++;
    judge_offset(hits, target, reading);
    if (target->count <= reading->offset)
        return 0; /* nothing to find */
    point.sent_ns = reading->sent_ns;
    point.stage = reading->stage;
    point.role = reading->role;
    point.item = reading->item;
    point.topk = (int32_t)reading->limit;
    point.query = reading->query;
    point.wanted = (int32_t)(target->count - reading->offset);
    point.found = count_found(hits, target, reading, (double)target->nearest[0].distance);
    point.found = point.found < point.wanted ? point.found : point.wanted;
    point.selectivity = target->tally.tried ? (double)target->tally.held / (double)target->tally.tried : 1;
    hits->figures.short_results += reading->rows < point.wanted;
    hits->figures.neighbors += point.wanted;
    hits->figures.found += point.found;
    if (is_listed(compare, reading))
        compare_with_list(hits, target, reading);
    if (mh_bytes_append(points, &point, sizeof point) != 0)
        return -1;
    if (reading->offset == 0)
        return take_missing(hits, target, reading, missed);
    judge_behind_offset(hits, target, reading, &point);
    return 0;
}

static void judge_count(struct mh_hits *hits, const struct tally *tally, const struct mh_reading *reading)
{
    const bool few = reading->count < tally->certain;
    const struct mh_violation violation = {.kind = MH_MISCOUNTED,
                                           .id = MH_ID_ALL,
                                           .expected_version = few ? tally->certain : tally->possible,
                                           .seen_version = reading->count};
    if ((few && promises_rows(reading)) || reading->count > tally->possible)
        mh_hits_condemn(hits, reading, &violation);
}

/* Rows that were perhaps there may have been among those left out in front: that makes the answer's own no
 * fewer. */
static void judge_rows(struct mh_hits *hits, const struct tally *tally, const struct mh_reading *reading)
{
    const int64_t least = tally->certain - reading->offset, most = tally->possible - reading->offset;
    struct mh_violation violation = {
        .kind = MH_MISSED, .id = MH_ID_ALL, .expected_version = least, .seen_version = reading->sure};
    if (promises_rows(reading) && reading->sure < least && (reading->page || !is_full(reading)))
        mh_hits_condemn(hits, reading, &violation);
    if (reading->offset == 0 || reading->rows == 0 || reading->rows <= most)
        return;
    violation.kind = MH_SURPLUS;
    violation.expected_version = most > 0 ? most : 0;
    violation.seen_version = reading->rows;
    mh_hits_condemn(hits, reading, &violation);
}

static void judge_query(struct mh_hits *hits, const struct target *target)
{
    const struct mh_reading *reading = asked(hits, target->sample);
    hits->figures.queries_compared++;
    if (reading->count < -1 || reading->keyless)
        return; /* no number, no keys: judged already */
    if (reading->count >= 0)
        judge_count(hits, &target->tally, reading);
    else
        judge_rows(hits, &target->tally, reading);
}

static int judge_targets(struct compare *compare, struct mh_bytes *points, struct mh_bytes *missed)
{
    for (int64_t t = 0; t < compare->target_count; t++) {
        const struct target *target = &compare->targets[t];
        if (target->sample->rank != compare->hits->rank)
            continue;
        if (!target->query)
            judge_query(compare->hits, target);
        else if (judge_search(compare, target, points, missed) != 0)
            return -1;
    }
    return 0;
}

/* ---- all of it ---- */

static void close_compare(struct compare *compare)
{
    for (int64_t t = 0; t < compare->target_count; t++)
        free(compare->targets[t].nearest);
    free(compare->targets);
    free(compare->queries);
    free(compare->searches);
    mh_filter_close(&compare->filter);
}

/* Every rank's samples, on every rank. */
static int share_samples(struct compare *compare, void **all, size_t *length, struct mh_error *err)
{
    struct mh_hits *hits = compare->hits;
    struct mh_bytes mine = {0};
    int rc =
        mh_filter_open(&compare->filter, hits->content) == 0 ? 0 : mh_fail(err, "out of memory for recall");
    if (mh_comm_agree(hits->comm, rc, err) != 0)
        return -1;
    const int64_t searches = share_of(compare, MH_OP_SEARCH, hits->samples),
                  queries = share_of(compare, MH_OP_QUERY, (hits->samples + 9) / 10);
    rc = choose(compare, MH_OP_SEARCH, searches, &mine);
    if (rc == 0)
        rc = choose(compare, MH_OP_QUERY, queries, &mine);
    rc = mh_comm_agree(hits->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for recall"), err);
    if (rc == 0)
        rc = mh_comm_gather_bytes(hits->comm, mine.data, mine.length, all, length, err);
    free(mine.data);
    return rc;
}

static int find_truth(struct compare *compare, const uint8_t *samples, size_t length, struct mh_error *err)
{
    const int np = compare->hits->plan->np;
    struct mh_bytes *to = calloc((size_t)np, sizeof *to), received = {0};
    int rc = to && make_targets(compare, samples, length) == 0 && line_up_queries(compare) == 0 &&
                     look_through_rows(compare) == 0 && send_findings(compare, to) == 0
                 ? 0
                 : mh_fail(err, "out of memory for recall");
    rc = mh_comm_agree(compare->hits->comm, rc, err);
    if (rc == 0)
        rc = mh_comm_exchange(compare->hits->comm, to, &received, NULL, err);
    if (rc == 0) {
        merge_findings(compare, &received);
        find_whole(compare);
    }
    mh_bytes_free_all(to, np);
    free(received.data);
    return rc;
}

static int judge_and_share(struct compare *compare, struct mh_error *err)
{
    struct mh_hits *hits = compare->hits;
    const int np = hits->plan->np;
    struct mh_bytes *missed = calloc((size_t)np, sizeof *missed), points = {0}, home = {0};
    void *all = NULL;
    size_t length = 0;
    int rc =
        missed && judge_targets(compare, &points, missed) == 0 ? 0 : mh_fail(err, "out of memory for recall");
    rc = mh_comm_agree(hits->comm, rc, err);
    if (rc == 0)
        rc = mh_comm_gather_bytes(hits->comm, points.data, points.length, &all, &length, err);
    if (rc == 0)
        rc = mh_comm_exchange(hits->comm, missed, &home, NULL, err);
    hits->recall = all;
    hits->recall_count = (int64_t)(length / sizeof *hits->recall);
    hits->missed = (void *)home.data;
    hits->missed_count = (int64_t)(home.length / sizeof *hits->missed);
    free(points.data);
    mh_bytes_free_all(missed, np);
    return rc;
}

int mh_hits_compare(struct mh_hits *hits, struct mh_error *err)
{
    struct compare compare = {.hits = hits};
    void *samples = NULL;
    size_t length = 0;
    int rc = share_samples(&compare, &samples, &length, err);
    if (rc == 0)
        rc = find_truth(&compare, samples, length, err);
    if (rc == 0)
        rc = judge_and_share(&compare, err);
    close_compare(&compare);
    free(samples);
    return rc;
}
