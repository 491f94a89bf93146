/* What this rank's reads saw wrong: kept for the audit, and in the journal at once. */
#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"
#include "run/run.h"
#include "truth/audit.h"

_Static_assert(MH_WRONGS <= 32, "a bit each");

/* What is about a whole collection has an id that is no row's. */
static void say_first(struct mh_run *run, const struct mh_violation *violation)
{
    const unsigned bit = 1U << violation->kind;
    const bool of_row = violation->kind != MH_NOT_DROPPED && violation->kind != MH_MISCOUNTED;
    char id[32] = "", cycle[32] = "";
    if (run->accused_kinds & bit || !mh_is_violation(violation->kind))
        return;
    run->accused_kinds |= bit;
    if (of_row)
        snprintf(id, sizeof id, " id %lld,", (long long)violation->id);
    if (violation->cycle >= 0)
        snprintf(cycle, sizeof cycle, " in cycle %lld", (long long)violation->cycle);
    mh_warn("violation: %s:%s seen by %s of worker %d%s after %.1f s; what else is %s is in the result",
            mh_wrong_names[violation->kind], id, mh_tally_name(violation->seen_by), violation->reader, cycle,
            (double)violation->first_seen_ns / (double)MH_S, mh_wrong_names[violation->kind]);
}

int mh_run_accuse(struct mh_run *run, const struct mh_violation *violation, int64_t most)
{
    const struct mh_accusation accusation = {.violation = *violation};
    say_first(run, violation);
    if (run->accused_count >= MH_VIOLATIONS_KEPT)
        run->accused_unsaved[violation->kind]++;
    else
        mh_journal_accuse(&run->journal, &accusation);
    if (run->accused_count >= most) {
        run->accused_more[violation->kind]++;
        return 0;
    }
    if (!mh_grow(&run->accused, &run->accused_room, run->accused_count, sizeof *run->accused))
        return -1;
    run->accused[run->accused_count++] = *violation;
    return 0;
}

void mh_run_save_accused(struct mh_run *run)
{
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        const struct mh_accusation accusation = {.violation.kind = kind, .more = run->accused_unsaved[kind]};
        if (accusation.more > 0)
            mh_journal_accuse(&run->journal, &accusation);
        run->accused_unsaved[kind] = 0;
    }
}
