/* After a stage with searches or queries: what they returned, judged against the journals of all ranks. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"
#include "comm/comm.h"
#include "dataset/distance.h"
#include "role/watch.h"
#include "run/keep.h"
#include "truth/hits.h"

#include <math.h>
#include <stdlib.h>

enum {
    /* Milvus' timestamps begin behind the last that it may have given before, up to that far ahead of the
     * clock, and stand until that has caught up. */
    RESTART_AHEAD_MS = 3000,
};

static int adopt(struct mh_run *run, const struct mh_hits *hits, struct mh_error *err)
{
    for (int64_t i = 0; i < hits->violation_count; i++) {
        if (mh_run_condemn(run, &hits->violations[i], INT64_MAX) != 0)
            return mh_fail(err, "out of memory for violations");
    }
    for (int64_t i = 0; i < hits->recall_count; i++) {
        if (!mh_grow(&run->recall, &run->recall_room, run->recall_count, sizeof *run->recall))
            return mh_fail(err, "out of memory for recall");
        run->recall[run->recall_count++] = hits->recall[i];
    }
    for (int64_t i = 0; i < hits->missed_count; i++) {
        if (!mh_grow(&run->missed, &run->missed_room, run->missed_count, sizeof *run->missed))
            return mh_fail(err, "out of memory for recall");
        run->missed[run->missed_count++] = hits->missed[i];
    }
    return 0;
}

void mh_judge_add(struct mh_run *run, const struct mh_hit_figures *figures,
                  const int64_t behind_ns[MH_LEVELS])
{
    int64_t *sums = (int64_t *)&run->hit_figures;
    const int64_t *more = (const int64_t *)figures;
    for (size_t i = 0; i < sizeof *figures / sizeof *sums; i++)
        sums[i] += more[i];
    for (int level = 0; level < MH_LEVELS; level++)
        if (behind_ns[level] > run->behind_ns[level])
            run->behind_ns[level] = behind_ns[level];
}

static double recall_of(const struct mh_hit_figures *figures)
{
    return figures->neighbors > 0 ? (double)figures->found / (double)figures->neighbors : (double)NAN;
}

static void say(const struct mh_stage *stage, const struct mh_hit_figures *figures)
{
    if (stage->run->rank != 0)
        return;
    mh_note("stage %s: %lld of %lld reads judged, %lld hits and %lld rows, in %.1f s of CPU time: %lld wrong",
            stage->options->name, (long long)figures->judged, (long long)figures->asked,
            (long long)figures->hits, (long long)figures->rows, (double)figures->judging_ns / (double)MH_S,
            (long long)figures->violations);
    if (figures->neighbors > 0)
        mh_note("stage %s: recall %.4f against live truth, of %lld searches; %lld short results",
                stage->options->name, recall_of(figures), (long long)figures->searches_compared,
                (long long)figures->short_results);
}

/* Are there roles that judge their reads themselves, or readers that do not? */
static bool has_readers(const struct mh_stage *stage, bool probers)
{
    for (size_t r = 0; r < stage->options->role_count; r++) {
        const struct mh_role_ops *ops = mh_role_ops_of(&stage->options->roles[r]);
        if (probers ? ops->probes : ops->reads && !ops->probes)
            return true;
    }
    return false;
}

/* How far reads at bounded may lag: of several roles the longest holds. Where calls broke, in this stage or
 * before, the server may have started anew. Collective. */
static int64_t longest_bound(const struct mh_stage *stage)
{
    int64_t restart = stage->run->cut_off ? RESTART_AHEAD_MS * MH_MS : 0, longest = 0;
    mh_comm_max_i64(stage->run->comm, &restart, 1);
    for (size_t r = 0; r < stage->options->role_count; r++) {
        const struct mh_role_options *role = &stage->options->roles[r];
        const struct mh_role_ops *ops = mh_role_ops_of(role);
        const int64_t bound = ops->bound_ns ? ops->bound_ns(role) : 0;
        longest = bound > longest ? bound : longest;
    }
    return longest + restart + MH_BOUND_SLACK_MS * MH_MS;
}

static int judge_reads(struct mh_stage *stage, struct mh_error *err)
{
    struct mh_run *run = stage->run;
    struct mh_history history;
    mh_journal_flush(&run->journal);
    int64_t failed = run->journal.failed;
    mh_comm_sum_i64(run->comm, &failed, 1);
    if (failed > 0) /* with a write left out, what it wrote would look made up */
        return mh_fail(err,
                       "stage %s: what was read cannot be judged: the journals of %lld ranks are not whole",
                       stage->options->name, (long long)failed);
    if (mh_history_make(&history, run->plan, run->journal.path, run->start_ns, run->comm, err) != 0)
        return -1;
    const int64_t bound_ns = longest_bound(stage);
    struct mh_hits hits = {.reads = &run->reads,
                           .history = &history,
                           .doubt = {.bound_ns = bound_ns, .clock_ns = mh_clocks_doubt(run)},
                           .plan = run->plan,
                           .content = run->content,
                           .metric = run->job->collection.index.metric,
                           .quantised = mh_index_is_quantised(run->job->collection.index.type),
                           .comm = run->comm,
                           .rank = run->rank,
                           .samples = run->job->verify.recall,
                           .allow_non_monotonic = run->job->verify.allow & MH_ALLOW_NON_MONOTONIC};
    int rc = mh_hits_judge(&hits, err);
    if (rc == 0)
        rc = mh_comm_agree(run->comm, adopt(run, &hits, err), err);
    if (rc == 0) {
        mh_judge_add(run, &hits.figures, hits.behind_ns);
        mh_keep_judged(run, &hits);
        run->allowed += run->rank == 0 ? hits.figures.allowed : 0; /* summed over ranks with the probers' */
        run->judged =
            (struct mh_judged){hits.figures.violations, recall_of(&hits.figures), hits.figures.judged};
        say(stage, &hits.figures);
    }
    mh_hits_free(&hits);
    mh_history_free(&history);
    return rc;
}

int mh_judge_stage(struct mh_stage *stage, struct mh_error *err)
{
    struct mh_judged *judged = &stage->run->judged;
    const bool read = has_readers(stage, false), probed = has_readers(stage, true);
    if (read) {
        mh_phases_enter(&stage->run->phases, MH_PHASE_JUDGE);
        const int rc = judge_reads(stage, err);
        mh_phases_enter(&stage->run->phases, MH_PHASE_END_STAGE);
        if (rc != 0)
            return -1;
    }
    if (!probed)
        return 0;
    if (!read)
        *judged = (struct mh_judged){.recall = (double)NAN};
    int64_t violations = stage->sums->violations;
    mh_comm_sum_i64(stage->run->comm, &violations, 1);
    judged->violations += violations;
    return 0;
}
