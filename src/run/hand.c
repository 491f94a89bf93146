/* A worker at work: asks its role what to send, keeps its slots, books what comes back. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define PACE_SEED 0x70616365u

/* ---- opening and closing ---- */

static int open_slots(struct mh_hand *hand, struct mh_error *err)
{
    const struct mh_role_options *options = hand->role.options;
    const int64_t slots = mh_role_slots(options);
    const int64_t batch = options->batch == 0 && hand->role.ops->writes_rows ? 1 : options->batch;
    hand->ops = calloc((size_t)slots, sizeof *hand->ops);
    if (!hand->ops)
        return mh_fail(err, "out of memory for %lld operations in flight", (long long)slots);
    for (int64_t i = 0; i < slots; i++) {
        struct mh_op *op = &hand->ops[i];
        op->next = hand->idle;
        hand->idle = op;
        op->worker = hand->role.worker;
        op->owner = hand;
        if (batch == 0)
            continue;
        op->versions = calloc((size_t)batch, sizeof *op->versions);
        if (!op->versions || mh_rowset_init(&op->rows, hand->stage->run->content, batch) != 0)
            return mh_fail(err, "out of memory for batches of %lld rows", (long long)batch);
    }
    return 0;
}

/* What a worker draws for its due times is apart from what its role draws. */
static void set_pace(struct mh_hand *hand)
{
    const struct mh_role_options *options = hand->role.options;
    const struct mh_worker *worker = hand->role.worker;
    hand->pace = (struct mh_pace){
        .arrival = options->arrival,
        .index = worker->index,
        .peers = worker->peers,
        .begin_ns = hand->stage->begin_ns,
        .random = {.seed = hand->stage->run->seed ^ PACE_SEED, .stream = (uint64_t)worker->number + 1}};
    hand->pace.steps = mh_pace_steps(options, &hand->whole, &hand->pace.count);
    hand->ahead = hand->pace;
    hand->next_due_ns = mh_pace_take(&hand->pace);
    hand->ahead_due_ns = mh_pace_take(&hand->ahead);
}

void mh_hand_begin(struct mh_hand *hand)
{
    const struct mh_role_options *options = hand->role.options;
    const int64_t begin = hand->stage->begin_ns;
    hand->end_ns = options->for_ns > 0 ? begin + options->for_ns : INT64_MAX;
    hand->warm_until_ns = begin + options->warmup_ns;
    hand->idle_since_ns = begin;
    hand->exhausted = hand->finished = false;
    hand->counted = false;
    hand->due = hand->taken = hand->measured = hand->in_time = 0;
    hand->backlog = hand->backlog_ns = hand->lag_ns = 0;
    if (mh_pace_is_open(options))
        set_pace(hand);
}

void mh_hand_end(struct mh_hand *hand)
{
    const struct mh_worker *worker = hand->role.worker;
    if (hand->backlog_since_ns > 0)
        hand->backlog_ns += mh_now_ns() - hand->backlog_since_ns;
    hand->backlog_since_ns = 0;
    const char *owes = hand->role.ops->owes ? hand->role.ops->owes(&hand->role) : NULL;
    if (owes) {
        mh_warn("worker %lld (%s): collection %s is left on the server", (long long)worker->number,
                hand->role.ops->kind.name, owes);
        hand->role.ops->leave(&hand->role);
    }
    mh_tallies_hold_up(&hand->stage->run->tallies, worker->stage, worker->role, hand->backlog,
                       hand->backlog_ns, hand->lag_ns);
}

