/* How long each role was cut off: from the first call that broke to the first success of a call sent after
 * it. Each rank keeps its own; at the end of the stage those that overlap become one. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/units.h"
#include "comm/comm.h"
#include "run/keep.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST = 64 }; /* a role, stage and rank; the last one then lasts on */

struct mh_outages {
    struct mh_outage *items;
    size_t count;
};

static struct mh_outage *open_one(struct mh_outages *outages, int role)
{
    for (size_t i = outages->count; i-- > 0;)
        if (outages->items[i].role == role)
            return outages->items[i].last_ns == 0 ? &outages->items[i] : NULL;
    return NULL;
}

int mh_outages_open(struct mh_stage *stage)
{
    stage->outages = calloc(1, sizeof *stage->outages);
    if (stage->outages)
        stage->outages->items = calloc(MOST * stage->options->role_count, sizeof *stage->outages->items);
    return stage->outages && stage->outages->items ? 0 : -1;
}

static void keep(const struct mh_stage *stage, const struct mh_outage *outage)
{
    mh_journal_keep(&stage->run->journal, MH_KEPT_OUTAGE, outage, 1, sizeof *outage);
}

static void broke(struct mh_stage *stage, int role, int64_t at_ns)
{
    struct mh_outages *outages = stage->outages;
    stage->run->cut_off = true;
    if (open_one(outages, role) || outages->count == MOST * stage->options->role_count)
        return;
    struct mh_outage *outage = &outages->items[outages->count++];
    *outage = (struct mh_outage){
        .stage = stage->index, .role = role, .ranks = 1, .from_ns = at_ns - stage->run->start_ns};
    keep(stage, outage);
}

void mh_outages_see(struct mh_stage *stage, const struct mh_op *op)
{
    const int role = op->worker->role;
    if (stage->cancelled) /* what breaks now is broken by us */
        return;
    if (op->call.status != MH_GRPC_OK) {
        broke(stage, role, op->call.done_ns);
        return;
    }
    struct mh_outage *outage = op->outcome == MH_OUTCOME_OK ? open_one(stage->outages, role) : NULL;
    if (!outage || op->call.sent_ns - stage->run->start_ns < outage->from_ns)
        return;
    outage->ended = 1;
    outage->first_ns = outage->last_ns = op->call.done_ns - stage->run->start_ns;
    keep(stage, outage);
}

static int by_role_and_time(const void *a, const void *b)
{
    const struct mh_outage *x = a, *y = b;
    if (x->stage != y->stage)
        return x->stage < y->stage ? -1 : 1;
    if (x->role != y->role)
        return x->role < y->role ? -1 : 1;
    return x->from_ns < y->from_ns ? -1 : x->from_ns > y->from_ns;
}

static size_t join(struct mh_outage *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct mh_outage *last = kept > 0 ? &items[kept - 1] : NULL;
        if (!last || last->stage != items[i].stage || last->role != items[i].role ||
            last->last_ns < items[i].from_ns) {
            items[kept++] = items[i];
            continue;
        }
        last->ranks++;
        last->ended |= items[i].ended;
        last->first_ns = items[i].first_ns < last->first_ns ? items[i].first_ns : last->first_ns;
        last->last_ns = items[i].last_ns > last->last_ns ? items[i].last_ns : last->last_ns;
    }
    return kept;
}

static int report_one(struct mh_run *run, const struct mh_outage *outage)
{
    const char *role = run->job->stages[outage->stage].roles[outage->role].kind->name;
    const bool ended = outage->ended;
    struct mh_event event = {.kind = MH_EVENT_OUTAGE,
                             .stage = outage->stage,
                             .role = outage->role,
                             .time_ns = outage->from_ns,
                             .duration_ns = ended ? outage->first_ns - outage->from_ns : -1};
    char first[32], last[32];
    mh_show_duration(outage->first_ns - outage->from_ns, first, sizeof first);
    mh_show_duration(outage->last_ns - outage->from_ns, last, sizeof last);
    if (!ended)
        snprintf(event.what, sizeof event.what, "%s: calls broke; no success until the stage ended, %s later",
                 role, last);
    else if (outage->ranks > 1)
        snprintf(event.what, sizeof event.what,
                 "%s: calls broke; first success %s later, on the last of %d ranks %s later", role, first,
                 (int)outage->ranks, last);
    else
        snprintf(event.what, sizeof event.what, "%s: calls broke; first success %s later", role, first);
    return mh_events_add(&run->events, &event);
}

int mh_outages_tell(struct mh_run *run, struct mh_outage *items, size_t count)
{
    int rc = 0;
    if (count > 0)
        qsort(items, count, sizeof *items, by_role_and_time);
    const size_t kept = join(items, count);
    for (size_t i = 0; i < kept && rc == 0; i++)
        rc = report_one(run, &items[i]);
    return rc;
}

/* Those that never ended last until the stage did. */
static void end_open_ones(struct mh_stage *stage, int64_t end_ns)
{
    for (size_t i = 0; i < stage->outages->count; i++) {
        struct mh_outage *outage = &stage->outages->items[i];
        if (outage->last_ns > 0)
            continue;
        outage->first_ns = outage->last_ns = end_ns;
        keep(stage, outage);
    }
}

int mh_outages_report(struct mh_stage *stage, struct mh_error *err)
{
    void *all = NULL; /* rank 0's */
    size_t bytes = 0;
    int64_t end_ns = mh_now_ns() - stage->run->start_ns;
    mh_comm_bcast(stage->run->comm, &end_ns, sizeof end_ns, 0);
    end_open_ones(stage, end_ns);
    if (mh_comm_collect_bytes(stage->run->comm, stage->outages->items,
                              stage->outages->count * sizeof(struct mh_outage), &all, &bytes, err) != 0)
        return -1;
    const int rc =
        stage->run->rank == 0 ? mh_outages_tell(stage->run, all, bytes / sizeof(struct mh_outage)) : 0;
    free(all);
    return mh_comm_agree(stage->run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for events"), err);
}

void mh_outages_close(struct mh_stage *stage)
{
    if (stage->outages)
        free(stage->outages->items);
    free(stage->outages);
    stage->outages = NULL;
}
