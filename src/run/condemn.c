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
    if (run->kinds_told & bit || !mh_is_violation(violation->kind))
        return;
    run->kinds_told |= bit;
    if (of_row)
        snprintf(id, sizeof id, " id %lld,", (long long)violation->id);
    if (violation->cycle >= 0)
        snprintf(cycle, sizeof cycle, " in cycle %lld", (long long)violation->cycle);
    mh_warn("violation: %s:%s seen by %s of worker %d%s after %.1f s; what else is %s is in the result",
            mh_wrong_names[violation->kind], id, mh_tally_name(violation->seen_by), violation->reader, cycle,
            (double)violation->first_seen_ns / (double)MH_S, mh_wrong_names[violation->kind]);
}

int mh_run_condemn(struct mh_run *run, const struct mh_violation *violation, int64_t most)
{
    const struct mh_journal_violation kept = {.violation = *violation};
    say_first(run, violation);
    if (run->violation_count >= MH_VIOLATIONS_KEPT)
        run->violations_unsaved[violation->kind]++;
    else
        mh_journal_condemn(&run->journal, &kept);
    if (run->violation_count >= most) {
        run->violations_more[violation->kind]++;
        return 0;
    }
    if (!mh_grow(&run->violations, &run->violation_room, run->violation_count, sizeof *run->violations))
        return -1;
    run->violations[run->violation_count++] = *violation;
    return 0;
}

void mh_run_save_violations(struct mh_run *run)
{
    for (int kind = 0; kind < MH_WRONGS; kind++) {
        const struct mh_journal_violation rest = {.violation.kind = kind,
                                                  .more = run->violations_unsaved[kind]};
        if (rest.more > 0)
            mh_journal_condemn(&run->journal, &rest);
        run->violations_unsaved[kind] = 0;
    }
}