int mh_hand_open(struct mh_hand *hand, struct mh_stage *stage, const struct mh_worker *worker,
                 struct mh_error *err)
{
    struct mh_run *run = stage->run;
    const struct mh_role_options *options = &stage->options->roles[worker->role];
    hand->stage = stage;
    hand->role = (struct mh_role){.ops = mh_role_ops_of(options),
                                  .job = run->job,
                                  .options = options,
                                  .worker = worker,
                                  .plan = run->plan,
                                  .content = run->content,
                                  .view = &stage->views[worker->role],
                                  .run_tag = run->tag,
                                  .random = {.seed = run->seed, .stream = (uint64_t)worker->number + 1},
                                  .core = hand};
    hand->policy =
        (struct mh_retry_policy){.retry = &run->job->retry,
                                 .timeout_ns = run->job->server.timeout_ns,
                                 .random = {.seed = ~run->seed, .stream = (uint64_t)worker->number + 1}};
    hand->connection = mh_connection_open(run->rpc, worker->number);
    hand->role.state = calloc(1, hand->role.ops->state_size + 1);
    if (!hand->connection || !hand->role.state)
        return mh_fail(err, "out of memory for worker %lld", (long long)worker->number);
    if (open_slots(hand, err) != 0)
        return -1;
    return hand->role.ops->init ? hand->role.ops->init(&hand->role, err) : 0;
}

void mh_hand_close(struct mh_hand *hand)
{
    for (int64_t i = 0; hand->ops && i < mh_role_slots(hand->role.options); i++)
        mh_op_free(&hand->ops[i]);
    free(hand->ops);
    if (hand->role.state && hand->role.ops->fini)
        hand->role.ops->fini(&hand->role);
    free(hand->role.state);
    mh_claim_queue_free(&hand->claims);
    mh_connection_close(hand->connection);
}

/* ---- sending ---- */

static bool is_write(const struct mh_op *op)
{
    return mh_op_infos[op->request.kind].write;
}

static bool is_read(const struct mh_op *op)
{
    return op->request.kind == MH_OP_QUERY || op->request.kind == MH_OP_SEARCH;
}

static void prepare_read(const struct mh_hand *hand, struct mh_op *op)
{
    const struct mh_run *run = hand->stage->run;
    op->request.collection = run->job->collection.name;
    op->request.index_field = mh_content_vector_name(run->content);
    op->request.index_metric = mh_metric_names[run->job->collection.index.metric];
    op->request.guarantee_ts = hand->own_ts;
}

/* Of a collection of the role's own: all but the rows stands there already. */
static void prepare_rows(const struct mh_hand *hand, struct mh_op *op)
{
    op->request.columns = op->rows.columns;
    op->request.column_count = op->request.kind == MH_OP_DELETE ? 0 : op->rows.column_count;
    op->request.rows = op->request.key_count = op->rows.rows;
    op->request.keys = op->rows.ids;
    op->request.key_field = mh_content_key_name(hand->stage->run->content);
}

int mh_hand_prepare(struct mh_hand *hand, struct mh_op *op, struct mh_error *err)
{
    const struct mh_run *run = hand->stage->run;
    const struct mh_index_options *index = &run->job->collection.index;
    struct mh_request *request = &op->request;
    const bool rows = request->kind == MH_OP_INSERT || request->kind == MH_OP_UPSERT;
    if (is_read(op) && !op->apart) {
        prepare_read(hand, op);
        return 0;
    }
    if (rows && mh_rowset_fill(&op->rows, run->content, op->versions) != 0)
        return mh_fail(err, "out of memory for %lld rows", (long long)op->rows.rows);
    if (op->apart) {
        if (is_write(op))
            prepare_rows(hand, op);
        return 0;
    }
    *request =
        (struct mh_request){.kind = request->kind,
                            .collection = run->job->collection.name,
                            .partition = op->partition >= 0 ? run->plan->partitions[op->partition] : NULL,
                            .columns = rows ? op->rows.columns : NULL,
                            .column_count = rows ? op->rows.column_count : 0,
                            .rows = op->rows.rows,
                            .key_field = mh_content_key_name(run->content),
                            .keys = op->rows.ids,
                            .key_count = op->rows.rows,
                            .index_field = mh_content_vector_name(run->content),
                            .index_type = index->type,
                            .index_metric = mh_metric_names[index->metric],
                            .index_params = index->params};
    return 0;
}

