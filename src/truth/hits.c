#include "truth/hits.h"

#include "base/clock.h"
#include "base/grow.h"
#include "comm/comm.h"
#include "dataset/distance.h"
#include "truth/slice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HITS_AT_ONCE = 200000 /* asked about in one exchange, a rank; a reading is not cut */ };

/* ---- condemning ---- */

void mh_hits_condemn(struct mh_hits *hits, const struct mh_reading *reading,
                     const struct mh_violation *violation)
{
    hits->figures.violations++;
    if (hits->violation_count == MH_HITS_KEPT)
        return;
    if (!mh_grow(&hits->violations, &hits->violation_room, hits->violation_count, sizeof *violation)) {
        hits->no_memory = true;
        return;
    }
    struct mh_violation *out = &hits->violations[hits->violation_count++];
    const struct mh_worker *writer = mh_plan_writer_of(hits->plan, violation->id);
    *out = *violation;
    out->partition = writer ? writer->partition : -1;
    out->seen_partition = -1;
    out->worker = out->rank = out->kind_of_write = -1;
    out->cycle = -1;
    out->first_seen_ns = out->last_seen_ns = reading->done_ns;
    out->first_pass = out->last_pass = -1;
    out->seen_by = reading->kind;
    out->reader = reading->worker;
}

static void condemn_row(struct mh_hits *hits, const struct mh_reading *reading, const struct mh_seen *seen,
                        int kind, const struct mh_standing *standing)
{
    const bool exists = standing->kind == MH_STANDS_PERHAPS || standing->kind == MH_STANDS_SURELY;
    const int32_t shown = mh_seen_version(seen);
    const struct mh_violation violation = {.kind = kind,
                                           .id = seen->id,
                                           .expected_version = exists ? standing->highest : MH_VERSION_NONE,
                                           .seen_version = seen->claim == MH_CLAIM_FALSE ? MH_VERSION_UNKNOWN
                                                           : shown >= 0                  ? shown
                                                                                         : 0};
    mh_hits_condemn(hits, reading, &violation);
}

static void condemn_score(struct mh_hits *hits, const struct mh_reading *reading, const struct mh_seen *seen,
                          int kind, double expected)
{
    const struct mh_violation violation = {
        .kind = kind, .id = seen->id, .expected_value = expected, .seen_value = (double)seen->score};
    mh_hits_condemn(hits, reading, &violation);
}

/* ---- one row ---- */

struct judge {
    struct mh_hits *hits;
    struct mh_filter filter;
    int64_t *ids; /* of the reading under judgement, sorted */
    int64_t id_room;
    struct mh_bytes *behind; /* rows that may be, for the ranks that hold their history: staleness.c */
};

static const float *query_of(const struct mh_hits *hits, const struct mh_reading *reading)
{
    const struct mh_dataset *data = hits->content->dataset;
    return data->queries + reading->query * data->shape.dim;
}

static bool score_fits(const struct mh_hits *hits, const struct mh_reading *reading,
                       const struct mh_seen *seen, int64_t version)
{
    const int64_t dim = hits->content->dataset->shape.dim;
    const float *query = query_of(hits, reading), *row = mh_content_vector(hits->content, seen->id, version);
    return mh_score_fits(hits->metric, query, row, dim, (double)seen->score);
}

static bool compares_scores(const struct mh_hits *hits, const struct mh_reading *reading)
{
    return reading->kind == MH_OP_SEARCH && !hits->quantised;
}

int32_t mh_hits_newest(const struct mh_hits *hits, const struct mh_reading *reading,
                       const struct mh_seen *seen, const struct mh_standing *standing)
{
    for (int32_t version = standing->highest; version >= standing->lowest; version--)
        if (mh_seen_fits(hits->content, reading, seen, version))
            return version;
    return mh_seen_version(seen);
}

/* Is the row, in this version, what the reading shows? */
static bool fits(const struct judge *judge, const struct mh_reading *reading, const struct mh_seen *seen,
                 int64_t version)
{
    return mh_seen_fits(judge->hits->content, reading, seen, version) &&
           (!compares_scores(judge->hits, reading) || score_fits(judge->hits, reading, seen, version));
}

