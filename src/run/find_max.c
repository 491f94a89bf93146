/* find_max: a stage run again and again, each time at another rate of one role, until the highest that holds
 * is known. Rank 0 decides what is tried next; all ranks go through the same probes. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "comm/comm.h"
#include "measure/reduce.h"
#include "plan/bisect.h"
#include "run/keep.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_ACHIEVED 0.95 /* of the operations due; below, work piles up */
#define PATIENCE       0.5  /* of a probe's length: what is due and unsent so long after its end is dropped */

struct mh_find_max {
    const struct mh_find_max_options *options;
    struct mh_stage_options stage; /* with roles of its own, whose rate and length change */
    int role;
    struct mh_bisect bisect; /* rank 0's */
    int64_t begin_ns;        /* rank 0's */
    int number;              /* of probes */
};

/* What all ranks do next: rank 0's word. */
struct turn {
    double rate;
    int64_t length_ns; /* measured */
    int32_t confirms, over;
};

/* ---- opening ---- */

int mh_find_max_open(struct mh_stage *stage)
{
    const struct mh_stage_options *given = stage->options;
    if (!given->find_max.role)
        return 0;
    struct mh_find_max *find = calloc(1, sizeof *find);
    if (!find)
        return -1;
    stage->find = find;
    find->options = &given->find_max;
    find->stage = *given;
    find->stage.roles = calloc(given->role_count, sizeof *given->roles);
    if (!find->stage.roles)
        return -1;
    for (size_t r = 0; r < given->role_count; r++) {
        find->stage.roles[r] = given->roles[r];
        if (strcmp(given->roles[r].kind->name, given->find_max.role) == 0)
            find->role = (int)r;
    }
    stage->options = &find->stage;
    return 0;
}

void mh_find_max_close(struct mh_stage *stage)
{
    if (stage->find)
        free(stage->find->stage.roles);
    free(stage->find);
}

/* ---- a probe ---- */

static void set_roles(struct mh_find_max *find, const struct turn *turn)
{
    for (size_t r = 0; r < find->stage.role_count; r++) {
        find->stage.roles[r].for_ns = find->options->warmup_ns + turn->length_ns;
        find->stage.roles[r].warmup_ns = find->options->warmup_ns;
    }
    find->stage.roles[find->role].rate = turn->rate;
}

/* Of the client only what it did in the last probe tells whether it was the limit. */
static void forget_efforts(struct mh_stage *stage, int but)
{
    for (size_t r = 0; r < stage->options->role_count; r++)
        if ((int)r != but)
            *mh_stage_effort(stage, (int)r) = (struct mh_effort){0};
}

static void count_workers(struct mh_stage *stage)
{
    for (size_t i = 0; i < stage->hand_count; i++) {
        stage->hands[i].effort->ranks = 1;
        stage->hands[i].effort->workers++;
    }
}

/* Of all hands of the role, over all ranks. */
struct sums {
    int64_t due, in_time, finished;
};

static struct sums add_hands(const struct mh_stage *stage)
{
    struct sums sums = {0};
    for (size_t i = 0; i < stage->hand_count; i++) {
        const struct mh_hand *hand = &stage->hands[i];
        if (hand->role.worker->role != stage->find->role)
            continue;
        sums.due += hand->measured;
        sums.in_time += hand->in_time;
        sums.finished += hand->finished;
    }
    mh_comm_sum_i64(stage->run->comm, (int64_t *)&sums, sizeof sums / sizeof(int64_t));
    return sums;
}

/* All kinds of operation that the role sends; `bad`: those that were sent and did not succeed. */
static int add_latencies(const struct mh_stage *stage, struct mh_probe *probe, int64_t *bad)
{
    const struct mh_tallies *tallies = &stage->run->tallies;
    struct mh_histogram due;
    int64_t unsent = 0;
    *bad = 0;
    if (mh_histogram_init(&due) != 0)
        return -1;
    for (int kind = 0; kind < MH_TALLY_KINDS; kind++) {
        const struct mh_tally *tally =
            tallies->cells[((size_t)stage->index * (size_t)tallies->roles + (size_t)stage->find->role) *
                               MH_TALLY_KINDS +
                           (size_t)kind];
        if (!tally)
            continue;
        mh_histogram_add(&due, &tally->due);
        probe->operations += tally->planned;
        *bad += tally->failed + tally->unknown;
        unsent += tally->unsent;
    }
    probe->p50_ns = mh_histogram_quantile(&due, 0.5);
    probe->p99_ns = mh_histogram_quantile(&due, 0.99);
    probe->errors = probe->operations > 0 ? (double)(*bad + unsent) / (double)probe->operations : 0;
    mh_histogram_free(&due);
    return 0;
}

