#include "role/cycle.h"

#include "dataset/distance.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fate { NEVER, WRITTEN, PERHAPS_WRITTEN, DELETED, PERHAPS_DELETED };
enum {
    FATE = 0x0f,
    AWAY = 0x20 /* then shown elsewhere than where it belongs */,
    PRESENT = 0x40 /* returned when it was last asked for */,
    SEEN = 0x80 /* by this answer */
};

#define SAME 1e-5F /* of a squared length, or of 1: distances that servers may round to the same */

int64_t mh_cycle_first_id(const struct mh_role *role, int64_t cycle)
{
    return MH_PLAN_MOST_IDS + ((cycle * role->plan->worker_count + role->worker->number) << MH_CYCLE_BITS);
}

void mh_cycle_name(const char *collection, uint32_t run_tag, int64_t worker, int64_t cycle, char name[300])
{
    snprintf(name, 300, "%.200s_%08" PRIx32 "_w%04" PRId64 "_c%" PRId64, collection, run_tag, worker, cycle);
}

/* ---- what was written ---- */

int mh_cycle_init(struct mh_cycle *cycle, const struct mh_content *content,
                  const struct mh_index_options *index, int64_t rows)
{
    *cycle = (struct mh_cycle){.content = content,
                               .metric = (int)index->metric,
                               .faithful = !mh_index_is_quantised(index->type),
                               .brute = strcmp(index->type, "FLAT") == 0,
                               .rows = rows,
                               .fates = calloc((size_t)rows, 1)};
    return cycle->fates ? 0 : -1;
}

void mh_cycle_free(struct mh_cycle *cycle)
{
    free(cycle->fates);
    cycle->fates = NULL;
}

void mh_cycle_begin(struct mh_cycle *cycle, int64_t first)
{
    cycle->first = first;
    cycle->live = cycle->maybe = 0;
    cycle->sound = false;
    memset(cycle->fates, NEVER, (size_t)cycle->rows);
}

static bool is_maybe(enum fate fate)
{
    return fate == PERHAPS_WRITTEN || fate == PERHAPS_DELETED;
}

static enum fate fate_of(const struct mh_cycle *cycle, int64_t row)
{
    return (enum fate)(cycle->fates[row] & FATE);
}

static void set_fate(struct mh_cycle *cycle, int64_t row, enum fate fate)
{
    const enum fate before = fate_of(cycle, row);
    cycle->live += (fate == WRITTEN) - (before == WRITTEN);
    cycle->maybe += is_maybe(fate) - is_maybe(before);
    cycle->fates[row] = (uint8_t)fate;
}

/* An insert in doubt may land behind the delete. */
static enum fate after_delete(enum fate before, bool certain)
{
    if (before == WRITTEN)
        return certain ? DELETED : PERHAPS_DELETED;
    return before;
}

void mh_cycle_wrote(struct mh_cycle *cycle, const struct mh_op *op)
{
    const bool certain = op->outcome == MH_OUTCOME_OK;
    if (!certain && op->outcome != MH_OUTCOME_UNKNOWN)
        return;
    for (int64_t i = 0; i < op->rows.rows; i++) {
        const int64_t row = op->rows.ids[i] - cycle->first;
        if (op->request.kind == MH_OP_INSERT)
            set_fate(cycle, row, certain ? WRITTEN : PERHAPS_WRITTEN);
        else
            set_fate(cycle, row, after_delete(fate_of(cycle, row), certain));
    }
}

void mh_cycle_dropped(struct mh_cycle *cycle)
{
    for (int64_t row = 0; row < cycle->rows; row++)
        if (fate_of(cycle, row) != NEVER)
            set_fate(cycle, row, DELETED);
}

void mh_cycle_perhaps_dropped(struct mh_cycle *cycle)
{
    for (int64_t row = 0; row < cycle->rows; row++)
        set_fate(cycle, row, after_delete(fate_of(cycle, row), false));
}

/* ---- what an answer says ---- */

struct judging {
    const struct mh_cycle *cycle;
    mh_cycle_tell *tell;
    void *context;
    int64_t wrong;
};

static void put_blame(struct judging *judging, const struct mh_cycle_wrong *wrong)
{
    judging->wrong++;
    if (judging->tell)
        judging->tell(judging->context, wrong);
}

