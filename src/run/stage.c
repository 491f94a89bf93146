/* The stage loop: due? slot? next, send, wait, book. Ranks stay together by the heartbeat alone. */
#include "run/stage.h"

#include "base/alive.h"
#include "base/clock.h"
#include "base/log.h"
#include "comm/comm.h"
#include "comm/watch.h"
#include "run/keep.h"

#include <stdlib.h>
#include <string.h>

enum {
    PULSE_MS = 50,       /* between two rounds of the heartbeat */
    START_AHEAD_MS = 20, /* all ranks have heard of the start by then */
    BUSY_WAIT_MS =
        2, /* longest in the completion queue while a round is under way: MPI wants to be looked at */
    CALM_WAIT_MS = 10,    /* and while none is: claims may have come */
    IDLE_FACTOR = 6,      /* longer are both where no worker is: nothing is late there but the round */
    LATE_MS = 3,          /* that a wait which is not sharp may be */
    MOST_AT_ONCE = 256,   /* calls, before the heartbeat and the feed get their turn */
    DRAIN_S = 5,          /* what is in flight when a stop is asked for gets so long, */
    DRAIN_PART = 8,       /* and of a signal's grace no larger part */
    TIDY_S = 10,          /* so long after it, those who remove what they made, */
    TIDY_PART = 4,        /* likewise, of what is left */
    SAVE_MS = 500,        /* between two writes of the journal */
    SUMMARY_S = 1,        /* between two summaries, at first; */
    LATE_SUMMARY_S = 600, /* never longer */
    HURRY_S = 10,         /* after a signal a rank may be silent for no longer: who sent it may end us soon */
};

/* ---- opening ---- */

static size_t count_here(const struct mh_run *run, int stage)
{
    size_t count = 0;
    for (int64_t i = run->plan->first_at_work; i < run->plan->worker_count; i++)
        count += run->plan->workers[i].stage == stage && run->plan->workers[i].rank == run->rank;
    return count;
}

struct mh_effort *mh_stage_effort(const struct mh_stage *stage, int role)
{
    const struct mh_run *run = stage->run;
    return &run->efforts[(size_t)stage->index * (size_t)run->tallies.roles + (size_t)role];
}

static int open_hands(struct mh_stage *stage, struct mh_error *err)
{
    const struct mh_plan *plan = stage->run->plan;
    stage->hands = calloc(count_here(stage->run, stage->index) + 1, sizeof *stage->hands);
    stage->views = calloc(stage->options->role_count, sizeof *stage->views);
    if (!stage->hands || !stage->views)
        return mh_fail(err, "out of memory");
    for (int64_t i = plan->first_at_work; i < plan->worker_count; i++) {
        const struct mh_worker *worker = &plan->workers[i];
        if (worker->stage != stage->index || worker->rank != stage->run->rank)
            continue;
        struct mh_hand *hand = &stage->hands[stage->hand_count++];
        if (mh_hand_open(hand, stage, worker, err) != 0)
            return -1;
        hand->effort = mh_stage_effort(stage, worker->role);
        hand->effort->ranks = 1;
        hand->effort->workers++;
    }
    return 0;
}

static int counters_of(const struct mh_stage *stage)
{
    return (int)((sizeof *stage->sums + stage->options->role_count * sizeof *stage->role_sums) /
                 sizeof(int64_t));
}

static int open_counters(struct mh_stage *stage, struct mh_error *err)
{
    stage->counters = calloc((size_t)counters_of(stage), sizeof *stage->counters);
    if (!stage->counters)
        return mh_fail(err, "out of memory");
    stage->sums = (struct mh_stage_sums *)stage->counters;
    stage->role_sums = (struct mh_role_sums *)(stage->sums + 1);
    return 0;
}

/* Rank 0 names the moment; each rank knows it on its own clock. */
static void agree_on_begin(struct mh_stage *stage)
{
    struct mh_run *run = stage->run;
    int64_t begin = run->rank == 0 ? mh_now_ns() + START_AHEAD_MS * MH_MS : 0;
    mh_comm_bcast(run->comm, &begin, sizeof begin, 0);
    stage->begin_ns = begin + run->clock.offset_ns + run->clock.moved_ns;
}

