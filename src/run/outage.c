/* How long each role was cut off: from the first call that broke to the first success of a call sent after
 * it. Each rank keeps its own; at the end of the stage those that overlap become one. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/units.h"
#include "comm/comm.h"
#include "run/keep.h"

#include <stdio.h>
#include <stdlib.h>

/* A role has so many places, on each rank and in each stage: its first outages have one each, all that come
 * after them the last one, which holds the newest and how many were there before it. */
enum { PLACES = MH_LISTED_OUTAGES + 1 };

struct of_role {
    int64_t begun;
    bool unsaved; /* the last place: it is put on record at intervals */
};

struct mh_outages {
    int role_count;
    struct mh_outage *items; /* PLACES a role */
    struct of_role *roles;
};

static int64_t places_used(const struct of_role *of)
{
    return of->begun < PLACES ? of->begun : PLACES;
}

static struct mh_outage *newest(const struct mh_outages *outages, int role)
{
    const int64_t used = places_used(&outages->roles[role]);
    return used > 0 ? &outages->items[(int64_t)role * PLACES + used - 1] : NULL;
}

static struct mh_outage *open_one(const struct mh_outages *outages, int role)
{
    struct mh_outage *outage = newest(outages, role);
    return outage && outage->last_ns == 0 ? outage : NULL;
}

int mh_outages_open(struct mh_stage *stage)
{
    const size_t roles = stage->options->role_count;
    struct mh_outages *outages = stage->run->outages = calloc(1, sizeof *outages);
    if (!outages)
        return -1;
    outages->items = calloc(PLACES * roles, sizeof *outages->items);
    outages->roles = calloc(roles, sizeof *outages->roles);
    outages->role_count = outages->items && outages->roles ? (int)roles : 0;
    return outages->items && outages->roles ? 0 : -1;
}

static void put_on_record(struct mh_run *run, const struct mh_outage *outage)
{
    run->outages->roles[outage->role].unsaved = false;
    mh_journal_keep(&run->journal, MH_KEPT_OUTAGE, outage, 1, sizeof *outage);
}

/* One of many is not worth a record of its own: a role that is cut off again and again for a week. */
static void keep(struct mh_run *run, const struct mh_outage *outage)
{
    if (outage->number < MH_LISTED_OUTAGES)
        put_on_record(run, outage);
    else
        run->outages->roles[outage->role].unsaved = true;
}

void mh_outages_keep(struct mh_run *run)
{
    const struct mh_outages *outages = run->outages;
    for (int r = 0; outages && r < outages->role_count; r++)
        if (outages->roles[r].unsaved)
            put_on_record(run, newest(outages, r));
}

static void broke(struct mh_stage *stage, int role, int64_t at_ns)
{
    struct mh_outages *outages = stage->run->outages;
    stage->run->cut_off = true;
    if (open_one(outages, role))
        return;
    const int64_t before = outages->roles[role].begun++;
    const bool listed = before < MH_LISTED_OUTAGES;
    struct mh_outage *outage = newest(outages, role);
    *outage = (struct mh_outage){.stage = stage->index,
                                 .role = role,
                                 .ranks = 1,
                                 .number = listed ? (int32_t)before : MH_LISTED_OUTAGES,
                                 .unlisted = listed ? 0 : before - MH_LISTED_OUTAGES,
                                 .from_ns = at_ns - stage->run->start_ns};
    keep(stage->run, outage);
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
    struct mh_outage *outage = op->outcome == MH_OUTCOME_OK ? open_one(stage->run->outages, role) : NULL;
    if (!outage || op->call.sent_ns - stage->run->start_ns < outage->from_ns)
        return;
    outage->ended = 1;
    outage->first_ns = outage->last_ns = op->call.done_ns - stage->run->start_ns;
    keep(stage->run, outage);
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
        last->unlisted += items[i].unlisted;
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
    char first[32], last[32], unlisted[64] = "";
    mh_show_duration(outage->first_ns - outage->from_ns, first, sizeof first);
    mh_show_duration(outage->last_ns - outage->from_ns, last, sizeof last);
    if (outage->unlisted > 0)
        snprintf(unlisted, sizeof unlisted, "; %lld more before it are not listed",
                 (long long)outage->unlisted);
    if (!ended)
        snprintf(event.what, sizeof event.what,
                 "%s: calls broke; no success until the stage ended, %s later%s", role, last, unlisted);
    else if (outage->ranks > 1)
        snprintf(event.what, sizeof event.what,
                 "%s: calls broke; first success %s later, on the last of %d ranks %s later%s", role, first,
                 (int)outage->ranks, last, unlisted);
    else
        snprintf(event.what, sizeof event.what, "%s: calls broke; first success %s later%s", role, first,
                 unlisted);
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
static void end_open_ones(struct mh_run *run, int64_t end_ns)
{
    for (int r = 0; r < run->outages->role_count; r++) {
        struct mh_outage *outage = open_one(run->outages, r);
        if (!outage)
            continue;
        outage->first_ns = outage->last_ns = end_ns;
        put_on_record(run, outage);
    }
    mh_outages_keep(run);
}

/* Those of all roles to the front, one after the other: nothing comes to them any more. */
static size_t pack(struct mh_outages *outages)
{
    size_t count = 0;
    for (int r = 0; r < outages->role_count; r++)
        for (int64_t i = 0; i < places_used(&outages->roles[r]); i++)
            outages->items[count++] = outages->items[(int64_t)r * PLACES + i];
    return count;
}

int mh_outages_report(struct mh_run *run, struct mh_error *err)
{
    void *all = NULL; /* rank 0's */
    size_t bytes = 0;
    int64_t end_ns = mh_now_ns() - run->start_ns;
    mh_comm_bcast(run->comm, &end_ns, sizeof end_ns, 0);
    end_open_ones(run, end_ns);
    const size_t count = pack(run->outages);
    if (mh_comm_collect_bytes(run->comm, run->outages->items, count * sizeof(struct mh_outage), &all, &bytes,
                              err) != 0)
        return -1;
    const int rc = run->rank == 0 ? mh_outages_tell(run, all, bytes / sizeof(struct mh_outage)) : 0;
    free(all);
    return mh_comm_agree(run->comm, rc == 0 ? 0 : mh_fail(err, "out of memory for events"), err);
}

void mh_outages_close(struct mh_run *run)
{
    if (!run->outages)
        return;
    free(run->outages->items);
    free(run->outages->roles);
    free(run->outages);
    run->outages = NULL;
}