static void blame(struct judging *judging, enum mh_found what, int64_t id, int64_t expected, int64_t seen)
{
    put_blame(judging, &(struct mh_cycle_wrong){.what = what, .id = id, .expected = expected, .seen = seen});
}

static void blame_score(struct judging *judging, enum mh_found what, int64_t id, double expected, double seen)
{
    put_blame(judging, &(struct mh_cycle_wrong){
                           .what = what, .id = id, .expected_value = expected, .seen_value = seen});
}

static bool is_own(const struct mh_cycle *cycle, int64_t id)
{
    return id >= cycle->first && id < cycle->first + cycle->rows;
}

/* Of a row that is there at all; false: it is wrong. */
static bool may_be_there(struct judging *judging, int64_t id)
{
    const struct mh_cycle *cycle = judging->cycle;
    const enum fate fate = is_own(cycle, id) ? fate_of(cycle, id - cycle->first) : NEVER;
    if (fate == NEVER)
        blame(judging, MH_FOUND_UNEXPECTED, id, MH_SIGHT_ABSENT, MH_SIGHT_STRANGE);
    else if (fate == DELETED)
        blame(judging, MH_FOUND_RESURRECTED, id, MH_SIGHT_ABSENT, 0);
    return fate != NEVER && fate != DELETED;
}

/* Of its row, in this answer. */
static bool is_first(struct judging *judging, int64_t id)
{
    uint8_t *fate = is_own(judging->cycle, id) ? &judging->cycle->fates[id - judging->cycle->first] : NULL;
    const bool again = fate && *fate & SEEN;
    if (again)
        blame(judging, MH_FOUND_DUPLICATED, id, 1, 2);
    if (fate)
        *fate |= SEEN;
    return !again;
}

static void forget_seen(const struct mh_cycle *cycle)
{
    for (int64_t row = 0; row < cycle->rows; row++)
        cycle->fates[row] &= (uint8_t)~SEEN;
}

/* Whatever columns there are besides the key, and no scalar field may be left out. */
static bool is_whole(const struct mh_content *content, const struct mh_reply *reply, int64_t at, int64_t id)
{
    for (size_t f = 0; f < content->field_count; f++) {
        const struct mh_column *column = mh_reply_column(reply, content->fields[f].name);
        if (column ? !mh_content_matches(content, f, column, at, id, 0) : (int)f != content->vector_field)
            return false;
    }
    return true;
}

/* Of the cycle's rows from .. to-1, and of all beyond either end. */
static bool is_asked_for(const struct mh_cycle *cycle, int64_t id, int64_t from, int64_t to)
{
    return !is_own(cycle, id) || (id >= cycle->first + from && id < cycle->first + to);
}

static void judge_row(struct judging *judging, const struct mh_op *op, int64_t at, int64_t id, int64_t *found)
{
    (*found)++;
    if (may_be_there(judging, id) && !is_whole(judging->cycle->content, &op->reply, at, id))
        blame(judging, MH_FOUND_CORRUPTED, id, 0, MH_SIGHT_STRANGE);
}

/* Rows without their keys are none that anybody could name. */
static int64_t keys_in(struct judging *judging, const struct mh_op *op, const int64_t **ids)
{
    const int64_t rows = mh_content_keys(judging->cycle->content, &op->reply, ids);
    if (rows < 0)
        blame(judging, MH_FOUND_CORRUPTED, judging->cycle->first + MH_CYCLE_ID_WHOLE, 0, MH_SIGHT_STRANGE);
    return rows;
}

int64_t mh_cycle_judge_rows(const struct mh_cycle *cycle, const struct mh_op *op, int64_t from, int64_t to,
                            int64_t *found, mh_cycle_tell *tell, void *context)
{
    struct judging judging = {cycle, tell, context, 0};
    const int64_t *ids, rows = keys_in(&judging, op, &ids);
    for (int64_t at = 0; at < rows; at++)
        if (!is_asked_for(cycle, ids[at], from, to))
            blame(&judging, MH_FOUND_FILTER_IGNORED, ids[at], MH_SIGHT_ABSENT, 0);
        else if (is_first(&judging, ids[at]))
            judge_row(&judging, op, at, ids[at], found);
    for (int64_t row = from; row < to; row++) {
        const bool seen = cycle->fates[row] & SEEN;
        if (!seen && fate_of(cycle, row) == WRITTEN)
            blame(&judging, cycle->fates[row] & AWAY ? MH_FOUND_MISPLACED : MH_FOUND_LOST, cycle->first + row,
                  0, MH_SIGHT_ABSENT);
        cycle->fates[row] = (uint8_t)(fate_of(cycle, row) | (seen ? PRESENT : cycle->fates[row] & AWAY));
    }
    forget_seen(cycle);
    return judging.wrong;
}

