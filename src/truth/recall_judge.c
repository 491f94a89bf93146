/* What a search or query returned, against what all ranks found. */
#include "truth/recall.h"

#include "comm/comm.h"
#include "dataset/distance.h"
#include "truth/slice.h"

#include <math.h>
#include <string.h>

/* ---- the judgement ---- */

static const struct mh_reading *asked(const struct mh_hits *hits, const struct mh_sampled *sample)
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
static double slack_of(const struct mh_target *target, double distance)
{
    return target->error + 1e-5 * fabs(distance) + MH_SCORE_TIE;
}

/* Within what two of our own distances count as the same: equal rows, told apart by rounding alone. */
static double rounding_of(const struct mh_hits *hits, const struct mh_target *target, double distance)
{
    return 1e-5 * fabs(distance) + MH_SCORE_TIE + (hits->metric == MH_METRIC_L2 ? 0 : target->error);
}

/* Hits as near as the farthest true neighbour count as found, whichever rows they are: equal distances and
 * rows that were perhaps there take nobody's place wrongly. By our own distances: the scores of an index that
 * quantises are none. */
static int32_t count_found(const struct mh_hits *hits, const struct mh_target *target,
                           const struct mh_reading *reading, double edge)
{
    const struct mh_seen *rows = mh_reading_rows(reading);
    const double slack = rounding_of(hits, target, edge);
    int32_t found = 0;
    for (int32_t i = 0; i < reading->rows; i++) {
        const int32_t version = mh_seen_version(&rows[i]);
        if (version < 0)
            continue; /* it was nothing that it may have shown */
        const double distance =
            (double)mh_distance(hits->metric, target->query,
                                mh_content_vector(hits->content, rows[i].id, version), mh_hits_dim(hits));
        found += !mh_is_clearly_nearer(hits->metric, edge, distance, slack);
    }
    return found;
}

/* A neighbour that should have been there: nearer than the farthest hit, or the result was not full. */
static bool is_missing(const struct mh_hits *hits, const struct mh_target *target,
                       const struct mh_reading *reading, const struct mh_near *near)
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
static void judge_behind_offset(struct mh_hits *hits, const struct mh_target *target,
                                const struct mh_reading *reading, const struct mh_recall_point *point)
{
    const double edge = (double)target->nearest[0].distance;
    const bool far =
        target->count == mh_target_depth(target) && reading->rows == reading->limit &&
        mh_is_clearly_nearer(hits->metric, edge, (double)mh_reading_rows(reading)[reading->rows - 1].score,
                             slack_of(target, edge));
    const struct mh_violation violation = {
        .kind = MH_MISSED, .id = MH_ID_ALL, .expected_version = point->wanted, .seen_version = point->found};
    if (reading->exact && mh_reading_promises(reading) && (far || reading->rows < point->wanted))
        mh_hits_condemn(hits, reading, &violation);
}

/* The first hit is nearer than it may be where so many rows are left out in front. */
static void judge_offset(struct mh_hits *hits, const struct mh_target *target,
                         const struct mh_reading *reading)
{
    const struct mh_seen *first = mh_reading_rows(reading);
    const struct mh_violation violation = {.kind = MH_SURPLUS,
                                           .id = reading->rows > 0 ? first->id : MH_ID_ALL};
    if (reading->offset > 0 && reading->rows > 0 && !hits->quantised &&
        target->tally.before < reading->offset)
        mh_hits_condemn(hits, reading, &violation);
}

static int take_missing(struct mh_hits *hits, const struct mh_target *target,
                        const struct mh_reading *reading, struct mh_bytes *missed)
{
    for (int64_t i = 0; i < target->count; i++) {
        const struct mh_near *near = &target->nearest[i];
        if (!is_missing(hits, target, reading, near))
            continue;
        if (reading->exact && mh_reading_promises(reading)) {
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
void mh_recall_find_whole(struct mh_compare *compare)
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

static bool is_listed(const struct mh_compare *compare, const struct mh_reading *reading)
{
    const struct mh_dataset *data = compare->hits->content->dataset;
    const struct mh_doubt *doubt = &compare->hits->doubt;
    const int64_t lag = doubt->clock_ns + (reading->consistency == MH_STRONG ? 0 : doubt->bound_ns);
    return data->neighbors && compare->whole_ns < reading->sent_ns - lag && reading->places == 0 &&
           reading->offset == 0 && isnan(reading->radius) && mh_expr_is_blank(mh_reading_text(reading)) &&
           reading->limit <= data->shape.neighbors && (int)data->shape.metric == compare->hits->metric;
}

static void compare_with_list(struct mh_hits *hits, const struct mh_target *target,
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

static int judge_search(struct mh_compare *compare, const struct mh_target *target, struct mh_bytes *points,
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

static void judge_count(struct mh_hits *hits, const struct mh_finds *tally, const struct mh_reading *reading)
{
    const bool few = reading->count < tally->certain;
    const struct mh_violation violation = {.kind = MH_MISCOUNTED,
                                           .id = MH_ID_ALL,
                                           .expected_version = few ? tally->certain : tally->possible,
                                           .seen_version = reading->count};
    if ((few && mh_reading_promises(reading)) || reading->count > tally->possible)
        mh_hits_condemn(hits, reading, &violation);
}

/* Rows that were perhaps there may have been among those left out in front: that makes the answer's own no
 * fewer. */
static void judge_rows(struct mh_hits *hits, const struct mh_finds *tally, const struct mh_reading *reading)
{
    const int64_t least = tally->certain - reading->offset, most = tally->possible - reading->offset;
    struct mh_violation violation = {
        .kind = MH_MISSED, .id = MH_ID_ALL, .expected_version = least, .seen_version = reading->sure};
    if (mh_reading_promises(reading) && reading->sure < least &&
        (reading->page || !mh_reading_is_full(reading)))
        mh_hits_condemn(hits, reading, &violation);
    if (reading->offset == 0 || reading->rows == 0 || reading->rows <= most)
        return;
    violation.kind = MH_SURPLUS;
    violation.expected_version = most > 0 ? most : 0;
    violation.seen_version = reading->rows;
    mh_hits_condemn(hits, reading, &violation);
}

static void judge_query(struct mh_hits *hits, const struct mh_target *target)
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

int mh_recall_judge(struct mh_compare *compare, struct mh_bytes *points, struct mh_bytes *missed)
{
    for (int64_t t = 0; t < compare->target_count; t++) {
        const struct mh_target *target = &compare->targets[t];
        if (target->sample->rank != compare->hits->rank)
            continue;
        if (!target->query)
            judge_query(compare->hits, target);
        else if (judge_search(compare, target, points, missed) != 0)
            return -1;
    }
    return 0;
}
