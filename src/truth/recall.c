/* Live truth: what a sample of searches and queries should have found, by brute force over every row that was
 * certainly there at the time. Each rank looks at the rows that it audits; the one that asked puts it
 * together. */
#include "truth/recall.h"

#include "base/grow.h"
#include "comm/comm.h"
#include "dataset/distance.h"
#include "truth/slice.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TOPK = 1000 /* searches that ask for more are not compared */ };

/* ---- choosing ---- */

static bool is_eligible(struct mh_compare *compare, const struct mh_reading *reading)
{
    return (reading->kind != MH_OP_SEARCH || reading->limit + reading->offset <= MOST_TOPK) &&
           mh_filter_read(&compare->filter, mh_reading_text(reading));
}

static int64_t count_eligible(struct mh_compare *compare, int kind)
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
    const struct mh_sampled sample = {.rank = hits->rank,
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
static int choose(struct mh_compare *compare, int kind, int64_t wanted, struct mh_bytes *out)
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
static int64_t share_of(struct mh_compare *compare, int kind, int64_t samples)
{
    const int64_t mine = count_eligible(compare, kind);
    int64_t all = mine;
    mh_comm_sum_i64(compare->hits->comm, &all, 1);
    return all <= samples ? mine : (samples * mine + all - 1) / all;
}

/* ---- the targets, the same on every rank ---- */

static int make_targets(struct mh_compare *compare, const uint8_t *all, size_t length)
{
    const struct mh_hits *hits = compare->hits;
    const struct mh_dataset *data = hits->content->dataset;
    for (size_t at = 0; at < length;) {
        const struct mh_sampled *sample = (const void *)(all + at);
        const bool search = sample->reading.kind == MH_OP_SEARCH;
        if (!mh_grow(&compare->targets, &compare->target_room, compare->target_count,
                     sizeof *compare->targets))
            return -1;
        struct mh_target *target = &compare->targets[compare->target_count];
        *target = (struct mh_target){.sample = sample};
        target->tally.sample = (int32_t)compare->target_count++;
        if (search) {
            target->query = data->queries + sample->reading.query * data->shape.dim;
            target->length = (double)mh_distance(MH_METRIC_IP, target->query, target->query, data->shape.dim);
            target->error = mh_score_error(hits->metric, target->query, target->query, data->shape.dim);
            target->nearest = calloc((size_t)mh_target_depth(target) + 1, sizeof *target->nearest);
            compare->search_count++;
            if (!target->nearest)
                return -1;
        }
        at += sizeof *sample + mh_reading_tail(&sample->reading) + sizeof(int64_t);
    }
    return 0;
}

static int line_up_queries(struct mh_compare *compare)
{
    const size_t dim = (size_t)mh_hits_dim(compare->hits), count = (size_t)compare->search_count;
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
/* ---- back to who asked ---- */

static int send_finds(const struct mh_compare *compare, struct mh_bytes *to)
{
    for (int64_t t = 0; t < compare->target_count; t++) {
        const struct mh_target *target = &compare->targets[t];
        struct mh_finds tally = target->tally;
        tally.spare = (int32_t)target->count;
        if (mh_bytes_append(&to[target->sample->rank], &tally, sizeof tally) != 0 ||
            mh_bytes_append(&to[target->sample->rank], target->nearest,
                            (size_t)target->count * sizeof *target->nearest) != 0)
            return -1;
    }
    return 0;
}

/* Makes of the targets that this rank asked for what all ranks found. */
static void merge_finds(struct mh_compare *compare, const struct mh_bytes *received)
{
    struct mh_finds tally;
    struct mh_near near;
    for (int64_t t = 0; t < compare->target_count; t++) {
        compare->targets[t].count = 0;
        compare->targets[t].tally = (struct mh_finds){.sample = (int32_t)t};
    }
    for (size_t at = 0; at < received->length;) {
        memcpy(&tally, received->data + at, sizeof tally);
        at += sizeof tally;
        struct mh_target *target = &compare->targets[tally.sample];
        target->tally.certain += tally.certain;
        target->tally.possible += tally.possible;
        target->tally.before += tally.before;
        target->tally.tried += tally.tried;
        target->tally.held += tally.held;
        for (int32_t i = 0; i < tally.spare; i++, at += sizeof near) {
            memcpy(&near, received->data + at, sizeof near);
            mh_recall_take_near(target, compare->hits->metric, near);
        }
    }
}

/* ---- all of it ---- */

static void close_compare(struct mh_compare *compare)
{
    for (int64_t t = 0; t < compare->target_count; t++)
        free(compare->targets[t].nearest);
    free(compare->targets);
    free(compare->queries);
    free(compare->searches);
    mh_filter_close(&compare->filter);
}

/* Every rank's samples, on every rank. */
static int share_samples(struct mh_compare *compare, void **all, size_t *length, struct mh_error *err)
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

static int find_truth(struct mh_compare *compare, const uint8_t *samples, size_t length, struct mh_error *err)
{
    const int np = compare->hits->plan->np;
    struct mh_bytes *to = calloc((size_t)np, sizeof *to), received = {0};
    int rc = to && make_targets(compare, samples, length) == 0 && line_up_queries(compare) == 0 &&
                     mh_recall_look(compare) == 0 && send_finds(compare, to) == 0
                 ? 0
                 : mh_fail(err, "out of memory for recall");
    rc = mh_comm_agree(compare->hits->comm, rc, err);
    if (rc == 0)
        rc = mh_comm_exchange(compare->hits->comm, to, &received, NULL, err);
    if (rc == 0) {
        merge_finds(compare, &received);
        mh_recall_find_whole(compare);
    }
    mh_bytes_free_all(to, np);
    free(received.data);
    return rc;
}

static int judge_and_share(struct mh_compare *compare, struct mh_error *err)
{
    struct mh_hits *hits = compare->hits;
    const int np = hits->plan->np;
    struct mh_bytes *missed = calloc((size_t)np, sizeof *missed), points = {0}, home = {0};
    void *all = NULL;
    size_t length = 0;
    int rc = missed && mh_recall_judge(compare, &points, missed) == 0
                 ? 0
                 : mh_fail(err, "out of memory for recall");
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
    struct mh_compare compare = {.hits = hits};
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