void mh_cycle_forget_away(const struct mh_cycle *cycle)
{
    for (int64_t row = 0; row < cycle->rows; row++)
        cycle->fates[row] &= (uint8_t)~AWAY;
}

void mh_cycle_note_away(const struct mh_cycle *cycle, const struct mh_op *op)
{
    const int64_t *ids, rows = mh_content_keys(cycle->content, &op->reply, &ids);
    mh_cycle_forget_away(cycle);
    for (int64_t at = 0; at < rows; at++)
        if (is_own(cycle, ids[at]) && !(cycle->fates[ids[at] - cycle->first] & PRESENT))
            cycle->fates[ids[at] - cycle->first] |= AWAY;
}

static void judge_stray(struct judging *judging, int64_t id)
{
    const struct mh_cycle *cycle = judging->cycle;
    if (!may_be_there(judging, id))
        return;
    if (cycle->fates[id - cycle->first] & PRESENT)
        blame(judging, MH_FOUND_DUPLICATED, id, 1, 2);
    else
        blame(judging, MH_FOUND_MISPLACED, id, 0, 0);
}

void mh_cycle_judge_strays(const struct mh_cycle *cycle, const struct mh_op *op, int64_t *found,
                           mh_cycle_tell *tell, void *context)
{
    struct judging judging = {cycle, tell, context, 0};
    const int64_t *ids, rows = keys_in(&judging, op, &ids);
    for (int64_t at = 0; at < rows; at++)
        if (is_first(&judging, ids[at])) {
            judge_stray(&judging, ids[at]);
            ++*found;
        }
    forget_seen(cycle);
}

int64_t mh_cycle_judge_absence(const struct mh_cycle *cycle, mh_cycle_tell *tell, void *context)
{
    struct judging judging = {cycle, tell, context, 0};
    for (int64_t row = 0; row < cycle->rows; row++)
        if (fate_of(cycle, row) == WRITTEN)
            blame(&judging, MH_FOUND_LOST, cycle->first + row, 0, MH_SIGHT_ABSENT);
    if (judging.wrong == 0)
        blame(&judging, MH_FOUND_LOST, cycle->first + MH_CYCLE_ID_WHOLE, 0, MH_SIGHT_ABSENT);
    return judging.wrong;
}

/* No index finds nothing where all rows are there. */
static bool is_whole_cycle(const struct mh_cycle *cycle)
{
    return cycle->live == cycle->rows;
}

/* As near to a row's vector as the row itself, as far as single precision can tell. */
static bool is_rival(const struct mh_cycle *cycle, int64_t own, int64_t id)
{
    const int64_t dim = cycle->content->dataset->shape.dim;
    const float *vector = mh_content_vector(cycle->content, cycle->first + own, 0);
    const float *other = mh_content_vector(cycle->content, id, 0);
    const bool cosine = cycle->metric == MH_METRIC_COSINE;
    const float apart = cosine ? mh_distance(cycle->metric, vector, vector, dim) -
                                     mh_distance(cycle->metric, vector, other, dim)
                               : mh_distance(MH_METRIC_L2, vector, other, dim);
    const float scale = cosine ? 1 : mh_distance(MH_METRIC_IP, vector, vector, dim);
    return !(apart > SAME * scale); /* what is no number decides nothing */
}

static double distance_to(const struct mh_cycle *cycle, const float *query, int64_t id)
{
    return (double)mh_distance(cycle->metric, query, mh_content_vector(cycle->content, id, 0),
                               cycle->content->dataset->shape.dim);
}

static bool has_score(const struct mh_cycle *cycle, const float *query, int64_t id)
{
    return mh_has_score(cycle->metric, distance_to(cycle, query, id),
                        mh_score_error(cycle->metric, query, mh_content_vector(cycle->content, id, 0),
                                       cycle->content->dataset->shape.dim));
}