static int open_stage(struct mh_stage *stage, struct mh_error *err)
{
    int rc = mh_find_max_open(stage) == 0 ? 0 : mh_fail(err, "out of memory");
    if (rc == 0)
        rc = open_counters(stage, err);
    if (rc == 0)
        rc = open_hands(stage, err);
    if (rc == 0 && (mh_chaos_open(stage) != 0 || mh_outages_open(stage) != 0))
        rc = mh_fail(err, "out of memory");
    if (mh_comm_agree(stage->run->comm, rc, err) != 0)
        return -1;
    mh_post_open(&stage->post, stage->run->comm, sizeof(struct mh_claim));
    rc = mh_pulse_open(&stage->pulse, stage->run->comm, counters_of(stage), PULSE_MS * MH_MS);
    stage->talks = true;
    return mh_comm_agree(stage->run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory"), err);
}

static void close_stage(struct mh_stage *stage)
{
    if (stage->talks) {
        mh_pulse_close(&stage->pulse);
        mh_post_close(&stage->post);
        mh_run_summarise(stage->run);
        mh_journal_flush(&stage->run->journal);
    }
    for (size_t i = 0; i < stage->hand_count; i++)
        mh_hand_close(&stage->hands[i]);
    mh_chaos_close(stage);
    mh_outages_close(stage->run);
    mh_find_max_close(stage);
    free(stage->hands);
    free(stage->views);
    free(stage->counters);
}

/* ---- what the ranks tell each other ---- */

void mh_stage_break(struct mh_stage *stage, const struct mh_error *err)
{
    if (!stage->sums->broken)
        stage->error = *err;
    stage->sums->broken = 1;
}

/* What the rank has spent until the last worker of the role ended. */
static void count_effort(const struct mh_stage *stage, struct mh_hand *hand)
{
    struct mh_effort *effort = hand->effort;
    hand->counted = true;
    effort->active_ns = mh_now_ns() - stage->begin_ns;
    effort->cpu_ns = (int64_t)((mh_cpu_s() - stage->cpu_begin_s) * (double)MH_S);
    effort->starved_ns = mh_starved_ns() - stage->starved_begin_ns;
    if (mh_pace_is_open(hand->role.options))
        effort->paced_ns += effort->active_ns;
}

static void sample(struct mh_stage *stage)
{
    struct mh_stage_sums *sums = stage->sums;
    memset(sums->active, 0, sizeof sums->active);
    sums->away = 0;
    for (size_t i = 0; i < stage->hand_count; i++) {
        struct mh_hand *hand = &stage->hands[i];
        const bool active = mh_hand_active(hand);
        sums->active[hand->role.ops->order] += active;
        sums->away += active && mh_connection_away(hand->connection);
        if (!active && !hand->counted)
            count_effort(stage, hand);
    }
    sums->stop = mh_signal_seen();
}

static bool is_dry(const struct mh_stage_sums *totals, const struct mh_role_ops *ops)
{
    for (int order = 0; order < ops->order; order++)
        if (totals->active[order] > 0)
            return false;
    return totals->claims_sent[ops->takes] == totals->claims_got[ops->takes];
}

static void update_views(struct mh_stage *stage, const struct mh_stage_sums *totals)
{
    for (size_t r = 0; r < stage->options->role_count; r++) {
        struct mh_stage_view *view = &stage->views[r];
        view->acknowledged_rows = totals->acknowledged_rows;
        view->acknowledged_deletes = totals->acknowledged_deletes;
        view->dry = is_dry(totals, mh_role_ops_of(&stage->options->roles[r]));
    }
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How long what is under way still may last: after a signal the audit and the result want their time, too.
 * That may come when the stage is stopping already. */
static void set_ends(struct mh_stage *stage, bool signalled)
{
    const int64_t now = mh_now_ns(), grace = signalled ? stage->run->grace_ns : INT64_MAX;
    const int64_t drain = least(DRAIN_S * MH_S, grace / DRAIN_PART);
    const int64_t tidy = least(TIDY_S * MH_S, (grace - drain) / TIDY_PART);
    stage->cancel_ns = stage->stopping ? least(stage->cancel_ns, now + drain) : now + drain;
    stage->leave_ns = stage->stopping ? least(stage->leave_ns, now + drain + tidy) : now + drain + tidy;
}

static void begin_stopping(struct mh_stage *stage, const struct mh_stage_sums *totals)
{
    set_ends(stage, totals->stop > 0);
    stage->stopping = true;
    stage->run->stopped |= totals->stop > 0;
    stage->run->gave_up |= totals->give_up > 0;
    if (stage->run->rank == 0 && totals->stop > 0)
        mh_warn("signal: ending stage %s early; what was acknowledged will be audited", stage->options->name);
    if (stage->run->rank == 0 && totals->give_up > 0)
        mh_complain("no connection to %s%s for %lld s: ending stage %s",
                    stage->run->job->server.uris.items[0],
                    mh_rpc_uris(stage->run->rpc) > 1 ? ", or any other proxy," : "",
                    (long long)(stage->run->job->server.timeout_ns / MH_S), stage->options->name);
    for (size_t i = 0; i < stage->hand_count; i++) {
        if (!stage->hands[i].exhausted)
            mh_hand_count_left(&stage->hands[i]);
        stage->hands[i].exhausted = stage->hands[i].role.ending = true;
    }
}

static bool is_over(const struct mh_stage_sums *totals)
{
    int64_t active = 0;
    for (int order = 0; order < MH_ORDERS; order++)
        active += totals->active[order];
    return active == 0 && totals->open_operations == 0 && totals->chaos_running == 0 &&
           totals->claims_sent[MH_CLAIMS_TO_UPSERT] == totals->claims_got[MH_CLAIMS_TO_UPSERT] &&
           totals->claims_sent[MH_CLAIMS_TO_DELETE] == totals->claims_got[MH_CLAIMS_TO_DELETE];
}

static void tell_away(struct mh_stage *stage, int64_t away)
{
    if (stage->run->rank == 0 && away > stage->away)
        mh_warn("stage %s: %lld worker%s moved to another proxy: no connection to theirs, or no answer",
                stage->options->name, (long long)away, away == 1 ? " has" : "s have");
    stage->away = away;
}

static void go_home(struct mh_stage *stage)
{
    for (size_t i = 0; i < stage->hand_count; i++)
        mh_connection_go_home(stage->hands[i].connection);
}

/* True when the stage is over; every rank says so in the same round. */
static bool take_totals(struct mh_stage *stage)
{
    const struct mh_stage_sums *totals = (const struct mh_stage_sums *)stage->pulse.totals;
    update_views(stage, totals);
    tell_away(stage, totals->away);
    if (!stage->stopping && (totals->stop > 0 || totals->give_up > 0 || totals->broken > 0))
        begin_stopping(stage, totals);
    if (totals->stop > 0 && !stage->run->stopped) {
        set_ends(stage, true);
        stage->run->stopped = true;
    }
    return is_over(totals);
}

/* ---- the loop ---- */

/* Would a wait that ends late make an operation late? */
static bool is_due_soon(const struct mh_stage *stage, int64_t until_ns)
{
    for (size_t i = 0; i < stage->hand_count; i++) {
        const struct mh_hand *hand = &stage->hands[i];
        if (mh_pace_is_open(hand->role.options) && hand->idle && !hand->exhausted &&
            hand->next_due_ns < until_ns + LATE_MS * MH_MS)
            return true;
    }
    return false;
}

static struct mh_call *next_call(const struct mh_stage *stage, int64_t until_ns)
{
    return is_due_soon(stage, until_ns) ? mh_rpc_wait_sharp(stage->run->rpc, until_ns)
                                        : mh_rpc_wait(stage->run->rpc, until_ns);
}

static void take_calls(struct mh_stage *stage, int64_t until_ns)
{
    struct mh_call *call;
    if (stage->hand_count == 0) { /* none will come, and plain sleep costs less than the completion queue */
        mh_sleep_ns(until_ns - mh_now_ns());
        return;
    }
    for (int taken = 0; taken < MOST_AT_ONCE && (call = next_call(stage, until_ns)); taken++) {
        struct mh_op *op = mh_op_of(call);
        struct mh_hand *hand = op->owner;
        const enum mh_op_next next = mh_op_take(op, &hand->policy);
        mh_outages_see(stage, op);
        if (next == MH_OP_AGAIN)
            mh_stage_wait_until(stage, op, op->retry_ns);
        else
            mh_hand_finish(hand, op);
        mh_hand_issue(hand, mh_now_ns());
        until_ns = 0; /* what else is done; then look after the rest */
    }
}

static int64_t next_event(const struct mh_stage *stage, int64_t now_ns)
{
    const bool round = stage->pulse.request != MPI_REQUEST_NULL;
    const int64_t factor = stage->hand_count > 0 ? 1 : IDLE_FACTOR;
    int64_t next = now_ns + (round ? BUSY_WAIT_MS : CALM_WAIT_MS) * factor * MH_MS;
    if (!round && stage->pulse.next_ns < next)
        next = stage->pulse.next_ns;
    for (size_t i = 0; i < stage->hand_count; i++) {
        const struct mh_hand *hand = &stage->hands[i];
        if (mh_pace_is_open(hand->role.options) && hand->idle && !hand->exhausted && hand->next_due_ns < next)
            next =
                hand->next_due_ns > now_ns ? hand->next_due_ns : now_ns + MH_MS; /* due, but its role waits */
    }
    for (const struct mh_op *op = stage->waiting; op; op = op->next)
        if (op->retry_ns < next)
            next = op->retry_ns;
    return next;
}

static void cancel_all(struct mh_stage *stage)
{
    for (size_t i = 0; i < stage->hand_count; i++) {
        const struct mh_role_options *options = stage->hands[i].role.options;
        for (int64_t k = 0; k < mh_role_slots(options); k++)
            mh_call_cancel(&stage->hands[i].ops[k].call);
    }
}

static void cancel_late(struct mh_stage *stage, int64_t now_ns)
{
    if (stage->stopping && !stage->cancelled && now_ns >= stage->cancel_ns) {
        stage->cancelled = true;
        cancel_all(stage);
    }
    if (stage->cancelled && !stage->left && now_ns >= stage->leave_ns) {
        stage->left = true;
        cancel_all(stage);
    }
}

static void drop_late(struct mh_stage *stage, int64_t now_ns)
{
    for (size_t i = 0; stage->drop_ns > 0 && i < stage->hand_count; i++) {
        struct mh_hand *hand = &stage->hands[i];
        if (!hand->exhausted && now_ns >= hand->end_ns + stage->drop_ns)
            mh_hand_drop(hand);
    }
}

static void turn(struct mh_stage *stage)
{
    int64_t now = mh_now_ns();
    cancel_late(stage, now);
    drop_late(stage, now);
    mh_chaos_turn(stage, now);
    mh_feed_receive(stage);
    mh_stage_send_waiting(stage, now);
    for (size_t i = 0; i < stage->hand_count; i++)
        mh_hand_issue(&stage->hands[i], now);
    take_calls(stage, next_event(stage, mh_now_ns()));
}

/* As fine as the timeline, up to then. */
int64_t mh_run_interval(int64_t since_ns)
{
    int64_t every = SUMMARY_S * MH_S;
    while (2 * every <= LATE_SUMMARY_S * MH_S && since_ns >= every * MH_TIMELINE_SLOTS)
        every *= 2;
    return every;
}

void mh_run_summarise(struct mh_run *run)
{
    const int64_t now = mh_now_ns(), since = now - run->start_ns, every = mh_run_interval(since);
    mh_journal_summarise(&run->journal, &run->interval, &run->interval_visible, now);
    mh_run_save_violations(run);
    mh_keep_sums(run);
    mh_keep_absences(run);
    mh_outages_keep(run);
    run->summary_ns = run->start_ns + (since / every + 1) * every;
}

/* Should this rank be killed now, little is in doubt. */
static void live_on(struct mh_stage *stage)
{
    const int64_t now = mh_now_ns();
    mh_alive();
    if (mh_signal_seen()) {
        mh_watch_hurry(HURRY_S * MH_S);
        stage->run->summary_ns = least(stage->run->summary_ns, now); /* for the same reason */
    }
    if (now < stage->save_ns)
        return;
    stage->save_ns = now + SAVE_MS * MH_MS;
    if (now >= stage->run->summary_ns)
        mh_run_summarise(stage->run);
    mh_journal_flush(&stage->run->journal);
}

/* A rank without workers has nothing but the heartbeat to do. */
static void note_rounds(struct mh_stage *stage)
{
    struct mh_pulse *pulse = &stage->pulse;
    const double cpu_s = mh_cpu_s() - stage->cpu_begin_s;
    mh_phases_beat(&stage->run->phases, pulse->rounds, pulse->busy_ns,
                   stage->hand_count == 0 ? (int64_t)(cpu_s * (double)MH_S) : -1);
    pulse->rounds = pulse->busy_ns = 0;
}

static void loop(struct mh_stage *stage)
{
    struct mh_progress progress;
    mh_progress_begin(&progress, stage);
    mh_sleep_ns(stage->begin_ns - mh_now_ns());
    mh_phases_enter(&stage->run->phases, MH_PHASE_LOAD);
    stage->cpu_begin_s = mh_cpu_s();
    stage->starved_begin_ns = mh_starved_ns();
    for (;;) {
        turn(stage);
        sample(stage);
        live_on(stage);
        if (!mh_pulse_beat(&stage->pulse, stage->counters))
            continue;
        go_home(stage);
        mh_progress_show(&progress, stage);
        atomic_store(&stage->run->ledger_bytes, mh_ledger_bytes(&stage->run->ledger));
        if (take_totals(stage))
            break;
    }
    mh_phases_enter(&stage->run->phases, MH_PHASE_END_STAGE);
    note_rounds(stage);
    mh_watch_hurry(INT64_MAX);
    mh_progress_end(&progress);
}

static void record_begin(struct mh_stage *stage)
{
    if (stage->recorded)
        return;
    stage->recorded = true;
    mh_tallies_reset(&stage->run->interval, stage->begin_ns);
    mh_visibilities_reset(&stage->run->interval_visible, stage->begin_ns);
    struct mh_record record = {
        .type = MH_RECORD_STAGE, .stage = (int16_t)stage->index, .worker = -1, .due_ns = stage->begin_ns};
    mh_journal_append(&stage->run->journal, &record, NULL, NULL, NULL);
    mh_journal_flush(&stage->run->journal);
}

static void note_memory(struct mh_run *run)
{
    int64_t bytes = mh_private_bytes();
    if (bytes > run->private_bytes)
        run->private_bytes = bytes;
}

/* A stage that searches for a rate is gone through many times. */
static void note_span(const struct mh_stage *stage)
{
    struct mh_stage_span *span = &stage->run->stage_spans[stage->index];
    if (span->end_ns == 0)
        span->begin_ns = stage->begin_ns - stage->run->start_ns;
    span->end_ns = mh_now_ns() - stage->run->start_ns;
}

int mh_stage_go(struct mh_stage *stage, struct mh_error *err)
{
    struct mh_run *run = stage->run;
    mh_phases_enter(&run->phases, MH_PHASE_BEGIN_STAGE);
    mh_reads_begin(&run->reads);
    agree_on_begin(stage);
    memset(stage->views, 0, stage->options->role_count * sizeof *stage->views);
    for (size_t i = 0; i < stage->hand_count; i++)
        mh_hand_begin(&stage->hands[i]);
    record_begin(stage);
    loop(stage);
    for (size_t i = 0; i < stage->hand_count; i++)
        mh_hand_end(&stage->hands[i]);
    mh_run_summarise(run); /* to judge what was read may take a while */
    note_memory(run);
    note_span(stage);
    run->stage_seconds[stage->index] += (double)(mh_now_ns() - stage->begin_ns) / (double)MH_S;
    *err = stage->error;
    if (mh_comm_agree(run->comm, stage->sums->broken ? -1 : 0, err) != 0)
        return -1;
    return mh_clocks_compare(run, err) == 0 ? mh_judge_stage(stage, err) : -1;
}

int mh_stage_run(struct mh_run *run, int index, struct mh_error *err)
{
    struct mh_stage stage = {.run = run, .index = index, .options = &run->job->stages[index]};
    struct mh_error ignored; /* after a first cause */
    run->stage = index;
    mh_phases_enter(&run->phases, MH_PHASE_BEGIN_STAGE);
    int rc = open_stage(&stage, err);
    if (rc == 0) {
        rc = stage.find ? mh_find_max_go(&stage, err) : mh_stage_go(&stage, err);
        if (mh_outages_report(run, rc == 0 ? err : &ignored) != 0)
            rc = -1;
        if (mh_absences_report(run, rc == 0 ? err : &ignored) != 0)
            rc = -1;
    }
    close_stage(&stage);
    return rc;
}