/* On record before it leaves: should this rank die now, the rows are known to be in doubt. */
static void record_intent(struct mh_hand *hand, struct mh_op *op)
{
    const struct mh_worker *worker = hand->role.worker;
    struct mh_record record;
    mh_record_of(&record, op, worker->stage, worker->role, op->tag);
    record.type = MH_RECORD_INTENT;
    mh_journal_append(&hand->stage->run->journal, &record,
                      record.flags & MH_RECORD_SCATTERED ? op->rows.ids : NULL, op->versions, NULL);
}

static void send(struct mh_hand *hand, struct mh_op *op)
{
    struct mh_error err;
    int64_t lag = mh_now_ns() - (op->due_ns > hand->idle_since_ns ? op->due_ns : hand->idle_since_ns);
    if (op->attempts == 0 && lag > hand->stage->run->schedule_lag_ns)
        hand->stage->run->schedule_lag_ns = lag;
    if (op->attempts == 0 && mh_pace_is_open(hand->role.options))
        mh_effort_lag(hand->effort, lag);
    if (mh_hand_prepare(hand, op, &err) != 0 || mh_op_send(op, hand->connection, &hand->policy, &err) != 0) {
        mh_stage_break(hand->stage, &err);
        mh_hand_abandon(hand, op);
    }
}

static bool is_open(const struct mh_hand *hand)
{
    return mh_pace_is_open(hand->role.options);
}

static const char *owed(const struct mh_hand *hand)
{
    return hand->role.ops->owes && !hand->stage->left ? hand->role.ops->owes(&hand->role) : NULL;
}

static bool is_ending(const struct mh_hand *hand)
{
    return hand->exhausted || hand->stage->stopping;
}

static bool may_issue(const struct mh_hand *hand, int64_t now_ns)
{
    if (is_ending(hand))
        return hand->idle && owed(hand);
    return hand->idle && (!is_open(hand) || hand->next_due_ns <= now_ns || hand->next_due_ns >= hand->end_ns);
}

static bool reached_limit(const struct mh_hand *hand, int64_t now_ns)
{
    const struct mh_role_options *options = hand->role.options;
    int64_t due = is_open(hand) ? hand->next_due_ns : now_ns;
    return (options->ops > 0 && hand->issued >= options->ops) || due >= hand->end_ns;
}

/* Operations are due that no slot is free for: since when, and how many? */
static void see_backlog(struct mh_hand *hand, int64_t now_ns)
{
    while (hand->ahead_due_ns <= now_ns && hand->ahead_due_ns < hand->end_ns) {
        hand->due++;
        hand->ahead_due_ns = mh_pace_take(&hand->ahead);
    }
    if (hand->due - hand->taken > hand->backlog)
        hand->backlog = hand->due - hand->taken;
    if (hand->backlog_since_ns == 0)
        hand->backlog_since_ns = hand->next_due_ns;
}

static void watch_backlog(struct mh_hand *hand, int64_t now_ns)
{
    const bool more = !hand->exhausted && hand->next_due_ns <= now_ns && hand->next_due_ns < hand->end_ns;
    if (more && !hand->idle) {
        see_backlog(hand, now_ns);
    } else if (hand->backlog_since_ns > 0) {
        hand->backlog_ns += now_ns - hand->backlog_since_ns;
        hand->backlog_since_ns = 0;
    }
}

static void set_due(struct mh_hand *hand, struct mh_op *op, int64_t now_ns)
{
    op->due_ns = now_ns + op->delay_ns;
    if (!is_open(hand))
        return;
    if (hand->next_due_ns < hand->idle_since_ns)
        see_backlog(hand, now_ns); /* nobody looked while it lasted */
    op->due_ns = hand->next_due_ns;
    hand->taken++;
    hand->measured += op->due_ns >= hand->warm_until_ns;
    hand->next_due_ns = mh_pace_take(&hand->pace);
}