enum own_row { FOUND, MISSED, NO_ROOM };

/* Its own vector is nearer to it than any other; where others are as near, there may be no room for it, nor
 * where its vector has no score. */
static enum own_row look_for(const struct mh_cycle *cycle, const struct mh_op *op, int64_t own, int64_t begin,
                             int64_t hits)
{
    const float *vector = mh_content_vector(cycle->content, cycle->first + own, 0);
    bool room = hits < op->request.limit;
    for (int64_t i = begin; i < begin + hits; i++) {
        const int64_t id = op->reply.ids[i];
        if (id == cycle->first + own)
            return FOUND;
        room |= !is_own(cycle, id) || !is_rival(cycle, own, id);
    }
    return room && has_score(cycle, vector, cycle->first + own) ? MISSED : NO_ROOM;
}

static int64_t hits_of(const struct mh_op *op, int64_t query)
{
    return query < op->reply.query_count ? op->reply.hits_of[query] : 0;
}

void mh_cycle_count_found(const struct mh_cycle *cycle, const struct mh_op *op, int64_t from,
                          int64_t *searched, int64_t *found)
{
    for (int64_t q = 0, begin = 0; q < op->request.query_count; begin += hits_of(op, q++)) {
        const enum own_row row = look_for(cycle, op, from + q, begin, hits_of(op, q));
        const bool fair = fate_of(cycle, from + q) == WRITTEN && row != NO_ROOM;
        *searched += fair;
        *found += fair && row == FOUND;
    }
}

/* The answer to one query vector. */
struct answer {
    const struct mh_op *op;
    const float *query; /* the vector of row `own` */
    int64_t own, begin, hits;
};

static bool score_fits(const struct mh_cycle *cycle, const float *query, int64_t id, double score)
{
    return mh_score_fits(cycle->metric, query, mh_content_vector(cycle->content, id, 0),
                         cycle->content->dataset->shape.dim, score);
}

/* False: its score says nothing about the order. */
static bool judge_hit(struct judging *judging, const struct answer *answer, int64_t id, double score)
{
    const struct mh_cycle *cycle = judging->cycle;
    if (!is_first(judging, id) || !may_be_there(judging, id))
        return false;
    if (!cycle->faithful || score_fits(cycle, answer->query, id, score))
        return true;
    blame_score(judging, MH_FOUND_WRONG_DISTANCE, id, distance_to(cycle, answer->query, id), score);
    return false;
}

static void judge_scores(struct judging *judging, const struct answer *answer)
{
    const struct mh_reply *reply = &answer->op->reply;
    int64_t before = -1; /* the last one whose score is its distance */
    for (int64_t i = answer->begin; i < answer->begin + answer->hits; i++) {
        const double score = (double)reply->scores[i];
        if (!judge_hit(judging, answer, reply->ids[i], score))
            continue;
        if (before >= 0 &&
            mh_is_clearly_nearer(judging->cycle->metric, score, (double)reply->scores[before], MH_SCORE_TIE))
            blame_score(judging, MH_FOUND_WRONG_ORDER, reply->ids[i], (double)reply->scores[before], score);
        before = i;
    }
}

/* There was room for more, and every row was to be looked at: the nearest of those left out. */
static void judge_short_answer(struct judging *judging, const struct answer *answer)
{
    const struct mh_cycle *cycle = judging->cycle;
    int64_t missed = -1;
    double nearest = 0;
    for (int64_t row = 0; row < cycle->rows; row++) {
        if (fate_of(cycle, row) != WRITTEN || cycle->fates[row] & SEEN)
            continue;
        const double distance = distance_to(cycle, answer->query, cycle->first + row);
        if (!has_score(cycle, answer->query, cycle->first + row))
            continue;
        if (missed >= 0 && !mh_is_nearer(cycle->metric, distance, nearest))
            continue;
        missed = row;
        nearest = distance;
    }
    if (missed >= 0)
        blame(judging, MH_FOUND_MISSED, cycle->first + missed, 0, MH_SIGHT_ABSENT);
}

