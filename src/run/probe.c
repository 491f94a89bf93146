/* What roles saw that judge their reads themselves: how long until writes were visible, and what was wrong.
 */
#include "run/stage.h"

#include "truth/audit.h"

_Static_assert((int)MH_SIGHT_ABSENT == (int)MH_VERSION_NONE &&
                   (int)MH_SIGHT_STRANGE == (int)MH_VERSION_UNKNOWN,
               "a sighting's versions are a violation's");

static void out_of_memory(struct mh_stage *stage)
{
    struct mh_error err;
    mh_fail(&err, "out of memory for what was seen");
    mh_stage_break(stage, &err);
}

static int measure_into(struct mh_visibilities *all, const struct mh_worker *worker,
                        const struct mh_sighting *sighting)
{
    struct mh_visibility *cell = mh_visibility_at(all, worker->stage, worker->role, (int)sighting->write);
    if (!cell)
        return -1;
    cell->read = (int64_t)sighting->read;
    cell->consistency = sighting->consistency;
    cell->never += (sighting->what & MH_SIGHT_NEVER) != 0;
    if (!(sighting->what & MH_SIGHT_FIRST))
        return 0;
    return mh_visibility_record(cell, sighting->acked_ns, sighting->sent_ns, sighting->done_ns);
}

static void measure(struct mh_hand *hand, const struct mh_sighting *sighting)
{
    struct mh_run *run = hand->stage->run;
    if (measure_into(&run->visibilities, hand->role.worker, sighting) != 0 ||
        measure_into(&run->interval_visible, hand->role.worker, sighting) != 0)
        out_of_memory(hand->stage);
}

/* `violation` says what and when; who wrote it is looked up in the journals. */
static void add(struct mh_hand *hand, struct mh_violation violation)
{
    struct mh_run *run = hand->stage->run;
    hand->stage->sums->violations += mh_is_violation((int)violation.kind);
    violation.seen_partition = violation.worker = violation.rank = violation.kind_of_write = -1;
    violation.first_pass = violation.last_pass = -1;
    violation.reader = (int32_t)hand->role.worker->number;
    /* A server that lies for a week is no reason to run out of memory. */
    if (mh_run_condemn(run, &violation, MH_VIOLATIONS_KEPT) != 0)
        out_of_memory(hand->stage);
}

static void condemn(struct mh_hand *hand, const struct mh_sighting *sighting, enum mh_wrong kind)
{
    const int64_t seen_ns = sighting->done_ns - hand->stage->run->start_ns;
    add(hand, (struct mh_violation){.kind = (int32_t)kind,
                                    .id = sighting->id,
                                    .cycle = -1,
                                    .expected_version = sighting->expected,
                                    .seen_version = sighting->seen,
                                    .partition = hand->role.worker->partition,
                                    .first_seen_ns = seen_ns,
                                    .last_seen_ns = seen_ns,
                                    .seen_by = (int32_t)sighting->read});
}

static bool is_allowed(const struct mh_run *run, unsigned what)
{
    return what & MH_SIGHT_BACK && run->job->verify.allow & MH_ALLOW_NON_MONOTONIC;
}

void mh_role_saw(struct mh_role *role, const struct mh_sighting *sighting)
{
    struct mh_hand *hand = role->core;
    measure(hand, sighting);
    if (sighting->what & MH_SIGHT_UNREAD)
        condemn(hand, sighting, MH_UNREAD);
    if (is_allowed(hand->stage->run, sighting->what))
        hand->stage->run->allowed++;
    else if (sighting->what & MH_SIGHT_BACK)
        condemn(hand, sighting, MH_NON_MONOTONIC);
    if (sighting->what & MH_SIGHT_NEVER && !sighting->told)
        condemn(hand, sighting, MH_INVISIBLE);
}