/* Of a version that it should not be of, or of none at all. */
static void condemn_version(struct judge *judge, const struct mh_reading *reading, const struct mh_seen *seen,
                            const struct mh_standing *standing)
{
    if (seen->claim == MH_CLAIM_FALSE) {
        condemn_row(judge->hits, reading, seen, MH_CORRUPTED, standing);
        return;
    }
    for (int32_t version = 0; version < standing->lowest; version++)
        if (fits(judge, reading, seen, version)) {
            const struct mh_seen older = {seen->id, seen->score, version};
            condemn_row(judge->hits, reading, &older, MH_STALE, standing);
            return;
        }
    const int32_t version = mh_hits_newest(judge->hits, reading, seen, standing);
    if (version > standing->highest || !compares_scores(judge->hits, reading)) {
        condemn_row(judge->hits, reading, seen, MH_UNEXPECTED, standing);
        return;
    }
    condemn_score(judge->hits, reading, seen, MH_WRONG_DISTANCE,
                  (double)mh_distance(judge->hits->metric, query_of(judge->hits, reading),
                                      mh_content_vector(judge->hits->content, seen->id, version),
                                      judge->hits->content->dataset->shape.dim));
}

/* Returns the version that the reading shows of the row, -1 where it is none that it may show. */
static int32_t judge_version(struct judge *judge, const struct mh_reading *reading,
                             const struct mh_seen *seen, const struct mh_standing *standing, bool filtered)
{
    int32_t shown = -1;
    bool satisfies = false;
    for (int32_t version = standing->lowest; version <= standing->highest && !satisfies; version++) {
        if (!fits(judge, reading, seen, version))
            continue;
        satisfies = !filtered || mh_filter_holds(&judge->filter, seen->id, version);
        shown = shown < 0 || satisfies ? version : shown;
    }
    if (compares_scores(judge->hits, reading))
        judge->hits->figures.distances++;
    const struct mh_seen taken = {seen->id, seen->score, mh_seen_version(seen) < 0 ? seen->claim : shown};
    if (shown < 0)
        condemn_version(judge, reading, seen, standing);
    else if (!satisfies)
        condemn_row(judge->hits, reading, &taken, MH_FILTER_IGNORED, standing);
    return shown;
}

static bool is_misplaced(const struct mh_hits *hits, const struct mh_reading *reading, int64_t id)
{
    const struct mh_worker *writer = mh_plan_writer_of(hits->plan, id);
    return writer && !mh_reading_looks_in(reading, writer->partition);
}

/* Keeps what the judgement found out: which version a search's hit is of, by its distance; and which of those
 * that have its fields. */
static bool judge_shown(struct judge *judge, struct mh_reading *reading, int32_t row,
                        const struct mh_standing *standing, bool filtered)
{
    const struct mh_seen *seen = &mh_reading_rows(reading)[row];
    const int32_t shown = judge_version(judge, reading, seen, standing, filtered);
    if (shown >= 0 && (seen->claim != MH_CLAIM_NONE || reading->kind == MH_OP_SEARCH))
        mh_reading_set_version(reading, row, shown);
    return shown >= 0;
}

/* Returns false when its score says nothing about the order. */
static bool judge_row(struct judge *judge, struct mh_reading *reading, int32_t row,
                      const struct mh_standing *standing, bool filtered)
{
    const struct mh_seen *seen = &mh_reading_rows(reading)[row];
    if (standing->kind == MH_STANDS_NOWHERE)
        condemn_row(judge->hits, reading, seen, MH_UNEXPECTED, standing);
    else if (standing->kind == MH_STANDS_GONE)
        condemn_row(judge->hits, reading, seen, MH_RESURRECTED, standing);
    else if (is_misplaced(judge->hits, reading, seen->id))
        condemn_row(judge->hits, reading, seen, MH_MISPLACED, standing);
    else
        return judge_shown(judge, reading, row, standing, filtered);
    return true;
}

/* ---- one reading ---- */