static void judge_query(struct judging *judging, const struct answer *answer, bool exact)
{
    const struct mh_cycle *cycle = judging->cycle;
    const int64_t own = answer->own, limit = answer->op->request.limit;
    judge_scores(judging, answer);
    if (answer->hits > limit)
        blame(judging, MH_FOUND_SURPLUS, answer->op->reply.ids[answer->begin + limit], 0, 0);
    if ((exact || (answer->hits == 0 && is_whole_cycle(cycle))) && fate_of(cycle, own) == WRITTEN &&
        look_for(cycle, answer->op, own, answer->begin, answer->hits) == MISSED)
        blame(judging, MH_FOUND_MISSED, cycle->first + own, 0, MH_SIGHT_ABSENT);
    else if (cycle->brute && cycle->sound && answer->hits < limit)
        judge_short_answer(judging, answer);
    forget_seen(cycle);
}

int64_t mh_cycle_judge_hits(const struct mh_cycle *cycle, const struct mh_op *op, int64_t from, bool exact,
                            mh_cycle_tell *tell, void *context)
{
    struct judging judging = {cycle, tell, context, 0};
    for (int64_t q = 0, begin = 0; q < op->request.query_count; begin += hits_of(op, q++)) {
        const struct answer answer = {.op = op,
                                      .query = mh_content_vector(cycle->content, cycle->first + from + q, 0),
                                      .own = from + q,
                                      .begin = begin,
                                      .hits = hits_of(op, q)};
        judge_query(&judging, &answer, exact);
    }
    return judging.wrong;
}

/* ---- which rows are there more than once ---- */

static void push(struct mh_cycle *cycle, int64_t from, int64_t to)
{
    if (from < to && cycle->range_count < MH_CYCLE_RANGES)
        cycle->ranges[cycle->range_count++] = (struct mh_cycle_range){from, to};
}

void mh_cycle_locate(struct mh_cycle *cycle)
{
    cycle->range_count = cycle->located_count = 0;
    push(cycle, 0, cycle->rows);
}

bool mh_cycle_next_range(struct mh_cycle *cycle, struct mh_cycle_range *range)
{
    if (cycle->range_count == 0 || cycle->located_count == MH_CYCLE_MOST_LOCATED)
        return false;
    *range = cycle->ranges[--cycle->range_count];
    return true;
}

static int64_t present_in(const struct mh_cycle *cycle, const struct mh_cycle_range *range)
{
    int64_t present = 0;
    for (int64_t row = range->from; row < range->to; row++)
        present += (cycle->fates[row] & PRESENT) != 0;
    return present;
}

/* A row in doubt that was not there when all were asked for, and is now, is no second copy. */
static bool has_come(const struct mh_cycle *cycle, int64_t row, int64_t count)
{
    return count == 1 && is_maybe(fate_of(cycle, row));
}

void mh_cycle_counted(struct mh_cycle *cycle, const struct mh_cycle_range *range, int64_t count)
{
    const int64_t middle = range->from + (range->to - range->from) / 2;
    if (count <= present_in(cycle, range))
        return;
    if (middle == range->from && has_come(cycle, range->from, count))
        return;
    if (middle == range->from) {
        cycle->located[cycle->located_count++] = (struct mh_cycle_copies){range->from, count};
        return;
    }
    push(cycle, middle, range->to);
    push(cycle, range->from, middle);
}

/* Counts that are wrong in themselves seem to find copies everywhere: more, or others, than there can be.
 * Rows in doubt may have come and gone between one count and the next. */
bool mh_cycle_explain(const struct mh_cycle *cycle, int64_t surplus, mh_cycle_tell *tell, void *context)
{
    const bool all = cycle->located_count < MH_CYCLE_MOST_LOCATED;
    int64_t sum = 0;
    if (cycle->located_count == 0)
        return false;
    for (int i = 0; i < cycle->located_count; i++) {
        if (!(cycle->fates[cycle->located[i].row] & PRESENT))
            return false;
        sum += cycle->located[i].copies - 1;
    }
    if (sum > surplus + cycle->maybe || (all && sum < surplus - cycle->maybe))
        return false;
    struct judging judging = {cycle, tell, context, 0};
    for (int i = 0; i < cycle->located_count; i++)
        blame(&judging, MH_FOUND_DUPLICATED, cycle->first + cycle->located[i].row, 1,
              cycle->located[i].copies);
    return true;
}
