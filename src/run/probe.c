/* What probers saw: how long until writes were visible, and what they had to see and did not. */
#include "run/stage.h"

#include "base/grow.h"

_Static_assert((int)MH_SIGHT_ABSENT == (int)MH_VERSION_NONE &&
                   (int)MH_SIGHT_STRANGE == (int)MH_VERSION_UNKNOWN,
               "a sighting's versions are a violation's");

static void out_of_memory(struct mh_stage *stage)
{
    struct mh_error err;
    mh_fail(&err, "out of memory for what probers saw");
    mh_stage_break(stage, &err);
}

static void measure(struct mh_hand *hand, const struct mh_sighting *sighting)
{
    const struct mh_worker *worker = hand->role.worker;
    struct mh_visibility *cell =
        mh_visibility_at(&hand->stage->run->visibilities, worker->stage, worker->role, (int)sighting->write);
    if (!cell) {
        out_of_memory(hand->stage);
        return;
    }
    cell->read = (int64_t)sighting->read;
    cell->consistency = sighting->consistency;
    cell->never += (sighting->what & MH_SIGHT_NEVER) != 0;
    if (!(sighting->what & MH_SIGHT_FIRST))
        return;
    mh_histogram_record(&cell->done, sighting->done_ns - sighting->acked_ns);
    mh_histogram_record(&cell->sent, sighting->sent_ns - sighting->acked_ns);
}

static void accuse(struct mh_hand *hand, const struct mh_sighting *sighting, enum mh_wrong kind)
{
    struct mh_run *run = hand->stage->run;
    const struct mh_worker *worker = hand->role.worker;
    const int64_t seen_ns = sighting->done_ns - run->start_ns;
    hand->stage->accused += mh_is_violation((int)kind);
    if (!mh_grow(&run->accused, &run->accused_room, run->accused_count, sizeof *run->accused)) {
        out_of_memory(hand->stage);
        return;
    }
    run->accused[run->accused_count++] = (struct mh_violation){
        .kind = (int32_t)kind,
        .id = sighting->id,
        .expected_version = sighting->expected,
        .seen_version = sighting->seen,
        .partition = worker->partition,
        .seen_partition = -1,
        .worker = -1,
        .rank = -1,
        .kind_of_write = -1,
        .first_seen_ns = seen_ns,
        .last_seen_ns = seen_ns,
        .first_pass = -1,
        .last_pass = -1,
        .seen_by = (int32_t)sighting->read,
        .reader = (int32_t)worker->number,
    };
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
        accuse(hand, sighting, MH_UNREAD);
    if (is_allowed(hand->stage->run, sighting->what))
        hand->stage->run->allowed++;
    else if (sighting->what & MH_SIGHT_BACK)
        accuse(hand, sighting, MH_NON_MONOTONIC);
    if (sighting->what & MH_SIGHT_NEVER && !sighting->accused)
        accuse(hand, sighting, MH_INVISIBLE);
}