static int booked_kind(const struct mh_op *op)
{
    return op->booked_as ? op->booked_as : (int)op->request.kind;
}

/* The books of an operation are opened before it leaves: one that never came back would be missed. */
static void open_books(struct mh_hand *hand, struct mh_op *op)
{
    struct mh_run *run = hand->stage->run;
    const struct mh_worker *worker = hand->role.worker;
    mh_tallies_plan(&run->tallies, worker->stage, worker->role, booked_kind(op), 1);
    if (!is_write(op) || op->apart)
        return;
    run->rows_issued[op->request.kind] += op->rows.rows;
    record_intent(hand, op);
}

static void issue_one(struct mh_hand *hand, struct mh_op *op, int64_t now_ns)
{
    hand->idle = op->next;
    hand->busy++;
    hand->full_since_ns = now_ns; /* if this was the last */
    hand->stage->sums->open_operations++;
    op->tag = hand->issued++;
    hand->kind = op->request.kind;
    set_due(hand, op, now_ns);
    open_books(hand, op);
    if (op->delay_ns > 0)
        mh_stage_wait_until(hand->stage, op, op->due_ns);
    else
        send(hand, op);
}

static void break_without_memory(struct mh_hand *hand)
{
    struct mh_error err;
    mh_fail(&err, "out of memory for what worker %lld (%s) is to change",
            (long long)hand->role.worker->number, hand->role.ops->kind.name);
    mh_stage_break(hand->stage, &err);
}

static void issue(struct mh_hand *hand, int64_t now_ns)
{
    while (may_issue(hand, now_ns)) {
        if (!is_ending(hand) && reached_limit(hand, now_ns) && !owed(hand)) {
            hand->exhausted = true;
            return;
        }
        struct mh_op *op = hand->idle;
        enum mh_next next = hand->role.ops->next(&hand->role, op);
        if (next == MH_NEXT_NO_MEMORY)
            break_without_memory(hand);
        if (next == MH_NEXT_FINISHED)
            hand->exhausted = hand->finished = true;
        if (next != MH_NEXT_SEND)
            return;
        issue_one(hand, op, now_ns);
    }
}

void mh_hand_issue(struct mh_hand *hand, int64_t now_ns)
{
    issue(hand, now_ns);
    if (is_open(hand))
        watch_backlog(hand, now_ns);
}

void mh_stage_wait_until(struct mh_stage *stage, struct mh_op *op, int64_t when_ns)
{
    op->retry_ns = when_ns;
    op->next = stage->waiting;
    stage->waiting = op;
}

void mh_stage_send_waiting(struct mh_stage *stage, int64_t now_ns)
{
    for (struct mh_op **at = &stage->waiting; *at;) {
        struct mh_op *op = *at;
        const bool off = stage->stopping && (!op->owed || stage->left);
        if (op->retry_ns > now_ns && !off) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        if (off)
            mh_hand_abandon(op->owner, op);
        else
            send(op->owner, op);
    }
}

/* ---- booking ---- */

/* No slot was free until now: for how long was an operation due? */
static void count_blocked(struct mh_hand *hand)
{
    const int64_t due = hand->next_due_ns, full = hand->full_since_ns;
    const int64_t blocked = mh_now_ns() - (due > full ? due : full);
    if (is_open(hand) && !hand->exhausted && due < hand->end_ns && blocked > 0)
        hand->effort->blocked_ns += blocked;
}

static void give_back(struct mh_hand *hand, struct mh_op *op)
{
    if (!hand->idle)
        count_blocked(hand);
    mh_op_release(op);
    op->next = hand->idle;
    hand->idle = op;
    if (hand->busy-- == mh_role_slots(hand->role.options))
        hand->idle_since_ns = mh_now_ns();
    hand->stage->sums->open_operations--;
}