static const enum mh_wrong wrongs[MH_FOUNDS] = {
    [MH_FOUND_LATE] = MH_LATE,
    [MH_FOUND_LOST] = MH_LOST,
    [MH_FOUND_MISPLACED] = MH_MISPLACED,
    [MH_FOUND_DUPLICATED] = MH_DUPLICATED,
    [MH_FOUND_RESURRECTED] = MH_RESURRECTED,
    [MH_FOUND_UNEXPECTED] = MH_UNEXPECTED,
    [MH_FOUND_CORRUPTED] = MH_CORRUPTED,
    [MH_FOUND_MISCOUNTED] = MH_MISCOUNTED,
    [MH_FOUND_MISSED] = MH_MISSED,
    [MH_FOUND_SURPLUS] = MH_SURPLUS,
    [MH_FOUND_WRONG_DISTANCE] = MH_WRONG_DISTANCE,
    [MH_FOUND_WRONG_ORDER] = MH_WRONG_ORDER,
    [MH_FOUND_FILTER_IGNORED] = MH_FILTER_IGNORED,
    [MH_FOUND_NOT_DROPPED] = MH_NOT_DROPPED,
};

void mh_role_found(struct mh_role *role, const struct mh_finding *finding)
{
    struct mh_hand *hand = role->core;
    const int64_t start_ns = hand->stage->run->start_ns;
    add(hand, (struct mh_violation){.kind = (int32_t)wrongs[finding->what],
                                    .id = finding->id,
                                    .cycle = finding->cycle,
                                    .expected_version = finding->expected,
                                    .seen_version = finding->seen,
                                    .expected_value = finding->expected_value,
                                    .seen_value = finding->seen_value,
                                    .partition = -1,
                                    .first_seen_ns = finding->first_ns - start_ns,
                                    .last_seen_ns = finding->last_ns - start_ns,
                                    .seen_by = (int32_t)finding->step});
}

static struct mh_record record_of(const struct mh_worker *worker, const struct mh_cycle_end *end)
{
    return (struct mh_record){.type = end->cut ? MH_RECORD_UNSENT : MH_RECORD_DONE,
                              .kind = MH_TALLY_CYCLE,
                              .outcome = (uint8_t)end->outcome,
                              .flags = MH_RECORD_APART,
                              .stage = (int16_t)worker->stage,
                              .role = (int16_t)worker->role,
                              .worker = (int32_t)worker->number,
                              .attempts = 1,
                              .rows = end->cut ? 1 : (uint32_t)end->rows,
                              .sequence = -1,
                              .due_ns = end->begin_ns,
                              .sent_ns = end->begin_ns,
                              .done_ns = end->end_ns};
}

static void count_cycle(struct mh_tallies *tallies, const struct mh_record *record, const char *why)
{
    mh_tallies_plan(tallies, record->stage, record->role, record->kind, 1);
    mh_tallies_book(tallies, record, why);
}

/* As an operation that was called off. */
static void count_cut(struct mh_run *run, const struct mh_record *record)
{
    struct mh_tally *tally = mh_tally_at(&run->tallies, record->stage, record->role, record->kind);
    mh_tallies_plan(&run->tallies, record->stage, record->role, record->kind, 1);
    if (tally)
        tally->unsent++;
    mh_journal_append(&run->journal, record, NULL, NULL, NULL);
}

/* As an operation is booked, so that it has its latency, its timeline and its errors. */
void mh_role_cycle_ended(struct mh_role *role, const struct mh_cycle_end *end)
{
    struct mh_hand *hand = role->core;
    struct mh_run *run = hand->stage->run;
    const struct mh_record record = record_of(role->worker, end);
    const char *why = end->outcome == MH_OUTCOME_OK ? "" : end->why;
    run->sums.own_searched += end->searched;
    run->sums.own_found += end->found;
    run->sums.own_contradicted += end->contradicted;
    run->sums.own_left += end->left;
    if (end->cut) {
        count_cut(run, &record);
        return;
    }
    count_cycle(&run->tallies, &record, why);
    count_cycle(&run->interval, &record, why);
}
