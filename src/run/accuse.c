/* What this rank's reads saw wrong: kept for the audit, and in the journal at once. */
#include "base/clock.h"
#include "base/grow.h"
#include "base/log.h"
#include "run/run.h"
#include "truth/audit.h"

static void say_first(struct mh_run *run, const struct mh_violation *violation)
{
    const unsigned bit = 1U << violation->kind;
    if (run->accused_kinds & bit || !mh_is_violation(violation->kind))
        return;
    run->accused_kinds |= bit;
    mh_warn("violation: %s: id %lld, seen by %s of worker %d after %.1f s; what else is %s is in the result",
            mh_wrong_names[violation->kind], (long long)violation->id, mh_tally_name(violation->seen_by),
            violation->reader, (double)violation->first_seen_ns / (double)MH_S,
            mh_wrong_names[violation->kind]);
}

int mh_run_accuse(struct mh_run *run, const struct mh_violation *violation)
{
    const struct mh_accusation accusation = {.violation = *violation};
    if (!mh_grow(&run->accused, &run->accused_room, run->accused_count, sizeof *run->accused))
        return -1;
    say_first(run, violation);
    run->accused[run->accused_count++] = *violation;
    if (run->accused_count <= MH_VIOLATIONS_KEPT)
        mh_journal_accuse(&run->journal, &accusation);
    else
        run->accused_unsaved[violation->kind]++;
    return 0;
}

void mh_run_count_accused(struct mh_run *run, int kind)
{
    run->accused_more[kind]++;
    run->accused_unsaved[kind]++;
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