static void count_for_others(struct mh_stage *stage, const struct mh_record *record)
{
    struct mh_stage_sums *sums = stage->sums;
    sums->throttled += record->throttled;
    sums->unknown += record->outcome == MH_OUTCOME_UNKNOWN;
    sums->failed += record->outcome == MH_OUTCOME_FAILED || record->outcome == MH_OUTCOME_THROTTLED;
    if (record->outcome != MH_OUTCOME_OK)
        return;
    sums->latency[mh_timeline_bucket(record->done_ns - record->due_ns)]++;
    const uint32_t rows = mh_record_is_owed(record) ? record->rows : 0;
    sums->acknowledged_rows += record->kind == MH_OP_INSERT ? rows : 0;
    sums->acknowledged_deletes += record->kind == MH_OP_DELETE ? rows : 0;
    stage->role_sums[record->role].operations++;
    stage->role_sums[record->role].rows += record->rows;
}

/* One booking for everything that ends: journal, counters, ledger. */
static void book(struct mh_hand *hand, struct mh_op *op)
{
    struct mh_run *run = hand->stage->run;
    const struct mh_worker *worker = hand->role.worker;
    struct mh_record record;
    mh_record_of(&record, op, worker->stage, worker->role, op->tag);
    bool scattered = (record.flags & MH_RECORD_SCATTERED) != 0;
    if (op->due_ns < hand->warm_until_ns)
        record.flags |= MH_RECORD_WARM_UP;
    if (op->sent_ns - op->due_ns > hand->lag_ns)
        hand->lag_ns = op->sent_ns - op->due_ns;
    if (mh_ledger_book(&run->ledger, &record, scattered ? op->rows.ids : NULL,
                       scattered ? op->versions : NULL) != 0) {
        struct mh_error err;
        mh_fail(&err, "out of memory for the ledger");
        mh_stage_break(hand->stage, &err);
    }
    const char *message = op->outcome == MH_OUTCOME_OK ? "" : op->reply.reason;
    mh_tallies_book(&run->tallies, &record, message);
    count_for_others(hand->stage, &record);
    if (!is_write(op)) {
        mh_tallies_plan(&run->interval, worker->stage, worker->role, record.kind, 1);
        mh_tallies_book(&run->interval, &record, message);
        return;
    }
    record.flags &= (uint8_t)~MH_RECORD_SCATTERED; /* the keys stand with the intent */
    mh_journal_append(&run->journal, &record, NULL, NULL, message);
}

/* What is always refused is wrong in itself; asking on would only load the server. A server that recovers
 * refuses, too: what was answered before gets the time that a server may be gone. */
static bool is_hopeless(const struct mh_hand *hand, const struct mh_op *op)
{
    enum { PATIENCE = 100 };
    const int64_t patience_ns = hand->stage->run->job->server.timeout_ns;
    return hand->refused >= PATIENCE &&
           (hand->answered_ns == 0 || op->done_ns - hand->answered_ns > patience_ns);
}

static void give_up(struct mh_hand *hand, const struct mh_op *op)
{
    char text[400];
    mh_op_describe(op, text, sizeof text);
    if (hand->role.worker->index == 0) /* the role's others will say the same */
        mh_warn("worker %lld (%s) gives up: %lld operations and none succeeded%s; %s",
                (long long)hand->role.worker->number, hand->role.ops->kind.name, (long long)hand->refused,
                hand->answered_ns > 0 ? " any more" : "", text);
    hand->exhausted = hand->finished = true;
    hand->stage->run->workers_refused++;
}

static void give_up_if_refused(struct mh_hand *hand, const struct mh_op *op)
{
    if (!hand->role.ops->reads || hand->exhausted)
        return;
    if (op->outcome == MH_OUTCOME_OK) {
        hand->answered_ns = op->done_ns;
        hand->refused = 0;
    }
    if (op->outcome != MH_OUTCOME_FAILED || op->timed_out || op->unreachable)
        return;
    hand->refused++;
    if (is_hopeless(hand, op))
        give_up(hand, op);
}