static int by_number(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int judge_repeats(struct judge *judge, const struct mh_reading *reading, const struct mh_seen *rows)
{
    while (judge->id_room < reading->rows)
        if (!mh_grow(&judge->ids, &judge->id_room, judge->id_room, sizeof *judge->ids))
            return -1;
    for (int32_t i = 0; i < reading->rows; i++)
        judge->ids[i] = rows[i].id;
    if (reading->rows > 1)
        qsort(judge->ids, (size_t)reading->rows, sizeof *judge->ids, by_number);
    for (int32_t i = 1; i < reading->rows; i++)
        if (judge->ids[i] == judge->ids[i - 1] && (i == 1 || judge->ids[i] != judge->ids[i - 2])) {
            const struct mh_violation violation = {
                .kind = MH_DUPLICATED, .id = judge->ids[i], .seen_version = 2};
            mh_hits_condemn(judge->hits, reading, &violation);
        }
    return 0;
}

static void judge_order(struct judge *judge, const struct mh_reading *reading, const struct mh_seen *before,
                        const struct mh_seen *seen)
{
    if (mh_is_clearly_nearer(judge->hits->metric, (double)seen->score, (double)before->score, MH_SCORE_TIE))
        condemn_score(judge->hits, reading, seen, MH_WRONG_ORDER, (double)before->score);
}

/* By the score that the server itself gives, to within single precision. */
static void judge_range(struct judge *judge, const struct mh_reading *reading, const struct mh_seen *seen)
{
    const int metric = judge->hits->metric;
    const double score = (double)seen->score, slack = 1e-5 * fabs(score) + 1e-30;
    const double far = metric == MH_METRIC_L2 ? score - slack : score + slack,
                 near = metric == MH_METRIC_L2 ? score + slack : score - slack;
    if (isnan(reading->radius))
        return;
    if (mh_is_nearer(metric, reading->radius, far))
        condemn_score(judge->hits, reading, seen, MH_RANGE_IGNORED, reading->radius);
    else if (!isnan(reading->range_filter) && mh_is_nearer(metric, near, reading->range_filter))
        condemn_score(judge->hits, reading, seen, MH_RANGE_IGNORED, reading->range_filter);
}

/* An answer that is none: rows without their keys, or a count(*) without a number. */
static void judge_form(struct judge *judge, const struct mh_reading *reading)
{
    const bool countless = reading->count < -1;
    const struct mh_violation violation = {.kind = countless ? MH_MISCOUNTED : MH_CORRUPTED,
                                           .id = MH_ID_ALL,
                                           .expected_version = MH_VERSION_NONE,
                                           .seen_version = countless ? MH_VERSION_NONE : MH_VERSION_UNKNOWN};
    if (countless || reading->keyless)
        mh_hits_condemn(judge->hits, reading, &violation);
}

static int judge_reading(struct judge *judge, struct mh_reading *reading, const struct mh_standing *standings)
{
    const struct mh_seen *rows = mh_reading_rows(reading);
    const bool filtered = mh_filter_read(&judge->filter, mh_reading_text(reading));
    const bool search = reading->kind == MH_OP_SEARCH;
    struct mh_hit_figures *figures = &judge->hits->figures;
    figures->judged++;
    figures->filters_unread += !filtered;
    *(search ? &figures->hits : &figures->rows) += reading->rows;
    judge_form(judge, reading);
    if (reading->limit > 0 && reading->rows > reading->limit)
        condemn_score(judge->hits, reading, &rows[reading->limit], MH_SURPLUS, 0);
    const struct mh_seen *before = NULL; /* the last one whose score is its distance */
    for (int32_t i = 0; i < reading->rows; i++) {
        reading->sure += standings[i].kind == MH_STANDS_SURELY;
        if (!judge_row(judge, reading, i, &standings[i], filtered))
            continue;
        if (before && search)
            judge_order(judge, reading, before, &rows[i]);
        if (search)
            judge_range(judge, reading, &rows[i]);
        before = &rows[i];
    }
    return judge_repeats(judge, reading, rows);
}

/* ---- asking the ranks that hold the history ---- */

struct question {
    int64_t id;
    struct mh_look look;
};

struct batch {
    size_t from, to; /* of the log */
    int64_t rows;
};

static struct batch next_batch(const struct mh_reads *reads, size_t from)
{
    struct batch batch = {.from = from, .to = from};
    const struct mh_reading *reading;
    size_t at = from;
    while (batch.rows < HITS_AT_ONCE && (reading = mh_reads_next(reads, &at))) {
        batch.rows += reading->rows;
        batch.to = at;
    }
    return batch;
}

static int put_questions(const struct mh_hits *hits, const struct batch *batch, struct mh_bytes *to,
                         int32_t *owners)
{
    const struct mh_reading *reading;
    int64_t row = 0;
    for (size_t at = batch->from; at < batch->to;) {
        reading = mh_reads_next(hits->reads, &at);
        const struct mh_seen *rows = mh_reading_rows(reading);
        for (int32_t i = 0; i < reading->rows; i++, row++) {
            const struct question question = {
                rows[i].id, {reading->sent_ns, reading->done_ns, reading->worker, reading->consistency}};
            owners[row] = mh_slice_owner(hits->plan, rows[i].id);
            if (owners[row] >= 0 && mh_bytes_append(&to[owners[row]], &question, sizeof question) != 0)
                return -1;
        }
    }
    return 0;
}

/* Each rank's questions become its answers, in their order. */
static int answer(const struct mh_hits *hits, const struct mh_bytes *questions, const size_t *from,
                  struct mh_bytes *answers)
{
    struct question question;
    size_t at = 0;
    for (int r = 0; r < hits->plan->np; r++)
        for (size_t end = at + from[r]; at < end; at += sizeof question) {
            memcpy(&question, questions->data + at, sizeof question);
            const struct mh_standing standing =
                mh_history_standing(hits->history, &hits->doubt, &question.look, question.id);
            if (mh_bytes_append(&answers[r], &standing, sizeof standing) != 0)
                return -1;
        }
    return 0;
}

/* What the ranks answered, in the order of the rows. */
static void place_answers(const struct mh_bytes *received, const size_t *from, int np, const int32_t *owners,
                          int64_t rows, size_t *next, struct mh_standing *standings)
{
    for (int r = 0, at = 0; r < np; at += (int)from[r++])
        next[r] = (size_t)at;
    for (int64_t i = 0; i < rows; i++) {
        standings[i] = (struct mh_standing){.kind = MH_STANDS_NOWHERE};
        if (owners[i] < 0)
            continue;
        memcpy(&standings[i], received->data + next[owners[i]], sizeof standings[i]);
        next[owners[i]] += sizeof standings[i];
    }
}

/* The standing of every row of the batch. Collective. */
static int ask_standings(const struct mh_hits *hits, const struct batch *batch, struct mh_standing *standings,
                         struct mh_error *err)
{
    const int np = hits->plan->np;
    struct mh_bytes *to = calloc((size_t)np, sizeof *to), *back = calloc((size_t)np, sizeof *back);
    struct mh_bytes questions = {0}, answers = {0};
    size_t *from = calloc(2 * (size_t)np, sizeof *from);
    int32_t *owners = calloc((size_t)batch->rows + 1, sizeof *owners);
    int rc = to && back && from && owners && put_questions(hits, batch, to, owners) == 0 ? 0 : -1;
    rc = mh_comm_agree(hits->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for judging reads"), err);
    if (rc == 0)
        rc = mh_comm_exchange(hits->comm, to, &questions, from, err);
    if (rc == 0) {
        rc = answer(hits, &questions, from, back);
        rc = mh_comm_agree(hits->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for judging reads"), err);
    }
    if (rc == 0)
        rc = mh_comm_exchange(hits->comm, back, &answers, from, err);
    if (rc == 0)
        place_answers(&answers, from, np, owners, batch->rows, from + np, standings);
    mh_bytes_free_all(to, np);
    mh_bytes_free_all(back, np);
    free(questions.data);
    free(answers.data);
    free(from);
    free(owners);
    return rc;
}

/* ---- all of it ---- */

static int judge_batch(struct judge *judge, const struct batch *batch, struct mh_error *err)
{
    struct mh_hits *hits = judge->hits;
    struct mh_standing *standings = calloc((size_t)batch->rows + 1, sizeof *standings);
    int rc = mh_comm_agree(hits->comm, standings ? 0 : mh_fail(err, "out of memory for judging reads"), err);
    if (rc == 0)
        rc = ask_standings(hits, batch, standings, err);
    const struct mh_standing *standing = standings;
    for (size_t at = batch->from; rc == 0 && at < batch->to;) {
        struct mh_reading *reading = mh_reads_next(hits->reads, &at);
        if (judge_reading(judge, reading, standing) != 0 ||
            mh_staleness_note(hits, reading, standing, judge->behind) != 0)
            rc = mh_fail(err, "out of memory for judging reads");
        standing += reading->rows;
    }
    free(standings);
    rc = mh_comm_agree(hits->comm, rc, err);
    return rc == 0 ? mh_staleness_measure(hits, judge->behind, err) : -1;
}

static bool any_left(const struct mh_hits *hits, size_t at)
{
    int64_t left = at < hits->reads->log.length;
    mh_comm_max_i64(hits->comm, &left, 1);
    return left != 0;
}

/* Several ranks may have seen the same row wrong: the one that audits it puts it on record once. */
static int send_home(struct mh_hits *hits, struct mh_error *err)
{
    const int np = hits->plan->np;
    struct mh_bytes *to = calloc((size_t)np, sizeof *to), received = {0};
    int rc = to ? 0 : -1;
    for (int64_t i = 0; rc == 0 && i < hits->violation_count; i++) {
        const int owner = mh_slice_owner(hits->plan, hits->violations[i].id);
        rc = mh_bytes_append(&to[owner < 0 ? 0 : owner], &hits->violations[i], sizeof *hits->violations);
    }
    rc = mh_comm_agree(hits->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for violations"), err);
    if (rc == 0)
        rc = mh_comm_exchange(hits->comm, to, &received, NULL, err);
    mh_bytes_free_all(to, np);
    if (rc != 0)
        return -1;
    free(hits->violations);
    hits->violations = (void *)received.data;
    hits->violation_count = hits->violation_room = (int64_t)(received.length / sizeof *hits->violations);
    return 0;
}

static void share_figures(struct mh_hits *hits)
{
    mh_comm_sum_i64(hits->comm, (int64_t *)&hits->figures, sizeof hits->figures / sizeof(int64_t));
    mh_comm_max_i64(hits->comm, hits->behind_ns, MH_LEVELS);
}

int mh_hits_judge(struct mh_hits *hits, struct mh_error *err)
{
    struct judge judge = {.hits = hits};
    const double begin = mh_cpu_s();
    hits->figures = (struct mh_hit_figures){.asked = hits->reads->asked};
    judge.behind = calloc((size_t)hits->plan->np, sizeof *judge.behind);
    int rc =
        mh_filter_open(&judge.filter, hits->content) == 0 && judge.behind ? 0 : mh_fail(err, "out of memory");
    if (rc == 0 && hits->reads->no_memory)
        rc = mh_fail(err, "out of memory for what searches and queries returned: they cannot be judged");
    rc = mh_comm_agree(hits->comm, rc, err);
    for (size_t at = 0; rc == 0 && any_left(hits, at);) {
        const struct batch batch = next_batch(hits->reads, at);
        rc = judge_batch(&judge, &batch, err);
        at = batch.to;
    }
    mh_filter_close(&judge.filter);
    mh_bytes_free_all(judge.behind, hits->plan->np);
    free(judge.ids);
    if (rc == 0 && mh_hits_judge_monotonic(hits) != 0)
        rc = mh_fail(err, "out of memory for judging reads");
    rc = mh_comm_agree(hits->comm, rc, err);
    if (rc == 0)
        rc = mh_hits_compare(hits, err);
    if (rc == 0)
        rc = mh_comm_agree(hits->comm, hits->no_memory ? mh_fail(err, "out of memory for violations") : 0,
                           err);
    if (rc == 0)
        rc = send_home(hits, err);
    hits->figures.judging_ns = (int64_t)((mh_cpu_s() - begin) * (double)MH_S);
    share_figures(hits);
    return rc;
}

void mh_hits_free(struct mh_hits *hits)
{
    free(hits->violations);
    free(hits->recall);
    free(hits->missed);
    hits->violations = NULL;
    hits->recall = NULL;
    hits->missed = NULL;
    hits->violation_count = hits->violation_room = hits->recall_count = hits->missed_count = 0;
}