static bool fails(struct mh_probe *probe, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fails(struct mh_probe *probe, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(probe->why, sizeof probe->why, format, args);
    va_end(args);
    return false;
}

static bool holds(struct mh_probe *probe, const struct mh_find_max_options *options, const struct sums *sums,
                  int64_t bad)
{
    char p99[32], most[32];
    if (probe->violations > 0)
        return fails(probe, "%lld violations", (long long)probe->violations);
    if (sums->finished > 0)
        return fails(probe, "nothing left to send");
    if ((double)(sums->in_time + bad) < LEAST_ACHIEVED * (double)sums->due - 1)
        return fails(probe, "backlog: %.0f%% of what was due",
                     100 * (double)sums->in_time / (double)sums->due);
    if (probe->errors > options->errors)
        return fails(probe, "errors %.3g%%, wanted at most %.3g%%", 100 * probe->errors,
                     100 * options->errors);
    if (options->p99_ns > 0 && probe->p99_ns > options->p99_ns)
        return fails(probe, "p99 %s, wanted at most %s", mh_show_duration(probe->p99_ns, p99, sizeof p99),
                     mh_show_duration(options->p99_ns, most, sizeof most));
    if (options->recall > 0 && probe->recall < options->recall)
        return probe->recall < 0
                   ? fails(probe, "recall was not measured")
                   : fails(probe, "recall %.4f, wanted at least %.4g", probe->recall, options->recall);
    return sums->due > 0 ? true : fails(probe, "nothing was due");
}

static void describe(const struct mh_stage *stage, const struct mh_probe *probe)
{
    char p99[32];
    mh_note("stage %s: probe %d: %.1f/s wanted, %.1f/s achieved, p99 %s: %s%s", stage->options->name,
            probe->number, probe->wanted, probe->achieved, mh_show_duration(probe->p99_ns, p99, sizeof p99),
            probe->held ? "held" : probe->why, probe->confirms ? " (confirmation)" : "");
}

static int judge(struct mh_stage *stage, const struct turn *turn, struct mh_probe *probe, struct sums *sums,
                 struct mh_error *err)
{
    struct mh_run *run = stage->run;
    const double seconds = (double)turn->length_ns / (double)MH_S;
    *sums = add_hands(stage);
    *probe = (struct mh_probe){.stage = stage->index,
                               .role = stage->find->role,
                               .number = ++stage->find->number,
                               .begin_ns = stage->begin_ns - run->start_ns,
                               .seconds = seconds,
                               .wanted = turn->rate,
                               .achieved = (double)sums->in_time / seconds,
                               .recall = isnan(run->judged.recall) ? -1 : run->judged.recall,
                               .violations = run->judged.violations,
                               .confirms = turn->confirms};
    int64_t bad = 0;
    int rc = run->rank == 0 && add_latencies(stage, probe, &bad) != 0 ? -1 : 0;
    if (rc == 0 && run->rank == 0) {
        probe->held = run->stopped || run->gave_up ? fails(probe, "broken off")
                                                   : holds(probe, stage->find->options, sums, bad);
        rc = mh_probes_add(&run->probes, probe);
        mh_journal_keep(&run->journal, MH_KEPT_PROBE, probe, 1, sizeof *probe);
        mh_journal_flush(&run->journal);
        describe(stage, probe);
    }
    return mh_comm_agree(run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for probes"), err);
}

/* The probe has tallies of its own, which then join the stage's. */
static int measure(struct mh_stage *stage, const struct turn *turn, struct mh_tallies *whole,
                   struct mh_probe *probe, struct sums *sums, struct mh_error *err)
{
    struct mh_run *run = stage->run;
    run->judged = (struct mh_judged){.recall = (double)NAN};
    forget_efforts(stage, -1);
    count_workers(stage);
    set_roles(stage->find, turn);
    stage->drop_ns = (int64_t)(PATIENCE * (double)turn->length_ns);
    int rc = mh_stage_go(stage, err);
    const int added = mh_tallies_add(whole, &run->tallies);
    if (rc == 0)
        rc = mh_comm_agree(run->comm, added == 0 ? 0 : mh_fail(err, "out of memory for counters"), err);
    if (rc == 0)
        rc = mh_reduce_tallies(&run->tallies, run->comm, err);
    return rc == 0 ? judge(stage, turn, probe, sums, err) : -1;
}

static int run_probe(struct mh_stage *stage, const struct turn *turn, struct mh_probe *probe,
                     struct sums *sums, struct mh_error *err)
{
    struct mh_run *run = stage->run;
    struct mh_tallies whole = run->tallies;
    int rc = mh_tallies_init(&run->tallies, run->job, run->start_ns);
    rc = mh_comm_agree(run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for counters"), err);
    if (rc == 0)
        rc = measure(stage, turn, &whole, probe, sums, err);
    mh_tallies_free(&run->tallies);
    run->tallies = whole;
    return rc;
}

/* ---- the search ---- */

static bool has_time(const struct mh_find_max *find, int64_t lengths)
{
    const int64_t left = find->options->within_ns - (mh_now_ns() - find->begin_ns);
    return left >= lengths * find->options->probe_ns + (lengths + 1) / 2 * find->options->warmup_ns;
}

/* A confirmation takes two lengths; time for it is kept. */
static struct turn choose(struct mh_find_max *find)
{
    struct mh_bisect *bisect = &find->bisect;
    bool over = mh_bisect_is_over(bisect);
    if (!over && !has_time(find, bisect->phase == MH_BISECT_CONFIRM ? 2 : 3))
        over = !mh_bisect_hurry(bisect) || !has_time(find, 2);
    const bool confirms = bisect->phase == MH_BISECT_CONFIRM;
    return (struct turn){bisect->rate, find->options->probe_ns * (confirms ? 2 : 1), confirms, over};
}

static enum mh_peak_outcome outcome_of(const struct mh_find_max *find, bool no_work, bool broken_off)
{
    const struct mh_bisect *bisect = &find->bisect;
    if (broken_off)
        return MH_PEAK_BROKEN_OFF;
    if (bisect->phase == MH_BISECT_FOUND)
        return bisect->rate >= bisect->to ? MH_PEAK_AT_LEAST : MH_PEAK_FOUND;
    if (no_work)
        return MH_PEAK_NO_WORK;
    return bisect->phase == MH_BISECT_NONE ? MH_PEAK_NONE : MH_PEAK_NO_TIME;
}

static int conclude(struct mh_stage *stage, bool no_work, bool broken_off)
{
    const struct mh_find_max *find = stage->find;
    forget_efforts(stage, find->role);
    if (stage->run->rank != 0)
        return 0;
    const struct mh_peak peak = {.stage = stage->index,
                                 .role = find->role,
                                 .outcome = outcome_of(find, no_work, broken_off),
                                 .rate = find->bisect.phase == MH_BISECT_FOUND ? find->bisect.rate : 0,
                                 .probes = find->number,
                                 .seconds = (double)(mh_now_ns() - find->begin_ns) / (double)MH_S};
    mh_journal_keep(&stage->run->journal, MH_KEPT_PEAK, &peak, 1, sizeof peak);
    return mh_probes_add_peak(&stage->run->probes, &peak);
}

int mh_find_max_go(struct mh_stage *stage, struct mh_error *err)
{
    struct mh_run *run = stage->run;
    struct mh_find_max *find = stage->find;
    bool no_work = false;
    int rc = 0;
    find->begin_ns = mh_now_ns();
    mh_bisect_begin(&find->bisect, find->options->from, find->options->to);
    while (rc == 0 && !no_work && !run->stopped && !run->gave_up) {
        struct turn turn = choose(find);
        struct mh_probe probe;
        struct sums sums;
        mh_comm_bcast(run->comm, &turn, sizeof turn, 0);
        if (turn.over)
            break;
        rc = run_probe(stage, &turn, &probe, &sums, err);
        if (rc != 0 || run->stopped || run->gave_up)
            break;
        no_work = sums.finished > 0;
        if (run->rank == 0)
            mh_bisect_take(&find->bisect, probe.held);
    }
    const int kept = conclude(stage, no_work, rc != 0 || run->stopped || run->gave_up);
    return rc != 0 ? -1
                   : mh_comm_agree(run->comm, kept == 0 ? 0 : mh_fail(err, "out of memory for probes"), err);
}