void mh_hand_finish(struct mh_hand *hand, struct mh_op *op)
{
    if (op->unreachable)
        hand->stage->sums->give_up = 1;
    if (op->outcome == MH_OUTCOME_OK && op->reply.timestamp > hand->own_ts)
        hand->own_ts = op->reply.timestamp;
    if (op->outcome == MH_OUTCOME_OK && is_read(op) && !hand->role.ops->probes)
        mh_reads_note(&hand->stage->run->reads, op);
    if (op->outcome == MH_OUTCOME_OK && op->done_ns >= hand->warm_until_ns && op->done_ns < hand->end_ns)
        hand->in_time++;
    book(hand, op);
    give_up_if_refused(hand, op);
    if (hand->role.ops->done)
        hand->role.ops->done(&hand->role, op);
    give_back(hand, op);
}

/* sequence: of the one write called off, whose INTENT this undoes; -1: operations never asked for. */
static void count_unsent(struct mh_hand *hand, int kind, int64_t operations, int64_t sequence)
{
    struct mh_run *run = hand->stage->run;
    const struct mh_worker *worker = hand->role.worker;
    struct mh_tally *tally = mh_tally_at(&run->tallies, worker->stage, worker->role, kind);
    struct mh_record record = {.type = MH_RECORD_UNSENT,
                               .kind = (uint8_t)kind,
                               .stage = (int16_t)worker->stage,
                               .role = (int16_t)worker->role,
                               .worker = (int32_t)worker->number,
                               .sequence = sequence,
                               .rows = (uint32_t)operations};
    if (tally)
        tally->unsent += operations;
    mh_journal_append(&run->journal, &record, NULL, NULL, NULL);
}

void mh_hand_drop(struct mh_hand *hand)
{
    int64_t operations = 0;
    hand->exhausted = true;
    for (; is_open(hand) && hand->next_due_ns < hand->end_ns; hand->next_due_ns = mh_pace_take(&hand->pace)) {
        operations++;
        hand->measured += hand->next_due_ns >= hand->warm_until_ns;
    }
    if (operations == 0)
        return;
    mh_tallies_plan(&hand->stage->run->tallies, hand->role.worker->stage, hand->role.worker->role, hand->kind,
                    operations);
    count_unsent(hand, hand->kind, operations, -1);
}

/* A write that was throttled or never left has had no effect: it ends as that; one never tried is unsent. */
void mh_hand_abandon(struct mh_hand *hand, struct mh_op *op)
{
    if (op->attempts > 0) {
        mh_hand_finish(hand, op);
        return;
    }
    if (is_write(op) && !op->apart)
        hand->stage->run->rows_issued[op->request.kind] -= op->rows.rows;
    count_unsent(hand, booked_kind(op), 1, op->tag);
    op->outcome = MH_OUTCOME_FAILED;
    if (hand->role.ops->done)
        hand->role.ops->done(&hand->role, op);
    give_back(hand, op);
}

bool mh_hand_active(const struct mh_hand *hand)
{
    return hand->busy > 0 || !hand->exhausted || owed(hand);
}

void mh_hand_count_left(struct mh_hand *hand)
{
    static const int kinds[] = {[MH_CLAIMS_NONE] = MH_OP_INSERT,
                                [MH_CLAIMS_TO_UPSERT] = MH_OP_UPSERT,
                                [MH_CLAIMS_TO_DELETE] = MH_OP_DELETE};
    const struct mh_role_ops *ops = hand->role.ops;
    const int64_t operations = ops->left ? ops->left(&hand->role) : 0;
    if (operations == 0)
        return;
    mh_tallies_plan(&hand->stage->run->tallies, hand->role.worker->stage, hand->role.worker->role,
                    kinds[ops->takes], operations);
    count_unsent(hand, kinds[ops->takes], operations, -1);
}
